/* SPDX-License-Identifier: MIT */
/* A signal handler that frees.  malloc is not async-signal-safe, and a fast path is not protected against a
   handler that takes the same path; what holds, and is tested here, is:
     - a handler that frees other threads' blocks may interrupt anything;
     - a handler that interrupts a slow path may allocate, resize and free whatever it likes. */
#include "support.h"

enum { HELD = 256, POOL = 64, INTERVAL_US = 100, SIZE = 120 };

static void* volatile handlers_own[POOL];
static _Atomic(void*) from_other[POOL];
static volatile unsigned signals;
static volatile bool slow_only; /* the interrupted thread takes slow paths only */
static atomic_bool stop;

static void* block_of(size_t size) {
  void* p = t_malloc(size);
  CHECK(p != NULL, "out of memory");
  payload_fill(p, size, size);
  return p;
}

static void release(void* p, size_t size) {
  if (p == NULL) return;
  payload_check(p, size, size);
  t_free(p);
}

static void on_signal(int sig) {
  const int saved = errno;
  const unsigned n = signals++;
  (void)sig;
  const size_t size = SIZE + (n % POOL) * 16;
  release(atomic_exchange(&from_other[n % POOL], NULL), SIZE);
  if (slow_only) {
    release(handlers_own[n % POOL], size);
    handlers_own[n % POOL] = block_of(size);
  }
  if (slow_only && n % 16 == 0) {
    char* p = (char*)t_realloc(block_of(90000), 180000);
    CHECK(p != NULL, "out of memory");
    t_free(p);
  }
  errno = saved;
}

static void* other_thread(void* arg) {
  uint64_t random = 3;
  while (!atomic_load(&stop))
    release(atomic_exchange(&from_other[random_below(&random, POOL)], block_of(SIZE)), SIZE);
  return arg;
}

static void start_timer(void) {
  static timer_t timer;
  struct sigevent event;
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = &on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, NULL);
  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create: %s", strerror(errno));
  const struct timespec t = {.tv_nsec = INTERVAL_US * 1000};
  const struct itimerspec spec = {.it_interval = t, .it_value = t};
  timer_settime(timer, 0, &spec, NULL);
}

static void block_signal(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(how, &set, NULL);
}

/* Blocks above 64 KiB are claimed and released anew each time, by slow paths. */
static void interrupted(double seconds) {
  void* held[HELD] = {NULL};
  size_t sizes[HELD] = {0};
  uint64_t random = 9;
  const double end = now_seconds() + seconds;
  while (now_seconds() < end) {
    for (int k = 0; k < 100; k++) {
      const size_t i = random_below(&random, slow_only ? HELD / 8 : HELD);
      release(held[i], sizes[i]);
      sizes[i] = slow_only ? 80000 + random_below(&random, 200000)
                           : 8 + random_below(&random, k == 50 ? 50000 : 1000);
      held[i] = block_of(sizes[i]);
    }
  }
  block_signal(SIG_BLOCK);
  for (int i = 0; i < HELD; i++) release(held[i], sizes[i]);
}

int main(int argc, char** argv) {
  const double seconds = (argc > 1 ? atof(argv[1]) : 2.0);
  watchdog((unsigned)seconds * 2 + 30);
  block_signal(SIG_BLOCK);
  pthread_t thread = thread_start(&other_thread, NULL);
  start_timer();
  for (int phase = 0; phase < 2; phase++) {
    slow_only = (phase == 1);
    block_signal(SIG_UNBLOCK);
    interrupted(seconds);
  }
  atomic_store(&stop, true);
  thread_join(thread);
  for (unsigned n = 0; n < POOL; n++) {
    release(handlers_own[n], SIZE + n * 16);
    release(atomic_exchange(&from_other[n], NULL), SIZE);
  }
  printf("%u signals\n", signals);
  return 0;
}
