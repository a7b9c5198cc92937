/* SPDX-License-Identifier: MIT */
/* Which allocations are fenced: one in `rate`, in every size class for itself.
   Nothing is counted where blocks are taken.  When a list of free blocks joins a page that allocation pops
   from, its blocks are counted off what is left until the class's next sample; a list that is longer is cut
   there, so that the allocation which is to be sampled finds none on hand and comes to the slow path. */
#pragma once

#include "heap/heap.h"

/* A part begins to sample, or does not (rate 0); the seed decides which allocations, 0: chance. */
void part_sampling_start(heap_part_t* part, size_t rate, uint64_t seed);
void part_sampling_begin(heap_part_t* part); /* as the options say */
/* page->free has become another list. */
void part_count_list(heap_part_t* part, page_t* page);
/* Is this allocation of the bin, or of a big block (BIN_COUNT), to be fenced? */
bool part_sample_is_due(heap_part_t* part, unsigned bin, size_t size);
