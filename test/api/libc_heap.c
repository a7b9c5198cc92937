/* SPDX-License-Identifier: MIT */
/* What the C library's names tell about the heap and do to it: mallinfo2 and malloc_info against counts of
   our own, malloc_trim and calloc against the resident set that the kernel reports, mallopt against what
   happens, and every name that the library shows called as the loader finds it.  Run linked, preloaded and
   static, like libc.c.  `--names` prints the names (for names.py).

   What changes settings or measures resident memory runs in a child of its own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo */

enum { KIB = 1024, MIB = 1024 * 1024 };

static size_t rss_bytes(void) {
  char text[128];
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t n = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
  if (file >= 0) close(file);
  if (n <= 0) return 0;
  text[n] = 0;
  char* at = text;
  strtoul(at, &at, 10);
  return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void sleep_ms(long ms) {
  const struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&t, NULL);
}

#define CHILD_CHECK(condition)                                                  \
  do {                                                                          \
    if (!(condition)) {                                                         \
      dprintf(2, "%s:%d: in a child: %s\n", __FILE__, __LINE__, #condition);    \
      _exit(1);                                                                 \
    }                                                                           \
  } while (0)

/* The status of a child that runs body, with `settings` of its own. */
static int status_of(void (*body)(void)) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    signal(SIGABRT, SIG_DFL);
    body();
    _exit(0);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void* (*volatile call_malloc)(size_t) = &malloc;
static void* (*volatile call_calloc)(size_t, size_t) = &calloc;
static void (*volatile call_free)(void*) = &free;

/* ---------- mallopt ---------- */

/* Nothing but these two is accepted, whatever the number. */
static void every_other_parameter_is_refused(void) {
  for (int parameter = -100; parameter <= 100; parameter++) {
    if (parameter == M_CHECK_ACTION) continue;
    for (int value = -2; value <= 1024; value += value < 2 ? 1 : 511) {
      if (parameter == M_TRIM_THRESHOLD && value == -1) continue;
      errno = 0;
      CHILD_CHECK(mallopt(parameter, value) == 0 && errno == 0);
    }
  }
}

enum { DROPPED = 48 * MIB };

/* The memory of a block that is freed, after it had time to go. */
static size_t rss_after_drop(void) {
  void* p = call_malloc(DROPPED);
  CHILD_CHECK(p != NULL);
  memset(p, 1, DROPPED);
  call_free(p);
  sleep_ms(20);
  for (int i = 0; i < 200000; i++) { /* slow paths pass by what is due */
    void* q = call_malloc(1000);
    memset(q, 1, 8);
    call_free(q);
  }
  return rss_bytes();
}

static void freed_memory_goes(void) {
  CHILD_CHECK(mallopt(M_TRIM_THRESHOLD, 128 * KIB) == 0); /* refused: changes nothing */
  CHILD_CHECK(rss_after_drop() < DROPPED - 20 * MIB);
}

static void freed_memory_stays(void) {
  CHILD_CHECK(mallopt(M_TRIM_THRESHOLD, -1) == 1);
  CHILD_CHECK(rss_after_drop() >= DROPPED);
  CHILD_CHECK(malloc_trim(0) == 1 && rss_bytes() < DROPPED / 2); /* who asks gets it none the less */
}

static void free_twice_with(int action) {
  const int sink = open("/dev/null", O_WRONLY);
  dup2(sink, 2);
  if (mallopt(M_CHECK_ACTION, action) != 1) _exit(2);
  void* p = call_malloc(100);
  call_free(p);
  call_free(p);
}
static void misuse_with_3(void) {
  free_twice_with(3);
}
static void misuse_with_2(void) {
  free_twice_with(2);
}
static void misuse_with_1(void) {
  free_twice_with(1);
}
static void misuse_with_0(void) {
  free_twice_with(0);
}

static bool aborts(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void mallopt_does_what_it_accepts(void** state) {
  (void)state;
  assert_int_equal(status_of(&every_other_parameter_is_refused), 0);
  assert_int_equal(status_of(&freed_memory_goes), 0);
  assert_int_equal(status_of(&freed_memory_stays), 0);
  assert_true(aborts(status_of(&misuse_with_3)));
  assert_true(aborts(status_of(&misuse_with_2)));
  assert_int_equal(status_of(&misuse_with_1), 0);
  assert_int_equal(status_of(&misuse_with_0), 0);
}

/* ---------- malloc_trim ---------- */

enum { TRIM_BLOCKS = 60000, TRIM_SIZE = 1000, TRIM_BYTES = TRIM_BLOCKS * TRIM_SIZE };

static void* blocks[TRIM_BLOCKS];
static atomic_int worker_done;

static void take_blocks(void) {
  for (size_t i = 0; i < TRIM_BLOCKS; i++) {
    blocks[i] = call_malloc(TRIM_SIZE);
    CHILD_CHECK(blocks[i] != NULL);
    memset(blocks[i], 1, TRIM_SIZE);
  }
}
static void free_blocks(void) {
  for (size_t i = 0; i < TRIM_BLOCKS; i++) call_free(blocks[i]);
}

static void* takes_and_frees(void* arg) {
  take_blocks();
  free_blocks();
  atomic_store(&worker_done, 1);
  for (;;) pause();
  return arg;
}
static void* only_takes(void* arg) {
  take_blocks();
  atomic_store(&worker_done, 1);
  for (;;) pause();
  return arg;
}
static void* only_frees(void* arg) {
  free_blocks();
  atomic_store(&worker_done, 1);
  for (;;) pause();
  return arg;
}

static void run_beside(void* (*run)(void*)) {
  pthread_t thread;
  CHILD_CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
  while (atomic_load(&worker_done) == 0) sleep_ms(1);
}

/* Nothing but the trim may purge. */
static void purge_never(void) {
  CHILD_CHECK(mallopt(M_TRIM_THRESHOLD, -1) == 1);
}

static void expect_trim_to(size_t most) {
  CHILD_CHECK(rss_bytes() >= TRIM_BYTES);
  CHILD_CHECK(malloc_trim(0) == 1);
  const size_t left = rss_bytes();
  if (left > most) dprintf(2, "after the trim %zu KiB are resident\n", left / KIB);
  CHILD_CHECK(left <= most);
  CHILD_CHECK(malloc_trim(0) == 0);
}

enum { LITTLE = 12 * MIB };

static void trim_own(void) {
  purge_never();
  take_blocks();
  free_blocks();
  expect_trim_to(LITTLE);
}
static void trim_what_another_freed_of_its_own(void) {
  purge_never();
  run_beside(&takes_and_frees);
  expect_trim_to(LITTLE);
}
static void trim_what_another_freed_of_ours(void) {
  purge_never();
  take_blocks();
  run_beside(&only_frees);
  expect_trim_to(LITTLE);
}
static void trim_what_we_freed_of_anothers(void) {
  purge_never();
  run_beside(&only_takes);
  free_blocks();
  expect_trim_to(LITTLE);
}

static void trim_what_a_third_freed_of_anothers(void) {
  purge_never();
  run_beside(&only_takes);
  atomic_store(&worker_done, 0);
  run_beside(&only_frees);
  expect_trim_to(LITTLE);
}

/* What is in use stays: half of the blocks, each in a page of its own neighbours. */
static void trim_keeps_what_is_in_use(void) {
  purge_never();
  take_blocks();
  for (size_t i = 0; i < TRIM_BLOCKS / 2; i++) call_free(blocks[i]);
  expect_trim_to(TRIM_BYTES / 2 + LITTLE);
  for (size_t i = TRIM_BLOCKS / 2; i < TRIM_BLOCKS; i++) {
    const unsigned char* const p = blocks[i];
    CHILD_CHECK(p[0] == 1 && memcmp(p, p + 1, TRIM_SIZE - 1) == 0);
  }
}

static void trim_lowers_the_resident_set(void** state) {
  (void)state;
  assert_int_equal(status_of(&trim_own), 0);
  assert_int_equal(status_of(&trim_keeps_what_is_in_use), 0);
  assert_int_equal(status_of(&trim_what_another_freed_of_its_own), 0);
  assert_int_equal(status_of(&trim_what_another_freed_of_ours), 0);
  assert_int_equal(status_of(&trim_what_we_freed_of_anothers), 0);
  assert_int_equal(status_of(&trim_what_a_third_freed_of_anothers), 0);
}

/* ---------- calloc ---------- */

static size_t minor_faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (size_t)usage.ru_minflt;
}

/* The limit in faults: at 4 KiB each, far below the 65,536 of touching it all. */
static void fresh_is_not_touched(void) {
  size_t rss = rss_bytes();
  size_t faults = minor_faults();
  char* const big = call_calloc(256, MIB);
  CHILD_CHECK(big != NULL);
  CHILD_CHECK(rss_bytes() < rss + 4 * MIB && minor_faults() < faults + 1024);
  for (size_t i = 0; i < 256 * (size_t)MIB; i += 1000003) CHILD_CHECK(big[i] == 0);
  call_free(big);
  malloc_trim(0);
  static char* some[500];
  rss = rss_bytes();
  for (size_t i = 0; i < 500; i++) CHILD_CHECK((some[i] = call_calloc(1, 200000)) != NULL);
  CHILD_CHECK(rss_bytes() < rss + 4 * MIB);
  for (size_t i = 0; i < 500; i++) CHILD_CHECK(some[i][0] == 0 && some[i][199999] == 0);
}

/* Blocks of the second round lie where the first one's were, and are clean. */
static void reused_is_cleared(void) {
  static const size_t sizes[] = {8, 48, 1000, 8000, 30000, 100000, 1000000, 5000000};
  for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
    const size_t count = 4 + 256 * KIB / sizes[s];
    uintptr_t lowest = UINTPTR_MAX, highest = 0;
    size_t again = 0;
    for (size_t i = 0; i < count; i++) {
      blocks[i] = call_malloc(sizes[s]);
      CHILD_CHECK(blocks[i] != NULL);
      memset(blocks[i], 0xDD, sizes[s]);
      if ((uintptr_t)blocks[i] < lowest) lowest = (uintptr_t)blocks[i];
      if ((uintptr_t)blocks[i] > highest) highest = (uintptr_t)blocks[i];
    }
    for (size_t i = 0; i < count; i++) call_free(blocks[i]);
    for (size_t i = 0; i < 2 * count; i++) { /* kept, so that all of the range is met */
      unsigned char* const p = call_calloc(1, sizes[s]);
      CHILD_CHECK(p != NULL && p[0] == 0 && memcmp(p, p + 1, sizes[s] - 1) == 0);
      again += (uintptr_t)p >= lowest && (uintptr_t)p <= highest;
    }
    CHILD_CHECK(again > 0);
  }
}

