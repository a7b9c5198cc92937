/* SPDX-License-Identifier: MIT */
/* All sizes from 0 to 1 MiB: what a block offers, how it is aligned, and what its size class wastes. */
#include "support.h"

enum { LARGEST = 1 * MIB };

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/* Waste of the size class alone: at most an eighth of the request from 128 bytes on; between 64 and 128
   bytes, where the ABI's 16-byte alignment alone may cost more, an eighth over the rounding to it. */
static void check_class(size_t n) {
  const size_t good = mi_good_size(n);
  CHECK(good >= n, "good_size(%zu) is %zu", n, good);
  CHECK(mi_good_size(good) == good, "good_size(%zu) is %zu, but good_size of that is %zu", n, good,
        mi_good_size(good));
  CHECK(n < 2 || mi_good_size(n - 1) <= good, "good_size is not monotonic at %zu", n);
  if (n >= 128) CHECK(good - n <= n / 8, "%zu bytes waste %zu", n, good - n);
  else if (n > 64) CHECK(good - round_up(n, 16) <= n / 8, "%zu bytes waste %zu", n, good - n);
}

static void check_block(size_t n, void* p) {
  const uintptr_t address = (uintptr_t)p;
  CHECK(p != NULL, "no block of %zu bytes", n);
  CHECK(mi_usable_size(p) >= n, "usable %zu of %zu bytes", mi_usable_size(p), n);
  CHECK(address % 8 == 0, "%zu bytes at %p", n, p);
  if (n >= 16) CHECK(address % 16 == 0, "%zu bytes at %p: not 16-byte aligned", n, p);
  if (n != 0 && (n & (n - 1)) == 0 && n <= 4096)
    CHECK(address % n == 0, "%zu bytes at %p: not size-aligned", n, p);
  if (n >= 128) CHECK(mi_usable_size(p) - n <= n / 8, "%zu bytes: usable %zu", n, mi_usable_size(p));
}

int main(void) {
  void* last[64] = {NULL};
  watchdog(120);
  for (size_t n = 0; n <= LARGEST; n++) {
    check_class(n);
    void** slot = &last[n % 64]; /* some stay, so that the blocks are not always the same */
    mi_free(*slot);
    *slot = mi_malloc(n);
    check_block(n, *slot);
    if (n > 0) ((char*)*slot)[n - 1] = 1;
  }
  for (int i = 0; i < 64; i++) mi_free(last[i]);
  for (size_t n = 8; n <= 4096; n *= 2) { /* whole pages of the classes that promise alignment */
    void** blocks = (void**)mi_malloc(2000 * sizeof(void*));
    for (int i = 0; i < 2000; i++) check_block(n, blocks[i] = mi_malloc(n));
    for (int i = 0; i < 2000; i++) mi_free(blocks[i]);
    mi_free(blocks);
  }
  return 0;
}
