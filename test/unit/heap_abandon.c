/* SPDX-License-Identifier: MIT */
/* Pages without an owner: abandoned by a thread's exit, claimed by need and by free, parked while linked,
   swept; and the ends of heaps: delete moves pages, destroy releases all. */
#include "unit/page_support.h"

#include <pthread.h>

#include "heap/heap.h"
#include "mimalloc.h"
#include "thread/thread.h"

enum { SIZE = 8192, PER_PAGE = 8, BLOCKS = 4 * PER_PAGE };

static void* blocks[BLOCKS];
static mi_heap_t* heap; /* what the thread allocates in */

static heap_part_t* own_part(void) { return thread_self->part; }
static abandoned_t* stack_of(heap_t* of) { return &of->abandoned[bin_of(SIZE)]; }
static bool stack_is_empty(heap_t* of) { return (load_relaxed(&stack_of(of)->head) & UINT32_MAX) == 0; }

static void run_thread(void* (*run)(void*), void* argument) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, run, argument) == 0);
  must(pthread_join(thread, NULL) == 0);
}

/* Leaves `*argument` blocks behind. */
static void* allocate_and_exit(void* argument) {
  const size_t count = *(const size_t*)argument;
  for (size_t i = 0; i < count; i++) {
    blocks[i] = heap == NULL ? mi_malloc(SIZE) : mi_heap_malloc(heap, SIZE);
    must(blocks[i] != NULL);
    memset(blocks[i], (int)i + 1, SIZE);
  }
  return NULL;
}

static void abandon(size_t count) { run_thread(allocate_and_exit, &count); }

static bool is_intact(size_t i) {
  const char* const bytes = blocks[i];
  return bytes[0] == (char)(i + 1) && bytes[SIZE - 1] == (char)(i + 1);
}

/* ---- abandoned pages ---- */

static void exit_body(void) {
  mi_free(mi_malloc(SIZE));
  mi_collect(true);
  abandon(PER_PAGE + 3); /* a full page, and one with room */
  page_t* const full = page_of(blocks[0]);
  page_t* const roomy = page_of(blocks[PER_PAGE]);
  must(full != roomy);
  must(state_of(full) == REMOTE_ABANDONED && count_of(full) == PER_PAGE);
  must(state_of(roomy) == REMOTE_ABANDONED && count_of(roomy) == 3);
  must(load_relaxed(&full->owner_tag) == TAG_ABANDONED);
  must(load_relaxed(&roomy->linked) == 1);
  must(load_relaxed(&full->linked) == 0); /* nobody who needs a block should look at it */
  /* Needed: the page with room is found. */
  void* const p = mi_malloc(SIZE);
  must(page_of(p) == roomy);
  must(load_relaxed(&roomy->part) == (uintptr_t)own_part());
  must(roomy->used == 4 && stack_is_empty(&heap_main));
  for (size_t i = 0; i < PER_PAGE + 3; i++) must(is_intact(i));
  /* Freed into: the full one is reclaimed by its first free. */
  mi_free(blocks[0]);
  must(state_of(full) == REMOTE_NORMAL && load_relaxed(&full->part) == (uintptr_t)own_part());
  must(full->used == PER_PAGE - 1 && part_is_valid(own_part()));
  for (size_t i = 1; i < PER_PAGE + 3; i++) mi_free(blocks[i]);
  mi_free(p);
  mi_collect(true);
  must(page_of(blocks[0]) == NULL && page_of(blocks[PER_PAGE]) == NULL);
}

static void exited_threads_pages_are_claimed(void** unused) {
  UNUSED(unused);
  in_child(exit_body);
}

static void* free_remotely(void* argument) {
  const size_t count = *(const size_t*)argument;
  /* Not attached: there is no part that could reclaim, so each free is a remote one. */
  for (size_t i = 0; i < count; i++) mi_free(blocks[i]);
  must(thread_self == NULL);
  return NULL;
}

