/* SPDX-License-Identifier: MIT */
/* What the tests of the address space share.  The window is one per process, so each case that needs a fresh
   one runs in a forked child: in_child(body) passes when the body returns there. */
#ifndef TEST_UNIT_MEMORY_SUPPORT_H
#define TEST_UNIT_MEMORY_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/options.h"
#include "memory/counters.h"
#include "memory/purge.h"
#include "memory/slices.h"
#include "memory/summary.h"
#include "sanitized.h"

/* For what a sanitizer changes: it maps memory of its own, and leaves mlock and mincore's answers out. */
#define SKIP_SANITIZED() \
  do {                   \
    if (SANITIZED) {     \
      skip();            \
    }                    \
  } while (0)

/* An assertion that also works in a child and in a thread. */
#define must(condition)                                                         \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                 \
    }                                                                           \
  } while (0)

static inline void in_child(void (*body)(void)) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* xorshift: the same sequence on every run. */
static inline uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* Write to each slice, at its start and at its end. */
static inline void stamp(size_t slice, size_t count, uint64_t with) {
  for (size_t i = slice; i < slice + count; i++) {
    uint64_t* const words = window_address(i);
    words[0] = words[SLICE_SIZE / sizeof(uint64_t) - 1] = with;
  }
}

static inline bool is_stamped(size_t slice, size_t count, uint64_t with) {
  for (size_t i = slice; i < slice + count; i++) {
    const uint64_t* const words = window_address(i);
    if (words[0] != with || words[SLICE_SIZE / sizeof(uint64_t) - 1] != with) return false;
  }
  return true;
}

/* Claim and write to it; a zero claim must be zero. */
static inline claim_t claim_and_stamp(size_t count, size_t alignment, uint64_t with) {
  claim_t claim = {SLICE_NONE, 0, false};
  if (!slices_claim(count, alignment, &claim)) return (claim_t){SLICE_NONE, 0, false};
  must(claim.count == count);
  must((uintptr_t)window_address(claim.slice) % alignment == 0);
  must((claim.slice + count) * SLICE_SIZE <= window.limit);
  if (claim.zero) must(is_stamped(claim.slice, count, 0));
  stamp(claim.slice, count, with);
  return claim;
}

#endif
