/* SPDX-License-Identifier: MIT */
/* A thread that purges, so that memory goes back to the OS also while the program calls the allocator no
   more. */
#pragma once

#include "base/atomics.h"

enum { SCAVENGER_NONE, SCAVENGER_AWAKE, SCAVENGER_ASLEEP, SCAVENGER_OFF, SCAVENGER_STATES };

extern atomic_u32_t scavenger_state; /* generation of the process * SCAVENGER_STATES + state */

static inline uint32_t scavenger_state_of(uint32_t word) { return word % SCAVENGER_STATES; }

/* Start the thread unless it runs, is switched off, or nothing is ever purged.  Called when a process has
   got a second thread, from a place where an allocation may nest (creating a thread allocates), never from
   free. */
void scavenger_start(void);

/* No scavenger in this process from now on; one that runs ends. */
void scavenger_switch_off(void);

/* In a forked child: there is no scavenger (yet).  Does nothing once the child has one. */
void scavenger_after_fork(void);

void scavenger_wake(void);

/* A job for the scavenger besides purging, set once by the layer above that knows threads: `idle_ms` ms have
   passed since its last run.  It runs several times after each hint, until a purge delay without hints is
   over. */
typedef void scavenger_job_t(long idle_ms);
void scavenger_set_job(scavenger_job_t* job);

extern atomic_u32_t scavenger_hinted;
void scavenger_hint_first(void);

/* There may soon be something to do for the job.  Costs one load of a word that rarely changes. */
static inline void scavenger_hint(void) {
  if (load_relaxed(&scavenger_hinted) == 0) scavenger_hint_first();
}

/* Dirty slices were released and their hint is set.  seq_cst: partner of the scavenger's look before it
   sleeps. */
static inline void scavenger_notify(void) {
  if (scavenger_state_of(load_seq_cst(&scavenger_state)) == SCAVENGER_ASLEEP) scavenger_wake();
}
