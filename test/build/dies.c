/* SPDX-License-Identifier: MIT */
/* What build options change in a running program.
     dies levels     damages a free block, then takes one step after the other and says which: what the
                     checks of a debug build find, and when
     dies failures   asks for what cannot be had, and for what is wrong */
#include <mimalloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 200, SIZE = 48, FREES = 100 };

static void say(const char* what) {
  (void)!write(STDOUT_FILENO, what, strlen(what));
}

static int levels(void) {
  char* blocks[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) blocks[i] = mi_malloc(SIZE);
  char* volatile damaged = blocks[0];
  mi_free(blocks[0]);
  memset(damaged + 8, 0x55, 8); /* the mark that each free block has */
  for (int i = 1; i <= FREES; i++) {
    say("step\n");
    mi_free(blocks[i]);
  }
  say("slow\n");
  for (int i = 0; i < 2000; i++) blocks[i % BLOCKS] = mi_malloc(SIZE);
  say("end\n");
  return 0;
}

static void heard(int code, void* arg) {
  (void)arg;
  printf("hook %d\n", code);
  fflush(stdout);
}

/* Does the system never give the memory at p huge pages (flag nh)?  -1: it does not say. */
static int has_no_huge_pages(const char* p) {
  FILE* const maps = fopen("/proc/self/smaps", "r");
  char line[512];
  int inside = 0;
  while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
    size_t from, to;
    if (sscanf(line, "%zx-%zx ", &from, &to) == 2) inside = (size_t)p >= from && (size_t)p < to;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) return strstr(line, " nh") != NULL;
  }
  return -1;
}

static int failures(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  printf("allow_thp %ld\n", mi_option_get(mi_option_allow_thp));
  const size_t much = 40 * 1000 * 1000;
  for (int i = 0; i < 3; i++) { /* a program that is not small, and uses its memory */
    volatile char* const p = mi_malloc(much);
    for (size_t k = 0; p != NULL && k < much; k += 1024) p[k] = 1;
  }
  printf("without huge pages: %d\n", has_no_huge_pages((char*)mi_malloc(much) + much / 2));
  volatile size_t size = 24;
  printf("alignment: %s\n", mi_malloc_aligned(size, size) == NULL ? "NULL" : "a block");
  mi_register_error(heard, NULL);
  size = (size_t)PTRDIFF_MAX + 1;
  printf("too large: %s\n", mi_malloc(size) == NULL ? "NULL" : "a block");
  size = (size_t)1 << 46;
  printf("too much: %s\n", mi_malloc(size) == NULL ? "NULL" : "a block");
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "levels") == 0) return levels();
  if (argc == 2 && strcmp(argv[1], "failures") == 0) return failures();
  return 2;
}
