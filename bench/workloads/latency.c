/* SPDX-License-Identifier: MIT */
/* Latency: random replacement of mixed sizes with every single malloc and free timed; what counts is the
   tail, the slow visits.  The clock itself costs some 20 ns per reading, the same for all allocators.  A
   thread that is pre-empted between two readings shows as a long call: compare medians of several runs.

   Histogram: 16 buckets per doubling, so a percentile is exact to about 6 %. */
#include <stdio.h>
#include <stdlib.h>

#include "workload.h"

enum { SLOTS = 20000, STEPS = 1000000, PER_DOUBLING = 16, BUCKETS = 64 * PER_DOUBLING };

typedef struct histogram_s {
  uint64_t count[BUCKETS];
  uint64_t total;
  uint64_t longest;
} histogram_t;

static size_t bucket_of(uint64_t ns) {
  if (ns < PER_DOUBLING) return (size_t)ns;
  const unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
  return (exponent - 3u) * PER_DOUBLING + (size_t)((ns >> (exponent - 4u)) - PER_DOUBLING);
}

/* The lower bound of a bucket: the inverse of bucket_of. */
static uint64_t bucket_ns(size_t bucket) {
  if (bucket < PER_DOUBLING) return bucket;
  return (uint64_t)(PER_DOUBLING + bucket % PER_DOUBLING) << (bucket / PER_DOUBLING - 1);
}

static void record(histogram_t* histogram, uint64_t ns) {
  histogram->count[bucket_of(ns)]++;
  histogram->total++;
  if (ns > histogram->longest) histogram->longest = ns;
}

/* The time that `per_million` of a million calls stay below. */
static uint64_t percentile(const histogram_t* histogram, uint64_t per_million) {
  const uint64_t wanted = histogram->total * per_million / 1000000;
  uint64_t seen = 0;
  for (size_t i = 0; i < BUCKETS; i++) {
    seen += histogram->count[i];
    if (seen >= wanted) return bucket_ns(i);
  }
  return histogram->longest;
}

static histogram_t* of_malloc;
static histogram_t* of_free;

static void replace_timed(void** slot, size_t size) {
  if (*slot != NULL) {
    stamp_check(*slot);
    const uint64_t start = now_ns();
    free(*slot);
    record(of_free, now_ns() - start);
  }
  const uint64_t start = now_ns();
  *slot = malloc(size);
  record(of_malloc, now_ns() - start);
  if (*slot == NULL) workload_fail("out of memory");
  stamp(*slot, size);
}

static int print_tail(char* text, size_t room, const char* name, const histogram_t* histogram) {
  return snprintf(text, room, "%s_p50=%llu %s_p99=%llu %s_p999=%llu %s_p9999=%llu %s_max=%llu ", name,
                  (unsigned long long)percentile(histogram, 500000), name,
                  (unsigned long long)percentile(histogram, 990000), name,
                  (unsigned long long)percentile(histogram, 999000), name,
                  (unsigned long long)percentile(histogram, 999900), name,
                  (unsigned long long)histogram->longest);
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("latency", argc, argv);
  void** const slots = harness_map(SLOTS * sizeof(void*));
  of_malloc = harness_map(sizeof(histogram_t));
  of_free = harness_map(sizeof(histogram_t));
  uint64_t random = workload.seed;
  const uint64_t steps = workload_scaled(&workload, STEPS);
  for (uint64_t i = 0; i < SLOTS + steps; i++) {
    replace_timed(&slots[random_below(&random, SLOTS)], random_mixed_size(&random));
  }
  for (size_t i = 0; i < SLOTS; i++) stamped_free(slots[i]);
  char extra[512];
  const int length = print_tail(extra, sizeof(extra), "malloc", of_malloc);
  print_tail(extra + length, sizeof(extra) - (size_t)length, "free", of_free);
  return workload_end(&workload, 2 * steps, extra);
}
