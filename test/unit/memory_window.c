/* SPDX-License-Identifier: MIT */
/* Placing: OS page sizes, foreign mappings in the way, no placing at all, limits from the start and later. */
#include "unit/memory_support.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "double/os_double.h"

static void require_nothing_is_ours(void) {
  int local = 0;
  must(window.limit == 0);
  must(window_slice_of(NULL) == SLICE_NONE && window_slice_of(&local) == SLICE_NONE);
  must(window_slice_of((void*)-1) == SLICE_NONE && window_slice_of((void*)1) == SLICE_NONE);
}

/* Claim, check, release a mixed lot; true when every claim succeeded. */
static bool exercise(size_t big) {
  const size_t counts[] = {1, 16, 64, 3, big, 1, 65, 2};
  enum { N = sizeof(counts) / sizeof(counts[0]) };
  claim_t claims[N];
  size_t n = 0;
  for (; n < N; n++) {
    claims[n] = claim_and_stamp(counts[n], SLICE_SIZE, n + 1);
    if (claims[n].slice == SLICE_NONE) break;
    must(window_slice_of(window_address(claims[n].slice)) == claims[n].slice);
    for (size_t i = 0; i < counts[n]; i++) must(window_entry(claims[n].slice + i)->owner[0] == 0);
  }
  for (size_t k = 0; k < n; k++) {
    must(is_stamped(claims[k].slice, counts[k], k + 1));
    slices_release(claims[k].slice, counts[k]);
  }
  return n == N;
}

static size_t page_size_under_test;

static void page_size_body(void) {
  double_reset();
  double_set_page_size(page_size_under_test);
  require_nothing_is_ours();
  must(exercise(200) && exercise(2000));
  must(window.base % GiB == 0 && (uintptr_t)window.table % page_size_under_test == 0);
  must((uintptr_t)window.table == window.base - 4 * GiB);
  purge_all();
  must(memory_stats().dirty == 0 && exercise(1));
}

static void any_page_size(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  for (page_size_under_test = 4 * KiB; page_size_under_test <= 64 * KiB; page_size_under_test *= 4) {
    in_child(page_size_body);
  }
}

/* Bases differ from process to process. */
static void base_is_random(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  enum { N = 8 };
  uintptr_t* const bases = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < N; i++) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
      must(window_init());
      bases[i] = window.base;
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  int same = 0;
  for (int i = 0; i < N; i++) {
    assert_int_not_equal(bases[i], 0);
    for (int k = 0; k < i; k++) same += bases[k] == bases[i];
  }
  assert_true(same <= 1);
  munmap(bases, 4096);
}

