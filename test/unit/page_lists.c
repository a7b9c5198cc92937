/* SPDX-License-Identifier: MIT */
/* A page's three lists: carving, refilling, merging; marks of freed blocks; what page_is_valid notices; and
   page_rebuild from a page that a fork copied in the middle of its owner's work. */
#include "unit/page_support.h"
#include "os/os.h"

#include <stdlib.h>

enum { SIZE = 512 };

static page_t* new_page(void) {
  page_t* const page = test_page(bin_of(SIZE));
  store_relaxed(&page->owner_tag, TAG_UNIT);
  return page;
}

/* ---- carving ---- */

static void blocks_are_carved_lazily_and_in_order(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  assert_int_equal(page_capacity(page), 0);
  size_t expected = 0;
  size_t last_capacity = 0;
  while (page_refill(page)) {
    const size_t fresh = page_capacity(page) - last_capacity;
    assert_true(fresh > 0 && fresh * SIZE <= 16 * KiB);
    if (last_capacity == 0) assert_true(fresh * SIZE <= 4 * KiB);
    last_capacity = page_capacity(page);
    assert_int_equal(test_list_length(page, page->free), fresh);
    while (page->free != NULL) assert_ptr_equal(page_pop(page), test_block(page, expected++));
    assert_true(page_is_valid(page));
  }
  assert_int_equal(expected, page->reserved);
  assert_int_equal(page_capacity(page), page->reserved);
  drop_test_page(page);
}

static void carving_writes_only_what_it_carves(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  memset(page_start(page), 0xA5, SLICE_SIZE);
  assert_true(page_refill(page));
  const char* const start = page_start(page);
  for (size_t i = page_capacity(page) * SIZE; i < SLICE_SIZE; i++) assert_int_equal(start[i], (char)0xA5);
  drop_test_page(page);
}

/* ---- refilling ---- */

static void refill_prefers_local_then_remote_then_fresh(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  assert_true(page_refill(page));
  while (page->free != NULL) page_pop(page);
  const size_t carved = page_capacity(page);
  assert_true(carved < page->reserved);
  page_push_local(page, test_block(page, 1));
  remote_free(page, test_block(page, 2));

  assert_true(page_refill(page));
  assert_ptr_equal(page->free, test_block(page, 1));
  assert_null(page->local_free);
  assert_int_equal(count_of(page), 1); /* the remote one waits */
  assert_ptr_equal(page_pop(page), test_block(page, 1));

  assert_true(page_refill(page));
  assert_ptr_equal(page->free, test_block(page, 2));
  assert_int_equal(count_of(page), 0);
  assert_int_equal(page_capacity(page), carved);
  assert_ptr_equal(page_pop(page), test_block(page, 2));
  assert_int_equal(page->used, carved);

  assert_true(page_refill(page));
  assert_ptr_equal(page->free, test_block(page, carved));
  assert_true(page_capacity(page) > carved);
  drop_test_page(page);
}

/* The temporal cadence: however the owner frees, allocation runs dry after at most capacity pops. */
static void frees_never_feed_the_allocation_list(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  take_all(page);
  for (size_t i = 0; i < page->reserved; i++) page_push_local(page, test_block(page, i));
  assert_null(page->free);
  assert_true(page_refill(page));
  size_t pops = 0;
  while (page->free != NULL) {
    page_push_local(page, page_pop(page));
    pops++;
  }
  assert_int_equal(pops, page_capacity(page));
  drop_test_page(page);
}

static void a_full_page_is_told(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  take_all(page);
  assert_false(page_refill(page));
  page_push_local(page, test_block(page, 7));
  assert_true(page_refill(page));
  drop_test_page(page);
}

static void merging_keeps_every_block(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  assert_true(page_refill(page));
  const size_t all = page_capacity(page);
  block_t* const a = page_pop(page);
  block_t* const b = page_pop(page);
  page_push_local(page, a);
  page_push_local(page, b);
  page_merge_lists(page);
  assert_null(page->local_free);
  assert_int_equal(test_list_length(page, page->free), all);
  assert_true(page_is_valid(page));
  page_merge_lists(page);
  assert_int_equal(test_list_length(page, page->free), all);
  drop_test_page(page);
}

static void zero_is_known_until_blocks_come_back(void** unused) {
  UNUSED(unused);
  page_t* const page = test_page(bin_of(SIZE));
  page->flags = PAGE_ZERO;
  assert_true(page_refill(page));
  assert_int_equal(page->flags & PAGE_FRESH_ZERO, PAGE_FRESH_ZERO);
  block_t* const block = page_pop(page);
  while (page->free != NULL) page_pop(page);
  page_push_local(page, block);
  assert_true(page_refill(page));
  assert_int_equal(page->flags & PAGE_FRESH_ZERO, 0);
  page_pop(page);
  assert_true(page_refill(page)); /* carved: zero again */
  assert_int_equal(page->flags & PAGE_FRESH_ZERO, PAGE_FRESH_ZERO);
  drop_test_page(page);
}

