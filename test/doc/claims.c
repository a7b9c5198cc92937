/* SPDX-License-Identifier: MIT */
/* Statements of the headers' comments that no other test holds the library to. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mimalloc-stats.h"

static int failures;

#define holds(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      failures++;                                                            \
    }                                                                        \
  } while (0)

static volatile size_t impossible = SIZE_MAX / 2;
static volatile size_t none = 0, no_power = 48;

static size_t alignment_of(const void* p) { return (uintptr_t)p & -(uintptr_t)p; }

static void sizes_and_alignments(void) {
  for (size_t size = 0; size <= 5000; size++) {
    void* const p = mi_malloc(size);
    holds(p != NULL && mi_usable_size(p) >= size && mi_usable_size(p) == mi_good_size(size));
    holds(alignment_of(p) >= (size >= 16 ? 16 : 8));
    if ((size & (size - 1)) == 0 && size <= 4096) holds(alignment_of(p) >= size);
    mi_free(p);
  }
  for (size_t alignment = 1; alignment <= (size_t)1 << 33; alignment *= 2) {
    void* const p = mi_malloc_aligned(100, alignment);
    holds(p != NULL && (uintptr_t)p % alignment == 0);
    void* const q = mi_malloc_aligned_at(100, alignment, 12345);
    holds(q != NULL && ((uintptr_t)q + 12345) % alignment == 0);
    mi_free(q);
    mi_free(p);
  }
  void* const nothing = mi_malloc(0);
  void* const other = mi_malloc(0);
  holds(nothing != NULL && other != NULL && nothing != other);
  mi_free(nothing);
  mi_free(other);
  holds(mi_good_size(impossible + 1) == impossible + 1);
}

static void errors(void) {
  errno = 0;
  holds(mi_malloc_aligned(100, none) == NULL && errno == EINVAL);
  errno = 0;
  holds(mi_malloc_aligned(100, no_power) == NULL && errno == EINVAL);
  errno = 0;
  holds(mi_memalign(none, 100) == NULL && errno == EINVAL);
  errno = 0;
  holds(mi_aligned_alloc(no_power, 100) == NULL && errno == EINVAL);
  errno = 0;
  void* p = &p;
  holds(mi_posix_memalign(&p, 0, 100) == EINVAL && p == &p && errno == 0);
  holds(mi_posix_memalign(&p, 8, impossible + 1) == ENOMEM && p == &p && errno == 0);
  holds(mi_malloc(impossible + 1) == NULL && errno == ENOMEM);
  errno = 0;
  holds(mi_calloc(impossible, 3) == NULL && errno == ENOMEM);
  errno = 0;
  holds(mi_pvalloc(impossible * 2) == NULL && errno == ENOMEM);
  errno = EDOM;
  holds(mi_strdup(NULL) == NULL && mi_strndup(NULL, 3) == NULL && mi_wcsdup(NULL) == NULL);
  holds(mi_expand(NULL, 8) == NULL);
  mi_free(mi_calloc(1 << 20, 100));
  mi_heap_destroy(mi_heap_new());
  mi_collect(true);
  holds(errno == EDOM);
  holds(mi_realpath("/no/such/file", NULL) == NULL && errno == ENOENT);
}

static void resizing(void) {
  char* p = mi_malloc(100);
  const size_t usable = mi_usable_size(p);
  holds(mi_expand(p, usable) == p && mi_expand(p, usable + 1) == NULL && mi_expand(p, 0) == p);
  errno = 0;
  holds(mi__expand(p, usable + 1) == NULL && errno == ENOMEM);
  holds(mi_realloc(p, usable) == p && mi_realloc(p, usable / 2) == p);
  memset(p, 7, 50);
  holds(mi_realloc(p, impossible + 1) == NULL && p[49] == 7);
  holds(mi_realloc_aligned(p, 100, no_power) == NULL && p[49] == 7);
  p = mi_realloc(p, 0);
  holds(p != NULL && mi_usable_size(p) == mi_good_size(0));
  holds(mi_reallocf(p, impossible + 1) == NULL); /* p is gone */
  char* z = mi_zalloc(10);
  for (size_t size = 10; size < 300000; size = size * 3 / 2) {
    char* const larger = mi_rezalloc(z, size);
    holds(larger != NULL);
    z = larger;
    for (size_t i = 0; i < size; i++) holds(z[i] == 0 || z[i] == 1);
    holds(z[size - 1] == 0);
    memset(z, 1, size);
  }
  mi_free(z);
}

