/* SPDX-License-Identifier: MIT */
/* The scavenger's hold of a thread that it takes for asleep, while the thread wakes up under its hands.

   Thread 0 owns the pages, thread 1 is the scavenger (it runs its job once and is not attached), thread 2 is
   the memory between them: what thread 0 stores to its `busy` word stays in a store buffer, unseen by the
   scavenger, until thread 2 drains it or the scavenger makes its barrier.  So the thread may look at `held`
   before its own `busy` is seen, which is what the barrier is there for; a scavenger without one fails here.

   What the model assumes: a barrier everywhere empties the buffers of all threads (membarrier(2)); all other
   words, and plain memory, are sequentially consistent.  So the second barrier, which orders the plain stores
   of a free before the release of its page, is not put to the test here.  A purge delay of -1 makes every
   thread one that has slept long enough. */
#include <stdlib.h>

#include "heap/heap.h"
#include "memory/counters.h"
#include "memory/slices.h"
#include "mimalloc.h"
#include "page/remote.h"
#include "scenario.h"
#include "thread/thread.h"

enum { BIG = 8192, BIG_BLOCKS = 8, SMALL = 1024, SMALL_BLOCKS = 64, BLOCKS = 2 * SMALL_BLOCKS, EXTRA = 4 };

static uint64_t* block[BLOCKS]; /* NULL: freed */
static uint64_t* extra[EXTRA];  /* allocated by thread 0 in the execution */
static size_t block_size;
static atomic_u64_t moment; /* a place to be interrupted at, where the code has no atomic operation */

/* ---- blocks ---- */

static void write_block(uint64_t* p) {
  expect(p != NULL);
  for (size_t i = 0; i < BLOCKS; i++) expect(block[i] != p);
  for (size_t i = 0; i < EXTRA; i++) expect(extra[i] != p);
  for (size_t i = 0; i < block_size / 8; i++) p[i] = (uintptr_t)p + i;
}

static void check_block(const uint64_t* p) {
  for (size_t i = 0; p != NULL && i < block_size / 8; i++) expect(p[i] == (uintptr_t)p + i);
}

static void free_block(size_t i) {
  uint64_t* const p = block[i];
  if (p == NULL) return;
  check_block(p);
  block[i] = NULL;
  mi_free(p);
}

static void allocate(size_t i) {
  uint64_t* const p = mi_malloc(block_size);
  write_block(p);
  extra[i] = p;
}

/* ---- setups ---- */

static void attach(void) { mi_free(mi_malloc(16)); }
static void leave(void) { thread_exit(); }

static void watch_busy(void) {
  explorer_buffer((volatile uint32_t*)(uintptr_t)&thread_self->busy, 0);
  explorer_label(&thread_self->busy, 4, "busy");
  explorer_label(&thread_self->held, 4, "held");
}

static void prepare(size_t size) {
  if (!window_init()) abort();
  block_size = size;
  mi_option_set(mi_option_purge_delay, -1);
  explorer_ignore(&memory_counters, sizeof(memory_counters));
  explorer_as_thread(0, attach);
  explorer_as_thread(2, attach);
  explorer_as_thread(0, watch_busy);
}

static void fill(void) {
  const size_t count = block_size == BIG ? 2 * BIG_BLOCKS + 1 : SMALL_BLOCKS + 1;
  for (size_t i = 0; i < count; i++) {
    uint64_t* const p = mi_malloc(block_size);
    write_block(p);
    block[i] = p;
  }
}

static void free_one(void) { free_block(0); }
static void free_first_page(void) {
  for (size_t i = 0; i < BIG_BLOCKS; i++) free_block(i);
}
static void free_second_page_but_one(void) {
  for (size_t i = BIG_BLOCKS + 1; i < 2 * BIG_BLOCKS; i++) free_block(i);
}
static void free_rest(void) {
  for (size_t i = 0; i < BLOCKS; i++) free_block(i);
}

