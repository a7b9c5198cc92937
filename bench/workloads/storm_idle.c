/* SPDX-License-Identifier: MIT */
/* A storm, then nothing: the threads allocate and free across each other through one shared table (hundreds
   of MB live), empty it together, and then either exit (mode "exit") or stay, blocked (mode "park", the
   default, as in a server's pool).  The main thread sleeps two seconds without one call of the allocator. */
#include <stdatomic.h>
#include <string.h>

#include "workload.h"

enum { SLOTS = 400000, STEPS = 2400000 };

typedef struct storm_s {
  const workload_t* workload;
  pthread_barrier_t filled;  /* all threads have stopped allocating */
  pthread_barrier_t emptied; /* all of them and the main thread: the table is empty */
  pthread_barrier_t over;    /* parked threads may end */
} storm_t;

typedef struct member_s {
  storm_t* storm;
  size_t index;
  pthread_t thread;
} member_t;

static _Atomic(void*)* table;

static void* take_part(void* argument) {
  const member_t* const member = argument;
  storm_t* const storm = member->storm;
  const workload_t* const workload = storm->workload;
  uint64_t random = workload->seed + member->index * 104729;
  const uint64_t steps = workload_share(workload, STEPS);
  for (uint64_t i = 0; i < steps; i++) {
    void* const block = stamped_alloc(random_mixed_size(&random));
    stamped_free(atomic_exchange_explicit(&table[random_below(&random, SLOTS)], block, memory_order_acq_rel));
  }
  pthread_barrier_wait(&storm->filled);
  for (size_t i = member->index; i < SLOTS; i += workload->threads) {
    stamped_free(atomic_exchange_explicit(&table[i], NULL, memory_order_acq_rel));
  }
  pthread_barrier_wait(&storm->emptied);
  if (strcmp(workload->mode, "exit") != 0) pthread_barrier_wait(&storm->over);
  return NULL;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("storm_idle", argc, argv);
  const bool exits = strcmp(workload.mode, "exit") == 0;
  static storm_t storm;
  static member_t members[WORKLOAD_THREADS_MAX];
  table = harness_map(SLOTS * sizeof(void*));
  storm.workload = &workload;
  pthread_barrier_init(&storm.filled, NULL, (unsigned)workload.threads);
  pthread_barrier_init(&storm.emptied, NULL, (unsigned)workload.threads + 1);
  pthread_barrier_init(&storm.over, NULL, (unsigned)workload.threads + 1);
  for (size_t i = 0; i < workload.threads; i++) {
    members[i] = (member_t){.storm = &storm, .index = i};
    members[i].thread = thread_start(take_part, &members[i]);
  }
  pthread_barrier_wait(&storm.emptied);
  for (size_t i = 0; exits && i < workload.threads; i++) thread_join(members[i].thread);
  harness_unmap(table, SLOTS * sizeof(void*)); /* the program's own 3 MB: nothing is left alive */
  char extra[128];
  idle_report(0, extra, sizeof(extra));
  if (!exits) pthread_barrier_wait(&storm.over);
  for (size_t i = 0; !exits && i < workload.threads; i++) thread_join(members[i].thread);
  return workload_end(&workload, 2 * workload_scaled(&workload, STEPS), extra);
}
