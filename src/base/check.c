/* SPDX-License-Identifier: MIT */
/* A failed invariant: one line on standard error, then abort.  Uses nothing of the allocator. */
#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(const char* text) {
  const ssize_t written = write(STDERR_FILENO, text, strlen(text));
  UNUSED(written);
}

void check_failed(const char* what, const char* file, int line) {
  char digits[12];
  size_t at = sizeof(digits) - 1;
  digits[at] = 0;
  do {
    digits[--at] = (char)('0' + line % 10);
    line /= 10;
  } while (line != 0);
  put("mimalloc: internal invariant broken: ");
  put(what);
  put(" at ");
  put(file);
  put(":");
  put(digits + at);
  put("\n");
  abort();
}
