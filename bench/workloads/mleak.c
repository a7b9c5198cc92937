/* SPDX-License-Identifier: MIT */
/* Threads that end must leave nothing behind: wave after wave of threads, each of which allocates blocks of
   all sizes, frees every one, and ends.  The peak says whether memory piles up. */
#include "workload.h"

enum { BLOCKS = 400, WAVES = 12000, BIG = 96 << 10 };

static void work(worker_t* worker) {
  void* blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++)
    blocks[i] = stamped_alloc(i % 100 == 99 ? BIG : random_size(&worker->random, 4, 11));
  for (size_t i = 0; i < BLOCKS; i++) stamped_free(blocks[i]);
  worker->operations = 2 * BLOCKS;
}

static void* as_thread(void* argument) {
  work(argument);
  return NULL;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("mleak", argc, argv);
  const uint64_t waves = workload_share(&workload, WAVES);
  worker_t workers[WORKLOAD_THREADS_MAX];
  pthread_t threads[WORKLOAD_THREADS_MAX];
  uint64_t operations = 0;
  for (uint64_t wave = 0; wave < waves; wave++) {
    for (size_t i = 0; i < workload.threads; i++) {
      workers[i] = (worker_t){.workload = &workload, .index = i, .random = workload.seed + wave * 64 + i};
      threads[i] = thread_start(as_thread, &workers[i]);
    }
    for (size_t i = 0; i < workload.threads; i++) {
      thread_join(threads[i]);
      operations += workers[i].operations;
    }
  }
  return workload_end(&workload, operations, "");
}
