/* SPDX-License-Identifier: MIT */
/* Text into a fixed buffer: what of printf the allocator needs, without locale, malloc, errno or locks, so
   that it works in signal handlers and before the C library is ready. %s %c %% %p, and %d %u %x with the
   lengths l, ll and z; a width, with - (left) or 0 (zeros) before it; for strings also a precision (%.8s,
   %.*s).  A NULL string prints as (null), a pointer as 0x and hexadecimal digits. */
#pragma once

#include <stdarg.h>

#include "base/compiler.h"
#include "base/config.h"

/* Write at most size - 1 characters and a terminator; size > 0.  Returns the characters written: what does
   not fit is cut off. */
size_t format_text(char* buffer, size_t size, const char* format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_v(char* buffer, size_t size, const char* format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
