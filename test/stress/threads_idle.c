/* SPDX-License-Identifier: MIT */
/* Threads that work in short bursts and sleep in between, through one shared table, with a purge delay of 1
   ms: the scavenger holds them while they sleep, and they wake up under its hands.  Every block carries its
   stamp. */
#include "stress/support.h"

enum { SLOTS = 20000, THREADS = 4, BURSTS = 1500, BURST_STEPS = 2000 };

static _Atomic(size_t*) table[SLOTS];

static void take_back(size_t* block) {
  if (block == NULL) return;
  const size_t words = block[0];
  CHECK(words >= 2 && words < 4000 && block[words - 1] == (words ^ (size_t)block),
        "a block has lost its stamp");
  t_free(block);
}

static void* work(void* arg) {
  uint64_t random = 77 + (uint64_t)(uintptr_t)arg;
  for (int burst = 0; burst < BURSTS; burst++) {
    for (int i = 0; i < BURST_STEPS; i++) {
      const size_t words = (size_t)2 + random_below(&random, random_below(&random, 16) == 0 ? 3000 : 100);
      const size_t percent = burst % 8 < 4 ? 70 : 30;
      size_t* const block = random_below(&random, 100) < percent ? t_malloc(words * 8) : NULL;
      if (block != NULL) {
        block[0] = words;
        block[words - 1] = words ^ (size_t)block;
      }
      take_back(atomic_exchange(&table[random_below(&random, SLOTS)], block));
    }
    if (random_below(&random, 2) == 0) sleep_ms((unsigned)random_below(&random, 8));
  }
  return NULL;
}

int main(int argc, char** argv) {
  pthread_t threads[THREADS];
  if (argc < 2) { /* options are read before main */
    setenv("MIMALLOC_PURGE_DELAY", "1", 1);
    execl("/proc/self/exe", argv[0], "again", (char*)NULL);
  }
  watchdog(120);
  for (size_t i = 0; i < THREADS; i++) threads[i] = thread_start(work, (void*)(uintptr_t)i);
  for (size_t i = 0; i < THREADS; i++) thread_join(threads[i]);
  for (size_t i = 0; i < SLOTS; i++) take_back(atomic_exchange(&table[i], NULL));
  return 0;
}
