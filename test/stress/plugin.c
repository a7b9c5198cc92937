/* SPDX-License-Identifier: MIT */
/* A shared object that allocates with the standard names; threads_dlopen loads and unloads it. */
#include <stdlib.h>
#include <string.h>

char* plugin_text(size_t size);
void plugin_free(char* text);

static char* at_load;

char* plugin_text(size_t size) {
  char* text = (char*)malloc(size);
  if (text != NULL) memset(text, 'p', size);
  return text;
}

void plugin_free(char* text) { free(text); }

__attribute__((constructor)) static void load(void) { at_load = (char*)calloc(1, 333); }
__attribute__((destructor)) static void unload(void) { free(at_load); }
