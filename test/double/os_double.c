/* SPDX-License-Identifier: MIT */
#include "double/os_double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "os/os.h"

/* The linker's names: __real_x is the layer under test, __wrap_x what the library gets for x. */
#define REAL(name) __real_##name
#define WRAP(name) __wrap_##name
#define WRAPPED(name)                 \
  extern __typeof__(name) REAL(name); \
  extern __typeof__(name) WRAP(name);

WRAPPED(os_page_size)
WRAPPED(os_reserve_at)
WRAPPED(os_reserve)
WRAPPED(os_map_at)
WRAPPED(os_map)
WRAPPED(os_unmap)
WRAPPED(os_commit)
WRAPPED(os_purge)
WRAPPED(os_purge_each)
WRAPPED(os_reset)
WRAPPED(os_no_huge_pages)
WRAPPED(os_want_huge_pages)
WRAPPED(os_touch)
WRAPPED(os_now_ms)
WRAPPED(os_random)
WRAPPED(os_fork_word)
WRAPPED(os_process_rss)
WRAPPED(os_barrier_everywhere)
WRAPPED(os_thread_start)
WRAPPED(os_map_huge)
WRAPPED(os_prefer_node)
WRAPPED(os_numa_nodes)

static struct {
  atomic_u64_t calls;
  atomic_u64_t from, until; /* calls with these numbers (from <= n < until) fail */
  atomic_u32_t error;
} kinds[CALL_KINDS];

static _Atomic(size_t) page_size;     /* 0: the real one */
static atomic_u64_t clock_stopped_at; /* 0: it runs */
static _Atomic(size_t) limit;         /* 0: none */
static _Atomic(size_t) mapped;
static atomic_u32_t lacking; /* bits: abilities that this OS does not have */
static atomic_u64_t touches, touch_ns;
static atomic_u64_t random_from; /* 0: the real one */

/* Huge pages are used by one thread at a time. */
enum { HUGE_CALLS_MAX = 64, SHIFTS = 64 };
static struct {
  size_t pages[SHIFTS];
  huge_call_t calls[HUGE_CALLS_MAX];
  size_t count;
  unsigned nodes;
  uint64_t ms;
} huge;

void double_reset(void) {
  for (int k = 0; k < CALL_KINDS; k++) {
    atomic_store(&kinds[k].calls, 0);
    atomic_store(&kinds[k].from, 0);
    atomic_store(&kinds[k].until, 0);
  }
  atomic_store(&page_size, 0);
  atomic_store(&clock_stopped_at, 0);
  atomic_store(&limit, 0);
  atomic_store(&mapped, 0);
  atomic_store(&lacking, 0);
  atomic_store(&random_from, 0);
  atomic_store(&touches, 0);
  atomic_store(&touch_ns, 0);
  memset(&huge, 0, sizeof(huge));
}

void double_set_huge_pages(unsigned shift, size_t count) {
  huge.pages[shift] = count;
}
void double_set_nodes(unsigned count) {
  huge.nodes = count;
}
void double_set_touch(uint64_t ns) { atomic_store(&touch_ns, ns); }
uint64_t double_touches(void) { return atomic_load(&touches); }

uint64_t WRAP(os_touch)(void* fresh) {
  atomic_fetch_add(&touches, 1);
  REAL(os_touch)(fresh);
  return atomic_load(&touch_ns);
}

void double_set_huge_time(uint64_t ms) {
  huge.ms = ms;
}
size_t double_huge_calls(void) {
  return huge.count;
}
huge_call_t double_huge_call(size_t i) {
  return huge.calls[i];
}

static int note_huge_call(huge_call_t call) {
  if (huge.count < HUGE_CALLS_MAX) huge.calls[huge.count++] = call;
  return call.error;
}

static int count_one(os_call_t kind) {
  const uint64_t n = atomic_fetch_add(&kinds[kind].calls, 1) + 1;
  const int fails = n >= atomic_load(&kinds[kind].from) && n < atomic_load(&kinds[kind].until);
  return fails ? (int)atomic_load(&kinds[kind].error) : 0;
}

int WRAP(os_map_huge)(void* addr, size_t size, unsigned shift) {
  const size_t page = (size_t)1 << shift;
  if (size == 0 || ((uintptr_t)addr | size) % page != 0) {
    fprintf(stderr, "os_double: not huge pages: %p + %zu\n", addr, size);
    abort();
  }
  double_advance_clock(huge.ms);
  if (huge.pages[shift] < size / page) return note_huge_call((huge_call_t){addr, size, shift, 0, ENOMEM});
  huge.pages[shift] -= size / page;
  return note_huge_call((huge_call_t){addr, size, shift, 0, REAL(os_commit)(addr, size)});
}

int WRAP(os_prefer_node)(void* addr, size_t size, unsigned node) {
  return note_huge_call((huge_call_t){addr, size, 0, node, count_one(CALL_PREFER_NODE)});
}

unsigned WRAP(os_numa_nodes)(void) {
  return huge.nodes != 0 ? huge.nodes : REAL(os_numa_nodes)();
}

void double_fail(os_call_t kind, uint64_t nth, uint64_t times, int error) {
  const uint64_t from = atomic_load(&kinds[kind].calls) + nth;
  atomic_store(&kinds[kind].error, (uint32_t)error);
  atomic_store(&kinds[kind].from, from);
  atomic_store(&kinds[kind].until, times > UINT64_MAX - from ? UINT64_MAX : from + times);
}

uint64_t double_calls(os_call_t kind) {
  return atomic_load(&kinds[kind].calls);
}
void double_set_page_size(size_t size) {
  atomic_store(&page_size, size);
}
void double_stop_clock(void) {
  atomic_store(&clock_stopped_at, 1000000);
}
void double_advance_clock(uint64_t ms) {
  atomic_fetch_add(&clock_stopped_at, ms);
}
void double_limit_addresses(size_t bytes) {
  atomic_store(&limit, bytes);
}
size_t double_mapped(void) {
  return atomic_load(&mapped);
}

