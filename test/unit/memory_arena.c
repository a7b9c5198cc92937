/* SPDX-License-Identifier: MIT */
/* Arenas on a double of the OS: which calls are made for huge pages and nodes, what partial failure leaves,
   what the options do.  Each case has a process of its own. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "double/os_double.h"
#include "memory/arena.h"
#include "memory/reserve.h"
#include "unit/memory_support.h"

enum { LARGE = LARGE_PAGE_SHIFT, HUGE = HUGE_PAGE_SHIFT };

static void must_call(size_t i, huge_call_t call) {
  const huge_call_t made = double_huge_call(i);
  must(i < double_huge_calls());
  must(made.addr == call.addr && made.size == call.size && made.shift == call.shift);
  must(made.node == call.node && made.error == call.error);
}

static size_t mapped_there(mi_arena_id_t arena) {
  size_t size = 0;
  must(mi_arena_area(arena, &size) != NULL);
  return size;
}

/* ---- 1 GiB pages ---- */

static void all_pages(void) {
  mi_arena_id_t arena = NULL;
  double_set_huge_pages(HUGE, 3);
  double_set_nodes(4);
  must(mi_reserve_huge_os_pages_at_ex(3, 6, 0, true, &arena) == 0);
  char* const start = mi_arena_area(arena, NULL);
  must((uintptr_t)start % GiB == 0 && mapped_there(arena) == 3 * GiB);
  must(double_huge_calls() == 6);
  for (size_t i = 0; i < 3; i++) {
    must_call(2 * i, (huge_call_t){start + i * GiB, GiB, HUGE, 0, 0});
    must_call(2 * i + 1, (huge_call_t){start + i * GiB, GiB, 0, 2, 0}); /* 6 modulo 4 */
  }
  /* Committed already, zero, never given back, never moved. */
  const uint64_t commits = double_calls(CALL_COMMIT);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  char* const p = mi_heap_zalloc(heap, 100 * MiB);
  must(p != NULL && mi_arena_contains(arena, p));
  memset(p, 1, 100 * MiB);
  mi_free(p);
  must(memory_stats().dirty == 0);
  mi_collect(true);
  mi_arenas_purge();
  must(double_calls(CALL_COMMIT) == commits);
  must(double_calls(CALL_PURGE) == 0 && memory_stats().purged == 0);
  must(memory_stats().dirty == 0);
  char* const again = mi_heap_zalloc(heap, 100 * MiB); /* not known to be zero any more */
  must(again == p && again[0] == 0 && again[100 * MiB - 1] == 0);
}

/* Two of four: the arena has two, the rest of the addresses is ordinary memory. */
static void some_pages(void) {
  mi_arena_id_t arena = NULL;
  double_set_huge_pages(HUGE, 1);
  double_set_huge_pages(LARGE, 600);
  double_set_nodes(2);
  must(mi_reserve_huge_os_pages_at_ex(4, -1, 0, true, &arena) == 0);
  char* const start = mi_arena_area(arena, NULL);
  must(mapped_there(arena) == 2 * GiB && double_huge_calls() == 5); /* no node: no call for it */
  must_call(0, (huge_call_t){start, GiB, HUGE, 0, 0});
  must_call(1, (huge_call_t){start + GiB, GiB, HUGE, 0, ENOMEM});
  must_call(2, (huge_call_t){start + GiB, GiB, LARGE, 0, 0});
  must_call(3, (huge_call_t){start + 2 * GiB, GiB, HUGE, 0, ENOMEM});
  must_call(4, (huge_call_t){start + 2 * GiB, GiB, LARGE, 0, ENOMEM});
  const uint64_t reserves = double_calls(CALL_RESERVE_AT);
  char* const rest = mi_malloc(GiB + GiB / 2);
  must(rest >= start + 2 * GiB && rest < start + 4 * GiB && double_calls(CALL_RESERVE_AT) == reserves);
  rest[0] = rest[GiB] = 1;
}

/* A node that cannot be had is a wish not granted: the pages are there all the same. */
static void no_node(void) {
  mi_arena_id_t arena = NULL;
  double_set_huge_pages(HUGE, 2);
  double_set_nodes(2);
  double_fail(CALL_PREFER_NODE, 1, 1, EPERM);
  must(mi_reserve_huge_os_pages_at_ex(2, 1, 0, true, &arena) == 0 && mapped_there(arena) == 2 * GiB);
  char* const start = mi_arena_area(arena, NULL);
  must(double_huge_calls() == 4);
  must_call(1, (huge_call_t){start, GiB, 0, 1, EPERM});
  must_call(3, (huge_call_t){start + GiB, GiB, 0, 1, 0});
}

