/* SPDX-License-Identifier: MIT */
/* Searching, claiming and releasing runs of slices.

   A run of up to 64 slices lies inside one segment and is claimed by one CAS.  Longer runs, and those aligned
   to more than a segment, start at a segment, take whole free ones and a part of a last one; they are claimed
   segment by segment, lowest first, and given back when one of them is gone.  When nothing fits, the thread
   grows the window and takes its run out of the new extent before anybody else sees that: growing needs no
   second search.

   How hard to look: hints of the level just below the run's size may name segments whose run is too short, so
   only a constant number of those is looked at; then the level above, where every true hint fits.  False
   hints do not count: each was paid for by the release that set it, and is cleared when found. */
#include "memory/slices.h"

#include "base/check.h"
#include "core/options.h"
#include "memory/arena.h"
#include "memory/counters.h"
#include "memory/purge.h"
#include "memory/scavenger.h"
#include "memory/summary.h"
#include "os/os.h"

enum {
  PROBES = 16,                    /* segments with too short a run looked at in a search */
  HUGE_EFFORT = 256,              /* segments looked at for a run of segments, plus four times its length */
  COMMIT_SLICES = 16,    /* committed together: 1 MiB; behind that, whole segments */
};

/* ---- claiming ---- */

/* Claimed slices become free again, unchanged. */
static void give_back(size_t first, size_t end) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    segment_release(p.segment, p.bits);
    summary_publish(p.segment);
  }
}

/* A claim of several steps fails: what it has got becomes free again. */
static void roll_back(size_t first, size_t end) {
  if (end > first) figure_add(&memory_counters.rollbacks, 1);
  give_back(first, end);
}

/* Do the two segments belong together: may a run go from one to the other? */
static bool same_arena(size_t segment, size_t other) {
  return window_segment_ready(segment) && window_segment_ready(other) &&
         segment_arena(segment) == segment_arena(other);
}

/* Claim exactly these slices, all of them in one arena or in none; or claim none of them. */
static bool claim_exactly(size_t first, size_t end) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    if (same_arena(first / SEGMENT_SLICES, p.segment) && segment_claim_bits(p.segment, p.bits)) continue;
    const size_t done = p.segment == first / SEGMENT_SLICES ? first : p.segment * SEGMENT_SLICES;
    roll_back(first, done);
    return false;
  }
  return true;
}

/* Claim the run in the lowest segment that the hints name, or SLICE_NONE. */
static size_t claim_hinted(run_t run, claim_kind_t kind, unsigned level) {
  const unsigned hint = (kind == CLAIM_DIRTY ? HINT_DIRTY : HINT_RUN) + level;
  size_t from = 0;
  for (int probes = PROBES; probes > 0;) {
    const size_t s = summary_lowest(hint, from);
    if (s == SLICE_NONE) return SLICE_NONE;
    const unsigned first = segment_claim_run(s, run, kind);
    if (first != NO_RUN) return s * SEGMENT_SLICES + first;
    if (summary_holds(hint, s)) {
      probes--;
    } else {
      summary_refute(hint, s);
    }
    from = s + 1;
  }
  return SLICE_NONE;
}

/* A run inside a segment. */
static size_t claim_short(run_t run) {
  const unsigned fits_perhaps = bit_highest(run.count);
  const unsigned span = run.count + run.stride - 1;
  const unsigned fits_surely = span <= 1 ? 0 : (unsigned)min_size(bit_highest(span - 1) + 1, RUN_LEVELS - 1);
  for (claim_kind_t kind = CLAIM_DIRTY; kind <= CLAIM_ANY; kind = (claim_kind_t)(kind + 1)) {
    size_t slice = claim_hinted(run, kind, fits_perhaps);
    if (slice == SLICE_NONE && fits_surely != fits_perhaps) slice = claim_hinted(run, kind, fits_surely);
    if (slice != SLICE_NONE) return slice;
  }
  return SLICE_NONE;
}

