/* SPDX-License-Identifier: MIT */
/* A database that wants 1 GiB pages of the system for its buffers where there are any, and ordinary memory
   where not.

   Shows: arenas, huge pages, NUMA */
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

enum { BUFFER = 1 << 20 };

int main(void) {
  /* Of node 0, for this heap alone; whatever it takes, not longer than a second. */
  mi_arena_id_t arena = NULL;
  const int error = mi_reserve_huge_os_pages_at_ex(1, 0, 1000, true, &arena);
  printf("huge pages: %s\n", error == 0 ? "one" : strerror(error));
  mi_heap_t* const buffers = error == 0 ? mi_heap_new_in_arena(arena) : mi_heap_new();
  if (buffers == NULL) return 1;
  char* const buffer = mi_heap_zalloc(buffers, BUFFER);
  printf("a buffer, zeroed: %s, in huge pages if there are any: %s\n",
         buffer != NULL && buffer[BUFFER - 1] == 0 ? "yes" : "no",
         error != 0 || mi_arena_contains(arena, buffer) ? "yes" : "no");
  mi_heap_destroy(buffers);
  return 0;
}
