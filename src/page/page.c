/* SPDX-License-Identifier: MIT */
/* Pages: making one, carving blocks, moving blocks between its lists, checking it.  Invariants
   are in page.h. */
#include "page/page.h"

#include <string.h>

#include "core/options.h"
#include "os/os.h"
#include "page/remote.h"
#include "page/seal.h"

enum {
  CARVE_MIN = 4 * 1024,  /* bytes carved at a time: about one OS page, */
  CARVE_MAX = 16 * 1024, /* and up to this once the page has proved to be used */
  EARLY_CARVES = 16,
};

static size_t block_index(const page_t* page, const block_t* block) {
  return (size_t)((const char*)block - page_start(page)) / page->stride;
}

static block_t* block_at(const page_t* page, size_t index) {
  return (block_t*)(void*)(page_start(page) + index * page->stride);
}

/* What a page leaves at its end for a guard. */
static size_t page_fence_size(void) {
  const size_t fence = os_page_size();
  return fence <= SLICE_SIZE / 16 && is_hardened(2) ? fence : 0;
}

void page_init(page_t* page, unsigned bin, zeroed_t memory) {
  const size_t stride = bin_stride(bin);
  const size_t slices = bin_page_slices(bin);
  page->free = NULL;
  page->local_free = NULL;
  page->reciprocal = UINT64_MAX / stride + 1 + (is_power_of_two(stride) ? 1 : 0);
  page->used = page->floor = 0;
  page->stride = (uint16_t)stride;
  page_set_capacity(page, 0);
  page->reserved = (uint16_t)((slices * SLICE_SIZE - page_fence_size()) / stride);
  page->bin = (uint8_t)bin;
  page->flags = memory == MEMORY_ZERO ? PAGE_ZERO : 0;
  page->mark = 0;
  page->slices = (uint8_t)slices;
  page->next = NULL;
  page->prev = NULL;
  page->key = SECURE ? os_random() | 1 : 0;
  seal_init();
  page->filled = 0;
  page_forget_holes(page);
  /* The version must go on counting over the lives of the entry; everything else starts anew. */
  remote_reset(page);
  if (TRACKED) track_forbid(page_start(page), slices * SLICE_SIZE);
}

/* Blocks first, first + stride, .., last become a list.  What the loop needs of the page is read once. */
static void link_blocks(page_t* page, block_t* first, block_t* last) {
  const size_t stride = page->stride;
  track_pause();
  for (block_t *block = first, *next; block != last; block = next) {
    next = (block_t*)(void*)((char*)block + stride);
    block->next = next;
    if (FREE_CHECKS) block->mark = (uintptr_t)page;
  }
  track_resume();
  block_set_next(page, last, NULL);
  block_set_mark(page, last);
}

/* The `count` blocks from `first` on, in an order that cannot be told: two multiplications by chance, with a
   shift in between, mix the numbers below a power of two; those that are no block's are passed over. */
static block_t* link_mixed(page_t* page, block_t* first, size_t count) {
  const uint64_t random = os_random();
  const unsigned bits = count > 1 ? bit_highest(count - 1) + 1 : 1;
  const size_t mask = ((size_t)1 << bits) - 1;
  block_t* list = NULL;
  for (size_t i = 0; i <= mask; i++) {
    const size_t halfway = (i * (random | 1) + (random >> 16)) & mask;
    const size_t at = ((halfway ^ halfway >> (bits + 1) / 2) * (random >> 32 | 1) + (random >> 48)) & mask;
    if (at >= count) continue;
    block_t* const block = (block_t*)(void*)((char*)first + at * page->stride);
    block_set_next(page, block, list);
    block_set_mark(page, block);
    if (SECURE) seal_open(page, block);
    list = block;
  }
  return list;
}

