/* SPDX-License-Identifier: MIT */
/* Every function that returns a block, and every one that resizes or frees one: the heap the block is of, its
   size, alignment (at the offset) and zeros, the sizes told; for heaps also from threads that did not make
   them, several at a time. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mimalloc.h"

#define CHECK(condition, name)                                                              \
  do {                                                                                      \
    if (!(condition)) {                                                                     \
      fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__, (name), (#condition)); \
      abort();                                                                              \
    }                                                                                       \
  } while (0)

enum { ALIGNMENT = 256, OFFSET = 40, NOT_TOLD = 12345 };
typedef enum zero_e { ANY, ZERO } zero_t;
typedef enum place_e { NATURAL, ALIGNED, AT_OFFSET } place_t;
typedef enum owner_e { DEFAULT, GIVEN } owner_t;

typedef struct form_s {
  const char* name;
  void* (*make)(mi_heap_t* h, size_t n, size_t* told);
  zero_t zero;
  place_t place;
  owner_t owner;
  size_t most; /* bytes that may be asked for */
} form_t;

/* MAKES(zero, place, owner, most, function, arguments with h, n, told, A (alignment) and O (offset)) */
#define MAKERS(MAKES)                                                                        \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_malloc, (n))                                           \
  MAKES(ZERO, NATURAL, DEFAULT, -1, mi_zalloc, (n))                                          \
  MAKES(ZERO, NATURAL, DEFAULT, -1, mi_calloc, (n, 1))                                       \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_mallocn, (n, 1))                                       \
  MAKES(ANY, NATURAL, DEFAULT, 1024, mi_malloc_small, (n))                                   \
  MAKES(ZERO, NATURAL, DEFAULT, 1024, mi_zalloc_small, (n))                                  \
  MAKES(ANY, NATURAL, DEFAULT, 1024, mi_wmalloc_small, ((n + 7) / 8))                        \
  MAKES(ZERO, NATURAL, DEFAULT, 1024, mi_wzalloc_small, ((n + 7) / 8))                       \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_realloc, (NULL, n))                                    \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_reallocf, (NULL, n))                                   \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_reallocarray, (NULL, n, 1))                            \
  MAKES(ZERO, NATURAL, DEFAULT, -1, mi_rezalloc, (NULL, n))                                  \
  MAKES(ZERO, NATURAL, DEFAULT, -1, mi_recalloc, (NULL, n, 1))                               \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_umalloc, (n, told))                                    \
  MAKES(ZERO, NATURAL, DEFAULT, -1, mi_ucalloc, (n, 1, told))                                \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_urealloc, (NULL, n, NULL, told))                       \
  MAKES(ANY, NATURAL, DEFAULT, 1024, mi_umalloc_small, (n, told))                            \
  MAKES(ZERO, NATURAL, DEFAULT, 1024, mi_uzalloc_small, (n, told))                           \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_umalloc_aligned, (n, A, told))                         \
  MAKES(ZERO, ALIGNED, DEFAULT, -1, mi_uzalloc_aligned, (n, A, told))                        \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_malloc_aligned, (n, A))                                \
  MAKES(ZERO, ALIGNED, DEFAULT, -1, mi_zalloc_aligned, (n, A))                               \
  MAKES(ZERO, ALIGNED, DEFAULT, -1, mi_calloc_aligned, (n, 1, A))                            \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_memalign, (A, n))                                      \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_aligned_alloc, (A, n))                                 \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_valloc, (n))                                           \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_pvalloc, (n))                                          \
  MAKES(ANY, AT_OFFSET, DEFAULT, -1, mi_malloc_aligned_at, (n, A, O))                        \
  MAKES(ZERO, AT_OFFSET, DEFAULT, -1, mi_zalloc_aligned_at, (n, A, O))                       \
  MAKES(ZERO, AT_OFFSET, DEFAULT, -1, mi_calloc_aligned_at, (1, n, A, O))                    \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_new, (n))                                              \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_new_n, (n, 1))                                         \
  MAKES(ANY, NATURAL, DEFAULT, -1, mi_new_nothrow, (n))                                      \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_new_aligned, (n, A))                                   \
  MAKES(ANY, ALIGNED, DEFAULT, -1, mi_new_aligned_nothrow, (n, A))                           \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_heap_malloc, (h, n))                                     \
  MAKES(ZERO, NATURAL, GIVEN, -1, mi_heap_zalloc, (h, n))                                    \
  MAKES(ZERO, NATURAL, GIVEN, -1, mi_heap_calloc, (h, 1, n))                                 \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_heap_mallocn, (h, 1, n))                                 \
  MAKES(ANY, NATURAL, GIVEN, 1024, mi_heap_malloc_small, (h, n))                             \
  MAKES(ZERO, NATURAL, GIVEN, 1024, mi_heap_zalloc_small, (h, n))                            \
  MAKES(ANY, ALIGNED, GIVEN, -1, mi_heap_malloc_aligned, (h, n, A))                          \
  MAKES(ZERO, ALIGNED, GIVEN, -1, mi_heap_zalloc_aligned, (h, n, A))                         \
  MAKES(ZERO, ALIGNED, GIVEN, -1, mi_heap_calloc_aligned, (h, n, 1, A))                      \
  MAKES(ANY, AT_OFFSET, GIVEN, -1, mi_heap_malloc_aligned_at, (h, n, A, O))                  \
  MAKES(ZERO, AT_OFFSET, GIVEN, -1, mi_heap_zalloc_aligned_at, (h, n, A, O))                 \
  MAKES(ZERO, AT_OFFSET, GIVEN, -1, mi_heap_calloc_aligned_at, (h, n, 1, A, O))              \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_heap_alloc_new, (h, n))                                  \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_heap_alloc_new_n, (h, 1, n))                             \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_theap_malloc, (mi_heap_theap(h), n))                     \
  MAKES(ZERO, NATURAL, GIVEN, -1, mi_theap_zalloc, (mi_heap_theap(h), n))                    \
  MAKES(ZERO, NATURAL, GIVEN, -1, mi_theap_calloc, (mi_heap_theap(h), n, 1))                 \
  MAKES(ANY, NATURAL, GIVEN, 1024, mi_theap_malloc_small, (mi_heap_theap(h), n))             \
  MAKES(ZERO, NATURAL, GIVEN, 1024, mi_theap_zalloc_small, (mi_heap_theap(h), n))            \
  MAKES(ANY, NATURAL, GIVEN, 1024, mi_theap_wmalloc_small, (mi_heap_theap(h), (n + 7) / 8))  \
  MAKES(ZERO, NATURAL, GIVEN, 1024, mi_theap_wzalloc_small, (mi_heap_theap(h), (n + 7) / 8)) \
  MAKES(ANY, ALIGNED, GIVEN, -1, mi_theap_malloc_aligned, (mi_heap_theap(h), n, A))          \
  MAKES(ZERO, ALIGNED, GIVEN, -1, mi_theap_zalloc_aligned, (mi_heap_theap(h), n, A))         \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_theap_alloc_new, (mi_heap_theap(h), n))                  \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_theap_alloc_new_n, (mi_heap_theap(h), n, 1))             \
  MAKES(ANY, NATURAL, GIVEN, -1, mi_theap_alloc_new_nothrow, (mi_heap_theap(h), n))

