/* SPDX-License-Identifier: MIT */
#ifndef ALLOC_RESIZE_H
#define ALLOC_RESIZE_H

#include "alloc/alloc.h"

/* realloc in all its forms.  NULL: as alloc_generic, and p is what it was.  Size 0 gives a fresh minimal
   block. */
void* resize(void* p, request_t request);

/* The same for callers who gave an alignment: it must be a power of two (else NULL, EINVAL). */
void* resize_aligned(void* p, request_t request);

#endif
