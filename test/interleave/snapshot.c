/* SPDX-License-Identifier: MIT */
/* The state lives in memory of its own, outside of every region, and is reached through one pointer that
   is set before the first snapshot: so restoring the executable's variables leaves it alone. */
#include "snapshot.h"

#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, REGIONS = 32, PAGES = 32768, EDGES = 8 };

typedef struct region_s {
  char* start;
  size_t size;
} region_t;

typedef struct snapshot_s {
  region_t region[REGIONS]; /* whole pages, write-protected until written */
  size_t regions;
  char* page[PAGES]; /* pages written since snapshot_take */
  size_t pages;
  char* copies;         /* PAGES pages: their contents then */
  region_t edge[EDGES]; /* the executable's variables before the first and behind the last whole page */
  size_t edges;
  char edge_copy[EDGES][PAGE];
  bool taken;
  void (*crashed)(int);
} snapshot_t;

static snapshot_t* self;

static void* map(size_t size) {
  void* const p =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) abort();
  return p;
}

static bool covers(const char* p) {
  for (size_t i = 0; i < self->regions; i++) {
    if (p >= self->region[i].start && p < self->region[i].start + self->region[i].size) return true;
  }
  return false;
}

static bool kept(const char* page) {
  for (size_t i = 0; i < self->pages; i++) {
    if (self->page[i] == page) return true;
  }
  return false;
}

static void first_write(int signal_number, siginfo_t* info, void* context) {
  (void)context;
  char* const page = (char*)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
  if (signal_number != SIGSEGV || !self->taken || !covers(page) || kept(page) || self->pages == PAGES) {
    self->crashed(signal_number);
    _exit(2);
  }
  memcpy(self->copies + self->pages * PAGE, page, PAGE);
  self->page[self->pages++] = page;
  if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0) _exit(2);
}

static void add_edge(uintptr_t start, uintptr_t end) {
  if (start >= end) return;
  if (self->edges == EDGES) abort();
  self->edge[self->edges++] = (region_t){(char*)start, end - start};
}

static void add_variables(uintptr_t start, uintptr_t end) {
  const uintptr_t first = (start + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
  const uintptr_t last = end & ~(uintptr_t)(PAGE - 1);
  if (first > last) return add_edge(start, end);
  add_edge(start, first);
  if (first < last) snapshot_add((void*)first, last - first);
  add_edge(last, end);
}

/* The executable's writable segments, without what the loader makes read-only after relocation. */
static int add_executable(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size, (void)data;
  uintptr_t relro_end = 0;
  for (size_t i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* const h = &info->dlpi_phdr[i];
    if (h->p_type == PT_GNU_RELRO)
      relro_end = (info->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(uintptr_t)(PAGE - 1);
  }
  for (size_t i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* const h = &info->dlpi_phdr[i];
    if (h->p_type != PT_LOAD || (h->p_flags & PF_W) == 0) continue;
    const uintptr_t start = info->dlpi_addr + h->p_vaddr;
    const uintptr_t end = start + h->p_memsz;
    if (end <= relro_end) continue;
    add_variables(start < relro_end ? relro_end : start, end);
  }
  return 1; /* the executable comes first */
}

void snapshot_init(void (*crashed)(int)) {
  self = map(sizeof(snapshot_t));
  self->copies = map((size_t)PAGES * PAGE);
  self->crashed = crashed;
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = first_write;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  sigaction(SIGABRT, &action, NULL);
  sigaction(SIGFPE, &action, NULL);
  sigaction(SIGILL, &action, NULL);
  sigaction(SIGALRM, &action, NULL);
  dl_iterate_phdr(add_executable, NULL);
}

void snapshot_add(void* start, size_t size) {
  if (self->regions == REGIONS || ((uintptr_t)start | size) % PAGE != 0) abort();
  self->region[self->regions++] = (region_t){start, size};
}

void snapshot_remove(void* start, size_t size) {
  for (size_t i = 0; i < self->regions; i++) {
    if (self->region[i].start != start || self->region[i].size != size) continue;
    self->region[i] = self->region[--self->regions];
    return;
  }
}

void snapshot_take(void) {
  self->pages = 0;
  self->taken = true;
  for (size_t i = 0; i < self->edges; i++)
    memcpy(self->edge_copy[i], self->edge[i].start, self->edge[i].size);
  for (size_t i = 0; i < self->regions; i++) {
    if (mprotect(self->region[i].start, self->region[i].size, PROT_READ) != 0) abort();
  }
}

void snapshot_restore(void) {
  for (size_t i = 0; i < self->pages; i++) memcpy(self->page[i], self->copies + i * PAGE, PAGE);
  for (size_t i = 0; i < self->edges; i++)
    memcpy(self->edge[i].start, self->edge_copy[i], self->edge[i].size);
}

void snapshot_drop(void) {
  for (size_t i = 0; i < self->regions; i++) {
    if (mprotect(self->region[i].start, self->region[i].size, PROT_READ | PROT_WRITE) != 0) abort();
  }
  self->taken = false;
}
