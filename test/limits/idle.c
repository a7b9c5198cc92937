/* SPDX-License-Identifier: MIT */
/* Memory goes back when a program falls idle: after a burst is freed, and 2 s without any call, little is
   resident.  Arguments: `burst` (one thread, 186 MB), `storm` (four threads that exchange blocks and
   exit), `storm-sleep` (they stay, asleep), `other-frees` (186 MB of small blocks, all freed by a thread that
   never allocates and stays, asleep), `scatter` (one block in twenty lives on), or `delay N`
   (MIMALLOC_PURGE_DELAY is N: 0 at once, -1 never, anything else within twice that). */
#include "stress/support.h"

enum { SLOTS = 4096, STORM_THREADS = 4, IDLE_LIMIT = 20 * MIB, BURST_LIMIT = 4 * MIB };

static _Atomic(void*) slots[SLOTS];

static void burst(size_t total) {
  void* first = NULL;
  uint64_t random = 17;
  for (size_t held = 0; held < total;) { /* a list through the blocks, from 16 bytes to 100 KB */
    const size_t size = 16 + random_below(&random, random_below(&random, 10) == 0 ? 100000 : 2000);
    void* p = t_malloc(size);
    CHECK(p != NULL, "out of memory");
    memset(p, 1, size);
    memcpy(p, &first, sizeof(first));
    first = p;
    held += size;
  }
  printf("at the peak %zu KiB\n", rss_bytes() / KIB);
  while (first != NULL) {
    void* next;
    memcpy(&next, first, sizeof(next));
    t_free(first);
    first = next;
  }
}

static void* storm(void* arg) {
  uint64_t random = (uint64_t)(uintptr_t)arg;
  for (int i = 0; i < 300000; i++) {
    const size_t size = 16 + random_below(&random, i % 10 == 0 ? 200000 : 4000);
    void* p = t_malloc(size);
    CHECK(p != NULL, "out of memory");
    memset(p, 1, size);
    t_free(atomic_exchange(&slots[random_below(&random, SLOTS)], p));
  }
  return NULL;
}

static atomic_uint stormed;
static pthread_mutex_t forever = PTHREAD_MUTEX_INITIALIZER;

/* The thread stays, idle: its exit does not help. */
static void* storm_then_sleep(void* arg) {
  storm(arg);
  atomic_fetch_add(&stormed, 1);
  pthread_mutex_lock(&forever);
  return NULL;
}

static void run_storm(thread_fun_t* fun) {
  pthread_t threads[STORM_THREADS];
  for (size_t i = 0; i < STORM_THREADS; i++) threads[i] = thread_start(fun, (void*)(uintptr_t)(i + 1));
  if (fun == &storm) {
    for (size_t i = 0; i < STORM_THREADS; i++) thread_join(threads[i]);
  }
  while (fun != &storm && atomic_load(&stormed) < STORM_THREADS) sleep_ms(1);
  printf("at the peak %zu KiB\n", rss_bytes() / KIB);
  for (size_t i = 0; i < SLOTS; i++) t_free(atomic_exchange(&slots[i], NULL));
}

/* ---------- one allocates, another one frees ---------- */

enum { OTHER_BLOCKS = 1500000, OTHER_SIZE = 124 };

/* The blocks form a list, so that nothing but them is resident. */
static _Atomic(void*) others_list;
static atomic_uint all_freed;

/* This thread calls nothing but free. */
static void* free_then_sleep(void* arg) {
  for (void* p = atomic_load(&others_list); p != NULL;) {
    void* next;
    memcpy(&next, p, sizeof(next));
    t_free(p);
    p = next;
  }
  atomic_store(&all_freed, 1);
  pthread_mutex_lock(&forever);
  return arg;
}

static void other_frees(void) {
  void* first = NULL;
  for (int i = 0; i < OTHER_BLOCKS; i++) {
    void* p = t_malloc(OTHER_SIZE);
    CHECK(p != NULL, "out of memory");
    memset(p, 1, OTHER_SIZE);
    memcpy(p, &first, sizeof(first));
    first = p;
  }
  printf("at the peak %zu KiB\n", rss_bytes() / KIB);
  CHECK(rss_bytes() >= (size_t)OTHER_BLOCKS * OTHER_SIZE, "the blocks are not resident");
  atomic_store(&others_list, first);
  thread_start(&free_then_sleep, NULL);
  while (atomic_load(&all_freed) == 0) sleep_ms(1);
}

/* ---------- a few blocks of each page live on ---------- */

enum { SCATTERED = 300000 };

static void scatter(void) {
  static void* blocks[SCATTERED];
  uint64_t random = 23;
  for (int i = 0; i < SCATTERED; i++) {
    const size_t size = i % 6 < 3 ? 512 : i % 6 < 5 ? 1024 : 2048;
    blocks[i] = t_malloc(size);
    CHECK(blocks[i] != NULL, "out of memory");
    memset(blocks[i], 1, size);
  }
  const size_t peak = rss_bytes();
  for (int i = 0; i < SCATTERED; i++) {
    if (random_below(&random, 20) != 0) t_free(blocks[i]);
  }
  sleep_ms(1000);
  const size_t idle = rss_bytes();
  printf("at the peak %zu KiB, idle %zu KiB: %zu %% given back\n", peak / KIB, idle / KIB,
         100 - idle * 100 / peak);
  CHECK(idle <= peak * 32 / 100, "less than 68 %% of the peak were given back");
}

static void idle_below(size_t limit) {
  const size_t before = rss_bytes();
  sleep_ms(2000);
  const size_t after = rss_bytes();
  printf("freed: %zu KiB; 2 s later: %zu KiB\n", before / KIB, after / KIB);
  CHECK(after <= limit, "%zu KiB are resident after 2 s idle", after / KIB);
}

static void with_delay(int delay) {
  burst(64 * MIB);
  if (delay == 0)
    CHECK(rss_bytes() <= IDLE_LIMIT, "purge_delay 0: %zu KiB after the last free", rss_bytes() / KIB);
  sleep_ms(2000);
  const size_t after = rss_bytes();
  printf("2 s later: %zu KiB\n", after / KIB);
  if (delay == -1) CHECK(after >= 60 * MIB, "purge_delay -1: only %zu KiB are left", after / KIB);
  else CHECK(after <= IDLE_LIMIT, "purge_delay %d: %zu KiB are left", delay, after / KIB);
}

int main(int argc, char** argv) {
  const char* mode = (argc > 1 ? argv[1] : "burst");
  watchdog(60);
  if (strcmp(mode, "delay") == 0) with_delay(argc > 2 ? atoi(argv[2]) : 0);
  else if (strncmp(mode, "storm", 5) == 0) {
    pthread_mutex_lock(&forever);
    run_storm(strcmp(mode, "storm") == 0 ? &storm : &storm_then_sleep);
    idle_below(IDLE_LIMIT);
  } else if (strcmp(mode, "scatter") == 0) {
    scatter();
  } else if (strcmp(mode, "other-frees") == 0) {
    pthread_mutex_lock(&forever);
    other_frees();
    idle_below(IDLE_LIMIT);
  } else {
    burst(186 * 1000 * (size_t)1000);
    idle_below(BURST_LIMIT);
  }
  return 0;
}
