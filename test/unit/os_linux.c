/* SPDX-License-Identifier: MIT */
/* The real OS layer keeps its contract. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "unit/memory_support.h"

enum {
  SIZE = 1024 * 1024,
  SYSCALL_MSEAL = 462, /* Linux 6.10 */
};

static bool is_zero(const char* p, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (p[i] != 0) return false;
  }
  return true;
}

/* Does writing to p kill the process? */
static bool is_inaccessible(char* p) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL); /* cmocka's handler would survive it */
    *(volatile char*)p = 1;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

static void mappings_go_where_asked(void** unused) {
  UNUSED(unused);
  errno = 4711;
  char* const p = os_reserve(SIZE, 4 * SIZE);
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % (4 * SIZE), 0);
  assert_true(is_inaccessible(p));
  assert_int_equal(os_reserve_at(p, SIZE), EEXIST);
  assert_int_equal(os_map_at(p + SIZE - os_page_size(), os_page_size()), EEXIST);
  assert_int_equal(os_commit(p, SIZE / 2), 0);
  assert_true(is_zero(p, SIZE / 2));
  memset(p, 1, SIZE / 2);
  assert_int_equal(os_commit(p, SIZE), 0); /* what is in use stays */
  assert_true(p[0] == 1 && p[SIZE / 2 - 1] == 1 && is_zero(p + SIZE / 2, SIZE / 2));
  assert_int_equal(os_purge(p, SIZE / 4), 0);
  assert_true(is_zero(p, SIZE / 4) && p[SIZE / 4] == 1);
  assert_int_equal(os_reset(p + SIZE / 4, SIZE / 4), 0);
  p[SIZE / 4] = 2; /* written to anew: it stays */
  assert_true(p[SIZE / 4] == 2 && (p[SIZE / 2 - 1] == 1 || p[SIZE / 2 - 1] == 0));
  os_unmap(p, SIZE);
  assert_int_equal(os_reserve_at(p, SIZE), 0);
  os_unmap(p, SIZE);
  assert_int_equal(os_map_at(p, SIZE), 0);
  assert_true(is_zero(p, SIZE));
  memset(p, 1, SIZE);
  os_no_huge_pages(p, SIZE);
  os_unmap(p, SIZE);
  assert_int_equal(errno, 4711);
}

static void limits_are_told(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  errno = 4711;
  assert_null(os_reserve((size_t)1 << 60, SLICE_SIZE));
  assert_null(os_reserve(SIZE_MAX - SLICE_SIZE + 1, SLICE_SIZE));
  assert_null(os_map((size_t)1 << 60));
  assert_int_not_equal(os_commit((void*)((uintptr_t)1 << 46), SIZE), 0);
  char* const p = os_map(1);
  assert_non_null(p);
  assert_int_equal(mlock(p, os_page_size()), 0);
  assert_int_equal(os_purge(p, os_page_size()), EINVAL);
  assert_int_equal(os_reset(p, os_page_size()), EINVAL);
  os_unmap(p, os_page_size());
  assert_int_equal(errno, 4711);
}

/* Every second page goes, but for those that are locked. */
static void ranges_are_purged_together(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED(); /* they leave mlock out */
  enum { RANGES = 40, LOCKED = 21 };
  const size_t page = os_page_size();
  struct iovec ranges[RANGES];
  char* const p = os_map(2 * RANGES * page);
  assert_non_null(p);
  memset(p, 1, 2 * RANGES * page);
  errno = 4711;
  for (size_t i = 0; i < RANGES; i++) ranges[i] = (struct iovec){p + 2 * i * page, page};
  assert_int_equal(os_purge_each(ranges, 0), 0);
  assert_int_equal(os_purge_each(ranges, 2), 2 * page);
  assert_true(is_zero(p, page) && p[page] == 1 && is_zero(p + 2 * page, page) && p[4 * page] == 1);
  assert_int_equal(mlock(ranges[LOCKED].iov_base, page), 0);
  for (int turn = 0; turn < 2; turn++) { /* also when the first one fails */
    const size_t first = turn == 0 ? 0 : LOCKED;
    memset(p, 1, 2 * RANGES * page);
    assert_int_equal(os_purge_each(ranges + first, RANGES - first), (RANGES - first - 1) * page);
    for (size_t i = first; i < RANGES; i++) {
      assert_true(i == LOCKED ? p[2 * i * page] == 1 : is_zero(ranges[i].iov_base, page));
      assert_true(p[(2 * i + 1) * page] == 1);
    }
  }
  os_unmap(p, 2 * RANGES * page);
  assert_int_equal(errno, 4711);
}

