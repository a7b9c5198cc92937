/* SPDX-License-Identifier: MIT */
/* What the stress, fault, misuse and limits programs share: checks, a watchdog that turns a hang into a
   failure, memory figures of this process, a seeded generator, and the allocator's names.

   With MALLOC_ONLY the programs use the standard names (malloc, free, ...) only, and so run on any
   allocator, linked or preloaded; without it they call the mi_ functions.  Nothing here allocates. */
#ifndef TEST_STRESS_SUPPORT_H
#define TEST_STRESS_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef MALLOC_ONLY
enum { HAVE_MI = 0 };
#define t_malloc malloc
#define t_calloc calloc
#define t_realloc realloc
#define t_free free
#define t_usable_size malloc_usable_size
static inline void* t_aligned(size_t size, size_t alignment) {
  void* p = NULL;
  return (posix_memalign(&p, alignment < sizeof(void*) ? sizeof(void*) : alignment, size) == 0 ? p : NULL);
}
static inline void t_collect(void) { malloc_trim(0); }
#else
#include <mimalloc.h>
enum { HAVE_MI = 1 };
#define t_malloc mi_malloc
#define t_calloc mi_calloc
#define t_realloc mi_realloc
#define t_free mi_free
#define t_usable_size mi_usable_size
#define t_aligned mi_malloc_aligned
static inline void t_collect(void) { mi_collect(true); }
#endif

/* AddressSanitizer's own allocator keeps a lock that another thread held at the fork (seen with gcc 12: the
   child's new threads wait for it in asan_calloc), so under it a child starts no threads. */
#if defined(__SANITIZE_ADDRESS__)
enum { CHILD_STARTS_THREADS = 0 };
#else
enum { CHILD_STARTS_THREADS = 1 };
#endif

enum { KIB = 1024, MIB = 1024 * 1024 };

/* ---------- checks ---------- */

__attribute__((format(printf, 3, 4), noreturn, unused))
static void fail_at(const char* file, int line, const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  int n = snprintf(text, sizeof(text), "%s:%d: pid %d: FAILED: ", file, line, (int)getpid());
  n += vsnprintf(text + n, sizeof(text) - (size_t)n - 1, format, args);
  va_end(args);
  if (n > (int)sizeof(text) - 2) n = (int)sizeof(text) - 2;
  text[n++] = '\n';
  if (write(2, text, (size_t)n) < 0) { /* nothing is left to say it with */ }
  abort();
}

#define CHECK(condition, ...) \
  do { if (!(condition)) fail_at(__FILE__, __LINE__, __VA_ARGS__); } while (0)

/* ---------- watchdog ---------- */

static inline void watchdog_rang(int sig) {
  static const char text[] = "watchdog: this process hangs\n";
  (void)sig;
  if (write(2, text, sizeof(text) - 1) < 0) { /* the abort says enough */ }
  signal(SIGABRT, SIG_DFL);
  abort();
}

/* A process that lives for `seconds` more has hung: it dies by SIGABRT.  A child must set its own. */
static inline void watchdog(unsigned seconds) {
  sigset_t set;
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = &watchdog_rang;
  sigaction(SIGALRM, &action, NULL);
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  alarm(seconds);
}

/* Wait for a child (EINTR-proof) and demand that it exited with 0. */
static inline void expect_child_success(pid_t pid, const char* what) {
  int status = 0;
  CHECK(pid > 0, "%s: no child: %s", what, strerror(errno));
  while (waitpid(pid, &status, 0) < 0) CHECK(errno == EINTR, "%s: waitpid: %s", what, strerror(errno));
  CHECK(!WIFSIGNALED(status), "%s: child %d died by signal %d", what, (int)pid, WTERMSIG(status));
  CHECK(WEXITSTATUS(status) == 0, "%s: child %d exited with %d", what, (int)pid, WEXITSTATUS(status));
}

/* ---------- time and random numbers ---------- */

static inline double now_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void sleep_ms(unsigned ms) {
  struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) { /* the rest of it */ }
}

/* splitmix64, by its published constants: every seed gives a full-period sequence. */
static inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

static inline uint64_t random_next(uint64_t* state) {
  *state += UINT64_C(0x9E3779B97F4A7C15);
  return mix64(*state);
}

static inline size_t random_below(uint64_t* state, size_t n) { return (size_t)(random_next(state) % n); }

/* ---------- memory of this process ---------- */

