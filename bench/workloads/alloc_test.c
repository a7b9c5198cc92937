/* SPDX-License-Identifier: MIT */
/* OLogN's test ("Testing memory allocators", ACCU Overload 2018): a slot is chosen by an 80:20 rule applied
   to itself, so that few slots are used often and most rarely; an empty slot gets a block whose size has an
   exponential distribution, a full one is read and emptied.  All of each block is written and read. */
#include <string.h>

#include "workload.h"

enum { SLOTS = 1 << 20, STEPS = 3000000, LEVELS = 5 };

/* Eighty per cent fall into the first fifth, of these again eighty into its first fifth, and so on. */
static size_t chosen_slot(uint64_t* random, size_t slots) {
  size_t range = slots;
  for (unsigned level = 0; level < LEVELS; level++) {
    if (random_below(random, 100) >= 80) return range / 5 + random_below(random, range - range / 5);
    range /= 5;
  }
  return random_below(random, range);
}

/* Each doubling half as probable as the one before. */
static size_t chosen_size(uint64_t* random) {
  const unsigned doublings = (unsigned)__builtin_ctzll(random_next(random) | (UINT64_C(1) << 6));
  const size_t base = (size_t)STAMPED_MIN << doublings;
  return base + random_below(random, base);
}

static void fill(void** slot, size_t size) {
  unsigned char* const block = stamped_alloc(size);
  memset(block + sizeof(size_t), 0x5a, size - 2 * sizeof(size_t));
  *slot = block;
}

static void drain(void** slot) {
  const unsigned char* const block = *slot;
  const size_t size = stamped_size(block);
  uint64_t word = 0;
  for (size_t i = sizeof(word); i + 2 * sizeof(word) <= size; i += sizeof(word)) {
    __builtin_memcpy(&word, block + i, sizeof(word));
    if (word != UINT64_C(0x5a5a5a5a5a5a5a5a)) workload_fail("a block lost its contents");
  }
  stamped_free(*slot);
  *slot = NULL;
}

static void work(worker_t* worker) {
  const size_t slots = SLOTS / worker->workload->threads;
  void** const table = harness_map(slots * sizeof(void*));
  const uint64_t steps = workload_share(worker->workload, STEPS);
  for (uint64_t i = 0; i < steps; i++) {
    void** const slot = &table[chosen_slot(&worker->random, slots)];
    if (*slot != NULL)
      drain(slot);
    else
      fill(slot, chosen_size(&worker->random));
  }
  for (size_t i = 0; i < slots; i++) {
    if (table[i] != NULL) drain(&table[i]);
  }
  worker->operations = steps;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("alloc_test", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
