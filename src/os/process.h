/* SPDX-License-Identifier: MIT */
/* What the process can be asked about itself; the rules of os/os.h hold. */
#pragma once

#include "base/config.h"

/* Call visit with each entry NAME=value of the environment that starts with `prefix` (letter case ignored)
   and is at most 255 characters long.  Works before the C library has set up its own environment pointer.
   A process with elevated privileges has none, as far as this function tells. */
void os_environment(const char* prefix, void (*visit)(const char* entry));

typedef enum os_place_e {
  OS_PLACE_UNKNOWN,  /* it cannot be found out */
  OS_PLACE_UNMAPPED, /* no memory, or none that can be written */
  OS_PLACE_STACK,    /* a stack, as far as the system or the stack pointer tells */
  OS_PLACE_STATIC,   /* a mapped file: code, static data */
  OS_PLACE_HEAP,     /* the program break's area, or anonymous memory */
} os_place_t;

typedef struct os_region_s {
  os_place_t place;
  uintptr_t start; /* the mapping around the address: [start, end) */
  uintptr_t end;
} os_region_t;

/* What kind of memory is at p.  Slow (reads the list of mappings). */
os_region_t os_region_of(const void* p);

long os_thread_id(void); /* the calling thread's, as the system and debuggers name it */
/* Return addresses of the calling thread's frames, at most `most`; how many, 0 when it cannot be told. */
int os_backtrace(void** frames, int most);
const void* os_program_entry(void); /* where the program, not a library of it, begins */

typedef struct os_usage_s {
  size_t user_ms;
  size_t system_ms;
  size_t peak_rss;    /* bytes */
  size_t page_faults; /* those that read from a disk */
} os_usage_t;

/* What the process has used so far; zeros where the system does not tell. */
os_usage_t os_process_usage(void);
