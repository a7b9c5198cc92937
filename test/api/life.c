/* SPDX-License-Identifier: MIT */
/* Threads and the process as the program may announce and end them, questions about addresses, and the small
   entries: each by its effect. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mimalloc.h"
#include "sanitized.h"

#define MARK 4711 /* errno before a call that must not touch it */
#define REQUIRE(condition) ((condition) ? (void)0 : abort())

static volatile size_t huge = (size_t)PTRDIFF_MAX + 1;

static void* run_thread(void* (*run)(void*), void* argument) {
  pthread_t thread;
  void* result;
  REQUIRE(pthread_create(&thread, NULL, run, argument) == 0);
  REQUIRE(pthread_join(thread, &result) == 0);
  return result;
}

static void in_child(void (*body)(void)) {
  const pid_t child = fork();
  int status;
  if (child == 0) {
    body();
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

/* ---- small entries ---- */

static void frees_of_small_blocks(void** state) {
  (void)state;
  errno = MARK;
  for (size_t size = 0; size <= MI_SMALL_SIZE_MAX; size += 8) {
    mi_free_small(mi_malloc_small(size));
    mi_free_small_nonnull(mi_zalloc_small(size));
    mi_free_small_local(mi_malloc(size));
    mi_free_small_local_nonnull(mi_malloc(size));
  }
  mi_free_small(NULL);
  mi_free_small_local(NULL);
  assert_int_equal(errno, MARK);
  mi_free_small(mi_malloc(1000000)); /* the hint may be wrong */
}

static void sizes_in_words(void** state) {
  (void)state;
  const size_t word = sizeof(void*);
  assert_int_equal(mi_wsize_from_size(0), 0);
  assert_int_equal(mi_wsize_from_size(1), 1);
  assert_int_equal(mi_wsize_from_size(word), 1);
  assert_int_equal(mi_wsize_from_size(word + 1), 2);
  assert_int_equal(mi_wsize_from_size(SIZE_MAX), SIZE_MAX / word + 1);
  for (size_t words = 0; words <= MI_SMALL_WSIZE_MAX + 10; words++) {
    char* const p = mi_wmalloc_small(words);
    char* const q = mi_wzalloc_small(words);
    assert_true(mi_usable_size(p) >= words * word);
    memset(p, 1, words * word);
    for (size_t i = 0; i < words * word; i++) assert_int_equal(q[i], 0);
    mi_free(p);
    mi_free(q);
  }
  errno = 0;
  assert_null(mi_wmalloc_small(mi_wsize_from_size(SIZE_MAX)));
  assert_int_equal(errno, ENOMEM);
  assert_null(mi_wzalloc_small(huge));
}

static void zeroing_resizes_in_a_heap(void** state) {
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  errno = MARK;
  char* p = mi_heap_rezalloc_aligned(heap, NULL, 10, 128);
  for (size_t size = 20; size < 400000; size += size / 2) {
    memset(p, 1, size / 2);
    p = mi_heap_rezalloc_aligned(heap, p, size, 128);
    assert_true((uintptr_t)p % 128 == 0 && mi_heap_contains(heap, p));
    memset(p, 1, size / 2);
    p = mi_heap_recalloc_aligned(heap, p, 2, size, 128);
    assert_true((uintptr_t)p % 128 == 0 && mi_heap_contains(heap, p));
    for (size_t i = size; i < 2 * size; i++) assert_int_equal(p[i], 0);
    p = mi_heap_rezalloc_aligned_at(heap, p, size, 64, 16);
    assert_int_equal(((uintptr_t)p + 16) % 64, 0);
    p = mi_heap_recalloc_aligned_at(heap, p, 1, size, 64, 16);
    assert_int_equal(((uintptr_t)p + 16) % 64, 0);
    for (size_t i = size / 2; i < size; i++) assert_int_equal(p[i], 0);
  }
  assert_int_equal(errno, MARK);
  assert_null(mi_heap_recalloc_aligned(heap, p, huge, huge, 64));
  assert_int_equal(errno, ENOMEM);
  errno = 0;
  /* volatile: the compiler sees what a constant would do, and clang 14 crashes over it */
  for (volatile size_t bad = 9; bad < 20; bad += 3) {
    if (bad != 16) assert_null(mi_heap_rezalloc_aligned(heap, p, 64, bad));
  }
  assert_int_equal(errno, EINVAL);
  const volatile size_t odd = 3;
  assert_null(mi_heap_realloc_aligned_at(heap, p, 64, odd, 1));
  /* Up to a word: what every block has, whatever was asked. */
  for (volatile size_t any = 0; any <= sizeof(void*); any++) {
    p = mi_heap_realloc_aligned(heap, p, 200 + any, any);
    assert_true(p != NULL && (uintptr_t)p % sizeof(void*) == 0);
    p = mi_heap_rezalloc_aligned(heap, p, 300 + any, any);
    assert_non_null(p);
  }
  mi_heap_destroy(heap);
}

/* ---- whose memory ---- */

static void questions_about_addresses(void** state) {
  (void)state;
  int local;
  mi_heap_t* const heap = mi_heap_new();
  char* const p = mi_heap_malloc(heap, 3000000);
  char* const q = mi_malloc(100);
  errno = MARK;
  assert_true(mi_any_heap_contains(p) && mi_any_heap_contains(q) && mi_any_heap_contains(p + 2999999));
  assert_true(mi_check_owned(p) && mi_is_in_heap_region(p) && mi_is_in_heap_region(q));
  const void* const foreign[] = {NULL, &local, (void*)1, (void*)~(uintptr_t)0, (void*)&errno, "text"};
  for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
    assert_false(mi_any_heap_contains(foreign[i]) || mi_check_owned(foreign[i]));
    assert_false(mi_is_in_heap_region(foreign[i]));
    assert_int_equal(mi_thread_id_of(foreign[i]), 0);
  }
  assert_int_equal(mi_thread_id_of(p), 0); /* large: nobody's */
  assert_int_not_equal(mi_thread_id_of(q), 0);
  assert_false(mi_is_redirected());
  mi_heap_set_debug_fill_preserve(heap, 10);
  assert_int_equal(errno, MARK);
  mi_heap_destroy(heap);
  assert_false(mi_any_heap_contains(p));
  assert_true(mi_is_in_heap_region(p)); /* free now, and still ours */
  mi_free(q);
}

static void* allocate(void* unused) {
  (void)unused;
  void* const p = mi_malloc(100);
  REQUIRE(mi_thread_id_of(p) != 0);
  return (void*)mi_thread_id_of(p);
}

static void threads_have_numbers(void** state) {
  (void)state;
  void* const blocks[] = {mi_malloc(1), mi_malloc(100), mi_zalloc(3000), mi_malloc(20000)};
  const size_t id = mi_thread_id_of(blocks[0]);
  for (size_t i = 0; i < 4; i++) assert_int_equal(mi_thread_id_of(blocks[i]), id);
  const size_t first = (size_t)run_thread(allocate, NULL);
  assert_true(first != id && (size_t)run_thread(allocate, NULL) != first);
  for (size_t i = 0; i < 4; i++) mi_free(blocks[i]);
}

/* ---- threads ---- */

static void* comes_and_goes(void* unused) {
  errno = MARK;
  mi_thread_done(); /* never was there */
  for (int i = 0; i < 100; i++) {
    mi_thread_init();
    mi_thread_init();
    char* const p = mi_malloc(100);
    char* const q = mi_malloc(100);
    const size_t id = mi_thread_id_of(p);
    strcpy(p, "live");
    mi_thread_done();
    mi_thread_done();
    REQUIRE(mi_thread_id_of(p) == 0 && strcmp(p, "live") == 0);
    mi_free(p); /* as a stranger */
    char* const r = mi_malloc(5000);
    REQUIRE(mi_thread_id_of(r) != 0 && mi_thread_id_of(r) != id);
    mi_free(q);
    mi_free(r);
  }
  REQUIRE(errno == MARK);
  mi_thread_done();
  return unused;
}

static void done_threads_come_back(void** state) {
  (void)state;
  run_thread(comes_and_goes, NULL);
  comes_and_goes(NULL);
  char* const p = mi_malloc(10);
  assert_non_null(p);
  mi_free(p);
}

static void done_in_deferred_free(bool force, unsigned long long heartbeat, void* calls) {
  (void)force;
  (void)heartbeat;
  ++*(int*)calls;
  mi_thread_done();
}

static void done_is_ignored_in_deferred_free(void** state) {
  (void)state;
  int calls = 0;
  void* const p = mi_malloc(100);
  mi_register_deferred_free(done_in_deferred_free, &calls);
  mi_collect(true);
  mi_collect_reduce(0);
  mi_register_deferred_free(NULL, NULL);
  assert_true(calls >= 2);
  assert_int_not_equal(mi_thread_id_of(p), 0);
  mi_free(p);
}

/* The last thread of a process whose main thread has exited: no thread of ours may keep the process alive. */
static void* ends_last(void* main_thread) {
  mi_free(mi_malloc(100));
  REQUIRE(pthread_join(*(pthread_t*)main_thread, NULL) == 0);
  mi_thread_done();
  return NULL;
}

static void main_thread_ends_first(void) {
  static pthread_t main_thread;
  pthread_t last;
  alarm(20);
  main_thread = pthread_self();
  mi_free(mi_malloc(100));
  REQUIRE(pthread_create(&last, NULL, ends_last, &main_thread) == 0);
  pthread_exit(NULL);
}

static void process_ends_with_its_done_threads(void** state) {
  (void)state;
  if (SANITIZED) skip(); /* they need the main thread to the end */
  in_child(main_thread_ends_first);
}

/* A block of a thread that has ended, freed: an ordinary thread adopts the memory around it, one of a pool
   leaves it to everybody. */
static void* leave_three(void* blocks) {
  for (int i = 0; i < 3; i++) ((void**)blocks)[i] = mi_malloc(200);
  return NULL;
}

static void* free_as_ordinary(void* blocks) {
  mi_thread_init();
  mi_free(((void**)blocks)[1]);
  return (void*)(uintptr_t)(mi_thread_id_of(((void**)blocks)[2]) != 0);
}

static void* free_in_pool(void* blocks) {
  mi_thread_set_in_threadpool();
  void* const adopted = free_as_ordinary(blocks);
  mi_thread_done();
  mi_free(((void**)blocks)[0]); /* the hint has ended with the thread */
  mi_thread_init();
  return adopted;
}

static void pool_threads_adopt_nothing(void** state) {
  (void)state;
  void* blocks[3];
  run_thread(leave_three, blocks);
  assert_int_equal(mi_thread_id_of(blocks[2]), 0);
  assert_null(run_thread(free_in_pool, blocks));
  mi_free(blocks[2]);
  run_thread(leave_three, blocks);
  assert_non_null(run_thread(free_as_ordinary, blocks));
  mi_free(blocks[0]);
  mi_free(blocks[2]);
}

/* ---- the process ---- */

static void* churn(void* unused) {
  for (size_t i = 0; i < 2000; i++) mi_free(mi_malloc(i * 100));
  return unused;
}

static void end_and_go_on(void) {
  errno = MARK;
  mi_process_init();
  mi_process_init();
  run_thread(churn, NULL); /* the scavenger starts */
  for (int i = 0; i < 3; i++) {
    mi_process_done();
    churn(NULL);
    run_thread(churn, NULL);
  }
  REQUIRE(errno == MARK);
  const pid_t child = fork();
  if (child == 0) {
    churn(NULL);
    run_thread(churn, NULL);
    _exit(0);
  }
  int status;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

static void process_goes_on_after_done(void** state) {
  (void)state;
  in_child(end_and_go_on);
}

typedef struct text_s {
  char bytes[16384];
  size_t length;
} text_t;

static void collect_text(const char* message, void* text) {
  text_t* const t = text;
  const size_t length = strlen(message);
  REQUIRE(t->length + length < sizeof(t->bytes));
  memcpy(t->bytes + t->length, message, length + 1);
  t->length += length;
}

static int occurrences(const text_t* text, const char* word) {
  int count = 0;
  for (const char* at = text->bytes; (at = strstr(at, word)) != NULL; at++) count++;
  return count;
}

static void done_with_statistics(void) {
  static text_t text;
  mi_option_enable(mi_option_show_stats);
  mi_register_output(collect_text, &text);
  text.length = 0; /* what may have been written before */
  text.bytes[0] = 0;
  void* const p = mi_malloc(100);
  mi_process_done();
  mi_process_done();
  REQUIRE(occurrences(&text, "mimalloc: served: ") == 1 && occurrences(&text, "\n  committed ") == 1);
  mi_free(p);
}

static void done_prints_statistics_once(void** state) {
  (void)state;
  in_child(done_with_statistics);
}

static void process_information_as_text(void** state) {
  (void)state;
  static text_t text;
  errno = MARK;
  mi_process_info_print_out(collect_text, &text);
  assert_int_equal(occurrences(&text, "mimalloc: process: "), 1);
  assert_int_equal(occurrences(&text, "resident"), 1);
  assert_int_equal(occurrences(&text, "committed"), 1);
  const size_t length = text.length;
  mi_register_output(collect_text, &text);
  text.length = 0;
  mi_process_info_print();
  mi_register_output(NULL, NULL);
  assert_int_equal(errno, MARK);
  assert_true(text.length >= length / 2);
  assert_int_equal(occurrences(&text, "mimalloc: process: "), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(frees_of_small_blocks),
      cmocka_unit_test(sizes_in_words),
      cmocka_unit_test(zeroing_resizes_in_a_heap),
      cmocka_unit_test(questions_about_addresses),
      cmocka_unit_test(threads_have_numbers),
      cmocka_unit_test(done_threads_come_back),
      cmocka_unit_test(done_is_ignored_in_deferred_free),
      cmocka_unit_test(process_ends_with_its_done_threads),
      cmocka_unit_test(pool_threads_adopt_nothing),
      cmocka_unit_test(process_goes_on_after_done),
      cmocka_unit_test(done_prints_statistics_once),
      cmocka_unit_test(process_information_as_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
