/* SPDX-License-Identifier: MIT */
/* A pool of threads: each announces itself, says that it runs whatever comes, and gives up its memory while
   it waits for long; blocks travel from one to the other.

   Shows: housekeeping, hooks, information */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

enum { BLOCKS = 1000 };

static char* blocks[BLOCKS];

static void* producer(void* arg) {
  (void)arg;
  mi_thread_init(); /* not needed, the first allocation does it: here it takes no time from that */
  mi_thread_set_in_threadpool(); /* memory that it frees for others stays for everybody */
  for (int i = 0; i < BLOCKS; i++) {
    blocks[i] = mi_malloc(100);
    if (blocks[i] != NULL) snprintf(blocks[i], 100, "job %d", i);
  }
  mi_thread_done(); /* its blocks stay valid, the room between them serves the others from now on */
  return NULL;
}

static void* consumer(void* arg) {
  size_t* const total = arg;
  for (int i = 0; i < BLOCKS; i++) {
    if (blocks[i] == NULL) continue;
    *total += strlen(blocks[i]);
    mi_free(blocks[i]); /* whoever allocated it */
  }
  return NULL;
}

int main(void) {
  pthread_t thread;
  size_t total = 0;
  if (pthread_create(&thread, NULL, &producer, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  printf("owner of a block whose thread is done: %s\n", mi_thread_id_of(blocks[0]) == 0 ? "none" : "some");
  if (pthread_create(&thread, NULL, &consumer, &total) != 0) return 1;
  pthread_join(thread, NULL);
  printf("%d jobs, %zu characters\n", BLOCKS, total);
  return 0;
}
