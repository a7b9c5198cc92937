/* SPDX-License-Identifier: MIT */
/* The table of options, and reading the environment into it (protocol: core/options.h). */
#include "core/options.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/process.h"

#define OPTION(id, value, unit, meaning, unused) [mi_option_##id] = {#id, value, unit, meaning, unused}

static const char OLD[] = "of an older interface";
static const char LAZY[] = "memory is committed when it is claimed";
static const char NO_ARENA[] = "memory outside of explicit arenas is one window";
static const char NO_GUARD[] = "only builds with guarded blocks have them";
static const char NO_PROFILE[] = "there is no heap profile yet";
static const char NO_COUNTER[] = "statistics are read from the pages, there is nothing to merge";
static const char RECLAIM[] = "abandoned pages are always reclaimed on demand";
static const char BOUNDED[] = "the first page of a queue is used, none is searched for";

static const option_info_t table[] = {
    OPTION(show_errors, MI_DEBUG, UNIT_FLAG, "print messages about failed requests", NULL),
    OPTION(show_stats, 0, UNIT_FLAG, "print statistics when the process exits", NULL),
    OPTION(verbose, 0, UNIT_NUMBER, "print options, reservations, trims; implies show_errors", NULL),
    OPTION(deprecated_eager_commit, 1, UNIT_FLAG, "commit whole segments", OLD),
    OPTION(arena_eager_commit, 2, UNIT_FLAG, "commit whole arenas", LAZY),
    OPTION(purge_decommits, 1, UNIT_FLAG, "purge by giving memory back, not by a hint",
           "memory is always given back"),
    OPTION(allow_large_os_pages, 0, UNIT_FLAG, "take new memory in 2 MiB pages, if there are any", NULL),
    OPTION(reserve_huge_os_pages, 0, UNIT_NUMBER, "1 GiB pages reserved at the start", NULL),
    OPTION(reserve_huge_os_pages_at, -1, UNIT_NUMBER, "NUMA node of these pages, -1: all", NULL),
    OPTION(reserve_os_memory, 0, UNIT_KIB, "memory reserved at the start, in an arena", NULL),
    OPTION(deprecated_segment_cache, 0, UNIT_NUMBER, "segments kept per thread", OLD),
    OPTION(deprecated_page_reset, 0, UNIT_FLAG, "reset free pages", OLD),
    OPTION(deprecated_abandoned_page_purge, 0, UNIT_FLAG, "purge pages of ended threads", OLD),
    OPTION(deprecated_segment_reset, 0, UNIT_FLAG, "reset free segments", OLD),
    OPTION(deprecated_eager_commit_delay, 1, UNIT_NUMBER, "segments before eager commit", OLD),
    OPTION(purge_delay, 500, UNIT_MS, "free memory stays this long; 0: not at all, -1: for ever", NULL),
    OPTION(use_numa_nodes, 0, UNIT_NUMBER, "NUMA nodes taken into account, 0: all", NULL),
    OPTION(disallow_os_alloc, 0, UNIT_FLAG, "no memory but arenas and what is there already", NULL),
    OPTION(os_tag, 100, UNIT_NUMBER, "tag of mappings on macOS", "this system has no tags"),
    OPTION(max_errors, 32, UNIT_NUMBER, "error messages printed at most, -1: any number", NULL),
    OPTION(max_warnings, 32, UNIT_NUMBER, "warnings printed at most, -1: any number", NULL),
    OPTION(deprecated_max_segment_reclaim, 10, UNIT_NUMBER, "segments reclaimed at a time", OLD),
    OPTION(destroy_on_exit, 0, UNIT_FLAG, "give all memory back when the process exits",
           "the system does so, and blocks stay valid to the end"),
    OPTION(arena_reserve, 1024 * 1024, UNIT_KIB, "size of arenas", NO_ARENA),
    OPTION(arena_purge_mult, 4, UNIT_NUMBER, "multiplies purge_delay for arenas", NO_ARENA),
    OPTION(deprecated_purge_extend_delay, 1, UNIT_MS, "extends purge_delay", OLD),
    OPTION(disallow_arena_alloc, 0, UNIT_FLAG, "arenas made from now on are exclusive", NULL),
    OPTION(retry_on_oom, 400, UNIT_MS, "wait before trying again on Windows", "this system is another one"),
    OPTION(deprecated_visit_abandoned, 0, UNIT_FLAG, "let visitors see abandoned blocks", OLD),
    OPTION(guarded_min, 0, UNIT_BYTES, "smallest guarded block", NO_GUARD),
    OPTION(guarded_max, 1L << 30, UNIT_BYTES, "largest guarded block", NO_GUARD),
    OPTION(unsafe_guarded_precise, 0, UNIT_FLAG, "end guarded blocks exactly at the guard", NO_GUARD),
    OPTION(guarded_sample_rate, 0, UNIT_NUMBER, "guard one in so many blocks", NO_GUARD),
    OPTION(guarded_sample_seed, 0, UNIT_NUMBER, "seed of the choice, 0: random", NO_GUARD),
    OPTION(generic_collect, 10000, UNIT_NUMBER, "slow allocations between collections",
           "collecting follows a fixed cadence"),
    OPTION(page_reclaim_on_free, 1, UNIT_NUMBER, "a free reclaims its abandoned page", RECLAIM),
    OPTION(page_full_retain, 2, UNIT_NUMBER, "full pages kept per size class", BOUNDED),
    OPTION(page_max_candidates, 4, UNIT_NUMBER, "pages compared per search", BOUNDED),
    OPTION(max_vabits, 0, UNIT_NUMBER, "bits of an address", "the window has a fixed span"),
    OPTION(pagemap_commit, 0, UNIT_FLAG, "commit the whole page map", LAZY),
    OPTION(page_commit_on_demand, 0, UNIT_FLAG, "commit parts of pages", LAZY),
    OPTION(page_max_reclaim, -1, UNIT_NUMBER, "pages reclaimed by their own heap", RECLAIM),
    OPTION(page_cross_thread_max_reclaim, 32, UNIT_NUMBER, "pages reclaimed across threads", RECLAIM),
    OPTION(allow_thp, 1, UNIT_FLAG, "let the system use huge pages",
           "the first memory never uses them, later memory as the system likes"),
    OPTION(arena_purge_min_size, 0, UNIT_KIB, "smallest range purged", NO_ARENA),
    OPTION(arena_max_object_size, 2L * 1024 * 1024, UNIT_KIB, "largest block in an arena", NO_ARENA),
    OPTION(arena_is_numa_local, 0, UNIT_FLAG, "use arenas of the own NUMA node only", NO_ARENA),
    OPTION(stats_merge_on_collect, 0, UNIT_FLAG, "merge statistics on collect", NO_COUNTER),
    OPTION(profile_alloc_interval, 1L << 30, UNIT_BYTES, "allocated bytes between profiles", NO_PROFILE),
    OPTION(profile_inuse_interval, 0, UNIT_BYTES, "growth between profiles", NO_PROFILE),
    OPTION(profile_time_interval, 0, UNIT_SECONDS, "time between profiles", NO_PROFILE),
    OPTION(profile_sample_rate, 512 * 1024, UNIT_BYTES, "bytes between samples", NO_PROFILE),
    OPTION(stats_merge_threshold, 0, UNIT_NUMBER, "merge statistics after so many events", NO_COUNTER),
    OPTION(arena_purge_immediate_size, 32 * 1024, UNIT_KIB, "purge ranges of this size at once", NO_ARENA),
    OPTION(continue_on_error, 0, UNIT_FLAG, "report misuse and ignore the call instead of aborting", NULL),
    OPTION(scavenger, 1, UNIT_FLAG, "a thread purges while a threaded program is idle", NULL),
    OPTION(keep_deepbind, 0, UNIT_FLAG, "leave RTLD_DEEPBIND to dlopen", NULL),
};
_Static_assert(sizeof(table) / sizeof(table[0]) == _mi_option_last, "a row for each option");

