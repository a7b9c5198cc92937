/* SPDX-License-Identifier: MIT */
/* Full pages: the time of one operation with 20 x 64 KiB of live blocks of the class, and again with 20,000
   x 64 KiB. The blocks stay untouched while the same batch is allocated and freed; any difference is a
   search through pages that have nothing to give.  The batch spans several pages, so that they become full
   and are found again.  The scale goes for the many pages too. */
#include <stdio.h>
#include <stdlib.h>

#include "workload.h"

enum { SIZE = 512, PAGE_BYTES = 65536, FEW_PAGES = 20, MANY_PAGES = 20000 };
enum { BATCH = 1500, BATCHES = 2000, TRIES = 5 };

typedef struct link_s {
  struct link_s* next;
  uint64_t check;
} link_t;

static link_t* live;

static void hold(size_t blocks) {
  for (size_t i = 0; i < blocks; i++) {
    link_t* const block = malloc(SIZE);
    if (block == NULL) workload_fail("out of memory");
    *block = (link_t){.next = live, .check = (uint64_t)(uintptr_t)block};
    live = block;
  }
}

static void release(void) {
  while (live != NULL) {
    link_t* const block = live;
    if (block->check != (uint64_t)(uintptr_t)block) workload_fail("a block lost its contents");
    live = block->next;
    free(block);
  }
}

static double batch_ns_per_operation(uint64_t batches) {
  static void* batch[BATCH];
  const uint64_t start = now_ns();
  for (uint64_t i = 0; i < batches; i++) {
    for (size_t k = 0; k < BATCH; k++) batch[k] = stamped_alloc(SIZE);
    for (size_t k = 0; k < BATCH; k++) stamped_free(batch[k]);
  }
  return (double)(now_ns() - start) / (double)(batches * BATCH * 2);
}

/* The best of a few tries: the rest is what the machine did meanwhile. */
static double best_ns_per_operation(uint64_t batches) {
  double best = batch_ns_per_operation(batches / 10 + 1);
  for (unsigned i = 0; i < TRIES; i++) {
    const double again = batch_ns_per_operation(batches / TRIES);
    best = again < best ? again : best;
  }
  return best;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("full_pages", argc, argv);
  const uint64_t batches = workload_scaled(&workload, BATCHES);
  const size_t per_page = PAGE_BYTES / SIZE;
  hold(FEW_PAGES * per_page);
  const double few = best_ns_per_operation(batches);
  hold((size_t)workload_scaled(&workload, MANY_PAGES) * per_page);
  const double many = best_ns_per_operation(batches);
  release();
  char extra[128];
  snprintf(extra, sizeof(extra), "ns_few=%.2f ns_many=%.2f ratio=%.3f", few, many, many / few);
  return workload_end(&workload, 4 * batches * BATCH, extra);
}
