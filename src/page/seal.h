/* SPDX-License-Identifier: MIT */
/* Secure builds (MI_SECURE): every block has a seal, a word that says whether the block lives and how it was
   asked for, and is keyed by the block's address.  It is the last word of the block; of a big one it lies in
   the page's entry of the table.

     carved: FREE --seal_put, by the allocation--> LIVE --seal_break--> FREE

   What is no live block's start, was freed, or was overwritten, is known before anything is done with it.
   Of two threads that free the same block at the same moment both may find it LIVE; then it lies on two
   lists, and the allocation that takes it the second time finds it LIVE and ends the process: no block is
   handed out twice.  The bytes between the requested end and the seal hold a pattern that begins with 0; the
   seal before a block belongs to its neighbour, whose seal is good at any time: seals change by one store
   each.

     seal = (address ^ key) * factor ^ info, modulo 2^64, with a random key and an odd factor that follows
            from it
     info:  23 live | 22 21 kind | 20 .. 16 alignment | 15 .. 0 slack: bytes from the end as asked to the seal

   An info is 24 bits, so of 2^40 words one is a seal of the block.  Who changes only the bits of the info has
   changed where the pattern must be. */
#pragma once

#include <string.h>

#include "page/page.h"

typedef enum block_kind_e { KIND_MALLOC, KIND_NEW, KIND_NEW_ARRAY, KIND_ANY } block_kind_t;

typedef struct seal_s {
  size_t size; /* as requested */
  unsigned alignment_shift; /* of what was asked for; 0: nothing */
  block_kind_t kind;
} seal_t;

typedef enum seal_verdict_e {
  SEAL_GOOD,
  SEAL_FREED,   /* it does not live */
  SEAL_BROKEN,  /* no seal: somebody wrote over the block's end */
  SEAL_OVERRUN, /* somebody wrote between the requested end and the seal */
  SEAL_BEFORE,  /* the neighbour's seal is none: somebody wrote before this block's start */
  SEAL_OTHER,   /* it is not what the free says */
} seal_verdict_t;

/* What a free says of its block. */
typedef struct seal_claim_s {
  size_t size;       /* SIZE_MAX: nothing */
  block_kind_t kind; /* KIND_ANY: nothing */
} seal_claim_t;
#define NO_CLAIM ((seal_claim_t){SIZE_MAX, KIND_ANY})

void seal_init(void);                  /* before the first block of the process; any number of times */
void seal_open(page_t* page, void* p); /* a block is carved */
/* A block goes out; what it was says whether somebody wrote to it meanwhile (then the program ends). */
void seal_put(page_t* page, void* p, seal_t seal);
/* A live block's seal changes: it has been resized, or is of another kind. */
void seal_change(page_t* page, void* p, seal_t seal);
/* SEAL_GOOD or SEAL_OVERRUN: what the block was asked for. */
seal_verdict_t seal_read(const page_t* page, const void* p, seal_t* seal);
/* The free: SEAL_GOOD makes the block the caller's to free; anything else leaves it as it is. */
seal_verdict_t seal_break(page_t* page, void* p, seal_claim_t claim);
/* One of `count` numbers; which, nobody can foretell without the keys. */
size_t seal_chance(uint64_t step, size_t count);

/* ---- the usual cases, short: blocks of pages ---- */
typedef struct seal_keys_s {
  atomic_u64_t key, factor; /* 0: not made yet */
} seal_keys_t;
extern HIDDEN seal_keys_t seal_keys;

enum { SEAL_WORD = 8, SEAL_ALIGNMENT = 16, SEAL_KIND = 21, SEAL_LIVE = 1 << 23, SEAL_MASK = (1 << 24) - 1 };
#define SEAL_PATTERN UINT64_C(0xA7A7A7A7A7A7A7A7)
#define SEAL_START   (SEAL_PATTERN << 8)

