/* SPDX-License-Identifier: MIT */
/* The seam: every atomic operation of the allocator is one of these, named by its memory order.
   With MI_ATOMIC_SEAM the tests get control before each (atomic_seam) and so run the shipped code in
   every interleaving, or stop one thread for ever at any of them.  Otherwise the seam is nothing. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/config.h"

typedef _Atomic(uint64_t) atomic_u64_t;
typedef _Atomic(uint32_t) atomic_u32_t;
typedef _Atomic(uint16_t) atomic_u16_t;
typedef _Atomic(uintptr_t) atomic_word_t; /* pointers and thread tags */

#if MI_ATOMIC_SEAM
void atomic_seam(const volatile void* where); /* called before the operation on *where */
#define SEAM(p) atomic_seam(p)
#else
#define SEAM(p) ((void)0)
#endif

#define load_relaxed(p) (SEAM(p), atomic_load_explicit((p), memory_order_relaxed))
#define load_acquire(p) (SEAM(p), atomic_load_explicit((p), memory_order_acquire))
#define load_seq_cst(p) (SEAM(p), atomic_load_explicit((p), memory_order_seq_cst))
/* A relaxed load of a word that has got its value for good: no order of threads can matter, so no seam. */
#define load_settled(p) atomic_load_explicit((p), memory_order_relaxed)
/* A store that others read only after what happened later, or for figures: no seam. */
#define store_settled(p, x) atomic_store_explicit((p), (x), memory_order_relaxed)
#define store_relaxed(p, x) (SEAM(p), atomic_store_explicit((p), (x), memory_order_relaxed))
#define store_release(p, x) (SEAM(p), atomic_store_explicit((p), (x), memory_order_release))
#define store_seq_cst(p, x) (SEAM(p), atomic_store_explicit((p), (x), memory_order_seq_cst))
#define exchange_acq_rel(p, x) (SEAM(p), atomic_exchange_explicit((p), (x), memory_order_acq_rel))
#define exchange_seq_cst(p, x) (SEAM(p), atomic_exchange_explicit((p), (x), memory_order_seq_cst))
#define add_relaxed(p, x) (SEAM(p), atomic_fetch_add_explicit((p), (x), memory_order_relaxed))
#define add_acq_rel(p, x) (SEAM(p), atomic_fetch_add_explicit((p), (x), memory_order_acq_rel))
#define or_acq_rel(p, x) (SEAM(p), atomic_fetch_or_explicit((p), (x), memory_order_acq_rel))
#define and_acq_rel(p, x) (SEAM(p), atomic_fetch_and_explicit((p), (x), memory_order_acq_rel))

/* A relaxed load of a word for the fast paths.  Compilers do not fold atomic loads into the instruction that
   uses the value; this one they may.  Only for a value that is used once: the compiler could
   read it twice. */
#if MI_ATOMIC_SEAM || THREAD_SANITIZER
#define load_folded(p) ((uintptr_t)load_relaxed(p))
#else
#define load_folded(p) (*(const uintptr_t*)(const void*)(p))
#endif

/* Compare and swap; on failure *expected holds what was found.  Weak: may fail for no reason, use
   in a loop. */
#define cas_weak_acq_rel(p, expected, x) \
  (SEAM(p),                              \
   atomic_compare_exchange_weak_explicit((p), (expected), (x), memory_order_acq_rel, memory_order_acquire))
#define cas_strong_acq_rel(p, expected, x)                                                      \
  (SEAM(p), atomic_compare_exchange_strong_explicit((p), (expected), (x), memory_order_acq_rel, \
                                                    memory_order_acquire))
#define cas_weak_seq_cst(p, expected, x)                                                      \
  (SEAM(p), atomic_compare_exchange_weak_explicit((p), (expected), (x), memory_order_seq_cst, \
                                                  memory_order_acquire))
#define cas_strong_seq_cst(p, expected, x)                                                      \
  (SEAM(p), atomic_compare_exchange_strong_explicit((p), (expected), (x), memory_order_seq_cst, \
                                                    memory_order_seq_cst))

/* Figures for statistics, which decide nothing: no order of threads can matter, so no seam. */
static inline uint64_t figure_read(atomic_u64_t* figure) { return load_settled(figure); }

/* Returns the new value. */
static inline uint64_t figure_add(atomic_u64_t* figure, uint64_t amount) {
  if (!STATISTICS) return 0;
  return atomic_fetch_add_explicit(figure, amount, memory_order_relaxed) + amount;
}

/* One more of what only the calling thread counts: no other instruction than the addition. */
static inline void figure_count(atomic_u64_t* figure) {
  if (!STATISTICS) return;
#if THREAD_SANITIZER
  atomic_store_explicit(figure, load_settled(figure) + 1, memory_order_relaxed);
#else
  ++*(uint64_t*)(void*)figure;
#endif
}

static inline void figure_subtract(atomic_u64_t* figure, uint64_t amount) { figure_add(figure, 0 - amount); }

static inline void figure_raise(atomic_u64_t* figure, uint64_t value) {
  if (!STATISTICS) return;
  uint64_t now = load_settled(figure);
  while (now < value && !atomic_compare_exchange_weak_explicit(figure, &now, value, memory_order_relaxed,
                                                               memory_order_relaxed)) {
  }
}

static inline void figure_set(atomic_u64_t* figure, uint64_t value) {
  atomic_store_explicit(figure, value, memory_order_relaxed);
}
