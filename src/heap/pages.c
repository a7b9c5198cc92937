/* SPDX-License-Identifier: MIT */
/* The heaps, and which pages belong to them. */
#include "heap/fenced.h"
#include "memory/arena.h"
#include "memory/slices.h"

heap_t heap_main;
static pool_t heap_pool;
tally_t heap_tally;
level_t heap_pages[BIN_COUNT];
level_t heap_count;
level_t heap_part_count;
atomic_u64_t heap_part_counts[PART_COUNTS];

static size_t segment_bit(size_t slice) { return (slice / SEGMENT_SLICES) % HEAP_SEGMENT_BITS; }

void heap_note_page(heap_t* heap, const page_t* page) {
  const size_t bit = segment_bit(page_slice(page));
  const uint64_t mask = UINT64_C(1) << (bit % 64);
  atomic_u64_t* const word = &heap->segments[bit / 64];
  if ((load_relaxed(word) & mask) == 0) or_acq_rel(word, mask);
}

/* Without the seam: for figures only, or while the heap cannot change. */
heap_t* heap_of_page(page_t* page) {
  heap_t* heap = (heap_t*)load_settled(&page->heap);
  while (heap != NULL && load_settled(&heap->state) == HEAP_DELETED) heap = heap->heir;
  return heap != NULL && heap->heir == NULL ? &heap_main : heap;
}

/* A function of its own: part_find_page needs its registers. */
void heap_open_page(unsigned bin) { level_up(&heap_pages[bin]); }

void heap_close_page(page_t* page) {
  const unsigned bin = page->bin;
  if (bin >= BIN_COUNT) return; /* one big block: counted when it was allocated */
  page_forget_note(page);
  if (!STATISTICS) return;
  const uint64_t served = page_served(page);
  heap_t* const heap = heap_of_page(page);
  level_down(&heap_pages[bin]);
  figure_add(&heap_tally.blocks[bin], served);
  figure_add(&heap_main_of(heap)->subprocess.blocks[bin], served);
  figure_add(&heap->tally.blocks[bin], served);
}

void heap_end_page(page_t* page, slices_end_t* release) {
  const size_t slice = page_slice(page);
  const size_t count = page_slice_count(page);
  fence_note_t* const note = fenced_note(page);
  heap_close_page(page);
  page_unfence(page);
  /* The entry matches no owner before its slices can be claimed again (release in slices_release). */
  store_relaxed(&page->owner_tag, 0);
  slices_clear_start(slice);
  if (note != NULL) fenced_retire(note);
  else release(slice, count);
}

void heap_count_big(heap_t* heap, size_t blocks, size_t bytes) {
  if (!STATISTICS) return;
  tally_t* const tallies[] = {&heap_tally, &heap_main_of(heap)->subprocess, &heap->tally};
  for (size_t i = 0; i < sizeof(tallies) / sizeof(tallies[0]); i++) {
    if (blocks > 0) figure_add(&tallies[i]->blocks[BIN_COUNT], blocks);
    figure_add(&tallies[i]->big_bytes, bytes);
  }
}

page_t* page_of(const void* p) {
  size_t slice = window_slice_of(p);
  if (slice == SLICE_NONE) return NULL;
  if (load_relaxed(&page_at(slice)->owner_tag) != 0) return page_at(slice);
  const size_t start = slices_find_start(slice);
  if (start == SLICE_NONE) return NULL;
  page_t* const page = page_at(start);
  return slice < start + page_slice_count(page) ? page : NULL;
}

/* Records of heaps stay in the registry for ever. */
static atomic_word_t all_heaps;

static void heap_register(heap_t* heap) {
  static atomic_u32_t slots;
  uintptr_t head = load_relaxed(&all_heaps);
  heap->slot = add_relaxed(&slots, 1u) + 1;
  store_relaxed(&heap->state, HEAP_DESTROYED); /* until it is ready */
  do {
    heap->all_next = (heap_t*)head;
  } while (!cas_weak_acq_rel(&all_heaps, &head, (uintptr_t)heap)); /* release: partner in heap_visit_heaps */
}

bool heap_visit_heaps(heap_t* main, heap_visit_t* visit, void* arg) {
  if (!visit(main, arg)) return false;
  for (heap_t *heap = (heap_t*)load_acquire(&all_heaps), *next; heap != NULL; heap = next) {
    next = heap->all_next;
    if (load_acquire(&heap->state) != HEAP_LIVE || heap->main != main || heap->heir == NULL) continue;
    if (!visit(heap, arg)) return false;
  }
  return true;
}

