/* SPDX-License-Identifier: MIT */
/* Statistics as text.  Reads all modules, is called by none below. */
#include "report/statistics.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/diagnostics.h"
#include "core/options.h"
#include "memory/counters.h"
#include "memory/scavenger.h"
#include "mimalloc-stats.h"
#include "os/os.h"
#include "page/remote.h"
#include "thread/thread.h"

/* Blocks that wait to be delivered are free, too: a full page that is not armed any more has one such. */
static size_t live_blocks(page_t* page) {
  const size_t live = page_live_blocks(page);
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  const bool full = tag > CARE_MASK && (tag & CARE_FULL) != 0;
  return live - min_size(live, full && remote_state(load_acquire(&page->thread_free)) != REMOTE_DELAYED);
}

bool is_in_scope(scope_t scope, heap_t* heap, uintptr_t tag) {
  if (scope.main != NULL && (heap == NULL || heap_main_of(heap) != scope.main)) return false;
  if (scope.heap != NULL && heap != scope.heap) return false;
  return scope.tag == 0 || (tag & ~(uintptr_t)CARE_MASK) == scope.tag;
}

static void count_page(page_t* page, void* arg) {
  stats_snapshot_t* const stats = arg;
  if (!is_in_scope(stats->scope, heap_of_page(page), load_relaxed(&page->owner_tag))) return;
  stats->pages++;
  stats->page_bytes += page_slice_count(page) * SLICE_SIZE;
  if (page_is_single(page)) {
    stats->huge_blocks++;
    stats->huge_bytes += (size_t)page->single_size;
    return;
  }
  const unsigned bin = page->bin;
  if (bin >= BIN_COUNT) return; /* it has just become a big block */
  const size_t live = live_blocks(page);
  if (load_relaxed(&page->owner_tag) == TAG_ABANDONED) stats->abandoned_pages++;
  stats->bins[bin].pages++;
  stats->bins[bin].blocks += live;
  stats->bins[bin].served += page_served(page);
  stats->live_blocks += live;
  stats->live_bytes += live * bin_size(bin);
}

/* What pages that have gone had handed out. */
static void add_tally(stats_snapshot_t* stats, tally_t* tally) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) stats->bins[bin].served += figure_read(&tally->blocks[bin]);
  stats->huge_served = figure_read(&tally->blocks[BIN_COUNT]);
  stats->huge_served_bytes = figure_read(&tally->big_bytes);
}

void stats_snapshot_of(scope_t scope, stats_snapshot_t* stats) {
  memset(stats, 0, sizeof(*stats));
  stats->scope = scope;
  /* Blocks of a deleted heap belong to the main heap, also where its own pages are not. */
  if (scope.heap == NULL || scope.heap->main == NULL) heap_visit_all_pages(count_page, stats);
  else heap_visit_pages(scope.heap, count_page, stats);
  if (scope.heap != NULL && scope.tag == 0) add_tally(stats, &scope.heap->tally);
  else if (scope.main != NULL) add_tally(stats, &scope.main->subprocess);
  else if (scope.tag == 0) add_tally(stats, &heap_tally);
  stats->live_blocks += stats->huge_blocks;
  stats->live_bytes += stats->huge_bytes;
  stats->free_bytes = stats->page_bytes - min_size(stats->page_bytes, stats->live_bytes);
  stats->served_blocks = stats->huge_served;
  stats->served_bytes = stats->huge_served_bytes;
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    stats->served_blocks += stats->bins[bin].served;
    stats->served_bytes += stats->bins[bin].served * bin_size(bin);
  }
  stats->memory = memory_stats();
  stats->threads = load_relaxed(&heap_threads);
}

void stats_snapshot(stats_snapshot_t* stats) { stats_snapshot_of((scope_t){0}, stats); }

/* ---- text ---- */

static void put_bins(const output_t* sink, const stats_snapshot_t* stats) {
  print_to(sink, "  %10s %12s %14s %10s\n", "block", "live", "bytes", "pages");
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    const bin_snapshot_t* const b = &stats->bins[bin];
    if (b->pages == 0) continue;
    print_to(sink, "  %10zu %12zu %14zu %10zu\n", bin_size(bin), b->blocks, b->blocks * bin_size(bin),
             b->pages);
  }
  print_to(sink, "  %10s %12zu %14zu %10zu\n", "big", stats->huge_blocks, stats->huge_bytes,
           stats->huge_blocks);
}

