/* SPDX-License-Identifier: MIT */
/* Big blocks: a page that is one block, an exact run of slices, owned by nobody: whoever frees it returns the
   run.

     word: SINGLE_FREE --single_alloc--> SINGLE_LIVE --single_claim, by a free (one CAS)--> SINGLE_FREE
   So a second free loses the CAS, whichever thread it comes from. */
#include <errno.h>

#include "core/diagnostics.h"
#include "heap/fenced.h"
#include "memory/arena.h"
#include "memory/slices.h"
#include "os/os.h"
#include "page/seal.h"

#define SINGLE_LIVE UINT64_C(1)

enum {
  MOVE_MIN = 4 * 1024 * 1024, /* below, a copy is cheaper than the change of page tables */
  SPARE_SHARE = 8,            /* more than this part of a block behind its end is worth saving */
  MOVES_MAX = 4096,           /* each may split two mappings: an eighth of what Linux grants a process */
};

/* Where the block begins in an aligned run, so that block + offset is aligned. */
static size_t single_lead(single_request_t request) {
  const size_t a = request.alignment;
  return a == 0 ? 0 : (a - request.offset % a) % a;
}

page_t* single_alloc(heap_t* heap, single_request_t request, zeroed_t* memory) {
  const fence_plan_t plan =
      request.fenced ? fenced_plan(request.size, request.alignment) : (fence_plan_t){0, 0, 0};
  const bool fenced = plan.slices != 0;
  const size_t lead = fenced ? plan.start : single_lead(request);
  const size_t shift = lead % SLICE_SIZE;
  const size_t skip = lead / SLICE_SIZE;
  const size_t bytes = shift + max_size(request.size, 1);
  claim_t claim;
  if (bytes > ALLOC_SIZE_MAX / 2 || fenced != request.fenced) return NULL;
  const size_t slices = fenced ? plan.slices : skip + div_up(bytes, SLICE_SIZE);
  const use_t use = slices * SLICE_SIZE - bytes > bytes / SPARE_SHARE ? USE_PART : USE_WHOLE;
  fence_note_t* const slot = fenced ? fenced_slot(heap, &plan) : NULL;
  if (slot != NULL) claim = (claim_t){slot->slice, slices, true};
  else if (!slices_claim_for(&heap->home, slices, max_size(request.alignment, SLICE_SIZE), use, &claim))
    return NULL;
  fence_note_t* const note = fenced ? fenced_raise(claim.slice, slot, &plan, request.size) : NULL;
  if (fenced && note == NULL) {
    slices_release(claim.slice, slices);
    return NULL;
  }
  if (skip > 0) slices_release(claim.slice, skip);
  page_t* const page = page_at(claim.slice + skip);
  page->free = NULL;
  page->local_free = NULL;
  page->stride = (uint16_t)shift;
  page_set_holed(page, 0);
  page->slices = 0;
  page->flags = 0;
  page->bin = BIN_COUNT;
  page->single_size = fenced ? plan.end - shift + SEAL_SIZE : align_up(bytes, os_page_size()) - shift;
  page->reserved = (uint16_t)(fenced ? os_page_size() - SEAL_SIZE : 0);
  store_relaxed(&page->part, (uintptr_t)note);
  if (SECURE) seal_init();
  store_relaxed(&page->heap, (uintptr_t)heap);
  heap_note_page(heap, page);
  heap_count_big(heap, 1, (size_t)page->single_size);
  store_relaxed(&page->thread_free, SINGLE_LIVE);
  store_relaxed(&page->owner_tag, TAG_SINGLE);
  slices_set_start(claim.slice + skip);
  *memory = claim.zero ? MEMORY_ZERO : MEMORY_UNKNOWN;
  return page;
}

bool single_claim(page_t* page) {
  uint64_t live = SINGLE_LIVE;
  return cas_strong_acq_rel(&page->thread_free, &live, 0);
}

bool single_resize(page_t* page, size_t size) {
  if (page->reserved != 0) return false; /* it ends where it ends */
  const size_t shift = page->stride;
  const size_t have = page_slice_count(page);
  const size_t want = div_up(shift + size, SLICE_SIZE);
  claim_t claim;
  if (want > have && !slices_extend(page_slice(page), have, want - have, &claim)) return false;
  const size_t before = (size_t)page->single_size;
  page->single_size = align_up(shift + size, os_page_size()) - shift;
  if (page->single_size > before) heap_count_big(heap_of_page(page), 0, (size_t)page->single_size - before);
  if (want < have) slices_release(page_slice(page) + want, have - want);
  return true;
}


/* Huge pages, the program's own memory, and what ends at a guard. */
static bool must_stay(const page_t* page) { return is_in_arena(page_slice(page)) || page->reserved != 0; }

bool single_move(page_t* page, page_t* to) {
  static atomic_u32_t moves;
  const size_t bytes = page->stride + (size_t)page->single_size;
  if (bytes < MOVE_MIN || page->stride != to->stride || must_stay(page) || must_stay(to)) return false;
  if (bytes > to->stride + (size_t)to->single_size) return false;
  if (load_relaxed(&moves) >= MOVES_MAX) return false;
  const int error = os_move(page_start(page), page_start(to), bytes);
  if (error == ENOTRECOVERABLE)
    report_fatal("realloc: %zu bytes at %p were unmapped and cannot be mapped again", bytes,
                 (void*)page_start(to));
  /* A kernel that cannot is not asked again. */
  add_relaxed(&moves, error == 0 ? 1u : error == EINVAL ? (uint32_t)MOVES_MAX : 0u);
  /* A block that grows need not be used to its end. */
  if (error == 0) os_no_huge_pages(page_start(to), page_slice_count(to) * SLICE_SIZE);
  return error == 0;
}
