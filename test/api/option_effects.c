/* SPDX-License-Identifier: MIT */
/* What options do: this program runs itself with one or two of them in the environment, and a scene that
   prints a number.  (What belongs to purging is in test/unit/memory_purge.c, full pages in
   test/unit/heap_full.c.) */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mimalloc-stats.h"
#include "mimalloc.h"

enum {
  MIB = 1024 * 1024,
  SIZE = 4096, /* blocks of a page or more each: */
  PAGES = 24,
  BLOCKS = PAGES * 32,
  CLASS = 3000,
};

/* ---- scenes ---- */

static mi_stats_t stats_now(void) {
  mi_stats_t_decl(stats);
  if (!mi_stats_get(&stats)) exit(3);
  return stats;
}

/* MiB of addresses reserved by the first allocation. */
static long reserved(void) {
  mi_free(mi_malloc(1));
  return (long)(stats_now().reserved.current / MIB);
}

/* Calls that commit while 100 MiB are allocated. */
static long commits(void) {
  for (int i = 0; i < 100; i++) {
    if (mi_malloc(MIB) == NULL) exit(3);
  }
  return (long)stats_now().commit_calls.total;
}

/* Has the mapping around p been told to have no huge pages?  -1: the kernel does not say. */
static long is_without_huge_pages(const void* p) {
  FILE* const file = fopen("/proc/self/smaps", "r");
  char line[512];
  int found = 0;
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    unsigned long start;
    unsigned long end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) found = (uintptr_t)p >= start && (uintptr_t)p < end;
    if (!found || strncmp(line, "VmFlags:", 8) != 0) continue;
    fclose(file);
    return strstr(line, " nh") != NULL;
  }
  return -1;
}

static long huge_pages_small(void) {
  return is_without_huge_pages(mi_malloc(1));
}

/* Blocks that are used, up to far beyond the first 64 MiB; the last one. */
static const char* used_blocks(void) {
  volatile char* p = NULL; /* or the compiler leaves the writing out */
  for (int i = 0; i < 40; i++) {
    p = mi_malloc(4 * MIB);
    for (size_t k = 0; k < 4 * MIB; k += 1024) p[k] = 1;
  }
  return (const char*)p;
}
static long huge_pages_large(void) { return is_without_huge_pages(used_blocks()); }
static long huge_pages_unused(void) {
  volatile char* p = NULL;
  for (int i = 0; i < 40; i++) *(p = mi_malloc(4 * MIB)) = 1;
  return is_without_huge_pages((const char*)p);
}
/* A block that needs 3 MiB of a segment of 4: what is left has none. */
static long huge_pages_tail(void) {
  used_blocks();
  const char* const p = mi_malloc(3 * MIB);
  if (is_without_huge_pages(p + MIB) != 0) exit(3);
  return is_without_huge_pages(p + 5 * MIB / 2);
}
/* Blocks that leave a third of their slices unused: more than fit where huge pages are anyway, or never. */
static char* loose[200];
static long huge_pages_loose(void) {
  used_blocks();
  for (int i = 0; i < 200; i++) loose[i] = mi_malloc(90000);
  return is_without_huge_pages(loose[199]);
}
/* The memory of loose blocks after it has been given back. */
static long huge_pages_anew(void) {
  if (huge_pages_loose() != 1) exit(3);
  for (int i = 0; i < 200; i++) mi_free(loose[i]);
  mi_collect(true);
  const char* const p = mi_malloc(4 * MIB);
  if (p > loose[199]) exit(4);
  return is_without_huge_pages(p);
}
/* Far larger than all that was there. */
static long huge_pages_one(void) {
  used_blocks();
  return is_without_huge_pages((char*)mi_malloc(900 * MIB) + 450 * MIB);
}
/* The program is small, the block is not. */
static long huge_pages_first(void) { return is_without_huge_pages((char*)mi_malloc(40 * MIB) + 20 * MIB); }

/* Bytes, in KiB, that a free and a collection have reset; negative: purged.  Memory from calloc is zero. */
static long reset(void) {
  char* p = mi_malloc(8 * MIB);
  memset(p, 0x77, 8 * MIB);
  mi_free(p);
  mi_collect(true);
  const mi_stats_t stats = stats_now();
  p = mi_calloc(8, MIB);
  for (size_t i = 0; i < 8 * MIB; i++) {
    if (p[i] != 0) exit(3);
  }
  if ((stats.reset.total > 0) == (stats.purged.total > 0)) exit(3);
  if ((stats.reset_calls.total > 0) != (stats.reset.total > 0)) exit(3);
  return (long)(stats.reset.total - stats.purged.total) / 1024;
}

