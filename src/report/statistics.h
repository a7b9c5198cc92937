/* SPDX-License-Identifier: MIT */
/* What the process holds, counted when asked: live blocks are read off the pages, so the fast paths count
   nothing. Exact once no other thread runs and every thread
   has had what others freed into its full pages; while they run, each page is read at its own moment. */
#ifndef REPORT_STATISTICS_H
#define REPORT_STATISTICS_H

#include "mimalloc.h"
#include "page/sizeclass.h"

typedef struct bin_snapshot_s {
  size_t pages, blocks; /* blocks: live */
} bin_snapshot_t;

typedef struct stats_snapshot_s {
  size_t live_bytes, live_blocks; /* usable bytes of live blocks, big ones included */
  size_t huge_bytes, huge_blocks; /* the big ones: runs of their own */
  size_t pages, abandoned_pages;
  size_t page_bytes;      /* slices that pages and big blocks cover */
  size_t free_bytes;      /* carved or not, inside pages and not live */
  size_t reserved, committed, peak_committed, dirty, metadata; /* committed: claimed slices */
  uint64_t purged, purge_calls, commit_calls, map_calls;
  /* handed to allocation by this thread and by threads that have exited */
  uint64_t served_blocks, served_bytes;
  size_t threads;
  bin_snapshot_t bins[BIN_COUNT];
} stats_snapshot_t;

void stats_snapshot(stats_snapshot_t* stats);

#endif
