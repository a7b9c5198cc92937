/* SPDX-License-Identifier: MIT */
/* Sub-processes: threads and heaps that share no page; their figures; their end. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mimalloc-stats.h"

enum { BLOCKS = 2000, SIZE = 100, BIG = 3000000 };

typedef struct job_s {
  mi_subproc_id_t id;
  pthread_t thread;
  void* blocks[BLOCKS]; /* left behind, every other one freed */
  void* big;
  void* heaped; /* of a heap that the thread made */
  void* plain;  /* of the heap NULL */
  mi_heap_t* main;
  mi_heap_t* heap;
  int ok;
} job_t;

static int same(mi_subproc_id_t a, mi_subproc_id_t b) { return a._mi_subproc_id == b._mi_subproc_id; }

static void* work(void* arg) {
  job_t* const job = arg;
  const int before = same(mi_subproc_current(), mi_subproc_main());
  mi_subproc_add_current_thread(job->id);
  job->ok = before && same(mi_subproc_current(), job->id);
  for (int i = 0; i < BLOCKS; i++) memset(job->blocks[i] = mi_malloc(SIZE), i, SIZE);
  for (int i = 0; i < BLOCKS; i += 2) mi_free(job->blocks[i]);
  job->big = mi_malloc(BIG);
  job->main = mi_heap_main();
  job->heap = mi_heap_new();
  job->heaped = mi_heap_malloc(job->heap, SIZE);
  job->plain = mi_heap_malloc(NULL, SIZE);
  return NULL;
}

static void run(job_t* job) {
  assert_int_equal(pthread_create(&job->thread, NULL, work, job), 0);
  assert_int_equal(pthread_join(job->thread, NULL), 0);
  assert_true(job->ok);
}

static uintptr_t page_number(const void* p) { return (uintptr_t)p >> 16; }

/* A thread of another sub-process allocates blocks of the size: none comes from a page of the first. */
static void pages_are_not_shared(void** state) {
  (void)state;
  static job_t first, second, third;
  first.id = mi_subproc_new();
  second.id = mi_subproc_new();
  third.id = first.id;
  assert_non_null(first.id._mi_subproc_id);
  assert_false(same(first.id, second.id) || same(first.id, mi_subproc_main()));
  run(&first);
  run(&second);
  run(&third);
  void* here[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) here[i] = mi_malloc(SIZE);
  int reclaimed = 0;
  for (int i = 1; i < BLOCKS; i += 2) {
    for (int k = 1; k < BLOCKS; k += 2) {
      assert_true(page_number(first.blocks[i]) != page_number(second.blocks[k]));
      assert_true(page_number(first.blocks[i]) != page_number(here[k]));
      reclaimed |= page_number(first.blocks[i]) == page_number(third.blocks[k]);
    }
  }
  assert_true(reclaimed); /* within one sub-process they are */
  assert_ptr_equal(mi_heap_of(first.blocks[1]), first.main);
  assert_ptr_equal(mi_heap_of(first.plain), first.main);
  assert_ptr_equal(mi_heap_of(first.big), first.main);
  assert_ptr_equal(mi_heap_of(first.heaped), first.heap);
  assert_ptr_equal(mi_heap_of(here[1]), mi_heap_main());
  assert_ptr_not_equal(first.main, mi_heap_main());
  mi_heap_delete(first.heap); /* by another thread: its blocks stay in the sub-process */
  assert_ptr_equal(mi_heap_of(first.heaped), first.main);
  mi_free(first.blocks[1]); /* free by a thread of another one works */
  for (int i = 0; i < BLOCKS; i++) mi_free(here[i]);
  mi_subproc_destroy(first.id);
  mi_subproc_destroy(second.id);
  assert_null(mi_heap_of(first.big));
  assert_null(mi_heap_of(first.blocks[3]));
  assert_null(mi_heap_of(second.heaped));
}

static bool count_heap(mi_heap_t* heap, void* arg) {
  mi_heap_t** const seen = arg;
  int i = 0;
  while (seen[i] != NULL) i++;
  seen[i] = heap;
  return i < 2;
}

