/* SPDX-License-Identifier: MIT */
/* Attaching, leaving, exiting.  States are drawn in thread.h. */
#include "thread/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "memory/meta.h"
#include "memory/reserve.h"
#include "memory/scavenger.h"

THREAD_LOCAL heap_part_t* thread_part = &part_empty;
THREAD_LOCAL uintptr_t thread_tag = TAG_NOBODY;
THREAD_LOCAL thread_t* thread_self;

atomic_u64_t thread_total;
atomic_u64_t thread_peak;

static pool_t thread_pool;
static pool_t part_pool;
static atomic_u64_t tag_counter;

/* The compiler must not move work across the change of the thread-local words: a signal handler sees them. */
static inline void signal_fence(void) { atomic_signal_fence(memory_order_seq_cst); }

/* ---- parts ---- */

heap_part_t* thread_find_part(const thread_t* self, const heap_t* heap) {
  return heap->slot < self->slot_count ? self->slots[heap->slot] : NULL;
}

static bool reserve_slot(thread_t* self, size_t slot) {
  if (slot < self->slot_count) return true;
  const size_t count = max_size(slot + 1, 2 * self->slot_count);
  heap_part_t** const slots = meta_alloc(count * sizeof(heap_part_t*));
  if (slots == NULL) return false;
  if (self->slot_count != 0) memcpy(slots, self->slots, self->slot_count * sizeof(heap_part_t*));
  self->slots = slots;
  self->slot_count = count;
  return true;
}

heap_part_t* thread_part_of(thread_t* self, heap_t* heap) {
  heap_part_t* part = thread_find_part(self, heap);
  if (likely(part != NULL)) return part;
  if (!reserve_slot(self, heap->slot)) return NULL;
  part = (heap_part_t*)pool_get(&part_pool, sizeof(heap_part_t));
  if (part == NULL) return NULL;
  part_init(part, heap, self->tag);
  add_relaxed(&heap->parts, 1u);
  level_up(&heap_part_count);
  part->sibling = self->parts;
  part->before = NULL;
  if (self->parts != NULL) self->parts->before = part;
  self->parts = part;
  self->slots[heap->slot] = part;
  return part;
}

/* The part has no pages any more. */
static void part_discard(thread_t* self, heap_part_t* part) {
  heap_t* const heap = part->heap;
  if (part->before != NULL) part->before->sibling = part->sibling;
  else self->parts = part->sibling;
  if (part->sibling != NULL) part->sibling->before = part->before;
  self->slots[heap->slot] = NULL;
  part_die(part);
  level_down(&heap_part_count);
  for (int i = 0; i < PART_COUNTS; i++) {
    figure_add(&heap_part_counts[i], figure_read(&part->counts[i]));
    figure_set(&part->counts[i], 0);
  }
  pool_put(&part_pool, part);
  heap_unref(heap);
  if (part != self->part) return;
  self->default_heap = self->main_heap;
  self->part = &part_empty;
}

void thread_end_part(thread_t* self, heap_part_t* part) {
  part_drain(part);
  part_abandon_all(part);
  if (part->heap != &heap_main) part_discard(self, part);
}

/* Who gets the blocks of a deleted heap; when its sub-process has ended, the main heap. */
static heap_t* living_heir(const heap_t* deleted) {
  heap_t* const heir = deleted->heir;
  return load_acquire(&heir->state) == HEAP_LIVE ? heir : &heap_main;
}

static void settle_part(thread_t* self, heap_part_t* part) {
  const uint32_t state = load_acquire(&part->heap->state);
  if (state == HEAP_LIVE) return;
  if (state == HEAP_DELETED) {
    heap_part_t* const to = thread_part_of(self, living_heir(part->heap));
    if (to == NULL) return; /* no memory now */
    part_move_all(part, to);
  } else {
    part_forget(part);
  }
  part_discard(self, part);
}

void thread_settle(thread_t* self) {
  for (heap_part_t *part = self->parts, *next; part != NULL; part = next) {
    next = part->sibling;
    settle_part(self, part);
  }
}

void thread_settle_heap(thread_t* self, heap_t* heap) {
  heap_part_t* const part = thread_find_part(self, heap);
  if (part != NULL) settle_part(self, part);
}

/* ---- the default heap ---- */

thread_t* thread_root(void) {
  thread_t* root = thread_self;
  while (root != NULL && root->outer != NULL) root = root->outer;
  return root;
}