/* Field `index` of /proc/self/statm in bytes: 0 address space, 1 resident. */
static inline size_t statm_bytes(int index) {
  char text[128];
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0, "statm: %s", strerror(errno));
  ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  CHECK(n > 0, "statm is empty");
  text[n] = 0;
  char* s = text;
  for (int i = 0; i < index; i++) strtoul(s, &s, 10);
  return (size_t)strtoul(s, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static inline size_t rss_bytes(void) { return statm_bytes(1); }
static inline size_t address_space_bytes(void) { return statm_bytes(0); }

#ifndef MALLOC_ONLY
static inline void find_reserved(const char* line, void* bytes) {
  const char* const at = strstr(line, "reserved ");
  if (at != NULL) *(size_t*)bytes = (size_t)strtoul(at + strlen("reserved "), NULL, 10);
}
/* Address space that the allocator holds, of its own count. */
static inline size_t reserved_bytes(void) {
  size_t bytes = 0;
  mi_stats_print_out(&find_reserved, &bytes);
  return bytes;
}
/* Bytes in pages, of the allocator's own count. */
static inline size_t committed_bytes(void) {
  size_t committed = 0;
  mi_process_info(NULL, NULL, NULL, NULL, NULL, &committed, NULL, NULL);
  return committed;
}
#else
static inline size_t reserved_bytes(void) { return address_space_bytes(); }
static inline size_t committed_bytes(void) { return rss_bytes(); }
#endif

/* ---------- payloads ---------- */

static inline uint64_t payload_word(const void* p, uint64_t serial, size_t index) {
  return mix64(((uint64_t)(uintptr_t)p * 31) ^ (serial << 20) ^ index);
}

/* Blocks of up to 256 KiB are filled wholly, bigger ones in their first and last 4 KiB and one word in
   each 1 KiB between.  Returns the next word's index to visit. */
static inline size_t payload_step(size_t index, size_t words) {
  if (words <= 256 * KIB / 8 || index < 512 || index + 512 >= words) return index + 1;
  return (index + 128 >= words - 512 ? words - 512 : index + 128);
}

static inline void payload_fill(void* p, size_t size, uint64_t serial) {
  const size_t words = size / 8;
  unsigned char* bytes = (unsigned char*)p;
  for (size_t i = 0; i < words; i = payload_step(i, words)) {
    const uint64_t w = payload_word(p, serial, i);
    memcpy(bytes + 8 * i, &w, 8);
  }
  for (size_t i = 8 * words; i < size; i++) bytes[i] = (unsigned char)payload_word(p, serial, i);
}

/* Check the first `size` bytes of a payload of `full` bytes that was written at `home` (where the block
   was before a realloc) and is now at `p`. */
static inline void payload_check_moved(const void* p, size_t size, const void* home, size_t full,
                                       uint64_t serial) {
  const size_t words = full / 8;
  const unsigned char* bytes = (const unsigned char*)p;
  for (size_t i = 0; i < words && 8 * i + 8 <= size; i = payload_step(i, words)) {
    const uint64_t w = payload_word(home, serial, i);
    uint64_t seen;
    memcpy(&seen, bytes + 8 * i, 8);
    CHECK(seen == w, "block %p (%zu of %zu bytes, serial %llu) changed at byte %zu: %016llx, not %016llx", p,
          size, full, (unsigned long long)serial, 8 * i, (unsigned long long)seen, (unsigned long long)w);
  }
  for (size_t i = 8 * words; i < size; i++) {
    CHECK(bytes[i] == (unsigned char)payload_word(home, serial, i),
          "block %p (%zu bytes) changed at byte %zu", p, size, i);
  }
}

static inline void payload_check(const void* p, size_t size, uint64_t serial) {
  payload_check_moved(p, size, p, size, serial);
}

static inline void zero_check(const void* p, size_t size) {
  const unsigned char* bytes = (const unsigned char*)p;
  CHECK(size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0),
        "block %p (%zu bytes) is not zero", p, size);
}

/* ---------- threads ---------- */

typedef void* (thread_fun_t)(void*);

static inline pthread_t thread_start(thread_fun_t* fun, void* arg) {
  pthread_t thread;
  const int err = pthread_create(&thread, NULL, fun, arg);
  CHECK(err == 0, "pthread_create: %s", strerror(err));
  return thread;
}

static inline void thread_join(pthread_t thread) {
  const int err = pthread_join(thread, NULL);
  CHECK(err == 0, "pthread_join: %s", strerror(err));
}

#endif
