/* SPDX-License-Identifier: MIT */
/* The headers from C++: containers served by mi_stl_allocator, the operators that mimalloc-new-delete.h
   defines, and the names that mimalloc-override.h redirects, plain and in std. */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <vector>

#ifndef SANITIZER_OPERATORS /* linked statically, clang's sanitizers define the operators too */
#include "mimalloc-new-delete.h"
#endif
#include "mimalloc-override.h"

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (0)

struct alignas(128) Wide {
  char bytes[200];
};

static void containers() {
  std::vector<int, mi_stl_allocator<int>> numbers;
  for (int i = 0; i < 10000; i++) numbers.push_back(i);
  CHECK(numbers[9999] == 9999 && mi_heap_of(numbers.data()) == mi_heap_main());
  std::map<int, int, std::less<int>, mi_stl_allocator<std::pair<const int, int>>> map;
  std::list<Wide, mi_stl_allocator<Wide>> wide(3);
  for (int i = 0; i < 100; i++) map[i] = i;
  for (const Wide& w : wide) CHECK(reinterpret_cast<std::uintptr_t>(&w) % 128 == 0);
  CHECK(mi_stl_allocator<int>() == mi_stl_allocator<char>());
}

#ifndef SANITIZER_OPERATORS
static void operators() {
  int* p = new int[100];
  Wide* w = new Wide;
  CHECK(mi_heap_of(p) == mi_heap_main() && mi_heap_of(w) == mi_heap_main());
  CHECK(reinterpret_cast<std::uintptr_t>(w) % 128 == 0);
  delete[] p;
  delete w;
}
#else
static void operators() {}
#endif

static void redirected_names() {
  void* p = malloc(100);
  CHECK(mi_heap_of(p) == mi_heap_main());
  p = std::realloc(p, 1000);
  CHECK(mi_heap_of(p) == mi_heap_main());
  std::free(p);
  char* s = strdup("copy");
  CHECK(mi_heap_of(s) == mi_heap_main() && std::strcmp(s, "copy") == 0);
  free(s);
  int* typed = mi_calloc_tp(int, 10);
  CHECK(typed[9] == 0);
  typed = mi_reallocn_tp(int, typed, 1000);
  mi_free(typed);
}

int main() {
  containers();
  operators();
  redirected_names();
  std::puts("ok");
  return 0;
}
