/* SPDX-License-Identifier: MIT */
/* A process whose main thread leaves by pthread_exit ends with the last of its threads: no thread of the
   allocator keeps it alive.  Exit handlers run then, as without threads. */
#include "support.h"

static void* churn(void* arg) {
  for (int i = 0; i < 20000; i++) t_free(t_malloc((size_t)(i % 3000)));
  sleep_ms((unsigned)(uintptr_t)arg);
  return NULL;
}

static int told[2];

static void tell(void) {
  if (write(told[1], "x", 1) != 1) abort();
}

static void leave(unsigned last_ms) {
  atexit(&tell);
  for (unsigned i = 0; i < 4; i++) {
    const uintptr_t ms = i == 3 ? last_ms : 0;
    pthread_detach(thread_start(&churn, (void*)ms));
  }
  churn(NULL);
  pthread_exit(NULL);
}

/* The child must be gone, with status 0 and its handler run, soon after its last thread. */
static void one(unsigned last_ms) {
  CHECK(pipe(told) == 0, "no pipe");
  const pid_t child = fork();
  CHECK(child >= 0, "no fork");
  if (child == 0) leave(last_ms);
  int status = -1;
  pid_t ended = 0;
  for (int i = 0; i < 300 && ended == 0; i++) {
    sleep_ms(20);
    ended = waitpid(child, &status, WNOHANG);
  }
  if (ended == 0) kill(child, SIGKILL);
  CHECK(ended == child, "the process outlives its threads");
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
  char c = 0;
  CHECK(read(told[0], &c, 1) == 1 && c == 'x', "the exit handler did not run");
  close(told[0]);
  close(told[1]);
}

int main(void) {
  watchdog(60);
  one(0);
  one(50);
  one(1500); /* the scavenger sleeps by then */
  return 0;
}
