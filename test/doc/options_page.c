/* SPDX-License-Identifier: MIT */
/* doc/options.md, made from the table in src/core/options.c.
   usage: options_page PAGE          is the page what it would be?
          options_page PAGE --write  make it so */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "mimalloc.h"

/* Defaults of mimalloc 3.6.0 that ours differ from (test/port/binaries looks whether that is so). */
static const struct {
  mi_option_t option;
  long value;
} theirs[] = {
    {mi_option_arena_eager_commit, 2},
    {mi_option_purge_delay, 1000},
    {mi_option_arena_reserve, 1024 * 1024},
    {mi_option_arena_purge_mult, 4},
    {mi_option_generic_collect, 10000},
    {mi_option_page_full_retain, 2},
    {mi_option_page_cross_thread_max_reclaim, 32},
    {mi_option_allow_thp, 2},
    {mi_option_arena_purge_immediate_size, 32 * 1024},
};

static const char start[] =
    "<!-- SPDX-License-Identifier: MIT -->\n# Options\n"
    "\n"
    "<!-- Made from the table in src/core/options.c by test/doc/options_page.c: not edited by hand. -->\n"
    "\n"
    "Options are set in the environment, `MIMALLOC_PURGE_DELAY=100 program`, or by the program,\n"
    "`mi_option_set(mi_option_purge_delay, 100)`, as early as possible: some are looked at only once.\n"
    "`mi_options_print()` and `MIMALLOC_VERBOSE=1` show the values in force.\n"
    "\n"
    "Names in the environment may be in upper or lower case. A value is\n"
    "\n"
    "- `1`, `TRUE`, `YES`, `ON` or nothing for 1, and `0`, `FALSE`, `NO` or `OFF` for 0, in any case;\n"
    "- or a number, decimal or after `0x`, with a sign if need be;\n"
    "- for options in bytes or KiB a number of **bytes**, or a number with `K`, `M`, `G` or `T`, which `B`\n"
    "  or `iB` may follow: `64K`, `64KB` and `64KiB` are 65536 bytes. Below zero is zero. What is held in\n"
    "  KiB is rounded up: `MIMALLOC_ARENA_RESERVE=1000` is 1 KiB, and `mi_option_get` says 1;\n"
    "  `mi_option_set` takes KiB there.\n"
    "\n"
    "An unknown name and a bad value are told on stderr, once in a process, with the nearest name there is,\n"
    "and change nothing. The first of several settings counts. A process with elevated privileges (setuid)\n"
    "reads no environment.\n";

static char page[65536];
static size_t used;

static __attribute__((format(printf, 1, 2))) void put(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  used += (size_t)vsnprintf(page + used, sizeof(page) - used, format, arguments);
  va_end(arguments);
  if (used >= sizeof(page)) abort();
}

static void put_name(const char* name) {
  put("`MIMALLOC_");
  for (; *name != 0; name++) put("%c", toupper((unsigned char)*name));
  put("`");
}

/* Its own name and the others that the environment may use. */
static void put_names(mi_option_t option) {
  const option_info_t* const info = option_info(option);
  static const char* const prefixes[] = {"deprecated_", "unsafe_"};
  put_name(info->name);
  for (int i = 0; i < 2; i++) {
    const size_t length = strlen(prefixes[i]);
    if (strncmp(info->name, prefixes[i], length) != 0) continue;
    put(", ");
    put_name(info->name + length);
  }
  if (info->older == NULL) return;
  put(", ");
  put_name(info->older);
}

static void put_default(mi_option_t option) {
  if (option == mi_option_show_errors) {
    put(" | 0 (Debug build: 1) | ");
    return;
  }
  put(" | %ld | ", option_info(option)->initial);
  for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
    if (theirs[i].option == option) put("%ld", theirs[i].value);
  }
}

static bool is_deprecated(const option_info_t* info) {
  return strncmp(info->name, "deprecated_", strlen("deprecated_")) == 0;
}

static void put_page(void) {
  put("%s", start);
  put("\n## With an effect\n\nThe third column is mimalloc 3.6.0's default, where it is another one.\n"
      "`CONTINUE_ON_ERROR`, `SCAVENGER` and `KEEP_DEEPBIND` are only in this library.\n\n"
      "| variable, other names | default | 3.6.0 | unit | meaning |\n|---|---|---|---|---|\n");
  static const char* const units[] = {"flag", "number", "ms", "s", "bytes", "KiB"};
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    const option_info_t* const info = option_info((mi_option_t)i);
    if (info->unused != NULL) continue;
    put("| ");
    put_names((mi_option_t)i);
    put_default((mi_option_t)i);
    put(" | %s | %s |\n", units[info->unit], info->meaning);
  }
  put("\n## Accepted without effect\n\n"
      "| variable, other names | default | what it is for | why it has none |\n|---|---|---|---|\n");
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    const option_info_t* const info = option_info((mi_option_t)i);
    if (info->unused == NULL || is_deprecated(info)) continue;
    put("| ");
    put_names((mi_option_t)i);
    put(" | %ld | %s | %s |\n", info->initial, info->meaning, info->unused);
  }
  put("\nDeprecated in mimalloc 3.6.0, too, and without effect in both:\n\n");
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    if (!is_deprecated(option_info((mi_option_t)i))) continue;
    put("- ");
    put_names((mi_option_t)i);
    put("\n");
  }
}

int main(int argc, char** argv) {
  static char there[sizeof(page)];
  if (argc < 2) return 2;
  put_page();
  FILE* const file = fopen(argv[1], argc > 2 ? "w" : "r");
  if (file == NULL) {
    perror(argv[1]);
    return 1;
  }
  if (argc > 2) return fwrite(page, 1, used, file) != used || fclose(file) != 0;
  const size_t size = fread(there, 1, sizeof(there), file);
  fclose(file);
  if (size == used && memcmp(there, page, used) == 0) return 0;
  fprintf(stderr, "%s is not what the table of options says; to make it anew: %s %s --write\n", argv[1],
          argv[0], argv[1]);
  return 1;
}
