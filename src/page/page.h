/* SPDX-License-Identifier: MIT */
/* A page: 1 .. 12 slices holding blocks of one size class, of one heap, owned by one thread at a time; or one
   big block (a "single").  The struct is the table entry of the page's first slice; in the
   entries of its other slices only owner_tag is 0, so no owner test ever succeeds on them; their other fields
   may be left from an earlier page.

   Invariants (page_is_valid checks them in debug builds; L(x) is the length of list x):
     P1  L(free) + L(local_free) + page_used() + holed == capacity, where `used` still counts what lies in
         thread_free; in a forked child one more is valid: a signal handler may have forked between two stores
         of a fast path
     P2  capacity <= reserved; blocks capacity .. reserved-1 have never been carved
     P3  every listed block lies inside the page, at a multiple of the stride
     P4  the blocks of all three lists have the mark
     P5  an abandoned page has local_free == NULL and owner_tag == TAG_ABANDONED
     P6  filled - L(free) blocks have been handed out in this life of the page: allocation pops from free,
         and whatever else changes its length counts so in filled
     P7  holed is the number of carved blocks that overlap a hole (page/holes.h); they are on no list
   Debug builds check them at every slow step, and at every 64th (MI_DEBUG_FULL: at each) of the steps that
   the fast paths take.

   Who may touch what:  owner = the thread whose tag is in owner_tag, or who won the claim of an abandoned
   page; const = set before the page is published by its start bit; atomic = anybody, through the seam. */
#pragma once

#include "base/atomics.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/track.h"
#include "memory/window.h"
#include "page/sizeclass.h"

typedef struct page_s page_t;
__extension__ typedef unsigned __int128 uint128_t;

/* What stands in a free block. */
typedef struct block_s {
  struct block_s* next;
  uintptr_t mark; /* the page's address while the block is free: freeing it again finds it there */
} block_t;

/* Values of owner_tag besides thread tags.  Thread tags are multiples of TAG_UNIT; the bits below are care
   flags that make the fast compare in free fail. */
enum {
  TAG_NOBODY = 1,    /* thread_tag of a thread that is not attached, or is inside a slow path */
  TAG_GONE = 3,      /* thread_tag of a thread that has given up its pages at its exit */
  TAG_SINGLE = 2,    /* one big block: freed by whoever holds it, no owner */
  TAG_ABANDONED = 4, /* no owner; the state in thread_free says so too */
  TAG_UNIT = 8,
  CARE_FULL = 1, /* the page is in the full list */
  CARE_HOLES = 4, /* blocks of holes have no mark */
  CARE_MASK = TAG_UNIT - 1,
};

typedef enum page_flag_e {
  PAGE_ZERO = 1,       /* what is not carved yet is zero */
  PAGE_FRESH_ZERO = 2, /* the blocks in `free` are zero behind their first word */
  PAGE_CARVED = 4,     /* the blocks in `free` are what is left of the last carving, in address order */
  PAGE_NOTED = 8,      /* the part has noted it as sparse: its free memory may be given back */
  PAGE_RETIRED = 16,   /* it was emptied, and the part keeps it for a while: heap/retired.c */
  PAGE_AGAIN = 64,     /* retired, used and emptied again: its time begins anew */
  PAGE_FENCED = 32,    /* its last OS page is guarded (heap/fenced.h) */
} page_flag_t;

