/* SPDX-License-Identifier: MIT */
/* Large objects: about a dozen live ones of 5 to 25 MiB, one at a time replaced by another of another size.
 */
#include "workload.h"

enum { LIVE = 12, REPLACEMENTS = 160, SIZE_LOW = 5 << 20, SIZE_SPAN = 20 << 20 };

static void work(worker_t* worker) {
  void* live[LIVE] = {0};
  const uint64_t replacements = workload_share(worker->workload, REPLACEMENTS);
  const size_t slots = LIVE / worker->workload->threads != 0 ? LIVE / worker->workload->threads : 1;
  for (uint64_t i = 0; i < replacements; i++) {
    void** const slot = &live[random_below(&worker->random, slots)];
    stamped_free(*slot);
    *slot = stamped_alloc(SIZE_LOW + random_below(&worker->random, SIZE_SPAN));
  }
  for (size_t i = 0; i < LIVE; i++) stamped_free(live[i]);
  worker->operations = 2 * replacements;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("malloc_large", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
