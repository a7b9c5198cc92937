/* SPDX-License-Identifier: MIT */
/* Holes in pages: which OS pages go, that no live block is touched, that the blocks come back one hole at a
   time, and that everybody who asks about a block of a hole hears that it is free. */
#include "unit/page_support.h"

#include <sys/mman.h>

#include "os/os.h"
#include "page/holes.h"

/* 512: blocks fill OS pages evenly; 640: they straddle them; 12 KiB: a block holds several. */
static const size_t sizes[] = {512, 640, 1152, 4096, 12 * KiB};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]), PATTERNS = 40 };

static page_t* full_page(size_t size) {
  page_t* const page = test_page(bin_of(size));
  store_relaxed(&page->owner_tag, TAG_UNIT);
  take_all(page);
  for (size_t i = 0; i < page->reserved; i++) memset(test_block(page, i), (int)i + 1, size);
  return page;
}

static bool holds(const page_t* page, size_t index, size_t size) {
  const unsigned char* const bytes = (const unsigned char*)test_block(page, index);
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != (unsigned char)(index + 1)) return false;
  }
  return true;
}

static size_t resident_bytes(const page_t* page) {
  unsigned char map[PAGE_SLICES_MAX * 16];
  const size_t size = page->slices * (size_t)SLICE_SIZE;
  size_t bytes = 0;
  must(mincore(page_start(page), size, map) == 0);
  for (size_t i = 0; i < size / os_page_size(); i++) bytes += (map[i] & 1) != 0 ? os_page_size() : 0;
  return bytes;
}

/* OS pages, carved to their end, without a live block. */
static size_t free_bytes(const page_t* page, const bool* live) {
  size_t bytes = 0;
  for (size_t start = 0; start < page->slices * (size_t)SLICE_SIZE; start += os_page_size()) {
    bool any = start / page->stride >= page->reserved;
    for (size_t i = 0; i < page->reserved; i++) {
      const bool overlaps = i * page->stride < start + os_page_size() && (i + 1) * page->stride > start;
      any |= overlaps && live[i];
    }
    bytes += any ? 0 : os_page_size();
  }
  return bytes;
}

static void free_at_random(page_t* page, bool* live, uint64_t* random, unsigned one_in) {
  for (size_t i = 0; i < page->reserved; i++) {
    live[i] = next_random(random) % one_in == 0;
    if (!live[i]) page_push_local(page, test_block(page, i));
  }
}

static void what_is_free_goes_and_what_lives_stays(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  uint64_t random = 11;
  bool live[SLICE_SIZE / 8];
  for (size_t n = 0; n < SIZES * PATTERNS; n++) {
    const size_t size = sizes[n % SIZES];
    page_t* const page = full_page(size);
    free_at_random(page, live, &random, (unsigned)(2 + n / SIZES));
    const size_t expected = free_bytes(page, live);
    const size_t before = resident_bytes(page);
    assert_int_equal(page_make_holes(page), expected);
    assert_int_equal(resident_bytes(page), before - expected);
    assert_true(page_is_valid(page));
    for (size_t i = 0; i < page->reserved; i++) {
      assert_true(!live[i] || (holds(page, i, size) && !page_block_is_holed(page, test_block(page, i))));
      assert_true(live[i] ||
                  page_block_is_holed(page, test_block(page, i)) != lists_block(page, test_block(page, i)));
    }
    assert_int_equal(page_make_holes(page), 0); /* nothing more to give */
    drop_test_page(page);
  }
}

/* More pages than fit in one batch: nothing is dropped twice, or forgotten. */
static void holes_of_many_pages_go_together(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  enum { PAGES = 60, SIZE = 512 };
  static bool live[PAGES][SLICE_SIZE / 8];
  page_t* pages[PAGES];
  uint64_t random = 3;
  size_t expected = 0, before = 0, after = 0;
  holes_t holes;
  holes.count = 0;
  for (size_t n = 0; n < PAGES; n++) {
    pages[n] = full_page(SIZE);
    free_at_random(pages[n], live[n], &random, 20);
    expected += free_bytes(pages[n], live[n]);
    before += resident_bytes(pages[n]);
  }
  page_open_holes(pages[0], &holes);
  assert_true(holes.count > 0);
  for (size_t n = 1; n < PAGES; n++) page_open_holes(pages[n], &holes);
  holes_drop(&holes);
  assert_int_equal(holes_drop(&holes), 0);
  for (size_t n = 0; n < PAGES; n++) {
    after += resident_bytes(pages[n]);
    assert_true(page_is_valid(pages[n]));
    for (size_t i = 0; i < pages[n]->reserved; i++) assert_true(!live[n][i] || holds(pages[n], i, SIZE));
    drop_test_page(pages[n]);
  }
  assert_int_equal(before - after, expected);
}

