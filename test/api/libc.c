/* SPDX-License-Identifier: MIT */
/* The C library's allocation functions as this library answers them: run linked, preloaded and static.  The
   program knows nothing of mimalloc but the name of one function, by which it proves whose malloc it has. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo */

#define MARK 4711 /* errno before a call that must not touch it */

static volatile size_t too_large = (size_t)PTRDIFF_MAX + 1;
static volatile size_t impossible = (size_t)1 << 46;
static volatile size_t third = SIZE_MAX / 3;

/* What the compiler must not know: it has opinions about such alignments. */
static size_t opaque(size_t value) {
  volatile size_t copy = value;
  return copy;
}

/* Functions that older C libraries lack are found only when the program runs. */
typedef int version_function_t(void);
typedef void free_sized_function_t(void* p, size_t size);
typedef void free_aligned_sized_function_t(void* p, size_t alignment, size_t size);

#define assert_fails(call, code)     \
  do {                               \
    errno = 0;                       \
    assert_null(call);               \
    assert_int_equal(errno, (code)); \
  } while (0)

static void expect_aligned(const void* p, size_t alignment) {
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % alignment, 0);
}

static void served_by_us(void** state) {
  (void)state;
  version_function_t* const version = (version_function_t*)dlsym(RTLD_DEFAULT, "mi_version");
  assert_non_null(version);
  assert_int_equal(version(), 30600);
}

static void* first_calls(void* arg) {
  (void)arg;
  errno = MARK;
  void* p = malloc(100);
  int ok = errno == MARK;
  free(p);
  free(NULL);
  return ok && errno == MARK ? arg : NULL;
}

static void errno_of_first_calls(void** state) {
  (void)state;
  int token;
  pthread_t thread;
  void* result;
  assert_int_equal(pthread_create(&thread, NULL, first_calls, &token), 0);
  pthread_join(thread, &result);
  assert_ptr_equal(result, &token);
}

static void success_keeps_errno(void** state) {
  (void)state;
  void* blocks[64];
  errno = MARK;
  for (size_t round = 0; round < 40; round++) {
    for (size_t i = 0; i < 64; i++) blocks[i] = i % 2 != 0 ? malloc(round * 5000) : calloc(round, 7000);
    for (size_t i = 0; i < 64; i++) blocks[i] = realloc(blocks[i], 1 + round * 900);
    for (size_t i = 0; i < 64; i++) free(blocks[i]);
  }
  malloc_trim(0);
  assert_int_equal(errno, MARK);
}

/* Clang knows valloc for an allocator, whatever it is told: to it an unused block is never NULL. */
static void* (*volatile call_valloc)(size_t) = &valloc;

static void failure_is_enomem(void** state) {
  (void)state;
  assert_fails(malloc(too_large), ENOMEM);
  assert_fails(malloc(impossible), ENOMEM);
  assert_fails(calloc(third, 4), ENOMEM);
  assert_fails(calloc(impossible, 1), ENOMEM);
  assert_fails(realloc(NULL, too_large), ENOMEM);
  assert_fails(reallocarray(NULL, third, 4), ENOMEM);
  assert_fails(memalign(64, too_large), ENOMEM);
  assert_fails(aligned_alloc(64, impossible), ENOMEM);
  assert_fails(call_valloc(too_large), ENOMEM);
  assert_fails(pvalloc(SIZE_MAX - 100), ENOMEM);
  char* p = malloc(100);
  memset(p, 3, 100);
  assert_fails(realloc(p, impossible), ENOMEM);
  char* volatile kept = p; /* the compiler believes that reallocarray has freed p */
  assert_fails(reallocarray(p, third, 4), ENOMEM);
  p = kept;
  for (int i = 0; i < 100; i++) assert_int_equal(p[i], 3);
  free(p);
}

static void realloc_rules(void** state) {
  (void)state;
  char* p = realloc(NULL, 0);
  assert_non_null(p);
  errno = MARK;
  assert_null(realloc(p, 0)); /* frees */
  assert_int_equal(errno, MARK);
  void* a = malloc(0);
  void* b = malloc(0);
  assert_non_null(a);
  assert_ptr_not_equal(a, b);
  free(a);
  free(b);
  p = reallocarray(NULL, 10, 10);
  assert_true(malloc_usable_size(p) >= 100);
  assert_null(reallocarray(p, 0, 10));
  assert_int_equal(malloc_usable_size(NULL), 0);
}

static void usable_size_is_writable(void** state) {
  (void)state;
  for (size_t n = 1; n < 3000000; n = n * 2 + 7) {
    char* p = malloc(n);
    const size_t usable = malloc_usable_size(p);
    assert_true(usable >= n);
    memset(p, 0x5a, usable);
    free(p);
  }
}

