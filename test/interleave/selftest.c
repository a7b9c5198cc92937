/* SPDX-License-Identifier: MIT */
/* Does the explorer see every interleaving, and does it find bugs?

   1. Counts known from combinatorics: programs of n and m operations have (n+m)! / (n! m!) interleavings;
      with k pre-emptions allowed, as many as there are ways to cut them; and operations on different
      words leave one class.
   2. Textbook races: a lost update, Dekker's store and load, a missed wake-up, an ABA, a livelock.
   3. The store buffer: what a thread stores to the buffered word is its own until a drain.
   4. The remote-free protocol in miniature, sound, and with four faults that must be found. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomics.h"
#include "explorer.h"

static atomic_u64_t word_a, word_b, words[8];
static _Thread_local int tls_mark;

static void nothing(void) {}

/* ---- 1. counts ---- */

static void four_on_a(void) {
  for (int i = 0; i < 4; i++) add_relaxed(&word_a, 1);
}
static void three_on_a(void) {
  for (int i = 0; i < 3; i++) add_relaxed(&word_a, 1);
}
static void three_on_own(void) {
  tls_mark = explorer_thread() + 1;
  for (int i = 0; i < 3; i++) add_relaxed(&words[explorer_thread()], 1);
  expect(tls_mark == explorer_thread() + 1);
}
static void b_then_a(void) {
  add_relaxed(&words[explorer_thread()], 1);
  add_relaxed(&word_a, 1);
}
static void verify_seven(void) {
  expect(load_relaxed(&word_a) == 7);
}
static void verify_own(void) {
  expect(load_relaxed(&words[0]) == 3 && load_relaxed(&words[1]) == 3);
}

static void count(const char* name, explore_t program, uint64_t executions) {
  program.name = name;
  if (program.verify == NULL) program.verify = nothing;
  const explore_result_t result = explore(&program);
  if (result.executions == executions) return;
  fprintf(stderr, "%s: %llu executions, expected %llu\n", name, (unsigned long long)result.executions,
          (unsigned long long)executions);
  exit(1);
}

static void counts(void) {
  explore_t p = {
      .mode = EXPLORE_FULL, .threads = 2, .thread = {four_on_a, three_on_a}, .verify = verify_seven};
  count("full-4-3", p, 35); /* 7! / (4! 3!) */
  p.mode = EXPLORE_REDUCED;
  count("reduced-4-3", p, 35); /* all conflict: nothing to reduce */
  p.mode = EXPLORE_BOUNDED;
  p.preemptions = 0;
  count("bounded-0-4-3", p, 2); /* either first */
  p.preemptions = 1;
  count("bounded-1-4-3", p, 2 + 3 + 2); /* or cut the first one in two */
  p.preemptions = 7;
  count("bounded-7-4-3", p, 35);

  p = (explore_t){
      .mode = EXPLORE_FULL, .threads = 2, .thread = {three_on_own, three_on_own}, .verify = verify_own};
  count("full-own-words", p, 20);
  p.mode = EXPLORE_REDUCED;
  count("reduced-own-words", p, 1);
  p.mode = EXPLORE_BOUNDED;
  p.preemptions = 2;
  count("bounded-own-words", p, 2);

  p = (explore_t){.mode = EXPLORE_FULL, .threads = 3, .thread = {three_on_own, three_on_own, three_on_own}};
  count("full-3-threads", p, 1680); /* 9! / (3!)^3 */
  p = (explore_t){.mode = EXPLORE_REDUCED, .threads = 3, .thread = {b_then_a, b_then_a, b_then_a}};
  count("reduced-3-threads", p, 6); /* the orders of the three operations on a */
  p = (explore_t){.mode = EXPLORE_REDUCED, .threads = 3, .thread = {three_on_a, four_on_a, three_on_own}};
  count("reduced-2-of-3", p, 35);
}

/* ---- outcomes: the reduced search sees the same final states as the full one ---- */

static unsigned long* outcomes; /* not restored: a set of final states in a page of its own */

static int random_threads, random_length;
static uint64_t seed_of[EXPLORE_THREADS], seen[EXPLORE_THREADS];

