// SPDX-License-Identifier: MIT
// Compiled against mimalloc 3.6.0's own headers, run on our library: C++.
#include <mimalloc-new-delete.h>
#include <mimalloc.h>

#include <cstdint>
#include <cstdio>
#include <list>
#include <map>
#include <new>
#include <string>
#include <vector>

int main() {
  std::vector<int, mi_stl_allocator<int>> numbers;
  for (int i = 0; i < 100000; i++) numbers.push_back(i);
  std::map<int, int, std::less<int>, mi_stl_allocator<std::pair<const int, int>>> squares;
  for (int i = 0; i < 1000; i++) squares[i] = i * i;
  std::list<int, mi_heap_stl_allocator<int>> list;
  for (int i = 0; i < 1000; i++) list.push_back(i);
  const std::string text(1000, 'x');
  std::printf("sums %d %d %d\n", numbers[99999], squares[999], list.back());
  std::printf("ours %d %d\n", mi_is_in_heap_region(numbers.data()), mi_is_in_heap_region(text.data()));
  std::printf("too much %d\n", mi_new_nothrow(SIZE_MAX / 2 + 1) == nullptr);
  return 0;
}
