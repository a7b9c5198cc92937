/* SPDX-License-Identifier: MIT */
/* The letter of the contract of the mi_ functions, group by group as in mimalloc.h: results at the edges,
   errno, alignment, zeros.  Speed, threads and misuse have tests of their own. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <cmocka.h>

#include "mimalloc.h"

#define MARK 4711 /* errno before a call that must not touch it */

static volatile size_t huge = (size_t)PTRDIFF_MAX + 1;
static volatile size_t impossible = (size_t)1 << 46;
static volatile size_t third = SIZE_MAX / 3;

/* What the compiler must not know: it has opinions about such alignments. */
static size_t opaque(size_t value) {
  volatile size_t copy = value;
  return copy;
}

/* One call that must fail: NULL, and this errno. */
#define assert_fails(call, code)     \
  do {                               \
    errno = 0;                       \
    assert_null(call);               \
    assert_int_equal(errno, (code)); \
  } while (0)

static int is_zero(const void* p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (((const char*)p)[i] != 0) return 0;
  }
  return 1;
}

static void expect_aligned(const void* p, size_t alignment) {
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % alignment, 0);
}

static void first_call_keeps_errno(void** state) {
  (void)state;
  errno = MARK;
  void* p = mi_malloc(10);
  mi_free(p);
  mi_free(NULL);
  assert_int_equal(errno, MARK);
}

static void sizes_and_natural_alignment(void** state) {
  (void)state;
  for (size_t size = 0; size <= 70000; size += 1 + size / 9) {
    errno = MARK;
    char* p = mi_malloc(size);
    assert_int_equal(errno, MARK);
    expect_aligned(p, size > 8 ? 16 : 8);
    if (size != 0 && size <= 4096 && (size & (size - 1)) == 0) expect_aligned(p, size);
    assert_true(mi_usable_size(p) >= size);
    assert_int_equal(mi_usable_size(p), mi_good_size(size));
    memset(p, 0xa5, mi_usable_size(p));
    errno = MARK;
    mi_free(p);
    assert_int_equal(errno, MARK);
  }
}

static void size_zero_is_unique(void** state) {
  (void)state;
  void* p = mi_malloc(0);
  void* q = mi_calloc(0, 8);
  assert_non_null(p);
  assert_non_null(q);
  assert_ptr_not_equal(p, q);
  mi_free(p);
  mi_free(q);
}

static void failures_set_enomem(void** state) {
  (void)state;
  assert_fails(mi_malloc(huge), ENOMEM);
  assert_fails(mi_malloc(huge * 2 - 1), ENOMEM);
  assert_fails(mi_malloc(impossible), ENOMEM);
  assert_fails(mi_zalloc(huge), ENOMEM);
  assert_fails(mi_calloc(third, 4), ENOMEM);
  assert_fails(mi_mallocn(third, 4), ENOMEM);
  assert_fails(mi_malloc_aligned(huge, 64), ENOMEM);
  assert_fails(mi_calloc_aligned(third, 4, 64), ENOMEM);
  assert_fails(mi_valloc(huge * 2 - 1), ENOMEM);
  assert_fails(mi_pvalloc(huge * 2 - 11), ENOMEM);
  assert_fails(mi_heap_malloc(mi_heap_main(), huge), ENOMEM);
  assert_fails(mi_realloc(NULL, huge), ENOMEM);
}

static void failed_realloc_keeps_the_block(void** state) {
  (void)state;
  char* p = mi_malloc(100);
  memset(p, 7, 100);
  assert_fails(mi_realloc(p, huge), ENOMEM);
  assert_fails(mi_reallocn(p, third, 4), ENOMEM);
  assert_fails(mi_reallocarray(p, third, 4), EOVERFLOW);
  assert_fails(mi_reallocarray(p, impossible, 1), ENOMEM);
  assert_fails(mi_recalloc(p, third, 4), ENOMEM);
  assert_fails(mi_realloc_aligned(p, huge, 64), ENOMEM);
  for (int i = 0; i < 100; i++) assert_int_equal(p[i], 7);
  assert_fails(mi_reallocf(p, huge), ENOMEM); /* frees p */
}

