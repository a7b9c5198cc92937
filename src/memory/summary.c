/* SPDX-License-Identifier: MIT */
/* The words of all kinds for the same 64 segments lie together: a small program touches three pages here. */
#include "memory/summary.h"

#include "base/check.h"
#include "memory/arena.h"

enum { LEVELS = 3, UP = 1, DOWN = -1 };

typedef struct row_s {
  _Alignas(CACHE_LINE) atomic_u64_t kind[HINT_KINDS];
} row_t;

static row_t leaves[WINDOW_SEGMENTS / 64];
static row_t branches[WINDOW_SEGMENTS / 64 / 64];
static row_t root;
static row_t* const levels[LEVELS] = {leaves, branches, &root};

_Static_assert(WINDOW_SEGMENTS == 64 * 64 * 64, "three levels");

/* The word with bit `index` of a level, and that bit. */
static atomic_u64_t* word_of(unsigned kind, unsigned level, size_t index) {
  return &levels[level][index / 64].kind[kind];
}
static uint64_t bit_of(size_t index) { return UINT64_C(1) << (index % 64); }

/* Set the bit of each of these kinds and those above it. */
static void raise_hints(unsigned kinds, unsigned level, size_t index) {
  for (; level < LEVELS; level++, index /= 64) {
    atomic_u64_t* const row = word_of(0, level, index);
    const uint64_t bit = bit_of(index);
    for (unsigned left = kinds; left != 0; left &= left - 1) {
      atomic_u64_t* const word = &row[bit_lowest(left)];
      uint64_t bits = load_seq_cst(word);
      while ((bits & bit) == 0 && !cas_strong_seq_cst(word, &bits, bits | bit)) continue;
    }
  }
}

static void raise_hint(unsigned kind, unsigned level, size_t index) { raise_hints(1u << kind, level, index); }

static void clear(unsigned kind, unsigned level, size_t index) {
  atomic_u64_t* const word = word_of(kind, level, index);
  uint64_t bits = load_seq_cst(word);
  while ((bits & bit_of(index)) != 0 && !cas_strong_seq_cst(word, &bits, bits & ~bit_of(index))) continue;
}

/* The set of k such that x has 2^k adjacent bits. */
static unsigned run_levels(uint64_t x) {
  unsigned found = 0;
  for (unsigned k = 0; x != 0; k++) {
    found |= 1u << k;
    if (k == RUN_LEVELS - 1) break;
    x &= x >> (1u << k);
  }
  return found;
}

/* Bit `kind` is set when a hint of that kind about runs is true. */
static unsigned hints_of(size_t segment) {
  const uint64_t free = load_seq_cst(segment_word(segment, WORD_FREE));
  return run_levels(free) << HINT_RUN | run_levels(free & segment_dirty(segment)) << HINT_DIRTY;
}

bool summary_holds(unsigned kind, size_t segment) {
  if (kind == HINT_STARTS) return load_seq_cst(segment_word(segment, WORD_STARTS)) != 0;
  return (hints_of(segment) >> kind & 1) != 0;
}

void summary_publish(size_t segment) {
  arena_t* const arena = segment_arena(segment);
  if (arena != NULL) arena_note_free(arena, segment);
  if (arena != NULL && (arena->flags & ARENA_APART) != 0) return;
  raise_hints(hints_of(segment), 0, segment);
}

void summary_set(unsigned kind, size_t segment) {
  if ((segment_flags(segment) & ARENA_OUTSIDE) == 0) raise_hint(kind, 0, segment);
}

/* The word with this bit was found empty: clear the bit above it, and so on, unless the word has got bits
   since. */
static void prune(unsigned kind, unsigned level, size_t index) {
  for (; level + 1 < LEVELS && load_seq_cst(word_of(kind, level, index)) == 0; level++, index /= 64) {
    clear(kind, level + 1, index / 64);
    if (load_seq_cst(word_of(kind, level, index)) != 0) raise_hint(kind, level + 1, index / 64);
  }
}

void summary_refute(unsigned kind, size_t segment) {
  clear(kind, 0, segment);
  if (summary_holds(kind, segment)) raise_hint(kind, 0, segment);
  prune(kind, 0, segment);
}

/* Bits of a word from position `at` on, in the direction. */
static uint64_t reach(size_t at, int direction) {
  return direction == UP ? ~UINT64_C(0) << (at % 64) : ~UINT64_C(0) >> (63 - at % 64);
}

/* From bit `index` of the leaves: up the tree until a word has a bit in the direction, down to its nearest
   leaf. */
static size_t nearest(unsigned kind, size_t index, int direction) {
  unsigned level = 0;
  while (level < LEVELS && index < WINDOW_SEGMENTS >> (6 * level)) {
    const uint64_t bits = load_seq_cst(word_of(kind, level, index));
    const uint64_t within = bits & reach(index, direction);
    if (within != 0) {
      index = index / 64 * 64 + (direction == UP ? bit_lowest(within) : bit_highest(within));
      if (level == 0) return index;
      level--;
      index = direction == UP ? index * 64 : index * 64 + 63;
    } else {
      if (bits == 0) prune(kind, level, index);
      level++;
      index = index / 64 + (size_t)direction; /* below 0: past every level's end */
    }
  }
  return SLICE_NONE;
}

size_t summary_lowest(unsigned kind, size_t from) { return nearest(kind, from, UP); }
size_t summary_highest(unsigned kind, size_t from) { return nearest(kind, from, DOWN); }

bool summary_any(unsigned kind) { return load_seq_cst(&root.kind[kind]) != 0; }

void summary_rebuild(void) {
  span_t span = window_span();
  do {
    for (size_t s = span.first; s < span.end; s++) {
      if (!window_segment_ready(s)) continue;
      summary_publish(s);
      if (summary_holds(HINT_STARTS, s)) summary_set(HINT_STARTS, s);
    }
  } while (window_next_span(&span));
}
