/* SPDX-License-Identifier: MIT */
/* Real threads: claims, releases and purges at once, with a stamp in every slice that says whose it is; the
   scavenger; records out of shared chunks. */
#include "unit/memory_support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "double/os_double.h"
#include "memory/meta.h"
#include "memory/scavenger.h"
#include "os/os.h"

enum { THREADS = 2, ROUNDS = 30000, HELD = 24, RECORDS = 20000 };

static atomic_u32_t running;

static void* hammer(void* argument) {
  const uint64_t self = (uint64_t)(uintptr_t)argument;
  uint64_t seed = self * 77 + 5;
  claim_t held[HELD] = {{0, 0, false}};
  for (uint64_t i = 0; i < ROUNDS; i++) {
    claim_t* const c = &held[next_random(&seed) % HELD];
    if (c->count > 0) {
      must(is_stamped(c->slice, c->count, self));
      must(slices_find_start(c->slice + c->count - 1) == c->slice);
      slices_clear_start(c->slice);
      stamp(c->slice, c->count, 0x5050);
      slices_release(c->slice, c->count);
      c->count = 0;
    } else {
      const uint64_t kind = next_random(&seed) % 16;
      const size_t count =
          kind == 0 ? 1 + next_random(&seed) % 150 : 1 + next_random(&seed) % (1u << kind / 4);
      *c = claim_and_stamp(count, kind == 1 ? 4 * SLICE_SIZE : SLICE_SIZE, self);
      must(c->slice != SLICE_NONE);
      slices_set_start(c->slice);
    }
  }
  for (size_t k = 0; k < HELD; k++) {
    if (held[k].count == 0) continue;
    must(is_stamped(held[k].slice, held[k].count, self));
    slices_clear_start(held[k].slice);
    slices_release(held[k].slice, held[k].count);
  }
  add_relaxed(&running, (uint32_t)-1);
  return NULL;
}

static void hammer_body(void) {
  pthread_t threads[THREADS];
  running = THREADS;
  mi_option_set(mi_option_purge_delay, 1);
  for (uintptr_t t = 0; t < THREADS; t++)
    must(pthread_create(&threads[t], NULL, hammer, (void*)(t + 1)) == 0);
  while (load_relaxed(&running) > 0) { /* this thread purges, in all the ways there are */
    purge_period();
    purge_all();
    purge_due();
  }
  for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
  purge_all();
  const memory_stats_t stats = memory_stats();
  must(stats.claimed == 0 && stats.dirty == 0 && stats.free == stats.reserved);
  /* Nothing got lost: every segment is wholly free, and known to be so. */
  size_t found = 0;
  for (size_t s = summary_lowest(HINT_RUN + RUN_LEVELS - 1, 0); s != SLICE_NONE; found++) {
    must(*segment_word(s, WORD_FREE) == ALL_SLICES && *segment_word(s, WORD_STARTS) == 0);
    s = summary_lowest(HINT_RUN + RUN_LEVELS - 1, s + 1);
  }
  must(found * SEGMENT_SIZE == stats.reserved);
  must(stats.reserved <= 512 * MiB); /* and growing was the exception */
}

/* All threads need their first slice at the same moment. */
static void* first_slice(void* unused) {
  add_relaxed(&running, (uint32_t)-1);
  while (load_relaxed(&running) > 0) continue;
  must(claim_and_stamp(1, SLICE_SIZE, 1).slice != SLICE_NONE);
  return unused;
}

static void init_race_body(void) {
  pthread_t threads[4];
  running = 4;
  for (int t = 0; t < 4; t++) must(pthread_create(&threads[t], NULL, first_slice, NULL) == 0);
  for (int t = 0; t < 4; t++) pthread_join(threads[t], NULL);
  must(memory_stats().claimed == 4 * SLICE_SIZE);
}

static void reserved_init_race_body(void) {
  double_fail(CALL_RESERVE_AT, 1, FAIL_FOR_EVER, EEXIST);
  init_race_body();
}

