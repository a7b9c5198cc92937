/* SPDX-License-Identifier: MIT */
/* A heap per request: what a request allocates is freed at once at its end, whatever it was.

   The same work is done twice: with std::pmr, whose containers take a memory_resource (here one of a heap,
   and below it the standard pool), and with the allocators of mimalloc.h, which C++11 has too.  Each request
   parses a text into words; no block is freed by itself.  Afterwards no heap is left. */
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include <mimalloc.h>

#if defined(__has_include)
#if __has_include(<memory_resource>) && __cplusplus >= 201703L
#include <memory_resource>
#define HAVE_MEMORY_RESOURCE 1
#endif
#endif

static const char kText[] =
    "one two three four five six seven eight nine ten, and a word that fits nowhere else";

static bool count_heap(mi_heap_t*, void* arg) {
  ++*static_cast<int*>(arg);
  return true;
}

static int live_heaps() {
  int count = 0;
  return mi_subproc_visit_heaps(mi_subproc_current(), count_heap, &count) ? count : -1;
}

/* The allocator makes a heap, which all its copies share; it is destroyed with the last of them.  (Strings
   make an allocator of their own unless they are given one.) */
static std::size_t with_allocators() {
  typedef mi_heap_destroy_stl_allocator<char> Memory;
  typedef std::basic_string<char, std::char_traits<char>, Memory> Word;
  const Memory memory;
  std::vector<Word, mi_heap_destroy_stl_allocator<Word>> words(memory);
  for (const char* p = kText; *p != 0; p++) {
    if (p == kText || *p == ' ') words.emplace_back(memory);
    if (*p != ' ') words.back().push_back(*p);
  }
  return words.size();
}

#if defined(HAVE_MEMORY_RESOURCE)
class Heap_resource : public std::pmr::memory_resource {
public:
  Heap_resource() : heap_(mi_heap_new()) {
    if (heap_ == nullptr) throw std::bad_alloc();
  }
  ~Heap_resource() override { mi_heap_destroy(heap_); }
  Heap_resource(const Heap_resource&) = delete;
  Heap_resource& operator=(const Heap_resource&) = delete;

private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const p = mi_heap_malloc_aligned(heap_, bytes, alignment);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  void do_deallocate(void*, std::size_t, std::size_t) override {} /* all at once, at the end */
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  mi_heap_t* const heap_;
};

static std::size_t with_resource() {
  Heap_resource heap;
  std::pmr::unsynchronized_pool_resource pool(&heap);
  std::pmr::vector<std::pmr::string> words(&pool); /* which hands the pool on to its strings */
  for (const char* p = kText; *p != 0; p++) {
    if (p == kText || *p == ' ') words.emplace_back();
    if (*p != ' ') words.back().push_back(*p);
  }
  return words.size();
}
#else
static std::size_t with_resource() {
  return with_allocators();
}
#endif

int main() {
  const int before = live_heaps();
  std::size_t words = 0;
  for (int request = 0; request < 1000; request++) words += with_allocators() + with_resource();
  std::printf("%zu words in 2000 requests, %d heaps left over\n", words, live_heaps() - before);
  return words == 2000 * 17 && live_heaps() == before ? 0 : 1;
}