/* The first segment in which slices of [first, end) are not free, or SLICE_NONE. */
static size_t obstacle(size_t first, size_t end) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    if (!same_arena(first / SEGMENT_SLICES, p.segment)) return p.segment;
    if ((load_relaxed(segment_word(p.segment, WORD_FREE)) & p.bits) != p.bits) return p.segment;
  }
  return SLICE_NONE;
}

/* A run that starts at a segment. */
static size_t claim_long(size_t count, size_t alignment) {
  const unsigned hint = HINT_RUN + bit_highest(min_size(count, SEGMENT_SLICES));
  size_t from = 0;
  size_t effort = HUGE_EFFORT + 4 * count / SEGMENT_SLICES;
  while (effort > 0) {
    const size_t s = summary_lowest(hint, from);
    if (s == SLICE_NONE) return SLICE_NONE;
    const size_t first = s * SEGMENT_SLICES;
    const size_t padding = window_padding(s, alignment);
    if (padding > 0) {
      from = s + padding;
      effort--;
      continue;
    }
    const size_t bad = obstacle(first, first + count);
    if (bad == SLICE_NONE) {
      if (claim_exactly(first, first + count)) return first;
      effort--; /* another thread took a part meanwhile: look again */
    } else {
      effort -= min_size(effort, bad - s + 1);
      if (bad == s && !summary_holds(hint, s)) summary_refute(hint, s);
      from = bad + 1;
    }
  }
  return SLICE_NONE;
}

void slices_open(extent_t segments) {
  give_back(segments.first * SEGMENT_SLICES, (segments.first + segments.count) * SEGMENT_SLICES);
}

static bool commit_range(size_t first, size_t end) {
  figure_add(&memory_counters.commit_calls, 1);
  if (os_commit(window_address(first), (end - first) * SLICE_SIZE) != 0) return false;
  size_t fresh = 0;
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    const uint64_t before = or_acq_rel(segment_word(p.segment, WORD_COMMITTED), p.bits);
    fresh += bit_count(p.bits & ~before);
  }
  figure_add(&memory_counters.committed, (uint64_t)fresh * SLICE_SIZE);
  return true;
}

/* The new segments become an arena of huge pages, if there are so many: by the option, for everybody. */
static void use_large_pages(extent_t extent) {
  const uint32_t flags = ARENA_PINNED | ARENA_COMMITTED | ARENA_ZERO;
  void* const address = window_address(extent.first * SEGMENT_SLICES);
  if (os_map_huge(address, extent.count * SEGMENT_SIZE, LARGE_PAGE_SHIFT) != 0) return;
  arena_t* const arena = arena_new(extent, (arena_spec_t){flags, NODE_ANY, NULL, NULL});
  if (arena != NULL) arena_publish(arena);
}

/* By the option; if it fails, slices are committed when they are claimed. */
static void commit_ahead(extent_t extent) {
  const long eager = option_get(mi_option_arena_eager_commit);
  if (eager == 1 || (eager == 2 && os_overcommits()))
    commit_range(extent.first * SEGMENT_SLICES, (extent.first + extent.count) * SEGMENT_SLICES);
}

typedef enum backing_e { BACKING_PLAIN, BACKING_BY_OPTION } backing_t;

static bool grow(size_t segments, size_t alignment, backing_t backing, extent_t* own) {
  extent_t extent;
  if (!window_grow(segments, alignment, &extent)) return false;
  segment_place(extent.first, extent.count);
  if (backing == BACKING_BY_OPTION) {
    if (option_enabled(mi_option_allow_large_os_pages)) use_large_pages(extent);
    else commit_ahead(extent);
  }
  const size_t padding = window_padding(extent.first, alignment);
  *own = (extent_t){extent.first + padding, segments};
  slices_open((extent_t){extent.first, padding});
  slices_open((extent_t){own->first + segments, extent.count - padding - segments});
  return true;
}