/* The seal of a free block. */
static inline uint64_t seal_free(const void* p) {
  return ((uintptr_t)p ^ load_settled(&seal_keys.key)) * load_settled(&seal_keys.factor);
}
static inline uint64_t seal_get(const char* at) {
  uint64_t word;
  memcpy(&word, at, SEAL_WORD);
  return word;
}
static inline void seal_set(char* at, uint64_t word) { memcpy(at, &word, SEAL_WORD); }

/* The pattern in [end, end + slack).  Less than a word is the upper part of the room's last word. */
static inline void seal_fill(char* end, size_t slack) {
  char* const last = end + slack - SEAL_WORD;
  if (slack >= SEAL_WORD) {
    for (size_t i = SEAL_WORD; i + SEAL_WORD < slack; i += SEAL_WORD) seal_set(end + i, SEAL_PATTERN);
    seal_set(last, SEAL_PATTERN);
    seal_set(end, SEAL_START);
  } else if (slack > 0) {
    const unsigned shift = (unsigned)(SEAL_WORD - slack) * 8;
    seal_set(last, (seal_get(last) & ~(~UINT64_C(0) << shift)) | SEAL_START << shift);
  }
}
static inline bool seal_is_filled(const char* end, size_t slack) {
  const uint64_t last = seal_get(end + slack - SEAL_WORD);
  if (slack > SEAL_WORD) {
    uint64_t wrong = (last ^ SEAL_PATTERN) | (seal_get(end) ^ SEAL_START);
    for (size_t i = SEAL_WORD; i + SEAL_WORD < slack; i += SEAL_WORD)
      wrong |= seal_get(end + i) ^ SEAL_PATTERN;
    return wrong == 0;
  }
  const unsigned shift = (unsigned)(SEAL_WORD - slack) * 8;
  return slack == 0 || last >> shift == SEAL_START << shift >> shift;
}

static inline bool claim_is_true(seal_claim_t claim, size_t size, uint64_t info) {
  if (claim.size != SIZE_MAX && claim.size != size) return false;
  return !SECURE_FULL || claim.kind == KIND_ANY || claim.kind == (info >> SEAL_KIND & 3);
}

/* seal_put of a block that has no alignment of its own; returns it. */
static inline void* seal_put_small(page_t* page, void* p, size_t size, block_kind_t kind) {
  const size_t room = page_usable_size(page) - SEAL_SIZE;
  const size_t slack = room - size;
  const uint64_t mine = seal_free(p);
  atomic_u64_t* const word = (atomic_u64_t*)(void*)((char*)p + room);
  if (SECURE_FULL) {
    seal_put(page, p, (seal_t){size, 0, kind});
    return p;
  }
  if (unlikely(load_relaxed(word) != mine)) page_is_corrupt(p);
  ((block_t*)p)->next = NULL;
  seal_fill((char*)p + size, slack);
  store_relaxed(word, mine ^ (slack | (uint64_t)kind << SEAL_KIND | SEAL_LIVE));
  return p;
}

/* seal_break, but for the wiping, of a block of at most SMALL_BLOCK_MAX bytes that is not its page's first.
   False says nothing. */
static inline bool seal_break_small(const page_t* page, char* p, seal_claim_t claim) {
  const size_t room = page->stride - (size_t)SEAL_SIZE; /* where no bigger block has its seal */
  const char* const before = p - page->stride;
  const uint64_t mine = seal_free(p);
  atomic_u64_t* const word = (atomic_u64_t*)(void*)(p + room);
  const uint64_t info = load_relaxed(word) ^ mine;
  const size_t slack = info & 0xFFFF;
  if (unlikely(info - SEAL_LIVE > SEAL_MASK - SEAL_LIVE || slack > room)) return false;
  if (unlikely(!seal_is_filled(p + room - slack, slack) || !claim_is_true(claim, room - slack, info)))
    return false;
  if (unlikely((load_relaxed((atomic_u64_t*)(uintptr_t)(before + room)) ^ seal_free(before)) > SEAL_MASK))
    return false;
  store_relaxed(word, mine);
  return true;
}
