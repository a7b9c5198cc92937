/* SPDX-License-Identifier: MIT */
/* What the address space is used for, in numbers.  Relaxed counters, changed on slow paths only; `claimed`
   and `dirty` are exact once nothing runs, the peak is the highest value any claim saw. */
#pragma once

#include "base/atomics.h"
#include "base/config.h"

typedef struct memory_counters_s {
  atomic_u64_t reserved;  /* bytes of placed extents */
  atomic_u64_t committed; /* bytes made writable, in total */
  atomic_u64_t claimed;   /* bytes in claimed slices */
  atomic_u64_t claimed_peak;
  atomic_u64_t dirty;    /* bytes in free slices whose memory was not given back */
  atomic_u64_t metadata; /* bytes of tables and metadata chunks */
  atomic_u64_t purged;   /* bytes given back to the OS, in total */
  atomic_u64_t purge_calls;
  atomic_u64_t reset; /* bytes that the OS may take, in total */
  atomic_u64_t reset_calls;
  atomic_u64_t arena_purge_calls; /* those in arenas */
  atomic_u64_t rollbacks;         /* long runs given back because a part of them was not to be had */
  atomic_u64_t commit_calls;
  atomic_u64_t map_calls;
} memory_counters_t;

extern memory_counters_t memory_counters;

/* A copy at one moment, with what follows from it. */
typedef struct memory_stats_s {
  size_t reserved, committed, claimed, claimed_peak, free, dirty, metadata;
  uint64_t purged, purge_calls, commit_calls, map_calls;
} memory_stats_t;

memory_stats_t memory_stats(void);

/* How many there are, how many there were at most, and how many there have been. */
typedef struct level_s {
  atomic_u64_t current, peak, total;
} level_t;

static inline void level_up(level_t* level) {
  figure_add(&level->total, 1);
  figure_raise(&level->peak, figure_add(&level->current, 1));
}
static inline void level_down(level_t* level) { figure_subtract(&level->current, 1); }

static inline void counter_add(atomic_u64_t* counter, uint64_t amount) { add_relaxed(counter, amount); }
static inline void counter_subtract(atomic_u64_t* counter, uint64_t amount) {
  add_relaxed(counter, 0 - amount);
}
