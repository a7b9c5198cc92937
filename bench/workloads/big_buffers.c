/* SPDX-License-Identifier: MIT */
/* Big short-lived buffers, 64 KiB .. 32 MiB, each doubling equally likely; a few are live at a time and a
   word of every OS page is written and verified. */
#include "workload.h"

enum { LIVE = 4, BUFFERS = 500 };

static void churn(worker_t* worker) {
  void* live[LIVE] = {0};
  const uint64_t buffers = workload_share(worker->workload, BUFFERS);
  for (uint64_t i = 0; i < buffers; i++) {
    void** const slot = &live[random_below(&worker->random, LIVE)];
    stamped_free(*slot);
    *slot = stamped_alloc(random_size(&worker->random, 16, 25));
  }
  for (size_t i = 0; i < LIVE; i++) stamped_free(live[i]);
  worker->operations = 2 * buffers;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("big_buffers", argc, argv);
  return workload_end(&workload, workload_run(&workload, churn), "");
}
