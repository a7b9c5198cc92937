/* SPDX-License-Identifier: MIT */
/* Holes: OS pages inside a page of blocks whose blocks are all free, and whose memory has been given back while
   other blocks of the page live.

   Bit i of `holes` in the table entry of each slice of the page tells of the slice's i-th OS page.  A carved
   block that overlaps a hole is free and on no list: its link and its mark went with the memory.  It comes
   back when the page has no other free block: page_refill fills the lowest hole, one at a time.

     listed --page_make_holes: taken off `free`, bit set, memory dropped--> holed
     holed  --page_fill_hole: bit cleared; those that overlap no other hole--> listed

   Both are steps of the owner.  Others may ask whether a block is holed: a live block never is, since its
   hole was filled before it was handed out, so whoever was given it sees the bit cleared. */
#include "memory/arena.h"
#include "memory/counters.h"
#include "memory/purge.h"
#include "os/os.h"
#include "page/page.h"

enum { HOLES_PER_SLICE = 16 }; /* OS pages have 4 KiB at least */

static unsigned os_page_shift(void) { return bit_lowest(os_page_size()); }

static atomic_u16_t* hole_word(const page_t* page, size_t os_page, unsigned shift) {
  return &((page_t*)((table_entry_t*)(uintptr_t)page + (os_page >> (SLICE_SHIFT - shift))))->holes;
}

static uint16_t hole_bit(size_t os_page, unsigned shift) {
  return (uint16_t)(1u << (os_page & ((1u << (SLICE_SHIFT - shift)) - 1)));
}

static bool is_hole(const page_t* page, size_t os_page, unsigned shift) {
  return (load_settled(hole_word(page, os_page, shift)) & hole_bit(os_page, shift)) != 0;
}

/* A hole that was one is none, or the other way round. */
static void flip_hole(page_t* page, size_t os_page, unsigned shift) {
  atomic_u16_t* const word = hole_word(page, os_page, shift);
  store_settled(word, (uint16_t)(load_settled(word) ^ hole_bit(os_page, shift)));
}

static size_t os_page_count(const page_t* page, unsigned shift) {
  return page->slices * ((size_t)SLICE_SIZE >> shift);
}

void page_forget_holes(page_t* page) {
  page->holed = 0;
  for (size_t i = 0; i < page->slices; i++) store_settled(&page_at(page_slice(page) + i)->holes, (uint16_t)0);
}

static bool index_is_holed(const page_t* page, size_t index, unsigned shift) {
  const size_t start = index * page->stride;
  const size_t last = (start + page->stride - 1u) >> shift;
  for (size_t i = start >> shift; i <= last; i++) {
    if (is_hole(page, i, shift)) return true;
  }
  return false;
}

size_t page_count_holed(const page_t* page) {
  const unsigned shift = os_page_shift();
  size_t count = 0;
  for (size_t i = 0; i < page_capacity(page); i++) count += index_is_holed(page, i, shift) ? 1 : 0;
  return count;
}

bool page_block_is_holed(const page_t* page, const void* block) {
  if (__atomic_load_n(&page->holed, __ATOMIC_RELAXED) == 0 || page->slices == 0) return false;
  const size_t index = (size_t)((const char*)block - page_start(page)) / page->stride;
  return index < page->reserved && index_is_holed(page, index, os_page_shift());
}

/* The blocks that overlap an OS page; none: last < first. */
typedef struct blocks_s {
  size_t first, last;
} blocks_t;

static blocks_t blocks_of(const page_t* page, size_t os_page, unsigned shift) {
  const size_t start = os_page << shift;
  const size_t end = (os_page + 1) << shift;
  return (blocks_t){start / page->stride, min_size((end - 1) / page->stride, page->reserved - 1u)};
}

/* May the OS page become a hole: carved to its end, and every block of it is listed, or holed already? */
static bool is_free_throughout(const page_t* page, const page_look_t* look, size_t os_page, unsigned shift) {
  const blocks_t blocks = blocks_of(page, os_page, shift);
  if (blocks.last < blocks.first || blocks.last >= look->capacity || is_hole(page, os_page, shift)) return false;
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
  page->holed = (uint16_t)(page->holed + before - after);
  page->filled -= before - after;
}

static size_t drop_memory(page_t* page, size_t first, size_t end, unsigned shift) {
  const size_t size = (end - first) << shift;
  counter_add(&memory_counters.purge_calls, 1);
  if (os_purge(page_start(page) + (first << shift), size) != 0) return 0; /* locked: holes all the same */
  counter_add(&memory_counters.purged, size);
  return size;
}

/* The OS pages that become holes. */
typedef struct fresh_s {
  uint64_t set[PAGE_SLICES_MAX * HOLES_PER_SLICE / 64];
} fresh_t;

static bool is_fresh(const fresh_t* fresh, size_t os_page) { return fresh->set[os_page / 64] >> (os_page % 64) & 1; }

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

size_t page_make_holes(page_t* page) {
  const unsigned shift = os_page_shift();
  fresh_t fresh = {{0}};
  page_look_t look;
  size_t bytes = 0;
  if (page->bin == BIN_TINY || segment_arena(page_slice(page) / SEGMENT_SLICES) != NULL) return 0;
  page_merge_lists(page);
  page_look_free(page, &look);
  if (!find_fresh(page, &look, shift, &fresh)) return 0;
  relist(page, &look, shift);
  check(page_is_valid(page));
  purge_note_holes(page_slice(page), page->slices);
  const size_t count = os_page_count(page, shift);
  for (size_t i = 0, first; i < count; i++) {
    for (first = i; i < count && is_fresh(&fresh, i); i++) continue;
    if (i > first) bytes += drop_memory(page, first, i, shift);
  }
  return bytes;
}

/* The blocks of a hole that has been filled, as far as they are in no other one, become `free`; how many. */
static size_t list_blocks(page_t* page, blocks_t blocks, unsigned shift) {
  size_t count = 0;
  for (size_t i = blocks.last + 1; i-- > blocks.first;) {
    if (index_is_holed(page, i, shift)) continue;
    block_t* const block = (block_t*)(void*)(page_start(page) + i * page->stride);
    block_set_mark(page, block);
    block_set_next(page, block, page->free);
    page->free = block;
    count++;
  }
  return count;
}

bool page_fill_hole(page_t* page) {
  const unsigned shift = os_page_shift();
  if (page->holed == 0) return false;
  check(page->free == NULL);
  purge_regret_holes(page_slice(page), page->slices);
  for (size_t i = 0; page->free == NULL; i++) {
    if (!is_hole(page, i, shift)) continue;
    flip_hole(page, i, shift);
    const size_t count = list_blocks(page, blocks_of(page, i, shift), shift);
    page->holed = (uint16_t)(page->holed - count);
    page_note_reused(page, count);
  }
  return true;
}
