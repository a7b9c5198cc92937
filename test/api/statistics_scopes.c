/* SPDX-License-Identifier: MIT */
/* Statistics against the test's own count where blocks change their size, their owner, or what they count
   for: aligned and big blocks, resizing, heaps that end while others have used them, threads that have ended,
   sub-processes, forked children; peaks; and counts of events. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tally.h"

enum { SLOTS = 600, STEPS = 20000, PAGE_MAX = 1024 * 1024, MiB = 1024 * 1024 };

typedef struct actor_s {
  mi_heap_t* heap; /* NULL: mi_malloc and its kin */
  uint64_t random;
  void* slots[SLOTS];
  size_t bins[SLOTS];
  tally_t tally;
} actor_t;

/* Of a block just allocated.  An aligned one may be a big block, which no thread owns, of the size of a
 * class. */
static size_t bin_of_new(const void* p) { return mi_thread_id_of(p) == 0 ? MI_BIN_HUGE : bin_of(p); }

static size_t random_below(actor_t* self, size_t limit) {
  self->random = self->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (size_t)(self->random >> 33) % limit;
}

static size_t random_size(actor_t* self) {
  const size_t dice = random_below(self, 100);
  if (dice < 2) return random_below(self, 6 * MiB);
  if (dice < 10) return random_below(self, 200 * 1024);
  return random_below(self, dice < 20 ? 10 : 3000);
}

static void drop(actor_t* self, size_t at) {
  if (self->slots[at] == NULL) return;
  note_change(&self->tally, self->bins[at], -1, -(int64_t)mi_usable_size(self->slots[at]));
  mi_free(self->slots[at]);
  self->slots[at] = NULL;
}

static void put(actor_t* self, size_t at, void* p) {
  self->slots[at] = p;
  self->bins[at] = bin_of_new(p);
  note_change(&self->tally, self->bins[at], 1, (int64_t)mi_usable_size(p));
}

static void make(actor_t* self, size_t at) {
  const size_t alignment = (size_t)1 << random_below(self, random_below(self, 20) == 0 ? 21 : 8);
  const size_t size = random_size(self);
  drop(self, at);
  void* p;
  switch (random_below(self, 4)) {
    case 0: p = mi_heap_malloc_aligned(self->heap, size, alignment); break;
    case 1: p = mi_heap_zalloc_aligned_at(self->heap, size, alignment, size / 2); break;
    case 2: p = mi_heap_zalloc(self->heap, size); break;
    default: p = mi_heap_malloc(self->heap, size);
  }
  assert_non_null(p);
  put(self, at, p);
}

/* In place only the bytes change; else it is a new block, and one that was freed. */
static void resize(actor_t* self, size_t at) {
  void* const p = self->slots[at];
  if (p == NULL) return;
  const int64_t before = (int64_t)mi_usable_size(p);
  const size_t near = (size_t)before / 2 + random_below(self, (size_t)before);
  const size_t size = random_below(self, 3) == 0 ? random_size(self) : near;
  void* const q = random_below(self, 8) == 0 ? mi_expand(p, size) : mi_heap_realloc(self->heap, p, size);
  if (q == NULL) return; /* mi_expand could not */
  if (q == p) {
    note_change(&self->tally, self->bins[at], 0, (int64_t)mi_usable_size(q) - before);
  } else {
    const size_t bin = self->bins[at];
    put(self, at, q);
    note_change(&self->tally, bin, -1, -before);
  }
}

static void act(actor_t* self, size_t steps) {
  for (size_t i = 0; i < steps; i++) {
    const size_t at = random_below(self, SLOTS);
    switch (random_below(self, 4)) {
      case 0: drop(self, at); break;
      case 1: resize(self, at); break;
      default: make(self, at);
    }
  }
}

static void drop_all(actor_t* self) {
  for (size_t i = 0; i < SLOTS; i++) drop(self, i);
}

static void* act_in_thread(void* self) {
  act(self, STEPS);
  return NULL;
}

static void* drop_in_thread(void* self) {
  drop_all(self);
  return NULL;
}

