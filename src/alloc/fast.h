/* SPDX-License-Identifier: MIT */
/* The fast paths, whole; every entry that allocates or frees a small block instantiates them. */
#pragma once

#include <string.h>

#include "alloc/alloc.h"

/* The page of a small size in the calling thread's part.  Threads start on the empty part and empty slots
   hold the empty page, so nothing here can be NULL. */
ALWAYS_INLINE page_t* small_page(size_t size) { return thread_part->direct[(size + SEAL_SIZE + 7) >> 3]; }

/* Blocks of size 0 are special in secure builds. */
ALWAYS_INLINE bool is_small(size_t size) {
  return size - SECURE <= (size_t)DIRECT_SIZE_MAX - SEAL_SIZE - SECURE;
}

/* A block of the page, or NULL; secure builds seal it. */
ALWAYS_INLINE block_t* take_small(page_t* page, size_t size, block_kind_t kind) {
  block_t* block = page->free;
  IN_REGISTER(block);
  if (unlikely(block == NULL)) return NULL;
  if (SECURE) return (block_t*)seal_put_small(page, page_pop(page), size, kind);
  page->used++;
  page->free = block->next;
  if (FREE_CHECKS) block->mark = 0;
  page_check_step(page);
  return block;
}

/* Whatever is not "a small block, on hand" is one cold call. */
ALWAYS_INLINE void* malloc_fast(size_t size) {
  if (likely(is_small(size))) {
    block_t* const block = take_small(small_page(size), size, KIND_MALLOC);
    if (likely(block != NULL)) return block;
  }
  return alloc_slow(size);
}

/* Zero the usable bytes of a block just taken; blocks never used before need only their link cleared. */
ALWAYS_INLINE void zero_block(const page_t* page, block_t* block, size_t size) {
  if (SECURE_FULL) return; /* it has been looked at */
  if (SECURE) memset(block, 0, size);
  else if ((page->flags & PAGE_FRESH_ZERO) != 0) block->next = NULL;
  else memset(block, 0, page->stride); /* not less than its size */
}

ALWAYS_INLINE void* zalloc_fast(size_t size) {
  if (likely(is_small(size))) {
    page_t* const page = small_page(size);
    block_t* const block = take_small(page, size, KIND_MALLOC);
    if (likely(block != NULL)) {
      zero_block(page, block, size);
      return block;
    }
  }
  return alloc_slow_zero(size);
}

/* The entry of the slice that holds p, which is in the window, `offset` bytes behind its base. */
ALWAYS_INLINE page_t* fast_page(uintptr_t offset) {
  return (page_t*)(load_folded(&window.table) + (offset >> SLICE_SHIFT) * TABLE_ENTRY_SIZE);
}

/* Is p, `offset` bytes behind its page's start, the start of a block, and not already free?  `bound` is the
   page's: the owner reads it plainly. */
ALWAYS_INLINE bool is_live_at(const page_t* page, const void* p, uint64_t offset, uint64_t bound) {
  return !FREE_CHECKS || (offset * page->reciprocal < bound && ((const block_t*)p)->mark != (uintptr_t)page);
}

/* The same of an own page, in its first slice. */
ALWAYS_INLINE bool is_live(const page_t* page, const void* p) {
  return is_live_at(page, p, (uint16_t)(uintptr_t)p, page->bound);
}

/* The page of a live block, if it is an own page and all is well; NULL says nothing. */
ALWAYS_INLINE page_t* own_page(const void* p) {
  const uintptr_t offset = (uintptr_t)p - load_folded(&window.base);
  if (WATCHED || unlikely(offset >= load_folded(&window.limit))) return NULL;
  page_t* page = fast_page(offset);
  IN_REGISTER(page);
  return likely(load_folded(&page->owner_tag) == thread_tag && is_live(page, p)) ? page : NULL;
}

/* The same, whoever owns the page, and though it may be full: to look, or as the block's owner. */
ALWAYS_INLINE page_t* live_page(const void* p) {
  const uintptr_t offset = (uintptr_t)p - load_folded(&window.base);
  if (WATCHED || unlikely(offset >= load_folded(&window.limit))) return NULL;
  page_t* const page = fast_page(offset);
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  if (tag <= TAG_ABANDONED || (tag & CARE_HOLES) != 0) return NULL;
  const uint64_t bound = __atomic_load_n(&page->bound, __ATOMIC_RELAXED);
  return likely(is_live_at(page, p, (uint16_t)(uintptr_t)p, bound)) ? page : NULL;
}

/* Resizing in place, of a small block of an own page: false says nothing. */
ALWAYS_INLINE bool fits_fast(const void* p, size_t size) {
  const page_t* const page = own_page(p);
  if (unlikely(page == NULL)) return false;
  const size_t usable = page->stride;
  return likely(usable - size <= usable / 2) && usable <= SMALL_BLOCK_MAX;
}

/* The range test answers for NULL, for other allocators' pointers and for garbage.  The tag test fails for
   other threads' pages, full pages, big blocks and all but the first slice of a page.  What is
   left is a block of an own page: is it the start of one, and not already free? */
ALWAYS_INLINE void free_claimed(void* p, seal_claim_t claim) {
  const uintptr_t offset = (uintptr_t)p - load_folded(&window.base);
  if (unlikely(offset >= load_folded(&window.limit))) {
    free_outside(p);
    return;
  }
  page_t* page = fast_page(offset);
  IN_REGISTER(page);
  if (TRACKED || unlikely(load_folded(&page->owner_tag) != thread_tag)) {
    if (SECURE) free_check_claims(p, claim, 0);
    free_slow(p, page);
    return;
  }
  if (SECURE) {
    free_sealed(p, page, claim);
    return;
  }
  block_t* const block = p;
  if (unlikely(!is_live(page, p))) {
    free_slow(p, page);
    return;
  }
  page_check_step(page);
  if (FREE_CHECKS) block->mark = (uintptr_t)page;
  block->next = page->local_free;
  page->local_free = block;
  /* `used` last: then the page may be empty, and gone (heap/idle.c) */
  atomic_signal_fence(memory_order_release);
  if (unlikely(--page->used == 0)) free_emptied(page);
}

ALWAYS_INLINE void free_fast(void* p) { free_claimed(p, NO_CLAIM); }

/* A free that says what it believes of the block. */
ALWAYS_INLINE void free_as(void* p, size_t size, size_t alignment, block_kind_t kind) {
  const seal_claim_t claim = {size, kind};
  const bool checked = SECURE && alignment != 0;
  if (checked) free_check_claims(p, claim, alignment);
  free_claimed(p, checked ? NO_CLAIM : claim);
}
