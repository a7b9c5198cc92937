/* SPDX-License-Identifier: MIT */
/* What the process holds and has handed out, counted when asked: live blocks are read off the pages, and
   what a page has handed out is what was put into its free list and is not there any more.  So the fast paths
   count nothing.  Exact once no other thread runs; while they run, each page is read at its own moment. */
#pragma once

#include "heap/heap.h"
#include "memory/counters.h"
#include "mimalloc.h"
#include "page/sizeclass.h"

typedef struct bin_snapshot_s {
  size_t pages, blocks; /* blocks: live */
  uint64_t served;      /* blocks handed out */
} bin_snapshot_t;

/* Whose pages are counted: those of a sub-process by its main heap (NULL: of all), of a heap (NULL: of all),
   owned by the thread (0: by anybody). */
typedef struct scope_s {
  heap_t* main;
  heap_t* heap;
  uintptr_t tag;
} scope_t;

/* Is the page or part of this heap, owned by the thread with this tag, one of those? */
bool is_in_scope(scope_t scope, heap_t* heap, uintptr_t tag);

typedef struct stats_snapshot_s {
  scope_t scope;
  size_t live_bytes, live_blocks; /* usable bytes of live blocks, big ones included */
  size_t huge_bytes, huge_blocks; /* the big ones: runs of their own */
  size_t pages, abandoned_pages;
  size_t page_bytes;      /* slices that pages and big blocks cover */
  size_t free_bytes;      /* carved or not, inside pages and not live */
  memory_stats_t memory; /* of the process */
  uint64_t huge_served, huge_served_bytes; /* big blocks handed out; not of a single thread */
  uint64_t served_blocks, served_bytes;    /* all blocks handed out */
  size_t threads, parts, heaps; /* parts and heaps: see fill_members */
  bin_snapshot_t bins[BIN_COUNT];
} stats_snapshot_t;

void stats_snapshot(stats_snapshot_t* stats); /* of the process */
void stats_snapshot_of(scope_t scope, stats_snapshot_t* stats);