static void in_thread(void* (*run)(void*), void* arg) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, run, arg), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void start(actor_t* self, mi_heap_t* heap) {
  memset(self, 0, sizeof(*self));
  self->heap = heap;
  self->random = 7;
  in_thread(drop_in_thread, self); /* what the C library allocates for a thread, it has allocated by now */
}

/* Peaks of everything are never below the highest value, nor above the total. */
static void check_peaks(const mi_stats_t* stats, const tally_t* tally) {
  for (size_t bin = 0; bin < BINS; bin++) {
    assert_true(stats->malloc_bins[bin].peak >= tally->highest[bin]);
    assert_true(stats->malloc_bins[bin].peak <= stats->malloc_bins[bin].total ||
                stats->malloc_bins[bin].peak == stats->malloc_bins[bin].current);
  }
  assert_true(stats->allocated.peak >= tally->highest_bytes);
  assert_true(stats->allocated.peak <= stats->allocated.total);
  assert_true(stats->malloc_normal.peak <= stats->allocated.peak);
}

/* ---- tests ---- */

static void every_kind_of_block(void** state) {
  static actor_t self;
  mi_stats_t before, after;
  (void)state;
  start(&self, NULL);
  get(&before);
  for (int round = 0; round < 3; round++) {
    act(&self, STEPS);
    get(&after);
    compare(&before, &after, &self.tally);
    check_peaks(&after, &self.tally);
    if (round == 1) mi_collect(true);
    if (round != 1) drop_all(&self);
    get(&after);
    compare(&before, &after, &self.tally);
  }
  drop_all(&self);
  assert_int_equal(self.tally.current_bytes, 0);
}

/* Threads allocate in the heap and end; another frees some; the heap's own figures are exact all the time. */
static void a_heap_of_ended_threads(void** state) {
  static actor_t actors[3];
  mi_stats_t before, after;
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  mi_stats_init(&before);
  mi_stats_init(&after);
  tally_t sum;
  memset(&sum, 0, sizeof(sum));
  for (int i = 0; i < 3; i++) start(&actors[i], heap);
  assert_true(mi_heap_stats_get(heap, &before));
  assert_int_equal(before.malloc_count.total, 0);
  for (int i = 0; i < 3; i++) in_thread(act_in_thread, &actors[i]);
  in_thread(drop_in_thread, &actors[1]);
  for (int i = 0; i < 3; i++) add(&sum, &actors[i].tally);
  assert_true(mi_heap_stats_get(heap, &after));
  compare(&before, &after, &sum);
  check_peaks(&after, &actors[0].tally);
  /* Its pages are the whole of its memory. */
  int64_t pages = 0;
  for (size_t bin = 0; bin < BINS; bin++) pages += after.page_bins[bin].current;
  assert_int_equal(pages, after.pages.current);
  assert_true(after.page_committed.current >= after.allocated.current);
  mi_stats_t process[2];
  get(&process[0]);
  mi_heap_destroy(heap);
  get(&process[1]);
  assert_int_equal(process[0].allocated.current - process[1].allocated.current, sum.current_bytes);
  assert_int_equal(process[0].allocated.total, process[1].allocated.total);
  assert_int_equal(process[1].freed.total - process[0].freed.total, sum.current_bytes);
  assert_int_equal(process[1].malloc_count.total, process[0].malloc_count.total);
}

/* A heap that has been used by threads that go on, and is deleted meanwhile. */
static pthread_barrier_t barrier;

static void* act_wait_drop(void* arg) {
  actor_t* const self = arg;
  act(self, STEPS);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* deleted */
  self->heap = NULL;
  for (size_t i = 0; i < SLOTS; i += 2) drop(self, i);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* counted */
  return NULL;
}

