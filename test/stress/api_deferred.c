/* SPDX-License-Identifier: MIT */
/* The cadence of the deferred-free callback: two runs of one program give the same heartbeats at the same
   allocations; the gap between callbacks is bounded; a forced collect and running out of memory call it
   with force; it may allocate and free. */
#include "sanitized.h"
#include "support.h"

enum { OPERATIONS = SANITIZED ? 200000 : 1000000, GAP_MAX = 32768, TRACE_MAX = 1 << 20 };

typedef struct trace_s {
  uint64_t hash;
  unsigned long calls, forced, heartbeat, mallocs, last, gap;
  bool inside;
} trace_t;

static void on_deferred(bool force, unsigned long long heartbeat, void* arg) {
  trace_t* t = (trace_t*)arg;
  CHECK(!t->inside, "the callback is called from within itself");
  t->inside = true;
  t->calls++;
  if (force) t->forced++;
  CHECK(heartbeat >= t->heartbeat, "the heartbeat went back from %lu to %llu", t->heartbeat, heartbeat);
  t->heartbeat = (unsigned long)heartbeat;
  t->hash = mix64(t->hash ^ heartbeat ^ ((uint64_t)t->mallocs << 32) ^ (uint64_t)force);
  const unsigned long gap = t->mallocs - t->last;
  if (gap > t->gap) t->gap = gap;
  t->last = t->mallocs;
  void* p = mi_malloc(48); /* all of this is allowed here */
  void* q = mi_calloc(100, 30);
  CHECK(p != NULL && q != NULL, "out of memory in the callback");
  mi_free(p);
  mi_free(mi_realloc(q, 10000));
  t->inside = false;
}

/* A child's whole life: its trace comes back through a pipe. */
static void workload(trace_t* t, size_t limit) {
  static void* held[4096];
  uint64_t random = 11;
  mi_register_deferred_free(&on_deferred, t);
  for (size_t i = 0; i < OPERATIONS; i++) {
    void** slot = &held[random_below(&random, 4096)];
    mi_free(*slot);
    *slot = mi_malloc(1 + random_below(&random, limit));
    t->mallocs++;
  }
  for (int i = 0; i < 4096; i++) mi_free(held[i]);
}

static trace_t run_in_child(size_t limit) {
  int fds[2];
  trace_t t;
  memset(&t, 0, sizeof(t));
  CHECK(pipe(fds) == 0, "pipe: %s", strerror(errno));
  const pid_t pid = fork();
  if (pid == 0) {
    watchdog(60);
    workload(&t, limit);
    _exit(write(fds[1], &t, sizeof(t)) == (ssize_t)sizeof(t) ? 0 : 1);
  }
  CHECK(read(fds[0], &t, sizeof(t)) == (ssize_t)sizeof(t), "the child sent no trace");
  expect_child_success(pid, "workload");
  close(fds[0]);
  close(fds[1]);
  return t;
}

/* Only one block lives at a time: the free lists never run dry by themselves. */
static void ping_pong(void) {
  trace_t t;
  memset(&t, 0, sizeof(t));
  mi_register_deferred_free(&on_deferred, &t);
  for (size_t size = 8; size <= 100000; size = size * 3 / 2) {
    for (int i = 0; i < 3 * GAP_MAX; i++) {
      mi_free(mi_malloc(size));
      t.mallocs++;
    }
    CHECK(t.mallocs - t.last <= GAP_MAX && t.gap <= GAP_MAX, "%zu bytes: %lu allocations without a callback",
          size, t.gap > t.mallocs - t.last ? t.gap : t.mallocs - t.last);
  }
  mi_register_deferred_free(NULL, NULL);
}

static void forced(void) {
  trace_t t;
  memset(&t, 0, sizeof(t));
  mi_register_deferred_free(&on_deferred, &t);
  mi_collect(true);
  CHECK(t.forced > 0, "mi_collect(true) does not force the callback");
  t.forced = 0;
#ifdef UNDER_SANITIZER /* has terabytes of address space of its own: no limit can be set, but this is too \
                          much for all */
  CHECK(mi_malloc((size_t)1 << 46) == NULL, "64 TiB");
#else
  struct rlimit limit, small;
  getrlimit(RLIMIT_AS, &limit);
  small = limit;
  small.rlim_cur = address_space_bytes() + 16 * MIB;
  setrlimit(RLIMIT_AS, &small);
  void* p = mi_malloc((size_t)4 << 30);
  setrlimit(RLIMIT_AS, &limit);
  CHECK(p == NULL, "4 GiB under a limit");
#endif
  CHECK(t.forced > 0, "out of memory does not force the callback");
  mi_register_deferred_free(NULL, NULL);
}

int main(void) {
  static const size_t limits[] = {64, 1000, 40000};
  watchdog(120);
  for (int i = 0; i < 3; i++) {
    const trace_t a = run_in_child(limits[i]);
    const trace_t b = run_in_child(limits[i]);
    printf("sizes to %zu: %lu callbacks, heartbeat %lu, gap <= %lu\n", limits[i], a.calls, a.heartbeat,
           a.gap);
    CHECK(a.calls > 0, "no callback in %d allocations", OPERATIONS);
    CHECK(a.hash == b.hash && a.calls == b.calls, "two runs differ: %lu and %lu callbacks", a.calls, b.calls);
    CHECK(a.gap <= GAP_MAX, "%lu allocations without a callback", a.gap);
  }
  ping_pong();
  forced();
  return 0;
}
