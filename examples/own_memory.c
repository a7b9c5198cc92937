/* SPDX-License-Identifier: MIT */
/* Blocks in memory that the program brings itself: a file mapped into it, and a device's memory that has to
   be switched on before use, which a callback does.

   Shows: arenas, huge pages, NUMA */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mimalloc.h>

enum { SIZE = 16 << 20 };

static _Atomic(long) switched_on; /* slices of 64 KiB */

/* Called by any thread: it must not allocate. */
static bool switch_memory(bool commit, void* start, size_t size, bool* is_zero, void* arg) {
  (void)arg;
  const int access = commit ? PROT_READ | PROT_WRITE : PROT_NONE;
  if (mprotect(start, size, access) != 0) return false;
  atomic_fetch_add(&switched_on, commit ? (long)(size >> 16) : -(long)(size >> 16));
  if (commit) *is_zero = false; /* we do not know what was there before */
  return true;
}

int main(void) {
  FILE* const file = tmpfile();
  if (file == NULL || ftruncate(fileno(file), SIZE) != 0) return 1;
  void* const shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
  void* const device = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED || device == MAP_FAILED) return 1;

  const bool committed = true, pinned = true, zero = true,
             exclusive = true; /* pinned: the file keeps its contents */
  mi_arena_id_t file_arena = NULL, device_arena = NULL;
  if (!mi_manage_os_memory_ex(shared, SIZE, committed, pinned, zero, -1, exclusive, &file_arena)) return 1;
  if (!mi_manage_memory(device, SIZE, false, false, false, -1, exclusive, &switch_memory, NULL,
                        &device_arena))
    return 1;

  mi_heap_t* const in_file = mi_heap_new_in_arena(file_arena);
  char* const note = mi_heap_strdup(in_file, "written through the mapping");
  char copy[64] = "";
  const long offset = (long)(note - (char*)shared);
  if (note == NULL || pread(fileno(file), copy, sizeof(copy) - 1, offset) <= 0) return 1;
  printf("read from the file: %s\n", copy);
  mi_heap_destroy(in_file);

  mi_heap_t* const in_device = mi_heap_new_in_arena(device_arena);
  printf("switched on at first: %ld\n", atomic_load(&switched_on));
  void* const p = mi_heap_malloc(in_device, 1 << 20);
  printf("for a block of 1 MiB at least 16: %s\n",
         p != NULL && atomic_load(&switched_on) >= 16 ? "yes" : "no");
  mi_heap_destroy(in_device);
  mi_arenas_purge();
  printf("and in the end less: %s\n", atomic_load(&switched_on) < 16 ? "yes" : "no");
  return 0;
}