/* Two full pages and one with a single block; nothing is freed yet. */
static void full_pages(void) {
  prepare(BIG);
  explorer_as_thread(0, fill);
  explorer_as_thread(2, leave);
}
/* The first full page has lost every block to others: one is delayed, the rest in its thread_free. */
static void delayed_page(void) {
  prepare(BIG);
  explorer_as_thread(0, fill);
  explorer_as_thread(2, free_first_page);
  explorer_as_thread(2, leave);
}
/* The page in the queue besides has one block of the owner's and seven that others freed. */
static void nearly_empty_page(void) {
  prepare(BIG);
  explorer_as_thread(0, fill);
  explorer_as_thread(0, free_one);                   /* the first page comes back into the queue */
  explorer_as_thread(2, free_second_page_but_one);
  explorer_as_thread(2, leave);
}
/* The page of the fast path, current, has no live block but those that others freed. */
static void direct_page(void) {
  prepare(SMALL);
  explorer_as_thread(0, fill);
  explorer_as_thread(2, free_rest);
  explorer_as_thread(2, leave);
}

/* ---- programs ---- */

static void tidy(void) { thread_tidy_idle(1); }
static void tidy_twice(void) {
  thread_tidy_idle(1);
  thread_tidy_idle(1);
}
static void memory(void) { explorer_drain(); }
static void malloc_one(void) { allocate(0); }
static void malloc_big(void) { /* a slow path whatever is on hand: drains, ticks, claims slices */
  void* const p = mi_malloc(100000);
  expect(p != NULL);
  mi_free(p);
}
static void free_owned(void) { free_block(BIG_BLOCKS); }
static void free_of_full(void) { free_block(0); }
static void free_last(void) { /* of a page with one block: used falls to 0 */
  free_block(2 * BIG_BLOCKS);
}
static void exit_thread(void) { thread_exit(); }
static void use_fast_path(void) {
  for (size_t i = 0; i < 3; i++) {
    allocate(i);
    add_relaxed(&moment, 1u);
  }
}

/* ---- what must hold ---- */

static void check_part(void) {
  if (thread_self != NULL) expect(load_relaxed(&thread_self->held) == HELD_FREE);
  if (thread_self != NULL) expect(part_is_valid(thread_self->part));
}
static void free_all(void) {
  free_rest();
  for (size_t i = 0; i < EXTRA; i++) {
    mi_free(extra[i]);
    extra[i] = NULL;
  }
}
static void collect_exit(void) {
  mi_collect(true);
  thread_exit();
}

static void verify(void) {
  for (size_t i = 0; i < BLOCKS; i++) check_block(block[i]);
  for (size_t i = 0; i < EXTRA; i++) check_block(extra[i]);
  explorer_as_thread(0, check_part);
  explorer_as_thread(0, free_all);
  explorer_as_thread(0, check_part);
  explorer_as_thread(0, collect_exit);
  explorer_as_thread(2, attach);
  explorer_as_thread(2, collect_exit);
  expect(memory_stats().claimed == 0);
}

#define HOLD(name, setup, owner, scavenger) \
  { name, EXPLORE_BOUNDED, 3, 2, 0, setup, {owner, scavenger, memory}, verify }

static const explore_t scenarios[] = {
    HOLD("idle-malloc", delayed_page, malloc_one, tidy),
    HOLD("idle-slow", delayed_page, malloc_big, tidy),
    HOLD("idle-free", nearly_empty_page, free_owned, tidy),
    HOLD("idle-free-full", full_pages, free_of_full, tidy),
    HOLD("idle-free-last", full_pages, free_last, tidy),
    HOLD("idle-fast-path", direct_page, use_fast_path, tidy),
    HOLD("idle-exit", delayed_page, exit_thread, tidy),
    HOLD("idle-twice", nearly_empty_page, free_owned, tidy_twice),
};
SCENARIOS_MAIN(scenarios)
