/* SPDX-License-Identifier: MIT */
/* See pool.h.  CAS on head is acq_rel: release of a put pairs with acquire of the pop that
   takes the struct. */
#include "heap/pool.h"

#include "memory/meta.h"

enum { POOL_VERSION_BITS = 22, POOL_ALIGN_SHIFT = 6 };
#define POOL_VERSION_MASK ((UINT64_C(1) << POOL_VERSION_BITS) - 1)

static pool_link_t* pool_item(uint64_t head) {
  return (pool_link_t*)(uintptr_t)((head >> POOL_VERSION_BITS) << POOL_ALIGN_SHIFT);
}

static uint64_t pool_head(uint64_t item, uint64_t version) {
  return ((item >> POOL_ALIGN_SHIFT) << POOL_VERSION_BITS) | (version & POOL_VERSION_MASK);
}

void* pool_take(pool_t* pool) {
  uint64_t head = load_acquire(&pool->head);
  for (;;) {
    pool_link_t* const item = pool_item(head);
    if (item == NULL) return NULL;
    const uint64_t next = pool_head(load_relaxed(&item->next), head + 1);
    if (cas_weak_acq_rel(&pool->head, &head, next)) return item;
  }
}

void* pool_get(pool_t* pool, size_t size) {
  void* const item = pool_take(pool);
  return item != NULL ? item : meta_alloc(size);
}

void pool_put(pool_t* pool, void* struct_) {
  pool_link_t* const item = struct_;
  uint64_t head = load_relaxed(&pool->head);
  do {
    store_relaxed(&item->next, (uint64_t)(uintptr_t)pool_item(head));
  } while (!cas_weak_acq_rel(&pool->head, &head, pool_head((uint64_t)(uintptr_t)item, head)));
}
