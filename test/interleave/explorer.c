/* SPDX-License-Identifier: MIT */
/* The search.  A stack of nodes is the current execution: node d is the state before step d with the
   thread that takes it.  An execution replays the nodes it shares with its predecessor, then extends
   them; backtracking picks the deepest node with a thread still to try.

   EXPLORE_REDUCED is source-set dynamic partial order reduction (Abdulla, Aronis, Jonsson, Sagonas 2014). Two
   steps conflict when they are on the same word and one of them changed it: two that both left it as it was
   (loads, CASes that failed) give the same in either order.  Conflicts and the order within threads make a
   partial order, kept in vector clocks.  Where a step conflicts with an earlier one of another thread and
   nothing else orders them, a thread that can begin the reverse order is tried at the earlier node.  Sleep
   sets leave out a thread whose step was tried at an earlier sibling and conflicts with none since.  Nothing
   here ever blocks, so any thread that has not ended can be tried anywhere. */
#include "explorer.h"

#include <link.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/atomics.h"
#include "snapshot.h"

enum { STACK_SIZE = 256 * 1024, RANGES = 64, TLS_MAX = 4096, WORDS = 8192, EXECUTION_SECONDS = 3, MAIN = -1 };

typedef struct operation_s {
  const volatile void* where; /* the word; NULL: the thread has ended */
  const void* site;           /* the instruction behind the call of atomic_seam */
} operation_t;

typedef struct node_s {
  operation_t next[EXPLORE_THREADS];
  unsigned clock[EXPLORE_THREADS];     /* steps of each thread that happen before (or are) this one */
  unsigned enabled, todo, done, sleep; /* sets of threads */
  unsigned wrote; /* threads whose step from here, or whose sleeping step, changed its word */
  int chosen, preemptions;
} node_t;

typedef struct coroutine_s {
  jmp_buf resume;
  char* stack;
  bool started;
  operation_t next;
  unsigned char tls[TLS_MAX];   /* its thread-local variables while it does not run */
  unsigned char start[TLS_MAX]; /* and at the start of an execution */
} coroutine_t;

typedef struct range_s {
  uintptr_t start, size;
  const char* label; /* NULL: ignored */
} range_t;

typedef struct word_s {
  const volatile void* where;
  unsigned threads; /* that used it */
} word_t;

/* Memory holds `own` while the thread runs, `seen` while others do. */
typedef struct buffer_s {
  volatile uint32_t* word; /* NULL: none */
  int thread;
  uint32_t own, seen;
  unsigned changes; /* of `own` and `seen`, and drains */
} buffer_t;

typedef struct explorer_s {
  const explore_t* program;
  explore_result_t result;
  node_t node[EXPLORE_STEPS + 1];
  size_t depth, replayed; /* steps taken; nodes that the predecessor left */
  coroutine_t coroutine[EXPLORE_THREADS];
  jmp_buf scheduler;
  ucontext_t scheduler_context;
  int current;
  unsigned char* tls;
  size_t tls_size;
  unsigned char main_tls[TLS_MAX], main_start[TLS_MAX]; /* of the real thread: while away, at the start */
  range_t range[RANGES];
  size_t ranges;
  word_t word[WORDS]; /* hash table: which threads use which word (EXPLORE_BOUNDED) */
  buffer_t buffer;
  bool sharing_grew, executes, verifying;
  explorer_verdict_t verdict;
} explorer_t;

static explorer_t* self; /* memory of its own: no execution changes it, no restoring undoes it */

/* ---- failing ---- */

static const char* label_of(const volatile void* where, char* buffer, size_t size) {
  for (size_t i = 0; i < self->ranges; i++) {
    const range_t* const r = &self->range[i];
    const uintptr_t offset = (uintptr_t)where - r->start;
    if (r->label == NULL || offset >= r->size) continue;
    snprintf(buffer, size, "%s+%zu", r->label, (size_t)offset);
    return buffer;
  }
  snprintf(buffer, size, "%p", (const void*)(uintptr_t)where);
  return buffer;
}

extern char __executable_start[];

