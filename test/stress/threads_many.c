/* SPDX-License-Identifier: MIT */
/* 10,000 short-lived threads, four at a time, each with some allocations: neither resident memory nor
   reserved address space grows after the first thousand.  Then generations of threads that leave live blocks
   behind, half of which others free: the abandoned pages are used again, by allocation and by free. */
#include "support.h"

enum {
  AT_ONCE = 4,
  BLOCKS = 200,
  GENERATIONS = 400,
  WARM = 100,
  KEEP = 8,
  PER_THREAD = 600,
  SLACK = 8 * MIB
};

/* How much is in use at once depends on the scheduler: of the first thousand half meet where they
   have most, which tells what is needed. */
static pthread_barrier_t all_have_theirs;
static bool they_meet;

static void* short_life(void* arg) {
  uint64_t random = (uint64_t)(uintptr_t)arg;
  void* blocks[BLOCKS];
  size_t sizes[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    sizes[i] = 1 + random_below(&random, i % 50 == 0 ? 100000 : 2000);
    blocks[i] = t_malloc(sizes[i]);
    CHECK(blocks[i] != NULL, "out of memory");
    payload_fill(blocks[i], sizes[i], (uint64_t)i);
  }
  if (they_meet) pthread_barrier_wait(&all_have_theirs);
  for (int i = 0; i < BLOCKS; i++) {
    payload_check(blocks[i], sizes[i], (uint64_t)i);
    t_free(blocks[i]);
  }
  return NULL;
}

static void many_threads(unsigned total) {
  size_t rss = 0, reserved = 0;
  pthread_barrier_init(&all_have_theirs, NULL, AT_ONCE);
  for (unsigned n = 0; n < total; n += AT_ONCE) {
    pthread_t threads[AT_ONCE];
    they_meet = n > total / 20 && n <= total / 10;
    if (n <= total / 20 && rss_bytes() > rss) rss = rss_bytes();
    if (n <= total / 10 && reserved_bytes() > reserved) reserved = reserved_bytes();
    for (unsigned i = 0; i < AT_ONCE; i++)
      threads[i] = thread_start(&short_life, (void*)(uintptr_t)(n + i + 1));
    for (unsigned i = 0; i < AT_ONCE; i++) thread_join(threads[i]);
  }
  const size_t rss_after = rss_bytes(), reserved_after = reserved_bytes();
  printf("%u threads: rss %zu -> %zu KiB, reserved %zu -> %zu KiB\n", total, rss / KIB, rss_after / KIB,
         reserved / KIB, reserved_after / KIB);
  CHECK(rss_after <= rss + SLACK, "resident memory grew from %zu to %zu KiB", rss / KIB, rss_after / KIB);
  CHECK(reserved_after <= reserved + SLACK, "address space grew from %zu to %zu KiB", reserved / KIB,
        reserved_after / KIB);
}

typedef struct legacy_s {
  void* blocks[PER_THREAD];
  size_t sizes[PER_THREAD];
} legacy_t;

static void* leaves_blocks(void* arg) {
  legacy_t* legacy = (legacy_t*)arg;
  uint64_t random = (uint64_t)(uintptr_t)legacy;
  for (int i = 0; i < PER_THREAD; i++) {
    legacy->sizes[i] = 16 + random_below(&random, i % 100 == 0 ? 200000 : 3000);
    legacy->blocks[i] = t_malloc(legacy->sizes[i]);
    CHECK(legacy->blocks[i] != NULL, "out of memory");
    payload_fill(legacy->blocks[i], legacy->sizes[i], (uint64_t)i);
  }
  return NULL;
}

static void free_every(legacy_t* legacy, int first, int step) {
  for (int i = first; i < PER_THREAD; i += step) {
    payload_check(legacy->blocks[i], legacy->sizes[i], (uint64_t)i);
    t_free(legacy->blocks[i]);
    legacy->blocks[i] = NULL;
    legacy->sizes[i] = 0;
  }
}

/* At most KEEP generations are alive; the main thread frees the odd blocks at once, the rest later. */
static void generations(void) {
  static legacy_t legacies[KEEP];
  size_t rss = 0, reserved = 0, rss_max = 0, reserved_max = 0;
  for (int g = 0; g < GENERATIONS; g++) {
    legacy_t* legacy = &legacies[g % KEEP];
    if (g >= KEEP) free_every(legacy, 0, 2);
    thread_join(thread_start(&leaves_blocks, legacy));
    free_every(legacy, 1, 2);
    const size_t now = rss_bytes(), held = reserved_bytes();
    if (now > rss_max) rss_max = now;
    if (held > reserved_max) reserved_max = held;
    if (g != WARM) continue;
    rss = rss_max;
    reserved = reserved_max;
  }
  printf("%d generations: peak rss %zu -> %zu KiB, reserved %zu -> %zu KiB\n", GENERATIONS, rss / KIB,
         rss_max / KIB, reserved / KIB, reserved_max / KIB);
  CHECK(rss_max <= rss + SLACK, "resident memory grew from %zu to %zu KiB", rss / KIB, rss_max / KIB);
  CHECK(reserved_max <= reserved + SLACK, "address space grew from %zu to %zu KiB", reserved / KIB,
        reserved_max / KIB);
  for (int k = 0; k < KEEP; k++) free_every(&legacies[k], 0, 2);
}

int main(int argc, char** argv) {
  watchdog(200);
  many_threads(argc > 1 ? (unsigned)atoi(argv[1]) : 10000);
  generations();
  return 0;
}