static void a_heap_deleted_under_threads(void** state) {
  static actor_t actors[2];
  mi_stats_t before, after;
  pthread_t threads[2];
  tally_t sum;
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  for (int i = 0; i < 2; i++) start(&actors[i], heap);
  pthread_barrier_init(&barrier, NULL, 3);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, act_wait_drop, &actors[i]), 0);
  pthread_barrier_wait(&barrier);
  get(&before);
  for (int i = 0; i < 2; i++) memset(&actors[i].tally, 0, sizeof(tally_t));
  mi_heap_delete(heap);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  memset(&sum, 0, sizeof(sum));
  for (int i = 0; i < 2; i++) add(&sum, &actors[i].tally);
  get(&after);
  compare(&before, &after, &sum);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    drop_all(&actors[i]);
  }
  pthread_barrier_destroy(&barrier);
}

static mi_subproc_id_t subprocess;

static void* act_in_subprocess(void* arg) {
  actor_t* const self = arg;
  mi_subproc_add_current_thread(subprocess);
  act(self, STEPS);
  self->heap = mi_heap_new();
  act(self, STEPS);
  return NULL;
}

static void a_subprocess(void** state) {
  static actor_t inside, outside;
  mi_stats_t before, after;
  (void)state;
  subprocess = mi_subproc_new();
  start(&inside, NULL);
  start(&outside, NULL);
  mi_stats_init(&before);
  mi_stats_init(&after);
  assert_true(mi_subproc_stats_get(subprocess, &before));
  assert_int_equal(before.malloc_count.total, 0);
  in_thread(act_in_subprocess, &inside);
  act(&outside, STEPS);
  assert_true(mi_subproc_stats_get(subprocess, &after));
  compare(&before, &after, &inside.tally);
  check_peaks(&after, &inside.tally);
  drop_all(&inside); /* from a thread of another one */
  drop_all(&outside);
  assert_true(mi_subproc_stats_get(subprocess, &after));
  compare(&before, &after, &inside.tally);
  assert_int_equal(after.allocated.current, 0);
  get(&before);
  mi_subproc_destroy(subprocess);
  get(&after);
  assert_int_equal(after.allocated.total, before.allocated.total);
  assert_int_equal(after.heaps.current, before.heaps.current - 2);
}

/* Some blocks of one size and a big one in each of two heaps of the sub-process; none is freed. */
enum { EACH = 500, EACH_SIZE = 1000, BIG = 3 * MiB };

static tally_t members;

static void fill_heap(mi_heap_t* heap) {
  for (int i = 0; i < EACH; i++) note(&members, mi_heap_malloc(heap, EACH_SIZE), 1);
  note(&members, mi_heap_malloc(heap, BIG), 1);
}

static void* stay_in_subprocess(void* arg) {
  (void)arg;
  mi_subproc_add_current_thread(subprocess);
  fill_heap(NULL);
  fill_heap(mi_heap_new());
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* counted */
  return NULL;
}

static void of_subprocess(mi_subproc_id_t id, mi_stats_t* stats) {
  mi_stats_init(stats);
  assert_true(mi_subproc_stats_get(id, stats));
}

static void append(const char* text, void* arg) { strncat(arg, text, 8000 - strlen(arg)); }

static size_t occurrences(const char* text, const char* part) {
  size_t count = 0;
  while ((text = strstr(text, part)) != NULL) count++, text++;
  return count;
}

static void check_printed(void) {
  static char text[8192];
  char whole[80], half[80];
  const size_t blocks = 2 * (EACH + 1);
  snprintf(whole, sizeof(whole), "%lld bytes in %zu blocks", (long long)members.current_bytes, blocks);
  snprintf(half, sizeof(half), "%lld bytes in %zu blocks", (long long)members.current_bytes / 2, blocks / 2);
  text[0] = 0;
  mi_subproc_stats_print_out(subprocess, append, text);
  assert_int_equal(occurrences(text, whole), 1);
  assert_int_equal(occurrences(text, half), 0);
  text[0] = 0;
  mi_subproc_heap_stats_print_out(subprocess, append, text);
  assert_int_equal(occurrences(text, whole), 0);
  assert_int_equal(occurrences(text, half), 2);
}

