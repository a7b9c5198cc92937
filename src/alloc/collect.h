/* SPDX-License-Identifier: MIT */
#ifndef ALLOC_COLLECT_H
#define ALLOC_COLLECT_H

#include <stddef.h>

/* Collect the calling thread's pages and give all free memory of the process back to the
   OS; returns bytes. */
size_t memory_trim(void);

#endif
