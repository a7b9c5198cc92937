/* SPDX-License-Identifier: MIT */
/* dlopen in a process whose malloc is replaced by a shared library.

   RTLD_DEEPBIND makes a module look up names in itself and its own dependencies first: then its malloc and
   free are the C library's, whatever is preloaded.  A block of ours that such a module frees (PHP's modules
   do) would corrupt the C library's heap, so the flag is dropped; MIMALLOC_KEEP_DEEPBIND=1 leaves it.

   The loader takes the search path of whoever calls it, by the return address.  So this must be a jump, not a
   call; only an unoptimised build by gcc searches by our library's path. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "core/options.h"

#ifndef RTLD_DEEPBIND /* musl has no such thing */
#define RTLD_DEEPBIND 0
#endif

#if defined(__clang__)
#define AS_A_JUMP __attribute__((musttail))
#else
#define AS_A_JUMP
#endif

typedef void* dlopen_t(const char* file, int mode);

static void* no_dlopen(const char* file, int mode) {
  UNUSED(file);
  UNUSED(mode);
  return NULL;
}

static dlopen_t* next_dlopen(void) {
  static atomic_word_t next;
  uintptr_t function = load_relaxed(&next);
  if (function == 0) {
    function = (uintptr_t)dlsym(RTLD_NEXT, "dlopen");
    if (function == 0) function = (uintptr_t)&no_dlopen;
    store_relaxed(&next, function);
  }
  return (dlopen_t*)function;
}

EXPORT void* dlopen(const char* file, int mode) {
  dlopen_t* const next = next_dlopen();
  const int dropped = option_enabled(mi_option_keep_deepbind) ? 0 : RTLD_DEEPBIND;
  AS_A_JUMP return next(file, mode & ~dropped);
}
