/* SPDX-License-Identifier: MIT */
/* Where to ask for transparent huge pages.  They cost a fraction of the faults, but memory where a program
   touches only a part of each.  So no memory has them at first (window.c), the first 8 MiB never, and what is
   committed behind that only if nearly all of what was claimed before is resident; nor a block that is far
   larger than all that was there: it may be for spare use. */
#include "memory/hugepages.h"

#include "base/bits.h"
#include "core/options.h"
#include "memory/counters.h"
#include "memory/segment.h"
#include "memory/window.h"
#include "os/os.h"

enum {
  TRUST_BYTES = 64 * 1024 * 1024, /* a block is far larger when it takes more than that, and ... */
  TRUST_TIMES = 4,                /* ... than so many times what was claimed */
  LOOK_SEGMENTS = 16,             /* so many are looked at to know how well memory is used: ... */
  WELL_USED_SHARE = 4,            /* all but this part of it should be resident, ... */
  DOUBT_SLICES = 32, /* ... and 2 MiB: a big block of a small program has the benefit of the doubt */
};

/* Is nearly all of what was claimed in the segments below resident? */
static bool is_well_used(size_t segment) {
  size_t resident = 0, slices = 0;
  for (size_t s = segment - min_size(segment, LOOK_SEGMENTS); s < segment; s++) {
    if (!window_segment_ready(s)) continue;
    resident += os_resident(window_address(s * SEGMENT_SLICES), SEGMENT_SIZE);
    slices += bit_count(~load_relaxed(segment_word(s, WORD_FREE)) | segment_dirty(s));
  }
  return resident / SLICE_SIZE + DOUBT_SLICES >= slices - slices / WELL_USED_SHARE;
}

void memory_choose_page_size(size_t first, size_t end) {
  const size_t start = max_size(first, SMALL_PAGES_SLICES);
  const size_t trusted = max_size(TRUST_BYTES, (size_t)load_relaxed(&memory_counters.claimed) * TRUST_TIMES);
  if (start >= end || (end - start) * SLICE_SIZE > trusted || !option_enabled(mi_option_allow_thp)) return;
  if (!is_well_used(first / SEGMENT_SLICES)) return;
  os_want_huge_pages(window_address(start), (end - start) * SLICE_SIZE);
}
