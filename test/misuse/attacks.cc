/* SPDX-License-Identifier: MIT */
/* What attackers and bugs do to an allocator, each in a process of its own: `attacks NAME` ends by itself
   with 0 when nothing stopped it, and with 3 when the attack was prevented: what it was after was not there.
   Without a name it prints all names.  Which build stops what is in attacks.py. */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <sys/mman.h>

extern "C" {
struct mi_heap_s;
mi_heap_s* mi_heap_new(void) __attribute__((weak));
void* mi_heap_malloc(mi_heap_s* heap, size_t size) __attribute__((weak));
void free_sized(void* p, size_t size) __attribute__((weak));
void free_aligned_sized(void* p, size_t alignment, size_t size) __attribute__((weak));
}

namespace {

/* The compiler knows nothing of the pointer. */
char* opaque(void* p) {
  void* volatile slot = p;
  return static_cast<char*>(slot);
}

char* get(size_t size) { return opaque(malloc(size)); }
void put(char* p) { free(opaque(p)); }
void prevented() { _Exit(3); }

char* neighbour(size_t size) { /* live blocks on both sides, most likely, and not the first of a page */
  char* blocks[64];
  for (char*& block : blocks) block = get(size);
  for (int i = 0; i < 64; i++) {
    memset(blocks[i], 1, size);
  }
  int chosen = 32;
  while (size < 20000 && reinterpret_cast<uintptr_t>(blocks[chosen]) % 65536 < 256) chosen--;
  return blocks[chosen];
}

void churn(size_t size, int count) { /* blocks of the class come and go */
  for (int i = 0; i < count; i++) put(get(size));
}

void* free_it(void* p) {
  free(p);
  return nullptr;
}

void free_elsewhere(char* p) {
  pthread_t thread;
  pthread_create(&thread, nullptr, free_it, p);
  pthread_join(thread, nullptr);
}

/* ---- double free ---- */
void double_of(size_t size) {
  char* const p = get(size);
  put(p);
  put(p);
}
void double_8() { double_of(8); }
void double_100() { double_of(100); }
void double_1000() { double_of(1000); }
void double_10000() { double_of(10000); }
void double_100000() { double_of(100000); }
void double_10000000() { double_of(10000000); }
void double_delayed() {
  char* const p = get(100);
  char* others[100];
  for (char*& other : others) other = get(100);
  put(p);
  for (char* other : others) put(other);
  put(p);
}
void double_elsewhere() {
  char* const p = get(100);
  free_elsewhere(p);
  put(p);
}
void double_both_elsewhere() {
  char* const p = get(100);
  char* const other = get(100);
  free_elsewhere(p);
  free_elsewhere(other);
  free_elsewhere(p);
}
void double_by_realloc() {
  char* const p = get(100);
  put(p);
  get(0 * reinterpret_cast<uintptr_t>(opaque(realloc(p, 300))) + 1);
}
void double_after_realloc() {
  char* const p = get(100);
  opaque(realloc(p, 10000));
  put(p);
}
void double_aligned() {
  char* const p = opaque(memalign(256, 500));
  put(p);
  put(p);
}
void double_overwritten() { /* the program has written over what marks a free block */
  char* const p = get(100);
  put(p);
  memset(p, 0x41, 100);
  put(p);
}
void double_empty() { double_of(0); }

/* ---- invalid free ---- */
void free_at(size_t size, ptrdiff_t offset) { put(neighbour(size) + offset); }
void inside_small() { free_at(200, 64); }
void inside_odd() { free_at(200, 3); }
void inside_large() { free_at(300000, 65536); }
void before_small() { free_at(200, -16); }
void stack_pointer() {
  char local[200];
  put(opaque(local) + 64);
}
char static_area[4096];
void static_pointer() { put(opaque(static_area) + 1024); }
void small_number() { put(reinterpret_cast<char*>(uintptr_t{0x1230})); }
void unmapped_pointer() {
  void* const p = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(p, 65536);
  put(opaque(p));
}
void never_handed_out() {
  put(reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(neighbour(3000)) | 0xffff) + 1 - 3072));
}
void realloc_inside() { opaque(realloc(neighbour(200) + 16, 300)); }

