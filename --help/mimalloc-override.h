/* SPDX-License-Identifier: MIT */
/* Include this header after all others (or by -include) to send the C library's allocation functions of one
   source file to mimalloc, where replacing them for the whole program is not possible.  Everything such a
   file frees must have been allocated under this header too.  The rules are those of the mi_ functions:
   realloc(p, 0) returns a block, for instance. The standard headers are included first, so that their
   declarations keep the real names.  In C++ the names work with and without std::; new and delete are the
   business of mimalloc-new-delete.h. */
#ifndef MIMALLOC_OVERRIDE_H
#define MIMALLOC_OVERRIDE_H

#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#ifdef __cplusplus
#include <cstdlib>
#include <cstring>
#endif

#include "mimalloc.h"

#ifdef __cplusplus
namespace std { /* so that std::malloc(n), which becomes std::mi_malloc(n), is found */
using ::mi_aligned_alloc;
using ::mi_calloc;
using ::mi_free;
using ::mi_malloc;
using ::mi_realloc;
} // namespace std
#endif

/* C */
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef aligned_alloc
#undef strdup
#undef strndup
#undef wcsdup
#undef realpath
#define malloc(n)                   mi_malloc(n)
#define calloc(n, c)                mi_calloc(n, c)
#define realloc(p, n)               mi_realloc(p, n)
#define free(p)                     mi_free(p)
#define aligned_alloc(a, n)         mi_aligned_alloc(a, n)
#define strdup(s)                   mi_strdup(s)
#define strndup(s, n)               mi_strndup(s, n)
#define wcsdup(s)                   mi_wcsdup(s)
#define realpath(f, n)              mi_realpath(f, n)
#define free_sized(p, n)            mi_free_size(p, n)
#define free_aligned_sized(p, a, n) mi_free_size_aligned(p, n, a)

/* POSIX and the Unixes */
#define posix_memalign(p, a, n)  mi_posix_memalign(p, a, n)
#define _posix_memalign(p, a, n) mi_posix_memalign(p, a, n)
#define memalign(a, n)           mi_memalign(a, n)
#define valloc(n)                mi_valloc(n)
#define pvalloc(n)               mi_pvalloc(n)
#define cfree(p)                 mi_cfree(p)
#define vfree(p)                 mi_free(p)
#define reallocf(p, n)           mi_reallocf(p, n)
#define reallocarray(p, s, n)    mi_reallocarray(p, s, n)
#define reallocarr(p, s, n)      mi_reallocarr(p, s, n)
#define malloc_size(p)           mi_malloc_size(p)
#define malloc_usable_size(p)    mi_malloc_usable_size(p)
#define malloc_good_size(n)      mi_malloc_good_size(n)

/* Windows */
#define _expand(p, n)                           mi_expand(p, n)
#define _msize(p)                               mi_usable_size(p)
#define _recalloc(p, n, c)                      mi_recalloc(p, n, c)
#define _strdup(s)                              mi_strdup(s)
#define _strndup(s, n)                          mi_strndup(s, n)
#define _wcsdup(s)                              mi_wcsdup(s)
#define _mbsdup(s)                              mi_mbsdup(s)
#define _dupenv_s(b, n, v)                      mi_dupenv_s(b, n, v)
#define _wdupenv_s(b, n, v)                     mi_wdupenv_s(b, n, v)
#define _aligned_malloc(n, a)                   mi_malloc_aligned(n, a)
#define _aligned_realloc(p, n, a)               mi_realloc_aligned(p, n, a)
#define _aligned_recalloc(p, s, n, a)           mi_aligned_recalloc(p, s, n, a)
#define _aligned_msize(p, a, o)                 mi_usable_size(p)
#define _aligned_free(p)                        mi_free(p)
#define _aligned_offset_malloc(n, a, o)         mi_malloc_aligned_at(n, a, o)
#define _aligned_offset_realloc(p, n, a, o)     mi_realloc_aligned_at(p, n, a, o)
#define _aligned_offset_recalloc(p, s, n, a, o) mi_recalloc_aligned_at(p, s, n, a, o)

#endif