/* Pages after a class has become empty and some slow allocations of another one have been made. */
static long collected(void) {
  void* const other = mi_malloc(1);
  const long before = (long)stats_now().pages.current;
  mi_free(mi_malloc(CLASS));
  for (int i = 0; i < 4; i++) {
    void* const big = mi_malloc(MIB);
    mi_free(big);
  }
  const long after = (long)stats_now().pages.current;
  mi_free(other);
  return after - before;
}

static void* blocks[BLOCKS];

static void* fill(void* unused) {
  for (int i = 0; i < BLOCKS; i++) blocks[i] = mi_malloc(SIZE);
  return unused;
}

/* Free a block of each page; how many pages that were abandoned have an owner then. */
static long reclaimed(void) {
  const long before = (long)stats_now().pages_abandoned.current;
  for (int i = 0; i < BLOCKS; i++) {
    if ((uintptr_t)blocks[i] % (64 * 1024) != 0) mi_free(blocks[i]);
    if (i % 16 == 15) mi_free(mi_malloc(MIB)); /* a slow path: what waits is done */
  }
  if (before < PAGES / 2) exit(3);
  return before - (long)stats_now().pages_abandoned.current;
}

/* Of another thread, which has ended. */
static long reclaimed_from_other(void) {
  pthread_t thread;
  mi_free(mi_malloc(SIZE));
  if (pthread_create(&thread, NULL, fill, NULL) != 0 || pthread_join(thread, NULL) != 0) exit(3);
  return reclaimed();
}

static atomic_int may_end;

static void* stay(void* unused) {
  mi_free(mi_malloc(1));
  may_end = 1;
  while (may_end == 1) usleep(1000);
  return unused;
}

/* Of this thread, which has given up full pages, because there is another one. */
static long reclaimed_from_self(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, stay, NULL) != 0) exit(3);
  while (may_end == 0) usleep(1000);
  fill(NULL);
  const long pages = reclaimed();
  may_end = 2;
  pthread_join(thread, NULL);
  return pages;
}

static int errors_heard;

static void hear(int code, void* argument) {
  (void)code;
  (void)argument;
  errors_heard++;
}

static int messages;

static void count_message(const char* text, void* argument) {
  (void)argument;
  messages += strncmp(text, "mimalloc: ", 10) == 0;
}

/* Lines about forty failures; the hook hears of each. */
static long errors(void) {
  mi_register_output(count_message, NULL);
  mi_register_error(hear, NULL);
  messages = 0;
  for (int i = 0; i < 40; i++) {
    if (mi_malloc(SIZE_MAX / 2) != NULL) exit(3);
  }
  return errors_heard == 40 ? messages : -1;
}

/* Lines about forty calls that can do nothing. */
static long warnings(void) {
  mi_register_output(count_message, NULL);
  messages = 0;
  for (int i = 0; i < 40; i++) {
    if (mi_manage_os_memory(NULL, MIB, true, false, true, -1)) exit(3);
  }
  return messages;
}

static long threads_now(void) {
  DIR* const tasks = opendir("/proc/self/task");
  long count = 0;
  if (tasks == NULL) exit(3);
  for (const struct dirent* entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
    count += entry->d_name[0] != '.';
  }
  closedir(tasks);
  return count;
}

/* Threads of the process while a second one, which has allocated, is there. */
static long threads(void) {
  pthread_t thread;
  mi_free(mi_malloc(1));
  if (pthread_create(&thread, NULL, stay, NULL) != 0) exit(3);
  while (may_end == 0) usleep(1000);
  const long count = threads_now();
  may_end = 2;
  pthread_join(thread, NULL);
  return count;
}

static const struct {
  const char* name;
  long (*play)(void);
} scenes[] = {
    {"reserved", reserved},
    {"commits", commits},
    {"huge_pages_small", huge_pages_small},
    {"huge_pages_tail", huge_pages_tail},
    {"huge_pages_loose", huge_pages_loose},
    {"huge_pages_anew", huge_pages_anew},
    {"huge_pages_large", huge_pages_large},
    {"huge_pages_unused", huge_pages_unused},
    {"huge_pages_one", huge_pages_one},
    {"huge_pages_first", huge_pages_first},
    {"reset", reset},
    {"collected", collected},
    {"reclaimed_from_other", reclaimed_from_other},
    {"reclaimed_from_self", reclaimed_from_self},
    {"errors", errors},
    {"warnings", warnings},
    {"threads", threads},
};

