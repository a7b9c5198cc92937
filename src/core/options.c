/* SPDX-License-Identifier: MIT */
/* The table of options, and reading the environment into it (protocol: core/options.h). */
#include "core/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"
#include "base/track.h"
#include "os/process.h"

#define OPTION(id, value, unit, text)         [mi_option_##id] = {#id, value, UNIT_##unit, NULL, text, NULL}
#define RENAMED(id, value, unit, older, text) [mi_option_##id] = {#id, value, UNIT_##unit, older, text, NULL}
#define ROW(id, value, unit, older, text, why) [mi_option_##id] = {#id, value, UNIT_##unit, older, text, why}

/* Why an option has no effect. */
static const char OLD[] = "deprecated in mimalloc 3.6.0, too";
static const char NO_PROFILE[] = "heap profiles are not there yet";
static const char NO_MERGE[] = "figures are read off the pages when asked, there is nothing to merge";

static const option_info_t table[] = {
    OPTION(show_errors, MI_SHOW_ERRORS || MI_DEBUG, FLAG, "print messages about failed requests"),
    OPTION(show_stats, 0, FLAG, "print statistics when the process exits"),
    OPTION(verbose, 0, NUMBER, "print options, reservations, trims; implies show_errors"),
    ROW(deprecated_eager_commit, 1, FLAG, NULL, "commit whole segments", OLD),
    RENAMED(arena_eager_commit, 0, NUMBER, "eager_region_commit",
            "commit new extents whole; 1: always, 2: where the system overcommits"),
    RENAMED(purge_decommits, 1, FLAG, "reset_decommits",
            "purge by giving memory back; 0: by telling the system that it may take it (MADV_FREE)"),
    RENAMED(allow_large_os_pages, 0, FLAG, "large_os_pages",
            "take new memory in 2 MiB pages, if there are any"),
    OPTION(reserve_huge_os_pages, 0, NUMBER, "1 GiB pages reserved at the start"),
    OPTION(reserve_huge_os_pages_at, -1, NUMBER, "NUMA node of these pages, -1: all"),
    OPTION(reserve_os_memory, 0, KIB, "memory reserved at the start, in an arena"),
    ROW(deprecated_segment_cache, 0, NUMBER, "target_segments_per_thread", "segments kept per thread", OLD),
    ROW(deprecated_page_reset, 0, FLAG, NULL, "reset free pages", OLD),
    ROW(deprecated_abandoned_page_purge, 0, FLAG, NULL, "purge pages of ended threads", OLD),
    ROW(deprecated_segment_reset, 0, FLAG, NULL, "reset free segments", OLD),
    ROW(deprecated_eager_commit_delay, 1, NUMBER, NULL, "segments before eager commit", OLD),
    RENAMED(purge_delay, 500, MS, "reset_delay", "free memory stays this long; 0: not at all, -1: for ever"),
    OPTION(use_numa_nodes, 0, NUMBER, "NUMA nodes taken into account, 0: all"),
    RENAMED(disallow_os_alloc, 0, FLAG, "limit_os_alloc", "no memory but arenas and what is there already"),
    ROW(os_tag, 100, NUMBER, NULL, "tag of mappings", "only macOS has tags"),
    OPTION(max_errors, 32, NUMBER, "error messages printed at most, -1: any number"),
    OPTION(max_warnings, 32, NUMBER, "warnings printed at most, -1: any number"),
    ROW(deprecated_max_segment_reclaim, 10, NUMBER, NULL, "segments reclaimed at a time", OLD),
    ROW(destroy_on_exit, 0, FLAG, NULL, "give all memory back when the process exits",
        "the system does that, and until then late destructors may still free"),
    OPTION(arena_reserve, 64 * 1024, KIB,
           "addresses reserved at a time; by default beginning with 4 MiB, growing up to this"),
    OPTION(arena_purge_mult, 1, NUMBER, "multiplies purge_delay"),
    ROW(deprecated_purge_extend_delay, 1, MS, "decommit_extend_delay", "extends purge_delay", OLD),
    OPTION(disallow_arena_alloc, 0, FLAG, "arenas made from now on are exclusive"),
    ROW(retry_on_oom, 400, MS, NULL, "wait before trying again", "only on Windows in mimalloc 3.6.0, too"),
    ROW(deprecated_visit_abandoned, 1, FLAG, NULL, "let visitors see abandoned blocks", OLD),
    OPTION(guarded_min, 0, BYTES, "smallest guarded block"),
    OPTION(guarded_max, GiB, BYTES, "largest guarded block"),
    OPTION(unsafe_guarded_precise, 0, FLAG,
           "end guarded blocks exactly at the guard, whatever their alignment"),
    OPTION(guarded_sample_rate, MI_GUARDED ? 4000 : 0, NUMBER, "guard one in so many blocks, 0: none"),
    OPTION(guarded_sample_seed, 0, NUMBER, "seed of the choice, 0: random"),
    OPTION(generic_collect, 0, NUMBER,
           "a thread's slow allocations from one collection to the next, 0: none but those asked for"),
    RENAMED(page_reclaim_on_free, 1, NUMBER, "abandoned_reclaim_on_free",
            "who frees into an abandoned page takes it over; 0: only one of its own before, -1: never"),
    OPTION(page_full_retain, 16, NUMBER, "full pages that a thread keeps when there are others, -1: all"),
    ROW(page_max_candidates, 4, NUMBER, NULL, "pages compared per search",
        "the first page of a queue has room, or leaves it: none is searched for"),
    ROW(max_vabits, 0, NUMBER, NULL, "bits of an address",
        "a page is found by its distance from the window, whatever its address"),
    ROW(pagemap_commit, 0, FLAG, NULL, "commit the whole page map",
        "the map of new addresses is mapped with them"),
    ROW(page_commit_on_demand, 0, FLAG, NULL, "commit parts of pages",
        "memory that nobody touches is not backed by the system"),
    OPTION(page_max_reclaim, -1, NUMBER,
           "with so many pages of a class a thread takes none of its own back by a free, -1: no limit"),
    OPTION(page_cross_thread_max_reclaim, 4, NUMBER,
           "with so many pages of a class a thread takes none of others over by a free, -1: no limit"),
    OPTION(allow_thp, !MI_NO_THP, NUMBER,
           "transparent huge pages; 0: none, 1: beyond 64 MiB, where memory is well used and touched fast, "
           "2: however fast, and no purges below 2 MiB"),
    RENAMED(arena_purge_min_size, 0, KIB, "minimal_purge_size",
            "shorter runs of free memory are not purged, unless asked for; up to 4 MiB"),
    ROW(arena_max_object_size, 2 * 1024 * 1024, KIB, NULL, "largest block in an arena",
        "blocks of all sizes come from one window of addresses"),
    ROW(arena_is_numa_local, 0, FLAG, NULL, "use arenas of the own NUMA node only",
        "a page is on the node reserved for its arena, else on that of its first toucher"),
    ROW(stats_merge_on_collect, 1, FLAG, NULL, "merge statistics on collect", NO_MERGE),
    ROW(profile_alloc_interval, GiB, BYTES, NULL, "bytes allocated between profiles", NO_PROFILE),
    ROW(profile_inuse_interval, 0, BYTES, NULL, "growth between profiles", NO_PROFILE),
    ROW(profile_time_interval, 0, SECONDS, NULL, "time between profiles", NO_PROFILE),
    ROW(profile_sample_rate, 512 * KiB, BYTES, NULL, "bytes between samples", NO_PROFILE),
    ROW(stats_merge_threshold, 512 * KiB, BYTES, NULL, "merge statistics after so much", NO_MERGE),
    OPTION(arena_purge_immediate_size, 0, KIB,
           "blocks of this size and more are purged when they are freed, 0: none"),
    OPTION(continue_on_error, 0, FLAG, "report misuse and ignore the call instead of aborting"),
    OPTION(scavenger, !TRACKED, FLAG, "a thread purges while a threaded program is idle"),
    OPTION(keep_deepbind, 0, FLAG, "leave RTLD_DEEPBIND to dlopen"),
    OPTION(secure_level, SECURE + SECURE_FULL, NUMBER,
           "1: new blocks in mixed order, 2: and guards at pages and big blocks"),
};
_Static_assert(sizeof(table) / sizeof(table[0]) == _mi_option_last, "a row for each option");