struct page_s {
  atomic_word_t owner_tag; /* atomic; written by the owner */
  block_t* free;           /* owner: allocation pops here, nothing else does */
  block_t* local_free;     /* owner: the owner's frees */
  uint64_t reciprocal;     /* const: floor(2^64 / stride) + 1, see page_set_capacity */
  uint16_t used;           /* owner: blocks not in free or local_free and not holed, less `floor` */
  uint16_t floor;          /* owner: the free that leaves so many in use is told of by used == 0, too */
  uint16_t holed;          /* owner: see P7 */
  uint16_t stride;         /* const: distance of blocks; of a single: of the block from the page's start */
  atomic_u16_t capacity;   /* atomic: blocks carved so far; written by the owner */
  uint16_t reserved;       /* const: blocks that fit; of a single: bytes behind it that are its guard, or 0 */
  uint8_t bin;             /* const */
  uint8_t flags;           /* owner: page_flag_t */
  union {
    uint8_t mark;          /* who holds the part, page without live blocks: see heap/idle.c */
    uint8_t note;          /* owner, page that is noted: see heap/sparse.c; never IDLE_MARK of heap/idle.c */
  };
  uint8_t slices;          /* const: 0 for a single */
  uint64_t bound;          /* owner, others read it: see page_set_capacity */
  uint64_t key;            /* const: links are xor-ed with it (secure builds, else 0) */

  atomic_u64_t thread_free;      /* atomic: see page/remote.h; of a single: SINGLE_LIVE until freed */
  page_t* next;                  /* owner: queue links */
  page_t* prev;                  /* owner */
  atomic_word_t part; /* atomic: the owning heap part; written by the owner; of a single: its note or 0 */
  atomic_word_t heap;            /* atomic: the heap the page belongs to */
  union {
    uint64_t single_size; /* single: usable bytes */
    uint64_t filled;      /* else, owner: see P6 */
  };
  atomic_u16_t linked;           /* atomic: see heap/abandon.c */
  atomic_u16_t holes;            /* atomic, of every slice of the page: see page/holes.h; by the owner */
  atomic_u32_t abandoned_next;   /* atomic: slice index + 1 of the next page in the abandoned stack */
};

_Static_assert(sizeof(page_t) <= offsetof(table_entry_t, word), "the segment's word follows the page");
_Static_assert(offsetof(page_t, thread_free) == CACHE_LINE, "remote frees do not touch the owner's line");

static inline page_t* page_at(size_t slice) { return (page_t*)window_entry(slice); }

static inline size_t page_slice(const page_t* page) {
  return (size_t)((const table_entry_t*)page - load_settled(&window.table));
}

static inline char* page_start(const page_t* page) { return (char*)window_address(page_slice(page)); }

/* Blocks that are not in free or local_free, nor in holes.  Modulo 2^16, since frees may pass the floor. */
static inline size_t page_used(const page_t* page) { return (uint16_t)(page->used + page->floor); }

/* The floor stays only while more blocks than that are in use. */
static inline void page_set_used(page_t* page, size_t used) {
  if (used <= page->floor) page->floor = 0;
  page->used = (uint16_t)(used - page->floor);
}

static inline void page_set_floor(page_t* page, size_t floor) {
  const size_t used = page_used(page);
  page->floor = (uint16_t)floor;
  page->used = (uint16_t)(used - floor);
}

static inline size_t page_capacity(const page_t* page) {
  return load_relaxed(&((page_t*)(uintptr_t)page)->capacity);
}

/* Let e = reciprocal * stride - 2^64, which is 1 .. stride.  Modulo 2^64 the product of the reciprocal and
   the offset of block i is i * e, that of any other offset is at least the reciprocal.  So one multiplication
   and one comparison with capacity * e tell the start of a carved block from everything else.  Others may ask
   too: whoever was given a block knows of its carving. */
static inline void page_set_capacity(page_t* page, size_t capacity) {
  store_relaxed(&page->capacity, (uint16_t)capacity);
  __atomic_store_n(&page->bound, page->reciprocal * page->stride * capacity, __ATOMIC_RELAXED);
}

static inline bool page_is_single(const page_t* page) {
  return load_relaxed(&((page_t*)(uintptr_t)page)->owner_tag) == TAG_SINGLE;
}

static inline size_t page_slice_count(const page_t* page) {
  if (page->slices != 0) return page->slices;
  return div_up(page->stride + (size_t)page->single_size + page->reserved, SLICE_SIZE);
}