static void alignments(void** state) {
  (void)state;
  assert_fails(aligned_alloc(opaque(0), 64), EINVAL);
  assert_fails(aligned_alloc(opaque(24), 48), EINVAL);
  assert_fails(memalign(opaque(SIZE_MAX / 2 + 2), 8), EINVAL);
  void* p = memalign(opaque(24), 100); /* rounded up to 32 */
  expect_aligned(p, 32);
  free(p);
  p = memalign(opaque(0), 100);
  expect_aligned(p, 16);
  free(p);
  p = memalign(opaque(4097), 10);
  expect_aligned(p, 8192);
  free(p);
  p = aligned_alloc(1 << 20, 5);
  expect_aligned(p, 1 << 20);
  ((free_aligned_sized_function_t*)dlsym(RTLD_DEFAULT, "free_aligned_sized"))(p, 1 << 20, 5);
  p = (void*)0x77;
  errno = MARK;
  assert_int_equal(posix_memalign(&p, opaque(2), 8), EINVAL);
  assert_int_equal(posix_memalign(&p, opaque(24), 8), EINVAL);
  assert_int_equal(posix_memalign(&p, 64, too_large), ENOMEM);
  assert_ptr_equal(p, (void*)0x77);
  assert_int_equal(posix_memalign(&p, 1 << 16, 8), 0);
  assert_int_equal(errno, MARK);
  expect_aligned(p, 1 << 16);
  free(p);
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  p = valloc(10);
  expect_aligned(p, page);
  free(p);
  p = pvalloc(page + 1);
  expect_aligned(p, page);
  assert_true(malloc_usable_size(p) >= 2 * page);
  ((free_sized_function_t*)dlsym(RTLD_DEFAULT, "free_sized"))(p, 2 * page); /* what pvalloc made of it */
}

static void the_c_library_uses_it(void** state) {
  (void)state;
  const size_t before = mallinfo2().uordblks;
  char* copies[1000];
  for (int i = 0; i < 1000; i++) copies[i] = strdup("a string of forty-eight bytes with its terminator.");
  assert_true(mallinfo2().uordblks >= before + 48000);
  for (int i = 0; i < 1000; i++) free(copies[i]);
  assert_true(mallinfo2().uordblks < before + 48000);
}

static void mallinfo_tells_the_truth(void** state) {
  (void)state;
  const struct mallinfo2 before = mallinfo2();
  char* big = malloc(50000000);
  char* small[1000];
  for (int i = 0; i < 1000; i++) small[i] = malloc(1000);
  const struct mallinfo2 after = mallinfo2();
  assert_true(after.hblkhd >= before.hblkhd + 50000000);
  assert_int_equal(after.hblks, before.hblks + 1);
  assert_true(after.uordblks >= before.uordblks + 1000000);
  assert_true(after.uordblks <= before.uordblks + 1200000);
  assert_int_equal(after.arena, after.uordblks + after.fordblks);
  assert_int_equal(mallinfo().hblks, (int)after.hblks);
  free(big);
  for (int i = 0; i < 1000; i++) free(small[i]);
  assert_int_equal(mallinfo2().hblks, before.hblks);
}

static void trim_releases(void** state) {
  (void)state;
  char* big = malloc(60000000);
  memset(big, 1, 60000000);
  free(big);
  assert_int_equal(malloc_trim(0), 1);
  assert_true(mallinfo2().keepcost < 1000000);
  assert_int_equal(malloc_trim(0), 0);
}

static void info_is_xml(void** state) {
  (void)state;
  char* text = NULL;
  size_t size = 0;
  FILE* file = open_memstream(&text, &size);
  assert_int_equal(malloc_info(1, file), EINVAL);
  assert_int_equal(malloc_info(0, file), 0);
  fclose(file);
  assert_int_equal(strncmp(text, "<malloc version=\"1\">\n", 21), 0);
  assert_non_null(strstr(text, "<total type=\"rest\""));
  assert_string_equal(text + size - 10, "</malloc>\n");
  free(text);
}

static void mallopt_maps_or_refuses(void** state) {
  (void)state;
  assert_int_equal(mallopt(M_MXFAST, 64), 0);
  assert_int_equal(mallopt(M_ARENA_MAX, 1), 0);
  assert_int_equal(mallopt(12345, 1), 0);
  assert_int_equal(mallopt(M_TRIM_THRESHOLD, -1), 1);
  assert_int_equal(mallopt(M_CHECK_ACTION, 3), 1);
}

static void stats_go_to_stderr(void** state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    malloc_stats();
    _exit(0);
  }
  close(ends[1]);
  char text[64];
  assert_true(read(ends[0], text, sizeof(text)) > 10);
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(served_by_us),
      cmocka_unit_test(errno_of_first_calls),
      cmocka_unit_test(success_keeps_errno),
      cmocka_unit_test(failure_is_enomem),
      cmocka_unit_test(realloc_rules),
      cmocka_unit_test(usable_size_is_writable),
      cmocka_unit_test(alignments),
      cmocka_unit_test(the_c_library_uses_it),
      cmocka_unit_test(mallinfo_tells_the_truth),
      cmocka_unit_test(trim_releases),
      cmocka_unit_test(info_is_xml),
      cmocka_unit_test(mallopt_maps_or_refuses),
      cmocka_unit_test(stats_go_to_stderr),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
