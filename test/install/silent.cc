/* SPDX-License-Identifier: MIT */
// A program that names nothing of the library and calls no function that allocates by its own name: the C
// library allocates for it.  That block is the library's when its malloc has taken the place of the other.
#include <stdio.h>

extern "C" bool mi_is_in_heap_region(const void* p) __attribute__((weak));

int main() {
  char* line = nullptr;
  size_t size = 0;
  FILE* const file = fopen("/proc/self/maps", "r");
  if (file == nullptr || getline(&line, &size, file) < 0) return 1;
  const bool ours = mi_is_in_heap_region != nullptr && mi_is_in_heap_region(line);
  printf("malloc is ours: %s\n", ours ? "yes" : "no");
  return 0;
}