static void realloc_rules(void** state) {
  (void)state;
  char* p = mi_realloc(NULL, 50);
  assert_non_null(p);
  memset(p, 1, 50);
  char* q = mi_realloc(p, 0); /* a fresh smallest block */
  assert_non_null(q);
  q = mi_realloc(q, 100000);
  memset(q, 9, 100000);
  q = mi_realloc(q, 60);
  for (int i = 0; i < 60; i++) assert_int_equal(q[i], 9);
  assert_ptr_equal(mi_realloc(q, mi_usable_size(q)), q);
  mi_free(q);
}

static void expand_rules(void** state) {
  (void)state;
  char* p = mi_malloc(100);
  const size_t usable = mi_usable_size(p);
  assert_ptr_equal(mi_expand(p, usable), p);
  assert_null(mi_expand(p, usable + 1));
  assert_null(mi_expand(NULL, 1));
  assert_fails(mi__expand(p, usable + 1), ENOMEM);
  assert_ptr_equal(mi__expand(p, 1), p);
  mi_free(p);
}

static void zeroed_blocks_stay_zeroed(void** state) {
  (void)state;
  for (size_t size = 1; size < 300000; size = size * 3 + 1) {
    char* dirty = mi_malloc(size);
    memset(dirty, 0xff, size);
    mi_free(dirty);
    char* p = mi_zalloc(size);
    assert_true(is_zero(p, mi_usable_size(p)));
    memset(p, 0x11, size);
    p = mi_rezalloc(p, size * 2);
    assert_true(is_zero(p + size, mi_usable_size(p) - size));
    p = mi_rezalloc(p, size);
    p = mi_recalloc(p, size, 5);
    assert_true(is_zero(p + size, 4 * size));
    p = mi_recalloc_aligned(p, size, 7, 128);
    expect_aligned(p, 128);
    assert_true(is_zero(p + size, 6 * size));
    mi_free(p);
  }
  char* q = mi_calloc(1000, 3);
  assert_true(is_zero(q, 3000));
  mi_free(q);
}

static void every_alignment(void** state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 24, 100, 1000, 5000, 70000};
  for (size_t alignment = 1; alignment <= ((size_t)1 << 30); alignment *= 2) {
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
      errno = MARK;
      char* p = mi_malloc_aligned(sizes[i], alignment);
      expect_aligned(p, alignment);
      assert_true(mi_usable_size(p) >= sizes[i]);
      memset(p, 3, sizes[i]);
      assert_int_equal(errno, MARK);
      mi_free(p);
    }
    const size_t offset = alignment > 64 ? 40 : alignment / 2;
    char* q = mi_zalloc_aligned_at(3000, alignment, offset);
    expect_aligned(q + offset, alignment);
    assert_true(is_zero(q, 3000));
    memset(q, 5, 3000);
    q = mi_realloc_aligned_at(q, 90000, alignment, offset);
    expect_aligned(q + offset, alignment);
    for (int k = 0; k < 3000; k++) assert_int_equal(q[k], 5);
    mi_free(q);
  }
}

static void bad_alignments(void** state) {
  (void)state;
  assert_fails(mi_malloc_aligned(10, opaque(0)), EINVAL);
  assert_fails(mi_malloc_aligned(10, opaque(3)), EINVAL);
  assert_fails(mi_zalloc_aligned_at(10, opaque(48), 8), EINVAL);
  assert_fails(mi_calloc_aligned(10, 2, opaque(100)), EINVAL);
  assert_fails(mi_aligned_alloc(opaque(3), 10), EINVAL);
  assert_fails(mi_aligned_alloc(opaque(0), 10), EINVAL);
  assert_fails(mi_memalign(opaque(24), 10), EINVAL);
  void* p = mi_malloc(10);
  assert_fails(mi_realloc_aligned(p, 100, opaque(12)), EINVAL);
  mi_free(p);
}

