/* SPDX-License-Identifier: MIT */
/* Foreign pointers when there is no other allocator behind this one. */
#include "alloc/foreign.h"

#include <errno.h>

#include "base/compiler.h"
#include "core/diagnostics.h"

void foreign_report(const char* verb, const void* p, const char* what) {
  report_misuse(EINVAL, "%s of %p: %s, not a block of this allocator; pass only what it returned", verb, p,
                what);
}

static const char ELSEWHERE[] = "memory from elsewhere";

static void refuse_free(void* p) {
  foreign_report("free", p, ELSEWHERE);
}

static void* refuse_realloc(void* p, NOT_USED size_t size) {
  foreign_report("realloc", p, ELSEWHERE);
  errno = ENOMEM;
  return NULL;
}

/* Programs ask this of pointers they do not know: no error, the answer is 0. */
static size_t refuse_usable_size(const void* p) {
  report_warning("usable_size of %p: %s, not a block of this allocator", p, ELSEWHERE);
  return 0;
}

__attribute__((weak)) const foreign_t foreign = {refuse_free, refuse_realloc, refuse_usable_size};
