/* SPDX-License-Identifier: MIT */
/* The full list: what allocation and free cost does not depend on how many full pages there are (counted, not
   timed); the delayed list wakes the owner once per page; retired pages leave after their cadences. */
#include "unit/page_support.h"

#include <pthread.h>

#include "heap/heap.h"
#include "mimalloc.h"
#include "os/os.h"
#include "thread/thread.h"

enum { SIZE = 8192, PER_PAGE = 8, FEW = 20, MANY = 20000, WORKING = 100, OPERATIONS = 20000 };

static void* working[WORKING];
static void* first_full[FEW * PER_PAGE];

static heap_part_t* own_part(void) { return thread_self->part; }

/* Full pages whose memory is given back at once: the blocks hold nothing. */
static void fill_pages(size_t pages) {
  for (size_t n = 0; n < pages; n++) {
    void* block = NULL;
    for (size_t i = 0; i < PER_PAGE; i++) {
      block = mi_malloc(SIZE);
      must(block != NULL);
      if (n < FEW) first_full[n * PER_PAGE + i] = block;
    }
    page_t* const page = page_of(block);
    must(page->used == PER_PAGE && page_slice_count(page) == 1);
    if (n >= FEW) must(os_purge(page_start(page), SLICE_SIZE) == 0);
  }
}

/* Random replacement, and now and then a block of a full page. */
static void churn(void) {
  uint64_t random = 4711;
  for (int i = 0; i < OPERATIONS; i++) {
    void** slot = &working[next_random(&random) % WORKING];
    if (next_random(&random) % 16 == 0) slot = &first_full[next_random(&random) % (FEW * PER_PAGE)];
    mi_free(*slot);
    *slot = mi_malloc(SIZE);
    must(*slot != NULL);
  }
}

/* In a child, which tells by a pipe what it counted. */
static size_t looked_at(void) {
  atomic_u64_t* const counts = own_part()->counts;
  return figure_read(&counts[PART_LOOKED_AT_FULL]) + figure_read(&counts[PART_LOOKED_AT_FOUND]) +
         figure_read(&counts[PART_LOOKED_AT_CARVED]);
}

static size_t pages_looked_at(size_t full_pages) {
  int fds[2];
  size_t looked = 0;
  assert_int_equal(pipe(fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    mi_option_set(mi_option_page_full_retain, -1); /* none is given up */
    fill_pages(full_pages);
    for (int i = 0; i < WORKING; i++) working[i] = mi_malloc(SIZE);
    must(own_part()->full.count >= full_pages - 1);
    const size_t before = looked_at();
    churn();
    looked = looked_at() - before;
    must(own_part()->full.count + FEW + 1 >= full_pages);
    must(write(fds[1], &looked, sizeof(looked)) == (ssize_t)sizeof(looked));
    _exit(0);
  }
  int status = -1;
  close(fds[1]);
  assert_int_equal(read(fds[0], &looked, sizeof(looked)), sizeof(looked));
  close(fds[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  return looked;
}

static void many_full_pages_cost_what_few_cost(void** unused) {
  UNUSED(unused);
  const size_t few = pages_looked_at(FEW);
  const size_t many = pages_looked_at(MANY);
  assert_true(few > 0);
  assert_true(few < 2 * OPERATIONS);
  assert_int_equal(few, many);
}

/* ---- one signal per full page ---- */

static void* remote_blocks[PER_PAGE];

static void* free_all_remotely(void* unused) {
  for (int i = 0; i < PER_PAGE; i++) mi_free(remote_blocks[i]);
  return unused;
}

static void run_thread(void* (*run)(void*)) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, run, NULL) == 0);
  must(pthread_join(thread, NULL) == 0);
}

static void delayed_body(void) {
  for (int i = 0; i < PER_PAGE; i++) remote_blocks[i] = mi_malloc(SIZE);
  void* const next = mi_malloc(SIZE); /* makes the page leave the queue */
  page_t* const page = page_of(remote_blocks[0]);
  must(state_of(page) == REMOTE_DELAYED);
  must((load_relaxed(&page->owner_tag) & CARE_FULL) != 0);
  run_thread(free_all_remotely);
  /* The first free was delivered to the part, all others were pushed to the page. */
  must(state_of(page) == REMOTE_NORMAL);
  must(count_of(page) == PER_PAGE - 1);
  must(load_relaxed(&own_part()->delayed) == (uintptr_t)remote_blocks[0]);
  must(part_delays_block(own_part(), remote_blocks[0]));
  must(!part_delays_block(own_part(), remote_blocks[1]));
  must(page->used == PER_PAGE);
  part_drain(own_part());
  must(load_relaxed(&own_part()->delayed) == 0);
  must((load_relaxed(&page->owner_tag) & CARE_FULL) == 0);
  must(page->used == PER_PAGE - 1);
  part_collect(own_part(), COLLECT_PAGES);
  must(part_is_valid(own_part()));
  must(page_of(remote_blocks[0]) == NULL); /* released */
  mi_free(next);
}

