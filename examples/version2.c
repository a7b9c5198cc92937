/* SPDX-License-Identifier: MIT */
/* A program written for mimalloc 2: a heap becomes the default for a while, and goes with all that was
   allocated.

   Shows: names of version 2 */
#include <stdio.h>

#include <mimalloc.h>

static int fibonacci(int n) {
  int* const table = mi_calloc((size_t)n + 2, sizeof(int)); /* never freed: its heap is destroyed */
  if (table == NULL) return -1;
  table[1] = 1;
  for (int i = 2; i <= n; i++) table[i] = table[i - 1] + table[i - 2];
  return table[n];
}

int main(void) {
  mi_heap_t* const heap = mi_heap_new();
  if (heap == NULL) return 1;
  mi_heap_t* const before = mi_heap_set_default(heap);
  const int result = fibonacci(30);
  void* const p = mi_malloc(100);
  printf("fibonacci(30) = %d, from the default heap: %s\n", result,
         mi_heap_get_default() == heap && mi_heap_check_owned(heap, p) ? "yes" : "no");
  mi_heap_set_default(before);
  mi_heap_destroy(heap);
  printf("back at the main heap: %s\n", mi_heap_get_default() == mi_heap_get_backing() ? "yes" : "no");
  return 0;
}
