/* SPDX-License-Identifier: MIT */
/* Heaps.  A heap is an identity shared by all threads plus one part per thread that allocates from it; the
   part owns pages and is touched by its thread only, but for the list of delayed remote frees.

     heap --state--> HEAP_LIVE --mi_heap_delete--> HEAP_DELETED    blocks live on in the main heap
                               --mi_heap_destroy-> HEAP_DESTROYED  blocks are gone
   Parts of other threads notice lazily (thread_settle).  Heaps, parts and threads are type-stable
   (heap/pool.h): a remote free that slept may still push to a part that has died, so a pusher looks at the
   part's state after its push, and empties the list itself when the part is dead.

   Page queues: a page with free blocks, or that may have some, is in queues[bin] of its part; the slow path
   takes the first and makes it current: only from there do the fast paths allocate.  When the current page
   leaves, the class has none until the next slow path, so at most one list of each class is used up between
   two cadences.  A page found full leaves for `full`, where nobody searches.

     empty table entry --part_fresh_page--> queue --part_find_page--> full --part_unfull--> queue
     queue --part_page_emptied--> retired in the queue (heap/retired.c) --16 or 512 cadences--> released
     full --part_give_up (there are too many)--> abandoned, unlinked;  any --part_abandon_all--> abandoned
     abandoned --abandoned_claim--> queue of the claimer's part */
#pragma once

#include "heap/pool.h"
#include "memory/counters.h"
#include "memory/slices.h"
#include "page/page.h"

typedef struct mi_heap_s heap_t; /* the public mi_heap_t */
typedef struct mi_theap_s heap_part_t;

enum {
  DIRECT_COUNT = DIRECT_SIZE_MAX / 8 + 1,
  RETIRE_CADENCES = 16,          /* slow-path visits that an empty page is kept, ... */
  RETIRE_CADENCES_LIGHT = 512,   /* ... one of which little was carved, ... */
  LIGHT_BYTES_MAX = 16 * 1024,   /* ... which is this, or ... */
  LIGHT_BLOCKS_MAX = 4,          /* ... so many blocks */
  RETIRE_BYTES_MAX = 512 * 1024, /* what such pages of a part may have carved, of each kind, ... */
  RETIRED_MAX = 64,              /* ... and how many they may be */
  RETIRED_LISTS = 2,
  QUEUE_RETAIN = 4,       /* pages of a class that others' frees can make a part keep in its queue */
  HEAP_SEGMENT_BITS = 4096,
  SPARSE_NOTES = 1024, /* nearly empty pages that a part remembers */
};

typedef enum heap_state_e { HEAP_LIVE, HEAP_DELETED, HEAP_DESTROYED } heap_state_t;
typedef enum collect_e { COLLECT_PAGES, COLLECT_HOLES } collect_t;
typedef enum part_state_e { PART_DEAD, PART_LIVE } part_state_t;

/* Abandoned pages of one class with something free in them; see heap/abandon.c. */
typedef struct abandoned_s {
  atomic_u64_t head;  /* version << 32 | slice index + 1 */
  atomic_u32_t count; /* entries, roughly */
  atomic_u32_t empty; /* entries whose page has no live block, roughly */
  atomic_u32_t quiet; /* 0: nothing was freed since the scavenger cared for them; else its looks since */
} abandoned_t;

/* Blocks handed out, per bin by pages that have gone (what pages still there have handed out is read off
   them); and all big blocks ever allocated, the last bin, with their bytes. */
typedef struct tally_s {
  atomic_u64_t blocks[BIN_COUNT + 1];
  atomic_u64_t big_bytes;
} tally_t;

