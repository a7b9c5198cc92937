/* SPDX-License-Identifier: MIT */
/* Larson and Krishnan's server ("Memory allocation for long-running server applications", 1998): each thread
   replaces blocks at random in a table that it was given, then starts a successor, which inherits table and
   blocks, and ends; so most blocks are freed by another thread than the one that allocated them, long after
   it is gone.  By operator new and delete; mode "sized" deletes with the size, as C++ does since 2014. */
#include <semaphore.h>

#include <cstring>
#include <new>

#include "workload.h"

enum { SLOTS = 5000, STEPS = 4000000, GENERATIONS = 20, SMALLEST = 16, BIGGEST = 1000 };

namespace {

struct chain_t {
  void* slots[SLOTS];
  uint64_t random;
  uint64_t steps; /* of one generation */
  unsigned generation;
  sem_t over;
};

bool sized;

void* make(uint64_t* random) {
  const size_t size = SMALLEST + random_below(random, BIGGEST - SMALLEST);
  void* const block = ::operator new(size);
  stamp(block, size);
  return block;
}

void drop(void* block) {
  stamp_check(block);
  if (sized)
    ::operator delete(block, stamped_size(block));
  else
    ::operator delete(block);
}

void* generation(void* argument) {
  chain_t* const chain = static_cast<chain_t*>(argument);
  for (uint64_t i = 0; i < chain->steps; i++) {
    void*& slot = chain->slots[random_below(&chain->random, SLOTS)];
    drop(slot);
    slot = make(&chain->random);
  }
  if (++chain->generation < GENERATIONS)
    pthread_detach(thread_start(generation, chain));
  else
    sem_post(&chain->over);
  return nullptr;
}

} // namespace

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("larson", argc, argv);
  sized = std::strcmp(workload.mode, "sized") == 0;
  chain_t* const chains = static_cast<chain_t*>(harness_map(workload.threads * sizeof(chain_t)));
  const uint64_t steps = workload_share(&workload, STEPS / GENERATIONS);
  for (size_t i = 0; i < workload.threads; i++) {
    chain_t* const chain = &chains[i];
    chain->random = workload.seed + i;
    chain->steps = steps;
    sem_init(&chain->over, 0, 0);
    for (size_t k = 0; k < SLOTS; k++) chain->slots[k] = make(&chain->random);
  }
  for (size_t i = 0; i < workload.threads; i++) pthread_detach(thread_start(generation, &chains[i]));
  for (size_t i = 0; i < workload.threads; i++) {
    while (sem_wait(&chains[i].over) != 0) continue;
    for (size_t k = 0; k < SLOTS; k++) drop(chains[i].slots[k]);
  }
  return workload_end(&workload, 2 * steps * GENERATIONS * workload.threads, "");
}
