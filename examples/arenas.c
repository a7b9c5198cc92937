/* SPDX-License-Identifier: MIT */
/* A tenant that may use 16 MiB and no more: an arena that nobody else takes memory from, and a heap in it.

   Shows: arenas, huge pages, NUMA */
#include <errno.h>
#include <stdio.h>

#include <mimalloc.h>

enum { BLOCK = 10000, LIMIT = 16 << 20 };

int main(void) {
  mi_arena_id_t arena = NULL;
  const bool commit = false, large = false, exclusive = true;
  if (mi_reserve_os_memory_ex(LIMIT, commit, large, exclusive, &arena) != 0) return 1;
  size_t size = 0;
  const void* const start = mi_arena_area(arena, &size);
  printf("%zu MiB reserved\n", size >> 20);

  mi_heap_t* const tenant = mi_heap_new_in_arena(arena);
  if (tenant == NULL) return 1;
  size_t used = 0;
  const void* p;
  while ((p = mi_heap_malloc(tenant, BLOCK)) != NULL) {
    if (!mi_arena_contains(arena, p) || p < start) return 1;
    used += BLOCK;
  }
  printf("full: %s, after more than 14 MiB: %s\n", errno == ENOMEM ? "ENOMEM" : "?",
         used > (14u << 20) && used <= LIMIT ? "yes" : "no");

  void* const other = mi_malloc(BLOCK); /* the rest of the program does not notice */
  printf("others go on: %s\n", other != NULL && !mi_arena_contains(arena, other) ? "yes" : "no");
  mi_free(other);

  mi_heap_destroy(tenant); /* the arena stays, empty, for the next tenant */
  mi_heap_t* const next = mi_heap_new_in_arena(arena);
  printf("the next tenant finds room: %s\n", mi_heap_malloc(next, LIMIT / 2) != NULL ? "yes" : "no");
  mi_heap_destroy(next);
  return 0;
}
