/* SPDX-License-Identifier: MIT */
/* The options as text: the list of them, and once, when the library is loaded, what is wrong in the
   environment (with MIMALLOC_VERBOSE also the list). */
#include "base/compiler.h"
#include "core/diagnostics.h"
#include "core/options.h"
#include "os/process.h"

enum { HINT_TOLERANCE = 2 }; /* letters */

EXPORT void mi_options_print_out(mi_output_fun* out, void* arg) {
  static const char* const units[] = {"", "", " ms", " s", " bytes", " KiB"};
  const output_t output = {out, arg};
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    const mi_option_t option = (mi_option_t)i;
    const option_info_t* const info = option_info(option);
    print_to(&output, "option %s: %ld%s%s: %s%s%s\n", info->name, option_get(option), units[info->unit],
             option_chosen(option) ? " (set)" : "", info->meaning,
             info->unused != NULL ? "; no effect: " : "", info->unused != NULL ? info->unused : "");
  }
}

EXPORT void mi_options_print(void) { mi_options_print_out(NULL, NULL); }

static void warn_entry(const char* entry) {
  const setting_t setting = option_parse_entry(entry);
  if (setting.option == _mi_option_last) {
    const mi_option_t near = option_find(setting.name, setting.name_length, HINT_TOLERANCE);
    const char* const hint = near != _mi_option_last ? option_info(near)->name : NULL;
    report_mistake("there is no option %.*s (in the environment)%s%s%s", (int)setting.name_length,
                   setting.name, hint != NULL ? "; is " : "", hint != NULL ? hint : "",
                   hint != NULL ? " meant?" : "");
  } else if (!setting.valid) {
    const char* const text = setting.name + setting.name_length;
    report_mistake("option %s cannot be: %s (in the environment)", option_info(setting.option)->name,
                   *text == '=' ? text + 1 : "without '='");
  }
}

static __attribute__((constructor)) void warn_about_environment(void) {
  os_environment(OPTIONS_PREFIX, &warn_entry);
  report_verbose("release " MI_RELEASE ", interface of mimalloc %d.%d.%d", mi_version() / 10000,
                 mi_version() / 100 % 100, mi_version() % 100);
  if (option_enabled(mi_option_verbose)) mi_options_print();
}