enum { NAMES = 4, NAME_LONGEST = 40 };

option_value_t option_values[_mi_option_last];
static atomic_u32_t chosen[_mi_option_last];  /* atomic: 1: set by the environment or the program */

const option_info_t* option_info(mi_option_t option) {
  return &table[option];
}

static bool is_option(mi_option_t option) { return (unsigned)option < (unsigned)_mi_option_last; }

/* The k-th name of an option, or NULL: its own, the same without what it starts with, an older one. */
static const char* name_of(unsigned option, unsigned k) {
  static const char* const prefixes[] = {"deprecated_", "unsafe_"};
  const char* const name = table[option].name;
  if (k == 0) return name;
  if (k == NAMES - 1) return table[option].older;
  const size_t length = strlen(prefixes[k - 1]);
  return strncmp(name, prefixes[k - 1], length) == 0 ? name + length : NULL;
}

static char to_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

/* How many letters to add, drop or change to make the text (in any case) the name. */
static size_t distance(const char* text, size_t length, const char* name, size_t name_length) {
  size_t row[NAME_LONGEST + 1]; /* from the text so far to each start of the name */
  for (size_t k = 0; k <= name_length; k++) row[k] = k;
  for (size_t i = 0; i < length; i++) {
    size_t before = row[0];
    row[0] = i + 1;
    for (size_t k = 0; k < name_length; k++) {
      const size_t change = before + (to_lower(text[i]) != name[k]);
      before = row[k + 1];
      row[k + 1] = min_size(change, min_size(row[k], before) + 1);
    }
  }
  return row[name_length];
}