static void* put_foreign_mapping(size_t offset, size_t size) {
  void* const addr = (char*)window.base + offset;
  must(mmap(addr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == addr);
  return addr;
}

static void foreign_body(void) {
  double_reset();
  must(exercise(1));
  const size_t limit = window.limit;
  char* const foreign = put_foreign_mapping(limit + 8 * MiB, 40 * MiB);
  memset(foreign, 0x5a, 40 * MiB);
  must(exercise(1000) && exercise(3000));
  must(window.limit > limit + 48 * MiB);
  for (size_t i = 0; i < 40 * MiB; i++) must(foreign[i] == 0x5a);
  for (size_t i = 0; i < window.limit; i += SEGMENT_SIZE) { /* every entry below the limit can be read */
    must(window_segment_ready(i / SEGMENT_SIZE));
    must(window_entry(i / SLICE_SIZE)->owner[0] == 0);
  }
  /* A pointer into the foreign mapping passes the test of the limit, and then finds nothing. */
  const size_t slice = window_slice_of(foreign);
  must(slice != SLICE_NONE && slices_find_start(slice) == SLICE_NONE);
}

/* Foreign mappings everywhere: growing gives up after a constant number of tries. */
static void foreign_everywhere_body(void) {
  double_reset();
  must(exercise(1));
  double_fail(CALL_RESERVE_AT, 1, FAIL_FOR_EVER, EEXIST);
  const uint64_t before = double_calls(CALL_RESERVE_AT);
  must(!exercise(5000));
  must(double_calls(CALL_RESERVE_AT) - before <= 30);
}

/* The first bases are taken: another is found. */
static void taken_bases_body(void) {
  double_reset();
  double_fail(CALL_RESERVE_AT, 1, 7, EEXIST);
  must(exercise(300) && double_calls(CALL_RESERVE) == 0);
}

/* Nothing can be placed (a sanitizer, an emulator, an old kernel): one reserved range is the window. */
static void reserved_body(void) {
  double_reset();
  double_set_page_size(page_size_under_test);
  double_fail(CALL_RESERVE_AT, 1, FAIL_FOR_EVER, EEXIST);
  must(exercise(300) && exercise(3000));
  must(double_calls(CALL_RESERVE_AT) == 8 && double_calls(CALL_MAP_AT) == 0 &&
       double_calls(CALL_RESERVE) == 1);
  const claim_t aligned = claim_and_stamp(3, GiB, 1);
  must(aligned.slice != SLICE_NONE);
}

static void one_reserved_range(void** unused) {
  UNUSED(unused);
  for (page_size_under_test = 4 * KiB; page_size_under_test <= 64 * KiB; page_size_under_test *= 4) {
    in_child(reserved_body);
  }
}

/* The reserved range is as big as the limit permits, and full when it is full. */
static void small_reserved_body(void) {
  double_reset();
  double_fail(CALL_RESERVE_AT, 1, FAIL_FOR_EVER, EEXIST);
  double_limit_addresses(300 * MiB);
  claim_t claims[64];
  size_t n = 0;
  while (n < 64 && slices_claim(64, SLICE_SIZE, &claims[n])) n++;
  must(n == 64 && !slices_claim(1, SLICE_SIZE, &claims[0])); /* 256 MiB */
  must(!slices_claim(1, SLICE_SIZE, &claims[0]));
  slices_release(claims[5].slice, 64);
  must(slices_claim(64, SLICE_SIZE, &claims[6]) && claims[6].slice == claims[5].slice);
}

static void no_window_body(void) {
  claim_t claim;
  double_reset();
  double_fail(CALL_ANY, 1, FAIL_FOR_EVER, ENOMEM);
  must(!slices_claim(1, SLICE_SIZE, &claim) && !window_init());
  require_nothing_is_ours();
  double_reset();
  must(exercise(100)); /* later it works */
}

static void set_address_limit(size_t bytes) {
  const struct rlimit limit = {bytes, bytes};
  must(setrlimit(RLIMIT_AS, &limit) == 0);
}

static size_t address_space_in_use(void) {
  unsigned long pages = 0;
  FILE* const file = fopen("/proc/self/statm", "r");
  must(file != NULL && fscanf(file, "%lu", &pages) == 1);
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Claim slices of a kind until there are no more; returns how many bytes that gave. */
static size_t exhaust(size_t count) {
  size_t got = 0;
  for (claim_t claim; slices_claim(count, SLICE_SIZE, &claim); got += count * SLICE_SIZE)
    stamp(claim.slice, 1, 1);
  return got;
}

/* What RLIMIT_AS permits can be used almost whole, by small and by big claims; then calls fail at once. */
static void address_limit_body(void) {
  double_reset();
  const size_t permitted = 512 * MiB;
  set_address_limit(address_space_in_use() + permitted);
  size_t got = exhaust(4000);
  got += exhaust(64);
  got += exhaust(1);
  must(got >= permitted - permitted / 64 - 8 * MiB);
}

static void late_address_limit_body(void) {
  double_reset();
  must(exercise(500));
  set_address_limit(address_space_in_use() + 64 * MiB);
  size_t got = exhaust(64);
  got += exhaust(1);
  must(got >= 100 * MiB - 16 * MiB); /* what was placed before (some 40 MiB) and what is permitted */
  set_address_limit(32 * MiB);       /* less than is in use */
  claim_t claim;
  must(!slices_claim(1, SLICE_SIZE, &claim));
}

/* A failing growth costs no addresses: the window does not creep while memory is short. */
static void failing_growth_body(void) {
  double_reset();
  must(exercise(1));
  double_limit_addresses(double_mapped() + 6 * MiB);
  exhaust(1);
  const size_t limit = window.limit;
  const size_t mapped = double_mapped();
  claim_t claim;
  for (int i = 0; i < 1000; i++) must(!slices_claim(1 + (size_t)i % 100, SLICE_SIZE, &claim));
  must(window.limit == limit && double_mapped() == mapped);
}

/* A small process reserves little: its locked memory is limited, say. */
static void small_reserve_body(void) {
  double_reset();
  must(claim_and_stamp(1, SLICE_SIZE, 1).slice == 0);
  must(double_mapped() <= 4 * MiB + 64 * KiB && memory_stats().committed <= 1 * MiB);
}

static void foreign_mapping_is_skipped(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(foreign_body);
}
static void foreign_mappings_everywhere(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(foreign_everywhere_body);
}
static void taken_bases_are_passed_over(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(taken_bases_body);
}
static void reserved_range_obeys_limits(void** unused) {
  UNUSED(unused);
  in_child(small_reserved_body);
}
static void no_window_now_one_later(void** unused) {
  UNUSED(unused);
  in_child(no_window_body);
}
static void address_limit(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(address_limit_body);
}
static void address_limit_set_later(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(late_address_limit_body);
}
static void failing_growth_costs_nothing(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(failing_growth_body);
}
static void small_process_reserves_little(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(small_reserve_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_page_size),
      cmocka_unit_test(base_is_random),
      cmocka_unit_test(foreign_mapping_is_skipped),
      cmocka_unit_test(foreign_mappings_everywhere),
      cmocka_unit_test(taken_bases_are_passed_over),
      cmocka_unit_test(one_reserved_range),
      cmocka_unit_test(reserved_range_obeys_limits),
      cmocka_unit_test(no_window_now_one_later),
      cmocka_unit_test(address_limit),
      cmocka_unit_test(address_limit_set_later),
      cmocka_unit_test(failing_growth_costs_nothing),
      cmocka_unit_test(small_process_reserves_little),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