/* ---- overflow ---- */
void overflow_by(size_t size, size_t bytes) {
  char* const p = neighbour(size);
  memset(p + size, 0x42, bytes);
  put(p);
}
void overflow_1_of_24() { overflow_by(24, 1); }
void overflow_1_of_20() { overflow_by(20, 1); }
void overflow_1_of_100() { overflow_by(100, 1); }
void overflow_8_of_1000() { overflow_by(1000, 8); }
void overflow_1_of_5000() { overflow_by(5000, 1); }
void overflow_16_of_20000() { overflow_by(20000, 16); }
void overflow_1_of_100000() { overflow_by(100000, 1); }
void overflow_200_of_100() { overflow_by(100, 200); }
void overflow_zero_byte() {
  char* const p = neighbour(100);
  p[100] = 0;
  put(p);
}
void overflow_then_realloc() {
  char* const p = neighbour(100);
  p[100] = 0x43;
  opaque(realloc(p, 3000));
}
void overflow_neighbour_freed() { /* the victim is freed, not the block that was overrun */
  char* const p = neighbour(104);
  memset(p + 104, 0x44, 8);
  char* const victim = p + 112;
  put(victim);
  put(p);
}

void overflow_read_large() {
  char* const p = neighbour(100000);
  if (p[100000 + 4096 - 100000 % 4096] == 1) put(p);
}
void overflow_jump_large() { /* over what checks look at */
  char* const p = neighbour(100000);
  p[100000 + 2000] = 0x45;
  put(p);
}
void overflow_long() { /* far beyond its page */
  char* const p = neighbour(64);
  memset(p, 0x45, 70000);
  put(p);
}

/* ---- underflow ---- */
void underflow_by(size_t size, size_t bytes) {
  char* const p = neighbour(size);
  for (size_t i = 1; i <= bytes; i++) p[-static_cast<ptrdiff_t>(i)] ^= 0x55;
  put(p);
}
void underflow_1_of_24() { underflow_by(24, 1); }
void underflow_1_of_100() { underflow_by(100, 1); }
void underflow_8_of_1000() { underflow_by(1000, 8); }
void underflow_16_of_3000() { underflow_by(3000, 16); }
void underflow_100_of_500() { underflow_by(500, 100); }
void underflow_1_of_100000() { underflow_by(100000, 1); }
void underflow_5000_of_100000() { neighbour(100000)[-5000] = 0x45; }

/* ---- use after free ---- */
void write_freed(size_t size, size_t at) {
  char* const p = get(size);
  put(p);
  memset(p + at, 0x46, 8);
  churn(size, 5000);
}
void write_freed_link() { write_freed(100, 0); }
void write_freed_second_word() { write_freed(100, 8); }
void write_freed_middle() { write_freed(1000, 500); }
void write_freed_end() { write_freed(1000, 996); }
void write_freed_large() { write_freed(3000000, 100000); }
void read_freed_large() {
  char* const p = get(3000000);
  memset(p, 0x47, 3000000);
  put(p);
  if (p[100000] != 0x47) prevented();
}
void write_freed_large_later() {
  char* const p = get(50000);
  put(p);
  for (int i = 0; i < 100; i++) put(get(60000));
  memset(p, 0x46, 8);
}
void read_freed() {
  char* const p = get(200);
  memset(p, 0x47, 200);
  put(p);
  if (p[100] != 0x47) prevented();
}
void reuse_at_once() { /* the attacker's block in the place of the victim's */
  char* const p = get(100);
  put(p);
  if (get(100) != p) prevented();
}

