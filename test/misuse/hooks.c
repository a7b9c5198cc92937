/* SPDX-License-Identifier: MIT */
/* Bad input that a correct program may give, and the error hook: a defined result, errno, and the right code
   to the hook; then misuse under "continue", whose codes also reach the hook.  Nothing here
   ends the process. */
#include "stress/support.h"

static int last_code;
static unsigned hooked;

static void on_error(int code, void* arg) {
  CHECK(arg == &hooked, "the hook gets another argument");
  last_code = code;
  hooked++;
}

static int code_since_last(void) {
  const int code = last_code;
  last_code = 0;
  return code;
}

#define REFUSED(call, code) \
  do { \
    errno = 0; \
    void* got_ = (call); \
    CHECK(got_ == NULL, "%s gives %p", #call, got_); \
    const int seen_ = code_since_last(); \
    CHECK(seen_ == (code), "%s: the hook saw %d, not %d", #call, seen_, code); \
    CHECK(errno != 0, "%s leaves errno 0", #call); \
  } while (0)

/* Sizes pass through here, so that no compiler warns of or removes what is tested. */
static size_t n(size_t value) {
  static volatile size_t slot;
  slot = value;
  return slot;
}

static void bad_sizes(void) {
  const size_t beyond = n((size_t)PTRDIFF_MAX + 1), half = n(SIZE_MAX / 2);
  REFUSED(mi_malloc(beyond), EOVERFLOW);
  REFUSED(mi_malloc(n(SIZE_MAX)), EOVERFLOW);
  REFUSED(mi_zalloc(beyond), EOVERFLOW);
  REFUSED(mi_calloc(half, 4), EOVERFLOW);
  REFUSED(mi_calloc(n(SIZE_MAX), n(SIZE_MAX)), EOVERFLOW);
  REFUSED(mi_mallocn(half, 3), EOVERFLOW);
  REFUSED(mi_realloc(NULL, beyond), EOVERFLOW);
  REFUSED(mi_malloc_aligned(beyond, 64), EOVERFLOW);
  REFUSED(mi_malloc_aligned(n(SIZE_MAX), 64), EOVERFLOW);
  REFUSED(mi_heap_malloc(mi_heap_main(), beyond), EOVERFLOW);
  REFUSED(mi_malloc(n((size_t)1 << 46)), ENOMEM);
  REFUSED(mi_malloc(n(PTRDIFF_MAX)), ENOMEM);
  REFUSED(mi_calloc(n((size_t)1 << 30), n((size_t)1 << 16)), ENOMEM);
}

static void failed_realloc(void) {
  char* p = (char*)mi_malloc(20);
  CHECK(p != NULL, "out of memory");
  strcpy(p, "untouched");
  REFUSED(mi_realloc(p, n(SIZE_MAX)), EOVERFLOW);
  REFUSED(mi_realloc(p, n((size_t)1 << 46)), ENOMEM);
  REFUSED(mi_reallocn(p, n(SIZE_MAX / 2), 4), EOVERFLOW);
  CHECK(strcmp(p, "untouched") == 0, "a failed realloc changed the block");
  CHECK(mi_reallocarray(p, n(SIZE_MAX / 2), 4) == NULL && errno == EOVERFLOW, "reallocarray: errno %d",
        errno);
  CHECK(strcmp(p, "untouched") == 0, "a failed reallocarray changed the block");
  mi_free(p);
  code_since_last();
}

static void bad_alignments(void) {
  static const size_t bad[] = {3, 24, 100, 4095, SIZE_MAX};
  void* unchanged = &last_code;
  void* p = unchanged;
  REFUSED(mi_malloc_aligned(10, n(0)), EINVAL);
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    REFUSED(mi_malloc_aligned(10, n(bad[i])), EINVAL);
    REFUSED(mi_zalloc_aligned(10, n(bad[i])), EINVAL);
    CHECK(mi_posix_memalign(&p, n(bad[i]), 10) == EINVAL && p == unchanged, "posix_memalign(%zu)", bad[i]);
  }
  CHECK(mi_posix_memalign(&p, 0, 10) == EINVAL, "posix_memalign(0)");
  CHECK(mi_posix_memalign(&p, 4, 10) == EINVAL, "posix_memalign(4)");
  CHECK(mi_posix_memalign(NULL, 64, 10) == EINVAL, "posix_memalign(NULL)");
  CHECK(mi_posix_memalign(&p, 64, n((size_t)1 << 46)) == ENOMEM && p == unchanged,
        "posix_memalign beyond memory");
  code_since_last();
}

static void null_and_zero(void) {
  const unsigned before = hooked;
  errno = 0;
  mi_free(NULL);
  CHECK(mi_usable_size(NULL) == 0, "usable_size(NULL)");
  CHECK(mi_strdup(NULL) == NULL && mi_strndup(NULL, 5) == NULL, "strdup(NULL)");
  void* a = mi_malloc(0);
  void* b = mi_calloc(0, 100);
  void* c = mi_calloc(100, 0);
  CHECK(a != NULL && b != NULL && c != NULL && a != b && b != c, "size 0 gives unique blocks");
  mi_free(a);
  mi_free(b);
  mi_free(c);
  CHECK(hooked == before && errno == 0, "the hook was called for NULL or size 0, or errno is %d", errno);
}

/* An outside pointer is free's misuse; asked about, it is simply not ours. */
static void foreign_questions(void) {
  char area[64] = {0};
  CHECK(mi_heap_of(area) == NULL && !mi_cfree(area), "a stack pointer has a heap");
  CHECK(mi_malloc_usable_size(area) == 0, "a stack pointer has a size");
  code_since_last();
}

static void misuse_codes(void) {
  char area[256];
  static void* volatile hide;
  void* others = mi_malloc(48);
  char* p = (char*)mi_malloc(48);
  mi_free(p);
  hide = p;
  mi_free(hide);
  CHECK(code_since_last() == EAGAIN, "double free");
  char* q = (char*)mi_malloc(1000);
  hide = q + 40;
  mi_free(hide);
  CHECK(code_since_last() == EINVAL, "interior pointer");
  hide = area + 32;
  mi_free(hide);
  CHECK(code_since_last() == EINVAL, "stack pointer");
  char* big = (char*)mi_malloc(30 * MIB);
  mi_free(big);
  hide = big;
  mi_free(hide);
  const int code = code_since_last();
  CHECK(code == EAGAIN || code == EINVAL, "huge double free: %d", code);
  mi_free(q);
  mi_free(others);
  CHECK(code_since_last() == 0, "a good free is reported");
}

/* Secure builds: a free block was written to.  The hook hears of it first. */
static void on_corruption(int code, void* arg) {
  CHECK(arg == NULL, "the hook gets another argument");
  _exit(code == EFAULT ? 0 : 1);
}

static void corruption_is_told(void) {
  const pid_t pid = fork();
  if (pid == 0) {
    mi_register_error(&on_corruption, NULL);
    char* volatile p = (char*)mi_malloc(104);
    mi_free(p);
    memset(p + 104, 0x41, 8); /* its seal: the invariants, which this variant checks, know of none */
    for (int i = 0; i < 5000; i++) mi_free(mi_malloc(100));
    _exit(2);
  }
  expect_child_success(pid, "corruption");
}

/* A block whose size was misstated is freed all the same. */
static void misstated_size(void) {
  void* volatile p = mi_malloc(100);
  mi_free_size(p, n(50));
  CHECK(code_since_last() == EINVAL, "a misstated size is not told of");
  mi_free(p);
  CHECK(code_since_last() == EAGAIN, "a block of a misstated size was not freed");
}

int main(void) {
  watchdog(30);
  mi_register_error(&on_error, &hooked);
  null_and_zero();
  bad_sizes();
  failed_realloc();
  bad_alignments();
  foreign_questions();
  misuse_codes();
  if (MI_SECURE) {
    corruption_is_told();
    misstated_size();
  }
  mi_register_error(NULL, NULL);
  return 0;
}
