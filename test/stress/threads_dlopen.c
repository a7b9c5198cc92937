/* SPDX-License-Identifier: MIT */
/* Shared objects that come and go.
     threads_dlopen plugin <file>: a plugin that allocates is opened, used and closed many times by threads;
       its blocks are freed by it, by the program, and after it is gone.
     threads_dlopen self <file>: the allocator itself is opened by a running, threaded program that uses
       another malloc: its thread-local words must fit into the static TLS that is left, for the threads
       that already run as well; blocks pass between threads, and it is closed and opened again. */
#include "support.h"
#include <dlfcn.h>

enum { ROUNDS = 100, THREADS = 3 };

typedef char* (text_fun_t)(size_t size);
typedef void (free_fun_t)(void* p);
typedef void* (malloc_fun_t)(size_t size);

static const char* file;
static atomic_int opened, finished;
static malloc_fun_t* opened_malloc;
static free_fun_t* opened_free;
static void* passed[THREADS];

static void* open_or_fail(void) {
  void* handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  CHECK(handle != NULL, "dlopen: %s", dlerror());
  return handle;
}

/* ISO C has no conversion from an object pointer to a function pointer. */
static void symbol(void* handle, const char* name, void* function) {
  void* address = dlsym(handle, name);
  CHECK(address != NULL, "dlsym: %s", dlerror());
  memcpy(function, &address, sizeof(address));
}

static void* plugin_round(void* arg) {
  text_fun_t* text;
  free_fun_t* plugin_free;
  void* handle = open_or_fail();
  symbol(handle, "plugin_text", &text);
  symbol(handle, "plugin_free", &plugin_free);
  char* a = text(50);
  char* b = text(5000);
  char* c = text(500000);
  CHECK(a != NULL && b != NULL && c != NULL, "out of memory");
  plugin_free(a);
  free(b);
  plugin_free(malloc(77));
  dlclose(handle);
  CHECK(c[499999] == 'p', "the block changed with its plugin's end");
  free(c);
  return arg;
}

static void use_opened(size_t i) {
  char* blocks[100];
  for (size_t k = 0; k < 100; k++) {
    blocks[k] = (char*)opened_malloc(1 + k * 37);
    CHECK(blocks[k] != NULL, "out of memory");
    memset(blocks[k], (int)i, 1 + k * 37);
  }
  opened_free(passed[i]);
  passed[i] = blocks[0];
  for (size_t k = 1; k < 100; k++) opened_free(blocks[k]);
}

/* Runs before the library is opened, and ends after. */
static void* early_thread(void* arg) {
  const size_t i = (size_t)(uintptr_t)arg;
  void* p = malloc(100);
  while (atomic_load(&opened) == 0) sleep_ms(1);
  use_opened(i);
  free(p);
  atomic_fetch_add(&finished, 1);
  return NULL;
}

static void open_self(void) {
  pthread_t threads[THREADS];
  void* foreign = malloc(1000);
  for (size_t i = 0; i < THREADS; i++) threads[i] = thread_start(&early_thread, (void*)(uintptr_t)i);
  for (int round = 0; round < 3; round++) {
    void* handle = open_or_fail();
    symbol(handle, "mi_malloc", &opened_malloc);
    symbol(handle, "mi_free", &opened_free);
    atomic_store(&opened, 1);
    for (size_t i = 0; i < THREADS && round == 0; i++) thread_join(threads[i]);
    for (size_t i = 0; i < THREADS; i++) {
      opened_free(passed[i]); /* its thread is gone */
      passed[i] = NULL;
      use_opened(i);
      opened_free(passed[i]);
      passed[i] = NULL;
    }
    dlclose(handle);
  }
  free(foreign);
  CHECK(atomic_load(&finished) == THREADS, "threads missed");
}

int main(int argc, char** argv) {
  CHECK(argc > 2, "usage: threads_dlopen plugin|self <file>");
  watchdog(60);
  file = argv[2];
  if (strcmp(argv[1], "self") == 0) {
    open_self();
    return 0;
  }
  for (int i = 0; i < ROUNDS; i++) {
    plugin_round(NULL);
    if (i % 4 == 0) thread_join(thread_start(&plugin_round, NULL));
  }
  return 0;
}
