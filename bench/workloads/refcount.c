/* SPDX-License-Identifier: MIT */
/* What the runtime of a functional language with reference counts does: an ordered map is a tree whose nodes
   are never changed while somebody else refers to them; inserting copies the path from the root, or, where
   the count is one, changes the node in place.  Older versions of the map are kept for a while and then
   dropped, node by node as their counts reach zero. */
#include <stdlib.h>

#include "workload.h"

enum { INSERTS = 400000, KEYS = 1 << 16, VERSIONS = 8, VERSION_EVERY = 16 };

typedef struct node_s {
  size_t references;
  struct node_s* left;
  struct node_s* right;
  uint64_t key;
  uint64_t value;
} node_t;

static node_t* retain(node_t* node) {
  if (node != NULL) node->references++;
  return node;
}

static void release(node_t* node) {
  while (node != NULL && --node->references == 0) {
    if (node->value != ~node->key) workload_fail("a node lost its contents");
    node_t* const right = node->right;
    release(node->left);
    free(node);
    node = right;
  }
}

static node_t* fresh(node_t* left, node_t* right, uint64_t key) {
  node_t* const node = malloc(sizeof(*node));
  if (node == NULL) workload_fail("out of memory");
  *node = (node_t){.references = 1, .left = left, .right = right, .key = key, .value = ~key};
  return node;
}

/* Takes the reference to `node` that it is given, and gives one to a node that may be changed. */
static node_t* unshared(node_t* node) {
  if (node->references == 1) return node;
  node_t* const copy = fresh(retain(node->left), retain(node->right), node->key);
  release(node);
  return copy;
}

static node_t* insert(node_t* root, uint64_t key) {
  node_t** place = &root;
  while (*place != NULL) {
    *place = unshared(*place);
    node_t* const node = *place;
    if (node->key == key) return root;
    place = key < node->key ? &node->left : &node->right;
  }
  *place = fresh(NULL, NULL, key);
  return root;
}

static void work(worker_t* worker) {
  node_t* versions[VERSIONS] = {0};
  node_t* root = NULL;
  const uint64_t inserts = workload_share(worker->workload, INSERTS);
  for (uint64_t i = 0; i < inserts; i++) {
    /* the product scatters the keys, so that the tree stays shallow */
    root = insert(root, random_below(&worker->random, KEYS) * UINT64_C(0x9E3779B97F4A7C15));
    if (i % VERSION_EVERY == 0) {
      node_t** const version = &versions[i / VERSION_EVERY % VERSIONS];
      release(*version);
      *version = retain(root);
    }
  }
  release(root);
  for (size_t i = 0; i < VERSIONS; i++) release(versions[i]);
  worker->operations = inserts;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("refcount", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