static void members_of_a_subprocess(void** state) {
  mi_stats_t empty, full, left, main, process, after;
  pthread_t thread;
  (void)state;
  subprocess = mi_subproc_new();
  of_subprocess(subprocess, &empty);
  assert_int_equal(empty.heaps.current, 1);
  assert_int_equal(empty.threads.current + empty.theaps.current, 0);
  assert_int_equal(empty.committed.current + empty.pages.current, 0);
  pthread_barrier_init(&barrier, NULL, 2);
  assert_int_equal(pthread_create(&thread, NULL, stay_in_subprocess, NULL), 0);
  pthread_barrier_wait(&barrier);
  of_subprocess(subprocess, &full);
  of_subprocess(mi_subproc_main(), &main);
  get(&process);
  compare(&empty, &full, &members);
  check_printed();
  assert_int_equal(full.heaps.current, 2);
  assert_int_equal(full.threads.current, 1);
  assert_int_equal(full.theaps.current, 2);
  assert_int_equal(main.heaps.current + full.heaps.current, process.heaps.current);
  assert_int_equal(main.threads.current + full.threads.current, process.threads.current);
  assert_int_equal(main.theaps.current + full.theaps.current, process.theaps.current);
  assert_int_equal(main.pages.current + full.pages.current, process.pages.current);
  assert_true(full.pages.current > 4); /* of each heap: pages of the one size and a big block */
  assert_true(full.committed.current >= full.allocated.current);
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&barrier);
  of_subprocess(subprocess, &left);
  assert_int_equal(left.threads.current + left.theaps.current, 0);
  assert_int_equal(left.heaps.current, 2);
  assert_int_equal(left.committed.current, full.committed.current);
  get(&process);
  mi_subproc_destroy(subprocess);
  get(&after);
  assert_int_equal(process.committed.current - after.committed.current, left.committed.current);
  assert_int_equal(process.pages.current - after.pages.current, left.pages.current);
}

/* ---- a thread's part ---- */

static void* fill_in_thread(void* heap) {
  fill_heap(heap);
  return NULL;
}

static void a_theap(void** state) {
  mi_stats_t before, of_theap, of_heap, again;
  tally_t own;
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  mi_theap_t* const theap = mi_heap_theap(heap);
  memset(&members, 0, sizeof(members));
  memset(&own, 0, sizeof(own));
  mi_stats_init(&before);
  mi_stats_init(&of_theap);
  mi_stats_init(&of_heap);
  mi_stats_init(&again);
  assert_true(mi_theap_stats_get(theap, &before));
  assert_int_equal(before.theaps.current, 1);
  for (int i = 0; i < EACH; i++) note(&own, mi_heap_malloc(heap, EACH_SIZE), 1);
  assert_true(mi_theap_stats_get(theap, &of_theap));
  compare(&before, &of_theap, &own);
  in_thread(fill_in_thread, heap); /* another one's theap, and a big block */
  assert_true(mi_theap_stats_get(theap, &of_theap));
  compare(&before, &of_theap, &own);
  assert_true(mi_heap_stats_get(heap, &of_heap));
  add(&members, &own);
  compare(&before, &of_heap, &members);
  assert_int_equal(of_heap.theaps.current, 1);
  assert_true(of_heap.committed.current >= of_theap.committed.current + BIG);
  /* Everything is counted already: merging changes nothing. */
  mi_theap_stats_merge_to_heap(theap);
  assert_true(mi_theap_stats_get(theap, &again));
  assert_memory_equal(&again, &of_theap, sizeof(again));
  assert_true(mi_heap_stats_get(heap, &again));
  assert_memory_equal(&again, &of_heap, sizeof(again));
  of_subprocess(mi_subproc_main(), &before);
  mi_heap_stats_merge_to_subproc(heap);
  assert_true(mi_heap_stats_get(heap, &again));
  assert_memory_equal(&again, &of_heap, sizeof(again));
  of_subprocess(mi_subproc_main(), &again);
  assert_int_equal(again.allocated.total, before.allocated.total);
  assert_int_equal(again.malloc_count.total, before.malloc_count.total);
  assert_int_equal(again.free_count.total, before.free_count.total);
  mi_heap_destroy(heap);
}

