/* SPDX-License-Identifier: MIT */
/* A thread's parts of heaps and its default heap, by the names of 3.x and of 2.x: what plain mi_malloc
   serves, in every size and through every entry, and what becomes of it when the heap or the thread ends. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mimalloc.h"

#define MARK 4711 /* errno before a call that must not touch it */

static volatile size_t huge = (size_t)PTRDIFF_MAX + 1;

static void expect_in(const mi_heap_t* heap, void* p) {
  assert_non_null(p);
  assert_true(mi_heap_contains(heap, p));
  mi_free(p);
}

static void expect_zero_in(const mi_heap_t* heap, void* p, size_t size) {
  assert_non_null(p);
  for (size_t i = 0; i < size; i++) assert_int_equal(((char*)p)[i], 0);
  expect_in(heap, p);
}

/* Every way to an allocation that names no heap, thrice: cold, then from lists. */
static void expect_default(const mi_heap_t* heap) {
  static const size_t sizes[] = {0, 8, 100, 1024, 5000, 30000, 100000, 5000000};
  for (size_t i = 0; i < 3 * sizeof(sizes) / sizeof(*sizes); i++) {
    const size_t size = sizes[i / 3];
    expect_in(heap, mi_malloc(size));
    expect_in(heap, mi_zalloc(size));
    expect_in(heap, mi_calloc(2, size));
    expect_in(heap, mi_malloc_aligned(size, 64));
    expect_in(heap, mi_malloc_aligned(size, 65536));
    expect_in(heap, mi_new(size));
    expect_in(heap, mi_realloc(NULL, size));
    expect_in(heap, mi_realloc(mi_malloc(size), 3 * size + 100));
  }
  expect_in(heap, mi_strdup("text"));
}

static void allocation(void** state) {
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  errno = MARK;
  mi_theap_t* const theap = mi_heap_theap(heap);
  assert_non_null(theap);
  assert_ptr_equal(mi_heap_theap(heap), theap);
  expect_in(heap, mi_theap_malloc(theap, 100));
  expect_in(heap, mi_theap_malloc(theap, 1000000));
  expect_zero_in(heap, mi_theap_zalloc(theap, 3000), 3000);
  expect_zero_in(heap, mi_theap_calloc(theap, 10, 10), 100);
  expect_in(heap, mi_theap_malloc_small(theap, 24));
  expect_zero_in(heap, mi_theap_zalloc_small(theap, 24), 24);
  expect_in(heap, mi_theap_wmalloc_small(theap, 3));
  expect_zero_in(heap, mi_theap_wzalloc_small(theap, 3), 24);
  void* p = mi_theap_malloc_aligned(theap, 100, 256);
  assert_int_equal((uintptr_t)p % 256, 0);
  expect_in(heap, p);
  p = mi_theap_zalloc_aligned(theap, 100, 256);
  assert_int_equal((uintptr_t)p % 256, 0);
  expect_zero_in(heap, p, 100);
  expect_in(heap, mi_theap_realloc(theap, mi_malloc(50), 50)); /* of another heap: moves in */
  expect_zero_in(heap, mi_theap_rezalloc(theap, mi_theap_zalloc(theap, 50), 500), 500);
  expect_in(heap, mi_theap_alloc_new(theap, 40));
  expect_in(heap, mi_theap_alloc_new_n(theap, 4, 10));
  expect_in(heap, mi_theap_alloc_new_nothrow(theap, 40));
  expect_in(mi_heap_main(), mi_theap_malloc(NULL, 40));
  mi_theap_guarded_set_sample_rate(theap, 1, 2);
  mi_theap_guarded_set_size_bound(theap, 1, 2);
  mi_theap_collect(theap, true);
  assert_int_equal(errno, MARK);
  assert_null(mi_theap_malloc(theap, huge));
  assert_int_equal(errno, ENOMEM);
  assert_null(mi_theap_calloc(theap, huge, huge));
  assert_null(mi_theap_wmalloc_small(theap, huge));
  assert_null(mi_theap_alloc_new_nothrow(theap, huge));
  errno = 0;
  const volatile size_t odd = 3; /* the compiler sees what a constant would do */
  assert_null(mi_theap_malloc_aligned(theap, 100, odd));
  assert_int_equal(errno, EINVAL);
  mi_heap_destroy(heap);
}

static void default_is_served(void** state) {
  (void)state;
  mi_theap_t* const before = mi_theap_get_default();
  assert_ptr_equal(before, mi_heap_theap(NULL));
  mi_heap_t* const heap = mi_heap_new();
  void* const kept = mi_malloc(100);
  errno = MARK;
  assert_ptr_equal(mi_theap_set_default(mi_heap_theap(heap)), before);
  assert_int_equal(errno, MARK);
  assert_ptr_equal(mi_theap_get_default(), mi_heap_theap(heap));
  expect_default(heap);
  assert_true(mi_heap_contains(NULL, kept));
  expect_in(mi_heap_main(), mi_heap_malloc(NULL, 100)); /* names the main heap */
  mi_collect(true);
  expect_default(heap);
  assert_ptr_equal(mi_theap_set_default(before), mi_heap_theap(heap));
  expect_default(mi_heap_main());
  mi_free(kept);
  mi_heap_destroy(heap);
}

