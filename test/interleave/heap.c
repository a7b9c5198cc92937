/* SPDX-License-Identifier: MIT */
/* The allocator as a whole, by its interface: delayed frees against the owner, thread exit and reclaiming
   against remote frees, the end of a heap against remote frees.

   Blocks are 8 KiB, eight to a page, so that a page is quickly full.  After every execution: live blocks hold
   what was written into them; nothing was handed out twice; when the owner still lives, one collection by it
   finds every remotely freed block of a page that was full (used counts exactly the live blocks); and when
   all threads have freed what is left and exited, not a single slice is still claimed. */
#include <stdlib.h>
#include <string.h>

#include "heap/heap.h"
#include "memory/counters.h"
#include "memory/slices.h"
#include "mimalloc.h"
#include "page/remote.h"
#include "scenario.h"
#include "thread/thread.h"

enum { SIZE = 8192, PAGE_BLOCKS = 8, BLOCKS = 2 * PAGE_BLOCKS + 1, EXTRA = 9 };

typedef struct slot_s {
  uint64_t* block;
  bool live;
} slot_t;

static slot_t slot[BLOCKS];                   /* 0 .. 7: one page, that is full; 8 .. 15: the next page; 16 */
static slot_t extra[EXPLORE_THREADS * EXTRA]; /* allocated by the programs */
static int extras[EXPLORE_THREADS];
static mi_heap_t* heap; /* NULL: the main heap */

static bool exited[EXPLORE_THREADS];
static heap_part_t* part_of_0; /* in the main heap */

/* ---- blocks ---- */

static void write_block(slot_t* s, void* p) {
  s->block = p;
  for (size_t i = 0; i < 16; i++) s->block[i] = s->block[SIZE / 8 - 1 - i] = (uintptr_t)p + i;
  s->live = true;
}

static void check_block(const slot_t* s) {
  for (size_t i = 0; i < 16; i++) {
    expect(s->block[i] == (uintptr_t)s->block + i && s->block[SIZE / 8 - 1 - i] == (uintptr_t)s->block + i);
  }
}

static void check_blocks(void) {
  for (size_t i = 0; i < BLOCKS; i++) {
    if (slot[i].live) check_block(&slot[i]);
  }
  for (size_t i = 0; i < EXPLORE_THREADS * EXTRA; i++) {
    if (extra[i].live) check_block(&extra[i]);
  }
}

static bool is_live(const void* p) {
  for (size_t i = 0; i < BLOCKS; i++) {
    if (slot[i].live && slot[i].block == p) return true;
  }
  for (size_t i = 0; i < EXPLORE_THREADS * EXTRA; i++) {
    if (extra[i].live && extra[i].block == p) return true;
  }
  return false;
}

static void free_slot(slot_t* s) {
  if (!s->live) return;
  check_block(s);
  s->live = false;
  mi_free(s->block);
}

static void allocate(mi_heap_t* from) {
  const int t = explorer_thread();
  void* const p = from == NULL ? mi_malloc(SIZE) : mi_heap_malloc(from, SIZE);
  expect(p != NULL && !is_live(p) && extras[t] < EXTRA);
  write_block(&extra[t * EXTRA + extras[t]++], p);
}

/* ---- setups ---- */

static void attach(void) {
  void* const p = mi_malloc(16);
  mi_free(p);
}

static void note_part(void) {
  part_of_0 = thread_self->part;
}

static void prepare(void) {
  if (!window_init()) abort();
  explorer_ignore(&memory_counters, sizeof(memory_counters));
  for (int t = 0; t < EXPLORE_THREADS; t++) explorer_as_thread(t, attach);
  explorer_as_thread(0, note_part);
  mi_option_set(mi_option_purge_delay, -1); /* purging is explored in slices.c */
}

static void fill_to(size_t count) {
  for (size_t i = 0; i < count; i++) {
    void* const p = heap == NULL ? mi_malloc(SIZE) : mi_heap_malloc(heap, SIZE);
    if (p == NULL) abort();
    write_block(&slot[i], p);
  }
  const page_t* const page = page_of(slot[0].block);
  if (page_of(slot[PAGE_BLOCKS - 1].block) != page || page_of(slot[PAGE_BLOCKS].block) == page) abort();
  explorer_label(&((page_t*)(uintptr_t)page)->thread_free, 8, "thread_free");
  explorer_label(&((page_t*)(uintptr_t)page)->owner_tag, 8, "owner_tag");
  explorer_label(&((page_t*)(uintptr_t)page)->linked, 2, "linked");
  explorer_label(&((page_t*)(uintptr_t)page)->abandoned_next, 4, "abandoned_next");
  explorer_label(&((page_t*)(uintptr_t)page)->part, 8, "part");
  explorer_label(&((page_t*)(uintptr_t)page)->heap, 8, "heap");
}

