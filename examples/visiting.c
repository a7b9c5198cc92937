/* SPDX-License-Identifier: MIT */
/* A cache tells what it holds, by size; then it defragments: most entries are dropped, the others are moved
   together, and the memory between them goes back.

   Shows: visiting heaps */
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

enum { ENTRIES = 10000, KEPT = 20, SIZE = 200 };

typedef struct census_s {
  size_t areas, blocks, bytes;
} census_t;

static bool take_census(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t block_size,
                        void* arg) {
  census_t* const census = arg;
  (void)heap, (void)area;
  if (block == NULL) { /* the area itself comes first */
    if (area->used > 0) census->areas++;
  } else {
    census->blocks++;
    census->bytes += block_size;
  }
  return true;
}

static census_t census_of(mi_heap_t* heap) {
  census_t census = {0, 0, 0};
  mi_heap_visit_blocks(heap, true, &take_census, &census);
  return census;
}

int main(void) {
  static char* entries[ENTRIES];
  mi_heap_t* const cache = mi_heap_new();
  if (cache == NULL) return 1;
  for (int i = 0; i < ENTRIES; i++) {
    if ((entries[i] = mi_heap_malloc(cache, SIZE)) == NULL) return 1;
    snprintf(entries[i], SIZE, "entry %d", i);
  }
  const census_t full = census_of(cache);
  printf("full: %zu blocks\n", full.blocks);

  for (int i = 0; i < ENTRIES; i++) {
    if (i % KEPT != 0) mi_free(entries[i]), entries[i] = NULL;
  }
  const census_t sparse = census_of(cache);
  printf("one in %d kept: %zu blocks, as many areas as before: %s\n", KEPT, sparse.blocks,
         sparse.areas == full.areas ? "yes" : "no");

  for (int i = 0; i < ENTRIES; i++) {
    if (entries[i] == NULL || !mi_unsafe_heap_page_is_under_utilized(cache, entries[i], 80)) continue;
    char* const moved = mi_heap_malloc(cache, SIZE);
    if (moved == NULL) break;
    memcpy(moved, entries[i], SIZE);
    mi_free(entries[i]);
    entries[i] = moved;
  }
  const census_t dense = census_of(cache);
  printf("moved together: %zu blocks, a quarter of the areas at most: %s\n", dense.blocks,
         dense.areas <= full.areas / 4 + 1 ? "yes" : "no");
  printf("still there: %s\n", entries[KEPT * 7]);
  mi_heap_destroy(cache);
  return 0;
}
