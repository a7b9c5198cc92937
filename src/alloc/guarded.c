/* SPDX-License-Identifier: MIT */
/* Sampled blocks: where they were allocated and freed, and what is said when a program runs into a guard.

   The first sampled allocation sets on_fault_first; a later one finds that the program has set a handler of
   its own since, which was given ours as the old one, and sets on_fault_again.  Each goes on to what it has
   replaced. So a program's handler that calls, or sets, the old one comes to on_fault_first, and to what was
   there before everything: nothing goes round in a circle. */

#include <dlfcn.h>
#include <signal.h>

#include "alloc/alloc.h"
#include "core/diagnostics.h"
#include "core/options.h"
#include "heap/fenced.h"
#include "os/process.h"

static atomic_u32_t stacks_are_ready;
static struct sigaction replaced[2]; /* by on_fault_first and on_fault_again */
static atomic_u32_t stage;           /* how many of them are set */

/* The C library's unwinder loads a library at its first use, which must not happen inside an allocation. */
void guarded_prepare(void) {
  void* frame;
  os_backtrace(&frame, 1);
  store_relaxed(&stacks_are_ready, 1u);
}
__attribute__((constructor)) static void prepare_by_option(void) {
  if (option_enabled(mi_option_guarded_sample_rate)) guarded_prepare();
}

static NOINLINE void take_backtrace(backtrace_t* trace) {
  trace->thread = os_thread_id();
  trace->depth = load_relaxed(&stacks_are_ready) != 0 ? os_backtrace(trace->frames, STACK_DEPTH) : 0;
}

#pragma weak dladdr /* absent from static programs */
static Dl_info object_of(const void* code) {
  Dl_info object = {0};
  if (dladdr == NULL || dladdr(code, &object) == 0) object.dli_fname = object.dli_sname = "?";
  return object;
}

/* Without the frames of this library, if it is no part of the program itself. */
static void print_backtrace(const char* what, const backtrace_t* trace) {
  const void* const own = object_of(trace->frames[0]).dli_fbase;
  int first = 0;
  report_line(LINE_ALWAYS, "  %s by thread %ld%s", what, trace->thread,
              trace->depth == 0 ? " (no stack)" : ":");
  if (own != object_of(os_program_entry()).dli_fbase)
    while (first < trace->depth && object_of(trace->frames[first]).dli_fbase == own) first++;
  for (int i = first; i < trace->depth; i++) {
    const char* const code = (const char*)trace->frames[i];
    const Dl_info in = object_of(code);
    const char* const start = in.dli_sname != NULL ? (const char*)in.dli_saddr : (const char*)in.dli_fbase;
    report_line(LINE_ALWAYS, "    #%d %p %s+0x%zx", i - first, (const void*)code,
                in.dli_sname != NULL ? in.dli_sname : in.dli_fname, (size_t)(code - start));
  }
}

static void report_fault(fence_note_t* note, const char* at) {
  const char* const block = note->block;
  const bool freed = load_relaxed(&note->state) == NOTE_FREED;
  const bool before = at < block;
  const size_t bytes = (size_t)(before ? block - at : at - block) - (before || freed ? 0 : note->size);
  if (bytes > PTRDIFF_MAX) return; /* inside of it: somebody else's protection */
  backtrace_t access;
  const char* const what = freed ? "use after free" : before ? "underflow" : "overflow";
  const char* const where = before ? "before" : freed ? "behind the start of" : "behind";
  report_error(ERROR_FAULT, EFAULT, "%s: access at %p, %zu bytes %s the block at %p of %zu bytes", what,
               (const void*)at, bytes, where, (const void*)block, note->size);
  take_backtrace(&access);
  print_backtrace("accessed", &access);
  print_backtrace("allocated", &note->allocated);
  if (freed) print_backtrace("freed", &note->freed);
}

bool guarded_report_freed(const char* verb, const void* p) {
  const fence_note_t* const note = fenced_freed(p);
  if (note == NULL || note->block != p) return false;
  if (note->allocated.depth != 0) {
    print_backtrace("allocated", &note->allocated);
    print_backtrace("freed", &note->freed);
  }
  report_misuse(EAGAIN, "%s of %p (a block of %zu bytes): it was freed before", verb, p, note->size);
  return true;
}

/* The note of the block, live or freed, whose fence holds p. */
static fence_note_t* note_of(const void* p) {
  page_t* const page = page_of(p);
  return page != NULL ? fenced_note(page) : fenced_freed(p);
}

static void on_fault(int fault, siginfo_t* info, void* context, const struct sigaction* next) {
  KEEP_ERRNO;
  const bool is_access = info->si_code > 0; /* not sent by somebody */
  fence_note_t* const note = is_access ? note_of(info->si_addr) : NULL;
  if (note != NULL && load_relaxed(&note->state) != NOTE_REPORTED) {
    report_fault(note, (const char*)info->si_addr);
    store_relaxed(&note->state, NOTE_REPORTED);
  }
  const bool by_default =
      (next->sa_flags & SA_SIGINFO) == 0 && (next->sa_handler == SIG_DFL || next->sa_handler == SIG_IGN);
  if (by_default || (next->sa_flags & (int)SA_RESETHAND) != 0) {
    /* An access is tried again, and the system does as it would have done. */
    struct sigaction none = {.sa_flags = 0};
    none.sa_handler = by_default && !is_access ? next->sa_handler : SIG_DFL;
    sigaction(fault, &none, NULL);
    if (by_default && !is_access) raise(fault);
  }
  if (by_default) return;
  if ((next->sa_flags & SA_SIGINFO) != 0) next->sa_sigaction(fault, info, context);
  else next->sa_handler(fault);
}
static void on_fault_first(int fault, siginfo_t* info, void* c) { on_fault(fault, info, c, &replaced[0]); }
static void on_fault_again(int fault, siginfo_t* info, void* c) { on_fault(fault, info, c, &replaced[1]); }

static void watch_faults(void) {
  struct sigaction now, ours = {0};
  uint32_t set = load_relaxed(&stage);
  if (set == 2 || sigaction(SIGSEGV, NULL, &now) != 0 || now.sa_sigaction == on_fault_first) return;
  if (!cas_strong_acq_rel(&stage, &set, set + 1)) return;
  replaced[set] = now;
  ours.sa_sigaction = set == 0 ? on_fault_first : on_fault_again;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (now.sa_flags & (int)SA_NODEFER);
  ours.sa_mask = now.sa_mask;
  sigaction(SIGSEGV, &ours, NULL);
}

void guarded_allocated(page_t* page) {
  fence_note_t* const note = fenced_note(page);
  if (note == NULL) return;
  KEEP_ERRNO;
  watch_faults();
  take_backtrace(&note->allocated);
}

void guarded_freed(page_t* page) {
  fence_note_t* const note = fenced_note(page);
  if (note != NULL && note->allocated.depth != 0) take_backtrace(&note->freed);
}