/* Other names that programs and scripts use. */
static const struct {
  const char* name;
  mi_option_t option;
} aliases[] = {
    {"eager_commit", mi_option_deprecated_eager_commit},
    {"eager_region_commit", mi_option_arena_eager_commit},
    {"reset_decommits", mi_option_purge_decommits},
    {"large_os_pages", mi_option_allow_large_os_pages},
    {"segment_cache", mi_option_deprecated_segment_cache},
    {"page_reset", mi_option_deprecated_page_reset},
    {"abandoned_page_purge", mi_option_deprecated_abandoned_page_purge},
    {"segment_reset", mi_option_deprecated_segment_reset},
    {"eager_commit_delay", mi_option_deprecated_eager_commit_delay},
    {"reset_delay", mi_option_purge_delay},
    {"limit_os_alloc", mi_option_disallow_os_alloc},
    {"max_segment_reclaim", mi_option_deprecated_max_segment_reclaim},
    {"purge_extend_delay", mi_option_deprecated_purge_extend_delay},
    {"visit_abandoned", mi_option_deprecated_visit_abandoned},
    {"guarded_precise", mi_option_unsafe_guarded_precise},
    {"abandoned_reclaim_on_free", mi_option_page_reclaim_on_free},
    {"minimal_purge_size", mi_option_arena_purge_min_size},
};