static void print_schedule(void) {
  char buffer[128];
  for (size_t d = 0; d < self->depth; d++) {
    const node_t* const n = &self->node[d];
    const operation_t* const op = &n->next[n->chosen];
    const size_t offset = (size_t)((const char*)op->site - __executable_start);
    fprintf(stderr, "  %3zu  thread %d  %-24s at 0x%zx\n", d, n->chosen,
            label_of(op->where, buffer, sizeof(buffer)), offset);
  }
}

static void finish_failed(void) {
  if (self->program != NULL) {
    fprintf(stderr, "explorer: %s: schedule of execution %llu (sites for addr2line):\n",
            self->program->name == NULL ? "?" : self->program->name,
            (unsigned long long)self->result.executions + 1);
    print_schedule();
  }
  /* What fails in the sequential setup says nothing about interleavings: no mutant is killed so. */
  if (!self->executes) self->verdict = EXPECT_SOUND;
  if (self->verdict == EXPECT_FAILURE) printf("explorer: failed, as a mutant must\n");
  fflush(stdout);
  _exit(self->verdict == EXPECT_FAILURE ? 0 : 1);
}

void explorer_failed(const char* what, const char* file, int line) {
  fprintf(stderr, "explorer: %s:%d: not so: %s\n", file, line, what);
  finish_failed();
  abort();
}

static void crashed(int signal_number) {
  fprintf(stderr, "explorer: signal %d in %s %d\n", signal_number,
          self->current == MAIN ? (self->verifying ? "verify" : "setup") : "thread", self->current);
  if (self->current == MAIN && !self->verifying) self->verdict = EXPECT_SOUND; /* not the program's doing */
  finish_failed();
}

/* ---- threads ---- */

static int find_tls(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size, (void)data;
  for (size_t i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
    self->tls = info->dlpi_tls_data;
    self->tls_size = info->dlpi_phdr[i].p_memsz;
    if (self->tls_size > TLS_MAX) abort();
    const char* const image = (const char*)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (int t = 0; t < EXPLORE_THREADS; t++) {
      memcpy(self->coroutine[t].tls, image, info->dlpi_phdr[i].p_filesz);
    }
  }
  return 1; /* the executable comes first; libraries keep theirs */
}

static void init(void) {
  if (self != NULL) return;
  explorer_t* const e = mmap(NULL, sizeof(explorer_t), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (e == MAP_FAILED) abort();
  e->current = MAIN;
  self = e;
  snapshot_init(crashed);
  dl_iterate_phdr(find_tls, NULL);
  for (int t = 0; t < EXPLORE_THREADS; t++) {
    coroutine_t* const c = &e->coroutine[t];
    c->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->stack == MAP_FAILED) abort();
  }
}

static void tls_switch(unsigned char* from, const unsigned char* to) {
  if (self->tls_size == 0) return;
  memcpy(from, self->tls, self->tls_size);
  memcpy(self->tls, to, self->tls_size);
}

static void buffer_enter(int t) {
  const buffer_t* const b = &self->buffer;
  if (b->word != NULL && t == b->thread) *b->word = b->own;
}

static void buffer_leave(int t) {
  buffer_t* const b = &self->buffer;
  if (b->word == NULL) return;
  uint32_t* const value = t == b->thread ? &b->own : &b->seen;
  if (*value != *b->word) b->changes++;
  *value = *b->word;
  *b->word = b->seen;
}

void explorer_drain(void) {
  buffer_t* const b = &self->buffer;
  if (b->word == NULL) return;
  atomic_seam(b->word);
  if (self->current == b->thread) b->own = *b->word;
  b->seen = b->own;
  *b->word = b->own;
  b->changes++; /* a step that changes nothing conflicts with what it could have changed, too */
}

static void enter(int t) {
  tls_switch(self->main_tls, self->coroutine[t].tls);
  self->current = t;
  buffer_enter(t);
}

static void leave(int t) {
  buffer_leave(t);
  self->current = MAIN;
  tls_switch(self->coroutine[t].tls, self->main_tls);
}

void explorer_as_thread(int index, void (*action)(void)) {
  init();
  tls_switch(self->main_tls, self->coroutine[index].tls);
  action();
  tls_switch(self->coroutine[index].tls, self->main_tls);
}

bool explorer_executes(void) {
  return self != NULL && self->executes;
}

