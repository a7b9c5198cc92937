/* SPDX-License-Identifier: MIT */
/* Text of any length from a stream, in a buffer that grows by realloc; a copy of its longest line.

   Shows: the standard functions */
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

/* The rest of the stream as one string; NULL when there is not memory enough. */
static char* read_all(FILE* stream) {
  size_t room = 16, length = 0;
  char* text = mi_malloc(room);
  while (text != NULL) {
    length += fread(text + length, 1, room - length - 1, stream);
    text[length] = '\0';
    if (length < room - 1) return text;
    room *= 2;
    char* const larger = mi_realloc(text, room);
    if (larger == NULL) mi_free(text); /* a realloc that fails leaves the block as it was */
    text = larger;
  }
  return NULL;
}

int main(void) {
  FILE* const stream = tmpfile();
  if (stream == NULL) return 1;
  for (int i = 1; i <= 100; i++) fprintf(stream, "line %d%s\n", i, i == 42 ? ", the longest one" : "");
  rewind(stream);
  char* const text = read_all(stream);
  fclose(stream);
  if (text == NULL) return 1;

  size_t lines = 0, longest = 0;
  const char* longest_line = text;
  for (const char* line = text; *line != '\0'; lines++) {
    const size_t length = strcspn(line, "\n");
    if (length > longest) longest = length, longest_line = line;
    line += length + 1;
  }
  char* const copy = mi_strndup(longest_line, longest);
  printf("%zu bytes in %zu lines, the longest: %s\n", strlen(text), lines, copy != NULL ? copy : "?");
  mi_free(copy);
  mi_free(text);
  return 0;
}
