/* SPDX-License-Identifier: MIT */
/* Big buffers walked side by side: one element of each of a dozen arrays is read and one written at every
   step, as vector code, image planes and columns of tables are.  Arrays that all begin at the same place of
   an OS page compete for the same few cache sets. */
#include <stdlib.h>

#include "workload.h"

enum { ARRAYS = 12, KINDS = 3, PASSES = 320, ELEMENTS_PER_PASS = 65536 };

static const size_t elements[KINDS] = {4096, 16384, 65536}; /* of 8 bytes: 32, 128 and 512 KiB */

static uint64_t* array_of(size_t count, uint64_t key) {
  uint64_t* const array = malloc(count * sizeof(uint64_t));
  if (array == NULL) workload_fail("out of memory");
  for (size_t i = 0; i < count; i++) array[i] = key + i;
  return array;
}

static uint64_t walk(uint64_t* const arrays[ARRAYS], size_t count) {
  uint64_t total = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t sum = 0;
    for (size_t k = 1; k < ARRAYS; k++) sum += arrays[k][i];
    arrays[0][i] = sum;
    total += sum;
  }
  return total;
}

static void work(worker_t* worker) {
  for (size_t kind = 0; kind < KINDS; kind++) {
    uint64_t* arrays[ARRAYS];
    const size_t count = elements[kind];
    for (size_t k = 0; k < ARRAYS; k++) arrays[k] = array_of(count, k);
    const uint64_t passes = workload_share(worker->workload, PASSES) * (ELEMENTS_PER_PASS / count);
    uint64_t expected = 0;
    for (size_t k = 1; k < ARRAYS; k++) expected += k * count + count * (count - 1) / 2;
    for (uint64_t i = 0; i < passes; i++) {
      if (walk(arrays, count) != expected) workload_fail("an array lost its contents");
    }
    for (size_t k = 0; k < ARRAYS; k++) free(arrays[k]);
    worker->operations += passes * count;
  }
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("buffer_walk", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
