/* SPDX-License-Identifier: MIT */
/* A use of every macro of the headers, in C and C++ (macros.c and macros.cc; declared.py checks that none is
   left out), and what each of them does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "mimalloc-stats.h"

#include "mimalloc-override.h"

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

/* The block is ours and is `a`-aligned; it is freed. */
#define OURS(block, a) ours(block, a, __LINE__)
static void ours(void* p, size_t alignment, int line) {
  if (!mi_any_heap_contains(p) || (uintptr_t)p % alignment != 0) {
    fprintf(stderr, "line %d: %p is not ours, or not aligned\n", line, p);
    exit(1);
  }
  mi_free(p);
}

typedef struct item_s {
  long number;
  char name[90];
} item_t;

static void constants(void) {
  CHECK(MI_MALLOC_VERSION == 30600 && mi_version() == MI_MALLOC_VERSION);
  CHECK(MI_SMALL_WSIZE_MAX == 128 && MI_SMALL_SIZE_MAX == 1024);
  CHECK(strcmp(MI_RELEASE, "0.1.0") >= 0);
  CHECK(MI_STAT_VERSION == 6 && MI_BIN_HUGE == 73);
  mi_stats_t_decl(stats);
  CHECK(stats.size == sizeof(mi_stats_t) && mi_stats_get(&stats));
#if defined(__cplusplus)
  CHECK(MI_HAS_HEAP_STL_ALLOCATOR == 1);
#endif
}

static void typed(void) {
  item_t* item = mi_malloc_tp(item_t);
  CHECK(mi_usable_size(item) >= sizeof(item_t));
  mi_free_tp(item_t, item);
  item = mi_zalloc_tp(item_t);
  CHECK(item->number == 0 && item->name[89] == 0);
  OURS(item, 16);
  item = mi_calloc_tp(item_t, 10);
  CHECK(mi_usable_size(item) >= 10 * sizeof(item_t) && item[9].number == 0);
  item[9].number = 99;
  item = mi_recalloc_tp(item_t, item, 30);
  CHECK(item[9].number == 99 && item[29].number == 0);
  OURS(item, 16);
  item = mi_mallocn_tp(item_t, 10);
  item[9].number = 9;
  item = mi_reallocn_tp(item_t, item, 100);
  CHECK(item[9].number == 9 && mi_usable_size(item) >= 100 * sizeof(item_t));
  OURS(item, 16);
}

static void typed_in_heaps(void) {
  mi_heap_t* const heap = mi_heap_new();
  item_t* item = mi_heap_malloc_tp(item_t, heap);
  CHECK(mi_heap_of(item) == heap);
  item = mi_heap_zalloc_tp(item_t, heap);
  CHECK(mi_heap_of(item) == heap && item->number == 0);
  item = mi_heap_mallocn_tp(item_t, heap, 10);
  item = mi_heap_reallocn_tp(item_t, heap, item, 20);
  CHECK(mi_heap_of(item) == heap && mi_usable_size(item) >= 20 * sizeof(item_t));
  item = mi_heap_calloc_tp(item_t, heap, 10);
  item = mi_heap_recalloc_tp(item_t, heap, item, 20);
  CHECK(mi_heap_of(item) == heap && item[19].number == 0);
  mi_heap_destroy(heap);
}

static void constant_sizes(void) {
  mi_free_csize(mi_malloc_csize(40), 40);
  char* p = (char*)mi_zalloc_csize(5000);
  CHECK(mi_usable_size(p) >= 5000 && p[0] == 0 && p[4999] == 0);
  mi_free_csize_nonnull(p, 5000);
  mi_free_csize_aligned(mi_malloc_aligned(40, 64), 40, 64);
  mi_free_csize_aligned_nonnull(mi_malloc_aligned(40, 64), 40, 64);
  mi_heap_t* const heap = mi_heap_new();
  mi_theap_t* const theap = mi_heap_theap(heap);
  CHECK(mi_heap_of(mi_theap_malloc_csize(theap, 100)) == heap);
  p = (char*)mi_theap_zalloc_csize(theap, 100);
  CHECK(mi_heap_of(p) == heap && p[99] == 0);
  mi_heap_destroy(heap);
}

static void overridden_c(void) {
  OURS(malloc(100), 16);
  OURS(calloc(10, 10), 16);
  OURS(realloc(malloc(10), 100), 16);
  OURS(aligned_alloc(512, 100), 512);
  OURS(strdup("text"), 1);
  OURS(strndup("text", 2), 1);
  OURS(wcsdup(L"text"), 1);
  OURS(realpath("/", NULL), 1);
  free(malloc(1));
  free_sized(malloc(100), 100);
  free_aligned_sized(aligned_alloc(512, 100), 512, 100);
}

static void overridden_unix(void) {
  void* p = NULL;
  CHECK(posix_memalign(&p, 512, 100) == 0);
  OURS(p, 512);
  CHECK(_posix_memalign(&p, 512, 100) == 0);
  OURS(p, 512);
  OURS(memalign(512, 100), 512);
  OURS(valloc(100), 4096);
  OURS(pvalloc(100), 4096);
  OURS(reallocf(NULL, 100), 16);
  OURS(reallocarray(NULL, 10, 10), 16);
  p = NULL;
  CHECK(reallocarr(&p, 10, 10) == 0);
  CHECK(malloc_size(p) >= 100 && malloc_usable_size(p) == malloc_size(p));
  CHECK(malloc_good_size(100) == malloc_size(p));
  CHECK(cfree(p));
  vfree(malloc(10));
}

static void overridden_windows(void) {
  char* p = (char*)_recalloc(NULL, 10, 10);
  CHECK(p[99] == 0 && _msize(p) >= 100 && _expand(p, 50) == p);
  OURS(p, 16);
  OURS(_strdup("text"), 1);
  OURS(_strndup("text", 2), 1);
  OURS(_wcsdup(L"text"), 1);
  OURS(_mbsdup((const unsigned char*)"text"), 1);
  char* value = NULL;
  size_t size = 0;
  CHECK(_dupenv_s(&value, &size, "PATH") == 0 && size == strlen(value) + 1);
  OURS(value, 1);
  CHECK(_wdupenv_s(NULL, NULL, L"PATH") != 0);
  OURS(_aligned_malloc(100, 512), 512);
  p = (char*)_aligned_realloc(NULL, 100, 512);
  CHECK(_aligned_msize(p, 512, 0) >= 100);
  OURS(p, 512);
  p = (char*)_aligned_recalloc(NULL, 10, 10, 512);
  CHECK(p[99] == 0);
  OURS(p, 512);
  p = (char*)_aligned_offset_malloc(100, 512, 8);
  p = (char*)_aligned_offset_realloc(p, 1000, 512, 8);
  CHECK((uintptr_t)(p + 8) % 512 == 0);
  _aligned_free(p);
  p = (char*)_aligned_offset_recalloc(NULL, 10, 10, 512, 8);
  CHECK((uintptr_t)(p + 8) % 512 == 0 && p[99] == 0);
  _aligned_free(p);
}

int main(void) {
  constants();
  typed();
  typed_in_heaps();
  constant_sizes();
  overridden_c();
  overridden_unix();
  overridden_windows();
  puts("ok");
  return 0;
}