/* The deprecated call: over all nodes, within a time for each. */
static void by_the_old_name(void) {
  size_t pages = 0;
  double_stop_clock();
  double_set_huge_pages(HUGE, 20);
  double_set_nodes(2);
  double_set_huge_time(100);
  must(mi_reserve_huge_os_pages(12, 0.5, &pages) == 0); /* 251 ms a node */
  must(pages == 6 && double_huge_calls() == 12);
  size_t on_node[2] = {0};
  for (size_t i = 1; i < 12; i += 2) on_node[double_huge_call(i).node]++;
  must(on_node[0] == 3 && on_node[1] == 3);
  must(mi_reserve_huge_os_pages(1, -1.0, NULL) == 0 && mi_reserve_huge_os_pages(0, 1.0, &pages) == 0);
  must(pages == 0);
}

/* The last of several parts cannot be committed: the claim fails as a whole and gives back what it had. */
static size_t parts_committed;
static bool commit_two_parts(bool commit, void* start, size_t size, bool* is_zero, void* arg) {
  must(arg == &parts_committed && start != NULL && size % SLICE_SIZE == 0 && !*is_zero);
  if (commit && parts_committed == 2) return false;
  parts_committed += commit ? 1 : 0;
  if (commit) must(mprotect(start, size, PROT_READ | PROT_WRITE) == 0);
  return commit; /* nothing is ever given up */
}

static void commits_in_part(void) {
  mi_arena_id_t arena = NULL;
  char* p = mmap(NULL, 36 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_memory(p, 36 * MiB, false, false, true, -1, true, commit_two_parts, &parts_committed,
                        &arena));
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  const memory_stats_t before = memory_stats();
  const uint64_t rollbacks = figure_read(&memory_counters.rollbacks);
  errno = 0;
  must(mi_heap_malloc(heap, 12 * MiB) == NULL && errno == ENOMEM); /* three segments or more */
  must(parts_committed == 2 && memory_stats().claimed == before.claimed);
  must(figure_read(&memory_counters.rollbacks) > rollbacks);
  char* const two = mi_heap_malloc(heap, 7 * MiB); /* what has been committed is not asked for again */
  must(two != NULL && parts_committed == 2);
  memset(two, 1, 7 * MiB);
  /* It cannot be given up, so it is not known to be zero. */
  mi_free(two);
  mi_collect(true);
  must(memory_stats().purged == before.purged);
  must(memory_stats().purge_calls > before.purge_calls);
  char* const again = mi_heap_zalloc(heap, 7 * MiB);
  must(again == two && again[0] == 0 && again[7 * MiB - 1] == 0);
}

/* A part that was committed and does not read as zero. */
static bool commit_garbage(bool commit, void* start, size_t size, bool* is_zero, void* arg) {
  must(arg == NULL);
  if (!commit) return true;
  memset(start, 0xEE, size);
  *is_zero = false;
  return true;
}

static void commits_what_is_not_zero(void) {
  mi_arena_id_t arena = NULL;
  char* const p = mmap(NULL, 36 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_memory(p, 36 * MiB, false, false, true, -1, true, commit_garbage, NULL, &arena));
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  for (int round = 0; round < 3; round++) {
    static const size_t sizes[] = {50, 5000, 100000, 6 * MiB};
    unsigned char* blocks[4];
    for (int i = 0; i < 4; i++) {
      blocks[i] = mi_heap_zalloc(heap, sizes[i]);
      for (size_t k = 0; k < sizes[i]; k++) must(blocks[i][k] == 0);
    }
    for (int i = 0; i < 4; i++) mi_free(blocks[i]);
    mi_collect(true);
  }
}

static void no_pages(void) {
  int local = 0;
  mi_arena_id_t arena = &local;
  must(mi_reserve_huge_os_pages_at_ex(2, 0, 0, true, &arena) == ENOMEM && arena == NULL);
  must(arena_newest() == NULL && double_huge_calls() == 2);
  double_fail(CALL_RESERVE_AT, 1, FAIL_FOR_EVER, ENOMEM);
  must(mi_reserve_huge_os_pages_at(2, 0, 0) == ENOMEM && double_huge_calls() == 2);
}

