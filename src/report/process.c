/* SPDX-License-Identifier: MIT */
/* What the system knows of this process. */
#include "base/bits.h"
#include "base/compiler.h"
#include "core/diagnostics.h"
#include "memory/counters.h"
#include "mimalloc.h"
#include "os/os.h"
#include "os/process.h"

static void give(size_t* where, size_t value) {
  if (where != NULL) *where = value;
}

/* Counted from when the library is loaded: its constructor asks first. */
static uint64_t elapsed_ms(void) {
  static atomic_u64_t first_ms;
  uint64_t start = 0;
  const uint64_t now = os_now_ms();
  return cas_strong_acq_rel(&first_ms, &start, now) ? 0 : now - start;
}

__attribute__((constructor)) static void note_start(void) { elapsed_ms(); }

EXPORT void mi_process_info(size_t* elapsed_msecs, size_t* user_msecs, size_t* system_msecs,
                            size_t* current_rss, size_t* peak_rss, size_t* current_commit,
                            size_t* peak_commit, size_t* page_faults) {
  const memory_stats_t memory = memory_stats();
  const os_usage_t usage = os_process_usage();
  const size_t rss = os_process_rss();
  give(elapsed_msecs, (size_t)elapsed_ms());
  give(user_msecs, usage.user_ms);
  give(system_msecs, usage.system_ms);
  give(current_rss, rss);
  give(peak_rss, max_size(usage.peak_rss, rss)); /* the system updates its peak late */
  give(current_commit, memory.claimed);
  give(peak_commit, memory.claimed_peak);
  give(page_faults, usage.page_faults);
}

EXPORT void mi_process_info_print_out(mi_output_fun* out, void* arg) {
  const output_t sink = {out, arg};
  size_t elapsed, user, system, rss, peak_rss, commit, peak_commit, faults;
  mi_process_info(&elapsed, &user, &system, &rss, &peak_rss, &commit, &peak_commit, &faults);
  print_to(&sink, "mimalloc: process: %zu.%03zu s elapsed, %zu.%03zu s user, %zu.%03zu s system\n",
           elapsed / 1000, elapsed % 1000, user / 1000, user % 1000, system / 1000, system % 1000);
  print_to(&sink, "  resident   %14zu bytes, peak %zu; %zu page faults from disk\n", rss, peak_rss, faults);
  print_to(&sink, "  committed  %14zu bytes, peak %zu\n", commit, peak_commit);
}

EXPORT void mi_process_info_print(void) { mi_process_info_print_out(NULL, NULL); }
