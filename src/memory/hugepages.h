/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_HUGEPAGES_H
#define MEMORY_HUGEPAGES_H

#include <stddef.h>

/* The slices first .. end - 1 have just been committed: ask for huge pages for them, or not. */
void memory_choose_page_size(size_t first, size_t end);

#endif