static void fill(void) {
  fill_to(PAGE_BLOCKS + 1);
}
static void fill_two_pages(void) {
  fill_to(BLOCKS);
}
static void leave(void) {
  thread_exit();
}
static void free_all_but_two(void) {
  for (size_t i = 2; i < BLOCKS; i++) free_slot(&slot[i]);
}
static void free_remote_ones(void) {
  free_slot(&slot[2]);
  free_slot(&slot[3]);
}

static void owned_by_0(void) {
  prepare();
  explorer_as_thread(0, fill);
}
static void owned_by_0_two_full(void) {
  prepare();
  explorer_as_thread(0, fill_two_pages);
}
static void owned_by_0_two_left(void) {
  owned_by_0();
  explorer_as_thread(0, free_all_but_two);
}
static void abandoned_full(void) {
  prepare();
  explorer_as_thread(2, fill);
  explorer_as_thread(2, leave);
}
static void
abandoned_with_room(void) { /* on the stack of abandoned pages, with two remote frees in its list */
  abandoned_full();
  explorer_as_thread(0, free_remote_ones);
  explorer_as_thread(0, leave);
  explorer_as_thread(0, attach);
}
static void abandoned_two_left(void) {
  prepare();
  explorer_as_thread(2, fill);
  explorer_as_thread(2, free_all_but_two);
  explorer_as_thread(2, leave);
}
static void heap_of_0(void) {
  prepare();
  heap = mi_heap_new();
  explorer_as_thread(0, fill);
}
static void heap_of_1(void) {
  prepare();
  heap = mi_heap_new();
  explorer_as_thread(1, fill);
}
static void heap_of_2_abandoned(void) {
  prepare();
  heap = mi_heap_new();
  explorer_as_thread(2, fill);
  explorer_as_thread(2, leave);
}

/* ---- programs ---- */

static void free_0(void) {
  free_slot(&slot[0]);
}
static void free_1(void) {
  free_slot(&slot[1]);
}
static void free_0_1(void) {
  free_slot(&slot[0]);
  free_slot(&slot[1]);
}
static void malloc_1(void) {
  allocate(NULL);
}
static void malloc_2(void) {
  allocate(NULL);
  allocate(NULL);
}
static void
malloc_until_full(void) { /* the second page has seven blocks left; then the owner looks further */
  for (int i = 0; i < PAGE_BLOCKS + 1; i++) allocate(NULL);
}
static void malloc_collect(void) {
  allocate(NULL);
  mi_collect(false);
}
static void collect(void) {
  mi_collect(false);
}
static void exit_thread(void) {
  thread_exit();
  exited[explorer_thread()] = true;
}
static void delete_heap(void) {
  mi_heap_delete(heap);
}
static void big_block(void) {
  uint64_t* const p = mi_malloc(200 * 1024);
  expect(p != NULL);
  p[0] = p[100 * 1024 / 8] = (uint64_t)explorer_thread();
  mi_free(p);
}
static void big_block_kept(void) {
  uint64_t* const p = mi_malloc(200 * 1024);
  expect(p != NULL && !is_live(p));
  write_block(&extra[explorer_thread() * EXTRA], p);
}
static void free_0_8(void) { /* of two full pages: two signals */
  free_slot(&slot[0]);
  free_slot(&slot[PAGE_BLOCKS]);
}
static void free_1_2_7(void) {
  free_slot(&slot[1]);
  free_slot(&slot[2]);
  free_slot(&slot[7]);
}

/* ---- what must hold ---- */

static void free_rest(void) {
  for (size_t i = 0; i < BLOCKS; i++) free_slot(&slot[i]);
  for (size_t i = 0; i < EXPLORE_THREADS * EXTRA; i++) free_slot(&extra[i]);
}
static void collect_exit(void) {
  mi_collect(false);
  thread_exit();
}
static void collect_all(void) {
  mi_collect(true);
  thread_exit();
  attach();
  mi_collect(true);
}

