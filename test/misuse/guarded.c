/* SPDX-License-Identifier: MIT */
/* What guarded.py asks of sampled blocks, one case per run, the sampling set by the environment. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mimalloc-stats.h"
#include "mimalloc.h"

/* Its class has 320 bytes; between guards it has 304: so its size tells whether it was sampled. */
enum { SIZE = 300, SAMPLED = 304, KEEP = 1000, THREADS = 4 };

static int is_sampled(const void* p) { return mi_usable_size(p) == SAMPLED; }

static void must(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  exit(1);
}

/* Named in the stacks. */
#define NAMED __attribute__((noinline, visibility("default")))
char* a_block(size_t size);
void free_block(void* p);
NAMED char* a_block(size_t size) {
  char* const p = (char*)mi_malloc(size);
  __asm__ volatile("" ::: "memory"); /* no tail call */
  return p;
}
NAMED void free_block(void* p) {
  mi_free(p);
  __asm__ volatile("" ::: "memory");
}
static __attribute__((noinline)) void touch(volatile char* p) { *p = 1; }

/* ---- which blocks are sampled ---- */
static size_t samples(size_t count, FILE* out) {
  static __thread void* kept[KEEP];
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    mi_free(kept[i % KEEP]);
    kept[i % KEEP] = a_block(SIZE);
    if (!is_sampled(kept[i % KEEP])) continue;
    found++;
    if (out != NULL) fprintf(out, "%zu\n", i);
  }
  for (size_t i = 0; i < KEEP; i++) mi_free(kept[i]), kept[i] = NULL;
  return found;
}

static void which(void) { samples(1000000, stdout); }
static void how_many(void) { printf("%zu\n", samples(1000000, NULL)); }

/* All sizes at once: the big blocks of the statistics are the sampled ones. */
static void all_sizes(void) {
  static void* kept[KEEP];
  uint64_t random = 1;
  for (size_t i = 0; i < 1000000; i++) {
    random = random * UINT64_C(6364136223846793005) + 1;
    mi_free(kept[i % KEEP]);
    kept[i % KEEP] = a_block(1 + (size_t)(random >> 40) % (random >> 62 == 0 ? 30000 : 500));
  }
  char* const json = mi_stats_get_json(0, NULL);
  const char* const at = strstr(json, "\"malloc_huge_count\": ");
  printf("%ld\n", strtol(at + 21, NULL, 10));
}