/* Put the next few uncarved blocks into `free`, which is empty, in address order. */
static void page_carve(page_t* page) {
  const size_t left = (size_t)page->reserved - page_capacity(page);
  const size_t carved = (size_t)page_capacity(page) * page->stride;
  const size_t bytes = max_size(CARVE_MIN, min_size(CARVE_MAX, carved / 2));
  /* A whole page at once, if nobody shall foretell where a block will lie. */
  const size_t count = is_hardened(2) ? left : min_size(left, max_size(1, bytes / page->stride));
  block_t* const first = block_at(page, page_capacity(page));
  block_t* const last = block_at(page, page_capacity(page) + count - 1);
  check(count > 0 && page->free == NULL);
  const bool mixed = is_hardened(1);
  if (!mixed) link_blocks(page, first, last);
  page->free = mixed ? link_mixed(page, first, count) : first;
  if (STATISTICS) page->filled += count;
  page_set_capacity(page, page_capacity(page) + count);
  if (!mixed) page->flags |= PAGE_CARVED;
  if ((page->flags & PAGE_ZERO) != 0) page->flags |= PAGE_FRESH_ZERO;
}

/* New blocks now and then, though freed ones would do: what was freed comes back when nobody can tell. */
static bool carves_early(const page_t* page) {
  return page_capacity(page) < page->reserved && is_hardened(1) &&
         seal_chance((uintptr_t)page->local_free + page->used, EARLY_CARVES) == 0;
}

/* To the owner, and for figures: nobody else changes it meanwhile, or it does not matter. */
static size_t settled_capacity(const page_t* page) {
  return load_settled(&((page_t*)(uintptr_t)page)->capacity);
}

void page_collect_remote(page_t* page) {
  if (page->free != NULL && page->local_free != NULL) return;
  uint32_t count;
  block_t* const list = remote_take(page, &count);
  if (list == NULL) return;
  check(count <= page_used(page));
  page_set_used(page, page_used(page) - count);
  if (page->local_free == NULL) {
    page->local_free = list;
  } else {
    page->free = list;
    page_note_reused(page, count);
  }
}

refill_t page_refill(page_t* page) {
  if (page->free != NULL) return REFILL_FOUND;
  if (carves_early(page)) {
    page_carve(page);
    return REFILL_CARVED;
  }
  if (page->local_free == NULL) page_collect_remote(page);
  if (page->local_free != NULL) {
    page->free = page->local_free;
    page->local_free = NULL;
    page_note_reused(page, settled_capacity(page) - page_used(page) - page->holed); /* P1 */
    return REFILL_FOUND;
  }
  if (page_fill_hole(page)) return REFILL_FOUND;
  if (page_capacity(page) == page->reserved) return REFILL_FULL;
  page_carve(page);
  return REFILL_CARVED;
}

void page_merge_lists(page_t* page) {
  if (page->local_free == NULL) return;
  const size_t capacity = settled_capacity(page);
  size_t length = 0;
  if (page->free != NULL) {
    block_t* tail = page->free;
    for (length = 1; length < capacity && block_next(page, tail) != NULL; length++)
      tail = block_next(page, tail);
    block_set_next(page, tail, page->local_free);
  } else {
    page->free = page->local_free;
  }
  page->local_free = NULL;
  page_note_reused(page, capacity - page_used(page) - page->holed - length); /* P1 */
}

/* ---- checking ---- */

bool page_list_holds(const page_t* page, const block_t* list, const block_t* block) {
  for (size_t i = 0; i < page->reserved && list != NULL && block_is_valid(page, list); i++) {
    if (list == block) return true;
    list = block_next(page, list);
  }
  return false;
}

size_t page_free_length(const page_t* page) {
  const size_t capacity = settled_capacity(page);
  const uintptr_t start = (uintptr_t)page_start(page);
  const size_t readable = max_size(page->slices, 1) * SLICE_SIZE - sizeof(block_t);
  size_t offset = (uintptr_t)page->free - start; /* NULL: far above */
  size_t left = capacity;
  while (offset <= readable && left > 0) {
    offset = (uintptr_t)block_next(page, (const block_t*)(start + offset)) - start;
    left--;
  }
  return capacity - left;
}

/* The length of a list, or more than capacity when it is broken. */
static size_t list_length(const page_t* page, const block_t* list) {
  const size_t capacity = settled_capacity(page); /* the owner checks */
  size_t length = 0;
  while (list != NULL && length <= capacity) {
    if (!block_is_valid(page, list) || block_index(page, list) >= capacity) return SIZE_MAX / 4;
    length++;
    list = block_next(page, list);
  }
  return length;
}

