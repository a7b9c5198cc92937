/* SPDX-License-Identifier: MIT */
/* Invariants.  `check` costs nothing in a release build but still type-checks; a failed one says where and
   aborts. */
#pragma once

#include "base/compiler.h"
#include "base/config.h"

COLD void check_failed(const char* what);

#define CHECK_TEXT(x)   #x
#define CHECK_LINE(line) CHECK_TEXT(line)
#define check(condition)                                                        \
  do {                                                                          \
    if (DEBUG_CHECKS && unlikely(!(condition)))                                 \
      check_failed(#condition " at " __FILE__ ":" CHECK_LINE(__LINE__) "\n");   \
  } while (0)
