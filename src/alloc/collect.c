/* SPDX-License-Identifier: MIT */
/* Maintenance on request, and the user's deferred frees.

   The callback runs while the thread is ready (not busy), so it may allocate and free like any code; while it
   runs it is not called again. */

#include <errno.h>

#include "alloc/alloc.h"
#include "core/diagnostics.h"
#include "heap/fenced.h"
#include "core/hook.h"
#include "memory/purge.h"

static hook_t deferred_hook;

EXPORT void mi_register_deferred_free(mi_deferred_free_fun* deferred_free, void* arg) {
  hook_set(&deferred_hook, (hook_function_t*)deferred_free, arg);
}

void alloc_cadence(cadence_t cadence) {
  thread_t* const self = thread_self;
  if (self == NULL || load_relaxed(&self->busy) != 0) return;
  store_relaxed(&self->heartbeat, load_relaxed(&self->heartbeat) + 1);
  const hook_pair_t hook = hook_get(&deferred_hook);
  if (likely(hook.function == NULL) || self->in_deferred) return;
  self->in_deferred = 1;
  ((mi_deferred_free_fun*)hook.function)(cadence == CADENCE_FORCED, load_relaxed(&self->heartbeat),
                                         hook.argument);
  self->in_deferred = 0;
}

static void collect_part(heap_part_t* part, collect_t what) {
  part_drain(part);
  part_collect(part, what);
  abandoned_sweep(part->heap, what);
  check(part_is_valid(part));
}

static void collect_record(thread_t* record, collect_t what) {
  thread_settle(record);
  for (heap_part_t* part = record->parts; part != NULL; part = part->sibling) collect_part(part, what);
}

void alloc_collect(cadence_t cadence) {
  if (SECURE_FULL && cadence == CADENCE_FORCED) free_parked();
  if (cadence == CADENCE_FORCED) fenced_collect();
  thread_t* const self = thread_enter();
  if (self == NULL) return;
  const collect_t what = cadence == CADENCE_FORCED ? COLLECT_HOLES : COLLECT_PAGES;
  collect_record(self, what);
  /* What the thread allocated while it was busy, or held, lies in pages that it rarely comes to. */
  for (thread_t* nested = self->nested; nested != NULL; nested = nested->nested) {
    if (!thread_try_busy(nested)) continue;
    collect_record(nested, what);
    thread_not_busy(nested);
  }
  if (cadence == CADENCE_FORCED) purge_all();
  else purge_due();
  thread_leave(self);
}

COLD void alloc_collect_by_count(long every) {
  thread_t* const self = thread_self;
  if (self != NULL && load_relaxed(&self->heartbeat) % (uint64_t)every == 0) alloc_collect(CADENCE_NORMAL);
}

size_t memory_trim(void) {
  thread_check_fork();
  alloc_cadence(CADENCE_FORCED);
  const uint64_t before = load_relaxed(&memory_counters.purged);
  alloc_collect(CADENCE_FORCED);
  const size_t bytes = (size_t)(load_relaxed(&memory_counters.purged) - before);
  report_verbose("trim: %zu bytes given back", bytes);
  return bytes;
}

EXPORT void mi_collect(bool force) {
  KEEP_ERRNO;
  thread_begin();
  alloc_cadence(force ? CADENCE_FORCED : CADENCE_NORMAL);
  alloc_collect(force ? CADENCE_FORCED : CADENCE_NORMAL);
}

EXPORT void mi_collect_reduce(NOT_USED size_t target_thread_owned) { mi_collect(true); }

EXPORT void mi_heap_collect(mi_heap_t* heap, bool force) {
  KEEP_ERRNO;
  thread_begin();
  alloc_cadence(force ? CADENCE_FORCED : CADENCE_NORMAL);
  thread_t* const self = thread_enter();
  if (self != NULL) {
    heap_part_t* const part = thread_find_part(self, heap != NULL ? heap : thread_main_heap());
    if (part != NULL) collect_part(part, force ? COLLECT_HOLES : COLLECT_PAGES);
    if (force) purge_all();
    thread_leave(self);
  }
}
