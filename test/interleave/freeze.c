/* SPDX-License-Identifier: MIT */
/* Nobody waits for anybody: one thread is stopped for ever at an atomic operation of the allocator, and the
   others must each finish their operations, with every payload verified.

   A first process records the call sites of atomic_seam that the victim passes (its script walks through the
   fast and slow paths, remote and delayed frees, abandoning, reclaiming, purging, growing, heaps and thread
   exit), and how often.  Then, for each site and for a few of its visits, a process of its own runs the
   script until the victim freezes there, and from then on counts the others' operations.

   Memory is purged as soon as it is free until the others have done EAGER operations each, and after that
   once it is older than a few milliseconds: a million operations would otherwise be mostly page faults.

   usage: freeze [--expect-failure] [operations] [visits per site] [seed] [seconds for each process]
   A long run shows its progress.  With --expect-failure (a faulty library) the first failure ends the test,
   well. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/atomics.h"
#include "mimalloc.h"

enum { SITES = 4096, OTHERS = 2, MAIL = 256, HELD = 12000, HANDED = 3000, LOCALS = 128 };
enum { EAGER = 20000, LAZY_PURGE_MS = 10, LONG_RUN = 50000 };

typedef struct site_s {
  _Atomic(uintptr_t) site; /* offset of the instruction behind the call */
  _Atomic(uint64_t) visits;
} site_t;

/* Shared by the processes. */
typedef struct record_s {
  site_t site[SITES];
  _Atomic(uint64_t) operations; /* by others, after the freeze */
  _Atomic(int) frozen, complaints;
} record_t;

static record_t* record;
static uintptr_t freeze_site; /* 0: record */
static uint64_t freeze_visit;
static _Atomic(uint64_t) freeze_seen;
static _Atomic(int) others_ready;
static uint64_t operations = 5000, seed = 1, time_limit = 60;
static _Atomic(char*) mail[MAIL];
static _Thread_local int victim; /* the script's thread and the threads it starts */
static _Thread_local uint64_t rng;

extern char __executable_start[];

/* ---- the seam ---- */

static void record_site(uintptr_t site) {
  for (size_t i = (site * 0x9E3779B1u >> 7) % SITES;; i = (i + 1) % SITES) {
    uintptr_t found = atomic_load(&record->site[i].site);
    if (found == 0) atomic_compare_exchange_strong(&record->site[i].site, &found, site);
    found = atomic_load(&record->site[i].site);
    if (found != site) continue;
    atomic_fetch_add(&record->site[i].visits, 1);
    return;
  }
}

void atomic_seam(const volatile void* where) {
  (void)where;
  if (victim == 0) return;
  const uintptr_t site = (uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start;
  if (freeze_site == 0) {
    record_site(site);
  } else if (site == freeze_site && atomic_fetch_add(&freeze_seen, 1) + 1 == freeze_visit) {
    atomic_store(&record->frozen, 1);
    for (;;) pause();
  }
}

/* ---- blocks that know their contents ---- */

typedef struct header_s {
  uint64_t size, seed;
} header_t;

static uint64_t random_next(void) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return rng;
}

static void complain(const char* what) {
  if (atomic_fetch_add(&record->complaints, 1) == 0) fprintf(stderr, "freeze: %s\n", what);
}

/* First and last words and every 512th byte depend on the seed: cheap, and no overlap goes unseen for long.
 */
static void fill(char* p, size_t size) {
  header_t h = {size, random_next()};
  memcpy(p, &h, sizeof(h));
  for (size_t i = sizeof(h); i < size; i += 512) p[i] = (char)(h.seed + i);
  if (size > sizeof(h)) p[size - 1] = (char)h.seed;
}

static void verify(const char* p) {
  header_t h;
  memcpy(&h, p, sizeof(h));
  if (h.size < sizeof(h) || h.size > 1u << 28) return complain("a block's header was overwritten");
  for (size_t i = sizeof(h); i < h.size - 1; i += 512) {
    if (p[i] != (char)(h.seed + i)) return complain("a block was overwritten");
  }
  if (h.size > sizeof(h) && p[h.size - 1] != (char)h.seed) complain("a block's end was overwritten");
}

static char* take(size_t size) {
  char* const p = mi_malloc(size);
  if (p == NULL)
    complain("malloc returned NULL");
  else
    fill(p, size);
  return p;
}

static void give(char* p) {
  if (p == NULL) return;
  verify(p);
  header_t dead = {0, 0};
  memcpy(p, &dead, sizeof(dead));
  mi_free(p);
}

static char* resize(char* p, size_t size) {
  if (p == NULL) return take(size);
  verify(p);
  header_t before, after;
  memcpy(&before, p, sizeof(before));
  char* const q = mi_realloc(p, size);
  if (q == NULL) {
    complain("realloc returned NULL");
    return p;
  }
  memcpy(&after, q, sizeof(after));
  if (memcmp(&before, &after, sizeof(before)) != 0) complain("realloc lost the contents");
  fill(q, size);
  return q;
}

