/* SPDX-License-Identifier: MIT */
/* Pages without a live block that a part keeps for a while, oldest first.  They stay in their queues, where
   their class finds them again.  What is kept is bounded by bytes, for all classes together; the less of a
   page was carved, the longer it is worth keeping: the next page of its class would begin somewhere else.

     queue --part_retire--> retired --part_retired_due, or too much is retired--> released
     retired --part_forget_retired: it serves again, or leaves--> queue | empty table entry

   A retired page that is current may be used and emptied again with no slow path but the short ones
   (refill_quickly, free_emptied): the flag that the latter sets makes its time begin anew. */
#include "heap/heap.h"

#include <string.h>

static const uint32_t cadences[] = {RETIRE_CADENCES_LIGHT, RETIRE_CADENCES}; /* of each list */

static void take_off(retired_t* retired, unsigned index) {
  kept_t* const kept = &retired->kept[index];
  kept->page->flags &= (uint8_t)~(PAGE_RETIRED | PAGE_AGAIN);
  retired->bytes -= kept->bytes;
  retired->count--;
  memmove(kept, kept + 1, (retired->count - index) * sizeof(*kept));
}

static void append(retired_t* retired, page_t* page, size_t bytes, uint32_t cadence) {
  retired->kept[retired->count++] = (kept_t){page, cadence, (uint32_t)bytes};
  retired->bytes += bytes;
  page->flags |= PAGE_RETIRED;
}

void part_forget_retired(heap_part_t* part, page_t* page) {
  if (likely((page->flags & PAGE_RETIRED) == 0)) return;
  for (retired_t* retired = part->retired; retired < part->retired + RETIRED_LISTS; retired++) {
    unsigned index = 0;
    while (index < retired->count && retired->kept[index].page != page) index++;
    if (index == retired->count) continue;
    take_off(retired, index);
    return;
  }
  check(false); /* it is on one of the lists */
}

/* The oldest loses its place; returned unless it is in use again. */
static page_t* take_oldest(retired_t* retired) {
  page_t* const page = retired->kept[0].page;
  take_off(retired, 0);
  return page_used(page) == 0 ? page : NULL;
}

page_t* part_retire(heap_part_t* part, page_t* page) {
  const size_t bytes = page_capacity(page) * page->stride;
  const bool heavy = bytes > LIGHT_BYTES_MAX && page_capacity(page) > LIGHT_BLOCKS_MAX;
  retired_t* const retired = &part->retired[heavy];
  part_forget_retired(part, page);
  if (bytes > RETIRE_BYTES_MAX) return page;
  while (retired->count == RETIRED_MAX || retired->bytes + bytes > RETIRE_BYTES_MAX) {
    page_t* const oldest = take_oldest(retired);
    if (oldest != NULL) return oldest;
  }
  append(retired, page, bytes, part->cadence);
  return NULL;
}

page_t* part_retired_due(heap_part_t* part) {
  for (unsigned list = 0; list < RETIRED_LISTS; list++) {
    retired_t* const retired = &part->retired[list];
    while (retired->count > 0 && part->cadence - retired->kept[0].since >= cadences[list]) {
      const uint32_t bytes = retired->kept[0].bytes;
      const bool again = (retired->kept[0].page->flags & PAGE_AGAIN) != 0;
      page_t* const page = take_oldest(retired);
      if (page != NULL && !again) return page;
      if (page != NULL) append(retired, page, bytes, part->cadence);
    }
  }
  return NULL;
}
