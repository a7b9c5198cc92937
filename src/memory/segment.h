/* SPDX-License-Identifier: MIT */
/* A segment: 64 slices, whose state is a few words of one bit per slice.

   States of a slice (bits F free, Z zero, D dirty, in either of two words):
     fresh    F Z      free, never used or purged: reads as zero
     dirty    F D      free, holds old contents, memory not given back
     stale    F        free, contents unknown, not worth purging (locked memory)
     claimed           one owner: a page, a purger, or a thread on its way to either
   Edges:
     fresh | dirty | stale --segment_claim_*: CAS on FREE--> claimed --segment_release--> any free state
   The CAS on FREE is the only claim.  S1: only the claimer of a slice changes its bits in the other words,
   before it sets FREE again; so the bits of a free slice are at rest, and the claimer, who acquired FREE,
   reads what the last owner wrote.  A slice that is not PLACED has no other bit set and is never free. */
#pragma once

#include "base/bits.h"
#include "memory/window.h"

typedef enum segment_word_e {
  WORD_FREE,
  WORD_COMMITTED,  /* readable and writable; never taken back */
  WORD_ZERO,       /* known to be zero */
  WORD_DIRTY_EVEN, /* released in a period of even number (memory/purge.h) ... */
  WORD_DIRTY_ODD,  /* ... of odd number */
  WORD_PURGED,     /* has been purged since the last claim */
  WORD_PURGE_TIME, /* no set: os_now_ms() of the segment's last purge */
  WORD_PLACED,     /* belongs to an extent: all bits or none */
  WORD_ARENA,      /* no set: address of the segment's arena_t, 0: it has none (memory/arena.h) */
  WORD_HUGE,       /* no set: 1: huge pages were asked for (memory/hugepages.h) */
  WORD_STARTS,     /* first slice of a page; set and cleared by the page's owner */
  SEGMENT_WORDS
} segment_word_t;

#define ALL_SLICES (~UINT64_C(0))
#define NO_RUN     64u

static inline atomic_u64_t* segment_word(size_t segment, segment_word_t word) {
  return &window_entry(segment * SEGMENT_SLICES + (size_t)word)->word;
}

/* Which free slices a claim may take. */
typedef enum claim_kind_e { CLAIM_DIRTY, CLAIM_ANY } claim_kind_t;

/* The slices of the run count (1 .. 64) that start at multiples of stride (1 .. 64, a power of two). */
typedef struct run_s {
  unsigned count;
  unsigned stride;
} run_t;

/* Claim the lowest fitting run; its first slice in the segment, or NO_RUN. */
unsigned segment_claim_run(size_t segment, run_t run, claim_kind_t kind);

/* Claim exactly these slices, or none. */
bool segment_claim_bits(size_t segment, uint64_t bits);

/* Claimed slices become free; their other bits are final. */
void segment_release(size_t segment, uint64_t bits);

/* New extents: the slices are placed, zero, and claimed by the caller. */
void segment_place(size_t first, size_t count);

/* Dirty slices, free or not. */
static inline uint64_t segment_dirty(size_t segment) {
  return load_relaxed(segment_word(segment, WORD_DIRTY_EVEN)) |
         load_relaxed(segment_word(segment, WORD_DIRTY_ODD));
}

/* For the claimer of the bits: change them in another word (S1). */
void segment_set(size_t segment, segment_word_t word, uint64_t bits);
void segment_clear(size_t segment, segment_word_t word, uint64_t bits);

/* A walk over the slices [first, end), segment by segment:
     for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) ... p.segment, p.bits ... */
typedef struct piece_s {
  size_t segment;
  uint64_t bits;
  size_t next, end;
} piece_t;

static inline piece_t piece_first(size_t first, size_t end) {
  if (first >= end) return (piece_t){0, 0, end, end};
  const size_t segment = first / SEGMENT_SLICES;
  const size_t next = min_size((segment + 1) * SEGMENT_SLICES, end);
  return (piece_t){segment, bit_range((unsigned)(first % SEGMENT_SLICES), (unsigned)(next - first)), next,
                   end};
}

static inline piece_t piece_next(piece_t p) { return piece_first(p.next, p.end); }
