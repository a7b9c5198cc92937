/* SPDX-License-Identifier: MIT */
/* The scavenger's visit to a thread that sleeps: what it takes, what it leaves, and that the thread goes on
   as if nobody had been there.  Each case is a child; its main thread owns the pages and sleeps in
   pthread_join, while another thread, which never attaches, frees and makes the visit. */
#include "unit/page_support.h"

#include <pthread.h>

#include "heap/heap.h"
#include "mimalloc.h"
#include "thread/thread.h"

enum { BIG = 8192, PER_PAGE = 8, PAGES = 3, BLOCKS = PAGES * PER_PAGE, SMALL = 1024, SMALL_PER_PAGE = 64 };
enum { ALWAYS = -1 }; /* as a purge delay: every thread has slept long enough */

static unsigned char* blocks[2 * SMALL_PER_PAGE + BLOCKS];
static size_t block_size;
static size_t free_from, free_end; /* what others free */

static heap_part_t* own_part(void) { return thread_self->part; }
static page_t* page_of_block(size_t i) { return page_of(blocks[i]); }
static bool is_given_up(page_t* page) { return state_of(page) == REMOTE_ABANDONED; }

static void allocate(size_t from, size_t end) {
  for (size_t i = from; i < end; i++) {
    blocks[i] = mi_malloc(block_size);
    must(blocks[i] != NULL);
    memset(blocks[i], (int)i, block_size);
  }
}

static void free_range(size_t from, size_t end) {
  for (size_t i = from; i < end; i++) {
    must(blocks[i][8] == (unsigned char)i && blocks[i][block_size - 1] == (unsigned char)i);
    mi_free(blocks[i]);
  }
}

static void start(size_t size, size_t count, long delay) {
  mi_option_set(mi_option_purge_delay, delay);
  block_size = size;
  allocate(0, count);
}

/* ---- what other threads do ---- */

static void run_thread(void* (*run)(void*)) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, run, NULL) == 0);
  must(pthread_join(thread, NULL) == 0);
}

static void* free_remotely(void* unused) {
  free_range(free_from, free_end);
  must(thread_self == NULL);
  return unused;
}

static void* visit_once(void* elapsed) {
  thread_tidy_idle(elapsed == NULL ? 1 : *(const long*)elapsed);
  must(thread_self == NULL);
  return NULL;
}

static void others_free(size_t from, size_t end) {
  free_from = from;
  free_end = end;
  run_thread(free_remotely);
}

static void visit(void) { run_thread(visit_once); }

static void visit_after(long elapsed) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, visit_once, &elapsed) == 0);
  must(pthread_join(thread, NULL) == 0);
}

/* ---- the owner goes on ---- */

/* Frees what is left, allocates and frees as much again, and has nothing in the end. */
static void owner_goes_on(size_t from, size_t end) {
  must(load_relaxed(&thread_self->held) == HELD_FREE && !thread_self->busy && thread_self->nested == NULL);
  must(part_is_valid(own_part()));
  free_range(from, end);
  allocate(0, BLOCKS);
  must(part_is_valid(own_part()));
  free_range(0, BLOCKS);
  mi_collect(true);
  must(part_is_valid(own_part()));
  must(memory_stats().claimed == 0 && memory_stats().dirty == 0);
}

/* ---- what is taken ---- */

static void full_body(void) {
  start(BIG, BLOCKS + 1, ALWAYS);
  must(own_part()->full.count == PAGES);
  visit();
  must(own_part()->full.count == 0);
  for (size_t i = 0; i < BLOCKS; i++) must(is_given_up(page_of_block(i)));
  must(count_of(page_of_block(0)) == PER_PAGE); /* live blocks */
  must(load_relaxed(&page_of_block(BLOCKS)->owner_tag) == thread_tag);
  owner_goes_on(0, BLOCKS + 1);
}

static void full_pages_are_given_up(void** unused) {
  UNUSED(unused);
  in_child(full_body);
}

/* Given up, a full page needs nobody: its last free releases it.  What was delivered is freed. */
static void emptied_full_body(void) {
  start(BIG, BLOCKS + 1, ALWAYS);
  others_free(0, PER_PAGE);
  must(load_relaxed(&own_part()->delayed) == (uintptr_t)blocks[0]);
  visit();
  must(load_relaxed(&own_part()->delayed) == 0);
  must(page_of_block(0) == NULL); /* it had no other block: released by the visit */
  others_free(PER_PAGE, 2 * PER_PAGE);
  must(page_of_block(PER_PAGE) == NULL && load_relaxed(&own_part()->delayed) == 0);
  owner_goes_on(2 * PER_PAGE, BLOCKS + 1);
}