struct mi_heap_s {
  pool_link_t link;
  atomic_u32_t state; /* atomic: heap_state_t */
  atomic_u32_t parts; /* atomic: parts and heaps that refer to the heap, plus one while it is live */
  home_t home;        /* where its memory comes from */
  heap_t* heir;       /* const: who gets the pages when it is deleted; NULL: it is never deleted */
  uint32_t only_delete; /* const: mi_heap_destroy deletes */
  uint32_t slot;      /* const: index in every thread's table of parts; the main heap has 0 */
  heap_t* main;       /* const: the main heap of its sub-process; NULL: it is one itself */
  heap_t* all_next;   /* const: next heap that was ever made */
  /* atomic: bit (segment % 4096) is set if a page was claimed there */
  atomic_u64_t segments[HEAP_SEGMENT_BITS / 64];
  abandoned_t abandoned[BIN_COUNT];
  tally_t tally;
  tally_t subprocess; /* of a main heap: of all heaps of the sub-process that ever were */
};

/* What a part's owner counts for statistics.  The first three are what the page search found in the pages
   that it looked at: one addition for each. */
typedef enum part_count_e {
  PART_LOOKED_AT_FULL = REFILL_FULL, PART_LOOKED_AT_FOUND = REFILL_FOUND,
  PART_LOOKED_AT_CARVED = REFILL_CARVED,
  PART_RETIRED,         /* empty pages kept for a while */
  PART_CLAIMED,         /* abandoned pages taken to allocate from ... */
  PART_CLAIMED_BY_FREE, /* ... or because the thread freed into them */
  PART_GIVEN_UP,        /* full pages abandoned while the thread goes on */
  PART_COUNTS
} part_count_t;

typedef struct page_queue_s {
  page_t* first;
  page_t* last;
  size_t count;
} page_queue_t;

/* Pages that have become nearly empty and have kept their free memory, oldest first (heap/sparse.c). */
typedef struct sparse_s {
  uint32_t first, count; /* a ring; notes of pages that were used again since are stale */
  uint32_t notes[SPARSE_NOTES]; /* slice numbers, and more */
} sparse_t;

/* Empty pages that are kept for a while, oldest first (heap/retired.c). */
typedef struct kept_s {
  page_t* page;
  uint32_t since; /* the cadence */
  uint32_t bytes; /* carved */
} kept_t;

typedef struct retired_s {
  uint32_t count;
  size_t bytes;
  kept_t kept[RETIRED_MAX];
} retired_t;

/* One allocation in `rate` is fenced (heap/sampling.h). */
typedef struct sampling_s {
  uint32_t rate; /* 0: none */
  size_t min, max; /* bytes */
  uint64_t random;
  uint32_t left[BIN_COUNT + 1]; /* allocations of each bin, and of big blocks, until the next sample */
} sampling_t;

struct mi_theap_s {
  page_t* direct[DIRECT_COUNT]; /* owner: first page of the class of (index * 8) bytes, or the empty page */
  pool_link_t link;
  atomic_word_t delayed; /* atomic: blocks of full pages freed by other threads */
  atomic_u32_t state;    /* atomic: part_state_t */
  uintptr_t tag;         /* owner: the thread's tag */
  heap_t* heap;          /* owner */
  heap_part_t* sibling;  /* owner: next part of the same thread, ... */
  heap_part_t* before;   /* ... and the one that it is the next of */
  atomic_u64_t counts[PART_COUNTS]; /* owner: see part_count_e; never cleared while the part lives */
  page_queue_t full;
  page_queue_t queues[BIN_COUNT];
  page_t* current[BIN_COUNT]; /* owner: first page of the queue once the slow path has chosen it, else NULL */
  uint32_t cadence;      /* owner: slow-path visits */
  retired_t retired[RETIRED_LISTS]; /* light ones, others */
  sparse_t sparse;
  sampling_t sampling;
};

extern heap_t heap_main;
extern heap_part_t part_empty; /* the part of a thread that has none: every slot holds the empty page */
extern tally_t heap_tally;            /* of the process, all heaps that ever were */
extern level_t heap_pages[BIN_COUNT]; /* pages of each bin, of the process */
extern level_t heap_count;            /* heaps, without the main one */
extern level_t heap_part_count;
extern atomic_u64_t heap_part_counts[PART_COUNTS]; /* of parts that have gone */
extern atomic_u32_t heap_threads;   /* attached threads */
extern atomic_u32_t heap_strangers; /* 1: a thread that never allocated has freed */

