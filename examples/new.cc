/* SPDX-License-Identifier: MIT */
/* What C++ does when memory runs out: a handler gives up a reserve, and only when there is none left the
   request fails, by an exception or, where that is asked for, by a null pointer.

   Shows: allocation as C++'s operator new does it */
#include <cstdint>
#include <cstdio>
#include <new>

#include <mimalloc.h>

static void* reserve = nullptr;

static void give_up_reserve() {
  if (reserve != nullptr) {
    std::puts("handler: the reserve is given up");
    mi_free(reserve);
    reserve = nullptr;
  } else {
    std::puts("handler: nothing left");
    std::set_new_handler(nullptr); /* the next failure is thrown */
  }
}

struct point {
  double x, y;
};

int main() {
  reserve = mi_new(1 << 20);
  std::set_new_handler(&give_up_reserve);
  const volatile std::size_t impossible = SIZE_MAX / 2;
  try {
    mi_free(mi_new(impossible));
  } catch (const std::bad_alloc&) {
    std::puts("caught std::bad_alloc");
  }
  try {
    mi_free(mi_new_n(impossible, sizeof(point))); /* the product would wrap */
  } catch (const std::bad_alloc&) {
    std::puts("caught it again");
  }
  std::printf("nothrow: %s\n", mi_new_nothrow(impossible) == nullptr ? "null" : "a block");

  /* An object in a block of ours. */
  point* const p = new (mi_new_aligned(sizeof(point), 64)) point{3, 4};
  std::printf("%g at a multiple of 64: %s\n", p->x * p->x + p->y * p->y,
              reinterpret_cast<std::uintptr_t>(p) % 64 == 0 ? "yes" : "no");
  mi_free(p);
  return 0;
}
