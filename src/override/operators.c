/* SPDX-License-Identifier: MIT */
/* The replaceable operators of C++17 under their mangled names, in C: the library needs no C++ runtime, and
   reaches the program's by weak references (alloc/new.h).  size_t is m, std::nothrow_t const&
   RKSt9nothrow_t, std::align_val_t St11align_val_t; n is new and d delete, w one object and a an array.
   Sizes and alignments given to delete are not needed, so all deletes are one function. */
#include "alloc/new.h"

void* _Znwm(size_t size);
void* _Znam(size_t size);
void* _ZnwmRKSt9nothrow_t(size_t size, const void* tag);
void* _ZnamRKSt9nothrow_t(size_t size, const void* tag);
void* _ZnwmSt11align_val_t(size_t size, size_t alignment);
void* _ZnamSt11align_val_t(size_t size, size_t alignment);
void* _ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag);
void* _ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag);
void _ZdlPv(void* p);
void _ZdlPvRKSt9nothrow_t(void* p);
void _ZdlPvm(void* p);
void _ZdlPvSt11align_val_t(void* p);
void _ZdlPvmSt11align_val_t(void* p);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void* p);
void _ZdaPv(void* p);
void _ZdaPvRKSt9nothrow_t(void* p);
void _ZdaPvm(void* p);
void _ZdaPvSt11align_val_t(void* p);
void _ZdaPvmSt11align_val_t(void* p);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void* p);

#define SAME_AS(name) EXPORT __attribute__((alias(#name)))

EXPORT void* _Znwm(size_t size) {
  return new_fast(size);
}

EXPORT void* _ZnwmRKSt9nothrow_t(size_t size, const void* tag) {
  UNUSED(tag);
  return mi_new_nothrow(size);
}

EXPORT void* _ZnwmSt11align_val_t(size_t size, size_t alignment) {
  return mi_new_aligned(size, alignment);
}

EXPORT void* _ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag) {
  UNUSED(tag);
  return mi_new_aligned_nothrow(size, alignment);
}

SAME_AS(_Znwm) void* _Znam(size_t size);
SAME_AS(_ZnwmRKSt9nothrow_t) void* _ZnamRKSt9nothrow_t(size_t size, const void* tag);
SAME_AS(_ZnwmSt11align_val_t) void* _ZnamSt11align_val_t(size_t size, size_t alignment);
SAME_AS(_ZnwmSt11align_val_tRKSt9nothrow_t)
void* _ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag);

EXPORT void _ZdlPv(void* p) {
  free_fast(p);
}

SAME_AS(_ZdlPv) void _ZdlPvRKSt9nothrow_t(void* p);
SAME_AS(_ZdlPv) void _ZdlPvm(void* p);
SAME_AS(_ZdlPv) void _ZdlPvSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdlPvmSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdlPvSt11align_val_tRKSt9nothrow_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPv(void* p);
SAME_AS(_ZdlPv) void _ZdaPvRKSt9nothrow_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPvm(void* p);
SAME_AS(_ZdlPv) void _ZdaPvSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPvmSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPvSt11align_val_tRKSt9nothrow_t(void* p);
