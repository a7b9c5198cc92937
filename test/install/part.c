/* SPDX-License-Identifier: MIT */
/* A part of a program that allocates in every usual way.  MADE and FREED are the names of its two
   functions. */
#include "part.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#ifdef OVERRIDDEN
#include <mimalloc-override.h>
#endif

part_t MADE(void) {
  part_t part;
  void* aligned = NULL;
  part.blocks[0] = malloc(100);
  part.blocks[1] = calloc(10, 10);
  part.blocks[2] = realloc(malloc(10), 5000);
  part.blocks[3] = strdup("a text");
  part.blocks[4] = wcsdup(L"a text");
  part.blocks[5] = aligned_alloc(64, 640);
  part.blocks[6] = posix_memalign(&aligned, 4096, 10) == 0 ? aligned : NULL;
  part.blocks[7] = reallocarray(NULL, 10, 10);
  part.blocks[8] = realpath("/", NULL);
  if (malloc_usable_size(part.blocks[2]) < 5000) abort();
  return part;
}

void FREED(part_t part) {
  for (int i = 0; i < PART_BLOCKS; i++) free(part.blocks[i]);
}
