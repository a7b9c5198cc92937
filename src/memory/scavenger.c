/* SPDX-License-Identifier: MIT */
/* States, one word that is also the futex:

     NONE --scavenger_start: one CAS, one thread--> AWAKE        OFF (for good: switched off, or no thread to
   be had) AWAKE --nothing dirty: scavenge()--> ASLEEP --scavenger_wake: CAS by a releaser--> AWAKE any
   --scavenger_switch_off--> OFF: the thread ends

   Falling asleep against releasing (Dekker): the scavenger stores ASLEEP, then looks for dirty hints; a
   releaser sets its hint, then looks for ASLEEP; all seq_cst, so one of them sees the other.

   While memory is dirty the scavenger wakes once per purge delay by itself, so a releaser makes a system call
   once per idle period, and nobody ever waits in malloc or free: waking is the one futex call there. */
#include "memory/scavenger.h"

#include <stddef.h>

#include "core/options.h"
#include "memory/purge.h"
#include "memory/summary.h"
#include "os/os.h"

enum { NEVER_PURGE_SLEEP_MS = 1000 };

atomic_u32_t scavenger_state = SCAVENGER_NONE;

static void sleep_until_dirty(void) {
  uint32_t awake = SCAVENGER_AWAKE;
  if (!cas_strong_seq_cst(&scavenger_state, &awake, SCAVENGER_ASLEEP)) return;
  while (load_seq_cst(&scavenger_state) == SCAVENGER_ASLEEP && !summary_any(HINT_DIRTY)) {
    os_futex_wait(&scavenger_state, SCAVENGER_ASLEEP, -1);
  }
  uint32_t asleep = SCAVENGER_ASLEEP;
  cas_strong_seq_cst(&scavenger_state, &asleep, SCAVENGER_AWAKE);
}

static void* scavenge(void* unused) {
  os_thread_name("mi-scavenger");
  while (load_relaxed(&scavenger_state) != SCAVENGER_OFF) {
    const long delay = purge_delay();
    if (delay >= 0 && !summary_any(HINT_DIRTY)) sleep_until_dirty();
    os_futex_wait(&scavenger_state, SCAVENGER_AWAKE, delay < 0 ? NEVER_PURGE_SLEEP_MS : delay);
    if (delay >= 0) purge_period();
  }
  purge_set_mode(PURGE_INLINE);
  return unused;
}

void scavenger_wake(void) {
  uint32_t asleep = SCAVENGER_ASLEEP;
  if (cas_strong_seq_cst(&scavenger_state, &asleep, SCAVENGER_AWAKE)) os_futex_wake(&scavenger_state);
}

void scavenger_start(void) {
  uint32_t none = SCAVENGER_NONE;
  if (load_relaxed(&scavenger_state) != SCAVENGER_NONE) return;
  if (purge_delay() < 0 || !option_enabled(mi_option_scavenger)) return;
  if (!cas_strong_acq_rel(&scavenger_state, &none, SCAVENGER_AWAKE)) return;
  if (os_thread_start(scavenge) == 0) {
    purge_set_mode(PURGE_BACKGROUND);
  } else {
    store_relaxed(&scavenger_state, SCAVENGER_OFF);
  }
}

void scavenger_switch_off(void) {
  if (exchange_seq_cst(&scavenger_state, SCAVENGER_OFF) != SCAVENGER_NONE) os_futex_wake(&scavenger_state);
}

void scavenger_after_fork(void) {
  if (load_relaxed(&scavenger_state) != SCAVENGER_OFF) store_relaxed(&scavenger_state, SCAVENGER_NONE);
}
