/* SPDX-License-Identifier: MIT */
/* Every standard container on each of the three allocators for them: where the blocks lie, what copies,
   moves, assignments and swaps do with the allocator, and when a heap that belongs to allocators ends.  For
   C++11 and later, with and without exceptions.  Linked with -Wl,--wrap=mi_heap_new. */
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mimalloc.h"

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (0)

template <class T> using Plain = mi_stl_allocator<T>;
template <class T> using Freeing = mi_heap_stl_allocator<T>;
template <class T> using Destroying = mi_heap_destroy_stl_allocator<T>;

/* ---- what the heaps hold ---- */

static bool count_block(const mi_heap_t*, const mi_heap_area_t*, void* block, std::size_t, void* arg) {
  if (block != nullptr) ++*static_cast<std::size_t*>(arg);
  return true;
}

static bool count_area(const mi_heap_t*, const mi_heap_area_t*, void*, std::size_t, void* arg) {
  ++*static_cast<std::size_t*>(arg);
  return true;
}

static std::size_t live_blocks(mi_heap_t* heap) {
  std::size_t count = 0;
  CHECK(mi_heap_visit_blocks(heap, true, count_block, &count));
  return count;
}

static std::size_t areas(mi_heap_t* heap) {
  std::size_t count = 0;
  CHECK(mi_heap_visit_blocks(heap, false, count_area, &count));
  return count;
}

static bool count_heap(mi_heap_t*, void* arg) {
  ++*static_cast<int*>(arg);
  return true;
}

static int live_heaps() {
  int count = 0;
  CHECK(mi_subproc_visit_heaps(mi_subproc_main(), count_heap, &count));
  return count;
}

/* ---- elements ---- */

struct alignas(128) Wide {
  int value;
  char more[100];
  Wide(int i = 0) : value(i), more() {}
  bool operator==(const Wide& other) const { return value == other.value; }
};
static const void* place_of(const Wide& w) {
  CHECK(reinterpret_cast<std::uintptr_t>(&w) % 128 == 0);
  return &w;
}
template <class T> const void* place_of(const T& t) {
  return &t;
}

/* ---- one container, in all its lives ---- */

static const int kElements = 500;

template <class C> void check_elements_in(const C& container, mi_heap_t* heap) {
  for (const auto& element : container) CHECK(mi_heap_of(place_of(element)) == heap);
}

template <class C, class Fill, class A>
void lives_of(Fill fill, const A& in, const A& in_other, mi_heap_t* heap, mi_heap_t* other) {
  C first(in);
  fill(first);
  check_elements_in(first, heap);
  C copied(first);
  check_elements_in(copied, heap);
  CHECK(copied == first);
  C assigned(in_other);
  fill(assigned);
  check_elements_in(assigned, other);
  C second(in_other);
  fill(second);
  second = first;
  check_elements_in(second, heap);
  CHECK(second == first && second.get_allocator() == first.get_allocator());
  C moved(std::move(second));
  CHECK(moved == first);
  CHECK(second.get_allocator() == first.get_allocator());
  second.clear();
  fill(second); /* a container that was moved from is as good as new, in the same heap */
  check_elements_in(second, heap);
  swap(moved, assigned);
  check_elements_in(moved, other);
  check_elements_in(assigned, heap);
  moved = std::move(assigned);
  check_elements_in(moved, heap);
  C elsewhere(first, in_other);
  check_elements_in(elsewhere, other);
  elsewhere = C(first, in_other);
  CHECK(elsewhere == first);
}

/* insert at the end: what all but forward_list and the maps understand */
template <class C, class A> void sequence(const A& in, const A& in_other, mi_heap_t* heap, mi_heap_t* other) {
  const auto fill = [](C& c) {
    for (int i = 0; i < kElements; i++) c.insert(c.end(), typename C::value_type(i));
  };
  const typename C::allocator_type a(in), b(in_other);
  lives_of<C>(fill, a, b, heap, other);
}

template <class C, class A> void mapping(const A& in, const A& in_other, mi_heap_t* heap, mi_heap_t* other) {
  const auto fill = [](C& c) {
    for (int i = 0; i < kElements; i++) c.insert(std::make_pair(typename C::key_type(i), i));
    c.erase(c.begin());
  };
  const typename C::allocator_type a(in), b(in_other);
  lives_of<C>(fill, a, b, heap, other);
}

