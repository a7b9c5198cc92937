/* SPDX-License-Identifier: MIT */
/* The fuzz target without libFuzzer: runs the files named, or random inputs.

   usage: fuzz-random [--runs N] [--seed N] [file ...] */
#include "fuzz/calls.h"
#include "stress/support.h"

int LLVMFuzzerInitialize(int* argc, char*** argv);
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

enum { LENGTH_MAX = 4096 };

static void run_file(const char* name) {
  static unsigned char data[64 * KIB];
  FILE* const file = fopen(name, "rb");
  CHECK(file != NULL, "%s: %s", name, strerror(errno));
  const size_t length = fread(data, 1, sizeof(data), file);
  fclose(file);
  LLVMFuzzerTestOneInput(data, length);
}

static void run_random(uint64_t seed, uint64_t run) {
  static unsigned char data[LENGTH_MAX];
  uint64_t random = mix64(seed) ^ mix64(run);
  const size_t length = 2 + random_below(&random, random_below(&random, 8) == 0 ? LENGTH_MAX - 2 : 300);
  for (size_t i = 0; i < length; i++) data[i] = (unsigned char)random_next(&random);
  LLVMFuzzerTestOneInput(data, length);
}

int main(int argc, char** argv) {
  uint64_t runs = 20000, seed = 1, files = 0;
  LLVMFuzzerInitialize(&argc, &argv);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) runs = strtoull(argv[++i], NULL, 0);
    else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = strtoull(argv[++i], NULL, 0);
    else run_file(argv[i]), files++;
  }
  for (uint64_t run = 0; files == 0 && run < runs; run++) {
    if (run % 1000 == 0) {
      printf("fuzz: --seed %llu: run %llu of %llu\n", (unsigned long long)seed, (unsigned long long)run,
             (unsigned long long)runs);
      fflush(stdout);
    }
    run_random(seed, run);
  }
  printf("fuzz: passed\n");
  return 0;
}