static size_t random_size(void) {
  const uint64_t r = random_next() % 1000;
  const uint64_t x = random_next();
  const size_t least = sizeof(header_t);
  if (r < 700) return least + x % 500;
  if (r < 900) return least + x % 8000;
  if (r < 990) return least + x % 60000;
  return least + x % 600000;
}

/* ---- the programs ---- */

static void random_operation(char** local) {
  char** const p = &local[random_next() % LOCALS];
  const uint64_t r = random_next() % 100;
  if (r < 55) {
    give(*p);
    *p = take(random_size());
  } else if (r < 85) { /* the block changes hands: it will be freed by another thread */
    *p = atomic_exchange(&mail[random_next() % MAIL], *p);
  } else if (r < 95) {
    *p = resize(*p, random_size());
  } else {
    give(*p);
    const size_t size = random_size();
    *p = mi_malloc_aligned(size, (size_t)16 << random_next() % 10);
    if (*p == NULL)
      complain("malloc_aligned returned NULL");
    else
      fill(*p, size);
  }
}

static void* short_life(void* arg) { /* leaves live blocks behind, in pages that are abandoned */
  char** const local = arg;
  rng = seed ^ (uintptr_t)arg;
  for (int i = 0; i < 64; i++) local[i] = take(24 + random_next() % 400);
  for (int i = 0; i < 64; i += 2) {
    give(local[i]);
    local[i] = NULL;
  }
  return NULL;
}

static void other_generation(char** local) {
  char* left[64];
  pthread_t thread;
  if (pthread_create(&thread, NULL, short_life, left) != 0) return complain("pthread_create failed");
  pthread_join(thread, NULL);
  for (int i = 0; i < 64; i++) {
    give(local[i]);
    local[i] = left[i];
  }
}

static void* other(void* arg) {
  char* local[LOCALS] = {NULL};
  rng = seed * 7919 + (uint64_t)(uintptr_t)arg;
  for (int i = 0; i < 200; i++) random_operation(local);
  atomic_fetch_add(&others_ready, 1);
  while (atomic_load(&record->frozen) == 0) random_operation(local);
  for (uint64_t i = 0; i < operations; i++) {
    random_operation(local);
    if (i % 2048 == 99) other_generation(local);
    if (i % 8192 == 999) mi_collect((i & 8192) != 0);
    if (i == EAGER) mi_option_set(mi_option_purge_delay, LAZY_PURGE_MS);
    atomic_fetch_add_explicit(&record->operations, 1, memory_order_relaxed);
  }
  return NULL;
}

typedef struct handed_s {
  char* block[HANDED];
  char* left[256];
} handed_t;

static void* victims_child(void* arg) {
  handed_t* const h = arg;
  victim = 1;
  rng = seed + 77;
  for (size_t i = 0; i < 256; i++) h->left[i] = take(32 + 8 * (i % 40));
  for (size_t i = 0; i < HANDED; i++)
    give(h->block[i]); /* into full pages: delayed, then plain remote frees */
  for (size_t i = 0; i < 256; i += 3) {
    give(h->left[i]);
    h->left[i] = NULL;
  }
  return NULL;
}

static void remote_and_abandoned(void) {
  static char* held[HELD];
  static handed_t handed;
  for (size_t i = 0; i < HELD; i++) held[i] = take(48); /* many full pages */
  for (size_t i = 0; i < HANDED; i++) {
    handed.block[i] = held[i * (HELD / HANDED)];
    held[i * (HELD / HANDED)] = NULL;
  }
  for (size_t i = 0; i < MAIL; i++) { /* others will free into these pages, too */
    char** const p = &held[i * (HELD / MAIL) + 1];
    *p = atomic_exchange(&mail[i], *p);
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, victims_child, &handed) != 0) return complain("pthread_create failed");
  pthread_join(thread, NULL);
  for (size_t i = 0; i < 128; i++) give(handed.left[i]); /* reclaims on free */
  char* more[128];
  for (size_t i = 0; i < 128; i++) more[i] = take(32 + 8 * (i % 40)); /* and on allocation */
  for (size_t i = 0; i < 128; i++) give(more[i]);
  for (size_t i = 128; i < 256; i++) give(handed.left[i]);
  for (size_t i = 0; i < HELD; i++) give(held[i]);
}

static void big_blocks(void) {
  char* p = take(3u << 20);
  char* const q = take(40u << 20);
  p = resize(p, 5u << 20);
  p = resize(p, 1u << 20);
  give(q);
  p = resize(p, 30u << 20);
  give(p);
}

static void first_class_heap(void) {
  mi_heap_t* const heap = mi_heap_new();
  if (heap == NULL) return complain("mi_heap_new returned NULL");
  char* kept = NULL;
  for (int i = 0; i < 300; i++) {
    char* const p = mi_heap_malloc(heap, 64);
    if (p == NULL) return complain("mi_heap_malloc returned NULL");
    fill(p, 64);
    if (i == 100)
      kept = p;
    else if (i % 3 == 0)
      give(p);
  }
  mi_heap_delete(heap);
  give(kept);
}

