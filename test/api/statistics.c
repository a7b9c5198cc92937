/* SPDX-License-Identifier: MIT */
/* Statistics against the test's own count: it adds up what it allocates and frees, by bin, and compares with
   what mi_stats_get says has changed.  Threads wait at a barrier while that is read. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tally.h"

enum { THREADS = 4, KEPT = 3000, ROUNDS = 30000, PAGE_MAX = 1024 * 1024 };

/* ---- the load ---- */

typedef struct worker_s {
  pthread_t thread;
  mi_heap_t* heap; /* NULL: mi_malloc */
  uint64_t random;
  void* blocks[KEPT];
  tally_t tally;
} worker_t;

static worker_t workers[THREADS];
static pthread_barrier_t barrier;

static size_t random_below(worker_t* self, size_t limit) {
  self->random = self->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (size_t)(self->random >> 33) % limit;
}

static size_t random_size(worker_t* self) {
  switch (random_below(self, 64)) {
  case 0: return random_below(self, 300 * 1024);
  case 1: case 2: return random_below(self, 40 * 1024);
  case 3: case 4: case 5: return random_below(self, 9);
  default: return random_below(self, 1500);
  }
}

static void make(worker_t* self, size_t at) {
  const size_t size = random_size(self);
  void* const p = self->heap != NULL ? mi_heap_malloc(self->heap, size) : mi_malloc(size);
  assert_non_null(p);
  self->blocks[at] = p;
  note(&self->tally, p, 1);
}

static void drop(worker_t* self, size_t at) {
  if (self->blocks[at] == NULL) return;
  note(&self->tally, self->blocks[at], -1);
  mi_free(self->blocks[at]);
  self->blocks[at] = NULL;
}

static void load(worker_t* self) {
  for (size_t i = 0; i < ROUNDS; i++) {
    /* Waves, so that pages fill up, become empty and go. */
    const size_t at = random_below(self, i / 6000 % 2 == 0 ? KEPT : KEPT / 10);
    drop(self, at);
    if (random_below(self, 100) < 90) make(self, at);
  }
}

static void drop_all(worker_t* self) {
  for (size_t i = 0; i < KEPT; i++) drop(self, i);
}

static void* work(void* arg) {
  worker_t* const self = arg;
  mi_free(mi_malloc(1)); /* the thread is known */
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* before */
  load(self);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* after the load */
  drop_all(&workers[(self - workers + 1) % THREADS]); /* another thread's */
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* after the frees */
  load(self);
  return NULL;
}

