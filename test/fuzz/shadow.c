/* SPDX-License-Identifier: MIT */
#include "fuzz/shadow.h"

#include "report/statistics.h"

item_t items[ITEMS];

/* Up to 16 KiB every byte counts, of more the first and last 4 KiB and some between. */
static size_t step(size_t at, size_t size) {
  return size <= 16 * KIB || at < 4 * KIB || at + 4 * KIB >= size ? at + 1 : at + 1021;
}

static unsigned char content(const item_t* item, size_t at) {
  return (unsigned char)(item->serial * 37 + (at >> 3) * 11 + at + 1);
}

static void check_zero(const unsigned char* p, size_t from, size_t to) {
  for (size_t i = from; i < to; i = step(i, to))
    CHECK(p[i] == 0, "block %p: byte %zu is %u instead of zero (checked %zu..%zu)", (const void*)p, i, p[i],
          from, to);
}

void item_place(item_t* item, void* p, size_t size, mi_heap_t* heap) {
  const size_t usable = mi_usable_size(p);
  CHECK(usable >= size, "block %p: %zu usable bytes, %zu asked for", p, usable, size);
  for (const item_t* other = items; other < items + ITEMS; other++) {
    if (other->p == NULL || other == item) continue;
    CHECK((uintptr_t)p + usable <= (uintptr_t)other->p ||
              (uintptr_t)other->p + mi_usable_size(other->p) <= (uintptr_t)p,
          "block %p of %zu bytes overlaps block %p of %zu", p, usable, (void*)other->p, other->size);
  }
  CHECK(mi_heap_of(p) == heap, "block %p belongs to heap %p, not %p", p, (void*)mi_heap_of(p), (void*)heap);
  CHECK(mi_heap_contains(heap, p), "heap %p does not contain its block %p", (void*)heap, p);
  item->p = (unsigned char*)p;
  item->size = size;
  item->heap = heap;
  if (item->zeroed) check_zero(item->p, item->filled, usable);
}

void item_fill(item_t* item) {
  static uint64_t serial;
  const size_t usable = mi_usable_size(item->p);
  item->filled = item->zeroed ? item->size : usable;
  item->serial = ++serial;
  for (size_t i = 0; i < item->filled; i = step(i, item->filled)) item->p[i] = content(item, i);
}

void item_verify_at(const item_t* item, const void* p, size_t checked) {
  const unsigned char* const bytes = (const unsigned char*)p;
  for (size_t i = 0; i < checked; i = step(i, item->filled))
    CHECK(bytes[i] == content(item, i), "block %p (was %p, %zu bytes): byte %zu is %u instead of %u", p,
          (void*)item->p, item->size, i, bytes[i], content(item, i));
}

void item_verify(const item_t* item) {
  item_verify_at(item, item->p, item->filled);
  if (item->zeroed) check_zero(item->p, item->filled, mi_usable_size(item->p));
  CHECK(mi_heap_of(item->p) == item->heap, "block %p changed its heap", (void*)item->p);
}

void item_free(item_t* item) {
  item_verify(item);
  void* const p = item->p;
  *item = (item_t){.p = NULL};
  errno = 77;
  switch ((uintptr_t)p >> 4 & 3) {
  case 0: mi_ufree(p, NULL); break;
  case 1: CHECK(mi_cfree(p), "cfree refuses block %p", p); break;
  default: mi_free(p); break;
  }
  CHECK(errno == 77, "free sets errno to %d", errno);
}

size_t items_bytes(void) {
  size_t bytes = 0;
  for (const item_t* item = items; item < items + ITEMS; item++) bytes += mi_usable_size(item->p);
  return bytes;
}

void items_compare_statistics(bool exactly) {
  static stats_snapshot_t stats;
  size_t blocks = 0;
  for (const item_t* item = items; item < items + ITEMS; item++) blocks += item->p != NULL;
  stats_snapshot(&stats);
  CHECK(exactly ? stats.live_blocks == blocks : stats.live_blocks >= blocks,
        "the statistics count %zu live blocks, there are %zu", stats.live_blocks, blocks);
  CHECK(exactly ? stats.live_bytes == items_bytes() : stats.live_bytes >= items_bytes(),
        "the statistics count %zu live bytes, there are %zu", stats.live_bytes, items_bytes());
}
