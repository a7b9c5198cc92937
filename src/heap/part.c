/* SPDX-License-Identifier: MIT */
/* A thread's part of a heap: finding a page with a free block, full pages, retired pages.  The states of a
   page and the edges between them are drawn in heap.h. */
#include <string.h>

#include "core/options.h"
#include "heap/fenced.h"
#include "heap/queue.h"
#include "heap/sampling.h"
#include "memory/purge.h"
#include "memory/slices.h"
#include "page/remote.h"

static page_t page_empty; /* no slot of direct[] is ever NULL: free == NULL here */

atomic_u32_t heap_threads;
atomic_u32_t heap_strangers;

#define EMPTY_4 &page_empty, &page_empty, &page_empty, &page_empty
#define EMPTY_16 EMPTY_4, EMPTY_4, EMPTY_4, EMPTY_4
#define EMPTY_64 EMPTY_16, EMPTY_16, EMPTY_16, EMPTY_16
_Static_assert(DIRECT_COUNT == 129, "the initialiser below fills every slot");
heap_part_t part_empty = {.direct = {EMPTY_64, EMPTY_64, &page_empty}};

void part_init(heap_part_t* part, heap_t* heap, uintptr_t tag) {
  for (size_t i = 0; i < DIRECT_COUNT; i++) part->direct[i] = &page_empty;
  part->tag = tag;
  part->heap = heap;
  part->sibling = NULL;
  for (unsigned i = 0; i < RETIRED_LISTS; i++) part->retired[i].count = 0, part->retired[i].bytes = 0;
  memset(&part->full, 0, sizeof(part->full));
  memset(part->queues, 0, sizeof(part->queues));
  memset(part->current, 0, sizeof(part->current));
  part->sparse.first = part->sparse.count = 0;
  part_sampling_begin(part);
  /* Pairs with the pusher's look at the state: from now on the owner drains the list. */
  store_release(&part->state, PART_LIVE);
}

void part_set_current(heap_part_t* part, unsigned bin, page_t* page) {
  const size_t size = bin_size(bin);
  if (TRACKED) return;
  part->current[bin] = page;
  if (size > DIRECT_SIZE_MAX) return;
  const size_t low = bin == 0 ? 0 : bin_size(bin - 1) / 8 + 1;
  for (size_t i = low; i <= size / 8; i++) part->direct[i] = page != NULL ? page : &page_empty;
}

static void enqueue(heap_part_t* part, page_t* page) { queue_append(&part->queues[page->bin], page); }

static void dequeue(heap_part_t* part, page_t* page) {
  page_forget_note(page);
  part_forget_retired(part, page);
  queue_remove(&part->queues[page->bin], page);
  if (part->current[page->bin] == page) part_set_current(part, page->bin, NULL);
}

void part_attach(heap_part_t* part, page_t* page) {
  check(page_is_valid(page));
  store_relaxed(&page->part, (uintptr_t)part);
  store_relaxed(&page->owner_tag, part_tag(part, page));
  enqueue(part, page);
  page_watch(page);
}

/* A page that others empty should not have to wait for this thread to come by. */
void part_give_up(heap_part_t* part, page_t* full) {
  queue_remove(&part->full, full);
  part_count(part, PART_GIVEN_UP);
  page_abandon(full);
}

static void part_to_full(heap_part_t* part, page_t* page) {
  dequeue(part, page);
  store_relaxed(&page->owner_tag, part_tag(part, page) | CARE_FULL);
  queue_append(&part->full, page);
  const long retain = option_get(mi_option_page_full_retain);
  if (retain < 0 || part->full.count <= (size_t)retain) return;
  part_give_up(part, part->full.first);
}

void part_unfull(heap_part_t* part, page_t* page) {
  queue_remove(&part->full, page);
  remote_disarm(page);
  store_relaxed(&page->owner_tag, part_tag(part, page));
  enqueue(part, page);
  page_watch(page);
}

static page_t* part_fresh_page(heap_part_t* part, unsigned bin) {
  claim_t claim;
  if (!slices_claim_for(&part->heap->home, bin_page_slices(bin), SLICE_SIZE, USE_WHOLE, &claim)) return NULL;
  page_t* const page = page_at(claim.slice);
  page_init(page, bin, claim.zero ? MEMORY_ZERO : MEMORY_UNKNOWN);
  if (is_hardened(2)) page_fence(page);
  store_relaxed(&page->heap, (uintptr_t)part->heap);
  heap_note_page(part->heap, page);
  heap_open_page(bin);
  part_attach(part, page);
  slices_set_start(claim.slice);
  return page;
}

refill_t part_refill(heap_part_t* part, page_t* page) {
  const bool is_new = page->free == NULL;
  const refill_t refill = page_refill(page);
  part_count(part, (part_count_t)refill);
  if (unlikely(part->sampling.rate != 0) && is_new && refill != REFILL_FULL) part_count_list(part, page);
  return refill;
}

page_t* part_find_page(heap_part_t* part, unsigned bin) {
  page_queue_t* const queue = &part->queues[bin];
  for (;;) {
    page_t* page = queue->first;
    if (page == NULL) {
      page = abandoned_claim(part->heap, bin);
      if (page != NULL) {
        part_count(part, PART_CLAIMED);
        part_attach(part, page);
      } else {
        page = part_fresh_page(part, bin);
      }
      if (page == NULL) return NULL;
    }
    page_forget_note(page);
    part_forget_retired(part, page);
    const refill_t refill = part_refill(part, page);
    if (refill != REFILL_FULL) {
      if (load_relaxed(&page->owner_tag) != part_tag(part, page))
        store_relaxed(&page->owner_tag, part_tag(part, page));
      if (part->current[bin] != page) part_set_current(part, bin, page);
      check(page_is_valid(page));
      return page;
    }
    /* Full, unless somebody frees between the look and the arming: then look again. */
    if (remote_arm(page)) part_to_full(part, page);
  }
}