bool slices_grow(size_t segments, size_t alignment, extent_t* own) {
  return grow(segments, alignment, BACKING_PLAIN, own);
}

static size_t claim_from_new_extent(size_t count, size_t alignment) {
  extent_t own;
  if (option_enabled(mi_option_disallow_os_alloc)) return SLICE_NONE;
  if (!grow(div_up(count, SEGMENT_SLICES), alignment, BACKING_BY_OPTION, &own)) return SLICE_NONE;
  const size_t first = own.first * SEGMENT_SLICES;
  give_back(first + count, (own.first + own.count) * SEGMENT_SLICES);
  return first;
}

static size_t claim_in_arena(arena_t* arena, size_t count, size_t alignment) {
  const bool is_short = count <= SEGMENT_SLICES && alignment <= SEGMENT_SIZE;
  const run_t run = {(unsigned)count, (unsigned)max_size(alignment / SLICE_SIZE, 1)};
  const size_t start = arena->area.segments.first;
  for (size_t i = arena_next_open(arena, 0); i != SLICE_NONE; i = arena_next_open(arena, i + 1)) {
    const size_t first = (start + i) * SEGMENT_SLICES;
    if (is_short) {
      const unsigned at = segment_claim_run(start + i, run, CLAIM_ANY);
      if (at != NO_RUN) return first + at;
      if (load_relaxed(segment_word(start + i, WORD_FREE)) == 0) arena_note_full(arena, start + i);
    } else if (window_padding(start + i, alignment) == 0) {
      const size_t bad = obstacle(first, first + count);
      if (bad == SLICE_NONE && claim_exactly(first, first + count)) return first;
      if (bad != SLICE_NONE) i = bad - start;
    }
  }
  return SLICE_NONE;
}

/* In arenas that are for everybody: those of the node, or (node 0) those that the hints do not tell of. */
static size_t claim_in_shared(uint32_t node, size_t count, size_t alignment) {
  size_t slice = SLICE_NONE;
  for (arena_t* a = arena_newest(); a != NULL && slice == SLICE_NONE; a = a->next) {
    const bool wanted = node != 0 ? (uint32_t)(a->node + 1) == node : (a->flags & ARENA_OUTSIDE) != 0;
    if (wanted && (a->flags & ARENA_EXCLUSIVE) == 0) slice = claim_in_arena(a, count, alignment);
  }
  return slice;
}

static size_t claim_somewhere(home_t* home, size_t count, size_t alignment) {
  if (home->arena != NULL) return claim_in_arena(home->arena, count, alignment);
  const uint32_t node = load_relaxed(&home->node);
  size_t slice = node != 0 ? claim_in_shared(node, count, alignment) : SLICE_NONE;
  if (slice != SLICE_NONE) return slice;
  if (count <= SEGMENT_SLICES && alignment <= SEGMENT_SIZE) {
    const size_t stride = max_size(alignment / SLICE_SIZE, 1);
    slice = claim_short((run_t){(unsigned)count, (unsigned)stride});
  } else {
    slice = claim_long(count, alignment);
  }
  if (slice == SLICE_NONE) slice = claim_in_shared(0, count, alignment);
  return slice != SLICE_NONE ? slice : claim_from_new_extent(count, alignment);
}

/* ---- committing ---- */

/* Make claimed slices usable, and their neighbours with them: COMMITTED is the one word that others than the
   claimer set, since it only says what is so, and committing is idempotent.  Where the program commits, it is
   asked for these slices only, and COMMITTED is the claimer's like the others. */
static bool commit(size_t first, size_t end) {
  const arena_t* const arena = segment_arena(first / SEGMENT_SLICES);
  uint64_t missing = 0;
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    missing |= p.bits & ~load_acquire(segment_word(p.segment, WORD_COMMITTED)); /* partner: commit_range */
  }
  if (missing == 0) return true;
  if (arena != NULL && arena->commit != NULL) {
    for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
      if (!arena_commit(arena, p.segment, p.bits)) return false;
    }
    return true;
  }
  const size_t group = end <= SMALL_PAGES_SLICES ? COMMIT_SLICES : SEGMENT_SLICES;
  return commit_range(align_down(first, group), align_up(end, group)) || commit_range(first, end);
}

