/* SPDX-License-Identifier: MIT */
/* Random replacement of mixed sizes: each thread owns a table of live blocks and replaces one at random,
   again and again.  Mode "small" keeps all sizes below 512 bytes. */
#include <string.h>

#include "workload.h"

enum { SLOTS = 20000, STEPS = 4000000 };

static void replace(worker_t* worker) {
  void** const slots = harness_map(SLOTS * sizeof(void*));
  const bool small = strcmp(worker->workload->mode, "small") == 0;
  const uint64_t steps = workload_share(worker->workload, STEPS);
  for (uint64_t i = 0; i < steps; i++) {
    void** const slot = &slots[random_below(&worker->random, SLOTS)];
    stamped_free(*slot);
    *slot = stamped_alloc(small ? random_size(&worker->random, 4, 9) : random_mixed_size(&worker->random));
  }
  for (size_t i = 0; i < SLOTS; i++) stamped_free(slots[i]);
  worker->operations = 2 * steps;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("random_replace", argc, argv);
  return workload_end(&workload, workload_run(&workload, replace), "");
}