static inline size_t page_usable_size(const page_t* page) {
  if (page->slices == 0) return (size_t)page->single_size;
  return page->stride <= SMALL_BLOCK_MAX ? page->stride : page->stride - CACHE_LINE; /* as bin_stride */
}

/* All invariants above, of a page of blocks that the caller owns. */
bool page_is_valid(const page_t* page);

/* A step of a fast path: a walk of the lists at each would be too slow even for a debug build. */
static inline void page_check_step(const page_t* page) {
  check(!DEBUG_STEPS || page->used % DEBUG_INTERVAL != 0 || page_is_valid(page));
}

/* Links of free blocks, for every page; the fast paths use the plain field because their pages have key 0. */
static inline block_t* block_next(const page_t* page, const block_t* block) {
  track_pause();
  const uintptr_t next = (uintptr_t)block->next;
  track_resume();
  return (block_t*)(track_known(next) ^ page->key);
}
static inline void block_set_next(const page_t* page, block_t* block, block_t* next) {
  track_pause();
  block->next = (block_t*)((uintptr_t)next ^ page->key);
  track_resume();
}
static inline bool block_is_marked(const page_t* page, const block_t* block) {
  track_pause();
  const uintptr_t mark = block->mark;
  track_resume();
  return track_known(mark) == (uintptr_t)page;
}
static inline void block_set_mark(const page_t* page, block_t* block) {
  track_pause();
  if (FREE_CHECKS) block->mark = (uintptr_t)page;
  track_resume();
}

/* Is p the start of a block of this page, carved or not?  See page_set_capacity; false for a stride of 0: to
   who asks about a page of others, it may have become a single. */
static inline bool page_is_block(const page_t* page, const void* p) {
  const uint64_t offset = (uint64_t)((const char*)p - page_start(page));
  return offset * page->reciprocal < page->reciprocal * page->stride * page->reserved;
}

/* The same of any pointer. */
static inline bool block_is_valid(const page_t* page, const block_t* block) {
  return (uintptr_t)block - (uintptr_t)page_start(page) < (uintptr_t)page->slices * SLICE_SIZE &&
         page_is_block(page, block);
}

/* May it be the link of a free block? */
static inline bool link_is_valid(const page_t* page, const block_t* next) {
  const uint64_t offset = (uint64_t)((uintptr_t)next - (uintptr_t)page_start(page));
  return (offset < (uint64_t)page->slices * SLICE_SIZE && offset * page->reciprocal < page->bound) ||
         next == NULL;
}

/* Somebody has written to a free block: reported, then the process ends, whatever the options are. */
COLD _Noreturn void page_is_corrupt(const void* block);

/* Take a block: the page has one.  Its mark is cleared, so that a stale one never makes a later free look
   like a second one; for a memory checker the lists alone tell. */
static inline block_t* page_pop(page_t* page) {
  block_t* const block = page->free;
  page->used++;
  page->free = block_next(page, block);
  if (SECURE && unlikely(!link_is_valid(page, page->free))) page_is_corrupt(block);
  if (FREE_CHECKS && !TRACKED) block->mark = 0;
  page_check_step(page);
  return block;
}

/* The owner frees a block that has been checked. */
static inline void page_push_local(page_t* page, block_t* block) {
  page_check_step(page);
  block_set_mark(page, block);
  block_set_next(page, block, page->local_free);
  page->local_free = block;
  atomic_signal_fence(memory_order_release); /* as in alloc/fast.h */
  page->used--;
}

typedef enum zeroed_e { MEMORY_UNKNOWN, MEMORY_ZERO } zeroed_t;

/* Make the claimed slices a page of `bin`, owned by nobody yet, with nothing carved. */
void page_init(page_t* page, unsigned bin, zeroed_t memory);

