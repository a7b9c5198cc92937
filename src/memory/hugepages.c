/* SPDX-License-Identifier: MIT */
/* Where to ask for transparent huge pages.  They save most of the page faults, but cost memory where a
   program touches only a part of each, and time where the system has no memory at hand for them: a host
   gives it piece by piece then, or memory is compacted.  So no memory has them at first (window.c), no
   program below 64 MiB, and what is claimed then only if nearly all of what lies below is resident; nor has
   a block that does not need all of its slices, or is far larger than all that was there: it may be for
   spare use.  The first touch of each claim is measured: was it slow, there are none until the program is
   twice as large.
   The choice is made anew when segments are used for the first time since all their memory was given back
   (slices.c).  Where only a part was, there are no more: the kernel would make the rest whole again, by
   itself, in an idle program. */
#include "memory/hugepages.h"

#include "base/bits.h"
#include "base/track.h"
#include "core/options.h"
#include "memory/counters.h"
#include "memory/segment.h"
#include "memory/window.h"
#include "os/os.h"

enum {
  LEAST_BYTES = 64 * 1024 * 1024, /* claimed in a program that is not small */
  TRUST_TIMES = 4,                /* a block is far larger when it takes so many times what was claimed */
  SLOW_TOUCH_NS = 512 * 1000,     /* more than small pages cost that are just as large together */
  LOOK_SEGMENTS = 16,             /* so many are looked at to know how well memory is used: ... */
  WELL_USED_SHARE = 8,            /* all but this part of it should be resident */
  LOOK_TURNS = 4,                 /* of each such part at a look */
  LOOK_SLICES = SEGMENT_SLICES / LOOK_TURNS,
  HUGE_PAGE_SLICES = 32, /* 2 MiB */
};

/* Is nearly all of what was claimed in the segments below resident?  A quarter of each tells, by turns. */
static bool is_well_used(size_t segment) {
  const unsigned first = (unsigned)(segment % LOOK_TURNS) * LOOK_SLICES;
  const uint64_t looked = bit_range(first, LOOK_SLICES);
  size_t resident = 0, slices = 0;
  for (size_t s = segment - min_size(segment, LOOK_SEGMENTS); s < segment; s++) {
    if (!window_segment_ready(s)) continue;
    resident += os_resident(window_address(s * SEGMENT_SLICES + first), (size_t)LOOK_SLICES * SLICE_SIZE);
    slices += bit_count((~load_relaxed(segment_word(s, WORD_FREE)) | segment_dirty(s)) & looked);
  }
  return resident / SLICE_SIZE + slices / WELL_USED_SHARE >= slices;
}

static atomic_word_t worth_from; /* claimed bytes from which huge pages are tried (again) */

static bool is_for_huge_pages(size_t first, size_t end, size_t claimed) {
  return claimed >= max_size(LEAST_BYTES, load_relaxed(&worth_from)) &&
         (end - first) * SLICE_SIZE <= claimed * TRUST_TIMES && is_well_used(first / SEGMENT_SLICES);
}

void memory_choose_page_size(size_t first, size_t end, use_t use) {
  const size_t from = max_size(align_down(first, SEGMENT_SLICES), SMALL_PAGES_SLICES);
  const size_t to = align_up(end, SEGMENT_SLICES);
  const size_t claimed = (size_t)load_relaxed(&memory_counters.claimed);
  const long allowed = option_get(mi_option_allow_thp);
  if (from >= to || allowed == 0) return;
  size_t huge = from; /* its end */
  if (use == USE_WHOLE && is_for_huge_pages(first, end, claimed)) {
    /* Many small claims share the segment; what a big one leaves may stay unused. */
    huge = end - first < HUGE_PAGE_SLICES ? to : max_size(from, align_down(end, HUGE_PAGE_SLICES));
  }
  if (huge > from) {
    os_want_huge_pages(window_address(from), (huge - from) * SLICE_SIZE);
    track_pause();
    const uint64_t ns = allowed == 1 ? os_touch(window_address(max_size(from, first))) : 0;
    track_resume();
    if (ns > SLOW_TOUCH_NS) {
      store_relaxed(&worth_from, 2 * (claimed + (end - first) * SLICE_SIZE));
      huge = from;
    }
  }
  for (size_t s = from; s < huge; s += SEGMENT_SLICES)
    store_relaxed(segment_word(s / SEGMENT_SLICES, WORD_HUGE), UINT64_C(1));
  if (huge < to) os_no_huge_pages(window_address(huge), (to - huge) * SLICE_SIZE);
}

void memory_no_more_huge_pages(size_t segment) {
  atomic_u64_t* const word = segment_word(segment, WORD_HUGE);
  if (load_relaxed(word) == 0) return;
  store_relaxed(word, UINT64_C(0)); /* a hint: two that do it at once do no harm */
  os_no_huge_pages(window_address(segment * SEGMENT_SLICES), SEGMENT_SIZE);
}
