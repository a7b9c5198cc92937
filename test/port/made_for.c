/* SPDX-License-Identifier: MIT */
/* Compiled against mimalloc 3.6.0's own headers, run on our library: both must print each line the same. */
#include <mimalloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 1000 };

static void fact(const char* name, long value) { printf("%s %ld\n", name, value); }

static void hear(int error, void* arg) {
  (void)error;
  (void)arg;
}

typedef struct seen_s { size_t areas, blocks, small; } seen_t;

static bool see(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size, void* arg) {
  seen_t* const seen = arg;
  (void)heap;
  if (block == NULL) {
    seen->areas += area->used;
  } else {
    seen->blocks++;
    seen->small += size < 64 || size != area->block_size;
  }
  return true;
}

static void heaps(void) {
  mi_heap_t* const heap = mi_heap_new();
  void* blocks[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) blocks[i] = mi_heap_malloc(heap, 64);
  for (int i = 0; i < BLOCKS; i += 2) mi_free(blocks[i]);
  seen_t seen = {0, 0, 0};
  fact("visited to the end", mi_heap_visit_blocks(heap, true, see, &seen));
  fact("blocks seen", (long)seen.blocks);
  fact("used in areas", (long)seen.areas);
  fact("blocks too small", (long)seen.small);
  fact("its own", mi_heap_contains(heap, blocks[1]));
  char* const text = mi_heap_strdup(heap, "text");
  fact("a copy", strcmp(text, "text") == 0);
  mi_heap_destroy(heap);
}

static void blocks(void) {
  size_t n = 0, zeros = 0;
  unsigned char* p = mi_zalloc(100);
  for (size_t i = 0; i < 100; i++) zeros += p[i] == 0;
  fact("zeros", (long)zeros);
  p = mi_rezalloc(p, 1000);
  zeros = 0;
  for (size_t i = 0; i < 1000; i++) zeros += p[i] == 0;
  fact("zeros after growth", (long)zeros);
  fact("usable", mi_usable_size(p) >= 1000 && mi_good_size(1000) >= 1000);
  mi_free_size(p, 1000);
  p = mi_malloc_aligned(100, 4096);
  fact("aligned", (uintptr_t)p % 4096 == 0);
  mi_free_aligned(p, 4096);
  p = mi_malloc_aligned_at(100, 256, 8);
  fact("aligned at", ((uintptr_t)p + 8) % 256 == 0);
  mi_free(p);
  p = mi_umalloc(100, &n);
  fact("block size", n >= 100);
  mi_ufree(p, &n);
  void* q = NULL;
  fact("posix", mi_posix_memalign(&q, 64, 10));
  fact("posix, bad", mi_posix_memalign(&q, 7, 10) != 0);
  mi_free(q);
  fact("overflow", mi_calloc(SIZE_MAX / 2, 4) == NULL);
  q = malloc(100);
  fact("malloc too", mi_is_in_heap_region(q));
  free(q);
}

static void* elsewhere(void* arg) {
  mi_free(arg);
  return mi_malloc(200);
}

int main(void) {
  mi_register_error(hear, NULL);
  fact("version", mi_version());
  mi_option_set(mi_option_max_warnings, 5);
  fact("option", mi_option_get(mi_option_max_warnings));
  mi_option_disable(mi_option_show_stats);
  fact("flag", mi_option_is_enabled(mi_option_show_stats));
  blocks();
  heaps();
  pthread_t thread;
  void* there = NULL;
  pthread_create(&thread, NULL, elsewhere, mi_malloc(100));
  pthread_join(thread, &there);
  mi_free(there);
  size_t elapsed, user, system, rss, peak, commit, peak_commit, faults;
  mi_process_info(&elapsed, &user, &system, &rss, &peak, &commit, &peak_commit, &faults);
  fact("resident", peak > 0);
  mi_collect(true);
  return 0;
}
