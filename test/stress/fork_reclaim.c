/* SPDX-License-Identifier: MIT */
/* A fork's child owns what the parent's other threads owned.  Two cases, each with 64 MiB in the hands of
   threads that do not exist in the child:
     "live":  the threads' blocks are live; the child frees them and allocates as much again;
     "freed": the threads had freed their blocks themselves and sleep (so the memory is in their pages);
              the child allocates as much again.
   Neither may need more memory in use or resident than the parent had at its peak. */
#include "support.h"

enum { OWNERS = 4, EACH = 16 * MIB, SLACK = 12 * MIB };

typedef struct owner_s {
  size_t size, count;
  void** blocks;
  bool keeps;
  atomic_bool ready;
} owner_t;

static atomic_bool leave;

static void* owner_main(void* arg) {
  owner_t* o = (owner_t*)arg;
  for (size_t i = 0; i < o->count; i++) {
    o->blocks[i] = t_malloc(o->size);
    CHECK(o->blocks[i] != NULL, "out of memory");
    payload_fill(o->blocks[i], o->size, i);
  }
  if (!o->keeps) {
    for (size_t i = 0; i < o->count; i++) t_free(o->blocks[i]);
  }
  atomic_store(&o->ready, true);
  while (!atomic_load(&leave)) sleep_ms(2);
  if (o->keeps) {
    for (size_t i = 0; i < o->count; i++) t_free(o->blocks[i]);
  }
  return NULL;
}

static void child(owner_t* owners, size_t peak_rss) {
  watchdog(60);
  const size_t claimed = committed_bytes();
  for (int k = 0; k < OWNERS; k++) {
    for (size_t i = 0; i < owners[k].count && owners[k].keeps; i++) {
      payload_check(owners[k].blocks[i], owners[k].size, i);
      t_free(owners[k].blocks[i]);
    }
  }
  for (int k = 0; k < OWNERS; k++) {
    for (size_t i = 0; i < owners[k].count; i++) {
      owners[k].blocks[i] = t_malloc(owners[k].size);
      CHECK(owners[k].blocks[i] != NULL, "out of memory");
      payload_fill(owners[k].blocks[i], owners[k].size, i + 1);
    }
  }
  const size_t claimed_after = committed_bytes(), rss = rss_bytes();
  const size_t bound = owners[0].keeps ? claimed : peak_rss / 3 * 4; /* whole slices are claimed */
  CHECK(claimed_after <= bound + SLACK, "size %zu: the child grew from %zu to %zu MiB in use", owners[0].size,
        bound / MIB, claimed_after / MIB);
  CHECK(rss <= peak_rss + SLACK, "size %zu: the child holds %zu MiB, its parent %zu", owners[0].size,
        rss / MIB, peak_rss / MIB);
  for (int k = 0; k < OWNERS; k++) {
    for (size_t i = 0; i < owners[k].count; i++) {
      payload_check(owners[k].blocks[i], owners[k].size, i + 1);
      t_free(owners[k].blocks[i]);
    }
  }
  t_collect();
  _exit(0);
}

static void one_case(size_t size, const char* which) {
  owner_t owners[OWNERS];
  pthread_t threads[OWNERS];
  const size_t base_rss = rss_bytes();
  atomic_store(&leave, false);
  for (int k = 0; k < OWNERS; k++) {
    owners[k] = (owner_t){.size = size, .count = EACH / size, .keeps = strcmp(which, "live") == 0};
    owners[k].blocks = (void**)mmap(NULL, owners[k].count * sizeof(void*), PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    threads[k] = thread_start(&owner_main, &owners[k]);
  }
  for (int k = 0; k < OWNERS; k++) {
    while (!atomic_load(&owners[k].ready)) sleep_ms(1);
  }
  const pid_t pid = fork();
  if (pid == 0) child(owners, base_rss + (size_t)OWNERS * EACH + OWNERS * owners[0].count * sizeof(void*));
  expect_child_success(pid, which);
  atomic_store(&leave, true);
  for (int k = 0; k < OWNERS; k++) {
    thread_join(threads[k]);
    munmap(owners[k].blocks, owners[k].count * sizeof(void*));
  }
  t_collect();
  printf("child reclaims %s blocks of %zu bytes\n", which, size);
}

int main(void) {
  static const size_t sizes[] = {64, 1024, 8000, 100000, 3000000};
  watchdog(120);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    one_case(sizes[i], "live");
    one_case(sizes[i], "freed");
  }
  return 0;
}
