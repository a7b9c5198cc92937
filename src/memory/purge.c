/* SPDX-License-Identifier: MIT */
/* Protocol of one purge: claim a run of free dirty slices by CAS on FREE, drop its memory in one call, mark
   it zero and not dirty, release it.  The purger is a claimer like any other, so nothing else needs to know.

     dirty --purge_segment: segment_claim_bits--> claimed --os_purge--> fresh
                                                          --EINVAL (locked memory)--> stale: not tried again
   In an arena of the program's own memory, what was given back is stale too.

   Protocol of ageing: time runs in periods.  Releases mark slices in the word of the period's parity: the
   young word.  The other word, the old one, holds slices released before the period began.  When a period has
   lasted for a delay the old word is drained, and then the next period begins: the empty word is young, the
   young one old.  So no bit ever moves between the words, and S1 holds.

     IDLE (cursor 0) --delay over: cursor = segments--> DRAINING (segments below cursor are still to visit)
     DRAINING --drain(): highest first, each visitor lowers the cursor--> IDLE, period + 1

   Several threads may drain at once; what they do twice is harmless, and none waits for another.  A slice
   that is released with the parity of a period just over is purged one period early or late. */
#include "memory/purge.h"

#include "core/options.h"
#include "memory/arena.h"
#include "memory/counters.h"
#include "memory/hugepages.h"
#include "memory/summary.h"
#include "os/os.h"

enum {
  VISIT_SLICES = 16,         /* 1 MiB */
  BUDGET_SLICES = 24,        /* 1.5 MiB, but no more than ... */
  BUDGET_SMALL = 4,          /* ... this and half of what is claimed; or ... */
  BUDGET_CLAIMED_SHARE = 16, /* ... this part of the claimed memory */
  BOOST_SLICES = 1024,       /* 64 MiB: most that observed reuse adds to what is free, ... */
  BOOST_HOLES = 4096,        /* ... and, with what came of holes, to what is free inside nearly empty pages */
  BOOST_GAIN = 4,            /* slices added for each that was needed again */
  SOON = 10,                 /* purge delays within which a reuse counts as one */
};

/* Which dirty slices to purge: long runs with old ones, any long runs, or all. */
typedef enum purge_what_e { PURGE_OLD, PURGE_LONG, PURGE_ALL } purge_what_t;

/* What is allowed for a while more. */
typedef struct boost_s {
  atomic_word_t slices, reused; /* what it allows; claimed again since it was last looked at */
  atomic_u64_t time;            /* when it was raised, or looked at */
} boost_t;

static struct {
  atomic_u32_t mode;
  atomic_u64_t period;     /* number of the current period */
  atomic_u64_t due;        /* time from which the next one may begin */
  atomic_word_t cursor;    /* 0, or 1 + the highest segment that the running drain has not visited */
  boost_t boost;           /* of the budget */
  boost_t holes;           /* of nearly empty pages, besides: nobody claims what it keeps */
} state;

long purge_delay(void) {
  const long delay = option_get(mi_option_purge_delay);
  const long times = option_get(mi_option_arena_purge_mult);
  if (delay <= 0 || times == 1) return delay;
  return delay < INT32_MAX ? delay * mi_option_get_clamp(mi_option_arena_purge_mult, 0, INT16_MAX) : delay;
}

static bool is_never(void) { return option_get(mi_option_purge_delay) < 0; }

unsigned purge_level(void) {
  const size_t page = option_get(mi_option_allow_thp) >= 2 ? (size_t)1 << LARGE_PAGE_SHIFT : 1;
  const size_t least = max_size(mi_option_get_size(mi_option_arena_purge_min_size), page);
  const size_t slices = div_up(least, SLICE_SIZE);
  return slices <= 1 ? 0 : (unsigned)min_size(bit_highest(slices - 1) + 1, RUN_LEVELS - 1);
}

bool purge_at_once(size_t slices) {
  const long big = option_get(mi_option_arena_purge_immediate_size);
  if (big > 0 && slices >= div_up((size_t)big, SLICE_SIZE / KiB)) return !is_never();
  return unlikely(purge_delay() == 0) && slices >> purge_level() != 0;
}

