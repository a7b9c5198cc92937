/* SPDX-License-Identifier: MIT */
/* MIMALLOC_SHOW_STATS prints to the stderr that the program was started with, whatever has become of
   descriptor 2, and to no other file.  This program runs itself again with a way of leaving. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mimalloc.h"

enum { STDERR_CLOSED = 1, STDERR_OPEN = 0 };

static char first[] = "first-XXXXXX"; /* what the child is given as stderr */
static char other[] = "other-XXXXXX"; /* what it opens itself */

static int count_in(const char* path, const char* words) {
  static char text[65536];
  const int file = open(path, O_RDONLY);
  assert_true(file >= 0);
  const ssize_t got = read(file, text, sizeof(text) - 1);
  assert_true(got >= 0);
  close(file);
  text[got] = 0;
  int count = 0;
  for (const char* at = text; (at = strstr(at, words)) != NULL; at++) count++;
  return count;
}

/* Run the child; how often each file got the statistics.  A child that cannot do its part ends with 3. */
static void expect(const char* way, int stderr_is, int in_first, int in_other) {
  assert_int_equal(truncate(first, 0), 0);
  assert_int_equal(truncate(other, 0), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int file = open(first, O_WRONLY | O_APPEND | O_CLOEXEC);
    dup2(file, STDERR_FILENO);
    if (stderr_is == STDERR_CLOSED) close(STDERR_FILENO);
    setenv("MIMALLOC_SHOW_STATS", "1", 1);
    execl("/proc/self/exe", "exit_statistics", way, other, (char*)NULL);
    _exit(127);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  if (count_in(first, "mimalloc: served:") != in_first) fail_msg("%s: wrong number in the first stderr", way);
  if (count_in(other, "mimalloc:") != in_other) fail_msg("%s: wrong number in another file", way);
}

static void to_an_open_stderr(void** state) {
  (void)state;
  expect("leave", STDERR_OPEN, 1, 0);
}

static void to_the_first_stderr(void** state) {
  (void)state;
  expect("close", STDERR_OPEN, 1, 0);
  expect("replace", STDERR_OPEN, 1, 0);
}

static void to_no_other_file(void** state) {
  (void)state;
  expect("leave", STDERR_CLOSED, 0, 0);
  expect("open", STDERR_CLOSED, 0, 0);
  expect("close-all", STDERR_OPEN, 0, 0);
  expect("replace-all", STDERR_OPEN, 0, 0);
}

static void by_a_forked_child(void** state) {
  (void)state;
  expect("fork", STDERR_OPEN, 2, 0);
}

static void by_a_descriptor_that_exec_closes(void** state) {
  (void)state;
  expect("look-at-descriptors", STDERR_OPEN, 1, 0);
}

/* ---- the child ---- */

static void ignore(const char* text, void* argument) {
  (void)text;
  (void)argument;
}

static int leave(const char* way, const char* path) {
  mi_free(mi_malloc(100));
  mi_stats_print_out(ignore, NULL); /* so that a static library's statistics are linked */
  const int all = strstr(way, "-all") != NULL;
  if (strncmp(way, "close", 5) == 0 || strncmp(way, "replace", 7) == 0) {
    for (int file = STDERR_FILENO; file < (all ? 2048 : STDERR_FILENO + 1); file++) close(file);
  }
  if (strncmp(way, "replace", 7) == 0 || strcmp(way, "open") == 0) {
    if (open(path, O_WRONLY | O_APPEND) != STDERR_FILENO) return 3;
    for (int i = 0; all && i < 1000; i++) { /* also in the place of the library's own descriptor */
      if (open(path, O_WRONLY | O_APPEND) < 0) break;
    }
  }
  if (strcmp(way, "fork") == 0) {
    const pid_t child = fork();
    close(STDERR_FILENO);
    int status = 0;
    if (child != 0 && (waitpid(child, &status, 0) != child || status != 0)) return 3;
  }
  if (strcmp(way, "look-at-descriptors") == 0) {
    int closing = 0; /* what was inherited through exec is not among them */
    for (int file = STDERR_FILENO + 1; file < 2048; file++) {
      const int flags = fcntl(file, F_GETFD);
      if (flags >= 0 && (flags & FD_CLOEXEC) != 0) closing += file > 8 ? 1 : 100;
    }
    return closing == 1 ? 0 : 3;
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 3) return leave(argv[1], argv[2]);
  close(mkstemp(first));
  close(mkstemp(other));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(to_an_open_stderr),
      cmocka_unit_test(to_the_first_stderr),
      cmocka_unit_test(to_no_other_file),
      cmocka_unit_test(by_a_forked_child),
      cmocka_unit_test(by_a_descriptor_that_exec_closes),
  };
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(first);
  unlink(other);
  return failed;
}
