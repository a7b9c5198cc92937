/* SPDX-License-Identifier: MIT */
/* What a visit reports is exactly what the test holds, by a list of its own: blocks of all kinds, threads
   that live and that have ended, blocks freed by others.  And the hint for defragmenters, by its effect. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mimalloc.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_ARE_ERRORS 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RACES_ARE_ERRORS 1
#endif
#ifndef RACES_ARE_ERRORS
#define RACES_ARE_ERRORS 0
#endif

enum { SLOTS = 1 << 17 };

/* ---- the test's own list: a hash table of live blocks ---- */

static struct {
  char* block;
  unsigned seen;
} held[SLOTS];
static size_t held_count;

static void forget_all(void) {
  memset(held, 0, sizeof(held));
  held_count = 0;
}

static size_t place_of(const void* block) {
  size_t i = (size_t)(((uintptr_t)block >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 47);
  while (held[i].block != NULL && held[i].block != block) i = (i + 1) % SLOTS;
  return i;
}

static void* hold(void* block) {
  assert_non_null(block);
  assert_true(held_count < SLOTS / 2);
  const size_t i = place_of(block);
  assert_null(held[i].block); /* nothing is handed out twice */
  held[i].block = block;
  held_count++;
  return block;
}

/* ---- what a visit finds ---- */

typedef struct found_s {
  const mi_heap_t* heap;
  mi_heap_area_t area;
  size_t areas, used, blocks;
  size_t in_area, held, strange; /* strange: not held by the test */
  unsigned round;
} found_t;

static unsigned rounds;

static bool collect(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size, void* arg) {
  found_t* const found = arg;
  assert_ptr_equal(heap, found->heap);
  assert_int_equal(size, area->block_size);
  assert_true(area->block_size <= area->full_block_size);
  assert_true(area->committed <= area->reserved && area->used * area->block_size <= area->reserved);
  if (block == NULL) {
    assert_int_equal(found->in_area, found->area.used); /* of the area before */
    found->in_area = 0;
    found->area = *area;
    found->areas++;
    found->used += area->used;
    return true;
  }
  assert_memory_equal(area, &found->area, sizeof(*area));
  const size_t offset = (size_t)((char*)block - (char*)area->blocks);
  assert_true(offset % area->full_block_size == 0 && offset < area->committed);
  assert_int_equal(size, mi_usable_size(block));
  const size_t i = place_of(block);
  found->in_area++;
  found->blocks++;
  if (held[i].block == NULL) {
    found->strange++;
  } else {
    assert_int_not_equal(held[i].seen, found->round); /* once */
    held[i].seen = found->round;
    found->held++;
  }
  return true;
}

static bool collect_areas(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size,
                          void* arg) {
  found_t* const found = arg;
  assert_ptr_equal(heap, found->heap);
  assert_null(block);
  assert_int_equal(size, area->block_size);
  found->areas++;
  found->used += area->used;
  return true;
}

typedef bool visit_function_t(mi_heap_t*, bool, mi_block_visit_fun*, void*);

static found_t visit_by(visit_function_t* visit, mi_heap_t* heap) {
  found_t found = {.heap = heap, .round = ++rounds};
  found_t areas = {.heap = heap};
  assert_true(visit(heap, true, collect, &found));
  assert_int_equal(found.in_area, found.area.used);
  assert_true(visit(heap, false, collect_areas, &areas));
  assert_int_equal(areas.areas, found.areas);
  assert_int_equal(areas.used, found.used);
  assert_int_equal(found.blocks, found.used);
  return found;
}

/* The heap has the blocks that the test holds, and no others. */
static void expect_exact(mi_heap_t* heap) {
  const found_t found = visit_by(mi_heap_visit_blocks, heap);
  assert_int_equal(found.strange, 0);
  assert_int_equal(found.held, held_count);
}

/* ---- blocks to play with ---- */

static uint64_t random_state = 1;

static size_t random_below(size_t n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (size_t)(random_state % n);
}

static size_t random_size(void) {
  switch (random_below(8)) {
    case 0: return random_below(9);
    case 1: return random_below(33000);
    case 2: return random_below(64) == 0 ? random_below(500000) : 100;
    default: return random_below(600);
  }
}

enum { BLOCKS = 20000 };
static void* blocks[BLOCKS];

static void fill(mi_heap_t* heap, size_t first, size_t step) {
  for (size_t i = first; i < BLOCKS; i += step) {
    if (blocks[i] == NULL) blocks[i] = mi_heap_malloc(heap, random_size());
    assert_non_null(blocks[i]);
  }
}

static void drop(size_t first, size_t step) {
  for (size_t i = first; i < BLOCKS; i += step) {
    mi_free(blocks[i]);
    blocks[i] = NULL;
  }
}

static void hold_blocks(void) {
  forget_all();
  for (size_t i = 0; i < BLOCKS; i++) {
    if (blocks[i] != NULL) hold(blocks[i]);
  }
}

static void forget_blocks(void) { memset(blocks, 0, sizeof(blocks)); }

static void in_thread(void* (*function)(void*), void* arg) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, function, arg), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void* drop_thirds(void* arg) {
  drop(0, 3);
  return arg;
}

