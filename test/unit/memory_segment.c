/* SPDX-License-Identifier: MIT */
/* Claims of runs inside a segment, and the summary tree, against the obvious slow versions. */
#include "unit/memory_support.h"

#include <sys/mman.h>

/* A table for the whole window, without a window: segment words and hints need nothing else. */
static void make_table(void) {
  void* const table = mmap(NULL, WINDOW_SLICES * sizeof(table_entry_t), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  must(table != MAP_FAILED);
  window.table = table;
}

static unsigned slow_lowest_run(uint64_t set, run_t run) {
  for (unsigned first = 0; first + run.count <= 64; first += run.stride) {
    unsigned have = 0;
    while (have < run.count && (set >> (first + have) & 1) != 0) have++;
    if (have == run.count) return first;
  }
  return NO_RUN;
}

static void try_run(uint64_t free, uint64_t dirty, run_t run) {
  *segment_word(0, WORD_FREE) = free;
  *segment_word(0, WORD_DIRTY_EVEN) = dirty & 0x5555555555555555;
  *segment_word(0, WORD_DIRTY_ODD) = dirty & 0xaaaaaaaaaaaaaaaa;
  for (claim_kind_t kind = CLAIM_DIRTY; kind <= CLAIM_ANY; kind++) {
    const uint64_t set = kind == CLAIM_DIRTY ? free & dirty : free;
    const unsigned expected = slow_lowest_run(set, run);
    must(segment_claim_run(0, run, kind) == expected);
    const uint64_t taken = expected == NO_RUN ? 0 : bit_range(expected, run.count);
    must(*segment_word(0, WORD_FREE) == (free & ~taken));
    if (taken != 0) segment_release(0, taken);
    must(*segment_word(0, WORD_FREE) == free);
  }
}

static void runs_body(void) {
  make_table();
  for (uint64_t small = 0; small < 1 << 10; small++) { /* all sets of ten slices, at both ends of the word */
    for (unsigned count = 1; count <= 11; count++) {
      for (unsigned stride = 1; stride <= 16; stride *= 2) {
        try_run(small, small & 0x2db, (run_t){count, stride});
        try_run(small << 54, ~UINT64_C(0), (run_t){count, stride});
      }
    }
  }
  uint64_t seed = 1;
  for (int i = 0; i < 30000; i++) {
    uint64_t set = next_random(&seed) | next_random(&seed);
    if (i % 3 == 0) set |= next_random(&seed) | next_random(&seed);
    if (i % 100 == 0) set = ALL_SLICES;
    const unsigned count = 1 + (unsigned)(next_random(&seed) % (i % 2 == 0 ? 64 : 8));
    try_run(set, set & ~next_random(&seed), (run_t){count, 1u << i % 7});
  }
}

/* Every walk over a range visits each slice once, in order. */
static void pieces_body(void) {
  for (size_t first = 0; first < 130; first++) {
    for (size_t end = first; end < 260; end++) {
      size_t at = first;
      for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
        for (; at < end && at / 64 == p.segment; at++) must((p.bits >> at % 64 & 1) != 0);
        must(at == end || at % 64 == 0);
        must(bit_count(p.bits) == p.next - max_size(first, p.segment * 64));
      }
      must(at == end);
    }
  }
}

/* Random sets of hints, sparse and dense, near and far, true and false. */
static void summary_body(void) {
  enum { SPOTS = 400 };
  static size_t spots[SPOTS];
  static bool so[SPOTS];   /* the segment deserves its hint */
  static bool hint[SPOTS]; /* and has one */
  make_table();
  uint64_t seed = 7;
  for (size_t i = 0; i < SPOTS;
       i++) { /* ascending: dense at first, then over the whole window, the last one too */
    spots[i] =
        i < SPOTS / 2 ? i : spots[i - 1] + 1 + next_random(&seed) % (2 * WINDOW_SEGMENTS / SPOTS - 400);
  }
  spots[SPOTS - 1] = WINDOW_SEGMENTS - 1;
  for (int step = 0; step < 30000; step++) {
    const size_t i = next_random(&seed) % SPOTS;
    const size_t from =
        step % 3 == 0 ? next_random(&seed) % WINDOW_SEGMENTS : spots[next_random(&seed) % SPOTS];
    switch (next_random(&seed) % 4) {
    case 0:
      so[i] = hint[i] = true;
      *segment_word(spots[i], WORD_STARTS) = 1;
      summary_set(HINT_STARTS, spots[i]);
      break;
    case 1:
      so[i] = false;
      *segment_word(spots[i], WORD_STARTS) = 0;
      break;
    case 2:
      hint[i] = hint[i] && so[i];
      if (!so[i]) summary_refute(HINT_STARTS, spots[i]);
      break;
    default:
      if (hint[i]) summary_refute(HINT_STARTS, spots[i]); /* a true hint survives an attempt */
      hint[i] = hint[i] && so[i];
      break;
    }
    size_t above = SLICE_NONE;
    size_t below = SLICE_NONE;
    bool any = false;
    for (size_t k = 0; k < SPOTS; k++) {
      any |= hint[k];
      if (hint[k] && spots[k] <= from) below = spots[k];
      if (hint[k] && spots[k] >= from && above == SLICE_NONE) above = spots[k];
    }
    must(summary_lowest(HINT_STARTS, from) == above);
    must(summary_highest(HINT_STARTS, from) == below);
    must(summary_any(HINT_STARTS) == any);
    must(!summary_any(HINT_RUN) && summary_lowest(HINT_RUN, 0) == SLICE_NONE);
  }
}

/* A segment gets exactly the hints of the runs it has. */
static void levels_body(void) {
  make_table();
  uint64_t seed = 3;
  for (size_t s = 0; s < 20000; s++) {
    uint64_t free = next_random(&seed);
    for (int dense = (int)(next_random(&seed) % 6); dense > 0; dense--) free |= next_random(&seed);
    const uint64_t dirty = next_random(&seed) | next_random(&seed) | next_random(&seed);
    *segment_word(s, WORD_FREE) = free;
    *segment_word(s, WORD_DIRTY_ODD) = dirty;
    summary_publish(s);
    for (unsigned k = 0; k < RUN_LEVELS; k++) {
      const bool run = slow_lowest_run(free, (run_t){1u << k, 1}) != NO_RUN;
      const bool dirty_run = slow_lowest_run(free & dirty, (run_t){1u << k, 1}) != NO_RUN;
      must(summary_holds(HINT_RUN + k, s) == run);
      must((summary_lowest(HINT_RUN + k, s) == s) == run);
      must((summary_lowest(HINT_DIRTY + k, s) == s) == dirty_run);
    }
  }
}

static void runs_match_the_slow_search(void** unused) {
  UNUSED(unused);
  in_child(runs_body);
}
static void pieces_cover_a_range(void** unused) {
  UNUSED(unused);
  in_child(pieces_body);
}
static void summary_matches_the_slow_search(void** unused) {
  UNUSED(unused);
  in_child(summary_body);
}
static void hints_match_the_runs(void** unused) {
  UNUSED(unused);
  in_child(levels_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs_match_the_slow_search),
      cmocka_unit_test(pieces_cover_a_range),
      cmocka_unit_test(summary_matches_the_slow_search),
      cmocka_unit_test(hints_match_the_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
