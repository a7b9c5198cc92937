/* SPDX-License-Identifier: MIT */
/* Secure builds: blocks of size 0 are addresses without memory, so any access to one faults.  Each is 16
   bytes from the next; they are given out in turn, so the same one comes again after a million others. */
#pragma once

#include <stdbool.h>

void* zone_alloc(void); /* NULL: there are no addresses, or a million of them live */
bool zone_holds(const void* p);
void zone_free(void* p); /* what is no live block is reported */
bool zone_is_live(const char* verb, const void* p); /* the same */
