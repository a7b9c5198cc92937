/* SPDX-License-Identifier: MIT */
/* Type-stable pools: a lock-free stack of unused structs, whose memory stays what it is for ever.  A struct
   in a pool begins with a pool_link_t that nothing else uses.

   head:  63 ..... 22 21 ... 0
         | address/64 | version |     the version grows with every pop, so a pop that slept never succeeds */
#pragma once

#include "base/atomics.h"
#include "base/config.h"

typedef struct pool_link_s { atomic_u64_t next; } pool_link_t; /* address of the next unused struct */

typedef struct pool_s { atomic_u64_t head; } pool_t;

/* An unused struct, as pool_put left it, or a new zeroed one of `size` bytes; NULL when out of memory. */
void* pool_get(pool_t* pool, size_t size);
void* pool_take(pool_t* pool); /* the same, or NULL */
void pool_put(pool_t* pool, void* item);
