/* SPDX-License-Identifier: MIT */
/* The names of POSIX, the Unixes and Windows for what the allocator does anyway, each with its own rules for
   arguments and errors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/fast.h"
#include "core/diagnostics.h"
#include "os/os.h"

EXPORT size_t mi_malloc_size(const void* p) { return mi_usable_size(p); }

EXPORT size_t mi_malloc_usable_size(const void* p) { return mi_usable_size(p); }

EXPORT size_t mi_malloc_good_size(size_t size) { return mi_good_size(size); }

EXPORT bool mi_cfree(void* p) {
  if (p == NULL || window_slice_of(p) == SLICE_NONE) return false;
  free_fast(p);
  return true;
}

EXPORT void* mi__expand(void* p, size_t newsize) {
  void* const q = mi_expand(p, newsize);
  if (q == NULL) errno = ENOMEM;
  return q;
}

/* ---- aligned ---- */

EXPORT int mi_posix_memalign(void** p, size_t alignment, size_t size) {
  if (p == NULL || alignment % sizeof(void*) != 0 || !is_power_of_two(alignment)) return EINVAL;
  KEEP_ERRNO;
  void* const q = mi_malloc_aligned(size, alignment);
  if (q == NULL) return ENOMEM;
  *p = q;
  return 0;
}

EXPORT void* mi_memalign(size_t alignment, size_t size) {
  if (likely(is_power_of_two(alignment))) return mi_malloc_aligned(size, alignment);
  report_failure(EINVAL, "memalign: the alignment %zu is not a power of two", alignment);
  errno = EINVAL;
  return NULL;
}

EXPORT void* mi_aligned_alloc(size_t alignment, size_t size) { return mi_memalign(alignment, size); }

EXPORT void* mi_valloc(size_t size) { return mi_malloc_aligned(size, os_page_size()); }

EXPORT void* mi_pvalloc(size_t size) {
  const size_t page = os_page_size();
  if (size > ALLOC_SIZE_MAX - page) return alloc_overflow("pvalloc", 1, size);
  return mi_malloc_aligned(align_up(max_size(size, 1), page), page);
}

EXPORT void* mi_aligned_recalloc(void* p, size_t newcount, size_t size, size_t alignment) {
  return mi_recalloc_aligned(p, newcount, size, alignment);
}

EXPORT void* mi_aligned_offset_recalloc(void* p, size_t newcount, size_t size, size_t alignment,
                                        size_t offset) {
  return mi_recalloc_aligned_at(p, newcount, size, alignment, offset);
}

/* ---- arrays ---- */

EXPORT void* mi_reallocarray(void* p, size_t count, size_t size) {
  size_t total;
  if (likely(mul_fits(count, size, &total))) return mi_realloc(p, total);
  alloc_overflow("reallocarray", count, size);
  errno = EOVERFLOW;
  return NULL;
}

/* ptrp points to a pointer of whatever type, so it is read and written as bytes. */
EXPORT int mi_reallocarr(void* ptrp, size_t count, size_t size) {
  if (ptrp == NULL || size == 0) return errno = EINVAL;
  size_t total;
  if (!mul_fits(count, size, &total)) {
    alloc_overflow("reallocarr", count, size);
    return errno = EOVERFLOW;
  }
  void* p;
  memcpy(&p, ptrp, sizeof(p));
  void* q = NULL;
  if (total == 0) {
    mi_free(p);
  } else {
    q = mi_realloc(p, total);
    if (q == NULL) return errno = ENOMEM;
  }
  memcpy(ptrp, &q, sizeof(q));
  return 0;
}

/* ---- the environment ---- */

EXPORT int mi_dupenv_s(char** buf, size_t* size, const char* name) {
  if (buf == NULL || name == NULL) return EINVAL;
  if (size != NULL) *size = 0;
  *buf = NULL;
  const char* const value = getenv(name);
  if (value == NULL) return 0;
  *buf = mi_strdup(value);
  if (*buf == NULL) return ENOMEM;
  if (size != NULL) *size = strlen(value) + 1;
  return 0;
}

EXPORT int mi_wdupenv_s(NOT_USED wchar_t** buf, NOT_USED size_t* size, NOT_USED const wchar_t* name) {
  return EINVAL;
}
