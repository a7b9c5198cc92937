/* SPDX-License-Identifier: MIT */
/* Linux: the environment and the list of mappings, the latter (and the former, when the C library has none
   yet) read from /proc in pieces, through a buffer on the stack. */
#include "os/process.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "os/os.h"

/* Is p in an object that the loader knows?  musl's loader cannot say. */
#if defined(__GLIBC__)
#pragma weak _dl_find_object /* since glibc 2.35 */
static bool in_loaded_object(const void* p) {
  struct dl_find_object object;
  return _dl_find_object != NULL && _dl_find_object((void*)(uintptr_t)p, &object) == 0;
}
#else
static bool in_loaded_object(NOT_USED const void* p) { return false; }
#endif

enum { ENTRY_MAX = 256, BUFFER_SIZE = 4096 };

/* A file read character by character. */
typedef struct reader_s {
  int file;
  size_t at;
  size_t filled;
  char buffer[BUFFER_SIZE];
} reader_t;

/* Plain system calls: open and read of the C library are cancellation points. */
static bool reader_open(reader_t* reader, const char* path) {
  reader->at = reader->filled = 0;
  reader->file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  return reader->file >= 0;
}

static int reader_next(reader_t* reader) {
  if (reader->at == reader->filled) {
    long got;
    do {
      got = syscall(SYS_read, reader->file, reader->buffer, sizeof(reader->buffer));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return -1;
    reader->at = 0;
    reader->filled = (size_t)got;
  }
  return (unsigned char)reader->buffer[reader->at++];
}

static void reader_close(reader_t* reader) { syscall(SYS_close, reader->file); }

/* The text up to `separator` or the end, cut off at `size` - 1 characters.  False: there is no more. */
static bool reader_line(reader_t* reader, char separator, char* line, size_t* length, size_t size) {
  *length = 0;
  int c = reader_next(reader);
  if (c < 0) return false;
  for (; c >= 0 && c != separator; c = reader_next(reader)) {
    if (*length < size - 1) line[*length] = (char)c;
    (*length)++;
  }
  line[*length < size - 1 ? *length : size - 1] = 0;
  return true;
}

static void visit_early_environment(const char* prefix, void (*visit)(const char* entry)) {
  reader_t reader;
  if (!reader_open(&reader, "/proc/self/environ")) return;
  char entry[ENTRY_MAX];
  size_t length;
  while (reader_line(&reader, 0, entry, &length, sizeof(entry))) {
    if (length < sizeof(entry) && strncasecmp(entry, prefix, strlen(prefix)) == 0) visit(entry);
  }
  reader_close(&reader);
}

void os_environment(const char* prefix, void (*visit)(const char* entry)) {
  KEEP_ERRNO;
  if (getauxval(AT_SECURE) == 0) {
    if (environ == NULL) {
      visit_early_environment(prefix, visit);
    } else {
      for (char** entry = environ; *entry != NULL; entry++) {
        if (strncasecmp(*entry, prefix, strlen(prefix)) == 0 && strlen(*entry) < ENTRY_MAX) visit(*entry);
      }
    }
  }
}

/* A line of /proc/self/maps: "start-end rwxp offset device inode   name". */
static os_region_t parse_mapping(const char* line) {
  os_region_t region = {.place = OS_PLACE_UNMAPPED};
  char* end;
  region.start = strtoul(line, &end, 16);
  if (*end != '-') return region;
  region.end = strtoul(end + 1, &end, 16);
  line = end;
  const bool writable = line[0] == ' ' && line[1] == 'r' && line[2] == 'w';
  for (int fields = 0; fields < 3 && *line != 0; fields++) line += 1 + strcspn(line + 1, " ");
  const char* inode = line + strspn(line, " ");
  const char* name = inode + strcspn(inode, " ");
  name += strspn(name, " ");
  if (strncmp(name, "[stack", 6) == 0) {
    region.place = OS_PLACE_STACK;
  } else if (inode[0] != '0' || name[0] == '/') {
    region.place = OS_PLACE_STATIC;
  } else if (writable) {
    region.place = OS_PLACE_HEAP;
  }
  return region;
}

/* What the list of mappings does not say: stacks of threads are anonymous memory with the thread's control
   block at their end, and zero-initialised static data is anonymous memory behind its file. */
static os_place_t refine(const void* p, os_region_t region) {
  if (region.place != OS_PLACE_HEAP) return region.place;
  const uintptr_t address = (uintptr_t)p;
  const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
  const uintptr_t thread = (uintptr_t)pthread_self();
  if (frame >= region.start && frame <= address && address < thread && thread < region.end)
    return OS_PLACE_STACK;
  return in_loaded_object(p) ? OS_PLACE_STATIC : OS_PLACE_HEAP;
}

os_region_t os_region_of(const void* p) {
  KEEP_ERRNO;
  os_region_t found = {.place = OS_PLACE_UNKNOWN};
  reader_t reader;
  if (reader_open(&reader, "/proc/self/maps")) {
    found.place = OS_PLACE_UNMAPPED;
    char line[ENTRY_MAX];
    size_t length;
    while (reader_line(&reader, '\n', line, &length, sizeof(line))) {
      const os_region_t region = parse_mapping(line);
      if ((uintptr_t)p >= region.start && (uintptr_t)p < region.end) {
        found = region;
        found.place = refine(p, region);
        break;
      }
    }
    reader_close(&reader);
  }
  return found;
}

static size_t milliseconds(struct timeval t) { return (size_t)t.tv_sec * 1000 + (size_t)t.tv_usec / 1000; }

os_usage_t os_process_usage(void) {
  KEEP_ERRNO;
  struct rusage usage = {0};
  getrusage(RUSAGE_SELF, &usage);
  const size_t peak = os_process_peak_rss();
  return (os_usage_t){.user_ms = milliseconds(usage.ru_utime), .system_ms = milliseconds(usage.ru_stime),
                      .peak_rss = peak != 0 ? peak : (size_t)usage.ru_maxrss * KiB,
                      .page_faults = (size_t)usage.ru_majflt};
}

long os_thread_id(void) { return syscall(SYS_gettid); }

int backtrace(void** frames, int most) __attribute__((weak)); /* musl has none */
int os_backtrace(void** frames, int most) { return backtrace != NULL ? backtrace(frames, most) : 0; }
const void* os_program_entry(void) { return (const void*)getauxval(AT_ENTRY); }
