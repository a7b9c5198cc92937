/* SPDX-License-Identifier: MIT */
/* The state lives in memory of its own, outside of every region, and is reached through one pointer that
   is set before the first snapshot: so restoring the executable's variables leaves it alone. */
#include "snapshot.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, REGIONS = 32, PAGES = 32768 };

typedef struct region_s {
  char* start;
  size_t size;
} region_t;

typedef struct snapshot_s {
  region_t region[REGIONS]; /* whole pages, write-protected until written */
  size_t regions;
  char* page[PAGES]; /* pages written since snapshot_take */
  size_t pages;
  char* copies; /* PAGES pages: their contents then */
  region_t edge[2]; /* the executable's variables before its first and behind its last whole page */
  char edge_copy[2][PAGE];
  bool taken;
  void (*crashed)(int);
} snapshot_t;

extern char __data_start[], _end[]; /* the executable's variables, from the linker */

static snapshot_t* self;

static void* map(size_t size) {
  void* const p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
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

  char* const first = (char*)(((uintptr_t)__data_start + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
  char* const last = (char*)((uintptr_t)_end & ~(uintptr_t)(PAGE - 1));
  if (first < last) {
    snapshot_add(first, (size_t)(last - first));
    self->edge[0] = (region_t){__data_start, (size_t)(first - __data_start)};
    self->edge[1] = (region_t){last, (size_t)(_end - last)};
  } else {
    const size_t size = (size_t)(_end - __data_start);
    const size_t half = size < PAGE ? size : PAGE; /* less than two pages */
    self->edge[0] = (region_t){__data_start, half};
    self->edge[1] = (region_t){__data_start + half, size - half};
  }
}

void snapshot_add(void* start, size_t size) {
  if (self->regions == REGIONS || ((uintptr_t)start | size) % PAGE != 0) abort();
  self->region[self->regions++] = (region_t){start, size};
}

void snapshot_take(void) {
  self->pages = 0;
  self->taken = true;
  for (size_t i = 0; i < 2; i++) memcpy(self->edge_copy[i], self->edge[i].start, self->edge[i].size);
  for (size_t i = 0; i < self->regions; i++) {
    if (mprotect(self->region[i].start, self->region[i].size, PROT_READ) != 0) abort();
  }
}

void snapshot_restore(void) {
  for (size_t i = 0; i < self->pages; i++) memcpy(self->page[i], self->copies + i * PAGE, PAGE);
  for (size_t i = 0; i < 2; i++) memcpy(self->edge[i].start, self->edge_copy[i], self->edge[i].size);
}

void snapshot_drop(void) {
  for (size_t i = 0; i < self->regions; i++) {
    if (mprotect(self->region[i].start, self->region[i].size, PROT_READ | PROT_WRITE) != 0) abort();
  }
  self->taken = false;
}
