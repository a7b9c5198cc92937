/* SPDX-License-Identifier: MIT */
/* Loops whose instructions are counted: `calls MODE COUNT` runs COUNT turns, in batches, of malloc + free and
   their kin.  Mode "nothing" is the loop alone.  The first word of each block is written and read. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, BATCH_LARGE = 4, SIZES = 8 };

typedef enum call_mode_e { NOTHING, SMALL, MEDIUM, ZEROED, ALIGNED, RESIZED, LARGE, MODES } call_mode_t;

static const char* const names[MODES] = {"nothing", "small",   "medium", "zeroed",
                                         "aligned", "resized", "large"};
static const size_t small_sizes[SIZES] = {16, 24, 32, 48, 64, 100, 256, 1000};
static uint64_t words[BATCH];

static uint64_t* allocate(call_mode_t mode, size_t index, size_t batch) {
  switch (mode) {
  case SMALL:
    return malloc(small_sizes[batch % SIZES]);
  case MEDIUM:
    return malloc(8192);
  case ZEROED:
    return calloc(1, 64);
  case ALIGNED:
    return aligned_alloc(64, 64);
  case RESIZED:
    return realloc(malloc(100), 101);
  case LARGE:
    return malloc(1 << 20);
  default:
    return &words[index];
  }
}

static bool turn(call_mode_t mode, size_t count, size_t batch) {
  static uint64_t* blocks[BATCH];
  for (size_t i = 0; i < count; i++) {
    blocks[i] = allocate(mode, i, batch);
    if (blocks[i] == NULL) return false;
    *blocks[i] = batch + i;
  }
  for (size_t i = 0; i < count; i++) {
    if (*blocks[i] != batch + i) return false;
    if (mode != NOTHING) free(blocks[i]);
  }
  return true;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const unsigned long count = strtoul(argv[2], NULL, 10);
  size_t mode = 0;
  while (mode < MODES && strcmp(argv[1], names[mode]) != 0) mode++;
  if (mode == MODES) return 2;
  const size_t batch = mode == LARGE ? BATCH_LARGE : BATCH;
  for (unsigned long done = 0; done < count; done += batch) {
    if (!turn((call_mode_t)mode, batch, done / batch)) return 1;
  }
  return 0;
}
