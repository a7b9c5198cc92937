/* SPDX-License-Identifier: MIT */
/* All forms of new and delete, their new_handler and std::bad_alloc, although the library is C: run linked,
   preloaded and static. */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>

extern "C" std::size_t malloc_usable_size(void*);

/* Not every compiler declares the sized forms. */
void operator delete(void*, std::size_t) noexcept;
void operator delete[](void*, std::size_t) noexcept;
void operator delete(void*, std::size_t, std::align_val_t) noexcept;
void operator delete[](void*, std::size_t, std::align_val_t) noexcept;

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (0)

static volatile std::size_t impossible = std::size_t(1) << 46;
static volatile std::size_t negative = SIZE_MAX - 7;
static int calls;

static void throws_at_third_call() {
  if (++calls == 3) throw std::bad_alloc();
}
static void gives_up_at_third_call() {
  if (++calls == 3) std::set_new_handler(nullptr);
}
struct Other {
  int value;
};
static void throws_other() {
  throw Other{5};
}

template <class Function> static bool throws_bad_alloc(Function function) {
  try {
    function();
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

static void each_form() {
  const std::nothrow_t& quiet = std::nothrow;
  const std::align_val_t aligned{256};
  for (std::size_t size = 0; size < 5000; size = size * 2 + 1) {
    operator delete(operator new(size));
    operator delete[](operator new[](size));
    operator delete(operator new(size), size);
    operator delete[](operator new[](size), size);
    operator delete(operator new(size, quiet), quiet);
    operator delete[](operator new[](size, quiet), quiet);
    void* p = operator new(size, aligned);
    void* q = operator new[](size, aligned);
    CHECK(p != q && reinterpret_cast<std::uintptr_t>(p) % 256 == 0);
    CHECK(malloc_usable_size(p) >= size);
    operator delete(p, aligned);
    operator delete[](q, aligned);
    operator delete(operator new(size, aligned), size, aligned);
    operator delete[](operator new[](size, aligned), size, aligned);
    operator delete(operator new(size, aligned, quiet), aligned, quiet);
    operator delete[](operator new[](size, aligned, quiet), aligned, quiet);
  }
}

static void failure_without_handler() {
  CHECK(throws_bad_alloc([] { operator delete(operator new(impossible)); }));
  CHECK(throws_bad_alloc([] { operator delete[](operator new[](negative)); }));
  CHECK(throws_bad_alloc(
      [] { operator delete(operator new(impossible, std::align_val_t(64)), std::align_val_t(64)); }));
  CHECK(operator new(impossible, std::nothrow) == nullptr);
  CHECK(operator new[](negative, std::nothrow) == nullptr);
  CHECK(operator new(impossible, std::align_val_t(64), std::nothrow) == nullptr);
}

static void failure_with_handler() {
  std::set_new_handler(throws_at_third_call);
  calls = 0;
  CHECK(throws_bad_alloc([] { operator delete(operator new(impossible)); }) && calls == 3);
  calls = 0;
  CHECK(operator new(impossible, std::nothrow) == nullptr&& calls == 3);
  calls = 0;
  CHECK(operator new[](impossible, std::align_val_t(64), std::nothrow) == nullptr&& calls == 3);
  std::set_new_handler(gives_up_at_third_call);
  calls = 0;
  CHECK(throws_bad_alloc([] { operator delete(operator new(impossible)); }) && calls == 3);
  std::set_new_handler(throws_other);
  CHECK(operator new(impossible, std::nothrow) == nullptr);
  int value = 0;
  try {
    operator delete(operator new(impossible));
  } catch (const Other& other) {
    value = other.value;
  }
  CHECK(value == 5);
  std::set_new_handler(nullptr);
}

struct Counted {
  static int live;
  std::string name;
  Counted() : name(40, 'x') { live++; }
  ~Counted() { live--; }
};
int Counted::live;

static void unwinding_runs_destructors() {
  try {
    std::vector<Counted> objects(10);
    operator delete(operator new(impossible));
  } catch (const std::bad_alloc&) {
    CHECK(Counted::live == 0);
    return;
  }
  std::fputs("nothing was thrown\n", stderr);
  std::exit(1);
}

/* The program is not linked with the library in all variants of this test: a static one knows that its own
   operator new is not the C++ library's, the others ask for a name that only our library has. */
#ifndef LINKED_STATICALLY
static bool is_served_by_us() {
  return dlsym(RTLD_DEFAULT, "mi_version") != nullptr;
}
#else
extern "C" int mi_version(void);
static bool is_served_by_us() {
  return mi_version() == 30600;
}
#endif

int main() {
  CHECK(is_served_by_us());
  each_form();
  failure_without_handler();
  failure_with_handler();
  unwinding_runs_destructors();
  std::thread([] {
    each_form();
    failure_with_handler();
  }).join();
  std::puts("ok");
  return 0;
}
