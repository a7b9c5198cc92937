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
  assert_int_equal(mi_option_get_size(mi_option_arena_reserve), (size_t)64 << 20);
  assert_int_equal(mi_option_get((mi_option_t)-1), 0);
  assert_int_equal(mi_option_get(_mi_option_last), 0);
  mi_option_set(_mi_option_last, 1);
}

/* Run this program with one more variable; what it wrote to stdout and to stderr. */
static const char* run(const char* variable, const char* value, const char* argument) {
  static char text[65536];
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    if (variable != NULL && value == NULL) { /* a word without '=' */
      char* const environment[] = {(char*)(uintptr_t)variable, (char*)(uintptr_t)"77", NULL};
      execle("/proc/self/exe", "options", argument, (char*)NULL, environment);
      _exit(127);
    }
    if (variable != NULL) setenv(variable, value, 1);
    execl("/proc/self/exe", "options", argument, (char*)NULL);
    _exit(127);
  }
  close(ends[1]);
  size_t used = 0;
  for (ssize_t got; (got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0;) used += (size_t)got;
  text[used] = 0;
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  return text;
}

static int count_in(const char* text, const char* words) {
  int count = 0;
  for (const char* at = text; (at = strstr(at, words)) != NULL; at++) count++;
  return count;
}

/* The option's value under the variable, and what is complained about, once, or nothing at all. */
static void expect(const char* variable, const char* value, mi_option_t option, long expected,
                   const char* complaint) {
  char number[16];
  char line[64];
  snprintf(number, sizeof(number), "%d", (int)option);
  const char* const text = run(variable, value, number);
  snprintf(line, sizeof(line), "value %ld\n", expected);
  if (strstr(text, line) == NULL) fail_msg("%s=%s: expected %s, got %s", variable, value, line, text);
  const int warnings = count_in(text, "mimalloc: warning: ");
  const int lines = count_in(text, "\n");
  if (lines != (complaint == NULL ? 1 : 2) || warnings != lines - 1)
    fail_msg("%s=%s: %d warnings: %s", variable, value, warnings, text);
  if (complaint != NULL && strstr(text, complaint) == NULL) fail_msg("%s=%s: %s", variable, value, text);
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
  expect("MIMALLOC_ARENA_RESERVE", "5kIb", size, 5, NULL);
}

/* As mimalloc 3.6.0 reads them (test/port/binaries compares with it). */
static void edges_of_the_environment(void** state) {
  (void)state;
  const mi_option_t size = mi_option_arena_reserve;
  expect("MIMALLOC_ARENA_RESERVE", "-1", size, 0, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "-64K", size, 0, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "64", size, 1, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "0x800", size, 2, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "20000000T", size, 1L << 53, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "off", size, 0, NULL);
  expect("MIMALLOC_ARENA_RESERVE", "", size, 1, NULL);
  expect("MIMALLOC_PURGE_DELAY", " 7", mi_option_purge_delay, 7, NULL);
  expect("MIMALLOC_PURGE_DELAY", "-0x5", mi_option_purge_delay, -5, NULL);
  expect("MIMALLOC_PURGE_DELAY", "+7", mi_option_purge_delay, 7, NULL);
  expect("MIMALLOC_PURGE_DELAY", "9223372036854775807", mi_option_purge_delay, 9223372036854775807, NULL);
  expect("MIMALLOC_PROFILE_SAMPLE_RATE", "5K", mi_option_profile_sample_rate, 5 * 1024, NULL);
}

static void older_names(void** state) {
  (void)state;
  static const struct {
    const char* name;
    mi_option_t option;
  } names[] = {
      {"EAGER_COMMIT", mi_option_deprecated_eager_commit},
      {"EAGER_REGION_COMMIT", mi_option_arena_eager_commit},
      {"RESET_DECOMMITS", mi_option_purge_decommits},
      {"LARGE_OS_PAGES", mi_option_allow_large_os_pages},
      {"SEGMENT_CACHE", mi_option_deprecated_segment_cache},
      {"PAGE_RESET", mi_option_deprecated_page_reset},
      {"ABANDONED_PAGE_PURGE", mi_option_deprecated_abandoned_page_purge},
      {"SEGMENT_RESET", mi_option_deprecated_segment_reset},
      {"EAGER_COMMIT_DELAY", mi_option_deprecated_eager_commit_delay},
      {"RESET_DELAY", mi_option_purge_delay},
      {"LIMIT_OS_ALLOC", mi_option_disallow_os_alloc},
      {"MAX_SEGMENT_RECLAIM", mi_option_deprecated_max_segment_reclaim},
      {"PURGE_EXTEND_DELAY", mi_option_deprecated_purge_extend_delay},
      {"DECOMMIT_EXTEND_DELAY", mi_option_deprecated_purge_extend_delay},
      {"VISIT_ABANDONED", mi_option_deprecated_visit_abandoned},
      {"GUARDED_PRECISE", mi_option_unsafe_guarded_precise},
      {"ABANDONED_RECLAIM_ON_FREE", mi_option_page_reclaim_on_free},
  };
  setenv("MIMALLOC_SHOW_ERRORS", "0", 1); /* what some of them refuse is no complaint */
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    char variable[64];
    snprintf(variable, sizeof(variable), "MIMALLOC_%s", names[i].name);
    expect(variable, "37", names[i].option, 37, NULL);
  }
  expect("MIMALLOC_MINIMAL_PURGE_SIZE", "37K", mi_option_arena_purge_min_size, 37, NULL);
  unsetenv("MIMALLOC_SHOW_ERRORS");
}

