/* SPDX-License-Identifier: MIT */
/* The C library's questions about its heap, answered for ours, and its settings. Its terms: an "arena" is
   what small and medium blocks live in (used + free); what it would have mapped for one block each are our
   big blocks; what a trim could release now is memory that is free but not yet purged. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "alloc/alloc.h"
#include "base/compiler.h"
#include "core/format.h"
#include "core/options.h"
#include "report/statistics.h"

#if defined(__GLIBC__) /* others have none of it */

EXPORT struct mallinfo2 mallinfo2(void) {
  KEEP_ERRNO;
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  struct mallinfo2 info = {0};
  info.uordblks = stats.live_bytes - stats.huge_bytes;
  info.fordblks = stats.free_bytes + stats.memory.dirty;
  info.arena = info.uordblks + info.fordblks;
  info.ordblks = stats.pages;
  info.hblks = stats.huge_blocks;
  info.hblkhd = stats.huge_bytes;
  info.keepcost = stats.memory.dirty;
  return info;
}

/* The older form has ints: what does not fit is the largest. */
static int saturated(size_t value) { return value > INT_MAX ? INT_MAX : (int)value; }

EXPORT struct mallinfo mallinfo(void) {
  const struct mallinfo2 info = mallinfo2();
  struct mallinfo old = {0};
  old.uordblks = saturated(info.uordblks);
  old.fordblks = saturated(info.fordblks);
  old.arena = saturated(info.arena);
  old.ordblks = saturated(info.ordblks);
  old.hblks = saturated(info.hblks);
  old.hblkhd = saturated(info.hblkhd);
  old.keepcost = saturated(info.keepcost);
  return old;
}

/* The stream is the user's: writing to it may allocate, as in any other code of the user. */
static void put_text(const char* text, FILE* file) {
  for (; *text != 0; text++) putc(*text, file);
}

/* One heap with a line per size class that has pages, and the totals, in the C library's XML. */
EXPORT int malloc_info(int options, FILE* file) {
  static const char size_format[] = "    <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n";
  static const char total_format[] = "%s<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
                                     "%s<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
                                     "%s<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
                                     "%s<system type=\"current\" size=\"%zu\"/>\n"
                                     "%s<system type=\"max\" size=\"%zu\"/>\n"
                                     "%s<aspace type=\"total\" size=\"%zu\"/>\n"
                                     "%s<aspace type=\"mprotect\" size=\"%zu\"/>\n";
  if (options != 0) return EINVAL;
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  char line[LINE_MAX];
  put_text("<malloc version=\"1\">\n<heap nr=\"0\">\n  <sizes>\n", file);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    if (stats.bins[bin].pages == 0) continue;
    const size_t size = bin_size(bin);
    format_text(line, sizeof(line), size_format, bin == 0 ? 1 : bin_size(bin - 1) + 1, size,
                stats.bins[bin].blocks * size, stats.bins[bin].blocks);
    put_text(line, file);
  }
  put_text("  </sizes>\n", file);
  for (int nested = 1; nested >= 0; nested--) {
    const char* const indent = nested ? "  " : "";
    format_text(line, sizeof(line), total_format, indent, indent, stats.pages,
                stats.free_bytes + stats.memory.dirty, indent, stats.huge_blocks, stats.huge_bytes, indent,
                stats.memory.claimed, indent, stats.memory.claimed_peak, indent, stats.memory.reserved,
                indent, stats.memory.claimed);
    put_text(line, file);
    put_text(nested ? "</heap>\n" : "</malloc>\n", file);
  }
  return ferror(file) ? -1 : 0;
}

EXPORT void malloc_stats(void) { mi_stats_print_out(NULL, NULL); }

/* The bytes to keep make no difference: what is in use stays, all else goes. */
EXPORT int malloc_trim(NOT_USED size_t keep) {
  KEEP_ERRNO;
  const int released = memory_trim() != 0;
  return released;
}

/* 1: done.  0: there is no such thing here. */
EXPORT int mallopt(int parameter, int value) {
  switch (parameter) {
  case M_TRIM_THRESHOLD: /* -1: never; another size has no counterpart */
    if (value != -1) return 0;
    mi_option_set(mi_option_purge_delay, -1);
    return 1;
  case M_CHECK_ACTION: /* bit 1: abort on misuse */
    mi_option_set_enabled(mi_option_continue_on_error, (value & 2) == 0);
    return 1;
  default:
    return 0;
  }
}

#endif
