/* SPDX-License-Identifier: MIT */
/* The macros of the headers, in C++. */
#include "macros.h"
