/* SPDX-License-Identifier: MIT */
/* A double of the OS layer for tests: the real layer, with a page size, a clock, a limit and failures at
   will.

   How it gets in: the linker's --wrap.  Every call of os_map in the library becomes a call of __wrap_os_map,
   which os_double.c defines, and __real_os_map is the function of src/os/linux.c.  Nothing in src/ knows. The
   functions wrapped are listed in test/double/CMakeLists.txt, which makes the library variant
   `mimalloc-double`. */
#ifndef TEST_DOUBLE_OS_DOUBLE_H
#define TEST_DOUBLE_OS_DOUBLE_H

#include <stddef.h>
#include <stdint.h>

/* The kinds of calls that can fail. */
typedef enum os_call_e {
  CALL_RESERVE_AT,
  CALL_RESERVE,
  CALL_MAP_AT,
  CALL_MAP,
  CALL_COMMIT,
  CALL_PURGE,
  CALL_RESET,
  CALL_THREAD_START,
  CALL_BARRIER, /* not counted among ... */
  CALL_PREFER_NODE,
  CALL_ANY,     /* ... one count over all kinds */
  CALL_KINDS
} os_call_t;

#define FAIL_FOR_EVER UINT64_MAX

/* What an older kernel, or a sandbox, does not have. */
typedef enum os_ability_e { OS_WIPE_ON_FORK, OS_MEMBARRIER, OS_HUGE_PAGE_ADVICE, OS_PROC } os_ability_t;

/* Back to the real layer's behaviour, all counts zero. */
void double_reset(void);

/* Let `times` calls of the kind fail with an errno value, beginning with the nth from now (1: the next). */
void double_fail(os_call_t kind, uint64_t nth, uint64_t times, int error);

/* Calls of the kind since the reset. */
uint64_t double_calls(os_call_t kind);

/* The OS page size from now on; set it before the library's first call. */
void double_set_page_size(size_t size);

/* Stop the clock; then move it. */
void double_stop_clock(void);
void double_advance_clock(uint64_t ms);

/* Bytes that may be mapped in total (reserved or not), like RLIMIT_AS; 0: no limit. */
void double_limit_addresses(size_t bytes);

/* The OS lacks this from now on. */
void double_take_away(os_ability_t ability);

/* What the kernel calls random is first, first + 1, ...: the same in each run.  0: random. */
void double_set_random(uint64_t first);

/* The OS has so many huge pages of 2^shift bytes left (at first 0 of every size): mapping them makes ordinary
   memory in their place, or fails with ENOMEM. */
void double_set_huge_pages(unsigned shift, size_t count);

/* The calls about huge pages and NUMA nodes since the reset, in order; i < double_huge_calls(). */
typedef struct huge_call_s {
  void* addr;
  size_t size;
  unsigned shift; /* of os_map_huge; 0: os_prefer_node was called */
  unsigned node;  /* of os_prefer_node */
  int error;
} huge_call_t;
size_t double_huge_calls(void);
huge_call_t double_huge_call(size_t i);

/* The machine has so many NUMA nodes; 0: the real number. */
void double_set_nodes(unsigned count);

/* A first touch takes so long (0 after the reset); and how many there were. */
void double_set_touch(uint64_t ns);
uint64_t double_touches(void);

/* Each look at huge pages takes so long, while the clock is stopped. */
void double_set_huge_time(uint64_t ms);

/* Bytes mapped and not unmapped since the reset. */
size_t double_mapped(void);

#endif
