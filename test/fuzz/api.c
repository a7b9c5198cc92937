/* SPDX-License-Identifier: MIT */
/* The public interface under instructions read from bytes, for libFuzzer or the driver beside this file.

   The first byte chooses whether OS calls may fail.  Then one byte each says what to do, the bytes behind it
   with what.  After every step a block is verified, at the end all of them; then all are freed, and the
   allocator must count none.  Other threads take part one at a time, so that an input means the same on each
   run.
   FUZZ_TRACE=1 in the environment prints every step. */
#include <semaphore.h>

#include "alloc/alloc.h"
#include "double/os_double.h"
#include "fuzz/calls.h"
#include "fuzz/shadow.h"
#include "thread/thread.h"

enum { HEAPS = 6, PARTNERS = 2, STEPS_MAX = 600, LIVES_MAX = 3, BYTES_MAX = 96 * MIB, ONE_MAX = 64 * MIB };

int LLVMFuzzerInitialize(int* argc, char*** argv);
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

static const uint8_t *input, *input_end;
static mi_heap_t* heaps[HEAPS];
static bool faults_allowed, armed, trace, in_callback;
static int steps, lives;
static unsigned misuses;

#define TRACE(...) \
  do { if (trace) fprintf(stderr, __VA_ARGS__); } while (0)

/* ---- reading ---- */

static size_t byte(void) { return input < input_end ? *input++ : 0; }

static size_t word(void) {
  const size_t low = byte();
  return low | byte() << 8;
}

static size_t take_size(void) {
  static const size_t impossible[] = {SIZE_MAX,           SIZE_MAX - 1,           SIZE_MAX - 4095,
                                      SIZE_MAX / 2,       (size_t)PTRDIFF_MAX,    (size_t)PTRDIFF_MAX + 1,
                                      SIZE_MAX - 65535,   (size_t)1 << 46,        (size_t)1 << 62,
                                      (size_t)1 << 63,    (size_t)PTRDIFF_MAX - 15};
  const size_t kind = byte();
  const size_t edge = (size_t)1 << byte() % 26;
  switch (kind % 9) {
  case 0: return byte();
  case 1: return word();
  case 2: return edge + kind / 9 % 5 - 2 < ONE_MAX ? edge + kind / 9 % 5 - 2 : 0;
  case 3: return byte() * 64 * KIB + kind / 9 % 5;
  case 4: return word() << 6;
  case 5: return mi_good_size(word() * 2) + kind / 9 % 2;
  case 6: return (kind / 9 % 4 + 1) * 8 * KIB - byte();
  case 7: return edge - edge / 8 * (kind / 9 % 4);
  default: return kind > 200 ? impossible[byte() % (sizeof(impossible) / sizeof(impossible[0]))] : byte() * 3;
  }
}

static size_t take_alignment(void) {
  static const size_t bad[] = {0, 3, 24, 48, 4095, 4097, SIZE_MAX, (size_t)1 << 62, (size_t)1 << 63, 65537};
  const size_t kind = byte();
  if (kind >= 240) return bad[byte() % (sizeof(bad) / sizeof(bad[0]))];
  return (size_t)1 << (kind < 180 ? kind % 14 : kind % 31);
}

static size_t take_offset(void) {
  const size_t kind = byte();
  if (kind < 128) return 0;
  if (kind < 200) return byte();
  return kind == 255 ? SIZE_MAX - byte() : word() << (kind & 7);
}

static item_t* take_item(void) { return &items[(byte() * 4 + byte() % 4) % ITEMS]; }

static mi_heap_t* take_heap(void) {
  mi_heap_t* const heap = heaps[byte() % HEAPS];
  return heap != NULL ? heap : mi_heap_main();
}

/* ---- one allocation ---- */

typedef enum verdict_e { POSSIBLE, TOO_LARGE, BAD_ALIGNMENT, UNCERTAIN } verdict_t;

