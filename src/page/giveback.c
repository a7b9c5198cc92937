/* SPDX-License-Identifier: MIT */
/* Making holes: what is free inside a page goes back to the OS (holes.h). */
#include "memory/arena.h"
#include "memory/counters.h"
#include "memory/hugepages.h"
#include "memory/purge.h"
#include "page/holes.h"

/* May the OS page become a hole: carved to its end, and every block of it is listed, or holed already? */
static bool is_free_throughout(const page_t* page, const page_look_t* look, size_t os_page, unsigned shift) {
  const blocks_t blocks = blocks_of(page, os_page, shift);
  if (blocks.last < blocks.first || blocks.last >= look->capacity || is_hole(page, os_page, shift))
    return false;
  for (size_t i = blocks.first; i <= blocks.last; i++) {
    if (!page_look_is_listed(look, i) && (page->holed == 0 || !index_is_holed(page, i, shift))) return false;
  }
  return true;
}

/* `free` anew, in address order, of what is listed and not holed. */
static void relist(page_t* page, const page_look_t* look, unsigned shift) {
  size_t before = 0;
  size_t after = 0;
  page->free = NULL;
  page->flags &= (uint8_t)~(PAGE_CARVED | PAGE_FRESH_ZERO);
  for (size_t i = look->capacity; i-- > 0;) {
    if (!page_look_is_listed(look, i)) continue;
    before++;
    if (index_is_holed(page, i, shift)) continue;
    block_t* const block = (block_t*)(void*)(look->start + i * look->stride);
    block_set_next(page, block, page->free);
    page->free = block;
    after++;
  }
  page_set_holed(page, page->holed + before - after);
  if (STATISTICS) page->filled -= before - after;
}

/* The OS pages that become holes. */
typedef struct fresh_s {
  uint64_t set[PAGE_SLICES_MAX * HOLES_PER_SLICE / 64];
} fresh_t;

static bool is_fresh(const fresh_t* fresh, size_t os_page) {
  return fresh->set[os_page / 64] >> (os_page % 64) & 1;
}

/* Their bits are set last: until then the test of a block knows the old holes only. */
static bool find_fresh(page_t* page, const page_look_t* look, unsigned shift, fresh_t* fresh) {
  const size_t count = os_page_count(page, shift);
  bool any = false;
  for (size_t i = 0; i < count; i++) {
    if (!is_free_throughout(page, look, i, shift)) continue;
    fresh->set[i / 64] |= UINT64_C(1) << (i % 64);
    any = true;
  }
  for (size_t i = 0; any && i < count; i++) {
    if (is_fresh(fresh, i)) flip_hole(page, i, shift);
  }
  return any;
}

size_t holes_drop(holes_t* holes) {
  const size_t bytes = os_purge_each(holes->ranges, holes->count); /* what is locked stays */
  figure_add(&memory_counters.purge_calls, holes->count > 0);
  counter_add(&memory_counters.purged, bytes);
  holes->count = 0;
  return bytes;
}

NOINLINE size_t page_make_holes(page_t* page) {
  holes_t holes;
  holes.count = 0;
  page_open_holes(page, &holes);
  return holes_drop(&holes);
}

void page_open_holes(page_t* page, holes_t* holes) {
  enum { RUNS_MAX = PAGE_SLICES_MAX * HOLES_PER_SLICE / 2 };
  _Static_assert(RUNS_MAX <= (int)HOLES_AT_ONCE, "the holes of any page fit");
  const unsigned shift = os_page_shift();
  fresh_t fresh = {{0}};
  page_look_t look;
  if (SECURE || is_in_arena(page_slice(page))) return;
  page_merge_lists(page);
  page_look_free(page, &look);
  if (!find_fresh(page, &look, shift, &fresh)) return;
  relist(page, &look, shift);
  check(page_is_valid(page));
  purge_note_holes(page_slice(page), page->slices);
  const size_t count = os_page_count(page, shift);
  memory_no_more_huge_pages(page_slice(page) / SEGMENT_SLICES);
  if (holes->count + RUNS_MAX > HOLES_AT_ONCE) holes_drop(holes);
  for (size_t i = 0, first; i < count; i++) {
    for (first = i; i < count && is_fresh(&fresh, i); i++) continue;
    if (i > first)
      holes->ranges[holes->count++] = (struct iovec){look.start + (first << shift), (i - first) << shift};
  }
}