static void calloc_clears_what_needs_it(void** state) {
  (void)state;
  assert_int_equal(status_of(&fresh_is_not_touched), 0);
  assert_int_equal(status_of(&reused_is_cleared), 0);
}

/* ---------- mallinfo2 ---------- */

static const size_t mixed_sizes[] = {1,    16,    40,    100,   500,   1000,  3000,
                                     8000, 12000, 30000, 33000, 70000, 900000};
enum { MIXED = sizeof(mixed_sizes) / sizeof(mixed_sizes[0]), EACH = 20 };

static void mallinfo_agrees_with_counts(void** state) {
  (void)state;
  static void* held[MIXED * EACH];
  const struct mallinfo2 before = mallinfo2();
  size_t usable = 0;
  for (size_t i = 0; i < MIXED * EACH; i++) {
    held[i] = call_malloc(mixed_sizes[i % MIXED]);
    assert_non_null(held[i]);
    usable += malloc_usable_size(held[i]);
    const struct mallinfo2 now = mallinfo2();
    assert_int_equal(now.uordblks + now.hblkhd, before.uordblks + before.hblkhd + usable);
    assert_int_equal(now.arena, now.uordblks + now.fordblks);
    assert_true(now.keepcost <= now.fordblks);
  }
  const struct mallinfo2 full = mallinfo2();
  assert_int_equal(full.hblks, before.hblks + 3 * EACH); /* the last three sizes are mapped one by one */
  assert_true(full.ordblks > before.ordblks + full.hblks - before.hblks);
  for (size_t i = 0; i < MIXED * EACH; i++) {
    const struct mallinfo2 last = mallinfo2();
    const size_t size = malloc_usable_size(held[i]);
    call_free(held[i]);
    const struct mallinfo2 now = mallinfo2();
    assert_int_equal(now.uordblks + now.hblkhd + size, last.uordblks + last.hblkhd);
    assert_int_equal(now.hblks + (mixed_sizes[i % MIXED] > 32768), last.hblks);
  }
  const struct mallinfo2 after = mallinfo2();
  assert_int_equal(after.uordblks, before.uordblks);
  assert_int_equal(after.hblkhd, before.hblkhd);
  assert_int_equal(after.hblks, before.hblks);
  assert_int_equal(after.smblks + after.fsmblks + after.usmblks, 0); /* there are no fast bins */
}

