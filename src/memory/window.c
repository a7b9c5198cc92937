/* SPDX-License-Identifier: MIT */
/* Placing the window and its extents.

   Two kinds of window.  PLACED: a random base in the middle of the address space, extents and table pieces
   are mapped one by one at their addresses, so that the process reserves little more than it uses.  RESERVED:
   where the kernel (or a sanitizer, or an emulator) does not place as asked, one reservation holds the table
   and after it the window; extents are there already, table pieces are committed.

   Protocol of init:  origin 0 --CAS--> origin | log2(size)       all other fields derive from this one word,
   and any thread that finds it set writes them (the same values), so that nobody waits for the winner.

   Protocol of growing, states of a segment:
     unplaced --place(): the kernel maps the range for one thread only--> placed, rows unmapped
     placed   --rows mapped; failure: unmap, back to unplaced-->          rows mapped
     rows mapped --mark_ready()-->                                        ready, and below the limit
   PLACED windows need no claim of their own: the mapping that does not replace another one is the claim, and
   what fails leaves nothing behind.  `frontier`, the segment to try next, is then only a hint that rises.  In
   a RESERVED window moving the frontier by CAS is the claim; rows are committed before, which is idempotent.
   A foreign mapping in the way, or a thread stopped between its mapping and the frontier, costs a skip: the
   next try is further up, doubling, a constant number of times. */
#include "memory/window.h"

#include <errno.h>

#include "base/bits.h"
#include "base/track.h"
#include "core/diagnostics.h"
#include "core/options.h"
#include "memory/counters.h"
#include "os/os.h"

enum {
  BASE_TRIES = 8,
  SKIP_TRIES = 12,         /* 4 MiB doubled 12 times: 16 GiB of foreign mappings are passed over */
  SHIFT_PLACED = 0,        /* origin's low bits in a PLACED window; else log2 of the size */
  SHIFT_RESERVED_MAX = 36, /* 64 GiB */
  SHIFT_RESERVED_MIN = 25, /* 32 MiB */
  ORIGIN_SHIFT_MASK = 63,
};

/* 2^16 places, 1 GiB apart; clear of the executable, of mmap's area, and of the sanitizers' shadows. */
#define BASE_LOWEST        ((uintptr_t)18 << 40)
#define BASE_STEP          GiB
#define BASE_CHOICES       ((uintptr_t)1 << 16)
#define TABLE_DISTANCE     (4 * GiB)
#define SEGMENT_TABLE_SIZE ((size_t)SEGMENT_SLICES * TABLE_ENTRY_SIZE)

/* User addresses are below 2^63: before init no address is near the base (W1). */
window_t window = {.base = (uintptr_t)1 << 63};

static atomic_word_t origin;                     /* 0, or base | log2(size of a RESERVED window) */
static _Atomic(size_t) frontier;                 /* segments below were tried or taken */
static atomic_u64_t ready[WINDOW_SEGMENTS / 64]; /* a set of segments */

_Static_assert(TABLE_DISTANCE >= WINDOW_SEGMENTS * SEGMENT_TABLE_SIZE, "the table ends below the base");
_Static_assert((size_t)SEGMENT_SIZE > (size_t)ORIGIN_SHIFT_MASK, "the base has room for the shift");

static bool is_placed(uintptr_t from) { return (from & ORIGIN_SHIFT_MASK) == SHIFT_PLACED; }
static uintptr_t base_of(uintptr_t from) { return from & ~(uintptr_t)ORIGIN_SHIFT_MASK; }

static uintptr_t table_of(uintptr_t from) {
  if (is_placed(from)) return base_of(from) - TABLE_DISTANCE;
  const size_t segments = ((size_t)1 << (from & ORIGIN_SHIFT_MASK)) >> SEGMENT_SHIFT;
  return base_of(from) - align_up(segments * SEGMENT_TABLE_SIZE, SEGMENT_SIZE);
}

/* Segments that this window can ever hold. */
static size_t capacity(uintptr_t from) {
  return is_placed(from) ? WINDOW_SEGMENTS : ((size_t)1 << (from & ORIGIN_SHIFT_MASK)) >> SEGMENT_SHIFT;
}

/* Segments whose rows fill whole OS pages. */
static size_t granule(void) { return max_size(1, os_page_size() / SEGMENT_TABLE_SIZE); }

/* ---- init ---- */

/* Can mappings be placed at this base and its table?  What was mapped to find out is taken back, so that
   threads that lose the race for the origin have nothing to undo. */
static bool base_is_usable(uintptr_t base) {
  const size_t extent = granule() * SEGMENT_SIZE;
  const size_t rows = granule() * SEGMENT_TABLE_SIZE;
  if (os_reserve_at((void*)base, extent) != 0) return false;
  os_unmap((void*)base, extent);
  if (os_map_at((void*)(base - TABLE_DISTANCE), rows) != 0) return false;
  os_unmap((void*)(base - TABLE_DISTANCE), rows);
  return true;
}

