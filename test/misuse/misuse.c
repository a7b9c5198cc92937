/* SPDX-License-Identifier: MIT */
/* One tiny program per misuse, chosen by name.  It prints the misused pointer as `pointer=0x...`, misuses it,
   and, if it is still alive (continuing was asked for), proves that the allocator still works and exits 0.
   misuse.py runs them all and judges how they die.  Compiled with the mi_ names and with
   the standard ones. */
#include "stress/support.h"

static char static_area[4096];

/* The bad pointers pass through here, so that no compiler sees what they are. */
static void* hidden(void* p) {
  static void* volatile slot;
  slot = p;
  return slot;
}

static void* named(void* p) {
  printf("pointer=%p\n", p);
  fflush(stdout);
  return hidden(p);
}

static void* block_of(size_t size) {
  void* p = t_malloc(size);
  CHECK(p != NULL, "out of memory");
  memset(p, 0x11, size);
  return p;
}

static void free_twice(size_t size) {
  void* other = block_of(size); /* the page stays in use */
  void* p = named(block_of(size));
  t_free(p);
  t_free(hidden(p));
  t_free(other);
}

static void* free_it(void* p) {
  t_free(p);
  return NULL;
}

static void double_free_small(void) { free_twice(40); }
static void double_free_tiny(void) { free_twice(16); }
static void double_free_medium(void) { free_twice(20000); }
static void double_free_large(void) { free_twice(300000); }
static void double_free_huge(void) { free_twice(40 * MIB); }

static void double_free_other_thread(void) {
  void* other = block_of(64);
  void* p = named(block_of(64));
  t_free(p);
  thread_join(thread_start(&free_it, p));
  t_free(other);
}

static void double_free_both_other_threads(void) {
  void* other = block_of(64);
  void* p = named(block_of(64));
  thread_join(thread_start(&free_it, p));
  thread_join(thread_start(&free_it, p));
  t_free(other);
}

static void double_free_own_after_other_thread(void) {
  void* other = block_of(64);
  void* p = named(block_of(64));
  thread_join(thread_start(&free_it, p));
  t_free(hidden(p));
  t_free(other);
}

static void double_free_after_others(void) {
  void* blocks[20];
  for (int i = 0; i < 20; i++) blocks[i] = block_of(96);
  void* p = named(blocks[7]);
  t_free(p);
  for (int i = 10; i < 19; i++) t_free(blocks[i]);
  t_free(hidden(p));
  t_free(blocks[0]);
}

/* Long ago: the memory of the block has gone back to the system, while others of its page live. */
static void double_free_in_hole(void) {
  enum { BLOCKS = 6400 };
  static void* blocks[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) blocks[i] = block_of(1000);
  for (int i = 0; i < BLOCKS; i++) {
    if (i % 20 != 0) t_free(blocks[i]);
  }
  t_collect();
  t_free(named(blocks[BLOCKS / 2 + 10]));
  for (int i = 0; i < BLOCKS; i += 20) t_free(blocks[i]);
}

static void double_free_by_realloc(void) {
  void* other = block_of(100);
  void* p = named(block_of(100));
  t_free(p);
  if (t_realloc(hidden(p), 50000) != NULL) printf("realloc of a freed block gave a block\n");
  t_free(other);
}

static void double_free_after_realloc(void) {
  void* other = block_of(100);
  void* p = named(block_of(100));
  void* q = t_realloc(p, 60000); /* moves: p is freed */
  t_free(hidden(p));
  t_free(q);
  t_free(other);
}

static void free_inside(size_t size, size_t offset) {
  char* p = (char*)block_of(size);
  t_free(named(p + offset));
}

static void interior_small(void) { free_inside(256, 64); }
static void interior_medium(void) { free_inside(20000, 4096); }
static void interior_large(void) { free_inside(300000, 65536); }
static void interior_huge(void) { free_inside(40 * MIB, 8 * MIB); }
static void interior_huge_near(void) { free_inside(40 * MIB, 16); }
static void misaligned_small(void) { free_inside(200, 3); }
static void misaligned_large(void) { free_inside(500000, 1); }

static void stack_pointer(void) {
  char area[256];
  t_free(named(area + 64));
}

static void static_pointer(void) { t_free(named(static_area + 1024)); }

static void foreign_pointer(void) {
  char* p = (char*)mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  t_free(named(p + 64 * KIB));
}

