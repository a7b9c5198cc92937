/* SPDX-License-Identifier: MIT */
/* The statistics as the public struct: include/mimalloc-stats.h says what each figure means.

   Peaks.  Nobody counts blocks while they come and go, but pages: a bin's blocks were never more than its
   pages at their peak had room for, nor were all bytes more than the slices claimed at their peak, nor more
   than the peaks of all sizes together, nor was anything more than its total.  After a reset, it was not
   more than what was live then and the total since. */
#include "heap/heap.h"
#include "memory/arena.h"
#include "memory/counters.h"
#include "mimalloc-stats.h"
#include "page/remote.h"
#include "report/statistics.h"
#include "thread/thread.h"

_Static_assert(BIN_COUNT <= MI_BIN_HUGE, "the public array has room for our bins");

static int64_t smaller(uint64_t a, uint64_t b) { return (int64_t)(a < b ? a : b); }

static mi_stat_count_t count_of(uint64_t total, int64_t peak, uint64_t current) {
  const int64_t now = (int64_t)current;
  return (mi_stat_count_t){(int64_t)total, peak > now ? peak : now, now};
}

static mi_stat_count_t count_level(level_t* level, uint64_t more) {
  const uint64_t current = figure_read(&level->current) + more;
  return count_of(figure_read(&level->total) + more, (int64_t)(figure_read(&level->peak) + more), current);
}

/* Of a bin: blocks in all its pages at their peak. */
static uint64_t room(unsigned bin) {
  return figure_read(&heap_pages[bin].peak) * (bin_page_slices(bin) * SLICE_SIZE / bin_stride(bin));
}

static void fill_bins(mi_stats_t* stats, const stats_snapshot_t* from) {
  mi_stat_count_t normal = {0, 0, 0};
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    const bin_snapshot_t* const b = &from->bins[bin];
    const int64_t size = (int64_t)bin_size(bin);
    mi_stat_count_t* const blocks = &stats->malloc_bins[bin];
    *blocks = count_of(b->served, smaller(b->served, room(bin)), b->blocks);
    normal.total += blocks->total * size;
    normal.peak += blocks->peak * size;
    normal.current += blocks->current * size;
    stats->malloc_normal_count.total += blocks->total;
    stats->page_bins[bin].current = (int64_t)b->pages;
  }
  const uint64_t peak = (uint64_t)normal.peak;
  stats->malloc_normal =
      count_of((uint64_t)normal.total, smaller(peak, from->memory.claimed_peak), (uint64_t)normal.current);
}

static void fill_blocks(mi_stats_t* stats, const stats_snapshot_t* from) {
  const uint64_t bytes = from->memory.claimed_peak;
  fill_bins(stats, from);
  stats->malloc_huge =
      count_of(from->huge_served_bytes, smaller(from->huge_served_bytes, bytes), from->huge_bytes);
  stats->malloc_huge_count.total = (int64_t)from->huge_served;
  stats->malloc_bins[MI_BIN_HUGE] =
      count_of(from->huge_served, smaller(from->huge_served, bytes / SLICE_SIZE), from->huge_blocks);
  stats->page_bins[MI_BIN_HUGE].current = (int64_t)from->huge_blocks;
  const int64_t peaks = stats->malloc_normal.peak + stats->malloc_huge.peak;
  stats->allocated = count_of(from->served_bytes, smaller((uint64_t)peaks, bytes), from->live_bytes);
  stats->malloc_count.total = (int64_t)from->served_blocks;
  stats->free_count.total = (int64_t)(from->served_blocks - from->live_blocks);
  stats->freed.total = (int64_t)(from->served_bytes - from->live_bytes);
  stats->pages.current = (int64_t)from->pages;
  stats->pages_abandoned.current = (int64_t)from->abandoned_pages;
  stats->page_committed.current = (int64_t)from->page_bytes;
}

static void fill_pages(mi_stats_t* stats, const stats_snapshot_t* from) {
  uint64_t total = from->huge_served;
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    mi_stat_count_t* const pages = &stats->page_bins[bin];
    *pages = count_of(figure_read(&heap_pages[bin].total), (int64_t)figure_read(&heap_pages[bin].peak),
                      (uint64_t)pages->current);
    total += (uint64_t)pages->total;
  }
  stats->page_bins[MI_BIN_HUGE] = stats->malloc_bins[MI_BIN_HUGE];
  stats->pages = count_of(total, smaller(total, from->memory.claimed_peak / SLICE_SIZE), from->pages);
}

static void add_part_counts(heap_part_t* part, void* arg) {
  uint64_t* const counts = arg;
  for (int i = 0; i < PART_COUNTS; i++) counts[i] += figure_read(&part->counts[i]);
}

