/* SPDX-License-Identifier: MIT */
/* A user's program.  It has functions with names like our internal ones, which must not clash, and uses a block of the
   replaced malloc with the library's own functions, which must know it. */
#include <mimalloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int page_free(int x);
int window_init(int x);
int page_free(int x) { return x + 1; }
int window_init(int x) { return x + 2; }

int main(void) {
  char* const text = malloc(100);
  if (text == NULL) return 1;
  memset(text, 'x', 100);
  const bool ours = mi_is_in_heap_region(text) && mi_usable_size(text) >= 100;
  mi_free(text);
  printf("malloc is ours: %s\n", ours && page_free(1) == 2 && window_init(1) == 3 ? "yes" : "no");
  return 0;
}
