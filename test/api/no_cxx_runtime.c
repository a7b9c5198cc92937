/* SPDX-License-Identifier: MIT */
/* A program in C without a C++ runtime: mi_new serves it, and when it cannot, says so and aborts. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mimalloc.h"

static volatile size_t impossible = (size_t)1 << 46;

static void serves(void** state) {
  (void)state;
  void* p = mi_new(100);
  assert_non_null(p);
  mi_free(p);
  assert_null(mi_new_nothrow(impossible));
}

static void aborts_with_a_message(void** state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    mi_free(mi_new(impossible));
    _exit(0);
  }
  close(ends[1]);
  char text[512] = {0};
  assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
  close(ends[0]);
  assert_non_null(strstr(text, "mimalloc: error: out of memory"));
  int status;
  waitpid(child, &status, 0);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(serves), cmocka_unit_test(aborts_with_a_message)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