int explorer_thread(void) {
  return self == NULL ? MAIN : self->current;
}

static void coroutine_main(void) {
  const int t = self->current;
  self->program->thread[t]();
  leave(t);
  self->coroutine[t].next = (operation_t){NULL, NULL};
  _longjmp(self->scheduler, 1);
}

/* Lets thread t go on to its next atomic operation or its end. */
static void step(int t) {
  coroutine_t* const c = &self->coroutine[t];
  if (_setjmp(self->scheduler) != 0) return;
  enter(t);
  if (c->started) _longjmp(c->resume, 1);
  c->started = true;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = c->stack;
  context.uc_stack.ss_size = STACK_SIZE;
  context.uc_link = NULL;
  makecontext(&context, coroutine_main, 0);
  setcontext(&context);
}

static bool ignored(const volatile void* where) {
  for (size_t i = 0; i < self->ranges; i++) {
    const range_t* const r = &self->range[i];
    if (r->label == NULL && (uintptr_t)where - r->start < r->size) return true;
  }
  return false;
}

void atomic_seam(const volatile void* where) {
  if (self == NULL || self->current == MAIN || ignored(where)) return;
  const int t = self->current;
  coroutine_t* const c = &self->coroutine[t];
  c->next = (operation_t){where, __builtin_return_address(0)};
  if (_setjmp(c->resume) != 0) return;
  leave(t);
  _longjmp(self->scheduler, 1);
}

/* ---- the search ---- */

/* The set of threads that used the word until now; notes that t does. */
static unsigned sharers(const volatile void* where, int t) {
  size_t i = ((uintptr_t)where >> 3) * 0x9E3779B97F4A7C15u >> 40;
  for (;; i++) {
    word_t* const w = &self->word[i % WORDS];
    if (w->where == NULL) w->where = where;
    if (w->where != where) continue;
    const unsigned before = w->threads;
    w->threads |= 1u << t;
    if (w->threads != before && before != 0) self->sharing_grew = true;
    return w->threads;
  }
}

static bool has(unsigned threads, int t) {
  return (threads >> t & 1) != 0;
}

static bool conflict(const node_t* a, int p, const node_t* b, int q) {
  return a->next[p].where == b->next[q].where && (has(a->wrote, p) || has(b->wrote, q));
}

/* Is step i the same as or before step j, i <= j, in the order that the conflicts force? */
static bool before(size_t i, size_t j) {
  const int q = self->node[i].chosen;
  return self->node[j].clock[q] >= self->node[i].clock[q];
}

/* Is step m the first of the steps behind i that need not come after i, in the order forced among them? */
static bool is_initial(size_t i, size_t m) {
  for (size_t l = i + 1; l < m; l++) {
    if (!before(i, l) && before(l, m)) return false;
  }
  return true;
}

/* Step d races with step i: an execution must be tried in which d, and what d needs, comes before i.  Some
   thread that can begin that goes on the list of node i, unless one is there. */
static void reverse_race(size_t i, size_t d) {
  node_t* const n = &self->node[i];
  unsigned seen = 0, initials = 0;
  for (size_t m = i + 1; m <= d; m++) {
    const int t = self->node[m].chosen;
    if (has(seen, t) || (m != d && before(i, m))) continue;
    seen |= 1u << t;
    if (is_initial(i, m)) initials |= 1u << t;
  }
  if ((initials & (n->todo | n->sleep)) == 0) n->todo |= initials & -initials;
}

/* The step of node d has been taken: find what happens before it, and the races that this decided. */
static void find_races(size_t d) {
  node_t* const n = &self->node[d];
  const int p = n->chosen;
  size_t race[EXPLORE_THREADS];
  size_t races = 0;
  memset(n->clock, 0, sizeof(n->clock));
  for (size_t j = d; j-- > 0;) {
    const node_t* const m = &self->node[j];
    const int q = m->chosen;
    if (n->clock[q] >= m->clock[q]) continue; /* known to be before, by way of a later one */
    if (q != p && !conflict(m, q, n, p)) continue;
    if (q != p) race[races++] = j; /* at most one of each thread gets here */
    for (int t = 0; t < EXPLORE_THREADS; t++) {
      if (m->clock[t] > n->clock[t]) n->clock[t] = m->clock[t];
    }
  }
  n->clock[p]++;
  for (size_t r = 0; r < races; r++) reverse_race(race[r], d);
}