#define WRAPPER(zero, place, owner, most, function, arguments)         \
  static void* form_##function(mi_heap_t* h, size_t n, size_t* told) { \
    const size_t A = ALIGNMENT, O = OFFSET;                            \
    (void)h, (void)told, (void)A, (void)O;                             \
    return function arguments;                                         \
  }
#define ENTRY(zero, place, owner, most, function, arguments) \
  {#function, form_##function, zero, place, owner, (size_t)(most)},
MAKERS(WRAPPER)
static const form_t makers[] = {MAKERS(ENTRY)};

/* ---- resizing: p may be NULL or a block of any heap ---- */

typedef struct resizer_s {
  const char* name;
  void* (*resize)(mi_heap_t* h, void* p, size_t n, size_t* told, size_t* told_before);
  zero_t zero;
  place_t place;
  owner_t owner;
} resizer_t;

#define RESIZERS(RESIZES)                                                          \
  RESIZES(ANY, NATURAL, DEFAULT, mi_realloc, (p, n))                               \
  RESIZES(ANY, NATURAL, DEFAULT, mi_reallocn, (p, n, 1))                           \
  RESIZES(ANY, NATURAL, DEFAULT, mi_reallocf, (p, n))                              \
  RESIZES(ANY, NATURAL, DEFAULT, mi_reallocarray, (p, 1, n))                       \
  RESIZES(ANY, NATURAL, DEFAULT, mi_urealloc, (p, n, told_before, told))           \
  RESIZES(ANY, NATURAL, DEFAULT, mi_new_realloc, (p, n))                           \
  RESIZES(ANY, NATURAL, DEFAULT, mi_new_reallocn, (p, n, 1))                       \
  RESIZES(ZERO, NATURAL, DEFAULT, mi_rezalloc, (p, n))                             \
  RESIZES(ZERO, NATURAL, DEFAULT, mi_recalloc, (p, n, 1))                          \
  RESIZES(ANY, ALIGNED, DEFAULT, mi_realloc_aligned, (p, n, A))                    \
  RESIZES(ANY, AT_OFFSET, DEFAULT, mi_realloc_aligned_at, (p, n, A, O))            \
  RESIZES(ZERO, ALIGNED, DEFAULT, mi_rezalloc_aligned, (p, n, A))                  \
  RESIZES(ZERO, AT_OFFSET, DEFAULT, mi_rezalloc_aligned_at, (p, n, A, O))          \
  RESIZES(ZERO, ALIGNED, DEFAULT, mi_recalloc_aligned, (p, n, 1, A))               \
  RESIZES(ZERO, AT_OFFSET, DEFAULT, mi_recalloc_aligned_at, (p, 1, n, A, O))       \
  RESIZES(ZERO, ALIGNED, DEFAULT, mi_aligned_recalloc, (p, 1, n, A))               \
  RESIZES(ZERO, AT_OFFSET, DEFAULT, mi_aligned_offset_recalloc, (p, n, 1, A, O))   \
  RESIZES(ANY, NATURAL, GIVEN, mi_heap_realloc, (h, p, n))                         \
  RESIZES(ANY, NATURAL, GIVEN, mi_heap_reallocn, (h, p, n, 1))                     \
  RESIZES(ANY, NATURAL, GIVEN, mi_heap_reallocf, (h, p, n))                        \
  RESIZES(ZERO, NATURAL, GIVEN, mi_heap_rezalloc, (h, p, n))                       \
  RESIZES(ZERO, NATURAL, GIVEN, mi_heap_recalloc, (h, p, n, 1))                    \
  RESIZES(ANY, ALIGNED, GIVEN, mi_heap_realloc_aligned, (h, p, n, A))              \
  RESIZES(ANY, AT_OFFSET, GIVEN, mi_heap_realloc_aligned_at, (h, p, n, A, O))      \
  RESIZES(ZERO, ALIGNED, GIVEN, mi_heap_rezalloc_aligned, (h, p, n, A))            \
  RESIZES(ZERO, AT_OFFSET, GIVEN, mi_heap_rezalloc_aligned_at, (h, p, n, A, O))    \
  RESIZES(ZERO, ALIGNED, GIVEN, mi_heap_recalloc_aligned, (h, p, n, 1, A))         \
  RESIZES(ZERO, AT_OFFSET, GIVEN, mi_heap_recalloc_aligned_at, (h, p, 1, n, A, O)) \
  RESIZES(ANY, NATURAL, GIVEN, mi_theap_realloc, (mi_heap_theap(h), p, n))         \
  RESIZES(ZERO, NATURAL, GIVEN, mi_theap_rezalloc, (mi_heap_theap(h), p, n))

#define RESIZE_WRAPPER(zero, place, owner, function, arguments)                                        \
  static void* resize_##function(mi_heap_t* h, void* p, size_t n, size_t* told, size_t* told_before) { \
    const size_t A = ALIGNMENT, O = OFFSET;                                                            \
    (void)h, (void)told, (void)told_before, (void)A, (void)O;                                          \
    return function arguments;                                                                         \
  }
