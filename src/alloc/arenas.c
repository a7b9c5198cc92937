/* SPDX-License-Identifier: MIT */
/* Arenas as programs see them. */
#include <errno.h>

#include "alloc/alloc.h"
#include "core/diagnostics.h"
#include "memory/counters.h"
#include "memory/purge.h"
#include "memory/reserve.h"

static arena_t* arena_of(mi_arena_id_t id) {
  arena_t* arena = id != NULL ? arena_newest() : NULL;
  while (arena != NULL && arena != id) arena = arena->next;
  return arena;
}

static void* arena_start(const arena_t* arena) {
  return window_address(arena->area.segments.first * SEGMENT_SLICES);
}
static size_t arena_size(const arena_t* arena) { return arena->area.segments.count * SEGMENT_SIZE; }

/* Hand out the id; was an arena made? */
static bool give_arena(arena_t* arena, mi_arena_id_t* id) {
  if (id != NULL) *id = arena;
  return arena != NULL;
}

/* ---- making arenas ---- */

EXPORT int mi_reserve_os_memory_ex(size_t size, bool commit, bool allow_large, bool exclusive,
                                   mi_arena_id_t* arena_id) {
  const unsigned how = (allow_large ? RESERVE_LARGE : 0u) | (commit ? RESERVE_COMMITTED : 0u);
  return give_arena(reserve_memory(size, how, exclusive ? ARENA_EXCLUSIVE : 0), arena_id) ? 0 : ENOMEM;
}

EXPORT int mi_reserve_os_memory(size_t size, bool commit, bool allow_large) {
  return mi_reserve_os_memory_ex(size, commit, allow_large, false, NULL);
}

EXPORT bool mi_manage_memory(void* start, size_t size, bool is_committed, bool is_pinned, bool is_zero,
                             int numa_node, bool exclusive, mi_commit_fun_t* commit_fun, void* commit_fun_arg,
                             mi_arena_id_t* arena_id) {
  const uint32_t flags = (is_committed ? (uint32_t)ARENA_COMMITTED : 0) | (is_pinned ? ARENA_PINNED : 0) |
                         (is_zero ? ARENA_ZERO : 0) | (exclusive ? ARENA_EXCLUSIVE : 0);
  const arena_spec_t spec = {flags, reserve_node(numa_node), commit_fun, commit_fun_arg};
  const bool made = give_arena(reserve_adopt(start, size, spec), arena_id);
  if (!made) report_warning("manage_memory: %zu bytes at %p cannot be an arena", size, start);
  return made;
}

EXPORT bool mi_manage_os_memory_ex(void* start, size_t size, bool is_committed, bool is_pinned, bool is_zero,
                                   int numa_node, bool exclusive, mi_arena_id_t* arena_id) {
  return mi_manage_memory(start, size, is_committed, is_pinned, is_zero, numa_node, exclusive, NULL, NULL,
                          arena_id);
}

EXPORT bool mi_manage_os_memory(void* start, size_t size, bool is_committed, bool is_pinned, bool is_zero,
                                int numa_node) {
  return mi_manage_os_memory_ex(start, size, is_committed, is_pinned, is_zero, numa_node, false, NULL);
}

EXPORT int mi_reserve_huge_os_pages_at_ex(size_t pages, int numa_node, size_t timeout_msecs, bool exclusive,
                                          mi_arena_id_t* arena_id) {
  const uint32_t flags = exclusive ? ARENA_EXCLUSIVE : 0;
  arena_t* const arena = reserve_huge(pages, reserve_node(numa_node), timeout_msecs, flags);
  return give_arena(arena, arena_id) || pages == 0 ? 0 : ENOMEM;
}

EXPORT int mi_reserve_huge_os_pages_at(size_t pages, int numa_node, size_t timeout_msecs) {
  return mi_reserve_huge_os_pages_at_ex(pages, numa_node, timeout_msecs, false, NULL);
}

EXPORT int mi_reserve_huge_os_pages_interleave(size_t pages, size_t numa_nodes, size_t timeout_msecs) {
  return reserve_huge_interleaved(pages, numa_nodes, timeout_msecs) > 0 || pages == 0 ? 0 : ENOMEM;
}

