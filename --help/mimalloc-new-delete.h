/* SPDX-License-Identifier: MIT */
/* The replaceable operators new and delete of C++, from mimalloc.  Include this in ONE source file of a
   program; it defines them for the whole program.  Needless where malloc is replaced by linking or
   preloading the library. */
#ifndef MIMALLOC_NEW_DELETE_H
#define MIMALLOC_NEW_DELETE_H

#if defined(__cplusplus)
#include <new>

#include "mimalloc.h"

void* operator new(std::size_t size) {
  return mi_new(size);
}
void* operator new[](std::size_t size) {
  return mi_new(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) mi_attr_noexcept {
  return mi_new_nothrow(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) mi_attr_noexcept {
  return mi_new_nothrow(size);
}
void operator delete(void* p) mi_attr_noexcept {
  mi_free(p);
}
void operator delete[](void* p) mi_attr_noexcept {
  mi_free(p);
}
void operator delete(void* p, const std::nothrow_t&) mi_attr_noexcept {
  mi_free(p);
}
void operator delete[](void* p, const std::nothrow_t&) mi_attr_noexcept {
  mi_free(p);
}

#if __cplusplus >= 201402L
void operator delete(void* p, std::size_t size) noexcept {
  mi_free_size(p, size);
}
void operator delete[](void* p, std::size_t size) noexcept {
  mi_free_size(p, size);
}
#endif

#if defined(__cpp_aligned_new)
void* operator new(std::size_t size, std::align_val_t alignment) {
  return mi_new_aligned(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return mi_new_aligned(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return mi_new_aligned_nothrow(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return mi_new_aligned_nothrow(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* p, std::align_val_t alignment) noexcept {
  mi_free_aligned(p, static_cast<std::size_t>(alignment));
}
void operator delete[](void* p, std::align_val_t alignment) noexcept {
  mi_free_aligned(p, static_cast<std::size_t>(alignment));
}
void operator delete(void* p, std::size_t size, std::align_val_t alignment) noexcept {
  mi_free_size_aligned(p, size, static_cast<std::size_t>(alignment));
}
void operator delete[](void* p, std::size_t size, std::align_val_t alignment) noexcept {
  mi_free_size_aligned(p, size, static_cast<std::size_t>(alignment));
}
void operator delete(void* p, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  mi_free_aligned(p, static_cast<std::size_t>(alignment));
}
void operator delete[](void* p, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  mi_free_aligned(p, static_cast<std::size_t>(alignment));
}
#endif

#endif
#endif