#define VALUE_UNREAD LONG_MIN

/* Stored plus one flag: zero, as the process starts, must mean unread. */
static _Atomic(long) values[_mi_option_last]; /* atomic: value ^ VALUE_UNREAD */
static atomic_u32_t chosen[_mi_option_last];  /* atomic: 1: set by the environment or the program */

const option_info_t* option_info(mi_option_t option) {
  return &table[option];
}

static bool is_option(mi_option_t option) {
  return (unsigned)option < (unsigned)_mi_option_last;
}

static bool same_name(const char* name, const char* text, size_t length) {
  return strlen(name) == length && strncasecmp(name, text, length) == 0;
}

static mi_option_t find_option(const char* text, size_t length) {
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    if (same_name(table[i].name, text, length)) return (mi_option_t)i;
  }
  for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
    if (same_name(aliases[i].name, text, length)) return aliases[i].option;
  }
  return _mi_option_last;
}

static bool is_one_of(const char* text, const char* const* words) {
  for (; *words != NULL; words++) {
    if (strcasecmp(text, *words) == 0) return true;
  }
  return false;
}

/* The factor of a size's suffix: K, KB, KiB, M, ...; 0 when it is none. */
static long suffix_factor(const char* suffix) {
  static const char letters[] = "KMGT";
  for (unsigned i = 0; i < 4; i++) {
    const bool same = (suffix[0] & ~0x20) == letters[i];
    if (same && is_one_of(suffix + 1, (const char* const[]){"", "B", "iB", NULL}))
      return 1L << (10 * (i + 1));
  }
  return 0;
}

/* A decimal number with sign and, for sizes, suffix.  False: not a number, or too large. */
static bool parse_number(const char* text, option_unit_t unit, long* value) {
  const bool negative = *text == '-';
  if (*text == '-' || *text == '+') text++;
  if (*text < '0' || *text > '9') return false;
  long number = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    if (__builtin_mul_overflow(number, 10L, &number)) return false;
    if (__builtin_add_overflow(number, (long)(*text - '0'), &number)) return false;
  }
  const bool sized = unit == UNIT_BYTES || unit == UNIT_KIB;
  if (*text != 0) {
    const long factor = sized ? suffix_factor(text) : 0;
    if (factor == 0 || __builtin_mul_overflow(number, factor, &number)) return false;
  }
  if (unit == UNIT_KIB) number = number / 1024 + (number % 1024 != 0);
  *value = negative ? -number : number;
  return true;
}

