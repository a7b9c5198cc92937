/* SPDX-License-Identifier: MIT */
#include "memory/counters.h"

memory_counters_t memory_counters;

static size_t read_bytes(atomic_u64_t* counter) { return (size_t)load_relaxed(counter); }

memory_stats_t memory_stats(void) {
  memory_counters_t* const c = &memory_counters;
  memory_stats_t stats = {
      .reserved = read_bytes(&c->reserved), .committed = read_bytes(&c->committed),
      .claimed = read_bytes(&c->claimed), .claimed_peak = read_bytes(&c->claimed_peak),
      .dirty = read_bytes(&c->dirty), .metadata = read_bytes(&c->metadata),
      .purged = load_relaxed(&c->purged), .purge_calls = load_relaxed(&c->purge_calls),
      .commit_calls = load_relaxed(&c->commit_calls), .map_calls = load_relaxed(&c->map_calls),
  };
  stats.free = stats.reserved > stats.claimed ? stats.reserved - stats.claimed : 0;
  return stats;
}
