/* SPDX-License-Identifier: MIT */
/* Arenas as a program sees them, with the real system: each case runs in a process of its own, since arenas
   never end. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "mimalloc.h"

#define MiB ((size_t)1024 * 1024)

#define must(condition)                                                         \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                 \
    }                                                                           \
  } while (0)

static void in_area(mi_arena_id_t arena, const void* p, size_t bytes) {
  size_t size = 0;
  const char* const start = mi_arena_area(arena, &size);
  must(start != NULL && (const char*)p >= start && (const char*)p + bytes <= start + size);
  must(mi_arena_contains(arena, p));
}

/* ---- blocks of every kind: small, medium, big, of several segments, aligned ---- */

static const size_t kinds[] = {1, 8, 16, 100, 1000, 5000, 20000, 32768, 50000, 300000, 5 * MiB};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), ROUNDS = 4, BLOCKS = KINDS * ROUNDS };

static void fill(mi_heap_t* heap, mi_arena_id_t arena, unsigned char** blocks) {
  for (int i = 0; i < BLOCKS; i++) {
    const size_t size = kinds[i % KINDS];
    blocks[i] = i % 3 == 0 ? mi_heap_zalloc(heap, size) : mi_heap_malloc_aligned(heap, size, 8u << (i % 7));
    must(blocks[i] != NULL);
    in_area(arena, blocks[i], size);
    if (i % 3 == 0) must(blocks[i][0] == 0 && blocks[i][size - 1] == 0);
    must(mi_heap_of(blocks[i]) == heap && mi_heap_contains(heap, blocks[i]));
    must(mi_usable_size(blocks[i]) >= size);
    memset(blocks[i], i + 1, size);
  }
}

static void verify(unsigned char** blocks) {
  for (int i = 0; i < BLOCKS; i++) {
    must(blocks[i][0] == (unsigned char)(i + 1));
    must(blocks[i][kinds[i % KINDS] - 1] == (unsigned char)(i + 1));
  }
}

static void* free_all(void* arg) {
  unsigned char** const blocks = arg;
  for (int i = 0; i < BLOCKS; i++) mi_free(blocks[i]);
  return NULL;
}

static void in_thread(void* (*run)(void*), void* arg) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, run, arg) == 0);
  must(pthread_join(thread, NULL) == 0);
}

/* The same for all ways to make an arena of `size` bytes. */
static void use_arena(mi_arena_id_t arena, size_t size) {
  unsigned char* blocks[BLOCKS];
  void* others[64];
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  must(heap != NULL);
  for (int round = 0; round < 3; round++) {
    fill(heap, arena, blocks);
    for (int i = 0; i < 64; i++) {
      others[i] = mi_malloc(kinds[i % KINDS]);
      must(others[i] != NULL && !mi_arena_contains(arena, others[i]));
    }
    verify(blocks);
    if (round == 0) in_thread(free_all, blocks);
    else free_all(blocks);
    for (int i = 0; i < 64; i++) mi_free(others[i]);
    mi_collect(true);
    fill(heap, arena, blocks);
    verify(blocks);
    free_all(blocks);
  }
  /* Full: NULL and ENOMEM; all of it again when it is empty. */
  mi_collect(true);
  size_t count[2] = {0, 0};
  for (int round = 0; round < 2; round++) {
    void* chain = NULL;
    for (void** p; (p = mi_heap_malloc(heap, 30000)) != NULL; count[round]++) {
      in_area(arena, p, 30000);
      *p = chain;
      chain = p;
    }
    errno = 0;
    must(mi_heap_malloc(heap, 100000) == NULL && errno == ENOMEM);
    must(mi_malloc(100000) != NULL);
    must(count[round] >= size / 32768 * 9 / 10);
    for (void* next; chain != NULL; chain = next) {
      next = *(void**)chain;
      mi_free(chain);
    }
    mi_collect(true);
  }
  must(count[0] == count[1]);
  /* The whole arena as one block, and not a byte more. */
  char* const whole = mi_heap_malloc(heap, size);
  in_area(arena, whole, size);
  whole[0] = whole[size - 1] = 1;
  must(mi_heap_malloc(heap, 1) == NULL);
  must(mi_heap_of(whole + size / 2) == heap);
  mi_free(whole);
  must(mi_heap_malloc(heap, size + 1) == NULL);
}

