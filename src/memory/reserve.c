/* SPDX-License-Identifier: MIT */
#include "memory/reserve.h"

#include <errno.h>

#include "core/diagnostics.h"
#include "core/options.h"
#include "memory/slices.h"
#include "os/os.h"

enum { HUGE_SEGMENTS = 1 << (HUGE_PAGE_SHIFT - (int)SEGMENT_SHIFT), START_MS_PER_PAGE = 500 };

static void* address_of(size_t segment) { return window_address(segment * SEGMENT_SLICES); }

/* New segments become an arena, or what they would be without one. */
static arena_t* make_arena(extent_t segments, arena_spec_t spec) {
  arena_t* const arena = arena_new(segments, spec);
  if (arena != NULL) {
    arena_publish(arena);
    report_verbose("an arena of %zu MiB at %p", segments.count * (SEGMENT_SIZE / MiB),
                   address_of(segments.first));
  }
  slices_open(segments);
  return arena;
}

arena_t* reserve_memory(size_t size, unsigned how, uint32_t flags) {
  extent_t own;
  if (size == 0 || size > WINDOW_SLICES * SLICE_SIZE) return NULL;
  if (!slices_grow(div_up(size, SEGMENT_SIZE), SEGMENT_SIZE, &own)) return NULL;
  void* const address = address_of(own.first);
  const size_t bytes = own.count * SEGMENT_SIZE;
  flags |= ARENA_ZERO;
  if ((how & RESERVE_LARGE) != 0) {
    const int error = os_map_huge(address, bytes, LARGE_PAGE_SHIFT);
    if (error == ENOTRECOVERABLE) return NULL;
    if (error == 0) flags |= ARENA_PINNED | ARENA_COMMITTED;
  }
  if ((flags & ARENA_COMMITTED) == 0 && (how & RESERVE_COMMITTED) != 0) {
    if (os_commit(address, bytes) != 0) {
      slices_open(own);
      return NULL;
    }
    flags |= ARENA_COMMITTED;
  }
  return make_arena(own, (arena_spec_t){flags, NODE_ANY, NULL, NULL});
}

/* One huge page, or as much of smaller ones; an errno value. */
static int map_huge_page(void* address, int node) {
  int error = os_map_huge(address, GiB, HUGE_PAGE_SHIFT);
  if (error != 0 && error != ENOTRECOVERABLE) error = os_map_huge(address, GiB, LARGE_PAGE_SHIFT);
  if (error == 0 && node != NODE_ANY) os_prefer_node(address, GiB, (unsigned)node);
  return error;
}

arena_t* reserve_huge(size_t pages, int node, uint64_t time_ms, uint32_t flags) {
  const uint64_t start = os_now_ms();
  extent_t own;
  size_t have = 0;
  int error = 0;
  if (pages == 0 || pages > WINDOW_SEGMENTS / HUGE_SEGMENTS) return NULL;
  if (!slices_grow(pages * HUGE_SEGMENTS, GiB, &own)) return NULL;
  while (have < pages && (have == 0 || time_ms == 0 || os_now_ms() - start < time_ms)) {
    error = map_huge_page(address_of(own.first + have * HUGE_SEGMENTS), node);
    if (error != 0) break;
    have++;
  }
  const size_t lost = error == ENOTRECOVERABLE ? 1 : 0; /* addresses that are no longer ours */
  slices_open((extent_t){own.first + (have + lost) * HUGE_SEGMENTS, (pages - have - lost) * HUGE_SEGMENTS});
  if (have < pages) report_warning("%zu of %zu huge pages of 1 GiB could be reserved", have, pages);
  if (have == 0) return NULL;
  flags |= ARENA_PINNED | ARENA_COMMITTED | ARENA_ZERO;
  return make_arena((extent_t){own.first, have * HUGE_SEGMENTS}, (arena_spec_t){flags, node, NULL, NULL});
}

/* Nodes that count. */
static size_t node_count(void) {
  const long most = option_get(mi_option_use_numa_nodes);
  const size_t nodes = os_numa_nodes();
  return most > 0 ? min_size((size_t)most, nodes) : nodes;
}

int reserve_node(int node) { return node < 0 ? NODE_ANY : (int)((size_t)node % node_count()); }

size_t reserve_huge_interleaved(size_t pages, size_t nodes, uint64_t time_ms) {
  size_t have = 0;
  nodes = nodes == 0 ? node_count() : min_size(nodes, node_count());
  for (size_t node = 0; node < nodes; node++) {
    const size_t share = pages / nodes + (node < pages % nodes ? 1 : 0);
    const uint64_t time = time_ms == 0 ? 0 : time_ms / nodes + 1;
    const arena_t* const arena = reserve_huge(share, (int)node, time, 0);
    if (arena != NULL) have += arena->area.segments.count / HUGE_SEGMENTS;
  }
  return have;
}

arena_t* reserve_adopt(void* start, size_t size, arena_spec_t spec) {
  const uintptr_t from = (uintptr_t)start;
  if (start == NULL || size > ALLOC_SIZE_MAX || from > ALLOC_SIZE_MAX - SEGMENT_SIZE) return NULL;
  const uintptr_t first = align_up(from, SEGMENT_SIZE);
  const uintptr_t end = align_down(from + size, SEGMENT_SIZE);
  if (end <= first || !window_init()) return NULL;
  const extent_t segments = {window_slice_number((void*)first) / SEGMENT_SLICES,
                             (end - first) / SEGMENT_SIZE};
  spec.flags |= ARENA_OUTSIDE;
  arena_t* const arena = arena_new(segments, spec);
  if (arena == NULL || !window_adopt(&arena->area)) return NULL;
  segment_place(segments.first, segments.count);
  arena_publish(arena);
  slices_open(segments);
  return arena;
}

void reserve_at_start(void) {
  static atomic_u32_t done;
  if (load_relaxed(&done) != 0 || exchange_acq_rel(&done, 1u) != 0) return;
  const long pages = option_get(mi_option_reserve_huge_os_pages);
  const long at = option_get(mi_option_reserve_huge_os_pages_at);
  const long size = option_get(mi_option_reserve_os_memory);
  if (pages > 0) {
    const uint64_t time = (uint64_t)pages * START_MS_PER_PAGE;
    if (at >= 0) reserve_huge((size_t)pages, reserve_node((int)(at & INT32_MAX)), time, 0);
    else reserve_huge_interleaved((size_t)pages, 0, time);
  }
  if (size > 0) {
    const bool large = option_enabled(mi_option_allow_large_os_pages);
    const size_t bytes = (size_t)size > SIZE_MAX / KiB ? SIZE_MAX : (size_t)size * KiB;
    if (reserve_memory(bytes, RESERVE_COMMITTED | (large ? RESERVE_LARGE : 0), 0) == NULL)
      report_warning("reserve_os_memory: %ld KiB could not be reserved", size);
  }
}