/* ---- a block of size 0 ---- */
void read_empty() { static_cast<volatile char*>(get(0))[0]; }
void write_empty() { get(0)[0] = 1; }
void write_empty_calloc() { opaque(calloc(0, 10))[0] = 1; }
void write_empty_realloc() { opaque(realloc(get(0), 0))[0] = 1; }
void write_empty_new() { opaque(::operator new(0))[0] = 1; }

/* ---- size, kind, alignment ---- */
void sized_wrong() {
  if (free_sized != nullptr) free_sized(get(100), 50);
}
void sized_aligned_wrong() {
  if (free_aligned_sized != nullptr) free_aligned_sized(opaque(aligned_alloc(64, 128)), 128, 128);
}
void delete_size_wrong() { ::operator delete(opaque(::operator new(100)), size_t{50}); }
void delete_array_size_wrong() { ::operator delete[](opaque(::operator new[](100)), size_t{200}); }
void delete_alignment_wrong() {
  ::operator delete(opaque(::operator new(100, std::align_val_t{64})), std::align_val_t{128});
}
void delete_malloc() { ::operator delete(get(100)); }
void delete_array_malloc() { ::operator delete[](get(100)); }
void free_new() { put(opaque(::operator new(100))); }
void free_new_array() { put(opaque(::operator new[](100))); }
void delete_array() { ::operator delete(opaque(::operator new[](100))); }
void delete_array_object() { ::operator delete[](opaque(::operator new(100))); }

/* ---- malloc_usable_size of a bad pointer ---- */
void usable_freed() {
  char* const p = get(100);
  put(p);
  malloc_usable_size(p);
}
void usable_inside() { malloc_usable_size(get(100) + 16); }
void usable_stack() {
  char local[200];
  malloc_usable_size(opaque(local) + 64);
}
void usable_number() { malloc_usable_size(reinterpret_cast<void*>(uintptr_t{0x1230})); }

/* ---- zeroing and reuse ---- */
void left_in(size_t size) { /* is the secret in any block that comes next? */
  char* const p = get(size);
  memset(p, 0x48, size);
  put(p);
  for (int i = 0; i < 2000; i++) {
    char* const q = get(size);
    if (q[size / 2] == 0x48) return;
    if (size > 100000) put(q);
  }
  prevented();
}
void secret_small() { left_in(100); }
void secret_medium() { left_in(5000); }
void secret_large() { left_in(1000000); }
void calloc_is_zero() {
  for (int i = 0; i < 3000; i++) {
    char* const p = get(1000);
    memset(p, 0x49, 1000);
    put(p);
    char* const q = opaque(calloc(10, 100));
    for (int k = 0; k < 1000; k++) {
      if (q[k] != 0) return;
    }
  }
  prevented();
}

/* ---- one type's object in the place of another's ---- */
struct victim_t {
  virtual int who() { return 1; }
  char rest[56];
};
int evil(void*) { return 2; }
using function_t = int (*)(void*);
function_t evil_table[2] = {evil, evil};

/* The victim's heap lives on; the attacker's is another one. */
void confuse(mi_heap_s* victims, mi_heap_s* attackers) {
  char* const place = opaque(mi_heap_malloc(victims, sizeof(victim_t)));
  victim_t* const victim = new (place) victim_t;
  for (int i = 0; i < 200; i++) new (mi_heap_malloc(victims, sizeof(victim_t))) victim_t;
  victim->~victim_t();
  put(place);
  for (int i = 0; i < 100000; i++) {
    void** const data = reinterpret_cast<void**>(opaque(mi_heap_malloc(attackers, sizeof(victim_t))));
    data[0] = evil_table;
    void* const table = *reinterpret_cast<void**>(place);
    if (table == evil_table && victim->who() == 2) return; /* the attacker's function has run */
  }
  prevented();
}
void confuse_in_one_heap() {
  mi_heap_s* const heap = mi_heap_new == nullptr ? nullptr : mi_heap_new();
  if (mi_heap_malloc != nullptr) confuse(heap, heap);
}
void confuse_across_heaps() {
  mi_heap_s* const heap = mi_heap_new == nullptr ? nullptr : mi_heap_new();
  if (mi_heap_malloc != nullptr) confuse(heap, mi_heap_new());
}

