/* SPDX-License-Identifier: MIT */
/* Compiled against mimalloc 3.6.0's own headers: the options' names, values and sizes, a line for each. */
#include <mimalloc.h>
#include <stdio.h>

int main(void) {
  for (int i = 0; i < (int)_mi_option_last; i++) {
    const mi_option_t option = (mi_option_t)i;
    printf("%ld %zu %d\n", mi_option_get(option), mi_option_get_size(option), mi_option_is_enabled(option));
  }
  return 0;
}
