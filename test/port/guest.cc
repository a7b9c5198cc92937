// SPDX-License-Identifier: MIT
// A C++ program on the allocator: containers, threads, aligned new, exceptions of new.
#include <mimalloc.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> faults{0};

static void expect(bool condition) {
  if (!condition) faults++;
}

struct alignas(256) wide {
  char bytes[256];
};

static void work() {
  std::map<int, std::string> words;
  for (int i = 0; i < 3000; i++) words[i] = std::string(static_cast<size_t>(i % 200) + 20, 'x');
  for (const auto& word : words) expect(mi_is_in_heap_region(word.second.data()));
  for (int i = 0; i < 3000; i += 2) words.erase(i);
  expect(words.size() == 1500);
  const std::unique_ptr<wide> one(new wide);
  expect(reinterpret_cast<std::uintptr_t>(one.get()) % 256 == 0 && mi_is_in_heap_region(one.get()));
}

static void fail() {
  volatile std::size_t huge = SIZE_MAX / 4 * 3;
  bool thrown = false;
  try {
    delete[] new char[huge];
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  expect(thrown);
  std::set_new_handler([] { throw std::bad_alloc(); });
  expect(::operator new(huge, std::nothrow) == nullptr);
  std::set_new_handler(nullptr);
}

int main() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  fail();
  std::printf("%s, %d faults\n", faults == 0 ? "served by mimalloc" : "not served", faults.load());
  return faults != 0;
}
