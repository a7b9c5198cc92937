/* SPDX-License-Identifier: MIT */
/* Figures of memory against a double of the OS layer, which counts the calls by itself. */
#include "double/os_double.h"
#include "mimalloc.h"
#include "unit/memory_support.h"

/* The double counts the attempts to find a base, too: those come first. */
static uint64_t maps(void) {
  return double_calls(CALL_RESERVE_AT) + double_calls(CALL_MAP_AT) + double_calls(CALL_MAP);
}

static void body(void) {
  uint64_t random = 42;
  static void* blocks[300];
  mi_option_set(mi_option_purge_delay, 50);
  double_stop_clock();
  mi_free(mi_malloc(1));
  const memory_stats_t first = memory_stats();
  const uint64_t first_maps = maps();
  const uint64_t first_commits = double_calls(CALL_COMMIT);
  const uint64_t first_purges = double_calls(CALL_PURGE);
  for (int i = 0; i < 20000; i++) {
    void** const at = &blocks[next_random(&random) % 300];
    mi_free(*at);
    *at = mi_malloc(next_random(&random) % (i % 50 == 0 ? 9000000 : 60000));
    if (i % 100 == 0) double_advance_clock(20);
    const memory_stats_t now = memory_stats();
    must(now.map_calls - first.map_calls == maps() - first_maps);
    must(now.commit_calls - first.commit_calls == double_calls(CALL_COMMIT) - first_commits);
    must(now.purge_calls - first.purge_calls == double_calls(CALL_PURGE) - first_purges);
    must(now.reserved >= now.committed && now.committed >= now.claimed);
    must(now.claimed_peak >= now.claimed);
  }
  must(memory_stats().map_calls > first.map_calls + 2 && memory_stats().purge_calls > first.purge_calls + 10);
  for (int i = 0; i < 300; i++) mi_free(blocks[i]);
  mi_collect(true);
  must(memory_stats().dirty == 0 && memory_stats().claimed <= SLICE_SIZE);
}

static void calls_are_counted(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(body);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(calls_are_counted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