#define RESIZE_ENTRY(zero, place, owner, function, arguments) \
  {#function, resize_##function, zero, place, owner},
RESIZERS(RESIZE_WRAPPER)
static const resizer_t resizers[] = {RESIZERS(RESIZE_ENTRY)};

/* ---- the checks ---- */

static void check_block(const char* name, char* p, size_t size, size_t told, place_t place,
                        mi_heap_t* owner) {
  char* volatile opaque = p; /* the compiler has opinions about alignment and size */
  CHECK(opaque != NULL && mi_heap_of(opaque) == owner, name);
  CHECK(mi_usable_size(opaque) >= size && mi_malloc_size(opaque) == mi_usable_size(opaque), name);
  CHECK(told == NOT_TOLD || told == mi_usable_size(opaque), name);
  if (place == ALIGNED) CHECK((uintptr_t)opaque % ALIGNMENT == 0, name);
  if (place == AT_OFFSET) CHECK((uintptr_t)(opaque + OFFSET) % ALIGNMENT == 0, name);
  if (place == NATURAL) CHECK((uintptr_t)opaque % (size > 8 ? 16 : 8) == 0, name);
}

static void check_bytes(const char* name, const char* p, size_t from, size_t to, int value) {
  for (size_t i = from; i < to; i++) CHECK(p[i] == (char)value, name);
}

static void free_in_some_way(char* p, size_t size, size_t which) {
  size_t told = 0;
  const size_t usable = mi_usable_size(p);
  switch (which % 5) {
  case 0:
    mi_free(p);
    break;
  case 1:
    mi_free_size(p, size);
    break;
  case 2:
    mi_free_aligned(p, 8);
    break;
  case 3:
    mi_free_size_aligned(p, size, 8);
    break;
  default:
    mi_ufree(p, &told);
    CHECK(told == usable, "mi_ufree");
    break;
  }
}

/* A block of `size` bytes or so that has been used: what is zero afterwards has been zeroed. */
static void leave_dirt(mi_heap_t* heap, size_t size) {
  char* const blocks[] = {mi_malloc(size), mi_heap_malloc(heap, size),
                          mi_heap_malloc_aligned(heap, size, ALIGNMENT)};
  for (size_t i = 0; i < 3; i++) {
    memset(blocks[i], 0xdd, size);
    mi_free(blocks[i]);
  }
}

static void make_each(mi_heap_t* heap) {
  for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
    const form_t* const form = &makers[i];
    for (size_t size = 0; size <= 300000 && size <= form->most; size = size * 3 + 1) {
      size_t told = NOT_TOLD;
      leave_dirt(heap, size);
      char* const p = form->make(heap, size, &told);
      check_block(form->name, p, size, told, form->place, form->owner == GIVEN ? heap : mi_heap_main());
      if (form->zero == ZERO) check_bytes(form->name, p, 0, size, 0);
      memset(p, 0x77, size);
      free_in_some_way(p, size, i + size);
    }
  }
}

