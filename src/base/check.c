/* SPDX-License-Identifier: MIT */
/* A failed invariant: one line on standard error, then abort.  Uses nothing of the allocator. */
#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(const char* text) {
  NOT_USED const ssize_t written = write(STDERR_FILENO, text, strlen(text));
}

void check_failed(const char* what) {
  put("mimalloc: internal invariant broken: ");
  put(what);
  abort();
}