static void last_free_body(void) {
  size_t count = PER_PAGE;
  mi_free(mi_malloc(SIZE));
  abandon(count);
  page_t* const page = page_of(blocks[0]);
  must(state_of(page) == REMOTE_ABANDONED && load_relaxed(&page->linked) == 0);
  const size_t some = 3;
  run_thread(free_remotely, (void*)(uintptr_t)&some);
  must(count_of(page) == PER_PAGE - 3 && load_relaxed(&page->linked) == 1); /* it has got room */
  memmove(blocks, blocks + 3, (PER_PAGE - 3) * sizeof(blocks[0]));
  count = PER_PAGE - 3;
  run_thread(free_remotely, &count);
  /* The last free made the page its thread's own, which found it linked: parked or swept, never lost. */
  abandoned_sweep(&heap_main, COLLECT_PAGES);
  must(page_of(blocks[0]) == NULL && stack_is_empty(&heap_main));
}

static void the_last_free_releases_the_page(void** unused) {
  UNUSED(unused);
  in_child(last_free_body);
}

static void parked_body(void) {
  page_t* pages[4];
  mi_free(mi_malloc(SIZE));
  mi_collect(true);
  for (size_t n = 0; n < 4; n++) {
    page_t* const page = test_page(bin_of(SIZE));
    store_relaxed(&page->heap, (uintptr_t)&heap_main);
    must(page_refill(page));
    page_pop(page);
    page_abandon(page);
    must(state_of(page) == REMOTE_ABANDONED && load_relaxed(&page->linked) == 1);
    pages[n] = page;
  }
  /* A linked page that has lost its last block is not released: its entry refers to it. */
  must(remote_claim(pages[1]));
  page_push_local(pages[1], test_block(pages[1], 0));
  const uint32_t count = load_relaxed(&stack_of(&heap_main)->count);
  page_release(pages[1]);
  if (load_relaxed(&pages[1]->linked) != 0) {
    must(state_of(pages[1]) == REMOTE_ABANDONED && count_of(pages[1]) == 0);
    must(remote_free(pages[1], test_block(pages[1], 0)) == REMOTE_NOT_LIVE);
    must(load_relaxed(&stack_of(&heap_main)->count) == count);
  }
  abandoned_sweep(&heap_main, COLLECT_PAGES);
  must(page_of(page_start(pages[1])) == NULL);
  must(page_of(page_start(pages[0])) == pages[0] && load_relaxed(&pages[0]->linked) == 1);
  /* The others are found, each once. */
  for (int n = 0; n < 3; n++) {
    page_t* const page = abandoned_claim(&heap_main, bin_of(SIZE));
    must(page == pages[0] || page == pages[2] || page == pages[3]);
    must(state_of(page) == REMOTE_NORMAL && page->used == 1 && page_is_valid(page));
  }
  must(abandoned_claim(&heap_main, bin_of(SIZE)) == NULL);
}

static void linked_pages_are_parked_and_swept(void** unused) {
  UNUSED(unused);
  in_child(parked_body);
}

/* A page parked although others freed into it between the merge and the giving up (see heap/abandon.c). */
static void late_free_body(void) {
  page_t* const page = test_page(bin_of(SIZE));
  store_relaxed(&page->heap, (uintptr_t)&heap_main);
  take_all(page);
  page_push_local(page, test_block(page, 0));
  page_abandon(page);
  must(load_relaxed(&page->linked) == 1);
  must(remote_claim(page)); /* the entry stays behind */
  for (size_t i = 1; i < PER_PAGE; i++) must(remote_free(page, test_block(page, i)) == REMOTE_DONE);
  page_release(page); /* no live block, but seven lie in thread_free */
  abandoned_sweep(&heap_main, COLLECT_PAGES);
  must(page_of(page_start(page)) == NULL);
}

static void frees_that_come_late_are_not_lost(void** unused) {
  UNUSED(unused);
  in_child(late_free_body);
}

static void many_threads_body(void) {
  abandon(PER_PAGE / 2);
  for (size_t i = 0; i < PER_PAGE / 2; i++) mi_free(blocks[i]);
  const size_t claimed = memory_stats().claimed;
  for (int round = 0; round < 500; round++) {
    abandon(BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++) mi_free(blocks[i]);
  }
  must(memory_stats().claimed <= claimed + 16 * SLICE_SIZE);
}

static void short_threads_leave_nothing(void** unused) {
  UNUSED(unused);
  in_child(many_threads_body);
}

/* ---- heaps ---- */