void double_take_away(os_ability_t ability) {
  atomic_fetch_or(&lacking, 1u << ability);
}
void double_set_random(uint64_t first) {
  atomic_store(&random_from, first);
}

static int lacks(os_ability_t ability) {
  return (atomic_load(&lacking) >> ability & 1u) != 0;
}

/* Count a call; the error with which it must fail, or 0. */
static int count_call(os_call_t kind) {
  const int error = count_one(kind);
  const int error_any = count_one(CALL_ANY);
  return error != 0 ? error : error_any;
}

/* The contract's preconditions hold for every call, whatever the page size. */
static void require_pages(const void* addr, size_t size) {
  if (size > 0 && ((uintptr_t)addr | size) % WRAP(os_page_size)() == 0) return;
  fprintf(stderr, "os_double: a range that is not whole pages: %p + %zu\n", addr, size);
  abort();
}

static int over_limit(size_t size) {
  const size_t most = atomic_load(&limit);
  return most != 0 && atomic_load(&mapped) + size > most;
}

size_t WRAP(os_page_size)(void) {
  const size_t size = atomic_load(&page_size);
  return size != 0 ? size : REAL(os_page_size)();
}

static int map_exactly(os_call_t kind, void* addr, size_t size) {
  require_pages(addr, size);
  int error = count_call(kind);
  if (error == 0 && over_limit(size)) error = ENOMEM;
  if (error == 0) error = kind == CALL_MAP_AT ? REAL(os_map_at)(addr, size) : REAL(os_reserve_at)(addr, size);
  if (error == 0) atomic_fetch_add(&mapped, size);
  return error;
}

int WRAP(os_reserve_at)(void* addr, size_t size) {
  return map_exactly(CALL_RESERVE_AT, addr, size);
}
int WRAP(os_map_at)(void* addr, size_t size) {
  return map_exactly(CALL_MAP_AT, addr, size);
}

void* WRAP(os_reserve)(size_t size, size_t alignment) {
  require_pages(NULL, size);
  if (count_call(CALL_RESERVE) != 0 || over_limit(size)) return NULL;
  void* const p = REAL(os_reserve)(size, max_size(alignment, WRAP(os_page_size)()));
  if (p != NULL) atomic_fetch_add(&mapped, size);
  return p;
}

void* WRAP(os_map)(size_t size) {
  size = align_up(size, WRAP(os_page_size)());
  if (count_call(CALL_MAP) != 0 || over_limit(size)) return NULL;
  void* const p = REAL(os_map)(size);
  if (p != NULL) atomic_fetch_add(&mapped, size);
  return p;
}

void WRAP(os_unmap)(void* addr, size_t size) {
  size = align_up(size, WRAP(os_page_size)());
  atomic_fetch_sub(&mapped, size);
  REAL(os_unmap)(addr, size);
}

int WRAP(os_commit)(void* addr, size_t size) {
  require_pages(addr, size);
  const int error = count_call(CALL_COMMIT);
  return error != 0 ? error : REAL(os_commit)(addr, size);
}

int WRAP(os_purge)(void* addr, size_t size) {
  require_pages(addr, size);
  const int error = count_call(CALL_PURGE);
  return error != 0 ? error : REAL(os_purge)(addr, size);
}

/* One call, whatever the kernel makes of it. */
size_t WRAP(os_purge_each)(const struct iovec* ranges, size_t count) {
  for (size_t i = 0; i < count; i++) require_pages(ranges[i].iov_base, ranges[i].iov_len);
  return count_call(CALL_PURGE) == 0 ? REAL(os_purge_each)(ranges, count) : 0;
}

int WRAP(os_reset)(void* addr, size_t size) {
  require_pages(addr, size);
  const int error = count_call(CALL_RESET);
  return error != 0 ? error : REAL(os_reset)(addr, size);
}

void WRAP(os_no_huge_pages)(void* addr, size_t size) {
  require_pages(addr, size);
  if (!lacks(OS_HUGE_PAGE_ADVICE)) REAL(os_no_huge_pages)(addr, size);
}

void WRAP(os_want_huge_pages)(void* addr, size_t size) {
  require_pages(addr, size);
  if (!lacks(OS_HUGE_PAGE_ADVICE)) REAL(os_want_huge_pages)(addr, size);
}

uint64_t WRAP(os_random)(void) {
  return atomic_load(&random_from) != 0 ? atomic_fetch_add(&random_from, 1) : REAL(os_random)();
}

atomic_u64_t* WRAP(os_fork_word)(void) {
  return lacks(OS_WIPE_ON_FORK) ? NULL : REAL(os_fork_word)();
}

size_t WRAP(os_process_rss)(void) {
  return lacks(OS_PROC) ? 0 : REAL(os_process_rss)();
}

/* Counted by itself: a background thread makes these calls when it likes. */
int WRAP(os_barrier_everywhere)(void) {
  const int error = count_one(CALL_BARRIER);
  if (lacks(OS_MEMBARRIER)) return ENOSYS;
  return error != 0 ? error : REAL(os_barrier_everywhere)();
}

uint64_t WRAP(os_now_ms)(void) {
  const uint64_t stopped_at = atomic_load(&clock_stopped_at);
  return stopped_at != 0 ? stopped_at : REAL(os_now_ms)();
}

int WRAP(os_thread_start)(void* (*run)(void*)) {
  const int error = count_call(CALL_THREAD_START);
  return error != 0 ? error : REAL(os_thread_start)(run);
}
