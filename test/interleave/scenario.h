/* SPDX-License-Identifier: MIT */
/* A program of scenarios: `<program> [--expect-failure] [name ...]` explores those named, or all. */
#ifndef TEST_INTERLEAVE_SCENARIO_H
#define TEST_INTERLEAVE_SCENARIO_H

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explorer.h"

/* Each scenario in a process of its own: none starts on what another left behind. */
static inline int scenarios_run(int argc, char** argv, const explore_t* all, size_t count) {
  const int mutant = argc > 1 && strcmp(argv[1], "--expect-failure") == 0;
  const int named = argc > 1 + mutant;
  int explored = 0, wrong = 0;
  for (size_t i = 0; i < count; i++) {
    int wanted = !named;
    for (int a = 1 + mutant; a < argc; a++) wanted |= strcmp(argv[a], all[i].name) == 0;
    if (!wanted) continue;
    explored++;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
      if (mutant) explorer_expect(EXPECT_FAILURE);
      explore(&all[i]);
      _exit(explorer_status());
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) wrong++;
  }
  if (explored == 0) fprintf(stderr, "no such scenario\n");
  /* A mutant is killed by any one scenario. */
  return explored == 0 || (mutant ? wrong == explored : wrong != 0);
}

#define SCENARIOS_MAIN(table)                                                      \
  int main(int argc, char** argv) {                                                \
    return scenarios_run(argc, argv, (table), sizeof(table) / sizeof((table)[0])); \
  }

#endif
