/* SPDX-License-Identifier: MIT */
/* One source, two libraries of a program, in C or in C++: one part is compiled with mimalloc-override.h, the
   other without. */
#ifndef PART_H
#define PART_H

#ifdef __cplusplus
extern "C" {
#endif

enum { PART_BLOCKS = 9 };

typedef struct {
  void* blocks[PART_BLOCKS];
} part_t;

part_t made_here(void);
part_t made_there(void);
void freed_here(part_t part);
void freed_there(part_t part);

#ifdef __cplusplus
}
#endif
#endif
