/* SPDX-License-Identifier: MIT */
#pragma once

#include "heap/fenced.h"
#include "heap/sampling.h"

/* A sampled block has been allocated, or will be freed; other pages are passed over. */
void guarded_allocated(page_t* page);
void guarded_freed(page_t* page);
void guarded_describe(const void* p); /* of a sampled block, freed a while ago: lines that say so */
