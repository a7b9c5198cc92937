/* SPDX-License-Identifier: MIT */
/* Statistics as numbers and as JSON; the layout is that of mimalloc 3.6 (version 6).

   Counting costs the program nothing: live blocks and what was handed out are read off the allocator's own
   structures when somebody asks.  Each figure is exact when no other thread allocates or frees meanwhile;
   otherwise each page is read at a moment of its own.  One exception: a block that a thread freed into a full
   page of another thread may count as live until that one, while it lives, allocates again.

   Sizes are usable sizes (mi_usable_size), not the sizes asked for.  Every memory figure counts bytes, every
   other one counts what its name says.

     current  what there is now: exact
     total    what there has been since the start, or since mi_stats_reset: exact.  A block that is resized
              without moving counts once, what it grows by counts as bytes allocated
     peak     of blocks and their bytes an upper bound: never below the highest value there was, and never
              above what the pages in use at the busiest moment of each size had room for, nor above what was
              live at the start (or the reset) and the total since.  With pages of
              64 KiB to 1 MiB the difference is less than one page per size and thread for a program that
              only grows.  Of all pages and their bytes it is not above what was committed at the busiest
              moment.  Of reserved, committed, threads, heaps, theaps, abandoned pages and pages of one
              size it is exact

   Of page_committed only `current` is known.  The figures of a heap, a theap or a sub-process differ in this:
   totals are since its start, whatever mi_stats_reset does; of its pages, committed (the bytes of its pages)
   and theaps, of a sub-process of heaps and threads too, only `current` is known (`total` and `peak` are 0);
   peaks of its blocks are bounded by its own totals and by the process's pages of each size.  What only the
   process counts is 0: reserved and segments (shared by all), reset and purged, calls, arenas and their
   events, searches of pages and other events of pages (pages_extended, pages_retire, pages_reclaim_*,
   pages_reabandon_full); heaps and threads of what is not a sub-process.

   Always 0, because there is no such thing in this allocator: malloc_requested (sizes asked for are not
   kept), malloc_guarded_count and profile_samples (nothing is sampled), segments_abandoned, segments_cache,
   _segments_reserved and chunk_bins (segments are shared, have no kinds and are never given back),
   pages_os_abandoned and pages_os_allocated (every page lies in a segment), pages_unabandon_busy_wait and
   heaps_delete_wait (nobody waits), pages_unown_cas_retry (a failed CAS is not counted), pages_stat_updates
   and pages_stat_update_count (nothing has to be updated), and the reserved fields. */
#ifndef MIMALLOC_STATS_H
#define MIMALLOC_STATS_H

#include "mimalloc.h"

#include <stdint.h>
#include <string.h>

/* ---- statistics -------------------------------------------------------------------------------------- */

/* The number of this layout of mi_stats_t. */
#define MI_STAT_VERSION 6

/* A figure that goes up and down. */
typedef struct mi_stat_count_s {
  int64_t total;   /* all there has been */
  int64_t peak;    /* the most there has been at a time */
  int64_t current; /* what there is now */
} mi_stat_count_t;

/* A figure that only grows. */
typedef struct mi_stat_counter_s {
  int64_t total; /* all there has been */
} mi_stat_counter_t;

