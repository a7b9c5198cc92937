/* SPDX-License-Identifier: MIT */
/* One deliberate error, or none, by the name given: what a memory checker is to find.  With STANDARD_NAMES
   the blocks come from malloc, else from mi_malloc.  `clean` does much of what programs do, and nothing
   wrong. */
#include <mimalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef STANDARD_NAMES
#define malloc mi_malloc
#define calloc mi_calloc
#define realloc mi_realloc
#define free   mi_free
#define malloc_usable_size mi_usable_size
#define aligned_alloc      mi_aligned_alloc
#else
#include <malloc.h>
#endif

enum { BLOCKS = 2000, LEFT = 300, BIG = 300 * 1000 };

static volatile char sink;
static void* volatile hidden; /* the compiler knows nothing of what goes through here */

static void* known_to_nobody(void* p) {
  hidden = p;
  void* const q = hidden;
  hidden = NULL;
  return q;
}

static void check(int condition, const char* what) {
  if (condition) return;
  printf("not true: %s\n", what);
  exit(3);
}

/* ---- errors ---- */

static void read_freed(size_t size, size_t at) {
  char* const p = known_to_nobody(malloc(size));
  memset(p, 1, size);
  free(p);
  sink = ((char*)known_to_nobody(p))[at];
}

static void use_after_free(void) { read_freed(40, 20); }
static void use_after_free_start(void) { read_freed(40, 0); }
static void use_after_free_big(void) { read_freed(BIG, 100); }

static void write_beyond(size_t size) {
  char* const p = known_to_nobody(malloc(size));
  memset(p, 1, size);
  ((char*)known_to_nobody(p))[size] = 1;
  free(p);
}

static void overflow(void) { write_beyond(40); }
static void overflow_odd(void) { write_beyond(13); }
static void overflow_class(void) { write_beyond(64); }
static void overflow_big(void) { write_beyond(BIG); }

static void underflow(void) {
  char* const guard = malloc(40); /* a block before it, perhaps */
  char* const p = known_to_nobody(malloc(40));
  sink = ((char*)known_to_nobody(p))[-1];
  free(p);
  free(guard);
}

static void uninitialised(void) {
  int* const p = known_to_nobody(malloc(40));
  if (p[5] == 17) sink = 1;
  free(p);
}

static void grown_uninitialised(void) {
  int* p = known_to_nobody(calloc(10, sizeof(int)));
  p = known_to_nobody(realloc(p, 20 * sizeof(int)));
  if (p[9] != 0) sink = 1; /* was zero, and is */
  if (p[15] == 17) sink = 1;
  free(p);
}

static void leak(void) {
  for (int i = 0; i < 3; i++) memset(known_to_nobody(malloc(123)), 1, 123);
}

static void moved(void) {
  char* const p = known_to_nobody(malloc(40));
  char* const q = known_to_nobody(realloc(p, 45));
  sink = ((char*)known_to_nobody(p))[1];
  free(q);
}

static void twice(void) {
  void* const p = known_to_nobody(malloc(40));
  free(p);
  free(known_to_nobody(p));
}

static void destroyed_heap(void) {
  mi_heap_t* const heap = mi_heap_new();
  char* const p = known_to_nobody(mi_heap_malloc(heap, 40));
  memset(p, 1, 40);
  mi_heap_destroy(heap);
  sink = ((char*)known_to_nobody(p))[7];
}

/* ---- none ---- */

static void use_all(char* p, size_t size) {
  if (size == 0) return;
  memset(p, 7, size);
  sink = p[size / 2];
}

static void* churn(void* arg) {
  char** const blocks = calloc(BLOCKS, sizeof(char*));
  size_t* const sizes = calloc(BLOCKS, sizeof(size_t));
  unsigned random = 12345u + (unsigned)(size_t)arg;
  for (int i = 0; i < 5 * BLOCKS; i++) {
    random = random * 1103515245u + 12345u;
    const unsigned at = random / 7 % BLOCKS;
    const size_t size = random >> 16 & 1 ? random / 11 % 100 : random / 11 % 5000;
    const int kind = random / 13 % 4;
    if (kind == 0) {
      free(blocks[at]);
      blocks[at] = NULL;
      continue;
    }
    if (kind == 1) {
      char* const p = realloc(blocks[at], size);
      const size_t kept = size < sizes[at] ? size : sizes[at];
      if (blocks[at] != NULL && kept > 0) check(p[0] == 7 && p[kept - 1] == 7, "realloc keeps contents");
      blocks[at] = p;
    } else {
      free(blocks[at]);
      blocks[at] = kind == 2 ? malloc(size) : calloc(1, size);
      if (kind == 3 && size > 0) check(blocks[at][size - 1] == 0, "calloc gives zeros");
    }
    sizes[at] = size;
    use_all(blocks[at], malloc_usable_size(blocks[at]));
  }
  for (int i = LEFT; i < BLOCKS; i++) free(blocks[i]);
  free(sizes);
  return blocks; /* freed by another thread, as are the blocks left */
}

