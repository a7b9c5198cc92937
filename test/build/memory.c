/* SPDX-License-Identifier: MIT */
/* Takes memory until there is none left. */
#include <mimalloc.h>
#include <stdio.h>

int main(void) {
  while (mi_malloc(10 * 1000 * 1000) != NULL) continue;
  printf("NULL\n");
  return 0;
}