/* ---- the interface ---- */

static void count_claimed(size_t slices) {
  const uint64_t bytes = (uint64_t)slices * SLICE_SIZE;
  const uint64_t now = add_relaxed(&memory_counters.claimed, bytes) + bytes;
  figure_raise(&memory_counters.claimed_peak, now);
}

/* The first to use these segments since they had no memory chooses its kind. */
static void choose_page_size(size_t first, size_t end, use_t use) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    if ((load_relaxed(segment_word(p.segment, WORD_FREE)) | p.bits) != ALL_SLICES) return;
    if (segment_dirty(p.segment) != 0) return;
    if ((segment_flags(p.segment) & (ARENA_PINNED | ARENA_OUTSIDE)) != 0) return;
  }
  memory_choose_page_size(first, end, use);
}

/* Claimed and committed: read what the slices are, and clear it. */
static void take(size_t first, size_t end, claim_t* claim) {
  size_t dirty = 0;
  size_t purged = 0;
  uint64_t purge_time = 0;
  *claim = (claim_t){first, end - first, true};
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    claim->zero &= (load_relaxed(segment_word(p.segment, WORD_ZERO)) & p.bits) == p.bits;
    dirty += bit_count(segment_dirty(p.segment) & p.bits);
    const uint64_t again = load_relaxed(segment_word(p.segment, WORD_PURGED)) & p.bits;
    if (again != 0) purge_time = load_relaxed(segment_word(p.segment, WORD_PURGE_TIME));
    if (again != 0) purged += bit_count(again);
    segment_clear(p.segment, WORD_ZERO, p.bits);
    segment_clear(p.segment, WORD_DIRTY_EVEN, p.bits);
    segment_clear(p.segment, WORD_DIRTY_ODD, p.bits);
    segment_clear(p.segment, WORD_PURGED, p.bits);
  }
  count_claimed(end - first);
  if (dirty > 0) counter_subtract(&memory_counters.dirty, (uint64_t)dirty * SLICE_SIZE);
  if (dirty + purged > 0) purge_observe_claim(dirty, purged, purge_time);
}

bool slices_claim(size_t count, size_t alignment, claim_t* claim) {
  static home_t anywhere;
  return slices_claim_for(&anywhere, count, alignment, USE_WHOLE, claim);
}

bool slices_claim_for(home_t* home, size_t count, size_t alignment, use_t use, claim_t* claim) {
  check(is_power_of_two(alignment));
  if (count == 0 || count > WINDOW_SLICES || alignment > WINDOW_SLICES * SLICE_SIZE) return false;
  const size_t first = claim_somewhere(home, count, alignment);
  if (first == SLICE_NONE) return false;
  if (!commit(first, first + count)) {
    roll_back(first, first + count);
    return false;
  }
  choose_page_size(first, first + count, use);
  take(first, first + count, claim);
  return true;
}

/* A run that reaches the end of all segments goes on behind it: place more of them there. */
static void grow_behind(size_t first, size_t end) {
  const size_t have = window_segments();
  const size_t need = div_up(end, SEGMENT_SLICES);
  extent_t extent;
  if (first >= WINDOW_SLICES || need <= have || first > have * SEGMENT_SLICES) return;
  if (option_enabled(mi_option_disallow_os_alloc) || segment_flags((first - 1) / SEGMENT_SLICES) != 0) return;
  if (first < have * SEGMENT_SLICES && obstacle(first, have * SEGMENT_SLICES) != SLICE_NONE) return;
  if (!window_grow(need - have, SLICE_SIZE, &extent)) return;
  segment_place(extent.first, extent.count);
  give_back(extent.first * SEGMENT_SLICES, (extent.first + extent.count) * SEGMENT_SLICES);
}

