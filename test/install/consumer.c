/* SPDX-License-Identifier: MIT */
/* A user's program.  It has functions with names like our internal ones, which must not clash.  Its malloc is
   ours when a block of it lies beside one of the library's own function, and that function's kin take it. */
#include <mimalloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int page_free(int x);
int window_init(int x);
int page_free(int x) { return x + 1; }
int window_init(int x) { return x + 2; }

/* Called crosswise, which the compiler would warn of if it saw it. */
static void (*volatile free_of_c)(void*) = &free;
static void (*volatile free_of_mimalloc)(void*) = &mi_free;

int main(void) {
  char* const text = malloc(100);
  char* const neighbour = mi_malloc(100);
  if (text == NULL || neighbour == NULL) return 1;
  memset(text, 'x', 100);
  const uintptr_t distance = (uintptr_t)text ^ (uintptr_t)neighbour;
  const bool ours = distance < 64 * 1024 && mi_usable_size(text) >= 100;
  free_of_mimalloc(text);
  free_of_c(neighbour);
  printf("malloc is ours: %s\n", ours && page_free(1) == 2 && window_init(1) == 3 ? "yes" : "no");
  return 0;
}
