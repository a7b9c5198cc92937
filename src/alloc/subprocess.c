/* SPDX-License-Identifier: MIT */
/* Sub-processes: groups of threads and heaps that share no page.

   A sub-process is its main heap; its id is that heap's address.  Pages belong to heaps and are reclaimed
   only by parts of the same heap, and a heap never changes its sub-process: nothing else keeps them apart. */
#include <errno.h>

#include "alloc/alloc.h"
#include "core/diagnostics.h"

static mi_subproc_id_t id_of(heap_t* main) { return (mi_subproc_id_t){main}; }

static heap_t* main_of(mi_subproc_id_t id) { return heap_subprocess(id._mi_subproc_id); }

EXPORT mi_subproc_id_t mi_subproc_main(void) { return id_of(&heap_main); }
EXPORT mi_subproc_id_t mi_subproc_current(void) { return id_of(thread_main_heap()); }

EXPORT mi_subproc_id_t mi_subproc_new(void) {
  const int saved_errno = errno;
  thread_begin();
  heap_t* const main = heap_create(NULL);
  errno = main != NULL ? saved_errno : ENOMEM;
  return id_of(main);
}

EXPORT void mi_subproc_add_current_thread(mi_subproc_id_t id) {
  KEEP_ERRNO;
  heap_t* const main = main_of(id);
  thread_attach();
  if (main == NULL)
    report_warning("subproc_add_current_thread: there is no sub-process %p", id._mi_subproc_id);
  else if (main != thread_main_heap() && !thread_join_subprocess(main))
    report_warning("subproc_add_current_thread: the thread has allocated before, it stays where it is");
}

typedef struct visitor_s {
  mi_heap_visit_fun* visit;
  void* arg;
} visitor_t;

static bool visit_heap(heap_t* heap, void* arg) {
  const visitor_t* const visitor = arg;
  return visitor->visit(heap, visitor->arg);
}

EXPORT bool mi_subproc_visit_heaps(mi_subproc_id_t id, mi_heap_visit_fun* visitor, void* arg) {
  visitor_t with = {visitor, arg};
  heap_t* const main = main_of(id);
  return main != NULL && visitor != NULL && heap_visit_heaps(main, visit_heap, &with);
}

typedef void end_t(heap_t* heap);

static bool end_child(heap_t* heap, void* end) {
  if (heap->main != NULL) (*(end_t* const*)end)(heap);
  return true;
}

static void end_subprocess(mi_subproc_id_t id, const char* verb, end_t* end) {
  heap_t* const main = main_of(id);
  if (id._mi_subproc_id == NULL) return;
  if (main == NULL) {
    report_misuse(EINVAL, "subproc_%s of %p: there is no such sub-process (any more)", verb,
                  id._mi_subproc_id);
  } else if (main == &heap_main) {
    report_warning("subproc_%s: the main sub-process cannot be ended, nothing is done", verb);
  } else {
    heap_visit_heaps(main, end_child, &end);
    end(main);
  }
}

EXPORT void mi_subproc_destroy(mi_subproc_id_t id) { end_subprocess(id, "destroy", heap_destroy); }
EXPORT void mi_subproc_delete(mi_subproc_id_t id) { end_subprocess(id, "delete", heap_delete); }