/* keepcost is what a trim gives back, as the kernel sees it. */
static void keepcost_is_trimmed(void) {
  purge_never();
  void* p = call_malloc(DROPPED);
  memset(p, 1, DROPPED);
  malloc_trim(0);
  call_free(p);
  const size_t keepcost = mallinfo2().keepcost;
  const size_t before = rss_bytes();
  CHILD_CHECK(keepcost >= DROPPED && keepcost < DROPPED + MIB);
  malloc_trim(0);
  const size_t fell = before - rss_bytes();
  CHILD_CHECK(fell + MIB > keepcost && fell < keepcost + MIB && mallinfo2().keepcost == 0);
}

static void the_older_form_saturates(void) {
  void* p = call_malloc((size_t)3 << 30); /* not touched */
  CHILD_CHECK(p != NULL && mallinfo2().hblkhd >= (size_t)3 << 30 && mallinfo().hblkhd == INT_MAX);
  const struct mallinfo2 now = mallinfo2();
  const struct mallinfo old = mallinfo();
  CHILD_CHECK((size_t)old.uordblks == now.uordblks && (size_t)old.fordblks == now.fordblks);
  CHILD_CHECK((size_t)old.arena == now.arena && (size_t)old.ordblks == now.ordblks);
  CHILD_CHECK((size_t)old.hblks == now.hblks && (size_t)old.keepcost == now.keepcost);
}

