/* SPDX-License-Identifier: MIT */
/* What does a piece of the program leave behind?  Live blocks and bytes before and after it, and a line of
   JSON for a monitor.

   Shows: statistics */
#include <stdio.h>
#include <string.h>

#include <mimalloc-stats.h>

static void* leaked[3];

static void suspicious(void) {
  for (int i = 0; i < 100; i++) {
    void* const p = mi_malloc(1000);
    if (i < 3) leaked[i] = p;
    else mi_free(p);
  }
}

static long long live_blocks(const mi_stats_t* stats) {
  return (long long)(stats->malloc_count.total - stats->free_count.total);
}

int main(void) {
  mi_stats_t_decl(before); /* its size and version are set: the library checks them */
  mi_stats_t_decl(after);
  if (!mi_stats_get(&before)) return 1;
  suspicious();
  if (!mi_stats_get(&after)) return 1;
  printf("left behind: %lld blocks of %lld\n", live_blocks(&after) - live_blocks(&before),
         (long long)(after.malloc_count.total - before.malloc_count.total));
  for (size_t bin = 0; bin < MI_BIN_HUGE; bin++) {
    const long long more = (long long)(after.malloc_bins[bin].current - before.malloc_bins[bin].current);
    if (more > 0) printf("  %lld of size %zu\n", more, mi_stats_get_bin_size(bin));
  }
  char* const json = mi_stats_get_json(0, NULL); /* in a block, since no buffer is given */
  if (json == NULL) return 1;
  printf("JSON tells of \"%s\": %s\n", "malloc_bins", strstr(json, "\"malloc_bins\"") != NULL ? "yes" : "no");
  mi_free(json);
  for (int i = 0; i < 3; i++) mi_free(leaked[i]);
  return 0;
}