static const size_t sizes[] = {8, 16, 100, 1000, 5000, 8192, 20000, 32768, 100000, 5000000};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void fill_heap(mi_heap_t* h, void** out) {
  for (size_t i = 0; i < SIZES; i++) {
    out[i] = mi_heap_malloc(h, sizes[i]);
    must(out[i] != NULL);
    memset(out[i], (int)i + 1, sizes[i]);
  }
}

static void delete_body(void) {
  void* held[SIZES];
  const size_t claimed = memory_stats().claimed;
  heap = mi_heap_new();
  abandon(PER_PAGE + 3); /* by another thread, in that heap */
  fill_heap(heap, held);
  for (size_t i = 0; i < SIZES; i++) must(mi_heap_of(held[i]) == heap && mi_heap_contains(heap, held[i]));
  must(!stack_is_empty(heap) || page_of(blocks[PER_PAGE]) == page_of(held[5]));
  mi_heap_delete(heap);
  must(part_is_valid(own_part()));
  for (size_t i = 0; i < SIZES; i++) {
    must(mi_heap_of(held[i]) == mi_heap_main());
    must((heap_t*)load_relaxed(&page_of(held[i])->heap) == &heap_main);
    for (size_t k = 0; k < sizes[i]; k++) must(((const char*)held[i])[k] == (char)(i + 1));
  }
  for (size_t i = 0; i < PER_PAGE + 3; i++) must(is_intact(i) && mi_heap_of(blocks[i]) == mi_heap_main());
  for (size_t i = 0; i < SIZES; i++) mi_free(held[i]);
  for (size_t i = 0; i < PER_PAGE + 3; i++) mi_free(blocks[i]);
  mi_collect(true);
  must(memory_stats().claimed <= claimed);
}

static void delete_moves_every_page(void** unused) {
  UNUSED(unused);
  in_child(delete_body);
}

static void destroy_body(void) {
  void* held[SIZES];
  void* const other = mi_malloc(SIZE);
  memset(other, 0x77, SIZE);
  mi_collect(true);
  const size_t claimed = memory_stats().claimed;
  for (int round = 0; round < 3; round++) { /* the heap's struct is used again */
    heap = mi_heap_new();
    abandon(PER_PAGE + 3);
    for (int k = 0; k < 30; k++) fill_heap(heap, held);
    must(memory_stats().claimed > claimed + 30 * sizes[SIZES - 1]);
    mi_heap_destroy(heap);
    must(memory_stats().claimed <= claimed);
    for (size_t i = 0; i < SIZES; i++) must(page_of(held[i]) == NULL);
    must(page_of(blocks[0]) == NULL && page_of(blocks[PER_PAGE]) == NULL);
  }
  must(part_is_valid(own_part()));
  for (size_t i = 0; i < SIZE; i++) must(((const char*)other)[i] == 0x77);
  mi_free(other);
}

static void destroy_releases_every_page(void** unused) {
  UNUSED(unused);
  in_child(destroy_body);
}

static void heap_forwards_body(void) {
  /* Another thread's part notices the end of its heap when it exits: its blocks live on in the main heap. */
  heap = mi_heap_new();
  abandon(3);
  must(mi_heap_of(blocks[0]) == heap);
  mi_heap_delete(heap);
  must(stack_is_empty(heap));
  void* const p = mi_malloc(SIZE);
  must(page_of(p) == page_of(blocks[0]) || load_relaxed(&page_of(blocks[0])->heap) == (uintptr_t)&heap_main);
  for (size_t i = 0; i < 3; i++) must(is_intact(i));
  for (size_t i = 0; i < 3; i++) mi_free(blocks[i]);
  mi_free(p);
}

static void abandoned_pages_of_a_deleted_heap_are_forwarded(void** unused) {
  UNUSED(unused);
  in_child(heap_forwards_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exited_threads_pages_are_claimed),
      cmocka_unit_test(the_last_free_releases_the_page),
      cmocka_unit_test(linked_pages_are_parked_and_swept),
      cmocka_unit_test(frees_that_come_late_are_not_lost),
      cmocka_unit_test(short_threads_leave_nothing),
      cmocka_unit_test(delete_moves_every_page),
      cmocka_unit_test(destroy_releases_every_page),
      cmocka_unit_test(abandoned_pages_of_a_deleted_heap_are_forwarded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
