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
     queue --part_page_emptied--> retired in the queue --a few cadences--> released
     full --part_give_up (threads exist)--> abandoned, unlinked;  any --part_abandon_all--> abandoned
     abandoned --abandoned_claim--> queue of the claimer's part */
#ifndef HEAP_HEAP_H
#define HEAP_HEAP_H

#include "heap/pool.h"
#include "memory/counters.h"
#include "memory/slices.h"
#include "page/page.h"

typedef struct mi_heap_s heap_t; /* the public mi_heap_t */
typedef struct mi_theap_s heap_part_t;

enum {
  DIRECT_COUNT = DIRECT_SIZE_MAX / 8 + 1,
  RETIRE_CADENCES = 16,   /* slow-path visits that an empty last page of its class is kept */
  RETIRE_BYTES_MAX = 32 * 1024, /* what such a page may have carved */
  QUEUE_RETAIN = 4,       /* pages of a class that others' frees can make a part keep in its queue */
  HEAP_SEGMENT_BITS = 4096,
};

typedef enum heap_state_e { HEAP_LIVE, HEAP_DELETED, HEAP_DESTROYED } heap_state_t;
typedef enum part_state_e { PART_DEAD, PART_LIVE } part_state_t;

/* Abandoned pages of one class with something free in them; see heap/abandon.c. */
typedef struct abandoned_s {
  atomic_u64_t head;  /* version << 32 | slice index + 1 */
  atomic_u32_t count; /* entries, roughly */
  atomic_u32_t empty; /* entries whose page has no live block, roughly */
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

typedef struct page_queue_s {
  page_t* first;
  page_t* last;
  size_t count;
} page_queue_t;

struct mi_theap_s {
  page_t* direct[DIRECT_COUNT]; /* owner: first page of the class of (index * 8) bytes, or the empty page */
  pool_link_t link;
  atomic_word_t delayed; /* atomic: blocks of full pages freed by other threads */
  atomic_u32_t state;    /* atomic: part_state_t */
  uintptr_t tag;         /* owner: the thread's tag */
  heap_t* heap;          /* owner */
  heap_part_t* sibling;  /* owner: next part of the same thread */
  uint64_t retired[2];   /* owner: bins that may have a retired page */
  size_t pages_looked_at; /* owner: steps of the page search, for tests and statistics */
  page_queue_t full;
  page_queue_t queues[BIN_COUNT];
  page_t* current[BIN_COUNT]; /* owner: first page of the queue once the slow path has chosen it, else NULL */
};

extern heap_t heap_main;
extern heap_part_t part_empty; /* the part of a thread that has none: every slot holds the empty page */
extern tally_t heap_tally;            /* of the process, all heaps that ever were */
extern level_t heap_pages[BIN_COUNT]; /* pages of each bin, of the process */
extern level_t heap_count;            /* heaps, without the main one */
extern level_t heap_part_count;
extern atomic_u32_t heap_threads;   /* attached threads */
extern atomic_u32_t heap_strangers; /* 1: a thread that never allocated has freed */

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
void part_attach(heap_part_t* part, page_t* page);       /* a claimed page joins the queues */
void part_unfull(heap_part_t* part, page_t* page);
void part_give_up(heap_part_t* part, page_t* full);      /* a full page is abandoned */
void part_page_emptied(heap_part_t* part, page_t* page);
void part_free_local(heap_part_t* part, page_t* page, block_t* block); /* any owned page, block checked */
/* the same, freed by another thread */
void part_free_delivered(heap_part_t* part, page_t* page, block_t* block);
void part_tick(heap_part_t* part);         /* one cadence: retired pages */
void part_collect(heap_part_t* part);      /* adopt all remote frees, release all empty pages */
void part_abandon_all(heap_part_t* part);  /* thread exit: release or abandon every page */
void part_move_all(heap_part_t* part, heap_part_t* to); /* heap delete: the pages join another part */
void part_forget(heap_part_t* part);       /* the heap was destroyed: the pages are gone already */
bool part_is_valid(const heap_part_t* part);

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
void abandoned_sweep(heap_t* heap);
void abandoned_unlink_all(heap_t* heap);               /* destroy: forget all entries */

/* ---- big blocks (heap/single.c) ---- */
typedef struct single_request_s {
  size_t size;
  size_t alignment; /* power of two, or 0 */
  size_t offset;    /* (p + offset) is what shall be aligned */
} single_request_t;
page_t* single_alloc(heap_t* heap, single_request_t request, zeroed_t* memory);
bool single_free(page_t* page);                    /* false: it was freed already */
bool single_resize(page_t* page, size_t size);     /* in place; false: not possible */
/* The contents go to a bigger single without a copy; false: not possible, nothing has changed. */
bool single_move(page_t* page, page_t* to);

#endif