static bool parse_value(const char* text, option_unit_t unit, long* value) {
  if (is_one_of(text, (const char* const[]){"", "TRUE", "YES", "ON", NULL})) {
    *value = 1;
    return true;
  }
  if (is_one_of(text, (const char* const[]){"FALSE", "NO", "OFF", NULL})) {
    *value = 0;
    return true;
  }
  return parse_number(text, unit, value);
}

setting_t option_parse_entry(const char* entry) {
  setting_t setting = {.name = entry + strlen(OPTIONS_PREFIX)};
  setting.name_length = strcspn(setting.name, "=");
  setting.option = find_option(setting.name, setting.name_length);
  const char* const end = setting.name + setting.name_length; /* a word without '=' sets nothing */
  if (setting.option != _mi_option_last && *end == '=')
    setting.valid = parse_value(end + 1, table[setting.option].unit, &setting.value);
  return setting;
}

static long load_value(mi_option_t option) {
  return load_acquire(&values[option]) ^ VALUE_UNREAD;
}

/* The first of several entries counts, and a value that the program has set meanwhile stays. */
static bool store_unread(mi_option_t option, long value) {
  long expected = VALUE_UNREAD ^ VALUE_UNREAD;
  return cas_strong_acq_rel(&values[option], &expected, value ^ VALUE_UNREAD);
}

static void apply_entry(const char* entry) {
  const setting_t setting = option_parse_entry(entry);
  if (setting.valid && store_unread(setting.option, setting.value)) store_relaxed(&chosen[setting.option], 1);
}

static COLD void read_environment(void) {
  os_environment(OPTIONS_PREFIX, &apply_entry);
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) store_unread((mi_option_t)i, table[i].initial);
}

long option_get(mi_option_t option) {
  if (!is_option(option)) return 0;
  if (unlikely(load_value(option) == VALUE_UNREAD)) read_environment();
  return load_value(option);
}

bool option_chosen(mi_option_t option) {
  return load_relaxed(&chosen[option]) != 0;
}

bool option_enabled(mi_option_t option) {
  return option_get(option) != 0;
}

EXPORT long mi_option_get(mi_option_t option) {
  return option_get(option);
}

EXPORT bool mi_option_is_enabled(mi_option_t option) {
  return option_enabled(option);
}

EXPORT long mi_option_get_clamp(mi_option_t option, long min, long max) {
  const long value = option_get(option);
  return value < min ? min : value > max ? max : value;
}

EXPORT size_t mi_option_get_size(mi_option_t option) {
  const long value = option_get(option);
  if (value <= 0) return 0;
  const size_t factor = is_option(option) && table[option].unit == UNIT_KIB ? KiB : 1;
  return (size_t)value > SIZE_MAX / factor ? SIZE_MAX : (size_t)value * factor;
}

static void set_value(mi_option_t option, long value) {
  if (value == VALUE_UNREAD) value++;
  store_release(&values[option], value ^ VALUE_UNREAD);
}

EXPORT void mi_option_set(mi_option_t option, long value) {
  if (!is_option(option)) return;
  store_relaxed(&chosen[option], 1);
  set_value(option, value);
}

EXPORT void mi_option_set_default(mi_option_t option, long value) {
  if (!is_option(option)) return;
  option_get(option); /* so that the environment has had its say */
  if (load_relaxed(&chosen[option]) == 0) set_value(option, value);
}

EXPORT void mi_option_set_enabled(mi_option_t option, bool enable) {
  mi_option_set(option, enable ? 1 : 0);
}

EXPORT void mi_option_set_enabled_default(mi_option_t option, bool enable) {
  mi_option_set_default(option, enable ? 1 : 0);
}

EXPORT void mi_option_enable(mi_option_t option) {
  mi_option_set(option, 1);
}

EXPORT void mi_option_disable(mi_option_t option) {
  mi_option_set(option, 0);
}

EXPORT int mi_version(void) {
  return MI_MALLOC_VERSION;
}
