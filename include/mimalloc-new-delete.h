/* SPDX-License-Identifier: MIT */
/* The replaceable operators new and delete of C++, from mimalloc.  Include this in ONE source file of a
   program; it defines them for the whole program.  Needless where malloc is replaced by linking or
   preloading the library. */
#ifndef MIMALLOC_NEW_DELETE_H
#define MIMALLOC_NEW_DELETE_H

#if defined(__cplusplus)
#include <new>

#include "mimalloc.h"

void* operator new(std::size_t n) { return mi_new(n); }
void* operator new[](std::size_t n) { return mi_new(n); }
void* operator new(std::size_t n, const std::nothrow_t&) mi_attr_noexcept { return mi_new_nothrow(n); }
void* operator new[](std::size_t n, const std::nothrow_t&) mi_attr_noexcept { return mi_new_nothrow(n); }
void operator delete(void* p) mi_attr_noexcept { mi_free(p); }
void operator delete[](void* p) mi_attr_noexcept { mi_free(p); }
void operator delete(void* p, const std::nothrow_t&) mi_attr_noexcept { mi_free(p); }
void operator delete[](void* p, const std::nothrow_t&) mi_attr_noexcept { mi_free(p); }

#if __cplusplus >= 201402L
void operator delete(void* p, std::size_t n) noexcept { mi_free_size(p, n); }
void operator delete[](void* p, std::size_t n) noexcept { mi_free_size(p, n); }
#endif

#if defined(__cpp_aligned_new)
void* operator new(std::size_t n, std::align_val_t a) { return mi_new_aligned(n, std::size_t(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return mi_new_aligned(n, std::size_t(a)); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return mi_new_aligned_nothrow(n, std::size_t(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return mi_new_aligned_nothrow(n, std::size_t(a));
}
void operator delete(void* p, std::align_val_t a) noexcept { mi_free_aligned(p, std::size_t(a)); }
void operator delete[](void* p, std::align_val_t a) noexcept { mi_free_aligned(p, std::size_t(a)); }
void operator delete(void* p, std::size_t n, std::align_val_t a) noexcept {
  mi_free_size_aligned(p, n, std::size_t(a));
}
void operator delete[](void* p, std::size_t n, std::align_val_t a) noexcept {
  mi_free_size_aligned(p, n, std::size_t(a));
}
void operator delete(void* p, std::align_val_t a, const std::nothrow_t&) noexcept {
  mi_free_aligned(p, std::size_t(a));
}
void operator delete[](void* p, std::align_val_t a, const std::nothrow_t&) noexcept {
  mi_free_aligned(p, std::size_t(a));
}
#endif

#endif
#endif
