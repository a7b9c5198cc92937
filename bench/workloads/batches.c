/* SPDX-License-Identifier: MIT */
/* Batches like those of MicroQuill's sh6bench and sh8bench: for each size a batch, small sizes in bigger
   batches; the batches of the last few turns live on, and are freed now in the order of allocation, now in
   the reverse one, now every second block first.  Mode "pass" (sh8): every second batch is freed by another
   thread. */
#include <stdatomic.h>
#include <string.h>

#include "workload.h"

enum { KEPT = 16, BATCH_MAX = 512, TURNS = 64000, MAILBOXES = 64 };

typedef struct batch_s {
  void* blocks[BATCH_MAX];
  size_t count;
} batch_t;

/* A full batch waits here for whoever comes next; the batch's table is mapped memory and changes hands. */
static _Atomic(batch_t*) mailboxes[MAILBOXES];

static void release_from(batch_t* batch, size_t first, size_t step) {
  for (size_t i = first; i < batch->count; i += step) stamped_free(batch->blocks[i]);
}

static void release(batch_t* batch, size_t order) {
  if (order % 3 == 0) {
    release_from(batch, 0, 1);
  } else if (order % 3 == 1) {
    for (size_t i = batch->count; i > 0; i--) stamped_free(batch->blocks[i - 1]);
  } else {
    release_from(batch, 0, 2);
    release_from(batch, 1, 2);
  }
  batch->count = 0;
}

static void fill(batch_t* batch, uint64_t* random) {
  const size_t size = random_size(random, 4, 10);
  const size_t count = 16 + (BATCH_MAX - 16) * 16 / size;
  for (size_t i = 0; i < count; i++)
    batch->blocks[i] = stamped_alloc(size - random_below(random, size % 7 + 1) / 8);
  batch->count = count;
}

static batch_t* pass(uint64_t* random, batch_t* batch) {
  return atomic_exchange_explicit(&mailboxes[random_below(random, MAILBOXES)], batch, memory_order_acq_rel);
}

static void work(worker_t* worker) {
  batch_t* kept[KEPT];
  const bool passes = strcmp(worker->workload->mode, "pass") == 0;
  for (size_t i = 0; i < KEPT; i++) kept[i] = harness_map(sizeof(batch_t));
  const uint64_t turns = workload_share(worker->workload, TURNS);
  for (uint64_t turn = 0; turn < turns; turn++) {
    batch_t** const oldest = &kept[turn % KEPT];
    if (passes && turn % 2 == 0) *oldest = pass(&worker->random, *oldest);
    if (*oldest == NULL) *oldest = harness_map(sizeof(batch_t));
    release(*oldest, turn / KEPT);
    fill(*oldest, &worker->random);
    worker->operations += (*oldest)->count;
  }
  for (size_t i = 0; i < KEPT; i++) release(kept[i], i);
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("batches", argc, argv);
  const uint64_t operations = workload_run(&workload, work);
  for (size_t i = 0; i < MAILBOXES; i++) {
    batch_t* const batch = atomic_exchange_explicit(&mailboxes[i], NULL, memory_order_acq_rel);
    if (batch != NULL) release(batch, 0);
  }
  return workload_end(&workload, operations, "");
}
