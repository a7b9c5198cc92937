/* SPDX-License-Identifier: MIT */
/* After glibc's bench-malloc-simple: so many blocks of one size are allocated and freed in the same order,
   again and again; few blocks (what a cache of the thread holds) and many. */
#include "workload.h"

enum { BLOCKS_MAX = 1600, CALLS = 1200000 };

static const size_t counts[] = {25, 100, 400, BLOCKS_MAX};
static const size_t sizes[] = {16, 64, 256, 1024};

static void repeat(void** blocks, size_t count, size_t size, uint64_t calls) {
  for (uint64_t done = 0; done < calls; done += count) {
    for (size_t i = 0; i < count; i++) blocks[i] = stamped_alloc(size);
    for (size_t i = 0; i < count; i++) stamped_free(blocks[i]);
  }
}

static void work(worker_t* worker) {
  void* blocks[BLOCKS_MAX];
  const uint64_t calls = workload_share(worker->workload, CALLS);
  for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
      repeat(blocks, counts[c], sizes[s], calls);
      worker->operations += 2 * calls;
    }
  }
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("glibc_simple", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
