/* SPDX-License-Identifier: MIT */
/* The end of a thread, and of the process, in every order: destructors of pthread keys made before and after
   the allocator's own, which free, allocate, and set their value again until libc gives up; C++ thread_local
   destructors (through the C++ ABI's registration function); exit handlers and static destructors that free
   and allocate when everything else is over, while another thread still runs. */
#include "support.h"

enum { KEYS = 6, THREADS = 200 };

extern int __cxa_thread_atexit_impl(void (*destructor)(void*), void* object, void* dso);
extern void* __dso_handle;

static pthread_key_t keys[KEYS];
static atomic_int destroyed, cxx_destroyed, late;
static void* at_exit_block;
static void* static_block;

static void* block_of(size_t size) {
  void* p = t_malloc(size);
  CHECK(p != NULL, "out of memory");
  payload_fill(p, size, size);
  return p;
}

/* The value is a block of 100 bytes; it is replaced twice before it is let go. */
static void on_thread_exit(void* value) {
  static _Thread_local int rounds[KEYS];
  payload_check(value, 100, 100);
  t_free(value);
  atomic_fetch_add(&destroyed, 1);
  for (int i = 0; i < KEYS; i++) {
    if (pthread_getspecific(keys[i]) == NULL && rounds[i] < 2) {
      rounds[i]++;
      pthread_setspecific(keys[i], block_of(100));
      return;
    }
  }
  void* p = block_of(30000);
  payload_check(p, 30000, 30000);
  t_free(p);
}

static void on_cxx_exit(void* object) {
  payload_check(object, 5000, 5000);
  t_free(object);
  t_free(block_of(64));
  atomic_fetch_add(&cxx_destroyed, 1);
}

/* Keys made before the first allocation of the process: this constructor comes early. */
__attribute__((constructor(101))) static void make_early_keys(void) {
  for (int i = 0; i < KEYS / 2; i++) pthread_key_create(&keys[i], &on_thread_exit);
}

static void* thread_main(void* arg) {
  __cxa_thread_atexit_impl(&on_cxx_exit, block_of(5000), &__dso_handle);
  for (int i = 0; i < KEYS; i++) pthread_setspecific(keys[i], block_of(100));
  return block_of((size_t)(uintptr_t)arg);
}

static void* runs_on(void* arg) {
  for (;;) {
    void* p = t_malloc(1000);
    CHECK(p != NULL, "out of memory");
    t_free(p);
  }
  return arg;
}

static void free_at_exit(void) {
  payload_check(at_exit_block, 700, 700);
  t_free(at_exit_block);
  t_free(block_of(70000));
  atomic_fetch_add(&late, 1);
}

__attribute__((destructor(101))) static void free_last(void) {
  if (static_block == NULL) return;
  CHECK(atomic_load(&late) == 1, "the exit handler did not run");
  payload_check(static_block, 3000, 3000);
  t_free(static_block);
  void* p = block_of(200);
  t_free(p);
}

int main(void) {
  watchdog(60);
  for (int i = KEYS / 2; i < KEYS; i++) pthread_key_create(&keys[i], &on_thread_exit);
  for (size_t n = 1; n <= THREADS; n++) {
    void* left = NULL;
    pthread_t thread = thread_start(&thread_main, (void*)(uintptr_t)(n * 40));
    CHECK(pthread_join(thread, &left) == 0, "join");
    payload_check(left, n * 40, n * 40);
    t_free(left);
  }
  printf("%d key destructors and %d thread_local destructors\n", atomic_load(&destroyed),
         atomic_load(&cxx_destroyed));
  CHECK(atomic_load(&cxx_destroyed) == THREADS, "thread_local destructors missed");
  CHECK(atomic_load(&destroyed) >= THREADS * KEYS, "key destructors missed");
  at_exit_block = block_of(700);
  static_block = block_of(3000);
  atexit(&free_at_exit);
  thread_start(&runs_on, NULL);
  return 0;
}
