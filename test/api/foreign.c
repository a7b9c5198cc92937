/* SPDX-License-Identifier: MIT */
/* Pointers that are not ours, in a program whose malloc we have replaced: blocks of the C library's own
   malloc go back to it; what cannot be a block of anybody is reported and aborts. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mimalloc.h"

typedef void* malloc_function_t(size_t);

static malloc_function_t* libc_malloc;
static char initialised[64] = "static data";
static char zeroed[100000];

/* By the path of its file: dlopen takes the bare name for our library (src/override/dlopen.c). */
static int find_libc(void** state) {
  (void)state;
  Dl_info where;
  if (dladdr(dlsym(RTLD_DEFAULT, "getpid"), &where) == 0) return -1;
  void* const libc = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (libc != NULL) libc_malloc = (malloc_function_t*)dlsym(libc, "malloc");
  return libc_malloc != NULL && (void*)libc_malloc != dlsym(RTLD_DEFAULT, "malloc") ? 0 : -1;
}

static void blocks_of_libc_go_back(void** state) {
  (void)state;
  for (size_t n = 10; n < 2000000; n *= 3) {
    char* p = libc_malloc(n);
    assert_null(mi_heap_of(p));
    assert_true(malloc_usable_size(p) >= n);
    memset(p, 5, n);
    p = realloc(p, 2 * n);
    assert_null(mi_heap_of(p)); /* still the other allocator's */
    for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 5);
    free(p);
    free(libc_malloc(n));
  }
}

/* The child's line on stderr when it frees p; it must abort. */
static void expect_abort(void* p, const char* words) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    free(p);
    _exit(0);
  }
  close(ends[1]);
  char text[512] = {0};
  const ssize_t got = read(ends[0], text, sizeof(text) - 1);
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  assert_true(got > 0);
  assert_non_null(strstr(text, "mimalloc: error: free of 0x"));
  if (strstr(text, words) == NULL) fail_msg("expected \"%s\" in: %s", words, text);
  assert_ptr_equal(strchr(text, '\n'), text + got - 1); /* one line */
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void* hidden(void* p) {
  void* volatile copy = p;
  return copy;
}

static void what_is_no_block_aborts(void** state) {
  (void)state;
  long local[8] = {0};
  char* const text_page = (char*)(uintptr_t)&what_is_no_block_aborts;
  char* const gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(gone, 4096);
  expect_abort(hidden(local), "on the stack");
  expect_abort(hidden(initialised), "static data");
  expect_abort(hidden(zeroed + 50000), "static data");
  expect_abort(hidden(text_page - (uintptr_t)text_page % 16), "static data or code");
  expect_abort(hidden(gone), "without memory");
  expect_abort(hidden((void*)64), "without memory");
  expect_abort(hidden((char*)local + 1), "misaligned");
}

static void what_is_no_block_is_ignored_on_request(void** state) {
  (void)state;
  mi_option_enable(mi_option_continue_on_error);
  long local[8] = {0};
  free(hidden(local));
  assert_int_equal(malloc_usable_size(hidden(initialised)), 0);
  assert_null(realloc(hidden(local), 100));
  mi_option_disable(mi_option_continue_on_error);
  free(malloc(10));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_of_libc_go_back),
      cmocka_unit_test(what_is_no_block_aborts),
      cmocka_unit_test(what_is_no_block_is_ignored_on_request),
  };
  return cmocka_run_group_tests(tests, find_libc, NULL);
}
