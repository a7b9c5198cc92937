/* SPDX-License-Identifier: MIT */
/* Phase changes: each phase fills 48 MiB (scaled, all threads together) with blocks of its own band of sizes,
   replaces some at random, and leaves one block in sixteen behind for the phase after the next.  What the
   bands before left must not pile up. */
#include "workload.h"

enum { PHASE_BYTES = 48 << 20, SLOTS = 1 << 20, PHASES = 10 };

typedef struct band_s {
  unsigned low;
  unsigned high;
} band_t;

static const band_t bands[] = {{5, 7}, {9, 11}, {7, 9}, {12, 15}, {6, 8}, {10, 12}, {8, 10}, {14, 17}};

typedef struct phase_s {
  void** slots;
  size_t count;
} phase_t;

static void leave_survivors(phase_t* phase) {
  size_t kept = 0;
  for (size_t i = 0; i < phase->count; i++) {
    if (i % 16 == 7)
      phase->slots[kept++] = phase->slots[i];
    else
      stamped_free(phase->slots[i]);
  }
  phase->count = kept;
}

static void drop_all(phase_t* phase) {
  for (size_t i = 0; i < phase->count; i++) stamped_free(phase->slots[i]);
  phase->count = 0;
}

static uint64_t fill(worker_t* worker, phase_t* phase, band_t band) {
  const uint64_t limit = workload_share(worker->workload, PHASE_BYTES);
  size_t bytes = 0;
  while (bytes < limit && phase->count < SLOTS) {
    const size_t size = random_size(&worker->random, band.low, band.high);
    phase->slots[phase->count++] = stamped_alloc(size);
    bytes += size;
  }
  for (size_t i = 0; i < phase->count; i++) {
    void** const slot = &phase->slots[random_below(&worker->random, phase->count)];
    stamped_free(*slot);
    *slot = stamped_alloc(random_size(&worker->random, band.low, band.high));
  }
  return 3 * (uint64_t)phase->count;
}

static void run_phases(worker_t* worker) {
  phase_t phases[2] = {{0}};
  for (size_t i = 0; i < 2; i++) phases[i].slots = harness_map(SLOTS * sizeof(void*));
  for (size_t i = 0; i < PHASES; i++) {
    phase_t* const phase = &phases[i % 2];
    drop_all(phase);
    worker->operations += fill(worker, phase, bands[i % (sizeof(bands) / sizeof(bands[0]))]);
    leave_survivors(phase);
  }
  drop_all(&phases[0]);
  drop_all(&phases[1]);
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("phases", argc, argv);
  return workload_end(&workload, workload_run(&workload, run_phases), "");
}
