/* SPDX-License-Identifier: MIT */
/* See seal.h. */
#include "page/seal.h"

#include <stdlib.h>

#include "core/diagnostics.h"
#include "os/os.h"

seal_keys_t seal_keys;

void page_is_corrupt(const void* block) {
  report_misuse(EFAULT, "corruption: the free block at %p was written to, or its neighbour was overrun",
                block);
  abort();
}

/* The factor follows from the key, which is set once: whoever sees it set writes the same. */
void seal_init(void) {
  if (likely(load_relaxed(&seal_keys.factor) != 0)) return;
  uint64_t key = 0;
  const uint64_t fresh = os_random() | 1;
  if (cas_strong_acq_rel(&seal_keys.key, &key, fresh)) key = fresh;
  store_release(&seal_keys.factor, (key ^ key >> 29) * UINT64_C(0xd6e8feb86659fd93) | 1);
}

/* Above SEAL_MASK: the word is no seal of p. */
static inline uint64_t info_of(const void* p, uint64_t word) { return word ^ seal_free(p); }

size_t seal_chance(uint64_t step, size_t count) {
  return (size_t)((uint128_t)seal_free((const void*)(uintptr_t)(step << 4)) * count >> 64);
}

static inline size_t seal_room(const page_t* page) { return page_usable_size(page) - SEAL_SIZE; }

static inline atomic_u64_t* seal_word(const page_t* page, const void* p, size_t room) {
  return page->slices != 0 ? (atomic_u64_t*)((uintptr_t)p + room) : (atomic_u64_t*)(uintptr_t)&page->key;
}

/* Whole words. */
static bool is_zero(const char* p, size_t size) {
  uint64_t any = 0;
  for (size_t i = 0; i < size; i += SEAL_WORD) any |= seal_get(p + i);
  return any == 0;
}

/* ---- the interface ---- */
void seal_open(page_t* page, void* p) {
  const size_t room = seal_room(page);
  if (SECURE_FULL && (page->flags & PAGE_ZERO) == 0)
    memset((char*)p + sizeof(block_t*), 0, room - sizeof(block_t*));
  store_relaxed(seal_word(page, p, room), seal_free(p));
}

static seal_t seal_decode(size_t room, uint64_t info) {
  return (seal_t){room - (info & 0xFFFF), (unsigned)(info >> SEAL_ALIGNMENT) & 31,
                  (block_kind_t)(info >> SEAL_KIND & 3)};
}

void seal_change(page_t* page, void* p, seal_t seal) {
  const size_t room = seal_room(page);
  const size_t slack = room - seal.size;
  seal_fill((char*)p + seal.size, slack);
  store_relaxed(seal_word(page, p, room),
                seal_free(p) ^ (slack | (uint64_t)seal.alignment_shift << SEAL_ALIGNMENT |
                                (uint64_t)seal.kind << SEAL_KIND | SEAL_LIVE));
}

/* A fenced block: the bytes from the guard on, up to the block, hold the pattern. */
static char* pad_of(const page_t* page) { return page_start(page) + page->reserved + SEAL_SIZE; }
static bool is_fenced(const page_t* page) { return page->slices == 0 && page->reserved != 0; }

void seal_put(page_t* page, void* p, seal_t seal) {
  const size_t room = seal_room(page);
  if (is_fenced(page)) memset(pad_of(page), (char)SEAL_PATTERN, (size_t)((char*)p - pad_of(page)));
  if (page->slices != 0) { /* it has been taken from its page's list */
    if (load_relaxed(seal_word(page, p, room)) != seal_free(p)) page_is_corrupt(p);
    if (SECURE_FULL && !is_zero((char*)p + sizeof(block_t*), room - sizeof(block_t*))) page_is_corrupt(p);
    ((block_t*)p)->next = NULL;
  }
  seal_change(page, p, seal);
}

static inline seal_verdict_t judge(const page_t* page, const void* p, size_t room, uint64_t* info) {
  *info = info_of(p, load_relaxed(seal_word(page, p, room)));
  if (unlikely(*info > SEAL_MASK)) return SEAL_BROKEN;
  if (unlikely((*info & SEAL_LIVE) == 0)) return SEAL_FREED;
  const size_t slack = *info & 0xFFFF;
  if (slack > room) return SEAL_BROKEN;
  return likely(seal_is_filled((const char*)p + room - slack, slack)) ? SEAL_GOOD : SEAL_OVERRUN;
}

seal_verdict_t seal_read(const page_t* page, const void* p, seal_t* seal) {
  uint64_t info;
  const size_t room = seal_room(page);
  const seal_verdict_t verdict = judge(page, p, room, &info);
  if (verdict == SEAL_GOOD || verdict == SEAL_OVERRUN) *seal = seal_decode(room, info);
  return verdict;
}

static bool is_good_before(const page_t* page, const char* p, size_t room) {
  if (is_fenced(page)) {
    for (const char* at = pad_of(page); at < p; at++) {
      if (*at != (char)SEAL_PATTERN) return false;
    }
  }
  if (page->slices == 0 || p == page_start(page)) return true;
  const char* const before = p - page->stride;
  return info_of(before, load_relaxed(seal_word(page, before, room))) <= SEAL_MASK;
}

seal_verdict_t seal_break(page_t* page, void* p, seal_claim_t claim) {
  uint64_t info;
  const size_t room = seal_room(page);
  const seal_verdict_t verdict = judge(page, p, room, &info);
  if (verdict != SEAL_GOOD) return verdict;
  if (!claim_is_true(claim, room - (info & 0xFFFF), info)) return SEAL_OTHER;
  if (!is_good_before(page, (const char*)p, room)) return SEAL_BEFORE;
  store_relaxed(seal_word(page, p, room), seal_free(p));
  if (page->slices != 0 && (SECURE_FULL || page->stride <= DIRECT_SIZE_MAX)) memset(p, 0, room);
  return SEAL_GOOD;
}
