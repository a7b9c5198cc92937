/* SPDX-License-Identifier: MIT */
/* Pages without a live block that a part keeps for a while, oldest first.  They stay in their queues, where
   their class finds them again.  What is kept is bounded by bytes, for all classes together.

     queue --part_retire--> retired --part_retired_due, or too much is retired--> released
     retired --part_forget_retired: it serves again, or leaves--> queue | empty table entry

   A retired page that is current may be used and emptied again with no slow path but free_emptied's short
   one: its `free` has moved then, and its time begins anew. */
#include "heap/heap.h"

#include <string.h>

static size_t kept_bytes(const page_t* page) { return page_capacity(page) * page->stride; }

static void take_off(retired_t* retired, unsigned index) {
  page_t* const page = retired->kept[index].page;
  page->flags &= (uint8_t)~PAGE_RETIRED;
  retired->bytes -= kept_bytes(page);
  retired->count--;
  memmove(&retired->kept[index], &retired->kept[index + 1],
          (retired->count - index) * sizeof(retired->kept[0]));
}

static void append(retired_t* retired, page_t* page) {
  retired->kept[retired->count++] = (kept_t){page, page->free, retired->cadence};
  retired->bytes += kept_bytes(page); /* nothing is carved while it is retired */
  page->flags |= PAGE_RETIRED;
}

void part_forget_retired(heap_part_t* part, page_t* page) {
  if (likely((page->flags & PAGE_RETIRED) == 0)) return;
  unsigned index = 0;
  while (part->retired.kept[index].page != page) index++;
  take_off(&part->retired, index);
}

/* The oldest loses its place; returned unless it is in use again. */
static page_t* take_oldest(retired_t* retired) {
  page_t* const page = retired->kept[0].page;
  take_off(retired, 0);
  return page_used(page) == 0 ? page : NULL;
}

page_t* part_retire(heap_part_t* part, page_t* page) {
  retired_t* const retired = &part->retired;
  const size_t bytes = kept_bytes(page);
  part_forget_retired(part, page);
  if (bytes > RETIRE_BYTES_MAX) return page;
  while (retired->count == RETIRED_MAX || retired->bytes + bytes > RETIRE_BYTES_MAX) {
    page_t* const oldest = take_oldest(retired);
    if (oldest != NULL) return oldest;
  }
  append(retired, page);
  return NULL;
}

page_t* part_retired_due(heap_part_t* part) {
  retired_t* const retired = &part->retired;
  while (retired->count > 0 && retired->cadence - retired->kept[0].since >= RETIRE_CADENCES) {
    const kept_t oldest = retired->kept[0];
    page_t* const page = take_oldest(retired);
    if (page != NULL && page->free == oldest.free) return page;
    if (page != NULL) append(retired, page);
  }
  return NULL;
}
