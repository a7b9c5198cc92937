/* SPDX-License-Identifier: MIT */
/* The functions of the C library that allocate, under their own names, with the C library's own rules where
   they differ from the mi_ functions: realloc(p, 0) frees, alignments of memalign are rounded up, and what
   fails for whatever reason but a bad alignment leaves ENOMEM. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast.h"
#include "os/os.h"

void free_sized(void* p, size_t size);
void free_aligned_sized(void* p, size_t alignment, size_t size);
#if !defined(__GLIBC__) /* the only C library with this name of old */
void* pvalloc(size_t size);
#endif

EXPORT void* malloc(size_t size) { return malloc_fast(size); }

EXPORT void* calloc(size_t count, size_t size) {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("calloc", count, size);
  /* The C library callocs for every thread that is about to start; perhaps nothing else is ever allocated. */
  if (unlikely(thread_libc_has_threads())) thread_look_around();
  return zalloc_fast(total);
}

EXPORT void free(void* p) {
  if (SECURE_FULL) free_as(p, SIZE_MAX, 0, KIND_MALLOC);
  else free_fast(p);
}

EXPORT void* realloc(void* p, size_t size) {
  if (likely(fits_fast(p, size))) return p;
  if (p == NULL || likely(size != 0)) return resize(p, (request_t){.size = size});
  mi_free(p);
  return NULL;
}

EXPORT void* reallocarray(void* p, size_t count, size_t size) {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("reallocarray", count, size);
  return realloc(p, total);
}

EXPORT size_t malloc_usable_size(void* p) { return mi_usable_size(p); }

/* ---- C23: the caller knows size and alignment ---- */

EXPORT void free_sized(void* p, size_t size) { free_as(p, size, 0, KIND_ANY); }

EXPORT void free_aligned_sized(void* p, size_t alignment, size_t size) {
  free_as(p, size, alignment, KIND_ANY);
}

/* ---- aligned ---- */

EXPORT void* aligned_alloc(size_t alignment, size_t size) { return mi_aligned_alloc(alignment, size); }

EXPORT int posix_memalign(void** p, size_t alignment, size_t size) {
  return mi_posix_memalign(p, alignment, size);
}

EXPORT void* memalign(size_t alignment, size_t size) {
  const size_t largest = SIZE_MAX / 2 + 1;
  if (unlikely(alignment > largest)) {
    errno = EINVAL;
    return NULL;
  }
  size_t power = alignment < 2 ? 1 : (size_t)2 << bit_highest(alignment - 1);
  if (is_power_of_two(alignment)) power = alignment;
  void* const p = mi_malloc_aligned(size, power);
  if (unlikely(p == NULL)) errno = ENOMEM;
  return p;
}

EXPORT void* valloc(size_t size) { return mi_valloc(size); }

EXPORT void* pvalloc(size_t size) { return mi_pvalloc(size); }

/* ---- other names that programs and other libraries are linked with ---- */

#if defined(__clang__)
#define ALIAS(name) EXPORT __attribute__((alias(#name)))
#else
#define ALIAS(name) EXPORT __attribute__((alias(#name), copy(name)))
#endif
ALIAS(free) void cfree(void* p);
ALIAS(free) void __libc_free(void* p);
ALIAS(free) void __libc_cfree(void* p);
ALIAS(malloc) void* __libc_malloc(size_t size);
ALIAS(calloc) void* __libc_calloc(size_t count, size_t size);
ALIAS(realloc) void* __libc_realloc(void* p, size_t size);
ALIAS(reallocarray) void* __libc_reallocarray(void* p, size_t count, size_t size);
ALIAS(memalign) void* __libc_memalign(size_t alignment, size_t size);
ALIAS(valloc) void* __libc_valloc(size_t size);
ALIAS(pvalloc) void* __libc_pvalloc(size_t size);
ALIAS(posix_memalign) int __posix_memalign(void** p, size_t alignment, size_t size);

/* ---- names of other systems, for programs made for mimalloc; a program's own count ---- */

#define WEAK_EXPORT EXPORT __attribute__((weak))

void* reallocf(void* p, size_t size);
int reallocarr(void* ptrp, size_t count, size_t size);
size_t malloc_size(const void* p);
size_t malloc_good_size(size_t size);
void* _aligned_malloc(size_t size, size_t alignment);

ALIAS(free) __attribute__((weak)) void vfree(void* p);
WEAK_EXPORT void* reallocf(void* p, size_t size) { return mi_reallocf(p, size); }
WEAK_EXPORT int reallocarr(void* ptrp, size_t count, size_t size) { return mi_reallocarr(ptrp, count, size); }
WEAK_EXPORT size_t malloc_size(const void* p) { return mi_usable_size(p); }
WEAK_EXPORT size_t malloc_good_size(size_t size) { return mi_good_size(size); }
WEAK_EXPORT void* _aligned_malloc(size_t size, size_t power) { return mi_malloc_aligned(size, power); }
WEAK_EXPORT char* strdup(const char* s) { return mi_strdup(s); }
WEAK_EXPORT char* strndup(const char* s, size_t n) { return mi_strndup(s, n); }