EXPORT int mi_reserve_huge_os_pages(size_t pages, double max_secs, size_t* pages_reserved) {
  const double most = 1e9; /* 30 years, and NaN too */
  const double seconds = max_secs > 0 && max_secs < most ? max_secs : max_secs > 0 ? most : 0;
  const size_t have = reserve_huge_interleaved(pages, 0, (uint64_t)(seconds * 1000));
  if (pages_reserved != NULL) *pages_reserved = have;
  return have > 0 || pages == 0 ? 0 : ENOMEM;
}

/* ---- asking ---- */

EXPORT void* mi_arena_area(mi_arena_id_t arena_id, size_t* size) {
  const arena_t* const arena = arena_of(arena_id);
  if (size != NULL) *size = arena != NULL ? arena_size(arena) : 0;
  return arena != NULL ? arena_start(arena) : NULL;
}

EXPORT bool mi_arena_contains(mi_arena_id_t arena_id, const void* p) {
  const size_t slice = window_slice_of(p);
  return slice != SLICE_NONE && arena_id != NULL && segment_arena(slice / SEGMENT_SLICES) == arena_id;
}

EXPORT size_t mi_arena_min_alignment(void) { return SEGMENT_SIZE; }

EXPORT size_t mi_arena_min_size(void) { return SEGMENT_SIZE; }

EXPORT size_t mi_arena_max_object_size(void) { return WINDOW_SLICES * SLICE_SIZE; }

/* ---- heaps ---- */

EXPORT mi_heap_t* mi_heap_new_in_arena(mi_arena_id_t arena_id) {
  const int saved_errno = errno;
  arena_t* const arena = arena_of(arena_id);
  heap_t* heap = NULL;
  if (arena != NULL || arena_id == NULL) {
    thread_begin();
    heap = heap_create_in(arena, thread_main_heap());
    errno = heap != NULL ? saved_errno : ENOMEM;
  } else {
    errno = EINVAL;
  }
  return heap;
}

EXPORT void mi_heap_set_numa_affinity(mi_heap_t* heap, int numa_node) {
  store_relaxed(&(heap != NULL ? heap : &heap_main)->home.node, (uint32_t)(reserve_node(numa_node) + 1));
}

/* ---- upkeep and printing ---- */

EXPORT void mi_arenas_purge(void) {
  KEEP_ERRNO;
  purge_all();
}

static size_t free_slices(const arena_t* arena) {
  const extent_t segments = arena->area.segments;
  size_t slices = 0;
  for (size_t s = segments.first; s < segments.first + segments.count; s++)
    slices += bit_count(load_relaxed(segment_word(s, WORD_FREE)));
  return slices;
}

static void print_map(const arena_t* arena) {
  const extent_t segments = arena->area.segments;
  const output_t output = {NULL, NULL};
  for (size_t s = segments.first; s < segments.first + segments.count; s++) {
    const uint64_t free = load_relaxed(segment_word(s, WORD_FREE));
    const uint64_t dirty = segment_dirty(s);
    char map[SEGMENT_SLICES + 1] = {0};
    for (unsigned i = 0; i < SEGMENT_SLICES; i++)
      map[i] = (free >> i & 1) == 0 ? '#' : (dirty >> i & 1) != 0 ? 'd' : '.';
    print_to(&output, "  %p %s\n", window_address(s * SEGMENT_SLICES), map);
  }
}

static void print_arena(const arena_t* arena) {
  const output_t output = {NULL, NULL};
  const uint32_t flags = arena->flags;
  print_to(&output, "arena %p: %zu MiB at %p, %zu KiB free, node %d,%s%s%s\n", (const void*)arena,
           arena_size(arena) / MiB, arena_start(arena), free_slices(arena) * (SLICE_SIZE / KiB), arena->node,
           (flags & ARENA_EXCLUSIVE) != 0 ? " exclusive" : " for all heaps",
           (flags & ARENA_PINNED) != 0 ? ", pinned" : "",
           (flags & ARENA_OUTSIDE) != 0 ? ", the program's" : "");
}

EXPORT void mi_arenas_print(void) {
  const output_t output = {NULL, NULL};
  const memory_stats_t stats = memory_stats();
  print_to(&output, "memory: %zu MiB reserved, arenas included, %zu KiB in use\n", stats.reserved / MiB,
           stats.claimed / KiB);
  for (const arena_t* a = arena_newest(); a != NULL; a = a->next) print_arena(a);
}

EXPORT void mi_debug_show_arenas(void) {
  for (const arena_t* a = arena_newest(); a != NULL; a = a->next) {
    print_arena(a);
    print_map(a);
  }
}