static void mallinfo_in_children(void** state) {
  (void)state;
  assert_int_equal(status_of(&keepcost_is_trimmed), 0);
  assert_int_equal(status_of(&the_older_form_saturates), 0);
}

/* ---------- malloc_info ---------- */

/* Elements with attributes in double quotes, properly nested, blanks between them, one element around all:
   whatever else a document may contain is refused. */
enum { DEPTH = 8, NAME = 32, ATTRIBUTES = 8 };

typedef struct element_s {
  char name[NAME];
  size_t attributes;
  char keys[ATTRIBUTES][NAME];
  char values[ATTRIBUTES][NAME];
} element_t;

typedef void visit_t(const element_t* path, size_t depth, void* arg);

static const char* parse_name(const char* at, char* name) {
  size_t n = 0;
  while (isalpha((unsigned char)*at) && n < NAME - 1) name[n++] = *at++;
  name[n] = 0;
  return n > 0 ? at : NULL;
}

/* After the name of a start tag, up to > or />; NULL: not well formed. */
static const char* parse_attributes(const char* at, element_t* element) {
  for (element->attributes = 0; *at == ' '; element->attributes++) {
    const size_t i = element->attributes;
    if (i == ATTRIBUTES) return NULL;
    at = parse_name(at + 1, element->keys[i]);
    if (at == NULL || at[0] != '=' || at[1] != '"') return NULL;
    for (size_t k = 0; k < i; k++) {
      if (strcmp(element->keys[k], element->keys[i]) == 0) return NULL;
    }
    const size_t length = strcspn(at + 2, "\"<&");
    if (length >= NAME || at[2 + length] != '"') return NULL;
    memcpy(element->values[i], at + 2, length);
    element->values[i][length] = 0;
    at += length + 3;
  }
  return at;
}