static void random_thread(void) {
  const int t = explorer_thread();
  uint64_t seed = seed_of[t];
  for (int i = 0; i < random_length; i++, seed /= 15) {
    atomic_u64_t* const where = &words[seed % 3];
    uint64_t expected = seed / 15 % 4;
    switch (seed / 3 % 5) {
    case 0:
      add_relaxed(where, (uint64_t)(1 + t));
      break;
    case 1:
      store_relaxed(where, (uint64_t)(2 + i));
      break;
    case 2:
      seen[t] = seen[t] * 31 + load_relaxed(where);
      break;
    case 3:
      seen[t] = seen[t] * 31 + exchange_acq_rel(where, (uint64_t)(2 + t));
      break;
    default:
      seen[t] = seen[t] * 31 + (uint64_t)cas_strong_acq_rel(where, &expected, (uint64_t)(3 - t));
      break;
    }
  }
}

enum { OUTCOMES = 1 << 16 };
static void note_outcome(void) {
  uint64_t h = 0;
  for (int i = 0; i < 3; i++) h = (h ^ words[i]) * 0x9E3779B97F4A7C15u + (h >> 7);
  for (int i = 0; i < EXPLORE_THREADS; i++) h = (h ^ seen[i]) * 0x9E3779B97F4A7C15u + (h >> 7);
  outcomes[h >> 48] = 1;
}

static uint64_t count_outcomes(explore_mode_t mode) {
  memset(outcomes, 0, OUTCOMES * sizeof(*outcomes));
  const explore_t p = {.mode = mode,
                       .threads = random_threads,
                       .thread = {random_thread, random_thread, random_thread},
                       .verify = note_outcome};
  explore(&p);
  uint64_t n = 0;
  for (size_t i = 0; i < OUTCOMES; i++) n += outcomes[i];
  return n;
}

static void same_outcomes(int programs, int threads, int length) {
  uint64_t random = 42, total = 0;
  outcomes = malloc(OUTCOMES * sizeof(*outcomes));
  random_threads = threads;
  random_length = length;
  for (int i = 0; i < programs; i++) {
    for (int t = 0; t < threads; t++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      seed_of[t] = random >> 20;
    }
    const uint64_t full = count_outcomes(EXPLORE_FULL);
    const uint64_t reduced = count_outcomes(EXPLORE_REDUCED);
    total += full;
    if (full == reduced) continue;
    fprintf(stderr, "program %d of %d threads: %llu outcomes, reduced %llu\n", i, threads,
            (unsigned long long)full, (unsigned long long)reduced);
    exit(1);
  }
  printf("random programs: %d of %d threads, the same %llu outcomes in the reduced search\n", programs,
         threads, (unsigned long long)total);
}

/* ---- 2. textbook races ---- */

static void lost_update(void) {
  const uint64_t x = load_relaxed(&word_a);
  store_relaxed(&word_a, x + 1);
}
static void verify_two(void) {
  expect(load_relaxed(&word_a) == 2);
}

static void both_enter(void) { /* mutual exclusion without looking after setting the flag */
  const int t = explorer_thread();
  if (load_seq_cst(&words[1 - t]) != 0) return;
  store_seq_cst(&words[t], 1);
  add_relaxed(&word_a, 1);
}
static void verify_one_entered(void) {
  expect(load_relaxed(&word_a) <= 1);
}

static void spin_forever(void) {
  while (load_acquire(&word_b) == 0) continue;
}

/* A stack without a version: pop reads next, sleeps; the others pop two and push the first again. */
enum { A = 1, B = 2, C = 3 };
static uint64_t next_of[4];
static uint64_t popped[3];
static void aba_setup(void) {
  next_of[A] = B;
  next_of[B] = C;
  word_a = A;
}
static uint64_t aba_pop(void) {
  uint64_t head = load_acquire(&word_a);
  while (head != 0) {
    const uint64_t next = next_of[head];
    if (cas_weak_acq_rel(&word_a, &head, next)) break;
  }
  return head;
}
static void aba_push(uint64_t node) {
  uint64_t head = load_acquire(&word_a);
  do next_of[node] = head;
  while (!cas_weak_acq_rel(&word_a, &head, node));
}
static void aba_one(void) {
  popped[0] = aba_pop();
}
static void aba_two(void) {
  const uint64_t first = aba_pop();
  popped[1] = aba_pop();
  if (first != 0) aba_push(first);
}
static void aba_verify(void) { /* every node is on the stack or with one popper */
  uint64_t found = 0;
  for (uint64_t node = word_a; node != 0; node = next_of[node]) found += node == A ? 1 : node == B ? 10 : 100;
  for (int i = 0; i < 2; i++) found += popped[i] == 0 ? 0 : popped[i] == A ? 1 : popped[i] == B ? 10 : 100;
  expect(found == 111);
}