static void posix_memalign_rules(void** state) {
  (void)state;
  void* p = (void*)0x1234;
  errno = MARK;
  assert_int_equal(mi_posix_memalign(NULL, 8, 10), EINVAL);
  assert_int_equal(mi_posix_memalign(&p, opaque(0), 10), EINVAL);
  assert_int_equal(mi_posix_memalign(&p, opaque(4), 10), EINVAL);
  assert_int_equal(mi_posix_memalign(&p, opaque(24), 10), EINVAL);
  assert_int_equal(mi_posix_memalign(&p, 64, huge), ENOMEM);
  assert_ptr_equal(p, (void*)0x1234);
  assert_int_equal(mi_posix_memalign(&p, 4096, 10), 0);
  expect_aligned(p, 4096);
  mi_free(p);
  assert_int_equal(mi_posix_memalign(&p, 8, 0), 0);
  assert_non_null(p);
  mi_free(p);
  assert_int_equal(errno, MARK);
}

static void page_aligned(void** state) {
  (void)state;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void* p = mi_valloc(10);
  expect_aligned(p, page);
  mi_free(p);
  p = mi_pvalloc(page + 1);
  expect_aligned(p, page);
  assert_true(mi_usable_size(p) >= 2 * page);
  mi_free(p);
}

static void reallocarr_rules(void** state) {
  (void)state;
  char* p = NULL;
  assert_int_equal(mi_reallocarr(&p, 10, 4), 0);
  assert_non_null(p);
  char* const before = p;
  assert_int_equal(mi_reallocarr(&p, third, 4), EOVERFLOW);
  assert_int_equal(errno, EOVERFLOW);
  assert_int_equal(mi_reallocarr(&p, impossible, 1), ENOMEM);
  assert_int_equal(mi_reallocarr(NULL, 1, 1), EINVAL);
  assert_int_equal(mi_reallocarr(&p, 1, 0), EINVAL);
  assert_ptr_equal(p, before);
  assert_int_equal(mi_reallocarr(&p, 0, 4), 0);
  assert_null(p);
  p = mi_reallocarray(NULL, 3, 5);
  assert_true(mi_usable_size(p) >= 15);
  mi_free(p);
}

static void strings(void** state) {
  (void)state;
  assert_null(mi_strdup(NULL));
  assert_null(mi_strndup(NULL, 3));
  assert_null(mi_mbsdup(NULL));
  assert_null(mi_wcsdup(NULL));
  char* s = mi_strdup("allocator");
  assert_string_equal(s, "allocator");
  mi_free(s);
  const char unterminated[3] = {'a', 'b', 'c'};
  s = mi_strndup(unterminated, 3);
  assert_string_equal(s, "abc");
  mi_free(s);
  s = mi_strndup("ab", 10);
  assert_string_equal(s, "ab");
  mi_free(s);
  wchar_t* w = mi_wcsdup(L"wide");
  assert_int_equal(wcscmp(w, L"wide"), 0);
  mi_free(w);
  s = mi_realpath("/usr/../", NULL);
  assert_string_equal(s, "/");
  assert_non_null(mi_heap_of(s));
  mi_free(s);
  char buffer[PATH_MAX];
  assert_ptr_equal(mi_realpath("/", buffer), buffer);
  assert_fails(mi_realpath("/no/such/file", NULL), ENOENT);
}

static void environment_copy(void** state) {
  (void)state;
  char* value = (char*)1;
  size_t size = 99;
  setenv("API_TEST_VARIABLE", "value", 1);
  assert_int_equal(mi_dupenv_s(&value, &size, "API_TEST_VARIABLE"), 0);
  assert_string_equal(value, "value");
  assert_int_equal(size, 6);
  mi_free(value);
  assert_int_equal(mi_dupenv_s(&value, &size, "API_TEST_MISSING"), 0);
  assert_null(value);
  assert_int_equal(size, 0);
  assert_int_equal(mi_dupenv_s(NULL, &size, "HOME"), EINVAL);
  assert_int_equal(mi_dupenv_s(&value, NULL, NULL), EINVAL);
  wchar_t* wide;
  assert_int_equal(mi_wdupenv_s(&wide, &size, L"HOME"), EINVAL);
}

