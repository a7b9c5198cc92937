/* SPDX-License-Identifier: MIT */
/* The harness behind workload.h: clock, threads, stamps and the line of results.  See the header for the
   rules. */
#define _GNU_SOURCE
#include "workload.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STAMP_STEP = 4096, STAMP_KEY = 0x5bd1e995 };

static uint64_t stopped_at_ns; /* 0 while the clock runs */

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void workload_fail(const char* what) {
  char line[256];
  const int length = snprintf(line, sizeof(line), "workload failed: %s\n", what);
  if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0) _exit(3);
  _exit(2);
}

static size_t parse_number(const char* text) {
  char* end = NULL;
  const unsigned long value = strtoul(text, &end, 10);
  if (end == text || *end != '\0' || value == 0)
    workload_fail("arguments are [THREADS [SCALE [MODE]]], SCALE in per cent");
  return (size_t)value;
}

workload_t workload_begin(const char* name, int argc, char** argv) {
  workload_t workload = {.name = name, .threads = 1, .scale = 100, .seed = 20240229, .mode = ""};
  if (argc > 1) workload.threads = parse_number(argv[1]);
  if (argc > 2) workload.scale = parse_number(argv[2]);
  if (argc > 3) workload.mode = argv[3];
  if (workload.threads > WORKLOAD_THREADS_MAX) workload_fail("too many threads");
  workload.start_ns = now_ns();
  return workload;
}

uint64_t workload_scaled(const workload_t* workload, uint64_t total) {
  const uint64_t scaled = total * workload->scale / 100;
  return scaled != 0 ? scaled : 1;
}

uint64_t workload_share(const workload_t* workload, uint64_t total) {
  const uint64_t share = workload_scaled(workload, total) / workload->threads;
  return share != 0 ? share : 1;
}

void* harness_map(size_t size) {
  void* const memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) workload_fail("no memory for the harness");
  return memory;
}

void harness_unmap(void* memory, size_t size) {
  if (munmap(memory, size) != 0) workload_fail("the harness cannot unmap");
}

static void idle_ms(unsigned milliseconds) {
  struct timespec left = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0) continue;
}

/* Find `key` at the start of a line of a /proc file and return the number behind it. */
static size_t proc_number(const char* path, const char* key) {
  char text[8192];
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  size_t length = 0;
  while (length < sizeof(text) - 1) {
    const ssize_t n = read(file, text + length, sizeof(text) - 1 - length);
    if (n <= 0) break;
    length += (size_t)n;
  }
  close(file);
  text[length] = '\0';
  const char* const found = strstr(text, key);
  return found == NULL ? 0 : (size_t)strtoul(found + strlen(key), NULL, 10);
}

/* The counters of statm and status lag by some pages per thread; the sum over the mappings does not. */
size_t resident_kib(void) {
  const size_t exact = proc_number("/proc/self/smaps_rollup", "\nRss:");
  return exact != 0 ? exact : proc_number("/proc/self/status", "\nVmRSS:");
}

void idle_report(size_t live_bytes, char* text, size_t room) {
  stopped_at_ns = now_ns();
  const size_t freed = resident_kib();
  idle_ms(1000);
  const size_t idle = resident_kib();
  idle_ms(1000);
  snprintf(text, room, "live_kib=%zu freed_kib=%zu idle_kib=%zu idle2_kib=%zu", live_bytes / 1024, freed,
           idle, resident_kib());
}

/* Which object serves malloc and free in this process, as the dynamic linker resolved them. */
static const char* serving_object(void) {
  Dl_info of_malloc;
  Dl_info of_free;
  if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &of_malloc) == 0) return "?";
  if (dladdr(dlsym(RTLD_DEFAULT, "free"), &of_free) == 0) return "?";
  return of_malloc.dli_fbase == of_free.dli_fbase ? of_malloc.dli_fname : "mixed";
}

static uint64_t timeval_us(struct timeval value) {
  return (uint64_t)value.tv_sec * 1000000u + (uint64_t)value.tv_usec;
}

