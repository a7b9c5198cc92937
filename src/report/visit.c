/* SPDX-License-Identifier: MIT */
/* Visiting the areas and live blocks of a heap, and telling sparse pages.

   Nothing counts blocks one by one, so which are live is read off the pages: carved, and on no list of free
   ones.  Those lists are the page's own three, and the delayed lists, where a block may wait in a part that
   has given its page up since: so all parts' are looked at.  They are mostly empty; of those that are not, a
   filter tells which pages to ask them about.

   Nothing is allocated, locked or changed.  A page is read before its blocks are reported, and not touched
   after, so the visitor may free the block it is given. */
#include <errno.h>
#include <string.h>

#include "mimalloc.h"
#include "page/remote.h"
#include "page/seal.h"
#include "thread/thread.h"

typedef enum reach_e { REACH_ALL, REACH_ABANDONED, REACH_PART } reach_t;

typedef struct visit_s {
  heap_t* heap;
  const heap_part_t* part; /* REACH_PART: the one */
  reach_t reach;
  bool blocks; /* report them, not only their areas */
  bool stopped;
  mi_block_visit_fun* visitor;
  void* arg;
} visit_t;

/* ---- delayed lists ---- */

typedef struct delayed_of_s {
  const page_t* page;
  page_look_t* look; /* NULL: only count */
  size_t count;
} delayed_of_t;

static bool note_delayed(page_t* page, const block_t* listed, void* arg) {
  delayed_of_t* const of = arg;
  if (page != of->page) return false;
  of->count++;
  if (of->look != NULL) page_look_note(of->look, listed);
  return false;
}

static void note_delayed_of_part(heap_part_t* part, void* arg) { part_look_delayed(part, note_delayed, arg); }

/* ---- one page ---- */

static bool report(const visit_t* visit, const mi_heap_area_t* area, void* block) {
  return visit->visitor(visit->heap, area, block, area->block_size, visit->arg);
}

static bool visit_single(const visit_t* visit, const page_t* page) {
  char* const block = page_start(page) + page->stride;
  const size_t bytes = page_slice_count(page) * SLICE_SIZE - page->stride;
  const mi_heap_area_t area = {.blocks = block, .reserved = bytes, .committed = bytes, .used = 1,
                               .block_size = (size_t)page->single_size, .full_block_size = bytes};
  return report(visit, &area, NULL) && (!visit->blocks || report(visit, &area, block));
}

static mi_heap_area_t area_of(const page_t* page) {
  const size_t stride = page->stride;
  const unsigned bin = page->bin;
  return (mi_heap_area_t){.blocks = page_start(page), .reserved = page->reserved * stride,
                          .committed = page_capacity(page) * stride,
                          .block_size = bin < BIN_COUNT ? bin_size(bin) : stride,
                          .full_block_size = stride};
}

static bool visit_area(const visit_t* visit, page_t* page) {
  delayed_of_t delayed = {.page = page};
  mi_heap_area_t area = area_of(page);
  thread_visit_parts(note_delayed_of_part, &delayed);
  area.used = page_live_blocks(page);
  area.used -= min_size(area.used, delayed.count);
  return report(visit, &area, NULL);
}

static bool visit_blocks(const visit_t* visit, const page_t* page) {
  page_look_t look;
  delayed_of_t delayed = {.page = page, .look = &look};
  mi_heap_area_t area = area_of(page);
  page_look(page, &look);
  thread_visit_parts(note_delayed_of_part, &delayed);
  for (size_t i = 0; SECURE_FULL && i < look.capacity; i++) {
    seal_t seal; /* delayed frees are on no list */
    block_t* const block = (block_t*)(void*)(look.start + i * look.stride);
    if (seal_read(page, block, &seal) == SEAL_FREED) page_look_note(&look, block);
  }
  for (size_t i = 0; i < look.capacity; i++) area.used += page_look_is_listed(&look, i) ? 0 : 1;
  if (!report(visit, &area, NULL)) return false;
  for (size_t i = 0; i < look.capacity; i++) {
    if (!page_look_is_listed(&look, i) && !report(visit, &area, look.start + i * look.stride)) return false;
  }
  return true;
}