mi_option_t option_find(const char* text, size_t length, size_t tolerance) {
  mi_option_t found = _mi_option_last;
  for (unsigned i = 0; i < (unsigned)_mi_option_last * NAMES; i++) {
    const char* const name = name_of(i / NAMES, i % NAMES);
    const size_t name_length = name != NULL ? strlen(name) : 0;
    if (name_length == 0 || name_length > NAME_LONGEST) continue;
    if (length > name_length + tolerance || name_length > length + tolerance) continue;
    const size_t far = distance(text, length, name, name_length);
    if (far > tolerance) continue;
    found = (mi_option_t)(i / NAMES);
    if (far == 0) break;
    tolerance = far - 1; /* from here on only what is nearer */
  }
  return found;
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

/* A number, decimal or after 0x, and for sizes a suffix.  Sizes below zero are zero, those above what a long
   holds are the largest.  False: not a number, or too large. */
static bool parse_number(const char* text, option_unit_t unit, long* value) {
  const bool sized = unit == UNIT_BYTES || unit == UNIT_KIB;
  KEEP_ERRNO;
  char* end;
  errno = 0;
  long number = strtol(text, &end, strpbrk(text, "xX") != NULL ? 16 : 10);
  const bool bad = end == text || errno != 0 || number == VALUE_UNREAD;
  if (bad) return false;
  if (sized && number < 0) number = 0;
  if (*end != 0) {
    const long factor = sized ? suffix_factor(end) : 0;
    if (factor == 0) return false;
    if (__builtin_mul_overflow(number, factor, &number)) number = LONG_MAX;
  }
  *value = unit == UNIT_KIB ? number / 1024 + (number % 1024 != 0) : number;
  return true;
}

static bool parse_value(const char* text, option_unit_t unit, long* value) {
  const bool yes = is_one_of(text, (const char* const[]){"", "TRUE", "YES", "ON", NULL});
  if (!yes && !is_one_of(text, (const char* const[]){"FALSE", "NO", "OFF", NULL}))
    return parse_number(text, unit, value);
  *value = yes;
  return true;
}

setting_t option_parse_entry(const char* entry) {
  setting_t setting = {.name = entry + strlen(OPTIONS_PREFIX)};
  setting.name_length = strcspn(setting.name, "=");
  setting.option = option_find(setting.name, setting.name_length, 0);
  const char* const end = setting.name + setting.name_length; /* a word without '=' sets nothing */
  if (setting.option != _mi_option_last && *end == '=')
    setting.valid = parse_value(end + 1, table[setting.option].unit, &setting.value);
  return setting;
}

/* The first of several entries counts, and a value that the program has set meanwhile stays. */
static bool store_unread(mi_option_t option, long value) {
  long expected = VALUE_UNREAD ^ VALUE_UNREAD;
  return cas_strong_acq_rel(&option_values[option], &expected, value ^ VALUE_UNREAD);
}

static void apply_entry(const char* entry) {
  const setting_t setting = option_parse_entry(entry);
  if (setting.valid && store_unread(setting.option, setting.value)) store_relaxed(&chosen[setting.option], 1);
}

static COLD void read_environment(void) {
  os_environment(OPTIONS_PREFIX, &apply_entry);
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) store_unread((mi_option_t)i, table[i].initial);
}

long option_read(mi_option_t option) {
  read_environment();
  return load_acquire(&option_values[option]) ^ VALUE_UNREAD;
}

bool option_chosen(mi_option_t option) { return load_relaxed(&chosen[option]) != 0; }

EXPORT long mi_option_get(mi_option_t option) { return is_option(option) ? option_get(option) : 0; }

EXPORT bool mi_option_is_enabled(mi_option_t option) { return mi_option_get(option) != 0; }

EXPORT long mi_option_get_clamp(mi_option_t option, long min, long max) {
  const long value = mi_option_get(option);
  return value < min ? min : value > max ? max : value;
}

EXPORT size_t mi_option_get_size(mi_option_t option) {
  const long value = mi_option_get(option);
  if (value <= 0) return 0;
  const size_t factor = is_option(option) && table[option].unit == UNIT_KIB ? KiB : 1;
  return (size_t)value > SIZE_MAX / factor ? SIZE_MAX : (size_t)value * factor;
}

static void set_value(mi_option_t option, long value) {
  if (value == VALUE_UNREAD) value++;
  store_release(&option_values[option], value ^ VALUE_UNREAD);
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

EXPORT void mi_option_set_enabled(mi_option_t option, bool enable) { mi_option_set(option, enable ? 1 : 0); }

EXPORT void mi_option_set_enabled_default(mi_option_t option, bool enable) {
  mi_option_set_default(option, enable ? 1 : 0);
}

EXPORT void mi_option_enable(mi_option_t option) { mi_option_set(option, 1); }

EXPORT void mi_option_disable(mi_option_t option) { mi_option_set(option, 0); }

EXPORT int mi_version(void) { return MI_MALLOC_VERSION; }
