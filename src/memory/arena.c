/* SPDX-License-Identifier: MIT */
#include "memory/arena.h"

#include "core/options.h"
#include "memory/counters.h"
#include "memory/meta.h"
#include "os/os.h"

static _Atomic(arena_t*) newest;

arena_t* arena_new(extent_t segments, arena_spec_t spec) {
  arena_t* const arena = meta_alloc(sizeof(arena_t) + div_up(segments.count, 64) * sizeof(atomic_u64_t));
  if (arena == NULL) return NULL;
  arena->area.segments = segments;
  arena->flags = spec.flags | (option_enabled(mi_option_disallow_arena_alloc) ? ARENA_EXCLUSIVE : 0);
  arena->node = spec.node;
  arena->commit = spec.commit;
  arena->commit_argument = spec.commit_argument;
  return arena;
}

arena_t* arena_newest(void) { return load_acquire(&newest); }

void arena_publish(arena_t* arena) {
  const extent_t segments = arena->area.segments;
  const bool committed = (arena->flags & ARENA_COMMITTED) != 0;
  if (committed) figure_add(&memory_counters.committed, (uint64_t)segments.count * SEGMENT_SIZE);
  for (size_t s = segments.first; s < segments.first + segments.count; s++) {
    store_relaxed(segment_word(s, WORD_COMMITTED), committed ? ALL_SLICES : 0);
    store_relaxed(segment_word(s, WORD_ZERO), (arena->flags & ARENA_ZERO) != 0 ? ALL_SLICES : 0);
    store_release(segment_word(s, WORD_ARENA), (uintptr_t)arena); /* the record is written before */
  }
  arena_t* head = load_relaxed(&newest);
  do {
    arena->next = head;
  } while (!cas_weak_acq_rel(&newest, &head, arena)); /* release: as above */
}

/* ---- which segments have free slices ---- */

static atomic_u64_t* open_word(arena_t* arena, size_t segment) {
  return &arena->open[(segment - arena->area.segments.first) / 64];
}
static uint64_t open_bit(const arena_t* arena, size_t segment) {
  return UINT64_C(1) << (segment - arena->area.segments.first) % 64;
}

/* seq_cst throughout: segment_release wrote FREE, then this looks; arena_note_full writes, then looks. */
void arena_note_free(arena_t* arena, size_t segment) {
  atomic_u64_t* const word = open_word(arena, segment);
  const uint64_t bit = open_bit(arena, segment);
  uint64_t bits = load_seq_cst(word);
  while ((bits & bit) == 0 && !cas_strong_seq_cst(word, &bits, bits | bit)) continue;
  if (segment_dirty(segment) != 0) store_seq_cst(&arena->dirty, 1u);
}

void arena_note_full(arena_t* arena, size_t segment) {
  atomic_u64_t* const word = open_word(arena, segment);
  const uint64_t bit = open_bit(arena, segment);
  uint64_t bits = load_seq_cst(word);
  while ((bits & bit) != 0 && !cas_strong_seq_cst(word, &bits, bits & ~bit)) continue;
  if (load_seq_cst(segment_word(segment, WORD_FREE)) != 0) arena_note_free(arena, segment);
}

bool arena_any_dirty(void) {
  for (arena_t* a = arena_newest(); a != NULL; a = a->next) {
    if (load_seq_cst(&a->dirty) != 0) return true;
  }
  return false;
}

size_t arena_next_open(arena_t* arena, size_t index) {
  const size_t count = arena->area.segments.count;
  while (index < count) {
    const uint64_t bits = load_seq_cst(&arena->open[index / 64]) >> (index % 64);
    if (bits != 0) return index + bit_lowest(bits);
    index = (index / 64 + 1) * 64;
  }
  return SLICE_NONE;
}

/* ---- memory by the program's own function ---- */

static void* slice_address(size_t segment, uint64_t bits) {
  return window_address(segment * SEGMENT_SLICES + bit_lowest(bits));
}

/* The lowest run of adjacent bits. */
static uint64_t lowest_run(uint64_t set) {
  const unsigned first = bit_lowest(set);
  const uint64_t holes = ~(set >> first);
  return bit_range(first, holes == 0 ? 64 : bit_lowest(holes));
}

bool arena_commit(const arena_t* arena, size_t segment, uint64_t bits) {
  uint64_t missing = bits & ~load_acquire(segment_word(segment, WORD_COMMITTED));
  for (uint64_t run; missing != 0; missing &= ~run) {
    run = lowest_run(missing);
    const size_t size = bit_count(run) * (size_t)SLICE_SIZE;
    bool zero = false;
    figure_add(&memory_counters.commit_calls, 1);
    if (!arena->commit(true, slice_address(segment, run), size, &zero, arena->commit_argument)) return false;
    figure_add(&memory_counters.committed, size);
    segment_set(segment, WORD_COMMITTED, run);
    if (zero) segment_set(segment, WORD_ZERO, run);
    else segment_clear(segment, WORD_ZERO, run);
  }
  return true;
}

purged_t arena_purge(const arena_t* arena, size_t segment, uint64_t bits) {
  void* const address = slice_address(segment, bits);
  const size_t size = bit_count(bits) * (size_t)SLICE_SIZE;
  if (arena != NULL && (arena->flags & ARENA_PINNED) != 0) return PURGED_NOT;
  const bool by_system = arena == NULL || arena->commit == NULL;
  if (by_system && !option_enabled(mi_option_purge_decommits)) {
    figure_add(&memory_counters.reset_calls, 1);
    return os_reset(address, size) == 0 ? PURGED_RESET : PURGED_NOT;
  }
  figure_add(&memory_counters.purge_calls, 1);
  if (arena != NULL) figure_add(&memory_counters.arena_purge_calls, 1);
  if (by_system) {
    if (os_purge(address, size) != 0) return PURGED_NOT;
    /* The program may have handed over the memory of a file. */
    return arena != NULL && (arena->flags & ARENA_OUTSIDE) != 0 ? PURGED_UNKNOWN : PURGED_ZERO;
  }
  bool zero = false;
  if (!arena->commit(false, address, size, &zero, arena->commit_argument)) return PURGED_NOT;
  segment_clear(segment, WORD_COMMITTED, bits);
  return PURGED_UNKNOWN;
}
