/* SPDX-License-Identifier: MIT */
/* A burst, then nothing: 186 MB of small blocks (x SCALE) are allocated, all are freed, and the process
   sleeps for two seconds without one call of the allocator.  Its resident set then says what goes back by
   itself. */
#include <stdio.h>
#include <stdlib.h>

#include "workload.h"

enum { BURST_BYTES = 186000000, IDLE_MS = 2000 };

typedef struct link_s {
  struct link_s* next;
  uint64_t size;
} link_t;

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("burst_idle", argc, argv);
  uint64_t random = workload.seed;
  const uint64_t total = (uint64_t)BURST_BYTES * workload.scale;
  link_t* list = NULL;
  link_t** tail = &list; /* freed in the order of allocation */
  uint64_t blocks = 0;
  for (uint64_t bytes = 0; bytes < total; blocks++) {
    const size_t size = random_size(&random, 5, 10);
    link_t* const block = malloc(size);
    if (block == NULL) workload_fail("out of memory");
    *block = (link_t){.next = NULL, .size = size};
    *tail = block;
    tail = &block->next;
    bytes += size;
  }
  const size_t full = resident_kib();
  while (list != NULL) {
    link_t* const block = list;
    list = block->next;
    if (block->size < 32 || block->size > 1024) workload_fail("a block lost its contents");
    free(block);
  }
  const size_t freed = resident_kib();
  workload_stop_clock(&workload);
  idle_ms(IDLE_MS);
  char extra[128];
  snprintf(extra, sizeof(extra), "full_kib=%zu freed_kib=%zu idle_kib=%zu", full, freed, resident_kib());
  return workload_end(&workload, 2 * blocks, extra);
}
