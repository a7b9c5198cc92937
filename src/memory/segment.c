/* SPDX-License-Identifier: MIT */
#include "memory/segment.h"

#include "base/check.h"
#include "memory/counters.h"

/* Starts of runs of run.count slices in the set, at multiples of the stride. */
static uint64_t run_starts(uint64_t set, run_t run) {
  uint64_t starts = bit_runs(set, run.count);
  if (run.stride > 1) {
    uint64_t multiples = 1;
    for (unsigned step = run.stride; step < SEGMENT_SLICES; step *= 2) multiples |= multiples << step;
    starts &= multiples;
  }
  return starts;
}

unsigned segment_claim_run(size_t segment, run_t run, claim_kind_t kind) {
  atomic_u64_t* const word = segment_word(segment, WORD_FREE);
  uint64_t free =
      load_acquire(word); /* partner: segment_release; dirty bits of free slices are at rest (S1) */
  for (;;) {
    const uint64_t starts = run_starts(kind == CLAIM_DIRTY ? free & segment_dirty(segment) : free, run);
    if (starts == 0) return NO_RUN;
    const unsigned first = bit_lowest(starts);
    /* acquire: the last owner's writes to the slices and to their bits happen before ours. */
    if (cas_weak_acq_rel(word, &free, free & ~bit_range(first, run.count))) return first;
  }
}

bool segment_claim_bits(size_t segment, uint64_t bits) {
  atomic_u64_t* const word = segment_word(segment, WORD_FREE);
  uint64_t free = load_acquire(word);
  while ((free & bits) == bits) {
    if (cas_weak_acq_rel(word, &free, free & ~bits)) return true; /* acquire: as above */
  }
  return false;
}

void segment_release(size_t segment, uint64_t bits) {
  atomic_u64_t* const word = segment_word(segment, WORD_FREE);
  uint64_t free = load_relaxed(word);
  check((free & bits) == 0);
  /* release: our writes happen before the next claim's CAS.  seq_cst: between this store and the loads of
     hints in summary_publish, the partner of clear-then-look in summary_refute (see memory/summary.h). */
  while (!cas_strong_seq_cst(word, &free, free | bits)) continue;
}

void segment_set(size_t segment, segment_word_t word, uint64_t bits) {
  or_acq_rel(segment_word(segment, word), bits); /* published with FREE by segment_release */
}

void segment_clear(size_t segment, segment_word_t word, uint64_t bits) {
  atomic_u64_t* const set = segment_word(segment, word);
  if ((load_relaxed(set) & bits) != 0) and_acq_rel(set, ~bits); /* published as above */
}

void segment_place(size_t first, size_t count) {
  for (size_t s = first; s < first + count; s++) {
    store_relaxed(segment_word(s, WORD_ZERO), ALL_SLICES); /* nobody else looks until slices are released */
    /* release: partner is memory_after_fork, which takes no slice that is not placed. */
    store_release(segment_word(s, WORD_PLACED), ALL_SLICES);
  }
  figure_add(&memory_counters.reserved, (uint64_t)count * SEGMENT_SIZE);
}