/* The fields in their order; define MI_STAT_COUNT(name) and MI_STAT_COUNTER(name) to walk over them. */
#define MI_STAT_FIELDS()                                                                               \
  MI_STAT_COUNT(pages)                       /* pages in use, big blocks included */                   \
  MI_STAT_COUNT(reserved)                    /* bytes of addresses */                                  \
  MI_STAT_COUNT(committed)                   /* bytes in pages; total: ever made writable */           \
  MI_STAT_COUNTER(reset)                     /* bytes the system may take; purge_decommits 0 */        \
  MI_STAT_COUNTER(purged)                    /* bytes given back to the system */                      \
  MI_STAT_COUNT(page_committed)              /* bytes of pages */                                      \
  MI_STAT_COUNT(pages_abandoned)             /* pages without an owner */                              \
  MI_STAT_COUNT(threads)                     /* threads that allocate */                               \
  MI_STAT_COUNT(allocated)                   /* bytes of blocks: malloc_normal and malloc_huge */      \
  MI_STAT_COUNTER(malloc_count)              /* blocks allocated */                                    \
  MI_STAT_COUNTER(free_count)                /* blocks freed */                                        \
  MI_STAT_COUNTER(freed)                     /* bytes freed */                                         \
  MI_STAT_COUNTER(malloc_requested)          /* 0 */                                                   \
  MI_STAT_COUNTER(mmap_calls)                /* calls that map memory */                               \
  MI_STAT_COUNTER(commit_calls)              /* calls that make memory usable */                       \
  MI_STAT_COUNTER(reset_calls)               /* calls that allow it to */                              \
  MI_STAT_COUNTER(purge_calls)               /* calls that give memory back */                         \
  MI_STAT_COUNTER(arena_count)               /* arenas */                                              \
  MI_STAT_COUNTER(malloc_guarded_count)      /* 0 */                                                   \
  MI_STAT_COUNTER(arena_rollback_count)      /* runs claimed in part and given back */                 \
  MI_STAT_COUNTER(arena_purges)              /* purge_calls that were for arenas */                    \
  MI_STAT_COUNTER(pages_extended)            /* times that a page got more blocks */                   \
  MI_STAT_COUNTER(pages_retire)              /* times that an empty page was kept */                   \
  MI_STAT_COUNTER(page_searches)             /* pages looked at to find a block */                     \
  MI_STAT_COUNTER(page_searches_count)       /* times that one was found */                            \
  MI_STAT_COUNT(segments)                    /* of 4 MiB: all that is reserved */                      \
  MI_STAT_COUNT(segments_abandoned)          /* 0 */                                                   \
  MI_STAT_COUNT(segments_cache)              /* 0 */                                                   \
  MI_STAT_COUNT(_segments_reserved)          /* 0 */                                                   \
  MI_STAT_COUNT(heaps)                       /* heaps, the main one included */                        \
  MI_STAT_COUNT(theaps)                      /* threads' parts of heaps; a fork counts its parent's */ \
  MI_STAT_COUNT(pages_os_abandoned)          /* 0 */                                                   \
  MI_STAT_COUNT(pages_os_allocated)          /* 0 */                                                   \
  MI_STAT_COUNTER(pages_reclaim_on_alloc)    /* abandoned pages taken to allocate */                   \
  MI_STAT_COUNTER(pages_reclaim_on_free)     /* or by threads that freed into them */                  \
  MI_STAT_COUNTER(pages_reabandon_full)      /* full pages given up by living threads */               \
  MI_STAT_COUNTER(pages_unabandon_busy_wait) /* 0 */                                                   \
  MI_STAT_COUNTER(pages_unown_cas_retry)     /* 0 */                                                   \
  MI_STAT_COUNTER(heaps_delete_wait)         /* 0 */                                                   \
  MI_STAT_COUNTER(pages_stat_updates)        /* 0 */                                                   \
  MI_STAT_COUNTER(pages_stat_update_count)   /* 0 */                                                   \
  MI_STAT_COUNTER(profile_samples)           /* 0 */                                                   \
  MI_STAT_COUNT(malloc_normal)               /* bytes of blocks of the size classes */                 \
  MI_STAT_COUNT(malloc_huge)                 /* bytes of big blocks, each of its own size */           \
  MI_STAT_COUNTER(malloc_normal_count)       /* blocks of the size classes allocated */                \
  MI_STAT_COUNTER(malloc_huge_count)         /* big blocks allocated */

/* Kinds of chunks: only for the layout, chunk_bins is 0 here. */
typedef enum mi_chunkbin_e {
  MI_CBIN_SMALL, MI_CBIN_OTHER, MI_CBIN_MEDIUM, MI_CBIN_LARGE, MI_CBIN_HUGE, MI_CBIN_NONE, MI_CBIN_COUNT
} mi_chunkbin_t;

/* The number of the last bin, that of big blocks. */
#define MI_BIN_HUGE (73U)

/* What a field is in mi_stats_t; undefined again behind it. */
#define MI_STAT_COUNT(stat)   mi_stat_count_t stat;
#define MI_STAT_COUNTER(stat) mi_stat_counter_t stat;

/* All figures; mi_stats_init makes one ready.  What each counts is said at MI_STAT_FIELDS. */
typedef struct mi_stats_s {
  size_t size;    /* sizeof(mi_stats_t) and ... */
  size_t version; /* ... MI_STAT_VERSION of the program's header: how the library knows the layout */
  MI_STAT_FIELDS()
  mi_stat_count_t _stat_reserved[4];            /* 0 */
  mi_stat_counter_t _stat_counter_reserved[4];  /* 0 */
  mi_stat_count_t malloc_bins[MI_BIN_HUGE + 1]; /* blocks of each size class (mi_stats_get_bin_size) */
  mi_stat_count_t page_bins[MI_BIN_HUGE + 1];   /* pages of each */
  mi_stat_count_t chunk_bins[MI_CBIN_COUNT];    /* 0 */
} mi_stats_t;

