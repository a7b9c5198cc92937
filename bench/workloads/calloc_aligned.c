/* SPDX-License-Identifier: MIT */
/* The other calls: a table of blocks replaced at random by calloc (up to 128 KiB: each page of it must read
   as zero), by posix_memalign and aligned_alloc (16 bytes to one OS page), by malloc, and changed by realloc.
 */
#include <stdlib.h>

#include "workload.h"

enum { SLOTS = 4096, STEPS = 2500000, ZERO_STEP = 64 };

static void* zeroed(uint64_t* random) {
  const size_t size =
      random_below(random, 200) == 0 ? random_size(random, 12, 17) : random_size(random, 4, 11);
  unsigned char* const block = calloc(1, size);
  if (block == NULL) workload_fail("out of memory");
  for (size_t i = 0; i < size; i += ZERO_STEP) {
    if (block[i] != 0) workload_fail("calloc gave memory that is not zero");
  }
  if (block[size - 1] != 0) workload_fail("calloc gave memory that is not zero");
  stamp(block, size);
  return block;
}

static void* aligned(uint64_t* random) {
  const size_t alignment = (size_t)16 << random_below(random, 9);
  const size_t size = random_size(random, 4, 11);
  void* block = NULL;
  if (size % 2 == 0) {
    block = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  } else if (posix_memalign(&block, alignment, size) != 0) {
    block = NULL;
  }
  if (block == NULL) workload_fail("out of memory");
  if ((uintptr_t)block % alignment != 0) workload_fail("a block is not aligned");
  stamp(block, size);
  return block;
}

/* The stamp holds the block's address, so the old one is checked first; the first word must come along. */
static void* changed(void* old, uint64_t* random) {
  if (old == NULL) return stamped_alloc(random_mixed_size(random));
  stamp_check(old);
  const size_t size = stamped_size(old);
  const size_t wanted = random_size(random, 4, 12);
  void* const block = realloc(old, wanted);
  if (block == NULL) workload_fail("out of memory");
  if (stamped_size(block) != size) workload_fail("realloc lost the contents");
  stamp(block, wanted);
  return block;
}

static void work(worker_t* worker) {
  void* slots[SLOTS] = {0};
  const uint64_t steps = workload_share(worker->workload, STEPS);
  for (uint64_t i = 0; i < steps; i++) {
    void** const slot = &slots[random_below(&worker->random, SLOTS)];
    const size_t dice = random_below(&worker->random, 10);
    if (dice < 3) {
      *slot = changed(*slot, &worker->random);
      continue;
    }
    stamped_free(*slot);
    if (dice < 6)
      *slot = zeroed(&worker->random);
    else if (dice < 8)
      *slot = aligned(&worker->random);
    else
      *slot = stamped_alloc(random_mixed_size(&worker->random));
  }
  for (size_t i = 0; i < SLOTS; i++) stamped_free(slots[i]);
  worker->operations = 2 * steps;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("calloc_aligned", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