static void fill_page_events(mi_stats_t* stats) {
  uint64_t counts[PART_COUNTS];
  for (int i = 0; i < PART_COUNTS; i++) counts[i] = figure_read(&heap_part_counts[i]);
  thread_visit_parts(add_part_counts, counts);
  const uint64_t successful = counts[PART_LOOKED_AT_FOUND] + counts[PART_LOOKED_AT_CARVED];
  stats->page_searches.total = (int64_t)(successful + counts[PART_LOOKED_AT_FULL]);
  stats->page_searches_count.total = (int64_t)successful;
  stats->pages_extended.total = (int64_t)counts[PART_LOOKED_AT_CARVED];
  stats->pages_retire.total = (int64_t)counts[PART_RETIRED];
  stats->pages_reclaim_on_alloc.total = (int64_t)counts[PART_CLAIMED];
  stats->pages_reclaim_on_free.total = (int64_t)counts[PART_CLAIMED_BY_FREE];
  stats->pages_reabandon_full.total = (int64_t)counts[PART_GIVEN_UP];
  stats->pages_abandoned =
      count_of(figure_read(&remote_abandoned.total), (int64_t)figure_read(&remote_abandoned.peak),
               (uint64_t)stats->pages_abandoned.current);
}

static void fill_process(mi_stats_t* stats, const stats_snapshot_t* from) {
  fill_pages(stats, from);
  fill_page_events(stats);
  for (const arena_t* arena = arena_newest(); arena != NULL; arena = arena->next) stats->arena_count.total++;
  stats->arena_purges.total = (int64_t)figure_read(&memory_counters.arena_purge_calls);
  stats->arena_rollback_count.total = (int64_t)figure_read(&memory_counters.rollbacks);
  stats->segments = count_of(from->memory.reserved / SEGMENT_SIZE, 0, from->memory.reserved / SEGMENT_SIZE);
  stats->reserved =
      count_of(from->memory.reserved, 0, from->memory.reserved); /* addresses are never returned */
  stats->committed = count_of(figure_read(&memory_counters.committed), (int64_t)from->memory.claimed_peak,
                              from->memory.claimed);
  stats->purged.total = (int64_t)from->memory.purged;
  stats->reset.total = (int64_t)figure_read(&memory_counters.reset);
  stats->reset_calls.total = (int64_t)figure_read(&memory_counters.reset_calls);
  stats->mmap_calls.total = (int64_t)from->memory.map_calls;
  stats->commit_calls.total = (int64_t)from->memory.commit_calls;
  stats->purge_calls.total = (int64_t)from->memory.purge_calls;
  stats->threads = count_of(figure_read(&thread_total), (int64_t)figure_read(&thread_peak), from->threads);
  stats->heaps = count_level(&heap_count, 1); /* and the main heap */
  stats->theaps = count_level(&heap_part_count, 0);
}

/* ---- since the last reset ---- */

/* Totals at the reset; written by mi_stats_reset, a word at a time. */
static mi_stats_t base;

typedef void total_visit_t(int64_t* total, int64_t* at_reset);

static void visit_totals(mi_stats_t* stats, total_visit_t* visit) {
#define MI_STAT_COUNT(name)   visit(&stats->name.total, &base.name.total);
#define MI_STAT_COUNTER(name) visit(&stats->name.total, &base.name.total);
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    visit(&stats->malloc_bins[bin].total, &base.malloc_bins[bin].total);
    visit(&stats->page_bins[bin].total, &base.page_bins[bin].total);
  }
}

static void keep_total(int64_t* total, int64_t* at_reset) {
  __atomic_store_n(at_reset, *total, __ATOMIC_RELAXED);
}

static void subtract_total(int64_t* total, int64_t* at_reset) {
  *total -= __atomic_load_n(at_reset, __ATOMIC_RELAXED);
}

typedef void count_visit_t(mi_stat_count_t* count, mi_stat_count_t* at_reset);

/* What has no peak of its own that a reset could begin anew. */
static void visit_derived(mi_stats_t* stats, count_visit_t* visit) {
  visit(&stats->pages, &base.pages);
  visit(&stats->allocated, &base.allocated);
  visit(&stats->malloc_normal, &base.malloc_normal);
  visit(&stats->malloc_huge, &base.malloc_huge);
  visit(&stats->page_bins[MI_BIN_HUGE], &base.page_bins[MI_BIN_HUGE]);
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) visit(&stats->malloc_bins[bin], &base.malloc_bins[bin]);
}

static void keep_current(mi_stat_count_t* count, mi_stat_count_t* at_reset) {
  __atomic_store_n(&at_reset->current, count->current, __ATOMIC_RELAXED);
}

static void limit_peak(mi_stat_count_t* count, mi_stat_count_t* at_reset) {
  const int64_t most = __atomic_load_n(&at_reset->current, __ATOMIC_RELAXED) + count->total;
  if (count->peak > most) count->peak = most > count->current ? most : count->current;
}

static void reset_peak(level_t* level) { figure_set(&level->peak, figure_read(&level->current)); }

static void fill_since_start(mi_stats_t* stats) {
  stats_snapshot_t from;
  thread_hear();
  stats_snapshot(&from);
  mi_stats_init(stats);
  fill_blocks(stats, &from);
  fill_process(stats, &from);
}

/* ---- entries ---- */

