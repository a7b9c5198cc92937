/* SPDX-License-Identifier: MIT */
/* Explorer: runs 2 or 3 threads of the shipped code in every order of their atomic operations.

   Stateless model checking.  The threads are coroutines of one real thread; atomic_seam(), called before
   each atomic operation, is where control changes hands.  An execution is a sequence of steps; a step is
   one atomic operation and the plain code behind it, up to the thread's next one.  After an execution the
   memory is put back as it was after `setup` and the next sequence is tried, depth first, until none is left.

   Three ways to choose the sequences:
     EXPLORE_FULL     every interleaving, nothing left out: for short programs and to test the explorer;
     EXPLORE_REDUCED  at least one of each class of sequences that differ only in the order of neighbouring
                      operations on different words (dynamic partial order reduction with sleep sets).
                      Complete for code whose plain accesses do not race, which TSan watches over;
     EXPLORE_BOUNDED  every interleaving with at most `preemptions` switches away from a thread that could
                      go on, switching only at words that two threads use.

   The executions are sequentially consistent: memory orders are the business of TSan and the models. */
#ifndef TEST_INTERLEAVE_EXPLORER_H
#define TEST_INTERLEAVE_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPLORE_THREADS = 3, EXPLORE_STEPS = 4096 };

typedef enum explore_mode_e { EXPLORE_FULL, EXPLORE_REDUCED, EXPLORE_BOUNDED } explore_mode_t;

typedef struct explore_s {
  const char* name; /* NULL: say nothing */
  explore_mode_t mode;
  int threads;                           /* 2 or 3 */
  int preemptions;                       /* EXPLORE_BOUNDED only */
  size_t steps;                          /* more steps than this are a livelock; 0: EXPLORE_STEPS */
  void (*setup)(void);                   /* once; what it leaves behind is where every execution starts */
  void (*thread[EXPLORE_THREADS])(void); /* the programs */
  void (*verify)(void);                  /* after every execution, undisturbed; may act as a thread */
} explore_t;

typedef struct explore_result_s {
  uint64_t executions; /* complete ones, each verified */
  uint64_t pruned;     /* given up as equivalent to an earlier one */
  uint64_t steps;      /* atomic operations in all of them */
  uint64_t deepest;    /* atomic operations of the longest */
} explore_result_t;

/* Explore; does not return when an execution fails (see explorer_expect). */
explore_result_t explore(const explore_t* program);

/* Memory outside of the executable's own variables that executions change; whole OS pages. */
void explorer_region(void* start, size_t size);

/* Such a region is about to be unmapped again, before the first execution. */
void explorer_region_gone(void* start, size_t size);

/* Words that commute with everything (statistics): operations on them are no scheduling points. */
void explorer_ignore(const volatile void* start, size_t size);

/* Gives the words from start on a name in printed schedules. */
void explorer_label(const volatile void* start, size_t size, const char* label);

/* A store buffer, for words whose order the code leaves to a barrier by another thread: what thread `index`
   stores to `word` others see only after the next explorer_drain(), by whichever thread.  The thread itself
   sees it at once.  One word in the life of the process; a drain is a step on that word. */
void explorer_buffer(volatile uint32_t* word, int index);
void explorer_drain(void);

/* From setup or verify: runs `action` with the thread-local variables of thread `index`. */
void explorer_as_thread(int index, void (*action)(void));

/* Setup is over: memory is put back after what happens now. */
bool explorer_executes(void);

/* The thread that runs, or -1 in setup and verify. */
int explorer_thread(void);

/* The execution is wrong: prints why and its schedule, and ends the process. */
void explorer_failed(const char* what, const char* file, int line) __attribute__((noreturn));
#define expect(condition) ((condition) ? (void)0 : explorer_failed(#condition, __FILE__, __LINE__))

/* A mutant must fail: from now on a failed execution ends the process with 0, and a program that ends
   without any with 1. */
typedef enum explorer_verdict_e { EXPECT_SOUND, EXPECT_FAILURE } explorer_verdict_t;
void explorer_expect(explorer_verdict_t verdict);

/* The process's exit status when all programs have been explored. */
int explorer_status(void);

#endif
