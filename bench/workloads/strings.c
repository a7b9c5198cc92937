/* SPDX-License-Identifier: MIT */
/* String building: lines are put together from words by appending, in buffers that grow by realloc; each
   finished line is trimmed to its length, split into words that are blocks of their own, and kept in a table
   with them until its turn comes to be checked against a hash and dropped. */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

enum { TABLE = 2000, LINES = 120000, WORDS_MAX = 40, WORD_MAX = 14 };

typedef struct line_s {
  char* text;
  size_t length;
  uint64_t hash;
  char** words;
  size_t count;
} line_t;

static void* must(void* block) {
  if (block == NULL) workload_fail("out of memory");
  return block;
}

static uint64_t hash_of(const char* text, size_t length) {
  uint64_t hash = UINT64_C(1469598103934665603);
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
  return hash;
}

static void append(line_t* line, size_t* capacity, char c) {
  if (line->length + 1 >= *capacity) {
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    line->text = must(realloc(line->text, *capacity));
  }
  line->text[line->length++] = c;
}

static void build(line_t* line, uint64_t* random) {
  size_t capacity = 0;
  *line = (line_t){.count = 1 + random_below(random, WORDS_MAX)};
  for (size_t i = 0; i < line->count; i++) {
    const size_t length = 1 + random_below(random, WORD_MAX);
    for (size_t k = 0; k < length; k++) append(line, &capacity, (char)('a' + random_below(random, 26)));
    append(line, &capacity, ' ');
  }
  line->text[line->length] = '\0';
  line->text = must(realloc(line->text, line->length + 1));
  line->hash = hash_of(line->text, line->length);
}

static void split(line_t* line) {
  line->words = must(malloc(line->count * sizeof(char*)));
  const char* from = line->text;
  for (size_t i = 0; i < line->count; i++) {
    const size_t length = (size_t)(strchr(from, ' ') - from);
    line->words[i] = must(malloc(length + 1));
    memcpy(line->words[i], from, length);
    line->words[i][length] = '\0';
    from += length + 1;
  }
}

/* The words joined again must be the line. */
static void drop(line_t* line) {
  size_t position = 0;
  for (size_t i = 0; i < line->count; i++) {
    const size_t length = strlen(line->words[i]);
    if (memcmp(line->text + position, line->words[i], length) != 0) workload_fail("a word lost its letters");
    position += length + 1;
    free(line->words[i]);
  }
  if (line->text != NULL && (position != line->length || hash_of(line->text, line->length) != line->hash)) {
    workload_fail("a line lost its letters");
  }
  free(line->words);
  free(line->text);
  *line = (line_t){0};
}

static void work(worker_t* worker) {
  line_t* const table = harness_map(TABLE * sizeof(line_t));
  const uint64_t lines = workload_share(worker->workload, LINES);
  for (uint64_t i = 0; i < lines; i++) {
    line_t* const line = &table[random_below(&worker->random, TABLE)];
    drop(line);
    build(line, &worker->random);
    split(line);
  }
  for (size_t i = 0; i < TABLE; i++) drop(&table[i]);
  worker->operations = lines;
}

int main(int argc, char** argv) {
  const workload_t workload = workload_begin("strings", argc, argv);
  return workload_end(&workload, workload_run(&workload, work), "");
}
