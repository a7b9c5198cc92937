/* SPDX-License-Identifier: MIT */
/* Threads and the process, as far as the program may want to say something of them: both attach and end by
   themselves. */
#include <errno.h>

#include "alloc/alloc.h"

EXPORT void mi_thread_init(void) {
  KEEP_ERRNO;
  thread_attach();
}

EXPORT void mi_process_init(void) { mi_thread_init(); }

EXPORT void mi_thread_done(void) {
  KEEP_ERRNO;
  if (thread_self != NULL && !thread_self->in_deferred) thread_exit(); /* the callback's caller goes on */
}

EXPORT void mi_thread_set_in_threadpool(void) {
  mi_thread_init();
  thread_t* const root = thread_root();
  if (root != NULL) root->in_threadpool = 1;
}

EXPORT size_t mi_thread_id_of(const void* p) {
  page_t* const page = p != NULL ? page_of(p) : NULL;
  return page != NULL ? load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK : 0;
}

EXPORT bool mi_is_redirected(void) { return false; }
