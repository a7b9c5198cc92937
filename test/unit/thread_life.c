/* SPDX-License-Identifier: MIT */
/* A thread's record: attaching, leaving and coming back; the nested record of whoever interrupts a slow path
   (a signal handler, simulated by entering twice); the generation that a fork's child gets. */
#include "unit/page_support.h"

#include <errno.h>
#include <pthread.h>

#include "heap/heap.h"
#include "mimalloc.h"
#include "thread/thread.h"

static void run_thread(void* (*run)(void*)) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, run, NULL) == 0);
  must(pthread_join(thread, NULL) == 0);
}

/* ---- attach and exit ---- */

static uintptr_t tag_of_thread;

static void* attach_and_leave(void* unused) {
  must(thread_self == NULL && thread_tag == TAG_NOBODY && thread_part == &part_empty);
  mi_free(NULL); /* needs no record */
  must(thread_self == NULL);
  void* const p = mi_malloc(100);
  must(p != NULL && thread_self != NULL);
  must(thread_tag == thread_self->tag && thread_tag % TAG_UNIT == 0);
  must(thread_part == thread_self->part && thread_part->heap == &heap_main);
  must(load_relaxed(&page_of(p)->owner_tag) == thread_tag);
  const uintptr_t first = thread_tag;
  thread_exit();
  must(thread_self == NULL && thread_tag == TAG_GONE && thread_part == &part_empty);
  must(load_relaxed(&page_of(p)->owner_tag) == TAG_ABANDONED);
  /* It may come back, as somebody else. */
  void* const q = mi_malloc(100);
  must(q != NULL && thread_tag != TAG_GONE && thread_tag != first);
  mi_free(p);
  mi_free(q);
  tag_of_thread = thread_tag;
  return unused;
}

static void life_body(void) {
  mi_free(mi_malloc(1));
  const uint32_t threads = load_relaxed(&heap_threads);
  uintptr_t last = thread_tag;
  for (int i = 0; i < 20; i++) {
    run_thread(attach_and_leave);
    must(tag_of_thread > last); /* never reused, though records are */
    last = tag_of_thread;
    must(load_relaxed(&heap_threads) == threads);
  }
}

static void threads_attach_leave_and_come_back(void** unused) {
  UNUSED(unused);
  in_child(life_body);
}

static void* records_are_reused(void* unused) {
  mi_free(mi_malloc(64));
  return unused;
}

static void metadata_body(void) {
  for (int i = 0; i < 10; i++) run_thread(records_are_reused);
  const size_t metadata = memory_stats().metadata;
  for (int i = 0; i < 1000; i++) run_thread(records_are_reused);
  must(memory_stats().metadata == metadata);
}

static void a_thousand_threads_need_no_more_records(void** unused) {
  UNUSED(unused);
  in_child(metadata_body);
}

static void* attach_by_free(void* block) {
  errno = 77;
  mi_free(block); /* another thread's block, by a thread without a record */
  must(errno == 77);
  void* const p = mi_malloc(40); /* and a thread's first malloc */
  must(errno == 77 && p != NULL);
  mi_free(p);
  must(errno == 77);
  return NULL;
}

static void errno_body(void) {
  pthread_t thread;
  void* const p = mi_malloc(200);
  void* const q = mi_malloc(200);
  must(pthread_create(&thread, NULL, attach_by_free, p) == 0);
  must(pthread_join(thread, NULL) == 0);
  must(count_of(page_of(q)) == 1);
  mi_free(q);
}

static void first_calls_leave_errno_alone(void** unused) {
  UNUSED(unused);
  in_child(errno_body);
}

/* ---- interrupted slow paths ---- */

static void nested_body(void) {
  void* const mine = mi_malloc(48);
  void* const other = mi_malloc(48);
  page_t* const page = page_of(mine);
  const uint32_t used = page->used;

  thread_t* const outer = thread_enter();
  must(outer == thread_self && outer->busy && outer->outer == NULL);
  /* What an interrupting handler finds: nothing on the fast paths. */
  must(thread_tag == TAG_NOBODY && thread_part == &part_empty);
  thread_t* const nested = thread_enter();
  must(nested != outer && nested->outer == outer && outer->nested == nested && thread_self == nested);
  must(nested->tag != outer->tag && nested->part != outer->part);
  thread_leave(nested);
  must(thread_self == outer && outer->busy && thread_tag == TAG_NOBODY && thread_part == &part_empty);

  /* The handler allocates, resizes and frees; it gets no block of the page that is being worked on. */
  char* a = mi_malloc(48);
  must(a != NULL && page_of(a) != page && load_relaxed(&page_of(a)->owner_tag) == nested->tag);
  memset(a, 1, 48);
  a = mi_realloc(a, 5000);
  must(a != NULL && a[47] == 1);
  void* const big = mi_malloc(300000);
  must(big != NULL && thread_self == outer);
  mi_free(big);
  mi_free(a);
  /* It frees the interrupted thread's own block: by the remote push, so no owner's field changes. */
  const block_t* const local = page->local_free;
  mi_free(mine);
  must(page->used == used && page->local_free == local && count_of(page) == 1);
  must(page_list_holds(page, remote_list(page), mine));

  thread_leave(outer);
  must(thread_self == outer && !outer->busy);
  must(thread_tag == outer->tag && thread_part == outer->part);
  page_collect_remote(page);
  must(page->used == used - 1 && page_is_valid(page));
  mi_free(other);
  must(part_is_valid(outer->part));
}

