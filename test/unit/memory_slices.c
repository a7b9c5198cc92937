/* SPDX-License-Identifier: MIT */
/* Claim, extend, release and purge against a model that keeps one record per slice and searches slowly. */
#include "unit/memory_support.h"

enum { SLICES = 64 * 64, LIVE = 64 };

typedef struct slice_model_s {
  bool claimed, dirty, zero;
} slice_model_t;

static slice_model_t model[SLICES];
static claim_t live[LIVE];
static uint64_t stamps[LIVE];

static size_t known_slices(void) {
  return window.limit / SLICE_SIZE;
}

static bool model_fits(size_t first, size_t count, claim_kind_t kind) {
  for (size_t i = first; i < first + count; i++) {
    if (i >= known_slices() || model[i].claimed) return false;
    if (kind == CLAIM_DIRTY && !model[i].dirty) return false;
  }
  return true;
}

/* Where the next claim must come from; the end of the known slices when it must grow the window. */
static size_t model_search(size_t count, size_t stride) {
  const bool is_long = count > SEGMENT_SLICES;
  for (claim_kind_t kind = is_long ? CLAIM_ANY : CLAIM_DIRTY; kind <= CLAIM_ANY; kind++) {
    for (size_t i = 0; i < known_slices(); i += is_long ? SEGMENT_SLICES : stride) {
      if (!is_long && i / 64 != (i + count - 1) / 64) continue;
      if (model_fits(i, count, kind)) return i;
    }
  }
  return known_slices();
}

static void model_claim(claim_t claim) {
  bool zero = true;
  for (size_t i = claim.slice; i < claim.slice + claim.count; i++) {
    must(!model[i].claimed);
    zero &= model[i].zero;
    model[i] = (slice_model_t){.claimed = true};
  }
  must(claim.zero == zero);
}

static void compare_counters(void) {
  size_t claimed = 0;
  size_t dirty = 0;
  for (size_t i = 0; i < known_slices(); i++) {
    claimed += model[i].claimed;
    dirty += model[i].dirty;
    must((*segment_word(i / 64, WORD_FREE) >> i % 64 & 1) == !model[i].claimed);
    must((segment_dirty(i / 64) >> i % 64 & 1) == model[i].dirty);
  }
  const memory_stats_t stats = memory_stats();
  must(stats.claimed == claimed * SLICE_SIZE && stats.dirty == dirty * SLICE_SIZE);
  must(stats.reserved == window.limit && stats.free == stats.reserved - stats.claimed);
  must(stats.claimed_peak >= stats.claimed && stats.committed >= stats.claimed + stats.dirty);
}

static void random_claim(size_t k, uint64_t* seed) {
  static const size_t counts[] = {1, 1, 1, 2, 4, 3, 8, 16, 32, 64, 65, 5, 130, 128, 24, 40};
  const size_t count = counts[next_random(seed) % 16];
  const size_t stride = count <= 64 && next_random(seed) % 4 == 0 ? (size_t)1 << next_random(seed) % 7 : 1;
  const size_t segments = known_slices() / SEGMENT_SLICES;
  const size_t expected = model_search(count, stride);
  stamps[k] = next_random(seed);
  live[k] = claim_and_stamp(count, stride * SLICE_SIZE, stamps[k]);
  must(live[k].slice != SLICE_NONE && known_slices() <= SLICES);
  for (size_t i = segments * SEGMENT_SLICES; i < known_slices(); i++) model[i].zero = true;
  /* Exact while no search can meet more segments with too short runs than it may probe. */
  if (segments <= 16) must(live[k].slice == expected);
  model_claim(live[k]);
}

static void release(size_t k) {
  must(is_stamped(live[k].slice, live[k].count, stamps[k]));
  slices_release(live[k].slice, live[k].count);
  for (size_t i = live[k].slice; i < live[k].slice + live[k].count; i++)
    model[i] = (slice_model_t){.dirty = true};
  live[k].count = 0;
}

static void extend(size_t k, size_t more) {
  claim_t claim;
  const bool possible = model_fits(live[k].slice + live[k].count, more, CLAIM_ANY);
  must(slices_extend(live[k].slice, live[k].count, more, &claim) == possible);
  if (!possible) return;
  must(claim.slice == live[k].slice + live[k].count && claim.count == more);
  model_claim(claim);
  if (claim.zero) must(is_stamped(claim.slice, more, 0));
  stamp(claim.slice, more, stamps[k]);
  live[k].count += more;
}

static void purge_model(void) {
  size_t dirty = 0;
  for (size_t i = 0; i < known_slices(); i++) {
    if (!model[i].dirty) continue;
    model[i].dirty = false;
    model[i].zero = true;
    dirty++;
  }
  must(purge_all() == dirty * SLICE_SIZE);
}

