/* SPDX-License-Identifier: MIT */
/* The test's own count of what it allocates and frees, by bin, and its comparison with what the statistics
   say has changed. */
#ifndef TEST_API_TALLY_H
#define TEST_API_TALLY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mimalloc-stats.h"

enum { BINS = MI_BIN_HUGE + 1 };

typedef struct tally_s {
  int64_t total[BINS], current[BINS], highest[BINS];
  int64_t total_bytes, current_bytes, huge_total, huge_current, highest_bytes;
} tally_t;

static inline size_t bin_of(const void* p) {
  const size_t size = mi_usable_size(p);
  for (size_t bin = 0; bin < MI_BIN_HUGE; bin++) {
    if (mi_stats_get_bin_size(bin) == size) return bin;
  }
  return MI_BIN_HUGE;
}

/* `blocks` more, or fewer, of a bin; bytes that were not there before are allocated, others freed. */
static inline void note_change(tally_t* tally, size_t bin, int blocks, int64_t bytes) {
  tally->current[bin] += blocks;
  tally->current_bytes += bytes;
  if (bin == MI_BIN_HUGE) tally->huge_current += bytes;
  if (tally->current[bin] > tally->highest[bin]) tally->highest[bin] = tally->current[bin];
  if (tally->current_bytes > tally->highest_bytes) tally->highest_bytes = tally->current_bytes;
  if (blocks > 0) tally->total[bin] += blocks;
  if (bytes <= 0) return;
  tally->total_bytes += bytes;
  if (bin == MI_BIN_HUGE) tally->huge_total += bytes;
}

static inline void note(tally_t* tally, const void* p, int made) {
  note_change(tally, bin_of(p), made, (int64_t)mi_usable_size(p) * made);
}

static inline void add(tally_t* sum, const tally_t* one) {
  for (size_t bin = 0; bin < BINS; bin++) {
    sum->total[bin] += one->total[bin];
    sum->current[bin] += one->current[bin];
  }
  sum->total_bytes += one->total_bytes;
  sum->current_bytes += one->current_bytes;
  sum->huge_total += one->huge_total;
  sum->huge_current += one->huge_current;
}

static inline void get(mi_stats_t* stats) {
  mi_stats_init(stats);
  assert_true(mi_stats_get(stats));
}

#define SAME(a, b, what, bin)                                                                             \
  if ((a) != (b)) fail_msg("%s of bin %zu: %lld, expected %lld", what, (size_t)(bin), (long long)(a), \
                           (long long)(b))

static inline void compare(const mi_stats_t* before, const mi_stats_t* after, const tally_t* tally) {
  int64_t blocks = 0, live = 0;
  for (size_t bin = 0; bin < BINS; bin++) {
    const mi_stat_count_t* const a = &after->malloc_bins[bin];
    const mi_stat_count_t* const b = &before->malloc_bins[bin];
    SAME(a->total - b->total, tally->total[bin], "total", bin);
    SAME(a->current - b->current, tally->current[bin], "current", bin);
    assert_true(a->peak >= a->current && a->total >= a->current);
    blocks += tally->total[bin];
    live += tally->current[bin];
  }
  SAME(after->malloc_count.total - before->malloc_count.total, blocks, "malloc_count", BINS);
  SAME(after->free_count.total - before->free_count.total, blocks - live, "free_count", BINS);
  SAME(after->allocated.total - before->allocated.total, tally->total_bytes, "allocated", BINS);
  SAME(after->allocated.current - before->allocated.current, tally->current_bytes, "live bytes", BINS);
  SAME(after->freed.total - before->freed.total, tally->total_bytes - tally->current_bytes, "freed", BINS);
  SAME(after->malloc_huge.total - before->malloc_huge.total, tally->huge_total, "huge", BINS);
  SAME(after->malloc_huge.current - before->malloc_huge.current, tally->huge_current, "live huge", BINS);
  SAME(after->malloc_normal.total - before->malloc_normal.total, tally->total_bytes - tally->huge_total,
       "normal", BINS);
  SAME(after->malloc_huge_count.total - before->malloc_huge_count.total, tally->total[MI_BIN_HUGE],
       "huge_count", BINS);
  SAME(after->malloc_normal_count.total + after->malloc_huge_count.total, after->malloc_count.total, "counts",
       BINS);
}

#endif
