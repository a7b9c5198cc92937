/* SPDX-License-Identifier: MIT */
/* See seal.h. */
#include "page/seal.h"

#include <string.h>

#include "os/os.h"

enum { SEAL_BITS = 24, SEAL_ALIGNMENT = 16, SEAL_KIND = 21, SEAL_STATE = 23, SEAL_PATTERN = 0xA7 };
#define SEAL_MASK ((UINT64_C(1) << SEAL_BITS) - 1)
#define SEAL_LIVE (UINT64_C(1) << SEAL_STATE)

static atomic_u64_t seal_keys[2];

static uint64_t seal_key(size_t i) {
  uint64_t now = load_relaxed(&seal_keys[i]);
  if (likely(now != 0)) return now;
  const uint64_t fresh = os_random() | 1;
  return cas_strong_acq_rel(&seal_keys[i], &now, fresh) ? fresh : now;
}

static uint64_t sealed(const void* p, uint64_t info) {
  const uint128_t product =
      (uint128_t)((uintptr_t)p ^ seal_key(0)) * ((info + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seal_key(1));
  return (uint64_t)((product >> 64) ^ product) << SEAL_BITS | info;
}

uint64_t seal_chance(const void* p) {
  static atomic_word_t calls;
  return sealed(p, add_relaxed(&calls, 1)) >> SEAL_BITS;
}

static size_t seal_room(const page_t* page) { return page_usable_size(page) - SEAL_SIZE; }

static atomic_u64_t* seal_word(const page_t* page, const void* p) {
  return (atomic_u64_t*)((uintptr_t)p + seal_room(page));
}

static bool is_seal(const void* p, uint64_t word) { return sealed(p, word & SEAL_MASK) == word; }

void seal_open(const page_t* page, void* p) {
  if (SECURE_FULL && (page->flags & PAGE_ZERO) == 0)
    memset((char*)p + sizeof(block_t*), 0, seal_room(page) - sizeof(block_t*));
  store_relaxed(seal_word(page, p), sealed(p, 0));
}

static seal_t seal_decode(const page_t* page, uint64_t word) {
  return (seal_t){seal_room(page) - (word & 0xFFFF), (unsigned)(word >> SEAL_ALIGNMENT) & 31,
                  (block_kind_t)(word >> SEAL_KIND & 3)};
}

void seal_change(const page_t* page, void* p, seal_t seal) {
  const size_t slack = seal_room(page) - seal.size;
  if (slack > 0) {
    memset((char*)p + seal.size, SEAL_PATTERN, slack);
    ((char*)p)[seal.size] = 0;
  }
  store_relaxed(seal_word(page, p), sealed(p, slack | (uint64_t)seal.alignment_shift << SEAL_ALIGNMENT |
                                                (uint64_t)seal.kind << SEAL_KIND | SEAL_LIVE));
}

static bool holds_only(const char* p, size_t size, char value) {
  return size == 0 || (p[0] == value && memcmp(p, p + 1, size - 1) == 0);
}

void seal_put(page_t* page, void* p, seal_t seal) {
  const char* const bytes = p;
  if (page->slices != 0) {
    if (load_relaxed(seal_word(page, p)) != sealed(p, 0)) page_is_corrupt(p);
    if (SECURE_FULL && !holds_only(bytes + sizeof(block_t*), seal_room(page) - sizeof(block_t*), 0))
      page_is_corrupt(p);
  }
  seal_change(page, p, seal);
}

seal_verdict_t seal_read(const page_t* page, const void* p, seal_t* seal) {
  const uint64_t word = load_relaxed(seal_word(page, p));
  if (!is_seal(p, word)) return SEAL_BROKEN;
  if ((word & SEAL_LIVE) == 0) return SEAL_FREED;
  *seal = seal_decode(page, word);
  const char* const end = (const char*)p + seal->size;
  const size_t slack = seal_room(page) - seal->size;
  return slack == 0 || (end[0] == 0 && holds_only(end + 1, slack - 1, (char)SEAL_PATTERN)) ? SEAL_GOOD
                                                                                      : SEAL_OVERRUN;
}

static bool seal_before_is_good(const page_t* page, const void* p) {
  if (page->slices == 0 || p == page_start(page)) return true;
  const char* const before = (const char*)p - page->stride;
  return is_seal(before, load_relaxed(seal_word(page, before)));
}

seal_verdict_t seal_break(page_t* page, void* p) {
  seal_t seal;
  uint64_t word = load_relaxed(seal_word(page, p));
  const seal_verdict_t verdict = seal_read(page, p, &seal);
  if (verdict != SEAL_GOOD) return verdict;
  if (!seal_before_is_good(page, p)) return SEAL_BEFORE;
  /* acq_rel: another thread's allocation of the block sees all that was done to it. */
  if (!cas_strong_acq_rel(seal_word(page, p), &word, sealed(p, 0))) return SEAL_FREED;
  if (page->slices != 0 && (SECURE_FULL || page->stride <= DIRECT_SIZE_MAX)) memset(p, 0, seal_room(page));
  return SEAL_GOOD;
}