static bool parse_xml(const char* at, visit_t* visit, void* arg) {
  static element_t path[DEPTH];
  size_t depth = 0, roots = 0;
  for (;;) {
    at += strspn(at, " \n");
    if (*at == 0) return depth == 0 && roots == 1;
    if (*at++ != '<') return false;
    if (*at == '/') {
      char name[NAME];
      at = parse_name(at + 1, name);
      if (at == NULL || *at++ != '>' || depth == 0 || strcmp(name, path[--depth].name) != 0) return false;
      continue;
    }
    if (depth == DEPTH || (depth == 0 && ++roots > 1)) return false;
    at = parse_name(at, path[depth].name);
    if (at != NULL) at = parse_attributes(at, &path[depth]);
    if (at == NULL) return false;
    visit(path, depth + 1, arg);
    if (*at == '/') at++;
    else depth++;
    if (*at++ != '>') return false;
  }
}

static const char* attribute(const element_t* element, const char* key) {
  for (size_t i = 0; i < element->attributes; i++) {
    if (strcmp(element->keys[i], key) == 0) return element->values[i];
  }
  fail_msg("<%s> has no %s", element->name, key);
  return NULL;
}

static size_t number(const element_t* element, const char* key) {
  const char* const text = attribute(element, key);
  char* end;
  assert_true(isdigit((unsigned char)*text));
  const size_t value = strtoul(text, &end, 10);
  assert_int_equal(*end, 0);
  return value;
}

/* The numbers of a document; index 0: the one heap, 1: the whole. */
typedef struct info_s {
  size_t heaps;
  size_t sizes_total, sizes_count;
  size_t probe; /* a size of block ... */
  size_t probe_count, probe_total;
  size_t last_to;
  size_t fast[2], rest_count[2], rest_size[2], mmap_count[2], mmap_size[2];
  size_t system_current[2], system_max[2], aspace_total[2], aspace_mprotect[2];
} info_t;

static void add_size(const element_t* element, info_t* info) {
  const size_t from = number(element, "from"), to = number(element, "to");
  assert_true(from <= to && from > info->last_to); /* ranges in order that do not overlap */
  info->last_to = to;
  const size_t total = number(element, "total"), count = number(element, "count");
  assert_int_equal(total, count * to);
  info->sizes_total += total;
  info->sizes_count += count;
  if (info->probe < from || info->probe > to) return;
  info->probe_count = count;
  info->probe_total = total;
}

static void add_element(const element_t* path, size_t depth, void* arg) {
  info_t* const info = arg;
  const element_t* const element = &path[depth - 1];
  assert_string_equal(path[0].name, "malloc");
  if (depth == 1) assert_string_equal(attribute(element, "version"), "1");
  if (strcmp(element->name, "heap") == 0) assert_int_equal(number(element, "nr"), info->heaps++);
  if (strcmp(element->name, "size") == 0) add_size(element, info);
  const size_t whole = depth == 2;
  const char* const name = element->name;
  if (strcmp(name, "total") != 0 && strcmp(name, "system") != 0 && strcmp(name, "aspace") != 0) return;
  const char* const type = attribute(element, "type");
  const size_t size = number(element, "size");
  if (strcmp(type, "fast") == 0) info->fast[whole] = size + number(element, "count");
  if (strcmp(type, "rest") == 0) info->rest_size[whole] = size;
  if (strcmp(type, "rest") == 0) info->rest_count[whole] = number(element, "count");
  if (strcmp(type, "mmap") == 0) info->mmap_size[whole] = size;
  if (strcmp(type, "mmap") == 0) info->mmap_count[whole] = number(element, "count");
  if (strcmp(type, "current") == 0) info->system_current[whole] = size;
  if (strcmp(type, "max") == 0) info->system_max[whole] = size;
  if (strcmp(name, "aspace") == 0 && strcmp(type, "total") == 0) info->aspace_total[whole] = size;
  if (strcmp(type, "mprotect") == 0) info->aspace_mprotect[whole] = size;
}

