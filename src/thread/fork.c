/* SPDX-License-Identifier: MIT */
/* Fork.  A word that the kernel wipes in every child (fork, _Fork, raw clone alike) tells a slow path that it
   runs in a new process.  No handler runs at fork time and nothing is locked, so a child can allocate at
   once.

     word: 0 (wiped) --first slow path of the child--> generation of this process

   The generation is part of every thread tag.  The one thread that came over is recognised by its record,
   whose generation is older than the word's; it adopts for the child what the parent's other threads owned:
   every page with an older tag that is not its own.  Their lists may be torn (fork copies memory in the
   middle of their work), so such pages are rebuilt from what their lists verifiably hold.  Threads that the
   child starts before that have the new generation and keep their hands off. */
#include "heap/fenced.h"
#include "memory/purge.h"
#include "memory/scavenger.h"
#include "memory/slices.h"
#include "os/os.h"
#include "page/remote.h"
#include "thread/thread.h"

static size_t slices_of_entry(table_entry_t* entry) {
  page_t* const page = (page_t*)entry;
  if (load_relaxed(&page->owner_tag) == 0) return 0;
  if (!page_is_single(page) || load_relaxed(&page->thread_free) != 0) return page_slice_count(page);
  store_relaxed(&page->owner_tag, 0); /* a big block that a dead thread was freeing */
  return 0;
}

/* The stacks of abandoned pages may be torn too: forget them, they are built anew from the pages. */
static void forget_links(page_t* page, NOT_USED void* self) {
  if (page_is_single(page)) return;
  heap_t* const heap = (heap_t*)load_relaxed(&page->heap);
  store_relaxed(&page->linked, 0u);
  store_relaxed(&heap->abandoned[page->bin].head, 0);
  store_relaxed(&heap->abandoned[page->bin].count, 0u);
  store_relaxed(&heap->abandoned[page->bin].empty, 0u);
}

static bool tag_is_own(uintptr_t tag, const thread_t* self) {
  for (; self != NULL; self = self->nested) {
    if (self->tag == tag) return true;
  }
  return false;
}

static void adopt_page(page_t* page, void* self) {
  const uintptr_t owner = load_relaxed(&page->owner_tag);
  /* Adopting one page may have released another that the visitor still holds for a page. */
  if (owner == 0 || owner == TAG_SINGLE) return;
  const uintptr_t tag = owner & ~(uintptr_t)CARE_MASK;
  const uintptr_t now = (uintptr_t)(thread_generation() << TAG_GENERATION_SHIFT);
  if (remote_claim(page)) {
    page_abandon(page);
  } else if (tag < now && !tag_is_own(tag, (const thread_t*)self)) {
    heap_part_t* const part = (heap_part_t*)load_relaxed(&page->part);
    page_forget_note(page);
    page_rebuild(page);
    page_abandon(page);
    /* What was delivered to it.  A page on its way to a new owner still names the old part: not
       one of ours. */
    if (!tag_is_own(part->tag, (const thread_t*)self)) part_die(part);
  } else if (tag_is_own(tag, (const thread_t*)self) && remote_list(page) != NULL) {
    part_forget_retired((heap_part_t*)load_relaxed(&page->part), page);
    page_rebuild(page); /* the copy of what others have freed may be older than that of the list */
    store_relaxed(&page->owner_tag, owner & ~(uintptr_t)CARE_HOLES);
  }
}

/* A full page whose one signal a dead thread had taken upon itself would wait for ever. */
static void rearm_full_pages(const thread_t* self) {
  for (heap_part_t* part = self->parts; part != NULL; part = part->sibling) {
    for (page_t *page = part->full.first, *next; page != NULL; page = next) {
      next = page->next;
      if (remote_state(load_relaxed(&page->thread_free)) != REMOTE_DELAYED) part_unfull(part, page);
    }
  }
}

typedef enum adoption_e {
  ADOPT_FIRST, /* nobody else has been in the allocator since the fork: everything may be put right */
  ADOPT_LATE,  /* threads of the child have: only what dead threads owned is safe to touch */
} adoption_t;

static void adopt_all(thread_t* self, adoption_t adoption) {
  if (adoption == ADOPT_FIRST) {
    const bool alone = !heap_is_threaded();
    store_relaxed(&heap_threads, 1u);
    store_relaxed(&heap_strangers, 0u);
    /* A scavenger that was purging when the process forked holds slices too. */
    if (purge_after_fork() == PURGE_INLINE && alone) return;
    fenced_after_fork();
    memory_after_fork(slices_of_entry);
    heap_visit_all_pages(forget_links, self);
  }
  thread_settle(self);
  rearm_full_pages(self);
  heap_visit_all_pages(adopt_page, self);
}

void thread_check_fork(void) {
  atomic_u64_t* const word = os_fork_word();
  const adoption_t adoption = word != NULL && load_relaxed(word) == 0 ? ADOPT_FIRST : ADOPT_LATE;
  const uint64_t generation = thread_generation();
  /* A busy thread forked inside a slow path, from a signal handler: its next visit will do. */
  if (thread_self == NULL || likely(load_relaxed(&thread_self->generation) == generation)) return;
  if (load_relaxed(&thread_self->busy) != 0 || !thread_unhold_after_fork()) return;
  thread_t* const self = thread_enter();
  if (self == NULL) return;
  for (thread_t* record = self; record != NULL; record = record->nested)
    store_release(&record->generation, generation); /* none is held: the child's scavenger may do so now */
  adopt_all(self, adoption);
  thread_leave(self);
}