static void a_full_page_signals_once(void** unused) {
  UNUSED(unused);
  in_child(delayed_body);
}

/* ---- full pages in a process with threads ---- */

static atomic_u32_t may_end;

static void* stay(void* unused) {
  mi_free(mi_malloc(1));
  store_relaxed(&may_end, 1);
  while (load_relaxed(&may_end) == 1) usleep(1000);
  return unused;
}

enum { RETAIN = 8, PAGES = 3 * RETAIN };

/* With a second thread: fill pages; how many the part has given up then. */
static int pages_given_up(long retain) {
  static void* blocks[PAGES * PER_PAGE];
  pthread_t thread;
  mi_option_set(mi_option_page_full_retain, retain);
  must(pthread_create(&thread, NULL, stay, NULL) == 0);
  while (load_relaxed(&may_end) == 0) usleep(1000);
  for (int i = 0; i < PAGES * PER_PAGE; i++) blocks[i] = mi_malloc(SIZE);
  must(own_part()->full.count <= (retain < 0 ? PAGES : (size_t)retain));
  int abandoned = 0;
  for (int i = 0; i < PAGES; i++) abandoned += state_of(page_of(blocks[i * PER_PAGE])) == REMOTE_ABANDONED;
  for (int i = 0; i < PAGES * PER_PAGE; i++) mi_free(blocks[i]);
  mi_collect(true);
  must(part_is_valid(own_part()));
  for (int i = 0; i < PAGES * PER_PAGE; i += PER_PAGE) must(page_of(blocks[i]) == NULL);
  store_relaxed(&may_end, 2);
  must(pthread_join(thread, NULL) == 0);
  return abandoned;
}

static void give_up_body(void) {
  must(pages_given_up(RETAIN) >= PAGES - RETAIN - 1);
}

static void keep_all_body(void) {
  must(pages_given_up(-1) == 0);
}

static void full_pages_are_given_up_beside_threads(void** unused) {
  UNUSED(unused);
  in_child(give_up_body);
  in_child(keep_all_body);
}

/* ---- retired pages ---- */

static void tick(void) { mi_free(mi_malloc(100 * KiB)); }

/* `count` blocks of 640 bytes are freed, and their page stays for so many cadences. */
static void must_stay(int count, int cadences) {
  const unsigned bin = bin_of(640);
  void* blocks[64];
  tick();
  for (int i = 0; i < count; i++) blocks[i] = mi_malloc(640);
  page_t* const page = page_of(blocks[0]);
  must(own_part()->queues[bin].first == page && own_part()->queues[bin].count == 1);
  for (int i = 0; i < count; i++) mi_free(blocks[i]);
  must(page_of(blocks[0]) == page && page->used == 0);
  for (int i = 1; i < cadences; i++) {
    tick();
    must(own_part()->queues[bin].first == page);
  }
  tick();
  must(own_part()->queues[bin].first == NULL);
  must(page_of(blocks[0]) == NULL);
}

static void retire_body(void) {
  must_stay(1, RETIRE_CADENCES_LIGHT);
  must_stay(64, RETIRE_CADENCES);
}

static void retired_pages_leave_after_their_cadences(void** unused) {
  UNUSED(unused);
  in_child(retire_body);
}

static void revive_body(void) {
  void* p = mi_malloc(640);
  page_t* const page = page_of(p);
  mi_free(p);
  for (int i = 0; i < RETIRE_CADENCES_LIGHT / 2; i++) tick();
  p = mi_malloc(640); /* in use again */
  must(page_of(p) == page);
  for (int i = 0; i < 2 * RETIRE_CADENCES_LIGHT; i++) tick();
  must(page_of(p) == page && page->used == 1);
  mi_free(p);
  must(part_is_valid(own_part()));
}

static void a_retired_page_can_be_used_again(void** unused) {
  UNUSED(unused);
  in_child(revive_body);
}