static void tally_clear(tally_t* tally) {
  for (unsigned bin = 0; bin <= BIN_COUNT; bin++) figure_set(&tally->blocks[bin], 0);
  figure_set(&tally->big_bytes, 0);
}

static heap_t* heap_make(heap_t* main, heap_t* heir, arena_t* arena) {
  heap_t* const heap = pool_get(&heap_pool, sizeof(heap_t));
  if (heap == NULL) return NULL;
  if (heap->slot == 0) heap_register(heap);
  heap->main = main;
  if (main != NULL) add_relaxed(&main->parts, 1u);
  bool used = main == NULL; /* a main heap's tallies may have grown by pages of its deleted heaps */
  for (size_t i = 0; i < HEAP_SEGMENT_BITS / 64; i++) {
    used |= load_relaxed(&heap->segments[i]) != 0;
    store_relaxed(&heap->segments[i], 0);
  }
  if (used) tally_clear(&heap->tally);
  if (main == NULL) tally_clear(&heap->subprocess);
  heap->home.arena = arena;
  store_relaxed(&heap->home.node, 0u);
  heap->heir = heir;
  store_relaxed(&heap->parts, 1u);
  heap->only_delete = 0;
  store_release(&heap->state, HEAP_LIVE); /* pairs with the look at the state in abandoned_link */
  return heap;
}

/* The heap that gets what is left of heaps in the exclusive arena. */
static heap_t* arena_heir(arena_t* arena) {
  uintptr_t known = load_acquire(&arena->heir);
  if (known != 0) return (heap_t*)known;
  heap_t* const heir = heap_make(&heap_main, NULL, arena);
  if (heir == NULL) return NULL;
  if (cas_strong_acq_rel(&arena->heir, &known, (uintptr_t)heir)) return heir;
  store_relaxed(&heir->state, HEAP_DESTROYED);
  heap_unref(heir);
  return (heap_t*)known;
}

heap_t* heap_create(heap_t* main) { return heap_create_in(NULL, main); }

heap_t* heap_create_in(arena_t* arena, heap_t* main) {
  heap_t* heir = main != NULL ? main : &heap_main;
  if (arena != NULL && (arena->flags & ARENA_EXCLUSIVE) != 0) heir = arena_heir(arena);
  heap_t* const heap = heir != NULL ? heap_make(main, heir, arena) : NULL;
  if (heap != NULL) level_up(&heap_count);
  return heap;
}

void heap_unref(heap_t* heap) {
  if (add_acq_rel(&heap->parts, UINT32_MAX) != 1 || heap == &heap_main) return;
  heap_t* const main = heap->main;
  pool_put(&heap_pool, heap);
  if (main != NULL) heap_unref(main);
}

static void visit_segment(const heap_t* heap, size_t segment, page_visit_t* visit, void* arg) {
  if (!window_segment_ready(segment)) return;
  uint64_t starts = load_acquire(segment_word(segment, WORD_STARTS));
  for (; starts != 0; starts &= starts - 1) {
    page_t* const page = page_at(segment * SEGMENT_SLICES + bit_lowest(starts));
    if (heap == NULL || load_relaxed(&page->heap) == (uintptr_t)heap) visit(page, arg);
  }
}

void heap_visit_pages(const heap_t* heap, page_visit_t* visit, void* arg) {
  span_t span = window_span();
  do {
    const size_t count = span.end - span.first;
    for (size_t i = 0; i < HEAP_SEGMENT_BITS && i < count; i++) {
      const size_t bit = (span.first + i) % HEAP_SEGMENT_BITS;
      atomic_u64_t* const word = &((heap_t*)(uintptr_t)heap)->segments[bit / 64];
      if ((load_relaxed(word) >> (bit % 64) & 1) == 0) continue;
      for (size_t at = i; at < count; at += HEAP_SEGMENT_BITS) {
        visit_segment(heap, span.first + at, visit, arg);
      }
    }
  } while (window_next_span(&span));
}

void heap_visit_all_pages(page_visit_t* visit, void* arg) {
  span_t span = window_span();
  do {
    for (size_t segment = span.first; segment < span.end; segment++) visit_segment(NULL, segment, visit, arg);
  } while (window_next_span(&span));
}