static void sizes_told(void** state) {
  (void)state;
  size_t size = 0, before = 0;
  char* p = mi_umalloc(33, &size);
  assert_int_equal(size, mi_usable_size(p));
  p = mi_urealloc(p, 3333, &before, &size);
  assert_int_equal(before, mi_good_size(33));
  assert_int_equal(size, mi_usable_size(p));
  mi_ufree(p, &before);
  assert_int_equal(before, size);
  mi_ufree(mi_ucalloc(5, 5, NULL), NULL);
  p = mi_uzalloc_aligned(40, 256, &size);
  expect_aligned(p, 256);
  assert_true(is_zero(p, size));
  mi_ufree(p, NULL);
  p = mi_umalloc(huge, &size);
  assert_null(p);
  assert_int_equal(size, 0);
  assert_int_equal(mi_usable_size(NULL), 0);
  assert_int_equal(mi_good_size(huge), huge);
}

static void cfree_frees_only_ours(void** state) {
  (void)state;
  int local;
  assert_false(mi_cfree(NULL));
  assert_false(mi_cfree(&local));
  assert_true(mi_cfree(mi_malloc(20)));
}

static void heaps(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  mi_heap_t* other = mi_heap_new();
  assert_non_null(heap);
  assert_ptr_not_equal(heap, other);
  char* p = mi_heap_malloc(heap, 100);
  char* q = mi_heap_zalloc(other, 200000);
  char* m = mi_malloc(100);
  assert_true(mi_heap_contains(heap, p));
  assert_false(mi_heap_contains(heap, q));
  assert_false(mi_heap_contains(heap, m));
  assert_true(mi_heap_contains(NULL, m));
  assert_ptr_equal(mi_heap_of(q), other);
  assert_ptr_equal(mi_heap_of(m), mi_heap_main());
  assert_null(mi_heap_of(&heap));
  char* s = mi_heap_strdup(heap, "string");
  assert_ptr_equal(mi_heap_of(s), heap);
  char* path = mi_heap_realpath(heap, "/", NULL);
  assert_ptr_equal(mi_heap_of(path), heap);
  memset(p, 4, 100);
  p = mi_heap_realloc(heap, p, 50000);
  assert_ptr_equal(mi_heap_of(p), heap);
  for (int i = 0; i < 100; i++) assert_int_equal(p[i], 4);
  char* a = mi_heap_malloc_aligned(heap, 100, 4096);
  expect_aligned(a, 4096);
  void* fresh = mi_heap_alloc_new_n(heap, 10, 10);
  assert_ptr_equal(mi_heap_of(fresh), heap);
  mi_heap_collect(heap, true);
  mi_heap_delete(heap); /* the blocks live on */
  for (int i = 0; i < 100; i++) assert_int_equal(p[i], 4);
  assert_string_equal(s, "string");
  assert_ptr_equal(mi_heap_of(s), mi_heap_main());
  mi_free(p);
  mi_free(s);
  mi_free(path);
  mi_free(a);
  mi_free(fresh);
  mi_free(m);
  mi_heap_destroy(other); /* and q with it */
  mi_heap_delete(NULL);
  mi_heap_destroy(NULL);
  mi_heap_destroy(mi_heap_main()); /* refused */
  mi_free(mi_malloc(10));
}

static void allocation_as_new(void** state) {
  (void)state;
  void* p = mi_new(10);
  assert_non_null(p);
  p = mi_new_realloc(p, 1000);
  p = mi_new_reallocn(p, 100, 100);
  assert_true(mi_usable_size(p) >= 10000);
  mi_free(p);
  p = mi_new_aligned(10, 1024);
  expect_aligned(p, 1024);
  mi_free(p);
  assert_null(mi_new_nothrow(huge));
  assert_null(mi_new_aligned_nothrow(impossible, 64));
  assert_null(mi_new_aligned_nothrow(10, opaque(3)));
}