/* More than may be kept: what is left counts up to the bound, for all classes together. */
static void bound_body(void) {
  enum { BLOCKS = 2 * RETIRE_BYTES_MAX / (8 * KiB) };
  void* blocks[BLOCKS];
  void* small = mi_malloc(640);
  page_t* const first = page_of(small);
  for (int i = 0; i < BLOCKS; i++) blocks[i] = mi_malloc(8 * KiB);
  mi_free(small);
  must(page_of(small) == first);
  const memory_stats_t before = memory_stats();
  for (int i = 0; i < BLOCKS; i++) mi_free(blocks[i]);
  must(part_is_valid(own_part()));
  must(page_of(small) == first); /* a light one */
  must(page_of(blocks[0]) == NULL); /* the oldest went first, ... */
  must(page_of(blocks[BLOCKS - 1]) != NULL);
  /* ... and no more than had to */
  must(before.claimed - memory_stats().claimed == RETIRE_BYTES_MAX);
  must(own_part()->retired[1].bytes == RETIRE_BYTES_MAX);
}

/* The same of light ones: a block of each class. */
static void light_bound_body(void) {
  void* blocks[BIN_COUNT];
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) blocks[bin] = mi_malloc(bin_size(bin));
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) mi_free(blocks[bin]);
  must(part_is_valid(own_part()));
  must(own_part()->retired[1].count == 0);
  const retired_t* const light = &own_part()->retired[0];
  must(light->count <= RETIRED_MAX && light->bytes <= RETIRE_BYTES_MAX);
  must(light->count == RETIRED_MAX || light->bytes > RETIRE_BYTES_MAX - 32 * KiB);
  must(page_of(blocks[0]) == NULL && page_of(blocks[BIN_COUNT - 1]) != NULL);
}

static void retired_pages_are_bounded_by_bytes(void** unused) {
  UNUSED(unused);
  in_child(bound_body);
  in_child(light_bound_body);
}

/* Its time runs from its last use, though no slow path sees that. */
static void cycle_body(void) {
  void* p = mi_malloc(640);
  page_t* const page = page_of(p);
  mi_free(p);
  for (int i = 1; i < RETIRE_CADENCES_LIGHT; i++) tick();
  p = mi_malloc(640);
  mi_free(p);
  for (int i = 0; i < RETIRE_CADENCES_LIGHT; i++) tick();
  must(page_of(p) == page);
  tick();
  must(page_of(p) == NULL);
}

/* The same of a page of one block, which is used by quick refills. */
static void cycle_of_one_body(void) {
  void* p = mi_malloc(8 * KiB);
  page_t* const page = page_of(p);
  mi_free(p);
  for (int i = 1; i < RETIRE_CADENCES_LIGHT; i++) tick();
  p = mi_malloc(8 * KiB);
  mi_free(p);
  must(page_of(p) == page && (page->flags & PAGE_RETIRED) != 0 && page_capacity(page) == 1);
  for (int i = 0; i < RETIRE_CADENCES_LIGHT; i++) tick();
  must(page_of(p) == page && part_is_valid(own_part()));
}

static void a_page_that_is_emptied_again_stays(void** unused) {
  UNUSED(unused);
  in_child(cycle_body);
  in_child(cycle_of_one_body);
}

static void collect_body(void) {
  void* blocks[BIN_COUNT];
  const memory_stats_t before = memory_stats();
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) blocks[bin] = mi_malloc(bin_size(bin));
  must(part_is_valid(own_part()));
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) mi_free(blocks[bin]);
  mi_collect(true);
  must(part_is_valid(own_part()));
  must(memory_stats().claimed <= before.claimed);
  must(memory_stats().dirty == 0);
}

static void collect_releases_every_empty_page(void** unused) {
  UNUSED(unused);
  in_child(collect_body);
}

/* While the thread is busy (or held) a slow path allocates with a nested record, from pages of its own. */
static void nested_body(void) {
  mi_free(mi_malloc(SIZE));
  must(thread_try_busy(thread_self));
  void* const block = mi_malloc(3000);
  thread_not_busy(thread_self);
  page_t* const page = page_of(block);
  must(thread_self->nested != NULL && load_relaxed(&page->owner_tag) == thread_self->nested->tag);
  mi_free(block);
  must(page_of(block) == page && page->used == 1);
  mi_collect(true);
  must(page_of(block) == NULL);
}

static void collect_reaches_nested_records(void** unused) {
  UNUSED(unused);
  in_child(nested_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_full_pages_cost_what_few_cost),
      cmocka_unit_test(a_full_page_signals_once),
      cmocka_unit_test(full_pages_are_given_up_beside_threads),
      cmocka_unit_test(retired_pages_leave_after_their_cadences),
      cmocka_unit_test(a_retired_page_can_be_used_again),
      cmocka_unit_test(retired_pages_are_bounded_by_bytes),
      cmocka_unit_test(a_page_that_is_emptied_again_stays),
      cmocka_unit_test(collect_releases_every_empty_page),
      cmocka_unit_test(collect_reaches_nested_records),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
