/* SPDX-License-Identifier: MIT */
/* A multi-threaded stress like the one published with mimalloc (Leijen, Zorn, de Moura, 2019): waves of
   threads; each thread allocates objects of many sizes, keeps some to its end, frees some early, and
   exchanges some with the other threads through a shared table; what lies in the table outlives the thread
   that allocated it, and every few waves the table is emptied. */
#include <stdatomic.h>

#include "workload.h"

enum { STEPS = 3000000, WAVES = 20, HELD = 4000, TABLE = 1000, EMPTY_EVERY = 4 };

static _Atomic(void*) table[TABLE];

static void* exchange(uint64_t* random, void* block) {
  return atomic_exchange_explicit(&table[random_below(random, TABLE)], block, memory_order_acq_rel);
}

static size_t some_size(uint64_t* random) {
  const size_t dice = random_below(random, 10000);
  if (dice < 9900) return STAMPED_MIN + 8 * random_below(random, 32);
  if (dice < 9990) return 1024 + random_below(random, 16 << 10);
  return (32 << 10) + random_below(random, 200 << 10);
}

static void work(worker_t* worker) {
  void** const held = harness_map(HELD * sizeof(void*));
  const uint64_t steps = workload_share(worker->workload, STEPS / WAVES);
  for (uint64_t i = 0; i < steps; i++) {
    void** const slot = &held[random_below(&worker->random, HELD)];
    const size_t dice = random_below(&worker->random, 8);
    if (dice < 2) {
      *slot = exchange(&worker->random, *slot);
    } else if (dice < 3) {
      stamped_free(*slot);
      *slot = NULL;
    } else {
      stamped_free(*slot);
      *slot = stamped_alloc(some_size(&worker->random));
    }
  }
  for (size_t i = 0; i < HELD; i++) stamped_free(held[i]);
  harness_unmap(held, HELD * sizeof(void*));
  worker->operations = steps;
}

static void empty_table(void) {
  for (size_t i = 0; i < TABLE; i++) {
    stamped_free(atomic_exchange_explicit(&table[i], NULL, memory_order_acq_rel));
  }
}

int main(int argc, char** argv) {
  workload_t workload = workload_begin("mstress", argc, argv);
  uint64_t operations = 0;
  for (size_t wave = 1; wave <= WAVES; wave++) {
    workload.seed += wave;
    operations += workload_run(&workload, work);
    if (wave % EMPTY_EVERY == 0) empty_table();
  }
  empty_table();
  return workload_end(&workload, operations, "");
}