static void* fill_odd(void* heap) {
  fill(heap, 1, 2);
  return NULL;
}

/* ---- tests ---- */

static void an_empty_heap(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  forget_all();
  expect_exact(heap);
  mi_heap_destroy(heap);
}

static void all_sizes_and_alignments(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  forget_all();
  for (size_t size = 0; size < 300000; size += 1 + size / 40) hold(mi_heap_malloc(heap, size));
  for (int i = 0; i < 20000; i++) hold(mi_heap_malloc(heap, 8));
  for (size_t alignment = 1; alignment <= 4 * 1024 * 1024; alignment *= 2) {
    hold(mi_heap_malloc_aligned(heap, 40, alignment));
    hold(mi_heap_malloc_aligned(heap, alignment + 100, alignment));
    hold(mi_heap_malloc_aligned_at(heap, 5000, alignment, 24));
  }
  expect_exact(heap);
  mi_heap_destroy(heap);
}

static void freed_blocks_are_gone(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  fill(heap, 0, 1);
  drop(0, 3);
  hold_blocks();
  expect_exact(heap);
  drop(1, 3); /* and most of what others see next is reused */
  fill(heap, 0, 2);
  hold_blocks();
  expect_exact(heap);
  drop(0, 1);
  hold_blocks();
  expect_exact(heap);
  mi_heap_destroy(heap);
}

/* One thread fills pages, another frees into them: their owner has not heard of it. */
static void freed_by_others(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  for (size_t i = 0; i < BLOCKS; i++) blocks[i] = mi_heap_malloc(heap, i % 2 == 0 ? 8 : 1000);
  hold_blocks();
  expect_exact(heap);
  in_thread(drop_thirds, NULL);
  hold_blocks();
  expect_exact(heap);
  drop(0, 1);
  mi_heap_destroy(heap);
}

static void abandoned_areas(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  for (size_t i = 0; i < BLOCKS; i += 200) blocks[i] = mi_heap_malloc(heap, 48); /* stay the main thread's */
  in_thread(fill_odd, heap);
  forget_all();
  for (size_t i = 1; i < BLOCKS; i += 2) {
    if (mi_usable_size(blocks[i]) <= 32768) hold(blocks[i]);
  }
  const found_t abandoned = visit_by(mi_heap_visit_abandoned_blocks, heap);
  assert_int_equal(abandoned.strange, 0);
  assert_int_equal(abandoned.held, held_count);
  hold_blocks();
  expect_exact(heap);
  in_thread(drop_thirds, NULL); /* a thread that owns no page of the heap */
  hold_blocks();
  expect_exact(heap);
  drop(1, 4); /* pages come to this thread */
  fill(heap, 0, 5);
  hold_blocks();
  expect_exact(heap);
  mi_heap_destroy(heap);
  forget_blocks();
}

