/* SPDX-License-Identifier: MIT */
/* A burst, then nothing: 186 MB of small blocks (scaled) are allocated, all are freed, and the process
   sleeps for two seconds without one call of the allocator.  Its resident set then says what goes back by
   itself. */
#include <stdlib.h>

#include "workload.h"

enum { BURST_BYTES = 186000000 };

typedef struct link_s {
  struct link_s* next;
  uint64_t size;
} link_t;

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("burst_idle", argc, argv);
  uint64_t random = workload.seed;
  const uint64_t total = workload_scaled(&workload, BURST_BYTES);
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
  while (list != NULL) {
    link_t* const block = list;
    list = block->next;
    if (block->size < 32 || block->size > 1024) workload_fail("a block lost its contents");
    free(block);
  }
  char extra[128];
  idle_report(0, extra, sizeof(extra));
  return workload_end(&workload, 2 * blocks, extra);
}
