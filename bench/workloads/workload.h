/* SPDX-License-Identifier: MIT */
/* What every workload shares: arguments, a seeded generator, stamped blocks, threads, and the one line of
   results.

   Purpose: each workload is a small program on plain malloc and free, so that any allocator can be put under
   it by preloading.  It does a fixed amount of work (deterministic for a seed, a number of threads and a
   scale), proves that its blocks keep what was written into them, and prints

     RESULT workload=NAME threads=N scale=N operations=N wall_ms=N cpu_ms=N faults=N peak_kib=N rss_kib=N ...

   Operations are counted, not timed: all threads together do the same work however many they are, so that CPU
   time, faults and OS calls of two runs compare.

   Invariant: the harness itself allocates nothing with malloc while a workload runs; its tables are mapped.
   Protocol: with BENCH_HOLD set in the environment a workload stops itself (SIGSTOP) after the line, so that
   the runner can look at /proc/PID/maps and status of a process that is complete and still alive. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { WORKLOAD_THREADS_MAX = 64, STAMPED_MIN = 16 };

typedef struct workload_s {
  const char* name;
  size_t threads;
  size_t scale; /* per cent of the full amount of work; live memory stays unless the workload says so */
  uint64_t seed;
  const char* mode; /* a third argument some workloads understand, or "" */
  uint64_t start_ns;
} workload_t;

/* Parse `[THREADS [SCALE [MODE]]]` (SCALE in per cent) and start the clock. */
workload_t workload_begin(const char* name, int argc, char** argv);

/* Print the line of results; `extra` is appended as it is ("" for none).  Returns the exit status. */
int workload_end(const workload_t* workload, uint64_t operations, const char* extra);

/* `total` at full scale, as scaled, at least one; and each thread's share of that. */
uint64_t workload_scaled(const workload_t* workload, uint64_t total);
uint64_t workload_share(const workload_t* workload, uint64_t total);

typedef struct worker_s {
  const workload_t* workload;
  size_t index;
  uint64_t random;     /* generator state, different for each worker */
  uint64_t operations; /* written by the worker */
} worker_t;

/* Run `body` in workload->threads threads (in this one if it is one) and return the sum of operations. */
uint64_t workload_run(const workload_t* workload, void (*body)(worker_t* worker));

/* A thread with no return value to look at; and its end. */
pthread_t thread_start(void* (*body)(void* argument), void* argument);
void thread_join(pthread_t thread);

/* Memory of the harness itself: mapped, zero, never malloc'ed. */
void* harness_map(size_t size);
void harness_unmap(void* memory, size_t size);

/* Say what is wrong and exit with 2. */
__attribute__((noreturn)) void workload_fail(const char* what);

/* Resident set now, in KiB. */
size_t resident_kib(void);

/* Stop the clock and be idle for two seconds without one call of the allocator; writes what is resident at
   once, after one second and after two, beside what lives: live_kib, freed_kib, idle_kib, idle2_kib. */
void idle_report(size_t live_bytes, char* text, size_t room);

uint64_t now_ns(void);

static inline uint64_t random_next(uint64_t* state) {
  uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static inline size_t random_below(uint64_t* state, size_t bound) {
  return (size_t)(((random_next(state) >> 32) * (uint64_t)bound) >> 32);
}

/* Between 2^low and 2^high bytes, each doubling equally likely. */
static inline size_t random_size(uint64_t* state, unsigned low, unsigned high) {
  const size_t base = (size_t)1 << (low + random_below(state, high - low));
  return base + random_below(state, base);
}

/* What programs ask for: mostly small, some medium, few big. */
static inline size_t random_mixed_size(uint64_t* state) {
  const size_t dice = random_below(state, 1000);
  if (dice < 800) return random_size(state, 4, 9);   /* 16 .. 511 */
  if (dice < 980) return random_size(state, 9, 12);  /* 512 .. 4095 */
  if (dice < 998) return random_size(state, 12, 15); /* 4 KiB .. 32 KiB */
  return random_size(state, 15, 18);                 /* 32 KiB .. 256 KiB */
}

/* A stamped block: its size in the first word, a function of address and size in the last.  Bigger blocks
   carry one word more per OS page, so that all of the memory is really used.  The smallest stamped block has
   STAMPED_MIN bytes. */
void* stamped_alloc(size_t size);
void stamp(void* block, size_t size);
void stamp_check(const void* block);
size_t stamped_size(const void* block);
void stamped_free(void* block);

#ifdef __cplusplus
}
#endif
#endif