static void exclusive(void) {
  mi_arena_id_t arena = NULL;
  size_t size = 0;
  must(mi_reserve_os_memory_ex(64 * MiB, false, false, true, &arena) == 0 && arena != NULL);
  must(mi_arena_area(arena, &size) != NULL && size == 64 * MiB);
  use_arena(arena, size);
}

static void exclusive_committed(void) {
  mi_arena_id_t arena = NULL;
  must(mi_reserve_os_memory_ex(61 * MiB, true, true, true, &arena) == 0);
  use_arena(arena, 64 * MiB); /* whole units */
}

static void managed(void) {
  mi_arena_id_t arena = NULL;
  char* const p = mmap(NULL, 72 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  size_t size = 0;
  must(p != MAP_FAILED);
  must(mi_manage_os_memory_ex(p + 1, 72 * MiB - 2, false, false, true, -1, true, &arena));
  char* const start = mi_arena_area(arena, &size);
  must((uintptr_t)start % mi_arena_min_alignment() == 0 && start >= p && start + size <= p + 72 * MiB);
  must(size >= 64 * MiB && size % mi_arena_min_size() == 0);
  must(!mi_manage_os_memory(p, 72 * MiB, false, false, true, -1)); /* a second time */
  use_arena(arena, size);
}

/* A shared mapping comes back with its old contents when it is purged: zeroed blocks must be zero all the
 * same. */
static void managed_shared(void) {
  mi_arena_id_t arena = NULL;
  size_t size = 0;
  char* const p = mmap(NULL, 72 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(p != MAP_FAILED);
  memset(p, 0xEE, 72 * MiB);
  must(mi_manage_os_memory_ex(p, 72 * MiB, true, false, false, -1, true, &arena));
  must(mi_arena_area(arena, &size) != NULL);
  use_arena(arena, size);
}

/* Blocks that move by their pages elsewhere are copied here: the memory stays what the program made it. */
static void managed_stays_shared(void) {
  mi_arena_id_t arena = NULL;
  char* const p = mmap(NULL, 72 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_os_memory_ex(p, 72 * MiB, true, true, true, -1, true, &arena));
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  char* const block = mi_heap_malloc(heap, 6 * MiB);
  memset(block, 5, 6 * MiB);
  must(mi_heap_malloc(heap, 6 * MiB) != NULL);
  char* const moved = mi_heap_realloc(heap, block, 14 * MiB);
  must(moved != block && moved[0] == 5 && moved[6 * MiB - 1] == 5);
  char* const again = mi_heap_malloc(heap, 6 * MiB);
  must(again == block);
  memset(again, 9, 6 * MiB);
  must(moved[0] == 5 && moved[6 * MiB - 1] == 5);
  const pid_t child = fork();
  if (child == 0) {
    moved[0] = moved[14 * MiB - 1] = block[MiB] = 42;
    _exit(0);
  }
  must(waitpid(child, NULL, 0) == child);
  must(moved[0] == 42 && moved[14 * MiB - 1] == 42 && block[MiB] == 42);
}

/* ---- memory that only the program can commit ---- */

static struct {
  char* start;
  size_t size, commits, decommits;
  char used[68 * 16]; /* by 64 KiB */
} user;

static bool user_commit(bool commit, void* start, size_t size, bool* is_zero, void* arg) {
  must(arg == &user && is_zero != NULL && !*is_zero);
  must((uintptr_t)start % 65536 == 0 && size % 65536 == 0 && size > 0);
  must((char*)start >= user.start && (char*)start + size <= user.start + user.size);
  for (size_t i = ((size_t)((char*)start - user.start)) / 65536, n = size / 65536; n > 0; n--, i++) {
    must(user.used[i] == !commit); /* each part in turn */
    user.used[i] = commit;
  }
  if (commit) user.commits++;
  else user.decommits++;
  if (!commit) return mprotect(start, size, PROT_NONE) == 0 && madvise(start, size, MADV_DONTNEED) == 0;
  *is_zero = true;
  return mprotect(start, size, PROT_READ | PROT_WRITE) == 0;
}

static void managed_by_callback(void) {
  mi_arena_id_t arena = NULL;
  char* p = mmap(NULL, 72 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(p != MAP_FAILED);
  p += -(uintptr_t)p % (4 * MiB);
  user.start = p;
  user.size = 68 * MiB;
  must(mi_manage_memory(p, user.size, false, false, true, -1, true, user_commit, &user, &arena));
  must(mi_arena_area(arena, NULL) == p && user.commits == 0);
  use_arena(arena, user.size);
  must(user.commits > 0);
  mi_collect(true);
  mi_arenas_purge();
  must(user.decommits > 0);
  for (size_t i = 0; i < sizeof(user.used); i++) must(!user.used[i]); /* all was given back */
  errno = 0;
}

static bool refuse_commit(bool commit, void* start, size_t size, bool* is_zero, void* arg) {
  (void)start, (void)size, (void)is_zero;
  return !commit && arg == NULL;
}

static void callback_refuses(void) {
  mi_arena_id_t arena = NULL;
  void* const p = mmap(NULL, 40 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_memory(p, 40 * MiB, false, false, true, -1, true, refuse_commit, NULL, &arena));
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  errno = 0;
  must(mi_heap_malloc(heap, 100) == NULL && errno == ENOMEM);
  must(mi_heap_malloc(heap, 10 * MiB) == NULL);
}

/* ---- arenas for everybody ---- */

static void shared(void) {
  static void* blocks[3000];
  mi_arena_id_t arena = NULL;
  char* const p = mmap(NULL, 44 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_os_memory_ex(p, 44 * MiB, true, true, true, -1, false, &arena));
  size_t inside = 0;
  for (int i = 0; i < 3000; i++) {
    blocks[i] = mi_malloc(30000);
    memset(blocks[i], i, 30000);
    if (mi_arena_contains(arena, blocks[i])) inside++;
  }
  must(inside > 1000 && inside < 3000); /* it was used up, then came other memory */
  for (int i = 0; i < 3000; i++) {
    const unsigned char* const b = blocks[i];
    must(b[0] == (unsigned char)i && b[29999] == (unsigned char)i);
    mi_free(blocks[i]);
  }
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  for (int i = 0; i < 100; i++) must(mi_arena_contains(arena, mi_heap_malloc(heap, 10000)));
  mi_heap_destroy(heap);
}

static void numa_affinity(void) {
  mi_arena_id_t arena = NULL;
  char* const p = mmap(NULL, 44 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_malloc(100) != NULL);
  must(mi_manage_os_memory_ex(p, 44 * MiB, true, true, true, 0, false, &arena));
  mi_heap_t* const heap = mi_heap_new();
  void* const before = mi_heap_malloc(heap, 60000);
  must(!mi_arena_contains(arena, before)); /* the first extent has room */
  mi_heap_set_numa_affinity(heap, 0);
  must(mi_arena_contains(arena, mi_heap_malloc(heap, 60000)));
  mi_heap_set_numa_affinity(heap, -1);
  must(!mi_arena_contains(arena, mi_heap_malloc(heap, 60000)));
}

/* ---- resizing ---- */

static void resizing(void) {
  mi_arena_id_t arena = NULL;
  must(mi_reserve_os_memory_ex(32 * MiB, false, false, true, &arena) == 0);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  unsigned char* p = mi_heap_malloc(heap, 10);
  memset(p, 7, 10);
  for (size_t size = 20; size < 12 * MiB; size *= 2) {
    p = mi_heap_realloc(heap, p, size);
    in_area(arena, p, size);
    for (size_t i = 0; i < size / 2; i += 1 + size / 64) must(p[i] == 7);
    memset(p, 7, size);
  }
  errno = 0;
  must(mi_heap_realloc(heap, p, 33 * MiB) == NULL && errno == ENOMEM); /* and p is what it was */
  must(p[0] == 7 && mi_heap_of(p) == heap);
  /* In place or not, a block of the arena never ends outside of it. */
  unsigned char* const grown = mi_realloc(p, 64 * MiB);
  must(grown != NULL && !mi_arena_contains(arena, grown) && grown[0] == 7 && grown[5 * MiB] == 7);
  mi_free(grown);
  /* And one before it does not grow into it. */
  for (int i = 0; i < 200; i++) {
    char* q = mi_malloc(2 * MiB);
    q = mi_realloc(q, 6 * MiB);
    must(!mi_arena_contains(arena, q) && !mi_arena_contains(arena, q + 6 * MiB - 1));
  }
}

/* ---- the end of heaps ---- */

static void* allocate_there(void* heap) {
  for (int i = 0; i < 100; i++) must(mi_heap_malloc(heap, 100) != NULL);
  return mi_heap_malloc(heap, 100);
}

static void deleting(void) {
  mi_arena_id_t arena = NULL;
  unsigned char* blocks[BLOCKS];
  must(mi_reserve_os_memory_ex(64 * MiB, false, false, true, &arena) == 0);
  for (int round = 0; round < 3; round++) {
    mi_heap_t* const heap = mi_heap_new_in_arena(arena);
    fill(heap, arena, blocks);
    in_thread(allocate_there, heap); /* abandoned pages */
    mi_heap_delete(heap);
    must(mi_heap_of(blocks[0]) == mi_heap_main());
    /* What is free in its pages is nobody's: no block of another heap may lie there. */
    for (int i = 0; i < 2000; i++) {
      void* const p = mi_malloc(kinds[i % 8]);
      must(!mi_arena_contains(arena, p));
      if (i % 2 == 0) mi_free(p);
    }
    verify(blocks);
    if (round == 0) in_thread(free_all, blocks);
    else free_all(blocks);
    for (int i = 0; i < 2000; i++) must(!mi_arena_contains(arena, mi_malloc(kinds[i % 8])));
    mi_heap_t* const next = mi_heap_new_in_arena(arena);
    fill(next, arena, blocks);
    mi_heap_destroy(next);
  }
  mi_collect(true);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  must(mi_heap_malloc(heap, 56 * MiB) != NULL); /* what other threads left are a few pages */
}

static void destroying(void) {
  mi_arena_id_t arena = NULL;
  unsigned char* blocks[BLOCKS];
  void* const p = mmap(NULL, 72 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_os_memory_ex(p, 72 * MiB, false, false, true, -1, true, &arena));
  for (int round = 0; round < 5; round++) {
    mi_heap_t* const heap = mi_heap_new_in_arena(arena);
    fill(heap, arena, blocks);
    in_thread(allocate_there, heap);
    mi_heap_destroy(heap);
    mi_heap_t* const whole = mi_heap_new_in_arena(arena);
    must(mi_heap_malloc(whole, 64 * MiB) != NULL);
    mi_heap_destroy(whole);
  }
}

/* ---- fork ---- */

static volatile int stop;
static void* churn(void* heap) {
  while (!stop) mi_free(mi_heap_malloc(heap, 20000));
  return NULL;
}

static void forking(void) {
  mi_arena_id_t arena = NULL;
  unsigned char* blocks[BLOCKS];
  pthread_t thread;
  void* const p = mmap(NULL, 72 * MiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(mi_manage_os_memory_ex(p, 72 * MiB, false, false, true, -1, true, &arena));
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  fill(heap, arena, blocks);
  must(pthread_create(&thread, NULL, churn, heap) == 0);
  for (int round = 0; round < 20; round++) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      verify(blocks);
      free_all(blocks);
      fill(heap, arena, blocks);
      verify(blocks);
      _exit(0);
    }
    int status = -1;
    must(waitpid(child, &status, 0) == child && status == 0);
  }
  stop = 1;
  must(pthread_join(thread, NULL) == 0);
}

/* ---- what is refused ---- */

static void by_older_name(void) {
  mi_arena_id_t arena = NULL;
  must(mi_reserve_os_memory_ex(8 * MiB, false, false, true, &arena) == 0);
  in_area(arena, mi_heap_malloc(mi_heap_new_ex(1, true, arena), 100), 100);
}

static void refusals(void) {
  int local = 0;
  mi_arena_id_t arena = &local;
  size_t size = 1;
  must(mi_reserve_os_memory_ex(0, false, false, false, &arena) == ENOMEM && arena == NULL);
  must(mi_reserve_os_memory(SIZE_MAX, false, false) == ENOMEM);
  must(mi_reserve_os_memory(SIZE_MAX / 4, true, true) == ENOMEM);
  must(mi_arena_area(NULL, &size) == NULL && size == 0);
  must(mi_arena_area(&local, &size) == NULL && size == 0);
  must(!mi_arena_contains(NULL, &local) && !mi_arena_contains(&local, &local));
  char* const p = mmap(NULL, 20 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(!mi_manage_os_memory(NULL, 20 * MiB, true, false, true, -1));
  must(!mi_manage_os_memory(p, mi_arena_min_size() - 1, true, false, true, -1));
  must(!mi_manage_os_memory(p, SIZE_MAX, true, false, true, -1));
  char* const own = mi_malloc(20 * MiB);
  must(!mi_manage_os_memory(own, 20 * MiB, true, false, false, -1)); /* ours already */
  errno = 0;
  must(mi_heap_new_in_arena(&local) == NULL && errno == EINVAL);
  mi_heap_t* const heap = mi_heap_new_in_arena(NULL);
  must(heap != NULL && mi_heap_malloc(heap, 10) != NULL);
  must(mi_reserve_huge_os_pages_at(0, 0, 0) == 0 && mi_reserve_huge_os_pages_interleave(0, 0, 0) == 0);
  must(mi_reserve_huge_os_pages_at(SIZE_MAX, 0, 0) == ENOMEM);
  must(mi_arena_max_object_size() >= (size_t)2 * 1024 * MiB);
}

/* ---- printing ---- */

static char printed[65536];
static void collect_output(const char* text, void* arg) {
  (void)arg;
  strncat(printed, text, sizeof(printed) - strlen(printed) - 1);
}

static void printing(void) {
  mi_arena_id_t arena = NULL;
  must(mi_reserve_os_memory_ex(4 * MiB, false, false, true, &arena) == 0);
  mi_heap_t* const heap = mi_heap_new_in_arena(arena);
  must(mi_heap_malloc(heap, 5 * 65536) != NULL);
  mi_register_output(collect_output, NULL);
  mi_arenas_print();
  must(strstr(printed, "4 MiB") != NULL && strstr(printed, "exclusive") != NULL);
  must(strstr(printed, "3776 KiB free") != NULL && strstr(printed, "#") == NULL);
  mi_debug_show_arenas();
  must(strstr(printed, " #####...........................................................\n") != NULL);
}

static void run(const char* name, void (*body)(void)) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    body();
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  if (status == 0) return;
  fprintf(stderr, "%s failed (status %x)\n", name, (unsigned)status);
  exit(1);
}

int main(void) {
#define RUN(body) run(#body, body)
  if (THREAD_SANITIZER) {
    printf("skipped: the sanitizer's shadow lies where the rows for managed memory belong\n");
    return 77;
  }
  RUN(exclusive);
  RUN(exclusive_committed);
  RUN(managed);
  RUN(managed_shared);
  RUN(managed_stays_shared);
  RUN(managed_by_callback);
  RUN(callback_refuses);
  RUN(shared);
  RUN(numa_affinity);
  RUN(resizing);
  RUN(deleting);
  RUN(destroying);
  RUN(forking);
  RUN(by_older_name);
  RUN(refusals);
  RUN(printing);
  return 0;
}
