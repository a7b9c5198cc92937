/* SPDX-License-Identifier: MIT */
/* std::pmr over this allocator: a memory_resource of a heap below the standard ones, and
   std::pmr::new_delete_resource where operator new is ours. */
#include <cstdio>

#if defined(__has_include)
#if __has_include(<memory_resource>) && __cplusplus >= 201703L
#define HAVE_MEMORY_RESOURCE 1
#endif
#endif

#if defined(HAVE_MEMORY_RESOURCE)
#include <cstdint>
#include <cstdlib>
#include <list>
#include <map>
#include <memory_resource>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "mimalloc.h"

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (0)

class Heap_resource : public std::pmr::memory_resource {
public:
  explicit Heap_resource(mi_heap_t* heap) : heap_(heap) {}

private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const p = mi_heap_malloc_aligned(heap_, bytes, alignment);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override {
    mi_free_size_aligned(p, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    const Heap_resource* const same = dynamic_cast<const Heap_resource*>(&other);
    return same != nullptr && same->heap_ == heap_;
  }

  mi_heap_t* const heap_;
};

static bool count_block(const mi_heap_t*, const mi_heap_area_t*, void* block, std::size_t, void* arg) {
  if (block != nullptr) ++*static_cast<std::size_t*>(arg);
  return true;
}

static std::size_t live_blocks(mi_heap_t* heap) {
  std::size_t count = 0;
  CHECK(mi_heap_visit_blocks(heap, true, count_block, &count));
  return count;
}

/* Fill containers of `resource`; every byte of theirs must lie in `heap`. */
static void use(std::pmr::memory_resource* resource, mi_heap_t* heap) {
  std::pmr::vector<int> numbers(resource);
  std::pmr::map<int, std::pmr::string> names(resource);
  std::pmr::list<long double> list(resource);
  for (int i = 0; i < 2000; i++) {
    numbers.push_back(i);
    names[i] = std::pmr::string(std::size_t(50 + i % 50), 'x', resource);
    list.push_back(i);
    CHECK(reinterpret_cast<std::uintptr_t>(&list.back()) % alignof(long double) == 0);
  }
  CHECK(mi_heap_of(numbers.data()) == heap);
  CHECK(mi_heap_of(names[1000].data()) == heap && mi_heap_of(&list.front()) == heap);
  void* const wide = resource->allocate(1000, 512);
  CHECK(reinterpret_cast<std::uintptr_t>(wide) % 512 == 0 && mi_heap_of(wide) == heap);
  resource->deallocate(wide, 1000, 512);
}

static void heap_resource() {
  mi_heap_t* const heap = mi_heap_new();
  mi_heap_t* const other = mi_heap_new();
  Heap_resource resource(heap), same(heap), different(other);
  CHECK(resource == same && resource != different && resource != *std::pmr::new_delete_resource());
  use(&resource, heap);
  CHECK(live_blocks(heap) == 0);
  {
    std::pmr::monotonic_buffer_resource monotonic(&resource);
    use(&monotonic, heap);
    CHECK(live_blocks(heap) > 0); /* it frees at its end only */
  }
  CHECK(live_blocks(heap) == 0);
  {
    std::pmr::unsynchronized_pool_resource pool(&resource);
    use(&pool, heap);
  }
  CHECK(live_blocks(heap) == 0);
  {
    std::pmr::synchronized_pool_resource pool(&resource);
    std::thread first([&] { use(&pool, heap); });
    std::thread second([&] { use(&pool, heap); });
    first.join();
    second.join();
  }
  CHECK(live_blocks(heap) == 0);
  mi_heap_delete(heap);
  mi_heap_delete(other);
}

/* Where operator new is ours: the resource that all others stand on by default is, too. */
static void default_resource() {
  void* const p = operator new(10);
  const bool ours = mi_any_heap_contains(p);
  operator delete(p);
#if defined(OPERATORS_ARE_OURS)
  CHECK(ours);
#endif
  if (!ours) return;
  use(std::pmr::new_delete_resource(), mi_heap_main());
  std::pmr::unsynchronized_pool_resource pool;
  use(&pool, mi_heap_main());
}

int main() {
  heap_resource();
  default_resource();
  std::puts("ok");
  return 0;
}
#else
int main() {
  std::puts("SKIPPED: no <memory_resource> here");
  return 77;
}
#endif