/* ---- marks ---- */

static void a_mark_is_confirmed_by_the_lists(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  assert_true(page_refill(page));
  block_t* const freed = page_pop(page);
  block_t* const live = page_pop(page);
  if (FREE_CHECKS) assert_int_equal(freed->mark, 0);
  page_push_local(page, freed);
  if (FREE_CHECKS) assert_int_equal(freed->mark, (uintptr_t)page);
  assert_true(lists_block(page, freed));
  live->mark = (uintptr_t)page; /* the program wrote what looks like a mark */
  assert_false(lists_block(page, live));
  assert_false(page_list_holds(page, remote_list(page), live));
  page_merge_lists(page);
  assert_true(lists_block(page, freed)); /* now in `free` */
  assert_int_equal(live->mark, (uintptr_t)page);
  drop_test_page(page);
}

static void taking_a_block_clears_its_mark(void** unused) {
  UNUSED(unused);
  page_t* const page = new_page();
  take_all(page);
  for (size_t i = 0; i < page->reserved; i++) page_push_local(page, test_block(page, i));
  assert_true(page_refill(page));
  while (page->free != NULL) {
    const block_t* const block = page_pop(page);
    if (FREE_CHECKS) assert_int_equal(block->mark, 0);
  }
  drop_test_page(page);
}

/* ---- page_is_valid ---- */

typedef void corrupt_t(page_t* page);
static void break_link_inside(page_t* page) {
  page->free->next = (block_t*)(void*)((char*)test_block(page, 3) + 8);
}
static void break_link_outside(page_t* page) { page->free->next = (block_t*)(void*)&page->free; }
static void break_link_uncarved(page_t* page) { page->free->next = test_block(page, page_capacity(page)); }
static void close_a_circle(page_t* page) { block_next(page, page->free)->next = page->free; }
static void cut_a_list(page_t* page) { page->free->next = NULL; }
static void share_a_tail(page_t* page) { page->local_free->next = page->free; }
static void count_one_more(page_t* page) { page->used++; }
static void count_one_less(page_t* page) { page->used--; }
static void carve_too_much(page_t* page) {
  page->used += page->reserved;
  page_set_capacity(page, page_capacity(page) + page->reserved);
}
static void reserve_too_much(page_t* page) { page->reserved = (uint16_t)(page->reserved + 1); }

static void corruption_is_noticed(void** unused) {
  UNUSED(unused);
  atomic_u64_t* const generation = os_fork_word();
  if (generation != NULL) store_relaxed(generation, UINT64_C(1)); /* this is no forked child */
  corrupt_t* const corruptions[] = {
      break_link_inside, break_link_outside, break_link_uncarved, close_a_circle, cut_a_list,
      share_a_tail,      count_one_more,     count_one_less,      carve_too_much, reserve_too_much};
  for (size_t i = 0; i < sizeof(corruptions) / sizeof(corruptions[0]); i++) {
    page_t* const page = new_page();
    assert_true(page_refill(page));
    page_pop(page);
    page_push_local(page, page_pop(page));
    assert_true(page_is_valid(page));
    corruptions[i](page);
    if (page_is_valid(page)) print_error("corruption %zu was not noticed\n", i);
    assert_false(page_is_valid(page));
    drop_test_page(page);
  }
}

/* ---- page_rebuild ----
   The owner's work as single stores.  For every prefix of a long sequence of operations the page is rebuilt
   from a copy, as a fork's child would find it: no block that the program holds may be on a list afterwards.
 */

typedef struct torn_s {
  page_t* page;
  size_t steps;           /* stores so far */
  size_t stop;            /* the fork comes before this one */
  bool held[SLICE_SIZE / SIZE]; /* by the program, surely: its allocation had returned, its free not begun */
} torn_t;

static bool goes_on(torn_t* t) { return t->steps++ < t->stop; }
#define STEP(store)              \
  do {                           \
    if (!goes_on(t)) return false; \
    store;                       \
  } while (0)

static size_t index_of(const page_t* page, const block_t* block) {
  return (size_t)((const char*)block - page_start(page)) / page->stride;
}

static bool torn_pop(torn_t* t) {
  page_t* const page = t->page;
  block_t* const block = page->free;
  STEP(page->used++);
  STEP(page->free = block->next);
  STEP(block->mark = 0);
  t->held[index_of(page, block)] = true;
  STEP(memset(block, 0x5A, SIZE)); /* the program's data is no link */
  return true;
}

