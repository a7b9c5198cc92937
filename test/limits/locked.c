/* SPDX-License-Identifier: MIT */
/* A small program without privileges locks all its memory, present and future, within the usual limit of
   8 MiB: what the allocator has mapped counts, touched or not.  Blocks from before, and a 1 MiB one after. */
#include <grp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "stress/support.h"

enum { BLOCKS = 1000, BLOCK_SIZE = 500 };

enum { SKIPPED = 77 };

static void become_nobody(void) {
  const struct rlimit limit = {.rlim_cur = 8 * MIB, .rlim_max = 8 * MIB};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
    printf("skipped: the hard limit of locked memory here is below 8 MiB\n");
    exit(SKIPPED);
  }
  if (geteuid() != 0) return;
  CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "become nobody: %s",
        strerror(errno));
}

static void blocks_work(int seed) {
  static unsigned char* blocks[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    blocks[i] = t_malloc(BLOCK_SIZE);
    CHECK(blocks[i] != NULL, "no memory for block %d", i);
    memset(blocks[i], (i + seed) & 0xFF, BLOCK_SIZE);
  }
  for (int i = 0; i < BLOCKS; i++) {
    for (int k = 0; k < BLOCK_SIZE; k++) CHECK(blocks[i][k] == ((i + seed) & 0xFF), "block %d changed", i);
    t_free(blocks[i]);
  }
}

int main(void) {
  become_nobody();
  blocks_work(0);
  CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall: %s", strerror(errno));
  for (int round = 1; round < 4; round++) {
    blocks_work(round);
    unsigned char* const big = t_calloc(1, MIB);
    CHECK(big != NULL, "no memory for 1 MiB under mlockall");
    for (size_t k = 0; k < MIB; k++) CHECK(big[k] == 0, "calloc's byte %zu is %d", k, big[k]);
    memset(big, 0xEE, MIB);
    t_free(big);
  }
  printf("ok\n");
  return 0;
}
