/* SPDX-License-Identifier: MIT */
/* What the allocation entries share.  The call tree:

     malloc_fast ----cold----> alloc_slow ---> alloc_generic ---> part_find_page | single_alloc
     free_fast   ----cold----> free_outside | free_slow | free_emptied
     every other entry builds a request_t and calls alloc_generic, or free_fast */
#pragma once

#include "mimalloc.h"
#include "page/seal.h"
#include "thread/thread.h"

/* What an entry wants.  alignment 0 (or up to 16): natural; offset: (p + offset) is what shall be aligned. */
typedef struct request_s {
  heap_t* heap; /* NULL: the calling thread's default */
  size_t size;
  size_t alignment;
  size_t offset;
  zeroed_t memory; /* MEMORY_ZERO: all usable bytes are to be zero */
  bool grows;      /* the block replaces a smaller one, and may have to grow again: in place, so no fence */
} request_t;

static inline heap_t* heap_or_main(mi_heap_t* heap) {
  return likely(heap != NULL) ? heap : thread_main_heap();
}
static inline heap_t* theap_heap(const mi_theap_t* theap) {
  return likely(theap != NULL) ? theap->heap : thread_main_heap();
}

/* The end of a live heap other than the process's main one: its blocks live on, or are gone. */
void heap_delete(heap_t* heap);
void heap_destroy(heap_t* heap);

/* Does every block of its size meet the request's alignment? */
static inline bool request_is_natural(const request_t* request) {
  return request->alignment <= 16 && (request->alignment <= 1 || request->offset % request->alignment == 0);
}

static inline unsigned alignment_shift(const request_t* request) {
  return request->alignment > 1 ? bit_lowest(request->alignment) : 0;
}

/* A block, or NULL after deferred frees, a collection and a second try: errno is ENOMEM and the error hook
   has been told (ENOMEM; EOVERFLOW for a size above ALLOC_SIZE_MAX; EINVAL for an alignment that is no power
   of two). */
NOINLINE void* alloc_generic(request_t request); /* not cold: each page visit is one */

/* The tails of the fast paths. */
NOINLINE void* alloc_slow(size_t size);
NOINLINE void* alloc_slow_zero(size_t size);
NOINLINE void free_slow(void* p, page_t* page);
/* Secure builds: a block of a page of the calling thread. */
NOINLINE void free_sealed(void* p, page_t* page, seal_claim_t claim);
COLD void free_outside(void* p);

/* Secure builds: report a block that is not what the caller says.  An alignment of 0 says nothing. */
void free_check_claims(void* p, seal_claim_t claim, size_t alignment);
void free_parked(void); /* fully secure builds: end the delay of what has been freed */
void* block_of_kind(void* p, block_kind_t kind); /* p may be NULL */
NOINLINE void free_emptied(page_t* page);

/* NULL with errno ENOMEM and the hook told EOVERFLOW. */
COLD void* alloc_overflow(const char* what, size_t count, size_t size);

/* The page of a block that is to be resized or measured; NULL when p is not ours or is
   not a live block's start (then it has been reported). */
typedef enum ownership_e { BLOCK_OURS, BLOCK_FOREIGN, BLOCK_BAD } ownership_t;
ownership_t block_lookup(const void* p, const char* verb, page_t** page);

/* Builds for a memory checker: the size that was asked for, at the block's end. */
static inline size_t* block_tail(const page_t* page, const void* p) {
  return (size_t*)((uintptr_t)p + page_usable_size(page)) - 1;
}

/* Bytes of the block that p starts; the block has been looked up. */
static inline size_t block_usable_size(const page_t* page, const void* p) {
  if (SECURE) {
    seal_t seal = {0};
    seal_read(page, p, &seal);
    return seal.size;
  }
  if (!TRACKED) return page_usable_size(page);
  track_pause();
  const size_t size = *block_tail(page, p);
  track_resume();
  return size;
}

/* realloc in all its forms.  NULL: as alloc_generic, and p is what it was.  Size 0 gives a fresh minimal
   block. */
void* resize(void* p, request_t request);
/* The same for callers who gave an alignment: it must be a power of two (else NULL, EINVAL). */
void* resize_aligned(void* p, request_t request);

/* Call the user's deferred_free, unless it runs already. */
typedef enum cadence_e { CADENCE_NORMAL, CADENCE_FORCED } cadence_t;
void alloc_cadence(cadence_t cadence);

/* Release what the calling thread can; CADENCE_FORCED: and purge all free memory. */
void alloc_collect(cadence_t cadence);

/* Collect when the calling thread's slow allocations so far are a multiple of `every` (> 0). */
void alloc_collect_by_count(long every);
/* Collect the calling thread's pages and give all free memory of the process back to the OS; returns bytes.
 */
size_t memory_trim(void);

/* ---- sampled blocks (alloc/guarded.c) ---- */
/* A sampled block has been allocated, or will be freed; other pages are passed over. */
void guarded_allocated(page_t* page);
void guarded_freed(page_t* page);
void guarded_prepare(void); /* from now on with stacks; not inside an allocation */
/* Report the use of a fenced block that was freed a while ago; false: p is none. */
bool guarded_report_freed(const char* verb, const void* p);

/* ---- blocks of size 0 (alloc/zone.c) ---- */
/* Secure builds: blocks of size 0 are addresses without memory, so any access to one faults.  Each is 16
   bytes from the next; they are given out in turn, so the same one comes again after a million others. */
void* zone_alloc(void); /* NULL: there are no addresses, or a million of them live */
bool zone_holds(const void* p);
void zone_free(void* p); /* what is no live block is reported */
bool zone_is_live(const char* verb, const void* p); /* the same */