static bool torn_push(torn_t* t, size_t index) {
  page_t* const page = t->page;
  block_t* const block = test_block(page, index);
  t->held[index] = false;
  STEP(block->mark = (uintptr_t)page);
  STEP(block->next = page->local_free);
  STEP(page->local_free = block);
  STEP(page->used--);
  return true;
}

static bool torn_refill(torn_t* t) {
  page_t* const page = t->page;
  if (page->local_free != NULL) {
    STEP(page->free = page->local_free);
    STEP(page->local_free = NULL);
    return true;
  }
  const size_t first = page_capacity(page);
  const size_t count = min_size(8, (size_t)page->reserved - first);
  for (size_t i = 0; i < count; i++) {
    STEP(test_block(page, first + i)->next = i + 1 < count ? test_block(page, first + i + 1) : NULL);
  }
  STEP(page->free = test_block(page, first));
  STEP(page_set_capacity(page, first + count));
  return true;
}

static bool torn_remote(torn_t* t, size_t index) {
  t->held[index] = false;
  STEP(remote_free(t->page, test_block(t->page, index)));
  return true;
}

/* Runs until the stop; true: the sequence is over. */
static bool torn_sequence(torn_t* t) {
  uint64_t random = 17;
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < 9; i++) {
      if (t->page->free == NULL && !torn_refill(t)) return false;
      if (!torn_pop(t)) return false;
    }
    for (size_t i = 0; i < page_capacity(t->page); i++) {
      if (!t->held[i] || next_random(&random) % 3 != 0) continue;
      if (!(next_random(&random) % 4 == 0 ? torn_remote(t, i) : torn_push(t, i))) return false;
    }
  }
  return true;
}

static void check_rebuilt(const torn_t* t) {
  const page_t* const page = t->page;
  assert_true(page_is_valid(page));
  assert_null(page->local_free);
  assert_int_equal(count_of(t->page), 0);
  for (size_t i = 0; i < page->reserved; i++) {
    if (!t->held[i]) continue;
    assert_true(i < page_capacity(page));
    assert_false(lists_block(page, test_block(page, i)));
  }
  for (const block_t* block = page->free; block != NULL; block = block_next(page, block)) {
    if (FREE_CHECKS) assert_int_equal(block->mark, (uintptr_t)page);
  }
}

static void torn_lists_are_rebuilt_at_every_store(void** unused) {
  UNUSED(unused);
  bool complete = false;
  size_t stop = 0;
  for (; !complete; stop++) {
    torn_t t = {new_page(), 0, stop, {false}};
    memset(page_start(t.page), 0x33, SLICE_SIZE); /* old contents, no links */
    complete = torn_sequence(&t);
    page_rebuild(t.page);
    check_rebuilt(&t);
    /* And it works on: every block can be taken once. */
    take_all(t.page);
    drop_test_page(t.page);
  }
  assert_true(stop > 200);
}

/* fork copies a page table at a time: the struct may be older or newer than the blocks. */
static void torn_copies_are_rebuilt(void** unused) {
  UNUSED(unused);
  char* const blocks = malloc(SLICE_SIZE);
  assert_non_null(blocks);
  for (size_t stop = 0; stop < 300; stop += 3) {
    for (size_t later = 0; later < 40; later += 7) {
      torn_t t = {new_page(), 0, stop, {false}};
      memset(page_start(t.page), 0x33, SLICE_SIZE);
      torn_sequence(&t);
      page_t copy;
      memcpy(&copy, t.page, sizeof(copy));
      memcpy(blocks, page_start(t.page), SLICE_SIZE);
      drop_test_page(t.page);
      t = (torn_t){new_page(), 0, stop + later, {false}};
      memset(page_start(t.page), 0x33, SLICE_SIZE);
      torn_sequence(&t);
      memcpy(page_start(t.page), blocks, SLICE_SIZE); /* newer struct, older blocks */
      page_rebuild(t.page);
      assert_true(page_is_valid(t.page));
      take_all(t.page);
      drop_test_page(t.page);
    }
  }
  free(blocks);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_are_carved_lazily_and_in_order),
      cmocka_unit_test(carving_writes_only_what_it_carves),
      cmocka_unit_test(refill_prefers_local_then_remote_then_fresh),
      cmocka_unit_test(frees_never_feed_the_allocation_list),
      cmocka_unit_test(a_full_page_is_told),
      cmocka_unit_test(merging_keeps_every_block),
      cmocka_unit_test(zero_is_known_until_blocks_come_back),
      cmocka_unit_test(a_mark_is_confirmed_by_the_lists),
      cmocka_unit_test(taking_a_block_clears_its_mark),
      cmocka_unit_test(corruption_is_noticed),
      cmocka_unit_test(torn_lists_are_rebuilt_at_every_store),
      cmocka_unit_test(torn_copies_are_rebuilt),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