static void blocks_come_back_hole_by_hole(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  uint64_t random = 5;
  bool live[SLICE_SIZE / 8];
  for (size_t n = 0; n < SIZES; n++) {
    const size_t size = sizes[n];
    page_t* const page = full_page(size);
    free_at_random(page, live, &random, 20);
    page_make_holes(page);
    const size_t resident = resident_bytes(page);
    if (page->holed > 0) {
      while (page->free != NULL) memset(page_pop(page), 0xEE, size);
      assert_int_equal(resident_bytes(page), resident);
      assert_true(page_refill(page));
      assert_true(resident_bytes(page) <=
                  resident + div_up(size, os_page_size()) * os_page_size() + 2 * os_page_size());
    }
    while (page_refill(page)) {
      while (page->free != NULL) memset(page_pop(page), 0xEE, size);
      assert_true(page_is_valid(page));
    }
    assert_true(page->holed == 0 && page_used(page) == page->reserved);
    for (size_t i = 0; i < page->reserved; i++) assert_true(!live[i] || holds(page, i, size));
    drop_test_page(page);
  }
}

/* Freed again after a first visit: the second one takes the rest. */
static void holes_grow(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  uint64_t random = 3;
  bool live[SLICE_SIZE / 8];
  page_t* const page = full_page(512);
  free_at_random(page, live, &random, 4);
  size_t given = page_make_holes(page);
  for (size_t i = 0; i < page->reserved; i++) {
    if (live[i] && i % 16 != 3) {
      page_push_local(page, test_block(page, i));
      live[i] = false;
    }
  }
  const size_t all = free_bytes(page, live);
  given += page_make_holes(page);
  assert_int_equal(given, all);
  assert_true(page_is_valid(page));
  drop_test_page(page);
}

/* Who looks from outside, and a forked child that rebuilds the page, knows the blocks of holes for free. */
static void lookers_know(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  uint64_t random = 9;
  bool live[SLICE_SIZE / 8];
  page_look_t look;
  for (size_t n = 0; n < SIZES; n++) {
    page_t* const page = full_page(sizes[n]);
    free_at_random(page, live, &random, 10);
    page_make_holes(page);
    page_look(page, &look);
    size_t living = 0;
    for (size_t i = 0; i < page->reserved; i++) {
      living += live[i];
      assert_true(page_look_is_listed(&look, i) == !live[i]);
    }
    assert_int_equal(page_live_blocks(page), living);
    page_rebuild(page);
    assert_true(page->holed == 0 && page_is_valid(page));
    assert_int_equal(test_list_length(page, page->free), page->reserved - living);
    drop_test_page(page);
  }
}

static void a_failing_system(void** unused) {
  UNUSED(unused);
  SKIP_SANITIZED();
  page_t* const page = full_page(512);
  if (mlock(page_start(page), os_page_size()) != 0) skip(); /* a container that may not lock memory */
  for (size_t i = 1; i < page->reserved; i++) page_push_local(page, test_block(page, i));
  page_make_holes(page); /* the first OS page lives, and the call for the others may fail: nothing is lost */
  take_all(page);
  assert_true(page_is_valid(page));
  assert_int_equal(munlock(page_start(page), os_page_size()), 0);
  drop_test_page(page);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_free_goes_and_what_lives_stays),
      cmocka_unit_test(holes_of_many_pages_go_together),
      cmocka_unit_test(blocks_come_back_hole_by_hole),
      cmocka_unit_test(holes_grow),
      cmocka_unit_test(lookers_know),
      cmocka_unit_test(a_failing_system),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
