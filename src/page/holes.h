/* SPDX-License-Identifier: MIT */
/* Holes: OS pages inside a page of blocks whose blocks are all free, and whose memory has been given back
   while other blocks of the page live.

   Bit i of `holes` in the table entry of each slice of the page tells of the slice's i-th OS page.  A carved
   block that overlaps a hole is free and on no list: its link and its mark went with the memory.  It comes
   back when the page has no other free block: page_refill fills the lowest hole, one at a time.

     listed --page_open_holes (giveback.c): taken off `free`, bit set; holes_drop: no memory--> holed
     holed  --page_fill_hole (holes.c): bit cleared; those that overlap no other hole--> listed

   Both are steps of the owner.  Others may ask whether a block is holed: a live block never is, since its
   hole was filled before it was handed out, so whoever was given it sees the bit cleared. */
#pragma once

#include "os/os.h"
#include "page/page.h"

enum { HOLES_PER_SLICE = 16 /* OS pages have 4 KiB at least */, HOLES_AT_ONCE = 160 };

/* Holes of several pages of one owner, whose memory is still to be given back. */
typedef struct holes_s {
  size_t count;
  struct iovec ranges[HOLES_AT_ONCE];
} holes_t;

/* Owner: make holes of the OS pages in which nothing lives; holes_drop gives their memory back, before
   anybody else may own the page and before it serves again. */
void page_open_holes(page_t* page, holes_t* holes);
size_t holes_drop(holes_t* holes); /* returns the bytes; there are none any more */

static inline unsigned os_page_shift(void) { return bit_lowest(os_page_size()); }

static inline atomic_u16_t* hole_word(const page_t* page, size_t os_page, unsigned shift) {
  return &((page_t*)((table_entry_t*)(uintptr_t)page + (os_page >> (SLICE_SHIFT - shift))))->holes;
}

static inline uint16_t hole_bit(size_t os_page, unsigned shift) {
  return (uint16_t)(1u << (os_page & ((1u << (SLICE_SHIFT - shift)) - 1)));
}

static inline bool is_hole(const page_t* page, size_t os_page, unsigned shift) {
  return (load_settled(hole_word(page, os_page, shift)) & hole_bit(os_page, shift)) != 0;
}

/* A hole that was one is none, or the other way round. */
static inline void flip_hole(page_t* page, size_t os_page, unsigned shift) {
  atomic_u16_t* const word = hole_word(page, os_page, shift);
  store_settled(word, (uint16_t)(load_settled(word) ^ hole_bit(os_page, shift)));
}

static inline size_t os_page_count(const page_t* page, unsigned shift) {
  return page->slices * ((size_t)SLICE_SIZE >> shift);
}

static inline bool index_is_holed(const page_t* page, size_t index, unsigned shift) {
  const size_t start = index * page->stride;
  const size_t last = (start + page->stride - 1u) >> shift;
  for (size_t i = start >> shift; i <= last; i++) {
    if (is_hole(page, i, shift)) return true;
  }
  return false;
}

/* The blocks that overlap an OS page; none: last < first. */
typedef struct blocks_s {
  size_t first, last;
} blocks_t;

static inline blocks_t blocks_of(const page_t* page, size_t os_page, unsigned shift) {
  const size_t start = os_page << shift;
  const size_t end = (os_page + 1) << shift;
  return (blocks_t){start / page->stride, min_size((end - 1) / page->stride, page->reserved - 1u)};
}
