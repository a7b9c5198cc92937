/* SPDX-License-Identifier: MIT */
/* What the C language does not say: branch weights, code placement, visibility. */
#pragma once

#include <errno.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NOINLINE      __attribute__((noinline))
#define COLD          __attribute__((noinline, cold))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Built with ThreadSanitizer: gcc and clang tell it in different ways. */
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif

/* Everything is compiled with -fvisibility=hidden; this marks the public interface. */
#define EXPORT __attribute__((visibility("default")))

/* On declarations of hot variables: reached without an indirection through the global offset table. */
#define HIDDEN __attribute__((visibility("hidden")))

/* A few words of static TLS are all the library uses: it can be opened by dlopen.  Where a program has used
   up what the system sets aside for that, the words are reached by a call (MI_LOCAL_DYNAMIC_TLS). */
#if defined(MI_LOCAL_DYNAMIC_TLS) && MI_LOCAL_DYNAMIC_TLS
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("local-dynamic")))
#else
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#endif

/* Have the value in one register from here on: keeps the compiler from computing an address once per use. */
#define IN_REGISTER(x) __asm__("" : "+r"(x))

#define NOT_USED  __attribute__((unused))
#define UNUSED(x) ((void)(x))

/* A function that begins with this leaves errno as it was. */
static inline void restore_errno(const int* saved) { errno = *saved; }
#define KEEP_ERRNO __attribute__((cleanup(restore_errno), unused)) const int errno_before = errno
