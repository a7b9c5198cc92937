/* SPDX-License-Identifier: MIT */
/* Producer and consumer: half of the threads allocate, the other half verify and free.  Batches of pointers
   go through one bounded ring per pair, guarded by semaphores, so that waiting costs no CPU time. */
#include <errno.h>
#include <semaphore.h>

#include "workload.h"

enum { BATCH = 256, RING = 64, BATCHES = 12000 };

typedef struct ring_s {
  sem_t empty;
  sem_t filled;
  void* batches[RING][BATCH];
} ring_t;

static ring_t* rings;

static void wait_for(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) {
    if (errno != EINTR) workload_fail("semaphore");
  }
}

static void produce(worker_t* worker, ring_t* ring, uint64_t batches) {
  for (uint64_t i = 0; i < batches; i++) {
    wait_for(&ring->empty);
    void** const batch = ring->batches[i % RING];
    for (size_t k = 0; k < BATCH; k++) batch[k] = stamped_alloc(random_size(&worker->random, 4, 10));
    sem_post(&ring->filled);
  }
}

static void consume(ring_t* ring, uint64_t batches) {
  for (uint64_t i = 0; i < batches; i++) {
    wait_for(&ring->filled);
    void** const batch = ring->batches[i % RING];
    for (size_t k = 0; k < BATCH; k++) stamped_free(batch[k]);
    sem_post(&ring->empty);
  }
}

static void work(worker_t* worker) {
  const uint64_t batches = workload_share(worker->workload, (uint64_t)BATCHES * 2);
  ring_t* const ring = &rings[worker->index / 2];
  if (worker->index % 2 == 0)
    produce(worker, ring, batches);
  else
    consume(ring, batches);
  worker->operations = batches * BATCH;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("producer_consumer", argc, argv);
  if (workload.threads % 2 != 0) workload_fail("producer_consumer needs an even number of threads");
  rings = harness_map(workload.threads / 2 * sizeof(ring_t));
  for (size_t i = 0; i < workload.threads / 2; i++) {
    ring_t* const ring = &rings[i];
    if (sem_init(&ring->empty, 0, RING) != 0) workload_fail("semaphore");
    if (sem_init(&ring->filled, 0, 0) != 0) workload_fail("semaphore");
  }
  return workload_end(&workload, workload_run(&workload, work), "");
}
