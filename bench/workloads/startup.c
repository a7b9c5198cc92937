/* SPDX-License-Identifier: MIT */
/* Many small programs: start /bin/true 150 times, one after the other.  The launcher itself runs on the
   system's malloc; BENCH_PRELOAD names the library that is preloaded into the children only.  The times are
   those of the children, the peak is that of the biggest child (a lower bound is the launcher's own resident
   set). */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "workload.h"

enum { STARTS = 150 };

static uint64_t timeval_us(struct timeval value) {
  return (uint64_t)value.tv_sec * 1000000u + (uint64_t)value.tv_usec;
}

int main(int argc, char** argv) {
  static char preload[4096];
  static char quiet[] = "PATH=/usr/bin:/bin";
  const workload_t workload = workload_begin("startup", argc, argv);
  const char* const library = getenv("BENCH_PRELOAD");
  snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library != NULL ? library : "");
  char* environment[] = {quiet, library != NULL && library[0] != '\0' ? preload : NULL, NULL};
  char program[] = "/bin/true";
  char* arguments[] = {program, NULL};
  const uint64_t starts = workload_scaled(&workload, STARTS);
  for (uint64_t i = 0; i < starts; i++) {
    pid_t child = 0;
    int status = 0;
    if (posix_spawn(&child, program, NULL, NULL, arguments, environment) != 0) workload_fail("no /bin/true");
    if (waitpid(child, &status, 0) != child || status != 0) workload_fail("/bin/true failed");
  }
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  const double user_ms = (double)timeval_us(usage.ru_utime) / 1e3;
  const double system_ms = (double)timeval_us(usage.ru_stime) / 1e3;
  char extra[320];
  snprintf(extra, sizeof(extra),
           "child_cpu_ms=%.3f child_user_ms=%.3f child_system_ms=%.3f child_faults=%ld child_switches=%ld "
           "child_peak_kib=%ld",
           user_ms + system_ms, user_ms, system_ms, usage.ru_minflt, usage.ru_nvcsw + usage.ru_nivcsw,
           usage.ru_maxrss);
  return workload_end(&workload, starts, extra);
}
