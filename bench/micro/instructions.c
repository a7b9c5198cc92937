/* SPDX-License-Identifier: MIT */
/* What callgrind counts: calls of malloc and free on their fast paths.

   Batches of blocks of a small size are allocated and freed by their owner, in the order of allocation, so
   that each call finds its page at hand; slow visits (the page's list ran dry) happen once in many calls and
   are functions of their own.  The program writes into each block, as its users do.  Argument: the number of
   batches. */
#include <stdint.h>
#include <stdlib.h>

enum { BATCH = 64, SIZES = 8 };

static const size_t sizes[SIZES] = {16, 24, 32, 48, 64, 100, 256, 1000};

int main(int argc, char** argv) {
  static uint64_t* blocks[BATCH];
  const unsigned long batches = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
  for (unsigned long i = 0; i < batches; i++) {
    const size_t size = sizes[i % SIZES];
    for (size_t k = 0; k < BATCH; k++) {
      blocks[k] = malloc(size);
      if (blocks[k] == NULL) return 1;
      *blocks[k] = i + k;
    }
    for (size_t k = 0; k < BATCH; k++) {
      if (*blocks[k] != i + k) return 2;
      free(blocks[k]);
    }
  }
  return 0;
}
