/* SPDX-License-Identifier: MIT */
/* Every scenario with OS call 1, 2, 3, ... failing, until it passes without a failure having been met.

   A scenario takes NULL for an answer and goes on.  Each attempt is a process of its own, so that the calls
   of the start are among those that fail.  In it: the scenario with the failure; everything is freed and
   collected; the scenario again without failures, which must succeed in every call; and in the end no more
   memory is claimed than after two runs without any failure, and every mapped byte is accounted for.  A
   failed call sets errno to ENOMEM, a successful one leaves it alone.
   Arguments: the errno value of the failing call, how many calls fail (0: all that follow), OS page size. */
#include "double/os_double.h"
#include "memory/counters.h"
#include "memory/window.h"
#include "stress/support.h"

enum { MARK = 77, MOST_CALLS = 3000, PASSED = 42, NEVER = 1 << 30 };

static bool strict; /* no failure is expected now */
static atomic_int refused;

/* Judge the result of one allocation, and errno after it. */
static void* judged(void* p, size_t size) {
  if (p == NULL) {
    CHECK(!strict, "%zu bytes refused although nothing fails", size);
    CHECK(errno == ENOMEM, "a failed allocation of %zu bytes leaves errno %d", size, errno);
    atomic_fetch_add(&refused, 1);
  } else {
    CHECK(errno == MARK, "a successful allocation of %zu bytes sets errno to %d", size, errno);
    memset(p, 0x3C, size < 6 * KIB ? size : 6 * KIB); /* page faults are what this test's time is spent on */
    ((char*)p)[size - 1] = 1;
  }
  errno = MARK;
  return p;
}

static void release(void* p) {
  errno = MARK;
  mi_free(p);
  CHECK(errno == MARK, "free sets errno to %d", errno);
}

static void* get(size_t size) {
  errno = MARK;
  return judged(mi_malloc(size), size);
}

/* ---------- scenarios ---------- */

static void blocks_of(size_t count, size_t size, size_t step) {
  void* blocks[512];
  for (size_t i = 0; i < count; i++) blocks[i] = get(size + i * step);
  for (size_t i = 0; i < count; i += 2) release(blocks[i]);
  for (size_t i = 0; i < count; i += 2) blocks[i] = get(size + i * step);
  for (size_t i = 0; i < count; i++) release(blocks[i]);
}

static void small(void) { blocks_of(512, 8, 3); }
static void medium(void) { blocks_of(200, 9000, 250); }
static void large(void) { blocks_of(40, 70 * KIB, 40 * KIB); }
static void huge(void) { blocks_of(6, 5 * MIB, 9 * MIB); }

static void aligned(void) {
  void* blocks[24];
  for (size_t i = 0; i < 24; i++) {
    const size_t alignment = (size_t)16 << i; /* up to 128 MiB */
    errno = MARK;
    blocks[i] = judged(mi_malloc_aligned(1000 + i * 5000, alignment), 1000 + i * 5000);
    CHECK((uintptr_t)blocks[i] % alignment == 0, "not aligned to %zu", alignment);
  }
  for (size_t i = 0; i < 24; i++) release(blocks[i]);
}

static void resize(void) {
  char* p = (char*)get(100);
  if (p != NULL) strcpy(p, "contents");
  for (size_t n = 150; n < 30 * MIB; n += n / 2) {
    errno = MARK;
    char* q = (char*)mi_realloc(p, n);
    CHECK(q != NULL || errno == ENOMEM, "realloc: errno %d", errno);
    CHECK(q != NULL || !strict, "realloc to %zu bytes refused although nothing fails", n);
    if (q == NULL) continue; /* p is untouched */
    if (p == NULL) strcpy(q, "contents");
    p = q;
    CHECK(strcmp(p, "contents") == 0, "realloc lost the contents at %zu bytes", n);
  }
  release(p);
}

static void zero(void) {
  for (size_t n = 100; n < 6 * MIB; n *= 3) {
    errno = MARK;
    void* p = mi_calloc(1, n);
    if (p != NULL) zero_check(p, n);
    release(judged(p, n));
  }
}

/* Through volatile pointers: compilers take what an attribute promises for granted. */
static void* (*volatile realloc_aligned)(void*, size_t, size_t) = &mi_realloc_aligned;
static void* (*volatile rezalloc_aligned)(void*, size_t, size_t) = &mi_rezalloc_aligned;
static void* (*volatile rezalloc)(void*, size_t) = &mi_rezalloc;

