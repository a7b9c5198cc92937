/* SPDX-License-Identifier: MIT */
/* A pool of buffers for each NUMA node: an arena whose memory lies there, and a heap that prefers it.

   Shows: arenas, huge pages, NUMA */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mimalloc.h>

enum { POOLS = 2, SIZE = 8 << 20, BUFFER = 1 << 20 };

static int nodes(void) {
  char name[64];
  int count = 0;
  do snprintf(name, sizeof(name), "/sys/devices/system/node/node%d", count++);
  while (access(name, F_OK) == 0);
  return count > 1 ? count - 1 : 1;
}

int main(void) {
  mi_arena_id_t arenas[POOLS];
  for (int node = 0; node < POOLS; node++) {
    /* Where the memory lies is up to who maps it (mbind); a node that the machine lacks is taken modulo its
     * nodes. */
    void* const memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool committed = true, pinned = false, zero = true, exclusive = false;
    if (memory == MAP_FAILED) return 1;
    if (!mi_manage_os_memory_ex(memory, SIZE, committed, pinned, zero, node, exclusive, &arenas[node]))
      return 1;
  }
  for (int node = 0; node < POOLS; node++) {
    mi_heap_t* const pool = mi_heap_new();
    if (pool == NULL) return 1;
    mi_heap_set_numa_affinity(pool, node);
    void* const buffer = mi_heap_malloc(pool, BUFFER);
    bool near = false;
    for (int i = 0; i < POOLS; i++)
      near |= i % nodes() == node % nodes() && mi_arena_contains(arenas[i], buffer);
    printf("pool %d: a buffer from its node: %s\n", node, near ? "yes" : "no");
    mi_heap_destroy(pool);
  }
  return 0;
}