#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER

#ifdef __cplusplus
extern "C" {
#endif

/* Make *stats ready to be filled in: its size and version; and all figures zero. */
static inline void mi_stats_header_init(mi_stats_t* stats) {
  stats->size = sizeof(*stats);
  stats->version = MI_STAT_VERSION;
}
static inline void mi_stats_init(mi_stats_t* stats) {
  memset(stats, 0, sizeof(*stats));
  mi_stats_header_init(stats);
}

/* A variable of that kind, ready. */
#define mi_stats_t_decl(name) \
  mi_stats_t name;            \
  mi_stats_init(&name);

/* Fill in the figures of the process, or of one heap (NULL: the main heap).  False, and *stats unchanged,
   when stats is NULL or its size and version are not those of this library. */
mi_decl_export bool mi_stats_get(mi_stats_t* stats) mi_attr_noexcept;
mi_decl_export bool mi_heap_stats_get(mi_heap_t* heap, mi_stats_t* stats) mi_attr_noexcept;

/* The same of a theap (NULL: the calling thread's default): the pages that its thread owns, totals of those
   alone, and no big blocks, which no thread owns. */
mi_decl_export bool mi_theap_stats_get(mi_theap_t* theap, mi_stats_t* stats) mi_attr_noexcept;

/* The same of all heaps of a sub-process that there are and ever were; and of those alone that have been
   deleted or destroyed (exclusive): totals without what live heaps have allocated, nothing of it live.
   False, too, when there is no such sub-process. */
mi_decl_export bool mi_subproc_stats_get(mi_subproc_id_t subproc_id, mi_stats_t* stats) mi_attr_noexcept;
mi_decl_export bool mi_subproc_stats_get_exclusive(mi_subproc_id_t subproc_id,
                                                   mi_stats_t* stats) mi_attr_noexcept;

/* The figures as JSON text: those of the process, of a heap, or those in *stats.  The text is stored in `buf`
   of `buf_size` bytes and buf is returned, or NULL when it does not fit; with buf NULL the result is a block
   for mi_free (NULL: out of memory).  Keys are the names above; a count is an object, a counter a number. */
mi_decl_export char* mi_stats_get_json(size_t buf_size, char* buf) mi_attr_noexcept;
mi_decl_export char* mi_heap_stats_get_json(mi_heap_t* heap, size_t buf_size, char* buf) mi_attr_noexcept;
mi_decl_export char* mi_subproc_stats_get_json(mi_subproc_id_t subproc_id, size_t buf_size,
                                               char* buf) mi_attr_noexcept;
mi_decl_export char* mi_stats_as_json(mi_stats_t* stats, size_t buf_size, char* buf) mi_attr_noexcept;

/* Print what a heap holds (NULL: the main heap), to `out` (NULL: the registered output or stderr). */
mi_decl_export void mi_heap_stats_print_out(mi_heap_t* heap, mi_output_fun* out, void* arg) mi_attr_noexcept;

/* The same of a sub-process as a whole, and of each of its heaps. */
mi_decl_export void mi_subproc_stats_print_out(mi_subproc_id_t subproc_id, mi_output_fun* out,
                                               void* arg) mi_attr_noexcept;
mi_decl_export void mi_subproc_heap_stats_print_out(mi_subproc_id_t subproc_id, mi_output_fun* out,
                                                    void* arg) mi_attr_noexcept;

/* In mimalloc, figures of theaps and heaps must be added up before they show; here they always do, and
   nothing is done. */
mi_decl_export void mi_theap_stats_merge_to_heap(mi_theap_t* theap) mi_attr_noexcept;
mi_decl_export void mi_heap_stats_merge_to_subproc(mi_heap_t* heap) mi_attr_noexcept;

/* The usable size of the blocks of a bin; 0 for MI_BIN_HUGE and for numbers that are no bin's. */
mi_decl_export size_t mi_stats_get_bin_size(size_t bin) mi_attr_noexcept;

#ifdef __cplusplus
}
#endif

#endif
