/* SPDX-License-Identifier: MIT */
/* A thread's place in the allocator: its tag and its parts of the heaps.

   Three thread-local words.  The fast paths use the first two; a thread that has not attached, or is inside a
   slow path, has the empty part and a tag that matches no page, so that both fast paths fall through:

     unattached --thread_enter--> busy --thread_leave--> ready --thread_enter--> busy ...
     ready --thread_exit--> unattached
   Re-entrancy: a signal handler (or a hook) that comes while the thread is busy frees by the remote push, and
   allocates with a second, nested record, made on demand and kept with the first.  The same record serves
   while the scavenger holds the thread's parts (thread/idle.c):

     held FREE --scavenger, then a barrier everywhere--> HELD, if `busy` is 0 then  --> FREE
     held HELD --thread_exit--> HANDED: the scavenger ends the record's life
   The default heap, which malloc serves, is the main one until thread_set_default.  It is the record's that
   the thread attached with; nested records serve it too, from parts of their own.
   A thread sets busy, then looks at held; the scavenger sets held, then looks at busy: one sees the other.
   The thread's side needs no barrier instruction, the scavenger makes every thread pass one in between. */
#pragma once

#include "base/compiler.h"
#include "heap/heap.h"

typedef struct thread_s thread_t;

struct thread_s {
  pool_link_t link;
  uintptr_t tag;           /* generation of the process | number of the thread, never reused */
  /* atomic: of the process that this thread last acted in; see thread/fork.c; written by the owner */
  atomic_u64_t generation;
  atomic_u32_t busy;       /* atomic: inside a slow path, or in the pool; written by the owner */
  atomic_u32_t held;       /* atomic: held_t */
  int in_deferred;         /* the user's deferred_free runs */
  int in_threadpool;       /* the thread serves many tasks: see mi_thread_set_in_threadpool */
  int exit_round;          /* how often the exit destructor has run */
  heap_t* default_heap;    /* what malloc serves; of a nested record: unused */
  heap_t* main_heap;       /* that of the thread's sub-process; of a nested record: unused */
  /* what thread_part is when ready: the default heap's, or the empty part until a slow path has made it */
  heap_part_t* part;
  heap_part_t* parts;      /* all parts, by sibling */
  heap_part_t** slots;     /* parts by the slot of their heap */
  size_t slot_count;
  atomic_u64_t heartbeat;  /* atomic: slow-path visits, deterministic; written by the owner */
  unsigned quick;          /* lists taken, without the slow path's other steps */
  thread_t* nested;
  thread_t* outer;         /* of a nested record: what thread_self becomes when it is left */
  thread_t* all_next;      /* const: the registry of all records ever made */
  int registered;
  uint64_t idle_beat;      /* scavenger: the heartbeat at its last look ... */
  long idle_ms;            /* ... and for how long it has not changed */
};

typedef enum held_e { HELD_FREE, HELD, HELD_HANDED } held_t;

extern HIDDEN THREAD_LOCAL heap_part_t* thread_part;
extern HIDDEN THREAD_LOCAL uintptr_t thread_tag;
extern HIDDEN THREAD_LOCAL thread_t* thread_self;

/* The calling thread's record, busy, attached first if need be; NULL when out of memory. */
thread_t* thread_enter(void);
void thread_leave(thread_t* self);

/* Begin and end a short slow path that may fail: false when the thread is busy or held. */
static inline bool thread_try_busy(thread_t* self) {
  if (load_relaxed(&self->busy) != 0) return false;
  store_relaxed(&self->busy, 1u);
  atomic_signal_fence(memory_order_seq_cst); /* partner: the barrier in thread/idle.c */
  if (likely(load_acquire(&self->held) == HELD_FREE)) return true;
  store_release(&self->busy, 0u);
  return false;
}
static inline void thread_not_busy(thread_t* self) { store_release(&self->busy, 0u); }

/* thread/idle.c */
void thread_register(thread_t* record); /* a new record: once, for ever */
/* Anybody: all parts of all threads.  Exact while no thread gets or loses one. */
typedef void part_visit_t(heap_part_t* part, void* arg);
void thread_visit_parts(part_visit_t* visit, void* arg);
size_t thread_count(const heap_t* main); /* attached threads of the sub-process; exact as that */
void thread_watch_idle(void);           /* from now on the scavenger looks after idle threads */
void thread_tidy_idle(long elapsed);    /* its job: `elapsed` ms have passed since the last call */

/* A record whose thread has gone gives up its parts; then nobody uses it. */
void thread_end_record(thread_t* record);

/* In a forked child: when the parent's scavenger held the thread, its parts may be torn; it gets a
   new record. */
bool thread_unhold_after_fork(void);

/* Make sure that the thread is attached, or stays busy as it is. */
void thread_attach(void);

/* A thread that is not attached frees: the process has several, though this one may never allocate.  It
   starts nothing itself: the C library frees with locks held that the start of a thread needs. */
void thread_note_stranger(void);

/* glibc: 0 once a second thread is being started.  Other C libraries have no such thing. */
extern char __libc_single_threaded __attribute__((weak));
static inline bool thread_libc_has_threads(void) {
  return &__libc_single_threaded != NULL && __libc_single_threaded == 0;
}

/* Start the scavenger when there are threads that never attached. */
void thread_look_around(void);

/* The calling thread gives up its pages; it may come back. */
void thread_exit(void);

/* Between enter and leave: this thread's part of a live heap, made if need be; NULL when out of memory. */
heap_part_t* thread_part_of(thread_t* self, heap_t* heap);
/* The same, but NULL when there is none yet. */
heap_part_t* thread_find_part(const thread_t* self, const heap_t* heap);

/* The record that the thread attached with; NULL when it is not attached. */
thread_t* thread_root(void);

/* From now on malloc serves `heap`, in the attached calling thread; at any time, in signal handlers too. */
void thread_set_default(heap_t* heap);

/* The main heap of the calling thread's sub-process. */
heap_t* thread_main_heap(void);

/* The attached calling thread joins the sub-process of this main heap; false: it has allocated before. */
bool thread_join_subprocess(heap_t* main);

/* Between enter and leave: the part that malloc serves, made if need be; NULL when out of memory. */
heap_part_t* thread_default_part(thread_t* self);

/* Between enter and leave: the part gives up its pages; unless it is the main heap's, it goes away. */
void thread_end_part(thread_t* self, heap_part_t* part);

/* Between enter and leave: parts of heaps that were deleted or destroyed meanwhile go away. */
void thread_settle(thread_t* self);
void thread_settle_heap(thread_t* self, heap_t* heap); /* the same, of one that has just ended */

/* The calling thread takes note of what others have done to its pages and heaps: to count what it has. */
void thread_hear(void);

extern atomic_u64_t thread_total; /* figure: threads that have attached */
extern atomic_u64_t thread_peak;  /* figure: the most at a time */

/* Slow paths call this first: in a forked child it adopts what the parent's other threads owned. */
void thread_check_fork(void);
uint64_t thread_generation(void);
static inline void thread_begin(void) { /* both, in this order */
  thread_attach();
  thread_check_fork();
}

/* Thread tags: | generation (20) | number (40) | care flags (3) | */
enum { TAG_NUMBER_SHIFT = 3, TAG_GENERATION_SHIFT = 43 };