/* The number that the scene prints under NAME=VALUE ... */
static long play(const char* scene, const char* settings) {
  char command[512];
  snprintf(command, sizeof(command), "env %s /proc/%d/exe %s", settings, (int)getpid(), scene);
  FILE* const said = popen(command, "r");
  long number = 0;
  assert_non_null(said);
  assert_int_equal(fscanf(said, "%ld", &number), 1);
  assert_int_equal(pclose(said), 0);
  return number;
}

/* ---- tests ---- */

static void arena_reserve(void** state) {
  (void)state;
  assert_true(play("reserved", "") <= 64);
  assert_int_equal(play("reserved", "MIMALLOC_ARENA_RESERVE=256MiB"), 256);
  assert_int_equal(play("reserved", "MIMALLOC_ARENA_RESERVE=1000M"), 1000);
  assert_int_equal(play("reserved", "MIMALLOC_ARENA_RESERVE=0"), 4);
}

static void arena_eager_commit(void** state) {
  (void)state;
  FILE* const file = fopen("/proc/sys/vm/overcommit_memory", "r");
  const int mode = file != NULL ? fgetc(file) : '2';
  if (file != NULL) fclose(file);
  assert_true(play("commits", "MIMALLOC_ARENA_RESERVE=256M") > 30);
  assert_int_equal(play("commits", "MIMALLOC_ARENA_RESERVE=256M MIMALLOC_ARENA_EAGER_COMMIT=1"), 1);
  const long where_free = play("commits", "MIMALLOC_ARENA_RESERVE=256M MIMALLOC_EAGER_REGION_COMMIT=2");
  assert_true(mode == '2' ? where_free > 30 : where_free == 1);
}

static void allow_thp(void** state) {
  (void)state;
  if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0 || play("huge_pages_small", "") < 0)
    skip(); /* a kernel without huge pages, or one that does not tell of a mapping's */
  assert_int_equal(play("huge_pages_small", "MIMALLOC_ALLOW_THP=2"), 1);
  assert_int_equal(play("huge_pages_large", "MIMALLOC_ALLOW_THP=2"), 0);
  assert_int_equal(play("huge_pages_unused", "MIMALLOC_ALLOW_THP=2"), 1);
  assert_int_equal(play("huge_pages_one", "MIMALLOC_ALLOW_THP=2"), 1);
  assert_int_equal(play("huge_pages_first", "MIMALLOC_ALLOW_THP=2"), 1);
  assert_int_equal(play("huge_pages_tail", "MIMALLOC_ALLOW_THP=2"), 1);
  assert_int_equal(play("huge_pages_loose", "MIMALLOC_ALLOW_THP=2"), 1);
  assert_int_equal(play("huge_pages_anew", "MIMALLOC_ALLOW_THP=2"), 0);
  assert_int_equal(play("huge_pages_large", "MIMALLOC_ALLOW_THP=2 MIMALLOC_ARENA_RESERVE=1GiB"), 0);
  assert_int_equal(play("huge_pages_large", "MIMALLOC_ALLOW_THP=0"), 1);
  assert_int_equal(play("huge_pages_large", "MIMALLOC_ALLOW_THP=0 MIMALLOC_ARENA_RESERVE=1GiB"), 1);
}

static void purge_decommits(void** state) {
  (void)state;
  assert_true(play("reset", "") <= -8 * 1024);
  assert_true(play("reset", "MIMALLOC_PURGE_DECOMMITS=0") >= 8 * 1024);
  assert_true(play("reset", "MIMALLOC_RESET_DECOMMITS=0 MIMALLOC_PURGE_DELAY=0") >= 8 * 1024);
}

static void generic_collect(void** state) {
  (void)state;
  assert_int_equal(play("collected", ""), 1);
  assert_int_equal(play("collected", "MIMALLOC_GENERIC_COLLECT=1000"), 1);
  assert_int_equal(play("collected", "MIMALLOC_GENERIC_COLLECT=2"), 0);
}