bool slices_extend(size_t slice, size_t count, size_t more, claim_t* claim) {
  const size_t first = slice + count;
  if (more == 0 || more > WINDOW_SLICES) return false;
  grow_behind(first, first + more);
  if (!same_arena((first - 1) / SEGMENT_SLICES, first / SEGMENT_SLICES)) return false;
  if (!claim_exactly(first, first + more)) return false;
  if (!commit(first, first + more)) {
    roll_back(first, first + more);
    return false;
  }
  choose_page_size(first, first + more, USE_PART); /* a block that grows: perhaps not used to its end */
  take(first, first + more, claim);
  return true;
}

/* Memory that never goes back: its slices become stale. */
static bool release_pinned(size_t slice, size_t count) {
  if ((segment_flags(slice / SEGMENT_SLICES) & ARENA_PINNED) == 0) return false;
  counter_subtract(&memory_counters.claimed, (uint64_t)count * SLICE_SIZE);
  give_back(slice, slice + count);
  return true;
}

void slices_release_purged(size_t slice, size_t count) {
  if (release_pinned(slice, count)) return;
  counter_subtract(&memory_counters.claimed, (uint64_t)count * SLICE_SIZE);
  purge_claimed(slice, count);
}

void slices_release(size_t slice, size_t count) {
  const size_t end = slice + count;
  if (release_pinned(slice, count)) return;
  if (purge_at_once(count)) {
    slices_release_purged(slice, count);
    return;
  }
  counter_subtract(&memory_counters.claimed, (uint64_t)count * SLICE_SIZE);
  const segment_word_t young = purge_young_word();
  counter_add(&memory_counters.dirty, (uint64_t)count * SLICE_SIZE); /* before a claim can subtract it */
  for (piece_t p = piece_first(slice, end); p.bits != 0; p = piece_next(p)) {
    check((load_relaxed(segment_word(p.segment, WORD_STARTS)) & p.bits) == 0);
    segment_set(p.segment, young, p.bits);
    segment_release(p.segment, p.bits);
    summary_publish(p.segment);
  }
  scavenger_notify();
  purge_over_budget(count);
  purge_due();
}

/* ---- starts ---- */

void slices_set_start(size_t slice) {
  const size_t segment = slice / SEGMENT_SLICES;
  atomic_u64_t* const word = segment_word(segment, WORD_STARTS);
  uint64_t starts = load_relaxed(word);
  /* seq_cst: before the look at the hint, as in segment_release. */
  while (!cas_strong_seq_cst(word, &starts, starts | UINT64_C(1) << slice % SEGMENT_SLICES)) continue;
  summary_set(HINT_STARTS, segment);
}

void slices_clear_start(size_t slice) {
  segment_clear(slice / SEGMENT_SLICES, WORD_STARTS, UINT64_C(1) << slice % SEGMENT_SLICES);
}

bool slices_are_claimed(size_t slice, size_t count) {
  const uint64_t starts = load_relaxed(segment_word(slice / SEGMENT_SLICES, WORD_STARTS));
  if ((starts >> slice % SEGMENT_SLICES & 1) == 0) return false;
  for (size_t i = slice; i < slice + count; i++) {
    const uint64_t free = load_relaxed(segment_word(i / SEGMENT_SLICES, WORD_FREE));
    if ((free >> i % SEGMENT_SLICES & 1) != 0) return false;
  }
  return true;
}

/* The next segment below that may have a start, or SLICE_NONE. */
static size_t start_below(size_t segment) {
  if ((segment_flags(segment) & ARENA_OUTSIDE) == 0) {
    return segment > 0 ? summary_highest(HINT_STARTS, segment - 1) : SLICE_NONE;
  }
  return segment > segment_arena(segment)->area.segments.first ? segment - 1 : SLICE_NONE;
}

