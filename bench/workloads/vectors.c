/* SPDX-License-Identifier: MIT */
/* Growing vectors: many vectors of 64-bit numbers grow by realloc at the same time, some by half, some by
   doubling, some by a constant step; all are read back in full before they are freed. */
#include <stdlib.h>

#include "workload.h"

enum { VECTORS = 64, ROUNDS = 4, PUSHES = 6000000, GROWTH_STEP = 512 };

typedef struct vector_s {
  uint64_t* items;
  size_t count;
  size_t capacity;
  uint64_t key;
} vector_t;

static size_t grown_capacity(const vector_t* vector, size_t kind) {
  if (vector->capacity == 0) return 4;
  if (kind % 4 == 0) return vector->capacity + GROWTH_STEP;
  if (kind % 4 == 1) return vector->capacity * 2;
  return vector->capacity + vector->capacity / 2;
}

static void push(vector_t* vector, size_t kind) {
  if (vector->count == vector->capacity) {
    vector->capacity = grown_capacity(vector, kind);
    vector->items = realloc(vector->items, vector->capacity * sizeof(uint64_t));
    if (vector->items == NULL) workload_fail("out of memory");
  }
  vector->items[vector->count] = vector->key ^ vector->count;
  vector->count++;
}

static void drop(vector_t* vector) {
  for (size_t i = 0; i < vector->count; i++) {
    if (vector->items[i] != (vector->key ^ i)) workload_fail("a vector lost its contents");
  }
  free(vector->items);
  *vector = (vector_t){0};
}

/* Vector 0 gets most of the pushes, vector 1 fewer, and so on: big and small ones grow side by side. */
static size_t pick(uint64_t* random) {
  const size_t a = random_below(random, VECTORS);
  const size_t b = random_below(random, VECTORS);
  return a < b ? a : b;
}

static void grow(worker_t* worker) {
  vector_t vectors[VECTORS] = {{0}};
  const uint64_t picks = workload_share(worker->workload, PUSHES / 16);
  for (size_t round = 0; round < ROUNDS; round++) {
    for (size_t i = 0; i < VECTORS; i++) vectors[i].key = random_next(&worker->random);
    for (uint64_t i = 0; i < picks; i++) {
      const size_t chosen = pick(&worker->random);
      for (size_t k = 0; k < 16; k++) push(&vectors[chosen], chosen);
      worker->operations += 16;
    }
    for (size_t i = 0; i < VECTORS; i++) drop(&vectors[i]);
  }
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("vectors", argc, argv);
  return workload_end(&workload, workload_run(&workload, grow), "");
}
