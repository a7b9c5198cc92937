/* SPDX-License-Identifier: MIT */
/* Counters of several threads, each on a cache line of its own; and messages whose payload is aligned for
   vector instructions although a header stands before it.

   Shows: aligned allocation */
#include <stdint.h>
#include <stdio.h>

#include <mimalloc.h>

enum { CACHE_LINE = 64, VECTOR = 32, THREADS = 4 };

typedef struct counter_s {
  uint64_t value;
  char unused[CACHE_LINE - sizeof(uint64_t)];
} counter_t;

typedef struct message_s {
  uint64_t length;
  uint32_t kind;
  char payload[]; /* at offset 12, and yet a multiple of VECTOR */
} message_t;

static message_t* new_message(size_t length) {
  const size_t offset = offsetof(message_t, payload);
  message_t* const message = mi_malloc_aligned_at(offset + length, VECTOR, offset);
  if (message != NULL) *message = (message_t){.length = length, .kind = 1};
  return message;
}

int main(void) {
  counter_t* const counters = mi_calloc_aligned(THREADS, sizeof(counter_t), CACHE_LINE);
  if (counters == NULL) return 1;
  for (int i = 0; i < THREADS; i++) counters[i].value += (uint64_t)i;
  printf("counters at a cache line: %s\n", (uintptr_t)counters % CACHE_LINE == 0 ? "yes" : "no");

  message_t* message = new_message(1000);
  if (message == NULL) return 1;
  printf("payload aligned: %s\n", (uintptr_t)message->payload % VECTOR == 0 ? "yes" : "no");
  message_t* const longer = mi_realloc_aligned_at(message, offsetof(message_t, payload) + 5000, VECTOR,
                                                  offsetof(message_t, payload));
  if (longer != NULL) message = longer;
  printf("and after it has grown: %s, length %d\n",
         (uintptr_t)message->payload % VECTOR == 0 ? "yes" : "no", (int)message->length);
  mi_free(message); /* no special function for aligned blocks */
  mi_free(counters);
  return 0;
}
