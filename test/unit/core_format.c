/* SPDX-License-Identifier: MIT */
/* The formatter against the C library's, over directives, widths and cut-offs. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/format.h"

#define expect_same(...)                                           \
  do {                                                             \
    char ours[256], theirs[256];                                   \
    const size_t n = format_text(ours, sizeof(ours), __VA_ARGS__); \
    snprintf(theirs, sizeof(theirs), __VA_ARGS__);                 \
    assert_string_equal(ours, theirs);                             \
    assert_int_equal(n, strlen(ours));                             \
  } while (0)

static void numbers(void** state) {
  (void)state;
  static const long values[] = {0, 1, -1, 9, 10, -10, 12345, INT_MAX, INT_MIN, LONG_MAX, LONG_MIN};
  for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
    const long v = values[i];
    expect_same("%d|%5d|%-5d|%05d|", (int)v, (int)v, (int)v, (int)v);
    expect_same("%ld|%25ld|%-25ld|%025ld|%lld", v, v, v, v, (long long)v);
    expect_same("%u|%lu|%zu|%llu", (unsigned)v, (unsigned long)v, (size_t)v, (unsigned long long)v);
    expect_same("%x|%lx|%08x|%-8x|", (unsigned)v, (unsigned long)v, (unsigned)v, (unsigned)v);
  }
}

static void texts(void** state) {
  (void)state;
  expect_same("%s|%10s|%-10s|%.3s|%.*s|%c|%%|%5c|", "text", "right", "left", "truncated", 2, "xyz", 'c', 'd');
  expect_same("%s%s%s", "", "a", "");
  expect_same("%p", (void*)state);
  char text[16];
  const char* volatile nothing = NULL;
  format_text(text, sizeof(text), "%s", nothing);
  assert_string_equal(text, "(null)");
}

static void cut_off(void** state) {
  (void)state;
  char text[8] = "1234567";
  assert_int_equal(format_text(text, 5, "%s %d", "abcdef", 7), 4);
  assert_string_equal(text, "abcd");
  assert_int_equal(text[5], '6');
  assert_int_equal(format_text(text, 1, "x"), 0);
  assert_string_equal(text, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers),
      cmocka_unit_test(texts),
      cmocka_unit_test(cut_off),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