/* ---- a forked child ---- */

static void* act_and_wait(void* arg) {
  act(arg, STEPS);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* forked */
  return NULL;
}

static void child_counts(const mi_stats_t* before, actor_t* actors) {
  mi_stats_t after;
  tally_t sum;
  for (int step = 0; step < 3; step++) {
    memset(&sum, 0, sizeof(sum));
    for (int i = 0; i < 2; i++) add(&sum, &actors[i].tally);
    get(&after);
    compare(before, &after, &sum);
    assert_int_equal(after.threads.current, 1);
    if (step == 0) drop_all(&actors[0]);
    else act(&actors[1], STEPS);
  }
  _exit(0);
}

static void a_forked_child(void** state) {
  static actor_t actors[2];
  mi_stats_t before;
  pthread_t threads[2];
  (void)state;
  for (int i = 0; i < 2; i++) start(&actors[i], NULL);
  pthread_barrier_init(&barrier, NULL, 3);
  fflush(NULL);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, act_and_wait, &actors[i]), 0);
  pthread_barrier_wait(&barrier);
  get(&before);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    for (int i = 0; i < 2; i++) memset(&actors[i].tally, 0, sizeof(tally_t));
    child_counts(&before, actors);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    drop_all(&actors[i]);
  }
  pthread_barrier_destroy(&barrier);
}

/* ---- peaks ---- */

/* A program that grows, shrinks and grows less: the bound is one page per size. */
static void peaks_by_size(void** state) {
  static const size_t sizes[] = {16, 100, 1000, 5000, 30000};
  enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), COUNT = 3000 };
  static void* blocks[SIZES][COUNT];
  mi_stats_t before, after;
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  mi_collect(true);
  mi_stats_reset();
  get(&before);
  for (int wave = 0; wave < 2; wave++) {
    const size_t count = wave == 0 ? COUNT : COUNT / 3;
    for (size_t s = 0; s < SIZES; s++) {
      for (size_t i = 0; i < count; i++) blocks[s][i] = mi_heap_malloc(heap, sizes[s]);
    }
    for (size_t s = 0; s < SIZES; s++) {
      for (size_t i = 0; i < count; i++) mi_free(blocks[s][i]);
    }
    mi_collect(true);
  }
  mi_stats_t of_heap;
  mi_stats_init(&of_heap);
  get(&after);
  assert_true(mi_heap_stats_get(heap, &of_heap));
  for (size_t s = 0; s < SIZES; s++) {
    const size_t bin = bin_of(blocks[s][0] = mi_heap_malloc(heap, sizes[s]));
    const int64_t page = PAGE_MAX / (int64_t)mi_stats_get_bin_size(bin);
    const int64_t others = before.malloc_bins[bin].current + before.page_bins[bin].current * page;
    assert_in_range(after.malloc_bins[bin].peak, COUNT, COUNT + page + others);
    assert_in_range(of_heap.malloc_bins[bin].peak, COUNT, COUNT + page + others);
    assert_true(of_heap.malloc_bins[bin].peak <= after.malloc_bins[bin].peak);
  }
  mi_heap_destroy(heap);
}

/* After a reset a peak is not above what was live then and what has come since. */
static void peaks_after_a_reset(void** state) {
  enum { LIVE = 3000, SIZE = 48, NEW = 5 };
  static void* blocks[LIVE];
  mi_stats_t before, after;
  (void)state;
  for (size_t i = 0; i < LIVE; i++) blocks[i] = mi_malloc(SIZE);
  const size_t bin = bin_of(blocks[0]);
  for (size_t i = 100; i < LIVE; i++) mi_free(blocks[i]);
  mi_stats_reset();
  get(&before);
  assert_int_equal(before.malloc_bins[bin].peak, before.malloc_bins[bin].current);
  assert_int_equal(before.allocated.peak, before.allocated.current);
  for (size_t i = 0; i < NEW; i++) mi_free(mi_malloc(SIZE));
  get(&after);
  assert_int_equal(after.malloc_bins[bin].total, NEW);
  assert_in_range(after.malloc_bins[bin].peak, before.malloc_bins[bin].current + 1,
                  before.malloc_bins[bin].current + NEW);
  assert_in_range(after.allocated.peak, before.allocated.current + SIZE,
                  before.allocated.current + (int64_t)NEW * SIZE);
  for (size_t i = 0; i < 100; i++) mi_free(blocks[i]);
}