static void garbage_pointer(void) { t_free(named((void*)(uintptr_t)0x1234567890)); }
static void garbage_odd_pointer(void) { t_free(named((void*)(uintptr_t)0x7)); }
static void non_canonical_pointer(void) { t_free(named((void*)(uintptr_t)0xDEADBEEFDEADBEE0)); }

/* Beyond every block, but near them: address space the allocator may hold without using it. */
static void unused_pointer(void) {
  char* p = (char*)block_of(100);
  t_free(named((char*)((uintptr_t)p & ~(uintptr_t)0xFFFF) + 48 * MIB + 128));
}

/* The block of a page never handed out yet. */
static void uncarved_pointer(void) {
  char* p = (char*)block_of(512);
  t_free(named((char*)((uintptr_t)p & ~(uintptr_t)0xFFFF) + 0xF000));
}

/* Carved with its neighbours, never handed out. */
static void never_handed_out(void) {
  char* p = (char*)block_of(512);
  t_free(named(p + 512));
}

static void never_handed_out_other_thread(void) {
  char* p = (char*)block_of(512);
  thread_join(thread_start(&free_it, named(p + 512)));
}

static void freed_huge(void) {
  void* p = named(block_of(100 * MIB));
  t_free(p);
  t_collect();
  t_free(hidden(p));
}

static void interior_of_freed_huge(void) {
  char* p = (char*)block_of(100 * MIB);
  t_free(p);
  t_free(named(p + MIB));
}

static void realloc_stack(void) {
  char area[256];
  if (t_realloc(named(area + 64), 1000) != NULL) printf("realloc of a stack pointer gave a block\n");
}

static void realloc_interior(void) {
  char* p = (char*)block_of(1000);
  if (t_realloc(named(p + 32), 5000) != NULL) printf("realloc of an interior pointer gave a block\n");
}

/* The mi_ function answers 0 for a pointer that is not ours: no misuse.  Inside a block it is one. */
static void usable_size_interior(void) {
  char* p = (char*)block_of(1000);
  if (t_usable_size(named(p + 32)) > 1000) printf("usable size of an interior pointer\n");
}

typedef struct misuse_s {
  const char* name;
  void (*run)(void);
} misuse_t;

#define MISUSE(name) {#name, &name}
static const misuse_t misuses[] = {
  MISUSE(double_free_small), MISUSE(double_free_tiny), MISUSE(double_free_medium), MISUSE(double_free_large),
  MISUSE(double_free_huge), MISUSE(double_free_other_thread), MISUSE(double_free_both_other_threads),
  MISUSE(double_free_own_after_other_thread), MISUSE(double_free_after_others),
  MISUSE(double_free_in_hole),
  MISUSE(double_free_by_realloc),
  MISUSE(double_free_after_realloc), MISUSE(interior_small), MISUSE(interior_medium), MISUSE(interior_large),
  MISUSE(interior_huge), MISUSE(interior_huge_near), MISUSE(misaligned_small), MISUSE(misaligned_large),
  MISUSE(stack_pointer), MISUSE(static_pointer), MISUSE(foreign_pointer), MISUSE(garbage_pointer),
  MISUSE(garbage_odd_pointer), MISUSE(non_canonical_pointer), MISUSE(unused_pointer),
  MISUSE(uncarved_pointer), MISUSE(never_handed_out), MISUSE(never_handed_out_other_thread),
  MISUSE(freed_huge), MISUSE(interior_of_freed_huge), MISUSE(realloc_stack), MISUSE(realloc_interior),
  MISUSE(usable_size_interior),
};

/* After a tolerated misuse no block may be handed out twice, and all keep their contents. */
static void still_works(void) {
  enum { COUNT = 4000 };
  static void* blocks[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    const size_t size = (i % 100 == 0 ? 300000 : 16 + i % 300);
    blocks[i] = t_malloc(size);
    CHECK(blocks[i] != NULL, "out of memory after the misuse");
    payload_fill(blocks[i], size, i);
  }
  for (size_t i = 0; i < COUNT; i++) {
    payload_check(blocks[i], i % 100 == 0 ? 300000 : 16 + i % 300, i);
    t_free(blocks[i]);
  }
  t_collect();
}

int main(int argc, char** argv) {
  for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
    if (argc < 2) printf("%s\n", misuses[i].name);
    else if (strcmp(argv[1], misuses[i].name) == 0) {
      misuses[i].run();
      still_works();
      printf("continued\n");
      return 0;
    }
  }
  return argc < 2 ? 0 : 2;
}
