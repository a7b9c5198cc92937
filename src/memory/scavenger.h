/* SPDX-License-Identifier: MIT */
/* A thread that purges, so that memory goes back to the OS also while the program calls the allocator no
 * more. */
#ifndef MEMORY_SCAVENGER_H
#define MEMORY_SCAVENGER_H

#include "base/atomics.h"

enum { SCAVENGER_NONE, SCAVENGER_AWAKE, SCAVENGER_ASLEEP, SCAVENGER_OFF };

extern atomic_u32_t scavenger_state;

/* Start the thread unless it runs, is switched off, or nothing is ever purged.  Called when a process has
   got a second thread, from a place where an allocation may nest (creating a thread allocates), never from
   free. */
void scavenger_start(void);

/* No scavenger in this process from now on; one that runs ends. */
void scavenger_switch_off(void);

/* In a forked child, by its only thread: there is no scavenger (yet). */
void scavenger_after_fork(void);

void scavenger_wake(void);

/* Dirty slices were released and their hint is set.  seq_cst: partner of the scavenger's look before it
 * sleeps. */
static inline void scavenger_notify(void) {
  if (load_seq_cst(&scavenger_state) == SCAVENGER_ASLEEP) scavenger_wake();
}

#endif
