/* SPDX-License-Identifier: MIT */
/* dlopen in a process whose malloc is replaced by a shared library.

   RTLD_DEEPBIND makes a module look up names in itself and its own dependencies first: then its malloc and
   free are the C library's, whatever is preloaded.  A block of ours that such a module frees (PHP's modules
   do) would corrupt the C library's heap, so the flag is dropped; MIMALLOC_KEEP_DEEPBIND=1 leaves it.

   Who opens the C library by name to look up free, malloc_trim or mallinfo2 in it (Python's ctypes, psutil)
   means the malloc of the process.  The handle given is that of this library: what is not here is then looked
   up in what it needs, the C library.

   The loader takes the search path of whoever calls it, by the return address.  So this must be a jump, not a
   call; only an unoptimised build by gcc searches by our library's path. */
#include <dlfcn.h>
#include <string.h>

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

static void* no_dlopen(NOT_USED const char* file, NOT_USED int mode) { return NULL; }

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

/* Our own file in the place of the C library's name; a path is left alone.  Not inlined: its variable would
   stand in the way of the jump. */
static NOINLINE const char* served_by(const char* file) {
  Dl_info self;
  if (file == NULL || strcmp(file, "libc.so.6") != 0) return file;
  return dladdr((const void*)(uintptr_t)&served_by, &self) != 0 ? self.dli_fname : file;
}

EXPORT void* dlopen(const char* file, int mode) {
  dlopen_t* const next = next_dlopen();
  const int dropped = option_enabled(mi_option_keep_deepbind) ? 0 : RTLD_DEEPBIND;
  AS_A_JUMP return next(served_by(file), mode & ~dropped);
}
