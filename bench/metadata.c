/* SPDX-License-Identifier: MIT */
/* What the allocator itself takes: the resident set of a process that holds MIB mebibytes (default 1,024) of
   blocks of one size, every byte written, must not exceed 1.0025 times the blocks plus 2 MiB.

   Usage: metadata [MIB [SIZE]]; without SIZE each of 16, 64, 256, 1024 and 8192 is measured, in a process of
   its own. The blocks form a list through their first words, so that the test holds no table of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLACK_KIB = 2048, DEFAULT_MIB = 1024, PER_MILLION = 2500 };

typedef struct link_s {
  struct link_s* next;
  uint64_t check;
} link_t;

static const size_t default_sizes[] = {16, 64, 256, 1024, 8192};

/* The sum over the mappings: exact, unlike the counters in statm, which lag. */
static size_t resident_kib(void) {
  char text[2048];
  const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  const ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
  if (file >= 0) close(file);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char* const found = strstr(text, "\nRss:");
  return found == NULL ? 0 : (size_t)strtoul(found + strlen("\nRss:"), NULL, 10);
}

static link_t* hold(size_t size, size_t count) {
  link_t* list = NULL;
  for (size_t i = 0; i < count; i++) {
    link_t* const block = malloc(size);
    if (block == NULL) return NULL;
    memset(block, 0x5A, size);
    *block = (link_t){.next = list, .check = (uint64_t)i};
    list = block;
  }
  return list;
}

/* Nothing may have been written over, and nothing handed out twice: the list is as long as it was made. */
static int verify_and_free(link_t* list, size_t count) {
  while (list != NULL && count > 0) {
    link_t* const block = list;
    if (block->check != --count) return 1;
    list = block->next;
    free(block);
  }
  return list != NULL || count != 0;
}

static int measure(size_t mebibytes, size_t size) {
  const size_t count = (mebibytes << 20) / size;
  const double blocks_kib = (double)count * (double)size / 1024;
  const size_t before = resident_kib();
  link_t* const list = hold(size, count);
  const size_t held = resident_kib();
  if (list == NULL || before == 0) {
    fprintf(stderr, "metadata: out of memory, or no /proc/self/smaps_rollup\n");
    return 2;
  }
  const double bound = blocks_kib * (1 + PER_MILLION / 1e6) + SLACK_KIB;
  const double excess = (double)held - blocks_kib;
  const int within = (double)held <= bound;
  printf("%5zu B x %9zu: RSS %9zu KiB, bound %.0f, above the blocks %6.0f KiB = %.4f %%, first %zu KiB: %s\n",
         size, count, held, bound, excess, excess * 100 / blocks_kib, before, within ? "ok" : "EXCEEDED");
  fflush(stdout);
  if (verify_and_free(list, count) != 0) {
    fprintf(stderr, "metadata: a block lost its contents\n");
    return 2;
  }
  return within ? 0 : 1;
}

static int measure_in_child(const char* program, const char* mebibytes, size_t size) {
  char text[32];
  snprintf(text, sizeof(text), "%zu", size);
  const pid_t child = fork();
  if (child == 0) {
    execl(program, program, mebibytes, text, (char*)NULL);
    _exit(3);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 3;
  return WEXITSTATUS(status);
}

int main(int argc, char** argv) {
  char default_text[16];
  snprintf(default_text, sizeof(default_text), "%d", DEFAULT_MIB);
  const char* const text = argc > 1 ? argv[1] : default_text;
  const size_t mebibytes = strtoul(text, NULL, 10);
  if (mebibytes == 0) return 3;
  if (argc > 2) return measure(mebibytes, strtoul(argv[2], NULL, 10));
  int worst = 0;
  for (size_t i = 0; i < sizeof(default_sizes) / sizeof(default_sizes[0]); i++) {
    const int status = measure_in_child("/proc/self/exe", text, default_sizes[i]);
    worst = status > worst ? status : worst;
  }
  return worst;
}
