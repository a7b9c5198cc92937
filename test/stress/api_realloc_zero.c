/* SPDX-License-Identifier: MIT */
/* realloc in place where it can be, its rules at the edges, and zero memory from fresh and used pages. */
#include "support.h"

static void same_within(size_t size) {
  char* p = (char*)mi_malloc(size);
  CHECK(p != NULL, "out of memory");
  const size_t usable = mi_usable_size(p);
  payload_fill(p, size, 5);
  for (size_t n = usable; n >= usable / 2 + usable % 2 && n > 0; n -= 1 + n / 16) {
    CHECK(mi_realloc(p, n) == p, "%zu usable bytes: realloc to %zu moves", usable, n);
    CHECK(mi_expand(p, n) == p, "%zu usable bytes: expand to %zu refuses", usable, n);
  }
  CHECK(mi_expand(p, usable + 1) == NULL, "expand beyond the block");
  payload_check_moved(p, usable / 2 < size ? usable / 2 : size, p, size, 5);
  mi_free(p);
}

/* A big block with free neighbours behind it grows and shrinks where it is. */
static void big_in_place(void) {
  const size_t start = 2 * MIB;
  char* p = (char*)mi_malloc(start);
  CHECK(p != NULL, "out of memory");
  payload_fill(p, start, 1);
  int moves = 0;
  char* at = p;
  for (size_t n = start; n < 24 * MIB; n += 512 * KIB) {
    char* q = (char*)mi_realloc(at, n);
    CHECK(q != NULL, "out of memory");
    moves += (q != at);
    at = q;
    CHECK(mi_usable_size(at) >= n, "usable %zu of %zu", mi_usable_size(at), n);
    at[n - 1] = 1;
  }
  payload_check_moved(at, start / 2, p, start, 1);
  printf("a block grew from 2 to 24 MiB in steps of 512 KiB with %d moves\n", moves);
  CHECK(moves <= 8, "%d moves", moves);
  char* shrunk = (char*)mi_realloc(at, 13 * MIB);
  CHECK(shrunk == at, "realloc to more than a half moves");
  mi_free(shrunk);
}

static void edges(void) {
  static volatile size_t hidden = SIZE_MAX; /* no compiler may warn of what is tested */
  const size_t most = hidden;
  char* p = (char*)mi_realloc(NULL, 10);
  CHECK(p != NULL, "realloc(NULL) allocates");
  static void* volatile small;
  small = mi_realloc(p, 0);
  p = (char*)small;
  CHECK(p != NULL && mi_usable_size(p) >= 8, "mi_realloc(p, 0) gives a fresh small block");
  strcpy(p, "seven77");
  CHECK(mi_realloc(p, most) == NULL && strcmp(p, "seven77") == 0, "a failed realloc leaves the block");
  CHECK(mi_reallocn(p, most / 2, 4) == NULL && strcmp(p, "seven77") == 0, "an overflowing one, too");
  p = (char*)mi_realloc(p, 100000);
  CHECK(p != NULL && strcmp(p, "seven77") == 0, "the contents move");
  CHECK(mi_reallocf(p, most) == NULL, "reallocf fails and frees");
  CHECK(mi_expand(NULL, 10) == NULL, "expand(NULL)");
}

static void zero_of_size(size_t size) {
  enum { COUNT = 40 };
  unsigned char* blocks[COUNT];
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < COUNT; i++) {
      blocks[i] = (unsigned char*)(i % 2 == 0 ? mi_calloc(1, size) : mi_zalloc(size));
      CHECK(blocks[i] != NULL, "out of memory");
      zero_check(blocks[i], size);
      memset(blocks[i], 0xAA, mi_usable_size(blocks[i]));
    }
    for (int i = 0; i < COUNT; i++) mi_free(blocks[i]);
    if (round == 1) mi_collect(true);
  }
}

/* Zero-initialised blocks keep a zero tail through growth. */
static void rezalloc_keeps_zero(void) {
  size_t n = 10;
  unsigned char* p = (unsigned char*)mi_zalloc(n);
  while (n < 3 * MIB) {
    CHECK(p != NULL, "out of memory");
    zero_check(p, n);
    p[0] = 1; /* contents must stay */
    const size_t more = n + n / 2 + 3;
    p = (unsigned char*)mi_rezalloc(p, more);
    CHECK(p != NULL && p[0] == 1, "rezalloc lost the contents");
    p[0] = 0;
    n = more;
  }
  mi_free(p);
  p = (unsigned char*)mi_zalloc_aligned(5000, 4096);
  p = (unsigned char*)mi_rezalloc_aligned(p, 90000, 4096);
  CHECK(p != NULL && (uintptr_t)p % 4096 == 0, "rezalloc_aligned");
  zero_check(p, 90000);
  mi_free(p);
}

int main(void) {
  watchdog(60);
  for (size_t size = 16; size < 8 * MIB; size = size * 5 / 4) same_within(size);
  big_in_place();
  edges();
  for (size_t size = 1; size < 1 * MIB; size = size * 2 + 7) zero_of_size(size);
  rezalloc_keeps_zero();
  return 0;
}
