/* SPDX-License-Identifier: MIT */
/* Threads that sleep cannot give back what others free into their pages: the scavenger does it for them.

   A thread whose heartbeat has stood still for a purge delay is held (the states are in thread.h), its part
   of the main heap is looked through (heap/idle.c), and it is let go.  If it wakes up meanwhile it allocates
   with a nested record and frees by remote pushes: nobody waits.  Only the main heap: it is never destroyed
   under the holder.

   Records are type-stable and stay in the registry for ever; one in the pool is busy, so it is never held. In
   a forked child the records of threads that have not come over keep an old generation, and so does that of
   the one that has until it knows whether the parent's scavenger held it: not to be touched. */
#include "memory/purge.h"
#include "memory/scavenger.h"
#include "os/os.h"
#include "thread/thread.h"

/* Thread sanitizers do not see barriers that one thread makes for another. */
enum { BARRIERS_ARE_KNOWN = !THREAD_SANITIZER };

enum { BATCH = 32 };

typedef struct batch_s {
  size_t count;
  thread_t* records[BATCH];
} batch_t;

static atomic_word_t all_records;

void thread_register(thread_t* record) {
  uintptr_t head = load_relaxed(&all_records);
  record->registered = 1;
  do {
    record->all_next = (thread_t*)head;
  } while (!cas_weak_acq_rel(&all_records, &head, (uintptr_t)record)); /* release: partner in the look */
}

void thread_visit_parts(part_visit_t* visit, void* arg) {
  for (thread_t* record = (thread_t*)load_acquire(&all_records); record != NULL; record = record->all_next) {
    for (heap_part_t* part = record->parts; part != NULL; part = part->sibling) visit(part, arg);
  }
}

size_t thread_count(const heap_t* main) {
  const uint64_t generation = thread_generation();
  size_t count = 0;
  for (thread_t* record = (thread_t*)load_acquire(&all_records); record != NULL; record = record->all_next) {
    /* In the pool, nested, or of a thread that did not come over into this child? */
    if (record->parts == NULL || record->outer != NULL) continue;
    if (load_relaxed(&record->generation) != generation) continue;
    const heap_t* const of = heap_subprocess(record->main_heap);
    count += (of != NULL ? of : &heap_main) == main;
  }
  return count;
}

static heap_part_t* main_part(const thread_t* record) {
  heap_part_t* part = record->parts;
  while (part != NULL && part->heap != &heap_main) part = part->sibling;
  return part;
}

static void let_go(thread_t* record) {
  uint32_t held = HELD;
  if (cas_strong_acq_rel(&record->held, &held, HELD_FREE)) return;
  store_release(&record->held, HELD_FREE); /* handed over: its thread has gone */
  thread_end_record(record);
}

/* Keep only records that are really held: their threads were in no slow path after the barrier. */
static void drop_busy(batch_t* batch) {
  size_t kept = 0;
  for (size_t i = 0; i < batch->count; i++) {
    thread_t* const record = batch->records[i];
    /* acquire: partner of thread_not_busy */
    if (load_acquire(&record->busy) == 0) batch->records[kept++] = record;
    else let_go(record);
  }
  batch->count = kept;
}

static void tidy(batch_t* batch) {
  bool marked = false;
  for (size_t i = 0; i < batch->count; i++) store_relaxed(&batch->records[i]->held, HELD);
  if (os_barrier_everywhere() == 0) {
    drop_busy(batch);
    for (size_t i = 0; i < batch->count; i++) {
      heap_part_t* const part = main_part(batch->records[i]);
      if (part != NULL) marked |= part_idle_look(part);
    }
    if (marked && os_barrier_everywhere() == 0) {
      for (size_t i = 0; i < batch->count; i++) {
        heap_part_t* const part = main_part(batch->records[i]);
        if (part != NULL) part_idle_release(part);
      }
    }
  }
  for (size_t i = 0; i < batch->count; i++) let_go(batch->records[i]);
  batch->count = 0;
}

static bool has_been_idle(thread_t* record, long elapsed) {
  const uint64_t beat = load_relaxed(&record->heartbeat);
  if (beat != record->idle_beat || load_relaxed(&record->busy) != 0) record->idle_ms = 0;
  else if (record->idle_ms < purge_delay()) record->idle_ms += elapsed;
  record->idle_beat = beat;
  return load_relaxed(&record->busy) == 0 && record->idle_ms >= purge_delay();
}

void thread_tidy_idle(long elapsed) {
  batch_t batch = {0};
  const uint64_t generation = thread_generation();
  for (thread_t* record = (thread_t*)load_acquire(&all_records); record != NULL; record = record->all_next) {
    if (load_acquire(&record->generation) != generation || !has_been_idle(record, elapsed)) continue;
    batch.records[batch.count++] = record;
    if (batch.count == BATCH) tidy(&batch);
  }
  if (batch.count > 0) tidy(&batch);
  abandoned_tidy(&heap_main);
}

void thread_watch_idle(void) {
  if (BARRIERS_ARE_KNOWN) scavenger_set_job(thread_tidy_idle);
}