static void several_heaps(void** state) {
  (void)state;
  enum { HEAPS = 5 };
  mi_heap_t* heaps[HEAPS];
  for (int k = 0; k < HEAPS; k++) heaps[k] = mi_heap_new();
  for (size_t i = 0; i < BLOCKS; i++) blocks[i] = mi_heap_malloc(heaps[i % HEAPS], random_size());
  for (size_t k = 0; k < HEAPS; k++) {
    forget_all();
    for (size_t i = k; i < BLOCKS; i += HEAPS) hold(blocks[i]);
    expect_exact(heaps[k]);
  }
  forget_all();
  const size_t before = visit_by(mi_heap_visit_blocks, mi_heap_main()).blocks;
  mi_heap_delete(heaps[0]); /* its blocks live on in the main heap */
  for (size_t i = 0; i < BLOCKS; i += HEAPS) hold(blocks[i]);
  const found_t found = visit_by(mi_heap_visit_blocks, mi_heap_main());
  assert_int_equal(found.held, held_count);
  assert_int_equal(found.strange, before);
  for (int k = 1; k < HEAPS; k++) mi_heap_destroy(heaps[k]);
  for (size_t i = 0; i < BLOCKS; i += HEAPS) mi_free(blocks[i]);
  forget_blocks();
}

/* ---- threads that stay: each works on its share of the blocks, the shares change hands ---- */

enum { THREADS = 3, ROUNDS = 24 };

static pthread_barrier_t gate;

typedef struct worker_s {
  mi_heap_t* heap;
  size_t number;
} worker_t;

static void* work(void* arg) {
  const worker_t* const worker = arg;
  uint64_t random = worker->number + 1;
  for (size_t round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&gate);
    for (size_t i = (worker->number + round) % THREADS; i < BLOCKS; i += THREADS) {
      random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
      const size_t dice = (size_t)(random >> 40);
      if (blocks[i] != NULL && dice % 3 != 0) {
        mi_free(blocks[i]);
        blocks[i] = NULL;
      } else if (blocks[i] == NULL && (dice % 5 < 3 || round < 3)) {
        blocks[i] = mi_heap_malloc(worker->heap, dice % 16 == 0 ? 20000 + dice % 20000 : dice % 500);
      }
    }
    pthread_barrier_wait(&gate); /* now the main thread visits */
  }
  return NULL;
}

static void threads_at_rest(void** state) {
  (void)state;
  pthread_t threads[THREADS];
  worker_t workers[THREADS];
  mi_heap_t* heap = mi_heap_new();
  assert_int_equal(pthread_barrier_init(&gate, NULL, THREADS + 1), 0);
  for (size_t k = 0; k < THREADS; k++) {
    workers[k] = (worker_t){heap, k};
    assert_int_equal(pthread_create(&threads[k], NULL, work, &workers[k]), 0);
  }
  for (int round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    if (round == ROUNDS - 1) break; /* the threads are leaving */
    hold_blocks();
    assert_true(held_count > BLOCKS / 20);
    expect_exact(heap);
  }
  for (int k = 0; k < THREADS; k++) pthread_join(threads[k], NULL);
  pthread_barrier_destroy(&gate);
  hold_blocks();
  expect_exact(heap);
  mi_heap_destroy(heap);
  forget_blocks();
}

enum { OWN = 1000 };

static void* fill_and_wait(void* others) {
  for (size_t i = 0; i < OWN; i++) ((void**)others)[i] = mi_malloc(200);
  pthread_barrier_wait(&gate);
  pthread_barrier_wait(&gate);
  for (size_t i = 0; i < OWN; i++) mi_free(((void**)others)[i]);
  return NULL;
}

