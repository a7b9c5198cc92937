/* SPDX-License-Identifier: MIT */
/* A bump allocator.  The first chunk is static, so a small program needs no mapping for its records.

   Protocol: `current` names the chunk in use.  An allocation is one CAS that moves the chunk's cursor.  A
   thread that finds the chunk full maps a new one, takes its own block out of it first, and swings `current`
   by CAS; when another thread was faster, the new chunk is given back and the search starts again with
   theirs.  What was left at the end of the old chunk is lost (less than BIG of CHUNK_SIZE). */
#include "memory/meta.h"

#include "base/bits.h"
#include "memory/counters.h"
#include "os/os.h"

enum { CHUNK_SIZE = 64 * 1024, FIRST_SIZE = 12 * 1024, BIG = 8 * 1024 };

typedef struct chunk_s {
  _Alignas(CACHE_LINE) atomic_u64_t cursor; /* bytes in use, counted from the chunk; grows only */
  uint64_t size;                            /* const */
} chunk_t;

static union {
  chunk_t chunk;
  char bytes[FIRST_SIZE];
} first = {.chunk = {.cursor = sizeof(chunk_t), .size = FIRST_SIZE}};

static _Atomic(chunk_t*) current = &first.chunk;

_Static_assert(sizeof(chunk_t) == CACHE_LINE, "blocks of a chunk start on a cache line");

static void* map_counted(size_t size) {
  void* const p = os_map(size);
  if (p == NULL) return NULL;
  figure_add(&memory_counters.map_calls, 1);
  figure_add(&memory_counters.metadata, size);
  return p;
}

/* Take size bytes from the chunk, or NULL when they do not fit. */
static void* chunk_take(chunk_t* chunk, size_t size) {
  uint64_t cursor = load_relaxed(&chunk->cursor);
  while (size <= chunk->size - cursor) {
    /* The order does not matter: the bytes were zero before the chunk was published. */
    if (cas_weak_acq_rel(&chunk->cursor, &cursor, cursor + size)) return (char*)chunk + cursor;
  }
  return NULL;
}

void* meta_alloc(size_t size) {
  size = align_up(size, CACHE_LINE);
  if (size > BIG) return map_counted(align_up(size, os_page_size()));
  for (;;) {
    chunk_t* chunk = load_acquire(&current); /* partner: the CAS below publishes the header's contents */
    void* p = chunk_take(chunk, size);
    if (p != NULL) return p;
    chunk_t* const fresh = map_counted(CHUNK_SIZE);
    if (fresh == NULL) return NULL;
    fresh->size = CHUNK_SIZE;
    store_relaxed(&fresh->cursor, sizeof(chunk_t));
    p = chunk_take(fresh, size);
    if (cas_strong_acq_rel(&current, &chunk, fresh)) return p;
    figure_subtract(&memory_counters.metadata, CHUNK_SIZE);
    os_unmap(fresh, CHUNK_SIZE);
  }
}
