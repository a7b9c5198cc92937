/* SPDX-License-Identifier: MIT */
/* Fork from a signal handler that interrupts the allocator: a timer signal comes into a thread that does
   nothing but allocate and free.  The child allocates, frees the parent's blocks, starts a thread and leaves;
   every fourth returns from the handler at once and goes on where the parent was interrupted.  (A child that
   does both cannot be: the allocator's fast paths, like any malloc, are not async-signal-safe.) Argument 1:
   fork or _Fork; argument 2: number of children. */
#include "support.h"

enum { HELD = 512, AFTER_RETURN = 5000, INTERVAL_US = 700 };

static void* volatile held[HELD];
static volatile int signals;
static volatile int countdown = -1; /* in a child that returned: operations until it leaves */
static volatile int use_plain_fork;
static volatile pid_t last_child;

static void* child_thread(void* arg) {
  void* p = t_malloc(200);
  CHECK(p != NULL, "out of memory");
  t_free(arg);
  return p;
}

__attribute__((noreturn)) static void child_work(void) {
  watchdog(20);
  void* mine[32];
  for (size_t i = 0; i < 32; i++) {
    mine[i] = t_malloc((size_t)24 << (i % 10));
    CHECK(mine[i] != NULL, "out of memory");
    memset(mine[i], 1, 24);
  }
  for (size_t i = 1; i < HELD; i += 2) { /* the even ones are the interrupted code's */
    void* p = held[i];
    held[i] = NULL;
    t_free(p);
  }
  void* left = NULL;
  if (CHILD_STARTS_THREADS) {
    pthread_t thread = thread_start(&child_thread, mine[0]);
    CHECK(pthread_join(thread, &left) == 0, "join in the child");
    t_free(left);
  } else {
    t_free(mine[0]);
  }
  for (size_t i = 1; i < 32; i++) t_free(mine[i]);
  _exit(0);
}

static void on_timer(int sig) {
  (void)sig;
  const int saved = errno;
  if (countdown >= 0 || last_child != 0) return;
  signals++;
  const pid_t pid = (use_plain_fork ? fork() : _Fork());
  if (pid == 0) {
    if (signals % 4 != 0) child_work();
    watchdog(20);
    countdown = AFTER_RETURN;
  } else {
    last_child = pid;
  }
  errno = saved;
}

/* One operation of the interrupted loop.  It touches even slots only; blocks for the child to free are put
   into the odd ones by main, with the signal blocked. */
static void operation(uint64_t* random) {
  const size_t i = random_below(random, HELD / 2) * 2;
  const size_t size = 8 + random_below(random, random_below(random, 8) == 0 ? 20000 : 600);
  void* p = held[i];
  held[i] = NULL;
  if (p != NULL && random_below(random, 4) == 0) {
    p = t_realloc(p, size);
    CHECK(p != NULL, "out of memory");
  } else {
    t_free(p);
    p = t_malloc(size);
    CHECK(p != NULL, "out of memory");
  }
  memset(p, 0x77, size < 64 ? size : 64);
  held[i] = p;
}

/* A POSIX timer: it is finer than setitimer's profile clock, and a child does not inherit it. */
static void set_timer(long microseconds) {
  static timer_t timer;
  static bool made;
  struct sigevent event;
  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  if (!made) CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create: %s", strerror(errno));
  made = true;
  const struct timespec t = {.tv_nsec = microseconds * 1000};
  const struct itimerspec spec = {.it_interval = t, .it_value = t};
  timer_settime(timer, 0, &spec, NULL);
}

static void fill_odd(void) {
  for (size_t i = 1; i < HELD; i += 2) {
    if (held[i] == NULL) held[i] = t_malloc(i * 8);
  }
}

int main(int argc, char** argv) {
  const int count = (argc > 2 ? atoi(argv[2]) : 1000);
  struct sigaction action;
  uint64_t random = 42;
  use_plain_fork = (argc > 1 && strcmp(argv[1], "fork") == 0);
  watchdog(120);
  fill_odd();
  memset(&action, 0, sizeof(action));
  action.sa_handler = &on_timer;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, NULL);
  set_timer(INTERVAL_US);
  while (signals < count) {
    operation(&random);
    if (countdown >= 0) {
      if (--countdown <= 0) child_work(); /* which is ordinary code here */
    } else if (last_child != 0) {
      expect_child_success(last_child, "fork from a signal handler");
      last_child = 0;
    }
  }
  set_timer(0);
  if (last_child != 0 && countdown < 0) expect_child_success(last_child, "fork from a signal handler");
  printf("%d children from a signal handler\n", signals);
  return 0;
}