void thread_set_default(heap_t* heap) {
  thread_t* const root = thread_root();
  heap_part_t* const part = thread_find_part(root, heap);
  root->default_heap = heap;
  root->part = part != NULL ? part : &part_empty;
  signal_fence();
  if (thread_tag != TAG_NOBODY) thread_part = root->part;
}

static bool is_alive(heap_t* heap) { return heap == &heap_main || load_relaxed(&heap->state) == HEAP_LIVE; }

heap_t* thread_main_heap(void) {
  thread_t* const root = thread_root();
  if (root == NULL) return &heap_main;
  if (!is_alive(root->main_heap)) root->main_heap = &heap_main;
  return root->main_heap;
}

bool thread_join_subprocess(heap_t* main) {
  thread_t* const root = thread_root();
  if (root == NULL || load_relaxed(&root->heartbeat) != 0) return false;
  root->main_heap = main;
  thread_set_default(main);
  return true;
}

heap_part_t* thread_default_part(thread_t* self) {
  thread_t* const root = thread_root();
  if (!is_alive(root->default_heap)) root->default_heap = thread_main_heap();
  heap_part_t* const part = thread_part_of(self, root->default_heap);
  if (self == root && part != NULL) self->part = part;
  return part;
}

/* ---- exit ---- */

static atomic_u32_t exit_key; /* the pthread key + 1, 0: none yet */

void thread_hear(void) {
  if (thread_self == NULL) return;
  thread_check_fork();
  thread_t* const self = thread_enter();
  if (self == NULL) return;
  thread_settle(self);
  for (heap_part_t* part = self->parts; part != NULL; part = part->sibling) part_drain(part);
  thread_leave(self);
}

static void give_up_parts(thread_t* self) {
  thread_settle(self);
  while (self->parts != NULL) {
    heap_part_t* const part = self->parts;
    part_drain(part);
    part_abandon_all(part);
    part_discard(self, part);
  }
}

void thread_end_record(thread_t* record) {
  give_up_parts(record);
  pool_put(&thread_pool, record); /* busy stays set */
}

/* The record is busy for good: end it, or let the scavenger do that which holds it. */
static void retire_record(thread_t* record) {
  uint32_t held = HELD;
  store_relaxed(&record->busy, 1u);
  signal_fence(); /* as in thread_try_busy */
  if (load_acquire(&record->held) == HELD && cas_strong_acq_rel(&record->held, &held, HELD_HANDED)) return;
  thread_end_record(record);
}

void thread_exit(void) {
  if (thread_self == NULL || load_relaxed(&thread_self->busy) != 0) return;
  thread_check_fork(); /* nobody else would adopt what the parent's threads owned */
  thread_t* const self = thread_self;
  if (self == NULL) return;
  store_relaxed(&self->busy, 1u);
  signal_fence();
  thread_tag = TAG_GONE;
  thread_part = &part_empty;
  signal_fence();
  thread_t* nested = self->nested;
  self->nested = NULL;
  thread_self = NULL;
  signal_fence();
  for (thread_t* next; nested != NULL; nested = next) {
    next = nested->nested;
    retire_record(nested);
  }
  retire_record(self);
  add_relaxed(&heap_threads, UINT32_MAX);
}

static void watch_exit(thread_t* self);

/* Other destructors may still free and allocate: wait until the last round that the system grants. */
static void on_thread_exit(void* self) {
  thread_t* const record = self;
  if (record == thread_self) {
    if (++record->exit_round < PTHREAD_DESTRUCTOR_ITERATIONS - 1) {
      watch_exit(record);
      return;
    }
    thread_exit();
  }
  /* A process whose main thread has exited ends with its last thread: that must not be the scavenger, which
     never ends by itself. */
  if (thread_self == NULL && load_relaxed(&heap_threads) == 0) scavenger_switch_off();
}

/* Every thread may make the key; the first one published is used. */
static uint32_t shared_key(void) {
  pthread_key_t key;
  uint32_t published = load_acquire(&exit_key);
  if (published != 0 || pthread_key_create(&key, on_thread_exit) != 0) return published;
  if (cas_strong_acq_rel(&exit_key, &published, key + 1)) return key + 1;
  pthread_key_delete(key);
  return published;
}

/* May call calloc: the thread is ready by now. */
static void watch_exit(thread_t* self) {
  const uint32_t key = shared_key();
  if (key != 0) pthread_setspecific(key - 1, self);
}

/* ---- attaching ---- */