static uintptr_t choose_placed(void) {
  for (int i = 0; i < BASE_TRIES; i++) {
    const uintptr_t base = BASE_LOWEST + (uintptr_t)(os_random() % BASE_CHOICES) * BASE_STEP;
    if (base_is_usable(base)) return base | SHIFT_PLACED;
  }
  return 0;
}

/* Give back a RESERVED window that lost the race. */
static void discard_reserved(uintptr_t from) {
  const uintptr_t table = table_of(from);
  os_unmap((void*)table, base_of(from) + capacity(from) * SEGMENT_SIZE - table);
}

static uintptr_t choose_reserved(void) {
  for (uintptr_t shift = SHIFT_RESERVED_MAX; shift >= SHIFT_RESERVED_MIN; shift--) {
    const size_t size = (size_t)1 << shift;
    const size_t table = align_up((size >> SLICE_SHIFT) * TABLE_ENTRY_SIZE, SEGMENT_SIZE);
    char* const start = os_reserve(table + size, SEGMENT_SIZE);
    if (start != NULL) return ((uintptr_t)start + table) | shift;
  }
  return 0;
}

COLD static bool window_choose(void) {
  uintptr_t mine = choose_placed();
  if (mine == 0) mine = choose_reserved();
  uintptr_t theirs = 0;
  if (mine != 0 && !cas_strong_acq_rel(&origin, &theirs, mine) && !is_placed(mine)) discard_reserved(mine);
  return mine != 0 || load_relaxed(&origin) != 0;
}

bool window_init(void) {
  if (load_relaxed(&origin) == 0 && !window_choose()) return false;
  const uintptr_t from = load_relaxed(&origin);
  if (load_relaxed(&window.base) != base_of(from)) {
    store_relaxed(&window.table, (table_entry_t*)table_of(from));
    /* release: who sees the base sees the table.  The limit rises later, from this thread or by another that
       wrote both itself (W1). */
    store_release(&window.base, base_of(from));
  }
  return true;
}

/* ---- growing ---- */

size_t window_padding(size_t segment, size_t alignment) {
  const uintptr_t address = load_relaxed(&window.base) + segment * SEGMENT_SIZE;
  return (align_up(address, max_size(alignment, SEGMENT_SIZE)) - address) / SEGMENT_SIZE;
}

static void* segment_address(size_t segment) { return window_address(segment * SEGMENT_SLICES); }
static void* rows_address(size_t segment) { return window_entry(segment * SEGMENT_SLICES); }

static int map_rows(uintptr_t from, size_t first, size_t count) {
  void* const rows = rows_address(first);
  const size_t size = count * SEGMENT_TABLE_SIZE;
  figure_add(&memory_counters.map_calls, 1);
  return is_placed(from) ? os_map_at(rows, size) : os_commit(rows, size);
}

/* Reserve the segments and map their rows; all or nothing.  0 or an errno value. */
static int place(uintptr_t from, size_t first, size_t count) {
  void* const address = segment_address(first);
  const size_t size = count * SEGMENT_SIZE;
  int error = 0;
  if (is_placed(from)) {
    figure_add(&memory_counters.map_calls, 1);
    error = os_reserve_at(address, size);
    if (error != 0) return error;
  }
  error = map_rows(from, first, count);
  if (error != 0 && is_placed(from)) os_unmap(address, size);
  if (error == 0) track_root(address, size);
  if (error == 0) os_no_huge_pages(address, size); /* until somebody claims it: memory/slices.c */
  return error;
}

/* The rows of the segments are mapped: let everybody read them. */
static void mark_ready(size_t first, size_t count) {
  for (size_t s = first; s < first + count; s++) {
    /* release: the mapping is there before the bit is seen (load_acquire in window_segment_ready). */
    or_acq_rel(&ready[s / 64], UINT64_C(1) << (s % 64));
  }
  figure_add(&memory_counters.metadata, count * SEGMENT_TABLE_SIZE);
  const size_t end = (first + count) * SEGMENT_SIZE;
  size_t limit = load_relaxed(&window.limit);
  /* Raised before any slice of the range is handed out: whoever is passed such a pointer sees this limit. */
  while (limit < end && !cas_weak_acq_rel(&window.limit, &limit, end)) continue;
}

/* Raise the frontier from `seen` to end.  False: another thread has it (RESERVED windows only). */
static bool move_frontier(uintptr_t from, size_t seen, size_t end) {
  if (!is_placed(from)) return cas_strong_acq_rel(&frontier, &seen, end);
  while (seen < end && !cas_weak_acq_rel(&frontier, &seen, end)) continue;
  return true;
}

/* Skipped segments get rows where they can, so that a foreign pointer into them reads zero entries. */
static void fill_gap(uintptr_t from, size_t first, size_t end) {
  for (size_t s = align_up(first, granule()); s < end; s += granule()) {
    if (map_rows(from, s, granule()) == 0) mark_ready(s, granule());
  }
}