/* The document, and mallinfo2 at the same moment (the stream itself takes memory). */
static info_t read_info(size_t probe, struct mallinfo2* at_once) {
  static char text[256 * KIB];
  memset(text, 0, sizeof(text));
  FILE* const file = fmemopen(text, sizeof(text) - 1, "w");
  assert_non_null(file);
  fputc(' ', file); /* now it has its buffer */
  assert_int_equal(malloc_info(1, file), EINVAL);
  *at_once = mallinfo2();
  assert_int_equal(malloc_info(0, file), 0);
  const struct mallinfo2 after = mallinfo2();
  assert_int_equal(after.uordblks, at_once->uordblks);
  fclose(file);
  info_t info = {.probe = probe};
  assert_true(parse_xml(text, &add_element, &info));
  return info;
}

static void info_is_consistent(const info_t* info, const struct mallinfo2* at_once) {
  assert_int_equal(info->heaps, 1);
  assert_int_equal(info->sizes_total, at_once->uordblks);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(info->fast[i], 0);
    assert_int_equal(info->rest_count[i], at_once->ordblks);
    assert_int_equal(info->rest_size[i], at_once->fordblks);
    assert_int_equal(info->mmap_count[i], at_once->hblks);
    assert_int_equal(info->mmap_size[i], at_once->hblkhd);
    assert_true(info->system_current[i] >= at_once->uordblks + at_once->hblkhd);
    assert_true(info->system_max[i] >= info->system_current[i]);
    assert_true(info->aspace_total[i] >= info->system_current[i]);
    assert_true(info->aspace_mprotect[i] <= info->aspace_total[i]);
    assert_true(info->aspace_mprotect[i] >= at_once->uordblks + at_once->hblkhd);
  }
}

static void info_agrees_with_counts(void** state) {
  (void)state;
  enum { SMALL = 3000, SMALL_SIZE = 1000, BIG = 7, BIG_SIZE = 3 * MIB };
  static void* held[SMALL + BIG];
  struct mallinfo2 at_once;
  const info_t before = read_info(SMALL_SIZE, &at_once);
  info_is_consistent(&before, &at_once);
  size_t small = 0, big = 0;
  for (size_t i = 0; i < SMALL; i++) small += malloc_usable_size(held[i] = call_malloc(SMALL_SIZE));
  for (size_t i = 0; i < BIG; i++) big += malloc_usable_size(held[SMALL + i] = call_malloc(BIG_SIZE));
  const info_t full = read_info(SMALL_SIZE, &at_once);
  info_is_consistent(&full, &at_once);
  assert_int_equal(full.probe_count, before.probe_count + SMALL);
  assert_int_equal(full.probe_total, before.probe_total + small);
  assert_int_equal(full.sizes_count, before.sizes_count + SMALL);
  assert_int_equal(full.mmap_count[1], before.mmap_count[1] + BIG);
  assert_int_equal(full.mmap_size[1], before.mmap_size[1] + big);
  assert_true(full.system_current[1] >= before.system_current[1] + big);
  for (size_t i = 0; i < SMALL + BIG; i++) call_free(held[i]);
  const info_t after = read_info(SMALL_SIZE, &at_once);
  info_is_consistent(&after, &at_once);
  assert_int_equal(after.probe_count, before.probe_count);
  assert_int_equal(after.mmap_count[1], before.mmap_count[1]);
  assert_true(after.system_current[1] < full.system_current[1]);
  assert_true(after.system_max[1] >= full.system_current[1]);
}

static void ignore(const element_t* path, size_t depth, void* arg) {
  (void)path;
  (void)depth;
  (void)arg;
}