static void verify_nothing_lost(void) {
  check_blocks();
  expect(!exited[0] || load_relaxed(&part_of_0->delayed) == 0); /* what reached a dead part went on */
  explorer_as_thread(1, free_rest);
  for (int t = 0; t < EXPLORE_THREADS; t++) explorer_as_thread(t, collect_exit);
  explorer_as_thread(2, collect_all);
  explorer_as_thread(2, leave);
  expect(memory_stats().claimed == 0);
}

/* The owner is thread 0: after one collection, its page counts exactly the live blocks. */
static void verify_owner_knows(void) {
  check_blocks();
  explorer_as_thread(0, collect);
  page_t* const page = page_of(slot[PAGE_BLOCKS - 1].block);
  uint32_t live = 0;
  for (size_t i = 0; i < BLOCKS; i++) live += slot[i].live && page_of(slot[i].block) == page;
  for (size_t i = 0; i < EXPLORE_THREADS * EXTRA; i++)
    live += extra[i].live && page_of(extra[i].block) == page;
  expect(live == PAGE_BLOCKS || (load_relaxed(&page->owner_tag) & CARE_FULL) == 0);
  expect(page->used == live && remote_count(load_relaxed(&page->thread_free)) == 0);
  verify_nothing_lost();
}

#define REDUCED(name, setup, a, b, verify) \
  { name, EXPLORE_REDUCED, 2, 0, 0, setup, {a, b, NULL}, verify }
#define BOUNDED(name, setup, a, b, c, verify) \
  { name, EXPLORE_BOUNDED, 3, 2, 0, setup, {a, b, c}, verify }

static const explore_t scenarios[] = {
    REDUCED("heap-delayed", owned_by_0, malloc_until_full, free_0_1, verify_owner_knows),
    REDUCED("heap-delayed-collect", owned_by_0, collect, free_1_2_7, verify_nothing_lost),
    REDUCED("heap-last-blocks", owned_by_0_two_left, collect, free_0_1, verify_nothing_lost),
    REDUCED("heap-exit", owned_by_0, exit_thread, free_0_1, verify_nothing_lost),
    {"heap-exit-last", /* in full it passes too: 1,921,951 executions in 79 s */
     EXPLORE_BOUNDED,
     2,
     3,
     0,
     owned_by_0_two_left,
     {exit_thread, free_0_1, NULL},
     verify_nothing_lost},
    REDUCED("heap-reclaim", abandoned_with_room, malloc_2, free_0_1, verify_nothing_lost),
    REDUCED("heap-reclaim-last", abandoned_two_left, malloc_1, free_0_1, verify_nothing_lost),
    REDUCED("heap-reclaim-two", abandoned_with_room, malloc_1, malloc_1, verify_nothing_lost),
    REDUCED("heap-free-two", abandoned_full, free_0, free_1, verify_nothing_lost),
    REDUCED("heap-delete", heap_of_0, delete_heap, free_0_1, verify_nothing_lost),
    REDUCED("heap-delete-abandoned", heap_of_2_abandoned, delete_heap, free_0_1, verify_nothing_lost),
    REDUCED("heap-delete-owner", heap_of_1, delete_heap, malloc_collect, verify_nothing_lost),
    REDUCED("heap-delayed-two", owned_by_0_two_full, collect, free_0_8, verify_nothing_lost),
    {"heap-big",
     EXPLORE_BOUNDED,
     2,
     2,
     0,
     owned_by_0,
     {big_block, big_block_kept, NULL},
     verify_nothing_lost},
    BOUNDED("heap-delayed-3", owned_by_0, malloc_2, free_0, free_1, verify_owner_knows),
    BOUNDED("heap-exit-3", owned_by_0, exit_thread, free_0, free_1_2_7, verify_nothing_lost),
    BOUNDED("heap-reclaim-3", abandoned_with_room, malloc_1, free_0, free_1, verify_nothing_lost),
    BOUNDED("heap-reclaim-last-3", abandoned_two_left, malloc_1, free_0, free_1, verify_nothing_lost),
    BOUNDED("heap-delete-3", heap_of_0, delete_heap, free_0, free_1, verify_nothing_lost),
    BOUNDED("heap-delete-owner-3", heap_of_1, delete_heap, malloc_1, free_1, verify_nothing_lost),
};
SCENARIOS_MAIN(scenarios)