typedef struct heard_s {
  int count;
  int code;
} heard_t;

static void hear_error(int code, void* arg) {
  heard_t* const heard = (heard_t*)arg;
  heard->count++;
  heard->code = code;
  mi_free(mi_malloc(50)); /* hooks may allocate, and fail */
  assert_null(mi_malloc(huge));
}

static void error_hook(void** state) {
  (void)state;
  heard_t heard = {0, 0};
  mi_register_error(&hear_error, &heard);
  assert_fails(mi_malloc(huge), ENOMEM);
  assert_int_equal(heard.code, EOVERFLOW);
  assert_int_equal(heard.count, 1);
  assert_fails(mi_malloc(impossible), ENOMEM);
  assert_int_equal(heard.code, ENOMEM);
  assert_fails(mi_malloc_aligned(1, opaque(3)), EINVAL);
  assert_int_equal(heard.code, EINVAL);
  assert_int_equal(heard.count, 3);
  mi_register_error(NULL, NULL);
  assert_null(mi_malloc(huge));
  assert_int_equal(heard.count, 3);
}

static void hear_text(const char* text, void* arg) {
  size_t* const bytes = (size_t*)arg;
  *bytes += strlen(text);
  mi_free(mi_malloc(2000));
}

static void output_hook(void** state) {
  (void)state;
  size_t bytes = 0;
  mi_stats_print_out(&hear_text, &bytes);
  assert_true(bytes > 100);
  bytes = 0;
  mi_options_print_out(&hear_text, &bytes);
  assert_true(bytes > 1000);
  bytes = 0;
  mi_register_output(&hear_text, &bytes);
  mi_stats_print(NULL);
  assert_true(bytes > 100);
  mi_register_output(NULL, NULL);
}

static void process_information(void** state) {
  (void)state;
  size_t elapsed, user, system, rss, peak, commit, peak_commit, faults;
  char* p = mi_malloc(20000000);
  memset(p, 1, 20000000);
  mi_process_info(&elapsed, &user, &system, &rss, &peak, &commit, &peak_commit, &faults);
  assert_true(rss >= 20000000);
  assert_true(peak >= rss);
  assert_true(commit >= 20000000 && peak_commit >= commit);
  mi_free(p);
  mi_process_info(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  assert_int_equal(mi_version(), 30600);
}

static unsigned long long beats;

static void on_beat(bool force, unsigned long long heartbeat, void* arg) {
  bool* const forced = (bool*)arg;
  if (force) *forced = true;
  assert_true(heartbeat > beats);
  beats = heartbeat;
  mi_free(mi_malloc(100));
}

static void deferred_free(void** state) {
  (void)state;
  bool forced = false;
  mi_register_deferred_free(&on_beat, &forced);
  mi_collect(false);
  assert_true(beats > 0);
  mi_collect(true);
  assert_true(forced);
  mi_register_deferred_free(NULL, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_call_keeps_errno),
      cmocka_unit_test(sizes_and_natural_alignment),
      cmocka_unit_test(size_zero_is_unique),
      cmocka_unit_test(failures_set_enomem),
      cmocka_unit_test(failed_realloc_keeps_the_block),
      cmocka_unit_test(realloc_rules),
      cmocka_unit_test(expand_rules),
      cmocka_unit_test(zeroed_blocks_stay_zeroed),
      cmocka_unit_test(every_alignment),
      cmocka_unit_test(bad_alignments),
      cmocka_unit_test(posix_memalign_rules),
      cmocka_unit_test(page_aligned),
      cmocka_unit_test(reallocarr_rules),
      cmocka_unit_test(strings),
      cmocka_unit_test(environment_copy),
      cmocka_unit_test(sizes_told),
      cmocka_unit_test(cfree_frees_only_ours),
      cmocka_unit_test(heaps),
      cmocka_unit_test(allocation_as_new),
      cmocka_unit_test(error_hook),
      cmocka_unit_test(output_hook),
      cmocka_unit_test(process_information),
      cmocka_unit_test(deferred_free),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
