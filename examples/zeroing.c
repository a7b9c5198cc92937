/* SPDX-License-Identifier: MIT */
/* A set of numbers as bits, which grows with the numbers: what it grows by is zero already.

   Shows: resizing zero-initialised blocks */
#include <stdint.h>
#include <stdio.h>

#include <mimalloc.h>

typedef struct set_s {
  uint64_t* words;
  size_t count;
} set_t;

static bool set_add(set_t* set, size_t number) {
  const size_t word = number / 64;
  if (word >= set->count) {
    uint64_t* const words = mi_recalloc(set->words, word + 1, sizeof(uint64_t));
    if (words == NULL) return false; /* the set is as it was */
    set->words = words;
    set->count = word + 1;
  }
  set->words[word] |= (uint64_t)1 << (number % 64);
  return true;
}

static size_t set_size(const set_t* set) {
  size_t size = 0;
  for (size_t i = 0; i < set->count; i++) {
    for (uint64_t word = set->words[i]; word != 0; word &= word - 1) size++;
  }
  return size;
}

int main(void) {
  set_t squares = {NULL, 0};
  for (size_t i = 0; i < 1000; i++) {
    if (!set_add(&squares, i * i)) return 1;
  }
  printf("%zu numbers in %zu words\n", set_size(&squares), squares.count);
  mi_free(squares.words);
  return 0;
}