static bool is_of_this_version(const mi_stats_t* stats) {
  return STATISTICS && stats != NULL && stats->size == sizeof(*stats) && stats->version == MI_STAT_VERSION;
}

EXPORT bool mi_stats_get(mi_stats_t* stats) {
  if (!is_of_this_version(stats)) return false;
  fill_since_start(stats);
  visit_totals(stats, subtract_total);
  visit_derived(stats, limit_peak);
  return true;
}

static void count_part(heap_part_t* part, void* arg) {
  stats_snapshot_t* const from = arg;
  from->parts += is_in_scope(from->scope, part->heap, part->tag);
}

static bool count_heap(NOT_USED heap_t* heap, void* from) {
  ((stats_snapshot_t*)from)->heaps++;
  return true;
}

/* What there is now; who has gone is only counted for the process. */
static void fill_members(mi_stats_t* stats, stats_snapshot_t* from) {
  heap_t* const main = from->scope.main;
  thread_visit_parts(count_part, from);
  if (main != NULL) heap_visit_heaps(main, count_heap, from);
  stats->theaps.current = (int64_t)from->parts;
  stats->heaps.current = (int64_t)from->heaps;
  stats->threads.current = main != NULL ? (int64_t)thread_count(main) : 0;
  stats->committed.current = (int64_t)from->page_bytes;
}

static bool fill_scope(mi_stats_t* stats, scope_t scope) {
  if (!is_of_this_version(stats)) return false;
  stats_snapshot_t from;
  thread_hear();
  stats_snapshot_of(scope, &from);
  mi_stats_init(stats);
  fill_blocks(stats, &from);
  fill_members(stats, &from);
  return true;
}

EXPORT bool mi_heap_stats_get(mi_heap_t* heap, mi_stats_t* stats) {
  return fill_scope(stats, (scope_t){.heap = heap != NULL ? heap : thread_main_heap()});
}

EXPORT bool mi_theap_stats_get(mi_theap_t* theap, mi_stats_t* stats) {
  if (theap == NULL) theap = mi_theap_get_default();
  return theap != NULL && fill_scope(stats, (scope_t){.heap = theap->heap, .tag = theap->tag});
}

EXPORT bool mi_subproc_stats_get(mi_subproc_id_t id, mi_stats_t* stats) {
  heap_t* const main = heap_subprocess(id._mi_subproc_id);
  return main != NULL && fill_scope(stats, (scope_t){.main = main});
}

typedef struct less_s {
  mi_stats_t* from;
  mi_stats_t heap;
} less_t;

static int64_t not_below_0(int64_t number) { return number > 0 ? number : 0; }

/* Figures of a heap that lives do not count. */
static bool subtract_heap(heap_t* heap, void* arg) {
  less_t* const less = arg;
  mi_stats_header_init(&less->heap);
  if (!fill_scope(&less->heap, (scope_t){.heap = heap})) return false;
#define MI_STAT_COUNT(name) \
  less->from->name.total = not_below_0(less->from->name.total - less->heap.name.total);
#define MI_STAT_COUNTER(name) MI_STAT_COUNT(name)
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    int64_t* const total = &less->from->malloc_bins[bin].total;
    *total = not_below_0(*total - less->heap.malloc_bins[bin].total);
  }
  return true;
}

static void clear_live(mi_stats_t* stats) {
#define MI_STAT_COUNT(name) stats->name.peak = stats->name.current = 0;
#define MI_STAT_COUNTER(name)
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    stats->malloc_bins[bin].peak = stats->malloc_bins[bin].current = 0;
    stats->page_bins[bin].peak = stats->page_bins[bin].current = 0;
  }
}

EXPORT bool mi_subproc_stats_get_exclusive(mi_subproc_id_t id, mi_stats_t* stats) {
  heap_t* const main = heap_subprocess(id._mi_subproc_id);
  less_t less = {.from = stats};
  if (!mi_subproc_stats_get(id, stats) || !heap_visit_heaps(main, subtract_heap, &less)) return false;
  clear_live(stats);
  return true;
}

EXPORT size_t mi_stats_get_bin_size(size_t bin) { return bin < BIN_COUNT ? bin_size((unsigned)bin) : 0; }

EXPORT void mi_stats_reset(void) {
  mi_stats_t stats;
  fill_since_start(&stats);
  visit_totals(&stats, keep_total);
  visit_derived(&stats, keep_current);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) reset_peak(&heap_pages[bin]);
  reset_peak(&remote_abandoned);
  reset_peak(&heap_count);
  reset_peak(&heap_part_count);
  figure_set(&thread_peak, load_relaxed(&heap_threads));
  figure_set(&memory_counters.claimed_peak, figure_read(&memory_counters.claimed));
}

/* There is nothing to merge: every figure is counted once, when it is asked for. */
EXPORT void mi_stats_merge(void) {}
EXPORT void mi_theap_stats_merge_to_heap(NOT_USED mi_theap_t* theap) {}
EXPORT void mi_heap_stats_merge_to_subproc(NOT_USED mi_heap_t* heap) {}