static void model_body(void) {
  uint64_t seed = 11;
  mi_option_set(mi_option_purge_delay, -1); /* purging happens when the test says so */
  for (int step = 0; step < 20000; step++) {
    const size_t k = next_random(&seed) % (step % 5000 < 2500 ? LIVE : LIVE / 8);
    if (live[k].count == 0) {
      random_claim(k, &seed);
    } else if (next_random(&seed) % 4 == 0) {
      extend(k, 1 + next_random(&seed) % 70);
    } else {
      release(k);
    }
    if (step % 97 == 0) purge_model();
    if (step % 10 == 0) compare_counters();
  }
  for (size_t k = 0; k < LIVE; k++) {
    if (live[k].count > 0) release(k);
  }
  purge_model();
  compare_counters();
  must(memory_stats().claimed == 0);
}

static void alignments_body(void) {
  uint64_t seed = 5;
  for (size_t alignment = SLICE_SIZE; alignment <= 4 * GiB; alignment *= 2) {
    for (size_t count = 1; count <= 200; count = count * 3 + 1) {
      const claim_t a = claim_and_stamp(count, alignment, 1);
      const claim_t b = claim_and_stamp(count, alignment, 2); /* another one while the first is held */
      must(a.slice != SLICE_NONE && b.slice != SLICE_NONE && is_stamped(a.slice, count, 1));
      slices_release(a.slice, count);
      if (next_random(&seed) % 2 == 0) slices_release(b.slice, count);
    }
  }
  claim_t claim;
  must(!slices_claim(WINDOW_SLICES + 1, SLICE_SIZE, &claim) && !slices_claim(0, SLICE_SIZE, &claim));
  must(!slices_claim(1, (size_t)1 << 47, &claim) && !slices_claim(SIZE_MAX, 1, &claim));
  must(!slices_claim(WINDOW_SLICES, 1, &claim)); /* a part of the window is taken */
}

/* The space behind aligned runs is used again: claiming and releasing in turn does not grow the window. */
static void reuse_body(void) {
  size_t limit = 0;
  for (int i = 0; i < 200; i++) {
    const claim_t small = claim_and_stamp(1, SLICE_SIZE, 1);
    const claim_t huge = claim_and_stamp(300, SLICE_SIZE, 2);
    const claim_t aligned = claim_and_stamp(70, 64 * MiB, 3);
    must(small.slice != SLICE_NONE && huge.slice != SLICE_NONE && aligned.slice != SLICE_NONE);
    slices_release(small.slice, 1);
    slices_release(huge.slice, 300);
    slices_release(aligned.slice, 70);
    if (i == 1) limit = window.limit;
    if (i > 1) must(window.limit == limit);
  }
}

static void starts_body(void) {
  static size_t start_of[SLICES];
  for (size_t i = 0; i < SLICES; i++) start_of[i] = SLICE_NONE;
  claim_t pages[30];
  for (size_t k = 0; k < 30; k++) {
    pages[k] = claim_and_stamp(k % 7 == 6 ? 500 : 1 + k, SLICE_SIZE, k);
    slices_set_start(pages[k].slice);
    for (size_t i = 0; i < pages[k].count; i++) start_of[pages[k].slice + i] = pages[k].slice;
  }
  for (size_t round = 0; round < 2; round++) {
    for (size_t i = 0; i < known_slices(); i++) must(slices_find_start(i) == start_of[i]);
    for (size_t k = round; k < 30; k += 2) { /* every second page goes, then the others */
      slices_clear_start(pages[k].slice);
      slices_release(pages[k].slice, pages[k].count);
      for (size_t i = 0; i < pages[k].count; i++) start_of[pages[k].slice + i] = SLICE_NONE;
    }
  }
  for (size_t i = 0; i < known_slices(); i++) must(slices_find_start(i) == SLICE_NONE);
  must(slices_find_start(known_slices()) == SLICE_NONE && slices_find_start(WINDOW_SLICES - 1) == SLICE_NONE);
}

static void claims_match_the_model(void** unused) {
  UNUSED(unused);
  in_child(model_body);
}
static void any_alignment_is_served(void** unused) {
  UNUSED(unused);
  in_child(alignments_body);
}
static void freed_runs_are_used_again(void** unused) {
  UNUSED(unused);
  in_child(reuse_body);
}
static void starts_are_found(void** unused) {
  UNUSED(unused);
  in_child(starts_body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(claims_match_the_model),
      cmocka_unit_test(any_alignment_is_served),
      cmocka_unit_test(freed_runs_are_used_again),
      cmocka_unit_test(starts_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
