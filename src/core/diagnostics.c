/* SPDX-License-Identifier: MIT */
/* Lines and errors (contract: core/diagnostics.h).

   Until an output function is registered, text goes to stderr and also, up to EARLY_SIZE bytes, into a buffer
   that the first registration hands over.  Writers claim their place in it by compare and swap. */
#include "core/diagnostics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "core/format.h"
#include "core/hook.h"
#include "core/options.h"
#include "os/os.h"

enum { EARLY_SIZE = 16 * 1024, EARLY_CLOSED = EARLY_SIZE + 1 };

static hook_t output_hook;
static hook_t error_hook;
static atomic_u32_t errors_printed;
static atomic_u32_t warnings_printed;
static atomic_u64_t early_used; /* atomic: bytes claimed; EARLY_CLOSED: handed over */
static char early[EARLY_SIZE + 1];

/* True while this thread is inside a function of the user. */
static THREAD_LOCAL bool in_hook;

static void keep_early(const char* text, size_t length) {
  uint64_t at = load_relaxed(&early_used);
  do {
    if (at + length > EARLY_SIZE) return; /* full, or handed over */
  } while (!cas_weak_acq_rel(&early_used, &at, at + length));
  memcpy(early + at, text, length);
}

static const output_t to_default = {0};

static void emit(const output_t* output, const char* text, size_t length) {
  const hook_pair_t registered = hook_get(&output_hook);
  mi_output_fun* function = output->function;
  void* argument = output->argument;
  if (function == NULL) {
    function = (mi_output_fun*)registered.function;
    argument = registered.argument;
  }
  if (function == NULL || in_hook) {
    os_write_stderr(text, length);
    if (function == NULL) keep_early(text, length);
    return;
  }
  in_hook = true;
  function(text, argument);
  in_hook = false;
}

/* The line of a report, with its kind in front and the line feed at the end. */
typedef struct line_s {
  size_t length;
  char text[LINE_MAX_LENGTH];
} line_t;

static void line_format(line_t* line, const char* kind, const char* format, va_list arguments) {
  const size_t space = sizeof(line->text) - 1; /* one for the line feed */
  line->length = format_text(line->text, space, "mimalloc: %s", kind);
  line->length += format_text_v(line->text + line->length, space - line->length, format, arguments);
  line->text[line->length++] = '\n';
  line->text[line->length] = 0;
}

void print_to(const output_t* output, const char* format, ...) {
  KEEP_ERRNO;
  char text[LINE_MAX_LENGTH];
  va_list arguments;
  va_start(arguments, format);
  const size_t length = format_text_v(text, sizeof(text), format, arguments);
  va_end(arguments);
  emit(output, text, length);
}

static bool shows_errors(void) {
  return option_enabled(mi_option_show_errors) || option_enabled(mi_option_verbose);
}

/* Count one more line of a kind; false when the user wants no more. */
static bool under_cap(atomic_u32_t* printed, mi_option_t cap) {
  const long most = option_get(cap);
  return most < 0 || (long)add_relaxed(printed, 1) < most;
}

static void call_error_hook(int code) {
  const hook_pair_t registered = hook_get(&error_hook);
  if (registered.function == NULL || in_hook) return;
  in_hook = true;
  ((mi_error_fun*)registered.function)(code, registered.argument);
  in_hook = false;
}

typedef enum weight_e { WEIGHT_SILENT, WEIGHT_SHOWN, WEIGHT_FATAL } weight_t;

static weight_t weight_of(error_kind_t kind, int code) {
  switch (kind) {
    case ERROR_MISUSE: return option_enabled(mi_option_continue_on_error) ? WEIGHT_SHOWN : WEIGHT_FATAL;
    case ERROR_FAULT: return WEIGHT_SHOWN;
    default: break;
  }
  if (MI_XMALLOC && (code == ENOMEM || code == EOVERFLOW)) return WEIGHT_FATAL;
  return shows_errors() ? WEIGHT_SHOWN : WEIGHT_SILENT;
}

/* A line, the error hook, and what the weight says: a fatal line is on stderr wherever else it goes. */
void report_error(error_kind_t kind, int code, const char* format, ...) {
  KEEP_ERRNO;
  const weight_t weight = weight_of(kind, code);
  line_t line;
  va_list arguments;
  va_start(arguments, format);
  line_format(&line, "error: ", format, arguments);
  va_end(arguments);
  const bool fatal = weight == WEIGHT_FATAL;
  if (fatal && hook_get(&output_hook).function != NULL) os_write_stderr(line.text, line.length);
  if (fatal || (weight == WEIGHT_SHOWN && under_cap(&errors_printed, mi_option_max_errors)))
    emit(&to_default, line.text, line.length);
  call_error_hook(code);
  if (fatal) abort();
}

void report_fatal(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  line_t line;
  line_format(&line, "error: ", format, arguments);
  va_end(arguments);
  os_write_stderr(line.text, line.length);
  abort();
}

static bool is_wanted(line_kind_t kind) {
  if (kind == LINE_ALWAYS) return true;
  if (kind == LINE_VERBOSE) return option_enabled(mi_option_verbose);
  return (kind == LINE_MISTAKE || shows_errors()) && under_cap(&warnings_printed, mi_option_max_warnings);
}

void report_line(line_kind_t kind, const char* format, ...) {
  if (!is_wanted(kind)) return;
  KEEP_ERRNO;
  va_list arguments;
  va_start(arguments, format);
  line_t line;
  line_format(&line, kind >= LINE_VERBOSE ? "" : "warning: ", format, arguments);
  emit(&to_default, line.text, line.length);
  va_end(arguments);
}

EXPORT void mi_register_output(mi_output_fun* out, void* arg) {
  hook_set(&output_hook, (hook_function_t*)out, arg);
  if (out == NULL) return;
  const uint64_t used = exchange_acq_rel(&early_used, EARLY_CLOSED);
  if (used == 0 || used == EARLY_CLOSED) return;
  early[used] = 0;
  in_hook = true;
  out(early, arg);
  in_hook = false;
}

EXPORT void mi_register_error(mi_error_fun* fun, void* arg) {
  hook_set(&error_hook, (hook_function_t*)fun, arg);
}
