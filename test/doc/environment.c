/* SPDX-License-Identifier: MIT */
/* Prints what environment variables of other allocators would change, one line each, the same in every run:
   contents of fresh blocks, the use of the program break, where blocks of several kinds lie.  The script
   environment.py compares runs. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCKS = 10000, BLOCK = 1000 };

static char* break_at_start;

static const char* below_break(const void* p) {
  return (uintptr_t)p >= (uintptr_t)break_at_start && (uintptr_t)p < (uintptr_t)sbrk(0) ? "yes" : "no";
}

static void* in_thread(void* unused) {
  (void)unused;
  void* const p = malloc(64);
  printf("a thread's block below the break: %s\n", below_break(p));
  free(p);
  return NULL;
}

int main(void) {
  static void* blocks[BLOCKS];
  break_at_start = sbrk(0);
  char* const volatile fresh = malloc(600);
  printf("byte of a fresh block: %d\n", ((volatile unsigned char*)fresh)[500]);
  void* const small = malloc(200000);
  void* const big = malloc(1 << 20);
  printf("200 kB below the break: %s\n", below_break(small));
  printf("1 MiB below the break: %s\n", below_break(big));
  printf("break moved, MiB: %d\n", (int)(((char*)sbrk(0) - break_at_start) >> 20));
  free(small);
  free(big);
  for (int i = 0; i < BLOCKS; i++) blocks[i] = malloc(BLOCK);
  for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
  printf("break moved after free, MiB: %d\n", (int)(((char*)sbrk(0) - break_at_start) >> 20));
  pthread_t thread;
  if (pthread_create(&thread, NULL, in_thread, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  free(fresh);
  printf("mallopt: perturb %d arena_max %d mmap_threshold %d top_pad %d trim %d trim-never %d check %d\n",
         mallopt(M_PERTURB, 165), mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_THRESHOLD, 65536),
         mallopt(M_TOP_PAD, 65536), mallopt(M_TRIM_THRESHOLD, 65536), mallopt(M_TRIM_THRESHOLD, -1),
         mallopt(M_CHECK_ACTION, 3));
  return 0;
}
