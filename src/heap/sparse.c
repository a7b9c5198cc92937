/* SPDX-License-Identifier: MIT */
/* Nearly empty pages: their free memory goes back to the OS while a few blocks live on (page/holes.c).

   A page that was full, or came to the part with many live blocks, is watched: the free that leaves an eighth
   of its blocks, and then each that halves what is left, is told of (page->floor).  The page goes to the end of
   its queue, so that allocation fills the others first, and is noted.  When the notes cover more than is
   allowed, the oldest page gets holes.  Memory that was given back and needed again soon raises what is
   allowed; as long as there is no need, the allowance falls.

     in use --page_watch; part_page_thinned--> noted --part_page_chosen--> in use
     noted  --its note is the oldest of too many--> with holes --part_page_chosen, filled one by one--> in use

   While noted or with holes the page's tag has CARE_SPARSE: frees take the slow path, where a block of a hole
   is known to be free; and the scavenger, when it holds the thread, may make the holes (heap/idle.c). */
#include "heap/heap.h"
#include "memory/arena.h"
#include "memory/purge.h"
#include "memory/scavenger.h"
#include "os/os.h"

enum {
  FLOOR_SHARE = 8,      /* a page is sparse when this part of its blocks lives, ... */
  WATCH_MIN = 16,       /* ... if it has so many blocks */
  ALLOWED_MIN = 64,     /* slices: 4 MiB */
  ALLOWED_MAX = 1024,
  SOON = 10,            /* purge delays within which a need counts as a regret */
};

void sparse_init(sparse_t* sparse) {
  sparse->first = sparse->count = sparse->slices = 0;
  sparse->allowed = ALLOWED_MIN;
  sparse->given = sparse->decided = 0;
}

void page_watch(page_t* page) {
  const size_t floor = page->reserved / FLOOR_SHARE;
  const bool wanted = page->reserved >= WATCH_MIN && page->bin != BIN_TINY && page_used(page) > 2 * floor;
  page_set_floor(page, wanted ? floor : 0);
}

void page_note_thinner(page_t* page) { page_set_floor(page, page_used(page) / 2); }

static bool is_noted_by(const heap_part_t* part, page_t* page) {
  /* The tag first: it says that the rest is ours to read. */
  return (load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) == part->tag &&
         load_relaxed(&page->part) == (uintptr_t)part && (page->flags & PAGE_NOTED) != 0;
}

void part_forget_note(heap_part_t* part, page_t* page) {
  if ((page->flags & PAGE_NOTED) == 0) return;
  page->flags &= (uint8_t)~PAGE_NOTED;
  part->sparse.slices -= page->slices;
}

void part_make_holes(heap_part_t* part, page_t* page) {
  part_forget_note(part, page);
  part->sparse.given = os_now_ms();
  page_make_holes(page);
  store_relaxed(&page->owner_tag, part_tag(part, page));
}

static void take_oldest(heap_part_t* part) {
  sparse_t* const sparse = &part->sparse;
  page_t* const page = page_at(sparse->notes[sparse->first % SPARSE_NOTES]);
  sparse->first++;
  sparse->count--;
  if (is_noted_by(part, page)) part_make_holes(part, page);
}

static bool is_soon(uint64_t now, uint64_t then) {
  return now - then <= (uint64_t)max_size(1, (size_t)purge_delay()) * SOON;
}

void part_note_sparse(heap_part_t* part, page_t* page) {
  sparse_t* const sparse = &part->sparse;
  const uint64_t now = os_now_ms();
  if (purge_delay() < 0 || segment_arena(page_slice(page) / SEGMENT_SLICES) != NULL) return;
  if (!is_soon(now, sparse->decided)) {
    sparse->allowed = (uint32_t)max_size(ALLOWED_MIN, sparse->allowed / 2);
    sparse->decided = now;
  }
  if (sparse->count == SPARSE_NOTES) take_oldest(part);
  sparse->notes[(sparse->first + sparse->count) % SPARSE_NOTES] = (uint32_t)page_slice(page);
  sparse->count++;
  sparse->slices += page->slices;
  page->flags |= PAGE_NOTED;
  store_relaxed(&page->owner_tag, part_tag(part, page));
  scavenger_hint(); /* should this thread fall asleep */
  while (sparse->slices > sparse->allowed && sparse->count > 0) take_oldest(part);
}

void part_page_chosen(heap_part_t* part, page_t* page) {
  sparse_t* const sparse = &part->sparse;
  part_forget_note(part, page);
  if (page->holed == 0) return;
  const uint64_t now = os_now_ms();
  if (!is_soon(now, sparse->given)) return;
  sparse->allowed = (uint32_t)min_size(sparse->allowed + page->slices, ALLOWED_MAX);
  sparse->decided = now;
}
