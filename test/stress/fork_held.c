/* SPDX-License-Identifier: MIT */
/* Forks under the scavenger's hold.  A thread of the test does the scavenger's visit (thread/idle.c) and
   stops at each of its atomic operations; each time the main thread, which is one of the two that are held,
   forks, so the child has copies of records and pages in every half-done state, and nobody to finish them.
   Each child frees the parent's blocks, allocates, starts a thread, and leaves nothing; a watchdog makes
   a hang a failure.  Three kinds of children:
     works      the thread that came over goes on at once;
     sleeps     it sleeps while a thread of the child allocates and the child's scavenger makes visits;
     exits      it exits before it allocates, and a thread of the child does the rest.
   The argument:
     plain      nothing is delivered to the held threads, so nothing is lost, but a page being released when a
                thread of the child came first;
     delivered  blocks of their full pages are: what the visitor has taken and not yet freed is lost;
     exit       and the other held thread exits under the hold: the visitor has to end its record, and the
                lists of a page that it gives up are torn in between. */
#include "support.h"

#include <semaphore.h>

#include "base/atomics.h"
#include "heap/heap.h"
#include "memory/counters.h"
#include "memory/purge.h"
#include "thread/thread.h"

enum { BIG = 8192, BIG_PER_PAGE = 8, QUEUED = 2048, SMALL = 1024, SMALL_PER_PAGE = 64, PARKED = 4096 };
enum { PARKED_PER_PAGE = 16, BLOCKS = 256, OWNERS = 2 };
enum { DELIVERED_PAGES = 2 }; /* of each thread; one thread's list is in hand at a time */
enum { CHILD_DELAY_MS = 1, CHILD_SLEEP_MS = 5, HANG_SECONDS = 20 };

typedef struct owner_s {
  void* block[BLOCKS];
  size_t size[BLOCKS];
  bool freed[BLOCKS]; /* by others, before the visit */
  size_t count;
  thread_t* record;
  sem_t may_exit;
} owner_t;

typedef enum kind_e { WORKS, SLEEPS, EXITS, KINDS } kind_t;

static owner_t owners[OWNERS]; /* the main thread, and another */
static sem_t stopped, go_on;
static atomic_bool visited;
static _Thread_local bool visits; /* this thread is the visitor */
static pthread_t main_thread;
static size_t* most_left; /* shared with the children */
static size_t may_be_lost;
static bool delivers;

void atomic_seam(const volatile void* where) {
  (void)where;
  if (!visits) return;
  sem_post(&stopped);
  while (sem_wait(&go_on) != 0) continue;
}

/* ---- what is there when the visit begins ---- */

static void allocate(owner_t* owner, size_t size, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const size_t at = owner->count++;
    CHECK(at < BLOCKS, "too many blocks");
    owner->size[at] = size;
    owner->block[at] = t_malloc(size);
    CHECK(owner->block[at] != NULL, "out of memory");
    payload_fill(owner->block[at], size, at);
  }
}

static void release(owner_t* owner, size_t at) {
  if (owner->freed[at]) return;
  payload_check(owner->block[at], owner->size[at], at);
  owner->freed[at] = true;
  t_free(owner->block[at]);
}

static void visit_undisturbed(void) { thread_tidy_idle(1); }

/* A page that was given up, got a block back, and was taken over again: an entry still refers to it.  The
   blocks are the owner's first. */
static void* unpark(void* owner) {
  visit_undisturbed();
  release(owner, 0);
  return NULL;
}
static void* unpark_more(void* owner) {
  for (size_t i = 2; i < PARKED_PER_PAGE; i++) release(owner, i);
  return NULL;
}

static void own(owner_t* owner) {
  allocate(owner, PARKED, PARKED_PER_PAGE + 1);
  thread_join(thread_start(&unpark, owner));
  release(owner, 1);
  thread_join(thread_start(&unpark_more, owner));
  allocate(owner, BIG, 3 * BIG_PER_PAGE + 1);
  allocate(owner, QUEUED, 8);
  allocate(owner, SMALL, 2 * SMALL_PER_PAGE);
  release(owner, owner->count - 2 * SMALL_PER_PAGE); /* their first page comes back into the queue */
  allocate(owner, 8, 20);
  owner->record = thread_self;
}

static void free_some(owner_t* owner) {
  const size_t big = PARKED_PER_PAGE + 1;
  const size_t queued = big + 3 * BIG_PER_PAGE + 1;
  const size_t end = queued + 8 + 2 * SMALL_PER_PAGE;
  for (size_t i = queued; i < end; i++) release(owner, i);
  if (!delivers) return;
  for (size_t i = 0; i < BIG_PER_PAGE + 3; i++) release(owner, big + i); /* one page, and three blocks */
}

static void* free_remotely(void* unused) {
  for (size_t i = 0; i < OWNERS; i++) free_some(&owners[i]);
  pthread_exit(unused); /* and libc has loaded what pthread_exit needs */
}

static void* other_owner(void* arg) {
  owner_t* const owner = arg;
  own(owner);
  sem_post(&stopped);
  while (sem_wait(&owner->may_exit) != 0) continue;
  return NULL;
}

/* ---- children ---- */