static void resize_each(mi_heap_t* heap) {
  static const size_t sizes[] = {0, 1, 10, 100, 1000, 30000, 300, 300000, 200000, 20};
  for (size_t i = 0; i < sizeof(resizers) / sizeof(resizers[0]); i++) {
    const resizer_t* const form = &resizers[i];
    mi_heap_t* const owner = form->owner == GIVEN ? heap : mi_heap_main();
    char* p = NULL;
    size_t before = 0;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
      const size_t size = sizes[k], usable = mi_usable_size(p);
      size_t told = NOT_TOLD, told_before = NOT_TOLD;
      leave_dirt(heap, size);
      p = form->resize(heap, p, size, &told, &told_before);
      check_block(form->name, p, size, told, form->place, owner);
      CHECK(told_before == NOT_TOLD || told_before == usable, form->name);
      check_bytes(form->name, p, 0, before < size ? before : size, 0x55);
      if (form->zero == ZERO && size > before) check_bytes(form->name, p, before, size, 0);
      memset(p, 0x55, size);
      before = size;
    }
    free_in_some_way(p, before, i);
  }
}

/* A failed urealloc tells of the block that stays, and of none made. */
static void failures_are_told(void) {
  volatile size_t huge = (size_t)PTRDIFF_MAX + 1;
  size_t told = NOT_TOLD, before = NOT_TOLD;
  void* p = mi_malloc(100);
  CHECK(mi_urealloc(p, huge, &before, &told) == NULL, "mi_urealloc");
  CHECK(before == mi_usable_size(p) && told == 0, "mi_urealloc");
  CHECK(mi_urealloc(NULL, huge, &before, &told) == NULL && before == 0 && told == 0, "mi_urealloc");
  CHECK(mi_ucalloc(huge, 3, &told) == NULL && told == 0, "mi_ucalloc");
  told = NOT_TOLD;
  CHECK(mi_umalloc_aligned(huge, 64, &told) == NULL && told == 0, "mi_umalloc_aligned");
  mi_ufree(p, NULL);
  mi_ufree(NULL, &told);
  CHECK(told == 0 && mi_malloc_size(NULL) == 0, "mi_ufree");
  for (size_t n = 0; n < 100000; n = n * 2 + 1) CHECK(mi_malloc_good_size(n) == mi_good_size(n), "good_size");
}

static void strings_in_heaps(mi_heap_t* heap) {
  char* const s = mi_heap_strndup(heap, "allocator", 5);
  CHECK(mi_heap_of(s) == heap && strcmp(s, "alloc") == 0, "mi_heap_strndup");
  CHECK(mi_heap_strndup(heap, NULL, 5) == NULL && mi_heap_strdup(heap, NULL) == NULL, "mi_heap_strdup");
  mi_free(s);
}

static void* each(void* heap) {
  make_each(heap);
  resize_each(heap);
  strings_in_heaps(heap);
  return NULL;
}

static bool count_block(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size,
                        void* arg) {
  (void)heap, (void)area, (void)size;
  if (block != NULL) ++*(size_t*)arg;
  return true;
}

int main(void) {
  mi_heap_t* const heap = mi_heap_new();
  each(heap);
  failures_are_told();
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, each, heap) == 0, "pthread_create");
  each(heap);
  for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0, "pthread_join");
  size_t live = 0;
  CHECK(mi_heap_visit_blocks(heap, true, count_block, &live) && live == 0, "all were freed");
  mi_heap_destroy(heap);
  printf("%zu functions that make, %zu that resize\n", sizeof(makers) / sizeof(makers[0]),
         sizeof(resizers) / sizeof(resizers[0]));
  return 0;
}
