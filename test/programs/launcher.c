/* SPDX-License-Identifier: MIT */
/* Runs one program and reports what it used.

   A process keeps the peak RSS it had before exec, so a child of a 15 MB interpreter shows at least 15 MB.
   This launcher is tiny and forks once more: what wait4 returns is the program's own peak (the largest
   process of its tree) above a floor of about 1 MB. Environment changes are arguments, so that LD_PRELOAD
   reaches only the program.

   usage: launcher REPORT NAME=VALUE... -- COMMAND ARGUMENT...
   REPORT receives "pid N" when the program starts and "end ..." when it has ended. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t child_pid;

/* SIGTERM is the program's to answer; the launcher stays and reports. */
static void forward(int signal_number) {
  if (child_pid > 0) kill((pid_t)child_pid, signal_number);
}

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long microseconds(const struct timeval* time) {
  return time->tv_sec * 1000000LL + time->tv_usec;
}

static int wait_for(pid_t pid, int* status, struct rusage* usage) {
  for (;;) {
    const pid_t ended = wait4(pid, status, 0, usage);
    if (ended == pid) return 0;
    if (ended < 0 && errno != EINTR) return -1;
  }
}

static void execute(char** environment, char** command) {
  for (char** entry = environment; entry < command - 1; entry++) {
    if (putenv(*entry) != 0) _exit(126);
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  execvp(command[0], command);
  fprintf(stderr, "launcher: %s: %s\n", command[0], strerror(errno));
  _exit(127);
}

int main(int argc, char** argv) {
  int separator = 2;
  while (separator < argc && strcmp(argv[separator], "--") != 0) separator++;
  if (separator + 1 >= argc) {
    fprintf(stderr, "usage: launcher REPORT NAME=VALUE... -- COMMAND ARGUMENT...\n");
    return 125;
  }
  const int report = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (report < 0) {
    fprintf(stderr, "launcher: %s: %s\n", argv[1], strerror(errno));
    return 125;
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  signal(SIGTERM, forward);
  signal(SIGINT, SIG_IGN);
  const long long start = now_ns();
  const pid_t pid = fork();
  if (pid < 0) return 125;
  if (pid == 0) execute(argv + 2, argv + separator + 1);
  child_pid = pid;
  dprintf(report, "pid %d\n", (int)pid);
  int status = 0;
  struct rusage usage;
  if (wait_for(pid, &status, &usage) != 0) return 125;
  dprintf(report, "end status=%d wall_ns=%lld user_us=%lld system_us=%lld peak_kib=%ld minor=%ld major=%ld\n",
          status, now_ns() - start, microseconds(&usage.ru_utime), microseconds(&usage.ru_stime),
          usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt);
  return 0;
}
