/* SPDX-License-Identifier: MIT */
/* The allocation functions of C++ (protocol: alloc/new.h).  Compiled with unwind tables: exceptions of the
   program's new_handler, and our own std::bad_alloc, pass through these frames. */
#include "alloc/new.h"

#include <errno.h>
#include <stdlib.h>

#include "core/diagnostics.h"

typedef void new_handler_t(void);

/* The C++ runtime: the handler in force, the throw of std::bad_alloc, the end of a caught exception. */
new_handler_t* _ZSt15get_new_handlerv(void) __attribute__((weak));
_Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak));
void* __cxa_begin_catch(void* exception) __attribute__((weak));
void __cxa_end_catch(void) __attribute__((weak));

static new_handler_t* current_handler(void) {
  return _ZSt15get_new_handlerv != NULL ? _ZSt15get_new_handlerv() : NULL;
}

static COLD _Noreturn void throw_bad_alloc(size_t size) {
  if (_ZSt17__throw_bad_allocv != NULL) _ZSt17__throw_bad_allocv();
  report_fatal("out of memory: operator new of %zu bytes failed, and there is no C++ runtime to throw", size);
}

/* What to try next; an alignment that can never be had is not worth a try. */
static new_handler_t* handler_for(const request_t* request) {
  const bool possible = request->alignment == 0 || is_power_of_two(request->alignment);
  return possible ? current_handler() : NULL;
}

COLD void* new_retry(request_t request) {
  for (;;) {
    new_handler_t* const handler = handler_for(&request);
    if (handler == NULL) throw_bad_alloc(request.size);
    handler();
    void* const p = alloc_generic(request);
    if (p != NULL) return p;
  }
}

COLD void* new_retry_nothrow(request_t request) {
  for (;;) {
    new_handler_t* const handler = handler_for(&request);
    if (handler == NULL) return NULL;
    void* const exception = call_catching(handler);
    if (exception != NULL) {
      __cxa_begin_catch(exception);
      __cxa_end_catch();
      return NULL;
    }
    void* const p = alloc_generic(request);
    if (p != NULL) return p;
  }
}

/* ---- entries ---- */

NOINLINE void* new_slow(size_t size) {
  void* const p = alloc_slow(size);
  return likely(p != NULL) ? p : new_retry((request_t){.size = size});
}

EXPORT void* mi_new(size_t size) { return new_fast(size, KIND_MALLOC); }

EXPORT void* mi_new_nothrow(size_t size) {
  void* const p = malloc_fast(size);
  return likely(p != NULL) ? p : new_retry_nothrow((request_t){.size = size});
}

EXPORT void* mi_new_aligned(size_t size, size_t alignment) {
  void* const p = mi_malloc_aligned(size, alignment);
  return likely(p != NULL) ? p : new_retry((request_t){.size = size, .alignment = alignment});
}

EXPORT void* mi_new_aligned_nothrow(size_t size, size_t alignment) {
  void* const p = mi_malloc_aligned(size, alignment);
  return likely(p != NULL) ? p : new_retry_nothrow((request_t){.size = size, .alignment = alignment});
}

EXPORT void* mi_new_n(size_t count, size_t size) { return mi_new(product(count, size)); }

EXPORT void* mi_new_realloc(void* p, size_t newsize) {
  for (;;) {
    void* const q = mi_realloc(p, newsize);
    if (likely(q != NULL)) return q;
    new_handler_t* const handler = current_handler();
    if (handler == NULL) throw_bad_alloc(newsize);
    handler();
  }
}

EXPORT void* mi_new_reallocn(void* p, size_t newcount, size_t size) {
  return mi_new_realloc(p, product(newcount, size));
}

EXPORT void* mi_heap_alloc_new(mi_heap_t* heap, size_t size) {
  void* const p = mi_heap_malloc(heap, size);
  return likely(p != NULL) ? p : new_retry((request_t){.heap = heap_or_main(heap), .size = size});
}

EXPORT void* mi_heap_alloc_new_n(mi_heap_t* heap, size_t count, size_t size) {
  return mi_heap_alloc_new(heap, product(count, size));
}

EXPORT void* mi_theap_alloc_new(mi_theap_t* theap, size_t size) {
  return mi_heap_alloc_new(theap_heap(theap), size);
}

EXPORT void* mi_theap_alloc_new_n(mi_theap_t* theap, size_t count, size_t size) {
  return mi_heap_alloc_new_n(theap_heap(theap), count, size);
}

EXPORT void* mi_theap_alloc_new_nothrow(mi_theap_t* theap, size_t size) {
  void* const p = mi_theap_malloc(theap, size);
  return likely(p != NULL) ? p : new_retry_nothrow((request_t){.heap = theap_heap(theap), .size = size});
}