static void grow(void* (*resizer)(void*, size_t, size_t), size_t alignment, bool zeroed) {
  size_t size = 40;
  errno = MARK;
  unsigned char* p = (unsigned char*)judged(mi_zalloc_aligned(size, alignment), size);
  if (p == NULL) return;
  memset(p, 0x5A, size);
  for (size_t n = 60; n < 2 * MIB; n += n / 2) {
    errno = MARK;
    unsigned char* q = (unsigned char*)resizer(p, n, alignment);
    CHECK(q != NULL || (!strict && errno == ENOMEM), "resize to %zu bytes refused, errno %d", n, errno);
    if (q == NULL) continue; /* p is untouched */
    CHECK(errno == MARK, "resize to %zu bytes sets errno to %d", n, errno);
    CHECK((uintptr_t)q % alignment == 0, "resize to %zu: %p is not aligned to %zu", n, (void*)q, alignment);
    CHECK(memcmp(q, "ZZZZ", 4) == 0 && q[size - 1] == 0x5A, "resize to %zu bytes lost the contents", n);
    if (zeroed) zero_check(q + size, n - size);
    p = q;
    size = n;
    memset(p, 0x5A, size);
  }
  release(p);
}

static void* rezalloc_natural(void* p, size_t size, size_t alignment) {
  (void)alignment;
  return rezalloc(p, size);
}

static void resize_aligned(void) {
  grow(realloc_aligned, 16, false);
  grow(realloc_aligned, 64, false);
  grow(realloc_aligned, 64 * KIB, false);
  grow(rezalloc_aligned, 256, true);
  grow(&rezalloc_natural, 16, true);
}

/* The forms that answer NULL instead of throwing. */
static void new_nothrow(void) {
  void* blocks[64];
  for (size_t i = 0; i < 64; i++) {
    const size_t size = 20 + i * i * 300;
    errno = MARK;
    blocks[i] = i % 2 == 0 ? mi_new_nothrow(size) : mi_new_aligned_nothrow(size, 128);
    judged(blocks[i], size);
    CHECK(i % 2 == 0 || (uintptr_t)blocks[i] % 128 == 0, "new is not aligned");
  }
  for (size_t i = 0; i < 64; i++) release(blocks[i]);
}

static void strings(void) {
  static char text[90000];
  void* copies[48];
  memset(text, 'x', sizeof(text) - 1);
  for (size_t i = 0; i < 48; i++) {
    const size_t length = i * i * 37 + 1;
    text[length] = 0;
    errno = MARK;
    if (i % 3 == 0) copies[i] = mi_strdup(text);
    else if (i % 3 == 1) copies[i] = mi_strndup(text, length);
    else copies[i] = mi_realpath("/", NULL);
    CHECK(copies[i] == NULL || i % 3 == 2 || strlen(copies[i]) == length, "strdup cuts off");
    CHECK(copies[i] == NULL || i % 3 != 2 || strcmp(copies[i], "/") == 0, "realpath");
    text[length] = 'x';
    judged(copies[i], i % 3 == 2 ? 2 : length + 1);
  }
  for (size_t i = 0; i < 48; i++) release(copies[i]);
}

/* posix_memalign answers by its result and leaves errno and, when it fails, the pointer alone. */
static void posix(void) {
  void* blocks[40];
  for (size_t i = 0; i < 40; i++) {
    const size_t size = 100 + i * 3000;
    errno = MARK;
    switch (i % 5) {
      case 0: {
        void* p = &blocks[i];
        const int error = mi_posix_memalign(&p, 512, size);
        CHECK(error == 0 || (error == ENOMEM && p == &blocks[i]), "posix_memalign: %d", error);
        blocks[i] = error == 0 ? p : NULL;
        if (error != 0) errno = ENOMEM;
        break;
      }
      case 1: blocks[i] = mi_memalign(2048, size); break;
      case 2: blocks[i] = mi_aligned_alloc(64, size); break;
      case 3: blocks[i] = mi_valloc(size); break;
      default: blocks[i] = mi_pvalloc(size); break;
    }
    judged(blocks[i], size);
  }
  for (size_t i = 0; i < 40; i++) release(blocks[i]);
}

static void heaps(void) {
  for (int round = 0; round < 4; round++) {
    void* blocks[100];
    mi_heap_t* heap = mi_heap_new();
    CHECK(heap != NULL || !strict, "mi_heap_new refused although nothing fails");
    if (heap == NULL) continue;
    for (size_t i = 0; i < 100; i++) {
      errno = MARK;
      blocks[i] = judged(mi_heap_malloc(heap, 100 + i * 300), 100 + i * 300);
    }
    for (size_t i = 0; i < 50; i++) release(blocks[i]);
    if (round % 2 == 0) {
      mi_heap_destroy(heap);
      continue;
    }
    mi_heap_delete(heap);
    for (size_t i = 50; i < 100; i++) release(blocks[i]);
  }
}

static void* left[3][64];

static void* leaver(void* arg) {
  void** blocks = (void**)arg;
  for (size_t i = 0; i < 64; i++) blocks[i] = get(50 + i * 700);
  return NULL;
}

static void* releaser(void* arg) {
  void** blocks = (void**)arg;
  for (size_t i = 0; i < 64; i++) release(blocks[i]);
  return NULL;
}

/* Threads that leave blocks behind, and threads that free what others made. */
static void threads(void) {
  for (int k = 0; k < 3; k++) thread_join(thread_start(&leaver, left[k]));
  thread_join(thread_start(&releaser, left[0]));
  thread_join(thread_start(&releaser, left[1]));
  releaser(left[2]);
  leaver(left[0]);
  thread_join(thread_start(&releaser, left[0]));
}

