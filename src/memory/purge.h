/* SPDX-License-Identifier: MIT */
/* Giving memory of free slices back to the OS; the addresses stay ours.

   Two reasons to purge.  Age: what stays free and dirty leaves after one to two purge
   delays when threads do it by the way, after 3/4 to 3/2 of one when the scavenger does.  Budget: a
   process without a scavenger may never call again, so it never keeps more dirty memory than a budget, which
   grows when purged slices turn out to be claimed again soon, and shrinks when dirty ones are not. */
#pragma once

#include "memory/segment.h"

/* Milliseconds from free to purge (options); 0: at once, negative: never. */
long purge_delay(void);

/* Runs of fewer than 2^level slices are purged only by purge_all (options). */
unsigned purge_level(void);

/* Are so many adjacent slices purged when they are freed? */
bool purge_at_once(size_t slices);

/* Who purges by age: the threads that call the allocator, or the scavenger. */
typedef enum purge_mode_e { PURGE_INLINE, PURGE_BACKGROUND } purge_mode_t;
void purge_set_mode(purge_mode_t mode);

/* A visit from a slow path: purge what is due, at most 1 MiB.  Costs next to nothing when nothing is due. */
void purge_due(void);

/* Purge everything that is free, now; returns bytes. */
size_t purge_all(void);

/* The scavenger's visit: everything that is old; then what is young becomes old. */
void purge_period(void);

/* ---- for memory/slices.c ---- */

/* The word that marks slices released now. */
segment_word_t purge_young_word(void);

/* Claimed slices whose memory is to go at once: purge, then free them. */
void purge_claimed(size_t slice, size_t count);

/* `slices` were released dirty: stay within the budget; at most 1 MiB or twice what was released. */
void purge_over_budget(size_t slices);

/* A claim took `dirty` dirty slices and `purged` that were purged at `time`. */
void purge_observe_claim(size_t dirty, size_t purged, uint64_t time);

/* ---- for holes in pages (page/holes.h) ---- */

/* Memory inside these slices, which belong to one page, has been given back; and: it is needed again, or the
   page has run empty, so that it would have gone anyway. */
void purge_note_holes(size_t slice, size_t count);
void purge_regret_holes(size_t slice, size_t count);

/* Slices that may keep memory for a while more, because memory was given back too soon. */
size_t purge_boost(void);

/* In a forked child, by its only thread.  Returns who purged in the parent: PURGE_BACKGROUND means that the
   scavenger may have been stopped half-way, and memory_after_fork must look for slices it held. */
purge_mode_t purge_after_fork(void);
