/* SPDX-License-Identifier: MIT */
/* Visiting: a heap with 200,000 live blocks of mixed sizes, every third freed, is visited over and over: its
   areas alone, and with every block.  What the visitor sees is added up and compared with what is there. */
#include <stdio.h>

#include "heap_functions.h"

enum { BLOCKS = 200000, VISITS_AREAS = 200, VISITS_BLOCKS = 50 };

typedef struct seen_s {
  size_t areas, used, blocks, bytes;
} seen_t;

static bool look(const void* heap, const area_t* area, void* block, size_t size, void* arg) {
  seen_t* const seen = arg;
  (void)heap;
  if (block == NULL) {
    seen->areas++;
    seen->used += area->used;
  } else {
    seen->blocks++;
    seen->bytes += size;
  }
  return true;
}

/* Nanoseconds of `count` visits, and what the last one has seen. */
static uint64_t visits(const heap_functions_t* heaps, void* heap, size_t count, bool blocks, seen_t* seen) {
  const uint64_t start = now_ns();
  for (size_t i = 0; i < count; i++) {
    *seen = (seen_t){0, 0, 0, 0};
    if (!heaps->visit(heap, blocks, look, seen)) workload_fail("a visit was stopped");
  }
  return now_ns() - start;
}

int main(int argc, char** argv) {
  const heap_functions_t heaps = find_heap_functions();
  const workload_t workload = workload_begin("visit", argc, argv);
  void** const blocks = harness_map(BLOCKS * sizeof(void*));
  uint64_t random = workload.seed;
  size_t live = 0;
  size_t asked = 0;
  void* const heap = heaps.create();
  for (size_t i = 0; i < BLOCKS; i++) {
    const size_t size = random_mixed_size(&random);
    blocks[i] = stamped_in_heap(&heaps, heap, size);
    asked += i % 3 != 0 ? size : 0;
  }
  for (size_t i = 0; i < BLOCKS; i++) {
    if (i % 3 == 0) stamped_free(blocks[i]);
    else live++;
  }
  seen_t areas;
  seen_t all;
  const size_t rounds_areas = (size_t)workload_scaled(&workload, VISITS_AREAS);
  const size_t rounds_blocks = (size_t)workload_scaled(&workload, VISITS_BLOCKS);
  const uint64_t ns_areas = visits(&heaps, heap, rounds_areas, false, &areas);
  const uint64_t ns_blocks = visits(&heaps, heap, rounds_blocks, true, &all);
  if (areas.areas == 0 || areas.used != live || all.blocks != live || all.used != live || all.bytes < asked)
    workload_fail("a visit has not seen what is there");
  for (size_t i = 0; i < BLOCKS; i++) {
    if (i % 3 != 0) stamp_check(blocks[i]);
  }
  char extra[256];
  snprintf(extra, sizeof(extra), "areas=%zu ns_area=%.1f ns_block=%.2f", areas.areas,
           (double)ns_areas / (double)(rounds_areas * areas.areas),
           (double)ns_blocks / (double)(rounds_blocks * live));
  heaps.destroy(heap);
  return workload_end(&workload, rounds_blocks * live, extra);
}
