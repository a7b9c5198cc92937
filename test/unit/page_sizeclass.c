/* SPDX-License-Identifier: MIT */
/* Size classes, exhaustively: every request up to 1 MiB, every bin, every block of a page of every bin. */
#include "unit/page_support.h"

#include "mimalloc.h"
#include "os/os.h"

enum { LARGEST = 1024 * 1024, LAST_ABOVE_EIGHTH = 113 };

/* The waste of a block is at most an eighth of the request; where the alignment to 16 bytes forbids that, the
   block is the next multiple of 16.  Those sizes end at 113 (whose block has 128 bytes). */
static void waste_is_bounded(void** unused) {
  UNUSED(unused);
  size_t above_eighth = 0;
  for (size_t size = 1; size <= LARGEST; size++) {
    const size_t block = mi_good_size(size);
    assert_true(block >= size);
    const bool within = (block - size) * 8 <= size;
    if (!within && size > 64) {
      assert_int_equal(block, align_up(size, 16));
      above_eighth = size;
    }
    if (size <= 64) assert_int_equal(block, align_up(size, 16));
  }
  assert_int_equal(above_eighth, LAST_ABOVE_EIGHTH);
}

static void bins_are_monotone_and_inverse(void** unused) {
  UNUSED(unused);
  unsigned last = 0;
  for (size_t size = 1; size <= MEDIUM_BLOCK_MAX; size++) {
    const unsigned bin = bin_of(size);
    assert_true(bin == last || bin == last + 1);
    assert_true(bin_size(bin) >= size);
    assert_true(bin == 0 || bin_size(bin - 1) < size);
    last = bin;
  }
  assert_int_equal(last, BIN_COUNT - 1);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    assert_int_equal(bin_of(bin_size(bin)), bin);
    if (bin > 0) assert_true(bin_size(bin) > bin_size(bin - 1));
  }
  assert_int_equal(bin_size(BIN_COUNT - 1), MEDIUM_BLOCK_MAX);
}

static void classes_per_doubling(void** unused) {
  UNUSED(unused);
  for (size_t low = 128; low < MEDIUM_BLOCK_MAX; low *= 2) {
    assert_int_equal(bin_of(2 * low) - bin_of(low), 8);
  }
}

static void tails_are_small(void** unused) {
  UNUSED(unused);
  size_t longest = 0;
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    const size_t bytes = bin_page_slices(bin) * SLICE_SIZE;
    const size_t tail = bytes % bin_stride(bin);
    if (tail * 25 > bytes)
      print_error("bin %u (%zu bytes): tail of %zu in %zu\n", bin, bin_size(bin), tail, bytes);
    assert_true(tail * 25 <= bytes);
    longest = max_size(longest, bin_page_slices(bin));
    assert_true(bytes / bin_stride(bin) <= UINT16_MAX);
  }
  assert_int_equal(longest, 12); /* what doc/design.md says */
}

/* Strides above SMALL_BLOCK_MAX are odd multiples of a cache line: neighbours differ in their cache sets. */
static void big_strides_avoid_powers_of_two(void** unused) {
  UNUSED(unused);
  for (unsigned bin = bin_of(SMALL_BLOCK_MAX + 1); bin < BIN_COUNT; bin++) {
    assert_int_equal(bin_stride(bin) % CACHE_LINE, 0);
    assert_int_equal(bin_stride(bin) / CACHE_LINE % 2, 1);
  }
}

/* What the fast path of free trusts: x is the start of a carved block exactly when x * reciprocal < bound,
   for all offsets in the first slice and however much is carved; and page_is_block accepts the block starts
   and nothing else. */
static void block_starts_are_known(void** unused) {
  UNUSED(unused);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    page_t* const page = test_page(bin);
    const size_t carved = page_capacity(page);
    const size_t capacities[] = {0, 1, 2, page->reserved / 2u, page->reserved - 1u, page->reserved};
    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
      page_set_capacity(page, capacities[i]);
      for (uint64_t offset = 0; offset < SLICE_SIZE; offset++) {
        const bool start = offset % page->stride == 0 && offset / page->stride < capacities[i];
        assert_true((offset * page->reciprocal < page->bound) == start);
      }
    }
    page_set_capacity(page, carved);
    const size_t bytes = page_slice_count(page) * SLICE_SIZE;
    size_t starts = 0;
    for (size_t offset = 0; offset < bytes; offset++)
      starts += page_is_block(page, page_start(page) + offset);
    assert_int_equal(starts, page->reserved);
    assert_int_equal(starts, bytes / bin_stride(bin));
    drop_test_page(page);
  }
}

/* Blocks of at least 16 bytes are aligned to 16, and to the largest power of two (up to a cache line) that
   divides their class. */
static void blocks_are_aligned(void** unused) {
  UNUSED(unused);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    const size_t size = bin_size(bin);
    const size_t power = min_size(size & (0 - size), CACHE_LINE);
    void* blocks[40];
    for (int i = 0; i < 40; i++) {
      blocks[i] = mi_malloc(size);
      assert_non_null(blocks[i]);
      assert_int_equal((uintptr_t)blocks[i] % power, 0);
      assert_int_equal(mi_usable_size(blocks[i]), size);
    }
    assert_true(size == 8 || power >= 16);
    for (int i = 0; i < 40; i++) mi_free(blocks[i]);
  }
}

static void big_blocks_are_whole_os_pages(void** unused) {
  UNUSED(unused);
  for (size_t size = MEDIUM_BLOCK_MAX + 1; size <= LARGEST; size += 4099) {
    void* const p = mi_malloc(size);
    assert_non_null(p);
    assert_int_equal(mi_usable_size(p), align_up(size, os_page_size()));
    assert_int_equal(mi_usable_size(p), mi_good_size(size));
    mi_free(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(waste_is_bounded),
      cmocka_unit_test(bins_are_monotone_and_inverse),
      cmocka_unit_test(classes_per_doubling),
      cmocka_unit_test(tails_are_small),
      cmocka_unit_test(big_strides_avoid_powers_of_two),
      cmocka_unit_test(block_starts_are_known),
      cmocka_unit_test(blocks_are_aligned),
      cmocka_unit_test(big_blocks_are_whole_os_pages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
