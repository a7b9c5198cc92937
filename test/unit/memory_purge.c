/* SPDX-License-Identifier: MIT */
/* When memory goes back to the OS: by age on a stopped clock, by budget, never, at once, and when it cannot.
 */
#include "unit/memory_support.h"

#include <errno.h>
#include <sys/mman.h>

#include "double/os_double.h"
#include "os/os.h"

enum { DELAY = 100, BURST = 186 * 16, KEPT = 2 * 1024 * 1024 };

static void start(long delay) {
  double_reset();
  double_stop_clock();
  mi_option_set(mi_option_purge_delay, delay);
}

/* With this much claimed the budget is 1.5 MiB. */
static void start_big(long delay) {
  start(delay);
  must(claim_and_stamp(SEGMENT_SLICES, SEGMENT_SIZE, 1).count == SEGMENT_SLICES);
}

static size_t dirty(void) {
  return memory_stats().dirty;
}

/* Resident pages of a range, counted by the kernel. */
static size_t resident(size_t slice, size_t count) {
  static unsigned char pages[SEGMENT_SIZE * 16 / 4096];
  size_t n = 0;
  must(count * SLICE_SIZE / 4096 <= sizeof(pages));
  must(mincore(window_address(slice), count * SLICE_SIZE, pages) == 0);
  for (size_t i = 0; i < count * SLICE_SIZE / 4096; i++) n += pages[i] & 1;
  return n;
}

static void age_body(void) {
  start_big(DELAY);
  const claim_t a = claim_and_stamp(16, SLICE_SIZE, 1);
  const claim_t b = claim_and_stamp(4, SLICE_SIZE, 2);
  slices_release(a.slice, 16);
  must(dirty() == 16 * SLICE_SIZE);
  double_advance_clock(DELAY - 1);
  purge_due();
  slices_release(b.slice, 4);
  must(dirty() == 20 * SLICE_SIZE); /* younger than a delay */
  double_advance_clock(1);
  purge_due();
  must(resident(b.slice, 4) == 8);
  /* Slow paths go on: all is gone after two delays and a visit per MiB. */
  for (int i = 0; i < 2; i++) {
    double_advance_clock(DELAY);
    for (int k = 0; k < 4; k++) {
      const uint64_t before = memory_stats().purged;
      purge_due();
      must(memory_stats().purged - before <= MiB);
    }
  }
  must(dirty() == 0 && resident(a.slice, 16) == 0 && resident(b.slice, 4) == 0);
  must(claim_and_stamp(20, SLICE_SIZE, 3).zero);
  const uint64_t calls = double_calls(CALL_PURGE);
  double_advance_clock(10 * DELAY);
  purge_due();
  must(double_calls(CALL_PURGE) == calls);
}

/* Memory in steady use is never purged by age, however old the process. */
static void steady_body(void) {
  start_big(DELAY);
  for (int i = 0; i < 1000; i++) {
    const claim_t claim = claim_and_stamp(10, SLICE_SIZE, 1);
    double_advance_clock(DELAY * 2 / 3);
    slices_release(claim.slice, 10);
    must(i == 0 || !claim.zero);
  }
  must(double_calls(CALL_PURGE) == 0);
}

static void at_once_body(void) {
  start(0);
  const claim_t claim = claim_and_stamp(100, SLICE_SIZE, 1);
  slices_release(claim.slice, 100);
  must(dirty() == 0 && resident(claim.slice, 100) == 0 && double_calls(CALL_PURGE) == 2); /* two segments */
  must(claim_and_stamp(100, SLICE_SIZE, 1).zero);
}

static void never_body(void) {
  start(-1);
  const claim_t claim = claim_and_stamp(1000, SLICE_SIZE, 1);
  slices_release(claim.slice, 1000);
  double_advance_clock(1000 * DELAY);
  purge_due();
  must(dirty() == 1000 * SLICE_SIZE && double_calls(CALL_PURGE) == 0);
  must(purge_all() == 1000 * SLICE_SIZE && dirty() == 0);
}