template <template <class> class A>
void all_containers(const A<int>& in, const A<int>& in_other, mi_heap_t* heap, mi_heap_t* other) {
  typedef A<int> Of;
  typedef A<std::pair<const int, int>> Pairs;
  typedef std::less<int> Less;
  typedef std::hash<int> Hash;
  typedef std::equal_to<int> Equal;
  sequence<std::vector<int, Of>>(in, in_other, heap, other);
  sequence<std::deque<int, Of>>(in, in_other, heap, other);
  sequence<std::list<int, Of>>(in, in_other, heap, other);
  sequence<std::set<int, Less, Of>>(in, in_other, heap, other);
  sequence<std::multiset<int, Less, Of>>(in, in_other, heap, other);
  sequence<std::unordered_set<int, Hash, Equal, Of>>(in, in_other, heap, other);
  sequence<std::unordered_multiset<int, Hash, Equal, Of>>(in, in_other, heap, other);
  mapping<std::map<int, int, Less, Pairs>>(in, in_other, heap, other);
  mapping<std::multimap<int, int, Less, Pairs>>(in, in_other, heap, other);
  mapping<std::unordered_map<int, int, Hash, Equal, Pairs>>(in, in_other, heap, other);
  mapping<std::unordered_multimap<int, int, Hash, Equal, Pairs>>(in, in_other, heap, other);
  typedef std::forward_list<int, Of> Forward;
  lives_of<Forward>(
      [](Forward& list) {
        for (int i = 0; i < kElements; i++) list.push_front(i);
        list.sort();
      },
      in, in_other, heap, other);

  std::stack<int, std::vector<int, Of>> stack(in);
  std::queue<int, std::deque<int, Of>> queue(in);
  std::priority_queue<int, std::vector<int, Of>> ordered{Less(), std::vector<int, Of>(in)};
  for (int i = 0; i < kElements; i++) {
    stack.push(i);
    queue.push(i);
    ordered.push((i * 7) % kElements);
  }
  CHECK(mi_heap_of(&stack.top()) == heap && mi_heap_of(&queue.front()) == heap);
  CHECK(mi_heap_of(&ordered.top()) == heap && ordered.top() == kElements - 1);
}

/* Elements whose alignment is more than a block has by itself. */
template <template <class> class A>
void wide_elements(const A<Wide>& in, const A<Wide>& in_other, mi_heap_t* heap, mi_heap_t* other) {
  sequence<std::vector<Wide, A<Wide>>>(in, in_other, heap, other);
  sequence<std::list<Wide, A<Wide>>>(in, in_other, heap, other);
}

template <template <class> class A, class T> void strings_in(const A<T>& in, mi_heap_t* heap) {
  typedef std::basic_string<char, std::char_traits<char>, A<char>> String;
  typedef std::basic_string<wchar_t, std::char_traits<wchar_t>, A<wchar_t>> Wide_string;
  String text(1000, 'x', A<char>(in));
  text += text;
  text.append("end").insert(0, "start");
  CHECK(text.size() == 2008 && mi_heap_of(text.data()) == heap);
  String cut = text.substr(0, 500) + text;
  CHECK(cut.size() == 2508 && cut.compare(500, 5, "start") == 0);
  Wide_string wide(300, L'y', A<wchar_t>(in));
  CHECK(mi_heap_of(wide.data()) == heap);
  std::vector<bool, A<bool>> bits(10000, true, A<bool>(in));
  bits.flip();
  CHECK(std::count(bits.begin(), bits.end(), false) == 10000);
}

template <template <class> class A>
void everything_on(const A<int>& in, const A<int>& in_other, mi_heap_t* heap, mi_heap_t* other) {
  all_containers<A>(in, in_other, heap, other);
  wide_elements<A>(A<Wide>(in), A<Wide>(in_other), heap, other);
  strings_in<A, int>(in, heap);
}

/* ---- the three allocators ---- */

