/* SPDX-License-Identifier: MIT */
/* First-class heaps: destroy frees all blocks at once, delete keeps them; heaps shared by threads; blocks
   freed by others before and after; thousands of heaps without growth. */
#include "support.h"

enum { BLOCKS = 2000, SLACK = 4 * MIB };

static void* blocks[BLOCKS];
static size_t sizes[BLOCKS];

static void fill(mi_heap_t* heap, int first, int last) {
  uint64_t random = (uint64_t)first + 1;
  for (int i = first; i < last; i++) {
    sizes[i] = 1 + random_below(&random, i % 100 == 0 ? 300000 : 1500);
    blocks[i] = mi_heap_malloc(heap, sizes[i]);
    CHECK(blocks[i] != NULL, "out of memory");
    CHECK(mi_heap_contains(heap, blocks[i]), "the heap does not know its block %p", blocks[i]);
    payload_fill(blocks[i], sizes[i], (uint64_t)i);
  }
}

static void check_and_free(int first, int step) {
  for (int i = first; i < BLOCKS; i += step) {
    if (blocks[i] == NULL) continue;
    payload_check(blocks[i], sizes[i], (uint64_t)i);
    mi_free(blocks[i]);
    blocks[i] = NULL;
  }
}

static void* free_a_third(void* arg) {
  check_and_free(0, 3);
  return arg;
}

typedef struct share_s {
  mi_heap_t* heap;
  int first, last;
} share_t;

static void* fill_share(void* arg) {
  share_t* share = (share_t*)arg;
  fill(share->heap, share->first, share->last);
  return NULL;
}

static void fill_by_threads(mi_heap_t* heap) {
  share_t shares[4];
  pthread_t threads[4];
  for (int k = 0; k < 4; k++) {
    shares[k] = (share_t){.heap = heap, .first = BLOCKS / 4 * k, .last = BLOCKS / 4 * (k + 1)};
    threads[k] = thread_start(&fill_share, &shares[k]);
  }
  for (int k = 0; k < 4; k++) thread_join(threads[k]);
}

static void one_round(int round) {
  mi_heap_t* heap = mi_heap_new();
  CHECK(heap != NULL, "mi_heap_new: out of memory");
  if (round % 5 == 0) fill_by_threads(heap);
  else fill(heap, 0, BLOCKS);
  if (round % 3 == 0) thread_join(thread_start(&free_a_third, NULL));
  check_and_free(1, 3);
  if (round % 2 == 0) {
    mi_heap_destroy(heap);
    memset(blocks, 0, sizeof(blocks));
    return;
  }
  mi_heap_delete(heap);
  mi_collect(round % 4 == 1);
  for (int i = 0; i < BLOCKS; i++) {
    if (blocks[i] != NULL)
      CHECK(mi_heap_contains(mi_heap_main(), blocks[i]), "block %p has no heap now", blocks[i]);
  }
  if (round % 7 == 0) thread_join(thread_start(&free_a_third, NULL));
  check_and_free(0, 1);
}

static void* heap_in_thread(void* arg) {
  mi_heap_t* heap = mi_heap_new();
  CHECK(heap != NULL, "mi_heap_new: out of memory");
  void* p = mi_heap_zalloc(heap, 100);
  CHECK(p != NULL, "out of memory");
  *(mi_heap_t**)arg = heap;
  return p;
}

/* A heap outlives the thread that made it. */
static void outlives(void) {
  mi_heap_t* heap = NULL;
  void* p = NULL;
  pthread_t thread = thread_start(&heap_in_thread, &heap);
  CHECK(pthread_join(thread, &p) == 0, "join");
  CHECK(mi_heap_contains(heap, p), "the heap lost its block");
  zero_check(p, 100);
  void* q = mi_heap_realloc(heap, p, 20000);
  CHECK(q != NULL && mi_heap_contains(heap, q), "realloc in the heap");
  mi_heap_destroy(heap);
}

int main(void) {
  watchdog(120);
  size_t rss = 0;
  for (int round = 0; round < 300; round++) {
    one_round(round);
    if (round == 60) rss = rss_bytes();
  }
  outlives();
  mi_heap_delete(NULL);
  mi_heap_destroy(NULL);
  const size_t reserved = reserved_bytes();
  for (int i = 0; i < 20000; i++) {
    mi_heap_t* heap = mi_heap_new();
    void* p = (heap != NULL ? mi_heap_malloc(heap, 100) : NULL);
    CHECK(p != NULL, "heap %d: out of memory", i);
    if (i % 2 == 0) mi_heap_destroy(heap);
    else mi_heap_delete(heap);
    if (i % 2 != 0) mi_free(p);
  }
  mi_collect(true);
  printf("rss %zu -> %zu KiB, reserved %zu -> %zu KiB\n", rss / KIB, rss_bytes() / KIB, reserved / KIB,
         reserved_bytes() / KIB);
  CHECK(rss_bytes() <= rss + SLACK, "resident memory grew from %zu to %zu KiB", rss / KIB, rss_bytes() / KIB);
  CHECK(reserved_bytes() <= reserved + SLACK, "address space grew");
  return 0;
}
