/* SPDX-License-Identifier: MIT */
/* late LIBRARY FILLER...: opens the fillers, so that they use up static thread-local storage, then the
   library. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef void* malloc_function_t(size_t size);
typedef void free_function_t(void* p);
static malloc_function_t* late_malloc;
static free_function_t* late_free;

static void* use(void* arg) {
  for (size_t i = 1; i < 3000; i++) {
    void* const p = late_malloc(i);
    memset(p, 1, i);
    late_free(p);
  }
  return arg;
}

int main(int argc, char** argv) {
  pthread_t thread;
  for (int i = 2; i < argc; i++) {
    if (dlopen(argv[i], RTLD_NOW) != NULL) printf("filled\n");
  }
  void* const library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) {
    printf("refused: %s\n", dlerror());
    return 0;
  }
  *(void**)&late_malloc = dlsym(library, "mi_malloc");
  *(void**)&late_free = dlsym(library, "mi_free");
  use(NULL);
  if (pthread_create(&thread, NULL, use, NULL) != 0 || pthread_join(thread, NULL) != 0) return 1;
  printf("opened\n");
  return 0;
}