/* Locked memory: neither purged nor zero, and not tried again; then it is claimed like any other. */
static void locked_body(void) {
  start_big(DELAY);
  const claim_t claim = claim_and_stamp(10, SLICE_SIZE, 0x77);
  must(mlock(window_address(claim.slice), 10 * SLICE_SIZE) == 0);
  slices_release(claim.slice, 10);
  purge_all();
  must(double_calls(CALL_PURGE) == 1 && memory_stats().purged == 0 && dirty() == 0);
  purge_all();
  must(double_calls(CALL_PURGE) == 1);
  const claim_t again = claim_and_stamp(10, SLICE_SIZE, 1);
  must(again.slice == claim.slice && !again.zero);
}

/* A burst is freed and the program calls no more. */
static void burst_body(void) {
  static claim_t claims[BURST];
  start(DELAY);
  for (size_t i = 0; i < BURST; i++) {
    claims[i] = claim_and_stamp(1, SLICE_SIZE, i);
    memset(window_address(claims[i].slice), 1, SLICE_SIZE);
  }
  for (size_t i = 0; i < BURST; i++)
    slices_release(claims[i * 7 % BURST].slice, 1); /* BURST is no multiple of 7 */
  must(dirty() <= KEPT && memory_stats().claimed == 0);
  must(os_process_rss() < 20 * MiB);
  must(double_calls(CALL_PURGE) < BURST);
}

/* One big block: its release purges at once what is over the budget. */
static void big_block_body(void) {
  start(DELAY);
  const claim_t claim = claim_and_stamp(BURST, SLICE_SIZE, 1);
  slices_release(claim.slice, BURST);
  must(dirty() <= KEPT);
}

/* A 40 MiB buffer, used and freed in a loop: the budget learns, and the loop stops faulting it in anew. */
static void loop_body(void) {
  start(DELAY);
  uint64_t purged_early = 0;
  for (int i = 0; i < 500; i++) {
    const claim_t claim = claim_and_stamp(640, SLICE_SIZE, 1);
    double_advance_clock(20);
    slices_release(claim.slice, 640);
    if (i == 2) purged_early = memory_stats().purged;
  }
  must(purged_early <= 80 * MiB && memory_stats().purged == purged_early);
  /* The program changes its ways: the budget shrinks again, and age takes the rest. */
  for (int i = 0; i < 200; i++) {
    double_advance_clock(DELAY);
    const claim_t claim = claim_and_stamp(1, SLICE_SIZE, 1);
    slices_release(claim.slice, 1);
  }
  must(dirty() <= 1 * SLICE_SIZE);
  const claim_t claim = claim_and_stamp(640, SLICE_SIZE, 1);
  double_advance_clock(20 * DELAY);
  slices_release(claim.slice, 640);
  must(dirty() <= KEPT + MiB);
}

/* A small program keeps less: 256 KiB and half of what it has claimed. */
static void small_body(void) {
  start(DELAY);
  const claim_t kept = claim_and_stamp(8, SLICE_SIZE, 1);
  const claim_t a = claim_and_stamp(8, SLICE_SIZE, 1);
  const claim_t b = claim_and_stamp(4, SLICE_SIZE, 1);
  slices_release(a.slice, 8); /* 4 + (8 + 4) / 2 may stay */
  must(kept.slice < a.slice && a.slice < b.slice);
  must(dirty() == 8 * SLICE_SIZE && double_calls(CALL_PURGE) == 0);
  slices_release(b.slice, 4); /* 4 + 8 / 2: the highest go, down to half of that */
  must(dirty() == 4 * SLICE_SIZE && resident(a.slice, 4) == 8 && resident(a.slice + 4, 8) == 0);
}

/* Purging by budget takes the highest addresses, the last to be claimed again. */
static void highest_first_body(void) {
  start_big(DELAY);
  const claim_t claim = claim_and_stamp(64 * 4, SLICE_SIZE, 1);
  slices_release(claim.slice, 64 * 4);
  must(resident(claim.slice, 24) == 48 && resident(claim.slice + 24, 232) == 0);
}