static void sleep_ms(long ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static bool is_soon(atomic_u32_t* word, uint32_t value) {
  for (int i = 0; i < 300 && load_seq_cst(word) != value; i++) sleep_ms(10);
  return load_seq_cst(word) == value;
}

static void release_some(size_t count) {
  const claim_t claim = claim_and_stamp(count, SLICE_SIZE, 1);
  must(claim.slice != SLICE_NONE);
  slices_release(claim.slice, count);
}

/* The storm ends and nobody calls any more: all goes; then the scavenger sleeps until there is something. */
static void scavenger_body(void) {
  mi_option_set(mi_option_purge_delay, 20);
  errno = 4711;
  scavenger_start();
  scavenger_after_fork(); /* somebody is late: the thread runs in this generation */
  scavenger_start();
  must(errno == 4711 && double_calls(CALL_THREAD_START) == 1);
  must(is_soon(&scavenger_state, SCAVENGER_ASLEEP));
  for (int round = 0; round < 3; round++) {
    release_some(1000);
    must(scavenger_state == SCAVENGER_AWAKE);
    must(is_soon(&scavenger_state, SCAVENGER_ASLEEP));
    must(memory_stats().dirty == 0);
    must(SANITIZED || os_process_rss() < 20 * MiB); /* a sanitizer's shadow memory stays */
  }
  scavenger_switch_off();
  release_some(1);
  must(scavenger_state == SCAVENGER_OFF);
  scavenger_start();
  must(double_calls(CALL_THREAD_START) == 1);
}

static void no_scavenger_body(void) {
  double_fail(CALL_THREAD_START, 1, 1, EAGAIN);
  scavenger_start();
  must(scavenger_state == SCAVENGER_OFF);
  release_some(1000);
  must(memory_stats().dirty <= 10 * MiB); /* the budget rules */
}

/* Signals sent to the process never run in the scavenger. */
static pthread_t main_thread;
static atomic_u32_t handled;
static void handler(int number) {
  UNUSED(number);
  must(pthread_equal(pthread_self(), main_thread));
  add_relaxed(&handled, 1);
}

static void signals_body(void) {
  main_thread = pthread_self();
  must(signal(SIGUSR1, handler) != SIG_ERR);
  scavenger_start();
  sigset_t now;
  must(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 0);
  for (uint32_t i = 1; i <= 50; i++) {
    kill(getpid(), SIGUSR1);
    must(is_soon(&handled, i));
  }
}

static void* take_records(void* argument) {
  const size_t self = (size_t)(uintptr_t)argument;
  uint64_t seed = self;
  static size_t* records[THREADS + 1][RECORDS];
  static size_t sizes[THREADS + 1][RECORDS];
  for (size_t i = 0; i < RECORDS; i++) {
    const size_t words = 1 + next_random(&seed) % (i % 1000 == 0 ? 5000 : 30);
    size_t* const record = meta_alloc(words * sizeof(size_t));
    must(record != NULL && (uintptr_t)record % CACHE_LINE == 0);
    for (size_t k = 0; k < words; k++) {
      must(record[k] == 0);
      record[k] = self;
    }
    records[self][i] = record;
    sizes[self][i] = words;
  }
  for (size_t i = 0; i < RECORDS; i++) {
    for (size_t k = 0; k < sizes[self][i]; k++) must(records[self][i][k] == self);
  }
  return NULL;
}

static void records_body(void) {
  pthread_t threads[THREADS];
  must(meta_alloc(4000) != NULL && double_calls(CALL_MAP) == 0); /* the first ones need no mapping */
  for (uintptr_t t = 0; t < THREADS; t++)
    must(pthread_create(&threads[t], NULL, take_records, (void*)(t + 1)) == 0);
  for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
  double_fail(CALL_MAP, 1, FAIL_FOR_EVER, ENOMEM);
  must(meta_alloc(100000) == NULL);
  size_t left = 0;
  while (meta_alloc(64) != NULL) left++;
  must(left < 1024);
  double_reset();
  must(meta_alloc(64) != NULL);
}

static void threads_hammer(void** unused) {
  UNUSED(unused);
  in_child(hammer_body);
}
static void threads_start_together(void** unused) {
  UNUSED(unused);
  for (int i = 0; i < 20; i++) in_child(i % 2 == 0 ? init_race_body : reserved_init_race_body);
}
static void scavenger_purges_and_sleeps(void** unused) {
  UNUSED(unused);
  in_child(scavenger_body);
}
static void no_thread_for_the_scavenger(void** unused) {
  UNUSED(unused);
  in_child(no_scavenger_body);
}
static void scavenger_takes_no_signals(void** unused) {
  UNUSED(unused);
  in_child(signals_body);
}
static void records_are_private(void** unused) {
  UNUSED(unused);
  in_child(records_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_hammer),
      cmocka_unit_test(threads_start_together),
      cmocka_unit_test(scavenger_purges_and_sleeps),
      cmocka_unit_test(no_thread_for_the_scavenger),
      cmocka_unit_test(scavenger_takes_no_signals),
      cmocka_unit_test(records_are_private),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