static void parts_of_threads(void** state) {
  (void)state;
  static void *own[OWN], *others[OWN];
  pthread_t thread;
  assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
  assert_int_equal(pthread_create(&thread, NULL, fill_and_wait, others), 0);
  pthread_barrier_wait(&gate);
  forget_all();
  for (size_t i = 0; i < OWN; i++) hold(others[i]);
  found_t found = {.heap = mi_heap_main(), .round = ++rounds};
  assert_true(mi_theap_visit_blocks(NULL, true, collect, &found));
  assert_int_equal(found.held, 0);
  assert_int_equal(visit_by(mi_heap_visit_blocks, mi_heap_main()).held, OWN);
  for (size_t i = 0; i < OWN; i++) own[i] = hold(mi_malloc(200));
  void* const big = hold(mi_malloc(1000000));
  found = (found_t){.heap = mi_heap_main(), .round = ++rounds};
  assert_true(mi_theap_visit_blocks(NULL, true, collect, &found));
  assert_int_equal(found.held, OWN);
  found_t areas = {.heap = mi_heap_main()};
  assert_true(mi_theap_visit_blocks(NULL, false, collect_areas, &areas));
  assert_int_equal(areas.used, found.blocks);
  assert_int_equal(visit_by(mi_heap_visit_blocks, mi_heap_main()).held, 2 * OWN + 1);
  pthread_barrier_wait(&gate);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&gate);
  for (size_t i = 0; i < OWN; i++) mi_free(own[i]);
  mi_free(big);
}

enum { MEDIUM = 600 };

static void* fill_medium_and_wait(void* heap) {
  for (size_t i = 0; i < MEDIUM; i++) blocks[i] = mi_heap_malloc(heap, 30000);
  pthread_barrier_wait(&gate);
  pthread_barrier_wait(&gate);
  for (size_t i = 0; i < MEDIUM; i++) mi_free(blocks[i]);
  return NULL;
}

/* A heap is deleted; the thread that has its pages has not noticed yet. */
static void deleted_behind_a_thread(void** state) {
  (void)state;
  pthread_t thread;
  mi_heap_t* heap = mi_heap_new();
  assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
  assert_int_equal(pthread_create(&thread, NULL, fill_medium_and_wait, heap), 0);
  pthread_barrier_wait(&gate);
  hold_blocks();
  expect_exact(heap);
  mi_heap_delete(heap);
  assert_int_equal(visit_by(mi_heap_visit_blocks, mi_heap_main()).held, MEDIUM);
  pthread_barrier_wait(&gate);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&gate);
  forget_blocks();
}

/* ---- stopping, freeing on the way ---- */

typedef struct stop_s {
  size_t calls, last;
} stop_t;

static bool stop_at(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size, void* arg) {
  stop_t* const stop = arg;
  (void)heap;
  (void)area;
  (void)block;
  (void)size;
  return ++stop->calls < stop->last;
}

static void stops_when_told(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  fill(heap, 0, 10);
  hold_blocks();
  const found_t found = visit_by(mi_heap_visit_blocks, heap);
  const size_t calls = found.areas + found.blocks;
  for (size_t last = 1; last <= calls + 1; last += 1 + last / 3) {
    stop_t stop = {.last = last};
    assert_int_equal(mi_heap_visit_blocks(heap, true, stop_at, &stop), last > calls);
    assert_int_equal(stop.calls, last > calls ? calls : last);
  }
  stop_t stop = {.last = 2};
  assert_false(mi_heap_visit_blocks(heap, false, stop_at, &stop));
  assert_int_equal(stop.calls, 2);
  stop = (stop_t){.last = 1};
  assert_true(mi_heap_visit_abandoned_blocks(heap, true, stop_at, &stop));
  assert_int_equal(stop.calls, 0);
  mi_heap_destroy(heap);
  forget_blocks();
}

static bool free_it(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size, void* arg) {
  (void)heap;
  (void)area;
  (void)size;
  if (block != NULL) ++*(size_t*)arg;
  mi_free(block);
  return true;
}

static void blocks_are_freed_on_the_way(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  size_t freed = 0;
  fill(heap, 0, 3);
  in_thread(fill_odd, heap);
  hold_blocks();
  assert_true(mi_heap_visit_blocks(heap, true, free_it, &freed));
  assert_int_equal(freed, held_count);
  forget_all();
  forget_blocks();
  expect_exact(heap);
  mi_heap_delete(heap);
}

/* ---- not allowed, and yet no crash ---- */

static atomic_bool enough;

