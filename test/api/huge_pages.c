/* SPDX-License-Identifier: MIT */
/* Huge pages for real, where the machine lets us: root reserves some 2 MiB pages for the system and gives
   them back at the end.  Whether the kernel has used them is read from the list of mappings. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "mimalloc.h"

#define MiB ((size_t)1024 * 1024)

enum { PAGES = 8, ARENA_MIB = 16 };

#define must(condition)                                                         \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                 \
    }                                                                           \
  } while (0)

static const char number_of_pages[] = "/proc/sys/vm/nr_hugepages";

static long read_number(const char* path) {
  long number = -1;
  FILE* const file = fopen(path, "r");
  if (file == NULL) return -1;
  if (fscanf(file, "%ld", &number) != 1) number = -1;
  fclose(file);
  return number;
}

static int write_number(const char* path, long number) {
  const int file = open(path, O_WRONLY);
  if (file < 0) return -1;
  const int done = dprintf(file, "%ld\n", number) > 0;
  close(file);
  return done ? 0 : -1;
}

/* A line of /proc/meminfo or, behind the mapping that begins at `start`, of /proc/self/smaps, in KiB. */
static long kib_of(const char* path, const void* start, const char* key) {
  char line[512];
  char begin[32];
  long found = -1;
  int inside = start == NULL;
  FILE* const file = fopen(path, "r");
  must(file != NULL);
  snprintf(begin, sizeof(begin), "%lx-", (unsigned long)start);
  while (found < 0 && fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, begin, strlen(begin)) == 0) inside = 1;
    if (inside && strncmp(line, key, strlen(key)) == 0) found = strtol(line + strlen(key), NULL, 10);
  }
  fclose(file);
  return found;
}

/* 2 MiB pages: the arena consists of them, they stay, and zeroed blocks are zero the second time too. */
static void large_pages(void) {
  mi_arena_id_t arena = NULL;
  const long free_before = kib_of("/proc/meminfo", NULL, "HugePages_Free:");
  must(free_before >= PAGES);
  must(mi_reserve_os_memory_ex(ARENA_MIB * MiB, false, true, true, &arena) == 0);
  char* const start = mi_arena_area(arena, NULL);
  must(start != NULL && kib_of("/proc/self/smaps", start, "KernelPageSize:") == 2048);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  for (int round = 0; round < 3; round++) {
    char* const p = mi_heap_zalloc(heap, 12 * MiB);
    must(p != NULL && mi_arena_contains(arena, p));
    for (size_t i = 0; i < 12 * MiB; i += 4096) {
      must(p[i] == 0);
      p[i] = 1;
    }
    must(kib_of("/proc/meminfo", NULL, "HugePages_Free:") <= free_before - 6);
    mi_free(p);
    mi_collect(true);
    mi_arenas_purge();
  }
  void* blocks[100];
  for (int i = 0; i < 100; i++) memset(blocks[i] = mi_heap_malloc(heap, 50000), i, 50000);
  for (int i = 0; i < 100; i++) {
    must(mi_arena_contains(arena, blocks[i]) && *(unsigned char*)blocks[i] == i);
    mi_free(blocks[i]);
  }
  /* More than there are: ordinary memory. */
  mi_arena_id_t plain = NULL;
  must(mi_reserve_os_memory_ex(64 * MiB, false, true, true, &plain) == 0);
  void* const q = mi_heap_malloc(mi_heap_new_in_arena(plain), MiB);
  must(q != NULL && memset(q, 1, MiB) == q);
  must(kib_of("/proc/self/smaps", mi_arena_area(plain, NULL), "KernelPageSize:") == 4);
}

/* 1 GiB pages are rare, and 512 of 2 MiB are not here: refused, within its time, and nothing is broken. */
static void too_many(void) {
  int local = 0;
  mi_arena_id_t arena = &local;
  size_t pages = 7;
  if (mi_reserve_huge_os_pages_at_ex(2, 0, 1000, true, &arena) == 0) return; /* what a machine! */
  must(arena == NULL && mi_reserve_huge_os_pages(1, 0.5, &pages) != 0 && pages == 0);
  must(mi_reserve_huge_os_pages_interleave(1, 0, 100) != 0);
  char* const p = mi_malloc(100 * MiB);
  must(p != NULL);
  p[0] = p[100 * MiB - 1] = 1;
}

static int in_child(void (*body)(void)) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    body();
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

int main(void) {
  if (THREAD_SANITIZER) return 77;
  if (in_child(too_many) != 0) return 1;
  const long before = read_number(number_of_pages);
  if (before < 0 || write_number(number_of_pages, before + PAGES) != 0) {
    printf("skipped: no right to reserve huge pages\n");
    return 77;
  }
  int status = 77;
  if (kib_of("/proc/meminfo", NULL, "HugePages_Free:") >= PAGES) status = in_child(large_pages) == 0 ? 0 : 1;
  else printf("skipped: the machine has no %d huge pages to give\n", PAGES);
  if (write_number(number_of_pages, before) != 0 || read_number(number_of_pages) != before) return 1;
  return status;
}
