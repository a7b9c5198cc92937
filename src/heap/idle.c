/* SPDX-License-Identifier: MIT */
/* Pages of a thread that sleeps, emptied by others: the scavenger releases them in the thread's stead.

   The caller holds the part (thread/idle.c): its thread is in no slow path and enters none, so the queues,
   the full list and the delayed list's order are the holder's.  The thread's fast paths go on meanwhile; they
   touch:
     - the first page of a queue of `direct` sizes: allocation.  Such a page is left alone.
     - any page of the queues that has a live block of the thread: frees.  So the holder changes nothing of a
       page with live blocks but its atomic word, and reads `used` of it, which can only fall.
     - no page of the full list: their tag has a care flag, which sends frees to the slow path.
   An empty page (used == blocks in thread_free) has no live block: nobody else can touch it.  `used` falls
   only while the page is held, so a stale value is too high and never makes a page look empty.

     queue, not empty --held--> as it is         full --held--> abandoned (its last free will release it)
     queue, empty --part_idle_look--> marked --barrier everywhere--> part_idle_release--> released and purged

   Why the barrier: the free that made `used` what it is writes the block and local_free first, in program
   order (alloc/fast.h), but on some machines not in the order others see.  Once its thread has passed a
   barrier after `used` was read, those writes are over, and the memory may have another owner. */
#include "heap/heap.h"
#include "heap/queue.h"
#include "memory/purge.h"
#include "memory/slices.h"
#include "page/remote.h"

enum { IDLE_MARK = 255 }; /* in `mark` */

/* Races with the frees of the page's thread, see above. */
static bool looks_empty(page_t* page) {
  const uint16_t used = (uint16_t)(*(const volatile uint16_t*)&page->used + page->floor);
  return used == remote_count(load_acquire(&page->thread_free));
}

static bool is_direct(unsigned bin) { return bin_size(bin) <= DIRECT_SIZE_MAX; }

/* The first page that the part's fast paths do not allocate from. */
static page_t* first_waiting(const heap_part_t* part, unsigned bin) {
  page_t* const first = part->queues[bin].first;
  return first != NULL && is_direct(bin) ? first->next : first;
}

bool part_idle_look(heap_part_t* part) {
  bool marked = false;
  part_drain_held(part);
  while (part->full.first != NULL) part_give_up(part, part->full.first);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    for (page_t* page = first_waiting(part, bin); page != NULL; page = page->next) {
      if (looks_empty(page)) {
        page->mark = IDLE_MARK;
        marked = true;
      } else if (page->mark == IDLE_MARK) {
        page->mark = 0; /* no barrier was to be had the last time */
      }
    }
  }
  return marked;
}

/* Nobody but the holder can reach the page.  Its lists stay as they are: were they taken apart first, a child
   forked in the middle would count their blocks as live. */
static void release_empty(page_t* page) {
  check(looks_empty(page) && page_is_valid(page));
  page->mark = 0;
  if (load_relaxed(&page->linked) != 0) {
    page_abandon(page); /* parked, as by page_release */
    return;
  }
  heap_end_page(page, slices_release_purged);
}

void part_idle_release(heap_part_t* part) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    for (page_t *page = first_waiting(part, bin), *next; page != NULL; page = next) {
      next = page->next;
      if (page->mark != IDLE_MARK) continue;
      if (part->current[bin] == page) part->current[bin] = NULL; /* not of a `direct` size: no slot changes */
      part_forget_retired(part, page);
      queue_remove(&part->queues[bin], page);
      release_empty(page);
    }
  }
}