static void* allocate_and_leave(void* unused) {
  for (size_t size = 8; size <= MIB; size += 1 + size / 2) {
    void* p = t_malloc(size);
    CHECK(p != NULL, "out of memory");
    payload_fill(p, size, size);
    payload_check(p, size, size);
    t_free(p);
  }
  (void)unused;
  return t_malloc(100);
}

static void work(size_t bound) {
  void* left = NULL;
  for (size_t o = 0; o < OWNERS; o++) {
    for (size_t i = 0; i < owners[o].count; i += 2) release(&owners[o], i);
  }
  t_free(allocate_and_leave(NULL));
  pthread_t thread = thread_start(&allocate_and_leave, NULL);
  CHECK(pthread_join(thread, &left) == 0, "join in the child");
  t_free(left);
  for (size_t o = 0; o < OWNERS; o++) {
    for (size_t i = 0; i < owners[o].count; i++) release(&owners[o], i);
  }
  size_t bytes = 0;
  for (int i = 0; i < 50; i++) { /* when the child's scavenger visits, only a nested record collects */
    t_collect();
    bytes = memory_stats().claimed;
    if (bytes <= bound) break;
    sleep_ms(1);
  }
  while (!thread_try_busy(thread_self)) sleep_ms(1); /* held: the scavenger may be at the part */
  const bool is_valid = part_is_valid(thread_self->part);
  thread_not_busy(thread_self);
  CHECK(is_valid, "the part is damaged");
  if (bytes > *most_left) *most_left = bytes;
  CHECK(bytes <= bound, "%zu KiB are lost", bytes / KIB);
}

static void* work_alone(void* unused) {
  (void)unused;
  CHECK(pthread_join(main_thread, NULL) == 0, "join of the thread that came over");
  work(may_be_lost);
  _exit(0);
}

static void* allocate_for_a_while(void* unused) {
  for (int ms = 0; ms < CHILD_SLEEP_MS; ms++) {
    t_free(allocate_and_leave(unused));
    sleep_ms(1);
  }
  return NULL;
}

__attribute__((noreturn)) static void child(kind_t kind) {
  watchdog(HANG_SECONDS);
  mi_option_set(mi_option_scavenger, 1);
  mi_option_set(mi_option_purge_delay, CHILD_DELAY_MS);
  if (kind == EXITS) {
    pthread_detach(thread_start(&work_alone, NULL));
    pthread_exit(NULL);
  }
  if (kind == SLEEPS) thread_join(thread_start(&allocate_for_a_while, NULL));
  work(may_be_lost + (kind == SLEEPS ? 64 * KIB : 0));
  _exit(0);
}

/* ---- the visit ---- */

static void* visit(void* unused) {
  visits = true;
  thread_tidy_idle(1);
  visits = false;
  atomic_store(&visited, true);
  sem_post(&stopped);
  return unused;
}

static void fork_children(size_t step) {
  static const char* const names[] = {"works", "sleeps", "exits"};
  for (kind_t kind = WORKS; kind < KINDS; kind++) {
    const pid_t pid = step % 2 == 0 ? fork() : _Fork();
    if (pid == 0) child(kind);
    char what[64];
    snprintf(what, sizeof(what), "step %zu, a child that %s", step, names[kind]);
    expect_child_success(pid, what);
  }
}

int main(int argc, char** argv) {
  bool may_exit = argc > 1 && strcmp(argv[1], "exit") == 0;
  delivers = argc > 1 && strcmp(argv[1], "plain") != 0;
  may_be_lost = (delivers ? (size_t)DELIVERED_PAGES * 64 * KIB : 0) + (may_exit ? 64 * KIB : 0);
  size_t steps = 0;
  size_t held = 0;
  watchdog(280);
  main_thread = pthread_self();
  most_left = mmap(NULL, sizeof(size_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(most_left != MAP_FAILED, "mmap");
  sem_init(&stopped, 0, 0);
  sem_init(&go_on, 0, 0);
  sem_init(&owners[1].may_exit, 0, 0);
  mi_option_set(mi_option_scavenger, 0);
  mi_option_set(mi_option_purge_delay, -1); /* every thread has slept long enough */
  own(&owners[0]);
  pthread_t other = thread_start(&other_owner, &owners[1]);
  while (sem_wait(&stopped) != 0) continue;
  thread_join(thread_start(&free_remotely, NULL));
  purge_set_mode(PURGE_BACKGROUND); /* as it is beside a scavenger */
  pthread_t visitor = thread_start(&visit, NULL);
  for (;; steps++) {
    while (sem_wait(&stopped) != 0) continue;
    if (atomic_load(&visited)) break;
    if (may_exit && load_relaxed(&owners[1].record->held) == HELD) {
      sem_post(&owners[1].may_exit);
      thread_join(other);
      may_exit = false;
    }
    if (load_relaxed(&owners[0].record->held) == HELD) held++;
    fork_children(steps);
    sem_post(&go_on);
  }
  thread_join(visitor);
  CHECK(held > 100, "held at %zu steps only", held);
  printf("%zu atomic operations, %zu under the hold; at most %zu KiB lost in a child\n", steps, held,
         *most_left / KIB);
  return 0;
}
