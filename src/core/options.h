/* SPDX-License-Identifier: MIT */
/* The options: one table holds name, default, unit and meaning of each, and everything else (the
   environment's parser, the printed list, the documentation) comes from it. A value is one atomic word;
   VALUE_UNREAD says that the environment has not been looked at.  The first call to read an unread option
   reads the environment, whichever thread it is; several at a time do the same work with the same result,
   and none overwrites what mi_option_set has stored meanwhile (compare and swap from unread). */
#pragma once

#include <limits.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "base/config.h"
#include "mimalloc.h"

typedef enum option_unit_e {
  UNIT_FLAG,    /* a boolean, or a small number of choices */
  UNIT_NUMBER,  /* a count */
  UNIT_MS,      /* milliseconds */
  UNIT_SECONDS, /* seconds */
  UNIT_BYTES,   /* a size, suffixes allowed */
  UNIT_KIB,     /* a size held in KiB; in the environment a number without suffix is bytes */
} option_unit_t;

typedef struct option_info_s {
  const char* name; /* in lower case, without MIMALLOC_ */
  long initial;
  option_unit_t unit;
  const char* older; /* another name that programs and scripts use, or NULL */
  const char* meaning;
  const char* unused; /* why the option is accepted and has no effect; NULL: it has one */
} option_info_t;

/* The table's row; option < _mi_option_last. */
const option_info_t* option_info(mi_option_t option);

#define VALUE_UNREAD LONG_MIN

/* Atomic: value ^ VALUE_UNREAD, because zero, as the process starts, must mean unread. */
typedef _Atomic(long) option_value_t;
extern HIDDEN option_value_t option_values[];
long option_read(mi_option_t option);

/* The current value; option < _mi_option_last.  Anybody may call this at any time, from the first instruction
   of the process on. */
static inline long option_get(mi_option_t option) {
  const long value = load_acquire(&option_values[option]) ^ VALUE_UNREAD;
  return likely(value != VALUE_UNREAD) ? value : option_read(option);
}
static inline bool option_enabled(mi_option_t option) { return option_get(option) != 0; }

/* What is hardened on slow paths, in every build: 1: the order of blocks, 2: and there are guards. */
static inline bool is_hardened(long level) {
  return SECURE + SECURE_FULL >= level || option_get(mi_option_secure_level) >= level;
}

/* The option was set by the environment or the program; option < _mi_option_last. */
bool option_chosen(mi_option_t option);

/* ---- for printing ---- */

/* What an entry MIMALLOC_NAME=value of the environment says. */
#define OPTIONS_PREFIX "MIMALLOC_"
typedef struct setting_s {
  mi_option_t option; /* _mi_option_last: there is no such option */
  bool valid;         /* value is */
  long value;
  const char* name;
  size_t name_length;
} setting_t;
setting_t option_parse_entry(const char* entry);

/* The option whose name is the nearest to a text, at most `tolerance` letters off; else _mi_option_last. */
mi_option_t option_find(const char* text, size_t length, size_t tolerance);
