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

/* One line on stderr, and the error hook:
     MISUSE   the program has done what it must not (double free, free of a foreign pointer, corruption), and
              ends: abort.  Returns only with the option continue_on_error; the caller then ignores the call.
     FAULT    the program is about to end by a fault
     FAILURE  a request cannot be met (no memory, too large, bad alignment): a line only with show_errors.
              Built with MI_XMALLOC: no memory or too large is a line in any case, and abort. */
typedef enum error_kind_e { ERROR_MISUSE, ERROR_FAULT, ERROR_FAILURE } error_kind_t;
COLD void report_error(error_kind_t kind, int code, const char* format, ...)
    __attribute__((format(printf, 3, 4)));
#define report_misuse(...)  report_error(ERROR_MISUSE, __VA_ARGS__)
#define report_failure(...) report_error(ERROR_FAILURE, __VA_ARGS__)

/* The process cannot go on, through no fault of its memory: one line on stderr, abort. */
COLD _Noreturn void report_fatal(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* One more line: something is odd (with show_errors); the user's settings cannot be followed (always, up to
   max_warnings); what the allocator does (with verbose); more of an error (always). */
typedef enum line_kind_e { LINE_WARNING, LINE_MISTAKE, LINE_VERBOSE, LINE_ALWAYS } line_kind_t;
COLD void report_line(line_kind_t kind, const char* format, ...) __attribute__((format(printf, 2, 3)));
#define report_warning(...) report_line(LINE_WARNING, __VA_ARGS__)
#define report_mistake(...) report_line(LINE_MISTAKE, __VA_ARGS__)
#define report_verbose(...) report_line(LINE_VERBOSE, __VA_ARGS__)
