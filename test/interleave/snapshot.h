/* SPDX-License-Identifier: MIT */
/* Snapshot: puts memory back as it was, at the price of the pages that change.

   snapshot_take() write-protects the regions.  The first write to a page faults, once in the life of the
   process; the handler keeps a copy of the page and lets the write through.  snapshot_restore() copies the
   kept pages back, which is some microseconds for the few pages that an execution writes. */
#ifndef TEST_INTERLEAVE_SNAPSHOT_H
#define TEST_INTERLEAVE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

/* A fault that is no first write to a page of the snapshot ends in `crashed` (a signal number). */
void snapshot_init(void (*crashed)(int));
void snapshot_add(void* start, size_t size);
void snapshot_remove(void* start, size_t size); /* of exactly such a region, if there is one */
void snapshot_take(void);
void snapshot_restore(void);
/* Gives up the snapshot: everything is writable and stays as it is. */
void snapshot_drop(void);

#endif
