/* SPDX-License-Identifier: MIT */
/* What secure builds must not mistake for misuse, and what they promise of heaps: while a heap lives, no
   other gets the memory of its small and medium blocks, freed or not. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "mimalloc.h"

enum { BLOCKS = 3000, ROUNDS = 3 };

static void must(int condition, const char* what, size_t size) {
  if (condition) return;
  fprintf(stderr, "not so: %s (%zu bytes)\n", what, size);
  exit(1);
}

/* A resize in place gives the block the alignment that was asked for. */
static void resized_blocks(void) {
  for (int i = 0; i < 1000; i++) {
    void* const p = mi_realloc_aligned(mi_malloc(97), 103, 64);
    mi_free_aligned(p, 64);
    void* const q = mi_realloc_aligned(mi_malloc(50000), 50100, 64);
    mi_free_size_aligned(q, 50100, 64);
  }
}

static int by_address(const void* a, const void* b) {
  const uintptr_t x = *(const uintptr_t*)a, y = *(const uintptr_t*)b;
  return x < y ? -1 : x > y;
}

static void no_block_of_another(size_t size) {
  static uintptr_t freed[BLOCKS];
  mi_heap_t* const victims = mi_heap_new();
  mi_heap_t* const others = mi_heap_new();
  for (int i = 0; i < BLOCKS; i++) freed[i] = (uintptr_t)mi_heap_malloc(victims, size);
  for (int i = 1; i < BLOCKS; i++) mi_free((void*)freed[i]);
  qsort(freed, BLOCKS, sizeof(freed[0]), by_address);
  for (int round = 0; round < ROUNDS; round++) {
    mi_collect(true);
    for (int i = 0; i < BLOCKS; i++) {
      const uintptr_t p = (uintptr_t)mi_heap_malloc(i % 2 ? others : NULL, size);
      size_t low = 0, high = BLOCKS; /* the last freed block at or below p */
      while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (freed[middle] <= p) low = middle;
        else high = middle;
      }
      must(p < freed[low] || p >= freed[low] + size, "no block lies where another heap has freed one", size);
      if (i % 2 == 0) mi_free((void*)p);
    }
  }
  for (int i = 0; i < BLOCKS; i++)
    must(mi_heap_malloc(victims, size) != NULL, "the heap itself uses it again", size);
  mi_heap_destroy(victims);
  mi_heap_delete(others);
}

int main(void) {
  resized_blocks();
  if (MI_SECURE) {
    no_block_of_another(64);
    no_block_of_another(1000);
    no_block_of_another(20000);
  }
  return 0;
}