static void* churn(void* heap) {
  void* own[500] = {NULL};
  uint64_t random = (uint64_t)(uintptr_t)&own;
  while (!atomic_load(&enough)) {
    random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
    const size_t i = (size_t)(random >> 33) % 500;
    mi_free(own[i]);
    const size_t size = (size_t)(random >> 40) % (i % 20 == 0 ? 100000 : 300);
    own[i] = mi_heap_malloc(heap, size);
    if (own[i] != NULL) memset(own[i], (int)i, size); /* where the links of free blocks were */
  }
  for (size_t i = 0; i < 500; i++) mi_free(own[i]);
  return NULL;
}

static void others_are_at_work(void** state) {
  (void)state;
  if (RACES_ARE_ERRORS) return;
  pthread_t threads[2];
  mi_heap_t* heap = mi_heap_new();
  atomic_store(&enough, false);
  for (int k = 0; k < 2; k++) assert_int_equal(pthread_create(&threads[k], NULL, churn, heap), 0);
  for (int i = 0; i < 300; i++) {
    stop_t stop = {.last = SIZE_MAX};
    assert_true(mi_heap_visit_blocks(heap, i % 4 != 0, stop_at, &stop));
    assert_true(mi_heap_visit_blocks(NULL, i % 4 != 0, stop_at, &stop));
    assert_true(mi_heap_visit_abandoned_blocks(heap, true, stop_at, &stop));
  }
  atomic_store(&enough, true);
  for (int k = 0; k < 2; k++) pthread_join(threads[k], NULL);
  forget_all();
  expect_exact(heap);
  mi_heap_destroy(heap);
}

/* ---- defragmentation ---- */

static void sparse_pages(void** state) {
  (void)state;
  enum { COUNT = 10000, SIZE = 100 };
  int local;
  mi_heap_t* heap = mi_heap_new();
  for (int i = 0; i < COUNT; i++) blocks[i] = mi_heap_malloc(heap, SIZE);
  void* const big = mi_heap_malloc(heap, 100000);
  for (int i = 0; i < COUNT; i++) assert_false(mi_unsafe_heap_page_is_under_utilized(heap, blocks[i], 50));
  for (int i = 0; i < COUNT; i++) {
    if (i % 4 == 0) continue;
    mi_free(blocks[i]);
    blocks[i] = NULL;
  }
  size_t below_20 = 0, below_50 = 0, all = 0;
  for (int i = 0; i < COUNT; i += 4) {
    all++;
    below_20 += mi_unsafe_heap_page_is_under_utilized(heap, blocks[i], 20) ? 1 : 0;
    below_50 += mi_unsafe_heap_page_is_under_utilized(heap, blocks[i], 50) ? 1 : 0;
    assert_false(mi_unsafe_heap_page_is_under_utilized(heap, blocks[i], 0));
    assert_false(mi_unsafe_heap_page_is_under_utilized(NULL, blocks[i], 50)); /* another heap's */
  }
  assert_int_equal(below_20, 0);
  assert_true(below_50 >= all * 9 / 10 && below_50 < all); /* not those of the page in use */
  /* The page that the next block comes from is not worth leaving. */
  void* const next = mi_heap_malloc(heap, SIZE);
  assert_false(mi_unsafe_heap_page_is_under_utilized(heap, next, 100));
  assert_false(mi_unsafe_heap_page_is_under_utilized(heap, big, 100));
  assert_false(mi_unsafe_heap_page_is_under_utilized(heap, NULL, 100));
  assert_false(mi_unsafe_heap_page_is_under_utilized(heap, &local, 100));
  mi_heap_destroy(heap);
  forget_blocks();
}

/* Exact, unlike the counters in statm. */
static size_t resident_kib(void) {
  char line[256];
  size_t kib = 0;
  FILE* const file = fopen("/proc/self/smaps_rollup", "r");
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, "Rss:", 4) == 0) kib = strtoul(line + 4, NULL, 10);
  }
  if (file != NULL) fclose(file);
  return kib;
}

enum { OBJECTS = 300000, ROUNDS_MAX = 4 };

typedef struct object_s {
  size_t size;
  unsigned char bytes[];
} object_t;

