/* SPDX-License-Identifier: MIT */
/* Options: numbers that are part of the binary interface, setting and defaults, and the environment, which is
   read by running this program again under each. */
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

static void numbers_are_fixed(void** state) {
  (void)state;
  assert_int_equal(mi_option_show_errors, 0);
  assert_int_equal(mi_option_purge_delay, 15);
  assert_int_equal(mi_option_max_errors, 19);
  assert_int_equal(mi_option_destroy_on_exit, 22);
  assert_int_equal(mi_option_guarded_min, 29);
  assert_int_equal(mi_option_allow_thp, 43);
  assert_int_equal(mi_option_arena_purge_immediate_size, 53);
  assert_int_equal(mi_option_reset_delay, mi_option_purge_delay);
  assert_int_equal(mi_option_large_os_pages, 6);
}

static void set_and_get(void** state) {
  (void)state;
  const mi_option_t option = mi_option_os_tag;
  assert_int_equal(mi_option_get(option), 100);
  mi_option_set_default(option, 7);
  assert_int_equal(mi_option_get(option), 7);
  mi_option_set(option, 9);
  mi_option_set_default(option, 8); /* too late */
  assert_int_equal(mi_option_get(option), 9);
  assert_int_equal(mi_option_get_clamp(option, 20, 30), 20);
  assert_int_equal(mi_option_get_clamp(option, 0, 5), 5);
  assert_int_equal(mi_option_get_clamp(option, 0, 50), 9);
  mi_option_disable(option);
  assert_false(mi_option_is_enabled(option));
  mi_option_set_enabled_default(option, true);
  assert_false(mi_option_is_enabled(option));
  mi_option_enable(option);
  assert_true(mi_option_is_enabled(option));
  mi_option_set_enabled(option, false);
  assert_int_equal(mi_option_get(option), 0);
  mi_option_set(option, -5);
  assert_int_equal(mi_option_get_size(option), 0);
  assert_int_equal(mi_option_get_size(mi_option_arena_reserve), (size_t)1 << 30);
  assert_int_equal(mi_option_get((mi_option_t)-1), 0);
  assert_int_equal(mi_option_get(_mi_option_last), 0);
  mi_option_set(_mi_option_last, 1);
}

/* Run this program with one more variable; its two lines: the option's value, and what it wrote to stderr. */
static void expect(const char* variable, const char* value, mi_option_t option, long expected,
                   const char* complaint) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof(number), "%d", (int)option);
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    if (value == NULL) { /* a word without '=' */
      char* const environment[] = {(char*)(uintptr_t)variable, (char*)(uintptr_t)"77", NULL};
      execle("/proc/self/exe", "options", number, (char*)NULL, environment);
      _exit(127);
    }
    setenv(variable, value, 1);
    execl("/proc/self/exe", "options", number, (char*)NULL);
    _exit(127);
  }
  close(ends[1]);
  char text[1024] = {0};
  size_t used = 0;
  for (ssize_t got; (got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0;) used += (size_t)got;
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  char line[64];
  snprintf(line, sizeof(line), "value %ld\n", expected);
  if (strstr(text, line) == NULL) fail_msg("%s=%s: expected %s, got %s", variable, value, line, text);
  const char* const warning = strstr(text, "mimalloc: warning: ");
  if (complaint == NULL) {
    if (warning != NULL) fail_msg("%s=%s: %s", variable, value, text);
  } else {
    if (warning == NULL || strstr(warning, complaint) == NULL) fail_msg("%s=%s: %s", variable, value, text);
    assert_null(strstr(warning + 1, "mimalloc: warning: ")); /* once */
  }
}

static void environment(void** state) {
  (void)state;
  const mi_option_t flag = mi_option_retry_on_oom;
  const mi_option_t size = mi_option_arena_reserve;
  expect("MIMALLOC_PURGE_DELAY", "77", mi_option_purge_delay, 77, NULL);
  expect("mimalloc_purge_delay", "-1", mi_option_purge_delay, -1, NULL);
  expect("MiMalloc_Reset_Delay", "5", mi_option_purge_delay, 5, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "yes", flag, 1, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "On", flag, 1, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "TRUE", flag, 1, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "", flag, 1, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "no", flag, 0, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "off", flag, 0, NULL);
  expect("MIMALLOC_RETRY_ON_OOM", "False", flag, 0, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "2GiB", size, 2 * 1024 * 1024, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "3m", size, 3 * 1024, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "64KB", size, 64, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "1T", size, 1024 * 1024 * 1024, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "1025", size, 2, NULL);
  expect("MIMALLOC_LARGE_OS_PAGES", "1", mi_option_allow_large_os_pages, 1, NULL);
}

static void mistakes_in_the_environment(void** state) {
  (void)state;
  expect("MIMALLOC_PURGE_DELAI", "77", mi_option_purge_delay, 500, "PURGE_DELAI");
  expect("MIMALLOC_PURGE_DELAY", "soon", mi_option_purge_delay, 500, "soon");
  expect("MIMALLOC_PURGE_DELAY", "10K", mi_option_purge_delay, 500, "10K");
  expect("MIMALLOC_PURGE_DELAY", NULL, mi_option_purge_delay, 500, "without");
  expect("MIMALLOC_ARENA_RESERVE", "1X", mi_option_arena_reserve, 1024 * 1024, "1X");
  expect("MIMALLOC_ARENA_RESERVE", "99999999999999999999", mi_option_arena_reserve, 1024 * 1024, "99999");
}

static void count_lines(const char* text, void* arg) {
  int* const lines = (int*)arg;
  for (; *text != 0; text++) *lines += *text == '\n';
}

static void each_option_is_listed(void** state) {
  (void)state;
  int lines = 0;
  mi_options_print_out(&count_lines, &lines);
  assert_int_equal(lines, _mi_option_last);
}

int main(int argc, char** argv) {
  if (argc > 1) {
    printf("value %ld\n", mi_option_get((mi_option_t)atoi(argv[1])));
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_are_fixed),     cmocka_unit_test(set_and_get),
      cmocka_unit_test(environment),           cmocka_unit_test(mistakes_in_the_environment),
      cmocka_unit_test(each_option_is_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
