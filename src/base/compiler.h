/* SPDX-License-Identifier: MIT */
/* What the C language does not say: branch weights, code placement, visibility. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NOINLINE      __attribute__((noinline))
#define COLD          __attribute__((noinline, cold))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Everything is compiled with -fvisibility=hidden; this marks the public interface. */
#define EXPORT __attribute__((visibility("default")))

/* Two words of static TLS is all the library uses: it can be opened by dlopen. */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

#define UNUSED(x) ((void)(x))

#endif