static void collect(void) {
  for (int i = 0; i < 4; i++) {
    blocks_of(60, 100, 3000);
    double_advance_clock(2000);
    mi_collect(i % 2 == 0);
  }
}

static const struct { const char* name; void (*run)(void); } scenarios[] = {
  {"small", &small}, {"medium", &medium}, {"large", &large}, {"huge", &huge}, {"aligned", &aligned},
  {"resize", &resize}, {"zero", &zero}, {"heaps", &heaps}, {"threads", &threads}, {"collect", &collect},
  {"resize_aligned", &resize_aligned}, {"new_nothrow", &new_nothrow}, {"strings", &strings},
  {"posix", &posix},
};

/* ---------- attempts ---------- */

typedef struct plan_s {
  int error;
  uint64_t times;
  size_t page_size;
} plan_t;

/* What the allocator holds at the end. */
typedef struct held_s {
  size_t claimed, mapped, reserved, metadata, records; /* metadata: tables and records */
} held_t;

static held_t held_now(void) {
  const memory_stats_t stats = memory_stats();
  held_t held = {stats.claimed, double_mapped(), stats.reserved, stats.metadata, 0};
  held.records = stats.metadata - stats.reserved / SLICE_SIZE * sizeof(table_entry_t);
  return held;
}

/* The child's life: exit code PASSED when the nth call never came. */
static int attempt(void (*scenario)(void), const plan_t* plan, uint64_t n, held_t* held) {
  double_reset();
  double_set_page_size(plan->page_size);
  double_stop_clock();
  strict = (n == NEVER);
  double_fail(CALL_ANY, n, plan->times, plan->error);
  scenario();
  const bool met = (double_calls(CALL_ANY) >= n);
  double_fail(CALL_ANY, NEVER, 0, 0);
  mi_collect(true);
  strict = true;
  scenario();
  mi_collect(true);
  double_advance_clock(5000);
  mi_collect(true);
  *held = held_now();
  return (met ? 0 : PASSED);
}

static int attempt_in_child(void (*scenario)(void), const plan_t* plan, uint64_t n, held_t* held) {
  int status = 0;
  const pid_t pid = fork();
  if (pid == 0) {
    watchdog(30);
    _exit(attempt(scenario, plan, n, held));
  }
  while (waitpid(pid, &status, 0) < 0) CHECK(errno == EINTR, "waitpid: %s", strerror(errno));
  return (WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
}

/* Address space stays, and so do tables once mapped for a segment that then could not be placed; but each
   mapped byte is in the allocator's books, and no record is lost: less than one chunk more than usual. */
static void expect_no_leak(const held_t* held, const held_t* usual, const char* name, uint64_t n) {
  const unsigned long long call = n;
  CHECK(held->claimed <= usual->claimed, "%s: OS call %llu fails: %zu bytes stay claimed, not %zu", name,
        call, held->claimed, usual->claimed);
  CHECK(held->mapped == held->reserved + held->metadata, "%s: OS call %llu fails: %zu mapped, %zu known",
        name, call, held->mapped, held->reserved + held->metadata);
  CHECK(held->records <= usual->records + 32 * KIB, "%s: OS call %llu fails: %zu bytes of records, not %zu",
        name, call, held->records, usual->records);
  CHECK(held->reserved <= 2 * usual->reserved + 16 * MIB, "%s: OS call %llu fails: %zu bytes reserved",
        name, call, held->reserved);
}

int main(int argc, char** argv) {
  plan_t plan = {.error = ENOMEM, .times = 1, .page_size = 4096};
  if (argc > 1) plan.error = atoi(argv[1]);
  if (argc > 2) plan.times = (uint64_t)atoi(argv[2]);
  if (argc > 3) plan.page_size = (size_t)atoi(argv[3]);
  if (plan.times == 0) plan.times = FAIL_FOR_EVER;
  watchdog(280);
  held_t* held = (held_t*)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t s = 0; s < sizeof(scenarios) / sizeof(scenarios[0]); s++) {
    if (argc > 4 && strcmp(argv[4], scenarios[s].name) != 0) continue;
    int result = attempt_in_child(scenarios[s].run, &plan, NEVER, held);
    CHECK(result == PASSED, "%s: fails without a failure of the OS (%d)", scenarios[s].name, result);
    const held_t usual = *held;
    uint64_t n = 0;
    do {
      n++;
      CHECK(n < MOST_CALLS, "%s: no end of OS calls", scenarios[s].name);
      result = attempt_in_child(scenarios[s].run, &plan, n, held);
      CHECK(result == 0 || result == PASSED, "%s: OS call %llu fails: the program ends with %d",
            scenarios[s].name, (unsigned long long)n, result);
      expect_no_leak(held, &usual, scenarios[s].name, n);
    } while (result != PASSED);
    printf("%-8s %llu OS calls, each failed in turn; %zu KiB claimed at the end\n", scenarios[s].name,
           (unsigned long long)n - 1, usual.claimed / KIB);
    fflush(stdout);
  }
  return 0;
}
