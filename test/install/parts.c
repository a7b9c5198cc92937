/* SPDX-License-Identifier: MIT */
/* A program of two libraries: what the one with mimalloc-override.h allocates is ours, what the other
   allocates is the system's, and each frees its own. */
#include <mimalloc.h>
#include <stdio.h>

#include "part.h"

int main(void) {
  const part_t here = made_here(), there = made_there();
  int ours = 0, others = 0;
  for (int i = 0; i < PART_BLOCKS; i++) {
    ours += mi_is_in_heap_region(here.blocks[i]) && mi_check_owned(here.blocks[i]);
    others += there.blocks[i] != NULL && !mi_is_in_heap_region(there.blocks[i]);
  }
  freed_here(here);
  freed_there(there);
  printf("%d ours, %d the system's\n", ours, others);
  return 0;
}
