/* SPDX-License-Identifier: MIT */
/* What happens to a pointer outside the window: a block of another allocator, or an error.

   Beside the system's allocator, everything foreign is an error (the definition in alloc/foreign.c is weak).
   As a replacement of malloc, override/foreign.c decides, and hands blocks of the allocator behind us back
   to it. */
#pragma once

#include "base/config.h"

typedef struct foreign_s {
  void (*free)(void* p);
  void* (*realloc)(void* p, size_t size); /* NULL with errno set: p is what it was */
  size_t (*usable_size)(const void* p);
} foreign_t;

extern const foreign_t foreign; /* p is not NULL */

/* Report that p was handed to `verb` and cannot be a block; `what` says what it is instead. */
void foreign_report(const char* verb, const void* p, const char* what);
