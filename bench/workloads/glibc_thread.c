/* SPDX-License-Identifier: MIT */
/* After glibc's bench-malloc-thread: each thread replaces the blocks of a table of 1,024 at random; sizes up
   to 32 KiB, of which the probability falls with the square. */
#include "workload.h"

enum { SLOTS = 1024, STEPS = 12000000, BIGGEST = 32768 };

/* With u uniform in (0, 1], min / u has a density that falls with the square of the size. */
static size_t chosen_size(uint64_t* random) {
  const size_t u = 1 + random_below(random, BIGGEST / STAMPED_MIN);
  return BIGGEST / u > STAMPED_MIN ? BIGGEST / u : STAMPED_MIN;
}

static void work(worker_t* worker) {
  void* slots[SLOTS] = {0};
  const uint64_t steps = workload_share(worker->workload, STEPS);
  for (uint64_t i = 0; i < steps; i++) {
    void** const slot = &slots[random_below(&worker->random, SLOTS)];
    stamped_free(*slot);
    *slot = stamped_alloc(chosen_size(&worker->random));
  }
  for (size_t i = 0; i < SLOTS; i++) stamped_free(slots[i]);
  worker->operations = 2 * steps;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("glibc_thread", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