static void full_pages_leave_with_their_last_block(void** unused) {
  UNUSED(unused);
  in_child(emptied_full_body);
}

static void waiting_body(void) {
  start(BIG, 3, ALWAYS);
  page_t* const page = page_of_block(0);
  const unsigned bin = page->bin;
  must(own_part()->current[bin] == page);
  others_free(0, 3);
  must(page->used == 3 && count_of(page) == 3);
  const memory_stats_t before = memory_stats();
  visit();
  must(page_of_block(0) == NULL && own_part()->queues[bin].count == 0 && own_part()->current[bin] == NULL);
  const memory_stats_t after = memory_stats();
  must(after.purged - before.purged == SLICE_SIZE); /* not only free, but with the system */
  must(after.claimed == before.claimed - SLICE_SIZE && after.dirty == before.dirty);
  owner_goes_on(0, 0);
}

static void emptied_pages_of_big_blocks_go_to_the_system(void** unused) {
  UNUSED(unused);
  in_child(waiting_body);
}

/* Two pages of a class that the fast path serves are in the queue, both emptied by others. */
static void direct_body(void) {
  start(SMALL, 2 * SMALL_PER_PAGE, ALWAYS);
  page_t* const first = page_of_block(0);
  page_t* const second = page_of_block(2 * SMALL_PER_PAGE - 1);
  must(second != first && page_of_block(SMALL_PER_PAGE) == second);
  mi_free(blocks[0]); /* the first page comes back, behind the second */
  const unsigned bin = first->bin;
  must(own_part()->queues[bin].count == 2 && own_part()->queues[bin].first == second);
  must(own_part()->direct[SMALL / 8] == second);
  others_free(1, 2 * SMALL_PER_PAGE);
  visit();
  must(own_part()->queues[bin].count == 1 && own_part()->queues[bin].first == second);
  must(page_of_block(0) == NULL && page_of_block(SMALL_PER_PAGE) == second);
  must(own_part()->direct[SMALL / 8] == second && count_of(second) == SMALL_PER_PAGE);
  owner_goes_on(0, 0);
}

static void the_page_of_the_fast_path_stays(void** unused) {
  UNUSED(unused);
  in_child(direct_body);
}

/* An owned page that an entry in the abandoned stack still refers to. */
static void linked_body(void) {
  start(BIG, PER_PAGE + 1, ALWAYS);
  page_t* const page = page_of_block(0);
  visit();
  must(is_given_up(page) && load_relaxed(&page->linked) == 0);
  others_free(0, 1);
  must(load_relaxed(&page->linked) == 1);
  mi_free(blocks[1]); /* takes it back */
  must(load_relaxed(&page->owner_tag) == thread_tag && load_relaxed(&page->linked) == 1);
  others_free(2, PER_PAGE);
  visit();
  must(own_part()->queues[page->bin].count == 1);
  must(load_relaxed(&page->owner_tag) != thread_tag);
  owner_goes_on(PER_PAGE, PER_PAGE + 1);
}

static void a_linked_page_leaves_by_its_stack(void** unused) {
  UNUSED(unused);
  in_child(linked_body);
}

/* ---- what stays ---- */

static void live_body(void) {
  start(BIG, PER_PAGE - 1, ALWAYS);
  page_t* const page = page_of_block(0);
  others_free(1, PER_PAGE - 1);
  visit();
  must(page_of_block(0) == page && load_relaxed(&page->owner_tag) == thread_tag);
  must(own_part()->current[page->bin] == page && page->used == PER_PAGE - 1);
  must(count_of(page) == PER_PAGE - 2 && page->mark == 0);
  owner_goes_on(0, 1);
}

static void a_page_with_a_live_block_stays(void** unused) {
  UNUSED(unused);
  in_child(live_body);
}

static void heap_body(void) {
  mi_option_set(mi_option_purge_delay, ALWAYS);
  mi_heap_t* const heap = mi_heap_new();
  void* const p = mi_heap_malloc(heap, BIG);
  page_t* const page = page_of(p);
  blocks[0] = p;
  block_size = BIG;
  memset(p, 0, BIG);
  others_free(0, 1);
  visit();
  must(page_of(p) == page && load_relaxed(&page->owner_tag) == thread_tag);
  mi_heap_destroy(heap);
  owner_goes_on(0, 0);
}

