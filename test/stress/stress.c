/* SPDX-License-Identifier: MIT */
/* Verified-payload stress.  Workers come and go; each allocates, resizes, frees, hands blocks to others and
   frees what others made; every block is filled with a pattern derived from its address and a serial,
   which is checked whenever the block is freed, resized or changes hands.

   Blocks travel as `item_t`s, themselves allocated here, through two kinds of slots that hold one item each
   and change by one atomic exchange: a mailbox shared by all, and one ring per worker, which its neighbour
   empties.  An item in a slot is complete, so a fork's child may verify and free what it finds there. */
#include "support.h"

enum { HOLD = 400, MAILBOX = 2048, RING = 256, WORKERS_MAX = 64, FORK_EVERY_MS = 250 };

typedef struct item_s {
  unsigned char* block;
  size_t size;
  uint64_t serial;
} item_t;

typedef _Atomic(item_t*) slot_t;

typedef struct worker_s {
  pthread_t thread;
  unsigned index;
  uint64_t random;
  atomic_bool done;
  bool running;
  size_t put, taken;   /* positions in this worker's ring and in its neighbour's */
  item_t* held[HOLD];
} worker_t;

static slot_t mailbox[MAILBOX];
static slot_t rings[WORKERS_MAX][RING];
static worker_t workers[WORKERS_MAX];
static unsigned worker_count = 4;
static atomic_ullong serials = 1;
static atomic_ullong operations;
static atomic_bool stop;
static bool in_child;

#ifndef MALLOC_ONLY
static mi_heap_t* shared_heap;
#endif

/* ---------- items ---------- */

static size_t pick_size(uint64_t* random) {
  const uint64_t r = random_next(random);
  switch (r & 63) {
    case 0: return 0;
    case 1: return (size_t)1 << (4 + (r >> 8) % 13);
    case 2: case 3: return (r >> 8) % (64 * KIB);
    case 4: return (r >> 8) % (1 * MIB);
    case 5: return ((r >> 8) & 7) != 0 ? 3 * KIB : (r >> 16) % (24 * MIB);
    default:
      if ((r & 63) < 24) return (r >> 8) % (8 * KIB);
      return (r >> 8) % ((r & 1) != 0 ? 128 : 1024);
  }
}

static void item_sign(item_t* item) {
  item->serial = atomic_fetch_add(&serials, 1);
  payload_fill(item->block, item->size, item->serial);
}

static item_t* item_of(unsigned char* block, size_t size) {
  CHECK(block != NULL, "out of memory for %zu bytes: %s", size, strerror(errno));
  CHECK(size < 16 || ((uintptr_t)block & 15) == 0, "block %p of %zu bytes is not 16-byte aligned",
        (void*)block, size);
  CHECK(t_usable_size(block) >= size, "block %p: usable %zu < %zu", (void*)block, t_usable_size(block), size);
  item_t* item = (item_t*)t_malloc(sizeof(item_t));
  CHECK(item != NULL, "out of memory");
  item->block = block;
  item->size = size;
  item_sign(item);
  return item;
}

static item_t* item_aligned(uint64_t* random) {
  const size_t alignment = (size_t)8 << random_below(random, random_below(random, 64) == 0 ? 20 : 10);
  const size_t size = pick_size(random) % (256 * KIB);
  unsigned char* block = (unsigned char*)t_aligned(size, alignment);
  CHECK(((uintptr_t)block & (alignment - 1)) == 0, "block %p is not aligned to %zu", (void*)block, alignment);
  return item_of(block, size);
}

static item_t* item_new(uint64_t* random) {
  const size_t kind = random_below(random, 16);
  size_t size = pick_size(random);
  if (kind == 0) return item_aligned(random);
  if (kind <= 3) {
    unsigned char* block = (unsigned char*)t_calloc(1, size);
    CHECK(block != NULL, "out of memory for %zu zero bytes", size);
    zero_check(block, size);
    return item_of(block, size);
  }
#ifndef MALLOC_ONLY
  if (kind == 4 && shared_heap != NULL)
    return item_of((unsigned char*)mi_heap_malloc(shared_heap, size), size);
#endif
  unsigned char* block = (unsigned char*)t_malloc(size);
  if (kind == 5 && block != NULL) size = t_usable_size(block); /* all of it is the caller's */
  return item_of(block, size);
}

