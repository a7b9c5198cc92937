/* SPDX-License-Identifier: MIT */
/* Kernels without MADV_WIPEONFORK, without membarrier, without advice on huge pages, without /proc and with
   randomness that repeats: the argument says which.  Threads come and go and fall asleep, their blocks are
   freed by others, the process forks: what such a kernel costs is memory that goes back later, never a
   block, an error or a hang. */
#include "double/os_double.h"
#include "stress/support.h"

enum { BLOCKS = 4000, SLEEPERS = 3, CHILDREN = 20 };

static void* blocks[SLEEPERS][BLOCKS];
static atomic_int ready;
static atomic_bool wake;

static size_t size_of(size_t i) { return 16 + i * 37 % 9000; }

static void make(void** list, uint64_t serial) {
  for (size_t i = 0; i < BLOCKS; i++) {
    list[i] = mi_malloc(size_of(i));
    CHECK(list[i] != NULL, "out of memory");
    payload_fill(list[i], size_of(i), serial);
  }
}

static void check_and_free(void** list, uint64_t serial, size_t from, size_t step) {
  for (size_t i = from; i < BLOCKS; i += step) {
    payload_check(list[i], size_of(i), serial);
    mi_free(list[i]);
  }
}

/* Allocates, sleeps until told, then frees what is left of its blocks and works on. */
static void* sleeper(void* arg) {
  const uintptr_t k = (uintptr_t)arg;
  make(blocks[k], k);
  atomic_fetch_add(&ready, 1);
  while (!atomic_load(&wake)) sleep_ms(1);
  check_and_free(blocks[k], k, 1, 2);
  make(blocks[k], k + 10);
  check_and_free(blocks[k], k + 10, 0, 1);
  return NULL;
}

static void* worker(void* arg) {
  static _Thread_local void* mine[BLOCKS];
  make(mine, 77);
  check_and_free(mine, 77, 0, 1);
  return arg;
}

/* Frees what the parent's threads own, allocates, starts a thread. */
static void child(void) {
  for (uintptr_t k = 0; k < SLEEPERS; k++) check_and_free(blocks[k], k, 1, 2);
  worker(NULL);
  if (CHILD_STARTS_THREADS) thread_join(thread_start(&worker, NULL));
  mi_collect(true);
}

static void life(void) {
  pthread_t threads[SLEEPERS];
  for (uintptr_t k = 0; k < SLEEPERS; k++) threads[k] = thread_start(&sleeper, (void*)k);
  while (atomic_load(&ready) < SLEEPERS) sleep_ms(1);
  for (uintptr_t k = 0; k < SLEEPERS; k++) check_and_free(blocks[k], k, 0, 2);
  for (int i = 0; i < CHILDREN; i++) {
    const pid_t pid = fork();
    if (pid == 0) {
      watchdog(20);
      child();
      _exit(0);
    }
    expect_child_success(pid, "a child");
    sleep_ms(10); /* the background thread looks at the sleepers */
  }
  sleep_ms(150);
  atomic_store(&wake, true);
  for (size_t k = 0; k < SLEEPERS; k++) thread_join(threads[k]);
  thread_join(thread_start(&worker, NULL));
  mi_collect(true);
}

int main(int argc, char** argv) {
  const char* const what = argc > 1 ? argv[1] : "";
  watchdog(60);
  double_reset();
  mi_option_set(mi_option_purge_delay, 20);
  const bool no_barrier = strcmp(what, "no-membarrier") == 0;
  if (strcmp(what, "no-wipeonfork") == 0) double_take_away(OS_WIPE_ON_FORK);
  else if (no_barrier) double_take_away(OS_MEMBARRIER);
  else if (strcmp(what, "second-barrier-fails") == 0) double_fail(CALL_BARRIER, 2, FAIL_FOR_EVER, ENOMEM);
  else if (strcmp(what, "no-proc") == 0) double_take_away(OS_PROC);
  else if (strcmp(what, "no-advice") == 0) double_take_away(OS_HUGE_PAGE_ADVICE);
  else if (strcmp(what, "same-random") == 0) double_set_random(1);
  else CHECK(false, "nothing is to be taken away");
  life();
  size_t rss = 0;
  mi_process_info(NULL, NULL, NULL, &rss, NULL, NULL, NULL, NULL);
  const unsigned long long barriers = double_calls(CALL_BARRIER);
  printf("%s: %zu KiB resident, %llu barriers\n", what, rss / KIB, barriers);
  CHECK(!no_barrier || double_calls(CALL_BARRIER) > 0, "nobody asked for a barrier");
  return 0;
}
