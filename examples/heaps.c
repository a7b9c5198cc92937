/* SPDX-License-Identifier: MIT */
/* A server's request: what it allocates comes from a heap of its own and is gone with it, nothing is freed
   singly. What outlives the request stays when the heap is deleted instead.

   Shows: heaps */
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

typedef struct field_s {
  char* name;
  char* value;
  struct field_s* next;
} field_t;

/* "a=1&b=2" as a list, all of it in `heap`. */
static field_t* parse(mi_heap_t* heap, const char* query) {
  field_t* fields = NULL;
  while (*query != '\0') {
    const size_t length = strcspn(query, "&"), name = strcspn(query, "=&");
    field_t* const field = mi_heap_malloc_tp(field_t, heap);
    if (field == NULL) return NULL;
    field->name = mi_heap_strndup(heap, query, name);
    field->value =
        mi_heap_strndup(heap, name < length ? query + name + 1 : "", name < length ? length - name - 1 : 0);
    field->next = fields;
    fields = field;
    query += length + (query[length] == '&');
  }
  return fields;
}

int main(void) {
  size_t seen = 0;
  for (int request = 0; request < 1000; request++) {
    mi_heap_t* const heap = mi_heap_new();
    if (heap == NULL) return 1;
    for (const field_t* f = parse(heap, "user=ada&page=7&debug"); f != NULL; f = f->next) seen++;
    mi_heap_destroy(heap); /* ten blocks at once */
  }
  printf("%zu fields of 1000 requests\n", seen);

  mi_heap_t* const session = mi_heap_new();
  char* const kept = mi_heap_strdup(session, "outlives its heap");
  printf("in the session's heap: %s\n", mi_heap_contains(session, kept) ? "yes" : "no");
  mi_heap_delete(session);
  printf("%s, in the main heap: %s\n", kept, mi_heap_of(kept) == mi_heap_main() ? "yes" : "no");
  mi_free(kept);
  return 0;
}
