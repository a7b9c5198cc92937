/* SPDX-License-Identifier: MIT */
/* A program that hears what the allocator has to say: failed requests are counted, its text goes to the
   program's log, what was put off is freed when the allocator asks, and memory is read off before the end.

   Shows: housekeeping, hooks, information */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <mimalloc.h>

static int out_of_memory;

static void on_error(int error, void* arg) {
  (void)arg;
  if (error == ENOMEM || error == EOVERFLOW) out_of_memory++;
}

static void to_log(const char* text, void* arg) {
  *(size_t*)arg += strlen(text); /* a real one would write it to a file; it must not allocate */
}

static void* put_off[100];
static size_t count;

static void free_put_off(bool force, unsigned long long heartbeat, void* arg) {
  (void)heartbeat, (void)arg;
  const size_t batch =
      force ? count : (count < 10 ? count : 10); /* a bounded pause, unless memory is short */
  for (size_t i = 0; i < batch; i++) mi_free(put_off[--count]);
}

int main(void) {
  printf("the interface of mimalloc %d.%d\n", mi_version() / 10000, mi_version() / 100 % 100);
  size_t logged = 0;
  mi_register_error(&on_error, NULL);
  mi_register_output(&to_log, &logged);
  mi_register_deferred_free(&free_put_off, NULL);

  const volatile size_t impossible = SIZE_MAX / 2;
  const void* const p = mi_malloc(impossible);
  printf("request: %s, counted: %d\n", p == NULL ? "fails" : "?", out_of_memory);

  for (int i = 0; i < 100; i++) put_off[i] = mi_malloc(100);
  count = 100; /* from here on they are the hook's */
  mi_collect(true); /* forces the deferred frees, and gives memory back */
  printf("put off: %zu\n", count);

  mi_stats_print(NULL);
  printf("statistics in the log: %s\n", logged > 0 ? "yes" : "no");

  size_t rss = 0, peak = 0;
  mi_process_info(NULL, NULL, NULL, &rss, &peak, NULL, NULL, NULL);
  printf("resident: %s\n", rss > 0 && peak >= rss / 2 ? "known" : "unknown");
  mi_register_deferred_free(NULL, NULL);
  mi_register_output(NULL, NULL);
  mi_register_error(NULL, NULL);
  return 0;
}