static void pages_of_other_heaps_stay(void** unused) {
  UNUSED(unused);
  in_child(heap_body);
}

static void busy_body(void) {
  start(BIG, BLOCKS + 1, ALWAYS);
  others_free(0, PER_PAGE);
  thread_t* const self = thread_enter();
  visit();
  must(load_relaxed(&self->held) == HELD_FREE);
  must(own_part()->full.count == PAGES && load_relaxed(&own_part()->delayed) == (uintptr_t)blocks[0]);
  must(page_of_block(0)->used == PER_PAGE && part_is_valid(own_part()));
  thread_leave(self);
  visit();
  must(own_part()->full.count == 0);
  owner_goes_on(PER_PAGE, BLOCKS + 1);
}

static void a_busy_owner_is_left_alone(void** unused) {
  UNUSED(unused);
  in_child(busy_body);
}

static void second_body(void) {
  start(BIG, BLOCKS + 1, ALWAYS);
  others_free(0, PER_PAGE + 1);
  visit();
  const heap_part_t part = *own_part();
  const page_t last = *page_of_block(BLOCKS);
  const memory_stats_t stats = memory_stats();
  visit();
  must(memcmp(&part, own_part(), sizeof(part)) == 0);
  must(memcmp(&last, page_of_block(BLOCKS), sizeof(last)) == 0);
  const memory_stats_t again = memory_stats();
  must(memcmp(&stats, &again, sizeof(stats)) == 0);
  owner_goes_on(PER_PAGE + 1, BLOCKS + 1);
}

static void a_second_visit_does_nothing(void** unused) {
  UNUSED(unused);
  in_child(second_body);
}

/* ---- when ---- */

static void delay_body(void) {
  start(BIG, BLOCKS + 1, 100);
  visit_after(60); /* the first look only notes the heartbeat */
  visit_after(60);
  must(own_part()->full.count == PAGES);
  mi_free(mi_malloc(100 * KiB)); /* alive: it begins anew */
  visit_after(60);
  visit_after(60);
  must(own_part()->full.count == PAGES);
  visit_after(60);
  must(own_part()->full.count == 0);
  owner_goes_on(0, BLOCKS + 1);
}

static void a_thread_sleeps_for_a_purge_delay_first(void** unused) {
  UNUSED(unused);
  in_child(delay_body);
}

/* A child of the visitor's process: records that have not acted in it are not touched, whoever visits. */
static void stranger_body(void) {
  const uint64_t parent = load_relaxed(&thread_self->generation);
  must(thread_generation() == parent + 1);
  store_relaxed(&thread_self->held, HELD); /* as if the parent's scavenger had been about to visit */
  thread_t* const before = thread_self;
  visit();
  must(load_relaxed(&before->held) == HELD && own_part()->full.count == PAGES);
  mi_free(mi_malloc(100 * KiB)); /* the old record may be torn: a new one adopts its pages */
  must(thread_self != before && load_relaxed(&thread_self->generation) == parent + 1);
  for (size_t i = 0; i <= BLOCKS; i++) must(is_given_up(page_of_block(i)));
  owner_goes_on(0, BLOCKS + 1);
}

static void generations_body(void) {
  start(BIG, BLOCKS + 1, ALWAYS);
  purge_set_mode(PURGE_BACKGROUND); /* as it is beside a scavenger */
  in_child(stranger_body);
  purge_set_mode(PURGE_INLINE);
  owner_goes_on(0, BLOCKS + 1);
}

static void a_child_does_not_visit_what_its_parent_may_hold(void** unused) {
  UNUSED(unused);
  in_child(generations_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(full_pages_are_given_up),
      cmocka_unit_test(full_pages_leave_with_their_last_block),
      cmocka_unit_test(emptied_pages_of_big_blocks_go_to_the_system),
      cmocka_unit_test(the_page_of_the_fast_path_stays),
      cmocka_unit_test(a_linked_page_leaves_by_its_stack),
      cmocka_unit_test(a_page_with_a_live_block_stays),
      cmocka_unit_test(pages_of_other_heaps_stay),
      cmocka_unit_test(a_busy_owner_is_left_alone),
      cmocka_unit_test(a_second_visit_does_nothing),
      cmocka_unit_test(a_thread_sleeps_for_a_purge_delay_first),
      cmocka_unit_test(a_child_does_not_visit_what_its_parent_may_hold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
