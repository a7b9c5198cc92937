/* SPDX-License-Identifier: MIT */
/* Shared objects that come and go.
     threads_dlopen plugin <file>: a plugin that allocates is opened, used and closed many times by threads;
       its blocks are freed by it, by the program, and after it is gone.
     threads_dlopen self <file>: the allocator itself is opened by a running, threaded program that uses
       another malloc: its thread-local words must fit into the static TLS that is left, for the threads
       that already run as well; blocks pass between threads, and it is closed and opened again.
     threads_dlopen dropped|kept <file>: the plugin is opened with RTLD_DEEPBIND; its blocks are the preloaded
       library's when that flag is dropped, the C library's when MIMALLOC_KEEP_DEEPBIND keeps it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"
#include <dlfcn.h>
#include <stdbool.h>

#ifndef RTLD_DEEPBIND /* musl has no such thing */
#define RTLD_DEEPBIND 0
#endif

enum { ROUNDS = 100, THREADS = 3 };

typedef char* (text_fun_t)(size_t size);
typedef void (free_fun_t)(void* p);
typedef void* (malloc_fun_t)(size_t size);
typedef bool (contains_fun_t)(const void* p);

static const char* file;
static atomic_int opened, finished;
static malloc_fun_t* opened_malloc;
static free_fun_t* opened_free;
static void* passed[THREADS];

static void* open_or_fail(int more_flags) {
  void* handle = dlopen(file, RTLD_NOW | RTLD_LOCAL | more_flags);
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
  void* handle = open_or_fail(0);
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

static int deep_bound(bool kept) {
  text_fun_t* text;
  free_fun_t* plugin_free;
  contains_fun_t* is_ours;
  if (RTLD_DEEPBIND == 0) return 77;
  void* handle = open_or_fail(RTLD_DEEPBIND);
  symbol(handle, "plugin_text", &text);
  symbol(handle, "plugin_free", &plugin_free);
  symbol(RTLD_DEFAULT, "mi_any_heap_contains", &is_ours);
  char* mine = (char*)malloc(50);
  char* plugins = text(50);
  CHECK(is_ours(mine), "the library is not preloaded");
  CHECK(is_ours(plugins) == !kept, "the plugin's block is of the wrong allocator");
  plugin_free(plugins);
  free(mine);
  dlclose(handle);
  return 0;
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
    void* handle = open_or_fail(0);
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
  CHECK(argc > 2, "usage: threads_dlopen plugin|self|dropped|kept <file>");
  watchdog(60);
  file = argv[2];
  if (strcmp(argv[1], "self") == 0) {
    open_self();
    return 0;
  }
  if (strcmp(argv[1], "plugin") != 0) return deep_bound(strcmp(argv[1], "kept") == 0);
  for (int i = 0; i < ROUNDS; i++) {
    plugin_round(NULL);
    if (i % 4 == 0) thread_join(thread_start(&plugin_round, NULL));
  }
  return 0;
}