static int previous_thread(size_t d) {
  return d == 0 ? 0 : self->node[d - 1].chosen;
}

/* The threads to try at node d in EXPLORE_FULL and EXPLORE_BOUNDED. */
static unsigned choices(size_t d) {
  const node_t* const n = &self->node[d];
  const int previous = previous_thread(d);
  const unsigned stay = n->enabled & 1u << previous;
  if (self->program->mode == EXPLORE_FULL || d == 0 || stay == 0) return n->enabled;
  if (n->preemptions >= self->program->preemptions) return stay;
  const unsigned users = sharers(n->next[previous].where, previous);
  return (users & (users - 1)) == 0 ? stay : n->enabled;
}

/* Describe the state before step d; false: nothing new can come of it. */
static bool open_node(size_t d) {
  node_t* const n = &self->node[d];
  memset(n, 0, sizeof(*n));
  for (int t = 0; t < self->program->threads; t++) {
    n->next[t] = self->coroutine[t].next;
    if (n->next[t].where != NULL) n->enabled |= 1u << t;
  }
  if (n->enabled == 0) return true;
  if (d > 0) {
    const node_t* const parent = &self->node[d - 1];
    n->preemptions = parent->preemptions;
    if (d > 1 && parent->chosen != previous_thread(d - 1) &&
        (parent->enabled & 1u << previous_thread(d - 1)) != 0) {
      n->preemptions++;
    }
    for (int t = 0; t < self->program->threads; t++) {
      if (!has(parent->sleep | parent->done, t) || t == parent->chosen) continue;
      if (conflict(parent, t, parent, parent->chosen)) continue;
      n->sleep |= 1u << t;
      n->wrote |= parent->wrote & 1u << t;
    }
  }
  if (self->program->mode != EXPLORE_REDUCED) {
    n->sleep = 0;
    n->todo = choices(d);
    return true;
  }
  const unsigned awake = n->enabled & ~n->sleep;
  const unsigned stay = awake & 1u << previous_thread(d);
  n->todo = stay != 0 ? stay : awake & -awake;
  return awake != 0;
}

/* Choose the next thread at node d: the one that ran when possible. */
static void choose(size_t d) {
  node_t* const n = &self->node[d];
  const unsigned left = n->todo & ~n->done & ~n->sleep;
  const unsigned stay = left & 1u << previous_thread(d);
  n->chosen = __builtin_ctz(stay != 0 ? stay : left);
}

/* Take the step of node d; then it is known whether it changed its word. */
static void take_step(size_t d) {
  node_t* const n = &self->node[d];
  const int t = n->chosen;
  const volatile uint64_t* const word =
      (const volatile uint64_t*)((uintptr_t)n->next[t].where & ~(uintptr_t)7);
  const uint64_t before = *word;
  const unsigned changes = self->buffer.changes;
  self->depth = d + 1;
  self->result.steps++;
  step(t);
  if (self->program->mode != EXPLORE_REDUCED) return;
  n->wrote &= ~(1u << t);
  if (*word != before || self->buffer.changes != changes) n->wrote |= 1u << t;
  if (d + 1 < self->replayed) return; /* as the last time */
  find_races(d);
}

static void begin_execution(void) {
  snapshot_restore();
  if (self->tls_size > 0) memcpy(self->tls, self->main_start, self->tls_size);
  self->depth = 0;
  if (self->buffer.word != NULL) self->buffer.own = self->buffer.seen = *self->buffer.word;
  for (int t = 0; t < EXPLORE_THREADS; t++) memcpy(self->coroutine[t].tls, self->coroutine[t].start, TLS_MAX);
  for (int t = 0; t < self->program->threads; t++) {
    self->coroutine[t].started = false;
    step(t);
  }
}

static void check_replay(size_t d) {
  const node_t* const n = &self->node[d];
  for (int t = 0; t < self->program->threads; t++) {
    const operation_t* const now = &self->coroutine[t].next;
    if (n->next[t].where == now->where && n->next[t].site == now->site) continue;
    self->verdict = EXPECT_SOUND; /* says nothing about the program: no mutant is killed so */
    explorer_failed("the program does the same again in the same order", __FILE__, __LINE__);
  }
}