static bool count_block(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size,
                        void* arg) {
  (void)heap, (void)area, (void)size;
  if (block != NULL) ++*(size_t*)arg;
  return true;
}

static void heaps(void) {
  size_t count = 0;
  mi_heap_t* const heap = mi_heap_new();
  mi_heap_t* const other = mi_heap_new();
  for (size_t i = 0; i < 500; i++) use_all(mi_heap_zalloc(heap, i + 1), i + 1);
  char* const kept = mi_heap_malloc(other, 100);
  use_all(kept, 100);
  mi_heap_visit_blocks(heap, true, count_block, &count);
  check(count == 500, "all blocks are visited");
  mi_heap_destroy(heap);
  mi_heap_delete(other);
  check(kept[99] == 7, "blocks of a deleted heap live on");
  mi_free(kept);
  mi_collect(true);
}

static bool is_resident(uintptr_t address) {
  unsigned char there = 0;
  const uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
  check(mincore((void*)(address - address % size), size, &there) == 0, "the memory is mapped");
  return (there & 1) != 0;
}

/* Memory between blocks goes back to the system and comes again. */
static void thinned(void) {
  static char* blocks[BLOCKS];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < BLOCKS; i++) {
      if (blocks[i] == NULL) blocks[i] = malloc(500);
      use_all(blocks[i], 500);
    }
    const uintptr_t between = (uintptr_t)blocks[BLOCKS / 2];
    for (int i = 0; i < BLOCKS; i++) {
      if (i % 100 == 0 && i != BLOCKS / 2) continue;
      free(blocks[i]);
      blocks[i] = NULL;
    }
    mi_collect(true);
    if (round == 0) check(!is_resident(between), "memory between blocks goes back");
    for (int i = 0; i < BLOCKS; i++) check(blocks[i] == NULL || blocks[i][499] == 7, "what lives stays");
  }
  for (int i = 0; i < BLOCKS; i += 100) free(blocks[i]);
}

/* A block of the system's malloc that only a block of ours points to is not lost. */
static void hold(void) {
  void** const holder = known_to_nobody(malloc(sizeof(void*)));
  static void** volatile kept;
  kept = holder;
  if (posix_memalign(holder, 16, 100) != 0) exit(3);
}

static void clean(void) {
  hold();
  pthread_t threads[3];
  for (size_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, churn, (void*)i);
  for (size_t i = 0; i < 3; i++) {
    void* blocks;
    pthread_join(threads[i], &blocks);
    for (int at = 0; at < LEFT; at++) free(((void**)blocks)[at]);
    free(blocks);
  }
  heaps();
  thinned();
  for (size_t size = 1; size < 3 * BIG; size = size * 3 / 2 + 1) {
    char* p = calloc(size, 1);
    check(p[0] == 0 && p[size - 1] == 0, "calloc gives zeros");
    p = realloc(p, size * 2);
    use_all(p, size * 2);
    free(p);
    for (size_t alignment = 16; alignment <= 4096; alignment *= 4) {
      char* const aligned = mi_malloc_aligned(size, alignment);
      check((size_t)aligned % alignment == 0, "mi_malloc_aligned aligns");
      check(mi_usable_size(aligned) == size, "... what was asked for, and no more");
      use_all(aligned, size);
      mi_free(aligned);
    }
    char* const standard = aligned_alloc(256, 256 * (size / 256 + 1));
    check((size_t)standard % 256 == 0, "aligned_alloc aligns");
    use_all(standard, 256 * (size / 256 + 1));
    free(standard);
  }
}

#define CASE(name) {#name, name}
static const struct {
  const char* name;
  void (*run)(void);
} cases[] = {
    CASE(clean),        CASE(use_after_free), CASE(use_after_free_start), CASE(use_after_free_big),
    CASE(overflow),     CASE(overflow_odd),   CASE(overflow_class),       CASE(overflow_big),
    CASE(underflow),    CASE(uninitialised),  CASE(grown_uninitialised),  CASE(leak),
    CASE(moved),        CASE(twice),          CASE(destroyed_heap),
};

int main(int argc, char** argv) {
  for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
    if (strcmp(argv[1], cases[i].name) != 0) continue;
    cases[i].run();
    printf("done: %s\n", argv[1]);
    return 0;
  }
  return 2;
}