static void properties() {
  typedef std::allocator_traits<Plain<int>> Plain_traits;
  typedef std::allocator_traits<Freeing<int>> Heap_traits;
  static_assert(std::is_same<Plain_traits::rebind_alloc<char>, Plain<char>>::value, "rebound");
  static_assert(std::is_same<Heap_traits::rebind_alloc<char>, Freeing<char>>::value, "rebound");
  static_assert(Heap_traits::propagate_on_container_copy_assignment::value, "");
  static_assert(Heap_traits::propagate_on_container_move_assignment::value, "");
  static_assert(Heap_traits::propagate_on_container_swap::value, "");
  static_assert(Plain<int>::is_always_equal::value && !Freeing<int>::is_always_equal::value, "");
  static_assert(std::is_empty<Plain<int>>::value, "adds nothing to a container");
  static_assert(std::is_nothrow_copy_constructible<Freeing<int>>::value, "");
  static_assert(std::is_nothrow_move_constructible<Destroying<int>>::value, "");
  CHECK(Plain<int>() == Plain<char>() && !(Plain<int>() != Plain<char>()));
  Freeing<int> one, two;
  CHECK(one != two && one == Freeing<char>(one) && !one.is_equal(two));
  Freeing<int> three(std::move(one));
  CHECK(three == one); /* a move leaves the value, as it must */
  CHECK(Heap_traits::select_on_container_copy_construction(one) == one);
  two = one;
  CHECK(two == one);
  CHECK(mi_heap_of(Freeing<int>(nullptr).allocate(1)) == mi_heap_main());
}

/* Made of nothing, or of something that can only be moved; it knows how many there are. */
struct Counted {
  static int live;
  int sum;
  Counted() : sum(-1) { live++; }
  Counted(int a, std::unique_ptr<int> b) : sum(a + *b) { live++; }
  ~Counted() { live--; }
  int* operator&() { return &sum; } /* not the object's address for address() */
};
int Counted::live;

/* What std::allocator had until C++20, called by name. */
template <template <class> class A> void members(const A<Counted>& in) {
  typedef A<Counted> Of;
  static_assert(std::is_same<typename Of::const_pointer, const Counted*>::value, "");
  static_assert(std::is_same<typename Of::reference, Counted&>::value, "");
  static_assert(std::is_same<typename Of::const_reference, const Counted&>::value, "");
  static_assert(std::is_same<typename A<void>::pointer, void*>::value, "void is for rebinding");
  Of allocator = in.select_on_container_copy_construction();
  CHECK(allocator == in);
  CHECK(allocator.max_size() == PTRDIFF_MAX / sizeof(Counted));
  Counted* const p = allocator.allocate(2);
  allocator.construct(p);
  allocator.construct(p + 1, 40, std::unique_ptr<int>(new int(2)));
  CHECK(Counted::live == 2 && p[0].sum == -1 && p[1].sum == 42);
  typename Of::reference object = p[1];
  typename Of::const_reference constant = p[1];
  typename Of::const_pointer found = allocator.address(constant);
  CHECK(allocator.address(object) == p + 1 && found == p + 1);
  allocator.destroy(p);
  allocator.destroy(p + 1);
  CHECK(Counted::live == 0);
  allocator.deallocate(p, 2);
}

static void given_heaps() {
  mi_heap_t* const heap = mi_heap_new();
  mi_heap_t* const other = mi_heap_new();
  everything_on<Plain>(Plain<int>(), Plain<int>(), mi_heap_main(), mi_heap_main());
  everything_on<Freeing>(heap, other, heap, other);
  CHECK(live_blocks(heap) == 0 && live_blocks(other) == 0); /* all freed, one by one */
  everything_on<Destroying>(heap, other, heap, other);
  CHECK(live_blocks(heap) > kElements && live_blocks(other) > kElements); /* nothing is */
  mi_heap_destroy(heap);
  mi_heap_destroy(other);
}