/* An empty page leaves the part. */
static void drop_page(heap_part_t* part, page_t* page) {
  dequeue(part, page);
  page_release(page);
}

void part_page_emptied(heap_part_t* part, page_t* page) {
  check(page_used(page) == 0);
  page_set_floor(page, 0);
  if (page->holed != 0) purge_regret_holes(page_slice(page), page->slices);
  page_forget_note(page);
  if (page->next != NULL) { /* the others first, so that this one may stay empty */
    dequeue(part, page);
    enqueue(part, page);
  }
  for (page_t* over; (over = part_retire(part, page)) != NULL;) {
    drop_page(part, over);
    if (over == page) return;
  }
  part_count(part, PART_RETIRED);
}

void part_tick(heap_part_t* part) {
  part->cadence++;
  for (page_t* page; (page = part_retired_due(part)) != NULL;) drop_page(part, page);
}

void part_page_thinned(heap_part_t* part, page_t* page) {
  if (page_used(page) == 0) {
    part_page_emptied(part, page);
    return;
  }
  page_note_thinner(page);
  dequeue(part, page); /* the others first, so that this one may become empty */
  enqueue(part, page);
  part_note_sparse(part, page);
}

void part_free_local(heap_part_t* part, page_t* page, block_t* block) {
  page_push_local(page, block);
  check(page_is_valid(page));
  if ((load_relaxed(&page->owner_tag) & CARE_FULL) != 0) part_unfull(part, page);
  if (page->used == 0) part_page_thinned(part, page);
}

void part_free_delivered(heap_part_t* part, page_t* page, block_t* block) {
  const bool full = (load_relaxed(&page->owner_tag) & CARE_FULL) != 0;
  if (full && part->queues[page->bin].count >= QUEUE_RETAIN && heap_is_threaded()) {
    page_push_local(page, block);
    part_give_up(part, page);
  } else {
    part_free_local(part, page, block);
  }
}

/* ---- whole-part operations ---- */

static void collect_page(heap_part_t* part, page_t* page, collect_t what) {
  part_forget_retired(part, page);
  page_merge_lists(page);
  page_collect_remote(page);
  page_merge_lists(page);
  if (page_used(page) == 0) {
    drop_page(part, page);
  } else if (what == COLLECT_HOLES) {
    part_make_holes(part, page);
  }
}

void part_collect(heap_part_t* part, collect_t what) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    for (page_t *page = part->queues[bin].first, *next; page != NULL; page = next) {
      next = page->next;
      collect_page(part, page, what);
    }
  }
}

/* Take pages off the part until none is left; the caller gives each a new life. */
static page_t* part_take_page(heap_part_t* part, unsigned bin) {
  page_t* page = part->queues[bin].first;
  if (page == NULL && bin == 0) page = part->full.first;
  if (page == NULL) return NULL;
  if ((load_relaxed(&page->owner_tag) & CARE_FULL) != 0) {
    queue_remove(&part->full, page);
    remote_disarm(page);
  } else {
    dequeue(part, page);
  }
  return page;
}

void part_abandon_all(heap_part_t* part) {
  page_t* page;
  for (unsigned bin = BIN_COUNT; bin-- > 0;) {
    while ((page = part_take_page(part, bin)) != NULL) page_abandon(page);
    abandoned_note_frees(part->heap, bin);
  }
}

void part_move_all(heap_part_t* part, heap_part_t* to) {
  page_t* page;
  for (unsigned bin = BIN_COUNT; bin-- > 0;) {
    while ((page = part_take_page(part, bin)) != NULL) {
      store_relaxed(&page->heap, (uintptr_t)to->heap);
      heap_note_page(to->heap, page);
      part_attach(to, page);
    }
  }
}

void part_forget(heap_part_t* part) {
  /* What was delivered lies in the destroyed pages. */
  heap_part_t* const sibling = part->sibling;
  exchange_acq_rel(&part->delayed, 0);
  part_init(part, part->heap, part->tag);
  part->sibling = sibling;
}

static bool queue_is_valid(const heap_part_t* part, const page_queue_t* queue, uintptr_t care) {
  size_t count = 0;
  for (page_t* page = queue->first; page != NULL; page = page->next) {
    if (load_relaxed(&page->owner_tag) != (part_tag(part, page) | care)) return false;
    if (load_relaxed(&page->part) != (uintptr_t)part || !page_is_valid(page)) return false;
    if (!slices_are_claimed(page_slice(page), page->slices)) return false;
    if (page->next == NULL ? queue->last != page : page->next->prev != page) return false;
    count++;
  }
  return count == queue->count;
}

bool part_is_valid(const heap_part_t* part) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    if (!queue_is_valid(part, &part->queues[bin], 0)) return false;
    const size_t slot = bin_size(bin) / 8;
    page_t* const current = part->current[bin];
    if (current != NULL && current != part->queues[bin].first) return false;
    const page_t* const expected = current != NULL ? current : &page_empty;
    if (slot < DIRECT_COUNT && part->direct[slot] != expected) return false;
  }
  return queue_is_valid(part, &part->full, CARE_FULL);
}
