/* SPDX-License-Identifier: MIT */
/* A page of memory made read-only, a table whose size comes from outside, and a copy of an environment
   variable.

   Shows: POSIX, Unix and Windows names */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mimalloc.h>

int main(void) {
  /* Whole pages of the system, which nothing else shares: their protection may be changed. */
  const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
  void* page = NULL;
  const int error = mi_posix_memalign(&page, page_size, page_size);
  if (error != 0) return error; /* the error is the result, errno is not touched */
  strcpy(page, "settings, never to change");
  if (mprotect(page, page_size, PROT_READ) != 0) return 1;
  printf("read-only: %s\n", (const char*)page);
  mprotect(page, page_size, PROT_READ | PROT_WRITE); /* a block is given back as it came */
  mi_free(page);

  /* A count from a file's header, say: the product must not wrap. */
  volatile size_t count = SIZE_MAX / 4;
  void* const table = mi_reallocarray(NULL, count, sizeof(uint64_t));
  printf("a table that is too large: %s\n", table == NULL ? strerror(errno) : "?");

  uint64_t* numbers = NULL; /* the variable, not its value, is handed to reallocarr */
  if (mi_reallocarr(&numbers, 100, sizeof(uint64_t)) != 0) return 1;
  printf("100 numbers: %s\n",
         mi_malloc_usable_size(numbers) >= 100 * sizeof(uint64_t) ? "fit" : "do not fit");
  if (mi_reallocarr(&numbers, 0, sizeof(uint64_t)) != 0) return 1;
  printf("none: %s\n", numbers == NULL ? "freed" : "kept");

  setenv("EXAMPLE", "value", 1);
  char* value = NULL;
  size_t size = 0;
  if (mi_dupenv_s(&value, &size, "EXAMPLE") == 0 && value != NULL) printf("%s, %zu bytes\n", value, size);
  mi_free(value);
  return 0;
}
