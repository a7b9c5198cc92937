/* SPDX-License-Identifier: MIT */
/* Secure builds (MI_SECURE): the last word of every block, its seal, says whether the block lives and how it
   was asked for, and is keyed by the block's address.

     carved: FREE --seal_put, by the allocation--> LIVE --seal_break: one CAS--> FREE

   So of two frees one loses, whichever threads they come from, and what is no live block's start, or was
   overwritten, is known before anything is done with it.  The bytes between the requested end and the seal
   hold a pattern that begins with 0; the seal before a block belongs to its neighbour, whose seal is good at
   any time: seals change by one store each.

   A seal: 16 bits of slack (bytes between the requested end and the seal), 5 of the alignment, 2 of the kind,
   1 of the state; above, 40 bits that depend on these, the address and the keys. */
#ifndef PAGE_SEAL_H
#define PAGE_SEAL_H

#include "page/page.h"

typedef enum block_kind_e { KIND_MALLOC, KIND_NEW, KIND_NEW_ARRAY, KIND_ANY } block_kind_t;

typedef struct seal_s {
  size_t size; /* as requested */
  unsigned alignment_shift; /* of what was asked for; 0: nothing */
  block_kind_t kind;
} seal_t;

typedef enum seal_verdict_e {
  SEAL_GOOD,
  SEAL_FREED,   /* it does not live */
  SEAL_BROKEN,  /* no seal: somebody wrote over the block's end */
  SEAL_OVERRUN, /* somebody wrote between the requested end and the seal */
  SEAL_BEFORE,  /* the neighbour's seal is none: somebody wrote before this block's start */
} seal_verdict_t;

void seal_open(const page_t* page, void* p); /* a block is carved */

/* A block goes out; what it was says whether somebody wrote to it meanwhile (then the program ends). */
void seal_put(page_t* page, void* p, seal_t seal);

/* A live block's seal changes: it has been resized, or is of another kind. */
void seal_change(const page_t* page, void* p, seal_t seal);

/* SEAL_GOOD or SEAL_OVERRUN: what the block was asked for. */
seal_verdict_t seal_read(const page_t* page, const void* p, seal_t* seal);

/* The free: SEAL_GOOD makes the block the caller's to free; anything else leaves it as it is. */
seal_verdict_t seal_break(page_t* page, void* p);

/* A number that nobody can foretell, of at most 40 bits. */
uint64_t seal_chance(const void* p);

#endif
