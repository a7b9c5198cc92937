/* SPDX-License-Identifier: MIT */
/* Nearly empty pages: their free memory goes back to the OS while a few blocks live on (page/holes.h).

   A page that was full, or came to the part with many live blocks, is watched: the free that leaves an eighth
   of its blocks, or one for each OS page if that is less (small blocks: every second), and then each that
   halves what is left, is told of (page->floor).  With more, few OS pages would be free throughout.  The page
   goes to the end of its queue, so that allocation fills the others first, and is noted.  When the notes
   cover more than is allowed, the oldest pages of the part get holes, some at once.  Memory that was given
   back too soon raises what is allowed (memory/purge.c).

     in use --page_watch; part_page_thinned--> noted --part_find_page--> in use
     noted  --its note is the oldest of too many--> with holes --part_find_page, filled one by one--> in use

   While it has holes the page's tag has a care flag: frees take the slow path, where a block of a hole is
   known to be free.  Noted pages are like others, so nobody but the owner can make their holes: a thread that
   falls asleep keeps what is allowed. */
#include "heap/heap.h"
#include "memory/arena.h"
#include "memory/purge.h"
#include "os/os.h"
#include "page/holes.h"

enum {
  FLOOR_SHARE = 8,    /* a page is sparse when this part of its blocks lives, ... */
  WATCH_MIN = 16,     /* ... if it has so many blocks, ... */
  WATCH_SIZE = 64,    /* ... of so many bytes: of smaller ones a few keep most OS pages, and lists are long */
  FEW_BELOW = 256,    /* of those that are smaller than this, half as many: walks are long */
  ALLOWED_MIN = 64,   /* slices of noted pages in the process: 4 MiB, ... */
  AT_ONCE = 16,       /* ... and so many more, so that holes are made in several pages at once */
  NOTE_NUMBERS = 255, /* a note is the slice's number and one that tells it from older notes of the page */
};

_Static_assert(WINDOW_SLICES * NOTE_NUMBERS <= (UINT64_C(1) << 32), "a note is one word");

static atomic_u64_t noted; /* slices of noted pages, of all parts */

void page_watch(page_t* page) {
  const size_t os_pages = page->slices * (SLICE_SIZE / os_page_size());
  const size_t floor = min_size(page->reserved / FLOOR_SHARE, os_pages >> (page->stride < FEW_BELOW));
  const bool wanted =
      page->reserved >= WATCH_MIN && page->stride >= WATCH_SIZE && page_used(page) > 2 * floor;
  page_set_floor(page, wanted ? floor : 0);
}

void page_note_thinner(page_t* page) { page_set_floor(page, page_used(page) / 2); }

/* The page of a note, unless that is stale.  The tag first: it says that the rest is ours to read. */
static page_t* noted_page(const heap_part_t* part, uint32_t note) {
  page_t* const page = page_at(note / NOTE_NUMBERS);
  if ((load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) != part->tag) return NULL;
  if (load_relaxed(&page->part) != (uintptr_t)part || (page->flags & PAGE_NOTED) == 0) return NULL;
  return page->note == note % NOTE_NUMBERS ? page : NULL;
}

void page_forget_note(page_t* page) {
  if ((page->flags & PAGE_NOTED) == 0) return;
  page->flags &= (uint8_t)~PAGE_NOTED;
  counter_subtract(&noted, page->slices);
}

void part_make_holes(heap_part_t* part, page_t* page) {
  page_forget_note(page);
  page_make_holes(page);
  store_relaxed(&page->owner_tag, part_tag(part, page));
}

/* The page of the oldest note, which is taken off, or NULL. */
static page_t* take_oldest(heap_part_t* part) {
  sparse_t* const sparse = &part->sparse;
  page_t* const page = noted_page(part, sparse->notes[sparse->first++ % SPARSE_NOTES]);
  sparse->count--;
  if (page != NULL) page_forget_note(page);
  return page;
}

/* Not inlined: the ranges take much of a small stack. */
static NOINLINE void give_back_oldest(heap_part_t* part, size_t allowed) {
  holes_t holes;
  holes.count = 0;
  while ((int64_t)load_relaxed(&noted) > (int64_t)allowed && part->sparse.count > 0) {
    page_t* const oldest = take_oldest(part);
    if (oldest == NULL) continue;
    page_open_holes(oldest, &holes);
    store_relaxed(&oldest->owner_tag, part_tag(part, oldest));
  }
  holes_drop(&holes);
}

void part_note_sparse(heap_part_t* part, page_t* page) {
  sparse_t* const sparse = &part->sparse;
  if (purge_delay() < 0 || is_in_arena(page_slice(page))) return;
  if (sparse->count == SPARSE_NOTES) take_oldest(part); /* it keeps its memory */
  page->note = (uint8_t)((sparse->first + sparse->count) % NOTE_NUMBERS);
  sparse->notes[(sparse->first + sparse->count++) % SPARSE_NOTES] =
      (uint32_t)page_slice(page) * NOTE_NUMBERS + page->note;
  counter_add(&noted, page->slices);
  page->flags |= PAGE_NOTED;
  const size_t allowed = ALLOWED_MIN + purge_boost();
  /* Signed: a fork's copy of the number may be older than what it counts. */
  if ((int64_t)load_relaxed(&noted) > (int64_t)(allowed + AT_ONCE)) give_back_oldest(part, allowed);
}