/* A heap that ends stops being the default; what was allocated before lives on, or is gone. */
static void default_ends_with_its_heap(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  mi_theap_set_default(mi_heap_theap(heap));
  char* const p = mi_malloc(100);
  strcpy(p, "lives on");
  mi_heap_delete(heap);
  assert_ptr_equal(mi_heap_get_default(), mi_heap_main());
  assert_string_equal(p, "lives on");
  expect_default(mi_heap_main());
  expect_in(mi_heap_main(), p);

  for (int round = 0; round < 50; round++) {
    heap = mi_heap_new();
    mi_theap_set_default(mi_heap_theap(heap));
    for (size_t i = 0; i < 1000; i++) assert_non_null(mi_malloc(16 * i));
    mi_heap_destroy(heap);
    expect_default(mi_heap_main());
  }
}

static void theaps_give_up_memory(void** state) {
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  mi_theap_t* const theap = mi_heap_theap(heap);
  mi_theap_set_default(theap);
  char* const p = mi_malloc(200);
  strcpy(p, "still here");
  assert_int_not_equal(mi_thread_id_of(p), 0);
  mi_theap_quiescent_abandon(theap);
  assert_int_equal(mi_thread_id_of(p), 0);
  assert_ptr_equal(mi_theap_get_default(), theap);
  char* const q = mi_malloc(200);
  assert_int_not_equal(mi_thread_id_of(q), 0);
  assert_true(mi_heap_contains(heap, q));
  mi_theap_delete(theap);
  assert_int_equal(mi_thread_id_of(q), 0);
  assert_ptr_equal(mi_heap_get_default(), mi_heap_main());
  assert_true(mi_heap_contains(heap, p) && mi_heap_contains(heap, q));
  assert_string_equal(p, "still here");
  expect_default(mi_heap_main());
  expect_in(heap, mi_heap_malloc(heap, 200)); /* a new theap of the same heap */
  expect_in(heap, p);
  expect_in(heap, q);
  mi_theap_delete(NULL);
  mi_theap_delete(mi_heap_theap(NULL)); /* the main heap's lives on */
  expect_default(mi_heap_main());
  mi_heap_delete(heap);
}

/* ---- threads ---- */

static void* thread_with_default(void* heap) {
  assert_ptr_equal(mi_heap_get_default(), mi_heap_main()); /* not what the other thread chose */
  mi_heap_set_default(heap);
  for (size_t i = 0; i < 300; i++) expect_default(heap);
  void* const p = mi_malloc(100);
  mi_thread_done();
  assert_ptr_equal(mi_heap_get_default(), mi_heap_main());
  return p;
}

static void defaults_are_per_thread(void** state) {
  (void)state;
  mi_heap_t* const heaps[] = {mi_heap_new(), mi_heap_new(), mi_heap_new()};
  pthread_t threads[3];
  void* p;
  mi_theap_t* const before = mi_theap_set_default(mi_heap_theap(heaps[0]));
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, thread_with_default, heaps[i]), 0);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(pthread_join(threads[i], &p), 0);
    expect_in(heaps[i], p);
  }
  expect_default(heaps[0]);
  mi_theap_set_default(before);
  mi_heap_delete(heaps[0]); /* not destroy: what pthread_create allocated from it lives on */
  for (int i = 1; i < 3; i++) mi_heap_destroy(heaps[i]);
}

/* While the scavenger looks after a thread that slept, its allocations take another way: to the same heap. */
static void* sleeps_and_allocates(void* heap) {
  mi_heap_set_default(heap);
  void* blocks[64];
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 64; i++) blocks[i] = mi_malloc((size_t)(i + 1) * 512);
    for (int i = 0; i < 64; i++) {
      if (!mi_heap_contains(heap, blocks[i])) abort(); /* cmocka's checks serve one thread only */
      mi_free(blocks[i]);
    }
    usleep(1000 + (useconds_t)round * 37);
  }
  return NULL;
}

static void default_survives_sleep(void** state) {
  (void)state;
  pthread_t threads[4];
  mi_heap_t* const heap = mi_heap_new();
  mi_option_set(mi_option_purge_delay, 1);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, sleeps_and_allocates, heap), 0);
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  mi_heap_destroy(heap);
}

/* ---- names of 2.x ---- */

static void names_of_version_2(void** state) {
  (void)state;
  assert_ptr_equal(mi_heap_get_backing(), mi_heap_main());
  assert_ptr_equal(mi_heap_get_default(), mi_heap_main());
  mi_heap_t* const heap = mi_heap_new_ex(7, false, NULL);
  assert_ptr_equal(mi_heap_set_default(heap), mi_heap_main());
  assert_ptr_equal(mi_heap_get_default(), heap);
  void* const p = mi_malloc(100);
  assert_true(mi_heap_contains_block(heap, p) && mi_heap_check_owned(heap, p));
  assert_false(mi_heap_contains_block(mi_heap_main(), p) || mi_heap_check_owned(heap, &heap));
  assert_ptr_equal(mi_heap_set_default(NULL), heap);
  assert_ptr_equal(mi_heap_get_default(), mi_heap_main());
  mi_heap_destroy(heap); /* deletes: it was made so */
  expect_in(mi_heap_main(), p);

  mi_heap_t* const mortal = mi_heap_new_ex(7, true, NULL);
  void* const q = mi_heap_malloc(mortal, 5000000);
  mi_heap_destroy(mortal);
  assert_null(mi_heap_of(q));
  errno = 0;
  assert_null(mi_heap_new_ex(0, true, (mi_arena_id_t)&errno));
  assert_int_equal(errno, EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(allocation),
      cmocka_unit_test(default_is_served),
      cmocka_unit_test(default_ends_with_its_heap),
      cmocka_unit_test(theaps_give_up_memory),
      cmocka_unit_test(defaults_are_per_thread),
      cmocka_unit_test(default_survives_sleep),
      cmocka_unit_test(names_of_version_2),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