/* purge_decommits 0: the system is told that it may take the memory, which is then not known to be zero. */
static void reset_body(void) {
  start_big(DELAY);
  mi_option_set(mi_option_purge_decommits, 0);
  const claim_t claim = claim_and_stamp(8, SLICE_SIZE, 1);
  slices_release(claim.slice, 8);
  must(purge_all() == 0 && dirty() == 0);
  must(double_calls(CALL_PURGE) == 0 && double_calls(CALL_RESET) == 1);
  must(memory_counters.reset == 8 * SLICE_SIZE && memory_counters.reset_calls == 1);
  const claim_t again = claim_and_stamp(8, SLICE_SIZE, 2);
  must(again.slice == claim.slice && !again.zero);
  must(is_stamped(again.slice, 8, 2));
  double_fail(CALL_RESET, 1, 1, EINVAL);
  slices_release(again.slice, 8);
  must(purge_all() == 0 && dirty() == 0 && memory_counters.reset == 8 * SLICE_SIZE);
}

static void pass_delays(void) {
  for (int i = 0; i < 8; i++) {
    double_advance_clock(DELAY);
    purge_due();
  }
}

/* Release `count` slices, then, some delays later, one behind them; the first are purged only with that one
   when count + 1 is the least that is purged. */
static void least_run(size_t count) {
  const claim_t run = claim_and_stamp(count, SLICE_SIZE, 1);
  const claim_t next = claim_and_stamp(1, SLICE_SIZE, 1);
  const claim_t more = claim_and_stamp(count + 1, SEGMENT_SIZE, 1); /* in another segment */
  must(next.slice == run.slice + count);
  slices_release(run.slice, count);
  slices_release(more.slice, count + 1);
  pass_delays();
  must(dirty() == count * SLICE_SIZE && double_calls(CALL_PURGE) == 1);
  must(resident(more.slice, count + 1) == 0 && resident(run.slice, count) == 2 * count);
  slices_release(next.slice, 1);
  pass_delays();
  must(dirty() == 0 && double_calls(CALL_PURGE) == 2 && resident(run.slice, count + 1) == 0);
}

static void least_size_body(void) {
  start(DELAY);
  mi_option_set(mi_option_arena_purge_min_size, 7 * 64); /* 7 slices: rounded up to 8 */
  least_run(7);
  const claim_t claim = claim_and_stamp(7, SLICE_SIZE, 1);
  slices_release(claim.slice, 7);
  must(purge_all() == 7 * SLICE_SIZE && dirty() == 0); /* asked for */
  mi_option_set(mi_option_purge_delay, 0);
  const claim_t last = claim_and_stamp(7, SLICE_SIZE, 1);
  slices_release(last.slice, 7);
  pass_delays();
  must(dirty() == 7 * SLICE_SIZE);
}

static void huge_page_body(void) {
  start(DELAY);
  mi_option_set(mi_option_allow_thp, 2);
  least_run(31);
}

/* Claim and write segments of memory until so many bytes are claimed; the last one. */
static size_t write_until(size_t bytes) {
  size_t slice = 0;
  while (memory_stats().claimed < bytes) {
    slice = claim_and_stamp(SEGMENT_SLICES, SEGMENT_SIZE, 1).slice;
    memset(window_address(slice), 1, SEGMENT_SIZE);
  }
  return slice / SEGMENT_SLICES;
}

static bool has_huge_pages(size_t segment) {
  return load_relaxed(segment_word(segment, WORD_HUGE)) != 0;
}

/* Not below 64 MiB; slow: not before it is twice as much; fast: measured each time. */
static void measured_touch_body(void) {
  start(DELAY);
  double_set_touch(1000 * 1000);
  must(!has_huge_pages(write_until(64 * MiB)) && double_touches() == 0);
  must(!has_huge_pages(write_until(68 * MiB)) && double_touches() == 1);
  must(!has_huge_pages(write_until(136 * MiB)) && double_touches() == 1);
  double_set_touch(100 * 1000);
  must(has_huge_pages(write_until(144 * MiB)) && double_touches() == 3);
  double_set_touch(1000 * 1000);
  must(!has_huge_pages(write_until(256 * MiB)) && double_touches() == 4);
}

/* Measured only where the option leaves it open. */
static void touch_by_option_body(void) {
  start(DELAY);
  double_set_touch(1000 * 1000);
  write_until(64 * MiB);
  mi_option_set(mi_option_allow_thp, 0);
  must(!has_huge_pages(write_until(68 * MiB)) && double_touches() == 0);
  mi_option_set(mi_option_allow_thp, 2);
  must(has_huge_pages(write_until(72 * MiB)) && double_touches() == 0);
}

