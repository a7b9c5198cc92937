/* SPDX-License-Identifier: MIT */
/* Every constant of the design, and the build's switches as constants for plain `if`s. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The switches MI_... are given by the build, each (doc/building.md). */

enum {
  DEBUG_CHECKS = MI_DEBUG > 0, /* 1: invariants, at slow steps */
  DEBUG_STEPS = MI_DEBUG > 1,  /* 1: also at one in DEBUG_INTERVAL of the steps that fast paths take */
  DEBUG_INTERVAL = MI_DEBUG > 2 ? 1 : 64,
  SECURE = MI_SECURE > 0, /* 1: sealed blocks, encoded links, mixed order (page/seal.h); no fast paths */
  SEAL_SIZE = SECURE ? 8 : 0,
  SECURE_FULL = MI_SECURE > 1,               /* 1: what is freed is zero until it goes out again */
  START_CHECKS = MI_FREE_CHECKS || SECURE, /* 1: free tells the start of a block from everything else */
  FREE_CHECKS = MI_FREE_CHECKS && !SECURE, /* 1: mark and block-start test on the fast path of free */
  STATISTICS = MI_STATISTICS,    /* 0, for bench/statistics alone: nothing is counted for statistics only */

  SLICE_SHIFT = 16, SLICE_SIZE = 1 << SLICE_SHIFT, /* unit of claiming, committing and purging */
  SEGMENT_SLICES = 64,           /* so a set of a segment's slices is one 64-bit word */
  SMALL_PAGES_SLICES = 2 * SEGMENT_SLICES, /* the window's first 8 MiB never have huge pages */
  SEGMENT_SHIFT = SLICE_SHIFT + 6, SEGMENT_SIZE = 1 << SEGMENT_SHIFT,

  ADDRESS_SHIFT = 48, /* memory above 2^48 is not adopted: the numbers of slices below differ in 32 bits */
  WINDOW_SHIFT = 40, /* the window spans at most 1 TiB of addresses */

  TABLE_ENTRY_SIZE = 128, /* one table entry per slice: 0.195 % */
  CACHE_LINE = 64,

  DIRECT_SIZE_MAX = 1024,       /* sizes served by direct[]  */
  SMALL_BLOCK_MAX = 8 * 1024,   /* blocks of small pages */
  MEDIUM_BLOCK_MAX = 32 * 1024, /* blocks of medium pages; above, a page is one block */
};

#define KiB ((size_t)1024)
#define MiB (KiB * KiB)
#define GiB (MiB * KiB)

#define WINDOW_SLICES ((size_t)1 << (WINDOW_SHIFT - SLICE_SHIFT))
#define WINDOW_SEGMENTS ((size_t)1 << (WINDOW_SHIFT - SEGMENT_SHIFT))

/* No object may be larger: pointer differences inside it must be representable. */
#define ALLOC_SIZE_MAX ((size_t)PTRDIFF_MAX)

_Static_assert(SEGMENT_SLICES == 64, "a set of slices is one uint64_t");
_Static_assert(sizeof(void*) == 8, "the window needs 64-bit addresses");
