/* SPDX-License-Identifier: MIT */
/* Heaps: create one, allocate nothing, 10 or 1,000 blocks of mixed sizes in it, destroy it; again and again,
   in each thread.  What counts is the time of the whole cycle and, of the largest, that of the end alone. */
#include <stdio.h>

#include "heap_functions.h"

enum { CYCLES_EMPTY = 100000, CYCLES_FEW = 40000, CYCLES_MANY = 1000, FEW = 10, MANY = 1000 };

typedef struct times_s {
  uint64_t empty, few, many, end; /* of this thread, ns */
} times_t;

static heap_functions_t heaps;
static times_t times[WORKLOAD_THREADS_MAX];

/* Returns the ns that destroying took, if `timed`. */
static void cycle(uint64_t* random, size_t blocks, uint64_t* end) {
  void* const heap = heaps.create();
  if (heap == NULL) workload_fail("no heap");
  void* block = NULL;
  for (size_t i = 0; i < blocks; i++) block = stamped_in_heap(&heaps, heap, random_mixed_size(random));
  if (block != NULL) stamp_check(block);
  const uint64_t start = end != NULL ? now_ns() : 0;
  heaps.destroy(heap);
  if (end != NULL) *end += now_ns() - start;
}

static uint64_t cycles(worker_t* worker, uint64_t count, size_t blocks, uint64_t* end) {
  const uint64_t start = now_ns();
  for (uint64_t i = 0; i < count; i++) cycle(&worker->random, blocks, end);
  worker->operations += count;
  return now_ns() - start;
}

static void work(worker_t* worker) {
  const workload_t* const workload = worker->workload;
  times_t* const mine = &times[worker->index];
  mine->empty = cycles(worker, workload_share(workload, CYCLES_EMPTY), 0, NULL);
  mine->few = cycles(worker, workload_share(workload, CYCLES_FEW), FEW, NULL);
  mine->many = cycles(worker, workload_share(workload, CYCLES_MANY), MANY, &mine->end);
}

int main(int argc, char** argv) {
  heaps = find_heap_functions();
  const workload_t workload = workload_begin("heaps", argc, argv);
  const uint64_t operations = workload_run(&workload, work);
  times_t sum = {0, 0, 0, 0};
  for (size_t i = 0; i < workload.threads; i++) {
    sum.empty += times[i].empty;
    sum.few += times[i].few;
    sum.many += times[i].many;
    sum.end += times[i].end;
  }
  char extra[256];
  const uint64_t threads = workload.threads;
  snprintf(extra, sizeof(extra), "ns_empty=%.1f ns_10=%.1f ns_1000=%.1f ns_destroy_1000=%.1f",
           (double)sum.empty / (double)(threads * workload_share(&workload, CYCLES_EMPTY)),
           (double)sum.few / (double)(threads * workload_share(&workload, CYCLES_FEW)),
           (double)sum.many / (double)(threads * workload_share(&workload, CYCLES_MANY)),
           (double)sum.end / (double)(threads * workload_share(&workload, CYCLES_MANY)));
  return workload_end(&workload, operations, extra);
}
