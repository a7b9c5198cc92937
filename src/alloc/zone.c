/* SPDX-License-Identifier: MIT */

#include <errno.h>

#include "alloc/alloc.h"
#include "base/atomics.h"
#include "core/diagnostics.h"
#include "os/os.h"

enum { ZONE_STEP = 16, ZONE_BLOCKS = 1 << 20, ZONE_TRIES = 64 };

static atomic_word_t zone_base;                  /* its start, 0: not needed yet */
static atomic_u64_t zone_live[ZONE_BLOCKS / 64]; /* one bit per block */
static atomic_word_t zone_next;

static uintptr_t zone_start(void) {
  uintptr_t start = load_acquire(&zone_base);
  if (start != 0) return start;
  void* const fresh = os_reserve((size_t)ZONE_BLOCKS * ZONE_STEP, SEGMENT_SIZE);
  if (fresh != NULL && cas_strong_acq_rel(&zone_base, &start, (uintptr_t)fresh)) return (uintptr_t)fresh;
  if (fresh != NULL) os_unmap(fresh, (size_t)ZONE_BLOCKS * ZONE_STEP);
  return start;
}

void* zone_alloc(void) {
  const uintptr_t start = zone_start();
  for (int i = 0; i < ZONE_TRIES && start != 0; i++) {
    const size_t at = add_relaxed(&zone_next, 1) % ZONE_BLOCKS;
    const uint64_t bit = UINT64_C(1) << at % 64;
    if ((or_acq_rel(&zone_live[at / 64], bit) & bit) == 0) return (void*)(start + at * ZONE_STEP);
  }
  return NULL;
}

bool zone_holds(const void* p) {
  const uintptr_t start = load_relaxed(&zone_base);
  return start != 0 && (uintptr_t)p - start < (uintptr_t)ZONE_BLOCKS * ZONE_STEP;
}

/* The bit of a block, cleared by `clear`; false: p is none, or none that lives. */
static bool zone_take(const void* p, uint64_t clear) {
  const size_t at = ((uintptr_t)p - load_relaxed(&zone_base)) / ZONE_STEP;
  const uint64_t bit = UINT64_C(1) << at % 64;
  return (uintptr_t)p % ZONE_STEP == 0 && (and_acq_rel(&zone_live[at / 64], ~(bit & clear)) & bit) != 0;
}

bool zone_is_live(const char* verb, const void* p) {
  if (zone_take(p, 0)) return true;
  report_misuse(EAGAIN, "%s of %p: no live block of size 0; it was freed before (double free?)", verb, p);
  return false;
}

void zone_free(void* p) {
  if (!zone_take(p, ~UINT64_C(0))) zone_is_live("free", p);
}
