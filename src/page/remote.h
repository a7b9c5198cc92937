/* SPDX-License-Identifier: MIT */
/* Remote frees: the one atomic word `thread_free` of a page.

     63       48 47      46 45       30 29 ...... 20 19 ....... 0
     | version  | state    | count     | (0)        | head       |
       head     offset / 8 + 1 of the first block in the list, 0: none
       count    owned page: blocks in the list;  abandoned page: live blocks that are left
       state    NORMAL | DELAYED | DELAYING | ABANDONED
       version  grows with every claim, so a stale claim fails

     NORMAL    --remote_free-->   NORMAL      push the block: one CAS
     DELAYED   --remote_free-->   DELAYING    a full page's first remote free: the block goes to the owner's
     DELAYING  --remote_signalled--> NORMAL   owner's delayed list instead: one signal per full page
     DELAYING  --remote_free-->   DELAYING    others push as in NORMAL; nobody waits
     NORMAL, DELAYING --remote_arm--> DELAYED owner: the page is full (only while the list is empty)
     DELAYED   --remote_disarm--> NORMAL      owner: the page left the full list
     any owned --remote_abandon--> ABANDONED  owner: gives the page up; count becomes the live blocks
     ABANDONED --remote_free-->   ABANDONED   push; or NORMAL when that was the last live block: the freeing
                                              thread then owns an empty page and releases it
     ABANDONED --remote_claim-->  NORMAL      whoever wins the CAS owns the page

   The push and the test of the state are one CAS, so no last free is lost.  The list is only ever taken whole
   (remote_take), so a push needs no protection against ABA. */
#pragma once

#include "memory/counters.h"
#include "page/page.h"

typedef enum remote_state_e {
  REMOTE_NORMAL, REMOTE_DELAYED, REMOTE_DELAYING, REMOTE_ABANDONED
} remote_state_t;

/* What the caller of remote_free has to do next. */
typedef enum remote_verdict_e {
  REMOTE_DONE,      /* nothing */
  REMOTE_SIGNAL,    /* not pushed: push it on the owning part's delayed list, then call remote_signalled */
  REMOTE_LAST,      /* pushed, the page is empty and now belongs to the caller */
  REMOTE_UNOWNED,   /* pushed into an abandoned page, which still has few free blocks, and live ones */
  REMOTE_ROOMY,     /* the same, but it has free blocks enough to be allocated from */
  /* not pushed: the page is abandoned and has no live block, so this one was freed before */
  REMOTE_NOT_LIVE,
} remote_verdict_t;

enum { REMOTE_HEAD_BITS = 20, REMOTE_COUNT_SHIFT = 30, REMOTE_STATE_SHIFT = 46, REMOTE_VERSION_SHIFT = 48 };
#define REMOTE_HEAD_MASK ((UINT64_C(1) << REMOTE_HEAD_BITS) - 1)
#define REMOTE_COUNT_ONE (UINT64_C(1) << REMOTE_COUNT_SHIFT)
#define REMOTE_COUNT_MASK (UINT64_C(0xFFFF) << REMOTE_COUNT_SHIFT)
#define REMOTE_LIST_MASK (REMOTE_HEAD_MASK | REMOTE_COUNT_MASK)
#define REMOTE_STATE_MASK (UINT64_C(3) << REMOTE_STATE_SHIFT)
#define REMOTE_VERSION_ONE (UINT64_C(1) << REMOTE_VERSION_SHIFT)
#define REMOTE_PUSH_ELSEWHERE ((uint64_t)(REMOTE_DELAYED & REMOTE_ABANDONED) << REMOTE_STATE_SHIFT)

_Static_assert(((REMOTE_NORMAL | REMOTE_DELAYING) & REMOTE_DELAYED & REMOTE_ABANDONED) == 0, "one bit tells");

static inline remote_state_t remote_state(uint64_t word) {
  return (remote_state_t)((word & REMOTE_STATE_MASK) >> REMOTE_STATE_SHIFT);
}
static inline uint32_t remote_count(uint64_t word) {
  return (uint32_t)((word & REMOTE_COUNT_MASK) >> REMOTE_COUNT_SHIFT);
}

/* Live blocks of a page, as far as it knows: what lies on a delayed list counts.  The owner changes `used`
   with plain stores while others ask; a number that is a moment old is what they want. */
static inline size_t page_live_blocks(page_t* page) {
  const uint64_t word = load_acquire(&page->thread_free);
  if (remote_state(word) == REMOTE_ABANDONED) return remote_count(word);
  const uint16_t used = (uint16_t)(__atomic_load_n(&page->used, __ATOMIC_RELAXED) +
                                   __atomic_load_n(&page->floor, __ATOMIC_RELAXED));
  return used - min_size(used, remote_count(word));
}

extern level_t remote_abandoned; /* pages that nobody owns */

/* A new page: NORMAL, empty; the version goes on over the lives of the table entry. */
void remote_reset(page_t* page);

remote_verdict_t remote_free(page_t* page, block_t* block);

/* The usual case of remote_free, short: an owned page whose owner needs no signal, plain links but in secure
   builds.  `offset` is the block's distance from the page's start.  False: nothing was done. */
static inline bool remote_push(page_t* page, block_t* block, size_t offset) {
  char* const start = (char*)block - offset;
  uint64_t word = load_acquire(&page->thread_free);
  uint64_t next;
  do {
    if ((word & REMOTE_PUSH_ELSEWHERE) != 0) {
      if (FREE_CHECKS) block->mark = 0; /* or an earlier round's would look like a free before this one */
      return false;
    }
    const uint64_t head = word & REMOTE_HEAD_MASK;
    if (FREE_CHECKS) block->mark = (uintptr_t)page;
    block->next = head == 0 ? NULL : (block_t*)(void*)(start + (head - 1) * 8);
    if (SECURE) block_set_next(page, block, block->next);
    next = (word & ~REMOTE_HEAD_MASK) + (offset / 8 + 1) + REMOTE_COUNT_ONE;
  } while (!cas_weak_acq_rel(&page->thread_free, &word, next));
  return true;
}

void remote_signalled(page_t* page);

/* Owner.  The list, and its length in *count; leaves the state. */
block_t* remote_take(page_t* page, uint32_t* count);

/* The list as it is now, to look for a block in it. */
const block_t* remote_list(const page_t* page);

/* Owner.  False when the list is not empty: collect it, the page is not full. */
bool remote_arm(page_t* page);
void remote_disarm(page_t* page);

/* Owner, after page_merge_lists: give the page up. */
typedef enum abandon_verdict_e {
  ABANDON_REFUSED, /* the page has no live block left and still belongs to the caller */
  ABANDON_FULL,    /* given up; no block in thread_free */
  ABANDON_ROOM,    /* given up; blocks in thread_free */
} abandon_verdict_t;
abandon_verdict_t remote_abandon(page_t* page);

/* Owner of an empty page with an empty list that cannot be released yet: ABANDONED with no live block. */
void remote_park(page_t* page);

/* Anybody.  True: the caller owns the page; page_used() and page->local_free are set, the list is empty. */
bool remote_claim(page_t* page);
