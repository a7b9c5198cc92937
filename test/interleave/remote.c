/* SPDX-License-Identifier: MIT */
/* page/remote.c: remote frees, the signal of a full page, abandoning and claiming, on one page of a few
   blocks.

   What the heap layer does with the verdicts is modelled here in its smallest form (an owner with one delayed
   list); the scenarios of heap.c run the real one.  After every execution: each block is found exactly once,
   counts are exact, one look at the delayed list finds a full page with freed blocks, and an empty page was
   released exactly once. */
#include <stdlib.h>
#include <string.h>

#include "page/page.h"
#include "page/remote.h"
#include "memory/window.h"
#include "scenario.h"

enum { BLOCKS = 4, BIN = 7 /* 128 bytes */ };

static table_entry_t table[SEGMENT_SLICES];
static char memory[SLICE_SIZE] __attribute__((aligned(SLICE_SIZE)));
static page_t* page;
static block_t* block[BLOCKS];

static atomic_word_t delayed; /* the owner's thread_delayed_free */
static int in_full_list, released;
static int freed[BLOCKS]; /* by the programs; what is found at the end must match */

static void make_page(void) {
  store_relaxed(&window.base, (uintptr_t)memory);
  store_relaxed(&window.table, table);
  page = (page_t*)(void*)&table[0];
  page_init(page, BIN, MEMORY_UNKNOWN);
  explorer_label(&page->thread_free, 8, "thread_free");
  explorer_label(&page->owner_tag, 8, "owner_tag");
  explorer_label(&delayed, 8, "delayed");
  page->reserved = BLOCKS;
  for (size_t i = 0; i < BLOCKS; i++) {
    if (!page_refill(page)) abort();
    block[i] = page_pop(page);
  }
  if (page_refill(page)) abort(); /* it is full */
}

static void full_page(void) {
  make_page();
  if (!remote_arm(page)) abort();
  in_full_list = 1;
}

static void abandoned_page(void) {
  make_page();
  page_push_local(page, block[3]);
  freed[3] = 1;
  page_merge_lists(page);
  if (!remote_abandon(page)) abort();
}

/* ---- the heap layer in its smallest form ---- */

static void release(void) {
  released++;
}

/* The page has no owner but the caller: as after a claim. */
static void adopt_or_give_up(void) {
  page_merge_lists(page);
  page_collect_remote(page);
  page_merge_lists(page);
  if (!remote_abandon(page)) release();
}

static void push_delayed(block_t* b) {
  uintptr_t head = load_relaxed(&delayed);
  do b->next = (block_t*)head;
  while (!cas_weak_acq_rel(&delayed, &head, (uintptr_t)b));
}

static void remote_block(int i) {
  freed[i] = 1;
  if (i % 2 == 1 && remote_push(page, block[i], (size_t)((char*)block[i] - page_start(page)))) return;
  switch (remote_free(page, block[i])) {
  case REMOTE_SIGNAL:
    push_delayed(block[i]);
    remote_signalled(page);
    break;
  case REMOTE_LAST:
    release();
    break;
  case REMOTE_UNOWNED:
  case REMOTE_ROOMY:
    if (remote_claim(page)) adopt_or_give_up();
    break;
  case REMOTE_NOT_LIVE:
    explorer_failed("the block was live", __FILE__, __LINE__);
    break;
  case REMOTE_DONE:
    break;
  }
}

static void owner_collect(void) {
  page_collect_remote(page);
  page_merge_lists(page);
  expect(page_is_valid(page));
}

/* The cadence: a page in the full list is looked at only when a delayed block leads there. */
static void heartbeat(void) {
  block_t* b = (block_t*)exchange_acq_rel(&delayed, 0);
  while (b != NULL) {
    block_t* const next = b->next;
    page_push_local(page, b);
    if (in_full_list) {
      remote_disarm(page);
      in_full_list = 0;
    }
    b = next;
  }
  if (!in_full_list) owner_collect();
}

/* Allocate until the page is full, then put it into the full list. */
static void allocate_all(void) {
  if (in_full_list) return;
  for (;;) {
    while (page_refill(page)) {
      block_t* const b = page_pop(page);
      for (int i = 0; i < BLOCKS; i++) {
        if (block[i] == b) freed[i] = 0;
      }
    }
    if (remote_arm(page)) break;
  }
  in_full_list = 1;
}

static void owner_gives_up(void) {
  heartbeat();
  page_merge_lists(page);
  in_full_list = 0;
  if (!remote_abandon(page)) release();
}