static void an_interrupted_slow_path_can_be_nested(void** unused) {
  UNUSED(unused);
  in_child(nested_body);
}

/* The deferred callback and heartbeats belong to the outer record: no call comes while it is busy. */
static unsigned long callbacks;
static void count_callback(bool force, unsigned long long heartbeat, void* arg) {
  UNUSED(force);
  UNUSED(heartbeat);
  UNUSED(arg);
  callbacks++;
  must(!thread_self->busy);
}

static void busy_body(void) {
  mi_free(mi_malloc(16));
  mi_register_deferred_free(count_callback, NULL);
  mi_free(mi_malloc(100000));
  must(callbacks == 1 && thread_self->heartbeat > 0);
  thread_t* const outer = thread_enter();
  const uint64_t heartbeat = outer->heartbeat;
  for (int i = 0; i < 10; i++) mi_free(mi_malloc(100000));
  thread_leave(outer);
  must(callbacks == 1 && outer->heartbeat == heartbeat);
  mi_free(mi_malloc(100000));
  must(callbacks == 2 && outer->heartbeat == heartbeat + 1);
}

static void no_callback_while_busy(void** unused) {
  UNUSED(unused);
  in_child(busy_body);
}

static void* nested_thread(void* unused) {
  void* const p = mi_malloc(48);
  thread_t* const outer = thread_enter();
  void* const q = mi_malloc(48);
  must(outer->nested != NULL);
  page_t* const nested_page = page_of(q);
  thread_leave(outer);
  must(page_of(p) != nested_page);
  mi_free(p);
  thread_exit();
  must(load_relaxed(&nested_page->owner_tag) == TAG_ABANDONED && count_of(nested_page) == 1);
  mi_free(q);
  return unused;
}

static void nested_exit_body(void) {
  mi_free(mi_malloc(1));
  run_thread(nested_thread);
}

static void exit_gives_up_nested_pages_too(void** unused) {
  UNUSED(unused);
  in_child(nested_exit_body);
}

/* ---- fork ---- */

static void grandchild_body(void) {
  const uint64_t parent = thread_self->generation;
  const uintptr_t tag = thread_tag;
  must(thread_generation() == parent + 1);
  must(thread_self->generation == parent); /* until the first slow path */
  mi_free(mi_malloc(100000));
  must(thread_self->generation == parent + 1);
  must(thread_tag == tag); /* its own pages stay its own */
}

static void generation_body(void) {
  mi_free(mi_malloc(100));
  const uint64_t generation = thread_generation();
  must(generation != 0 && thread_generation() == generation);
  in_child(grandchild_body);
  must(thread_generation() == generation); /* the parent stays who it is */
}

static void a_child_is_a_new_generation(void** unused) {
  UNUSED(unused);
  in_child(generation_body);
}

enum { ADOPTED = 50, ADOPTED_SIZE = 3000 };
static unsigned char* adopted[ADOPTED];
static atomic_u32_t ready_to_fork;

static void* hold_blocks(void* unused) {
  for (int i = 0; i < ADOPTED; i++) {
    adopted[i] = mi_malloc(ADOPTED_SIZE);
    must(adopted[i] != NULL);
    memset(adopted[i], i, ADOPTED_SIZE);
  }
  store_release(&ready_to_fork, 1);
  while (load_acquire(&ready_to_fork) == 1) usleep(1000);
  return unused;
}

