/* SPDX-License-Identifier: MIT */
/* A program that knows nothing of any build: threads that allocate, resize and free, each other's blocks too.
   Every block must be intact and the allocator's.  It is linked with the library, or finds it preloaded. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern bool mi_is_in_heap_region(const void* p) __attribute__((weak));

enum { THREADS = 4, ROUNDS = 3, BLOCKS = 2000 };

static unsigned char* blocks[THREADS][BLOCKS];
static int faults[THREADS];

static size_t size_of(int thread, int i) {
  const size_t size = (size_t)(i * 37 + thread * 11) % 3000 + 1;
  return i % 500 == 0 ? size * 100 : size;
}

static bool holds(const unsigned char* p, int value, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (p[i] != value) return false;
  }
  return true;
}

static unsigned char* make(int thread, int i) {
  const size_t size = size_of(thread, i);
  unsigned char* p = calloc(size, 1);
  if (p == NULL || !holds(p, 0, size)) return NULL;
  memset(p, i % 251, size);
  p = realloc(p, size + 100);
  return p != NULL && holds(p, i % 251, size) ? p : NULL;
}

/* Frees what the thread before made in the last round, then makes its own. */
static void* run(void* arg) {
  int* const fault = arg;
  const int thread = (int)(fault - faults);
  const int before = (thread + 1) % THREADS;
  for (int i = 0; i < BLOCKS; i++) {
    unsigned char* const old = blocks[before][i];
    if (old != NULL && !holds(old, i % 251, size_of(before, i))) (*fault)++;
    free(old);
  }
  return NULL;
}

static void* fill(void* arg) {
  int* const fault = arg;
  const int thread = (int)(fault - faults);
  for (int i = 0; i < BLOCKS; i++) {
    blocks[thread][i] = make(thread, i);
    if (blocks[thread][i] == NULL) (*fault)++;
    if (mi_is_in_heap_region == NULL || !mi_is_in_heap_region(blocks[thread][i])) (*fault)++;
  }
  return NULL;
}

static int all_do(void* (*work)(void*)) {
  pthread_t threads[THREADS];
  int failed = 0;
  for (int i = 0; i < THREADS; i++) failed += pthread_create(&threads[i], NULL, work, &faults[i]) != 0;
  for (int i = 0; i < THREADS && failed == 0; i++) failed += pthread_join(threads[i], NULL) != 0;
  return failed;
}

int main(void) {
  int failed = 0;
  for (int round = 0; round < ROUNDS; round++) failed += all_do(fill) + all_do(run);
  for (int i = 0; i < THREADS; i++) failed += faults[i];
  void* aligned = NULL;
  if (posix_memalign(&aligned, 4096, 100) != 0 || (size_t)aligned % 4096 != 0) failed++;
  free(aligned);
  char* const text = strdup("served by mimalloc");
  if (mi_is_in_heap_region == NULL || !mi_is_in_heap_region(text)) failed++;
  printf("%s, %d faults\n", failed == 0 ? text : "not served", failed);
  free(text);
  return failed != 0;
}
