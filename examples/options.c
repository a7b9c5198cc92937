/* SPDX-License-Identifier: MIT */
/* A program with defaults of its own, which the user can still change by the environment, and a settings
   page.

   Shows: options */
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

/* Is called with whole lines, one or more at a time. */
static void count_lines(const char* text, void* arg) {
  for (; (text = strchr(text, '\n')) != NULL; text++) ++*(int*)arg;
}

int main(void) {
  /* Memory goes back after 50 ms, unless MIMALLOC_PURGE_DELAY says otherwise. */
  mi_option_set_default(mi_option_purge_delay, 50);
  printf("purge_delay: %ld ms\n", mi_option_get(mi_option_purge_delay));

  mi_option_set(mi_option_purge_delay, 0); /* while memory is short: at once, whatever the environment says */
  mi_option_set_default(mi_option_purge_delay, 50); /* has no effect any more */
  printf("purge_delay: %ld ms\n", mi_option_get(mi_option_purge_delay));
  printf("kept within 10 and 1000: %ld\n", mi_option_get_clamp(mi_option_purge_delay, 10, 1000));

  mi_option_enable(mi_option_show_errors);
  printf("show_errors: %s\n", mi_option_is_enabled(mi_option_show_errors) ? "on" : "off");
  mi_option_disable(mi_option_show_errors);

  mi_option_set(mi_option_reserve_os_memory, 2048); /* of sizes the unit is KiB ... */
  printf("2048 KiB are %zu bytes\n", mi_option_get_size(mi_option_reserve_os_memory)); /* ... but here */

  int lines = 0;
  mi_options_print_out(&count_lines, &lines);
  printf("a line for each on the settings page: %s\n", lines >= _mi_option_last ? "yes" : "no");
  return 0;
}