static void heaps_are_visited_and_counted(void** state) {
  (void)state;
  static job_t job;
  mi_heap_t* seen[8] = {NULL};
  mi_stats_t_decl(stats);
  job.id = mi_subproc_new();
  run(&job);
  assert_true(mi_subproc_visit_heaps(job.id, count_heap, seen));
  assert_ptr_equal(seen[0], job.main);
  assert_ptr_equal(seen[1], job.heap);
  assert_null(seen[2]);
  assert_true(mi_subproc_stats_get(job.id, &stats));
  const int64_t small = (int64_t)mi_good_size(SIZE);
  assert_int_equal(stats.malloc_normal.current, (BLOCKS / 2 + 2) * small);
  assert_int_equal(stats.malloc_normal.total, (BLOCKS + 2) * small);
  assert_int_equal(stats.malloc_huge_count.total, 1);
  assert_int_equal(stats.malloc_count.total, BLOCKS + 3);
  assert_true(mi_subproc_stats_get_exclusive(job.id, &stats));
  assert_int_equal(stats.malloc_count.total, 0);
  mi_heap_destroy(job.heap);
  assert_true(mi_subproc_stats_get_exclusive(job.id, &stats));
  assert_int_equal(stats.malloc_count.total, 1);
  assert_int_equal(stats.allocated.current, 0);
  assert_true(mi_subproc_stats_get(job.id, &stats));
  assert_int_equal(stats.malloc_count.total, BLOCKS + 3);
  char* const json = mi_subproc_stats_get_json(job.id, 0, NULL);
  assert_non_null(json);
  assert_non_null(strstr(json, "\"malloc_huge_count\": 1"));
  mi_free(json);
  mi_subproc_destroy(job.id);
}

static int warnings, errors;
static void hear(const char* message, void* arg) {
  (void)arg;
  if (strstr(message, "subproc_") != NULL) warnings++;
}
static void fail_code(int code, void* arg) {
  (void)arg;
  errors += code == EINVAL;
}

static void bad_use_is_told(void** state) {
  (void)state;
  mi_option_enable(mi_option_show_errors);
  mi_register_output(hear, NULL);
  mi_register_error(fail_code, NULL);
  free(malloc(1)); /* this thread has allocated */
  void* const own = mi_malloc(SIZE);
  const mi_subproc_id_t id = mi_subproc_new();
  mi_subproc_add_current_thread(id);
  assert_int_equal(warnings, 1);
  assert_true(same(mi_subproc_current(), mi_subproc_main()));
  mi_subproc_destroy(mi_subproc_main());
  assert_int_equal(warnings, 2);
  mi_subproc_destroy((mi_subproc_id_t){NULL});
  assert_int_equal(warnings, 2);
  assert_false(mi_subproc_visit_heaps((mi_subproc_id_t){NULL}, count_heap, NULL));
  mi_subproc_destroy(id);
  mi_stats_t_decl(stats);
  assert_false(mi_subproc_stats_get(id, &stats));
  assert_ptr_equal(mi_heap_of(own), mi_heap_main());
  mi_free(own);
  mi_register_output(NULL, NULL);
  mi_register_error(NULL, NULL);
}

/* The name of 2.x: blocks live on. */
static void deleted_blocks_live_on(void** state) {
  (void)state;
  static job_t job;
  job.id = mi_subproc_new();
  run(&job);
  mi_subproc_delete(job.id);
  assert_ptr_equal(mi_heap_of(job.blocks[1]), mi_heap_main());
  assert_ptr_equal(mi_heap_of(job.heaped), mi_heap_main());
  assert_ptr_equal(mi_heap_of(job.big), mi_heap_main());
  for (int i = 1; i < BLOCKS; i += 2) {
    for (int k = 0; k < SIZE; k++) assert_int_equal(((unsigned char*)job.blocks[i])[k], i & 0xFF);
    mi_free(job.blocks[i]);
  }
  mi_free(job.heaped);
  mi_free(job.big);
}

/* When all threads have left, the main heap stays what it is. */
static void main_heap_survives_its_threads(void** state) {
  (void)state;
  mi_heap_t* const main_heap = mi_heap_main();
  mi_thread_done();
  mi_heap_t* const heap = mi_heap_new();
  assert_ptr_not_equal(heap, main_heap);
  assert_ptr_equal(mi_heap_main(), main_heap);
  mi_heap_destroy(heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pages_are_not_shared), cmocka_unit_test(heaps_are_visited_and_counted),
      cmocka_unit_test(bad_use_is_told),      cmocka_unit_test(deleted_blocks_live_on),
      cmocka_unit_test(main_heap_survives_its_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