static void item_check(const item_t* item) { payload_check(item->block, item->size, item->serial); }

static void item_free(item_t* item) {
  if (item == NULL) return;
  item_check(item);
  if (item->size >= 8) memset(item->block, 0xDF, 8);
  t_free(item->block);
  t_free(item);
}

static void item_resize(item_t* item, uint64_t* random) {
  size_t size = pick_size(random);
  switch (random_below(random, 4)) {
    case 0: size = item->size + random_below(random, 64); break;         /* grow a little */
    case 1: size = item->size - item->size / 8; break;                   /* shrink a little */
    case 2: size = item->size * 2 < 32 * MIB ? item->size * 2 : 1; break; /* a growing vector */
    default: break;
  }
  if (size == 0) size = 1; /* the standard realloc(p, 0) may free */
  item_check(item);
  unsigned char* home = item->block;
  unsigned char* moved = (unsigned char*)t_realloc(home, size);
  CHECK(moved != NULL, "out of memory for %zu bytes", size);
  payload_check_moved(moved, size < item->size ? size : item->size, home, item->size, item->serial);
  item->block = moved;
  item->size = size;
  item_sign(item);
}

/* ---------- workers ---------- */

static void exchange_mail(worker_t* w, item_t** mine) {
  item_t* got = atomic_exchange(&mailbox[random_below(&w->random, MAILBOX)], *mine);
  if (got != NULL) item_check(got);
  *mine = got;
}

/* Produce into the own ring (when there is room), consume from the neighbour's. */
static void pass_along(worker_t* w) {
  slot_t* out = &rings[w->index][w->put % RING];
  item_t* empty = NULL;
  item_t* item = item_new(&w->random);
  if (atomic_compare_exchange_strong(out, &empty, item)) w->put++;
  else item_free(item);
  item_t* got = atomic_exchange(&rings[(w->index + 1) % worker_count][w->taken % RING], NULL);
  if (got != NULL) w->taken++;
  item_free(got);
}

/* A private heap whose blocks stay here is destroyed at once; one whose blocks travel is deleted. */
static void use_heap(worker_t* w) {
#ifdef MALLOC_ONLY
  (void)w;
#else
  item_t* items[64];
  mi_heap_t* heap = mi_heap_new();
  CHECK(heap != NULL, "mi_heap_new: out of memory");
  for (int i = 0; i < 64; i++) {
    const size_t size = pick_size(&w->random) % (512 * KIB);
    items[i] = item_of((unsigned char*)mi_heap_malloc(heap, size), size);
  }
  for (int i = 0; i < 32; i++) {
    item_free(items[i]);
    items[i] = NULL;
  }
  if (random_below(&w->random, 2) == 0) {
    for (int i = 32; i < 64; i++) {
      item_check(items[i]);
      t_free(items[i]); /* the block goes with its heap */
    }
    mi_heap_destroy(heap);
    return;
  }
  for (int i = 32; i < 48; i++) exchange_mail(w, &items[i]);
  mi_heap_delete(heap);
  for (int i = 32; i < 64; i++) item_free(items[i]);
#endif
}

static void fork_here(worker_t* w);

static void worker_step(worker_t* w) {
  item_t** mine = &w->held[random_below(&w->random, HOLD)];
  const size_t action = random_below(&w->random, 4096);
  if (action < 1) t_collect();
  else if (action < 4) use_heap(w);
  else if (action == 4 && random_below(&w->random, 16) == 0) fork_here(w);
  else if (action < 400) pass_along(w);
  else if (action < 900) exchange_mail(w, mine);
  else if (*mine == NULL) *mine = item_new(&w->random);
  else if (action < 1800) item_resize(*mine, &w->random);
  else {
    item_free(*mine);
    *mine = NULL;
  }
}

static void drop_held(worker_t* w) {
  for (int i = 0; i < HOLD; i++) {
    item_free(w->held[i]);
    w->held[i] = NULL;
  }
}

/* One life: some operations, then exit; half of the lives leave their blocks to the mailbox. */
static void* worker_main(void* arg) {
  worker_t* w = (worker_t*)arg;
  const size_t steps = random_below(&w->random, random_below(&w->random, 4) == 0 ? 20000 : 1000);
  size_t i = 0;
  for (; i < steps && !atomic_load_explicit(&stop, memory_order_relaxed); i++) worker_step(w);
  atomic_fetch_add(&operations, i);
  if (random_below(&w->random, 2) == 0) {
    for (int k = 0; k < HOLD; k++) exchange_mail(w, &w->held[k]);
  }
  drop_held(w);
  atomic_store(&w->done, true);
  return NULL;
}