void purge_set_mode(purge_mode_t mode) { store_relaxed(&state.mode, (uint32_t)mode); }

static bool is_inline(void) { return load_relaxed(&state.mode) == PURGE_INLINE; }

static segment_word_t word_of(uint64_t period) { return period % 2 == 0 ? WORD_DIRTY_EVEN : WORD_DIRTY_ODD; }

segment_word_t purge_young_word(void) { return word_of(load_relaxed(&state.period)); }

/* ---- one purge ---- */

/* The runs of the set that hold one of the seeds, which are in it. */
static uint64_t runs_around(uint64_t seeds, uint64_t set) {
  for (uint64_t before = 0; seeds != before;) {
    before = seeds;
    seeds |= (seeds << 1 | seeds >> 1) & set;
  }
  return seeds;
}

/* Claim the free slices beside these that nobody has had yet: a huge page may have made them resident. */
static uint64_t claim_fresh(size_t segment, uint64_t bits) {
  if (segment * SEGMENT_SLICES < SMALL_PAGES_SLICES || segment_arena(segment) != NULL) return 0;
  const uint64_t used = segment_dirty(segment) | load_relaxed(segment_word(segment, WORD_PURGED));
  const uint64_t fresh = load_relaxed(segment_word(segment, WORD_FREE)) & ~used;
  const uint64_t beside = runs_around(bits, bits | fresh) & ~bits;
  return beside != 0 && segment_claim_bits(segment, beside) ? beside : 0;
}

/* Slices claimed by this thread: give their memory back and free them. */
static void purge_and_release(size_t segment, uint64_t used) {
  const uint64_t bits = used | claim_fresh(segment, used);
  const size_t dirty = bit_count(segment_dirty(segment) & bits);
  memory_no_more_huge_pages(segment);
  const purged_t result = arena_purge(segment_arena(segment), segment, bits);
  counter_subtract(&memory_counters.dirty, (uint64_t)dirty * SLICE_SIZE);
  segment_clear(segment, WORD_DIRTY_EVEN, bits);
  segment_clear(segment, WORD_DIRTY_ODD, bits);
  if (result != PURGED_NOT) {
    counter_add(result == PURGED_RESET ? &memory_counters.reset : &memory_counters.purged,
                (uint64_t)bit_count(used) * SLICE_SIZE);
    if (result == PURGED_ZERO) segment_set(segment, WORD_ZERO, bits);
    segment_set(segment, WORD_PURGED, used);
    store_relaxed(segment_word(segment, WORD_PURGE_TIME), os_now_ms());
  }
  segment_release(segment, bits);
  summary_publish(segment);
}

/* The highest run of adjacent bits, at most `most` of them; set != 0. */
static uint64_t highest_run(uint64_t set, size_t most) {
  const unsigned top = bit_highest(set);
  const uint64_t holes = ~(set << (63 - top));
  const unsigned run = holes == 0 ? 64 : 63 - bit_highest(holes);
  const unsigned count = (unsigned)min_size(run, most);
  return bit_range(top + 1 - count, count);
}

/* Those of the set that lie in a run of 2^level adjacent bits. */
static uint64_t long_runs(uint64_t set, unsigned level) {
  uint64_t runs = bit_runs(set, 1u << level);
  for (unsigned k = 0; k < level; k++) runs |= runs << (1u << k);
  return runs;
}

static uint64_t purgeable(size_t segment, purge_what_t what) {
  const uint64_t free = load_acquire(segment_word(segment, WORD_FREE)); /* partner: segment_release */
  const uint64_t dirty = free & segment_dirty(segment);
  if (what == PURGE_ALL) return dirty;
  const unsigned level = purge_level();
  const uint64_t runs = long_runs(dirty, level);
  if (what == PURGE_LONG) return runs;
  const uint64_t old = runs & load_relaxed(segment_word(segment, word_of(load_relaxed(&state.period) + 1)));
  return level == 0 ? old : runs_around(old, runs);
}

/* Purge at most `most` slices of a segment, the highest first, but no part of a run that must be long;
   returns how many. */
