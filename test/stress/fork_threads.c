/* SPDX-License-Identifier: MIT */
/* Thousands of children of a process whose other threads are inside the allocator at the moment of the fork.
   Each child allocates every kind of block, frees blocks that the parent's threads made, every few starts
   threads, and leaves.  The way to fork is the argument: fork, _Fork (no atfork handlers), or clone (a raw
   clone(SIGCHLD): not even libc knows).  The watchdog makes a hang a failure. */
#include "support.h"
#include <sys/syscall.h>

enum { CHURNERS = 3, SHELF = 256, HELD = 128 };

static _Atomic(void*) shelf[SHELF];
static atomic_bool stop;

static size_t some_size(uint64_t* random) {
  static const size_t limits[] = {64, 256, 1024, 8 * KIB, 8 * KIB, 100 * KIB, 2 * MIB};
  const size_t choice = random_below(random, 40);
  return 16 + random_below(random, choice < 34 ? limits[choice % 4] : limits[choice % 7]);
}

static void touch(void* p, size_t size) {
  CHECK(p != NULL, "out of memory for %zu bytes", size);
  memset(p, 0x5A, size < 4096 ? size : 4096);
}

/* Always inside the allocator; publishes some of its blocks. */
static void* churn(void* arg) {
  uint64_t random = (uint64_t)(uintptr_t)arg;
  void* held[HELD] = {NULL};
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    const size_t i = random_below(&random, HELD);
    const size_t size = some_size(&random);
    t_free(held[i]);
    held[i] = t_malloc(size);
    touch(held[i], size);
    if (random_below(&random, 4) == 0)
      held[i] = atomic_exchange(&shelf[random_below(&random, SHELF)], held[i]);
  }
  for (int i = 0; i < HELD; i++) t_free(held[i]);
  return NULL;
}

static void* child_thread(void* arg) {
  uint64_t random = (uint64_t)(uintptr_t)arg;
  for (int i = 0; i < 300; i++) {
    const size_t size = some_size(&random);
    void* p = t_malloc(size);
    touch(p, size);
    t_free(p);
  }
  return t_malloc(100);
}

/* Shared by all kinds of children: threads are legal after each kind, since no thread of the parent was
   being created or ended at the fork. */
static void child(unsigned serial) {
  uint64_t random = serial;
  void* mine[64];
  watchdog(20);
  for (int i = 0; i < 64; i++) {
    const size_t size = some_size(&random);
    mine[i] = (i % 8 == 0 ? t_aligned(size, 256) : t_malloc(size));
    touch(mine[i], size);
  }
  for (int i = 0; i < SHELF; i++) t_free(atomic_exchange(&shelf[i], NULL));
  for (int i = 0; i < 64; i++) mine[i] = t_realloc(mine[i], some_size(&random));
  if (CHILD_STARTS_THREADS && serial % 8 == 0) {
    pthread_t thread = thread_start(&child_thread, (void*)(uintptr_t)(serial + 1));
    void* left = NULL;
    CHECK(pthread_join(thread, &left) == 0, "join in the child");
    t_free(left);
  }
  for (int i = 0; i < 64; i++) t_free(mine[i]);
  if (serial % 16 == 0) t_collect();
  _exit(0);
}

static pid_t fork_by(const char* way) {
  if (strcmp(way, "fork") == 0) return fork();
  if (strcmp(way, "_Fork") == 0) return _Fork();
  return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0L);
}

int main(int argc, char** argv) {
  const char* way = (argc > 1 ? argv[1] : "fork");
  const unsigned count = (argc > 2 ? (unsigned)atoi(argv[2]) : 1000);
  pthread_t threads[CHURNERS];
  watchdog(240);
  for (int i = 0; i < CHURNERS; i++) threads[i] = thread_start(&churn, (void*)(uintptr_t)(i + 7));
  sleep_ms(20);
  for (unsigned i = 1; i <= count; i++) {
    const pid_t pid = fork_by(way);
    if (pid == 0) child(i);
    expect_child_success(pid, way);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < CHURNERS; i++) thread_join(threads[i]);
  for (int i = 0; i < SHELF; i++) t_free(atomic_exchange(&shelf[i], NULL));
  printf("%u children by %s\n", count, way);
  return 0;
}
