/* SPDX-License-Identifier: MIT */
/* Where to look: for each kind of segment one would search for, a 64-ary tree of bits over all segments,
   three levels deep.  The lowest (or highest) segment with a hint is found in a constant number of steps.

   A hint may be false, but none is ever missing once the threads that change a segment have returned:

     set:     make the segment so (seq_cst RMW on FREE or STARTS); look at the bits leaf to root, set those
              that are missing
     refute:  clear the bit; look at the segment (or the words below); set it again if the segment is so

   Each side writes before it looks, all four accesses are seq_cst, so at least one sees the other's write. */
#pragma once

#include "memory/segment.h"

/* Kinds: RUN + k: has 2^k adjacent free slices; DIRTY + k: has 2^k adjacent free dirty slices; STARTS: has a
   first slice of a page. */
enum { RUN_LEVELS = 7, HINT_RUN = 0, HINT_DIRTY = RUN_LEVELS, HINT_STARTS = 2 * RUN_LEVELS, HINT_KINDS = 16 };

/* Set the hints that the segment deserves, after slices became free; those of its arena, if it has one. */
void summary_publish(size_t segment);

/* Set one hint. */
void summary_set(unsigned kind, size_t segment);

/* The caller looked and found the hint false: clear it, unless it has become true. */
void summary_refute(unsigned kind, size_t segment);

/* The lowest segment >= from with the hint; the highest <= from; or SLICE_NONE. */
size_t summary_lowest(unsigned kind, size_t from);
size_t summary_highest(unsigned kind, size_t from);

/* Is the hint of this kind true? */
bool summary_holds(unsigned kind, size_t segment);

/* Are there hints of this kind at all?  seq_cst (see memory/scavenger.c). */
bool summary_any(unsigned kind);

/* After a fork, by the only thread: set every hint that is true, whatever a dead thread left half done. */
void summary_rebuild(void);