size_t slices_find_start(size_t slice) {
  size_t s = slice / SEGMENT_SLICES;
  const unsigned at = (unsigned)(slice % SEGMENT_SLICES);
  if (!window_segment_ready(s)) return SLICE_NONE;
  if ((load_acquire(segment_word(s, WORD_FREE)) >> at & 1) != 0) return SLICE_NONE;
  uint64_t starts = load_acquire(segment_word(s, WORD_STARTS)) & bit_range(0, at + 1);
  while (starts == 0) {
    s = start_below(s);
    if (s == SLICE_NONE) return SLICE_NONE;
    starts = load_acquire(segment_word(s, WORD_STARTS));
    if (starts == 0 && (segment_flags(s) & ARENA_OUTSIDE) == 0) summary_refute(HINT_STARTS, s);
  }
  return s * SEGMENT_SLICES + bit_highest(starts);
}

/* ---- after a fork ---- */

/* Slices of the segment that pages cover; `covered` is where the page that ends last does so. */
static uint64_t covered_slices(size_t segment, page_slices_fn* page_slices, size_t* covered) {
  const size_t first = segment * SEGMENT_SLICES;
  uint64_t starts = load_relaxed(segment_word(segment, WORD_STARTS));
  uint64_t bits = 0;
  for (size_t i = 0; i < SEGMENT_SLICES; i++) {
    if ((starts >> i & 1) != 0) {
      const size_t count = page_slices(window_entry(first + i));
      if (count == 0) slices_clear_start(first + i);
      *covered = max_size(*covered, first + i + count);
    }
    if (first + i < *covered) bits |= UINT64_C(1) << i;
  }
  return bits;
}

/* Slices that are used, or were lost. */
typedef struct after_fork_s {
  size_t covered;
  uint64_t claimed, dirty;
} after_fork_t;

static void segment_after_fork(size_t s, page_slices_fn* page_slices, after_fork_t* sum) {
  const uint32_t flags = segment_flags(s);
  const uint64_t used = covered_slices(s, page_slices, &sum->covered);
  /* Fork copies page by page: the table may be older than the words.  A page that is still there keeps
     its slices. */
  segment_clear(s, WORD_FREE, used);
  const uint64_t free = load_relaxed(segment_word(s, WORD_FREE));
  const uint64_t lost = ~(used | free) & load_relaxed(segment_word(s, WORD_COMMITTED));
  const uint64_t fresh = ~(used | free) & ~lost; /* never usable, so still what they were: zero if ours */
  segment_clear(s, WORD_ZERO, lost);
  if ((flags & ARENA_OUTSIDE) == 0) segment_set(s, WORD_ZERO, fresh);
  segment_clear(s, WORD_DIRTY_ODD, lost | used);
  segment_clear(s, WORD_DIRTY_EVEN, lost | used);
  if ((flags & ARENA_PINNED) == 0) segment_set(s, WORD_DIRTY_EVEN, lost);
  for (uint64_t bits = os_has_guarded() ? lost : 0; bits != 0; bits &= bits - 1)
    os_unguard(window_address(s * SEGMENT_SLICES + bit_lowest(bits)), SLICE_SIZE, 0);
  if ((lost | fresh) != 0) segment_release(s, lost | fresh);
  sum->claimed += bit_count(used);
  sum->dirty += bit_count(segment_dirty(s));
}

void memory_after_fork(page_slices_fn* page_slices) {
  after_fork_t sum = {0, 0, 0};
  span_t span = window_span();
  purge_after_fork();
  scavenger_after_fork();
  do {
    sum.covered = span.first * SEGMENT_SLICES;
    for (size_t s = span.first; s < span.end; s++) {
      if (!window_segment_ready(s) || load_acquire(segment_word(s, WORD_PLACED)) == 0) continue;
      segment_after_fork(s, page_slices, &sum);
    }
  } while (window_next_span(&span));
  store_relaxed(&memory_counters.claimed, sum.claimed * SLICE_SIZE);
  store_relaxed(&memory_counters.dirty, sum.dirty * SLICE_SIZE);
  summary_rebuild();
}