static void* thread_samples(void* found) {
  *(size_t*)found = samples(100000, NULL);
  return NULL;
}
static void threads(void) {
  pthread_t ids[THREADS];
  size_t found[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_create(&ids[i], NULL, thread_samples, &found[i]);
  for (int i = 0; i < THREADS; i++) pthread_join(ids[i], NULL), printf("%zu\n", found[i]);
}

static void every_one(void) {
  must(is_sampled(a_block(SIZE)), "the first block is sampled");
  must(samples(5000, NULL) == 5000, "all are");
  char* const p = (char*)mi_zalloc(SIZE);
  for (int i = 0; i < SIZE; i++) must(p[i] == 0, "zeroed blocks are zero");
  memset(p, 1, SIZE);
  char* const q = (char*)mi_realloc(p, 2 * SIZE);
  for (int i = 0; i < SIZE; i++) must(q[i] == 1, "realloc keeps what was there");
  for (size_t power = 1; power <= 65536; power *= 2)
    must((uintptr_t)mi_malloc_aligned(100, power) % power == 0, "aligned blocks are");
  must(mi_malloc(100000) != NULL && mi_malloc(0) != NULL, "all sizes can be had");
}

static void window(void) {
  for (int i = 0; i < 100; i++) {
    must(!is_sampled(a_block(SIZE)), "too small for the window");
    must(mi_usable_size(a_block(1050)) == 1056, "in the window"); /* the class has 1152 */
    must(mi_usable_size(a_block(2100)) == 2304, "too large for it");
  }
}

static void precise(void) {
  char* const p = a_block(101);
  must(mi_usable_size(p) == 101 && (uintptr_t)(p + 101) % (uintptr_t)getpagesize() == 0,
       "the end is the guard");
}

static void run_time(void) {
  must(samples(10000, NULL) == 0, "none by default");
  mi_theap_guarded_set_sample_rate(NULL, 10, 1);
  const size_t found = samples(10000, NULL);
  must(found > 980 && found < 1020, "one in ten");
  mi_theap_guarded_set_size_bound(NULL, 1000, 2000);
  must(samples(10000, NULL) == 0, "none of this size");
  mi_theap_guarded_set_size_bound(NULL, 0, 2000);
  mi_theap_guarded_set_sample_rate(NULL, 0, 0);
  must(samples(10000, NULL) <= 1, "none again");
}

/* ---- what a fault says ---- */
static void overflow(void) { touch(a_block(32) + 32 + 5); }
static void overflow_big(void) { touch(a_block(100000) + 100000); }
static void underflow(void) { touch(a_block(32) - 5000); }
static void after_free(void) {
  char* const p = a_block(32);
  free_block(p);
  touch(p + 7);
}
static void* allocate(void* p) {
  *(char**)p = a_block(32);
  return NULL;
}
static void* release(void* p) {
  free_block(*(char**)p);
  return NULL;
}
static void after_free_by_others(void) {
  char* p;
  pthread_t thread;
  pthread_create(&thread, NULL, allocate, &p);
  pthread_join(thread, NULL);
  pthread_create(&thread, NULL, release, &p);
  pthread_join(thread, NULL);
  touch(p);
}
static void still_guarded(void) {
  char* const p = a_block(32);
  free_block(p);
  for (int i = 0; i < 200; i++) free_block(a_block(32));
  touch(p);
}
static void twice(void) {
  char* const p = a_block(32);
  free_block(p);
  free_block(p);
}
static void elsewhere(void) { touch((char*)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }

/* ---- the program's own handlers ---- */
static void on_fault(int fault) {
  (void)fault;
  _exit(42);
}
static void on_fault_with(int fault, siginfo_t* info, void* context) {
  (void)context;
  _exit(fault == SIGSEGV && info->si_addr != NULL ? 43 : 1);
}
static void handler_before(void) {
  signal(SIGSEGV, on_fault); /* by an environment with a rate of 10: before the first sample */
  while (!is_sampled(a_block(SIZE))) continue;
  overflow();
  for (;;) touch(a_block(SIZE) + SAMPLED);
}
static void handler_after(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = on_fault_with;
  a_block(32);
  sigaction(SIGSEGV, &action, NULL);
  for (int i = 0; i < 100; i++) a_block(32);
  overflow();
}

static struct sigaction old;
static volatile sig_atomic_t calls;
static void call_old(int fault, siginfo_t* info, void* context) {
  calls++;
  must(calls < 10 && (old.sa_flags & SA_SIGINFO) != 0, "no circle");
  old.sa_sigaction(fault, info, context);
}
static void set_old(int fault, siginfo_t* info, void* context) {
  (void)info, (void)context;
  must(++calls < 10, "no circle");
  sigaction(fault, &old, NULL);
}
static void only_count(int fault, siginfo_t* info, void* context) {
  (void)fault, (void)info, (void)context;
  must(++calls == 1, "called once");
}
/* Each ends by the fault, in the end. */
static void set_and_overflow(void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {.sa_flags = SA_SIGINFO | flags};
  action.sa_sigaction = handler;
  a_block(32);
  sigaction(SIGSEGV, &action, &old);
  for (int i = 0; i < 100; i++) a_block(32);
  overflow();
}
static void handler_calls_old(void) { set_and_overflow(call_old, 0); }
static void handler_sets_old(void) { set_and_overflow(set_old, 0); }
static void handler_once(void) { set_and_overflow(only_count, (int)SA_RESETHAND); }
static void raised(void) {
  a_block(32);
  raise(SIGSEGV);
}

/* ---- limits ---- */
static size_t mappings(void) {
  size_t lines = 0;
  FILE* const maps = fopen("/proc/self/maps", "r");
  for (int c; (c = getc(maps)) != EOF;) lines += c == '\n';
  fclose(maps);
  return lines;
}

/* A kernel without guards: madvise does not know the advice. */
static void before_6_13(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 102, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0,
       "the filter is set");
}
static void old_kernel_overflow(void) {
  before_6_13();
  overflow();
}
static void old_kernel_after_free(void) {
  before_6_13();
  after_free();
}
static void old_kernel_many(void) {
  enum { MANY = 30000 };
  static char* blocks[MANY];
  before_6_13();
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < MANY; i++) {
      blocks[i] = a_block(SIZE);
      must(blocks[i] != NULL, "a block");
      memset(blocks[i], 1, SIZE);
    }
    const size_t count = mappings();
    if (count > 32000) fprintf(stderr, "%zu mappings\n", count);
    must(count <= 32000, "mappings are bounded");
    for (int i = 0; i < MANY; i++) mi_free(blocks[i]);
  }
  must(samples(20000, NULL) > 10000, "there are guards again");
}

static void* churn(void* stop) {
  while (!__atomic_load_n((int*)stop, __ATOMIC_RELAXED)) free_block(a_block(32));
  return NULL;
}
/* Children of a threaded process use what its other threads had guarded. */
static void forks(void) {
  int stop = 0;
  pthread_t ids[2];
  for (int i = 0; i < 2; i++) pthread_create(&ids[i], NULL, churn, &stop);
  for (int i = 0; i < 50; i++) {
    const pid_t child = fork();
    if (child == 0) {
      for (int k = 0; k < 3000; k++) {
        char* const p = a_block(SIZE * (size_t)(k % 50 + 1));
        memset(p, 1, (size_t)SIZE * (size_t)(k % 50 + 1));
        if (k % 2) free_block(p);
      }
      _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child runs");
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 2; i++) pthread_join(ids[i], NULL);
}

static const struct {
  const char* name;
  void (*run)(void);
} cases[] = {
#define CASE(name) {#name, name}
    CASE(which),
    CASE(how_many),
    CASE(all_sizes),
    CASE(threads),
    CASE(every_one),
    CASE(window),
    CASE(precise),
    CASE(run_time),
    CASE(overflow),
    CASE(overflow_big),
    CASE(underflow),
    CASE(after_free),
    CASE(after_free_by_others),
    CASE(still_guarded),
    CASE(twice),
    CASE(elsewhere),
    CASE(handler_before),
    CASE(handler_after), CASE(handler_calls_old), CASE(handler_sets_old), CASE(handler_once), CASE(raised),
    CASE(old_kernel_overflow),
    CASE(old_kernel_after_free),
    CASE(old_kernel_many),
    CASE(forks)};

int main(int argc, char** argv) {
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) return cases[i].run(), 0;
  }
  return 2;
}
