/* SPDX-License-Identifier: MIT */
/* The window: the span of addresses that holds all blocks, and the table that describes it.

   A slice number is the distance from the window's base in slices; entry i of the table describes slice i.
   The window fills up from its base in extents.  `limit` only rises and stays above every slice that was ever
   handed out, so `address - base < limit` is the one test whether an address can be ours:
     W1  base and table are set before limit first leaves 0; before, base lies outside all user addresses, so
         that no address at all (NULL included) passes the test.
     W2  every segment below limit that is `ready` has its table entries mapped.  Those that are not ready lie
   in gaps that threads left behind while they placed extents; no valid pointer leads there. W3  the first
   word (the owner tag) of the entry of a slice that nobody claimed is zero. */
#pragma once

#include "base/atomics.h"
#include "base/compiler.h"
#include "base/config.h"

#define SLICE_NONE ((size_t)-1)

typedef struct table_entry_s {
  _Alignas(CACHE_LINE) uint64_t owner[15]; /* the page layer's */
  atomic_u64_t word; /* word k of the segment, in entry k of its 64 (memory/segment.h) */
} table_entry_t;

_Static_assert(sizeof(table_entry_t) == TABLE_ENTRY_SIZE, "one table entry per slice");

typedef struct window_s {
  _Alignas(CACHE_LINE) atomic_word_t base; /* address of slice 0 */
  _Atomic(size_t) limit;                   /* bytes above base that may be in use */
  _Atomic(table_entry_t*) table;           /* entry of slice 0 */
} window_t;

extern HIDDEN window_t window;

/* Choose the window's place.  Idempotent and lock-free; true when there is a window.
   False (no address space now) may become true later. */
bool window_init(void);

static inline table_entry_t* window_entry(size_t slice) { return load_settled(&window.table) + slice; }

static inline void* window_address(size_t slice) {
  return (char*)load_settled(&window.base) + (slice << SLICE_SHIFT);
}

/* The number that the slice of any address has, ours or not; below the base it is negative, modulo 2^64. */
static inline size_t window_slice_number(const void* p) {
  return (size_t)((intptr_t)((uintptr_t)p - load_settled(&window.base)) >> SLICE_SHIFT);
}

/* The slice that p points into, or SLICE_NONE when p is not in the window or in a gap of it. */
size_t window_slice_of(const void* p);

/* Is p in the window, or in memory that was adopted? */
bool window_knows(const void* p);

/* Segments below the limit; all numbers below are valid for window_segment_ready. */
size_t window_segments(void);

/* True when the segment's table entries may be read. */
bool window_segment_ready(size_t segment);

/* Segments [first, first + count), in the window and known to the table, reserved but not committed, and
   given to nobody else. */
typedef struct extent_s {
  size_t first;
  size_t count;
} extent_t;

/* Place an extent that contains `segments` adjacent segments, the first of them at an address that is a
   multiple of alignment (a power of two).  False: no address space, or the window is full; nothing has
   changed. */
bool window_grow(size_t segments, size_t alignment, extent_t* extent);

/* Memory of the program that lies outside of the window, adopted for good.  Slice numbers are the distance
   from the base as before, modulo 2^64, so its table entries have their place too, far from the others. */
typedef struct area_s {
  extent_t segments;
  struct area_s* next; /* const once adopted */
} area_t;

/* Map the table rows of the area and make its addresses known.  False: it touches the window, what the rows
   need is taken (memory adopted before is), or no memory. */
bool window_adopt(area_t* area);

/* A walk over all segments that may be ready, the window's first:
     span_t span = window_span();
     do { ... span.first <= segment < span.end ... } while (window_next_span(&span)); */
typedef struct span_s {
  size_t first, end;
  const area_t* next;
} span_t;
span_t window_span(void);
bool window_next_span(span_t* span);

/* How many segments from `segment` on to the next whose address is a multiple of alignment. */
size_t window_padding(size_t segment, size_t alignment);