/* The judge is strict. */
static void bad_documents_are_refused(void** state) {
  (void)state;
  assert_true(parse_xml("<a b=\"1\">\n <c d=\"\"/>\n</a>\n", &ignore, NULL));
  static const char* const bad[] = {"",         "<a>",          "<a></b>",     "<a/><b/>", "text", "<a b=1/>",
                                    "<a>x</a>", "<a b=\"1\"",   "</a>",        "<a b=\"1\" b=\"2\"/>",
                                    "<a/",      "<a><b></a></b>", "<a b=\"<\"/>"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) assert_false(parse_xml(bad[i], &ignore, NULL));
}

/* ---------- every name ---------- */

typedef enum shape_e {
  SIZE,        /* void* f(size) */
  COUNT_SIZE,  /* void* f(count, size) */
  ALIGN_SIZE,  /* void* f(alignment, size) */
  RESIZE,      /* void* f(p, size) */
  RESIZE_MANY, /* void* f(p, count, size) */
  PLACE,       /* int f(&p, alignment, size) */
  FREE,        /* void f(p) */
  FREE_SIZED,  /* void f(p, size) */
  FREE_ALIGNED_SIZED,
  SIZE_ALIGN,    /* void* f(size, alignment) */
  RESIZE_PLACE,  /* int f(&p, count, size) */
  COPY,          /* char* f(text) */
  COPY_PART,     /* char* f(text, most) */
  MEASURE,       /* size_t f(p) */
  MEASURE_SIZE,  /* size_t f(size) */
  ASK /* takes no block, or gives none; called by the tests above */
} shape_t;

static const struct {
  const char* name;
  shape_t shape;
} names[] = {
    {"malloc", SIZE},
    {"__libc_malloc", SIZE},
    {"valloc", SIZE},
    {"__libc_valloc", SIZE},
    {"pvalloc", SIZE},
    {"__libc_pvalloc", SIZE},
    {"calloc", COUNT_SIZE},
    {"__libc_calloc", COUNT_SIZE},
    {"memalign", ALIGN_SIZE},
    {"__libc_memalign", ALIGN_SIZE},
    {"aligned_alloc", ALIGN_SIZE},
    {"realloc", RESIZE},
    {"__libc_realloc", RESIZE},
    {"reallocarray", RESIZE_MANY},
    {"__libc_reallocarray", RESIZE_MANY},
    {"posix_memalign", PLACE},
    {"__posix_memalign", PLACE},
    {"free", FREE},
    {"__libc_free", FREE},
    {"cfree", FREE},
    {"__libc_cfree", FREE},
    {"free_sized", FREE_SIZED},
    {"free_aligned_sized", FREE_ALIGNED_SIZED},
    {"_aligned_malloc", SIZE_ALIGN},
    {"reallocf", RESIZE},
    {"reallocarr", RESIZE_PLACE},
    {"vfree", FREE},
    {"strdup", COPY},
    {"strndup", COPY_PART},
    {"malloc_size", MEASURE},
    {"malloc_good_size", MEASURE_SIZE},
    {"malloc_usable_size", ASK},
    {"mallinfo", ASK},
    {"mallinfo2", ASK},
    {"malloc_info", ASK},
    {"malloc_stats", ASK},
    {"malloc_trim", ASK},
    {"mallopt", ASK},
};
enum { NAMES = sizeof(names) / sizeof(names[0]), ASKED = 5000, ALIGNMENT = 4096 };

static void* found(const char* name) {
  void* const function = dlsym(RTLD_DEFAULT, name);
  if (function == NULL) fail_msg("there is no %s", name);
  Dl_info here, ours;
  assert_int_not_equal(dladdr(function, &here), 0);
  assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, "mi_version"), &ours), 0);
  if (here.dli_fbase != ours.dli_fbase) fail_msg("%s is of %s", name, here.dli_fname);
  return function;
}