static void time_is_up(void) {
  mi_arena_id_t arena = NULL;
  double_stop_clock();
  double_set_huge_pages(HUGE, 8);
  double_set_huge_time(100);
  must(mi_reserve_huge_os_pages_at_ex(8, 0, 250, false, &arena) == 0);
  must(mapped_there(arena) == 3 * GiB);
}

static void interleaved(void) {
  size_t pages = 9;
  double_set_huge_pages(HUGE, 6);
  double_set_nodes(3);
  must(mi_reserve_huge_os_pages_interleave(4, 0, 0) == 0);
  size_t on_node[3] = {0};
  for (size_t i = 0; i < double_huge_calls(); i++) {
    const huge_call_t call = double_huge_call(i);
    must(call.error == 0);
    if (call.shift == 0) on_node[call.node]++;
  }
  must(on_node[0] == 2 && on_node[1] == 1 && on_node[2] == 1);
  mi_option_set(mi_option_use_numa_nodes, 1);
  must(mi_reserve_huge_os_pages(3, 0.0, &pages) == 0 && pages == 2);
  must(double_huge_call(double_huge_calls() - 3).node == 0);
  must(mi_reserve_huge_os_pages(1, 1.0, &pages) == ENOMEM && pages == 0);
}

static void heaps_follow_nodes(void) {
  mi_arena_id_t arena[2];
  double_set_huge_pages(HUGE, 2);
  double_set_nodes(2);
  for (int node = 0; node < 2; node++)
    must(mi_reserve_huge_os_pages_at_ex(1, node, 0, false, &arena[node]) == 0);
  for (int node = 0; node < 2; node++) {
    mi_heap_t* const heap = mi_heap_new();
    mi_heap_set_numa_affinity(heap, node);
    for (int i = 0; i < 100; i++) must(mi_arena_contains(arena[node], mi_heap_malloc(heap, 50000)));
    void* const big = mi_heap_malloc(heap, GiB); /* where the node has too little, from elsewhere */
    must(big != NULL && !mi_arena_contains(arena[node], big));
  }
}

/* ---- 2 MiB pages ---- */

static void large_pages(void) {
  mi_arena_id_t arena = NULL;
  double_set_huge_pages(LARGE, 8);
  must(mi_reserve_os_memory_ex(13 * MiB, false, true, true, &arena) == 0);
  must_call(0, (huge_call_t){mi_arena_area(arena, NULL), 16 * MiB, LARGE, 0, 0});
  must((((arena_t*)arena)->flags & ARENA_PINNED) != 0);
  /* When there are none, ordinary memory; commit is what the caller says. */
  const uint64_t commits = double_calls(CALL_COMMIT);
  must(mi_reserve_os_memory_ex(4 * MiB, false, true, true, &arena) == 0);
  must_call(1, (huge_call_t){mi_arena_area(arena, NULL), 4 * MiB, LARGE, 0, ENOMEM});
  must((((arena_t*)arena)->flags & ARENA_PINNED) == 0 && double_calls(CALL_COMMIT) == commits);
  must(mi_reserve_os_memory_ex(4 * MiB, true, false, true, &arena) == 0);
  must(double_huge_calls() == 2 && double_calls(CALL_COMMIT) == commits + 1);
  double_fail(CALL_COMMIT, 1, 1, ENOMEM);
  must(mi_reserve_os_memory_ex(4 * MiB, true, false, true, &arena) == ENOMEM && arena == NULL);
  double_fail(CALL_RESERVE_AT, 1, FAIL_FOR_EVER, ENOMEM);
  must(mi_reserve_os_memory_ex(64 * MiB, true, false, true, &arena) == ENOMEM);
}

static void large_pages_for_all(void) {
  mi_option_set(mi_option_allow_large_os_pages, 1);
  double_set_huge_pages(LARGE, 4);
  char* const p = mi_malloc(100000);
  must(p != NULL && double_huge_calls() >= 1 && double_huge_call(0).shift == LARGE);
  memset(p, 1, 100000);
  mi_free(p);
  mi_collect(true);
  must(memory_stats().purged == 0);
  char* const q = mi_malloc(40 * MiB); /* more than there is: ordinary memory */
  q[0] = q[40 * MiB - 1] = 1;
  const size_t calls = double_huge_calls();
  must(double_huge_call(calls - 1).error == ENOMEM);
  mi_free(q);
  mi_collect(true);
  must(memory_stats().purged > 0);
}

