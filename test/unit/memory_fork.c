/* SPDX-License-Identifier: MIT */
/* A fork in the middle of other threads' work: the child finds what they held and makes it free again. */
#include "unit/memory_support.h"

#include <pthread.h>

#include "memory/scavenger.h"
#include "os/os.h"

enum { SPAN = 700 };

/* The "page" of these tests: its first entry holds its length. */
static size_t recorded_length(table_entry_t* entry) {
  return (size_t)entry->owner[0];
}

static claim_t claim_page(size_t count) {
  const claim_t claim = claim_and_stamp(count, SLICE_SIZE, count);
  must(claim.slice != SLICE_NONE);
  window_entry(claim.slice)->owner[0] = count;
  slices_set_start(claim.slice);
  return claim;
}

static void recover_body(void) {
  const claim_t a = claim_page(3);
  const claim_t lost_small = claim_and_stamp(5, SLICE_SIZE, 9);
  const claim_t b = claim_page(SPAN);
  const claim_t lost_huge = claim_and_stamp(200, SLICE_SIZE, 9);
  const claim_t c = claim_page(1);
  const claim_t torn = claim_page(2); /* a start whose page is gone */
  window_entry(torn.slice)->owner[0] = 0;
  const claim_t released = claim_and_stamp(4, SLICE_SIZE, 9);
  slices_release(released.slice, 4);
  /* A purger that claimed the released slices and stopped there. */
  const size_t segment = released.slice / 64;
  must(segment_claim_bits(segment, bit_range((unsigned)(released.slice % 64), 4)));
  scavenger_state = 9 * SCAVENGER_STATES + SCAVENGER_ASLEEP; /* of an older generation */
  purge_set_mode(PURGE_BACKGROUND);

  memory_after_fork(recorded_length);

  const memory_stats_t stats = memory_stats();
  must(stats.claimed == (3 + SPAN + 1) * SLICE_SIZE);
  must(scavenger_state == SCAVENGER_NONE);
  for (size_t i = 0; i < window.limit / SLICE_SIZE; i++) {
    const bool is_a = i >= a.slice && i < a.slice + 3;
    const bool is_b = i >= b.slice && i < b.slice + SPAN;
    must((*segment_word(i / 64, WORD_FREE) >> i % 64 & 1) == !(is_a || is_b || i == c.slice));
  }
  must(is_stamped(a.slice, 3, 3) && is_stamped(b.slice, SPAN, SPAN) && is_stamped(c.slice, 1, 1));
  must(slices_find_start(b.slice + SPAN - 1) == b.slice);
  must(slices_find_start(torn.slice) == SLICE_NONE);
  /* What was lost is claimed again before the window grows, and is not taken for zero. */
  const size_t limit = window.limit;
  const claim_t again = claim_and_stamp(5, SLICE_SIZE, 1);
  must(again.slice == lost_small.slice && !again.zero);
  must(claim_and_stamp(200, SLICE_SIZE, 1).slice != SLICE_NONE && window.limit == limit);
  must(is_stamped(lost_huge.slice, 1, 9) || is_stamped(lost_huge.slice, 1, 1));
  purge_all();
  must(memory_stats().dirty == 0);
}

static atomic_u32_t stop;

static void* churn(void* argument) {
  uint64_t seed = (uint64_t)(uintptr_t)argument;
  while (load_relaxed(&stop) == 0) {
    const claim_t claim = claim_page(1 + next_random(&seed) % 90);
    slices_clear_start(claim.slice);
    window_entry(claim.slice)->owner[0] = 0;
    slices_release(claim.slice, claim.count);
  }
  return NULL;
}

/* Forks while two threads churn and the scavenger purges; each child claims all that must be free. */
static void churn_body(void) {
  pthread_t threads[2];
  mi_option_set(mi_option_purge_delay, 1);
  *os_fork_word() = 1;
  scavenger_start();
  const claim_t mine = claim_page(10);
  for (uintptr_t t = 0; t < 2; t++) must(pthread_create(&threads[t], NULL, churn, (void*)(t + 1)) == 0);
  for (int i = 0; i < 100; i++) {
    const pid_t child = fork();
    if (child == 0) {
      memory_after_fork(recorded_length);
      must(is_stamped(mine.slice, 10, 10));
      for (int k = 0; k < 20; k++) {
        const claim_t claim = claim_and_stamp(1 + (size_t)k, SLICE_SIZE, 5);
        must(claim.slice != SLICE_NONE);
        slices_release(claim.slice, claim.count);
      }
      purge_all();
      must(memory_stats().dirty == 0);
      scavenger_start(); /* one of its own */
      must(scavenger_state_of(load_seq_cst(&scavenger_state)) != SCAVENGER_NONE);
      _exit(0);
    }
    int status = -1;
    must(waitpid(child, &status, 0) == child && status == 0);
  }
  store_relaxed(&stop, 1);
  for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
}

static void word_body(void) {
  atomic_u64_t* const word = os_fork_word();
  must(word != NULL && word == os_fork_word() && *word == 0);
  *word = 7;
  const pid_t child = fork();
  if (child == 0) _exit(os_fork_word() == word && *word == 0 ? 0 : 1);
  int status = -1;
  must(waitpid(child, &status, 0) == child && status == 0 && *word == 7);
}

static void lost_slices_are_found(void** unused) {
  UNUSED(unused);
  in_child(recover_body);
}
static void forks_while_threads_work(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  in_child(churn_body);
}
static void fork_word_is_wiped(void** unused) {
  UNUSED(unused);
  in_child(word_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lost_slices_are_found),
      cmocka_unit_test(forks_while_threads_work),
      cmocka_unit_test(fork_word_is_wiped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
