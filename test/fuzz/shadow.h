/* SPDX-License-Identifier: MIT */
/* What the blocks alive must be: where, how large, of which heap, and with which contents. */
#ifndef TEST_FUZZ_SHADOW_H
#define TEST_FUZZ_SHADOW_H

#include "stress/support.h"

enum { ITEMS = 1024 };

typedef struct item_s {
  unsigned char* p;  /* NULL: none */
  size_t size;       /* last asked for */
  size_t filled;     /* bytes with known contents: size if zeroed, else the usable size */
  uint64_t serial;   /* determines the contents */
  mi_heap_t* heap;   /* mi_heap_main() too */
  bool zeroed;       /* zero behind filled */
  bool deferred;     /* to be freed by the callback, not touched otherwise */
} item_t;

extern item_t items[ITEMS];

/* The item is the block p from now on.  Judges overlap, usable size, heap, and zeros behind `filled`. */
void item_place(item_t* item, void* p, size_t size, mi_heap_t* heap);

/* Write contents of its own. */
void item_fill(item_t* item);

/* Are the contents what was written?  And the first `checked` bytes of them, at another place? */
void item_verify(const item_t* item);
void item_verify_at(const item_t* item, const void* p, size_t checked);

void item_free(item_t* item);

/* The allocator's own statistics against ours.  Blocks that another thread freed into a full page count as
   live until the owner has drained them: only after it collected do both agree exactly. */
void items_compare_statistics(bool exactly);

size_t items_bytes(void);

#endif
