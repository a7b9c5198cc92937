/* SPDX-License-Identifier: MIT */
/* Runs of slices for the page layer: claim, extend, release, and which of them start a page. */
#pragma once

#include "memory/hugepages.h"
#include "memory/segment.h"

typedef struct claim_s {
  size_t slice;
  size_t count;
  bool zero; /* all of it is known to be zero */
} claim_t;

struct arena_s;

/* Where claims for somebody look: in one arena only, or first in those of a NUMA node, then as all do. */
typedef struct home_s {
  struct arena_s* arena; /* const: NULL: wherever memory is for everybody */
  atomic_u32_t node;     /* atomic: 1 + the node, 0: none */
} home_t;

/* Claim adjacent slices, readable and writable, the first at a multiple of alignment (bytes, a power of two).
   Prefers slices whose memory is still there, then the lowest address; grows the window when nothing fits.
   False: out of memory. */
bool slices_claim_for(home_t* home, size_t count, size_t alignment, use_t use, claim_t* claim);
bool slices_claim(size_t count, size_t alignment, claim_t* claim); /* for nobody in particular */

/* Place exactly so many new segments, claimed and as no arena; what else had to be placed is released. */
bool slices_grow(size_t segments, size_t alignment, extent_t* own);

/* Release whole claimed segments as they are: a new arena's, or what became none. */
void slices_open(extent_t segments);

/* Claim the `more` slices directly behind [slice, slice + count), or false. */
bool slices_extend(size_t slice, size_t count, size_t more, claim_t* claim);

/* Free claimed slices, contents unknown.  None of them is a start. */
void slices_release(size_t slice, size_t count);

/* The same for memory that has lain idle for long: it goes back to the OS first. */
void slices_release_purged(size_t slice, size_t count);

/* By the owner of the slice: it is the first slice of a page, or no longer. */
void slices_set_start(size_t slice);
void slices_clear_start(size_t slice);

/* The nearest start at or below a claimed slice.  SLICE_NONE: the slice is free, or there is no start.  The
   caller checks that the page which starts there is long enough. */
size_t slices_find_start(size_t slice);
/* What the owner of a page may rely on: its first slice is marked, none of its slices is free. */
bool slices_are_claimed(size_t slice, size_t count);

/* Slices of the page that starts at this entry, 0 when there is none. */
typedef size_t page_slices_fn(table_entry_t* entry);

/* In a forked child, by its only thread, before it claims anything: put right what threads of the parent left
   half done.  Claimed slices that no page covers are lost: they become free and dirty. */
void memory_after_fork(page_slices_fn* page_slices);
