/* SPDX-License-Identifier: MIT */
/* The statistics as JSON.  The text is made twice when a block is wanted for it: to know its length, then to
   store it. */
#include <string.h>

#include "core/format.h"
#include "mimalloc-stats.h"
#include "report/statistics.h"

enum { PIECE_MAX = 256 };

typedef struct process_s {
  size_t elapsed, user, system, rss, peak_rss, commit, peak_commit, faults;
} process_t;

typedef struct text_s {
  char* buffer;
  size_t size;   /* of the buffer */
  size_t length; /* of the text so far, without its terminator */
} text_t;

PRINTF_LIKE(2, 3) static void text_put(text_t* text, const char* format, ...) {
  char piece[PIECE_MAX];
  va_list arguments;
  va_start(arguments, format);
  const size_t length = format_text_v(piece, sizeof(piece), format, arguments);
  va_end(arguments);
  if (text->length + length < text->size) memcpy(text->buffer + text->length, piece, length + 1);
  text->length += length;
}

static void put_process(text_t* text, const process_t* process) {
  text_put(text, "  \"process\": {\n");
  text_put(text, "    \"elapsed_msecs\": %zu,\n    \"user_msecs\": %zu,\n    \"system_msecs\": %zu,\n",
           process->elapsed, process->user, process->system);
  text_put(text, "    \"page_faults\": %zu,\n    \"rss_current\": %zu,\n    \"rss_peak\": %zu,\n",
           process->faults, process->rss, process->peak_rss);
  text_put(text, "    \"commit_current\": %zu,\n    \"commit_peak\": %zu\n  },\n", process->commit,
           process->peak_commit);
}

/* The inside of an object: the three numbers. */
static void put_count(text_t* text, const mi_stat_count_t* count) {
  text_put(text, "\"total\": %lld, \"peak\": %lld, \"current\": %lld", (long long)count->total,
      (long long)count->peak, (long long)count->current);
}

static void put_fields(text_t* text, const mi_stats_t* stats) {
#define MI_STAT_COUNT(name)           \
  text_put(text, "  \"%s\": { ", #name);   \
  put_count(text, &stats->name);      \
  text_put(text, " },\n");
#define MI_STAT_COUNTER(name) text_put(text, "  \"%s\": %lld,\n", #name, (long long)stats->name.total);
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
}

static void put_bins(text_t* text, const char* name, const mi_stat_count_t* bins) {
  text_put(text, "  \"%s\": [\n", name);
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    text_put(text, "    { ");
    put_count(text, &bins[bin]);
    text_put(text, ", \"block_size\": %zu, \"page_size\": %zu }%s\n", mi_stats_get_bin_size(bin),
        bin < BIN_COUNT ? bin_page_slices(bin) * SLICE_SIZE : 0, bin < MI_BIN_HUGE ? "," : "");
  }
  text_put(text, "  ],\n");
}

static void put_chunks(text_t* text, const mi_stat_count_t* chunks) {
  static const char kinds[] = "SXMLH "; /* as mi_chunkbin_t */
  text_put(text, "  \"chunk_bins\": [\n");
  for (unsigned kind = 0; kind < MI_CBIN_COUNT; kind++) {
    text_put(text, "    { ");
    put_count(text, &chunks[kind]);
    text_put(text, ", \"bin\": \"%c\" }%s\n", kinds[kind], kind + 1 < MI_CBIN_COUNT ? "," : "");
  }
  text_put(text, "  ]\n");
}

static void put_all(text_t* text, const mi_stats_t* stats, const process_t* process) {
  text_put(text, "{\n  \"stat_version\": %d,\n  \"mimalloc_version\": %d,\n", MI_STAT_VERSION,
           MI_MALLOC_VERSION);
  put_process(text, process);
  put_fields(text, stats);
  put_bins(text, "malloc_bins", stats->malloc_bins);
  put_bins(text, "page_bins", stats->page_bins);
  put_chunks(text, stats->chunk_bins);
  text_put(text, "}\n");
}

EXPORT char* mi_stats_as_json(mi_stats_t* stats, size_t buf_size, char* buf) {
  if (stats == NULL || stats->size != sizeof(*stats) || stats->version != MI_STAT_VERSION) return NULL;
  process_t now;
  mi_process_info(&now.elapsed, &now.user, &now.system, &now.rss, &now.peak_rss, &now.commit,
                  &now.peak_commit, &now.faults);
  text_t text = {buf, buf != NULL ? buf_size : 0, 0};
  put_all(&text, stats, &now);
  if (buf != NULL) return text.length < buf_size ? buf : NULL;
  text = (text_t){NULL, text.length + 1, 0};
  text.buffer = (char*)mi_malloc(text.size);
  if (text.buffer == NULL) return NULL;
  put_all(&text, stats, &now);
  return text.buffer;
}

EXPORT char* mi_stats_get_json(size_t buf_size, char* buf) {
  mi_stats_t_decl(stats);
  return mi_stats_get(&stats) ? mi_stats_as_json(&stats, buf_size, buf) : NULL;
}

EXPORT char* mi_heap_stats_get_json(mi_heap_t* heap, size_t buf_size, char* buf) {
  mi_stats_t_decl(stats);
  return mi_heap_stats_get(heap, &stats) ? mi_stats_as_json(&stats, buf_size, buf) : NULL;
}
