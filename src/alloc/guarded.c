/* SPDX-License-Identifier: MIT */
/* Sampled blocks: where they were allocated and freed, and what is said when a program runs into a guard.
   The handler of the fault is set by the first sampled allocation, and again by later ones when the program
   has set its own since; that is called after ours, or does what it would have done. */
#include "alloc/guarded.h"

#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "core/diagnostics.h"
#include "core/options.h"
#include "os/process.h"

static atomic_u32_t stacks_are_ready;
static struct sigaction programs_own; /* the program's handler */
enum { LOOK_AGAIN = 16 }; /* samples, from one look at the handlers to the next */
static atomic_u32_t samples;

/* The C library's unwinder loads a library at its first use, which must not happen inside an allocation. */
__attribute__((constructor)) static void prepare_stacks(void) {
  void* frame;
  if (!option_enabled(mi_option_guarded_sample_rate)) return;
  os_backtrace(&frame, 1);
  store_relaxed(&stacks_are_ready, 1u);
}

static NOINLINE void take_backtrace(backtrace_t* trace) {
  trace->thread = os_thread_id();
  trace->depth = load_relaxed(&stacks_are_ready) != 0 ? os_backtrace(trace->frames, STACK_DEPTH) : 0;
}

#pragma weak dladdr /* absent from static programs */
static void print_frame(int i, const char* code) {
  Dl_info in = {0};
  if (dladdr == NULL || dladdr(code, &in) == 0) in.dli_fname = in.dli_sname = "?";
  const char* const start = in.dli_sname != NULL ? (const char*)in.dli_saddr : (const char*)in.dli_fbase;
  report_line(LINE_ALWAYS, "    #%d %p %s+0x%zx", i, (const void*)code,
              in.dli_sname != NULL ? in.dli_sname : in.dli_fname, (size_t)(code - start));
}

static void print_backtrace(const char* what, const backtrace_t* trace) {
  report_line(LINE_ALWAYS, "  %s by thread %ld%s", what, trace->thread,
              trace->depth == 0 ? " (no stack)" : ":");
  for (int i = 0; i < trace->depth; i++) print_frame(i, (const char*)trace->frames[i]);
}

static void report_fault(fence_note_t* note, const char* at) {
  const char* const block = note->block;
  const bool freed = load_relaxed(&note->state) == NOTE_FREED;
  const bool before = at < block;
  const size_t distance = (size_t)(before ? block - at : at - block);
  const size_t bytes = before || freed ? distance : distance - note->size;
  backtrace_t access;
  report_error(ERROR_FAULT, EFAULT, "%s: access at %p, %zu bytes %s the block at %p of %zu bytes",
                    freed    ? "use after free"
                    : before ? "underflow"
                             : "overflow",
                    (const void*)at, bytes,
                    before  ? "before"
                    : freed ? "behind the start of"
                            : "behind",
                    (const void*)block, note->size);
  take_backtrace(&access);
  print_backtrace("accessed", &access);
  print_backtrace("allocated", &note->allocated);
  if (freed) print_backtrace("freed", &note->freed);
}

void guarded_describe(const void* p) {
  const fence_note_t* const note = fenced_freed(p);
  if (note == NULL || note->allocated.depth == 0) return;
  print_backtrace("allocated", &note->allocated);
  print_backtrace("freed", &note->freed);
}

/* The note of the block, live or freed, whose fence holds p. */
static fence_note_t* note_of(const void* p) {
  page_t* const page = page_of(p);
  return page != NULL ? fenced_note(page) : fenced_freed(p);
}

static void on_fault(int fault, siginfo_t* info, void* context) {
  KEEP_ERRNO;
  const struct sigaction* const next = &programs_own;
  fence_note_t* const note = note_of(info->si_addr);
  if (note != NULL && load_relaxed(&note->state) != NOTE_REPORTED) {
    report_fault(note, (const char*)info->si_addr);
    store_relaxed(&note->state, NOTE_REPORTED);
  }
  if ((next->sa_flags & SA_SIGINFO) != 0) {
    next->sa_sigaction(fault, info, context);
  } else if (next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) {
    next->sa_handler(fault);
  } else {
    sigaction(fault, next, NULL); /* the access is tried again, and the system does as it would have done */
  }
}

static void watch_faults(void) {
  struct sigaction now, ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
  ours.sa_sigaction = on_fault;
  if (sigaction(SIGSEGV, NULL, &now) != 0 || now.sa_sigaction == on_fault) return;
  programs_own = now;
  sigaction(SIGSEGV, &ours, NULL);
}

void guarded_allocated(page_t* page) {
  fence_note_t* const note = fenced_note(page);
  if (note == NULL) return;
  KEEP_ERRNO;
  if (add_relaxed(&samples, 1u) % LOOK_AGAIN == 0) watch_faults();
  take_backtrace(&note->allocated);
}

void guarded_freed(page_t* page) {
  fence_note_t* const note = fenced_note(page);
  if (note != NULL && note->allocated.depth != 0) take_backtrace(&note->freed);
}
