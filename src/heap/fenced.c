/* SPDX-License-Identifier: MIT */
/* See fenced.h. */
#include "heap/fenced.h"

#include "core/diagnostics.h"
#include "memory/arena.h"
#include "memory/counters.h"
#include "os/os.h"

enum {
  KEPT = 256,
  KEPT_SLICES_MAX = 1024, /* 64 MiB: the addresses of bigger blocks are needed sooner */
  GUARDS = 2,             /* of a live block; a freed one has one more */
};

static pool_t note_pool, slots;
static atomic_word_t kept[KEPT]; /* notes of freed blocks */
static atomic_u64_t turn;

/* Say once that there are no more. */
static bool guard(char* start, size_t size) {
  static atomic_u32_t told;
  const int error = os_guard(start, size);
  if (error == ENOMEM && exchange_acq_rel(&told, 1u) == 0)
    report_mistake("guards: this process has as many as it may have; other blocks go without");
  return error == 0;
}

/* Its guards go, and its slices are free. */
static void lower(fence_note_t* note, uint32_t guards) {
  os_unguard(window_address(note->slice), note->slices * SLICE_SIZE, guards);
  slices_release_purged(note->slice, note->slices);
  pool_put(&note_pool, note);
}

/* Kept addresses and slots are no memory in use. */
static void count_claimed(const fence_note_t* note, int sign) {
  counter_add(&memory_counters.claimed, (uint64_t)((int64_t)(note->slices * SLICE_SIZE) * sign));
}

fence_plan_t fenced_plan(size_t size, size_t alignment) {
  const size_t fence = os_page_size();
  /* The start is kept in 16 bits. */
  if (2 * fence > UINT16_MAX || alignment > fence || size > ALLOC_SIZE_MAX / 2)
    return (fence_plan_t){0, 0, 0};
  const size_t bytes = align_up(max_size(size, 1), max_size(alignment, 1));
  const size_t end = fence + align_up(bytes, fence);
  return (fence_plan_t){end - bytes, end, div_up(end + fence, SLICE_SIZE)};
}

fence_note_t* fenced_slot(const heap_t* heap, const fence_plan_t* plan) {
  fence_note_t* const slot =
      plan->slices == 1 && heap->home.arena == NULL ? (fence_note_t*)pool_take(&slots) : NULL;
  if (slot == NULL) return NULL;
  const size_t fence = os_page_size();
  if (os_unguard((char*)window_address(slot->slice) + fence, plan->end - fence, 1) == 0) {
    count_claimed(slot, 1);
    return slot;
  }
  pool_put(&slots, slot);
  return NULL;
}

/* The two guards, or none. */
static bool guard_both(char* start, size_t end) {
  const size_t fence = os_page_size();
  if (!guard(start, fence)) return false;
  if (guard(start + end, fence)) return true;
  os_unguard(start, fence, 1);
  return false;
}

fence_note_t* fenced_raise(size_t slice, fence_note_t* slot, const fence_plan_t* plan, size_t size) {
  char* const start = (char*)window_address(slice);
  fence_note_t* note = slot;
  if (slot == NULL) {
    note = is_in_arena(slice) ? NULL : (fence_note_t*)pool_get(&note_pool, sizeof(fence_note_t));
    if (note == NULL) return NULL;
    if (!guard_both(start, plan->end)) {
      pool_put(&note_pool, note);
      return NULL;
    }
  }
  note->slice = slice;
  note->slices = plan->slices;
  note->block = start + plan->start;
  note->size = size;
  note->freed.depth = note->allocated.depth = 0;
  store_relaxed(&note->state, NOTE_LIVE);
  return note;
}

fence_note_t* fenced_note(const page_t* page) {
  if (!page_is_single(page)) return NULL;
  return (fence_note_t*)load_relaxed(&((page_t*)(uintptr_t)page)->part);
}

/* It is no longer kept: a slot, or the end of its guards. */
static void let_go(fence_note_t* note) {
  if (note->slices == 1) {
    store_relaxed(&note->state, NOTE_SLOT);
    pool_put(&slots, note);
    return;
  }
  count_claimed(note, 1);
  lower(note, GUARDS + 1);
}

void fenced_retire(fence_note_t* note) {
  store_relaxed(&note->state, NOTE_FREED);
  if (note->slices > KEPT_SLICES_MAX ||
      !guard((char*)window_address(note->slice), note->slices * SLICE_SIZE)) {
    lower(note, GUARDS);
    return;
  }
  count_claimed(note, -1);
  note = (fence_note_t*)exchange_acq_rel(&kept[add_relaxed(&turn, 1) % KEPT], (uintptr_t)note);
  if (note != NULL) let_go(note);
}

void fenced_collect(void) {
  for (size_t i = 0; i < KEPT; i++) {
    fence_note_t* const note = (fence_note_t*)exchange_acq_rel(&kept[i], 0);
    if (note != NULL) let_go(note);
  }
  for (fence_note_t* slot; (slot = (fence_note_t*)pool_take(&slots)) != NULL;) {
    count_claimed(slot, 1);
    lower(slot, GUARDS + 1);
  }
}

fence_note_t* fenced_freed(const void* p) {
  const size_t slice = window_slice_of(p);
  for (size_t i = 0; i < KEPT; i++) {
    fence_note_t* const note = (fence_note_t*)load_acquire(&kept[i]);
    if (note != NULL && slice - note->slice < note->slices) return note;
  }
  return NULL;
}

void fenced_after_fork(void) {
  for (size_t i = 0; i < KEPT; i++) store_relaxed(&kept[i], 0);
  store_relaxed(&slots.head, 0);
}

static char* last_os_page(const page_t* page) {
  return page_start(page) + page->slices * (size_t)SLICE_SIZE - os_page_size();
}
void page_fence(page_t* page) {
  const bool fits = page->reserved * (size_t)page->stride <= (size_t)(last_os_page(page) - page_start(page));
  if (fits && !is_in_arena(page_slice(page)) && guard(last_os_page(page), os_page_size()))
    page->flags |= PAGE_FENCED;
}
void page_unfence(page_t* page) {
  if ((page->flags & PAGE_FENCED) != 0) os_unguard(last_os_page(page), os_page_size(), 1);
}