/* What is over the budget goes by long runs only, too. */
static void long_runs_over_budget_body(void) {
  static claim_t claims[400];
  start(DELAY);
  mi_option_set(mi_option_arena_purge_min_size, 8 * 64);
  for (size_t i = 0; i < 400; i++) claims[i] = claim_and_stamp(1, SLICE_SIZE, i);
  for (size_t i = 0; i < 400; i += 2) slices_release(claims[i].slice, 1);
  must(dirty() == 200 * SLICE_SIZE && double_calls(CALL_PURGE) == 0);
  for (size_t i = 1; i < 400; i += 2) slices_release(claims[i].slice, 1);
  must(dirty() <= 2 * KEPT && double_calls(CALL_PURGE) < 60);
}

static void big_at_once_body(void) {
  start_big(DELAY);
  mi_option_set(mi_option_arena_purge_immediate_size, 16 * 64);
  const claim_t big = claim_and_stamp(16, SLICE_SIZE, 1);
  const claim_t small = claim_and_stamp(15, SLICE_SIZE, 1);
  slices_release(big.slice, 16);
  must(dirty() == 0 && resident(big.slice, 16) == 0);
  slices_release(small.slice, 15);
  must(dirty() == 15 * SLICE_SIZE);
  mi_option_set(mi_option_purge_delay, -1);
  const claim_t kept = claim_and_stamp(16, SEGMENT_SIZE, 1);
  slices_release(kept.slice, 16);
  must(resident(kept.slice, 16) == 32);
}

static void longer_delay_body(void) {
  start(DELAY);
  mi_option_set(mi_option_arena_purge_mult, 3);
  const claim_t claim = claim_and_stamp(4, SLICE_SIZE, 1);
  slices_release(claim.slice, 4);
  double_advance_clock(3 * DELAY - 1);
  purge_due();
  must(dirty() == 4 * SLICE_SIZE);
  double_advance_clock(3 * DELAY + 1);
  purge_due();
  must(dirty() == 0);
}

static void memory_is_reset(void** unused) {
  UNUSED(unused);
  in_child(reset_body);
}
static void short_runs_stay(void** unused) {
  UNUSED(unused);
  in_child(least_size_body);
  in_child(huge_page_body);
  in_child(long_runs_over_budget_body);
}
static void first_touches_are_measured(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(measured_touch_body);
  in_child(touch_by_option_body);
}
static void big_runs_go_at_once(void** unused) {
  UNUSED(unused);
  in_child(big_at_once_body);
}
static void delay_is_multiplied(void** unused) {
  UNUSED(unused);
  in_child(longer_delay_body);
}

static void old_memory_goes(void** unused) {
  UNUSED(unused);
  in_child(age_body);
}
static void memory_in_use_stays(void** unused) {
  UNUSED(unused);
  in_child(steady_body);
}
static void delay_0_is_at_once(void** unused) {
  UNUSED(unused);
  in_child(at_once_body);
}
static void delay_minus_1_is_never(void** unused) {
  UNUSED(unused);
  in_child(never_body);
}
static void locked_memory(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(locked_body);
}
static void burst_of_pages(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(burst_body);
}
static void burst_of_one_block(void** unused) {
  UNUSED(unused);
  in_child(big_block_body);
}
static void buffer_in_a_loop(void** unused) {
  UNUSED(unused);
  in_child(loop_body);
}
static void highest_goes_first(void** unused) {
  UNUSED(unused);
  in_child(small_body);
  in_child(highest_first_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(old_memory_goes),    cmocka_unit_test(memory_in_use_stays),
      cmocka_unit_test(delay_0_is_at_once), cmocka_unit_test(delay_minus_1_is_never),
      cmocka_unit_test(locked_memory),      cmocka_unit_test(burst_of_pages),
      cmocka_unit_test(burst_of_one_block), cmocka_unit_test(buffer_in_a_loop),
      cmocka_unit_test(highest_goes_first), cmocka_unit_test(memory_is_reset),
      cmocka_unit_test(short_runs_stay),    cmocka_unit_test(big_runs_go_at_once),
      cmocka_unit_test(delay_is_multiplied), cmocka_unit_test(first_touches_are_measured),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
