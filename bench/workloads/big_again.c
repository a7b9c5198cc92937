/* SPDX-License-Identifier: MIT */
/* The same big blocks again and again: each request takes a few buffers of 128 KiB to 8 MiB, writes every
   page of them, and gives them back.  An allocator that returns them to the system at once pays for each page
   anew; one that keeps them for ever shows it in its resident set. */
#include "workload.h"

enum { REQUESTS = 2400, BUFFERS = 3, KINDS = 6 };

static const size_t sizes[KINDS] = {128 << 10, 300000, 512 << 10, 1 << 20, 3000000, 8 << 20};

static void work(worker_t* worker) {
  const uint64_t requests = workload_share(worker->workload, REQUESTS);
  for (uint64_t i = 0; i < requests; i++) {
    void* buffers[BUFFERS];
    for (size_t k = 0; k < BUFFERS; k++)
      buffers[k] = stamped_alloc(sizes[random_below(&worker->random, KINDS)]);
    for (size_t k = 0; k < BUFFERS; k++) stamped_free(buffers[k]);
  }
  worker->operations = 2 * requests * BUFFERS;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("big_again", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
