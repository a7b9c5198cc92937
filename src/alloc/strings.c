/* SPDX-License-Identifier: MIT */
/* Copies of strings and paths. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "alloc/alloc.h"
#include "base/compiler.h"

/* length characters of s and a terminator, in heap (NULL: by mi_malloc). */
static char* copy_string(heap_t* heap, const char* s, size_t length) {
  char* const copy = heap == NULL ? mi_malloc(length + 1) : mi_heap_malloc(heap, length + 1);
  if (copy == NULL) return NULL;
  memcpy(copy, s, length);
  copy[length] = 0;
  return copy;
}

/* The path is resolved on the stack: what the C library allocated could be another allocator's block. */
static char* copy_realpath(heap_t* heap, const char* fname, char* resolved_name) {
  if (resolved_name != NULL) return realpath(fname, resolved_name);
  char path[PATH_MAX];
  if (realpath(fname, path) == NULL) return NULL;
  return copy_string(heap, path, strlen(path));
}

EXPORT char* mi_strdup(const char* s) { return s == NULL ? NULL : copy_string(NULL, s, strlen(s)); }

EXPORT char* mi_strndup(const char* s, size_t n) {
  return s == NULL ? NULL : copy_string(NULL, s, strnlen(s, n));
}

EXPORT char* mi_realpath(const char* fname, char* resolved_name) {
  return copy_realpath(NULL, fname, resolved_name);
}

EXPORT char* mi_heap_strdup(mi_heap_t* heap, const char* s) {
  return s == NULL ? NULL : copy_string(heap, s, strlen(s));
}

EXPORT char* mi_heap_strndup(mi_heap_t* heap, const char* s, size_t n) {
  return s == NULL ? NULL : copy_string(heap, s, strnlen(s, n));
}

EXPORT char* mi_heap_realpath(mi_heap_t* heap, const char* fname, char* resolved_name) {
  return copy_realpath(heap, fname, resolved_name);
}

EXPORT unsigned char* mi_mbsdup(const unsigned char* s) { return (unsigned char*)mi_strdup((const char*)s); }

EXPORT wchar_t* mi_wcsdup(const wchar_t* s) {
  if (s == NULL) return NULL;
  const size_t bytes = (wcslen(s) + 1) * sizeof(wchar_t);
  wchar_t* const copy = mi_malloc(bytes);
  if (copy != NULL) memcpy(copy, s, bytes);
  return copy;
}