static void adopting_body(void) {
  void* const own = mi_malloc(ADOPTED_SIZE);
  must(thread_self->generation == thread_generation());
  for (int i = 0; i < ADOPTED; i++) {
    page_t* const page = page_of(adopted[i]);
    /* Nobody's, or already taken over for `own`. */
    must(state_of(page) == REMOTE_ABANDONED || load_relaxed(&page->owner_tag) == thread_tag ||
         load_relaxed(&page->owner_tag) == (thread_tag | CARE_FULL));
    must(adopted[i][0] == i && adopted[i][ADOPTED_SIZE - 1] == i);
  }
  const memory_stats_t before = memory_stats();
  for (int i = 0; i < ADOPTED; i++) mi_free(adopted[i]);
  mi_free(own);
  mi_collect(true);
  must(part_is_valid(thread_self->part));
  must(memory_stats().claimed < before.claimed);
  for (int i = 0; i < ADOPTED; i++) must(page_of(adopted[i]) == NULL);
}

static void adoption_body(void) {
  pthread_t thread;
  mi_free(mi_malloc(100));
  must(pthread_create(&thread, NULL, hold_blocks, NULL) == 0);
  while (load_acquire(&ready_to_fork) == 0) usleep(1000);
  in_child(adopting_body);
  store_release(&ready_to_fork, 2);
  must(pthread_join(thread, NULL) == 0);
  for (int i = 0; i < ADOPTED; i++) mi_free(adopted[i]);
}

static void a_child_adopts_what_dead_threads_owned(void** unused) {
  UNUSED(unused);
  in_child(adoption_body);
}

/* Forked while the forking thread itself was inside a slow path: the child waits for its next visit. */
static void busy_child_body(void) {
  must(thread_self->outer == NULL && thread_self->busy);
  thread_t* const outer = thread_self;
  void* const p = mi_malloc(500); /* nested */
  must(p != NULL);
  thread_leave(outer);
  const uint64_t generation = thread_generation();
  must(outer->generation != generation);
  mi_free(mi_malloc(100000));
  must(outer->generation == generation);
  mi_free(p);
}

static void busy_fork_body(void) {
  mi_free(mi_malloc(100));
  thread_t* const outer = thread_enter();
  in_child(busy_child_body);
  thread_leave(outer);
}

static void a_busy_thread_may_fork(void** unused) {
  UNUSED(unused);
  in_child(busy_fork_body);
}

/* ---- the default heap ---- */

static void default_is(const mi_heap_t* heap) {
  for (size_t size = 8; size < 1000000; size *= 3) {
    void* const p = mi_malloc(size);
    must(p != NULL && mi_heap_of(p) == heap);
    mi_free(p);
  }
}

static void nested_default_body(void) {
  mi_heap_t* const heap = mi_heap_new();
  mi_heap_t* const other = mi_heap_new();
  mi_heap_set_default(heap);
  default_is(heap);
  const mi_theap_t* const theap = mi_theap_get_default();
  thread_t* const outer = thread_enter();
  default_is(heap);
  must(outer->nested != NULL && mi_theap_get_default() == theap);
  mi_heap_set_default(other); /* takes effect at once, and stays */
  must(thread_part == &part_empty);
  default_is(other);
  thread_leave(outer);
  must(mi_heap_get_default() == other);
  default_is(other);
  must(thread_part == thread_self->part && thread_part->heap == other);
  /* A heap that somebody else deletes is left at the next slow path. */
  store_seq_cst(&other->state, (uint32_t)HEAP_DELETED);
  default_is(&heap_main);
  must(mi_heap_get_default() == &heap_main);
}

static void nested_records_serve_the_default_heap(void** unused) {
  UNUSED(unused);
  in_child(nested_default_body);
}

static void held_child_body(void) {
  default_is(mi_heap_get_default());
  must(load_relaxed(&thread_self->held) == HELD_FREE && mi_heap_get_default() != &heap_main);
}

static void held_fork_body(void) {
  mi_heap_set_default(mi_heap_new());
  default_is(mi_heap_get_default());
  store_relaxed(&thread_self->held, (uint32_t)HELD);
  default_is(mi_heap_get_default());
  in_child(held_child_body);
  store_relaxed(&thread_self->held, (uint32_t)HELD_FREE);
}

static void a_child_keeps_the_default_heap(void** unused) {
  UNUSED(unused);
  in_child(held_fork_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_attach_leave_and_come_back),
      cmocka_unit_test(a_thousand_threads_need_no_more_records),
      cmocka_unit_test(first_calls_leave_errno_alone),
      cmocka_unit_test(an_interrupted_slow_path_can_be_nested),
      cmocka_unit_test(no_callback_while_busy),
      cmocka_unit_test(exit_gives_up_nested_pages_too),
      cmocka_unit_test(a_child_is_a_new_generation),
      cmocka_unit_test(a_child_adopts_what_dead_threads_owned),
      cmocka_unit_test(a_busy_thread_may_fork),
      cmocka_unit_test(nested_records_serve_the_default_heap),
      cmocka_unit_test(a_child_keeps_the_default_heap),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