/* Many blocks, one at a time, while others make the process big. */
static void peak_of_one_at_a_time(void** state) {
  enum { ROUNDS = 500000, SIZE = 64 };
  mi_stats_t process, of_heap;
  (void)state;
  mi_collect(true);
  mi_stats_reset();
  void* const others = mi_malloc(2 * (size_t)ROUNDS * SIZE);
  mi_heap_t* const heap = mi_heap_new();
  void* p = mi_heap_malloc(heap, SIZE);
  const size_t bin = bin_of(p);
  for (int i = 1; i < ROUNDS; i++) {
    mi_free(p);
    p = mi_heap_malloc(heap, SIZE);
  }
  get(&process);
  mi_stats_init(&of_heap);
  assert_true(mi_heap_stats_get(heap, &of_heap));
  assert_int_equal(of_heap.allocated.total, (int64_t)ROUNDS * SIZE);
  assert_in_range(of_heap.allocated.peak, SIZE, process.page_bins[bin].peak * PAGE_MAX);
  assert_true(of_heap.allocated.peak < of_heap.allocated.total / 2);
  mi_free(others);
  mi_heap_destroy(heap);
}

/* ---- events ---- */

static void* leave_some(void* blocks) {
  for (int i = 0; i < 3; i++) ((void**)blocks)[i] = mi_malloc((size_t)9000 << i);
  return NULL;
}

static void abandoned_pages(void** state) {
  void* blocks[3];
  mi_stats_t before, left, after;
  (void)state;
  in_thread(leave_some, blocks);
  for (int i = 0; i < 3; i++) mi_free(blocks[i]);
  mi_collect(true);
  mi_stats_reset();
  get(&before);
  in_thread(leave_some, blocks);
  get(&left);
  /* 9,000 and 18,000 bytes lie in pages; 36,000 is a big block, which no thread owns */
  assert_int_equal(left.pages_abandoned.current, before.pages_abandoned.current + 2);
  assert_true(left.pages_abandoned.total >= 2);
  assert_true(left.pages_abandoned.peak >= left.pages_abandoned.current);
  void* const taken = mi_malloc(9000);
  get(&after);
  assert_int_equal(after.pages_reclaim_on_alloc.total, 1);
  assert_int_equal(after.pages_reclaim_on_free.total, 0);
  assert_int_equal(after.pages_abandoned.current, before.pages_abandoned.current + 1);
  mi_free(blocks[1]);
  get(&after);
  assert_int_equal(after.pages_reclaim_on_free.total, 1);
  assert_int_equal(after.pages_abandoned.current, before.pages_abandoned.current);
  assert_int_equal(after.pages_abandoned.peak, left.pages_abandoned.peak);
  mi_free(blocks[0]);
  mi_free(blocks[2]);
  mi_free(taken);
}

static void pages_of_a_part(void** state) {
  enum { COUNT = 4000, SIZE = 1024, CARVE_MIN = 4096, CARVE_MAX = 16384 };
  static void* blocks[COUNT];
  mi_stats_t before, after;
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  get(&before);
  for (size_t i = 0; i < COUNT; i++) blocks[i] = mi_heap_malloc(heap, SIZE);
  get(&after);
  const int64_t pages = after.pages.current - before.pages.current;
  const int64_t carved = after.pages_extended.total - before.pages_extended.total;
  const int64_t searches = after.page_searches_count.total - before.page_searches_count.total;
  const int64_t looks = after.page_searches.total - before.page_searches.total;
  assert_true(pages > 0);
  assert_in_range(carved, COUNT * SIZE / CARVE_MAX, COUNT * SIZE / CARVE_MIN + pages);
  assert_int_equal(searches, carved);         /* each search found nothing but what it carved ... */
  assert_int_equal(looks, searches + pages - 1); /* ... and looked once in vain at each page that was full */
  for (size_t i = 0; i < COUNT; i++) mi_free(blocks[i]);
  get(&before);
  mi_free(mi_heap_malloc(heap, 40));
  get(&after);
  assert_int_equal(after.pages_retire.total - before.pages_retire.total, 1);
  mi_heap_destroy(heap);
}

