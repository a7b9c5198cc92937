/* SPDX-License-Identifier: MIT */
/* Out of memory by the OS double: a limit of addresses.  Everything that fits is given, then NULL and ENOMEM;
   freeing makes all of it available again, in other sizes too; the error hook is called with ENOMEM. */
#include "double/os_double.h"
#include "stress/support.h"

enum { LIMIT = 192 * MIB, BLOCKS = 4096 };

static void* blocks[BLOCKS];
static atomic_int hooked;

static void on_error(int code, void* arg) {
  (void)arg;
  if (code == ENOMEM) atomic_fetch_add(&hooked, 1);
}

static size_t take_all(size_t size) {
  size_t n = 0;
  while (n < BLOCKS) {
    errno = 0;
    void* p = mi_malloc(size);
    if (p == NULL) break;
    memset(p, 1, 64);
    blocks[n++] = p;
  }
  CHECK(n < BLOCKS, "%d blocks of %zu bytes fit into the limit", BLOCKS, size);
  CHECK(errno == ENOMEM, "out of memory leaves errno %d", errno);
  return n * size;
}

static void free_all(void) {
  for (size_t i = 0; i < BLOCKS; i++) {
    mi_free(blocks[i]);
    blocks[i] = NULL;
  }
}

static void run(size_t page_size) {
  static const size_t sizes[] = {100000, 3000000, 60000, 20 * MIB, 250000};
  double_reset();
  double_set_page_size(page_size);
  double_limit_addresses(LIMIT);
  mi_register_error(&on_error, NULL);
  for (size_t round = 0; round < 10; round++) {
    const size_t size = sizes[round % 5];
    const size_t got = take_all(size);
    printf("page size %zu: %zu MiB in blocks of %zu bytes\n", page_size, got / MIB, size);
    CHECK(got >= LIMIT / 2, "only %zu MiB of %d in blocks of %zu bytes", got / MIB, LIMIT / MIB, size);
    void* small = mi_malloc(16); /* may succeed or not, but nothing breaks */
    free_all();
    mi_free(small);
  }
  CHECK(atomic_load(&hooked) >= 10, "the error hook was called %d times", atomic_load(&hooked));
}

int main(void) {
  watchdog(60);
  for (size_t page_size = 4 * KIB; page_size <= 64 * KIB; page_size *= 4) {
    const pid_t pid = fork();
    if (pid == 0) {
      watchdog(30);
      run(page_size);
      fflush(stdout);
      _exit(0);
    }
    expect_child_success(pid, "out of addresses");
  }
  return 0;
}