static void* script(void* arg) {
  static char* local[LOCALS];
  (void)arg;
  victim = 1;
  rng = seed + 1;
  for (int i = 0; i < 500; i++) random_operation(local);
  remote_and_abandoned();
  mi_collect(false);
  big_blocks();
  first_class_heap();
  mi_collect(true);
  for (int i = 0; i < 500; i++) random_operation(local);
  return NULL; /* and exits with live blocks */
}

/* ---- processes ---- */

static void process(void) {
  pthread_t thread, others[OTHERS];
  for (size_t i = 0; i < OTHERS; i++) {
    if (pthread_create(&others[i], NULL, other, (void*)(i + 1)) != 0) _exit(2);
  }
  while (atomic_load(&others_ready) < OTHERS) usleep(100);
  if (pthread_create(&thread, NULL, script, NULL) != 0) _exit(2);
  if (freeze_site == 0) {
    pthread_join(thread, NULL);
    _exit(atomic_load(&record->complaints) != 0);
  }
  struct timespec wait;
  clock_gettime(CLOCK_REALTIME, &wait);
  wait.tv_nsec += 1000000;
  while (atomic_load(&record->frozen) == 0) {
    wait.tv_nsec += 1000000;
    if (wait.tv_nsec >= 1000000000) wait.tv_sec++, wait.tv_nsec -= 1000000000;
    if (pthread_timedjoin_np(thread, NULL, &wait) == 0) break;
  }
  if (atomic_load(&record->frozen) == 0) _exit(77); /* this time it did not come by so often */
  for (size_t i = 0; i < OTHERS; i++) pthread_join(others[i], NULL);
  if (atomic_load(&record->operations) < OTHERS * operations) complain("too few operations");
  _exit(atomic_load(&record->complaints) != 0);
}

static int run_process(void) {
  atomic_store(&record->frozen, 0);
  atomic_store(&record->complaints, 0);
  atomic_store(&record->operations, 0);
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)time_limit);
    process();
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

static int explain(const site_t* s, uint64_t visit, int status) {
  fprintf(stderr, "freeze: stopped at 0x%zx, visit %llu: ", (size_t)s->site, (unsigned long long)visit);
  if (WIFSIGNALED(status))
    fprintf(stderr, "signal %d", WTERMSIG(status));
  else
    fprintf(stderr, "exit %d", WEXITSTATUS(status));
  fprintf(stderr, ", others finished %llu of %llu operations (seed %llu)\n",
          (unsigned long long)atomic_load(&record->operations), (unsigned long long)(OTHERS * operations),
          (unsigned long long)seed);
  return 1;
}

static uint64_t number(char*** arguments, uint64_t otherwise) {
  return **arguments == NULL ? otherwise : strtoull(*(*arguments)++, NULL, 0);
}

typedef struct tally_s {
  size_t sites, frozen, missed, failed;
} tally_t;

/* The first visit of a site, then evenly later ones. */
static void freeze_at(const site_t* s, uint64_t visits, tally_t* tally) {
  uint64_t last = 0;
  tally->sites++;
  for (uint64_t v = 0; v < visits; v++) {
    freeze_visit = 1 + (s->visits - 1) * v / visits;
    if (freeze_visit == last) continue;
    last = freeze_visit;
    freeze_site = s->site;
    const int status = run_process();
    if (status == 0)
      tally->frozen++;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
      tally->missed++;
    else
      tally->failed++, explain(s, freeze_visit, status);
  }
}

static size_t count_sites(void) {
  size_t count = 0;
  for (size_t i = 0; i < SITES; i++) count += record->site[i].site != 0;
  return count;
}

static void show_progress(const tally_t* tally, size_t sites) {
  if (tally->sites % 10 != 0 && tally->sites != sites) return;
  printf("freeze: %zu of %zu sites, frozen at %zu visits, %zu failed\n", tally->sites, sites, tally->frozen,
         tally->failed);
  fflush(stdout);
}

int main(int argc, char** argv) {
  const int mutant = argc > 1 && strcmp(argv[1], "--expect-failure") == 0;
  char** arguments = argv + 1 + mutant;
  operations = number(&arguments, operations);
  const uint64_t visits = number(&arguments, 1);
  seed = number(&arguments, seed);
  time_limit = number(&arguments, time_limit);
  setenv("MIMALLOC_PURGE_DELAY", "0", 1);
  record = mmap(NULL, sizeof(record_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (record == MAP_FAILED) return 2;
  if (run_process() != 0) {
    fprintf(stderr, "freeze: the recording run failed\n");
    return 1;
  }
  tally_t tally = {0, 0, 0, 0};
  const size_t sites = count_sites();
  for (size_t i = 0; i < SITES && !(mutant && tally.failed != 0); i++) {
    if (record->site[i].site == 0) continue;
    freeze_at(&record->site[i], visits, &tally);
    if (operations >= LONG_RUN) show_progress(&tally, sites);
  }
  printf("freeze: %zu sites; frozen at %zu visits, %zu not reached; %d others, %llu operations each; %zu "
         "failed\n",
         tally.sites, tally.frozen, tally.missed, OTHERS, (unsigned long long)operations, tally.failed);
  if (mutant) return tally.failed == 0;
  return tally.failed != 0 || tally.frozen == 0 || tally.sites < 100;
}
