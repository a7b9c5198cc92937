/* SPDX-License-Identifier: MIT */
/* The replaceable operators of C++17 under their mangled names, in C: the library needs no C++ runtime, and
   reaches the program's by weak references (alloc/new.h).  size_t is m, std::nothrow_t const&
   RKSt9nothrow_t, std::align_val_t St11align_val_t; n is new and d delete, w one object and a an array.
   What delete is told of sizes and alignments only secure builds look at. */
#include "alloc/new.h"


#define NEW(name, parameters, call) \
  void* name parameters;            \
  EXPORT void* name parameters { return call; }
#define NEW_KIND(name, parameters, call, kind) \
  NEW(name, parameters, SECURE_FULL ? block_of_kind(call, kind) : (call))

#define DELETE(name, parameters, size, alignment, kind) \
  void name parameters;                                 \
  EXPORT void name parameters { free_as(p, size, alignment, kind); }

NEW(_Znwm, (size_t size), new_fast(size, KIND_NEW))
NEW(_Znam, (size_t size), new_fast(size, KIND_NEW_ARRAY))
NEW_KIND(_ZnwmSt11align_val_t, (size_t size, size_t alignment), mi_new_aligned(size, alignment), KIND_NEW)
NEW_KIND(_ZnamSt11align_val_t, (size_t size, size_t alignment), mi_new_aligned(size, alignment),
         KIND_NEW_ARRAY)
NEW_KIND(_ZnwmRKSt9nothrow_t, (size_t size, NOT_USED const void* tag), mi_new_nothrow(size), KIND_NEW)
NEW_KIND(_ZnamRKSt9nothrow_t, (size_t size, NOT_USED const void* tag), mi_new_nothrow(size), KIND_NEW_ARRAY)
NEW_KIND(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, NOT_USED const void* tag),
            mi_new_aligned_nothrow(size, alignment), KIND_NEW)
NEW_KIND(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, NOT_USED const void* tag),
            mi_new_aligned_nothrow(size, alignment), KIND_NEW_ARRAY)

#define DELETES(name, kind)                                                                             \
  DELETE(name##Pv, (void* p), SIZE_MAX, 0, kind)                                                        \
  DELETE(name##Pvm, (void* p, size_t size), size, 0, kind)                                              \
  DELETE(name##PvRKSt9nothrow_t, (void* p, NOT_USED const void* tag), SIZE_MAX, 0, kind)                \
  DELETE(name##PvSt11align_val_t, (void* p, size_t alignment), SIZE_MAX, alignment, kind)               \
  DELETE(name##PvmSt11align_val_t, (void* p, size_t size, size_t alignment), size, alignment, kind)     \
  DELETE(name##PvSt11align_val_tRKSt9nothrow_t, (void* p, size_t alignment, NOT_USED const void* tag), \
         SIZE_MAX, alignment, kind)

DELETES(_Zdl, KIND_NEW)
DELETES(_Zda, KIND_NEW_ARRAY)
