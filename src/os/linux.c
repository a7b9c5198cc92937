/* SPDX-License-Identifier: MIT */
/* The OS layer on Linux.  Mappings go through libc, because sanitizers watch (and steer) libc's mmap;
   whatever would be a cancellation point in libc goes through syscall(), which is none. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/track.h"

/* Of the kernel, in which headers may be older: and since which Linux. */
enum {
  ADVICE_FREE = 8,            /* MADV_FREE, 4.5 */
  ADVICE_WIPE_ON_FORK = 18,   /* MADV_WIPEONFORK, 4.14 */
  ADVICE_POPULATE_READ = 22, /* MADV_POPULATE_READ, 5.14 */
  ADVICE_GUARD = 102,         /* MADV_GUARD_INSTALL ... */
  ADVICE_UNGUARD = 103,       /* ... and _REMOVE, 6.13 */
  MOVE_KEEP_MAPPED = 4,       /* MREMAP_DONTUNMAP, 5.7 */
  HUGE_SHIFT = 26,            /* MAP_HUGE_SHIFT, 3.8 */
  CALL_ADVISE_EACH = 440,     /* process_madvise, 5.10, of this process ... */
  THIS_PROCESS = -10000,      /* ... by PIDFD_SELF_THREAD, 6.15 */
};
/* FUTEX_WAIT and FUTEX_WAKE, within the process: not every C library comes with the kernel's headers. */
enum { FUTEX_WAIT_HERE = 0 | 128, FUTEX_WAKE_HERE = 1 | 128 };

enum { THREAD_STACK = 64 * 1024, MAP_PRIVATE_ZERO = MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE = -1 };

size_t os_page_size(void) {
  static atomic_word_t page_size; /* getauxval is cheap, but the page size is asked for often */
  size_t size = load_relaxed(&page_size);
  if (size == 0) {
    KEEP_ERRNO;
    size = (size_t)getauxval(AT_PAGESZ);
    if (!is_power_of_two(size)) size = 4 * KiB;
    store_relaxed(&page_size, size);
  }
  return size;
}

/* ---- mappings ---- */

