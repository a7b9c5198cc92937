/* SPDX-License-Identifier: MIT */
/* What the allocator tells the user: lines of text, and errors. Nothing here allocates, locks or changes
   errno; everything works in a signal handler and before main.  A line is formatted on the stack and leaves
   in one piece: to the registered output function, else to stderr.  The user's functions may allocate, fail
   and so come here again: a thread that is inside one of them is not led into another; its text goes to
   stderr. */
#pragma once

#include "base/compiler.h"
#include "base/config.h"
#include "mimalloc.h"

/* Where text goes; function NULL: the registered output function or stderr. */
typedef struct output_s {
  mi_output_fun* function;
  void* argument;
} output_t;

enum { LINE_MAX_LENGTH = 512 };

/* One line (the format ends it), at most LINE_MAX_LENGTH - 1 characters. */
void print_to(const output_t* output, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* The program has done what it must not (double free, free of a foreign pointer, corruption): one line on
   stderr, the error hook, abort.  Returns only with the option continue_on_error; the caller then ignores
   the call. */
COLD void report_misuse(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* The program is about to end by a fault: one line on stderr, the error hook. */
COLD void report_error_line(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* The process cannot go on, through no fault of its memory: one line on stderr, abort. */
COLD _Noreturn void report_fatal(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* A request cannot be met (no memory, too large, bad alignment): the error hook; a line with show_errors.
   Built with MI_XMALLOC: no memory or too large is a line in any case, the error hook, abort. */
COLD void report_failure(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* One more line: something is odd (with show_errors); the user's settings cannot be followed (always, up to
   max_warnings); what the allocator does (with verbose); more of an error (always). */
typedef enum line_kind_e { LINE_WARNING, LINE_MISTAKE, LINE_VERBOSE, LINE_ALWAYS } line_kind_t;
COLD void report_line(line_kind_t kind, const char* format, ...) __attribute__((format(printf, 2, 3)));
#define report_warning(...) report_line(LINE_WARNING, __VA_ARGS__)
#define report_mistake(...) report_line(LINE_MISTAKE, __VA_ARGS__)
#define report_verbose(...) report_line(LINE_VERBOSE, __VA_ARGS__)
