/* SPDX-License-Identifier: MIT */
/* A thread's place in the allocator: its tag and its parts of the heaps.

   Three thread-local words.  The fast paths use the first two; a thread that has not attached, or is inside a
   slow path, has the empty part and a tag that matches no page, so that both fast paths fall through:

     unattached --thread_enter--> busy --thread_leave--> ready --thread_enter--> busy ...
     ready --thread_exit--> unattached
   Re-entrancy: a signal handler (or a hook) that comes while the thread is busy frees by the remote push, and
   allocates with a second, nested record, made on demand and kept with the first. */
#ifndef THREAD_THREAD_H
#define THREAD_THREAD_H

#include "base/compiler.h"
#include "heap/heap.h"

typedef struct thread_s thread_t;

struct thread_s {
  pool_link_t link;
  uintptr_t tag;           /* generation of the process | number of the thread, never reused */
  uint64_t generation;     /* of the process that this thread last acted in; see thread/fork.c */
  volatile int busy;       /* inside a slow path; also looked at by signal handlers of the same thread */
  int in_deferred;         /* the user's deferred_free runs */
  int exit_round;          /* how often the exit destructor has run */
  heap_part_t* part;       /* the default part: what thread_part is when ready */
  heap_part_t* parts;      /* all parts, by sibling */
  heap_part_t** slots;     /* parts by the slot of their heap */
  size_t slot_count;
  uint64_t heartbeat;      /* slow-path visits: deterministic */
  thread_t* nested;
  thread_t* outer;
};

extern HIDDEN THREAD_LOCAL heap_part_t* thread_part;
extern HIDDEN THREAD_LOCAL uintptr_t thread_tag;
extern HIDDEN THREAD_LOCAL thread_t* thread_self;

/* The calling thread's record, busy, attached first if need be; NULL when out of memory. */
thread_t* thread_enter(void);
void thread_leave(thread_t* self);

/* Make sure that the thread is attached, or stays busy as it is. */
void thread_attach(void);

/* The calling thread gives up its pages; it may come back. */
void thread_exit(void);

/* Between enter and leave: this thread's part of a live heap, made if need be; NULL when out of memory. */
heap_part_t* thread_part_of(thread_t* self, heap_t* heap);
/* The same, but NULL when there is none yet. */
heap_part_t* thread_find_part(const thread_t* self, const heap_t* heap);

/* Between enter and leave: parts of heaps that were deleted or destroyed meanwhile go away. */
void thread_settle(thread_t* self);

/* Handed to allocation by the calling thread and by all that have exited. */
typedef struct served_s { uint64_t blocks, bytes; } served_t;
served_t thread_served(void);

/* Slow paths call this first: in a forked child it adopts what the parent's other threads owned. */
void thread_check_fork(void);
uint64_t thread_generation(void);

/* Thread tags: | generation (20) | number (40) | care flags (3) | */
enum { TAG_NUMBER_SHIFT = 3, TAG_GENERATION_SHIFT = 43 };

#endif