static void clock_and_chance(void** unused) {
  UNUSED(unused);
  assert_true(is_power_of_two(os_page_size()) && os_page_size() <= SLICE_SIZE);
  const uint64_t before = os_now_ms();
  const struct timespec time = {0, 50000000};
  nanosleep(&time, NULL);
  const uint64_t passed = os_now_ms() - before;
  assert_true(passed >= 30 && passed < 10000);
  uint64_t ones = 0;
  uint64_t zeros = 0;
  for (int i = 0; i < 64; i++) {
    const uint64_t bits = os_random();
    assert_int_not_equal(bits, os_random());
    ones |= bits;
    zeros |= ~bits;
  }
  assert_true(ones == UINT64_MAX && zeros == UINT64_MAX);
}

static void rss_is_plausible(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  const size_t before = os_process_rss();
  char* const p = os_map(64 * SIZE);
  memset(p, 1, 64 * SIZE);
  const size_t after = os_process_rss();
  os_unmap(p, 64 * SIZE);
  assert_true(before > 0 && after >= before + 63 * SIZE && after < before + 80 * SIZE);
}

/* Memory is there once it is touched, and is zero; a hint for huge pages changes neither. */
static void touched_memory_is_resident(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  const size_t page = os_page_size();
  char* const p = os_map(SIZE);
  os_no_huge_pages(p, SIZE);
  errno = 4711;
  assert_int_equal(os_resident(p, SIZE), 0);
  assert_true(os_touch(p + 3 * page) < 1000 * 1000 * 1000);
  assert_int_equal(os_resident(p, SIZE), page);
  assert_true(is_zero(p, SIZE));
  assert_int_equal(os_purge(p, SIZE), 0);
  assert_int_equal(os_resident(p, SIZE), 0);
  os_want_huge_pages(p, SIZE);
  assert_true(is_zero(p, SIZE));
  os_unmap(p, SIZE);
  assert_int_equal(os_resident(p, SIZE), 0); /* unknown */
  assert_int_equal(errno, 4711);
}

static void stderr_is_written(void** unused) {
  UNUSED(unused);
  int ends[2];
  char text[16] = "";
  assert_int_equal(pipe(ends), 0);
  const int saved = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  os_write_stderr("hello", 5);
  dup2(saved, STDERR_FILENO);
  assert_int_equal(read(ends[0], text, sizeof(text)), 5);
  assert_string_equal(text, "hello");
  errno = 4711;
  close(STDERR_FILENO);
  os_write_stderr("lost", 4);
  dup2(saved, STDERR_FILENO);
  assert_int_equal(errno, 4711);
  close(saved);
  close(ends[0]);
  close(ends[1]);
}

static atomic_u32_t step;
static sigset_t mask_of_thread;

static void* run(void* argument) {
  os_thread_name("mi-test");
  pthread_sigmask(SIG_SETMASK, NULL, &mask_of_thread);
  store_release(&step, 1);
  os_futex_wake(&step);
  while (load_acquire(&step) == 1) os_futex_wait(&step, 1, -1);
  store_release(&step, 3);
  return argument;
}

static void threads_and_sleep(void** unused) {
  UNUSED(unused);
  sigset_t mask;
  errno = 4711;
  assert_int_equal(os_thread_start(run), 0);
  while (load_acquire(&step) == 0) os_futex_wait(&step, 0, 1000);
  for (int s = 1; s < SIGSYS; s++) {
    if (s != SIGKILL && s != SIGSTOP) assert_int_equal(sigismember(&mask_of_thread, s), 1);
  }
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  assert_int_equal(sigismember(&mask, SIGUSR1), 0);
  const uint64_t before = os_now_ms();
  os_futex_wait(&step, 7, 10000); /* not the expected value: no sleep */
  os_futex_wait(&step, 1, 20);    /* nobody wakes: the time passes */
  assert_true(os_now_ms() - before < 5000);
  store_release(&step, 2);
  os_futex_wake(&step);
  while (load_acquire(&step) != 3) os_futex_wait(&step, 2, 10);
  assert_int_equal(errno, 4711);
}

