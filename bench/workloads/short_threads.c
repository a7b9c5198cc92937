/* SPDX-License-Identifier: MIT */
/* Short-lived threads: waves of THREADS threads; each allocates, frees half of its blocks itself and leaves
   the rest to the wave that follows, which frees the blocks of a thread that is dead. */
#include "workload.h"

enum { BLOCKS = 600, WAVES = 1500 };

typedef struct hand_over_s {
  void* blocks[BLOCKS];
  uint64_t random;
} hand_over_t;

static void* live_briefly(void* argument) {
  hand_over_t* const mine = argument;
  for (size_t i = 0; i < BLOCKS; i++) {
    stamped_free(mine->blocks[i]); /* what the thread before me left */
    mine->blocks[i] = stamped_alloc(random_size(&mine->random, 4, 11));
  }
  for (size_t i = 0; i < BLOCKS; i += 2) {
    stamped_free(mine->blocks[i]);
    mine->blocks[i] = NULL;
  }
  return NULL;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("short_threads", argc, argv);
  hand_over_t* const tables = harness_map(workload.threads * sizeof(hand_over_t));
  const uint64_t waves = workload_share(&workload, (uint64_t)WAVES * 2);
  for (size_t i = 0; i < workload.threads; i++) tables[i].random = workload.seed + i;
  for (uint64_t wave = 0; wave < waves; wave++) {
    pthread_t threads[WORKLOAD_THREADS_MAX];
    for (size_t i = 0; i < workload.threads; i++) {
      threads[i] = thread_start(live_briefly, &tables[i]);
    }
    for (size_t i = 0; i < workload.threads; i++) thread_join(threads[i]);
  }
  for (size_t i = 0; i < workload.threads; i++) {
    for (size_t k = 0; k < BLOCKS; k++) stamped_free(tables[i].blocks[k]);
  }
  return workload_end(&workload, waves * workload.threads * BLOCKS * 2, "");
}
