/* SPDX-License-Identifier: MIT */
/* A vector that wastes nothing: it takes all that a block has room for, and reallocates only when that is
   full.

   Shows: extended functions; typed allocation */
#include <stdio.h>

#include <mimalloc.h>

typedef struct vector_s {
  int* items;
  size_t count, room;
} vector_t;

static bool push(vector_t* vector, int value) {
  if (vector->count == vector->room) {
    const size_t wanted = vector->room + vector->room / 2 + 1;
    int* const items = mi_reallocn_tp(int, vector->items, wanted);
    if (items == NULL) return false;
    vector->items = items;
    vector->room = mi_usable_size(items) / sizeof(int);
  }
  vector->items[vector->count++] = value;
  return true;
}

int main(void) {
  vector_t vector = {NULL, 0, 0};
  size_t moves = 0, room = 0;
  for (int i = 0; i < 1000; i++) {
    if (!push(&vector, i * i)) return 1;
    if (vector.room != room) moves++, room = vector.room;
  }
  printf("%zu items, room for all: %s, fewer than 20 reallocations: %s\n", vector.count,
         vector.room >= vector.count ? "yes" : "no", moves < 20 ? "yes" : "no");
  mi_free_size(vector.items, room * sizeof(int));

  /* The same knowledge, before and with the allocation. */
  size_t got = 0;
  char* const line = mi_umalloc(100, &got);
  printf("a request of 100 bytes gets %zu, as foretold: %zu\n", got, mi_good_size(100));
  mi_ufree(line, &got);
  printf("and %zu are freed\n", got);

  int* const counters = mi_calloc_tp(int, 10); /* zeroed, of the right type */
  printf("counters start at %d\n", counters != NULL ? counters[9] : -1);
  mi_free(counters);
  return 0;
}