static void print_stats(const output_t* sink) {
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  print_to(sink, "mimalloc: statistics of process %d\n", (int)getpid());
  print_to(sink, "  live       %14zu bytes in %zu blocks\n", stats.live_bytes, stats.live_blocks);
  print_to(sink, "  committed  %14zu bytes, peak %zu\n", stats.memory.claimed, stats.memory.claimed_peak);
  print_to(sink, "  dirty      %14zu bytes free but not yet given back\n", stats.memory.dirty);
  print_to(sink, "  purged     %14llu bytes in %llu calls\n", (unsigned long long)stats.memory.purged,
      (unsigned long long)stats.memory.purge_calls);
  print_to(sink, "  reserved   %14zu bytes of addresses, %zu of metadata\n", stats.memory.reserved,
           stats.memory.metadata);
  print_to(sink, "  resident   %14zu bytes\n", os_process_rss());
  print_to(sink, "  pages      %14zu, %zu of them abandoned; %zu threads\n", stats.pages,
           stats.abandoned_pages, stats.threads);
  print_to(sink, "  OS calls   %14llu commit, %llu map\n", (unsigned long long)stats.memory.commit_calls,
      (unsigned long long)stats.memory.map_calls);
  put_bins(sink, &stats);
}

EXPORT void mi_stats_print_out(mi_output_fun* out, void* arg) {
  const output_t sink = {out, arg};
  print_stats(&sink);
}

/* Programs pass all sorts of things, stdout for one. */
EXPORT void mi_stats_print(NOT_USED void* out) { mi_stats_print_out(NULL, NULL); }

/* What a heap or a thread has its part in. */
static void print_scope(const output_t* sink, scope_t scope) {
  stats_snapshot_t stats;
  stats_snapshot_of(scope, &stats);
  print_to(sink, "  live       %14zu bytes in %zu blocks\n", stats.live_bytes, stats.live_blocks);
  print_to(sink, "  pages      %14zu, %zu of them abandoned\n", stats.pages, stats.abandoned_pages);
  put_bins(sink, &stats);
}

EXPORT void mi_heap_stats_print_out(mi_heap_t* heap, mi_output_fun* out, void* arg) {
  const output_t sink = {out, arg};
  thread_hear();
  print_to(&sink, "mimalloc: statistics of heap %p\n", (void*)heap);
  print_scope(&sink, (scope_t){.heap = heap != NULL ? heap : thread_main_heap()});
}

static bool print_heap(heap_t* heap, void* arg) {
  const output_t* const sink = (const output_t*)arg;
  print_to(sink, "  heap %p\n", (void*)heap);
  print_scope(sink, (scope_t){.heap = heap});
  return true;
}

EXPORT void mi_subproc_heap_stats_print_out(mi_subproc_id_t id, mi_output_fun* out, void* arg) {
  output_t sink = {out, arg};
  heap_t* const main = heap_subprocess(id._mi_subproc_id);
  thread_hear();
  print_to(&sink, "mimalloc: statistics of the heaps of sub-process %p\n", id._mi_subproc_id);
  if (main != NULL) heap_visit_heaps(main, print_heap, &sink);
}

EXPORT void mi_subproc_stats_print_out(mi_subproc_id_t id, mi_output_fun* out, void* arg) {
  const output_t sink = {out, arg};
  heap_t* const main = heap_subprocess(id._mi_subproc_id);
  thread_hear();
  print_to(&sink, "mimalloc: statistics of sub-process %p\n", id._mi_subproc_id);
  if (main != NULL) print_scope(&sink, (scope_t){.main = main});
}

EXPORT void mi_thread_stats_print_out(mi_output_fun* out, void* arg) {
  const output_t sink = {out, arg};
  thread_hear();
  print_to(&sink, "mimalloc: statistics of the calling thread\n");
  /* A thread without a record owns no page: no page has this tag. */
  print_scope(&sink, (scope_t){.tag = thread_self != NULL ? thread_self->tag : UINTPTR_MAX});
}

/* Programs close their stderr before they exit, and descriptor 2 may name another file by then. */
__attribute__((constructor)) static void prepare_for_exit(void) {
  if (option_enabled(mi_option_show_stats)) os_keep_stderr();
}

/* Once, when MIMALLOC_SHOW_STATS is set; the first line is for programs to read. */
__attribute__((destructor)) static void print_at_exit(void) {
  static atomic_u32_t printed;
  if (!option_enabled(mi_option_show_stats) || exchange_acq_rel(&printed, 1u) != 0) return;
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  os_return_to_stderr();
  const output_t sink = {NULL, NULL};
  print_to(&sink, "mimalloc: served: blocks=%llu bytes=%llu pid=%d\n",
           (unsigned long long)stats.served_blocks, (unsigned long long)stats.served_bytes, (int)getpid());
  print_stats(&sink);
}

EXPORT void mi_process_done(void) {
  KEEP_ERRNO;
  print_at_exit();
  scavenger_switch_off();
}
