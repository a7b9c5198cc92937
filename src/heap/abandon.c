/* SPDX-License-Identifier: MIT */
/* Abandoned pages: pages without an owner, shared by all threads, of one heap.

   Whether a page is abandoned is told by its word alone (page/remote.h), and the CAS on that word decides who
   gets it.  So that a thread that needs a page of a class finds one, those with something free are also
   entries of a stack per heap and class (Treiber; the head carries a version, entries are table entries and
   never go away).  An entry is only a hint: its page may have been claimed by a free meanwhile, and be
   anybody's.

     linked 0 --abandoned_link--> 1    the one who made it 1 pushes the entry
     linked 1 --claim_entry----> 0     the one who took the entry off the stack; then it tries to claim

   link: word := ABANDONED, or a push; then linked: 0 -> 1.   take: linked: 1 -> 0, then claim by the word.
   All seq_cst but the linker's 0 -> 1 itself, which follows its look at linked.  A linker that finds 1 comes
   before the taker's 1 -> 0, and so does its change of the word: the taker sees ABANDONED and claims.  Either
   the page is on the stack or somebody owns it.

   A page that was given up full is linked by the free that leaves enough room in it (REMOTE_ROOMY): whoever
   claimed it for one free block would soon give it up again.

   A linker that sleeps between the two may link a page that has gone on to another life: takers look at the
   word, the heap and the class of what they claim, so the entry is at worst useless.

   A page is never released while linked: it is parked (abandoned with no live block).  When parked ones are
   many the stack is swept: taken whole, the empty ones released, the others pushed again. */
#include "heap/heap.h"
#include "memory/scavenger.h"
#include "memory/slices.h"
#include "os/os.h"
#include "page/remote.h"

enum {
  SWEEP_MIN = 1,   /* parked pages that are worth a sweep, plus a quarter of the stack */
  QUIET_LOOKS = 5, /* of the scavenger, four in a purge delay, until abandoned pages get holes */
};

#define INDEX_MASK UINT64_C(0xFFFFFFFF)
#define VERSION_ONE (INDEX_MASK + 1)
#define ADDRESS_MASK ((UINT64_C(1) << ADDRESS_SHIFT) - 1)

static heap_t* page_heap(page_t* page) { return (heap_t*)load_relaxed(&page->heap); }

/* The index is a slice number modulo 2^32: of adopted memory, the one whose address exists. */
static page_t* entry_page(uint64_t head) {
  const uint64_t index = head & INDEX_MASK;
  const uintptr_t base = load_settled(&window.base);
  if (index == 0) return NULL;
  return page_at(window_slice_number((void*)((base + ((index - 1) << SLICE_SHIFT)) & ADDRESS_MASK)));
}

static void stack_push(abandoned_t* stack, page_t* page) {
  const uint64_t index = ((uint64_t)page_slice(page) + 1) & INDEX_MASK;
  uint64_t head = load_relaxed(&stack->head);
  add_relaxed(&stack->count, 1u);
  do {
    store_relaxed(&page->abandoned_next, (uint32_t)(head & INDEX_MASK));
  } while (!cas_weak_acq_rel(&stack->head, &head, (head & ~INDEX_MASK) | index));
}

static page_t* stack_pop(abandoned_t* stack) {
  uint64_t head = load_acquire(&stack->head);
  for (;;) {
    page_t* const page = entry_page(head);
    if (page == NULL) return NULL;
    /* A stale next is harmless: the version makes the CAS fail. */
    const uint64_t next = (head & ~INDEX_MASK) + VERSION_ONE + load_relaxed(&page->abandoned_next);
    if (cas_weak_acq_rel(&stack->head, &head, next)) break;
  }
  add_relaxed(&stack->count, UINT32_MAX);
  return entry_page(head);
}

/* The entry is off the stack: try to get its page. */
static bool claim_entry(page_t* page) {
  exchange_seq_cst(&page->linked, 0u);
  return remote_claim(page);
}

void abandoned_link(heap_t* heap, unsigned bin, page_t* page) {
  if (load_seq_cst(&page->linked) != 0) return;
  if (exchange_acq_rel(&page->linked, 1u) != 0) return;
  stack_push(&heap->abandoned[bin], page);
  /* Deleted meanwhile: whoever comes last, this push or the deleter's sweep, forwards the entry. */
  if (load_acquire(&heap->state) == HEAP_DELETED) abandoned_sweep(heap, COLLECT_PAGES);
}

