/* SPDX-License-Identifier: MIT */
/* What operator new does when the first try has failed: the program's new_handler, again and again, then
   std::bad_alloc.  The C++ runtime is reached by weak references, so programs in C need none. */
#ifndef ALLOC_NEW_H
#define ALLOC_NEW_H

#include "alloc/alloc.h"

/* request has failed once.  new_retry throws rather than return NULL; new_retry_nothrow returns NULL also
   when the handler throws. */
COLD void* new_retry(request_t request);
COLD void* new_retry_nothrow(request_t request);

/* Call function; NULL, or the exception object that it threw, which is caught (alloc/catch.c). */
void* call_catching(void (*function)(void));

#endif
