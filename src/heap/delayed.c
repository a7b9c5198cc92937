/* SPDX-License-Identifier: MIT */
/* A free by a thread that does not own the page.  The common case is one CAS on the page's word
   (page/remote.h); the first such free into a full page goes to the owning part's delayed list, so that the
   owner, who does not search full pages, hears of it once.

   The list: push = CAS, take = exchange, both acq_rel on one word.  A part may die (its thread exits, its
   heap is deleted) while a pusher sleeps.  part_die: state := DEAD, then take;  pusher: push, then look at
   the state. If the push comes after that last take in the order of the list word, its CAS has read the
   exchange (acquire), so it sees DEAD and takes the list itself.  Parts are type-stable, so the push itself
   is always safe.

   A block on such a list counts as live in its page, so the page cannot go away while the block is in flight;
   whoever takes it frees it like any other, by the page's state of that moment. */
#include <errno.h>

#include "core/diagnostics.h"
#include "heap/heap.h"
#include "memory/scavenger.h"
#include "page/remote.h"

/* The owner may take the list while another thread looks for a block in it, and the program writes to what
   were links: the look ends. */
enum { LOOK_MAX = 64 * 1024 };

static bool push_delayed(heap_part_t* part, page_t* page, block_t* block) {
  uintptr_t head = load_relaxed(&part->delayed);
  do {
    block_set_next(page, block, (block_t*)head);
  } while (!cas_weak_acq_rel(&part->delayed, &head, (uintptr_t)block));
  return load_acquire(&part->state) == PART_LIVE;
}

static block_t* take_delayed(heap_part_t* part) { return (block_t*)exchange_acq_rel(&part->delayed, 0); }

/* Nobody reads a dead part's list: free its blocks in its stead. */
static void drain_dead(heap_part_t* part) {
  for (block_t *block = take_delayed(part), *next; block != NULL; block = next) {
    page_t* const page = page_of(block);
    next = block_next(page, block);
    heap_free_remote(page, block);
  }
}

void heap_free_remote(page_t* page, block_t* block) {
  /* Read before the block goes: it is what keeps the page from going to another life. */
  heap_t* const heap = (heap_t*)load_relaxed(&page->heap);
  const unsigned bin = page->bin;
  switch (remote_free(page, block)) {
    case REMOTE_DONE: scavenger_hint(); break;
    case REMOTE_NOT_LIVE: /* two threads freed the page's last block at once: no list could tell */
      report_misuse(EAGAIN, "double free of %p (a block of %zu bytes): another thread freed it, too",
                    (const void*)block, page_usable_size(page));
      break;
    case REMOTE_UNOWNED: break;
    case REMOTE_ROOMY:
      abandoned_link(heap, bin, page);
      abandoned_note_frees(heap, bin);
      break;
    case REMOTE_LAST: {
      uint32_t count; /* is 0: the word counted what was live */
      page->local_free = remote_take(page, &count);
      page_set_used(page, 0);
      page_release(page);
      break;
    }
    case REMOTE_SIGNAL: {
      heap_part_t* const part = (heap_part_t*)load_relaxed(&page->part);
      const bool live = push_delayed(part, page, block);
      remote_signalled(page);
      if (!live) drain_dead(part);
      scavenger_hint();
      break;
    }
  }
}

void part_drain(heap_part_t* part) {
  if (load_relaxed(&part->delayed) == 0) return;
  for (block_t *block = take_delayed(part), *next; block != NULL; block = next) {
    page_t* const page = page_of(block);
    next = block_next(page, block);
    if ((load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) == part->tag) {
      part_free_delivered((heap_part_t*)load_relaxed(&page->part), page, block);
    } else {
      heap_free_remote(page, block);
    }
  }
}

void part_drain_held(heap_part_t* part) {
  for (block_t *block = take_delayed(part), *next; block != NULL; block = next) {
    page_t* const page = page_of(block);
    next = block_next(page, block);
    if (load_relaxed(&page->owner_tag) == (part->tag | CARE_FULL)) {
      page_push_local(page, block);
      /* Empty: the holder releases it and gives its memory back at once, it has been idle long enough. */
      if (page_used(page) == remote_count(load_acquire(&page->thread_free)))
        part_unfull((heap_part_t*)load_relaxed(&page->part), page);
      else part_give_up((heap_part_t*)load_relaxed(&page->part), page);
    } else {
      heap_free_remote(page, block); /* also into pages of the part: their owner may be freeing, too */
    }
  }
}

bool part_look_delayed(heap_part_t* part, delayed_visit_t* visit, void* arg) {
  const block_t* listed = (const block_t*)load_acquire(&part->delayed);
  for (size_t i = 0; i < LOOK_MAX && listed != NULL; i++) {
    page_t* const page = page_of(listed);
    if (page == NULL || page->slices == 0 || !page_is_block(page, listed)) return false;
    if (visit(page, listed, arg)) return true;
    listed = block_next(page, listed);
  }
  return false;
}

static bool is_block(NOT_USED page_t* page, const block_t* listed, void* block) { return listed == block; }

bool part_delays_block(heap_part_t* part, const block_t* block) {
  return part != NULL && part_look_delayed(part, is_block, (block_t*)(uintptr_t)block);
}

void part_die(heap_part_t* part) {
  store_release(&part->state, PART_DEAD);
  drain_dead(part);
}