/* ---- options ---- */

static void reserved_at_start(void) {
  mi_option_set(mi_option_reserve_os_memory, 20 * 1024); /* KiB */
  mi_option_set(mi_option_reserve_huge_os_pages, 2);
  mi_option_set(mi_option_reserve_huge_os_pages_at, 1);
  mi_option_set(mi_option_disallow_os_alloc, 1);
  double_set_huge_pages(HUGE, 1);
  double_set_nodes(2);
  char* const p = mi_malloc(100);
  arena_t* const small = arena_newest();
  must(small != NULL && small->next != NULL && small->next->next == NULL);
  must(mapped_there(small) == 20 * MiB && mapped_there(small->next) == GiB);
  must_call(1, (huge_call_t){mi_arena_area(small->next, NULL), GiB, 0, 1, 0});
  must(p != NULL);
  /* Nothing but what is there: the arenas, and what was placed with them. */
  const size_t reserved = memory_stats().reserved;
  must(mi_malloc(900 * MiB) != NULL);
  size_t count = 0;
  while (mi_malloc(MiB) != NULL) count++;
  must(errno == ENOMEM && count > 100 && memory_stats().reserved == reserved);
  char* grown = mi_malloc(30000);
  must(grown != NULL && mi_realloc(grown, 4 * GiB) == NULL && memory_stats().reserved == reserved);
  mi_option_set(mi_option_disallow_os_alloc, 0);
  must(mi_malloc(MiB) != NULL && memory_stats().reserved > reserved);
}

static void explicit_only(void) {
  mi_arena_id_t arena = NULL;
  mi_option_set(mi_option_disallow_arena_alloc, 1);
  must(mi_reserve_os_memory_ex(64 * MiB, false, false, false, &arena) == 0);
  for (int i = 0; i < 100; i++) must(!mi_arena_contains(arena, mi_malloc(MiB)));
  must(mi_arena_contains(arena, mi_heap_malloc(mi_heap_new_in_arena(arena), MiB)));
}

/* ---- purging by age ---- */

static void ages(void) {
  mi_arena_id_t arena[2];
  void* const p = mmap(NULL, 20 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  double_stop_clock();
  mi_option_set(mi_option_purge_delay, 100);
  must(mi_malloc(4 * MiB) != NULL); /* the budget is 1.5 MiB then */
  must(mi_reserve_os_memory_ex(16 * MiB, false, false, true, &arena[0]) == 0);
  must(mi_manage_os_memory_ex(p, 20 * MiB, true, false, true, -1, true, &arena[1]));
  for (int i = 0; i < 2; i++) {
    mi_heap_t* const heap = mi_heap_new_in_arena(arena[i]);
    char* const block = mi_heap_malloc(heap, 500000);
    memset(block, 1, 500000);
    const uint64_t purged = memory_stats().purged;
    mi_free(block);
    must(memory_stats().dirty == 8 * SLICE_SIZE);
    for (int step = 0; step < 5; step++) {
      double_advance_clock(60);
      mi_free(mi_heap_malloc(heap, 10)); /* may not take the dirty slices */
      mi_free(mi_malloc(40000));
    }
    must(memory_stats().purged >= purged + 7 * SLICE_SIZE);
    mi_arenas_purge();
    must(memory_stats().dirty == 0);
  }
}

/* ---- where memory may lie ---- */

static void adopt_at(void* address, mi_arena_id_t* arena) {
  void* const p = mmap(address, 16 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(p == address);
  must(mi_manage_os_memory_ex(p, 16 * MiB, true, false, true, -1, true, arena));
  must(mi_arena_area(*arena, NULL) == p && mapped_there(*arena) == 16 * MiB);
}

static void* allocate_and_exit(void* heap) {
  for (int i = 0; i < 10; i++) memset(mi_heap_malloc(heap, 1000), 1, 1000);
  return mi_heap_malloc(heap, 1000);
}

/* A page that a thread has left is found by the next one: it stands in a stack by its slice's number. */
static void adopt_abandoned(mi_heap_t* heap) {
  pthread_t thread;
  void* block = NULL;
  for (int i = 0; i < 2; i++) {
    must(pthread_create(&thread, NULL, allocate_and_exit, heap) == 0);
    must(pthread_join(thread, &block) == 0);
  }
  char* const next = mi_heap_malloc(heap, 1000);
  must((char*)block - next < 64 * 1024 && next - (char*)block < 64 * 1024);
}

/* Far above and below the window, whose place is the highest, so that slice numbers are negative. */
static void everywhere(void) {
  mi_arena_id_t arena[4];
  double_set_random(65535);
  must(mi_malloc(10) != NULL);
  adopt_at((void*)(256 * MiB), &arena[0]);
  adopt_at((void*)(GiB * 1024 * 3), &arena[1]);
  adopt_at((void*)(window.base - 8 * GiB), &arena[2]);
  adopt_at((void*)(GiB * 1024 * 110), &arena[3]);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 4; i++) {
      mi_heap_t* const heap = mi_heap_new_in_arena(arena[i]);
      void* blocks[100];
      if (round == 1) adopt_abandoned(heap);
      for (int k = 0; k < 100; k++) {
        blocks[k] = mi_heap_malloc(heap, (size_t)k * 500 + 1);
        must(mi_arena_contains(arena[i], blocks[k]) && mi_heap_of(blocks[k]) == heap);
        memset(blocks[k], k, (size_t)k * 500 + 1);
      }
      for (int k = 0; k < 100; k += 2) mi_free(blocks[k]);
      if (round == 0) mi_heap_delete(heap); /* abandoned or moved, then freed */
      for (int k = 1; k < 100; k += 2) mi_free(blocks[k]);
      mi_collect(true);
      if (round == 1) mi_heap_destroy(heap);
      mi_heap_t* const whole = mi_heap_new_in_arena(arena[i]);
      must(mi_heap_malloc(whole, 16 * MiB) != NULL); /* everything has come back */
      mi_heap_destroy(whole);
    }
  }
}

