/* SPDX-License-Identifier: MIT */
/* A thread that frees other threads' blocks and then sleeps for ever strands nothing: the owner gets all
   of the memory back without any help of the sleeper, down to the last block of each page. */
#include "support.h"

enum { TOTAL = 8 * MIB, COUNT_MAX = 100000 };

static void* blocks[COUNT_MAX];
static size_t count;
static atomic_bool freed;
static pthread_mutex_t forever = PTHREAD_MUTEX_INITIALIZER;

static void* free_and_sleep(void* arg) {
  for (size_t i = 0; i < count; i++) t_free(blocks[i]);
  atomic_store(&freed, true);
  pthread_mutex_lock(&forever);
  return arg;
}

static void one_size(size_t size, size_t total) {
  count = total / size;
  if (count > COUNT_MAX) count = COUNT_MAX;
  t_collect();
  const size_t committed = committed_bytes();
  for (size_t i = 0; i < count; i++) {
    blocks[i] = t_malloc(size);
    CHECK(blocks[i] != NULL, "out of memory");
    memset(blocks[i], 1, size);
  }
  const size_t peak = committed_bytes(), reserved = reserved_bytes();
  atomic_store(&freed, false);
  pthread_t thread = thread_start(&free_and_sleep, NULL);
  pthread_detach(thread);
  while (!atomic_load(&freed)) sleep_ms(1);
  t_collect();
  t_collect();
  const size_t after = committed_bytes();
  printf("%8zu bytes x %zu: committed %zu -> %zu -> %zu KiB\n", size, count, committed / KIB, peak / KIB,
         after / KIB);
  if (HAVE_MI) {
    const size_t slack = 64 * KIB; /* the sleeper's own stack of thread data, made by libc's calloc */
    CHECK(after <= committed + slack, "blocks of %zu bytes: %zu KiB stranded", size,
          (after - committed) / KIB);
  }
  for (size_t i = 0; i < count; i++) {
    blocks[i] = t_malloc(size);
    CHECK(blocks[i] != NULL, "out of memory");
    memset(blocks[i], 2, size);
  }
  const size_t again = reserved_bytes();
  const size_t stack = 16 * MIB; /* the sleeper's, as libc maps it */
  if (HAVE_MI)
    CHECK(again <= reserved + stack, "blocks of %zu bytes: %zu KiB more reserved", size, again / KIB);
  for (size_t i = 0; i < count; i++) t_free(blocks[i]);
}

int main(void) {
  static const size_t sizes[] = {16, 100, 1000, 1024, 8000, 30000, 200000, 1 * MIB, 5 * MIB};
  watchdog(60);
  pthread_mutex_lock(&forever);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    one_size(sizes[i], TOTAL);    /* full pages */
    one_size(sizes[i], sizes[i]); /* a single block */
  }
  return 0;
}