static void worker_start(worker_t* w) {
  atomic_store(&w->done, false);
  w->running = true;
  w->thread = thread_start(&worker_main, w);
}

/* ---------- fork ---------- */

static void drain_slots(void) {
  for (unsigned i = 0; i < MAILBOX; i++) item_free(atomic_exchange(&mailbox[i], NULL));
  for (unsigned r = 0; r < WORKERS_MAX; r++) {
    for (unsigned i = 0; i < RING; i++) item_free(atomic_exchange(&rings[r][i], NULL));
  }
}

/* The child of a fork at any moment: free what the parent's threads made, run two workers of its own. */
static void child_main(uint64_t seed) {
  in_child = true;
  watchdog(60);
  static worker_t life[2];
  drain_slots();
  atomic_store(&stop, false);
  for (unsigned i = 0; CHILD_STARTS_THREADS && i < 2; i++) {
    life[i].index = i;
    life[i].random = seed + i;
    worker_start(&life[i]);
  }
  for (unsigned i = 0; CHILD_STARTS_THREADS && i < 2; i++) thread_join(life[i].thread);
  drain_slots();
  t_collect();
  _exit(0);
}

static void fork_and_wait(uint64_t seed) {
  const pid_t pid = fork();
  if (pid == 0) child_main(seed);
  expect_child_success(pid, "fork in the middle");
}

static void fork_here(worker_t* w) {
  if (in_child) return;
  const pid_t pid = fork();
  if (pid == 0) {
    watchdog(60);
    for (int i = 0; i < HOLD; i++) {
      if (w->held[i] != NULL) item_resize(w->held[i], &w->random);
    }
    drop_held(w);
    child_main(w->random);
  }
  expect_child_success(pid, "fork by a worker");
}

/* ---------- the run ---------- */

static void run(uint64_t seed, double seconds) {
  const double start = now_seconds();
  double next_fork = start + FORK_EVERY_MS / 1000.0;
  unsigned lives = 0, forks = 0;
  uint64_t random = seed;
  for (unsigned i = 0; i < worker_count; i++) {
    workers[i].index = i;
    workers[i].random = random_next(&random);
    worker_start(&workers[i]);
  }
  while (now_seconds() - start < seconds) {
    for (unsigned i = 0; i < worker_count; i++) {
      if (!atomic_load(&workers[i].done)) continue;
      thread_join(workers[i].thread);
      worker_start(&workers[i]);
      lives++;
    }
    if (now_seconds() > next_fork) {
      fork_and_wait(random_next(&random));
      forks++;
      next_fork = now_seconds() + FORK_EVERY_MS / 1000.0;
    }
    sleep_ms(1);
  }
  atomic_store(&stop, true);
  for (unsigned i = 0; i < worker_count; i++) thread_join(workers[i].thread);
  drain_slots();
  printf("stress: %llu operations, %u threads' lives, %u forks, %.1f s\n",
         (unsigned long long)atomic_load(&operations), lives, forks, now_seconds() - start);
}

static uint64_t argument(int argc, char** argv, const char* name, uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 0);
  }
  return otherwise;
}

int main(int argc, char** argv) {
  const uint64_t entropy = mix64((uint64_t)time(NULL) ^ ((uint64_t)getpid() << 32));
  const uint64_t seed = argument(argc, argv, "--seed", entropy);
  const unsigned seconds = (unsigned)argument(argc, argv, "--seconds", 6);
  worker_count = (unsigned)argument(argc, argv, "--threads", 4);
  if (worker_count < 1 || worker_count > WORKERS_MAX) worker_count = 4;
  printf("stress: --seed %llu --seconds %u --threads %u\n", (unsigned long long)seed, seconds, worker_count);
  fflush(stdout);
  watchdog(seconds + 120);
#ifndef MALLOC_ONLY
  shared_heap = mi_heap_new();
  CHECK(shared_heap != NULL, "mi_heap_new: out of memory");
#endif
  run(seed, seconds);
#ifndef MALLOC_ONLY
  mi_heap_delete(shared_heap);
#endif
  t_collect();
  return 0;
}
