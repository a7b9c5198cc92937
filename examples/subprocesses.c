/* SPDX-License-Identifier: MIT */
/* Two interpreters in one process: each has threads and heaps of its own, shares no page with the other, is
   accounted for alone, and ends with all it holds.

   Shows: sub-processes */
#include <pthread.h>
#include <stdio.h>

#include <mimalloc-stats.h>

enum { INTERPRETERS = 2, OBJECTS = 1000 };

typedef struct interpreter_s {
  mi_subproc_id_t subproc;
  int objects;
} interpreter_t;

static void* run(void* arg) {
  const interpreter_t* const interpreter = arg;
  mi_subproc_add_current_thread(interpreter->subproc); /* before the thread allocates anything */
  for (int i = 0; i < interpreter->objects; i++) {
    if (mi_malloc(48) == NULL) return NULL; /* objects that nobody frees */
  }
  return NULL;
}

static bool count_heap(mi_heap_t* heap, void* arg) {
  (void)heap;
  ++*(int*)arg;
  return true;
}

int main(void) {
  interpreter_t interpreters[INTERPRETERS];
  for (int i = 0; i < INTERPRETERS; i++) {
    interpreters[i] = (interpreter_t){mi_subproc_new(), (i + 1) * OBJECTS};
    pthread_t thread;
    if (pthread_create(&thread, NULL, &run, &interpreters[i]) != 0) return 1;
    pthread_join(thread, NULL);
  }
  for (int i = 0; i < INTERPRETERS; i++) {
    mi_stats_t_decl(stats);
    int heaps = 0;
    if (!mi_subproc_stats_get(interpreters[i].subproc, &stats)) return 1;
    mi_subproc_visit_heaps(interpreters[i].subproc, &count_heap, &heaps);
    printf("interpreter %d: %d heap, at least its %d objects live: %s\n", i, heaps, interpreters[i].objects,
           stats.allocated.current >= 48L * interpreters[i].objects ? "yes" : "no");
  }
  for (int i = 0; i < INTERPRETERS; i++) mi_subproc_destroy(interpreters[i].subproc);
  mi_stats_t_decl(stats);
  printf("of the first, when it is gone, statistics: %s\n",
         mi_subproc_stats_get(interpreters[0].subproc, &stats) ? "some" : "none");
  return 0;
}
