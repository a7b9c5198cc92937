/* SPDX-License-Identifier: MIT */
/* See sampling.h. */
#include "heap/sampling.h"

#include "core/options.h"
#include "os/os.h"

enum { JITTER = 8 }; /* intervals differ from the rate by at most this part of it */

/* Steele, Lea and Flood's splitmix: any state is good. */
static uint32_t random_below(sampling_t* sampling, uint32_t bound) {
  uint64_t x = sampling->random += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)(((x ^ x >> 31) >> 32) * bound >> 32);
}

void part_sampling_start(heap_part_t* part, size_t rate, uint64_t seed) {
  sampling_t* const sampling = &part->sampling;
  sampling->rate = TRACKED ? 0 : (uint32_t)min_size(rate, INT32_MAX);
  sampling->random = (seed != 0 ? seed : os_random()) ^ part->tag;
  for (unsigned bin = 0; bin <= BIN_COUNT && sampling->rate != 0; bin++) {
    sampling->left[bin] = random_below(sampling, sampling->rate);
    page_t* const page = bin < BIN_COUNT ? part->current[bin] : NULL;
    if (page == NULL || page->local_free != NULL) continue;
    if (STATISTICS) page->filled -= page_free_length(page);
    page->local_free = page->free; /* to be counted when it comes back */
    page->free = NULL;
  }
}

void part_sampling_begin(heap_part_t* part) {
  const size_t rate = mi_option_get_size(mi_option_guarded_sample_rate);
  part->sampling.min = mi_option_get_size(mi_option_guarded_min);
  part->sampling.max = mi_option_get_size(mi_option_guarded_max);
  part->sampling.rate = 0;
  if (rate != 0) part_sampling_start(part, rate, (uint64_t)option_get(mi_option_guarded_sample_seed));
}

/* The first `keep` of `length` blocks stay in page->free, the others wait in local_free, which is empty. */
static void cut_list(page_t* page, size_t keep, size_t length) {
  block_t* last = page->free;
  for (size_t i = 1; i < keep; i++) last = block_next(page, last);
  page->local_free = block_next(page, last);
  block_set_next(page, last, NULL);
  page->flags &= (uint8_t)~PAGE_CARVED;
  if (STATISTICS) page->filled -= length - keep;
}

void part_count_list(heap_part_t* part, page_t* page) {
  uint32_t* const left = &part->sampling.left[page->bin];
  const size_t length = page_capacity(page) - page_used(page) - page->holed;
  const size_t keep = max_size(*left, 1); /* 0: the fenced block was not to be had */
  if (page->local_free != NULL) return;
  if (length > keep) cut_list(page, keep, length);
  *left -= (uint32_t)min_size(*left, length);
}

bool part_sample_is_due(heap_part_t* part, unsigned bin, size_t size) {
  sampling_t* const sampling = &part->sampling;
  if (likely(sampling->rate == 0)) return false;
  if (sampling->left[bin] > 0) {
    if (bin == BIN_COUNT) sampling->left[bin]--;
    return false;
  }
  const uint32_t jitter = sampling->rate / JITTER;
  sampling->left[bin] = sampling->rate - 1 - jitter + random_below(sampling, 2 * jitter + 1);
  return size >= sampling->min && size <= sampling->max;
}
