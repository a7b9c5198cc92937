/* SPDX-License-Identifier: MIT */
/* What the tests of pages, heaps and threads share: a page that belongs to the test, and micro views of
   lists. */
#ifndef TEST_UNIT_PAGE_SUPPORT_H
#define TEST_UNIT_PAGE_SUPPORT_H

#include "unit/memory_support.h"

#include "page/page.h"
#include "page/remote.h"

/* A page of the bin on slices of its own, owned by the test: no part knows it. */
static inline page_t* test_page(unsigned bin) {
  claim_t claim;
  must(window_init());
  must(slices_claim(bin_page_slices(bin), SLICE_SIZE, &claim));
  page_t* const page = page_at(claim.slice);
  page_init(page, bin, claim.zero ? MEMORY_ZERO : MEMORY_UNKNOWN);
  slices_set_start(claim.slice);
  return page;
}

static inline void drop_test_page(page_t* page) {
  const size_t slice = page_slice(page);
  const size_t count = page_slice_count(page);
  store_relaxed(&page->owner_tag, 0);
  slices_clear_start(slice);
  slices_release(slice, count);
}

static inline size_t test_list_length(const page_t* page, const block_t* list) {
  size_t length = 0;
  for (; list != NULL; list = block_next(page, list)) {
    must(length <= page->reserved);
    length++;
  }
  return length;
}

static inline block_t* test_block(const page_t* page, size_t index) {
  return (block_t*)(void*)(page_start(page) + index * page->stride);
}

/* In `free` or `local_free`; in `thread_free`. */
static inline bool page_lists_block(const page_t* page, const block_t* block) {
  return page_list_holds(page, page->local_free, block) || page_list_holds(page, page->free, block);
}
static inline bool remote_lists_block(const page_t* page, const block_t* block) {
  return page_list_holds(page, remote_list(page), block);
}

/* Pop until `free` is empty and nothing can be carved: every block of the page is live. */
static inline void take_all(page_t* page) {
  while (page_refill(page)) {
    while (page->free != NULL) page_pop(page);
  }
  must(page->used == page->reserved);
}

static inline remote_state_t state_of(page_t* page) { return remote_state(load_relaxed(&page->thread_free)); }
static inline uint32_t count_of(page_t* page) { return remote_count(load_relaxed(&page->thread_free)); }

static inline bool lists_block(const page_t* page, const block_t* block) {
  return page_list_holds(page, page->local_free, block) || page_list_holds(page, page->free, block);
}

#endif