void page_abandon(page_t* page) {
  heap_t* const heap = page_heap(page);
  const unsigned bin = page->bin;
  page_merge_lists(page);
  check(page_is_valid(page) && page->local_free == NULL); /* P5 */
  const bool room = page->free != NULL || page_capacity(page) < page->reserved;
  store_relaxed(&page->owner_tag, TAG_ABANDONED);
  const abandon_verdict_t verdict = remote_abandon(page);
  if (verdict != ABANDON_REFUSED) {
    if (room || verdict == ABANDON_ROOM) abandoned_link(heap, bin, page);
    return;
  }
  page_collect_remote(page);
  page_merge_lists(page);
  if (load_relaxed(&page->linked) == 0) {
    page_release(page);
    return;
  }
  remote_park(page);
  /* The entry may have been taken since; its taker found no abandoned page then, so link it anew. */
  abandoned_link(heap, bin, page);
  abandoned_note_empty(heap, bin);
}

/* Secure builds: the addresses stay the heap's, for blocks of the same class; what lay there goes. */
static void park_page(heap_t* heap, page_t* page) {
  const uint8_t fenced = page->flags & PAGE_FENCED;
  const unsigned bin = page->bin;
  const size_t bytes = page->reserved * (size_t)page->stride;
  heap_close_page(page);
  heap_open_page(bin);
  const bool gone = os_purge(page_start(page), align_down(bytes, os_page_size())) == 0;
  page_init(page, bin, gone && bytes % os_page_size() == 0 ? MEMORY_ZERO : MEMORY_UNKNOWN);
  page->flags |= fenced;
  store_relaxed(&page->owner_tag, TAG_ABANDONED);
  remote_park(page);
  abandoned_link(heap, bin, page);
}

void page_release(page_t* page) {
  if (load_relaxed(&page->linked) != 0) {
    /* Its entry in the abandoned stack refers to it: it stays there, empty, until the stack is swept. */
    page_abandon(page);
    return;
  }
  heap_t* const heap = page_heap(page);
  if (SECURE && heap != &heap_main && load_relaxed(&heap->state) == HEAP_LIVE) park_page(heap, page);
  else heap_end_page(page, slices_release);
}

page_t* abandoned_claim(heap_t* heap, unsigned bin) {
  abandoned_t* const stack = &heap->abandoned[bin];
  if ((load_relaxed(&stack->head) & INDEX_MASK) == 0) return NULL;
  page_t* page;
  while ((page = stack_pop(stack)) != NULL) {
    if (!claim_entry(page)) continue;
    if (page_heap(page) == heap && page->bin == bin) return page;
    page_abandon(page); /* another life: goes to the right stack */
  }
  return NULL;
}

/* Take the whole stack; every page of it that is still abandoned is claimed, then released or abandoned
   again. */
static void sweep_stack(abandoned_t* stack, heap_t* forward, collect_t what) {
  uint64_t head = load_acquire(&stack->head);
  while (!cas_weak_acq_rel(&stack->head, &head, (head & ~INDEX_MASK) + VERSION_ONE)) {
  }
  store_relaxed(&stack->empty, 0u);
  for (page_t *page = entry_page(head), *next; page != NULL; page = next) {
    next = entry_page(load_relaxed(&page->abandoned_next));
    add_relaxed(&stack->count, UINT32_MAX);
    if (!claim_entry(page)) continue;
    if (forward != NULL) {
      store_relaxed(&page->heap, (uintptr_t)forward);
      heap_note_page(forward, page);
    }
    if (what == COLLECT_HOLES) page_make_holes(page);
    page_abandon(page);
  }
}

void abandoned_note_empty(heap_t* heap, unsigned bin) {
  abandoned_t* const stack = &heap->abandoned[bin];
  const uint32_t empty = add_relaxed(&stack->empty, 1u) + 1;
  if (empty >= SWEEP_MIN + load_relaxed(&stack->count) / 4) sweep_stack(stack, NULL, COLLECT_PAGES);
}

void abandoned_sweep(heap_t* heap, collect_t what) {
  heap_t* const forward = load_acquire(&heap->state) == HEAP_DELETED ? heap->heir : NULL;
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    if ((load_relaxed(&heap->abandoned[bin].head) & INDEX_MASK) != 0)
      sweep_stack(&heap->abandoned[bin], forward, what);
  }
}

void abandoned_note_frees(heap_t* heap, unsigned bin) {
  atomic_u32_t* const quiet = &heap->abandoned[bin].quiet;
  if (load_settled(quiet) == 1) return;
  store_settled(quiet, 1u); /* a hint: one that a look overwrites is at worst told by the next free */
  scavenger_hint();
}

void abandoned_tidy(heap_t* heap) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    abandoned_t* const stack = &heap->abandoned[bin];
    const uint32_t quiet = load_settled(&stack->quiet);
    if (quiet == 0) continue;
    store_settled(&stack->quiet, quiet < QUIET_LOOKS ? quiet + 1 : 0);
    if (quiet == QUIET_LOOKS) sweep_stack(stack, NULL, COLLECT_HOLES);
  }
}

void abandoned_unlink_all(heap_t* heap) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    page_t* page;
    while ((page = stack_pop(&heap->abandoned[bin])) != NULL) exchange_acq_rel(&page->linked, 0u);
    store_relaxed(&heap->abandoned[bin].empty, 0u);
  }
}