static void* map_anywhere(size_t size, int protection) {
  KEEP_ERRNO;
  void* const p = mmap(NULL, size, protection, MAP_PRIVATE_ZERO, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* The address is a hint: the kernel follows it where nothing is mapped and never replaces a mapping.  (The
   flag MAP_FIXED_NOREPLACE says the same, but kernels before 4.17 and some sanitizers get it wrong.) */
static int map_exactly(void* addr, size_t size, int protection) {
  KEEP_ERRNO;
  int error = 0;
  void* const p = mmap(addr, size, protection, MAP_PRIVATE_ZERO, -1, 0);
  if (p == MAP_FAILED) {
    error = errno;
  } else if (p != addr) {
    munmap(p, size);
    error = EEXIST;
  }
  return error;
}

int os_reserve_at(void* addr, size_t size) { return map_exactly(addr, size, PROT_NONE); }

int os_map_at(void* addr, size_t size) { return map_exactly(addr, size, PROT_READ | PROT_WRITE); }

void* os_map(size_t size) { return map_anywhere(align_up(size, os_page_size()), PROT_READ | PROT_WRITE); }

void* os_reserve(size_t size, size_t alignment) {
  if (size > ALLOC_SIZE_MAX - alignment) return NULL;
  char* const p = map_anywhere(size + alignment, PROT_NONE);
  if (p == NULL) return NULL;
  const size_t before = align_up((uintptr_t)p, alignment) - (uintptr_t)p;
  if (before > 0) os_unmap(p, before);
  if (before < alignment) os_unmap(p + before + size, alignment - before);
  return p + before;
}

void os_unmap(void* addr, size_t size) {
  KEEP_ERRNO;
  munmap(addr, size);
}

int os_commit(void* addr, size_t size) {
  KEEP_ERRNO;
  const int error = mprotect(addr, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
  return error;
}

static int advise(void* addr, size_t size, int advice) {
  KEEP_ERRNO;
  const int error = madvise(addr, size, advice) == 0 ? 0 : errno;
  return error;
}

int os_purge(void* addr, size_t size) { return advise(addr, size, MADV_DONTNEED); }

size_t os_purge_each(const struct iovec* ranges, size_t count) {
  static atomic_u32_t is_unknown;
  size_t before = 0, dropped = 0;
  KEEP_ERRNO;
  const bool tried = count > 1 && !TRACKED && load_relaxed(&is_unknown) == 0; /* valgrind does not know it */
  const long done = tried ? syscall(CALL_ADVISE_EACH, THIS_PROCESS, ranges, count, MADV_DONTNEED, 0) : 0;
  if (done < 0 && errno != EINVAL) store_relaxed(&is_unknown, 1u); /* EINVAL: the first range is locked */
  for (size_t i = 0; i < count; before += ranges[i++].iov_len) { /* it stopped where memory is locked */
    const bool is_gone = done >= (long)(before + ranges[i].iov_len);
    if (is_gone || os_purge(ranges[i].iov_base, ranges[i].iov_len) == 0) dropped += ranges[i].iov_len;
  }
  return dropped;
}

int os_reset(void* addr, size_t size) { return advise(addr, size, ADVICE_FREE); }

/* Kernels from 6.17 on move one mapping after the other and stop at the first that fails: what can be read in
   `to` has been moved there and goes back by copying.  Older kernels move all or nothing; the advice is not
   even known to those before 5.14. */
static void undo_move(char* from, char* to, size_t size) {
  const size_t page = os_page_size();
  for (size_t i = 0; i < size; i += page) {
    if (madvise(to + i, page, ADVICE_POPULATE_READ) == 0) memcpy(from + i, to + i, page);
  }
}

static int map_over(void* addr, size_t size, int protection) {
  const int flags = MAP_PRIVATE_ZERO | MAP_FIXED | MAP_NORESERVE;
  return mmap(addr, size, protection, flags, NO_FILE, 0) == addr ? 0 : errno;
}

/* The destination is made unreadable first, so that undo_move can tell; it is never a hole that another
   thread's mmap might fill. */
int os_move(void* from, void* to, size_t size) {
  KEEP_ERRNO;
  int error = map_over(to, size, PROT_NONE);
  if (error == 0 &&
      mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MOVE_KEEP_MAPPED, to) == MAP_FAILED) {
    error = errno;
    undo_move((char*)from, (char*)to, size);
    if (map_over(to, size, PROT_READ | PROT_WRITE) != 0) error = ENOTRECOVERABLE;
  }
  return error;
}


/* A mapping that fails may have unmapped what it was to replace. */
int os_map_huge(void* addr, size_t size, unsigned shift) {
  KEEP_ERRNO;
  const int flags = MAP_PRIVATE_ZERO | MAP_FIXED | MAP_HUGETLB | (int)(shift << HUGE_SHIFT);
  int error = 0;
  if (mmap(addr, size, PROT_READ | PROT_WRITE, flags, NO_FILE, 0) != addr) {
    error = errno;
    if (map_over(addr, size, PROT_NONE) != 0) error = ENOTRECOVERABLE;
  }
  return error;
}

/* Of the kernel's interface: C libraries have no header for it. */
enum { NODES_MAX = 1024, PREFER_NODE = 1 };

int os_prefer_node(void* addr, size_t size, unsigned node) {
  KEEP_ERRNO;
  unsigned long mask[NODES_MAX / 64] = {0};
  if (node >= NODES_MAX) return EINVAL;
  mask[node / 64] = 1ul << (node % 64);
  /* The kernel takes the number of bits plus one. */
  const long result = syscall(SYS_mbind, addr, size, PREFER_NODE, mask, NODES_MAX + 1ul, 0u);
  const int error = result == 0 ? 0 : errno;
  return error;
}

/* The start of a file; returns its bytes, 0 when it cannot be read. */
static long read_start(const char* path, char* text, size_t size) {
  KEEP_ERRNO;
  long n = 0;
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    n = syscall(SYS_read, fd, text, size);
    syscall(SYS_close, fd);
  }
  return n > 0 ? n : 0;
}

enum { GUARDS_MAX = 8192 /* with protection: a quarter of a process's mappings */ };
static atomic_u32_t guards;       /* that there are, by calls */
static atomic_u32_t are_guarded;  /* 1: some were */
static atomic_u32_t are_mappings; /* 1: some have one of their own */

/* /proc/self/status has lines like "VmHWM:  123 kB", these near its start; 0 when it cannot be read. */
static size_t own_status(const char* name) {
  KEEP_ERRNO;
  char text[2048];
  text[read_start("/proc/self/status", text, sizeof(text) - 1)] = 0;
  const char* const line = strstr(text, name);
  return line != NULL ? strtoul(line + strlen(name), NULL, 10) : 0;
}

/* Older kernels know no such advice: then protection serves. */
int os_guard(void* addr, size_t size) {
  KEEP_ERRNO;
  const uint32_t before = add_relaxed(&guards, 1u);
  int error = advise(addr, size, ADVICE_GUARD);
  store_relaxed(&are_guarded, 1u);
  if (error == 0) return 0;
  store_relaxed(&are_mappings, 1u);
  advise(addr, size, MADV_DONTNEED);
  /* Locked memory is there in whole, touched or not: not for blocks of which each takes 64 KiB. */
  if (own_status("VmLck:") != 0) error = EINVAL;
  else error = before >= GUARDS_MAX ? ENOMEM : mprotect(addr, size, PROT_NONE) != 0 ? errno : 0;
  if (error != 0) add_relaxed(&guards, UINT32_MAX);
  return error;
}

/* A forked child may undo more than it has counted. */
int os_unguard(void* addr, size_t size, uint32_t calls) {
  advise(addr, size, ADVICE_UNGUARD);
  const int error = load_relaxed(&are_mappings) != 0 ? os_commit(addr, size) : 0;
  if (error == 0) add_relaxed(&guards, 0u - (uint32_t)min_size(calls, load_relaxed(&guards)));
  return error;
}

bool os_has_guarded(void) { return load_relaxed(&are_guarded) != 0; }

void os_no_huge_pages(void* addr, size_t size) { advise(addr, size, MADV_NOHUGEPAGE); }

void os_want_huge_pages(void* addr, size_t size) { advise(addr, size, MADV_HUGEPAGE); }

/* ---- time, chance, forks ---- */

uint64_t os_now_ms(void) {
  struct timespec now = {0, 0};
  KEEP_ERRNO;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

uint64_t os_touch(void* fresh) {
  struct timespec from = {0, 0}, to = {0, 0};
  KEEP_ERRNO;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
  *(volatile char*)fresh = 0;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
  return (uint64_t)((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec);
}

/* A bijection in which every bit of the input changes half of the output. */
static uint64_t scramble(uint64_t x) {
  x ^= x >> 32;
  x *= UINT64_C(0x9e3779b97f4a7c15);
  x ^= x >> 29;
  x *= UINT64_C(0xd6e8feb86659fd93);
  return x ^ (x >> 32);
}

uint64_t os_random(void) {
  KEEP_ERRNO;
  uint64_t bits = 0;
  if (syscall(SYS_getrandom, &bits, sizeof(bits), GRND_NONBLOCK) != (long)sizeof(bits)) {
    static atomic_u64_t calls; /* a start without entropy: the loader's 16 random bytes, time, and a count */
    const uint64_t* const start = (const uint64_t*)getauxval(AT_RANDOM);
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    bits =
        (start != NULL ? start[0] ^ start[1] : 0) ^ scramble((uint64_t)now.tv_nsec + add_relaxed(&calls, 1));
    bits = scramble(bits ^ (uint64_t)now.tv_sec);
  }
  return bits;
}

atomic_u64_t* os_fork_word(void) {
  static _Atomic(atomic_u64_t*) word;
  static atomic_u64_t none; /* its address stands for "the kernel cannot" */
  atomic_u64_t* known = load_acquire(&word);
  if (known == NULL) {
    KEEP_ERRNO;
    atomic_u64_t* mine = os_map(os_page_size());
    if (mine == NULL) return NULL; /* asked again next time */
    if (madvise(mine, os_page_size(), ADVICE_WIPE_ON_FORK) != 0) {
      os_unmap(mine, os_page_size());
      mine = &none;
    }
    /* release: the page is set up before its address is seen (load_acquire above). */
    if (cas_strong_acq_rel(&word, &known, mine)) {
      known = mine;
    } else if (mine != &none) {
      os_unmap(mine, os_page_size());
    }
  }
  return known == &none ? NULL : known;
}

/* ---- files ---- */

/* The file that descriptor 2 named when os_keep_stderr looked, and a descriptor of ours for it. */
static struct {
  bool known;
  int copy; /* or NO_FILE */
  dev_t device;
  ino_t inode; /* 0, which no file has: there was none */
} first_stderr;
static atomic_u32_t report_file = STDERR_FILENO; /* where os_write_stderr writes; NO_FILE: nowhere */

static bool is_first_stderr(int file) {
  struct stat now;
  return fstat(file, &now) == 0 && now.st_dev == first_stderr.device && now.st_ino == first_stderr.inode;
}

void os_keep_stderr(void) {
  KEEP_ERRNO;
  struct stat now;
  first_stderr.copy = NO_FILE;
  if (fstat(STDERR_FILENO, &now) == 0) {
    /* A high number is seldom in a program's way; the limit may be lower. */
    for (int lowest = 512; first_stderr.copy < 0 && lowest > STDERR_FILENO; lowest /= 2)
      first_stderr.copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, lowest);
    first_stderr.device = now.st_dev;
    first_stderr.inode = now.st_ino;
  }
  first_stderr.known = true;
}

void os_return_to_stderr(void) {
  if (!first_stderr.known) return;
  KEEP_ERRNO;
  int file = NO_FILE;
  if (is_first_stderr(first_stderr.copy)) file = first_stderr.copy;
  if (is_first_stderr(STDERR_FILENO)) file = STDERR_FILENO;
  store_relaxed(&report_file, (uint32_t)file);
}

void os_write_stderr(const char* text, size_t n) {
  KEEP_ERRNO;
  while (n > 0) {
    const long wrote = syscall(SYS_write, (int)load_relaxed(&report_file), text, n);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    text += wrote;
    n -= (size_t)wrote;
  }
}

/* The file holds a number: 2 is "never". */
bool os_overcommits(void) {
  char text[8];
  return read_start("/proc/sys/vm/overcommit_memory", text, sizeof(text)) > 0 && text[0] != '2';
}

/* The file holds ranges of numbers, rising: "0-1,4". */
unsigned os_numa_nodes(void) {
  KEEP_ERRNO;
  char text[128];
  unsigned long last = 0;
  text[read_start("/sys/devices/system/node/online", text, sizeof(text) - 1)] = 0;
  for (char* at = text; *at >= '0' && *at <= '9'; at += *at != 0) last = strtoul(at, &at, 10);
  return last < NODES_MAX ? (unsigned)last + 1 : 1;
}

size_t os_process_rss(void) { return KiB * own_status("VmRSS:"); }
size_t os_process_peak_rss(void) { return KiB * own_status("VmHWM:"); }

size_t os_resident(void* addr, size_t size) {
  KEEP_ERRNO;
  const size_t page = os_page_size();
  unsigned char is_there[256];
  size_t count = 0;
  for (size_t done = 0, part; done < size; done += part) {
    part = min_size(size - done, sizeof(is_there) * page);
    const bool known = syscall(SYS_mincore, (char*)addr + done, part, is_there) == 0;
    for (size_t i = 0; i < part / page; i++) count += known && (is_there[i] & 1) != 0 ? 1 : 0;
  }
  return count * page;
}

/* ---- the scavenger's thread ---- */

void os_futex_wait(atomic_u32_t* word, uint32_t expected, long timeout_ms) {
  KEEP_ERRNO;
  const struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000};
  syscall(SYS_futex, word, FUTEX_WAIT_HERE, expected, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

void os_futex_wake(atomic_u32_t* word) {
  KEEP_ERRNO;
  syscall(SYS_futex, word, FUTEX_WAKE_HERE, 1, NULL, NULL, 0);
}

enum { MEMBARRIER_EXPEDITED = 1 << 3, MEMBARRIER_REGISTER = 1 << 4 };

int os_barrier_everywhere(void) {
  KEEP_ERRNO;
  long result = syscall(SYS_membarrier, MEMBARRIER_EXPEDITED, 0, 0);
  if (result != 0 && errno == EPERM) { /* the first call of this process */
    syscall(SYS_membarrier, MEMBARRIER_REGISTER, 0, 0);
    result = syscall(SYS_membarrier, MEMBARRIER_EXPEDITED, 0, 0);
  }
  const int error = result == 0 ? 0 : errno;
  return error;
}

int os_thread_start(void* (*run)(void*)) {
  KEEP_ERRNO;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits "all": no handler ever runs in it */
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, THREAD_STACK);
  int error = pthread_create(&thread, &attributes, run, NULL);
  if (error == EINVAL) { /* a program with much static TLS needs more than that */
    error = pthread_create(&thread, NULL, run, NULL);
    if (error == 0) pthread_detach(thread);
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

void os_thread_name(const char* name) {
  KEEP_ERRNO;
  prctl(PR_SET_NAME, name);
}