static void start(mi_heap_t* heap) {
  memset(workers, 0, sizeof(workers));
  pthread_barrier_init(&barrier, NULL, THREADS + 1);
  for (size_t i = 0; i < THREADS; i++) {
    workers[i].heap = heap;
    workers[i].random = i + 1;
    assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  pthread_barrier_wait(&barrier);
}

static void join(void) {
  for (size_t i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
  pthread_barrier_destroy(&barrier);
}

static tally_t all_workers(void) {
  tally_t sum;
  memset(&sum, 0, sizeof(sum));
  for (size_t i = 0; i < THREADS; i++) add(&sum, &workers[i].tally);
  return sum;
}

/* ---- tests ---- */

static void one_thread(void** state) {
  static worker_t self;
  mi_stats_t before, after;
  (void)state;
  memset(&self, 0, sizeof(self));
  mi_free(mi_malloc(1));
  get(&before);
  for (int round = 0; round < 4; round++) {
    load(&self);
    get(&after);
    compare(&before, &after, &self.tally);
    drop_all(&self);
    get(&after);
    compare(&before, &after, &self.tally);
    if (round == 1) mi_collect(true);
  }
  assert_int_equal(self.tally.current_bytes, 0);
}

static void many_threads(void** state) {
  mi_stats_t before, after;
  tally_t tally;
  (void)state;
  start(NULL);
  get(&before);
  assert_true(before.threads.current >= THREADS + 1);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  get(&after);
  tally = all_workers();
  compare(&before, &after, &tally);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  get(&after);
  tally = all_workers();
  compare(&before, &after, &tally);
  pthread_barrier_wait(&barrier);
  join();
  mi_stats_t joined;
  get(&joined);
  tally = all_workers();
  /* The C library frees blocks of its own when threads end: compare what only the test uses. */
  int64_t differences = 0;
  for (size_t bin = 0; bin < BINS; bin++) {
    const int64_t total = joined.malloc_bins[bin].total - before.malloc_bins[bin].total - tally.total[bin];
    const int64_t live =
        joined.malloc_bins[bin].current - before.malloc_bins[bin].current - tally.current[bin];
    differences += llabs((long long)total) + llabs((long long)live);
  }
  assert_in_range(differences, 0, 4 * THREADS);
  assert_int_equal(joined.threads.current, before.threads.current - THREADS);
  assert_true(joined.threads.peak >= THREADS + 1 && joined.threads.total >= THREADS + 1);
  for (size_t i = 0; i < THREADS; i++) drop_all(&workers[i]);
  tally = all_workers();
  assert_int_equal(tally.current_bytes, 0);
}

static void a_heap(void** state) {
  mi_stats_t before, process, stats;
  (void)state;
  mi_stats_init(&before);
  mi_stats_init(&stats);
  mi_heap_t* const heap = mi_heap_new();
  assert_non_null(heap);
  assert_true(mi_heap_stats_get(heap, &before));
  assert_int_equal(before.malloc_count.total, 0);
  assert_int_equal(before.allocated.current, 0);
  start(heap);
  for (int step = 0; step < 2; step++) {
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    assert_true(mi_heap_stats_get(heap, &stats));
    const tally_t now = all_workers();
    compare(&before, &stats, &now);
  }
  pthread_barrier_wait(&barrier);
  join();
  assert_true(mi_heap_stats_get(heap, &stats));
  tally_t tally = all_workers();
  compare(&before, &stats, &tally);
  get(&process);
  assert_true(process.heaps.current >= 2 && process.allocated.current >= stats.allocated.current);
  const int64_t freed = process.freed.total;
  mi_heap_destroy(heap);
  get(&stats);
  assert_int_equal(stats.freed.total - freed, tally.current_bytes); /* at one stroke */
  assert_int_equal(stats.allocated.total, process.allocated.total);
  assert_int_equal(stats.heaps.current, process.heaps.current - 1);
  assert_int_equal(stats.heaps.total, process.heaps.total);
}

/* The blocks of a deleted heap are the main heap's. */
static void a_deleted_heap(void** state) {
  static worker_t self;
  mi_stats_t before, after;
  (void)state;
  memset(&self, 0, sizeof(self));
  self.heap = mi_heap_new();
  get(&before);
  load(&self);
  mi_stats_t main_before;
  mi_stats_init(&main_before);
  assert_true(mi_heap_stats_get(NULL, &main_before));
  mi_heap_delete(self.heap);
  get(&after);
  compare(&before, &after, &self.tally);
  assert_true(mi_heap_stats_get(NULL, &after));
  assert_int_equal(after.allocated.current - main_before.allocated.current, self.tally.current_bytes);
  for (size_t bin = 0; bin < BINS; bin++)
    assert_true(after.malloc_bins[bin].total >= after.malloc_bins[bin].current);
  drop_all(&self);
  get(&after);
  compare(&before, &after, &self.tally);
}

/* Growth in place counts as bytes, not as a block. */
static void a_resized_block(void** state) {
  mi_stats_t before, after;
  (void)state;
  void* p = mi_malloc(1000 * 1000);
  get(&before);
  const size_t size = mi_usable_size(p);
  void* q = mi_realloc(p, 700 * 1000);
  assert_ptr_equal(q, p);
  get(&after);
  assert_int_equal(after.allocated.total, before.allocated.total);
  assert_int_equal(before.allocated.current - after.allocated.current, size - mi_usable_size(q));
  q = mi_realloc(q, 900 * 1000);
  get(&after);
  assert_int_equal(before.allocated.current - after.allocated.current, size - mi_usable_size(q));
  assert_int_equal(after.allocated.total - after.freed.total, after.allocated.current);
  mi_free(q);
}

/* Never below the highest value; above it by less than one page of the size and thread, when the program only
   grows; and bytes never above what was committed. */
static void peaks(void** state) {
  enum { COUNT = 20000, SIZE = 3000 };
  static void* blocks[COUNT];
  mi_stats_t before, top, after;
  (void)state;
  mi_collect(true);
  mi_stats_reset();
  get(&before);
  for (size_t i = 0; i < COUNT; i++) blocks[i] = mi_malloc(SIZE);
  get(&top);
  const size_t bin = bin_of(blocks[0]);
  for (size_t i = 0; i < COUNT; i++) mi_free(blocks[i]);
  mi_collect(true);
  get(&after);
  const int64_t size = (int64_t)mi_stats_get_bin_size(bin);
  const int64_t highest = top.malloc_bins[bin].current;
  assert_true(highest >= COUNT && after.malloc_bins[bin].current < highest);
  assert_in_range(after.malloc_bins[bin].peak, highest, highest + PAGE_MAX / size);
  assert_true(after.allocated.peak >= top.allocated.current && after.malloc_normal.peak >= COUNT * size);
  assert_in_range(after.allocated.peak, 1, after.committed.peak);
  assert_in_range(after.malloc_normal.peak, 1, after.committed.peak);
  assert_in_range(after.committed.peak, top.committed.current,
                  before.committed.current + highest * size * 11 / 10);
  assert_in_range(after.page_bins[bin].peak, top.page_bins[bin].current, top.page_bins[bin].current + 1);
  assert_true(after.page_bins[bin].total >= top.page_bins[bin].current);
  assert_true(after.pages.peak >= top.pages.current && after.pages.current < top.pages.current);
}

static void memory_of_the_process(void** state) {
  mi_stats_t before, after;
  (void)state;
  get(&before);
  assert_true(before.reserved.current >= before.committed.current && before.mmap_calls.total > 0);
  void* const p = mi_malloc(64 * PAGE_MAX);
  get(&after);
  assert_true(after.committed.current >= before.committed.current + 64 * PAGE_MAX);
  assert_true(after.committed.total >= after.committed.peak && after.commit_calls.total > 0);
  memset(p, 1, 64 * PAGE_MAX);
  mi_free(p);
  mi_collect(true);
  get(&after);
  assert_true(after.committed.current <= before.committed.current);
  assert_true(after.purged.total >= before.purged.total + 64 * PAGE_MAX);
  assert_true(after.purge_calls.total > before.purge_calls.total);
}

static void reset(void** state) {
  mi_stats_t stats;
  (void)state;
  void* const p = mi_malloc(5000);
  mi_stats_merge();
  mi_stats_reset();
  get(&stats);
  assert_int_equal(stats.allocated.total, 0);
  assert_int_equal(stats.malloc_count.total, 0);
  assert_int_equal(stats.freed.total, 0);
  assert_true(stats.allocated.current >= 5000 && stats.allocated.peak >= stats.allocated.current);
  assert_int_equal(stats.committed.peak, stats.committed.current);
  mi_free(p);
  get(&stats);
  assert_int_equal(stats.free_count.total, 1);
  assert_int_equal(stats.freed.total, mi_good_size(5000));
}

static void refusals(void** state) {
  mi_stats_t stats;
  mi_stats_t untouched;
  (void)state;
  assert_false(mi_stats_get(NULL));
  assert_false(mi_heap_stats_get(NULL, NULL));
  mi_stats_init(&stats);
  stats.size -= 8;
  untouched = stats;
  assert_false(mi_stats_get(&stats));
  assert_false(mi_heap_stats_get(NULL, &stats));
  assert_null(mi_stats_as_json(&stats, 0, NULL));
  assert_memory_equal(&stats, &untouched, sizeof(stats));
  mi_stats_init(&stats);
  stats.version--;
  assert_false(mi_stats_get(&stats));
  assert_null(mi_stats_as_json(&stats, 0, NULL));
  assert_null(mi_stats_as_json(NULL, 0, NULL));
}

/* What programs were compiled with: offsets of some fields, and the size of all. */
static void layout(void** state) {
  (void)state;
  assert_int_equal(sizeof(mi_stats_t), 4480);
  assert_int_equal(offsetof(mi_stats_t, pages), 16);
  assert_int_equal(offsetof(mi_stats_t, purged), 96);
  assert_int_equal(offsetof(mi_stats_t, malloc_requested), 224);
  assert_int_equal(offsetof(mi_stats_t, heaps), 424);
  assert_int_equal(offsetof(mi_stats_t, malloc_huge_count), 648);
  assert_int_equal(offsetof(mi_stats_t, malloc_bins), 784);
  assert_int_equal(offsetof(mi_stats_t, chunk_bins), 4336);
  assert_int_equal(mi_stats_get_bin_size(0), 16);
  for (size_t bin = 1; bin < MI_BIN_HUGE - 1; bin++) {
    assert_true(mi_stats_get_bin_size(bin) > mi_stats_get_bin_size(bin - 1));
    assert_int_equal(mi_good_size(mi_stats_get_bin_size(bin)), mi_stats_get_bin_size(bin));
  }
  assert_int_equal(mi_stats_get_bin_size(MI_BIN_HUGE - 2), 32 * 1024);
  assert_int_equal(mi_stats_get_bin_size(MI_BIN_HUGE - 1), 0); /* no block is that small, and no bin has it */
  assert_int_equal(mi_stats_get_bin_size(MI_BIN_HUGE), 0);
  assert_int_equal(mi_stats_get_bin_size(SIZE_MAX), 0);
}

static void json_in_buffers(void** state) {
  static char buffer[64 * 1024];
  mi_stats_t_decl(stats);
  (void)state;
  assert_true(mi_stats_get(&stats));
  char* const text = mi_stats_as_json(&stats, 0, NULL);
  assert_non_null(text);
  assert_true(mi_heap_of(text) == mi_heap_main());
  const size_t length = strlen(text);
  assert_int_equal(text[0], '{');
  assert_string_equal(text + length - 2, "}\n");
  assert_ptr_equal(mi_stats_as_json(&stats, sizeof(buffer), buffer), buffer);
  assert_in_range(strlen(buffer), length - 16, length + 16); /* the process has run on */
  assert_null(mi_stats_as_json(&stats, length / 2, buffer));
  assert_null(mi_stats_as_json(&stats, 0, buffer));
  assert_null(mi_stats_get_json(100, buffer));
  assert_ptr_equal(mi_stats_get_json(sizeof(buffer), buffer), buffer);
  assert_ptr_equal(mi_heap_stats_get_json(NULL, sizeof(buffer), buffer), buffer);
  mi_free(text);
}

static void append(const char* text, void* arg) {
  char* const all = arg;
  strncat(all, text, 8000 - strlen(all));
}

static void printing(void** state) {
  static char text[8192];
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  void* const p = mi_heap_malloc(heap, 100);
  mi_heap_stats_print_out(heap, append, text);
  assert_non_null(strstr(text, "statistics of heap"));
  assert_non_null(strstr(text, "112 bytes in 1 blocks"));
  text[0] = 0;
  void* const q = mi_malloc(20 * 1000);
  mi_thread_stats_print_out(append, text);
  assert_non_null(strstr(text, "calling thread"));
  assert_non_null(strstr(text, "     20480 "));
  mi_free(p);
  mi_free(q);
  mi_heap_destroy(heap);
}

/* For a JSON parser: figures of the process, and of a heap with a known block. */
static int print_json(const char* which) {
  mi_heap_t* const heap = mi_heap_new();
  void* const p = mi_heap_malloc(heap, 100);
  char* const text = strcmp(which, "heap") == 0 ? mi_heap_stats_get_json(heap, 0, NULL)
                                                : mi_stats_get_json(0, NULL);
  if (p == NULL || text == NULL) return 1;
  fputs(text, stdout);
  mi_free(text);
  mi_heap_destroy(heap);
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2) return print_json(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_thread),
      cmocka_unit_test(many_threads),
      cmocka_unit_test(a_heap),
      cmocka_unit_test(a_deleted_heap),
      cmocka_unit_test(a_resized_block),
      cmocka_unit_test(memory_of_the_process),
      cmocka_unit_test(peaks),
      cmocka_unit_test(reset),
      cmocka_unit_test(refusals),
      cmocka_unit_test(layout),
      cmocka_unit_test(json_in_buffers),
      cmocka_unit_test(printing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
