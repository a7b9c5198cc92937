/* SPDX-License-Identifier: MIT */
/* A library that takes SIZE bytes of static thread-local storage. */
__thread char filler[SIZE] __attribute__((tls_model("initial-exec"), aligned(8))) = {1};

char* filler_touch(void);
char* filler_touch(void) { return filler; }
