/* SPDX-License-Identifier: MIT */
/* See remote.h for the word, its states and edges.

   Orders.  Every CAS here and in remote_push is acq_rel at least and pairs with the others on the same word:
     release  by a pusher: its writes to the block (and the program's last ones) come before the owner's
   reuse; by an abandoning owner: all its writes to the page come before the claimer's reads acquire  by the
   taker of the list, by the claimer, and by a pusher (it reads page->part after DELAYED)
   What makes a page abandoned, or pushes into one, is seq_cst, and so is the claimer's first look: partners
   of the looks at `linked` (heap/abandon.c). */
#include "page/remote.h"

_Static_assert(PAGE_SLICES_MAX * (SLICE_SIZE / 8) < 1 << REMOTE_HEAD_BITS, "a head must fit");

static block_t* head_block(const page_t* page, uint64_t word) {
  const uint64_t head = word & REMOTE_HEAD_MASK;
  return head == 0 ? NULL : (block_t*)(void*)(page_start(page) + (head - 1) * 8);
}

static uint64_t with_head(const page_t* page, uint64_t word, const block_t* block) {
  const uint64_t offset = (uint64_t)((const char*)block - page_start(page));
  return (word & ~REMOTE_HEAD_MASK) | (offset / 8 + 1);
}

static uint64_t with_state(uint64_t word, remote_state_t state) {
  return (word & ~REMOTE_STATE_MASK) | ((uint64_t)state << REMOTE_STATE_SHIFT);
}

static uint64_t with_count(uint64_t word, uint32_t count) {
  return (word & ~REMOTE_COUNT_MASK) | ((uint64_t)count << REMOTE_COUNT_SHIFT);
}

/* An abandoned page is worth allocating from when this part of its blocks is free. */
enum { ROOMY_SHARE = 8 };

static remote_verdict_t verdict_of(const page_t* page, uint32_t live) {
  if (live == 0) return REMOTE_LAST;
  return page->reserved - live >= page->reserved / ROOMY_SHARE ? REMOTE_ROOMY : REMOTE_UNOWNED;
}

level_t remote_abandoned;

void remote_reset(page_t* page) {
  const uint64_t word = load_relaxed(&page->thread_free);
  store_relaxed(&page->thread_free, (word | (REMOTE_VERSION_ONE - 1)) + 1);
}

remote_verdict_t remote_free(page_t* page, block_t* block) {
  uint64_t word = load_acquire(&page->thread_free);
  uint64_t next;
  remote_verdict_t verdict;
  block_set_mark(page, block);
  do {
    if (remote_state(word) == REMOTE_DELAYED) {
      next = with_state(word, REMOTE_DELAYING);
      verdict = REMOTE_SIGNAL;
      continue;
    }
    if (remote_state(word) == REMOTE_ABANDONED && remote_count(word) == 0) return REMOTE_NOT_LIVE;
    block_set_next(page, block, head_block(page, word));
    next = with_head(page, word, block);
    if (remote_state(word) != REMOTE_ABANDONED) {
      next += REMOTE_COUNT_ONE;
      verdict = REMOTE_DONE;
    } else {
      next -= REMOTE_COUNT_ONE;
      verdict = verdict_of(page, remote_count(next));
      if (verdict == REMOTE_LAST) next = with_state(next, REMOTE_NORMAL) + REMOTE_VERSION_ONE;
    }
  } while (!cas_weak_seq_cst(&page->thread_free, &word, next));
  if (verdict == REMOTE_LAST) level_down(&remote_abandoned);
  return verdict;
}

void remote_signalled(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  while (remote_state(word) == REMOTE_DELAYING) {
    if (cas_weak_acq_rel(&page->thread_free, &word, with_state(word, REMOTE_NORMAL))) return;
  }
}

block_t* remote_take(page_t* page, uint32_t* count) {
  uint64_t word = load_relaxed(&page->thread_free);
  while ((word & REMOTE_HEAD_MASK) != 0) {
    if (cas_weak_acq_rel(&page->thread_free, &word, word & ~REMOTE_LIST_MASK)) break;
  }
  check(remote_state(word) != REMOTE_ABANDONED);
  *count = remote_count(word);
  return head_block(page, word);
}

const block_t* remote_list(const page_t* page) {
  return head_block(page, load_acquire(&((page_t*)(uintptr_t)page)->thread_free));
}

bool remote_arm(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  do {
    if ((word & REMOTE_HEAD_MASK) != 0) return false;
  } while (!cas_weak_acq_rel(&page->thread_free, &word, with_state(word, REMOTE_DELAYED)));
  return true;
}

void remote_disarm(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  while (remote_state(word) == REMOTE_DELAYED) {
    if (cas_weak_acq_rel(&page->thread_free, &word, with_state(word, REMOTE_NORMAL))) return;
  }
}

abandon_verdict_t remote_abandon(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  uint64_t next;
  check(page->local_free == NULL);
  do {
    const uint32_t live = (uint32_t)page_used(page) - remote_count(word);
    if (live == 0) return ABANDON_REFUSED;
    next = with_state(with_count(word, live), REMOTE_ABANDONED);
  } while (!cas_weak_seq_cst(&page->thread_free, &word, next));
  level_up(&remote_abandoned);
  return (word & REMOTE_HEAD_MASK) != 0 ? ABANDON_ROOM : ABANDON_FULL;
}

void remote_park(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  check(page_used(page) == 0 && (word & REMOTE_HEAD_MASK) == 0);
  while (
      !cas_weak_seq_cst(&page->thread_free, &word, with_state(word & ~REMOTE_LIST_MASK, REMOTE_ABANDONED))) {
  }
  level_up(&remote_abandoned);
}

bool remote_claim(page_t* page) {
  uint64_t word = load_seq_cst(&page->thread_free);
  do {
    if (remote_state(word) != REMOTE_ABANDONED) return false;
  } while (!cas_weak_acq_rel(&page->thread_free, &word,
                             with_state(word & ~REMOTE_LIST_MASK, REMOTE_NORMAL) + REMOTE_VERSION_ONE));
  level_down(&remote_abandoned);
  page->floor = 0;
  page->used = (uint16_t)remote_count(word);
  page->local_free = head_block(page, word);
  return true;
}
