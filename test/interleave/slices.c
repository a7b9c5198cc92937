/* SPDX-License-Identifier: MIT */
/* memory/: claiming, extending, releasing and purging slices.

   The window has one segment in these programs, of which setup leaves a few slices free; the OS double
   refuses to map more.  After every execution and at every claim: no slice has two owners; what the owner
   wrote is still there when it releases; what was claimed as zero is zero; every bit is back when all is
   released; no hint is missing where a search would need it. */
#include <stdlib.h>
#include <string.h>

#include "memory/counters.h"
#include "memory/purge.h"
#include "memory/segment.h"
#include "memory/slices.h"
#include "memory/summary.h"
#include "memory/window.h"
#include "os_still.h"
#include "scenario.h"

enum { FREE_SLICES = 4 };

static int owner[SEGMENT_SLICES];              /* of each slice: thread + 1 */
static claim_t pinned;                         /* the rest of the segment, claimed by setup */
static size_t first_free;                      /* the FREE_SLICES slices the programs fight for */
static atomic_u64_t waypoint[EXPLORE_THREADS]; /* scheduling points inside the life of a claim */
static claim_t kept[EXPLORE_THREADS];

static size_t slice_words(void) {
  return SLICE_SIZE / sizeof(uint64_t);
}

static void own(const claim_t* claim) {
  for (size_t s = claim->slice; s < claim->slice + claim->count; s++) {
    uint64_t* const words = window_address(s);
    expect(s < SEGMENT_SLICES && owner[s] == 0);
    owner[s] = explorer_thread() + 1;
    if (claim->zero) {
      for (size_t i = 0; i < slice_words(); i += 512) expect(words[i] == 0);
    }
    words[0] = words[512] = (uint64_t)explorer_thread() + 1;
  }
}

static void disown(const claim_t* claim) {
  for (size_t s = claim->slice; s < claim->slice + claim->count; s++) {
    const uint64_t* const words = window_address(s);
    expect(owner[s] == explorer_thread() + 1);
    expect(words[0] == (uint64_t)explorer_thread() + 1 && words[512] == words[0]);
    owner[s] = 0;
  }
}

static bool claim(size_t count, claim_t* out) {
  if (!slices_claim(count, SLICE_SIZE, out)) return false;
  expect(out->count == count);
  own(out);
  return true;
}

static void release(claim_t* c) {
  add_relaxed(&waypoint[explorer_thread()], 1);
  disown(c);
  slices_release(c->slice, c->count);
  c->count = 0;
}

/* ---- setups ---- */

static void small_window(void) {
  claim_t c;
  if (!window_init() || !slices_claim(1, SLICE_SIZE, &c)) abort();
  slices_release(c.slice, 1);
  if (window_segments() != 1) abort();
  if (!slices_claim(SEGMENT_SLICES - FREE_SLICES, SLICE_SIZE, &pinned) || pinned.slice != 0) abort();
  first_free = pinned.count;
  explorer_ignore(&memory_counters, sizeof(memory_counters));
  explorer_label(segment_word(0, WORD_FREE), 8, "free");
  explorer_label(segment_word(0, WORD_COMMITTED), 8, "committed");
  explorer_label(segment_word(0, WORD_ZERO), 8, "zero");
  explorer_label(segment_word(0, WORD_DIRTY_EVEN), 8, "dirty_even");
  explorer_label(segment_word(0, WORD_DIRTY_ODD), 8, "dirty_odd");
  explorer_label(segment_word(0, WORD_PURGED), 8, "purged");
  explorer_label(segment_word(0, WORD_STARTS), 8, "starts");
}

/* All free slices have been used: dirty, and not purged yet. */
static void dirty_window(void) {
  claim_t c;
  small_window();
  if (!slices_claim(FREE_SLICES, SLICE_SIZE, &c)) abort();
  for (size_t s = c.slice; s < c.slice + c.count; s++) memset(window_address(s), 0xAA, SLICE_SIZE);
  slices_release(c.slice, c.count);
}

/* A purge delay has passed: what was young has become old, and the next visit purges it. */
static void aged_window(void) {
  dirty_window();
  os_still_clock += 100000;
  purge_due();
  if (segment_dirty(0) == 0) abort();
}

/* Thread 0 holds the first free slice, thread 1 the third. */
static void held_window(void) {
  dirty_window();
  claim_t c;
  if (!slices_claim(FREE_SLICES, SLICE_SIZE, &c)) abort();
  for (int t = 0; t < 2; t++) {
    kept[t] = (claim_t){c.slice + 2 * (size_t)t, 1, false};
    owner[kept[t].slice] = t + 1;
    uint64_t* const words = window_address(kept[t].slice);
    words[0] = words[512] = (uint64_t)t + 1;
  }
  slices_release(c.slice + 1, 1);
  slices_release(c.slice + 3, 1);
}

/* ---- programs ---- */

static void claim_release(size_t count) {
  claim_t c;
  if (claim(count, &c)) release(&c);
}
static void one(void) {
  claim_release(1);
}
static void two(void) {
  claim_release(2);
}
static void three(void) {
  claim_release(3);
}
/* A claim may find nothing while others hold all free slices, be it only to purge them; then it grows the
   window, which the double refuses. */
