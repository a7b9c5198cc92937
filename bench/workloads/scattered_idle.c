/* SPDX-License-Identifier: MIT */
/* Scattered survivors: 150,000 blocks of 512 bytes, 100,000 of 1 KiB and 50,000 of 2 KiB, allocated in mixed
   order; all but one in twenty are freed, and the process sleeps without one call of the allocator.  No page
   of 64 KiB is empty, but most OS pages hold nothing that lives.  Mode "threads" has a second thread, asleep,
   as servers have: allocators may do their maintenance in a thread of their own only then. */
#include <string.h>

#include "workload.h"

enum { KIB_HALF = 150000, KIB_ONE = 100000, KIB_TWO = 50000, SURVIVES_EVERY = 20 };

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void* sleep_at_gate(void* argument) {
  stamped_free(stamped_alloc(STAMPED_MIN));
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return argument;
}

static size_t fill(void** blocks, uint64_t counts[3], uint64_t* random) {
  size_t n = 0;
  for (uint64_t left = counts[0] + counts[1] + counts[2]; left > 0; left--) {
    const size_t dice = random_below(random, left);
    const size_t kind = dice < counts[0] ? 0 : dice < counts[0] + counts[1] ? 1 : 2;
    counts[kind]--;
    blocks[n++] = stamped_alloc((size_t)512 << kind);
  }
  return n;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("scattered_idle", argc, argv);
  const bool threaded = strcmp(workload.mode, "threads") == 0;
  uint64_t random = workload.seed;
  uint64_t counts[3] = {workload_scaled(&workload, KIB_HALF), workload_scaled(&workload, KIB_ONE),
                        workload_scaled(&workload, KIB_TWO)};
  const size_t table_size = (counts[0] + counts[1] + counts[2]) * sizeof(void*);
  void** const blocks = harness_map(table_size);
  pthread_mutex_lock(&gate);
  const pthread_t sleeper = threaded ? thread_start(sleep_at_gate, NULL) : pthread_self();
  const size_t count = fill(blocks, counts, &random);
  const size_t first = random_below(&random, SURVIVES_EVERY);
  size_t live = table_size; /* the table is the program's own, and resident */
  for (size_t i = 0; i < count; i++) {
    if (i % SURVIVES_EVERY == first) {
      live += stamped_size(blocks[i]);
    } else {
      stamped_free(blocks[i]);
    }
  }
  char extra[128];
  idle_report(live, extra, sizeof(extra));
  for (size_t i = first; i < count; i += SURVIVES_EVERY) stamped_free(blocks[i]);
  pthread_mutex_unlock(&gate);
  if (threaded) thread_join(sleeper);
  return workload_end(&workload, 2 * count, extra);
}
