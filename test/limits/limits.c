/* SPDX-License-Identifier: MIT */
/* Life under the operating system's limits.  The argument names the limit; each sets it for a fresh process
   (or, where said, lowers it later), works normally, takes memory until NULL with ENOMEM, frees everything,
   and works again. */
#include "stress/support.h"
#include <grp.h>

enum { BLOCKS = 1 << 16 };

static void* blocks[BLOCKS];

static void work(void) {
  uint64_t random = 5;
  for (int i = 0; i < 20000; i++) {
    const size_t k = random_below(&random, 500);
    t_free(blocks[k]);
    blocks[k] = t_malloc(1 + random_below(&random, i % 50 == 0 ? 200000 : 3000));
    CHECK(blocks[k] != NULL, "ordinary work finds no memory: %s", strerror(errno));
    memset(blocks[k], 1, 1);
  }
  for (int k = 0; k < 500; k++) {
    t_free(blocks[k]);
    blocks[k] = NULL;
  }
}

/* All there is, in blocks of one size; returns the bytes. */
static size_t exhaust(size_t size) {
  size_t count = 0;
  for (; count < BLOCKS; count++) {
    errno = 0;
    blocks[count] = t_malloc(size);
    if (blocks[count] == NULL) break;
    memset(blocks[count], 1, size < 4096 ? size : 4096);
  }
  CHECK(count < BLOCKS, "no end of memory");
  CHECK(errno == ENOMEM, "out of memory leaves errno %d", errno);
  errno = 0;
  CHECK(t_calloc(1024, MIB) == NULL && errno == ENOMEM, "calloc when memory is out: errno %d", errno);
  if (count > 0) {
    payload_fill(blocks[0], size, 1);
    CHECK(t_realloc(blocks[0], 3 * size + 512 * MIB) == NULL && errno == ENOMEM, "realloc: errno %d", errno);
    payload_check(blocks[0], size, 1);
  }
  for (size_t i = 0; i < count; i++) {
    t_free(blocks[i]);
    blocks[i] = NULL;
  }
  return count * size;
}

static void exhaust_in_turn(size_t at_least) {
  static const size_t sizes[] = {1 * MIB, 20000, 10 * MIB, 100000, 1 * MIB};
  for (int i = 0; i < 5; i++) {
    const size_t got = exhaust(sizes[i]);
    printf("%zu MiB in blocks of %zu bytes\n", got / MIB, sizes[i]);
    CHECK(got >= at_least, "only %zu MiB in blocks of %zu bytes", got / MIB, sizes[i]);
    work();
  }
}

static void set_limit(__rlimit_resource_t which, size_t bytes) {
  struct rlimit limit;
  getrlimit(which, &limit);
  limit.rlim_cur = bytes;
  if (limit.rlim_max < bytes) limit.rlim_max = bytes; /* for who may raise it */
  CHECK(setrlimit(which, &limit) == 0, "setrlimit: %s", strerror(errno));
}

static void* thread_works(void* arg) {
  for (int i = 0; i < 1000; i++) {
    void* p = t_malloc(1000);
    CHECK(p != NULL, "a thread finds no memory");
    t_free(p);
  }
  return arg;
}

/* ---------- the limits; `start` runs before, in a process that is then replaced ---------- */

static void start_512(void) { set_limit(RLIMIT_AS, 512 * (size_t)MIB); }

static void with_512(void) {
  work();
  thread_join(thread_start(&thread_works, NULL));
  exhaust_in_turn(256 * (size_t)MIB);
}

static void start_nothing(void) {}

static void lowered(void) {
  work();
  void* held = t_malloc(20 * MIB);
  set_limit(RLIMIT_AS, address_space_bytes() + 40 * MIB);
  exhaust_in_turn(10 * MIB);
  t_free(held);
  CHECK(exhaust(1 * MIB) >= 16 * MIB, "the block that was freed cannot be used");
}

/* Below what is mapped already: nothing more can be mapped, what is there must do. */
static void lowered_below(void) {
  work();
  set_limit(RLIMIT_AS, 1 * MIB);
  void* p = t_malloc(3000);
  CHECK(p != NULL, "a small block from memory at hand");
  t_free(p);
  (void)exhaust(100000);
  (void)exhaust(1000000);
  set_limit(RLIMIT_AS, RLIM_INFINITY);
  work();
}

/* Private writable mappings count when they become writable, as under overcommit_memory=2. */
static void start_data(void) { set_limit(RLIMIT_DATA, 128 * (size_t)MIB); }

static void with_data(void) {
  work();
  exhaust_in_turn(64 * (size_t)MIB);
}

/* An unprivileged process that locks its memory.  Everything mapped counts, touched or not, and MADV_DONTNEED
   fails, so memory thought purged is not zero.  With a limit of 400 MiB present and future memory are
   locked; where the hard limit is lower (8 MiB is usual), future memory: it must be mapped
   in small pieces. */
