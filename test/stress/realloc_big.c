/* SPDX-License-Identifier: MIT */
/* Big blocks that grow and shrink: contents survive every way of resizing (in place, past the end of the
   window, by moved page tables, by copying), and what the program never touched never becomes resident. */
#include "support.h"

enum { BLOCKS = 3, STEPS = 400 };

static unsigned char mark_of(size_t block, size_t at) { return (unsigned char)(block * 37 + at / 4093 + 1); }

/* Write, or verify, a byte every 4093 bytes. */
static void touch(unsigned char* p, size_t from, size_t to, size_t block) {
  for (size_t i = (from + 4092) / 4093 * 4093; i < to; i += 4093) p[i] = mark_of(block, i);
}
static void verify(const unsigned char* p, size_t size, size_t block) {
  for (size_t i = 0; i < size; i += 4093)
    CHECK(p[i] == mark_of(block, i), "block %zu of %zu bytes: byte %zu is lost", block, size, i);
}

static void random_sizes(uint64_t seed) {
  unsigned char* blocks[BLOCKS] = {NULL};
  size_t sizes[BLOCKS] = {0};
  for (int step = 0; step < STEPS; step++) {
    const size_t b = random_below(&seed, BLOCKS);
    const size_t size = 1 + random_below(&seed, (step % 5 == 0 ? 48u : 9u) * MIB);
    unsigned char* const p = t_realloc(blocks[b], size);
    CHECK(p != NULL, "out of memory");
    verify(p, size < sizes[b] ? size : sizes[b], b);
    if (size > sizes[b]) touch(p, sizes[b], size, b);
    blocks[b] = p;
    sizes[b] = size;
  }
  for (size_t b = 0; b < BLOCKS; b++) t_free(blocks[b]);
}

/* Two blocks in turn, so that neither can grow in place for long; their last byte is all that is written. */
static void grow_untouched(void) {
  unsigned char* blocks[2] = {NULL, NULL};
  const size_t before = rss_bytes();
  for (size_t size = MIB; size <= 400u * MIB; size += MIB) {
    for (size_t b = 0; b < 2; b++) {
      unsigned char* const p = t_realloc(blocks[b], size);
      CHECK(p != NULL, "out of memory");
      CHECK(size == MIB || p[size - MIB - 1] == (unsigned char)(size / MIB - 1), "the last byte is lost");
      p[size - 1] = (unsigned char)(size / MIB);
      blocks[b] = p;
    }
  }
  const size_t more = rss_bytes() - before;
  printf("two blocks of 400 MiB, a byte per MiB written: %zu KiB more resident\n", more / KIB);
  if (HAVE_MI) CHECK(more < 32u * MIB, "%zu MiB became resident", more / MIB);
  t_free(blocks[0]);
  t_free(blocks[1]);
}

int main(void) {
  watchdog(60);
  grow_untouched();
  for (uint64_t seed = 1; seed <= 3; seed++) random_sizes(seed);
  return 0;
}
