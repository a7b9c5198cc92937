/* SPDX-License-Identifier: MIT */
/* Holes, as far as a page itself has to do with them: asking, filling, forgetting (holes.h). */
#include "page/holes.h"

#include "memory/purge.h"

void page_forget_holes(page_t* page) {
  page_set_holed(page, 0);
  for (size_t i = 0; i < page->slices; i++) store_settled(&page_at(page_slice(page) + i)->holes, (uint16_t)0);
}

size_t page_count_holed(const page_t* page) {
  const unsigned shift = os_page_shift();
  size_t count = 0;
  for (size_t i = 0; i < page_capacity(page); i++) count += index_is_holed(page, i, shift) ? 1 : 0;
  return count;
}

bool page_block_is_holed(const page_t* page, const void* block) {
  if (__atomic_load_n(&page->holed, __ATOMIC_RELAXED) == 0 || page->slices == 0) return false;
  const size_t index = (size_t)((const char*)block - page_start(page)) / page->stride;
  return index < page->reserved && index_is_holed(page, index, os_page_shift());
}

/* The blocks of a hole that has been filled, as far as they are in no other one, become `free`; how many. */
static size_t list_blocks(page_t* page, blocks_t blocks, unsigned shift) {
  size_t count = 0;
  for (size_t i = blocks.last + 1; i-- > blocks.first;) {
    if (index_is_holed(page, i, shift)) continue;
    block_t* const block = (block_t*)(void*)(page_start(page) + i * page->stride);
    block_set_mark(page, block);
    block_set_next(page, block, page->free);
    page->free = block;
    count++;
  }
  return count;
}

bool page_fill_hole(page_t* page) {
  const unsigned shift = os_page_shift();
  if (page->holed == 0) return false;
  check(page->free == NULL);
  purge_regret_holes(page_slice(page), page->slices);
  for (size_t i = 0; page->free == NULL; i++) {
    if (!is_hole(page, i, shift)) continue;
    flip_hole(page, i, shift);
    const size_t count = list_blocks(page, blocks_of(page, i, shift), shift);
    page_set_holed(page, page->holed - count);
    page_note_reused(page, count);
  }
  return true;
}
