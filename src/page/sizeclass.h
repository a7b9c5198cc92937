/* SPDX-License-Identifier: MIT */
/* Size classes ("bins").

     bins 0 .. 7    16, 32, .. 128      multiples of 16: what the ABI asks of every block of 16 bytes and more
     bins 8 ..      8 per doubling      144, 160, .. 256, 288, .. 512, .. 32 KiB

   A request above 128 bytes wastes at most 1/8 of itself.  Between 65 and 113 bytes the ABI's alignment to 16
   costs up to 15 bytes, which is more than an eighth: those requests get the next multiple of 16, no more.

   The blocks of medium bins (above 8 KiB) stand 64 bytes further apart than their size, an odd number of
   cache lines, so that equal fields of neighbouring blocks fall into different cache sets. */
#pragma once

#include "base/bits.h"
#include "base/config.h"

enum {
  BIN_FIRST_SPACED = 8, BIN_COUNT = 8 + 8 * 8, /* 128 B .. 32 KiB: 8 doublings of 8 */
  PAGE_SLICES_MAX = 16,
};

/* The bin of a request of `size` <= MEDIUM_BLOCK_MAX bytes. */
static inline unsigned bin_of(size_t size) {
  if (size <= 128) return (unsigned)((size - (size > 0)) >> 4);
  const unsigned power = bit_highest(size - 1);
  return BIN_FIRST_SPACED + (power - 7) * 8 + (unsigned)(((size - 1) >> (power - 3)) & 7);
}

/* The usable size of the blocks of a bin. */
static inline size_t bin_size(unsigned bin) {
  if (bin < BIN_FIRST_SPACED) return (size_t)(bin + 1) << 4;
  const unsigned step = bin - BIN_FIRST_SPACED;
  return (size_t)(9 + (step & 7)) << (4 + step / 8);
}

/* The distance between the blocks of a bin. */
static inline size_t bin_stride(unsigned bin) {
  const size_t size = bin_size(bin);
  return size <= SMALL_BLOCK_MAX ? size : size + CACHE_LINE;
}

/* How many slices a page of the bin takes: the fewest whose unused tail is at most 4 %. */
static inline size_t bin_page_slices(unsigned bin) {
  const size_t stride = bin_stride(bin);
  size_t slices = 1;
  while (slices < PAGE_SLICES_MAX && (slices * SLICE_SIZE) % stride > slices * SLICE_SIZE / 25) slices++;
  return slices;
}