static inline void part_count(heap_part_t* part, part_count_t what) { figure_count(&part->counts[what]); }

/* For policy: does memory pass between threads? */
static inline bool heap_is_threaded(void) {
  return load_relaxed(&heap_threads) > 1 || load_relaxed(&heap_strangers) != 0;
}

/* A live heap of the sub-process of `main` (NULL: the main heap of a new one), or NULL when out of memory;
   and the end of a reference (a part's, another heap's, or the live heap's own). */
heap_t* heap_create(heap_t* main);
/* A heap whose pages lie in the arena; NULL: as heap_create.  In an exclusive arena they stay the arena's
   after its end, as the pages of a heap that nobody allocates from. */
heap_t* heap_create_in(struct arena_s* arena, heap_t* main);
void heap_unref(heap_t* heap);

/* A sub-process is a main heap and the heaps made by its threads; each heap keeps its main heap's record. */
static inline heap_t* heap_main_of(heap_t* heap) { return heap->main != NULL ? heap->main : heap; }

/* The main heap that a public id names; NULL: there is no such sub-process (any more). */
static inline heap_t* heap_subprocess(void* id) {
  heap_t* const main = (heap_t*)id;
  return main != NULL && main->main == NULL && load_acquire(&main->state) == HEAP_LIVE ? main : NULL;
}

/* All live heaps of the sub-process, its main heap first; stops when `visit` says so, and returns false. */
typedef bool heap_visit_t(heap_t* heap, void* arg);
bool heap_visit_heaps(heap_t* main, heap_visit_t* visit, void* arg);

/* The page goes for good, or begins: its account is closed, or opened. */
void heap_open_page(unsigned bin);
void heap_close_page(page_t* page);
/* Big blocks that `heap` got, or bytes that one grew by. */
void heap_count_big(heap_t* heap, size_t blocks, size_t bytes);
/* The heap that the page's blocks belong to: not a deleted one. */
heap_t* heap_of_page(page_t* page);

/* ---- a part's pages (owner only) ---- */
void part_init(heap_part_t* part, heap_t* heap, uintptr_t tag);
/* a page with page->free != NULL; NULL: out of memory */
page_t* part_find_page(heap_part_t* part, unsigned bin);
refill_t part_refill(heap_part_t* part, page_t* page); /* page_refill of a page that allocation pops from */
void part_attach(heap_part_t* part, page_t* page);       /* a claimed page joins the queues */
void part_unfull(heap_part_t* part, page_t* page);
void part_give_up(heap_part_t* part, page_t* full);      /* a full page is abandoned */
void part_page_emptied(heap_part_t* part, page_t* page);
void part_page_thinned(heap_part_t* part, page_t* page); /* a free made page->used 0: emptied, or sparse */
void part_free_local(heap_part_t* part, page_t* page, block_t* block); /* any owned page, block checked */
/* the same, freed by another thread */
void part_free_delivered(heap_part_t* part, page_t* page, block_t* block);
void part_tick(heap_part_t* part);         /* one cadence: retired pages */
/* adopt all remote frees, release all empty pages, and perhaps what is free inside the others */
void part_collect(heap_part_t* part, collect_t what);
void part_abandon_all(heap_part_t* part);  /* thread exit: release or abandon every page */
void part_move_all(heap_part_t* part, heap_part_t* to); /* heap delete: the pages join another part */
void part_forget(heap_part_t* part);       /* the heap was destroyed: the pages are gone already */
bool part_is_valid(const heap_part_t* part);

/* The tag of a page that the part owns and has in a queue. */
static inline uintptr_t part_tag(const heap_part_t* part, const page_t* page) {
  return part->tag | (page->holed != 0 ? CARE_HOLES : 0);
}

/* ---- empty pages (heap/retired.c; owner) ---- */
/* NULL: the page is retired.  Else a page to release first, perhaps this one. */
page_t* part_retire(heap_part_t* part, page_t* page);
page_t* part_retired_due(heap_part_t* part); /* one to release now, or NULL */
void part_forget_retired(heap_part_t* part, page_t* page); /* it leaves, or serves again; if it is retired */