/* ---- 3. the store buffer: one side stores and looks, the other has a barrier in between for both ---- */

static _Alignas(8) atomic_u32_t asking, answering;
static bool may_enter[2];
static bool drains, buffers;

static void buffer_setup(void) {
  if (buffers) explorer_buffer((volatile uint32_t*)(uintptr_t)&asking, 0);
}
static void ask(void) {
  store_relaxed(&asking, 1u);
  expect(load_relaxed(&asking) == 1); /* its own store */
  may_enter[0] = load_relaxed(&answering) == 0;
}
static void answer(void) {
  store_relaxed(&answering, 1u);
  if (drains) explorer_drain();
  may_enter[1] = load_relaxed(&asking) == 0;
}
static void verify_answer(void) {
  expect(!may_enter[0] || !may_enter[1]);
  expect(load_relaxed(&asking) == 1); /* a store is late, but not lost */
}
static void run_buffer(void) {
  explore_t p = {"buffer-full", EXPLORE_FULL, 2, 0, 0, buffer_setup, {ask, answer, NULL}, verify_answer};
  explore(&p);
  p.name = "buffer-reduced";
  p.mode = EXPLORE_REDUCED;
  explore(&p);
  p.name = "buffer-bounded";
  p.mode = EXPLORE_BOUNDED;
  p.preemptions = 2;
  explore(&p);
}
static void run_no_drain(explore_mode_t mode) {
  const explore_t p = {"no-drain", mode, 2, 2, 0, buffer_setup, {ask, answer, NULL}, verify_answer};
  drains = false;
  buffers = true;
  explore(&p);
}
static void run_no_drain_full(void) { run_no_drain(EXPLORE_FULL); }
static void run_no_drain_reduced(void) { run_no_drain(EXPLORE_REDUCED); }
static void run_no_drain_bounded(void) { run_no_drain(EXPLORE_BOUNDED); }

/* The third thread is the memory: its drain may come at any time. */
static void drain_late(void) { explorer_drain(); }
static void verify_seen(void) { expect(may_enter[1]); }
static void run_drained_by_memory(void) {
  const explore_t p = {
      "drained", EXPLORE_REDUCED, 3, 0, 0, buffer_setup, {ask, answer, drain_late}, verify_seen};
  explore(&p); /* some order shows the store */
}
static void run_not_drained(void) {
  const explore_t p = {
      "not-drained", EXPLORE_REDUCED, 2, 0, 0, buffer_setup, {ask, answer, NULL}, verify_seen};
  explore(&p); /* none does */
}

/* A fault that the setup meets is not one that the search has found. */
static void failing_setup(void) { expect(load_relaxed(&word_a) == 1); }
static void run_failing_setup(void) {
  const explore_t p = {"setup", EXPLORE_FULL, 2, 0, 0, failing_setup, {four_on_a, three_on_a, NULL}, nothing};
  explore(&p);
}
static void crashing_setup(void) { abort(); }
static void run_crashing_setup(void) {
  const explore_t p = {
      "setup", EXPLORE_FULL, 2, 0, 0, crashing_setup, {four_on_a, three_on_a, NULL}, nothing};
  explore(&p);
}

/* ---- 4. the remote-free protocol in miniature ----
   One page of TOTAL blocks, all allocated, in the full list: state DELAYED.  Remote threads free one block
   each; the owner collects its delayed list, then the page, then arms the page again as full.  Word:
   count in bits 0..7, state in 8..9, and a bit per block from 16 on. */