static void heaps_of_their_own() {
  const int before = live_heaps();
  int* left = nullptr;
  const int* gone = nullptr;
  {
    std::vector<int, Freeing<int>> vector(100);
    std::map<int, int, std::less<int>, Freeing<std::pair<const int, int>>> map;
    std::list<int, Destroying<int>> list;
    map[1] = 1;
    list.push_back(1);
    CHECK(live_heaps() == before + 3);
    gone = &list.front();
    CHECK(mi_heap_of(gone) != mi_heap_of(vector.data()) && mi_heap_of(gone) != mi_heap_main());
    Freeing<int> copy = vector.get_allocator();
    left = copy.allocate(10);
    left[9] = 9;
    CHECK(mi_heap_of(left) == mi_heap_of(vector.data()));
    vector = std::vector<int, Freeing<int>>(50); /* a fourth heap takes over; the copy still has the first */
    CHECK(live_heaps() == before + 4);
  }
  CHECK(live_heaps() == before);
  CHECK(mi_heap_of(left) == mi_heap_main() && left[9] == 9); /* deleted: what is left over lives on */
  CHECK(!mi_any_heap_contains(gone));                        /* destroyed: gone */
  mi_free(left);
}

static void collecting() {
  mi_heap_t* const heap = mi_heap_new();
  Freeing<int> allocator(heap);
  { std::vector<int, Freeing<int>> vector(5000, 1, allocator); }
  { std::list<int, Freeing<int>> list(5000, 1, allocator); }
  allocator.collect(true);
  CHECK(live_blocks(heap) == 0 && areas(heap) == 0);
  mi_heap_delete(heap);
}

/* The copies of an allocator, and blocks of its heap, in several threads. */
static void shared_by_threads() {
  const int before = live_heaps();
  {
    Destroying<int> allocator;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
      threads.emplace_back([allocator] {
        for (int i = 0; i < 200; i++) {
          std::vector<int, Destroying<int>> numbers(allocator);
          for (int k = 0; k < 50; k++) numbers.push_back(k);
          CHECK(numbers[49] == 49);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(live_heaps() == before + 1);
  }
  CHECK(live_heaps() == before);
}

/* ---- out of memory ---- */

static bool no_heap;
extern "C" {
mi_heap_t* __real_mi_heap_new(void);
mi_heap_t* __wrap_mi_heap_new(void);
mi_heap_t* __wrap_mi_heap_new(void) {
  return no_heap ? nullptr : __real_mi_heap_new();
}
}

static int handler_calls;

#if defined(__cpp_exceptions)
static volatile std::size_t impossible = std::size_t(1) << 46;
static volatile std::size_t too_many = SIZE_MAX / 2;

static void gives_up() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}

template <class Function> void throws_bad_alloc(Function function) {
  for (int with_handler = 0; with_handler < 2; with_handler++) {
    handler_calls = 0;
    std::set_new_handler(with_handler ? gives_up : nullptr);
    bool caught = false;
    try {
      function();
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    CHECK(caught && handler_calls == 3 * with_handler);
  }
}

static void failures() {
  throws_bad_alloc([] { Plain<int>().deallocate(Plain<int>().allocate(impossible)); });
  throws_bad_alloc([] { Plain<Wide>().deallocate(Plain<Wide>().allocate(impossible / 128)); });
  throws_bad_alloc([] { Plain<Wide>().deallocate(Plain<Wide>().allocate(too_many)); });
  Freeing<Wide> wide;
  Freeing<int> narrow(wide);
  throws_bad_alloc([&] { wide.deallocate(wide.allocate(impossible / 128)); });
  throws_bad_alloc([&] { wide.deallocate(wide.allocate(too_many)); });
  throws_bad_alloc([&] { narrow.deallocate(narrow.allocate(impossible)); });
  no_heap = true;
  throws_bad_alloc([] { CHECK(Freeing<int>() != Freeing<int>()); });
  no_heap = false;
}
#else
static void failures() {}
#endif

static void finds_room() {
  handler_calls++;
  no_heap = false;
}

static void handler_makes_room() {
  handler_calls = 0;
  no_heap = true;
  std::set_new_handler(finds_room);
  std::vector<int, Freeing<int>> vector(10);
  CHECK(handler_calls == 1 && mi_heap_of(vector.data()) != mi_heap_main());
  std::set_new_handler(nullptr);
}

int main() {
  properties();
  members<Plain>(Plain<Counted>());
  members<Freeing>(Freeing<Counted>());
  members<Destroying>(Destroying<Counted>());
  given_heaps();
  heaps_of_their_own();
  collecting();
  shared_by_threads();
  failures();
  handler_makes_room();
  std::puts("ok");
  return 0;
}