static void keep_one(void) {
  if (!claim(1, &kept[explorer_thread()])) kept[explorer_thread()].count = 0;
}
static void keep_two_of_four(void) {
  if (!claim(2, &kept[explorer_thread()])) explorer_failed("two more slices were free", __FILE__, __LINE__);
}
static void release_kept(void) {
  release(&kept[explorer_thread()]);
}
static void extend_kept(void) { /* into the slice between the two that are held */
  claim_t* const mine = &kept[explorer_thread()];
  claim_t more;
  if (slices_extend(mine->slice, mine->count, 1, &more)) {
    expect(more.slice == mine->slice + 1 && more.count == 1);
    own(&more);
    mine->count++;
  }
  release(mine);
}
static void purge(void) {
  purge_all();
}
static void purge_aged(void) {
  os_still_clock += 100000;
  purge_due();
}

/* ---- what must hold ---- */

static void verify_hints(void) {
  for (unsigned kind = 0; kind < HINT_KINDS; kind++) {
    if (kind == HINT_STARTS || kind > HINT_STARTS) continue;
    if (summary_holds(kind, 0)) expect(summary_lowest(kind, 0) == 0);
  }
}

static void verify_free(void) {
  const uint64_t mine = bit_range((unsigned)first_free, FREE_SLICES);
  for (size_t s = 0; s < SEGMENT_SLICES; s++) expect(owner[s] == 0);
  expect(load_relaxed(segment_word(0, WORD_FREE)) == mine);
  expect((load_relaxed(segment_word(0, WORD_DIRTY_EVEN)) & load_relaxed(segment_word(0, WORD_DIRTY_ODD))) ==
         0);
  expect((load_relaxed(segment_word(0, WORD_ZERO)) & segment_dirty(0) & mine) == 0);
  verify_hints();
  expect(memory_stats().claimed == (SEGMENT_SLICES - FREE_SLICES) * (size_t)SLICE_SIZE);
  expect(memory_stats().dirty == (size_t)bit_count(segment_dirty(0) & mine) * SLICE_SIZE);
  claim_t all; /* nothing is lost: the whole run can be had */
  expect(slices_claim(FREE_SLICES, SLICE_SIZE, &all) && all.slice == first_free);
  for (size_t s = all.slice; all.zero && s < all.slice + all.count; s++) {
    const uint64_t* const words = window_address(s);
    for (size_t i = 0; i < slice_words(); i += 64) expect(words[i] == 0);
  }
}

static void verify_kept(void) {
  verify_hints();
  for (int t = 0; t < EXPLORE_THREADS; t++) {
    for (size_t s = kept[t].slice; s < kept[t].slice + kept[t].count; s++) {
      const uint64_t* const words = window_address(s);
      expect(owner[s] == t + 1 && words[0] == (uint64_t)t + 1);
      owner[s] = 0;
    }
    if (kept[t].count != 0) slices_release(kept[t].slice, kept[t].count);
  }
  verify_free();
}

/* The claimed slice apart, all that was old has gone. */
static void verify_aged(void) {
  expect(segment_dirty(0) == 0);
  verify_kept();
}

static const explore_t scenarios[] = {
    {"slices-claim-fresh",
     EXPLORE_REDUCED,
     2,
     0,
     0,
     small_window,
     {one, keep_two_of_four, NULL},
     verify_kept},
    {"slices-claim-dirty", EXPLORE_REDUCED, 2, 0, 0, dirty_window, {one, two, NULL}, verify_free},
    {"slices-contend", EXPLORE_REDUCED, 2, 0, 0, dirty_window, {two, three, NULL}, verify_free},
    {"slices-keep",
     EXPLORE_REDUCED,
     2,
     0,
     0,
     dirty_window,
     {keep_two_of_four, keep_two_of_four, NULL},
     verify_kept},
    {"slices-release",
     EXPLORE_REDUCED,
     2,
     0,
     0,
     held_window,
     {release_kept, release_kept, NULL},
     verify_free},
    {"slices-extend", EXPLORE_REDUCED, 2, 0, 0, held_window, {extend_kept, release_kept, NULL}, verify_free},
    {"slices-refute", EXPLORE_REDUCED, 2, 0, 0, held_window, {two, release_kept, NULL}, verify_kept},
    {"slices-purge", EXPLORE_REDUCED, 2, 0, 0, dirty_window, {purge, keep_one, NULL}, verify_kept},
    {"slices-purge-release", EXPLORE_REDUCED, 2, 0, 0, held_window, {release_kept, purge, NULL}, verify_kept},
    {"slices-purge-aged", EXPLORE_REDUCED, 2, 0, 0, aged_window, {purge_aged, keep_one, NULL}, verify_aged},
    {"slices-claim-3", EXPLORE_BOUNDED, 3, 2, 0, dirty_window, {one, keep_one, keep_one}, verify_kept},
    {"slices-purge-3", EXPLORE_BOUNDED, 3, 2, 0, dirty_window, {purge, keep_one, keep_one}, verify_kept},
};
SCENARIOS_MAIN(scenarios)
