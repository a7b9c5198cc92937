/* SPDX-License-Identifier: MIT */
/* What the system knows of this process. */
#include "base/bits.h"
#include "base/compiler.h"
#include "memory/counters.h"
#include "mimalloc.h"
#include "os/os.h"
#include "os/process.h"

static void give(size_t* where, size_t value) {
  if (where != NULL) *where = value;
}

EXPORT void mi_process_info(size_t* elapsed_msecs, size_t* user_msecs, size_t* system_msecs,
                            size_t* current_rss, size_t* peak_rss, size_t* current_commit,
                            size_t* peak_commit, size_t* page_faults) {
  static atomic_u64_t first_ms;
  const memory_stats_t memory = memory_stats();
  uint64_t start = 0;
  const uint64_t now = os_now_ms();
  const os_usage_t usage = os_process_usage();
  const size_t rss = os_process_rss();
  if (cas_strong_acq_rel(&first_ms, &start, now)) start = now;
  give(elapsed_msecs, (size_t)(now - start));
  give(user_msecs, usage.user_ms);
  give(system_msecs, usage.system_ms);
  give(current_rss, rss);
  give(peak_rss, max_size(usage.peak_rss, rss)); /* the system updates its peak late */
  give(current_commit, memory.claimed);
  give(peak_commit, memory.claimed_peak);
  give(page_faults, usage.page_faults);
}
