/* SPDX-License-Identifier: MIT */
/* What the system knows of this process. */
#include <sys/resource.h>

#include "base/compiler.h"
#include "mimalloc.h"
#include "os/os.h"
#include "report/statistics.h"

static size_t milliseconds(struct timeval t) { return (size_t)t.tv_sec * 1000 + (size_t)t.tv_usec / 1000; }

static void give(size_t* where, size_t value) {
  if (where != NULL) *where = value;
}

EXPORT void mi_process_info(size_t* elapsed_msecs, size_t* user_msecs, size_t* system_msecs, size_t* current_rss,
                            size_t* peak_rss, size_t* current_commit, size_t* peak_commit, size_t* page_faults) {
  static atomic_u64_t first_ms;
  struct rusage usage = {0};
  stats_snapshot_t stats;
  uint64_t start = 0;
  const uint64_t now = os_now_ms();
  getrusage(RUSAGE_SELF, &usage);
  stats_snapshot(&stats);
  if (cas_strong_acq_rel(&first_ms, &start, now)) start = now;
  give(elapsed_msecs, (size_t)(now - start));
  give(user_msecs, milliseconds(usage.ru_utime));
  give(system_msecs, milliseconds(usage.ru_stime));
  give(current_rss, os_process_rss());
  give(peak_rss, (size_t)usage.ru_maxrss * KiB);
  give(current_commit, stats.committed);
  give(peak_commit, stats.peak_committed);
  give(page_faults, (size_t)usage.ru_majflt);
}