/* ---- where blocks lie ---- */
/* Not an attack: addresses of a fresh class, for layout.py. */
void print_layout() {
  for (int i = 0; i < 128; i++) printf("%p\n", static_cast<void*>(get(208)));
}

struct attack_t {
  const char* name;
  void (*run)();
};
#define ATTACK(name) {#name, name}
const attack_t attacks[] = {
    ATTACK(double_8),
    ATTACK(double_100),
    ATTACK(double_1000),
    ATTACK(double_10000),
    ATTACK(double_100000),
    ATTACK(double_10000000),
    ATTACK(double_delayed),
    ATTACK(double_elsewhere),
    ATTACK(double_both_elsewhere),
    ATTACK(double_by_realloc),
    ATTACK(double_after_realloc),
    ATTACK(double_aligned),
    ATTACK(double_overwritten),
    ATTACK(double_empty),
    ATTACK(inside_small),
    ATTACK(inside_odd),
    ATTACK(inside_large),
    ATTACK(before_small),
    ATTACK(stack_pointer),
    ATTACK(static_pointer),
    ATTACK(small_number),
    ATTACK(unmapped_pointer),
    ATTACK(never_handed_out),
    ATTACK(realloc_inside),
    ATTACK(overflow_1_of_24),
    ATTACK(overflow_1_of_20),
    ATTACK(overflow_1_of_100),
    ATTACK(overflow_8_of_1000),
    ATTACK(overflow_1_of_5000),
    ATTACK(overflow_16_of_20000),
    ATTACK(overflow_1_of_100000),
    ATTACK(overflow_200_of_100),
    ATTACK(overflow_zero_byte),
    ATTACK(overflow_then_realloc),
    ATTACK(overflow_neighbour_freed),
    ATTACK(overflow_read_large),
    ATTACK(overflow_jump_large),
    ATTACK(overflow_long),
    ATTACK(underflow_1_of_24),
    ATTACK(underflow_1_of_100),
    ATTACK(underflow_8_of_1000),
    ATTACK(underflow_16_of_3000),
    ATTACK(underflow_100_of_500),
    ATTACK(underflow_1_of_100000),
    ATTACK(underflow_5000_of_100000),
    ATTACK(write_freed_link),
    ATTACK(write_freed_second_word),
    ATTACK(write_freed_middle),
    ATTACK(write_freed_end),
    ATTACK(write_freed_large),
    ATTACK(write_freed_large_later),
    ATTACK(read_freed_large),
    ATTACK(read_freed),
    ATTACK(reuse_at_once),
    ATTACK(read_empty),
    ATTACK(write_empty),
    ATTACK(write_empty_calloc),
    ATTACK(write_empty_realloc),
    ATTACK(write_empty_new),
    ATTACK(sized_wrong),
    ATTACK(sized_aligned_wrong),
    ATTACK(delete_size_wrong),
    ATTACK(delete_array_size_wrong),
    ATTACK(delete_alignment_wrong),
    ATTACK(delete_malloc),
    ATTACK(delete_array_malloc),
    ATTACK(free_new),
    ATTACK(free_new_array),
    ATTACK(delete_array),
    ATTACK(delete_array_object),
    ATTACK(usable_freed),
    ATTACK(usable_inside),
    ATTACK(usable_stack),
    ATTACK(usable_number),
    ATTACK(secret_small),
    ATTACK(secret_medium),
    ATTACK(secret_large),
    ATTACK(calloc_is_zero),
    ATTACK(confuse_in_one_heap),
    ATTACK(confuse_across_heaps),
};

} // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "layout") == 0) print_layout();
  for (const attack_t& attack : attacks) {
    if (argc == 1) puts(attack.name);
    else if (strcmp(argv[1], attack.name) == 0) attack.run();
  }
  return 0;
}