static size_t usual_extent(size_t at) {
  const size_t limit = min_size(mi_option_get_size(mi_option_arena_reserve), WINDOW_SEGMENTS * SEGMENT_SIZE);
  const size_t most = div_up(limit, SEGMENT_SIZE);
  size_t size = option_chosen(mi_option_arena_reserve) ? most : 1;
  while (size < most && size < at) size *= 2; /* 1, 1, 2, 4, 8, 16, 16, ... : half of what there will be */
  return align_up(max_size(size, 1), granule());
}

bool window_grow(size_t segments, size_t alignment, extent_t* extent) {
  if (!window_init()) return false;
  const uintptr_t from = load_relaxed(&origin);
  size_t seen = load_relaxed(&frontier);
  size_t most = WINDOW_SEGMENTS;
  size_t skip = 0;
  int skips = 0;
  for (;;) {
    const size_t at = seen + skip;
    if (at >= capacity(from) || segments > capacity(from) - at) return false;
    const size_t need = align_up(window_padding(at, alignment) + segments, granule());
    if (need > capacity(from) - at) return false;
    const size_t count = max_size(need, min_size(min_size(usual_extent(at), most), capacity(from) - at));
    const int error = place(from, at, count);
    if (error == 0 && move_frontier(from, seen, at + count)) {
      *extent = (extent_t){at, count};
      break;
    }
    const size_t now = load_relaxed(&frontier);
    if (error == EEXIST && now == seen) {
      if (++skips > SKIP_TRIES) return false;
      skip = align_up(skip * 2 + 1, granule());
    } else if (error != 0 && error != EEXIST) {
      if (count == need) return false;
      most = align_up(count / 2, granule()); /* a limit: ask for less */
    } else {
      skip = 0; /* somebody else grew the window: from there */
    }
    seen = now;
  }
  mark_ready(extent->first, extent->count);
  report_verbose("%zu MiB of addresses reserved at %p", extent->count * (SEGMENT_SIZE / MiB),
                 segment_address(extent->first));
  if (skip > 0) fill_gap(from, seen, extent->first);
  return true;
}

/* ---- memory outside of the window ---- */

static _Atomic(area_t*) areas;

static bool touches_window(uintptr_t from, uintptr_t start, uintptr_t end) {
  return start < base_of(from) + capacity(from) * SEGMENT_SIZE && end > table_of(from);
}

bool window_adopt(area_t* area) {
  if (!window_init()) return false;
  const uintptr_t from = load_relaxed(&origin);
  const size_t first = area->segments.first;
  const size_t count = area->segments.count;
  const uintptr_t start = (uintptr_t)segment_address(first);
  const uintptr_t end = start + count * SEGMENT_SIZE;
  if (touches_window(from, start, end) || end > (uintptr_t)1 << ADDRESS_SHIFT) return false;
  const uintptr_t rows = align_down((uintptr_t)rows_address(first), os_page_size());
  const uintptr_t rows_end = align_up((uintptr_t)rows_address(first + count), os_page_size());
  figure_add(&memory_counters.map_calls, 1);
  /* The rows' mapping, which replaces none, is the claim. */
  if (os_map_at((void*)rows, rows_end - rows) != 0) return false;
  figure_add(&memory_counters.metadata, rows_end - rows);
  area_t* head = load_relaxed(&areas);
  do {
    area->next = head;
  } while (!cas_weak_acq_rel(&areas, &head, area)); /* release: the rows are mapped before it is seen */
  return true;
}

static bool is_adopted(size_t segment) {
  for (const area_t* a = load_acquire(&areas); a != NULL; a = a->next) {
    if (segment - a->segments.first < a->segments.count) return true;
  }
  return false;
}

span_t window_span(void) { return (span_t){0, window_segments(), load_acquire(&areas)}; }

bool window_next_span(span_t* span) {
  const area_t* const area = span->next;
  if (area == NULL) return false;
  *span = (span_t){area->segments.first, area->segments.first + area->segments.count, area->next};
  return true;
}

/* ---- looking up ---- */

size_t window_segments(void) { return load_relaxed(&window.limit) >> SEGMENT_SHIFT; }

bool window_segment_ready(size_t segment) {
  if (segment < WINDOW_SEGMENTS && (load_acquire(&ready[segment / 64]) >> (segment % 64) & 1) != 0)
    return true;
  return is_adopted(segment);
}

size_t window_slice_of(const void* p) {
  const size_t offset = (uintptr_t)p - load_relaxed(&window.base);
  const size_t slice = window_slice_number(p);
  const size_t segment = slice / SEGMENT_SLICES;
  if (offset >= load_relaxed(&window.limit)) return is_adopted(segment) ? slice : SLICE_NONE;
  return window_segment_ready(segment) ? slice : SLICE_NONE;
}

bool window_knows(const void* p) {
  return (uintptr_t)p - load_relaxed(&window.base) < load_relaxed(&window.limit) ||
         window_slice_of(p) != SLICE_NONE;
}