static bool is_wanted(const visit_t* visit, page_t* page, uintptr_t tag) {
  switch (visit->reach) {
    case REACH_ALL: return heap_of_page(page) == visit->heap;
    case REACH_ABANDONED: return tag == TAG_ABANDONED && heap_of_page(page) == visit->heap;
    default:
      return tag != TAG_SINGLE && tag != TAG_ABANDONED && load_relaxed(&page->part) == (uintptr_t)visit->part;
  }
}

static void visit_page(page_t* page, void* arg) {
  visit_t* const visit = arg;
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  /* 0: the visitor has freed its last block. */
  if (visit->stopped || tag == 0 || !is_wanted(visit, page, tag)) return;
  bool more;
  if (tag == TAG_SINGLE) more = visit_single(visit, page);
  else if (visit->blocks) more = visit_blocks(visit, page);
  else more = visit_area(visit, page);
  visit->stopped = !more;
}

/* ---- entries ---- */

static bool visit_heap(visit_t* visit) {
  KEEP_ERRNO;
  thread_attach();
  thread_check_fork();
  /* Pages of deleted heaps count as the main heap's, wherever they are. */
  if (visit->heap->main == NULL) heap_visit_all_pages(visit_page, visit);
  else heap_visit_pages(visit->heap, visit_page, visit);
  return !visit->stopped;
}

static heap_t* heap_or_main(mi_heap_t* heap) { return heap != NULL ? heap : thread_main_heap(); }

EXPORT bool mi_heap_visit_blocks(mi_heap_t* heap, bool blocks, mi_block_visit_fun* visitor, void* arg) {
  visit_t visit = {.heap = heap_or_main(heap), .blocks = blocks, .visitor = visitor, .arg = arg};
  return visit_heap(&visit);
}

EXPORT bool mi_heap_visit_abandoned_blocks(mi_heap_t* heap, bool blocks, mi_block_visit_fun* visitor,
                                           void* arg) {
  visit_t visit = {.heap = heap_or_main(heap), .reach = REACH_ABANDONED, .blocks = blocks,
                   .visitor = visitor, .arg = arg};
  return visit_heap(&visit);
}

static bool visit_abandoned_of(heap_t* heap, void* arg) {
  visit_t visit = *(const visit_t*)arg;
  visit.heap = heap;
  return visit_heap(&visit);
}

EXPORT bool mi_abandoned_visit_blocks(mi_subproc_id_t id, NOT_USED int heap_tag, bool blocks,
                                      mi_block_visit_fun* visitor, void* arg) {
  visit_t visit = {.reach = REACH_ABANDONED, .blocks = blocks, .visitor = visitor, .arg = arg};
  heap_t* const main = heap_subprocess(id._mi_subproc_id);
  return main != NULL && heap_visit_heaps(main, visit_abandoned_of, &visit);
}

EXPORT bool mi_theap_visit_blocks(const mi_theap_t* theap, bool blocks, mi_block_visit_fun* visitor,
                                  void* arg) {
  const thread_t* const root = thread_root();
  if (theap == NULL && root != NULL) theap = thread_find_part(root, root->default_heap);
  if (theap == NULL) return true; /* a thread that has no part has no blocks */
  visit_t visit = {.heap = theap->heap, .part = theap, .reach = REACH_PART, .blocks = blocks,
                   .visitor = visitor, .arg = arg};
  return visit_heap(&visit);
}

/* ---- for defragmenters ---- */

/* Does its owner take the next block of the class from this page? */
static bool is_allocated_from(page_t* page) {
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  if (tag == 0 || tag == TAG_ABANDONED) return false;
  const heap_part_t* const part = (const heap_part_t*)load_relaxed(&page->part);
  const page_t* const current = part->current[page->bin];
  return page == (current != NULL ? current : part->queues[page->bin].first);
}

EXPORT bool mi_unsafe_heap_page_is_under_utilized(mi_heap_t* heap, void* p, size_t percent) {
  page_t* const page = p != NULL ? page_of(p) : NULL;
  if (page == NULL || page_is_single(page) || heap_of_page(page) != heap_or_main(heap)) return false;
  if (page->bin >= BIN_COUNT || is_allocated_from(page)) return false;
  return page_live_blocks(page) * 100 < min_size(percent, 100) * page->reserved;
}
