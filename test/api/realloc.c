/* SPDX-License-Identifier: MIT */
/* What a realloc promises beyond the contents: the alignment asked for, whatever the block had before, and
   zeros in every byte that a zeroing one regains, also where the block is shrunk and grown in place.  All
   calls go through volatile pointers: a compiler that knows the attributes of a function takes the
   alignment of its result for granted and folds the test. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <mimalloc.h>

enum { KIB = 1024, MIB = 1024 * 1024, BLOCKS = 64, STEPS_MAX = 8 };

static void* (*volatile call_realloc_aligned)(void*, size_t, size_t) = &mi_realloc_aligned;
static void* (*volatile call_realloc_aligned_at)(void*, size_t, size_t, size_t) = &mi_realloc_aligned_at;
static void* (*volatile call_rezalloc_aligned)(void*, size_t, size_t) = &mi_rezalloc_aligned;
static void* (*volatile call_heap_realloc_aligned)(mi_heap_t*, void*, size_t, size_t) =
    &mi_heap_realloc_aligned;
static void* (*volatile call_malloc)(size_t) = &mi_malloc;
static void (*volatile call_free)(void*) = &mi_free;

/* An address as a number that the compiler knows nothing about. */
static uintptr_t address_of(const void* p) {
  const void* volatile copy = p;
  return (uintptr_t)copy;
}

typedef enum resizer_e { PLAIN, AT_OFFSET, ZEROING, IN_HEAP, RESIZERS } resizer_t;

static void* resize_as(resizer_t how, mi_heap_t* heap, void* p, size_t size, size_t alignment) {
  switch (how) {
    case PLAIN: return call_realloc_aligned(p, size, alignment);
    case AT_OFFSET: return call_realloc_aligned_at(p, size, alignment, 2 * alignment);
    case ZEROING: return call_rezalloc_aligned(p, size, alignment);
    default: return call_heap_realloc_aligned(heap, p, size, alignment);
  }
}

/* Several blocks, because by chance one is aligned to twice its size. */
static void expect_aligned_after(resizer_t how, size_t before, size_t size, size_t alignment) {
  mi_heap_t* heap = mi_heap_new();
  unsigned char* blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) {
    blocks[i] = call_malloc(before);
    assert_non_null(blocks[i]);
    memset(blocks[i], (int)i, before);
  }
  for (size_t i = 0; i < BLOCKS; i++) {
    unsigned char* const p = resize_as(how, heap, blocks[i], size, alignment);
    assert_non_null(p);
    if (address_of(p) % alignment != 0)
      fail_msg("kind %d, %zu bytes to %zu aligned to %zu: %p", (int)how, before, size, alignment, (void*)p);
    for (size_t k = 0; k < before && k < size; k++) assert_int_equal(p[k], i);
    blocks[i] = p;
  }
  for (size_t i = 0; i < BLOCKS; i++) call_free(blocks[i]);
  mi_heap_delete(heap);
}

static void realloc_gives_the_alignment(void** state) {
  (void)state;
  static const size_t sizes[] = {1, 8, 15, 16, 17, 24, 40, 100, 1000, 5000};
  enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
  for (int how = 0; how < RESIZERS; how++) {
    expect_aligned_after((resizer_t)how, 8, 8, 16);  /* equal: nothing need change but the place */
    expect_aligned_after((resizer_t)how, 16, 8, 16); /* less: would fit where it is */
    for (size_t from = 0; from < SIZES; from++) {
      for (size_t to = 0; to < SIZES; to++) {
        for (size_t alignment = 16; alignment <= 4096; alignment *= 4) {
          expect_aligned_after((resizer_t)how, sizes[from], sizes[to], alignment);
        }
      }
    }
  }
}

/* ---------- zeros ---------- */

static void* (*volatile call_rezalloc)(void*, size_t) = &mi_rezalloc;
static void* (*volatile call_recalloc)(void*, size_t, size_t) = &mi_recalloc;

static void* recalloc_bytes(void* p, size_t size) {
  return call_recalloc(p, size, 1);
}
static void* rezalloc_aligned_bytes(void* p, size_t size) {
  return call_rezalloc_aligned(p, size, 64);
}
static void* rezalloc_in_heap(void* p, size_t size) {
  return mi_heap_rezalloc(mi_heap_main(), p, size);
}

typedef void* (*regrow_t)(void* p, size_t size);

/* A block is resized through `sizes` (0 ends them) and wholly written each time, to the last byte that was
   asked for; what a step adds must be zero, what it keeps must stay. */
static void expect_zeros(regrow_t regrow, const size_t* sizes) {
  unsigned char* p = mi_zalloc(sizes[0]);
  assert_non_null(p);
  memset(p, 0xA5, sizes[0]);
  for (size_t i = 1; i < STEPS_MAX && sizes[i] != 0; i++) {
    p = regrow(p, sizes[i]);
    assert_non_null(p);
    for (size_t k = 0; k < sizes[i]; k++) {
      const unsigned char wanted = k < sizes[i - 1] ? 0xA5 : 0;
      if (p[k] != wanted) fail_msg("%zu -> %zu bytes: byte %zu is %02x", sizes[i - 1], sizes[i], k, p[k]);
    }
    memset(p, 0xA5, sizes[i]);
  }
  mi_free(p);
}

static void regained_bytes_are_zero(void** state) {
  (void)state;
  static const size_t plans[][STEPS_MAX] = {
      {200000, 50001, 53000},
      {200000, 50001, 53248, 60000, 200000},
      {10 * MIB, MIB + 1, MIB + 4096, 2 * MIB, 11 * MIB},
      {10 * MIB, 6 * MIB + 1, 6 * MIB + 100, 10 * MIB},
      {100000, 65537, 65600, 100000},
      {40000, 33000, 40000, 36000, 40960},
      {30000, 20000, 30000, 16000, 32000},
      {100, 60, 100, 10, 100, 3, 4, 100},
      {64, 33, 64, 40, 64, 32, 64},
      {8, 4, 8, 1, 16, 9, 16},
  };
  static const regrow_t ways[] = {&recalloc_bytes, &rezalloc_aligned_bytes, &rezalloc_in_heap};
  for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
    expect_zeros(call_rezalloc, plans[i]);
    for (size_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++) expect_zeros(ways[k], plans[i]);
  }
}

static size_t next_random(size_t* state, size_t below) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (*state >> 33) % below;
}

/* Random sizes, most of them near the last one, so that many steps happen in place. */
static void random_sizes_are_zero(void** state) {
  (void)state;
  size_t random = 1;
  for (int round = 0; round < 200; round++) {
    const size_t most = round % 4 == 0 ? 3 * MIB : round % 2 == 0 ? 150 * KIB : 5000;
    size_t plan[STEPS_MAX];
    for (size_t i = 0; i < STEPS_MAX; i++) {
      plan[i] = 1 + next_random(&random, most);
      if (i == 0 || next_random(&random, 3) == 0) continue;
      plan[i] = plan[i - 1] / 2 + next_random(&random, plan[i - 1]) + 1;
    }
    expect_zeros(call_rezalloc, plan);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(realloc_gives_the_alignment),
      cmocka_unit_test(regained_bytes_are_zero),
      cmocka_unit_test(random_sizes_are_zero),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
