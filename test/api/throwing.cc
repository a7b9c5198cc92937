/* SPDX-License-Identifier: MIT */
/* mi_new and its kin when memory runs out: the new_handler, again and again, then std::bad_alloc; the nothrow
   forms return NULL.  In a program without exceptions the end is std::terminate. */
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mimalloc.h"

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (0)

static volatile std::size_t impossible = std::size_t(1) << 46;
static int calls;

/* ---- a heap that can be full, and a handler that makes room in it ---- */

static void* hoarded[200];
static int hoard_size;

static void frees_some() {
  calls++;
  CHECK(hoard_size > 20);
  for (int i = 0; i < 20; i++) mi_free(hoarded[--hoard_size]);
}

static void handler_makes_room() {
  mi_arena_id_t arena;
  CHECK(mi_reserve_os_memory_ex(8 << 20, false, false, true, &arena) == 0);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  while (hoard_size < 200) {
    hoarded[hoard_size] = mi_heap_malloc(heap, 200000);
    if (hoarded[hoard_size] == nullptr) break;
    hoard_size++;
  }
  CHECK(hoard_size > 20 && hoard_size < 200);
  std::set_new_handler(frees_some);
  calls = 0;
  void* const p = mi_heap_alloc_new(heap, 200000);
  CHECK(calls == 1 && mi_heap_of(p) == heap);
  std::set_new_handler(nullptr);
  mi_heap_destroy(heap);
}

#if defined(__cpp_exceptions)

static volatile std::size_t half = SIZE_MAX / 2;

static void gives_up() {
  if (++calls == 3) std::set_new_handler(nullptr);
}

static void throws_itself() {
  if (++calls == 2) throw std::bad_alloc();
}

template <class Function> bool throws_bad_alloc(Function function) {
  try {
    mi_free(function());
  } catch (const std::bad_alloc& e) {
    return std::strlen(e.what()) > 0;
  }
  return false;
}

/* function must throw: at once without a handler, after the third call of one that gives up, and what the
   handler itself throws. */
template <class Function> void each_way(Function function) {
  std::set_new_handler(nullptr);
  CHECK(throws_bad_alloc(function));
  std::set_new_handler(gives_up);
  calls = 0;
  CHECK(throws_bad_alloc(function) && calls == 3);
  std::set_new_handler(throws_itself);
  calls = 0;
  CHECK(throws_bad_alloc(function) && calls == 2);
  std::set_new_handler(nullptr);
}

/* The same for a function that must return NULL instead of throwing. */
template <class Function> void each_quiet_way(Function function) {
  std::set_new_handler(nullptr);
  CHECK(function() == nullptr);
  std::set_new_handler(gives_up);
  calls = 0;
  CHECK(function() == nullptr && calls == 3);
  std::set_new_handler(throws_itself);
  calls = 0;
  CHECK(function() == nullptr && calls == 2);
  std::set_new_handler(nullptr);
}

static void failures() {
  mi_heap_t* const heap = mi_heap_new();
  mi_theap_t* const theap = mi_heap_theap(heap);
  each_way([] { return mi_new(impossible); });
  each_way([] { return mi_new_n(half, 4); });
  each_way([] { return mi_new_aligned(impossible, 64); });
  each_way([] { return mi_new_realloc(nullptr, impossible); });
  each_way([] { return mi_new_reallocn(nullptr, half, 4); });
  each_way([=] { return mi_heap_alloc_new(heap, impossible); });
  each_way([=] { return mi_heap_alloc_new_n(heap, half, 4); });
  each_way([=] { return mi_theap_alloc_new(theap, impossible); });
  each_way([=] { return mi_theap_alloc_new_n(theap, half, 4); });
  each_quiet_way([] { return mi_new_nothrow(impossible); });
  each_quiet_way([] { return mi_new_aligned_nothrow(impossible, 64); });
  each_quiet_way([=] { return mi_theap_alloc_new_nothrow(theap, impossible); });

  char* const kept = static_cast<char*>(mi_heap_malloc(heap, 100));
  std::memset(kept, 7, 100);
  each_way([=] { return mi_new_realloc(kept, impossible); });
  each_way([=] { return mi_new_reallocn(kept, half, 4); });
  for (int i = 0; i < 100; i++) CHECK(kept[i] == 7);
  mi_heap_delete(heap);
  mi_free(kept);

  /* No power of two: no handler could help, so none is asked. */
  volatile std::size_t odd = 48;
  std::set_new_handler(gives_up);
  calls = 0;
  CHECK(throws_bad_alloc([&] { return mi_new_aligned(10, odd); }) && calls == 0);
  CHECK(mi_new_aligned_nothrow(10, odd) == nullptr && calls == 0);
  std::set_new_handler(nullptr);
}

#else

static void failures() {
  CHECK(mi_new_nothrow(impossible) == nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    close(STDERR_FILENO);
    mi_free(mi_new(impossible));
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

#endif

int main() {
  failures();
  handler_makes_room();
  std::puts("ok");
  return 0;
}