enum { NORMAL, DELAYED, DELAYING, TOTAL = 3 };
enum toy_fault_e { SOUND, NO_STATE_TEST, LOST_SIGNAL, COUNT_APART, ARM_BLINDLY };
static enum toy_fault_e fault;
static atomic_u64_t toy_word, toy_delayed; /* toy_delayed: a bit per block */
static unsigned collected[TOTAL];
static int in_full_list;

static uint64_t toy_state(uint64_t w) {
  return w >> 8 & 3;
}
static uint64_t toy_with_state(uint64_t w, uint64_t state) {
  return (w & ~UINT64_C(0x300)) | state << 8;
}
static uint64_t toy_pushed(uint64_t w, int block) {
  return (w + (fault != COUNT_APART)) | UINT64_C(1) << (16 + block);
}

static void toy_free(int block) {
  uint64_t w = load_acquire(&toy_word);
  for (;;) {
    const bool delayed = toy_state(w) == DELAYED && fault != NO_STATE_TEST;
    const uint64_t changed = delayed ? toy_with_state(w, DELAYING) : toy_pushed(w, block);
    if (!cas_weak_acq_rel(&toy_word, &w, changed)) continue;
    if (!delayed) break;
    if (fault != LOST_SIGNAL) or_acq_rel(&toy_delayed, UINT64_C(1) << block);
    w = load_acquire(&toy_word);
    while (toy_state(w) == DELAYING && !cas_weak_acq_rel(&toy_word, &w, toy_with_state(w, NORMAL))) continue;
    return;
  }
  if (fault == COUNT_APART) {
    const uint64_t x = load_acquire(&toy_word);
    store_release(&toy_word, x + 1);
  }
}

static void toy_take(uint64_t blocks) {
  for (int b = 0; b < TOTAL; b++) collected[b] += blocks >> b & 1;
}

static void toy_collect(void) { /* blocks of the page, count checked; the state stays */
  uint64_t w = load_acquire(&toy_word);
  while (!cas_weak_acq_rel(&toy_word, &w, toy_with_state(0, toy_state(w)))) continue;
  expect((w & 0xFF) == (uint64_t)__builtin_popcountll(w >> 16));
  toy_take(w >> 16);
}

static void toy_arm(void) {
  uint64_t w = load_acquire(&toy_word);
  for (;;) {
    if (w >> 16 != 0 && fault != ARM_BLINDLY) return toy_collect();
    if (cas_weak_acq_rel(&toy_word, &w, toy_with_state(w, DELAYED))) break;
  }
  in_full_list = 1;
}

static void toy_heartbeat(void) { /* what the owner's cadence does; finds the page only by its signal */
  const uint64_t delayed = exchange_acq_rel(&toy_delayed, 0);
  toy_take(delayed);
  if (delayed != 0) in_full_list = 0;
  if (in_full_list == 0) toy_collect();
}

static void toy_owner(void) {
  toy_heartbeat();
  if (in_full_list == 0) toy_arm();
  toy_heartbeat();
}
static void toy_remote(void) {
  toy_free(explorer_thread() - 1);
}
static void toy_remote_two(void) {
  toy_free(0);
  toy_free(2);
}
static void toy_setup(void) {
  toy_word = toy_with_state(0, DELAYED);
  in_full_list = 1;
}
static void toy_setup_sought(void) { /* in the search queue, about to be found full */
  toy_word = 0;
  in_full_list = 0;
}
static void toy_verify(void) {
  toy_heartbeat(); /* a page with a freed block was signalled: nothing is left behind */
  toy_collect();
  const unsigned freed = collected[0] + collected[1] + collected[2];
  expect(in_full_list == 0 || freed == 0 || toy_state(toy_word) == DELAYED);
  expect(collected[0] == 1 && collected[1] <= 1 && collected[2] <= 1);
}
static void toy_verify_two(void) {
  const unsigned before = collected[0] + collected[2];
  toy_heartbeat();
  const unsigned after = collected[0] + collected[2];
  expect(after == 2); /* one heartbeat finds what the owner did not */
  expect(before <= 2);
}

static const explore_t toy_two = {
    "toy-remote-2", EXPLORE_REDUCED, 2, 0, 0, toy_setup, {toy_owner, toy_remote_two, NULL}, toy_verify_two};
