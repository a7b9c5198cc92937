/* SPDX-License-Identifier: MIT */
/* Testifies which malloc serves a process.

   Preloaded before the allocator under test (or alone, for the system's malloc; it defines no function of
   theirs), it appends two lines to the file named by PROGRAMS_WITNESS: one when the process starts and one
   when it exits. Both name the mapped file that contains the `malloc` every call of the program resolves to,
   found in /proc/self/maps by its address. The line at exit adds the mapped libraries whose name speaks of an
   allocator, and the bytes that glibc's own heap took from the system: more than zero when glibc served the
   process, near zero when another allocator did. Allocates nothing itself before the exit. Being first, it is
   destroyed first: before the allocator prints its statistics. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct maps_s {
  char provider[512];  /* the file that maps the address asked for */
  char libraries[512]; /* names of mapped allocator libraries, each with a comma in front */
} maps_t;

static const char* base_name(const char* file) {
  const char* const slash = strrchr(file, '/');
  return slash == NULL ? file : slash + 1;
}

/* One line of /proc/self/maps: "from-to perms offset device inode   path". */
static void read_line(maps_t* maps, const char* line, uintptr_t address) {
  const char* const file = strchr(line, '/');
  if (file == NULL) return;
  char* end = NULL;
  const uintptr_t from = (uintptr_t)strtoull(line, &end, 16);
  const uintptr_t to = (uintptr_t)strtoull(end + 1, NULL, 16);
  if (address >= from && address < to) snprintf(maps->provider, sizeof maps->provider, "%s", file);
  const char* const name = base_name(file);
  if (strstr(name, "alloc") == NULL && strstr(name, "hoard") == NULL && strstr(name, "scudo") == NULL) return;
  if (strncmp(name, "lib", 3) != 0 || strstr(maps->libraries, name) != NULL) return;
  const size_t used = strlen(maps->libraries);
  snprintf(maps->libraries + used, sizeof maps->libraries - used, ",%s", name);
}

static void read_maps(maps_t* maps, uintptr_t address) {
  static char buffer[16384];
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  size_t held = 0;
  for (;;) {
    const ssize_t got = read(file, buffer + held, sizeof buffer - 1 - held);
    if (got <= 0) break;
    held += (size_t)got;
    buffer[held] = '\0';
    char* line = buffer;
    for (char* end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
      *end = '\0';
      read_line(maps, line, address);
      line = end + 1;
    }
    held -= (size_t)(line - buffer);
    memmove(buffer, line, held);
  }
  close(file);
}

/* Where a call of malloc goes. The address of `malloc` will not do: in a program that is not position
   independent it is the program's own PLT entry. What counts is the slot the loader filled for a call, found
   through this library's own relocations, which -z now has it fill before the first instruction runs. */
static uintptr_t malloc_address(void) {
  const ElfW(Sym)* symbols = NULL;
  const char* names = NULL;
  const ElfW(Rela)* slots = NULL;
  size_t bytes = 0;
  Dl_info self;
  if (dladdr(_DYNAMIC, &self) == 0) return 0;
  for (const ElfW(Dyn)* entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag == DT_SYMTAB) symbols = (const void*)entry->d_un.d_ptr;
    if (entry->d_tag == DT_STRTAB) names = (const void*)entry->d_un.d_ptr;
    if (entry->d_tag == DT_JMPREL) slots = (const void*)entry->d_un.d_ptr;
    if (entry->d_tag == DT_PLTRELSZ) bytes = entry->d_un.d_val;
  }
  for (size_t i = 0; i < bytes / sizeof *slots; i++) {
    const char* const name = names + symbols[ELF64_R_SYM(slots[i].r_info)].st_name;
    if (strcmp(name, "malloc") == 0) return *(uintptr_t*)((uintptr_t)self.dli_fbase + slots[i].r_offset);
  }
  return 0;
}

/* Bytes glibc's heap holds, whoever interposes on mallinfo2, and on dlopen for the name libc.so.6. */
static size_t glibc_bytes(void) {
  Dl_info where;
  if (dladdr(dlsym(RTLD_DEFAULT, "getpid"), &where) == 0) return 0;
  void* const libc = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (libc == NULL) return 0;
  struct mallinfo2 (*info)(void);
  *(void**)&info = dlsym(libc, "mallinfo2");
  if (info == NULL) return 0;
  const struct mallinfo2 held = info();
  return held.arena + held.hblkhd;
}

static char
    path[512]; /* where to write: kept, because programs may free their environment before they exit */

static void testify(const char* event, size_t glibc) {
  if (path[0] == '\0') return;
  static maps_t maps;
  memset(&maps, 0, sizeof maps);
  read_maps(&maps, malloc_address());
  char program[256];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  program[length < 0 ? 0 : length] = '\0';
  static char text[2048];
  const int size = snprintf(text, sizeof text, "%s\t%d\t%s\t%s\t%s\t%zu\n", event, (int)getpid(), program,
                            maps.provider, maps.libraries, glibc);
  const int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0) return;
  if (write(file, text, (size_t)size) != size) dprintf(2, "witness: cannot write\n");
  close(file);
}

__attribute__((constructor)) static void witness_start(void) {
  const char* const chosen = getenv("PROGRAMS_WITNESS");
  if (chosen == NULL) return;
  snprintf(path, sizeof path, "%s", chosen);
  testify("start", 0);
}

__attribute__((destructor)) static void witness_exit(void) {
  free(malloc(1)); /* the call whose slot malloc_address reads; it also wakes an allocator not used so far */
  testify("exit", glibc_bytes());
}
