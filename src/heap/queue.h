/* SPDX-License-Identifier: MIT */
/* Doubly linked lists of pages, and the direct[] slots that mirror the first page of a class. */
#pragma once

#include "heap/heap.h"

static inline void queue_append(page_queue_t* queue, page_t* page) {
  page->next = NULL;
  page->prev = queue->last;
  if (queue->last != NULL) queue->last->next = page;
  else queue->first = page;
  queue->last = page;
  queue->count++;
}

static inline void queue_remove(page_queue_t* queue, page_t* page) {
  if (page->prev != NULL) page->prev->next = page->next;
  else queue->first = page->next;
  if (page->next != NULL) page->next->prev = page->prev;
  else queue->last = page->prev;
  page->next = NULL;
  page->prev = NULL;
  queue->count--;
}

/* The page that the fast paths take blocks of `bin` from; NULL: none.  Mirrored in the slots of its sizes. */
void part_set_current(heap_part_t* part, unsigned bin, page_t* page);