static void* allocate_by(void* function, shape_t shape) {
  static char text[ASKED];
  void* p = NULL;
  switch (shape) {
    case SIZE: return ((void* (*)(size_t))function)(ASKED);
    case COUNT_SIZE: return ((void* (*)(size_t, size_t))function)(ASKED / 50, 50);
    case ALIGN_SIZE: return ((void* (*)(size_t, size_t))function)(ALIGNMENT, ASKED);
    case RESIZE: return ((void* (*)(void*, size_t))function)(call_malloc(10), ASKED);
    case RESIZE_MANY: return ((void* (*)(void*, size_t, size_t))function)(call_malloc(10), ASKED / 50, 50);
    case PLACE:
      assert_int_equal(((int (*)(void**, size_t, size_t))function)(&p, ALIGNMENT, ASKED), 0);
      return p;
    case SIZE_ALIGN: return ((void* (*)(size_t, size_t))function)(ASKED, ALIGNMENT);
    case RESIZE_PLACE:
      p = call_malloc(10);
      assert_int_equal(((int (*)(void*, size_t, size_t))function)(&p, ASKED / 50, 50), 0);
      return p;
    case COPY:
    case COPY_PART:
      memset(text, 'x', sizeof(text) - 1);
      if (shape == COPY) p = ((char* (*)(const char*))function)(text);
      else p = ((char* (*)(const char*, size_t))function)(text, ASKED - 1);
      assert_string_equal(p, text);
      return p;
    case MEASURE:
      p = call_malloc(ASKED);
      assert_int_equal(((size_t (*)(const void*))function)(p), malloc_usable_size(p));
      return p;
    case MEASURE_SIZE:
      p = call_malloc(ASKED);
      assert_int_equal(((size_t (*)(size_t))function)(ASKED), malloc_usable_size(p));
      return p;
    default: return call_malloc(ASKED);
  }
}

static void free_by(void* function, shape_t shape, void* p) {
  switch (shape) {
    case FREE: ((void (*)(void*))function)(p); break;
    case FREE_SIZED: ((void (*)(void*, size_t))function)(p, ASKED); break;
    case FREE_ALIGNED_SIZED: ((void (*)(void*, size_t, size_t))function)(p, ALIGNMENT, ASKED); break;
    default: call_free(p);
  }
}

/* The block counts as ours while it lives, and no longer. */
static void every_name_is_served(void** state) {
  (void)state;
  void* (*const heap_of)(const void*) = (void* (*)(const void*))dlsym(RTLD_DEFAULT, "mi_heap_of");
  assert_non_null(heap_of);
  for (size_t i = 0; i < NAMES; i++) {
    const shape_t shape = names[i].shape;
    void* const function = found(names[i].name);
    if (shape == ASK) continue;
    const size_t before = mallinfo2().uordblks;
    char* p = shape == FREE_ALIGNED_SIZED ? aligned_alloc(ALIGNMENT, ASKED) : allocate_by(function, shape);
    if (p == NULL || heap_of(p) == NULL) fail_msg("%s gives %p", names[i].name, (void*)p);
    assert_true(malloc_usable_size(p) >= ASKED);
    if (shape == ALIGN_SIZE || shape == PLACE || shape == SIZE_ALIGN)
      assert_int_equal((uintptr_t)p % ALIGNMENT, 0);
    if (shape == COUNT_SIZE) assert_true(p[0] == 0 && memcmp(p, p + 1, ASKED - 1) == 0);
    const size_t held = mallinfo2().uordblks - before;
    if (held != malloc_usable_size(p)) fail_msg("%s: %zu bytes held", names[i].name, held);
    memset(p, 0x77, ASKED);
    free_by(function, shape, p);
    if (mallinfo2().uordblks != before) fail_msg("%s leaves a block behind", names[i].name);
  }
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mallopt_does_what_it_accepts),
      cmocka_unit_test(trim_lowers_the_resident_set),
      cmocka_unit_test(calloc_clears_what_needs_it),
      cmocka_unit_test(mallinfo_agrees_with_counts),
      cmocka_unit_test(mallinfo_in_children),
      cmocka_unit_test(bad_documents_are_refused),
      cmocka_unit_test(info_agrees_with_counts),
      cmocka_unit_test(every_name_is_served),
  };
  if (argc > 1 && strcmp(argv[1], "--names") == 0) {
    for (size_t i = 0; i < NAMES; i++) puts(names[i].name);
    return 0;
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