static object_t** objects; /* mapped: no block itself */

static object_t* make_object(mi_heap_t* heap, size_t i, size_t size) {
  object_t* const object = mi_heap_malloc(heap, sizeof(object_t) + size);
  assert_non_null(object);
  object->size = size;
  memset(object->bytes, (int)(i % 251), size);
  return object;
}

static size_t live_bytes(void) {
  size_t bytes = 0;
  for (size_t i = 0; i < OBJECTS; i++) {
    if (objects[i] != NULL) bytes += sizeof(object_t) + objects[i]->size;
  }
  return bytes;
}

/* One round, as a server does it that can find all references to an object; returns what it moved. */
static size_t defragment(mi_heap_t* heap, size_t percent) {
  size_t moved = 0;
  for (size_t i = 0; i < OBJECTS; i++) {
    object_t* const object = objects[i];
    if (object == NULL || !mi_unsafe_heap_page_is_under_utilized(heap, object, percent)) continue;
    objects[i] = mi_heap_malloc(heap, sizeof(object_t) + object->size);
    memcpy(objects[i], object, sizeof(object_t) + object->size);
    mi_free(object);
    moved++;
  }
  return moved;
}

static void defragmenting_lowers_resident_memory(void** state) {
  (void)state;
  mi_heap_t* heap = mi_heap_new();
  objects = mmap(NULL, OBJECTS * sizeof(object_t*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                 0);
  assert_true(objects != MAP_FAILED);
  memset(objects, 0, OBJECTS * sizeof(object_t*)); /* resident from the beginning */
  mi_collect(true);
  const size_t base = resident_kib();
  for (size_t i = 0; i < OBJECTS; i++)
    objects[i] = make_object(heap, i, random_below(i % 3 == 0 ? 1000 : 100));
  const size_t full = resident_kib() - base;
  for (size_t i = 0; i < OBJECTS; i++) {
    if (random_below(10) == 0) continue;
    mi_free(objects[i]);
    objects[i] = NULL;
  }
  mi_collect(true);
  mi_heap_collect(heap, true);
  const size_t fragmented = resident_kib() - base;
  const size_t live = live_bytes() / 1024;
  size_t moved = 1;
  int round = 0;
  for (; round < ROUNDS_MAX && moved != 0; round++) moved = defragment(heap, 80);
  mi_collect(true);
  mi_heap_collect(heap, true);
  const size_t after = resident_kib() - base;
  print_message("KiB resident: full %zu, fragmented %zu, defragmented %zu; live %zu; %d rounds\n", full,
                fragmented, after, live, round);
  assert_int_equal(moved, 0); /* nothing is moved for ever */
  for (size_t i = 0; i < OBJECTS; i++) {
    for (size_t k = 0; objects[i] != NULL && k < objects[i]->size; k++)
      assert_int_equal(objects[i]->bytes[k], (unsigned char)(i % 251));
  }
#if !defined(__SANITIZE_ADDRESS__) && !RACES_ARE_ERRORS
  assert_true(fragmented > full / 2);
  /* One page of each size class may be partly used, every other one is 4/5 full. */
  assert_true(after < live * 5 / 4 + 64 * 64 && after < fragmented / 3);
#endif
  mi_heap_destroy(heap);
  munmap(objects, OBJECTS * sizeof(object_t*));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_heap),
      cmocka_unit_test(all_sizes_and_alignments),
      cmocka_unit_test(freed_blocks_are_gone),
      cmocka_unit_test(freed_by_others),
      cmocka_unit_test(abandoned_areas),
      cmocka_unit_test(several_heaps),
      cmocka_unit_test(threads_at_rest),
      cmocka_unit_test(parts_of_threads),
      cmocka_unit_test(deleted_behind_a_thread),
      cmocka_unit_test(stops_when_told),
      cmocka_unit_test(blocks_are_freed_on_the_way),
      cmocka_unit_test(others_are_at_work),
      cmocka_unit_test(sparse_pages),
      cmocka_unit_test(defragmenting_lowers_resident_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