/* Contents go along; a move that fails loses nothing.  It fails in the middle of the source: at a hole before
   Linux 6.17, which moves what is mapped around holes, and at a sealed page since. */
static void contents_move(void** unused) {
  UNUSED(unused);
  const size_t page = os_page_size();
  errno = 4711;
  char* const from = os_map(SIZE);
  char* const to = os_map(SIZE);
  assert_non_null(from);
  assert_non_null(to);
  memset(from, 1, SIZE);
  memset(to, 2, SIZE);
  const int error = os_move(from, to, SIZE);
  assert_int_equal(errno, 4711);
  if (error == EINVAL) return; /* Linux before 5.7 */
  assert_int_equal(error, 0);
  assert_true(is_zero(from, SIZE));
  for (size_t i = 0; i < SIZE; i++) assert_int_equal(to[i], 1);
  memset(from, 3, SIZE);
  if (syscall(SYSCALL_MSEAL, from + SIZE / 2, page, 0) != 0) os_unmap(from + SIZE / 2, page);
  errno = 4711;
  assert_int_not_equal(os_move(from, to, SIZE), 0);
  assert_int_equal(errno, 4711);
  for (size_t i = 0; i < SIZE / 2; i++) assert_int_equal(from[i], 3);
  for (size_t i = SIZE / 2 + page; i < SIZE; i++) assert_int_equal(from[i], 3);
  memset(to, 4, SIZE);
  os_unmap(from, SIZE / 2);
  os_unmap(to, SIZE);
}

/* For real: node 0 is everywhere.  The kernel tells the policy of an address and the node of its page. */
static void memory_prefers_a_node(void** unused) {
  UNUSED(unused);
  enum { OF_ADDRESS = 2, WHERE = 1 | OF_ADDRESS, PREFERRED = 1 }; /* of get_mempolicy */
  unsigned node = 1000;
  assert_int_equal(syscall(SYS_getcpu, NULL, &node, NULL), 0);
  assert_true(os_numa_nodes() >= 1 && node < os_numa_nodes());
  char* const p = os_map(SIZE);
  assert_non_null(p);
  errno = 4711;
  const int error = os_prefer_node(p, SIZE, 0);
  assert_int_equal(errno, 4711);
  int mode = -1;
  unsigned long nodes[16] = {0};
  if (error == EPERM || error == ENOSYS || syscall(SYS_get_mempolicy, NULL, NULL, 0ul, NULL, 0ul) != 0) {
    os_unmap(p, SIZE);
    skip(); /* a sandbox, or a kernel without nodes */
  }
  assert_int_equal(error, 0);
  assert_int_equal(syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, p, (long)OF_ADDRESS), 0);
  assert_int_equal(mode, PREFERRED);
  assert_int_equal(nodes[0], 1);
  memset(p, 1, SIZE);
  assert_int_equal(syscall(SYS_get_mempolicy, &mode, NULL, 0ul, p, (long)WHERE), 0);
  assert_true((unsigned)mode < os_numa_nodes()); /* 0, unless that node was full */
  assert_int_not_equal(os_prefer_node(p, SIZE, 1000), 0); /* there is no such node */
  os_unmap(p, SIZE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mappings_go_where_asked), cmocka_unit_test(limits_are_told),
      cmocka_unit_test(clock_and_chance),        cmocka_unit_test(rss_is_plausible),
      cmocka_unit_test(touched_memory_is_resident), cmocka_unit_test(ranges_are_purged_together),
      cmocka_unit_test(stderr_is_written),       cmocka_unit_test(threads_and_sleep),
      cmocka_unit_test(contents_move),           cmocka_unit_test(memory_prefers_a_node),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
