/* SPDX-License-Identifier: MIT */
#include "os_still.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "explorer.h"
#include "os/os.h"

uint64_t os_still_clock = 1000;
uint64_t os_still_purges;
static uint64_t random_state = 1;
static atomic_u64_t fork_word;

size_t os_page_size(void) {
  return 4096;
}

/* Readable and writable from the start: committing has nothing to do. */
static void* map(void* addr, size_t size, int flags) {
  if (explorer_executes()) return NULL; /* a snapshot cannot unmap */
  const int saved = errno;
  void* const p =
      mmap(addr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  errno = saved;
  if (p == MAP_FAILED) return NULL;
  explorer_region(p, size);
  return p;
}

int os_reserve_at(void* addr, size_t size) {
  if (explorer_executes()) return ENOMEM;
  return map(addr, size, MAP_FIXED_NOREPLACE) == addr ? 0 : EEXIST;
}

int os_map_at(void* addr, size_t size) {
  return os_reserve_at(addr, size);
}

void* os_reserve(size_t size, size_t alignment) {
  char* const p = map(NULL, size + alignment, 0);
  return p == NULL ? NULL : (void*)align_up((uintptr_t)p, alignment);
}

void* os_map(size_t size) {
  return map(NULL, align_up(size, os_page_size()), 0);
}

void os_unmap(void* addr, size_t size) {
  if (explorer_executes()) return;
  explorer_region_gone(addr, size);
  munmap(addr, size);
}

int os_commit(void* addr, size_t size) {
  UNUSED(addr), UNUSED(size);
  return 0;
}

int os_purge(void* addr, size_t size) {
  memset(addr, 0, size);
  os_still_purges++;
  return 0;
}

size_t os_purge_each(const struct iovec* ranges, size_t count) {
  size_t dropped = 0;
  for (size_t i = 0; i < count; i++) {
    os_purge(ranges[i].iov_base, ranges[i].iov_len);
    dropped += ranges[i].iov_len;
  }
  return dropped;
}

int os_reset(void* addr, size_t size) {
  return os_purge(addr, size);
}

int os_move(void* from, void* to, size_t size) {
  UNUSED(from);
  UNUSED(to);
  UNUSED(size);
  return ENOSYS;
}

int os_guard(void* addr, size_t size) {
  UNUSED(addr), UNUSED(size);
  return ENOSYS;
}

int os_unguard(void* addr, size_t size, uint32_t calls) {
  UNUSED(addr), UNUSED(size), UNUSED(calls);
  return 0;
}

bool os_has_guarded(void) { return false; }

void os_no_huge_pages(void* addr, size_t size) {
  UNUSED(addr), UNUSED(size);
}

void os_want_huge_pages(void* addr, size_t size) {
  UNUSED(addr), UNUSED(size);
}

uint64_t os_touch(void* fresh) {
  UNUSED(fresh);
  return 0;
}

int os_map_huge(void* addr, size_t size, unsigned shift) {
  UNUSED(addr), UNUSED(size), UNUSED(shift);
  return ENOMEM;
}

int os_prefer_node(void* addr, size_t size, unsigned node) {
  UNUSED(addr), UNUSED(size), UNUSED(node);
  return ENOSYS;
}

unsigned os_numa_nodes(void) {
  return 1;
}

bool os_overcommits(void) {
  return false;
}

uint64_t os_now_ms(void) {
  return os_still_clock;
}

uint64_t os_random(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return random_state ^ random_state >> 31;
}

atomic_u64_t* os_fork_word(void) {
  return &fork_word;
}

void os_write_stderr(const char* text, size_t n) {
  const ssize_t written = write(STDERR_FILENO, text, n);
  UNUSED(written);
}

void os_keep_stderr(void) {}

void os_return_to_stderr(void) {}

size_t os_process_rss(void) {
  return 0;
}

size_t os_resident(void* addr, size_t size) {
  UNUSED(addr), UNUSED(size);
  return 0;
}

size_t os_process_peak_rss(void) {
  return 0;
}

void os_futex_wait(atomic_u32_t* word, uint32_t expected, long timeout_ms) {
  UNUSED(word), UNUSED(expected), UNUSED(timeout_ms);
}

void os_futex_wake(atomic_u32_t* word) {
  UNUSED(word);
}

int os_thread_start(void* (*run)(void*)) {
  UNUSED(run);
  return EAGAIN;
}

/* Executions are sequentially consistent but for the explorer's store buffer; that it empties. */
int os_barrier_everywhere(void) {
  explorer_drain();
  return 0;
}

void os_thread_name(const char* name) {
  UNUSED(name);
}
