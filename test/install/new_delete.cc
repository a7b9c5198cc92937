/* SPDX-License-Identifier: MIT */
// mimalloc-new-delete.h beside the system's malloc: new and delete are the library's, in each of their forms,
// also those that the C++ library calls; malloc is not.
#include <mimalloc-new-delete.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

struct alignas(256) wide {
  char text[256];
};

template <typename T> bool is_ours(const T* p) {
  return mi_is_in_heap_region(p) && reinterpret_cast<std::uintptr_t>(p) % alignof(T) == 0;
}

} // namespace

int main() {
  int* const my_array = new int[1000];
  const std::unique_ptr<wide> one(new wide);
  const std::unique_ptr<wide[]> many(new wide[3]);
  const std::unique_ptr<int> quiet(new (std::nothrow) int(1));
  const std::vector<std::string> texts(100, std::string(1000, 'x'));
  bool ours = is_ours(my_array) && is_ours(one.get()) && is_ours(many.get()) && is_ours(quiet.get());
  ours = ours && is_ours(texts.data()) && is_ours(texts[99].data());
  delete[] my_array;
  void* const other = std::malloc(100);
  ours = ours && other != nullptr && !mi_is_in_heap_region(other);
  std::free(other);
  std::printf("new is ours, malloc is not: %s\n", ours ? "yes" : "no");
  return 0;
}
