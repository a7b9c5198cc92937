/* SPDX-License-Identifier: MIT */
/* Binary trees: one long-lived tree, and many short-lived ones of every second depth, built and dropped. */
#include <stdlib.h>

#include "workload.h"

enum { DEPTH_MIN = 4, DEPTH_MAX = 16, DEPTH_LONG = 18, NODES_PER_DEPTH = 1 << 21 };

typedef struct node_s {
  struct node_s* left;
  struct node_s* right;
  uint64_t value;
} node_t;

static node_t* build(unsigned depth, uint64_t value) {
  node_t* const node = malloc(sizeof(*node));
  if (node == NULL) workload_fail("out of memory");
  *node = (node_t){.value = value};
  if (depth > 0) {
    node->left = build(depth - 1, 2 * value);
    node->right = build(depth - 1, 2 * value + 1);
  }
  return node;
}

static uint64_t drop(node_t* node, uint64_t value) {
  if (node->value != value) workload_fail("a node lost its contents");
  uint64_t count = 1;
  if (node->left != NULL) count += drop(node->left, 2 * value) + drop(node->right, 2 * value + 1);
  free(node);
  return count;
}

static void grow_and_drop(worker_t* worker) {
  node_t* const long_lived = build(DEPTH_LONG, 1);
  uint64_t nodes = 0;
  for (unsigned depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 4) {
    const uint64_t trees = workload_share(worker->workload, (uint64_t)NODES_PER_DEPTH >> depth);
    for (uint64_t i = 0; i < trees; i++) nodes += drop(build(depth, 1), 1);
  }
  nodes += drop(long_lived, 1);
  worker->operations = 2 * nodes;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("binary_trees", argc, argv);
  return workload_end(&workload, workload_run(&workload, grow_and_drop), "");
}