static size_t purge_segment(size_t segment, purge_what_t what, size_t most) {
  size_t done = 0;
  const bool whole = what != PURGE_ALL && purge_level() > 0;
  uint64_t set = purgeable(segment, what);
  while (set != 0 && done < most) {
    const uint64_t run = highest_run(set, whole ? SEGMENT_SLICES : most - done);
    if (segment_claim_bits(segment, run)) {
      done += bit_count(run);
      purge_and_release(segment, run);
    }
    set = purgeable(segment, what) & (run - 1); /* below this run: each is tried once */
  }
  return done;
}

void purge_claimed(size_t slice, size_t count) {
  for (piece_t p = piece_first(slice, slice + count); p.bits != 0; p = piece_next(p)) {
    purge_and_release(p.segment, p.bits);
  }
}

/* Arenas that are apart: at most `most` slices of theirs.  The flag is cleared, then the segments are looked
   at; a release marks the slices, then sets it. */
static size_t purge_apart(purge_what_t what, size_t most) {
  size_t done = 0;
  for (arena_t* a = arena_newest(); a != NULL && done < most; a = a->next) {
    const extent_t segments = a->area.segments;
    if ((a->flags & ARENA_APART) == 0 || exchange_seq_cst(&a->dirty, 0u) == 0) continue;
    uint64_t left = 0;
    for (size_t s = segments.first + segments.count; s-- > segments.first;) {
      if (done < most && segment_dirty(s) != 0) done += purge_segment(s, what, most - done);
      left |= segment_dirty(s);
    }
    if (left != 0) store_seq_cst(&a->dirty, 1u);
  }
  return done;
}

/* Purge at most `most` slices of any age, the highest addresses first: they are the last to be claimed. */
static size_t purge_highest(purge_what_t what, size_t most) {
  const unsigned hint = HINT_DIRTY + (what == PURGE_ALL ? 0 : purge_level());
  size_t done = 0;
  size_t s = window_segments();
  while (done < most && s-- > 0) {
    s = summary_highest(hint, s);
    if (s == SLICE_NONE) break;
    done += purge_segment(s, what, most - done);
    if (!summary_holds(hint, s)) summary_refute(hint, s);
  }
  return done < most ? done + purge_apart(what, most - done) : done;
}

size_t purge_all(void) {
  const uint64_t before = load_relaxed(&memory_counters.purged);
  purge_highest(PURGE_ALL, WINDOW_SLICES);
  return (size_t)(load_relaxed(&memory_counters.purged) - before);
}

/* ---- the budget ---- */

/* When little of what the boost keeps was claimed again, halve it. */
static void decay(boost_t* boost, uint64_t now) {
  const size_t slices = load_relaxed(&boost->slices);
  if (slices == 0 || now - load_relaxed(&boost->time) < (uint64_t)purge_delay() * SOON) return;
  store_relaxed(&boost->time, now); /* a hint: two threads that halve at once do no harm */
  if (load_relaxed(&boost->reused) < slices / 2) store_relaxed(&boost->slices, slices / 2);
  store_relaxed(&boost->reused, 0);
}

/* What was purged at that time was of use after all: if that is not long ago, keep more. */
static void regret(boost_t* boost, size_t purged, uint64_t time) {
  const uint64_t now = os_now_ms();
  if (now - time > (uint64_t)max_size(1, (size_t)purge_delay()) * SOON) return;
  /* hints: a lost update does no harm */
  store_relaxed(&boost->slices, min_size(load_relaxed(&boost->slices) + BOOST_GAIN * purged, BOOST_HOLES));
  store_relaxed(&boost->time, now);
}

void purge_observe_claim(size_t dirty, size_t purged, uint64_t time) {
  if (dirty > 0) add_relaxed(&state.boost.reused, dirty);
  if (purged > 0) regret(&state.boost, purged, time);
}

void purge_note_holes(size_t slice, size_t count) {
  for (piece_t p = piece_first(slice, slice + count); p.bits != 0; p = piece_next(p)) {
    segment_set(p.segment, WORD_PURGED, p.bits);
    store_relaxed(segment_word(p.segment, WORD_PURGE_TIME), os_now_ms());
  }
}

