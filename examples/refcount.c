/* SPDX-License-Identifier: MIT */
/* Reference counting with bounded pauses, through mi_register_deferred_free.

   Dropping the last reference to a graph of a million nodes frees a million nodes: done at once, that is one
   long pause.  Here the drop only puts the root on a list of doomed nodes.  The allocator calls us back at a
   steady cadence, and each call frees a bounded number of nodes, whose children may join the list.  With
   `force` (a forced collection, or memory is short) the whole list goes.

   The program does the same work twice: it replaces small objects in a table, drops a graph in the middle,
   and measures each operation, in the thread's CPU time so that the machine's other work does not count.  It
   prints the pauses of eager and of deferred dropping.

   Exit status 0: all nodes are freed, no callback was further from the last one than GAP_MAX operations, no
   callback freed more than BATCH nodes unless forced, and the longest pause of deferred dropping is less
   than a SHORTER-th of the eager one's.

   Shows: housekeeping, hooks, information */
#include <mimalloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  NODES = 1000000,      /* nodes of the graph */
  CHILDREN = 3,         /* references in each node */
  BATCH = 1000,         /* nodes freed per callback: this bounds the pause */
  OPERATIONS = 2000000, /* allocations while the graph dies */
  TABLE = 4096,
  GAP_MAX = 32768, /* allocations between two callbacks, at most */
  SHORTER = 10,    /* so many times shorter a pause must become, */
  TRIES = 5        /* in one of so many runs */
};

typedef struct node_s {
  size_t references;
  struct node_s* next_doomed;
  struct node_s* children[CHILDREN];
  char payload[24];
} node_t;

static node_t* doomed;
static size_t live_nodes;
static size_t callbacks;
static size_t operation, last_callback, longest_gap; /* counted in allocations */
static size_t most_freed;                            /* by one callback that was not forced */

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void* must(void* p) {
  if (p != NULL) return p;
  fputs("out of memory\n", stderr);
  exit(1);
}

/* ---------- reference counts ---------- */

static void drop(node_t* node) {
  if (node == NULL || --node->references > 0) return;
  node->next_doomed = doomed;
  doomed = node;
}

/* Free at most `count` doomed nodes. */
static void free_doomed(size_t count) {
  for (; count > 0 && doomed != NULL; count--) {
    node_t* node = doomed;
    doomed = node->next_doomed;
    for (int i = 0; i < CHILDREN; i++) drop(node->children[i]);
    mi_free(node);
    live_nodes--;
  }
}

static void on_deferred_free(bool force, unsigned long long heartbeat, void* arg) {
  (void)heartbeat;
  (void)arg;
  callbacks++;
  if (operation - last_callback > longest_gap) longest_gap = operation - last_callback;
  last_callback = operation;
  const size_t before = live_nodes;
  free_doomed(force ? SIZE_MAX : BATCH);
  if (!force && before - live_nodes > most_freed) most_freed = before - live_nodes;
}

/* ---------- the work ---------- */

/* Node i refers to the nodes 2i+1, 2i+2 and 2i+4: most have two or three parents. */
static node_t* make_graph(void) {
  node_t** nodes = (node_t**)must(mi_mallocn(NODES, sizeof(node_t*)));
  for (size_t i = 0; i < NODES; i++) nodes[i] = (node_t*)must(mi_zalloc(sizeof(node_t)));
  for (size_t i = 0; i < NODES; i++) {
    const size_t children[CHILDREN] = {2 * i + 1, 2 * i + 2, 2 * i + 4};
    for (int k = 0; k < CHILDREN; k++) {
      if (children[k] >= NODES) continue;
      nodes[i]->children[k] = nodes[children[k]];
      nodes[children[k]]->references++;
    }
  }
  node_t* root = nodes[0];
  root->references = 1;
  live_nodes = NODES;
  mi_free(nodes);
  return root;
}

static int compare(const void* a, const void* b) {
  const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

static void report(const char* name, uint32_t* pauses) {
  qsort(pauses, OPERATIONS, sizeof(uint32_t), &compare);
  printf("%-9s p50 %4u ns   p99 %5u ns   p99.99 %8.1f us   max %10.1f us   callbacks %zu, nodes left %zu\n",
         name, pauses[OPERATIONS / 2], pauses[OPERATIONS - OPERATIONS / 100],
         (double)pauses[OPERATIONS - OPERATIONS / 10000] / 1000, (double)pauses[OPERATIONS - 1] / 1000,
         callbacks, live_nodes);
}

/* The allocations of an ordinary program; the drop is one of the operations.  Returns the longest pause. */
static uint32_t run(const char* name, void (*drop_graph)(node_t*), uint32_t* pauses) {
  static void* table[TABLE];
  node_t* root = make_graph();
  uint32_t random = 1;
  callbacks = longest_gap = most_freed = 0;
  operation = last_callback = 0;
  uint64_t before = now_ns();
  for (size_t i = 0; i < OPERATIONS; i++) {
    random = random * 1664525 + 1013904223;
    void** slot = &table[(random >> 8) % TABLE];
    mi_free(*slot);
    *slot = must(mi_malloc(16 + (random >> 20) % 240));
    if (i == OPERATIONS / 8) drop_graph(root);
    operation = i + 1;
    const uint64_t now = now_ns(), pause = now - before;
    before = now;
    pauses[i] = (pause < UINT32_MAX ? (uint32_t)pause : UINT32_MAX);
  }
  if (operation - last_callback > longest_gap) longest_gap = operation - last_callback;
  for (int i = 0; i < TABLE; i++) {
    mi_free(table[i]);
    table[i] = NULL;
  }
  report(name, pauses);
  return pauses[OPERATIONS - 1];
}

static void drop_eagerly(node_t* root) {
  drop(root);
  free_doomed(SIZE_MAX);
}

int main(void) {
  uint32_t* pauses = (uint32_t*)must(mi_mallocn(OPERATIONS, sizeof(uint32_t)));
  memset(pauses, 0, OPERATIONS * sizeof(uint32_t)); /* the first touch of it is no pause of ours */
  printf("%d nodes dropped during %d allocations; time of one operation:\n", NODES, OPERATIONS);
  const uint32_t eager = run("eager", &drop_eagerly, pauses);
  if (live_nodes != 0) return 1;
  mi_register_deferred_free(&on_deferred_free, NULL);
  /* A pause that other processes cause comes once, one of ours comes each time. */
  uint32_t deferred = UINT32_MAX;
  for (int tries = 0; tries < TRIES && deferred >= eager / SHORTER && live_nodes == 0; tries++)
    deferred = run("deferred", &drop, pauses);
  printf("the longest pause is %.0f times shorter (demanded: %d)\n", (double)eager / (double)deferred,
         SHORTER);
  printf("a callback at least every %zu allocations (demanded: %d),\n", longest_gap, GAP_MAX);
  printf("each of which freed at most %zu nodes (demanded: %d)\n", most_freed, BATCH);
  const bool bounded = longest_gap <= GAP_MAX && most_freed <= BATCH && deferred < eager / SHORTER;
  const size_t left = live_nodes;
  mi_collect(true); /* forces the callback: whatever is left goes now */
  mi_register_deferred_free(NULL, NULL);
  mi_free(pauses);
  return (left == 0 && live_nodes == 0 && bounded ? 0 : 1);
}
