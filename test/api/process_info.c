/* SPDX-License-Identifier: MIT */
/* mi_process_info against what the kernel says of the process; a child by exec knows only its own peak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mimalloc.h"
#include "sanitized.h"

#define MiB ((size_t)1024 * 1024)

#define must(condition)                                                         \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                 \
    }                                                                           \
  } while (0)

typedef struct info_s {
  size_t elapsed, user, system, rss, peak, commit, peak_commit, faults;
} info_t;

static info_t info(void) {
  info_t i;
  mi_process_info(&i.elapsed, &i.user, &i.system, &i.rss, &i.peak, &i.commit, &i.peak_commit, &i.faults);
  return i;
}

/* Bytes of a line of /proc/self/status. */
static size_t status_bytes(const char* key) {
  char line[256];
  size_t found = 0;
  FILE* const file = fopen("/proc/self/status", "r");
  must(file != NULL);
  while (found == 0 && fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, key, strlen(key)) == 0) found = strtoul(line + strlen(key), NULL, 10) * 1024;
  }
  fclose(file);
  return found;
}

static int close_to(size_t a, size_t b) { return a < b + 2 * MiB && b < a + 2 * MiB; }

static void check_memory(void) {
  const info_t before = info();
  must(close_to(before.rss, status_bytes("VmRSS:")) && close_to(before.peak, status_bytes("VmHWM:")));
  char* const p = mi_malloc(48 * MiB);
  memset(p, 1, 48 * MiB);
  const info_t used = info();
  must(used.rss >= before.rss + 46 * MiB && close_to(used.rss, status_bytes("VmRSS:")));
  must(used.peak >= used.rss && close_to(used.peak, status_bytes("VmHWM:")));
  must(used.commit >= before.commit + 48 * MiB && used.peak_commit >= used.commit);
  mi_free(p);
  mi_collect(true);
  const info_t freed = info();
  must(freed.rss <= used.rss - 46 * MiB && close_to(freed.rss, status_bytes("VmRSS:")));
  must(close_to(freed.peak, used.peak) && freed.commit <= before.commit + MiB);
  must(freed.peak_commit >= used.commit);
  /* Memory that is not the allocator's counts, too: it is the process that is asked about. */
  char* const other = mmap(NULL, 64 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(other != MAP_FAILED);
  memset(other, 1, 64 * MiB);
  must(info().rss >= freed.rss + 62 * MiB && close_to(info().commit, freed.commit));
}

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void check_times(void) {
  const info_t before = info();
  const double cpu = cpu_seconds();
  const struct timespec pause = {0, 100000000};
  nanosleep(&pause, NULL);
  while (cpu_seconds() < cpu + 0.1) continue;
  const info_t after = info();
  must(after.elapsed >= before.elapsed + 180);
  must(after.user + after.system >= before.user + before.system + 80);
  const size_t total = (size_t)(cpu_seconds() * 1000);
  must(after.user + after.system <= total + 20 && after.user + after.system + 20 >= total);
}

/* The program was started 100 ms before it asks first: by a process with 100 MiB. */
static int child(void) {
  const struct timespec pause = {0, 100000000};
  nanosleep(&pause, NULL);
  const info_t now = info();
  must(now.elapsed >= 90);
  must(now.peak < 50 * MiB && now.peak >= now.rss && close_to(now.peak, status_bytes("VmHWM:")));
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2) return child();
  if (SANITIZED) {
    printf("skipped: the sanitizer's memory counts\n");
    return 77;
  }
  check_times();
  check_memory();
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/proc/self/exe", argv[0], "child", (char*)NULL);
    _exit(2);
  }
  int status = -1;
  must(waitpid(pid, &status, 0) == pid && status == 0);
  return 0;
}
