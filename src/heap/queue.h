/* SPDX-License-Identifier: MIT */
/* Doubly linked lists of pages, and the direct[] slots that mirror the first page of a class. */
#ifndef HEAP_QUEUE_H
#define HEAP_QUEUE_H

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

/* Let the slots of the sizes of `bin` point to the first page of its queue.  Tiny blocks have no slots. */
void part_update_direct(heap_part_t* part, unsigned bin);

#endif
