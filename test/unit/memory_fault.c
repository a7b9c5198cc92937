/* SPDX-License-Identifier: MIT */
/* The nth call of the OS fails, for every n and every kind of call: the scenario ends in order, nothing is
   lost, and once the OS works again so does everything. */
#include "unit/memory_support.h"

#include <errno.h>

#include "double/os_double.h"
#include "memory/meta.h"

static os_call_t kind_under_test;
static uint64_t nth_under_test;
static uint64_t times_under_test;
static int error_under_test;

/* A bit of everything; returns how many of the steps that may fail have failed. */
static int scenario(void) {
  static const size_t counts[] = {1, 3, 64, 1, 200, 16, 700, 2, 33, 64};
  enum { N = sizeof(counts) / sizeof(counts[0]) };
  claim_t claims[N + 1];
  int failed = 0;
  for (size_t k = 0; k < N; k++) {
    claims[k] = claim_and_stamp(counts[k], k == 3 ? 16 * MiB : SLICE_SIZE, k + 1);
    if (claims[k].slice == SLICE_NONE) failed++;
    claim_t more;
    if (k % 3 == 0 && claims[k].count > 0 && slices_extend(claims[k].slice, claims[k].count, 5, &more)) {
      if (more.zero) must(is_stamped(more.slice, 5, 0));
      stamp(more.slice, 5, k + 1);
      claims[k].count += 5;
    }
    if (k % 2 == 0 && meta_alloc(6000 + k) == NULL) failed++;
    if (k % 4 == 3 && claims[k - 1].count > 0) {
      must(is_stamped(claims[k - 1].slice, claims[k - 1].count, k));
      slices_release(claims[k - 1].slice, claims[k - 1].count);
      claims[k - 1].count = 0;
      purge_all();
    }
  }
  for (size_t k = 0; k < N; k++) {
    if (claims[k].count == 0) continue;
    must(is_stamped(claims[k].slice, claims[k].count, k + 1));
    slices_release(claims[k].slice, claims[k].count);
  }
  must(memory_stats().claimed == 0);
  return failed;
}

static void fault_body(void) {
  double_reset();
  double_fail(kind_under_test, nth_under_test, times_under_test, error_under_test);
  errno = 4711;
  const int failed = scenario();
  must(errno == 4711);
  const bool was_reached = double_calls(kind_under_test) >= nth_under_test;
  if (times_under_test == FAIL_FOR_EVER && nth_under_test == 1 && kind_under_test == CALL_ANY)
    must(failed > 0);
  double_fail(kind_under_test, 1, 0, 0);
  must(scenario() == 0);
  /* Every slice that is placed is free, and can be claimed. */
  purge_all();
  const memory_stats_t stats = memory_stats();
  must(stats.claimed == 0 && stats.dirty == 0 && stats.free == stats.reserved);
  for (size_t s = 0; s < window_segments(); s++) {
    must(!window_segment_ready(s) || *segment_word(s, WORD_FREE) == *segment_word(s, WORD_PLACED));
  }
  _exit(was_reached ? 0 : 2);
}

/* Fail the calls n, n+1, ... until the scenario makes fewer calls than that; returns the number of n tried.
 */
static uint64_t fail_each(os_call_t kind, uint64_t times, int error) {
  kind_under_test = kind;
  times_under_test = times;
  error_under_test = error;
  for (nth_under_test = 1;; nth_under_test++) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) fault_body();
    int status = -1;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) return nth_under_test;
    if (WEXITSTATUS(status) != 0) fprintf(stderr, "kind %d, call %d\n", (int)kind, (int)nth_under_test);
    assert_int_equal(WEXITSTATUS(status), 0);
  }
}

static void any_call_fails_once(void** unused) {
  UNUSED(unused);
  assert_true(fail_each(CALL_ANY, 1, ENOMEM) > 20);
}

static void all_calls_fail_from_some_on(void** unused) {
  UNUSED(unused);
  assert_true(fail_each(CALL_ANY, FAIL_FOR_EVER, ENOMEM) > 10);
}

static void each_kind_fails(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  const struct {
    os_call_t kind;
    int error;
  } kinds[] = {{CALL_RESERVE_AT, EEXIST}, {CALL_RESERVE_AT, EAGAIN}, {CALL_MAP_AT, EEXIST},
               {CALL_MAP_AT, ENOMEM},     {CALL_COMMIT, ENOMEM},     {CALL_PURGE, EINVAL},
               {CALL_MAP, ENOMEM}};
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    assert_true(fail_each(kinds[i].kind, 1, kinds[i].error) > 1);
    assert_true(fail_each(kinds[i].kind, 3, kinds[i].error) > 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_call_fails_once),
      cmocka_unit_test(all_calls_fail_from_some_on),
      cmocka_unit_test(each_kind_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