static void page_reclaim_on_free(void** state) {
  (void)state;
  const char* const other = "reclaimed_from_other";
  const char* const self = "reclaimed_from_self";
  assert_int_equal(play(other, "MIMALLOC_PAGE_RECLAIM_ON_FREE=-1"), 0);
  assert_int_equal(play(other, "MIMALLOC_PAGE_RECLAIM_ON_FREE=0"), 0);
  assert_true(play(other, "MIMALLOC_PAGE_RECLAIM_ON_FREE=1") > 0);
  assert_int_equal(play(self, "MIMALLOC_PAGE_FULL_RETAIN=0 MIMALLOC_PAGE_RECLAIM_ON_FREE=-1"), 0);
  assert_true(play(self, "MIMALLOC_PAGE_FULL_RETAIN=0 MIMALLOC_PAGE_RECLAIM_ON_FREE=0") > PAGES / 2);
}

static void page_max_reclaim(void** state) {
  (void)state;
  const char* const other = "reclaimed_from_other";
  const char* const self = "reclaimed_from_self";
  assert_int_equal(play(other, "MIMALLOC_PAGE_CROSS_THREAD_MAX_RECLAIM=0"), 0);
  const long few = play(other, "MIMALLOC_PAGE_CROSS_THREAD_MAX_RECLAIM=2");
  assert_true(few > 0 && few <= 3);
  assert_true(play(other, "MIMALLOC_PAGE_CROSS_THREAD_MAX_RECLAIM=-1") > PAGES / 2);
  assert_int_equal(play(self, "MIMALLOC_PAGE_FULL_RETAIN=0 MIMALLOC_PAGE_MAX_RECLAIM=0"), 0);
  assert_true(play(self, "MIMALLOC_PAGE_FULL_RETAIN=0 MIMALLOC_PAGE_MAX_RECLAIM=-1") > PAGES / 2);
}

static void max_errors(void** state) {
  (void)state;
  assert_int_equal(play("errors", "MIMALLOC_SHOW_ERRORS=0"), 0);
  assert_int_equal(play("errors", "MIMALLOC_SHOW_ERRORS=1"), 32);
  assert_int_equal(play("errors", "MIMALLOC_SHOW_ERRORS=1 MIMALLOC_MAX_ERRORS=5"), 5);
  assert_int_equal(play("errors", "MIMALLOC_SHOW_ERRORS=1 MIMALLOC_MAX_ERRORS=-1"), 40);
  assert_int_equal(play("errors", "MIMALLOC_SHOW_ERRORS=1 MIMALLOC_MAX_WARNINGS=5"), 32);
}

static void max_warnings(void** state) {
  (void)state;
  assert_int_equal(play("warnings", "MIMALLOC_SHOW_ERRORS=0"), 0);
  assert_int_equal(play("warnings", "MIMALLOC_SHOW_ERRORS=1"), 32);
  assert_int_equal(play("warnings", "MIMALLOC_SHOW_ERRORS=1 MIMALLOC_MAX_WARNINGS=5"), 5);
  assert_int_equal(play("warnings", "MIMALLOC_SHOW_ERRORS=1 MIMALLOC_MAX_WARNINGS=-1"), 40);
  assert_int_equal(play("warnings", "MIMALLOC_SHOW_ERRORS=1 MIMALLOC_MAX_ERRORS=5"), 32);
}

/* A sanitizer may have a thread of its own: what counts is the difference. */
static void scavenger(void** state) {
  (void)state;
  const long without = play("threads", "MIMALLOC_SCAVENGER=0");
  assert_true(without >= 2);
  assert_int_equal(play("threads", "MIMALLOC_SCAVENGER=1"), without + 1);
}

int main(int argc, char** argv) {
  for (size_t i = 0; argc > 1 && i < sizeof(scenes) / sizeof(scenes[0]); i++) {
    if (strcmp(argv[1], scenes[i].name) == 0) return printf("%ld\n", scenes[i].play()) < 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arena_reserve),    cmocka_unit_test(arena_eager_commit),
      cmocka_unit_test(allow_thp),        cmocka_unit_test(purge_decommits),
      cmocka_unit_test(generic_collect),  cmocka_unit_test(page_reclaim_on_free),
      cmocka_unit_test(page_max_reclaim), cmocka_unit_test(max_errors),
      cmocka_unit_test(max_warnings),     cmocka_unit_test(scavenger),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