static uintptr_t new_tag(void) {
  const uint64_t number = add_relaxed(&tag_counter, UINT64_C(1)) + 1;
  return (uintptr_t)((thread_generation() << TAG_GENERATION_SHIFT) | (number << TAG_NUMBER_SHIFT));
}

static thread_t* thread_create(void) {
  thread_t* const self = pool_get(&thread_pool, sizeof(thread_t));
  if (self == NULL) return NULL;
  self->tag = new_tag();
  if (load_relaxed(&self->generation) != thread_generation()) {
    store_relaxed(&self->held, HELD_FREE); /* the parent's scavenger may have been about to hold it */
    store_release(&self->generation, thread_generation()); /* partner: the look at idle threads */
  }
  store_relaxed(&self->busy, 1u);
  self->in_deferred = 0;
  self->in_threadpool = 0;
  self->exit_round = 0;
  self->default_heap = &heap_main;
  self->main_heap = &heap_main;
  store_relaxed(&self->heartbeat, 0);
  self->nested = NULL;
  self->outer = NULL;
  self->parts = NULL;
  self->part = thread_part_of(self, &heap_main);
  if (!self->registered) thread_register(self);
  if (self->part != NULL) return self;
  pool_put(&thread_pool, self);
  return NULL;
}

static bool attach_record(void) {
  thread_t* const self = thread_create();
  if (self == NULL) return false;
  thread_self = self;
  signal_fence();
  thread_leave(self);
  watch_exit(self);
  return true;
}

void thread_attach(void) {
  if (thread_self != NULL) return;
  KEEP_ERRNO;
  if (!window_init()) return;
  reserve_at_start();
  if (!attach_record()) return;
  const uint32_t others = add_relaxed(&heap_threads, 1u);
  figure_add(&thread_total, 1);
  figure_raise(&thread_peak, others + UINT64_C(1));
  if (others > 0) {
    thread_watch_idle();
    scavenger_start();
  }
}

static bool others_exist(void) {
  if (load_relaxed(&heap_strangers) != 0) return true;
  /* A forked child inherits the word, not the threads. */
  return thread_libc_has_threads() && thread_generation() == 1;
}

void thread_look_around(void) {
  if (likely(scavenger_state_of(load_relaxed(&scavenger_state)) != SCAVENGER_NONE) || !others_exist()) return;
  thread_watch_idle();
  scavenger_start();
}

void thread_note_stranger(void) {
  if (thread_tag != TAG_GONE && load_relaxed(&heap_strangers) == 0) store_relaxed(&heap_strangers, 1u);
}

bool thread_unhold_after_fork(void) {
  const thread_t* record = thread_self;
  while (record != NULL && load_relaxed(&record->held) == HELD_FREE) record = record->nested;
  if (record == NULL) return true;
  /* The old record is never used again, its pages are adopted like those of a dead thread. */
  thread_tag = TAG_NOBODY;
  thread_part = &part_empty;
  signal_fence();
  heap_t* const heap = thread_self->default_heap;
  heap_t* const main = thread_self->main_heap;
  thread_self = NULL;
  if (!attach_record()) return false;
  thread_self->main_heap = main;
  thread_set_default(heap);
  return true;
}

/* A record of the same thread that is neither busy nor held, made if need be. */
static thread_t* enter_nested(thread_t* outer) {
  thread_t* nested = outer->nested;
  while (nested != NULL && !thread_try_busy(nested)) {
    outer = nested;
    nested = outer->nested;
  }
  if (nested == NULL) {
    nested = thread_create();
    if (nested == NULL) return NULL;
    outer->nested = nested;
  }
  nested->outer = thread_self;
  signal_fence();
  thread_self = nested;
  return nested;
}

thread_t* thread_enter(void) {
  thread_t* self = thread_self;
  if (unlikely(self == NULL)) {
    thread_attach();
    self = thread_self;
    if (self == NULL) return NULL;
  }
  if (unlikely(!thread_try_busy(self))) {
    /* Held, perhaps by the parent's scavenger: a nested record would make the adoption come late. */
    if (load_relaxed(&self->busy) == 0) thread_check_fork();
    return thread_self == self ? enter_nested(self) : thread_enter();
  }
  thread_tag = TAG_NOBODY;
  thread_part = &part_empty;
  signal_fence();
  return self;
}

void thread_leave(thread_t* self) {
  signal_fence();
  if (unlikely(self->outer != NULL)) {
    thread_self = self->outer;
    signal_fence();
    thread_not_busy(self);
    return;
  }
  thread_not_busy(self);
  signal_fence();
  thread_part = self->part;
  thread_tag = self->tag;
}
