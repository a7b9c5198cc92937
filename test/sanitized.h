/* SPDX-License-Identifier: MIT */
/* Is this built with a sanitizer?  A sanitizer steers mmap, ignores mlock, and adds memory and threads of its
   own: tests of those leave out what it changes. */
#ifndef SANITIZED_H
#define SANITIZED_H

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

#endif
