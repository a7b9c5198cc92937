/* SPDX-License-Identifier: MIT */
/* Berger's tests of false sharing ("Hoard", 2000).  Mode "thrash" (active): each thread allocates a tiny
   object, writes it many times, frees it, and so on; an allocator that gives two threads blocks of one cache
   line makes them fight.  Mode "scratch" (passive): the objects that the threads start with were allocated by
   one thread, side by side; each is freed by the thread that got it, and if the allocator then gives it out
   again in the same place the line stays shared for ever. */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

enum { SIZE = 8, ROUNDS = 100, WRITES = 1000000 };

static void** given;

static void write_and_check(volatile unsigned char* object, uint64_t writes) {
  for (uint64_t i = 0; i < writes; i++) {
    for (size_t k = 0; k < SIZE; k++) object[k] = (unsigned char)(i + k);
    if (object[i % SIZE] != (unsigned char)(i + i % SIZE)) workload_fail("an object lost its contents");
  }
}

static void work(worker_t* worker) {
  const uint64_t writes = workload_share(worker->workload, WRITES) / SIZE + 1;
  if (given != NULL) {
    write_and_check(given[worker->index], 1);
    free(given[worker->index]);
  }
  for (size_t i = 0; i < ROUNDS; i++) {
    unsigned char* const object = malloc(SIZE);
    if (object == NULL) workload_fail("out of memory");
    write_and_check(object, writes);
    free(object);
  }
  worker->operations = ROUNDS * writes;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("false_sharing", argc, argv);
  if (strcmp(workload.mode, "scratch") == 0) {
    given = harness_map(workload.threads * sizeof(void*));
    for (size_t i = 0; i < workload.threads; i++) {
      given[i] = malloc(SIZE);
      if (given[i] == NULL) workload_fail("out of memory");
    }
  }
  return workload_end(&workload, workload_run(&workload, work), "");
}