static const explore_t toy_arming = {
    "toy-arming-2", EXPLORE_REDUCED, 2, 0, 0, toy_setup_sought, {toy_owner, toy_remote_two, NULL},
    toy_verify_two};
static const explore_t toy_three = {
    "toy-remote-3", EXPLORE_BOUNDED, 3, 2, 0, toy_setup, {toy_owner, toy_remote, toy_remote}, toy_verify};

static void toy_all(void) {
  explore(&toy_two);
  explore(&toy_arming);
  explore(&toy_three);
}

/* ---- faults must be found: each in a process of its own ---- */

static void toy_faulty(enum toy_fault_e f) {
  fault = f;
  toy_all();
}
static void run_lost_update(void) {
  const explore_t p = {"lost-update", EXPLORE_REDUCED, 2, 0, 0, NULL, {lost_update, lost_update, NULL},
                       verify_two};
  explore(&p);
}
static void run_both_enter(void) {
  const explore_t p = {"both-enter",      EXPLORE_REDUCED, 2, 0, 0, NULL, {both_enter, both_enter, NULL},
                       verify_one_entered};
  explore(&p);
}
static void run_livelock(void) {
  const explore_t p = {"livelock", EXPLORE_REDUCED, 2, 0, 100, NULL, {spin_forever, three_on_a, NULL},
                       nothing};
  explore(&p);
}
static void run_aba(void) {
  const explore_t p = {"aba", EXPLORE_REDUCED, 2, 0, 0, aba_setup, {aba_one, aba_two, NULL}, aba_verify};
  explore(&p);
}
static void run_aba_bounded(void) {
  const explore_t p = {"aba-bounded", EXPLORE_BOUNDED,          2,         1, 0,
                       aba_setup,     {aba_one, aba_two, NULL}, aba_verify};
  explore(&p);
}
static void run_no_state_test(void) {
  toy_faulty(NO_STATE_TEST);
}
static void run_lost_signal(void) {
  toy_faulty(LOST_SIGNAL);
}
static void run_count_apart(void) {
  toy_faulty(COUNT_APART);
}
static void run_arm_blindly(void) {
  toy_faulty(ARM_BLINDLY);
}

static int expecting_failure(void (*run)(void)) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(3);
    explorer_expect(EXPECT_FAILURE);
    run();
    _exit(explorer_status());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

static void must_fail(const char* name, void (*run)(void)) {
  if (expecting_failure(run) == 0) return;
  fprintf(stderr, "%s was not found\n", name);
  exit(1);
}

/* Explored to the end without a failure, or refused as one. */
static void must_survive(const char* name, void (*run)(void)) {
  if (expecting_failure(run) != 0) return;
  fprintf(stderr, "%s was taken for a failure\n", name);
  exit(1);
}

static void buffer_tests(void) {
  must_survive("a barrier missing, but no buffer", run_buffer);
  buffers = true;
  must_fail("a missing barrier (all orders)", run_no_drain_full);
  must_fail("a missing barrier (reduced)", run_no_drain_reduced);
  must_fail("a missing barrier (bounded)", run_no_drain_bounded);
  must_fail("a store that the memory has drained", run_drained_by_memory);
  must_survive("a store that nobody has drained", run_not_drained);
  drains = true;
  must_survive("a barrier", run_buffer);
  must_survive("a setup that fails", run_failing_setup);
  must_survive("a setup that crashes", run_crashing_setup);
}

int main(void) {
  counts();
  same_outcomes(100, 2, 6);
  same_outcomes(150, 3, 3);
  toy_all();
  buffer_tests();
  must_fail("a lost update", run_lost_update);
  must_fail("two in a critical section", run_both_enter);
  must_fail("a livelock", run_livelock);
  must_fail("an ABA", run_aba);
  must_fail("an ABA with one pre-emption", run_aba_bounded);
  must_fail("a push without state test", run_no_state_test);
  must_fail("a lost signal", run_lost_signal);
  must_fail("a count apart from the push", run_count_apart);
  must_fail("arming without looking", run_arm_blindly);
  return 0;
}
