/* SPDX-License-Identifier: MIT */
/* The OS layer for the explorer: nothing in it moves.  Its clock stands, its random bits repeat, memory is
   mapped during setup only, and every mapping becomes part of the explorer's snapshot. */
#ifndef TEST_INTERLEAVE_OS_STILL_H
#define TEST_INTERLEAVE_OS_STILL_H

#include <stdint.h>

extern uint64_t os_still_clock;  /* milliseconds; programs may set it */
extern uint64_t os_still_purges; /* calls of os_purge */

#endif