/* ---- nearly empty pages (heap/sparse.c; owner) ---- */
void page_watch(page_t* page);        /* it is in use: tell when it is nearly empty, */
void page_note_thinner(page_t* page); /* and when half of that has gone */
void part_note_sparse(heap_part_t* part, page_t* page);
void page_forget_note(page_t* page);  /* the page leaves, or serves again */
void part_make_holes(heap_part_t* part, page_t* page);

/* ---- remote and delayed frees (heap/delayed.c) ---- */
/* anybody: free a checked block of a page that is not one's own */
void heap_free_remote(page_t* page, block_t* block);
void part_drain(heap_part_t* part);                     /* owner: free what others delivered to the part */
bool part_delays_block(heap_part_t* part, const block_t* block); /* is it on the list? */
/* anybody: look along the list until `visit` says true; true when it did.  Ends and never faults. */
typedef bool delayed_visit_t(page_t* page, const block_t* listed, void* arg);
bool part_look_delayed(heap_part_t* part, delayed_visit_t* visit, void* arg);
/* owner, part without pages: nothing delivered is lost */
void part_die(heap_part_t* part);

/* ---- parts of idle threads (heap/idle.c); who holds the part (thread/idle.c) ---- */
bool part_idle_look(heap_part_t* part);    /* give up full pages, mark empty ones; true: some are marked */
/* after a barrier everywhere: the marked pages go back to the OS */
void part_idle_release(heap_part_t* part);
void part_drain_held(heap_part_t* part);   /* heap/delayed.c: free what others delivered */

/* ---- a heap's pages (anybody) ---- */
page_t* page_of(const void* p);  /* the page whose slices cover p; NULL when there is none */
void heap_note_page(heap_t* heap, const page_t* page);
/* an empty page that the caller owns goes back, or stays parked while linked */
void page_release(page_t* page);
/* The end of any page, with its guards: its slices become free, purged first or not. */
typedef void slices_end_t(size_t slice, size_t count);
void heap_end_page(page_t* page, slices_end_t* release);

/* Visit the pages of a heap: pages of other heaps in the same segments are passed over. */
typedef void page_visit_t(page_t* page, void* arg);
void heap_visit_pages(const heap_t* heap, page_visit_t* visit, void* arg);
void heap_visit_all_pages(page_visit_t* visit, void* arg); /* of all heaps */

/* ---- abandoned pages (heap/abandon.c) ---- */
/* owner, page in no queue: give it up, or release it if empty */
void page_abandon(page_t* page);
void abandoned_link(heap_t* heap, unsigned bin, page_t* page); /* it has got a free block: make it findable */
page_t* abandoned_claim(heap_t* heap, unsigned bin);   /* NULL: none */
void abandoned_note_empty(heap_t* heap, unsigned bin); /* a linked page has lost its last block */
/* release the empty ones, forward those of a deleted heap */
void abandoned_sweep(heap_t* heap, collect_t what);
/* Anybody has freed into such pages, or abandoned some; and the scavenger: give back what has been free
   inside them for a while. */
void abandoned_note_frees(heap_t* heap, unsigned bin);
void abandoned_tidy(heap_t* heap);
void abandoned_unlink_all(heap_t* heap);               /* destroy: forget all entries */

/* ---- big blocks (heap/single.c) ---- */
typedef struct single_request_s {
  size_t size;
  size_t alignment; /* power of two, or 0 */
  size_t offset;    /* (p + offset) is what shall be aligned */
  bool fenced; /* between guards (heap/fenced.h), if they are to be had; the size is without BLOCK_TAIL */
} single_request_t;
page_t* single_alloc(heap_t* heap, single_request_t request, zeroed_t* memory);
/* A free: true: the page is the caller's to end (heap_end_page); false: it was freed already. */
bool single_claim(page_t* page);
bool single_resize(page_t* page, size_t size);     /* in place; false: not possible */
/* The contents go to a bigger single without a copy; false: not possible, nothing has changed. */
bool single_move(page_t* page, page_t* to);
