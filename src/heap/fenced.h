/* SPDX-License-Identifier: MIT */
/* Fenced blocks: singles of any size between two guards, the block's end at the second one.

     page_start                    fence + whole OS pages
     | guard | ............. block | guard |              fence: one OS page, the length of a guard

   At secure level 2 all big blocks are fenced but those that grow; in every build those that are sampled
   (heap/sampling.h).  A freed one's memory goes back at once, and its addresses stay guarded until KEPT
   others have been freed; then those of one slice are a slot, for the next fenced block that fits there:

     LIVE  --fenced_retire: all is guard, and no page-->  FREED  --KEPT frees later-->  SLOT | free slices
     SLOT  --fenced_slot: the block's OS pages are opened; fenced_raise-->  LIVE

   The note of a fenced block says what it was.  Notes are type-stable: the handler of a fault may look at one
   that has just begun another life. */
#pragma once

#include "heap/heap.h"

enum { STACK_DEPTH = 14 };
typedef struct backtrace_s {
  long thread;
  int depth; /* 0: unknown */
  void* frames[STACK_DEPTH];
} backtrace_t;

typedef enum note_state_e { NOTE_SLOT, NOTE_LIVE, NOTE_FREED, NOTE_REPORTED } note_state_t;

typedef struct fence_note_s {
  pool_link_t link;
  atomic_u32_t state; /* atomic: note_state_t */
  size_t slice, slices;
  char* block;
  size_t size; /* as it was asked for */
  backtrace_t allocated, freed;
} fence_note_t;

/* Where a fenced block lies, from its page's start on. */
typedef struct fence_plan_s {
  size_t start, end; /* of the block; the second guard begins at the end */
  size_t slices;     /* 0: it cannot be fenced */
} fence_plan_t;
fence_plan_t fenced_plan(size_t size, size_t alignment);

/* A slot for it, opened, whose slice is the caller's; or NULL. */
fence_note_t* fenced_slot(const heap_t* heap, const fence_plan_t* plan);
/* Guards for the slices from `slice` on, which hold a block by the plan, in this slot or in none.
   NULL: there are none to be had; not of a slot. */
fence_note_t* fenced_raise(size_t slice, fence_note_t* slot, const fence_plan_t* plan, size_t size);
/* The note of a single; NULL: it is not fenced. */
fence_note_t* fenced_note(const page_t* page);
void fenced_retire(fence_note_t* note); /* the page is none any more */
/* The note of the freed block whose addresses, still kept, p is one of; or NULL. */
fence_note_t* fenced_freed(const void* p);
void fenced_collect(void);    /* no freed block is kept any longer, nor are there slots */
void fenced_after_fork(void); /* in the child, before lost slices become free */

/* At secure level 2: the last OS page of each page's slices. */
void page_fence(page_t* page);
void page_unfence(page_t* page);