static void place_is_taken(void) {
  mi_arena_id_t arena = NULL;
  must(mi_malloc(10) != NULL);
  char* const p = mmap((void*)(GiB * 1024 * 110), 16 * MiB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* const rows = window_entry(window_slice_number(p));
  must(mmap(rows, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == rows);
  must(!mi_manage_os_memory_ex(p, 16 * MiB, true, false, true, -1, true, &arena) && arena == NULL);
  must(window_slice_of(p) == SLICE_NONE);
  munmap(rows, 4096);
  must(mi_manage_os_memory_ex(p, 16 * MiB, true, false, true, -1, true, &arena));
  must(window_slice_of(p) != SLICE_NONE && window_slice_of(p - 1) == SLICE_NONE);
  must(window_slice_of(p + 16 * MiB) == SLICE_NONE);
  must(!mi_manage_os_memory((void*)(window.base + 512 * GiB), 16 * MiB, true, false, true, -1));
}

#define CASE(body)                                \
  static void test_##body(void** state) {         \
    (void)state;                                  \
    SKIP_SANITIZED();                             \
    in_child(body);                               \
  }
CASE(all_pages)
CASE(some_pages)
CASE(no_node)
CASE(by_the_old_name)
CASE(commits_in_part)
CASE(commits_what_is_not_zero)
CASE(no_pages)
CASE(time_is_up)
CASE(interleaved)
CASE(heaps_follow_nodes)
CASE(large_pages)
CASE(large_pages_for_all)
CASE(reserved_at_start)
CASE(explicit_only)
CASE(ages)
CASE(everywhere)
CASE(place_is_taken)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_pages),
      cmocka_unit_test(test_some_pages),
      cmocka_unit_test(test_no_node),
      cmocka_unit_test(test_by_the_old_name),
      cmocka_unit_test(test_commits_in_part),
      cmocka_unit_test(test_commits_what_is_not_zero),
      cmocka_unit_test(test_no_pages),
      cmocka_unit_test(test_time_is_up),
      cmocka_unit_test(test_interleaved),
      cmocka_unit_test(test_heaps_follow_nodes),
      cmocka_unit_test(test_large_pages),
      cmocka_unit_test(test_large_pages_for_all),
      cmocka_unit_test(test_reserved_at_start),
      cmocka_unit_test(test_explicit_only),
      cmocka_unit_test(test_ages),
      cmocka_unit_test(test_everywhere),
      cmocka_unit_test(test_place_is_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
