/* SPDX-License-Identifier: MIT */
/* Making arenas: of memory reserved in the window, of huge pages, of the program's own memory. */
#pragma once

#include "memory/arena.h"

/* A sum: RESERVE_COMMITTED: memory is committed at once, not when it is claimed; RESERVE_LARGE: 2 MiB pages,
   committed, when the system has enough of them. */
enum { RESERVE_ONLY = 0, RESERVE_COMMITTED = 1, RESERVE_LARGE = 2 };

/* An arena of at least `size` bytes, or NULL: none was made. */
arena_t* reserve_memory(size_t size, unsigned how, uint32_t flags);

/* An arena of at most `pages` huge pages of 1 GiB, each replaced by 512 of 2 MiB where there is none; those
   that could be had in time_ms (0: however long it takes), on the node.  NULL: not even one. */
arena_t* reserve_huge(size_t pages, int node, uint64_t time_ms, uint32_t flags);

/* The same for everybody, spread over the first `nodes` nodes (0: all).  Returns how many pages there are. */
size_t reserve_huge_interleaved(size_t pages, size_t nodes, uint64_t time_ms);

/* An arena of the whole segments in [start, start + size); flags as the memory is.  NULL: too small, outside
   of what can be adopted, or adopted before. */
arena_t* reserve_adopt(void* start, size_t size, arena_spec_t spec);

/* The number of a node that exists; a negative one means NODE_ANY. */
int reserve_node(int node);

/* What the options say is to be reserved at the start: the first call does it. */
void reserve_at_start(void);
