/* SPDX-License-Identifier: MIT */
/* Lists of structs of 1 to 14 KiB, walked by their first words, as a program walks its connections, sessions
   or tasks.  The time is the program's own, not malloc's: it depends on how many different cache sets the
   heads of the structs fall into, which the allocator decides by the spacing of its blocks. */
#include "workload.h"

enum { NODES = 480, WALKS = 6000, KINDS = 9 };

static const size_t sizes[KINDS] = {1024, 1500, 2048, 3072, 4096, 6144, 8192, 10000, 14336};

/* The first cache line; the stamp keeps its word before and after it. */
typedef struct node_s {
  uint64_t stamped;
  struct node_s* next;
  uint64_t key;
  uint64_t visits;
} node_t;

static node_t* build(size_t size, uint64_t* random) {
  node_t* list = NULL;
  for (size_t i = 0; i < NODES; i++) {
    node_t* const node = stamped_alloc(size);
    node->next = list;
    node->key = random_next(random);
    node->visits = 0;
    list = node;
  }
  return list;
}

static uint64_t walk(node_t* list) {
  uint64_t sum = 0;
  for (node_t* node = list; node != NULL; node = node->next) {
    sum += node->key;
    node->visits++;
  }
  return sum;
}

static void drop(node_t* list, uint64_t visits) {
  while (list != NULL) {
    node_t* const next = list->next;
    if (list->visits != visits) workload_fail("a node lost its contents");
    stamped_free(list);
    list = next;
  }
}

static void work(worker_t* worker) {
  const uint64_t walks = workload_share(worker->workload, WALKS);
  for (size_t kind = 0; kind < KINDS; kind++) {
    node_t* const list = build(sizes[kind], &worker->random);
    const uint64_t sum = walk(list);
    for (uint64_t i = 1; i < walks; i++) {
      if (walk(list) != sum) workload_fail("a list lost its contents");
    }
    drop(list, walks);
    worker->operations += walks * NODES;
  }
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("list_walk", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