/* Make sure that page->free holds a block: adopt local_free, else thread_free, else carve. */
typedef enum refill_e { REFILL_FULL /* there is none */, REFILL_FOUND, REFILL_CARVED } refill_t;
refill_t page_refill(page_t* page);

/* Move what other threads freed into the owner's lists without ever walking thread_free. */
void page_collect_remote(page_t* page);

/* `count` blocks that were used before have joined free. */
static inline void page_note_reused(page_t* page, size_t count) {
  if (STATISTICS) page->filled += count;
  page->flags &= (uint8_t)~(PAGE_CARVED | PAGE_FRESH_ZERO);
}

/* Append local_free to free (walks free; used where no cadence follows: abandon, visit, count). */
void page_merge_lists(page_t* page);

/* ---- holes (page/holes.h) ---- */

/* Others read the number while the owner changes it. */
static inline void page_set_holed(page_t* page, size_t count) {
  __atomic_store_n(&page->holed, (uint16_t)count, __ATOMIC_RELAXED);
}

/* Owner: give back the memory of OS pages in which nothing lives; returns the bytes. */
size_t page_make_holes(page_t* page);

/* Owner, free is empty: the blocks of the lowest hole join it.  False: there is no hole. */
bool page_fill_hole(page_t* page);

size_t page_count_holed(const page_t* page); /* P7 */

/* Is it a free block of a hole?  True or false for good reason to whoever frees a block that it was given. */
bool page_block_is_holed(const page_t* page, const void* block);

void page_forget_holes(page_t* page); /* the page begins, or its lists are built anew */

/* The length of free, as far as it stays in the page's memory: a page of others may change meanwhile. */
size_t page_free_length(const page_t* page);

/* Blocks that allocation has taken from the page in this life (P6); of a page in use by another thread an
   estimate.  Inline: it is most of what statistics cost a page. */
static inline uint64_t page_served(const page_t* page) {
  const uint64_t filled = page->filled;
  if ((page->flags & PAGE_CARVED) == 0) return filled - min_size(filled, page_free_length(page));
  /* In address order up to the last block carved; NULL lies far above.  The upper half of the product is the
     quotient by the stride. */
  const size_t capacity = load_settled(&((page_t*)(uintptr_t)page)->capacity);
  const uintptr_t offset = (uintptr_t)page->free - (uintptr_t)page_start(page);
  const size_t left = capacity - min_size(capacity, (size_t)(((uint128_t)offset * page->reciprocal) >> 64));
  return filled - min_size(filled, left);
}

/* Is the block in this list of free blocks?  Walks at most `reserved` blocks, and only valid ones, so it ends
   and never faults, even when the list changes meanwhile. */
bool page_list_holds(const page_t* page, const block_t* list, const block_t* block);

/* What blocks a page has, and which of them are free.  Made by a look from outside, also at a page of others:
   every field is read once and every walk is bounded and stays in memory that the page's slices cover, so the
   look ends and never faults; what it finds is true when nobody changes the page meanwhile. */
typedef struct page_look_s {
  char* start;
  size_t stride;
  size_t reserved;
  size_t capacity;
  uint64_t key;
  uint64_t listed[SLICE_SIZE / 16 / 64]; /* bit i: block i lies on a list of free blocks */
} page_look_t;

void page_look(const page_t* page, page_look_t* look);
void page_look_free(const page_t* page, page_look_t* look); /* by the owner: only what lies in `free` */

/* Note a block that a list elsewhere holds.  False: it is none of the page, or was noted before. */
bool page_look_note(page_look_t* look, const block_t* block);

static inline bool page_look_is_listed(const page_look_t* look, size_t index) {
  return (look->listed[index / 64] >> (index % 64)) & 1;
}

/* Rebuild a page whose owner vanished in a fork: its lists may be torn.  Live blocks are those that no valid
   list holds; afterwards the page is as an owner leaves it before abandoning. */
void page_rebuild(page_t* page);