static void mistakes_in_the_environment(void** state) {
  (void)state;
  expect("MIMALLOC_PURGE_DELAI", "77", mi_option_purge_delay, 500,
         "no option PURGE_DELAI (in the environment); is purge_delay meant?\n");
  expect("MIMALLOC_purge_dleay", "77", mi_option_purge_delay, 500, "is purge_delay meant?\n");
  expect("MIMALLOC_SHOW_STAT", "1", mi_option_show_stats, 0, "is show_stats meant?\n");
  expect("MIMALLOC_RESET_DELAYS", "1", mi_option_purge_delay, 500, "is purge_delay meant?\n");
  expect("MIMALLOC_VISIT_ABANDONNED", "1", mi_option_deprecated_visit_abandoned, 1,
         "is deprecated_visit_abandoned meant?\n");
  expect("MIMALLOC_PURGE", "1", mi_option_purge_delay, 500, "no option PURGE (in the environment)\n");
  expect("MIMALLOC_", "1", mi_option_purge_delay, 500, "no option  (in the environment)\n");
  expect("MIMALLOC_A_NAME_THAT_IS_LONGER_THAN_THE_NAME_OF_ANY_OPTION", "1", mi_option_purge_delay, 500,
         "OPTION (in the environment)\n");
  expect("MIMALLOC_ARENA_RESERVE", "64 K", mi_option_arena_reserve, 64 * 1024, "64 K");
  expect("MIMALLOC_PURGE_DELAY", "1x", mi_option_purge_delay, 500, "1x");
  expect("MIMALLOC_PURGE_DELAY", "-9223372036854775808", mi_option_purge_delay, 500, "-92233");
  expect("MIMALLOC_PURGE_DELAY", "soon", mi_option_purge_delay, 500, "soon");
  expect("MIMALLOC_PURGE_DELAY", "10K", mi_option_purge_delay, 500, "10K");
  expect("MIMALLOC_PURGE_DELAY", NULL, mi_option_purge_delay, 500, "without");
  expect("MIMALLOC_ARENA_RESERVE", "1X", mi_option_arena_reserve, 64 * 1024, "1X");
  expect("MIMALLOC_ARENA_RESERVE", "99999999999999999999", mi_option_arena_reserve, 64 * 1024, "99999");
}

/* Once in a process, whatever it does then: fork, print its options, allocate. */
static void a_mistake_is_told_once(void** state) {
  (void)state;
  const char* const text = run("MIMALLOC_PURGE_DELAI", "77", "busy");
  assert_int_equal(count_in(text, "mimalloc: warning: "), 1);
  assert_int_equal(count_in(text, "done\n"), 2);
}

static void nothing_is_printed_unasked(void** state) {
  (void)state;
  assert_string_equal(run(NULL, NULL, "allocate"), "done\n");
  assert_string_equal(run("MIMALLOC_SHOW_ERRORS", "0", "fail"), "done\n");
}

static void errors_are_shown(void** state) {
  (void)state;
  const char* text = run("MIMALLOC_SHOW_ERRORS", "1", "fail");
  assert_int_equal(count_in(text, "mimalloc: error: allocation: "), 3);
  assert_int_equal(count_in(text, "\n"), 4); /* and nothing else */
  text = run("MIMALLOC_VERBOSE", "1", "fail");
  assert_int_equal(count_in(text, "mimalloc: error: allocation: "), 3);
}

static void verbose_tells_what_happens(void** state) {
  (void)state;
  const char* const text = run("MIMALLOC_VERBOSE", "1", "allocate");
  assert_int_equal(count_in(text, "option "), _mi_option_last);
  assert_int_equal(count_in(text, "option verbose: 1 (set): "), 1);
  assert_int_equal(count_in(text, "option purge_delay: 500 ms: "), 1);
  assert_true(count_in(text, " MiB of addresses reserved at ") > 0);
}

static void statistics_are_shown(void** state) {
  (void)state;
  const char* const text = run("MIMALLOC_SHOW_STATS", "yes", "allocate");
  assert_int_equal(count_in(text, "mimalloc: served: blocks="), 1);
  assert_int_equal(count_in(text, "mimalloc: statistics of process "), 1);
  assert_string_equal(run("MIMALLOC_SHOW_STATS", "no", "allocate"), "done\n");
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

static void discard(const char* text, void* arg) {
  (void)text;
  (void)arg;
}

/* What a child does when it is not asked for an option's value. */
static int act(const char* what) {
  if (strcmp(what, "fail") == 0) {
    volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;
    for (int i = 0; i < 3; i++)
      if (mi_malloc(too_much) != NULL) return 0;
  } else if (strcmp(what, "allocate") == 0) {
    mi_free(mi_malloc(1));
  } else if (strcmp(what, "busy") == 0) {
    mi_free(mi_malloc(1));
    mi_options_print_out(discard, NULL);
    mi_stats_print_out(discard, NULL); /* and so it is linked from a plain archive */
    const pid_t child = fork();
    mi_free(mi_malloc(100000));
    if (child != 0) waitpid(child, NULL, 0);
  } else {
    return 0;
  }
  printf("done\n");
  return 1;
}

int main(int argc, char** argv) {
  if (argc > 1 && act(argv[1])) return 0;
  if (argc > 1) {
    printf("value %ld\n", mi_option_get((mi_option_t)atoi(argv[1])));
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_are_fixed),
      cmocka_unit_test(set_and_get),
      cmocka_unit_test(environment),
      cmocka_unit_test(edges_of_the_environment),
      cmocka_unit_test(older_names),
      cmocka_unit_test(mistakes_in_the_environment),
      cmocka_unit_test(a_mistake_is_told_once),
      cmocka_unit_test(nothing_is_printed_unasked),
      cmocka_unit_test(errors_are_shown),
      cmocka_unit_test(verbose_tells_what_happens),
      cmocka_unit_test(statistics_are_shown),
      cmocka_unit_test(each_option_is_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