static bool list_is_marked(const page_t* page, const block_t* list) {
  if (!FREE_CHECKS) return true;
  while (list != NULL && block_is_marked(page, list)) list = block_next(page, list);
  return list == NULL;
}

bool page_is_valid(const page_t* page) {
  const size_t listed = list_length(page, page->free) + list_length(page, page->local_free);
  const size_t surplus = listed + page_used(page) + page->holed - page_capacity(page);
  const atomic_u64_t* const generation = os_fork_word(); /* of the first process 1, of a child 0 at first */
  if (surplus > (generation != NULL && load_relaxed(generation) != 1)) return false; /* P1, P3 */
  if (page_capacity(page) > page->reserved) return false;       /* P2 */
  if (page->holed != 0 && page->holed != page_count_holed(page)) return false; /* P7 */
  if (STATISTICS && page->filled < list_length(page, page->free)) return false; /* P6 */
  if (!list_is_marked(page, page->free) || !list_is_marked(page, page->local_free)) return false; /* P4 */
  return (size_t)page->reserved * page->stride <= (size_t)page->slices * SLICE_SIZE;
}

/* ---- looking from outside ---- */

enum { LOOK_BLOCKS_MAX = SLICE_SIZE / 16 }; /* a page of 16-byte blocks is one slice, and no other has more */

/* The owner changes the field with plain stores. */
#define look_at(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

bool page_look_note(page_look_t* look, const block_t* block) {
  const size_t offset = (size_t)((uintptr_t)block - (uintptr_t)look->start);
  const size_t index = offset / look->stride;
  if (index >= look->reserved || offset % look->stride != 0 || page_look_is_listed(look, index)) return false;
  look->listed[index / 64] |= UINT64_C(1) << (index % 64);
  return true;
}

/* Stops at the first thing that cannot be a free block that is new. */
static void look_along(page_look_t* look, const block_t* list) {
  track_pause();
  while (list != NULL && page_look_note(look, list))
    list = (const block_t*)(track_known((uintptr_t)look_at(list->next)) ^ look->key);
  track_resume();
}

static void look_start(const page_t* page, page_look_t* look) {
  const size_t slices = look_at(page->slices); /* of whatever page: they were claimed, so they are readable */
  const size_t stride = look_at(page->stride);
  memset(look, 0, sizeof(*look));
  look->start = page_start(page);
  look->stride = max_size(stride, 1);
  look->reserved = min_size(min_size(look_at(page->reserved), LOOK_BLOCKS_MAX),
                            slices * SLICE_SIZE / look->stride);
  look->capacity = min_size(page_capacity(page), look->reserved);
  look->key = look_at(page->key);
}

void page_look_free(const page_t* page, page_look_t* look) {
  look_start(page, look);
  look_along(look, page->free);
}

void page_look(const page_t* page, page_look_t* look) {
  look_start(page, look);
  look_along(look, look_at(page->free));
  look_along(look, look_at(page->local_free));
  look_along(look, remote_list(page));
  if (look_at(page->holed) == 0) return;
  for (size_t i = 0; i < look->capacity; i++) {
    const block_t* const block = (const block_t*)(const void*)(look->start + i * look->stride);
    if (page_block_is_holed(page, block)) page_look_note(look, block);
  }
}

/* ---- after a fork ---- */

void page_rebuild(page_t* page) {
  page_look_t look;
  uint32_t count;
  const uint64_t served = page_served(page);
  page_look(page, &look);
  remote_take(page, &count);
  page->free = page->local_free = NULL;
  page->flags &= PAGE_FENCED | PAGE_NOTED;
  page->mark = 0;
  size_t live = 0, capacity = page_capacity(page);
  for (size_t i = page->reserved; i-- > 0;) {
    if (page_look_is_listed(&look, i)) {
      block_t* const block = block_at(page, i);
      block_set_mark(page, block);
      block_set_next(page, block, page->free);
      if (SECURE) seal_open(page, block);
      page->free = block;
      capacity = max_size(capacity, i + 1);
    } else if (i < capacity) {
      live++;
    }
  }
  page_set_capacity(page, capacity);
  page->floor = 0;
  page_set_used(page, live);
  page_forget_holes(page);
  page->filled = served + capacity - live;
  check(page_is_valid(page));
}
