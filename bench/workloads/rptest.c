/* SPDX-License-Identifier: MIT */
/* After the test published with rpmalloc: mixed sizes up to 16,000 bytes, small ones more frequent; each turn
   of a thread frees scattered blocks of its table, allocates others in their place, hands a list of fresh
   blocks to whichever thread looks next, and frees the list that it finds. */
#include <stdatomic.h>
#include <stdlib.h>

#include "workload.h"

enum { SLOTS = 8192, PER_TURN = 256, HANDED = 32, TURNS = 12000, SIZE_LIMIT = 16000 };

typedef struct link_s {
  struct link_s* next;
  uint64_t size;
} link_t;

static _Atomic(link_t*) handed;

static size_t chosen_size(uint64_t* random) {
  const size_t a = random_below(random, SIZE_LIMIT);
  const size_t b = random_below(random, SIZE_LIMIT);
  const size_t size = a * b / SIZE_LIMIT * (b + 1) / SIZE_LIMIT;
  return size < STAMPED_MIN ? STAMPED_MIN : size;
}

static void free_list(link_t* list) {
  while (list != NULL) {
    link_t* const next = list->next;
    if (list->size < sizeof(link_t) || list->size >= SIZE_LIMIT) workload_fail("a block lost its contents");
    free(list);
    list = next;
  }
}

/* The list that lay there is whole when it is taken, and so is the one that is put. */
static void hand_over(uint64_t* random) {
  link_t* list = NULL;
  for (size_t i = 0; i < HANDED; i++) {
    const size_t size = chosen_size(random);
    link_t* const block = malloc(size);
    if (block == NULL) workload_fail("out of memory");
    *block = (link_t){.next = list, .size = size};
    list = block;
  }
  free_list(atomic_exchange_explicit(&handed, list, memory_order_acq_rel));
}

static void work(worker_t* worker) {
  void** const slots = harness_map(SLOTS * sizeof(void*));
  const uint64_t turns = workload_share(worker->workload, TURNS);
  for (uint64_t turn = 0; turn < turns; turn++) {
    const size_t first = random_below(&worker->random, SLOTS);
    for (size_t i = 0; i < PER_TURN; i++) {
      void** const slot = &slots[(first + i * 29) % SLOTS];
      stamped_free(*slot);
      *slot = stamped_alloc(chosen_size(&worker->random));
    }
    hand_over(&worker->random);
  }
  for (size_t i = 0; i < SLOTS; i++) stamped_free(slots[i]);
  worker->operations = 2 * turns * (PER_TURN + HANDED);
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("rptest", argc, argv);
  const uint64_t operations = workload_run(&workload, work);
  free_list(atomic_exchange_explicit(&handed, NULL, memory_order_acq_rel));
  return workload_end(&workload, operations, "");
}
