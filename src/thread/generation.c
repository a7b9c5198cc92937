/* SPDX-License-Identifier: MIT */
/* The generation of the process: a number that each forked child takes anew (see thread/fork.c). */
#include "memory/scavenger.h"
#include "os/os.h"
#include "thread/thread.h"

static atomic_u64_t last_generation; /* as the parent left it */

uint64_t thread_generation(void) {
  atomic_u64_t* word = os_fork_word();
  if (word == NULL) return 1;
  uint64_t generation = load_acquire(word);
  if (likely(generation != 0)) return generation;
  const uint64_t next = load_relaxed(&last_generation) + 1;
  if (cas_strong_acq_rel(word, &generation, next)) {
    generation = next;
    scavenger_after_fork();
  }
  store_relaxed(&last_generation, generation);
  return generation;
}