/* ---- programs ---- */

static void owner_cadence(void) {
  heartbeat();
  allocate_all();
  heartbeat();
}
static void owner_fills_twice(void) {
  heartbeat();
  allocate_all();
  heartbeat();
  allocate_all();
}
static void owner_exits(void) {
  owner_gives_up();
}
static void claimer(void) {
  if (remote_claim(page)) adopt_or_give_up();
}
static void free_0(void) {
  remote_block(0);
}
static void free_1(void) {
  remote_block(1);
}
static void free_0_1(void) {
  remote_block(0);
  remote_block(1);
}
static void free_0_1_2(void) {
  remote_block(0);
  remote_block(1);
  remote_block(2);
}
static void free_1_2(void) {
  remote_block(1);
  remote_block(2);
}
static void owner_frees_3_exits(void) {
  page_push_local(page, block[3]);
  freed[3] = 1;
  owner_gives_up();
}

/* ---- what must hold ---- */

static int found[BLOCKS];

static void find_list(const block_t* list) {
  for (int n = 0; list != NULL; list = block_next(page, list), n++) {
    int i = 0;
    expect(n < BLOCKS);
    while (i < BLOCKS && block[i] != list) i++;
    expect(i < BLOCKS);
    found[i]++;
  }
}

static void verify_blocks(void) {
  find_list(page->free);
  find_list(page->local_free);
  for (int i = 0; i < BLOCKS; i++) expect(found[i] == freed[i]);
}

static void verify_owned(void) {
  expect(released == 0);
  const uint64_t word = load_relaxed(&page->thread_free);
  expect(remote_state(word) == REMOTE_NORMAL || remote_state(word) == REMOTE_DELAYED);
  const int was_full = in_full_list;
  heartbeat();
  expect(!was_full || !in_full_list || (freed[0] | freed[1] | freed[2] | freed[3]) == 0);
  verify_blocks();
  expect(page_is_valid(page));
}

/* The page is abandoned, or was released once; in-flight signals lie in the dead owner's list. */
static void verify_unowned(void) {
  block_t* b = (block_t*)exchange_acq_rel(&delayed, 0);
  while (b != NULL) { /* the list of a dead part is drained by free */
    block_t* const next = b->next;
    for (int i = 0; i < BLOCKS; i++) {
      if (block[i] == b) remote_block(i);
    }
    b = next;
  }
  const int all = freed[0] & freed[1] & freed[2] & freed[3];
  expect(released == all);
  if (!released) {
    expect(remote_state(load_relaxed(&page->thread_free)) == REMOTE_ABANDONED);
    expect(remote_claim(page));
    page_merge_lists(page);
  }
  page_collect_remote(page);
  page_merge_lists(page);
  verify_blocks();
  if (!released) expect(page_is_valid(page));
}

static const explore_t scenarios[] = {
    {"remote-full", EXPLORE_REDUCED, 2, 0, 0, full_page, {owner_cadence, free_0_1, NULL}, verify_owned},
    {"remote-refill",
     EXPLORE_REDUCED,
     2,
     0,
     0,
     full_page,
     {owner_fills_twice, free_0_1_2, NULL},
     verify_owned},
    {"remote-arming", EXPLORE_REDUCED, 2, 0, 0, make_page, {owner_cadence, free_0_1, NULL}, verify_owned},
    {"remote-exit",
     EXPLORE_REDUCED,
     2,
     0,
     0,
     full_page,
     {owner_frees_3_exits, free_0_1_2, NULL},
     verify_unowned},
    {"remote-claim", EXPLORE_REDUCED, 2, 0, 0, abandoned_page, {claimer, free_0_1_2, NULL}, verify_unowned},
    {"remote-frees", EXPLORE_REDUCED, 2, 0, 0, abandoned_page, {free_0, free_1_2, NULL}, verify_unowned},
    {"remote-full-3", EXPLORE_BOUNDED, 3, 2, 0, full_page, {owner_cadence, free_0, free_1_2}, verify_owned},
    {"remote-full-3-all", EXPLORE_REDUCED, 3, 0, 0, full_page, {owner_cadence, free_0, free_1}, verify_owned},
    {"remote-exit-3", EXPLORE_BOUNDED, 3, 2, 0, full_page, {owner_exits, free_0, free_1_2}, verify_unowned},
    {"remote-claim-3", EXPLORE_BOUNDED, 3, 2, 0, abandoned_page, {claimer, free_0, free_1_2}, verify_unowned},
};
SCENARIOS_MAIN(scenarios)
