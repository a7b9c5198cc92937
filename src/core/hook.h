/* SPDX-License-Identifier: MIT */
/* A function of the user with its argument, replaceable at any time by any thread and called without a lock.

   The pair is not one word, so a registration writes the next of eight slots and then publishes its number: a
   caller sees either the old pair or the new one.  (A caller would have to sleep through eight registrations
   between its two reads to mix them.) */
#pragma once

#include "base/atomics.h"
#include "base/config.h"

enum { HOOK_SLOTS = 8 };

typedef void hook_function_t(void); /* cast to the hook's own type before the call */

typedef struct hook_pair_s {
  hook_function_t* function; /* NULL: nothing is registered */
  void* argument;
} hook_pair_t;

typedef struct hook_s {
  atomic_u32_t claimed;   /* atomic: registrations begun */
  atomic_u32_t published; /* atomic: number of the registration in force; 0: none yet */
  struct {
    atomic_word_t function;
    atomic_word_t argument;
  } slots[HOOK_SLOTS];
} hook_t;

static inline void hook_set(hook_t* hook, hook_function_t* function, void* argument) {
  const uint32_t number = add_relaxed(&hook->claimed, 1) + 1;
  store_relaxed(&hook->slots[number % HOOK_SLOTS].function, (uintptr_t)function);
  store_relaxed(&hook->slots[number % HOOK_SLOTS].argument, (uintptr_t)argument);
  store_release(&hook->published, number); /* partner: hook_get, which must see both words */
}

static inline hook_pair_t hook_get(hook_t* hook) {
  const uint32_t number = load_acquire(&hook->published); /* partner: hook_set */
  return (hook_pair_t){(hook_function_t*)load_relaxed(&hook->slots[number % HOOK_SLOTS].function),
                       (void*)load_relaxed(&hook->slots[number % HOOK_SLOTS].argument)};
}