static bool is_power(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

/* Resizing with an alignment up to a word's, at the block's start, is resizing without one. */
static bool has_alignment(const function_t* f, const call_t* c) {
  const bool is_natural = (f->traits & RESIZES) != 0 && c->alignment <= sizeof(void*) && c->offset == 0;
  return (f->traits & HAS_ALIGNMENT) != 0 && !is_natural;
}

static verdict_t judge(const function_t* f, const call_t* c, size_t* total) {
  const bool overflow = __builtin_mul_overflow(c->count, c->size, total);
  const bool bad = has_alignment(f, c) &&
                   (!is_power(c->alignment) || ((f->traits & WORD_ALIGNMENT) != 0 && c->alignment < 8));
  const bool large = overflow || *total >= (size_t)1 << 46 ||
                     (!bad && c->alignment >= (size_t)1 << 62);
  if (c->offset > ONE_MAX) return UNCERTAIN;
  if (bad) return large ? UNCERTAIN : BAD_ALIGNMENT;
  if (large) return TOO_LARGE;
  return *total <= ONE_MAX ? POSSIBLE : UNCERTAIN;
}

static void judge_failure(const function_t* f, const call_t* c, verdict_t verdict) {
  const int error = errno;
  if ((f->traits & KEEPS_ERRNO) != 0) {
    CHECK(error == ERRNO_MARK, "%s fails and sets errno to %d", f->name, error);
    return;
  }
  const bool in_place = (f->traits & IN_PLACE) != 0;
  if (verdict == BAD_ALIGNMENT) CHECK(error == EINVAL, "%s: errno is %d, not EINVAL", f->name, error);
  else if (verdict == TOO_LARGE && (f->traits & TELLS_OVERFLOW) != 0)
    CHECK(error == ENOMEM || error == EOVERFLOW, "%s: errno is %d", f->name, error);
  else if (verdict == TOO_LARGE && c->alignment >= (size_t)1 << 62)
    CHECK(error == ENOMEM || error == EINVAL, "%s: errno is %d", f->name, error);
  else CHECK(error == ENOMEM, "%s of %zu x %zu: errno is %d, not ENOMEM", f->name, c->count, c->size, error);
  if (verdict == POSSIBLE && !in_place)
    CHECK(armed, "%s of %zu x %zu, alignment %zu, offset %zu fails, but nothing is wrong", f->name, c->count,
          c->size, c->alignment, c->offset);
}

static void judge_alignment(const function_t* f, const call_t* c, const void* p, size_t total) {
  const uintptr_t at = (uintptr_t)p;
  if ((f->traits & IN_PLACE) != 0) return;
  if (has_alignment(f, c))
    CHECK((at + c->offset) % c->alignment == 0, "%s: %p + %zu is not aligned to %zu", f->name, p, c->offset,
          c->alignment);
  if ((f->traits & OS_PAGE) != 0) CHECK(at % 4096 == 0, "%s: %p is not aligned to a page", f->name, p);
  /* A block made for an offset starts wherever that demands, and stays there while it is resized in place. */
  if (p == c->p || ((f->traits & HAS_OFFSET) != 0 && c->offset != 0)) return;
  CHECK(at % 8 == 0 && (total < 16 || at % 16 == 0), "%s of %zu bytes: %p is not aligned", f->name, total, p);
  if (is_power(total) && total <= 4096 && (f->traits & (RESIZES | HAS_ALIGNMENT)) == 0)
    CHECK(at % total == 0, "%s of %zu bytes: %p is not aligned to the size", f->name, total, p);
}

static void judge_success(const function_t* f, const call_t* c, item_t* item, void* p) {
  size_t total;
  const verdict_t verdict = judge(f, c, &total);
  CHECK(verdict == POSSIBLE, "%s of %zu x %zu, alignment %zu, offset %zu succeeds", f->name, c->count,
        c->size, c->alignment, c->offset);
  CHECK(errno == ERRNO_MARK, "%s succeeds and sets errno to %d", f->name, errno);
  if ((f->traits & OS_PAGES) != 0) total = total == 0 ? 4096 : (total + 4095) / 4096 * 4096;
  judge_alignment(f, c, p, total);
  mi_heap_t* heap = (f->traits & IN_HEAP) != 0 ? c->heap : mi_heap_main();
  const size_t kept = item->filled < total ? item->filled : total;
  if (c->p != NULL) {
    item_verify_at(item, p, kept);
    if (p == c->p) heap = item->heap;
    if ((f->traits & IN_PLACE) != 0) CHECK(p == c->p, "%s moves %p to %p", f->name, c->p, p);
  }
  item->zeroed = (f->traits & ZEROES) != 0;
  item->filled = c->p != NULL ? kept : 0;
  item_place(item, p, total, heap);
  item_fill(item);
}

static void call_function(const function_t* f, call_t c, item_t* item) {
  size_t total;
  const verdict_t verdict = judge(f, &c, &total);
  if (verdict == UNCERTAIN || ((f->traits & NEVER_NULL) != 0 && (verdict != POSSIBLE || armed))) return;
  if (verdict == POSSIBLE && total > 4096 && total + items_bytes() > BYTES_MAX) return;
  TRACE("%s(%p, %zu x %zu, alignment %zu, offset %zu, heap %p)", f->name, c.p, c.count, c.size,
        c.alignment, c.offset, (void*)c.heap);
  item_t self = *item; /* the callback must not take it meanwhile */
  item->deferred = false;
  const size_t before = mi_usable_size(c.p);
  errno = ERRNO_MARK;
  void* const p = f->run(&c);
  TRACE(" = %p\n", p);
  if (p != NULL) {
    if ((f->traits & IN_PLACE) != 0)
      CHECK(total <= before, "%s beyond the %zu usable bytes", f->name, before);
    judge_success(f, &c, item, p);
    return;
  }
  judge_failure(f, &c, verdict);
  if ((f->traits & IN_PLACE) != 0)
    CHECK(c.p == NULL || total > before, "%s to %zu of %zu bytes refuses", f->name, total, before);
  *item = self;
  if (c.p == NULL) return;
  if ((f->traits & FREES_FAILED) != 0) *item = (item_t){.p = NULL};
  else item_verify(item);
}

static bool suits(const function_t* f, const item_t* item) {
  if (item->deferred) return false;
  if (item->p == NULL) return (f->traits & IN_PLACE) == 0;
  if ((f->traits & RESIZES) == 0) return false;
  return (f->traits & ZEROES) == 0 || item->zeroed;
}

static call_t take_call(const function_t* f) {
  call_t c = {.count = 1, .alignment = 1};
  c.size = take_size();
  if ((f->traits & IN_HEAP) != 0) c.heap = take_heap();
  if ((f->traits & HAS_COUNT) != 0) {
    const size_t kind = byte();
    c.count = kind < 250 ? kind % 40 : take_size();
    const bool arrays = (f->traits & TELLS_OVERFLOW) != 0 && (f->traits & RESIZES) != 0;
    if (arrays && c.count == 0) c.count = 1; /* reallocarr would free the block, or refuse */
    if (arrays && c.size == 0) c.size = 1;
  }
  if ((f->traits & HAS_ALIGNMENT) != 0) c.alignment = take_alignment();
  if ((f->traits & HAS_OFFSET) != 0) c.offset = take_offset();
  return c;
}

static const function_t* take_function(void) { return &functions[byte() % function_count]; }

static void one_call(void) {
  const function_t* const f = take_function();
  item_t* const item = take_item();
  call_t c = take_call(f);
  c.p = item->p;
  if (suits(f, item)) call_function(f, c, item);
}

/* Many blocks alike, so that pages fill. */
static void many_calls(void) {
  const function_t* const f = take_function();
  item_t* item = take_item();
  const call_t c = take_call(f);
  for (size_t n = byte(); n > 0 && item < items + ITEMS; n--, item++) {
    if (item->p == NULL && suits(f, item)) call_function(f, c, item);
  }
}

static void free_many(void) {
  item_t* item = take_item();
  const size_t stride = 1 + byte() % 16;
  TRACE("free from %zu, each %zu\n", (size_t)(item - items), stride);
  for (size_t n = byte(); n > 0 && item < items + ITEMS; n--, item += stride) {
    if (item->p != NULL && !item->deferred) item_free(item);
  }
}

/* ---- heaps ---- */

static void heap_make(mi_heap_t** heap) {
  if (*heap != NULL) return;
  errno = ERRNO_MARK;
  *heap = mi_heap_new();
  TRACE("heap_new = %p\n", (void*)*heap);
  CHECK(*heap != NULL || (armed && errno == ENOMEM), "heap_new fails, errno %d", errno);
  CHECK(*heap == NULL || errno == ERRNO_MARK, "heap_new sets errno to %d", errno);
}

static void heap_end(mi_heap_t** heap, size_t destroy) {
  if (*heap == NULL) return;
  TRACE("%s(%p)\n", destroy != 0 ? "heap_destroy" : "heap_delete", (void*)*heap);
  for (item_t* item = items; item < items + ITEMS; item++) {
    if (item->p == NULL || item->heap != *heap) continue;
    item_verify(item);
    if (destroy != 0) *item = (item_t){.p = NULL};
    else item->heap = mi_heap_main();
  }
  errno = ERRNO_MARK;
  if (destroy != 0) mi_heap_destroy(*heap);
  else mi_heap_delete(*heap);
  CHECK(errno == ERRNO_MARK, "the end of a heap sets errno to %d", errno);
  *heap = NULL;
}

/* ---- the rest of the interface ---- */

static void run_deferred(bool force, unsigned long long heartbeat, void* arg) {
  CHECK(!in_callback, "the callback is called from within itself");
  CHECK(arg == items, "the callback gets another argument");
  in_callback = true;
  size_t most = force ? ITEMS : 2;
  for (item_t* item = items; most > 0 && item < items + ITEMS; item++) {
    if (item->p == NULL || !item->deferred) continue;
    item_free(item);
    most--;
  }
  void* const p = mi_malloc((size_t)heartbeat % 300);
  CHECK(p != NULL || armed, "malloc fails in the callback");
  mi_free(p);
  in_callback = false;
}

static void set_option(void) {
  static const long delays[] = {500, 0, -1, 10};
  const long delay = delays[byte() % 4];
  mi_option_set(mi_option_purge_delay, delay);
  CHECK(mi_option_get(mi_option_purge_delay) == delay, "the purge delay set is %ld", delay);
  const mi_option_t idle = (mi_option_t)((size_t)mi_option_guarded_min + byte() % 20);
  const long value = (long)word();
  mi_option_set(idle, value);
  const long clamped = value > 100 ? 100 : value;
  CHECK(mi_option_get_clamp(idle, -5, 100) == clamped, "option %d is not clamped", (int)idle);
  CHECK(mi_option_get((mi_option_t)(_mi_option_last + byte())) == 0, "no option, but a value");
}

static void count_misuse(int error, void* arg) {
  (void)arg;
  if (error == EAGAIN || error == EINVAL || error == EFAULT) misuses++;
}

/* With misuse to be ignored: it is reported, once, and harms nobody. */
static void misuse(void) {
  item_t* const item = take_item();
  const size_t kind = byte();
  const size_t inside = byte();
  if (item->p == NULL || item->deferred) return;
  unsigned char* const p = item->p;
  uint64_t on_stack[4] = {0};
  misuses = 0;
  TRACE("misuse %zu of %p\n", kind % 4, (void*)p);
  switch (kind % 4) {
  case 0: item_free(item); mi_free(p); break;
  case 1: mi_free(p + 1 + inside % (mi_usable_size(p) - 1)); break;
  case 2: mi_free(&on_stack[inside % 4]); break;
  default: mi_free((void*)&items[inside]); break;
  }
  CHECK(misuses == 1, "misuse %zu of %p was reported %u times", kind % 4, (void*)p, misuses);
}

static void arm(void) {
  const os_call_t kind = (os_call_t)(byte() % CALL_KINDS);
  const size_t nth = 1 + byte() % 16;
  const size_t times = byte() % 8;
  if (!faults_allowed) return;
  TRACE("OS calls of kind %d fail from %zu on, times %zu\n", (int)kind, nth, times);
  armed = true;
  double_fail(kind, nth, times == 0 ? FAIL_FOR_EVER : times, kind == CALL_PURGE ? EINVAL : ENOMEM);
}

static void disarm(void) {
  for (int kind = 0; kind < CALL_KINDS; kind++) double_fail((os_call_t)kind, 0, 0, 0);
  armed = false;
}

static void collect(size_t how) {
  TRACE("collect %zu\n", how % 5);
  errno = ERRNO_MARK;
  switch (how % 5) {
  case 0: mi_collect(false); break;
  case 1: mi_collect(true); break;
  case 2: mi_heap_collect(take_heap(), (how & 64) != 0); break;
  case 3: memory_trim(); break;
  default: double_advance_clock(how * 10); break;
  }
  CHECK(errno == ERRNO_MARK, "collect sets errno to %d", errno);
}

static void ask(void) {
  const item_t* const item = take_item();
  const size_t size = take_size();
  if (item->p != NULL) CHECK(mi_malloc_size(item->p) == mi_malloc_usable_size(item->p), "two usable sizes");
  CHECK(mi_usable_size(NULL) == 0 && mi_heap_of(NULL) == NULL && !mi_cfree(NULL), "NULL is a block");
  CHECK(mi_good_size(size) >= size, "good_size(%zu) is %zu", size, mi_good_size(size));
  CHECK(mi_heap_of(items) == NULL && !mi_cfree(items), "static memory is ours");
  items_compare_statistics(false);
}

/* ---- steps ---- */

static void take_steps(int most);

typedef struct partner_s {
  sem_t go, done;
  int steps; /* 0: collect */
} partner_t;

static partner_t partners[PARTNERS];

static void* partner_main(void* arg) {
  partner_t* const self = (partner_t*)arg;
  for (;;) {
    while (sem_wait(&self->go) != 0) { /* interrupted */ }
    if (self->steps > 0) take_steps(self->steps);
    else mi_collect(true);
    sem_post(&self->done);
  }
  return NULL;
}

static void hand_over(partner_t* partner, int count) {
  partner->steps = count;
  sem_post(&partner->go);
  while (sem_wait(&partner->done) != 0) { /* interrupted */ }
}

static void* short_life(void* arg) {
  take_steps(*(const int*)arg);
  return NULL;
}

static _Thread_local bool is_main;

static void other_thread(void) {
  const size_t which = byte();
  const int count = 1 + (int)byte() % 32;
  if (!is_main) return;
  if (which % 4 != 3) {
    TRACE("-- partner %zu\n", which % PARTNERS);
    hand_over(&partners[which % PARTNERS], count);
  } else if (lives++ < LIVES_MAX) {
    TRACE("-- thread\n");
    thread_join(thread_start(short_life, (void*)&count));
  }
  TRACE("-- main\n");
}

static void take_step(void) {
  const size_t what = byte();
  switch (what % 24) {
  case 0: case 1: case 2: case 3: case 4: case 5: case 6: case 7: one_call(); break;
  case 8: case 9: case 10: many_calls(); break;
  case 11: case 12: free_many(); break;
  case 13: {
    item_t* const item = take_item();
    if (item->p != NULL && !item->deferred) item_free(item);
    break;
  }
  case 14: heap_make(&heaps[byte() % HEAPS]); break;
  case 15: heap_end(&heaps[byte() % HEAPS], what / 24 % 2); break;
  case 16: collect(byte()); break;
  case 17: case 18: other_thread(); break;
  case 19: misuse(); break;
  case 20: arm(); break;
  case 21: set_option(); break;
  case 22: ask(); break;
  default: {
    item_t* const item = take_item();
    if (item->p != NULL) item->deferred = true;
    mi_register_deferred_free(what / 24 % 4 == 0 ? NULL : run_deferred, items);
    break;
  }
  }
}

static void verify_parts(void) {
  if (thread_self == NULL) return;
  for (heap_part_t* part = thread_self->parts; part != NULL; part = part->sibling) {
    /* The part of a heap that another thread ended is settled later. */
    if (load_relaxed(&part->heap->state) != HEAP_LIVE) continue;
    CHECK(part_is_valid(part), "part %p is not valid", (void*)part);
  }
}

static void take_steps(int most) {
  while (most-- > 0 && steps < STEPS_MAX && input < input_end) {
    take_step();
    const item_t* const item = &items[(size_t)steps * 7 % ITEMS];
    if (item->p != NULL) item_verify(item);
    if (steps++ % 16 == 0) verify_parts();
  }
}

/* ---- an input ---- */

static void swallow(const char* text, void* arg) {
  (void)arg;
  TRACE("%s", text);
}

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void)argc;
  (void)argv;
  trace = getenv("FUZZ_TRACE") != NULL;
  is_main = true;
  double_stop_clock();
  mi_option_set(mi_option_scavenger, 0); /* it would act at times of its own */
  mi_option_set(mi_option_continue_on_error, 1);
  mi_register_output(swallow, NULL);
  mi_register_error(count_misuse, NULL);
  for (int i = 0; i < PARTNERS; i++) {
    CHECK(sem_init(&partners[i].go, 0, 0) == 0 && sem_init(&partners[i].done, 0, 0) == 0, "sem_init");
    thread_start(partner_main, &partners[i]);
  }
  return 0;
}

static void end_input(void) {
  disarm();
  verify_parts();
  items_compare_statistics(false);
  mi_register_deferred_free(NULL, NULL);
  for (int i = 0; i < HEAPS; i++) heap_end(&heaps[i], (size_t)i % 2);
  for (item_t* item = items; item < items + ITEMS; item++) {
    if (item->p != NULL) item_free(item);
  }
  for (int i = 0; i < PARTNERS; i++) hand_over(&partners[i], 0);
  mi_option_set(mi_option_purge_delay, 500);
  mi_collect(true);
  items_compare_statistics(true);
  verify_parts();
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  input = data + 1;
  input_end = data + size;
  faults_allowed = data[0] % 4 == 1;
  steps = 0;
  lives = 0;
  take_steps(STEPS_MAX);
  end_input();
  return 0;
}
