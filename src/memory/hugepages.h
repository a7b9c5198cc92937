/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* Will a claimer touch all of the memory it claims, as far as it knows? */
typedef enum use_e { USE_WHOLE, USE_PART } use_t;

/* The slices first .. end - 1 have been claimed, the first ones of segments without memory: ask for huge
   pages for those segments, or not. */
void memory_choose_page_size(size_t first, size_t end, use_t use);

/* A part of the segment's memory is about to be given back. */
void memory_no_more_huge_pages(size_t segment);
