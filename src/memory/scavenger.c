/* SPDX-License-Identifier: MIT */
/* States, one word that is also the futex:

     NONE --scavenger_start: one CAS, one thread--> AWAKE        OFF (for good: switched off, or no thread to
   be had) AWAKE --nothing dirty: scavenge()--> ASLEEP --scavenger_wake: CAS by a releaser--> AWAKE any
   --scavenger_switch_off--> OFF: the thread ends

   The word has the generation of the process beside the state, since a forked child inherits a word whose
   thread did not come over: of any number of threads that put it right, and perhaps start one already, the
   first does, and the others' CAS fails.

   Falling asleep against releasing (Dekker): the scavenger stores ASLEEP, then looks for dirty hints; a
   releaser sets its hint, then looks for ASLEEP; all seq_cst, so one of them sees the other.

   While memory is dirty the scavenger wakes once per purge delay by itself, so a releaser makes a system call
   once per idle period, and nobody ever waits in malloc or free: waking is the one futex call there.  Hints
   for the job (memory/scavenger.h) wake it in the same way; then it ticks four times per purge delay. */
#include "memory/scavenger.h"

#include <stddef.h>

#include "core/diagnostics.h"
#include "core/options.h"
#include "memory/arena.h"
#include "memory/purge.h"
#include "memory/summary.h"
#include "os/os.h"

enum {
  NEVER_PURGE_SLEEP_MS = 1000,
  TICKS = 4,          /* of the job in a purge delay */
  PERIOD_TICKS = 3,   /* in a purge period: what is free leaves after 3/4 to 6/4 of the delay */
  ROUNDS = 2 * TICKS, /* ticks after the last hint */
};

atomic_u32_t scavenger_state = SCAVENGER_NONE;
atomic_u32_t scavenger_hinted;
static atomic_word_t job;

static uint32_t state_now(void) { return scavenger_state_of(load_relaxed(&scavenger_state)); }

/* `state` in the generation that the word has. */
static uint32_t word_for(uint32_t state) {
  const uint32_t word = load_relaxed(&scavenger_state);
  return word - scavenger_state_of(word) + state;
}

static bool is_any_dirty(void) { return summary_any(HINT_DIRTY + purge_level()) || arena_any_dirty(); }

static void sleep_until_dirty(void) {
  uint32_t awake = word_for(SCAVENGER_AWAKE), asleep = word_for(SCAVENGER_ASLEEP);
  if (!cas_strong_seq_cst(&scavenger_state, &awake, asleep)) return;
  while (load_seq_cst(&scavenger_state) == asleep && !is_any_dirty() && load_seq_cst(&scavenger_hinted) == 0)
    os_futex_wait(&scavenger_state, asleep, -1);
  cas_strong_seq_cst(&scavenger_state, &asleep, awake);
}

/* One sleep; the job, when it is wanted; how many ticks it still is. */
static unsigned tick(unsigned rounds, long delay) {
  const long length = delay == 0 ? 1 : ((rounds > 0 ? delay : delay * PERIOD_TICKS) + TICKS - 1) / TICKS;
  os_futex_wait(&scavenger_state, word_for(SCAVENGER_AWAKE), length);
  scavenger_job_t* const run = (scavenger_job_t*)load_acquire(&job);
  if (exchange_seq_cst(&scavenger_hinted, 0u) != 0) rounds = ROUNDS;
  if (rounds == 0) return 0;
  if (run != NULL) run(length);
  return rounds - 1;
}

static void* scavenge(void* unused) {
  unsigned rounds = 0;
  os_thread_name("mi-scavenger");
  while (state_now() != SCAVENGER_OFF) {
    const long delay = purge_delay();
    if (delay < 0) {
      os_futex_wait(&scavenger_state, word_for(SCAVENGER_AWAKE), NEVER_PURGE_SLEEP_MS);
      continue;
    }
    if (rounds == 0 && !is_any_dirty()) sleep_until_dirty();
    const unsigned ticks = rounds > 0 ? PERIOD_TICKS : 1;
    for (unsigned i = 0; i < ticks && state_now() != SCAVENGER_OFF; i++) rounds = tick(rounds, delay);
    purge_period();
  }
  purge_set_mode(PURGE_INLINE);
  return unused;
}

void scavenger_set_job(scavenger_job_t* run) {
  store_release(&job, (uintptr_t)run); /* partner: tick */
}

void scavenger_hint_first(void) {
  store_seq_cst(&scavenger_hinted, 1u);
  scavenger_notify();
}

void scavenger_wake(void) {
  uint32_t asleep = word_for(SCAVENGER_ASLEEP);
  if (cas_strong_seq_cst(&scavenger_state, &asleep, word_for(SCAVENGER_AWAKE)))
    os_futex_wake(&scavenger_state);
}

void scavenger_start(void) {
  scavenger_after_fork();
  uint32_t none = word_for(SCAVENGER_NONE);
  if (state_now() != SCAVENGER_NONE) return;
  if (purge_delay() < 0 || !option_enabled(mi_option_scavenger)) return;
  if (!cas_strong_acq_rel(&scavenger_state, &none, word_for(SCAVENGER_AWAKE))) return;
  purge_set_mode(PURGE_BACKGROUND); /* before the thread, which takes it back when it ends */
  if (os_thread_start(scavenge) == 0) {
    report_verbose("the scavenger thread purges from now on");
    return;
  }
  report_verbose("no scavenger thread could be started: free memory is purged by those who free");
  purge_set_mode(PURGE_INLINE);
  store_relaxed(&scavenger_state, word_for(SCAVENGER_OFF));
}

void scavenger_switch_off(void) {
  const uint32_t before = exchange_seq_cst(&scavenger_state, word_for(SCAVENGER_OFF));
  if (scavenger_state_of(before) != SCAVENGER_NONE) os_futex_wake(&scavenger_state);
}

void scavenger_after_fork(void) {
  const atomic_u64_t* const generation = os_fork_word();
  const uint32_t none = generation == NULL ? 0 : (uint32_t)load_acquire(generation) * SCAVENGER_STATES;
  uint32_t word = load_relaxed(&scavenger_state);
  if (word - scavenger_state_of(word) != none && scavenger_state_of(word) != SCAVENGER_OFF)
    cas_strong_acq_rel(&scavenger_state, &word, none);
}
