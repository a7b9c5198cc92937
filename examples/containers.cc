/* SPDX-License-Identifier: MIT */
/* Words are counted in containers of the standard library whose memory is mimalloc's, also where malloc is
   not.

   Shows: the standard containers of C++ */
#include <cstdio>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <mimalloc.h>

using text = std::basic_string<char, std::char_traits<char>, mi_stl_allocator<char>>;
template <class K, class V>
using dictionary = std::map<K, V, std::less<K>, mi_stl_allocator<std::pair<const K, V>>>;
template <class T> using list = std::vector<T, mi_stl_allocator<T>>;

int main() {
  std::istringstream words("the quick brown fox and the lazy dog and the end");
  dictionary<text, int> counts;
  list<text> in_order;
  std::string word;
  while (words >> word) {
    const text key(word.c_str());
    if (counts[key]++ == 0) in_order.push_back(key);
  }
  for (const text& key : in_order) {
    if (counts[key] > 1) std::printf("%s: %d\n", key.c_str(), counts[key]);
  }
  list<text> moved = std::move(in_order); /* all these allocators are equal: nothing is copied */
  std::printf("%zu different words, memory of ours: %s\n", moved.size(),
              mi_is_in_heap_region(moved.data()) ? "yes" : "no");
  return 0;
}
