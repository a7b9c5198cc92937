/* SPDX-License-Identifier: MIT */
/* Lever and Boreham's test ("Malloc() performance in a multithreaded Linux environment", 2000): N threads
   only allocate, N others only free what those allocated, in batches of 4,096 objects that pass through one
   list under a lock.  THREADS is N.  Mode "random": 16 to 512 bytes instead of 64. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

enum { BATCH = 4096, BATCHES = 1600, WAITING_MAX = 8, SIZE = 64 };

typedef struct batch_s {
  struct batch_s* next;
  void* objects[BATCH];
} batch_t;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  batch_t* first;
  size_t count;
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void put(batch_t* batch, size_t limit) {
  pthread_mutex_lock(&waiting.lock);
  while (waiting.count >= limit) pthread_cond_wait(&waiting.changed, &waiting.lock);
  batch->next = waiting.first;
  waiting.first = batch;
  waiting.count++;
  pthread_cond_broadcast(&waiting.changed);
  pthread_mutex_unlock(&waiting.lock);
}

static batch_t* take(void) {
  pthread_mutex_lock(&waiting.lock);
  while (waiting.count == 0) pthread_cond_wait(&waiting.changed, &waiting.lock);
  batch_t* const batch = waiting.first;
  waiting.first = batch->next;
  waiting.count--;
  pthread_cond_broadcast(&waiting.changed);
  pthread_mutex_unlock(&waiting.lock);
  return batch;
}

static void allocate(worker_t* worker, uint64_t batches, bool random) {
  for (uint64_t i = 0; i < batches; i++) {
    batch_t* const batch = malloc(sizeof(*batch));
    if (batch == NULL) workload_fail("out of memory");
    for (size_t k = 0; k < BATCH; k++) {
      batch->objects[k] = stamped_alloc(random ? random_size(&worker->random, 4, 9) : SIZE);
    }
    put(batch, WAITING_MAX * worker->workload->threads / 2);
  }
}

static void release(uint64_t batches) {
  for (uint64_t i = 0; i < batches; i++) {
    batch_t* const batch = take();
    for (size_t k = 0; k < BATCH; k++) stamped_free(batch->objects[k]);
    free(batch);
  }
}

static void work(worker_t* worker) {
  const uint64_t batches = workload_share(worker->workload, (uint64_t)BATCHES * 2);
  if (worker->index % 2 == 0)
    allocate(worker, batches, strcmp(worker->workload->mode, "random") == 0);
  else
    release(batches);
  worker->operations = batches * BATCH;
}

int main(int argc, char** argv) {
  workload_t workload = workload_begin("xmalloc_test", argc, argv);
  workload.threads *= 2;
  if (workload.threads > WORKLOAD_THREADS_MAX) workload_fail("too many threads");
  return workload_end(&workload, workload_run(&workload, work), "");
}