static void* fill_pages(void* heap) {
  void* last = NULL;
  for (int i = 0; i < 2000; i++) last = mi_heap_malloc(heap, 8000);
  return last;
}

/* With threads, a part keeps a few full pages and gives up the rest. */
static void full_pages_given_up(void** state) {
  mi_stats_t before, after;
  (void)state;
  mi_heap_t* const heap = mi_heap_new();
  get(&before);
  in_thread(fill_pages, heap);
  get(&after);
  assert_true(after.pages_reabandon_full.total > before.pages_reabandon_full.total);
  assert_true(after.pages_abandoned.current > before.pages_abandoned.current);
  get(&before);
  mi_heap_destroy(heap);
  get(&after);
  assert_true(after.pages_abandoned.current < before.pages_abandoned.current);
}

static void arenas(void** state) {
  mi_stats_t before, after;
  mi_arena_id_t arena = NULL;
  (void)state;
  get(&before);
  assert_int_equal(mi_reserve_os_memory_ex(16 * MiB, false, false, true, &arena), 0);
  get(&after);
  assert_int_equal(after.arena_count.total - before.arena_count.total, 1);
  assert_true(after.reserved.current - before.reserved.current >= 16 * MiB);
  assert_int_equal(after.segments.current * 4 * MiB, after.reserved.current);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  memset(mi_heap_malloc(heap, MiB), 1, MiB);
  mi_heap_destroy(heap);
  mi_arenas_purge();
  get(&after);
  assert_true(after.arena_purges.total > before.arena_purges.total);
  assert_true(after.purge_calls.total - before.purge_calls.total >=
              after.arena_purges.total - before.arena_purges.total);
}

static void heaps_and_threads(void** state) {
  mi_stats_t before, after;
  static actor_t self;
  (void)state;
  start(&self, NULL);
  mi_stats_reset();
  get(&before);
  for (int i = 0; i < 5; i++) {
    mi_heap_t* const heap = mi_heap_new();
    mi_free(mi_heap_malloc(heap, 100));
    if (i % 2 == 0) mi_heap_delete(heap);
    else mi_heap_destroy(heap);
    in_thread(leave_some, self.slots);
    for (int k = 0; k < 3; k++) mi_free(self.slots[k]);
  }
  get(&after);
  assert_int_equal(after.heaps.total, 5);
  assert_int_equal(after.heaps.current, before.heaps.current);
  assert_int_equal(after.heaps.peak, before.heaps.current + 1);
  assert_int_equal(after.threads.total, 5);
  assert_int_equal(after.threads.current, before.threads.current);
  assert_int_equal(after.threads.peak, before.threads.current + 1);
  assert_int_equal(after.theaps.total, 10); /* of each heap and of each thread */
  assert_int_equal(after.theaps.current, before.theaps.current);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_of_block),
      cmocka_unit_test(a_heap_of_ended_threads),
      cmocka_unit_test(a_heap_deleted_under_threads),
      cmocka_unit_test(a_subprocess),
      cmocka_unit_test(members_of_a_subprocess),
      cmocka_unit_test(a_theap),
      cmocka_unit_test(a_forked_child),
      cmocka_unit_test(peaks_by_size),
      cmocka_unit_test(peaks_after_a_reset),
      cmocka_unit_test(peak_of_one_at_a_time),
      cmocka_unit_test(abandoned_pages),
      cmocka_unit_test(pages_of_a_part),
      cmocka_unit_test(full_pages_given_up),
      cmocka_unit_test(arenas),
      cmocka_unit_test(heaps_and_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