void purge_regret_holes(size_t slice, size_t count) {
  for (piece_t p = piece_first(slice, slice + count); p.bits != 0; p = piece_next(p)) {
    const uint64_t purged = load_relaxed(segment_word(p.segment, WORD_PURGED)) & p.bits;
    if (purged == 0) continue;
    segment_clear(p.segment, WORD_PURGED, p.bits);
    regret(&state.holes, bit_count(purged), load_relaxed(segment_word(p.segment, WORD_PURGE_TIME)));
  }
}

size_t purge_boost(void) {
  return min_size(load_relaxed(&state.boost.slices) + load_relaxed(&state.holes.slices), BOOST_HOLES);
}

static size_t budget(void) {
  const size_t claimed = (size_t)load_relaxed(&memory_counters.claimed) / SLICE_SIZE;
  const size_t boost = min_size(load_relaxed(&state.boost.slices), BOOST_SLICES);
  const size_t small = min_size(BUDGET_SLICES, BUDGET_SMALL + claimed / 2);
  return max_size(small, claimed / BUDGET_CLAIMED_SHARE) + boost;
}

void purge_over_budget(size_t slices) {
  if (!is_inline() || is_never()) return;
  const size_t dirty = (size_t)load_relaxed(&memory_counters.dirty) / SLICE_SIZE;
  const size_t allowed = budget();
  if (dirty <= allowed) return;
  /* At least a visit's worth, or half of what is allowed: a burst of small releases costs few calls. */
  const size_t least = min_size(VISIT_SLICES, dirty - allowed / 2);
  purge_highest(PURGE_LONG, max_size(least, min_size(dirty - allowed, 2 * slices)));
}

/* ---- age ---- */

/* Continue the running drain, by at most `most` slices; the last visitor begins the next period. */
static void drain(size_t most, uint64_t now) {
  const unsigned hint = HINT_DIRTY + purge_level();
  uintptr_t cursor = load_relaxed(&state.cursor);
  while (cursor > 0 && most > 0) {
    const size_t s = summary_highest(hint, cursor - 1);
    const size_t done = s == SLICE_NONE ? 0 : purge_segment(s, PURGE_OLD, most);
    most -= min_size(done, most);
    if (most == 0) return; /* perhaps more in this segment: the next visit looks there first */
    if (s != SLICE_NONE && !summary_holds(hint, s)) summary_refute(hint, s);
    const uintptr_t next = s == SLICE_NONE ? 0 : s;
    if (cas_strong_acq_rel(&state.cursor, &cursor, next)) {
      cursor = next;
      if (next == 0) {
        purge_apart(PURGE_OLD, WINDOW_SLICES);
        store_relaxed(&state.due, now + (uint64_t)purge_delay());
        add_relaxed(&state.period, 1); /* parity is a hint: nothing is ordered by it */
      }
    }
  }
}

static void begin_drain(void) {
  uintptr_t idle = 0;
  cas_strong_acq_rel(&state.cursor, &idle, max_size(1, window_segments()));
}

void purge_due(void) {
  if (!is_inline() || load_relaxed(&memory_counters.dirty) == 0 || is_never()) return;
  const uint64_t now = os_now_ms();
  if (load_relaxed(&state.cursor) == 0) {
    if (now < load_relaxed(&state.due)) return;
    begin_drain();
    decay(&state.boost, now);
    decay(&state.holes, now);
  }
  drain(VISIT_SLICES, now);
}

void purge_period(void) {
  decay(&state.boost, os_now_ms());
  decay(&state.holes, os_now_ms());
  begin_drain();
  drain(WINDOW_SLICES, os_now_ms());
}

purge_mode_t purge_after_fork(void) {
  const purge_mode_t before = is_inline() ? PURGE_INLINE : PURGE_BACKGROUND;
  store_relaxed(&state.cursor, 0);
  store_relaxed(&state.due, 0);
  purge_set_mode(PURGE_INLINE);
  return before;
}
