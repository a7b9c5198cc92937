/* SPDX-License-Identifier: MIT */
/* Arenas: a label on adjacent segments.  What the label changes:
     EXCLUSIVE  slices go only to claims that name the arena; the others serve everybody
     OUTSIDE    the memory was the program's and lies outside of the window: no hints of the summary
     PINNED     memory never goes back: released slices are stale, not dirty
     COMMITTED, ZERO  what the memory was in the beginning
   An arena that is APART is in no tree of hints; whoever may use it looks through its own set `open`, which
   follows the protocol of memory/summary.h: a bit may be false, none is ever missing.
   Arenas are made and never end. */
#pragma once

#include "memory/segment.h"
#include "mimalloc.h"

enum {
  ARENA_EXCLUSIVE = 1, ARENA_OUTSIDE = 2, ARENA_PINNED = 4, ARENA_COMMITTED = 8, ARENA_ZERO = 16,
  ARENA_APART = ARENA_EXCLUSIVE | ARENA_OUTSIDE,
  NODE_ANY = -1,
  LARGE_PAGE_SHIFT = 21, /* 2 MiB ... */
  HUGE_PAGE_SHIFT = 30,  /* ... and 1 GiB: the sizes of x86-64 */
};

typedef struct arena_s {
  area_t area;
  struct arena_s* next;    /* const once published: an older arena */
  uint32_t flags;          /* const */
  int node;                /* const: NUMA node, or NODE_ANY */
  mi_commit_fun_t* commit; /* const: NULL: the system's calls */
  void* commit_argument;   /* const */
  atomic_word_t heir;      /* atomic: the heap layer's (alloc/heaps.c) */
  atomic_u32_t dirty;      /* atomic: 1: there may be dirty slices; of arenas that are apart */
  atomic_u64_t open[];     /* atomic: bit: the segment may have a free slice */
} arena_t;

/* The segment's arena, or NULL; its flags, 0 without an arena.  The label is there before any slice of the
   segment can be claimed, and stays. */
static inline arena_t* segment_arena(size_t segment) {
  return (arena_t*)(uintptr_t)load_settled(segment_word(segment, WORD_ARENA));
}
static inline uint32_t segment_flags(size_t segment) {
  const arena_t* const arena = segment_arena(segment);
  return arena != NULL ? arena->flags : 0;
}

/* Of a slice. */
static inline bool is_in_arena(size_t slice) { return segment_arena(slice / SEGMENT_SLICES) != NULL; }

/* What an arena is to be. */
typedef struct arena_spec_s {
  uint32_t flags;
  int node;
  mi_commit_fun_t* commit;
  void* commit_argument;
} arena_spec_t;

/* A record; NULL: no memory for it. */
arena_t* arena_new(extent_t segments, arena_spec_t spec);

/* Label the segments, which the caller has claimed, and let everybody see the arena. */
void arena_publish(arena_t* arena);

/* The newest arena; then arena->next. */
arena_t* arena_newest(void);

/* May an arena that is apart have dirty slices?  seq_cst (see memory/scavenger.c). */
bool arena_any_dirty(void);

/* Slices of the arena's segment became free; the caller found none free there. */
void arena_note_free(arena_t* arena, size_t segment);
void arena_note_full(arena_t* arena, size_t segment);

/* The first segment from the index-th on that may have a free slice, as an index, or SLICE_NONE. */
size_t arena_next_open(arena_t* arena, size_t index);

/* For the claimer of the slices, in an arena with a commit function: those not committed become so. */
bool arena_commit(const arena_t* arena, size_t segment, uint64_t bits);

typedef enum purged_e { PURGED_NOT, PURGED_RESET, PURGED_UNKNOWN, PURGED_ZERO } purged_t;
/* For the claimer: drop the memory of adjacent slices; what they hold then. */
purged_t arena_purge(const arena_t* arena, size_t segment, uint64_t bits);
