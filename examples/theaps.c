/* SPDX-License-Identifier: MIT */
/* A plug-in calls mi_malloc and forgets to free.  While it runs, its thread allocates from a heap made for
   it, and what it leaves behind goes with that heap.

   Shows: a thread's parts of heaps */
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

/* Knows nothing of heaps. */
static size_t plug_in(const char* text) {
  char* const copy = mi_strdup(text);
  size_t* const lengths = mi_calloc(strlen(text) + 1, sizeof(size_t));
  if (copy == NULL || lengths == NULL) return 0;
  size_t words = 0;
  for (const char* word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
    lengths[words++] = strlen(word);
  return words;
}

static bool count(const mi_heap_t* heap, const mi_heap_area_t* area, void* block, size_t size, void* arg) {
  (void)heap, (void)area, (void)size;
  *(int*)arg += (block != NULL);
  return true;
}

int main(void) {
  mi_heap_t* const heap = mi_heap_new();
  mi_theap_t* const theap = heap != NULL ? mi_heap_theap(heap) : NULL;
  if (theap == NULL) return 1;

  mi_theap_t* const before = mi_theap_set_default(theap);
  const size_t words = plug_in("what a plug in leaves behind");
  mi_theap_set_default(before);

  int blocks = 0;
  mi_heap_visit_blocks(heap, true, &count, &blocks);
  printf("%zu words, %d blocks left behind\n", words, blocks);
  mi_heap_destroy(heap);

  void* const p = mi_malloc(10);
  printf("now again from the main heap: %s\n", mi_heap_of(p) == mi_heap_main() ? "yes" : "no");
  mi_free(p);
  return 0;
}
