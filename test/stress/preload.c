/* SPDX-License-Identifier: MIT */
/* A program that knows nothing of the allocator: its argument says how deep LD_PRELOAD must still reach.  At
   each level it proves that the library serves malloc, in itself and in a shell that it starts. */
#include "support.h"
#include <dlfcn.h>

typedef void* (heap_of_fun_t)(const void* p);

int main(int argc, char** argv) {
  const int depth = (argc > 1 ? atoi(argv[1]) : 0);
  heap_of_fun_t* heap_of = NULL;
  void* address = dlsym(RTLD_DEFAULT, "mi_heap_of");
  watchdog(60);
  CHECK(address != NULL, "the library is not in this process: %s", dlerror());
  memcpy(&heap_of, &address, sizeof(address));
  void* p = malloc(100);
  char* copy = strdup("a string");
  CHECK(heap_of(p) != NULL, "malloc is served by somebody else");
  CHECK(heap_of(copy) != NULL, "strdup is served by somebody else");
  free(p);
  free(copy);
  if (depth == 0) return 0;
  char next[16], command[512];
  snprintf(next, sizeof(next), "%d", depth - 1);
  snprintf(command, sizeof(command), "cat /dev/null && '%s' %s", argv[0], next);
  CHECK(system(command) == 0, "the program started by a shell failed");
  const pid_t pid = fork();
  if (pid == 0) {
    execl(argv[0], argv[0], next, (char*)NULL);
    _exit(9);
  }
  expect_child_success(pid, "fork and exec");
  return 0;
}
