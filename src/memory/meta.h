/* SPDX-License-Identifier: MIT */
/* Memory for the allocator's own long-lived records.  Never given back to the OS: callers keep free lists of
   their own per type, so an address once used for a type stays that type (and a late reader never faults). */
#pragma once

#include <stddef.h>

/* size > 0 zero bytes, aligned to a cache line; NULL when the OS has no more.  Lock-free. */
void* meta_alloc(size_t size);