int workload_end(const workload_t* workload, uint64_t operations, const char* extra) {
  const uint64_t end_ns = stopped_at_ns != 0 ? stopped_at_ns : now_ns();
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const size_t peak = proc_number("/proc/self/status", "\nVmHWM:");
  const size_t resident = resident_kib();
  const double cpu_ms = (double)(timeval_us(usage.ru_utime) + timeval_us(usage.ru_stime)) / 1e3;
  char line[1024];
  const int length =
      snprintf(line, sizeof(line),
               "RESULT workload=%s threads=%zu scale=%zu operations=%llu wall_ms=%.3f cpu_ms=%.3f faults=%ld "
               "peak_kib=%zu rss_kib=%zu malloc=%s%s%s\n",
               workload->name, workload->threads, workload->scale, (unsigned long long)operations,
               (double)(end_ns - workload->start_ns) / 1e6, cpu_ms, usage.ru_minflt, peak, resident,
               serving_object(), extra[0] != '\0' ? " " : "", extra);
  if (length < 0 || write(STDOUT_FILENO, line, (size_t)length) != length) return 3;
  if (getenv("BENCH_HOLD") != NULL) raise(SIGSTOP);
  return 0;
}

typedef struct thread_start_s {
  worker_t worker;
  void (*body)(worker_t* worker);
  pthread_t thread;
} thread_start_t;

static void* thread_main(void* argument) {
  thread_start_t* const start = argument;
  start->body(&start->worker);
  return NULL;
}

uint64_t workload_run(const workload_t* workload, void (*body)(worker_t* worker)) {
  thread_start_t starts[WORKLOAD_THREADS_MAX];
  for (size_t i = 0; i < workload->threads; i++) {
    const worker_t worker = {.workload = workload, .index = i, .random = workload->seed + i * 7919};
    starts[i] = (thread_start_t){.worker = worker, .body = body};
  }
  if (workload->threads == 1) {
    body(&starts[0].worker);
    return starts[0].worker.operations;
  }
  uint64_t operations = 0;
  for (size_t i = 0; i < workload->threads; i++) {
    starts[i].thread = thread_start(thread_main, &starts[i]);
  }
  for (size_t i = 0; i < workload->threads; i++) {
    thread_join(starts[i].thread);
    operations += starts[i].worker.operations;
  }
  return operations;
}

pthread_t thread_start(void* (*body)(void* argument), void* argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, argument) != 0) workload_fail("no thread");
  return thread;
}

void thread_join(pthread_t thread) {
  if (pthread_join(thread, NULL) != 0) workload_fail("a thread cannot be joined");
}

static uint64_t stamp_of(const void* block, size_t offset) {
  return ((uint64_t)(uintptr_t)block + offset) * STAMP_KEY;
}

/* The builtin by name: -fno-builtin would make each of these words a call into libc. */
static void word_write(void* block, size_t offset, uint64_t value) {
  __builtin_memcpy((char*)block + offset, &value, sizeof(value));
}

static uint64_t word_read(const void* block, size_t offset) {
  uint64_t value;
  __builtin_memcpy(&value, (const char*)block + offset, sizeof(value));
  return value;
}

void stamp(void* block, size_t size) {
  const size_t last = size - sizeof(uint64_t);
  word_write(block, 0, size);
  for (size_t offset = STAMP_STEP; offset < last; offset += STAMP_STEP) {
    word_write(block, offset, stamp_of(block, offset));
  }
  word_write(block, last, stamp_of(block, size));
}

void stamp_check(const void* block) {
  const size_t size = (size_t)word_read(block, 0);
  const size_t last = size - sizeof(uint64_t);
  bool intact = size >= STAMPED_MIN && size <= PTRDIFF_MAX;
  for (size_t offset = STAMP_STEP; intact && offset < last; offset += STAMP_STEP) {
    /* the last word may reach into the word of a step */
    if (offset + sizeof(uint64_t) <= last) intact = word_read(block, offset) == stamp_of(block, offset);
  }
  if (!intact || word_read(block, last) != stamp_of(block, size)) workload_fail("a block lost its contents");
}

size_t stamped_size(const void* block) {
  return (size_t)word_read(block, 0);
}

void* stamped_alloc(size_t size) {
  void* const block = malloc(size);
  if (block == NULL) workload_fail("out of memory");
  stamp(block, size);
  return block;
}

void stamped_free(void* block) {
  if (block == NULL) return;
  stamp_check(block);
  free(block);
}