/* Run one execution; true when it is complete. */
static bool execute(void) {
  const size_t limit = self->program->steps != 0 ? self->program->steps : EXPLORE_STEPS;
  begin_execution();
  for (size_t d = 0;; d++) {
    self->depth = d;
    if (d < self->replayed) {
      check_replay(d);
    } else {
      const bool useful = open_node(d);
      if (self->node[d].enabled == 0) {
        if (self->buffer.word != NULL) *self->buffer.word = self->buffer.own;
        return true;
      }
      if (!useful) return false;
      choose(d);
    }
    const int t = self->node[d].chosen;
    if (self->program->mode == EXPLORE_BOUNDED) sharers(self->node[d].next[t].where, t);
    if (d + 1 >= limit) explorer_failed("threads end within the step limit", __FILE__, __LINE__);
    take_step(d);
  }
}

/* Go to the next execution; false when there is none. */
static bool backtrack(void) {
  size_t d = self->depth;
  while (d-- > 0) {
    node_t* const n = &self->node[d];
    n->done |= 1u << n->chosen;
    if ((n->todo & ~n->done & ~n->sleep) == 0) continue;
    choose(d);
    self->replayed = d + 1;
    return true;
  }
  return false;
}

static void explore_all(void) {
  self->result = (explore_result_t){0, 0, 0, 0};
  self->replayed = 0;
  do {
    alarm(EXECUTION_SECONDS); /* a structure that became a ring is walked for ever */
    const bool complete = execute();
    if (self->depth > self->result.deepest) self->result.deepest = self->depth;
    if (!complete) {
      self->result.pruned++;
      continue;
    }
    self->verifying = true;
    self->program->verify();
    self->verifying = false;
    self->result.executions++;
  } while (backtrack());
  alarm(0);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

explore_result_t explore(const explore_t* program) {
  init();
  const double start = seconds();
  self->program = program;
  self->depth = 0;
  memset(self->word, 0, sizeof(self->word));
  if (program->setup != NULL) program->setup();
  for (int t = 0; t < EXPLORE_THREADS; t++) memcpy(self->coroutine[t].start, self->coroutine[t].tls, TLS_MAX);
  if (self->tls_size > 0) memcpy(self->main_start, self->tls, self->tls_size);
  snapshot_take();
  self->executes = true;
  do { /* again when the last pass found more words shared than it knew of */
    self->sharing_grew = false;
    explore_all();
  } while (program->mode == EXPLORE_BOUNDED && self->sharing_grew);
  snapshot_restore();
  snapshot_drop();
  self->executes = false;
  self->program = NULL;
  if (program->name == NULL) return self->result;
  printf("%-32s %10llu executions %9llu pruned %4llu deep %8.2f s\n", program->name,
         (unsigned long long)self->result.executions, (unsigned long long)self->result.pruned,
         (unsigned long long)self->result.deepest, seconds() - start);
  fflush(stdout);
  return self->result;
}

/* ---- what programs tell the explorer ---- */

static void add_range(const volatile void* start, size_t size, const char* label) {
  init();
  if (self->ranges == RANGES) abort();
  self->range[self->ranges++] = (range_t){(uintptr_t)start, size, label};
}

void explorer_region(void* start, size_t size) {
  init();
  snapshot_add(start, size);
}

void explorer_region_gone(void* start, size_t size) {
  snapshot_remove(start, size);
}

void explorer_ignore(const volatile void* start, size_t size) {
  add_range(start, size, NULL);
}

void explorer_buffer(volatile uint32_t* word, int index) {
  init();
  self->buffer = (buffer_t){.word = word, .thread = index, .own = *word, .seen = *word};
}

void explorer_label(const volatile void* start, size_t size, const char* label) {
  add_range(start, size, label);
}

void explorer_expect(explorer_verdict_t verdict) {
  init();
  self->verdict = verdict;
}

int explorer_status(void) {
  init();
  if (self->verdict == EXPECT_SOUND) return 0;
  fprintf(stderr, "explorer: the mutant survived\n");
  return 1;
}