static void heaps(void) {
  mi_heap_t* const heap = mi_heap_new();
  char* const p = mi_heap_malloc(heap, 1000);
  char* const big = mi_heap_malloc(heap, 3000000);
  holds(mi_heap_of(p) == heap && mi_heap_of(big) == heap && mi_heap_contains(heap, p));
  holds(!mi_heap_contains(NULL, p) && !mi_heap_contains(heap, &failures) && !mi_heap_contains(heap, NULL));
  holds(mi_heap_of(NULL) == NULL && mi_heap_of(&failures) == NULL);
  holds(mi_heap_of(p + 100) == heap && mi_heap_contains(heap, p + 100) &&
        mi_heap_contains(heap, big + 2000000));
  holds(mi_any_heap_contains(p + 100) && mi_is_in_heap_region(p + 100) && !mi_is_in_heap_region(&failures));
  char* const q = mi_malloc(100);
  char* const moved = mi_heap_realloc(heap, q, 100);
  holds(moved != q && mi_heap_of(moved) == heap);
  mi_heap_delete(heap);
  holds(mi_heap_of(p) == mi_heap_main() && mi_heap_of(big) == mi_heap_main());
  mi_free(p);
  mi_free(big);
  mi_free(moved);
  mi_heap_delete(NULL);
  mi_heap_destroy(NULL);
  mi_heap_destroy(mi_heap_main()); /* refused */
  holds(mi_usable_size(NULL) == 0 && !mi_cfree(&failures) && !mi_cfree(NULL));
}

static void own_words(const char* text, void* arg) {
  char* const copy = mi_strdup(text); /* it may allocate */
  if (copy != NULL) *(size_t*)arg += strlen(copy);
  mi_free(copy);
}

static void printing(void) {
  size_t length = 0;
  mi_stats_print_out(&own_words, &length);
  holds(length > 0);
  length = 0;
  mi_register_output(&own_words, &length);
  mi_option_enable(mi_option_verbose); /* lines from within the allocator, too */
  void* const p = mi_malloc((size_t)3 << 30);
  mi_option_disable(mi_option_verbose);
  mi_free(p);
  length = 0;
  mi_stats_print(stdout); /* what old programs pass: ignored */
  holds(length > 0);
  mi_register_output(NULL, NULL);
}

static void statistics(void) {
  mi_stats_t_decl(stats);
  stats.version = 5;
  holds(!mi_stats_get(&stats) && !mi_stats_get(NULL) && stats.malloc_count.total == 0);
  char small[10];
  holds(mi_stats_get_json(sizeof(small), small) == NULL);
  static char large[1 << 20];
  holds(mi_stats_get_json(sizeof(large), large) == large);
  holds(mi_stats_get_bin_size(MI_BIN_HUGE) == 0 && mi_stats_get_bin_size(1000) == 0);
  holds(mi_subproc_stats_get((mi_subproc_id_t){NULL}, &stats) == false);
}

static void options(void) {
  holds(mi_option_get((mi_option_t)1000) == 0 && !mi_option_is_enabled((mi_option_t)-1));
  mi_option_set((mi_option_t)1000, 1);
  mi_option_set(mi_option_purge_delay, -1);
  holds(mi_option_get_size(mi_option_purge_delay) == 0);
}

static void information(void) {
  nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
  size_t elapsed = 0, rss = 0, peak = 0;
  mi_process_info(&elapsed, NULL, NULL, &rss, &peak, NULL, NULL, NULL);
  holds(elapsed >= 30 && rss > 0 && peak > 0); /* since the start of the process, not since the first call */
  holds(mi_arena_min_alignment() == 4 << 20 && mi_arena_min_size() == 4 << 20);
  holds(mi_arena_max_object_size() == (size_t)1 << 40);
  holds(mi_thread_id_of(NULL) == 0 && mi_thread_id_of(&failures) == 0 && !mi_is_redirected());
  holds(mi_arena_area(NULL, &rss) == NULL && rss == 0);
  mi_arena_id_t id = &id;
  holds(mi_reserve_os_memory_ex(0, false, false, false, &id) == ENOMEM && id == NULL);
  errno = 0;
  holds(mi_heap_new_in_arena(&failures) == NULL && errno == EINVAL);
}

int main(void) {
  sizes_and_alignments();
  errors();
  resizing();
  heaps();
  printing();
  statistics();
  information();
  options();
  return failures == 0 ? 0 : 1;
}