static void start_locked(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_MEMLOCK, &limit);
  limit.rlim_cur = 400 * (size_t)MIB;
  if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
    getrlimit(RLIMIT_MEMLOCK, &limit);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "setrlimit: %s", strerror(errno));
  }
  if (geteuid() == 0) {
    CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "become nobody: %s",
          strerror(errno));
  }
}

static void small_thread(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 128 * KIB); /* a stack is locked, too */
  CHECK(pthread_create(&thread, &attributes, &thread_works, NULL) == 0, "pthread_create under mlockall");
  thread_join(thread);
  pthread_attr_destroy(&attributes);
}

static void with_locked(void) {
  struct rlimit limit;
  void* early = t_malloc(1000);
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool wide = (limit.rlim_cur >= 400 * (size_t)MIB);
  const size_t largest = (wide ? 20 * MIB : limit.rlim_cur / 16);
  CHECK(mlockall(wide ? MCL_CURRENT | MCL_FUTURE : MCL_FUTURE) == 0, "mlockall with %zu MiB mapped: %s",
        address_space_bytes() / MIB, strerror(errno));
  t_free(early);
  for (int round = 0; round < 3; round++) {
    for (size_t size = 100; size <= largest; size = size * 3 / 2) {
      void* p = t_malloc(size);
      CHECK(p != NULL, "no memory for %zu bytes under mlockall", size);
      memset(p, 0xEE, size);
      t_free(p);
      t_collect();
      void* z = t_calloc(1, size);
      CHECK(z != NULL, "no memory for %zu bytes under mlockall", size);
      zero_check(z, size);
      t_free(z);
    }
    work();
    small_thread();
  }
  printf("locked up to %zu MiB, blocks of up to %zu KiB\n", (size_t)limit.rlim_cur / MIB, largest / KIB);
}

/* Every size that cannot be is refused at once. */
static void impossible(void) {
  static const size_t sizes[] = {(size_t)1 << 46, (size_t)1 << 47,         (size_t)1 << 50, (size_t)1 << 62,
                                 PTRDIFF_MAX,     (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    static volatile size_t hidden;
    hidden = sizes[i];
    const double start = now_seconds();
    errno = 0;
    void* p = t_malloc(hidden);
    CHECK(p == NULL && errno == ENOMEM, "malloc(%zx) gives %p, errno %d", sizes[i], p, errno);
    errno = 0;
    p = t_calloc(hidden, 1);
    CHECK(p == NULL && errno == ENOMEM, "calloc(%zx) gives %p, errno %d", sizes[i], p, errno);
    p = t_malloc(100);
    CHECK(t_realloc(p, hidden) == NULL, "realloc to %zx", sizes[i]);
    t_free(p);
    p = t_aligned(hidden, 4096);
    CHECK(p == NULL, "aligned %zx", sizes[i]);
    CHECK(now_seconds() - start < 0.2, "refusing %zx bytes takes %.2f s", sizes[i], now_seconds() - start);
  }
  work();
}

static void alignments(void) {
  for (int round = 0; round < 2; round++) {
    for (size_t alignment = 16; alignment <= (size_t)1 << 30; alignment *= 2) {
      static const size_t sizes[] = {1, 100, 5000, 70000, 3 * MIB};
      void* some[5];
      for (int i = 0; i < 5; i++) {
        some[i] = t_aligned(sizes[i], alignment);
        CHECK(some[i] != NULL, "%zu bytes aligned to %zu: %s", sizes[i], alignment, strerror(errno));
        CHECK((uintptr_t)some[i] % alignment == 0, "%zu bytes at %p are not aligned to %zu", sizes[i],
              some[i], alignment);
        payload_fill(some[i], sizes[i], (uint64_t)i);
      }
      for (int i = 0; i < 5; i++) {
        payload_check(some[i], sizes[i], (uint64_t)i);
        t_free(some[i]);
      }
    }
  }
  CHECK(rss_bytes() < 100 * MIB, "alignment costs %zu MiB of memory", rss_bytes() / MIB);
}

typedef struct limit_s {
  const char* name;
  void (*start)(void);
  void (*run)(void);
} limit_t;

static const limit_t limits[] = {
  {"address-space-512", &start_512, &with_512},       {"address-space-lowered", &start_nothing, &lowered},
  {"address-space-below", &start_nothing, &lowered_below}, {"data", &start_data, &with_data},
  {"locked", &start_locked, &with_locked},            {"impossible", &start_nothing, &impossible},
  {"alignments", &start_nothing, &alignments},
};

int main(int argc, char** argv) {
  for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
    if (argc < 2 || strcmp(argv[1], limits[i].name) != 0) continue;
    if (argc == 2) {
      limits[i].start();
      execl("/proc/self/exe", argv[0], argv[1], "started", (char*)NULL);
      CHECK(0, "exec: %s", strerror(errno));
    }
    watchdog(60);
    limits[i].run();
    return 0;
  }
  return 2;
}
