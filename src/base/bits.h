/* SPDX-License-Identifier: MIT */
/* Integer arithmetic: alignment, bit scans, runs of bits, overflow. */
#pragma once

#include "base/config.h"

static inline bool is_power_of_two(size_t x) { return x != 0 && (x & (x - 1)) == 0; }

static inline size_t align_down(size_t x, size_t power) { return x & ~(power - 1); }

/* Wraps on overflow: callers bound x by ALLOC_SIZE_MAX first. */
static inline size_t align_up(size_t x, size_t power) { return (x + power - 1) & ~(power - 1); }

static inline size_t div_up(size_t x, size_t y) { return (x + y - 1) / y; }

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* Index of the lowest / highest set bit; x != 0. */
static inline unsigned bit_lowest(uint64_t x) { return (unsigned)__builtin_ctzll(x); }
static inline unsigned bit_highest(uint64_t x) { return 63u - (unsigned)__builtin_clzll(x); }
static inline unsigned bit_count(uint64_t x) { return (unsigned)__builtin_popcountll(x); }

/* The bits first .. first+count-1; 1 <= count, first+count <= 64. */
static inline uint64_t bit_range(unsigned first, unsigned count) {
  return (~UINT64_C(0) >> (64 - count)) << first;
}

/* Bit i of the result is set when bits i .. i+count-1 of x all are; 1 <= count <= 64. */
static inline uint64_t bit_runs(uint64_t x, unsigned count) {
  unsigned have = 1;
  while (have < count && x != 0) {
    const unsigned step = have < count - have ? have : count - have;
    x &= x >> step;
    have += step;
  }
  return x;
}

/* Returns true, and the product in *total, unless it overflows. */
static inline bool mul_fits(size_t count, size_t size, size_t* total) {
  return !__builtin_mul_overflow(count, size, total);
}

/* The product, or a size that no block can have. */
static inline size_t product(size_t count, size_t size) {
  size_t total;
  return mul_fits(count, size, &total) ? total : SIZE_MAX;
}
