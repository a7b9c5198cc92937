/* SPDX-License-Identifier: MIT */
/* mimalloc.c: the whole allocator in one file, made by tools/amalgamate.  Compile it as C11 or later
   or as C++17 or later, with any options, and link it with -pthread into a program: malloc, free, new, delete
   and their kin are then ours.  With -DMI_OVERRIDE=0 only the functions of mimalloc.h are there.  With -flto
   in a C++ program compile it as C++, or as C with -fexceptions: operator new throws through it.  */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef MI_OVERRIDE
#define MI_OVERRIDE 1
#endif

#ifdef __cplusplus
#include <memory> /* for mimalloc.h, before its words get other meanings */
/* What C++ says in another way than C11. */
#define _Atomic(type)  type
#define _Alignas       alignas
#define _Static_assert static_assert
#define _Thread_local  __thread
#define _Noreturn      __attribute__((noreturn))
enum {
  memory_order_relaxed = __ATOMIC_RELAXED,
  memory_order_acquire = __ATOMIC_ACQUIRE,
  memory_order_release = __ATOMIC_RELEASE,
  memory_order_acq_rel = __ATOMIC_ACQ_REL,
  memory_order_seq_cst = __ATOMIC_SEQ_CST
};
#define atomic_signal_fence                   __atomic_signal_fence
#define atomic_thread_fence                   __atomic_thread_fence
#define atomic_load_explicit                  __atomic_load_n
#define atomic_store_explicit                 __atomic_store_n
#define atomic_exchange_explicit              __atomic_exchange_n
#define atomic_fetch_add_explicit             __atomic_fetch_add
#define atomic_fetch_sub_explicit             __atomic_fetch_sub
#define atomic_fetch_or_explicit              __atomic_fetch_or
#define atomic_fetch_and_explicit             __atomic_fetch_and
#define atomic_compare_exchange_weak_explicit(p, expected, x, on_success, on_failure) \
  __atomic_compare_exchange_n((p), (expected), (x), true, (on_success), (on_failure))
#define atomic_compare_exchange_strong_explicit(p, expected, x, on_success, on_failure) \
  __atomic_compare_exchange_n((p), (expected), (x), false, (on_success), (on_failure))
#else
#include <stdatomic.h>
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>
#include <wchar.h>
#include "mimalloc-stats.h"
#include "mimalloc.h"

/* Blocks change their types with their owners. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-strict-aliasing")
#endif
#ifdef __cplusplus /* warnings about what is plain C */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wmissing-braces"
#if __cplusplus >= 202002L
#pragma GCC diagnostic ignored "-Wdeprecated-enum-enum-conversion"
#endif
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wc99-designator"
#if __cplusplus >= 202002L
#pragma GCC diagnostic ignored "-Wdeprecated-anon-enum-enum-conversion"
#endif
#else
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wattributes"
#pragma GCC diagnostic ignored "-Wenum-compare"
#pragma GCC diagnostic ignored "-Wmissing-attributes"
#endif
#endif
#pragma GCC visibility push(hidden)
#ifdef __cplusplus
extern "C" {
#endif
#define abandoned_claim mi_internal_abandoned_claim
#define abandoned_link mi_internal_abandoned_link
#define abandoned_note_empty mi_internal_abandoned_note_empty
#define abandoned_sweep mi_internal_abandoned_sweep
#define abandoned_unlink_all mi_internal_abandoned_unlink_all
#define alloc_cadence mi_internal_alloc_cadence
#define alloc_collect mi_internal_alloc_collect
#define alloc_generic mi_internal_alloc_generic
#define alloc_overflow mi_internal_alloc_overflow
#define alloc_slow mi_internal_alloc_slow
#define alloc_slow_zero mi_internal_alloc_slow_zero
#define arena_any_dirty mi_internal_arena_any_dirty
#define arena_commit mi_internal_arena_commit
#define arena_new mi_internal_arena_new
#define arena_newest mi_internal_arena_newest
#define arena_next_open mi_internal_arena_next_open
#define arena_note_free mi_internal_arena_note_free
#define arena_note_full mi_internal_arena_note_full
#define arena_publish mi_internal_arena_publish
#define arena_purge mi_internal_arena_purge
#define arena_s mi_internal_arena_s
#define atomic_seam mi_internal_atomic_seam
#define block_lookup mi_internal_block_lookup
#define check_failed mi_internal_check_failed
#define foreign mi_internal_foreign
#define foreign_report mi_internal_foreign_report
#define format_text mi_internal_format_text
#define format_text_v mi_internal_format_text_v
#define free_emptied mi_internal_free_emptied
#define free_fast mi_internal_free_fast
#define free_outside mi_internal_free_outside
#define free_slow mi_internal_free_slow
#define heap_close_page mi_internal_heap_close_page
#define heap_count mi_internal_heap_count
#define heap_count_big mi_internal_heap_count_big
#define heap_create mi_internal_heap_create
#define heap_create_in mi_internal_heap_create_in
#define heap_delete mi_internal_heap_delete
#define heap_destroy mi_internal_heap_destroy
#define heap_free_remote mi_internal_heap_free_remote
#define heap_main mi_internal_heap_main
#define heap_note_page mi_internal_heap_note_page
#define heap_of_page mi_internal_heap_of_page
#define heap_open_page mi_internal_heap_open_page
#define heap_pages mi_internal_heap_pages
#define heap_part_count mi_internal_heap_part_count
#define heap_strangers mi_internal_heap_strangers
#define heap_tally mi_internal_heap_tally
#define heap_threads mi_internal_heap_threads
#define heap_unref mi_internal_heap_unref
#define heap_visit_all_pages mi_internal_heap_visit_all_pages
#define heap_visit_heaps mi_internal_heap_visit_heaps
#define heap_visit_pages mi_internal_heap_visit_pages
#define malloc_fast mi_internal_malloc_fast
#define memory_after_fork mi_internal_memory_after_fork
#define memory_counters mi_internal_memory_counters
#define memory_stats mi_internal_memory_stats
#define memory_trim mi_internal_memory_trim
#define meta_alloc mi_internal_meta_alloc
#define new_fast mi_internal_new_fast
#define new_retry mi_internal_new_retry
#define new_retry_nothrow mi_internal_new_retry_nothrow
#define new_slow mi_internal_new_slow
#define option_chosen mi_internal_option_chosen
#define option_enabled mi_internal_option_enabled
#define option_get mi_internal_option_get
#define option_info mi_internal_option_info
#define option_parse_entry mi_internal_option_parse_entry
#define os_barrier_everywhere mi_internal_os_barrier_everywhere
#define os_commit mi_internal_os_commit
#define os_environment mi_internal_os_environment
#define os_fork_word mi_internal_os_fork_word
#define os_futex_wait mi_internal_os_futex_wait
#define os_futex_wake mi_internal_os_futex_wake
#define os_keep_stderr mi_internal_os_keep_stderr
#define os_map mi_internal_os_map
#define os_map_at mi_internal_os_map_at
#define os_map_huge mi_internal_os_map_huge
#define os_move mi_internal_os_move
#define os_no_huge_pages mi_internal_os_no_huge_pages
#define os_now_ms mi_internal_os_now_ms
#define os_numa_nodes mi_internal_os_numa_nodes
#define os_page_size mi_internal_os_page_size
#define os_prefer_node mi_internal_os_prefer_node
#define os_process_rss mi_internal_os_process_rss
#define os_process_usage mi_internal_os_process_usage
#define os_purge mi_internal_os_purge
#define os_random mi_internal_os_random
#define os_region_of mi_internal_os_region_of
#define os_reserve mi_internal_os_reserve
#define os_reserve_at mi_internal_os_reserve_at
#define os_return_to_stderr mi_internal_os_return_to_stderr
#define os_thread_name mi_internal_os_thread_name
#define os_thread_start mi_internal_os_thread_start
#define os_unmap mi_internal_os_unmap
#define os_write_stderr mi_internal_os_write_stderr
#define page_abandon mi_internal_page_abandon
#define page_collect_remote mi_internal_page_collect_remote
#define page_forked mi_internal_page_forked
#define page_init mi_internal_page_init
#define page_is_valid mi_internal_page_is_valid
#define page_list_holds mi_internal_page_list_holds
#define page_look mi_internal_page_look
#define page_look_note mi_internal_page_look_note
#define page_merge_lists mi_internal_page_merge_lists
#define page_of mi_internal_page_of
#define page_rebuild mi_internal_page_rebuild
#define page_refill mi_internal_page_refill
#define page_release mi_internal_page_release
#define page_served mi_internal_page_served
#define part_abandon_all mi_internal_part_abandon_all
#define part_attach mi_internal_part_attach
#define part_collect mi_internal_part_collect
#define part_delays_block mi_internal_part_delays_block
#define part_die mi_internal_part_die
#define part_drain mi_internal_part_drain
#define part_drain_held mi_internal_part_drain_held
#define part_empty mi_internal_part_empty
#define part_find_page mi_internal_part_find_page
#define part_forget mi_internal_part_forget
#define part_free_delivered mi_internal_part_free_delivered
#define part_free_local mi_internal_part_free_local
#define part_give_up mi_internal_part_give_up
#define part_idle_look mi_internal_part_idle_look
#define part_idle_release mi_internal_part_idle_release
#define part_init mi_internal_part_init
#define part_is_valid mi_internal_part_is_valid
#define part_look_delayed mi_internal_part_look_delayed
#define part_move_all mi_internal_part_move_all
#define part_page_emptied mi_internal_part_page_emptied
#define part_set_current mi_internal_part_set_current
#define part_tick mi_internal_part_tick
#define part_unfull mi_internal_part_unfull
#define pool_get mi_internal_pool_get
#define pool_put mi_internal_pool_put
#define print_to mi_internal_print_to
#define purge_after_fork mi_internal_purge_after_fork
#define purge_all mi_internal_purge_all
#define purge_claimed mi_internal_purge_claimed
#define purge_delay mi_internal_purge_delay
#define purge_due mi_internal_purge_due
#define purge_observe_claim mi_internal_purge_observe_claim
#define purge_over_budget mi_internal_purge_over_budget
#define purge_period mi_internal_purge_period
#define purge_set_mode mi_internal_purge_set_mode
#define purge_young_word mi_internal_purge_young_word
#define remote_abandon mi_internal_remote_abandon
#define remote_arm mi_internal_remote_arm
#define remote_claim mi_internal_remote_claim
#define remote_disarm mi_internal_remote_disarm
#define remote_free mi_internal_remote_free
#define remote_list mi_internal_remote_list
#define remote_park mi_internal_remote_park
#define remote_reset mi_internal_remote_reset
#define remote_signalled mi_internal_remote_signalled
#define remote_take mi_internal_remote_take
#define report_failure mi_internal_report_failure
#define report_fatal mi_internal_report_fatal
#define report_mistake mi_internal_report_mistake
#define report_misuse mi_internal_report_misuse
#define report_verbose mi_internal_report_verbose
#define report_warning mi_internal_report_warning
#define reserve_adopt mi_internal_reserve_adopt
#define reserve_at_start mi_internal_reserve_at_start
#define reserve_huge mi_internal_reserve_huge
#define reserve_huge_interleaved mi_internal_reserve_huge_interleaved
#define reserve_memory mi_internal_reserve_memory
#define reserve_node mi_internal_reserve_node
#define resize mi_internal_resize
#define resize_aligned mi_internal_resize_aligned
#define scavenger_after_fork mi_internal_scavenger_after_fork
#define scavenger_hint_first mi_internal_scavenger_hint_first
#define scavenger_hinted mi_internal_scavenger_hinted
#define scavenger_set_job mi_internal_scavenger_set_job
#define scavenger_start mi_internal_scavenger_start
#define scavenger_state mi_internal_scavenger_state
#define scavenger_switch_off mi_internal_scavenger_switch_off
#define scavenger_wake mi_internal_scavenger_wake
#define segment_claim_bits mi_internal_segment_claim_bits
#define segment_claim_run mi_internal_segment_claim_run
#define segment_clear mi_internal_segment_clear
#define segment_place mi_internal_segment_place
#define segment_release mi_internal_segment_release
#define segment_set mi_internal_segment_set
#define single_alloc mi_internal_single_alloc
#define single_free mi_internal_single_free
#define single_move mi_internal_single_move
#define single_resize mi_internal_single_resize
#define slices_are_claimed mi_internal_slices_are_claimed
#define slices_claim mi_internal_slices_claim
#define slices_claim_for mi_internal_slices_claim_for
#define slices_clear_start mi_internal_slices_clear_start
#define slices_extend mi_internal_slices_extend
#define slices_find_start mi_internal_slices_find_start
#define slices_grow mi_internal_slices_grow
#define slices_open mi_internal_slices_open
#define slices_release mi_internal_slices_release
#define slices_release_purged mi_internal_slices_release_purged
#define slices_set_start mi_internal_slices_set_start
#define small_page mi_internal_small_page
#define stats_snapshot mi_internal_stats_snapshot
#define stats_snapshot_of mi_internal_stats_snapshot_of
#define summary_any mi_internal_summary_any
#define summary_highest mi_internal_summary_highest
#define summary_holds mi_internal_summary_holds
#define summary_lowest mi_internal_summary_lowest
#define summary_publish mi_internal_summary_publish
#define summary_rebuild mi_internal_summary_rebuild
#define summary_refute mi_internal_summary_refute
#define summary_set mi_internal_summary_set
#define take_small mi_internal_take_small
#define thread_attach mi_internal_thread_attach
#define thread_check_fork mi_internal_thread_check_fork
#define thread_default_part mi_internal_thread_default_part
#define thread_end_part mi_internal_thread_end_part
#define thread_end_record mi_internal_thread_end_record
#define thread_enter mi_internal_thread_enter
#define thread_exit mi_internal_thread_exit
#define thread_find_part mi_internal_thread_find_part
#define thread_generation mi_internal_thread_generation
#define thread_hear mi_internal_thread_hear
#define thread_join_subprocess mi_internal_thread_join_subprocess
#define thread_leave mi_internal_thread_leave
#define thread_look_around mi_internal_thread_look_around
#define thread_main_heap mi_internal_thread_main_heap
#define thread_note_stranger mi_internal_thread_note_stranger
#define thread_part mi_internal_thread_part
#define thread_part_of mi_internal_thread_part_of
#define thread_peak mi_internal_thread_peak
#define thread_register mi_internal_thread_register
#define thread_root mi_internal_thread_root
#define thread_self mi_internal_thread_self
#define thread_set_default mi_internal_thread_set_default
#define thread_settle mi_internal_thread_settle
#define thread_tag mi_internal_thread_tag
#define thread_tidy_idle mi_internal_thread_tidy_idle
#define thread_total mi_internal_thread_total
#define thread_unhold_after_fork mi_internal_thread_unhold_after_fork
#define thread_visit_parts mi_internal_thread_visit_parts
#define thread_watch_idle mi_internal_thread_watch_idle
#define window mi_internal_window
#define window_adopt mi_internal_window_adopt
#define window_grow mi_internal_window_grow
#define window_init mi_internal_window_init
#define window_knows mi_internal_window_knows
#define window_next_span mi_internal_window_next_span
#define window_padding mi_internal_window_padding
#define window_segment_ready mi_internal_window_segment_ready
#define window_segments mi_internal_window_segments
#define window_slice_of mi_internal_window_slice_of
#define window_span mi_internal_window_span
#define zalloc_fast mi_internal_zalloc_fast
#define zero_block mi_internal_zero_block

/* ---- src/base/check.h */
/* Invariants.  `check` costs nothing in a release build but still type-checks; a failed one says where and
   aborts. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H


/* ---- src/base/compiler.h */
/* What the C language does not say: branch weights, code placement, visibility. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

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

/* A few words of static TLS are all the library uses: it can be opened by dlopen. */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

/* Have the value in one register from here on: keeps the compiler from computing an address once per use. */
#define IN_REGISTER(x) __asm__("" : "+r"(x))

#define UNUSED(x) ((void)(x))

#endif

/* ---- src/base/config.h */
/* Every constant of the design, and the build's switches as constants for plain `if`s. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H


#ifndef MI_DEBUG
#define MI_DEBUG 0
#endif
#ifndef MI_FREE_CHECKS
#define MI_FREE_CHECKS 1
#endif

enum {
  DEBUG_CHECKS = MI_DEBUG,      /* 1: invariants, at slow steps and every 64th fast one */
  FREE_CHECKS = MI_FREE_CHECKS, /* 1: double-free mark and block-start test on the fast path of free */

  SLICE_SHIFT = 16,
  SLICE_SIZE = 1 << SLICE_SHIFT, /* unit of claiming, committing and purging */
  SEGMENT_SLICES = 64,           /* so a set of a segment's slices is one 64-bit word */
  SEGMENT_SHIFT = SLICE_SHIFT + 6,
  SEGMENT_SIZE = 1 << SEGMENT_SHIFT,

  ADDRESS_SHIFT =
      48,            /* memory above 2^48 is not adopted: the numbers of all slices below differ in 32 bits */
  WINDOW_SHIFT = 40, /* the window spans at most 1 TiB of addresses */

  TABLE_ENTRY_SIZE = 128, /* one table entry per slice: 0.195 % */
  CACHE_LINE = 64,

  DIRECT_SIZE_MAX = 1024,       /* sizes served by direct[]  */
  SMALL_BLOCK_MAX = 8 * 1024,   /* blocks of small pages */
  MEDIUM_BLOCK_MAX = 32 * 1024, /* blocks of medium pages; above, a page is one block */
};

#define KiB ((size_t)1024)
#define MiB (KiB * KiB)
#define GiB (MiB * KiB)

#define WINDOW_SLICES ((size_t)1 << (WINDOW_SHIFT - SLICE_SHIFT))
#define WINDOW_SEGMENTS ((size_t)1 << (WINDOW_SHIFT - SEGMENT_SHIFT))

/* No object may be larger: pointer differences inside it must be representable. */
#define ALLOC_SIZE_MAX ((size_t)PTRDIFF_MAX)

_Static_assert(SEGMENT_SLICES == 64, "a set of slices is one uint64_t");
_Static_assert(sizeof(void*) == 8, "the window needs 64-bit addresses");

#endif

COLD void check_failed(const char* what, const char* file, int line);

#define check(condition)                                                            \
  do {                                                                              \
    if (DEBUG_CHECKS && unlikely(!(condition))) check_failed(#condition, __FILE__, __LINE__); \
  } while (0)

#endif

/* ==== src/base/check.c */
/* A failed invariant: one line on standard error, then abort.  Uses nothing of the allocator. */


static void put(const char* text) {
  const ssize_t written = write(STDERR_FILENO, text, strlen(text));
  UNUSED(written);
}

void check_failed(const char* what, const char* file, int line) {
  char digits[12];
  size_t at = sizeof(digits) - 1;
  digits[at] = 0;
  do {
    digits[--at] = (char)('0' + line % 10);
    line /= 10;
  } while (line != 0);
  put("mimalloc: internal invariant broken: ");
  put(what);
  put(" at ");
  put(file);
  put(":");
  put(digits + at);
  put("\n");
  abort();
}

/* ---- src/os/os.h */
/* All the allocator asks of the operating system.  A port is one file that keeps these contracts.

   Rules for every function: it may be called from any thread, from a signal handler and before constructors
   have run; it calls no malloc, takes no lock, is no cancellation point, and leaves errno as it was.
   Functions that return int return 0 or an errno value.  Addresses and sizes of ranges are multiples of
   os_page_size() unless said otherwise; size > 0. */
#ifndef OS_OS_H
#define OS_OS_H


/* ---- src/base/atomics.h */
/* The seam: every atomic operation of the allocator is one of these, named by its memory order.
   With MI_ATOMIC_SEAM the tests get control before each (atomic_seam) and so run the shipped code in
   every interleaving, or stop one thread for ever at any of them.  Otherwise the seam is nothing. */
#ifndef BASE_ATOMICS_H
#define BASE_ATOMICS_H



typedef _Atomic(uint64_t) atomic_u64_t;
typedef _Atomic(uint32_t) atomic_u32_t;
typedef _Atomic(uint16_t) atomic_u16_t;
typedef _Atomic(uintptr_t) atomic_word_t; /* pointers and thread tags */

#ifndef MI_ATOMIC_SEAM
#define MI_ATOMIC_SEAM 0
#endif
#if MI_ATOMIC_SEAM
void atomic_seam(const volatile void* where); /* called before the operation on *where */
#define SEAM(p) atomic_seam(p)
#else
#define SEAM(p) ((void)0)
#endif

#define load_relaxed(p) (SEAM(p), atomic_load_explicit((p), memory_order_relaxed))
#define load_acquire(p) (SEAM(p), atomic_load_explicit((p), memory_order_acquire))
#define load_seq_cst(p) (SEAM(p), atomic_load_explicit((p), memory_order_seq_cst))
/* A relaxed load of a word that has got its value for good: no order of threads can matter, so no seam. */
#define load_settled(p) atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, x) (SEAM(p), atomic_store_explicit((p), (x), memory_order_relaxed))
#define store_release(p, x) (SEAM(p), atomic_store_explicit((p), (x), memory_order_release))
#define store_seq_cst(p, x) (SEAM(p), atomic_store_explicit((p), (x), memory_order_seq_cst))
#define exchange_acq_rel(p, x) (SEAM(p), atomic_exchange_explicit((p), (x), memory_order_acq_rel))
#define exchange_seq_cst(p, x) (SEAM(p), atomic_exchange_explicit((p), (x), memory_order_seq_cst))
#define add_relaxed(p, x) (SEAM(p), atomic_fetch_add_explicit((p), (x), memory_order_relaxed))
#define add_acq_rel(p, x) (SEAM(p), atomic_fetch_add_explicit((p), (x), memory_order_acq_rel))
#define or_acq_rel(p, x) (SEAM(p), atomic_fetch_or_explicit((p), (x), memory_order_acq_rel))
#define and_acq_rel(p, x) (SEAM(p), atomic_fetch_and_explicit((p), (x), memory_order_acq_rel))

/* A relaxed load of a word for the fast paths.  Compilers do not fold atomic loads into the instruction that
   uses the value; this one they may.  Only for a value that is used once: the compiler could
   read it twice. */
#if MI_ATOMIC_SEAM || THREAD_SANITIZER
#define load_folded(p) ((uintptr_t)load_relaxed(p))
#else
#define load_folded(p) (*(const uintptr_t*)(const void*)(p))
#endif

/* Compare and swap; on failure *expected holds what was found.  Weak: may fail for no reason, use
   in a loop. */
#define cas_weak_acq_rel(p, expected, x) \
  (SEAM(p),                              \
   atomic_compare_exchange_weak_explicit((p), (expected), (x), memory_order_acq_rel, memory_order_acquire))
#define cas_strong_acq_rel(p, expected, x)                                                      \
  (SEAM(p), atomic_compare_exchange_strong_explicit((p), (expected), (x), memory_order_acq_rel, \
                                                    memory_order_acquire))
#define cas_strong_seq_cst(p, expected, x)                                                      \
  (SEAM(p), atomic_compare_exchange_strong_explicit((p), (expected), (x), memory_order_seq_cst, \
                                                    memory_order_seq_cst))

/* Figures for statistics, which decide nothing: no order of threads can matter, so no seam. */
static inline uint64_t figure_read(atomic_u64_t* figure) { return load_settled(figure); }

/* Returns the new value. */
static inline uint64_t figure_add(atomic_u64_t* figure, uint64_t amount) {
  return atomic_fetch_add_explicit(figure, amount, memory_order_relaxed) + amount;
}

static inline void figure_raise(atomic_u64_t* figure, uint64_t value) {
  uint64_t now = load_settled(figure);
  while (now < value && !atomic_compare_exchange_weak_explicit(figure, &now, value, memory_order_relaxed,
                                                               memory_order_relaxed)) {
  }
}

static inline void figure_set(atomic_u64_t* figure, uint64_t value) {
  atomic_store_explicit(figure, value, memory_order_relaxed);
}

#endif

/* Bytes in a page of the OS: a power of two, 4 KiB .. SLICE_SIZE, the same for the life of the process. */
size_t os_page_size(void);

/* Address space without memory (no access, not charged to any commit limit) exactly at addr.
   0: [addr, addr+size) is ours.  EEXIST: something is mapped there, or the OS places only where it likes.
   Another error (ENOMEM, EAGAIN under mlockall): a limit.  Unless 0, nothing changed. */
int os_reserve_at(void* addr, size_t size);

/* Address space without memory, anywhere, aligned to a power of two; NULL when there is none. */
void* os_reserve(size_t size, size_t alignment);

/* Readable, writable zero memory exactly at addr; results as of os_reserve_at. */
int os_map_at(void* addr, size_t size);

/* Readable, writable zero memory anywhere, or NULL.  size is rounded up to whole pages. */
void* os_map(size_t size);

/* Give back a range that one of the four functions above returned, or a part of it. */
void os_unmap(void* addr, size_t size);

/* Make reserved addresses readable and writable.  Idempotent: memory in use inside the range keeps its
   contents. 0: usable; never touched pages read as zero.  Else nothing that was usable before has become
   unusable. */
int os_commit(void* addr, size_t size);

/* Drop the memory behind a writable range.  0: it stays writable and reads as zero.
   Else (EINVAL: locked by mlock) the contents are unknown. */
int os_purge(void* addr, size_t size);

/* Move the contents of a writable range to another one without copying; both ranges stay writable, and `from`
   reads as zero afterwards.  Else an errno value: `from` is what it was, the contents of `to` are lost;
   ENOTRECOVERABLE: `to` is not even mapped.  What was moved is a mapping of its own for good, so callers
   bound how often they do this. */
int os_move(void* from, void* to, size_t size);

/* Put huge pages of 2^shift bytes in the place of reserved addresses; addr and size are multiples of that.
   0: writable and zero; nothing of it can be purged or moved.  Else an errno value, and the addresses are
   reserved as before; ENOTRECOVERABLE: they are not even that. */
int os_map_huge(void* addr, size_t size, unsigned shift);

/* Memory of the range that is touched from now on comes from this NUMA node while it has some; a hint.
   0 or an errno value. */
int os_prefer_node(void* addr, size_t size, unsigned node);

/* One more than the highest number of a NUMA node; 1 when unknown. */
unsigned os_numa_nodes(void);

/* Ask for no huge pages in a range; a hint. */
void os_no_huge_pages(void* addr, size_t size);

/* Milliseconds of a clock that never goes back; may step by several at once (it is cheap). */
uint64_t os_now_ms(void);

/* Unpredictable bits, from the kernel; never waits for entropy. */
uint64_t os_random(void);

/* A word that reads as zero again in every forked child, however it was forked.  The same word on each call;
   NULL when the kernel has no such thing. */
atomic_u64_t* os_fork_word(void);

/* n bytes to file descriptor 2, as many as go without an error. */
void os_write_stderr(const char* text, size_t n);

/* At the start of the process: remember which file descriptor 2 names, and keep a descriptor of our own for
   it, which exec closes. */
void os_keep_stderr(void);

/* At its exit: os_write_stderr writes to the file that was kept, through descriptor 2 if that still names it,
   else through the other one, or nowhere.  Without os_keep_stderr nothing changes. */
void os_return_to_stderr(void);

/* Resident bytes of this process, 0 when unknown. */
size_t os_process_rss(void);

/* Sleep while *word == expected, until woken, at most timeout_ms (negative: no limit).  May return early. */
void os_futex_wait(atomic_u32_t* word, uint32_t expected, long timeout_ms);

/* Wake one sleeper on word. */
void os_futex_wake(atomic_u32_t* word);

/* Every other thread of the process passes a full memory barrier before this returns.  0 or an errno value
   (the kernel cannot). */
int os_barrier_everywhere(void);

/* Run `run` in a new detached thread with a small stack and every signal blocked.  The OS may call malloc for
   it, so call this only where an allocation may nest.  0 or an errno value. */
int os_thread_start(void* (*run)(void*));

/* Name the calling thread; at most 15 characters. */
void os_thread_name(const char* name);

#endif

/* ---- src/base/bits.h */
/* Integer arithmetic: alignment, bit scans, runs of bits, overflow. */
#ifndef BASE_BITS_H
#define BASE_BITS_H


static inline bool is_power_of_two(size_t x) { return x != 0 && (x & (x - 1)) == 0; }

static inline size_t align_down(size_t x, size_t power) { return x & ~(power - 1); }

/* Wraps on overflow: callers bound x by ALLOC_SIZE_MAX first. */
static inline size_t align_up(size_t x, size_t power) { return (x + power - 1) & ~(power - 1); }

static inline size_t div_up(size_t x, size_t y) { return (x + y - 1) / y; }

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* Index of the lowest / highest set bit; x != 0. */
static inline unsigned bit_lowest(uint64_t x) { return (unsigned)__builtin_ctzll(x); }
static inline unsigned bit_highest(uint64_t x) { return 63u - (unsigned)__builtin_clzll(x); }
static inline unsigned bit_count(uint64_t x) { return (unsigned)__builtin_popcountll(x); }

/* The bits first .. first+count-1; 1 <= count, first+count <= 64. */
static inline uint64_t bit_range(unsigned first, unsigned count) {
  return (~UINT64_C(0) >> (64 - count)) << first;
}

/* Bit i of the result is set when bits i .. i+count-1 of x all are; 1 <= count <= 64. */
static inline uint64_t bit_runs(uint64_t x, unsigned count) {
  unsigned have = 1;
  while (have < count && x != 0) {
    const unsigned step = have < count - have ? have : count - have;
    x &= x >> step;
    have += step;
  }
  return x;
}

/* Returns true, and the product in *total, unless it overflows. */
static inline bool mul_fits(size_t count, size_t size, size_t* total) {
  return !__builtin_mul_overflow(count, size, total);
}

#endif

/* ==== src/os/linux.c */
/* The OS layer on Linux.  Mappings go through libc, because sanitizers watch (and steer) libc's mmap;
   whatever would be a cancellation point in libc goes through syscall(), which is none. */



#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18 /* Linux 4.14 */
#endif

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* Linux 5.7 */
#endif

/* FUTEX_WAIT and FUTEX_WAKE, within the process: not every C library comes with the kernel's headers. */
enum { FUTEX_WAIT_HERE = 0 | 128, FUTEX_WAKE_HERE = 1 | 128 };

enum { THREAD_STACK = 64 * 1024, MAP_PRIVATE_ZERO = MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE = -1 };

size_t os_page_size(void) {
  static atomic_word_t page_size; /* getauxval is cheap, but the page size is asked for often */
  size_t size = load_relaxed(&page_size);
  if (size == 0) {
    const int saved = errno;
    size = (size_t)getauxval(AT_PAGESZ);
    errno = saved;
    if (!is_power_of_two(size)) size = 4 * KiB;
    store_relaxed(&page_size, size);
  }
  return size;
}

/* ---- mappings ---- */

static void* map_anywhere(size_t size, int protection) {
  const int saved = errno;
  void* const p = (void*)(mmap(NULL, size, protection, MAP_PRIVATE_ZERO, -1, 0));
  errno = saved;
  return p == MAP_FAILED ? NULL : p;
}

/* The address is a hint: the kernel follows it where nothing is mapped and never replaces a mapping.  (The
   flag MAP_FIXED_NOREPLACE says the same, but kernels before 4.17 and some sanitizers get it wrong.) */
static int map_exactly(void* addr, size_t size, int protection) {
  const int saved = errno;
  int error = 0;
  void* const p = (void*)(mmap(addr, size, protection, MAP_PRIVATE_ZERO, -1, 0));
  if (p == MAP_FAILED) {
    error = errno;
  } else if (p != addr) {
    munmap(p, size);
    error = EEXIST;
  }
  errno = saved;
  return error;
}

int os_reserve_at(void* addr, size_t size) {
  return map_exactly(addr, size, PROT_NONE);
}

int os_map_at(void* addr, size_t size) {
  return map_exactly(addr, size, PROT_READ | PROT_WRITE);
}

void* os_map(size_t size) {
  return map_anywhere(align_up(size, os_page_size()), PROT_READ | PROT_WRITE);
}

void* os_reserve(size_t size, size_t alignment) {
  if (size > ALLOC_SIZE_MAX - alignment) return NULL;
  char* const p = (char*)(map_anywhere(size + alignment, PROT_NONE));
  if (p == NULL) return NULL;
  const size_t before = align_up((uintptr_t)p, alignment) - (uintptr_t)p;
  if (before > 0) os_unmap(p, before);
  if (before < alignment) os_unmap(p + before + size, alignment - before);
  return p + before;
}

void os_unmap(void* addr, size_t size) {
  const int saved = errno;
  munmap(addr, size);
  errno = saved;
}

int os_commit(void* addr, size_t size) {
  const int saved = errno;
  const int error = mprotect(addr, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
  errno = saved;
  return error;
}

int os_purge(void* addr, size_t size) {
  const int saved = errno;
  const int error = madvise(addr, size, MADV_DONTNEED) == 0 ? 0 : errno;
  errno = saved;
  return error;
}

/* Kernels from 6.17 on move one mapping after the other and stop at the first that fails: what can be read in
   `to` has been moved there and goes back by copying.  Older kernels move all or nothing; the advice is not
   even known to those before 5.14. */
static void undo_move(char* from, char* to, size_t size) {
  const size_t page = os_page_size();
  for (size_t i = 0; i < size; i += page) {
    if (madvise(to + i, page, MADV_POPULATE_READ) == 0) memcpy(from + i, to + i, page);
  }
}

static int map_over(void* addr, size_t size, int protection) {
  const int flags = MAP_PRIVATE_ZERO | MAP_FIXED | MAP_NORESERVE;
  return mmap(addr, size, protection, flags, NO_FILE, 0) == addr ? 0 : errno;
}

/* The destination is made unreadable first, so that undo_move can tell; it is never a hole that another
   thread's mmap might fill. */
int os_move(void* from, void* to, size_t size) {
  const int saved = errno;
  int error = map_over(to, size, PROT_NONE);
  if (error == 0 &&
      mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == MAP_FAILED) {
    error = errno;
    undo_move((char*)from, (char*)to, size);
    if (map_over(to, size, PROT_READ | PROT_WRITE) != 0) error = ENOTRECOVERABLE;
  }
  errno = saved;
  return error;
}

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26 /* Linux 3.8 */
#endif

/* A mapping that fails may have unmapped what it was to replace. */
int os_map_huge(void* addr, size_t size, unsigned shift) {
  const int saved = errno;
  const int flags = MAP_PRIVATE_ZERO | MAP_FIXED | MAP_HUGETLB | (int)(shift << MAP_HUGE_SHIFT);
  int error = 0;
  if (mmap(addr, size, PROT_READ | PROT_WRITE, flags, NO_FILE, 0) != addr) {
    error = errno;
    if (map_over(addr, size, PROT_NONE) != 0) error = ENOTRECOVERABLE;
  }
  errno = saved;
  return error;
}

/* Of the kernel's interface: C libraries have no header for it. */
enum { NODES_MAX = 1024, PREFER_NODE = 1 };

int os_prefer_node(void* addr, size_t size, unsigned node) {
  const int saved = errno;
  unsigned long mask[NODES_MAX / 64] = {0};
  if (node >= NODES_MAX) return EINVAL;
  mask[node / 64] = 1ul << (node % 64);
  /* The kernel takes the number of bits plus one. */
  const long result = syscall(SYS_mbind, addr, size, PREFER_NODE, mask, NODES_MAX + 1ul, 0u);
  const int error = result == 0 ? 0 : errno;
  errno = saved;
  return error;
}

void os_no_huge_pages(void* addr, size_t size) {
  const int saved = errno;
  madvise(addr, size, MADV_NOHUGEPAGE);
  errno = saved;
}

/* ---- time, chance, forks ---- */

uint64_t os_now_ms(void) {
  struct timespec now = {0, 0};
  const int saved = errno;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  errno = saved;
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* A bijection in which every bit of the input changes half of the output. */
static uint64_t scramble(uint64_t x) {
  x ^= x >> 32;
  x *= UINT64_C(0x9e3779b97f4a7c15);
  x ^= x >> 29;
  x *= UINT64_C(0xd6e8feb86659fd93);
  return x ^ (x >> 32);
}

uint64_t os_random(void) {
  const int saved = errno;
  uint64_t bits = 0;
  if (syscall(SYS_getrandom, &bits, sizeof(bits), GRND_NONBLOCK) != (long)sizeof(bits)) {
    static atomic_u64_t calls; /* a start without entropy: the loader's 16 random bytes, time, and a count */
    const uint64_t* const start = (const uint64_t*)getauxval(AT_RANDOM);
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    bits =
        (start != NULL ? start[0] ^ start[1] : 0) ^ scramble((uint64_t)now.tv_nsec + add_relaxed(&calls, 1));
    bits = scramble(bits ^ (uint64_t)now.tv_sec);
  }
  errno = saved;
  return bits;
}

atomic_u64_t* os_fork_word(void) {
  static _Atomic(atomic_u64_t*) word;
  static atomic_u64_t none; /* its address stands for "the kernel cannot" */
  atomic_u64_t* known = (atomic_u64_t*)(load_acquire(&word));
  if (known == NULL) {
    const int saved = errno;
    atomic_u64_t* mine = (atomic_u64_t*)(os_map(os_page_size()));
    if (mine == NULL) return NULL; /* asked again next time */
    if (madvise(mine, os_page_size(), MADV_WIPEONFORK) != 0) {
      os_unmap(mine, os_page_size());
      mine = &none;
    }
    errno = saved;
    /* release: the page is set up before its address is seen (load_acquire above). */
    if (cas_strong_acq_rel(&word, &known, mine)) {
      known = mine;
    } else if (mine != &none) {
      os_unmap(mine, os_page_size());
    }
  }
  return known == &none ? NULL : known;
}

/* ---- files ---- */

/* The file that descriptor 2 named when os_keep_stderr looked, and a descriptor of ours for it. */
static struct {
  bool known;
  int copy; /* or NO_FILE */
  dev_t device;
  ino_t inode; /* 0, which no file has: there was none */
} first_stderr;
static atomic_u32_t report_file = STDERR_FILENO; /* where os_write_stderr writes; NO_FILE: nowhere */

static bool is_first_stderr(int file) {
  struct stat now;
  return fstat(file, &now) == 0 && now.st_dev == first_stderr.device && now.st_ino == first_stderr.inode;
}

void os_keep_stderr(void) {
  const int saved = errno;
  struct stat now;
  first_stderr.copy = NO_FILE;
  if (fstat(STDERR_FILENO, &now) == 0) {
    /* A high number is seldom in a program's way; the limit may be lower. */
    for (int lowest = 512; first_stderr.copy < 0 && lowest > STDERR_FILENO; lowest /= 2)
      first_stderr.copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, lowest);
    first_stderr.device = now.st_dev;
    first_stderr.inode = now.st_ino;
  }
  first_stderr.known = true;
  errno = saved;
}

void os_return_to_stderr(void) {
  if (!first_stderr.known) return;
  const int saved = errno;
  int file = NO_FILE;
  if (is_first_stderr(first_stderr.copy)) file = first_stderr.copy;
  if (is_first_stderr(STDERR_FILENO)) file = STDERR_FILENO;
  store_relaxed(&report_file, (uint32_t)file);
  errno = saved;
}

void os_write_stderr(const char* text, size_t n) {
  const int saved = errno;
  while (n > 0) {
    const long wrote = syscall(SYS_write, (int)load_relaxed(&report_file), text, n);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    text += wrote;
    n -= (size_t)wrote;
  }
  errno = saved;
}

/* The start of a file; returns its bytes, 0 when it cannot be read. */
static long read_start(const char* path, char* text, size_t size) {
  const int saved = errno;
  long n = 0;
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    n = syscall(SYS_read, fd, text, size);
    syscall(SYS_close, fd);
  }
  errno = saved;
  return n > 0 ? n : 0;
}

/* The file holds ranges of numbers, rising: "0-1,4". */
unsigned os_numa_nodes(void) {
  char text[128];
  const long n = read_start("/sys/devices/system/node/online", text, sizeof(text));
  unsigned last = 0;
  for (long i = 0; i < n; i++) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    const bool first = i == 0 || text[i - 1] < '0' || text[i - 1] > '9';
    if (digit) last = (first ? 0 : last * 10) + (unsigned)(text[i] - '0');
  }
  return last < NODES_MAX ? last + 1 : 1;
}

/* /proc/self/statm holds "size resident ...", in pages of the kernel (not of a test's double). */
size_t os_process_rss(void) {
  char text[128];
  const long n = read_start("/proc/self/statm", text, sizeof(text));
  long i = 0;
  size_t pages = 0;
  while (i < n && text[i] != ' ') i++;
  for (i++; i < n && text[i] >= '0' && text[i] <= '9'; i++) pages = pages * 10 + (size_t)(text[i] - '0');
  return pages * os_page_size();
}

/* ---- the scavenger's thread ---- */

void os_futex_wait(atomic_u32_t* word, uint32_t expected, long timeout_ms) {
  const int saved = errno;
  const struct timespec timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000};
  syscall(SYS_futex, word, FUTEX_WAIT_HERE, expected, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
  errno = saved;
}

void os_futex_wake(atomic_u32_t* word) {
  const int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_HERE, 1, NULL, NULL, 0);
  errno = saved;
}

enum { MEMBARRIER_EXPEDITED = 1 << 3, MEMBARRIER_REGISTER = 1 << 4 };

int os_barrier_everywhere(void) {
  const int saved = errno;
  long result = syscall(SYS_membarrier, MEMBARRIER_EXPEDITED, 0, 0);
  if (result != 0 && errno == EPERM) { /* the first call of this process */
    syscall(SYS_membarrier, MEMBARRIER_REGISTER, 0, 0);
    result = syscall(SYS_membarrier, MEMBARRIER_EXPEDITED, 0, 0);
  }
  const int error = result == 0 ? 0 : errno;
  errno = saved;
  return error;
}

int os_thread_start(void* (*run)(void*)) {
  const int saved = errno;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits "all": no handler ever runs in it */
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, THREAD_STACK);
  int error = pthread_create(&thread, &attributes, run, NULL);
  if (error == EINVAL) { /* a program with much static TLS needs more than that */
    error = pthread_create(&thread, NULL, run, NULL);
    if (error == 0) pthread_detach(thread);
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = saved;
  return error;
}

void os_thread_name(const char* name) {
  const int saved = errno;
  prctl(PR_SET_NAME, name);
  errno = saved;
}
#undef MADV_POPULATE_READ
#undef MADV_WIPEONFORK
#undef MAP_HUGE_SHIFT
#undef MREMAP_DONTUNMAP

/* ---- src/os/process.h */
/* What the process can be asked about itself; the rules of os/os.h hold. */
#ifndef OS_PROCESS_H
#define OS_PROCESS_H


/* Call visit with each entry NAME=value of the environment that starts with `prefix` (letter case ignored)
   and is at most 255 characters long.  Works before the C library has set up its own environment pointer.
   A process with elevated privileges has none, as far as this function tells. */
void os_environment(const char* prefix, void (*visit)(const char* entry));

typedef enum os_place_e {
  OS_PLACE_UNKNOWN,  /* it cannot be found out */
  OS_PLACE_UNMAPPED, /* no memory, or none that can be written */
  OS_PLACE_STACK,    /* a stack, as far as the system or the stack pointer tells */
  OS_PLACE_STATIC,   /* a mapped file: code, static data */
  OS_PLACE_HEAP,     /* the program break's area, or anonymous memory */
} os_place_t;

typedef struct os_region_s {
  os_place_t place;
  uintptr_t start; /* the mapping around the address: [start, end) */
  uintptr_t end;
} os_region_t;

/* What kind of memory is at p.  Slow (reads the list of mappings). */
os_region_t os_region_of(const void* p);

typedef struct os_usage_s {
  size_t user_ms;
  size_t system_ms;
  size_t peak_rss;    /* bytes */
  size_t page_faults; /* those that read from a disk */
} os_usage_t;

/* What the process has used so far; zeros where the system does not tell. */
os_usage_t os_process_usage(void);

#endif

/* ==== src/os/process.c */
/* Linux: the environment and the list of mappings, the latter (and the former, when the C library has none
   yet) read from /proc in pieces, through a buffer on the stack. */



/* Is p in an object that the loader knows?  musl's loader cannot say. */
#if defined(__GLIBC__)
#pragma weak _dl_find_object /* since glibc 2.35 */
static bool in_loaded_object(const void* p) {
  struct dl_find_object object;
  return _dl_find_object != NULL && _dl_find_object((void*)(uintptr_t)p, &object) == 0;
}
#else
static bool in_loaded_object(const void* p) {
  UNUSED(p);
  return false;
}
#endif

enum { ENTRY_MAX = 256, BUFFER_SIZE = 4096 };

/* A file read character by character. */
typedef struct reader_s {
  int file;
  size_t at;
  size_t filled;
  char buffer[BUFFER_SIZE];
} reader_t;

/* Plain system calls: open and read of the C library are cancellation points. */
static bool reader_open(reader_t* reader, const char* path) {
  reader->at = reader->filled = 0;
  reader->file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  return reader->file >= 0;
}

static int reader_next(reader_t* reader) {
  if (reader->at == reader->filled) {
    long got;
    do {
      got = syscall(SYS_read, reader->file, reader->buffer, sizeof(reader->buffer));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return -1;
    reader->at = 0;
    reader->filled = (size_t)got;
  }
  return (unsigned char)reader->buffer[reader->at++];
}

static void reader_close(reader_t* reader) {
  syscall(SYS_close, reader->file);
}

/* The text up to `separator` or the end, cut off at `size` - 1 characters.  False: there is no more. */
static bool reader_line(reader_t* reader, char separator, char* line, size_t* length, size_t size) {
  *length = 0;
  int c = reader_next(reader);
  if (c < 0) return false;
  for (; c >= 0 && c != separator; c = reader_next(reader)) {
    if (*length < size - 1) line[*length] = (char)c;
    (*length)++;
  }
  line[*length < size - 1 ? *length : size - 1] = 0;
  return true;
}

static void visit_early_environment(const char* prefix, void (*visit)(const char* entry)) {
  reader_t reader;
  if (!reader_open(&reader, "/proc/self/environ")) return;
  char entry[ENTRY_MAX];
  size_t length;
  while (reader_line(&reader, 0, entry, &length, sizeof(entry))) {
    if (length < sizeof(entry) && strncasecmp(entry, prefix, strlen(prefix)) == 0) visit(entry);
  }
  reader_close(&reader);
}

void os_environment(const char* prefix, void (*visit)(const char* entry)) {
  const int saved = errno;
  if (getauxval(AT_SECURE) == 0) {
    if (environ == NULL) {
      visit_early_environment(prefix, visit);
    } else {
      for (char** entry = environ; *entry != NULL; entry++) {
        if (strncasecmp(*entry, prefix, strlen(prefix)) == 0 && strlen(*entry) < ENTRY_MAX) visit(*entry);
      }
    }
  }
  errno = saved;
}

static uintptr_t parse_hex(const char** at) {
  uintptr_t value = 0;
  for (;; (*at)++) {
    if (**at >= '0' && **at <= '9') {
      value = value * 16 + (uintptr_t)(**at - '0');
    } else if (**at >= 'a' && **at <= 'f') {
      value = value * 16 + (uintptr_t)(**at - 'a' + 10);
    } else {
      return value;
    }
  }
}

/* A line of /proc/self/maps: "start-end rwxp offset device inode   name". */
static os_region_t parse_mapping(const char* line) {
  os_region_t region = {.place = OS_PLACE_UNMAPPED};
  region.start = parse_hex(&line);
  if (*line++ != '-') return region;
  region.end = parse_hex(&line);
  const bool writable = line[0] == ' ' && line[1] == 'r' && line[2] == 'w';
  for (int fields = 0; fields < 3 && *line != 0; fields++) line += 1 + strcspn(line + 1, " ");
  const char* inode = line + strspn(line, " ");
  const char* name = inode + strcspn(inode, " ");
  name += strspn(name, " ");
  if (strncmp(name, "[stack", 6) == 0) {
    region.place = OS_PLACE_STACK;
  } else if (inode[0] != '0' || name[0] == '/') {
    region.place = OS_PLACE_STATIC;
  } else if (writable) {
    region.place = OS_PLACE_HEAP;
  }
  return region;
}

/* What the list of mappings does not say: stacks of threads are anonymous memory with the thread's control
   block at their end, and zero-initialised static data is anonymous memory behind its file. */
static os_place_t refine(const void* p, os_region_t region) {
  if (region.place != OS_PLACE_HEAP) return region.place;
  const uintptr_t address = (uintptr_t)p;
  const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
  const uintptr_t thread = (uintptr_t)pthread_self();
  if (frame >= region.start && frame <= address && address < thread && thread < region.end)
    return OS_PLACE_STACK;
  return in_loaded_object(p) ? OS_PLACE_STATIC : OS_PLACE_HEAP;
}

os_region_t os_region_of(const void* p) {
  const int saved = errno;
  os_region_t found = {.place = OS_PLACE_UNKNOWN};
  reader_t reader;
  if (reader_open(&reader, "/proc/self/maps")) {
    found.place = OS_PLACE_UNMAPPED;
    char line[ENTRY_MAX];
    size_t length;
    while (reader_line(&reader, '\n', line, &length, sizeof(line))) {
      const os_region_t region = parse_mapping(line);
      if ((uintptr_t)p >= region.start && (uintptr_t)p < region.end) {
        found = region;
        found.place = refine(p, region);
        break;
      }
    }
    reader_close(&reader);
  }
  errno = saved;
  return found;
}

static size_t milliseconds(struct timeval t) {
  return (size_t)t.tv_sec * 1000 + (size_t)t.tv_usec / 1000;
}

os_usage_t os_process_usage(void) {
  const int saved = errno;
  struct rusage usage = {0};
  getrusage(RUSAGE_SELF, &usage);
  errno = saved;
  return (os_usage_t){.user_ms = milliseconds(usage.ru_utime),
                      .system_ms = milliseconds(usage.ru_stime),
                      .peak_rss = (size_t)usage.ru_maxrss * KiB,
                      .page_faults = (size_t)usage.ru_majflt};
}

/* ---- src/core/diagnostics.h */
/* What the allocator tells the user: lines of text, and errors. Nothing here allocates, locks or changes
   errno; everything works in a signal handler and before main.  A line is formatted on the stack and leaves
   in one piece: to the registered output function, else to stderr.  The user's functions may allocate, fail
   and so come here again: a thread that is inside one of them is not led into another; its text goes to
   stderr. */
#ifndef CORE_DIAGNOSTICS_H
#define CORE_DIAGNOSTICS_H


/* Where text goes; function NULL: the registered output function or stderr. */
typedef struct output_s {
  mi_output_fun* function;
  void* argument;
} output_t;

enum { LINE_MAX_LENGTH = 512 };

/* One line (the format ends it), at most LINE_MAX_LENGTH - 1 characters. */
void print_to(const output_t* output, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* The program has done what it must not (double free, free of a foreign pointer, corruption): one line on
   stderr, the error hook, abort.  Returns only with the option continue_on_error; the caller then ignores
   the call. */
COLD void report_misuse(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* The process cannot go on, through no fault of its memory: one line on stderr, abort. */
COLD _Noreturn void report_fatal(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* A request cannot be met (no memory, too large, bad alignment): the error hook; a line with show_errors. */
COLD void report_failure(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* Something is odd: a line with show_errors. */
COLD void report_warning(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* The user's settings cannot be followed: a line, always. */
COLD void report_mistake(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* What the allocator does: a line with verbose. */
COLD void report_verbose(const char* format, ...) __attribute__((format(printf, 1, 2)));

#endif

/* ---- src/core/format.h */
/* Text into a fixed buffer: what of printf the allocator needs, without locale, malloc, errno or locks, so
   that it works in signal handlers and before the C library is ready. %s %c %% %p, and %d %u %x with the
   lengths l, ll and z; a width, with - (left) or 0 (zeros) before it; for strings also a precision (%.8s,
   %.*s).  A NULL string prints as (null), a pointer as 0x and hexadecimal digits. */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H



/* Write at most size - 1 characters and a terminator; size > 0.  Returns the characters written: what does
   not fit is cut off. */
size_t format_text(char* buffer, size_t size, const char* format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_v(char* buffer, size_t size, const char* format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif

/* ---- src/core/hook.h */
/* A function of the user with its argument, replaceable at any time by any thread and called without a lock.

   The pair is not one word, so a registration writes the next of eight slots and then publishes its number: a
   caller sees either the old pair or the new one.  (A caller would have to sleep through eight registrations
   between its two reads to mix them.) */
#ifndef CORE_HOOK_H
#define CORE_HOOK_H


enum { HOOK_SLOTS = 8 };

typedef void hook_function_t(void); /* cast to the hook's own type before the call */

typedef struct hook_pair_s {
  hook_function_t* function; /* NULL: nothing is registered */
  void* argument;
} hook_pair_t;

typedef struct hook_s {
  atomic_u32_t claimed;   /* atomic: registrations begun */
  atomic_u32_t published; /* atomic: number of the registration in force; 0: none yet */
  struct {
    atomic_word_t function;
    atomic_word_t argument;
  } slots[HOOK_SLOTS];
} hook_t;

static inline void hook_set(hook_t* hook, hook_function_t* function, void* argument) {
  const uint32_t number = add_relaxed(&hook->claimed, 1) + 1;
  store_relaxed(&hook->slots[number % HOOK_SLOTS].function, (uintptr_t)function);
  store_relaxed(&hook->slots[number % HOOK_SLOTS].argument, (uintptr_t)argument);
  store_release(&hook->published, number); /* partner: hook_get, which must see both words */
}

static inline hook_pair_t hook_get(hook_t* hook) {
  const uint32_t number = load_acquire(&hook->published); /* partner: hook_set */
  return (hook_pair_t){(hook_function_t*)load_relaxed(&hook->slots[number % HOOK_SLOTS].function),
                       (void*)load_relaxed(&hook->slots[number % HOOK_SLOTS].argument)};
}

#endif

/* ---- src/core/options.h */
/* The options: one table holds name, default, unit and meaning of each, and everything else (the
   environment's parser, the printed list, the documentation) comes from it. A value is one atomic word;
   VALUE_UNREAD says that the environment has not been looked at.  The first call to read an unread option
   reads the environment, whichever thread it is; several at a time do the same work with the same result,
   and none overwrites what mi_option_set has stored meanwhile (compare and swap from unread). */
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H


typedef enum option_unit_e {
  UNIT_FLAG,    /* a boolean, or a small number of choices */
  UNIT_NUMBER,  /* a count */
  UNIT_MS,      /* milliseconds */
  UNIT_SECONDS, /* seconds */
  UNIT_BYTES,   /* a size, suffixes allowed */
  UNIT_KIB,     /* a size held in KiB; in the environment a number without suffix is bytes */
} option_unit_t;

typedef struct option_info_s {
  const char* name; /* in lower case, without MIMALLOC_ */
  long initial;
  option_unit_t unit;
  const char* meaning;
  const char* unused; /* why the option is accepted and has no effect; NULL: it has one */
} option_info_t;

/* The table's row; option < _mi_option_last. */
const option_info_t* option_info(mi_option_t option);

/* The current value.  Anybody may call this at any time, from the first instruction of the process on. */
long option_get(mi_option_t option);
bool option_enabled(mi_option_t option);

/* ---- for printing ---- */

/* The option was set by the environment or the program; option < _mi_option_last. */
bool option_chosen(mi_option_t option);

/* What an entry MIMALLOC_NAME=value of the environment says. */
#define OPTIONS_PREFIX "MIMALLOC_"
typedef struct setting_s {
  mi_option_t option; /* _mi_option_last: there is no such option */
  bool valid;         /* value is */
  long value;
  const char* name;
  size_t name_length;
} setting_t;
setting_t option_parse_entry(const char* entry);

#endif

/* ==== src/core/diagnostics.c */
/* Lines and errors (contract: core/diagnostics.h).

   Until an output function is registered, text goes to stderr and also, up to EARLY_SIZE bytes, into a buffer
   that the first registration hands over.  Writers claim their place in it by compare and swap. */



enum { EARLY_SIZE = 16 * 1024, EARLY_CLOSED = EARLY_SIZE + 1 };

static hook_t output_hook;
static hook_t error_hook;
static atomic_u32_t errors_printed;
static atomic_u32_t warnings_printed;
static atomic_u64_t early_used; /* atomic: bytes claimed; EARLY_CLOSED: handed over */
static char early[EARLY_SIZE + 1];

/* True while this thread is inside a function of the user. */
static THREAD_LOCAL bool in_hook;

static void keep_early(const char* text, size_t length) {
  uint64_t at = load_relaxed(&early_used);
  do {
    if (at + length > EARLY_SIZE) return; /* full, or handed over */
  } while (!cas_weak_acq_rel(&early_used, &at, at + length));
  memcpy(early + at, text, length);
}

static const output_t to_default = {0};

static void emit(const output_t* output, const char* text, size_t length) {
  const hook_pair_t registered = hook_get(&output_hook);
  mi_output_fun* function = (mi_output_fun*)(output->function);
  void* argument = (void*)(output->argument);
  if (function == NULL) {
    function = (mi_output_fun*)registered.function;
    argument = registered.argument;
  }
  if (function == NULL || in_hook) {
    os_write_stderr(text, length);
    if (function == NULL) keep_early(text, length);
    return;
  }
  in_hook = true;
  function(text, argument);
  in_hook = false;
}

/* The line of a report, with its kind in front and the line feed at the end. */
typedef struct line_s {
  size_t length;
  char text[LINE_MAX_LENGTH];
} line_t;

static void line_format(line_t* line, const char* kind, const char* format, va_list arguments) {
  const size_t space = sizeof(line->text) - 1; /* one for the line feed */
  line->length = format_text(line->text, space, "mimalloc: %s", kind);
  line->length += format_text_v(line->text + line->length, space - line->length, format, arguments);
  line->text[line->length++] = '\n';
  line->text[line->length] = 0;
}

void print_to(const output_t* output, const char* format, ...) {
  const int saved = errno;
  char text[LINE_MAX_LENGTH];
  va_list arguments;
  va_start(arguments, format);
  const size_t length = format_text_v(text, sizeof(text), format, arguments);
  va_end(arguments);
  emit(output, text, length);
  errno = saved;
}

static bool shows_errors(void) {
  return option_enabled(mi_option_show_errors) || option_enabled(mi_option_verbose);
}

/* Count one more line of a kind; false when the user wants no more. */
static bool under_cap(atomic_u32_t* printed, mi_option_t cap) {
  const long most = option_get(cap);
  return most < 0 || (long)add_relaxed(printed, 1) < most;
}

static void call_error_hook(int code) {
  const hook_pair_t registered = hook_get(&error_hook);
  if (registered.function == NULL || in_hook) return;
  in_hook = true;
  ((mi_error_fun*)registered.function)(code, registered.argument);
  in_hook = false;
}

void report_misuse(int code, const char* format, ...) {
  const int saved = errno;
  const bool fatal = !option_enabled(mi_option_continue_on_error);
  line_t line;
  va_list arguments;
  va_start(arguments, format);
  line_format(&line, "error: ", format, arguments);
  va_end(arguments);
  if (fatal && hook_get(&output_hook).function != NULL) os_write_stderr(line.text, line.length);
  if (fatal || under_cap(&errors_printed, mi_option_max_errors)) emit(&to_default, line.text, line.length);
  call_error_hook(code);
  if (fatal) abort();
  errno = saved;
}

void report_failure(int code, const char* format, ...) {
  const int saved = errno;
  if (shows_errors() && under_cap(&errors_printed, mi_option_max_errors)) {
    line_t line;
    va_list arguments;
    va_start(arguments, format);
    line_format(&line, "error: ", format, arguments);
    va_end(arguments);
    emit(&to_default, line.text, line.length);
  }
  call_error_hook(code);
  errno = saved;
}

static void print_line(const char* kind, const char* format, va_list arguments) {
  const int saved = errno;
  line_t line;
  line_format(&line, kind, format, arguments);
  emit(&to_default, line.text, line.length);
  errno = saved;
}

void report_fatal(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  line_t line;
  line_format(&line, "error: ", format, arguments);
  va_end(arguments);
  os_write_stderr(line.text, line.length);
  abort();
}

void report_warning(const char* format, ...) {
  if (!shows_errors() || !under_cap(&warnings_printed, mi_option_max_warnings)) return;
  va_list arguments;
  va_start(arguments, format);
  print_line("warning: ", format, arguments);
  va_end(arguments);
}

void report_mistake(const char* format, ...) {
  if (!under_cap(&warnings_printed, mi_option_max_warnings)) return;
  va_list arguments;
  va_start(arguments, format);
  print_line("warning: ", format, arguments);
  va_end(arguments);
}

void report_verbose(const char* format, ...) {
  if (!option_enabled(mi_option_verbose)) return;
  va_list arguments;
  va_start(arguments, format);
  print_line("", format, arguments);
  va_end(arguments);
}

EXPORT void mi_register_output(mi_output_fun* out, void* arg) mi_attr_noexcept {
  hook_set(&output_hook, (hook_function_t*)out, arg);
  if (out == NULL) return;
  const uint64_t used = exchange_acq_rel(&early_used, EARLY_CLOSED);
  if (used == 0 || used == EARLY_CLOSED) return;
  early[used] = 0;
  in_hook = true;
  out(early, arg);
  in_hook = false;
}

EXPORT void mi_register_error(mi_error_fun* fun, void* arg) mi_attr_noexcept {
  hook_set(&error_hook, (hook_function_t*)fun, arg);
}

/* ==== src/core/format.c */
/* The formatter: one pass over the format; each directive is parsed into a field_t and its text padded. */


typedef struct sink_s {
  char* at;
  char* end; /* place of the terminator at the latest */
} sink_t;

typedef struct field_s {
  size_t width;
  size_t precision; /* of strings: most characters */
  bool left;
  bool zeros;
  unsigned longs; /* 0 int, 1 long or size_t, 2 long long */
} field_t;

enum { DIGITS_MAX = 20 }; /* of 2^64 in decimal */

static void put_char(sink_t* sink, char c) {
  if (sink->at < sink->end) *sink->at++ = c;
}

static void put_many(sink_t* sink, char c, size_t count) {
  for (size_t i = 0; i < count; i++) put_char(sink, c);
}

static void put_padded(sink_t* sink, const field_t* field, const char* text, size_t length) {
  const size_t padding = field->width > length ? field->width - length : 0;
  if (!field->left) put_many(sink, ' ', padding);
  for (size_t i = 0; i < length; i++) put_char(sink, text[i]);
  if (field->left) put_many(sink, ' ', padding);
}

static const field_t unpadded = {0};

/* `sign` (or "0x") goes before the zeros that fill the width. */
static void put_number(sink_t* sink, const field_t* field, uint64_t value, unsigned base, const char* sign) {
  char text[DIGITS_MAX + 2];
  size_t at = sizeof(text);
  do {
    text[--at] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  const size_t sign_length = strlen(sign);
  if (field->zeros && !field->left) {
    const size_t length = sizeof(text) - at + sign_length;
    for (size_t i = 0; i < sign_length; i++) put_char(sink, sign[i]);
    put_many(sink, '0', field->width > length ? field->width - length : 0);
    put_padded(sink, &unpadded, text + at, sizeof(text) - at);
  } else {
    at -= sign_length;
    memcpy(text + at, sign, sign_length);
    put_padded(sink, field, text + at, sizeof(text) - at);
  }
}

static size_t parse_number(const char** at) {
  size_t value = 0;
  while (**at >= '0' && **at <= '9') value = value * 10 + (size_t)(*(*at)++ - '0');
  return value;
}

/* Flags, width, precision and length; *precision_given tells that the caller must fetch it (".*"). */
static field_t parse_field(const char** at, bool* precision_given) {
  field_t field = {.precision = SIZE_MAX};
  for (;; (*at)++) {
    if (**at == '-') {
      field.left = true;
    } else if (**at == '0') {
      field.zeros = true;
    } else {
      break;
    }
  }
  field.width = parse_number(at);
  *precision_given = (*at)[0] == '.' && (*at)[1] == '*';
  if (*precision_given) {
    *at += 2;
  } else if (**at == '.') {
    (*at)++;
    field.precision = parse_number(at);
  }
  for (; **at == 'l' || **at == 'z'; (*at)++) field.longs++;
  return field;
}

static void put_string(sink_t* sink, const field_t* field, const char* text) {
  if (text == NULL) text = "(null)";
  size_t length = 0;
  while (length < field->precision && text[length] != 0) length++;
  put_padded(sink, field, text, length);
}

size_t format_text_v(char* buffer, size_t size, const char* format, va_list arguments) {
  sink_t sink = {buffer, buffer + size - 1};
  va_list list;
  va_copy(list, arguments);
  for (const char* at = format; *at != 0; at++) {
    if (*at != '%') {
      put_char(&sink, *at);
      continue;
    }
    at++;
    bool precision_given;
    field_t field = parse_field(&at, &precision_given);
    if (precision_given) field.precision = (size_t)va_arg(list, int);
    if (*at == 's') {
      put_string(&sink, &field, va_arg(list, const char*));
    } else if (*at == 'd') {
      const int64_t value = field.longs != 0 ? va_arg(list, long) : va_arg(list, int);
      put_number(&sink, &field, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0 ? "-" : "");
    } else if (*at == 'u' || *at == 'x') {
      const uint64_t value = field.longs != 0 ? va_arg(list, unsigned long) : va_arg(list, unsigned);
      put_number(&sink, &field, value, *at == 'u' ? 10 : 16, "");
    } else if (*at == 'p') {
      put_number(&sink, &field, (uintptr_t)va_arg(list, void*), 16, "0x");
    } else if (*at == 'c') {
      const char c = (char)va_arg(list, int);
      put_padded(&sink, &field, &c, 1);
    } else if (*at == '%') {
      put_char(&sink, '%');
    } else {
      break; /* the format ends in the middle of a directive, or has one we do not know */
    }
  }
  va_end(list);
  *sink.at = 0;
  return (size_t)(sink.at - buffer);
}

size_t format_text(char* buffer, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const size_t length = format_text_v(buffer, size, format, arguments);
  va_end(arguments);
  return length;
}

_Static_assert(sizeof(long) == sizeof(long long) && sizeof(long) == sizeof(size_t),
               "l, ll and z are the same");

/* ==== src/core/options.c */
#define parse_number core_options_parse_number
/* The table of options, and reading the environment into it (protocol: core/options.h). */



#define OPTION(id, value, unit, meaning, unused) [mi_option_##id] = {#id, value, unit, meaning, unused}

static const char OLD[] = "of an older interface";
static const char LAZY[] = "memory is committed when it is claimed";
static const char NO_ARENA[] = "memory outside of explicit arenas is one window";
static const char NO_GUARD[] = "only builds with guarded blocks have them";
static const char NO_PROFILE[] = "there is no heap profile yet";
static const char NO_COUNTER[] = "statistics are read from the pages, there is nothing to merge";
static const char RECLAIM[] = "abandoned pages are always reclaimed on demand";
static const char BOUNDED[] = "the first page of a queue is used, none is searched for";

static const option_info_t table[] = {
    OPTION(show_errors, MI_DEBUG, UNIT_FLAG, "print messages about failed requests", NULL),
    OPTION(show_stats, 0, UNIT_FLAG, "print statistics when the process exits", NULL),
    OPTION(verbose, 0, UNIT_NUMBER, "print options, reservations, trims; implies show_errors", NULL),
    OPTION(deprecated_eager_commit, 1, UNIT_FLAG, "commit whole segments", OLD),
    OPTION(arena_eager_commit, 2, UNIT_FLAG, "commit whole arenas", LAZY),
    OPTION(purge_decommits, 1, UNIT_FLAG, "purge by giving memory back, not by a hint",
           "memory is always given back"),
    OPTION(allow_large_os_pages, 0, UNIT_FLAG, "take new memory in 2 MiB pages, if there are any", NULL),
    OPTION(reserve_huge_os_pages, 0, UNIT_NUMBER, "1 GiB pages reserved at the start", NULL),
    OPTION(reserve_huge_os_pages_at, -1, UNIT_NUMBER, "NUMA node of these pages, -1: all", NULL),
    OPTION(reserve_os_memory, 0, UNIT_KIB, "memory reserved at the start, in an arena", NULL),
    OPTION(deprecated_segment_cache, 0, UNIT_NUMBER, "segments kept per thread", OLD),
    OPTION(deprecated_page_reset, 0, UNIT_FLAG, "reset free pages", OLD),
    OPTION(deprecated_abandoned_page_purge, 0, UNIT_FLAG, "purge pages of ended threads", OLD),
    OPTION(deprecated_segment_reset, 0, UNIT_FLAG, "reset free segments", OLD),
    OPTION(deprecated_eager_commit_delay, 1, UNIT_NUMBER, "segments before eager commit", OLD),
    OPTION(purge_delay, 500, UNIT_MS, "free memory stays this long; 0: not at all, -1: for ever", NULL),
    OPTION(use_numa_nodes, 0, UNIT_NUMBER, "NUMA nodes taken into account, 0: all", NULL),
    OPTION(disallow_os_alloc, 0, UNIT_FLAG, "no memory but arenas and what is there already", NULL),
    OPTION(os_tag, 100, UNIT_NUMBER, "tag of mappings on macOS", "this system has no tags"),
    OPTION(max_errors, 32, UNIT_NUMBER, "error messages printed at most, -1: any number", NULL),
    OPTION(max_warnings, 32, UNIT_NUMBER, "warnings printed at most, -1: any number", NULL),
    OPTION(deprecated_max_segment_reclaim, 10, UNIT_NUMBER, "segments reclaimed at a time", OLD),
    OPTION(destroy_on_exit, 0, UNIT_FLAG, "give all memory back when the process exits",
           "the system does so, and blocks stay valid to the end"),
    OPTION(arena_reserve, 1024 * 1024, UNIT_KIB, "size of arenas", NO_ARENA),
    OPTION(arena_purge_mult, 4, UNIT_NUMBER, "multiplies purge_delay for arenas", NO_ARENA),
    OPTION(deprecated_purge_extend_delay, 1, UNIT_MS, "extends purge_delay", OLD),
    OPTION(disallow_arena_alloc, 0, UNIT_FLAG, "arenas made from now on are exclusive", NULL),
    OPTION(retry_on_oom, 400, UNIT_MS, "wait before trying again on Windows", "this system is another one"),
    OPTION(deprecated_visit_abandoned, 0, UNIT_FLAG, "let visitors see abandoned blocks", OLD),
    OPTION(guarded_min, 0, UNIT_BYTES, "smallest guarded block", NO_GUARD),
    OPTION(guarded_max, 1L << 30, UNIT_BYTES, "largest guarded block", NO_GUARD),
    OPTION(unsafe_guarded_precise, 0, UNIT_FLAG, "end guarded blocks exactly at the guard", NO_GUARD),
    OPTION(guarded_sample_rate, 0, UNIT_NUMBER, "guard one in so many blocks", NO_GUARD),
    OPTION(guarded_sample_seed, 0, UNIT_NUMBER, "seed of the choice, 0: random", NO_GUARD),
    OPTION(generic_collect, 10000, UNIT_NUMBER, "slow allocations between collections",
           "collecting follows a fixed cadence"),
    OPTION(page_reclaim_on_free, 1, UNIT_NUMBER, "a free reclaims its abandoned page", RECLAIM),
    OPTION(page_full_retain, 2, UNIT_NUMBER, "full pages kept per size class", BOUNDED),
    OPTION(page_max_candidates, 4, UNIT_NUMBER, "pages compared per search", BOUNDED),
    OPTION(max_vabits, 0, UNIT_NUMBER, "bits of an address", "the window has a fixed span"),
    OPTION(pagemap_commit, 0, UNIT_FLAG, "commit the whole page map", LAZY),
    OPTION(page_commit_on_demand, 0, UNIT_FLAG, "commit parts of pages", LAZY),
    OPTION(page_max_reclaim, -1, UNIT_NUMBER, "pages reclaimed by their own heap", RECLAIM),
    OPTION(page_cross_thread_max_reclaim, 32, UNIT_NUMBER, "pages reclaimed across threads", RECLAIM),
    OPTION(allow_thp, 1, UNIT_FLAG, "let the system use huge pages",
           "the first memory never uses them, later memory as the system likes"),
    OPTION(arena_purge_min_size, 0, UNIT_KIB, "smallest range purged", NO_ARENA),
    OPTION(arena_max_object_size, 2L * 1024 * 1024, UNIT_KIB, "largest block in an arena", NO_ARENA),
    OPTION(arena_is_numa_local, 0, UNIT_FLAG, "use arenas of the own NUMA node only", NO_ARENA),
    OPTION(stats_merge_on_collect, 0, UNIT_FLAG, "merge statistics on collect", NO_COUNTER),
    OPTION(profile_alloc_interval, 1L << 30, UNIT_BYTES, "allocated bytes between profiles", NO_PROFILE),
    OPTION(profile_inuse_interval, 0, UNIT_BYTES, "growth between profiles", NO_PROFILE),
    OPTION(profile_time_interval, 0, UNIT_SECONDS, "time between profiles", NO_PROFILE),
    OPTION(profile_sample_rate, 512 * 1024, UNIT_BYTES, "bytes between samples", NO_PROFILE),
    OPTION(stats_merge_threshold, 0, UNIT_NUMBER, "merge statistics after so many events", NO_COUNTER),
    OPTION(arena_purge_immediate_size, 32 * 1024, UNIT_KIB, "purge ranges of this size at once", NO_ARENA),
    OPTION(continue_on_error, 0, UNIT_FLAG, "report misuse and ignore the call instead of aborting", NULL),
    OPTION(scavenger, 1, UNIT_FLAG, "a thread purges while a threaded program is idle", NULL),
    OPTION(keep_deepbind, 0, UNIT_FLAG, "leave RTLD_DEEPBIND to dlopen", NULL),
};
_Static_assert(sizeof(table) / sizeof(table[0]) == _mi_option_last, "a row for each option");

/* Other names that programs and scripts use. */
static const struct {
  const char* name;
  mi_option_t option;
} aliases[] = {
    {"eager_commit", mi_option_deprecated_eager_commit},
    {"eager_region_commit", mi_option_arena_eager_commit},
    {"reset_decommits", mi_option_purge_decommits},
    {"large_os_pages", mi_option_allow_large_os_pages},
    {"segment_cache", mi_option_deprecated_segment_cache},
    {"page_reset", mi_option_deprecated_page_reset},
    {"abandoned_page_purge", mi_option_deprecated_abandoned_page_purge},
    {"segment_reset", mi_option_deprecated_segment_reset},
    {"eager_commit_delay", mi_option_deprecated_eager_commit_delay},
    {"reset_delay", mi_option_purge_delay},
    {"limit_os_alloc", mi_option_disallow_os_alloc},
    {"max_segment_reclaim", mi_option_deprecated_max_segment_reclaim},
    {"purge_extend_delay", mi_option_deprecated_purge_extend_delay},
    {"visit_abandoned", mi_option_deprecated_visit_abandoned},
    {"guarded_precise", mi_option_unsafe_guarded_precise},
    {"abandoned_reclaim_on_free", mi_option_page_reclaim_on_free},
    {"minimal_purge_size", mi_option_arena_purge_min_size},
};

#define VALUE_UNREAD LONG_MIN

/* Stored plus one flag: zero, as the process starts, must mean unread. */
static _Atomic(long) values[_mi_option_last]; /* atomic: value ^ VALUE_UNREAD */
static atomic_u32_t chosen[_mi_option_last];  /* atomic: 1: set by the environment or the program */

const option_info_t* option_info(mi_option_t option) {
  return &table[option];
}

static bool is_option(mi_option_t option) {
  return (unsigned)option < (unsigned)_mi_option_last;
}

static bool same_name(const char* name, const char* text, size_t length) {
  return strlen(name) == length && strncasecmp(name, text, length) == 0;
}

static mi_option_t find_option(const char* text, size_t length) {
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    if (same_name(table[i].name, text, length)) return (mi_option_t)i;
  }
  for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
    if (same_name(aliases[i].name, text, length)) return aliases[i].option;
  }
  return _mi_option_last;
}

static bool is_one_of(const char* text, const char* const* words) {
  for (; *words != NULL; words++) {
    if (strcasecmp(text, *words) == 0) return true;
  }
  return false;
}

/* The factor of a size's suffix: K, KB, KiB, M, ...; 0 when it is none. */
static long suffix_factor(const char* suffix) {
  static const char letters[] = "KMGT";
  for (unsigned i = 0; i < 4; i++) {
    const bool same = (suffix[0] & ~0x20) == letters[i];
    if (same && is_one_of(suffix + 1, (const char* const[]){"", "B", "iB", NULL}))
      return 1L << (10 * (i + 1));
  }
  return 0;
}

/* A decimal number with sign and, for sizes, suffix.  False: not a number, or too large. */
static bool parse_number(const char* text, option_unit_t unit, long* value) {
  const bool negative = *text == '-';
  if (*text == '-' || *text == '+') text++;
  if (*text < '0' || *text > '9') return false;
  long number = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    if (__builtin_mul_overflow(number, 10L, &number)) return false;
    if (__builtin_add_overflow(number, (long)(*text - '0'), &number)) return false;
  }
  const bool sized = unit == UNIT_BYTES || unit == UNIT_KIB;
  if (*text != 0) {
    const long factor = sized ? suffix_factor(text) : 0;
    if (factor == 0 || __builtin_mul_overflow(number, factor, &number)) return false;
  }
  if (unit == UNIT_KIB) number = number / 1024 + (number % 1024 != 0);
  *value = negative ? -number : number;
  return true;
}

static bool parse_value(const char* text, option_unit_t unit, long* value) {
  if (is_one_of(text, (const char* const[]){"", "TRUE", "YES", "ON", NULL})) {
    *value = 1;
    return true;
  }
  if (is_one_of(text, (const char* const[]){"FALSE", "NO", "OFF", NULL})) {
    *value = 0;
    return true;
  }
  return parse_number(text, unit, value);
}

setting_t option_parse_entry(const char* entry) {
  setting_t setting = {.name = entry + strlen(OPTIONS_PREFIX)};
  setting.name_length = strcspn(setting.name, "=");
  setting.option = find_option(setting.name, setting.name_length);
  const char* const end = (const char*)(setting.name + setting.name_length); /* a word without '=' sets nothing */
  if (setting.option != _mi_option_last && *end == '=')
    setting.valid = parse_value(end + 1, table[setting.option].unit, &setting.value);
  return setting;
}

static long load_value(mi_option_t option) {
  return load_acquire(&values[option]) ^ VALUE_UNREAD;
}

/* The first of several entries counts, and a value that the program has set meanwhile stays. */
static bool store_unread(mi_option_t option, long value) {
  long expected = VALUE_UNREAD ^ VALUE_UNREAD;
  return cas_strong_acq_rel(&values[option], &expected, value ^ VALUE_UNREAD);
}

static void apply_entry(const char* entry) {
  const setting_t setting = option_parse_entry(entry);
  if (setting.valid && store_unread(setting.option, setting.value)) store_relaxed(&chosen[setting.option], 1);
}

static COLD void read_environment(void) {
  os_environment(OPTIONS_PREFIX, &apply_entry);
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) store_unread((mi_option_t)i, table[i].initial);
}

long option_get(mi_option_t option) {
  if (!is_option(option)) return 0;
  if (unlikely(load_value(option) == VALUE_UNREAD)) read_environment();
  return load_value(option);
}

bool option_chosen(mi_option_t option) {
  return load_relaxed(&chosen[option]) != 0;
}

bool option_enabled(mi_option_t option) {
  return option_get(option) != 0;
}

EXPORT long mi_option_get(mi_option_t option) {
  return option_get(option);
}

EXPORT bool mi_option_is_enabled(mi_option_t option) {
  return option_enabled(option);
}

EXPORT long mi_option_get_clamp(mi_option_t option, long min, long max) {
  const long value = option_get(option);
  return value < min ? min : value > max ? max : value;
}

EXPORT size_t mi_option_get_size(mi_option_t option) {
  const long value = option_get(option);
  if (value <= 0) return 0;
  const size_t factor = is_option(option) && table[option].unit == UNIT_KIB ? KiB : 1;
  return (size_t)value > SIZE_MAX / factor ? SIZE_MAX : (size_t)value * factor;
}

static void set_value(mi_option_t option, long value) {
  if (value == VALUE_UNREAD) value++;
  store_release(&values[option], value ^ VALUE_UNREAD);
}

EXPORT void mi_option_set(mi_option_t option, long value) {
  if (!is_option(option)) return;
  store_relaxed(&chosen[option], 1);
  set_value(option, value);
}

EXPORT void mi_option_set_default(mi_option_t option, long value) {
  if (!is_option(option)) return;
  option_get(option); /* so that the environment has had its say */
  if (load_relaxed(&chosen[option]) == 0) set_value(option, value);
}

EXPORT void mi_option_set_enabled(mi_option_t option, bool enable) {
  mi_option_set(option, enable ? 1 : 0);
}

EXPORT void mi_option_set_enabled_default(mi_option_t option, bool enable) {
  mi_option_set_default(option, enable ? 1 : 0);
}

EXPORT void mi_option_enable(mi_option_t option) {
  mi_option_set(option, 1);
}

EXPORT void mi_option_disable(mi_option_t option) {
  mi_option_set(option, 0);
}

EXPORT int mi_version(void) mi_attr_noexcept {
  return MI_MALLOC_VERSION;
}
#undef OPTION
#undef VALUE_UNREAD
#undef parse_number

/* ==== src/core/options_print.c */
/* The options as text: the list of them, and once, when the library is loaded, what is wrong in the
   environment (with MIMALLOC_VERBOSE also the list). */

EXPORT void mi_options_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept {
  static const char* const units[] = {"", "", " ms", " s", " bytes", " KiB"};
  const output_t output = {out, arg};
  for (unsigned i = 0; i < (unsigned)_mi_option_last; i++) {
    const mi_option_t option = (mi_option_t)i;
    const option_info_t* const info = (const option_info_t*)(option_info(option));
    print_to(&output, "option %s: %ld%s%s: %s%s%s\n", info->name, option_get(option), units[info->unit],
             option_chosen(option) ? " (set)" : "", info->meaning,
             info->unused != NULL ? "; no effect: " : "", info->unused != NULL ? info->unused : "");
  }
}

EXPORT void mi_options_print(void) mi_attr_noexcept {
  mi_options_print_out(NULL, NULL);
}

static void warn_entry(const char* entry) {
  const setting_t setting = option_parse_entry(entry);
  if (setting.option == _mi_option_last) {
    report_mistake("there is no option %.*s (in the environment)", (int)setting.name_length, setting.name);
  } else if (!setting.valid) {
    const char* const text = (const char*)(setting.name + setting.name_length);
    report_mistake("option %s cannot be: %s (in the environment)", option_info(setting.option)->name,
                   *text == '=' ? text + 1 : "without '='");
  }
}

static __attribute__((constructor)) void warn_about_environment(void) {
  os_environment(OPTIONS_PREFIX, &warn_entry);
  if (option_enabled(mi_option_verbose)) mi_options_print();
}

/* ---- src/memory/arena.h */
/* Arenas: a label on adjacent segments.  What the label changes:
     EXCLUSIVE  slices go only to claims that name the arena; the others serve everybody
     OUTSIDE    the memory was the program's and lies outside of the window: no hints of the summary
     PINNED     memory never goes back: released slices are stale, not dirty
     COMMITTED, ZERO  what the memory was in the beginning
   An arena that is APART is in no tree of hints; whoever may use it looks through its own set `open`, which
   follows the protocol of memory/summary.h: a bit may be false, none is ever missing.
   Arenas are made and never end. */
#ifndef MEMORY_ARENA_H
#define MEMORY_ARENA_H


/* ---- src/memory/segment.h */
/* A segment: 64 slices, whose state is a few words of one bit per slice.

   States of a slice (bits F free, Z zero, D dirty, in either of two words):
     fresh    F Z      free, never used or purged: reads as zero
     dirty    F D      free, holds old contents, memory not given back
     stale    F        free, contents unknown, not worth purging (locked memory)
     claimed           one owner: a page, a purger, or a thread on its way to either
   Edges:
     fresh | dirty | stale --segment_claim_*: CAS on FREE--> claimed --segment_release--> any free state
   The CAS on FREE is the only claim.  S1: only the claimer of a slice changes its bits in the other words,
   before it sets FREE again; so the bits of a free slice are at rest, and the claimer, who acquired FREE,
   reads what the last owner wrote.  A slice that is not PLACED has no other bit set and is never free. */
#ifndef MEMORY_SEGMENT_H
#define MEMORY_SEGMENT_H


/* ---- src/memory/window.h */
/* The window: the span of addresses that holds all blocks, and the table that describes it.

   A slice number is the distance from the window's base in slices; entry i of the table describes slice i.
   The window fills up from its base in extents.  `limit` only rises and stays above every slice that was ever
   handed out, so `address - base < limit` is the one test whether an address can be ours:
     W1  base and table are set before limit first leaves 0; before, base lies outside all user addresses, so
         that no address at all (NULL included) passes the test.
     W2  every segment below limit that is `ready` has its table entries mapped.  Those that are not ready lie
   in gaps that threads left behind while they placed extents; no valid pointer leads there. W3  the first
   word (the owner tag) of the entry of a slice that nobody claimed is zero. */
#ifndef MEMORY_WINDOW_H
#define MEMORY_WINDOW_H


#define SLICE_NONE ((size_t)-1)

typedef struct table_entry_s {
  _Alignas(CACHE_LINE) uint64_t owner[15]; /* the page layer's */
  atomic_u64_t word; /* word k of the segment, in entry k of its 64 (memory/segment.h) */
} table_entry_t;

_Static_assert(sizeof(table_entry_t) == TABLE_ENTRY_SIZE, "one table entry per slice");

typedef struct window_s {
  _Alignas(CACHE_LINE) atomic_word_t base; /* address of slice 0 */
  _Atomic(size_t) limit;                   /* bytes above base that may be in use */
  _Atomic(table_entry_t*) table;           /* entry of slice 0 */
} window_t;

extern HIDDEN window_t window;

/* Choose the window's place.  Idempotent and lock-free; true when there is a window.
   False (no address space now) may become true later. */
bool window_init(void);

static inline table_entry_t* window_entry(size_t slice) {
  return load_settled(&window.table) + slice;
}

static inline void* window_address(size_t slice) {
  return (char*)load_settled(&window.base) + (slice << SLICE_SHIFT);
}

/* The number that the slice of any address has, ours or not; below the base it is negative, modulo 2^64. */
static inline size_t window_slice_number(const void* p) {
  return (size_t)((intptr_t)((uintptr_t)p - load_settled(&window.base)) >> SLICE_SHIFT);
}

/* The slice that p points into, or SLICE_NONE when p is not in the window or in a gap of it. */
size_t window_slice_of(const void* p);

/* Is p in the window, or in memory that was adopted? */
bool window_knows(const void* p);

/* Segments below the limit; all numbers below are valid for window_segment_ready. */
size_t window_segments(void);

/* True when the segment's table entries may be read. */
bool window_segment_ready(size_t segment);

/* Segments [first, first + count), in the window and known to the table, reserved but not committed, and
   given to nobody else. */
typedef struct extent_s {
  size_t first;
  size_t count;
} extent_t;

/* Place an extent that contains `segments` adjacent segments, the first of them at an address that is a
   multiple of alignment (a power of two).  False: no address space, or the window is full; nothing has
   changed. */
bool window_grow(size_t segments, size_t alignment, extent_t* extent);

/* Memory of the program that lies outside of the window, adopted for good.  Slice numbers are the distance
   from the base as before, modulo 2^64, so its table entries have their place too, far from the others. */
typedef struct area_s {
  extent_t segments;
  struct area_s* next; /* const once adopted */
} area_t;

/* Map the table rows of the area and make its addresses known.  False: it touches the window, what the rows
   need is taken (memory adopted before is), or no memory. */
bool window_adopt(area_t* area);

/* A walk over all segments that may be ready, the window's first:
     span_t span = window_span();
     do { ... span.first <= segment < span.end ... } while (window_next_span(&span)); */
typedef struct span_s {
  size_t first, end;
  const area_t* next;
} span_t;
span_t window_span(void);
bool window_next_span(span_t* span);

/* How many segments from `segment` on to the next whose address is a multiple of alignment. */
size_t window_padding(size_t segment, size_t alignment);

#endif

typedef enum segment_word_e {
  WORD_FREE,
  WORD_COMMITTED,  /* readable and writable; never taken back */
  WORD_ZERO,       /* known to be zero */
  WORD_DIRTY_EVEN, /* released in a period of even number (memory/purge.h) ... */
  WORD_DIRTY_ODD,  /* ... of odd number */
  WORD_PURGED,     /* has been purged since the last claim */
  WORD_PURGE_TIME, /* no set: os_now_ms() of the segment's last purge */
  WORD_PLACED,     /* belongs to an extent: all bits or none */
  WORD_ARENA,      /* no set: address of the segment's arena_t, 0: it has none (memory/arena.h) */
  WORD_STARTS,     /* first slice of a page; set and cleared by the page's owner */
  SEGMENT_WORDS
} segment_word_t;

#define ALL_SLICES (~UINT64_C(0))
#define NO_RUN     64u

static inline atomic_u64_t* segment_word(size_t segment, segment_word_t word) {
  return &window_entry(segment * SEGMENT_SLICES + (size_t)word)->word;
}

/* Which free slices a claim may take. */
typedef enum claim_kind_e { CLAIM_DIRTY, CLAIM_ANY } claim_kind_t;

/* The slices of the run count (1 .. 64) that start at multiples of stride (1 .. 64, a power of two). */
typedef struct run_s {
  unsigned count;
  unsigned stride;
} run_t;

/* Claim the lowest fitting run; its first slice in the segment, or NO_RUN. */
unsigned segment_claim_run(size_t segment, run_t run, claim_kind_t kind);

/* Claim exactly these slices, or none. */
bool segment_claim_bits(size_t segment, uint64_t bits);

/* Claimed slices become free; their other bits are final. */
void segment_release(size_t segment, uint64_t bits);

/* New extents: the slices are placed, zero, and claimed by the caller. */
void segment_place(size_t first, size_t count);

/* Dirty slices, free or not. */
static inline uint64_t segment_dirty(size_t segment) {
  return load_relaxed(segment_word(segment, WORD_DIRTY_EVEN)) |
         load_relaxed(segment_word(segment, WORD_DIRTY_ODD));
}

/* For the claimer of the bits: change them in another word (S1). */
void segment_set(size_t segment, segment_word_t word, uint64_t bits);
void segment_clear(size_t segment, segment_word_t word, uint64_t bits);

/* A walk over the slices [first, end), segment by segment:
     for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) ... p.segment, p.bits ... */
typedef struct piece_s {
  size_t segment;
  uint64_t bits;
  size_t next, end;
} piece_t;

static inline piece_t piece_first(size_t first, size_t end) {
  if (first >= end) return (piece_t){0, 0, end, end};
  const size_t segment = first / SEGMENT_SLICES;
  const size_t next = min_size((segment + 1) * SEGMENT_SLICES, end);
  return (piece_t){segment, bit_range((unsigned)(first % SEGMENT_SLICES), (unsigned)(next - first)), next,
                   end};
}

static inline piece_t piece_next(piece_t p) {
  return piece_first(p.next, p.end);
}

#endif

enum {
  ARENA_EXCLUSIVE = 1,
  ARENA_OUTSIDE = 2,
  ARENA_PINNED = 4,
  ARENA_COMMITTED = 8,
  ARENA_ZERO = 16,
  ARENA_APART = ARENA_EXCLUSIVE | ARENA_OUTSIDE,
  NODE_ANY = -1,
  LARGE_PAGE_SHIFT = 21, /* 2 MiB ... */
  HUGE_PAGE_SHIFT = 30,  /* ... and 1 GiB: the sizes of x86-64 */
};

typedef struct arena_s {
  area_t area;
  struct arena_s* next;    /* const once published: an older arena */
  uint32_t flags;          /* const */
  int node;                /* const: NUMA node, or NODE_ANY */
  mi_commit_fun_t* commit; /* const: NULL: the system's calls */
  void* commit_argument;   /* const */
  atomic_word_t heir;      /* atomic: the heap layer's (alloc/heaps.c) */
  atomic_u32_t dirty;      /* atomic: 1: there may be dirty slices; of arenas that are apart */
  atomic_u64_t open[];     /* atomic: bit: the segment may have a free slice */
} arena_t;

/* The segment's arena, or NULL; its flags, 0 without an arena.  The label is there before any slice of the
   segment can be claimed, and stays. */
static inline arena_t* segment_arena(size_t segment) {
  return (arena_t*)(uintptr_t)load_settled(segment_word(segment, WORD_ARENA));
}
static inline uint32_t segment_flags(size_t segment) {
  const arena_t* const arena = (const arena_t*)(segment_arena(segment));
  return arena != NULL ? arena->flags : 0;
}

/* What an arena is to be. */
typedef struct arena_spec_s {
  uint32_t flags;
  int node;
  mi_commit_fun_t* commit;
  void* commit_argument;
} arena_spec_t;

/* A record; NULL: no memory for it. */
arena_t* arena_new(extent_t segments, arena_spec_t spec);

/* Label the segments, which the caller has claimed, and let everybody see the arena. */
void arena_publish(arena_t* arena);

/* The newest arena; then arena->next. */
arena_t* arena_newest(void);

/* May an arena that is apart have dirty slices?  seq_cst (see memory/scavenger.c). */
bool arena_any_dirty(void);

/* Slices of the arena's segment became free; the caller found none free there. */
void arena_note_free(arena_t* arena, size_t segment);
void arena_note_full(arena_t* arena, size_t segment);

/* The first segment from the index-th on that may have a free slice, as an index, or SLICE_NONE. */
size_t arena_next_open(arena_t* arena, size_t index);

/* For the claimer of the slices, in an arena with a commit function: those not committed become so. */
bool arena_commit(const arena_t* arena, size_t segment, uint64_t bits);

typedef enum purged_e { PURGED_NOT, PURGED_UNKNOWN, PURGED_ZERO } purged_t;
/* For the claimer: drop the memory of adjacent slices; what they hold then. */
purged_t arena_purge(const arena_t* arena, size_t segment, uint64_t bits);

#endif

/* ---- src/memory/counters.h */
/* What the address space is used for, in numbers.  Relaxed counters, changed on slow paths only; `claimed`
   and `dirty` are exact once nothing runs, the peak is the highest value any claim saw. */
#ifndef MEMORY_COUNTERS_H
#define MEMORY_COUNTERS_H


typedef struct memory_counters_s {
  atomic_u64_t reserved;  /* bytes of placed extents */
  atomic_u64_t committed; /* bytes made writable, claimed or not */
  atomic_u64_t claimed;   /* bytes in claimed slices */
  atomic_u64_t claimed_peak;
  atomic_u64_t dirty;    /* bytes in free slices whose memory was not given back */
  atomic_u64_t metadata; /* bytes of tables and metadata chunks */
  atomic_u64_t purged;   /* bytes given back to the OS, in total */
  atomic_u64_t purge_calls;
  atomic_u64_t commit_calls;
  atomic_u64_t map_calls;
} memory_counters_t;

extern memory_counters_t memory_counters;

/* A copy at one moment, with what follows from it. */
typedef struct memory_stats_s {
  size_t reserved, committed, claimed, claimed_peak, free, dirty, metadata;
  uint64_t purged, purge_calls, commit_calls, map_calls;
} memory_stats_t;

memory_stats_t memory_stats(void);

/* How many there are, how many there were at most, and how many there have been. */
typedef struct level_s {
  atomic_u64_t current, peak, total;
} level_t;

static inline void level_up(level_t* level) {
  figure_add(&level->total, 1);
  figure_raise(&level->peak, figure_add(&level->current, 1));
}
static inline void level_down(level_t* level) {
  figure_add(&level->current, UINT64_MAX);
}

static inline void counter_add(atomic_u64_t* counter, uint64_t amount) {
  add_relaxed(counter, amount);
}
static inline void counter_subtract(atomic_u64_t* counter, uint64_t amount) {
  add_relaxed(counter, 0 - amount);
}

#endif

/* ---- src/memory/meta.h */
/* Memory for the allocator's own long-lived records.  Never given back to the OS: callers keep free lists of
   their own per type, so an address once used for a type stays that type (and a late reader never faults). */
#ifndef MEMORY_META_H
#define MEMORY_META_H


/* size > 0 zero bytes, aligned to a cache line; NULL when the OS has no more.  Lock-free. */
void* meta_alloc(size_t size);

#endif

/* ==== src/memory/arena.c */


static _Atomic(arena_t*) newest;

arena_t* arena_new(extent_t segments, arena_spec_t spec) {
  arena_t* const arena = (arena_t*)(meta_alloc(sizeof(arena_t) + div_up(segments.count, 64) * sizeof(atomic_u64_t)));
  if (arena == NULL) return NULL;
  arena->area.segments = segments;
  arena->flags = spec.flags | (option_enabled(mi_option_disallow_arena_alloc) ? ARENA_EXCLUSIVE : 0);
  arena->node = spec.node;
  arena->commit = spec.commit;
  arena->commit_argument = spec.commit_argument;
  return arena;
}

arena_t* arena_newest(void) {
  return load_acquire(&newest);
}

void arena_publish(arena_t* arena) {
  const extent_t segments = arena->area.segments;
  const bool committed = (arena->flags & ARENA_COMMITTED) != 0;
  if (committed) counter_add(&memory_counters.committed, (uint64_t)segments.count * SEGMENT_SIZE);
  for (size_t s = segments.first; s < segments.first + segments.count; s++) {
    store_relaxed(segment_word(s, WORD_COMMITTED), committed ? ALL_SLICES : 0);
    store_relaxed(segment_word(s, WORD_ZERO), (arena->flags & ARENA_ZERO) != 0 ? ALL_SLICES : 0);
    store_release(segment_word(s, WORD_ARENA), (uintptr_t)arena); /* the record is written before */
  }
  arena_t* head = (arena_t*)(load_relaxed(&newest));
  do {
    arena->next = head;
  } while (!cas_weak_acq_rel(&newest, &head, arena)); /* release: as above */
}

/* ---- which segments have free slices ---- */

static atomic_u64_t* open_word(arena_t* arena, size_t segment) {
  return &arena->open[(segment - arena->area.segments.first) / 64];
}
static uint64_t open_bit(const arena_t* arena, size_t segment) {
  return UINT64_C(1) << (segment - arena->area.segments.first) % 64;
}

/* seq_cst throughout: segment_release wrote FREE, then this looks; arena_note_full writes, then looks. */
void arena_note_free(arena_t* arena, size_t segment) {
  atomic_u64_t* const word = (atomic_u64_t*)(open_word(arena, segment));
  const uint64_t bit = open_bit(arena, segment);
  uint64_t bits = load_seq_cst(word);
  while ((bits & bit) == 0 && !cas_strong_seq_cst(word, &bits, bits | bit)) continue;
  if (segment_dirty(segment) != 0) store_seq_cst(&arena->dirty, 1u);
}

void arena_note_full(arena_t* arena, size_t segment) {
  atomic_u64_t* const word = (atomic_u64_t*)(open_word(arena, segment));
  const uint64_t bit = open_bit(arena, segment);
  uint64_t bits = load_seq_cst(word);
  while ((bits & bit) != 0 && !cas_strong_seq_cst(word, &bits, bits & ~bit)) continue;
  if (load_seq_cst(segment_word(segment, WORD_FREE)) != 0) arena_note_free(arena, segment);
}

bool arena_any_dirty(void) {
  for (arena_t* a = arena_newest(); a != NULL; a = a->next) {
    if (load_seq_cst(&a->dirty) != 0) return true;
  }
  return false;
}

size_t arena_next_open(arena_t* arena, size_t index) {
  const size_t count = arena->area.segments.count;
  while (index < count) {
    const uint64_t bits = load_seq_cst(&arena->open[index / 64]) >> (index % 64);
    if (bits != 0) return index + bit_lowest(bits);
    index = (index / 64 + 1) * 64;
  }
  return SLICE_NONE;
}

/* ---- memory by the program's own function ---- */

static void* slice_address(size_t segment, uint64_t bits) {
  return window_address(segment * SEGMENT_SLICES + bit_lowest(bits));
}

/* The lowest run of adjacent bits. */
static uint64_t lowest_run(uint64_t set) {
  const unsigned first = bit_lowest(set);
  const uint64_t holes = ~(set >> first);
  return bit_range(first, holes == 0 ? 64 : bit_lowest(holes));
}

bool arena_commit(const arena_t* arena, size_t segment, uint64_t bits) {
  uint64_t missing = bits & ~load_acquire(segment_word(segment, WORD_COMMITTED));
  for (uint64_t run; missing != 0; missing &= ~run) {
    run = lowest_run(missing);
    const size_t size = bit_count(run) * (size_t)SLICE_SIZE;
    bool zero = false;
    counter_add(&memory_counters.commit_calls, 1);
    if (!arena->commit(true, slice_address(segment, run), size, &zero, arena->commit_argument)) return false;
    counter_add(&memory_counters.committed, size);
    segment_set(segment, WORD_COMMITTED, run);
    if (zero) segment_set(segment, WORD_ZERO, run);
    else segment_clear(segment, WORD_ZERO, run);
  }
  return true;
}

purged_t arena_purge(const arena_t* arena, size_t segment, uint64_t bits) {
  void* const address = (void*)(slice_address(segment, bits));
  const size_t size = bit_count(bits) * (size_t)SLICE_SIZE;
  if (arena != NULL && (arena->flags & ARENA_PINNED) != 0) return PURGED_NOT;
  counter_add(&memory_counters.purge_calls, 1);
  if (arena == NULL || arena->commit == NULL) {
    if (os_purge(address, size) != 0) return PURGED_NOT;
    /* The program may have handed over the memory of a file. */
    return arena != NULL && (arena->flags & ARENA_OUTSIDE) != 0 ? PURGED_UNKNOWN : PURGED_ZERO;
  }
  bool zero = false;
  if (!arena->commit(false, address, size, &zero, arena->commit_argument)) return PURGED_NOT;
  segment_clear(segment, WORD_COMMITTED, bits);
  counter_subtract(&memory_counters.committed, size);
  return PURGED_UNKNOWN;
}

/* ==== src/memory/counters.c */

memory_counters_t memory_counters;

static size_t read_bytes(atomic_u64_t* counter) {
  return (size_t)load_relaxed(counter);
}

memory_stats_t memory_stats(void) {
  memory_counters_t* const c = &memory_counters;
  memory_stats_t stats = {
      .reserved = read_bytes(&c->reserved),
      .committed = read_bytes(&c->committed),
      .claimed = read_bytes(&c->claimed),
      .claimed_peak = read_bytes(&c->claimed_peak),
      .dirty = read_bytes(&c->dirty),
      .metadata = read_bytes(&c->metadata),
      .purged = load_relaxed(&c->purged),
      .purge_calls = load_relaxed(&c->purge_calls),
      .commit_calls = load_relaxed(&c->commit_calls),
      .map_calls = load_relaxed(&c->map_calls),
  };
  stats.free = stats.reserved > stats.claimed ? stats.reserved - stats.claimed : 0;
  return stats;
}

/* ==== src/memory/meta.c */
/* A bump allocator.  The first chunk is static, so a small program needs no mapping for its records.

   Protocol: `current` names the chunk in use.  An allocation is one CAS that moves the chunk's cursor.  A
   thread that finds the chunk full maps a new one, takes its own block out of it first, and swings `current`
   by CAS; when another thread was faster, the new chunk is given back and the search starts again with
   theirs.  What was left at the end of the old chunk is lost (less than BIG of CHUNK_SIZE). */


enum { CHUNK_SIZE = 64 * 1024, FIRST_SIZE = 12 * 1024, BIG = 8 * 1024 };

typedef struct chunk_s {
  _Alignas(CACHE_LINE) atomic_u64_t cursor; /* bytes in use, counted from the chunk; grows only */
  uint64_t size;                            /* const */
} chunk_t;

static union {
  chunk_t chunk;
  char bytes[FIRST_SIZE];
} first = {.chunk = {.cursor = sizeof(chunk_t), .size = FIRST_SIZE}};

static _Atomic(chunk_t*) current = &first.chunk;

_Static_assert(sizeof(chunk_t) == CACHE_LINE, "blocks of a chunk start on a cache line");

static void* map_counted(size_t size) {
  void* const p = (void*)(os_map(size));
  if (p == NULL) return NULL;
  counter_add(&memory_counters.map_calls, 1);
  counter_add(&memory_counters.metadata, size);
  return p;
}

/* Take size bytes from the chunk, or NULL when they do not fit. */
static void* chunk_take(chunk_t* chunk, size_t size) {
  uint64_t cursor = load_relaxed(&chunk->cursor);
  while (size <= chunk->size - cursor) {
    /* The order does not matter: the bytes were zero before the chunk was published. */
    if (cas_weak_acq_rel(&chunk->cursor, &cursor, cursor + size)) return (char*)chunk + cursor;
  }
  return NULL;
}

void* meta_alloc(size_t size) {
  size = align_up(size, CACHE_LINE);
  if (size > BIG) return map_counted(align_up(size, os_page_size()));
  for (;;) {
    chunk_t* chunk = (chunk_t*)(load_acquire(&current)); /* partner: the CAS below publishes the header's contents */
    void* p = (void*)(chunk_take(chunk, size));
    if (p != NULL) return p;
    chunk_t* const fresh = (chunk_t*)(map_counted(CHUNK_SIZE));
    if (fresh == NULL) return NULL;
    fresh->size = CHUNK_SIZE;
    store_relaxed(&fresh->cursor, sizeof(chunk_t));
    p = chunk_take(fresh, size);
    if (cas_strong_acq_rel(&current, &chunk, fresh)) return p;
    counter_subtract(&memory_counters.metadata, CHUNK_SIZE);
    os_unmap(fresh, CHUNK_SIZE);
  }
}

/* ---- src/memory/purge.h */
/* Giving memory of free slices back to the OS; the addresses stay ours.

   Two reasons to purge.  Age: what stays free and dirty leaves after one to two purge
   delays when threads do it by the way, after 3/4 to 3/2 of one when the scavenger does.  Budget: a
   process without a scavenger may never call again, so it never keeps more dirty memory than a budget, which
   grows when purged slices turn out to be claimed again soon, and shrinks when dirty ones are not. */
#ifndef MEMORY_PURGE_H
#define MEMORY_PURGE_H


/* Milliseconds from free to purge (an option); 0: at once, negative: never. */
long purge_delay(void);

/* Who purges by age: the threads that call the allocator, or the scavenger. */
typedef enum purge_mode_e { PURGE_INLINE, PURGE_BACKGROUND } purge_mode_t;
void purge_set_mode(purge_mode_t mode);

/* A visit from a slow path: purge what is due, at most 1 MiB.  Costs next to nothing when nothing is due. */
void purge_due(void);

/* Purge everything that is free, now; returns bytes. */
size_t purge_all(void);

/* The scavenger's visit: everything that is old; then what is young becomes old. */
void purge_period(void);

/* ---- for memory/slices.c ---- */

/* The word that marks slices released now. */
segment_word_t purge_young_word(void);

/* Claimed slices whose memory is to go at once: purge, then free them. */
void purge_claimed(size_t slice, size_t count);

/* `slices` were released dirty: stay within the budget; at most 1 MiB or twice what was released. */
void purge_over_budget(size_t slices);

/* A claim took `dirty` dirty slices and `purged` that were purged at `time`. */
void purge_observe_claim(size_t dirty, size_t purged, uint64_t time);

/* In a forked child, by its only thread.  Returns who purged in the parent: PURGE_BACKGROUND means that the
   scavenger may have been stopped half-way, and memory_after_fork must look for slices it held. */
purge_mode_t purge_after_fork(void);

#endif

/* ---- src/memory/summary.h */
/* Where to look: for each kind of segment one would search for, a 64-ary tree of bits over all segments,
   three levels deep.  The lowest (or highest) segment with a hint is found in a constant number of steps.

   A hint may be false, but none is ever missing once the threads that change a segment have returned:
     set:     make the segment so (seq_cst RMW on FREE or STARTS); look at the bits leaf to root, set those
   missing refute:  clear the bit;  look at the segment (or the words below); set it again if the segment is
   so Each side writes before it looks, all four accesses are seq_cst, so at least one sees the other's write.
 */
#ifndef MEMORY_SUMMARY_H
#define MEMORY_SUMMARY_H


/* Kinds: RUN + k: has 2^k adjacent free slices; DIRTY + k: has 2^k adjacent free dirty slices; STARTS: has a
   first slice of a page. */
enum { RUN_LEVELS = 7, HINT_RUN = 0, HINT_DIRTY = RUN_LEVELS, HINT_STARTS = 2 * RUN_LEVELS, HINT_KINDS = 16 };

/* Set the hints that the segment deserves, after slices became free; those of its arena, if it has one. */
void summary_publish(size_t segment);

/* Set one hint. */
void summary_set(unsigned kind, size_t segment);

/* The caller looked and found the hint false: clear it, unless it has become true. */
void summary_refute(unsigned kind, size_t segment);

/* The lowest segment >= from with the hint; the highest <= from; or SLICE_NONE. */
size_t summary_lowest(unsigned kind, size_t from);
size_t summary_highest(unsigned kind, size_t from);

/* Is the hint of this kind true? */
bool summary_holds(unsigned kind, size_t segment);

/* Are there hints of this kind at all?  seq_cst (see memory/scavenger.c). */
bool summary_any(unsigned kind);

/* After a fork, by the only thread: set every hint that is true, whatever a dead thread left half done. */
void summary_rebuild(void);

#endif

/* ==== src/memory/purge.c */
/* Protocol of one purge: claim a run of free dirty slices by CAS on FREE, drop its memory in one call, mark
   it zero and not dirty, release it.  The purger is a claimer like any other, so nothing else needs to know.

     dirty --purge_segment: segment_claim_bits--> claimed --os_purge--> fresh
                                                          --EINVAL (locked memory)--> stale: not tried again
   In an arena of the program's own memory, what was given back is stale too.

   Protocol of ageing: time runs in periods.  Releases mark slices in the word of the period's parity: the
   young word.  The other word, the old one, holds slices released before the period began.  When a period has
   lasted for a delay the old word is drained, and then the next period begins: the empty word is young, the
   young one old.  So no bit ever moves between the words, and S1 holds.

     IDLE (cursor 0) --delay over: cursor = segments--> DRAINING (segments below cursor are still to visit)
     DRAINING --drain(): highest first, each visitor lowers the cursor--> IDLE, period + 1

   Several threads may drain at once; what they do twice is harmless, and none waits for another.  A slice
   that is released with the parity of a period just over is purged one period early or late. */


enum {
  VISIT_SLICES = 16,        /* 1 MiB */
  BUDGET_SLICES = 160,      /* 10 MiB, or ... */
  BUDGET_CLAIMED_SHARE = 4, /* ... this part of the claimed memory */
  BOOST_SLICES = 1024,      /* 64 MiB: most that observed reuse adds */
  SOON = 10,                /* purge delays within which a reuse counts as one */
};

/* Which dirty slices to purge. */
typedef enum purge_what_e { PURGE_OLD, PURGE_ALL } purge_what_t;

static struct {
  atomic_u32_t mode;
  atomic_u64_t period;     /* number of the current period */
  atomic_u64_t due;        /* time from which the next one may begin */
  atomic_word_t cursor;    /* 0, or 1 + the highest segment that the running drain has not visited */
  atomic_word_t boost;     /* slices added to the budget */
  atomic_word_t reused;    /* dirty slices claimed since the boost was last looked at ... */
  atomic_u64_t boost_time; /* ... at this time */
} state;

long purge_delay(void) {
  return option_get(mi_option_purge_delay);
}
void purge_set_mode(purge_mode_t mode) {
  store_relaxed(&state.mode, (uint32_t)mode);
}

static bool is_inline(void) {
  return load_relaxed(&state.mode) == PURGE_INLINE;
}

static segment_word_t word_of(uint64_t period) {
  return period % 2 == 0 ? WORD_DIRTY_EVEN : WORD_DIRTY_ODD;
}

segment_word_t purge_young_word(void) {
  return word_of(load_relaxed(&state.period));
}

/* ---- one purge ---- */

/* Slices claimed by this thread: give their memory back and free them. */
static void purge_and_release(size_t segment, uint64_t bits, size_t count) {
  const size_t dirty = bit_count(segment_dirty(segment) & bits);
  const purged_t result = arena_purge(segment_arena(segment), segment, bits);
  counter_subtract(&memory_counters.dirty, (uint64_t)dirty * SLICE_SIZE);
  segment_clear(segment, WORD_DIRTY_EVEN, bits);
  segment_clear(segment, WORD_DIRTY_ODD, bits);
  if (result != PURGED_NOT) {
    counter_add(&memory_counters.purged, (uint64_t)count * SLICE_SIZE);
    if (result == PURGED_ZERO) segment_set(segment, WORD_ZERO, bits);
    segment_set(segment, WORD_PURGED, bits);
    store_relaxed(segment_word(segment, WORD_PURGE_TIME), os_now_ms());
  }
  segment_release(segment, bits);
  summary_publish(segment);
}

/* The highest run of adjacent bits, at most `most` of them; set != 0. */
static uint64_t highest_run(uint64_t set, size_t most) {
  const unsigned top = bit_highest(set);
  const uint64_t holes = ~(set << (63 - top));
  const unsigned run = holes == 0 ? 64 : 63 - bit_highest(holes);
  const unsigned count = (unsigned)min_size(run, most);
  return bit_range(top + 1 - count, count);
}

static uint64_t purgeable(size_t segment, purge_what_t what) {
  const uint64_t free = load_acquire(segment_word(segment, WORD_FREE)); /* partner: segment_release */
  if (what == PURGE_ALL) return free & segment_dirty(segment);
  return free & load_relaxed(segment_word(segment, word_of(load_relaxed(&state.period) + 1)));
}

/* Purge at most `most` slices of a segment, the highest first; returns how many. */
static size_t purge_segment(size_t segment, purge_what_t what, size_t most) {
  size_t done = 0;
  uint64_t set = purgeable(segment, what);
  while (set != 0 && done < most) {
    const uint64_t run = highest_run(set, most - done);
    if (segment_claim_bits(segment, run)) {
      done += bit_count(run);
      purge_and_release(segment, run, bit_count(run));
    }
    set = purgeable(segment, what) & (run - 1); /* below this run: each is tried once */
  }
  return done;
}

void purge_claimed(size_t slice, size_t count) {
  for (piece_t p = piece_first(slice, slice + count); p.bits != 0; p = piece_next(p)) {
    purge_and_release(p.segment, p.bits, bit_count(p.bits));
  }
}

/* Arenas that are apart: at most `most` slices of theirs.  The flag is cleared, then the segments are looked
   at; a release marks the slices, then sets it. */
static size_t purge_apart(purge_what_t what, size_t most) {
  size_t done = 0;
  for (arena_t* a = arena_newest(); a != NULL && done < most; a = a->next) {
    const extent_t segments = a->area.segments;
    if ((a->flags & ARENA_APART) == 0 || exchange_seq_cst(&a->dirty, 0u) == 0) continue;
    uint64_t left = 0;
    for (size_t s = segments.first + segments.count; s-- > segments.first;) {
      if (done < most && segment_dirty(s) != 0) done += purge_segment(s, what, most - done);
      left |= segment_dirty(s);
    }
    if (left != 0) store_seq_cst(&a->dirty, 1u);
  }
  return done;
}

/* Purge at most `most` slices of any age, the highest addresses first: they are the last to be claimed again.
 */
static size_t purge_highest(size_t most) {
  size_t done = 0;
  size_t s = window_segments();
  while (done < most && s-- > 0) {
    s = summary_highest(HINT_DIRTY, s);
    if (s == SLICE_NONE) break;
    done += purge_segment(s, PURGE_ALL, most - done);
    if (!summary_holds(HINT_DIRTY, s)) summary_refute(HINT_DIRTY, s);
  }
  return done < most ? done + purge_apart(PURGE_ALL, most - done) : done;
}

size_t purge_all(void) {
  const uint64_t before = load_relaxed(&memory_counters.purged);
  purge_highest(WINDOW_SLICES);
  return (size_t)(load_relaxed(&memory_counters.purged) - before);
}

/* ---- the budget ---- */

/* When little of what the boost keeps was claimed again, halve it. */
static void decay_boost(uint64_t now) {
  const size_t boost = load_relaxed(&state.boost);
  const uint64_t last = load_relaxed(&state.boost_time);
  if (boost == 0 || now - last < (uint64_t)purge_delay() * SOON) return;
  store_relaxed(&state.boost_time, now); /* a hint: two threads that halve at once do no harm */
  if (load_relaxed(&state.reused) < boost / 2) store_relaxed(&state.boost, boost / 2);
  store_relaxed(&state.reused, 0);
}

void purge_observe_claim(size_t dirty, size_t purged, uint64_t time) {
  if (dirty > 0) add_relaxed(&state.reused, dirty);
  if (purged == 0 || !is_inline()) return;
  const uint64_t now = os_now_ms();
  if (now - time > (uint64_t)max_size(1, (size_t)purge_delay()) * SOON) return;
  const size_t boost = load_relaxed(&state.boost);
  store_relaxed(&state.boost,
                min_size(boost + purged, BOOST_SLICES)); /* a hint: a lost update does no harm */
  store_relaxed(&state.boost_time, now);
}

static size_t budget(void) {
  const size_t claimed = (size_t)load_relaxed(&memory_counters.claimed) / SLICE_SIZE;
  return max_size(BUDGET_SLICES, claimed / BUDGET_CLAIMED_SHARE) + load_relaxed(&state.boost);
}

void purge_over_budget(size_t slices) {
  if (!is_inline() || purge_delay() < 0) return;
  const size_t dirty = (size_t)load_relaxed(&memory_counters.dirty) / SLICE_SIZE;
  const size_t allowed = budget();
  if (dirty <= allowed) return;
  /* At least a visit's worth, so that a burst of small releases costs few calls. */
  purge_highest(max_size(VISIT_SLICES, min_size(dirty - allowed, 2 * slices)));
}

/* ---- age ---- */

/* Continue the running drain, by at most `most` slices; the last visitor begins the next period. */
static void drain(size_t most, uint64_t now) {
  uintptr_t cursor = load_relaxed(&state.cursor);
  while (cursor > 0 && most > 0) {
    const size_t s = summary_highest(HINT_DIRTY, cursor - 1);
    const size_t done = s == SLICE_NONE ? 0 : purge_segment(s, PURGE_OLD, most);
    most -= done;
    if (most == 0) return; /* perhaps more in this segment: the next visit looks there first */
    if (s != SLICE_NONE && !summary_holds(HINT_DIRTY, s)) summary_refute(HINT_DIRTY, s);
    const uintptr_t next = s == SLICE_NONE ? 0 : s;
    if (cas_strong_acq_rel(&state.cursor, &cursor, next)) {
      cursor = next;
      if (next == 0) {
        purge_apart(PURGE_OLD, WINDOW_SLICES);
        store_relaxed(&state.due, now + (uint64_t)purge_delay());
        add_relaxed(&state.period, 1); /* parity is a hint: nothing is ordered by it */
      }
    }
  }
}

static void begin_drain(void) {
  uintptr_t idle = 0;
  cas_strong_acq_rel(&state.cursor, &idle, max_size(1, window_segments()));
}

void purge_due(void) {
  if (!is_inline() || load_relaxed(&memory_counters.dirty) == 0 || purge_delay() < 0) return;
  const uint64_t now = os_now_ms();
  if (load_relaxed(&state.cursor) == 0) {
    if (now < load_relaxed(&state.due)) return;
    begin_drain();
    decay_boost(now);
  }
  drain(VISIT_SLICES, now);
}

void purge_period(void) {
  begin_drain();
  drain(WINDOW_SLICES, os_now_ms());
}

purge_mode_t purge_after_fork(void) {
  const purge_mode_t before = is_inline() ? PURGE_INLINE : PURGE_BACKGROUND;
  store_relaxed(&state.cursor, 0);
  store_relaxed(&state.due, 0);
  purge_set_mode(PURGE_INLINE);
  return before;
}

/* ---- src/memory/reserve.h */
/* Making arenas: of memory reserved in the window, of huge pages, of the program's own memory. */
#ifndef MEMORY_RESERVE_H
#define MEMORY_RESERVE_H


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

#endif

/* ---- src/memory/slices.h */
/* Runs of slices for the page layer: claim, extend, release, and which of them start a page. */
#ifndef MEMORY_SLICES_H
#define MEMORY_SLICES_H


typedef struct claim_s {
  size_t slice;
  size_t count;
  bool zero; /* all of it is known to be zero */
} claim_t;

struct arena_s;

/* Where claims for somebody look: in one arena only, or first in those of a NUMA node, then as all do. */
typedef struct home_s {
  struct arena_s* arena; /* const: NULL: wherever memory is for everybody */
  atomic_u32_t node;     /* atomic: 1 + the node, 0: none */
} home_t;

/* Claim adjacent slices, readable and writable, the first at a multiple of alignment (bytes, a power of two).
   Prefers slices whose memory is still there, then the lowest address; grows the window when nothing fits.
   False: out of memory. */
bool slices_claim_for(home_t* home, size_t count, size_t alignment, claim_t* claim);
bool slices_claim(size_t count, size_t alignment, claim_t* claim); /* for nobody in particular */

/* Place exactly so many new segments, claimed and as no arena; what else had to be placed is released. */
bool slices_grow(size_t segments, size_t alignment, extent_t* own);

/* Release whole claimed segments as they are: a new arena's, or what became none. */
void slices_open(extent_t segments);

/* Claim the `more` slices directly behind [slice, slice + count), or false. */
bool slices_extend(size_t slice, size_t count, size_t more, claim_t* claim);

/* Free claimed slices, contents unknown.  None of them is a start. */
void slices_release(size_t slice, size_t count);

/* The same for memory that has lain idle for long: it goes back to the OS first. */
void slices_release_purged(size_t slice, size_t count);

/* By the owner of the slice: it is the first slice of a page, or no longer. */
void slices_set_start(size_t slice);
void slices_clear_start(size_t slice);

/* The nearest start at or below a claimed slice.  SLICE_NONE: the slice is free, or there is no start.  The
   caller checks that the page which starts there is long enough. */
size_t slices_find_start(size_t slice);
/* What the owner of a page may rely on: its first slice is marked, none of its slices is free. */
bool slices_are_claimed(size_t slice, size_t count);

/* Slices of the page that starts at this entry, 0 when there is none. */
typedef size_t page_slices_fn(table_entry_t* entry);

/* In a forked child, by its only thread, before it claims anything: put right what threads of the parent left
   half done.  Claimed slices that no page covers are lost: they become free and dirty. */
void memory_after_fork(page_slices_fn* page_slices);

#endif

/* ==== src/memory/reserve.c */



enum { HUGE_SEGMENTS = 1 << (HUGE_PAGE_SHIFT - (int)SEGMENT_SHIFT), START_MS_PER_PAGE = 500 };

static void* address_of(size_t segment) {
  return window_address(segment * SEGMENT_SLICES);
}

/* New segments become an arena, or what they would be without one. */
static arena_t* make_arena(extent_t segments, arena_spec_t spec) {
  arena_t* const arena = (arena_t*)(arena_new(segments, spec));
  if (arena != NULL) {
    arena_publish(arena);
    report_verbose("an arena of %zu MiB at %p", segments.count * (SEGMENT_SIZE / MiB),
                   address_of(segments.first));
  }
  slices_open(segments);
  return arena;
}

arena_t* reserve_memory(size_t size, unsigned how, uint32_t flags) {
  extent_t own;
  if (size == 0 || size > WINDOW_SLICES * SLICE_SIZE) return NULL;
  if (!slices_grow(div_up(size, SEGMENT_SIZE), SEGMENT_SIZE, &own)) return NULL;
  void* const address = (void*)(address_of(own.first));
  const size_t bytes = own.count * SEGMENT_SIZE;
  flags |= ARENA_ZERO;
  if ((how & RESERVE_LARGE) != 0) {
    const int error = os_map_huge(address, bytes, LARGE_PAGE_SHIFT);
    if (error == ENOTRECOVERABLE) return NULL;
    if (error == 0) flags |= ARENA_PINNED | ARENA_COMMITTED;
  }
  if ((flags & ARENA_COMMITTED) == 0 && (how & RESERVE_COMMITTED) != 0) {
    if (os_commit(address, bytes) != 0) {
      slices_open(own);
      return NULL;
    }
    flags |= ARENA_COMMITTED;
  }
  return make_arena(own, (arena_spec_t){flags, NODE_ANY, NULL, NULL});
}

/* One huge page, or as much of smaller ones; an errno value. */
static int map_huge_page(void* address, int node) {
  int error = os_map_huge(address, GiB, HUGE_PAGE_SHIFT);
  if (error != 0 && error != ENOTRECOVERABLE) error = os_map_huge(address, GiB, LARGE_PAGE_SHIFT);
  if (error == 0 && node != NODE_ANY) os_prefer_node(address, GiB, (unsigned)node);
  return error;
}

arena_t* reserve_huge(size_t pages, int node, uint64_t time_ms, uint32_t flags) {
  const uint64_t start = os_now_ms();
  extent_t own;
  size_t have = 0;
  int error = 0;
  if (pages == 0 || pages > WINDOW_SEGMENTS / HUGE_SEGMENTS) return NULL;
  if (!slices_grow(pages * HUGE_SEGMENTS, GiB, &own)) return NULL;
  while (have < pages && (have == 0 || time_ms == 0 || os_now_ms() - start < time_ms)) {
    error = map_huge_page(address_of(own.first + have * HUGE_SEGMENTS), node);
    if (error != 0) break;
    have++;
  }
  const size_t lost = error == ENOTRECOVERABLE ? 1 : 0; /* addresses that are no longer ours */
  slices_open((extent_t){own.first + (have + lost) * HUGE_SEGMENTS, (pages - have - lost) * HUGE_SEGMENTS});
  if (have < pages) report_warning("%zu of %zu huge pages of 1 GiB could be reserved", have, pages);
  if (have == 0) return NULL;
  flags |= ARENA_PINNED | ARENA_COMMITTED | ARENA_ZERO;
  return make_arena((extent_t){own.first, have * HUGE_SEGMENTS}, (arena_spec_t){flags, node, NULL, NULL});
}

/* Nodes that count. */
static size_t node_count(void) {
  const long most = option_get(mi_option_use_numa_nodes);
  const size_t nodes = os_numa_nodes();
  return most > 0 ? min_size((size_t)most, nodes) : nodes;
}

int reserve_node(int node) {
  return node < 0 ? NODE_ANY : (int)((size_t)node % node_count());
}

size_t reserve_huge_interleaved(size_t pages, size_t nodes, uint64_t time_ms) {
  size_t have = 0;
  nodes = nodes == 0 ? node_count() : min_size(nodes, node_count());
  for (size_t node = 0; node < nodes; node++) {
    const size_t share = pages / nodes + (node < pages % nodes ? 1 : 0);
    const uint64_t time = time_ms == 0 ? 0 : time_ms / nodes + 1;
    const arena_t* const arena = (const arena_t*)(reserve_huge(share, (int)node, time, 0));
    if (arena != NULL) have += arena->area.segments.count / HUGE_SEGMENTS;
  }
  return have;
}

arena_t* reserve_adopt(void* start, size_t size, arena_spec_t spec) {
  const uintptr_t from = (uintptr_t)start;
  if (start == NULL || size > ALLOC_SIZE_MAX || from > ALLOC_SIZE_MAX - SEGMENT_SIZE) return NULL;
  const uintptr_t first = align_up(from, SEGMENT_SIZE);
  const uintptr_t end = align_down(from + size, SEGMENT_SIZE);
  if (end <= first || !window_init()) return NULL;
  const extent_t segments = {window_slice_number((void*)first) / SEGMENT_SLICES,
                             (end - first) / SEGMENT_SIZE};
  spec.flags |= ARENA_OUTSIDE;
  arena_t* const arena = (arena_t*)(arena_new(segments, spec));
  if (arena == NULL || !window_adopt(&arena->area)) return NULL;
  segment_place(segments.first, segments.count);
  arena_publish(arena);
  slices_open(segments);
  return arena;
}

void reserve_at_start(void) {
  static atomic_u32_t done;
  if (load_relaxed(&done) != 0 || exchange_acq_rel(&done, 1u) != 0) return;
  const long pages = option_get(mi_option_reserve_huge_os_pages);
  const long at = option_get(mi_option_reserve_huge_os_pages_at);
  const long size = option_get(mi_option_reserve_os_memory);
  if (pages > 0) {
    const uint64_t time = (uint64_t)pages * START_MS_PER_PAGE;
    if (at >= 0) reserve_huge((size_t)pages, reserve_node((int)(at & INT32_MAX)), time, 0);
    else reserve_huge_interleaved((size_t)pages, 0, time);
  }
  if (size > 0) {
    const bool large = option_enabled(mi_option_allow_large_os_pages);
    const size_t bytes = (size_t)size > SIZE_MAX / KiB ? SIZE_MAX : (size_t)size * KiB;
    if (reserve_memory(bytes, RESERVE_COMMITTED | (large ? RESERVE_LARGE : 0), 0) == NULL)
      report_warning("reserve_os_memory: %ld KiB could not be reserved", size);
  }
}

/* ---- src/memory/scavenger.h */
/* A thread that purges, so that memory goes back to the OS also while the program calls the allocator no
   more. */
#ifndef MEMORY_SCAVENGER_H
#define MEMORY_SCAVENGER_H


enum { SCAVENGER_NONE, SCAVENGER_AWAKE, SCAVENGER_ASLEEP, SCAVENGER_OFF };

extern atomic_u32_t scavenger_state;

/* Start the thread unless it runs, is switched off, or nothing is ever purged.  Called when a process has
   got a second thread, from a place where an allocation may nest (creating a thread allocates), never from
   free. */
void scavenger_start(void);

/* No scavenger in this process from now on; one that runs ends. */
void scavenger_switch_off(void);

/* In a forked child, by its only thread: there is no scavenger (yet). */
void scavenger_after_fork(void);

void scavenger_wake(void);

/* A job for the scavenger besides purging, set once by the layer above that knows threads: `idle_ms` ms have
   passed since its last run.  It runs several times after each hint, until a purge delay without hints is
   over. */
typedef void scavenger_job_t(long idle_ms);
void scavenger_set_job(scavenger_job_t* job);

extern atomic_u32_t scavenger_hinted;
void scavenger_hint_first(void);

/* There may soon be something to do for the job.  Costs one load of a word that rarely changes. */
static inline void scavenger_hint(void) {
  if (load_relaxed(&scavenger_hinted) == 0) scavenger_hint_first();
}

/* Dirty slices were released and their hint is set.  seq_cst: partner of the scavenger's look before it
   sleeps. */
static inline void scavenger_notify(void) {
  if (load_seq_cst(&scavenger_state) == SCAVENGER_ASLEEP) scavenger_wake();
}

#endif

/* ==== src/memory/scavenger.c */
/* States, one word that is also the futex:

     NONE --scavenger_start: one CAS, one thread--> AWAKE        OFF (for good: switched off, or no thread to
   be had) AWAKE --nothing dirty: scavenge()--> ASLEEP --scavenger_wake: CAS by a releaser--> AWAKE any
   --scavenger_switch_off--> OFF: the thread ends

   Falling asleep against releasing (Dekker): the scavenger stores ASLEEP, then looks for dirty hints; a
   releaser sets its hint, then looks for ASLEEP; all seq_cst, so one of them sees the other.

   While memory is dirty the scavenger wakes once per purge delay by itself, so a releaser makes a system call
   once per idle period, and nobody ever waits in malloc or free: waking is the one futex call there.  Hints
   for the job (memory/scavenger.h) wake it in the same way; then it ticks four times per purge delay. */



enum {
  NEVER_PURGE_SLEEP_MS = 1000,
  TICKS = 4,          /* of the job in a purge delay */
  PERIOD_TICKS = 3,   /* in a purge period: what is free leaves after 3/4 to 6/4 of the delay */
  ROUNDS = 2 * TICKS, /* ticks after the last hint */
};

atomic_u32_t scavenger_state = SCAVENGER_NONE;
atomic_u32_t scavenger_hinted;
static atomic_word_t job;

static bool is_any_dirty(void) {
  return summary_any(HINT_DIRTY) || arena_any_dirty();
}

static void sleep_until_dirty(void) {
  uint32_t awake = SCAVENGER_AWAKE;
  if (!cas_strong_seq_cst(&scavenger_state, &awake, SCAVENGER_ASLEEP)) return;
  while (load_seq_cst(&scavenger_state) == SCAVENGER_ASLEEP && !is_any_dirty() &&
         load_seq_cst(&scavenger_hinted) == 0) {
    os_futex_wait(&scavenger_state, SCAVENGER_ASLEEP, -1);
  }
  uint32_t asleep = SCAVENGER_ASLEEP;
  cas_strong_seq_cst(&scavenger_state, &asleep, SCAVENGER_AWAKE);
}

/* One sleep; the job, when it is wanted; how many ticks it still is. */
static unsigned tick(unsigned rounds, long delay) {
  const long length = delay == 0 ? 1 : ((rounds > 0 ? delay : delay * PERIOD_TICKS) + TICKS - 1) / TICKS;
  os_futex_wait(&scavenger_state, SCAVENGER_AWAKE, length);
  scavenger_job_t* const run = (scavenger_job_t*)load_acquire(&job);
  if (exchange_seq_cst(&scavenger_hinted, 0u) != 0) rounds = ROUNDS;
  if (rounds == 0) return 0;
  if (run != NULL) run(length);
  return rounds - 1;
}

static void* scavenge(void* unused) {
  unsigned rounds = 0;
  os_thread_name("mi-scavenger");
  while (load_relaxed(&scavenger_state) != SCAVENGER_OFF) {
    const long delay = purge_delay();
    if (delay < 0) {
      os_futex_wait(&scavenger_state, SCAVENGER_AWAKE, NEVER_PURGE_SLEEP_MS);
      continue;
    }
    if (rounds == 0 && !is_any_dirty()) sleep_until_dirty();
    const unsigned ticks = rounds > 0 ? PERIOD_TICKS : 1;
    for (unsigned i = 0; i < ticks && load_relaxed(&scavenger_state) != SCAVENGER_OFF; i++)
      rounds = tick(rounds, delay);
    purge_period();
  }
  purge_set_mode(PURGE_INLINE);
  return unused;
}

void scavenger_set_job(scavenger_job_t* run) {
  store_release(&job, (uintptr_t)run); /* partner: tick */
}

void scavenger_hint_first(void) {
  store_seq_cst(&scavenger_hinted, 1u);
  scavenger_notify();
}

void scavenger_wake(void) {
  uint32_t asleep = SCAVENGER_ASLEEP;
  if (cas_strong_seq_cst(&scavenger_state, &asleep, SCAVENGER_AWAKE)) os_futex_wake(&scavenger_state);
}

void scavenger_start(void) {
  uint32_t none = SCAVENGER_NONE;
  if (load_relaxed(&scavenger_state) != SCAVENGER_NONE) return;
  if (purge_delay() < 0 || !option_enabled(mi_option_scavenger)) return;
  if (!cas_strong_acq_rel(&scavenger_state, &none, SCAVENGER_AWAKE)) return;
  purge_set_mode(PURGE_BACKGROUND); /* before the thread, which takes it back when it ends */
  if (os_thread_start(scavenge) == 0) {
    report_verbose("the scavenger thread purges from now on");
    return;
  }
  report_verbose("no scavenger thread could be started: free memory is purged by those who free");
  purge_set_mode(PURGE_INLINE);
  store_relaxed(&scavenger_state, SCAVENGER_OFF);
}

void scavenger_switch_off(void) {
  if (exchange_seq_cst(&scavenger_state, SCAVENGER_OFF) != SCAVENGER_NONE) os_futex_wake(&scavenger_state);
}

void scavenger_after_fork(void) {
  if (load_relaxed(&scavenger_state) != SCAVENGER_OFF) store_relaxed(&scavenger_state, SCAVENGER_NONE);
}

/* ==== src/memory/segment.c */


/* Starts of runs of run.count slices in the set, at multiples of the stride. */
static uint64_t run_starts(uint64_t set, run_t run) {
  uint64_t starts = bit_runs(set, run.count);
  if (run.stride > 1) {
    uint64_t multiples = 1;
    for (unsigned step = run.stride; step < SEGMENT_SLICES; step *= 2) multiples |= multiples << step;
    starts &= multiples;
  }
  return starts;
}

unsigned segment_claim_run(size_t segment, run_t run, claim_kind_t kind) {
  atomic_u64_t* const word = (atomic_u64_t*)(segment_word(segment, WORD_FREE));
  uint64_t free =
      load_acquire(word); /* partner: segment_release; dirty bits of free slices are at rest (S1) */
  for (;;) {
    const uint64_t starts = run_starts(kind == CLAIM_DIRTY ? free & segment_dirty(segment) : free, run);
    if (starts == 0) return NO_RUN;
    const unsigned first = bit_lowest(starts);
    /* acquire: the last owner's writes to the slices and to their bits happen before ours. */
    if (cas_weak_acq_rel(word, &free, free & ~bit_range(first, run.count))) return first;
  }
}

bool segment_claim_bits(size_t segment, uint64_t bits) {
  atomic_u64_t* const word = (atomic_u64_t*)(segment_word(segment, WORD_FREE));
  uint64_t free = load_acquire(word);
  while ((free & bits) == bits) {
    if (cas_weak_acq_rel(word, &free, free & ~bits)) return true; /* acquire: as above */
  }
  return false;
}

void segment_release(size_t segment, uint64_t bits) {
  atomic_u64_t* const word = (atomic_u64_t*)(segment_word(segment, WORD_FREE));
  uint64_t free = load_relaxed(word);
  check((free & bits) == 0);
  /* release: our writes happen before the next claim's CAS.  seq_cst: between this store and the loads of
     hints in summary_publish, the partner of clear-then-look in summary_refute (see memory/summary.h). */
  while (!cas_strong_seq_cst(word, &free, free | bits)) continue;
}

void segment_set(size_t segment, segment_word_t word, uint64_t bits) {
  or_acq_rel(segment_word(segment, word), bits); /* published with FREE by segment_release */
}

void segment_clear(size_t segment, segment_word_t word, uint64_t bits) {
  atomic_u64_t* const set = (atomic_u64_t*)(segment_word(segment, word));
  if ((load_relaxed(set) & bits) != 0) and_acq_rel(set, ~bits); /* published as above */
}

void segment_place(size_t first, size_t count) {
  for (size_t s = first; s < first + count; s++) {
    store_relaxed(segment_word(s, WORD_ZERO), ALL_SLICES); /* nobody else looks until slices are released */
    /* release: partner is memory_after_fork, which takes no slice that is not placed. */
    store_release(segment_word(s, WORD_PLACED), ALL_SLICES);
  }
  counter_add(&memory_counters.reserved, (uint64_t)count * SEGMENT_SIZE);
}

/* ==== src/memory/slices.c */
/* Searching, claiming and releasing runs of slices.

   A run of up to 64 slices lies inside one segment and is claimed by one CAS.  Longer runs, and those aligned
   to more than a segment, start at a segment, take whole free ones and a part of a last one; they are claimed
   segment by segment, lowest first, and given back when one of them is gone.  When nothing fits, the thread
   grows the window and takes its run out of the new extent before anybody else sees that: growing needs no
   second search.

   How hard to look: hints of the level just below the run's size may name segments whose run is too short, so
   only a constant number of those is looked at; then the level above, where every true hint fits.  False
   hints do not count: each was paid for by the release that set it, and is cleared when found. */


enum {
  PROBES = 16,        /* segments with too short a run looked at in a search */
  HUGE_EFFORT = 256,  /* segments looked at for a run of segments, plus four times its length */
  COMMIT_SLICES = 16, /* committed together: 1 MiB, or ... */
  COMMIT_WHOLE_FROM = 32 * 1024 * 1024, /* ... whole segments once so much is claimed */
};

/* ---- claiming ---- */

/* Claimed slices become free again, unchanged. */
static void give_back(size_t first, size_t end) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    segment_release(p.segment, p.bits);
    summary_publish(p.segment);
  }
}

/* Do the two segments belong together: may a run go from one to the other? */
static bool same_arena(size_t segment, size_t other) {
  return window_segment_ready(segment) && window_segment_ready(other) &&
         segment_arena(segment) == segment_arena(other);
}

/* Claim exactly these slices, all of them in one arena or in none; or claim none of them. */
static bool claim_exactly(size_t first, size_t end) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    if (same_arena(first / SEGMENT_SLICES, p.segment) && segment_claim_bits(p.segment, p.bits)) continue;
    const size_t done = p.segment == first / SEGMENT_SLICES ? first : p.segment * SEGMENT_SLICES;
    give_back(first, done);
    return false;
  }
  return true;
}

/* Claim the run in the lowest segment that the hints name, or SLICE_NONE. */
static size_t claim_hinted(run_t run, claim_kind_t kind, unsigned level) {
  const unsigned hint = (kind == CLAIM_DIRTY ? HINT_DIRTY : HINT_RUN) + level;
  size_t from = 0;
  for (int probes = PROBES; probes > 0;) {
    const size_t s = summary_lowest(hint, from);
    if (s == SLICE_NONE) return SLICE_NONE;
    const unsigned first = segment_claim_run(s, run, kind);
    if (first != NO_RUN) return s * SEGMENT_SLICES + first;
    if (summary_holds(hint, s)) {
      probes--;
    } else {
      summary_refute(hint, s);
    }
    from = s + 1;
  }
  return SLICE_NONE;
}

/* A run inside a segment. */
static size_t claim_short(run_t run) {
  const unsigned fits_perhaps = bit_highest(run.count);
  const unsigned span = run.count + run.stride - 1;
  const unsigned fits_surely = span <= 1 ? 0 : (unsigned)min_size(bit_highest(span - 1) + 1, RUN_LEVELS - 1);
  for (claim_kind_t kind = CLAIM_DIRTY; kind <= CLAIM_ANY; kind = (claim_kind_t)(kind + 1)) {
    size_t slice = claim_hinted(run, kind, fits_perhaps);
    if (slice == SLICE_NONE && fits_surely != fits_perhaps) slice = claim_hinted(run, kind, fits_surely);
    if (slice != SLICE_NONE) return slice;
  }
  return SLICE_NONE;
}

/* The first segment in which slices of [first, end) are not free, or SLICE_NONE. */
static size_t obstacle(size_t first, size_t end) {
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    if (!same_arena(first / SEGMENT_SLICES, p.segment)) return p.segment;
    if ((load_relaxed(segment_word(p.segment, WORD_FREE)) & p.bits) != p.bits) return p.segment;
  }
  return SLICE_NONE;
}

/* A run that starts at a segment. */
static size_t claim_long(size_t count, size_t alignment) {
  const unsigned hint = HINT_RUN + bit_highest(min_size(count, SEGMENT_SLICES));
  size_t from = 0;
  size_t effort = HUGE_EFFORT + 4 * count / SEGMENT_SLICES;
  while (effort > 0) {
    const size_t s = summary_lowest(hint, from);
    if (s == SLICE_NONE) return SLICE_NONE;
    const size_t first = s * SEGMENT_SLICES;
    const size_t padding = window_padding(s, alignment);
    if (padding > 0) {
      from = s + padding;
      effort--;
      continue;
    }
    const size_t bad = obstacle(first, first + count);
    if (bad == SLICE_NONE) {
      if (claim_exactly(first, first + count)) return first;
      effort--; /* another thread took a part meanwhile: look again */
    } else {
      effort -= min_size(effort, bad - s + 1);
      if (bad == s && !summary_holds(hint, s)) summary_refute(hint, s);
      from = bad + 1;
    }
  }
  return SLICE_NONE;
}

void slices_open(extent_t segments) {
  give_back(segments.first * SEGMENT_SLICES, (segments.first + segments.count) * SEGMENT_SLICES);
}

/* The new segments become an arena of huge pages, if there are so many: by the option, for everybody. */
static void use_large_pages(extent_t extent) {
  const uint32_t flags = ARENA_PINNED | ARENA_COMMITTED | ARENA_ZERO;
  void* const address = (void*)(window_address(extent.first * SEGMENT_SLICES));
  if (os_map_huge(address, extent.count * SEGMENT_SIZE, LARGE_PAGE_SHIFT) != 0) return;
  arena_t* const arena = arena_new(extent, (arena_spec_t){flags, NODE_ANY, NULL, NULL});
  if (arena != NULL) arena_publish(arena);
}

typedef enum backing_e { BACKING_PLAIN, BACKING_BY_OPTION } backing_t;

static bool grow(size_t segments, size_t alignment, backing_t backing, extent_t* own) {
  extent_t extent;
  if (!window_grow(segments, alignment, &extent)) return false;
  segment_place(extent.first, extent.count);
  if (backing == BACKING_BY_OPTION && option_enabled(mi_option_allow_large_os_pages)) use_large_pages(extent);
  const size_t padding = window_padding(extent.first, alignment);
  *own = (extent_t){extent.first + padding, segments};
  slices_open((extent_t){extent.first, padding});
  slices_open((extent_t){own->first + segments, extent.count - padding - segments});
  return true;
}

bool slices_grow(size_t segments, size_t alignment, extent_t* own) {
  return grow(segments, alignment, BACKING_PLAIN, own);
}

static size_t claim_from_new_extent(size_t count, size_t alignment) {
  extent_t own;
  if (option_enabled(mi_option_disallow_os_alloc)) return SLICE_NONE;
  if (!grow(div_up(count, SEGMENT_SLICES), alignment, BACKING_BY_OPTION, &own)) return SLICE_NONE;
  const size_t first = own.first * SEGMENT_SLICES;
  give_back(first + count, (own.first + own.count) * SEGMENT_SLICES);
  return first;
}

static size_t claim_in_arena(arena_t* arena, size_t count, size_t alignment) {
  const bool is_short = count <= SEGMENT_SLICES && alignment <= SEGMENT_SIZE;
  const run_t run = {(unsigned)count, (unsigned)max_size(alignment / SLICE_SIZE, 1)};
  const size_t start = arena->area.segments.first;
  for (size_t i = arena_next_open(arena, 0); i != SLICE_NONE; i = arena_next_open(arena, i + 1)) {
    const size_t first = (start + i) * SEGMENT_SLICES;
    if (is_short) {
      const unsigned at = segment_claim_run(start + i, run, CLAIM_ANY);
      if (at != NO_RUN) return first + at;
      if (load_relaxed(segment_word(start + i, WORD_FREE)) == 0) arena_note_full(arena, start + i);
    } else if (window_padding(start + i, alignment) == 0) {
      const size_t bad = obstacle(first, first + count);
      if (bad == SLICE_NONE && claim_exactly(first, first + count)) return first;
      if (bad != SLICE_NONE) i = bad - start;
    }
  }
  return SLICE_NONE;
}

/* In arenas that are for everybody: those of the node, or (node 0) those that the hints do not tell of. */
static size_t claim_in_shared(uint32_t node, size_t count, size_t alignment) {
  size_t slice = SLICE_NONE;
  for (arena_t* a = arena_newest(); a != NULL && slice == SLICE_NONE; a = a->next) {
    const bool wanted = node != 0 ? (uint32_t)(a->node + 1) == node : (a->flags & ARENA_OUTSIDE) != 0;
    if (wanted && (a->flags & ARENA_EXCLUSIVE) == 0) slice = claim_in_arena(a, count, alignment);
  }
  return slice;
}

static size_t claim_somewhere(home_t* home, size_t count, size_t alignment) {
  if (home->arena != NULL) return claim_in_arena(home->arena, count, alignment);
  const uint32_t node = load_relaxed(&home->node);
  size_t slice = node != 0 ? claim_in_shared(node, count, alignment) : SLICE_NONE;
  if (slice != SLICE_NONE) return slice;
  if (count <= SEGMENT_SLICES && alignment <= SEGMENT_SIZE) {
    const size_t stride = max_size(alignment / SLICE_SIZE, 1);
    slice = claim_short((run_t){(unsigned)count, (unsigned)stride});
  } else {
    slice = claim_long(count, alignment);
  }
  if (slice == SLICE_NONE) slice = claim_in_shared(0, count, alignment);
  return slice != SLICE_NONE ? slice : claim_from_new_extent(count, alignment);
}

/* ---- committing ---- */

static bool commit_range(size_t first, size_t end) {
  counter_add(&memory_counters.commit_calls, 1);
  if (os_commit(window_address(first), (end - first) * SLICE_SIZE) != 0) return false;
  size_t fresh = 0;
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    const uint64_t before = or_acq_rel(segment_word(p.segment, WORD_COMMITTED), p.bits);
    fresh += bit_count(p.bits & ~before);
  }
  counter_add(&memory_counters.committed, (uint64_t)fresh * SLICE_SIZE);
  return true;
}

/* Make claimed slices usable, and their neighbours with them: COMMITTED is the one word that others than the
   claimer set, since it only says what is so, and committing is idempotent.  Where the program commits, it is
   asked for these slices only, and COMMITTED is the claimer's like the others. */
static bool commit(size_t first, size_t end) {
  const arena_t* const arena = (const arena_t*)(segment_arena(first / SEGMENT_SLICES));
  uint64_t missing = 0;
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    missing |= p.bits & ~load_acquire(segment_word(p.segment, WORD_COMMITTED)); /* partner: commit_range */
  }
  if (missing == 0) return true;
  if (arena != NULL && arena->commit != NULL) {
    for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
      if (!arena_commit(arena, p.segment, p.bits)) return false;
    }
    return true;
  }
  const bool small = load_relaxed(&memory_counters.claimed) < COMMIT_WHOLE_FROM;
  const size_t group = small ? COMMIT_SLICES : SEGMENT_SLICES;
  return commit_range(align_down(first, group), align_up(end, group)) || commit_range(first, end);
}

/* ---- the interface ---- */

static void count_claimed(size_t slices) {
  const uint64_t bytes = (uint64_t)slices * SLICE_SIZE;
  const uint64_t now = add_relaxed(&memory_counters.claimed, bytes) + bytes;
  uint64_t peak = load_relaxed(&memory_counters.claimed_peak);
  while (peak < now && !cas_weak_acq_rel(&memory_counters.claimed_peak, &peak, now)) continue;
}

/* Claimed and committed: read what the slices are, and clear it. */
static void take(size_t first, size_t end, claim_t* claim) {
  size_t dirty = 0;
  size_t purged = 0;
  uint64_t purge_time = 0;
  *claim = (claim_t){first, end - first, true};
  for (piece_t p = piece_first(first, end); p.bits != 0; p = piece_next(p)) {
    claim->zero &= (load_relaxed(segment_word(p.segment, WORD_ZERO)) & p.bits) == p.bits;
    dirty += bit_count(segment_dirty(p.segment) & p.bits);
    const unsigned again = bit_count(load_relaxed(segment_word(p.segment, WORD_PURGED)) & p.bits);
    if (again > 0) purge_time = load_relaxed(segment_word(p.segment, WORD_PURGE_TIME));
    purged += again;
    segment_clear(p.segment, WORD_ZERO, p.bits);
    segment_clear(p.segment, WORD_DIRTY_EVEN, p.bits);
    segment_clear(p.segment, WORD_DIRTY_ODD, p.bits);
    segment_clear(p.segment, WORD_PURGED, p.bits);
  }
  count_claimed(end - first);
  if (dirty > 0) counter_subtract(&memory_counters.dirty, (uint64_t)dirty * SLICE_SIZE);
  if (dirty + purged > 0) purge_observe_claim(dirty, purged, purge_time);
}

bool slices_claim(size_t count, size_t alignment, claim_t* claim) {
  static home_t anywhere;
  return slices_claim_for(&anywhere, count, alignment, claim);
}

bool slices_claim_for(home_t* home, size_t count, size_t alignment, claim_t* claim) {
  check(is_power_of_two(alignment));
  if (count == 0 || count > WINDOW_SLICES || alignment > WINDOW_SLICES * SLICE_SIZE) return false;
  const size_t first = claim_somewhere(home, count, alignment);
  if (first == SLICE_NONE) return false;
  if (!commit(first, first + count)) {
    give_back(first, first + count);
    return false;
  }
  take(first, first + count, claim);
  return true;
}

/* A run that reaches the end of all segments goes on behind it: place more of them there. */
static void grow_behind(size_t first, size_t end) {
  const size_t have = window_segments();
  const size_t need = div_up(end, SEGMENT_SLICES);
  extent_t extent;
  if (first >= WINDOW_SLICES || need <= have || first > have * SEGMENT_SLICES) return;
  if (option_enabled(mi_option_disallow_os_alloc) || segment_flags((first - 1) / SEGMENT_SLICES) != 0) return;
  if (first < have * SEGMENT_SLICES && obstacle(first, have * SEGMENT_SLICES) != SLICE_NONE) return;
  if (!window_grow(need - have, SLICE_SIZE, &extent)) return;
  segment_place(extent.first, extent.count);
  give_back(extent.first * SEGMENT_SLICES, (extent.first + extent.count) * SEGMENT_SLICES);
}

bool slices_extend(size_t slice, size_t count, size_t more, claim_t* claim) {
  const size_t first = slice + count;
  if (more == 0 || more > WINDOW_SLICES) return false;
  grow_behind(first, first + more);
  if (!same_arena((first - 1) / SEGMENT_SLICES, first / SEGMENT_SLICES)) return false;
  if (!claim_exactly(first, first + more)) return false;
  if (!commit(first, first + more)) {
    give_back(first, first + more);
    return false;
  }
  take(first, first + more, claim);
  return true;
}

/* Memory that never goes back: its slices become stale. */
static bool release_pinned(size_t slice, size_t count) {
  if ((segment_flags(slice / SEGMENT_SLICES) & ARENA_PINNED) == 0) return false;
  counter_subtract(&memory_counters.claimed, (uint64_t)count * SLICE_SIZE);
  give_back(slice, slice + count);
  return true;
}

void slices_release_purged(size_t slice, size_t count) {
  if (release_pinned(slice, count)) return;
  counter_subtract(&memory_counters.claimed, (uint64_t)count * SLICE_SIZE);
  purge_claimed(slice, count);
}

void slices_release(size_t slice, size_t count) {
  const size_t end = slice + count;
  if (release_pinned(slice, count)) return;
  if (purge_delay() == 0) {
    slices_release_purged(slice, count);
    return;
  }
  counter_subtract(&memory_counters.claimed, (uint64_t)count * SLICE_SIZE);
  const segment_word_t young = purge_young_word();
  counter_add(&memory_counters.dirty, (uint64_t)count * SLICE_SIZE); /* before a claim can subtract it */
  for (piece_t p = piece_first(slice, end); p.bits != 0; p = piece_next(p)) {
    check((load_relaxed(segment_word(p.segment, WORD_STARTS)) & p.bits) == 0);
    segment_set(p.segment, young, p.bits);
    segment_release(p.segment, p.bits);
    summary_publish(p.segment);
  }
  scavenger_notify();
  purge_over_budget(count);
  purge_due();
}

/* ---- starts ---- */

void slices_set_start(size_t slice) {
  const size_t segment = slice / SEGMENT_SLICES;
  atomic_u64_t* const word = (atomic_u64_t*)(segment_word(segment, WORD_STARTS));
  uint64_t starts = load_relaxed(word);
  /* seq_cst: before the look at the hint, as in segment_release. */
  while (!cas_strong_seq_cst(word, &starts, starts | UINT64_C(1) << slice % SEGMENT_SLICES)) continue;
  summary_set(HINT_STARTS, segment);
}

void slices_clear_start(size_t slice) {
  segment_clear(slice / SEGMENT_SLICES, WORD_STARTS, UINT64_C(1) << slice % SEGMENT_SLICES);
}

bool slices_are_claimed(size_t slice, size_t count) {
  const uint64_t starts = load_relaxed(segment_word(slice / SEGMENT_SLICES, WORD_STARTS));
  if ((starts >> slice % SEGMENT_SLICES & 1) == 0) return false;
  for (size_t i = slice; i < slice + count; i++) {
    const uint64_t free = load_relaxed(segment_word(i / SEGMENT_SLICES, WORD_FREE));
    if ((free >> i % SEGMENT_SLICES & 1) != 0) return false;
  }
  return true;
}

/* The next segment below that may have a start, or SLICE_NONE. */
static size_t start_below(size_t segment) {
  if ((segment_flags(segment) & ARENA_OUTSIDE) == 0) {
    return segment > 0 ? summary_highest(HINT_STARTS, segment - 1) : SLICE_NONE;
  }
  return segment > segment_arena(segment)->area.segments.first ? segment - 1 : SLICE_NONE;
}

size_t slices_find_start(size_t slice) {
  size_t s = slice / SEGMENT_SLICES;
  const unsigned at = (unsigned)(slice % SEGMENT_SLICES);
  if (!window_segment_ready(s)) return SLICE_NONE;
  if ((load_acquire(segment_word(s, WORD_FREE)) >> at & 1) != 0) return SLICE_NONE;
  uint64_t starts = load_acquire(segment_word(s, WORD_STARTS)) & bit_range(0, at + 1);
  while (starts == 0) {
    s = start_below(s);
    if (s == SLICE_NONE) return SLICE_NONE;
    starts = load_acquire(segment_word(s, WORD_STARTS));
    if (starts == 0 && (segment_flags(s) & ARENA_OUTSIDE) == 0) summary_refute(HINT_STARTS, s);
  }
  return s * SEGMENT_SLICES + bit_highest(starts);
}

/* ---- after a fork ---- */

/* Slices of the segment that pages cover; `covered` is where the page that ends last does so. */
static uint64_t covered_slices(size_t segment, page_slices_fn* page_slices, size_t* covered) {
  const size_t first = segment * SEGMENT_SLICES;
  uint64_t starts = load_relaxed(segment_word(segment, WORD_STARTS));
  uint64_t bits = 0;
  for (size_t i = 0; i < SEGMENT_SLICES; i++) {
    if ((starts >> i & 1) != 0) {
      const size_t count = page_slices(window_entry(first + i));
      if (count == 0) slices_clear_start(first + i);
      *covered = max_size(*covered, first + i + count);
    }
    if (first + i < *covered) bits |= UINT64_C(1) << i;
  }
  return bits;
}

/* Slices that are used, or were lost. */
typedef struct after_fork_s {
  size_t covered;
  uint64_t claimed, dirty;
} after_fork_t;

static void segment_after_fork(size_t s, page_slices_fn* page_slices, after_fork_t* sum) {
  const uint32_t flags = segment_flags(s);
  const uint64_t used = covered_slices(s, page_slices, &sum->covered);
  /* Fork copies page by page: the table may be older than the words.  A page that is still there keeps
     its slices. */
  segment_clear(s, WORD_FREE, used);
  const uint64_t free = load_relaxed(segment_word(s, WORD_FREE));
  const uint64_t lost = ~(used | free) & load_relaxed(segment_word(s, WORD_COMMITTED));
  const uint64_t fresh = ~(used | free) & ~lost; /* never usable, so still what they were: zero if ours */
  segment_clear(s, WORD_ZERO, lost);
  if ((flags & ARENA_OUTSIDE) == 0) segment_set(s, WORD_ZERO, fresh);
  segment_clear(s, WORD_DIRTY_ODD, lost | used);
  segment_clear(s, WORD_DIRTY_EVEN, lost | used);
  if ((flags & ARENA_PINNED) == 0) segment_set(s, WORD_DIRTY_EVEN, lost);
  if ((lost | fresh) != 0) segment_release(s, lost | fresh);
  sum->claimed += bit_count(used);
  sum->dirty += bit_count(segment_dirty(s));
}

void memory_after_fork(page_slices_fn* page_slices) {
  after_fork_t sum = {0, 0, 0};
  span_t span = window_span();
  purge_after_fork();
  scavenger_after_fork();
  do {
    sum.covered = span.first * SEGMENT_SLICES;
    for (size_t s = span.first; s < span.end; s++) {
      if (!window_segment_ready(s) || load_acquire(segment_word(s, WORD_PLACED)) == 0) continue;
      segment_after_fork(s, page_slices, &sum);
    }
  } while (window_next_span(&span));
  store_relaxed(&memory_counters.claimed, sum.claimed * SLICE_SIZE);
  store_relaxed(&memory_counters.dirty, sum.dirty * SLICE_SIZE);
  summary_rebuild();
}

/* ==== src/memory/summary.c */
#define word_of memory_summary_word_of
/* The words of all kinds for the same 64 segments lie together: a small program touches three pages here. */


enum { LEVELS = 3, UP = 1, DOWN = -1 };

typedef struct row_s {
  _Alignas(CACHE_LINE) atomic_u64_t kind[HINT_KINDS];
} row_t;

static row_t leaves[WINDOW_SEGMENTS / 64];
static row_t branches[WINDOW_SEGMENTS / 64 / 64];
static row_t root;
static row_t* const levels[LEVELS] = {leaves, branches, &root};

_Static_assert(WINDOW_SEGMENTS == 64 * 64 * 64, "three levels");

/* The word with bit `index` of a level, and that bit. */
static atomic_u64_t* word_of(unsigned kind, unsigned level, size_t index) {
  return &levels[level][index / 64].kind[kind];
}
static uint64_t bit_of(size_t index) {
  return UINT64_C(1) << (index % 64);
}

/* Set the bit and those above it. */
static void raise_hint(unsigned kind, unsigned level, size_t index) {
  for (; level < LEVELS; level++, index /= 64) {
    atomic_u64_t* const word = (atomic_u64_t*)(word_of(kind, level, index));
    uint64_t bits = load_seq_cst(word);
    while ((bits & bit_of(index)) == 0 && !cas_strong_seq_cst(word, &bits, bits | bit_of(index))) continue;
  }
}

static void clear(unsigned kind, unsigned level, size_t index) {
  atomic_u64_t* const word = (atomic_u64_t*)(word_of(kind, level, index));
  uint64_t bits = load_seq_cst(word);
  while ((bits & bit_of(index)) != 0 && !cas_strong_seq_cst(word, &bits, bits & ~bit_of(index))) continue;
}

/* The set of k such that x has 2^k adjacent bits. */
static unsigned run_levels(uint64_t x) {
  unsigned found = 0;
  for (unsigned k = 0; x != 0; k++) {
    found |= 1u << k;
    if (k == RUN_LEVELS - 1) break;
    x &= x >> (1u << k);
  }
  return found;
}

/* Bit `kind` is set when a hint of that kind about runs is true. */
static unsigned hints_of(size_t segment) {
  const uint64_t free = load_seq_cst(segment_word(segment, WORD_FREE));
  return run_levels(free) << HINT_RUN | run_levels(free & segment_dirty(segment)) << HINT_DIRTY;
}

bool summary_holds(unsigned kind, size_t segment) {
  if (kind == HINT_STARTS) return load_seq_cst(segment_word(segment, WORD_STARTS)) != 0;
  return (hints_of(segment) >> kind & 1) != 0;
}

void summary_publish(size_t segment) {
  arena_t* const arena = (arena_t*)(segment_arena(segment));
  if (arena != NULL) arena_note_free(arena, segment);
  if (arena != NULL && (arena->flags & ARENA_APART) != 0) return;
  for (unsigned hints = hints_of(segment); hints != 0; hints &= hints - 1) {
    raise_hint(bit_lowest(hints), 0, segment);
  }
}

void summary_set(unsigned kind, size_t segment) {
  if ((segment_flags(segment) & ARENA_OUTSIDE) == 0) raise_hint(kind, 0, segment);
}

/* The word with this bit was found empty: clear the bit above it, and so on, unless the word has got bits
   since. */
static void prune(unsigned kind, unsigned level, size_t index) {
  for (; level + 1 < LEVELS && load_seq_cst(word_of(kind, level, index)) == 0; level++, index /= 64) {
    clear(kind, level + 1, index / 64);
    if (load_seq_cst(word_of(kind, level, index)) != 0) raise_hint(kind, level + 1, index / 64);
  }
}

void summary_refute(unsigned kind, size_t segment) {
  clear(kind, 0, segment);
  if (summary_holds(kind, segment)) raise_hint(kind, 0, segment);
  prune(kind, 0, segment);
}

/* Bits of a word from position `at` on, in the direction. */
static uint64_t reach(size_t at, int direction) {
  return direction == UP ? ~UINT64_C(0) << (at % 64) : ~UINT64_C(0) >> (63 - at % 64);
}

/* From bit `index` of the leaves: up the tree until a word has a bit in the direction, down to its nearest
   leaf. */
static size_t nearest(unsigned kind, size_t index, int direction) {
  unsigned level = 0;
  while (level < LEVELS && index < WINDOW_SEGMENTS >> (6 * level)) {
    const uint64_t bits = load_seq_cst(word_of(kind, level, index));
    const uint64_t within = bits & reach(index, direction);
    if (within != 0) {
      index = index / 64 * 64 + (direction == UP ? bit_lowest(within) : bit_highest(within));
      if (level == 0) return index;
      level--;
      index = direction == UP ? index * 64 : index * 64 + 63;
    } else {
      if (bits == 0) prune(kind, level, index);
      level++;
      index = index / 64 + (size_t)direction; /* below 0: past every level's end */
    }
  }
  return SLICE_NONE;
}

size_t summary_lowest(unsigned kind, size_t from) {
  return nearest(kind, from, UP);
}
size_t summary_highest(unsigned kind, size_t from) {
  return nearest(kind, from, DOWN);
}

bool summary_any(unsigned kind) {
  return load_seq_cst(&root.kind[kind]) != 0;
}

void summary_rebuild(void) {
  span_t span = window_span();
  do {
    for (size_t s = span.first; s < span.end; s++) {
      if (!window_segment_ready(s)) continue;
      summary_publish(s);
      if (summary_holds(HINT_STARTS, s)) summary_set(HINT_STARTS, s);
    }
  } while (window_next_span(&span));
}
#undef word_of

/* ==== src/memory/window.c */
/* Placing the window and its extents.

   Two kinds of window.  PLACED: a random base in the middle of the address space, extents and table pieces
   are mapped one by one at their addresses, so that the process reserves little more than it uses.  RESERVED:
   where the kernel (or a sanitizer, or an emulator) does not place as asked, one reservation holds the table
   and after it the window; extents are there already, table pieces are committed.

   Protocol of init:  origin 0 --CAS--> origin | log2(size)       all other fields derive from this one word,
   and any thread that finds it set writes them (the same values), so that nobody waits for the winner.

   Protocol of growing, states of a segment:
     unplaced --place(): the kernel maps the range for one thread only--> placed, rows unmapped
     placed   --rows mapped; failure: unmap, back to unplaced-->          rows mapped
     rows mapped --mark_ready()-->                                        ready, and below the limit
   PLACED windows need no claim of their own: the mapping that does not replace another one is the claim, and
   what fails leaves nothing behind.  `frontier`, the segment to try next, is then only a hint that rises.  In
   a RESERVED window moving the frontier by CAS is the claim; rows are committed before, which is idempotent.
   A foreign mapping in the way, or a thread stopped between its mapping and the frontier, costs a skip: the
   next try is further up, doubling, a constant number of times. */



enum {
  BASE_TRIES = 8,
  SKIP_TRIES = 12,         /* 4 MiB doubled 12 times: 16 GiB of foreign mappings are passed over */
  EXTENT_SEGMENTS = 16,    /* usual size of an extent, once the window has that size too */
  SHIFT_PLACED = 0,        /* origin's low bits in a PLACED window; else log2 of the size */
  SHIFT_RESERVED_MAX = 36, /* 64 GiB */
  SHIFT_RESERVED_MIN = 25, /* 32 MiB */
  ORIGIN_SHIFT_MASK = 63,
  HUGE_PAGES_FROM_SEGMENT = 16, /* extents below stay free of huge pages: small programs stay small */
};

/* 2^16 places, 1 GiB apart; clear of the executable, of mmap's area, and of the sanitizers' shadows. */
#define BASE_LOWEST        ((uintptr_t)18 << 40)
#define BASE_STEP          GiB
#define BASE_CHOICES       ((uintptr_t)1 << 16)
#define TABLE_DISTANCE     (4 * GiB)
#define SEGMENT_TABLE_SIZE ((size_t)SEGMENT_SLICES * TABLE_ENTRY_SIZE)

/* User addresses are below 2^63: before init no address is near the base (W1). */
window_t window = {.base = (uintptr_t)1 << 63};

static atomic_word_t origin;                     /* 0, or base | log2(size of a RESERVED window) */
static _Atomic(size_t) frontier;                 /* segments below were tried or taken */
static atomic_u64_t ready[WINDOW_SEGMENTS / 64]; /* a set of segments */

_Static_assert(TABLE_DISTANCE >= WINDOW_SEGMENTS * SEGMENT_TABLE_SIZE, "the table ends below the base");
_Static_assert((size_t)SEGMENT_SIZE > (size_t)ORIGIN_SHIFT_MASK, "the base has room for the shift");

static bool is_placed(uintptr_t from) {
  return (from & ORIGIN_SHIFT_MASK) == SHIFT_PLACED;
}
static uintptr_t base_of(uintptr_t from) {
  return from & ~(uintptr_t)ORIGIN_SHIFT_MASK;
}

static uintptr_t table_of(uintptr_t from) {
  if (is_placed(from)) return base_of(from) - TABLE_DISTANCE;
  const size_t segments = ((size_t)1 << (from & ORIGIN_SHIFT_MASK)) >> SEGMENT_SHIFT;
  return base_of(from) - align_up(segments * SEGMENT_TABLE_SIZE, SEGMENT_SIZE);
}

/* Segments that this window can ever hold. */
static size_t capacity(uintptr_t from) {
  return is_placed(from) ? WINDOW_SEGMENTS : ((size_t)1 << (from & ORIGIN_SHIFT_MASK)) >> SEGMENT_SHIFT;
}

/* Segments whose rows fill whole OS pages. */
static size_t granule(void) {
  return max_size(1, os_page_size() / SEGMENT_TABLE_SIZE);
}

/* ---- init ---- */

/* Can mappings be placed at this base and its table?  What was mapped to find out is taken back, so that
   threads that lose the race for the origin have nothing to undo. */
static bool base_is_usable(uintptr_t base) {
  const size_t extent = granule() * SEGMENT_SIZE;
  const size_t rows = granule() * SEGMENT_TABLE_SIZE;
  if (os_reserve_at((void*)base, extent) != 0) return false;
  os_unmap((void*)base, extent);
  if (os_map_at((void*)(base - TABLE_DISTANCE), rows) != 0) return false;
  os_unmap((void*)(base - TABLE_DISTANCE), rows);
  return true;
}

static uintptr_t choose_placed(void) {
  for (int i = 0; i < BASE_TRIES; i++) {
    const uintptr_t base = BASE_LOWEST + (uintptr_t)(os_random() % BASE_CHOICES) * BASE_STEP;
    if (base_is_usable(base)) return base | SHIFT_PLACED;
  }
  return 0;
}

/* Give back a RESERVED window that lost the race. */
static void discard_reserved(uintptr_t from) {
  const uintptr_t table = table_of(from);
  os_unmap((void*)table, base_of(from) + capacity(from) * SEGMENT_SIZE - table);
}

static uintptr_t choose_reserved(void) {
  for (uintptr_t shift = SHIFT_RESERVED_MAX; shift >= SHIFT_RESERVED_MIN; shift--) {
    const size_t size = (size_t)1 << shift;
    const size_t table = align_up((size >> SLICE_SHIFT) * TABLE_ENTRY_SIZE, SEGMENT_SIZE);
    char* const start = (char*)(os_reserve(table + size, SEGMENT_SIZE));
    if (start != NULL) return ((uintptr_t)start + table) | shift;
  }
  return 0;
}

COLD static bool window_choose(void) {
  uintptr_t mine = choose_placed();
  if (mine == 0) mine = choose_reserved();
  uintptr_t theirs = 0;
  if (mine != 0 && !cas_strong_acq_rel(&origin, &theirs, mine) && !is_placed(mine)) discard_reserved(mine);
  return mine != 0 || load_relaxed(&origin) != 0;
}

bool window_init(void) {
  if (load_relaxed(&origin) == 0 && !window_choose()) return false;
  const uintptr_t from = load_relaxed(&origin);
  if (load_relaxed(&window.base) != base_of(from)) {
    store_relaxed(&window.table, (table_entry_t*)table_of(from));
    /* release: who sees the base sees the table.  The limit rises later, from this thread or by another that
       wrote both itself (W1). */
    store_release(&window.base, base_of(from));
  }
  return true;
}

/* ---- growing ---- */

size_t window_padding(size_t segment, size_t alignment) {
  const uintptr_t address = load_relaxed(&window.base) + segment * SEGMENT_SIZE;
  return (align_up(address, max_size(alignment, SEGMENT_SIZE)) - address) / SEGMENT_SIZE;
}

static void* segment_address(size_t segment) {
  return window_address(segment * SEGMENT_SLICES);
}
static void* rows_address(size_t segment) {
  return window_entry(segment * SEGMENT_SLICES);
}

static int map_rows(uintptr_t from, size_t first, size_t count) {
  void* const rows = (void*)(rows_address(first));
  const size_t size = count * SEGMENT_TABLE_SIZE;
  counter_add(&memory_counters.map_calls, 1);
  return is_placed(from) ? os_map_at(rows, size) : os_commit(rows, size);
}

/* Reserve the segments and map their rows; all or nothing.  0 or an errno value. */
static int place(uintptr_t from, size_t first, size_t count) {
  void* const address = (void*)(segment_address(first));
  const size_t size = count * SEGMENT_SIZE;
  int error = 0;
  if (is_placed(from)) {
    counter_add(&memory_counters.map_calls, 1);
    error = os_reserve_at(address, size);
    if (error != 0) return error;
  }
  error = map_rows(from, first, count);
  if (error != 0 && is_placed(from)) os_unmap(address, size);
  if (error == 0 && first < HUGE_PAGES_FROM_SEGMENT) os_no_huge_pages(address, size);
  return error;
}

/* The rows of the segments are mapped: let everybody read them. */
static void mark_ready(size_t first, size_t count) {
  for (size_t s = first; s < first + count; s++) {
    /* release: the mapping is there before the bit is seen (load_acquire in window_segment_ready). */
    or_acq_rel(&ready[s / 64], UINT64_C(1) << (s % 64));
  }
  counter_add(&memory_counters.metadata, count * SEGMENT_TABLE_SIZE);
  const size_t end = (first + count) * SEGMENT_SIZE;
  size_t limit = load_relaxed(&window.limit);
  /* Raised before any slice of the range is handed out: whoever is passed such a pointer sees this limit. */
  while (limit < end && !cas_weak_acq_rel(&window.limit, &limit, end)) continue;
}

/* Raise the frontier from `seen` to end.  False: another thread has it (RESERVED windows only). */
static bool move_frontier(uintptr_t from, size_t seen, size_t end) {
  if (!is_placed(from)) return cas_strong_acq_rel(&frontier, &seen, end);
  while (seen < end && !cas_weak_acq_rel(&frontier, &seen, end)) continue;
  return true;
}

/* Segments that were skipped get rows where they can, so that a foreign pointer into them reads zero entries.
 */
static void fill_gap(uintptr_t from, size_t first, size_t end) {
  for (size_t s = align_up(first, granule()); s < end; s += granule()) {
    if (map_rows(from, s, granule()) == 0) mark_ready(s, granule());
  }
}

static size_t usual_extent(size_t at) {
  size_t size = 1; /* 1, 1, 2, 4, 8, 16, 16, ... : half of what there will be */
  while (size < EXTENT_SEGMENTS && size < at) size *= 2;
  return align_up(size, granule());
}

bool window_grow(size_t segments, size_t alignment, extent_t* extent) {
  if (!window_init()) return false;
  const uintptr_t from = load_relaxed(&origin);
  size_t seen = load_relaxed(&frontier);
  size_t most = EXTENT_SEGMENTS * granule();
  size_t skip = 0;
  int skips = 0;
  for (;;) {
    const size_t at = seen + skip;
    if (at >= capacity(from) || segments > capacity(from) - at) return false;
    const size_t need = align_up(window_padding(at, alignment) + segments, granule());
    if (need > capacity(from) - at) return false;
    const size_t count = max_size(need, min_size(min_size(usual_extent(at), most), capacity(from) - at));
    const int error = place(from, at, count);
    if (error == 0 && move_frontier(from, seen, at + count)) {
      *extent = (extent_t){at, count};
      break;
    }
    const size_t now = load_relaxed(&frontier);
    if (error == EEXIST && now == seen) {
      if (++skips > SKIP_TRIES) return false;
      skip = align_up(skip * 2 + 1, granule());
    } else if (error != 0 && error != EEXIST) {
      if (count == need) return false;
      most = align_up(count / 2, granule()); /* a limit: ask for less */
    } else {
      skip = 0; /* somebody else grew the window: from there */
    }
    seen = now;
  }
  mark_ready(extent->first, extent->count);
  report_verbose("%zu MiB of addresses reserved at %p", extent->count * (SEGMENT_SIZE / MiB),
                 segment_address(extent->first));
  if (skip > 0) fill_gap(from, seen, extent->first);
  return true;
}

/* ---- memory outside of the window ---- */

static _Atomic(area_t*) areas;

static bool touches_window(uintptr_t from, uintptr_t start, uintptr_t end) {
  return start < base_of(from) + capacity(from) * SEGMENT_SIZE && end > table_of(from);
}

bool window_adopt(area_t* area) {
  if (!window_init()) return false;
  const uintptr_t from = load_relaxed(&origin);
  const size_t first = area->segments.first;
  const size_t count = area->segments.count;
  const uintptr_t start = (uintptr_t)segment_address(first);
  const uintptr_t end = start + count * SEGMENT_SIZE;
  if (touches_window(from, start, end) || end > (uintptr_t)1 << ADDRESS_SHIFT) return false;
  const uintptr_t rows = align_down((uintptr_t)rows_address(first), os_page_size());
  const uintptr_t rows_end = align_up((uintptr_t)rows_address(first + count), os_page_size());
  counter_add(&memory_counters.map_calls, 1);
  /* The rows' mapping, which replaces none, is the claim. */
  if (os_map_at((void*)rows, rows_end - rows) != 0) return false;
  counter_add(&memory_counters.metadata, rows_end - rows);
  area_t* head = (area_t*)(load_relaxed(&areas));
  do {
    area->next = head;
  } while (!cas_weak_acq_rel(&areas, &head, area)); /* release: the rows are mapped before it is seen */
  return true;
}

static bool is_adopted(size_t segment) {
  for (const area_t* a = load_acquire(&areas); a != NULL; a = a->next) {
    if (segment - a->segments.first < a->segments.count) return true;
  }
  return false;
}

span_t window_span(void) {
  return (span_t){0, window_segments(), load_acquire(&areas)};
}

bool window_next_span(span_t* span) {
  const area_t* const area = (const area_t*)(span->next);
  if (area == NULL) return false;
  *span = (span_t){area->segments.first, area->segments.first + area->segments.count, area->next};
  return true;
}

/* ---- looking up ---- */

size_t window_segments(void) {
  return load_relaxed(&window.limit) >> SEGMENT_SHIFT;
}

bool window_segment_ready(size_t segment) {
  if (segment < WINDOW_SEGMENTS && (load_acquire(&ready[segment / 64]) >> (segment % 64) & 1) != 0)
    return true;
  return is_adopted(segment);
}

size_t window_slice_of(const void* p) {
  const size_t offset = (uintptr_t)p - load_relaxed(&window.base);
  const size_t slice = window_slice_number(p);
  const size_t segment = slice / SEGMENT_SLICES;
  if (offset >= load_relaxed(&window.limit)) return is_adopted(segment) ? slice : SLICE_NONE;
  return window_segment_ready(segment) ? slice : SLICE_NONE;
}

bool window_knows(const void* p) {
  return (uintptr_t)p - load_relaxed(&window.base) < load_relaxed(&window.limit) ||
         window_slice_of(p) != SLICE_NONE;
}
#undef BASE_CHOICES
#undef BASE_LOWEST
#undef BASE_STEP
#undef SEGMENT_TABLE_SIZE
#undef TABLE_DISTANCE

/* ---- src/page/page.h */
/* A page: 1 .. 12 slices holding blocks of one size class, of one heap, owned by one thread at a time; or one
   big block (a "single").  The struct is the table entry of the page's first slice; in the
   entries of its other slices only owner_tag is 0, so no owner test ever succeeds on them; their other fields
   may be left from an earlier page.

   Invariants (page_is_valid checks them in debug builds; L(x) is the length of list x):
     P1  L(free) + L(local_free) + used == capacity, where `used` still counts what lies in thread_free; in
         a forked child one more is valid: a signal handler may have forked between two stores of a fast path
     P2  capacity <= reserved; blocks capacity .. reserved-1 have never been carved
     P3  every listed block lies inside the page, at a multiple of the stride
     P4  the blocks of all three lists have the mark
     P5  an abandoned page has local_free == NULL and owner_tag == TAG_ABANDONED
     P6  filled - L(free) blocks have been handed out in this life of the page: allocation pops from free,
         and whatever else changes its length counts so in filled
   Debug builds check them at every slow step, and at every 64th of the steps that the fast paths take.

   Who may touch what:  owner = the thread whose tag is in owner_tag, or who won the claim of an abandoned
   page; const = set before the page is published by its start bit; atomic = anybody, through the seam. */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H


/* ---- src/page/sizeclass.h */
/* Size classes ("bins").

     bin 0          8 bytes
     bins 1 .. 8    16, 32, .. 128      multiples of 16: what the ABI asks of every block of 16 bytes and more
     bins 9 ..      8 per doubling      144, 160, .. 256, 288, .. 512, .. 32 KiB

   A request above 128 bytes wastes at most 1/8 of itself.  Between 65 and 113 bytes the ABI's alignment to 16
   costs up to 15 bytes, which is more than an eighth: those requests get the next multiple of 16, no more.

   The blocks of medium bins (above 8 KiB) stand 64 bytes further apart than their size, an odd number of
   cache lines, so that equal fields of neighbouring blocks fall into different cache sets. */
#ifndef PAGE_SIZECLASS_H
#define PAGE_SIZECLASS_H


enum {
  BIN_TINY = 0, /* 8-byte blocks: no room for a double-free mark */
  BIN_FIRST_SPACED = 9,
  BIN_COUNT = 9 + 8 * 8, /* 128 B .. 32 KiB: 8 doublings of 8 */
  PAGE_SLICES_MAX = 16,
};

/* The bin of a request of `size` <= MEDIUM_BLOCK_MAX bytes. */
static inline unsigned bin_of(size_t size) {
  if (size <= 8) return BIN_TINY;
  if (size <= 128) return (unsigned)((size + 15) >> 4);
  const unsigned power = bit_highest(size - 1);
  return BIN_FIRST_SPACED + (power - 7) * 8 + (unsigned)(((size - 1) >> (power - 3)) & 7);
}

/* The usable size of the blocks of a bin. */
static inline size_t bin_size(unsigned bin) {
  if (bin == BIN_TINY) return 8;
  if (bin < BIN_FIRST_SPACED) return (size_t)bin << 4;
  const unsigned step = bin - BIN_FIRST_SPACED;
  return (size_t)(9 + (step & 7)) << (4 + step / 8);
}

/* The distance between the blocks of a bin. */
static inline size_t bin_stride(unsigned bin) {
  const size_t size = bin_size(bin);
  return size <= SMALL_BLOCK_MAX ? size : size + CACHE_LINE;
}

/* How many slices a page of the bin takes: the fewest whose unused tail is at most 4 %. */
static inline size_t bin_page_slices(unsigned bin) {
  const size_t stride = bin_stride(bin);
  size_t slices = 1;
  while (slices < PAGE_SLICES_MAX && (slices * SLICE_SIZE) % stride > slices * SLICE_SIZE / 25) slices++;
  return slices;
}

#endif

typedef struct page_s page_t;

/* What stands in a free block.  8-byte blocks have no room for the mark. */
typedef struct block_s {
  struct block_s* next;
  uintptr_t mark; /* the page's address while the block is free: freeing it again finds it there */
} block_t;

/* Values of owner_tag besides thread tags.  Thread tags are multiples of TAG_UNIT; the bits below are care
   flags that make the fast compare in free fail. */
enum {
  TAG_NOBODY = 1,    /* thread_tag of a thread that is not attached, or is inside a slow path */
  TAG_GONE = 3,      /* thread_tag of a thread that has given up its pages at its exit */
  TAG_SINGLE = 2,    /* one big block: freed by whoever holds it, no owner */
  TAG_ABANDONED = 4, /* no owner; the state in thread_free says so too */
  TAG_UNIT = 8,
  CARE_FULL = 1, /* the page is in the full list */
  CARE_TINY = 2, /* 8-byte blocks: links are encoded, no mark */
  CARE_MASK = TAG_UNIT - 1,
};

typedef enum page_flag_e {
  PAGE_ZERO = 1,       /* what is not carved yet is zero */
  PAGE_FRESH_ZERO = 2, /* the blocks in `free` are zero behind their first word */
  PAGE_CARVED = 4,     /* the blocks in `free` are what is left of the last carving, in address order */
} page_flag_t;

struct page_s {
  atomic_word_t owner_tag; /* atomic; written by the owner */
  block_t* free;           /* owner: allocation pops here, nothing else does */
  block_t* local_free;     /* owner: the owner's frees */
  uint64_t reciprocal;     /* const: floor(2^64 / stride) + 1, see page_set_capacity */
  uint32_t used;           /* owner: blocks that are not in free or local_free */
  uint32_t stride;         /* const: distance of blocks; of a single: of the block from the page's start */
  atomic_u16_t capacity;   /* atomic: blocks carved so far; written by the owner */
  uint16_t reserved;       /* const: blocks that fit */
  uint8_t bin;             /* const */
  uint8_t flags;           /* owner: page_flag_t */
  uint8_t retire_left;     /* owner: cadences until a retired page is released */
  uint8_t slices;          /* const: 0 for a single */
  uint64_t bound;          /* owner: see page_set_capacity */
  uint64_t key;            /* const: links are xor-ed with it (8-byte blocks only, else 0) */

  atomic_u64_t thread_free;      /* atomic: see page/remote.h; of a single: SINGLE_LIVE until freed */
  page_t* next;                  /* owner: queue links */
  page_t* prev;                  /* owner */
  atomic_word_t part;            /* atomic: the owning heap part; written by the owner */
  atomic_word_t heap;            /* atomic: the heap the page belongs to */
  union {
    uint64_t single_size; /* single: usable bytes */
    uint64_t filled;      /* else, owner: see P6 */
  };
  atomic_u32_t linked;           /* atomic: see heap/abandon.c */
  atomic_u32_t abandoned_next;   /* atomic: slice index + 1 of the next page in the abandoned stack */
};

_Static_assert(sizeof(page_t) <= offsetof(table_entry_t, word), "the segment's word follows the page");
_Static_assert(offsetof(page_t, thread_free) == CACHE_LINE, "remote frees do not touch the owner's line");

static inline page_t* page_at(size_t slice) { return (page_t*)window_entry(slice); }

static inline size_t page_slice(const page_t* page) {
  return (size_t)((const table_entry_t*)page - load_settled(&window.table));
}

static inline char* page_start(const page_t* page) { return (char*)window_address(page_slice(page)); }

static inline size_t page_capacity(const page_t* page) {
  return load_relaxed(&((page_t*)(uintptr_t)page)->capacity);
}

/* Let e = reciprocal * stride - 2^64, which is 1 .. stride.  Modulo 2^64 the product of the reciprocal and
   the offset of block i is i * e, that of any other offset is at least the reciprocal.  So one multiplication
   and one comparison with capacity * e tell the start of a carved block from everything else. */
static inline void page_set_capacity(page_t* page, size_t capacity) {
  store_relaxed(&page->capacity, (uint16_t)capacity);
  page->bound = page->reciprocal * page->stride * capacity;
}

static inline bool page_is_single(const page_t* page) {
  return load_relaxed(&((page_t*)(uintptr_t)page)->owner_tag) == TAG_SINGLE;
}

static inline size_t page_slice_count(const page_t* page) {
  return page->slices != 0 ? page->slices : div_up(page->stride + (size_t)page->single_size, SLICE_SIZE);
}

static inline size_t page_usable_size(const page_t* page) {
  return page->slices != 0 ? bin_size(page->bin) : (size_t)page->single_size;
}

/* All invariants above, of a page of blocks that the caller owns. */
bool page_is_valid(const page_t* page);

/* A step of a fast path: a walk of the lists at each would be too slow even for a debug build. */
static inline void page_check_step(const page_t* page) { check(page->used % 64 != 0 || page_is_valid(page)); }

/* Links of free blocks, for every page; the fast paths use the plain field because their pages have key 0. */
static inline block_t* block_next(const page_t* page, const block_t* block) {
  return (block_t*)((uintptr_t)block->next ^ page->key);
}
static inline void block_set_next(const page_t* page, block_t* block, block_t* next) {
  block->next = (block_t*)((uintptr_t)next ^ page->key);
}
static inline void block_set_mark(const page_t* page, block_t* block) {
  if (FREE_CHECKS && page->bin != BIN_TINY) block->mark = (uintptr_t)page;
}

/* Take a block: the page has one.  Its mark (of an 8-byte block: its link) is cleared, so that a stale one
   never makes a later free look like a second one. */
static inline block_t* page_pop(page_t* page) {
  block_t* const block = (block_t*)(page->free);
  page->used++;
  page->free = block_next(page, block);
  if (FREE_CHECKS) {
    if (page->bin != BIN_TINY) block->mark = 0;
    else block->next = NULL;
  }
  page_check_step(page);
  return block;
}

/* The owner frees a block that has been checked. */
static inline void page_push_local(page_t* page, block_t* block) {
  page_check_step(page);
  block_set_mark(page, block);
  block_set_next(page, block, page->local_free);
  page->local_free = block;
  atomic_signal_fence(memory_order_release); /* as in alloc/fast.h */
  page->used--;
}

/* Is p the start of a block of this page, carved or not? */
static inline bool page_is_block(const page_t* page, const void* p) {
  const size_t offset = (size_t)((const char*)p - page_start(page));
  const size_t stride = page->stride; /* 0: to who asks about a page of others, it may have become a single */
  return stride != 0 && offset % stride == 0 && offset / stride < page->reserved;
}

typedef enum zeroed_e { MEMORY_UNKNOWN, MEMORY_ZERO } zeroed_t;

/* Make the claimed slices a page of `bin`, owned by nobody yet, with nothing carved. */
void page_init(page_t* page, unsigned bin, zeroed_t memory);

/* Make sure that page->free holds a block: adopt local_free, else thread_free, else carve.  False: full. */
bool page_refill(page_t* page);

/* Move what other threads freed into the owner's lists without ever walking thread_free. */
void page_collect_remote(page_t* page);

/* Append local_free to free (walks free; used where no cadence follows: abandon, visit, count). */
void page_merge_lists(page_t* page);

/* Blocks that allocation has taken from the page in this life (P6).  Walks free, unless it was just carved;
   of a page in use by another thread an estimate. */
uint64_t page_served(const page_t* page);

/* Is the block in this list of free blocks?  Walks at most `reserved` blocks, and only valid ones, so it ends
   and never faults, even when the list changes meanwhile. */
bool page_list_holds(const page_t* page, const block_t* list, const block_t* block);

/* What blocks a page has, and which of them are free.  Made by a look from outside, also at a page of others:
   every field is read once and every walk is bounded and stays in memory that the page's slices cover, so the
   look ends and never faults; what it finds is true when nobody changes the page meanwhile. */
typedef struct page_look_s {
  char* start;
  size_t stride;
  size_t reserved;
  size_t capacity;
  uint64_t key;
  uint64_t listed[SLICE_SIZE / 8 / 64]; /* bit i: block i lies on a list of free blocks */
} page_look_t;

void page_look(const page_t* page, page_look_t* look);

/* Note a block that a list elsewhere holds.  False: it is none of the page, or was noted before. */
bool page_look_note(page_look_t* look, const block_t* block);

static inline bool page_look_is_listed(const page_look_t* look, size_t index) {
  return (look->listed[index / 64] >> (index % 64)) & 1;
}

void page_forked(void); /* this process is a forked child: see P1 */

/* Rebuild a page whose owner vanished in a fork: its lists may be torn.  Live blocks are those that no valid
   list holds; afterwards the page is as an owner leaves it before abandoning. */
void page_rebuild(page_t* page);

#endif

/* ---- src/page/remote.h */
/* Remote frees: the one atomic word `thread_free` of a page.

     63       48 47      46 45       30 29 ...... 20 19 ....... 0
     | version  | state    | count     | (0)        | head       |
       head     offset / 8 + 1 of the first block in the list, 0: none
       count    owned page: blocks in the list;  abandoned page: live blocks that are left
       state    NORMAL | DELAYED | DELAYING | ABANDONED
       version  grows with every claim, so a stale claim fails

     NORMAL    --remote_free-->   NORMAL      push the block: one CAS
     DELAYED   --remote_free-->   DELAYING    a full page's first remote free: the block goes to the owner's
     DELAYING  --remote_signalled--> NORMAL   owner's delayed list instead: one signal per full page
     DELAYING  --remote_free-->   DELAYING    others push as in NORMAL; nobody waits
     NORMAL, DELAYING --remote_arm--> DELAYED owner: the page is full (only while the list is empty)
     DELAYED   --remote_disarm--> NORMAL      owner: the page left the full list
     any owned --remote_abandon--> ABANDONED  owner: gives the page up; count becomes the live blocks
     ABANDONED --remote_free-->   ABANDONED   push; or NORMAL when that was the last live block: the freeing
                                              thread then owns an empty page and releases it
     ABANDONED --remote_claim-->  NORMAL      whoever wins the CAS owns the page

   The push and the test of the state are one CAS, so no last free is lost.  The list is only ever taken whole
   (remote_take), so a push needs no protection against ABA. */
#ifndef PAGE_REMOTE_H
#define PAGE_REMOTE_H


typedef enum remote_state_e {
  REMOTE_NORMAL,
  REMOTE_DELAYED,
  REMOTE_DELAYING,
  REMOTE_ABANDONED
} remote_state_t;

/* What the caller of remote_free has to do next. */
typedef enum remote_verdict_e {
  REMOTE_DONE,      /* nothing */
  REMOTE_SIGNAL,    /* not pushed: push it on the owning part's delayed list, then call remote_signalled */
  REMOTE_LAST,      /* pushed, the page is empty and now belongs to the caller */
  REMOTE_UNOWNED,   /* pushed into an abandoned page that has live blocks left */
  /* not pushed: the page is abandoned and has no live block, so this one was freed before */
  REMOTE_NOT_LIVE,
} remote_verdict_t;

static inline remote_state_t remote_state(uint64_t word) { return (remote_state_t)((word >> 46) & 3); }
static inline uint32_t remote_count(uint64_t word) { return (uint32_t)((word >> 30) & 0xFFFF); }

/* Live blocks of a page, as far as it knows: what lies on a delayed list counts.  The owner changes `used`
   with plain stores while others ask; a number that is a moment old is what they want. */
static inline size_t page_live_blocks(page_t* page) {
  const uint64_t word = load_acquire(&page->thread_free);
  if (remote_state(word) == REMOTE_ABANDONED) return remote_count(word);
  const uint32_t used = __atomic_load_n(&page->used, __ATOMIC_RELAXED);
  return used - min_size(used, remote_count(word));
}

/* A new page: NORMAL, empty; the version goes on over the lives of the table entry. */
void remote_reset(page_t* page);

remote_verdict_t remote_free(page_t* page, block_t* block);
void remote_signalled(page_t* page);

/* Owner.  The list, and its length in *count; leaves the state. */
block_t* remote_take(page_t* page, uint32_t* count);

/* The list as it is now, to look for a block in it. */
const block_t* remote_list(const page_t* page);

/* Owner.  False when the list is not empty: collect it, the page is not full. */
bool remote_arm(page_t* page);
void remote_disarm(page_t* page);

/* Owner, after page_merge_lists: give the page up. */
typedef enum abandon_verdict_e {
  ABANDON_REFUSED, /* the page has no live block left and still belongs to the caller */
  ABANDON_FULL,    /* given up; no block in thread_free */
  ABANDON_ROOM,    /* given up; blocks in thread_free */
} abandon_verdict_t;
abandon_verdict_t remote_abandon(page_t* page);

/* Owner of an empty page with an empty list that cannot be released yet: ABANDONED with no live block. */
void remote_park(page_t* page);

/* Anybody.  True: the caller owns the page; page->used and page->local_free are set, the list is empty. */
bool remote_claim(page_t* page);

#endif

/* ==== src/page/page.c */
/* Pages: making one, carving blocks, moving blocks between its lists, checking it.  Invariants
   are in page.h. */



enum {
  CARVE_MIN = 4 * 1024,  /* bytes carved at a time: about one OS page, */
  CARVE_MAX = 16 * 1024, /* and up to this once the page has proved to be used */
};

static size_t block_index(const page_t* page, const block_t* block) {
  return (size_t)((const char*)block - page_start(page)) / page->stride;
}

static block_t* block_at(const page_t* page, size_t index) {
  return (block_t*)(void*)(page_start(page) + index * page->stride);
}

void page_init(page_t* page, unsigned bin, zeroed_t memory) {
  const size_t stride = bin_stride(bin);
  const size_t slices = bin_page_slices(bin);
  page->free = NULL;
  page->local_free = NULL;
  page->reciprocal = UINT64_MAX / stride + 1 + (is_power_of_two(stride) ? 1 : 0);
  page->used = 0;
  page->stride = (uint32_t)stride;
  page_set_capacity(page, 0);
  page->reserved = (uint16_t)(slices * SLICE_SIZE / stride);
  page->bin = (uint8_t)bin;
  page->flags = memory == MEMORY_ZERO ? PAGE_ZERO : 0;
  page->retire_left = 0;
  page->slices = (uint8_t)slices;
  page->next = NULL;
  page->prev = NULL;
  page->key = bin == BIN_TINY ? os_random() | 1 : 0;
  page->filled = 0;
  /* The version must go on counting over the lives of the entry; everything else starts anew. */
  remote_reset(page);
}

/* Put the next few uncarved blocks into `free`, which is empty, in address order. */
static void page_carve(page_t* page) {
  const size_t left = (size_t)page->reserved - page_capacity(page);
  const size_t carved = (size_t)page_capacity(page) * page->stride;
  const size_t bytes = max_size(CARVE_MIN, min_size(CARVE_MAX, carved / 2));
  const size_t count = min_size(left, max_size(1, bytes / page->stride));
  block_t* block = (block_t*)(block_at(page, page_capacity(page)));
  block_t* const first = (block_t*)(block);
  check(count > 0 && page->free == NULL);
  for (size_t i = 1; i < count; i++) {
    block_t* const next = (block_t*)(void*)((char*)block + page->stride);
    block_set_next(page, block, next);
    block_set_mark(page, block);
    block = next;
  }
  block_set_next(page, block, NULL);
  block_set_mark(page, block);
  page->free = first;
  page->filled += count;
  page_set_capacity(page, page_capacity(page) + count);
  page->flags |= (page->flags & PAGE_ZERO) != 0 ? PAGE_CARVED | PAGE_FRESH_ZERO : PAGE_CARVED;
}

/* To the owner, and for figures: nobody else changes it meanwhile, or it does not matter. */
static size_t settled_capacity(const page_t* page) {
  return load_settled(&((page_t*)(uintptr_t)page)->capacity);
}

/* `count` blocks that were used before join free. */
static void note_reused(page_t* page, size_t count) {
  page->filled += count;
  page->flags &= (uint8_t)~(PAGE_CARVED | PAGE_FRESH_ZERO);
}

void page_collect_remote(page_t* page) {
  if (page->free != NULL && page->local_free != NULL) return;
  uint32_t count;
  block_t* const list = (block_t*)(remote_take(page, &count));
  if (list == NULL) return;
  check(count <= page->used);
  page->used -= count;
  if (page->local_free == NULL) {
    page->local_free = list;
  } else {
    page->free = list;
    note_reused(page, count);
  }
}

bool page_refill(page_t* page) {
  if (page->free != NULL) return true;
  if (page->local_free == NULL) page_collect_remote(page);
  if (page->local_free != NULL) {
    page->free = page->local_free;
    page->local_free = NULL;
    note_reused(page, settled_capacity(page) - page->used); /* P1 */
    return true;
  }
  if (page_capacity(page) == page->reserved) return false;
  page_carve(page);
  return true;
}

void page_merge_lists(page_t* page) {
  if (page->local_free == NULL) return;
  const size_t capacity = settled_capacity(page);
  size_t length = 0;
  if (page->free != NULL) {
    block_t* tail = (block_t*)(page->free);
    for (length = 1; length < capacity && block_next(page, tail) != NULL; length++)
      tail = block_next(page, tail);
    block_set_next(page, tail, page->local_free);
  } else {
    page->free = page->local_free;
  }
  page->local_free = NULL;
  note_reused(page, capacity - page->used - length); /* P1 */
}

/* ---- checking ---- */

static bool block_is_valid(const page_t* page, const block_t* block) {
  return (uintptr_t)block >= (uintptr_t)page_start(page) &&
         (uintptr_t)block < (uintptr_t)page_start(page) + (size_t)page->slices * SLICE_SIZE &&
         page_is_block(page, block);
}

bool page_list_holds(const page_t* page, const block_t* list, const block_t* block) {
  for (size_t i = 0; i < page->reserved && list != NULL && block_is_valid(page, list); i++) {
    if (list == block) return true;
    list = block_next(page, list);
  }
  return false;
}

/* The length of free, as far as it stays in the page's memory: a page of others may change meanwhile. */
static size_t free_length(const page_t* page, size_t capacity) {
  const uintptr_t start = (uintptr_t)page_start(page);
  const size_t readable = max_size(page->slices, 1) * SLICE_SIZE - sizeof(block_t);
  const block_t* block = (const block_t*)(page->free);
  size_t length = 0;
  for (; length < capacity && (uintptr_t)block - start <= readable; length++) block = block_next(page, block);
  return length;
}

uint64_t page_served(const page_t* page) {
  const uint64_t filled = page->filled;
  const size_t capacity = settled_capacity(page);
  const block_t* const block = (const block_t*)(page->free);
  size_t left = 0;
  if ((page->flags & PAGE_CARVED) == 0) left = free_length(page, capacity);
  else if (block != NULL && block_is_valid(page, block)) left = capacity - block_index(page, block);
  return filled - min_size(filled, left);
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
  if (!FREE_CHECKS || page->bin == BIN_TINY) return true;
  while (list != NULL && list->mark == (uintptr_t)page) list = block_next(page, list);
  return list == NULL;
}

static atomic_u32_t surplus_allowed;

void page_forked(void) { store_relaxed(&surplus_allowed, 1u); }

bool page_is_valid(const page_t* page) {
  const size_t listed = list_length(page, page->free) + list_length(page, page->local_free);
  const size_t surplus = listed + page->used - page_capacity(page);
  if (surplus > load_relaxed(&surplus_allowed)) return false; /* P1, P3 */
  if (page_capacity(page) > page->reserved) return false;       /* P2 */
  if (page->filled < list_length(page, page->free)) return false; /* P6 */
  if (!list_is_marked(page, page->free) || !list_is_marked(page, page->local_free)) return false; /* P4 */
  return (size_t)page->reserved * page->stride <= (size_t)page->slices * SLICE_SIZE;
}

/* ---- looking from outside ---- */

enum { LOOK_BLOCKS_MAX = SLICE_SIZE / 8 }; /* a page of 8-byte blocks is one slice, and no other has more */

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
  while (list != NULL && page_look_note(look, list))
    list = (const block_t*)((uintptr_t)look_at(list->next) ^ look->key);
}

void page_look(const page_t* page, page_look_t* look) {
  const size_t slices = look_at(page->slices); /* of whatever page: they were claimed, so they are readable */
  const size_t stride = look_at(page->stride);
  memset(look, 0, sizeof(*look));
  look->start = page_start(page);
  look->stride = max_size(stride, 1);
  look->reserved = min_size(min_size(look_at(page->reserved), LOOK_BLOCKS_MAX),
                            slices * SLICE_SIZE / look->stride);
  look->capacity = min_size(page_capacity(page), look->reserved);
  look->key = look_at(page->key);
  look_along(look, look_at(page->free));
  look_along(look, look_at(page->local_free));
  look_along(look, remote_list(page));
}

/* ---- after a fork ---- */

void page_rebuild(page_t* page) {
  page_look_t look;
  uint32_t count;
  const uint64_t served = page_served(page);
  page_look(page, &look);
  remote_take(page, &count);
  page->free = NULL;
  page->local_free = NULL;
  page->flags = 0;
  page->retire_left = 0;
  size_t live = 0;
  size_t capacity = page_capacity(page);
  for (size_t i = page->reserved; i-- > 0;) {
    if (page_look_is_listed(&look, i)) {
      block_t* const block = (block_t*)(block_at(page, i));
      block_set_mark(page, block);
      block_set_next(page, block, page->free);
      page->free = block;
      capacity = max_size(capacity, i + 1);
    } else if (i < capacity) {
      live++;
    }
  }
  page_set_capacity(page, capacity);
  page->used = (uint32_t)live;
  page->filled = served + capacity - live;
  check(page_is_valid(page));
}
#undef look_at

/* ==== src/page/remote.c */
/* See remote.h for the word, its states and edges.

   Orders.  Every CAS here is acq_rel and pairs with the others on the same word:
     release  by a pusher: its writes to the block (and the program's last ones) come before the owner's
   reuse; by an abandoning owner: all its writes to the page come before the claimer's reads acquire  by the
   taker of the list, by the claimer, and by a pusher (it reads page->part after DELAYED) */

enum { HEAD_BITS = 20, COUNT_SHIFT = 30, STATE_SHIFT = 46, VERSION_SHIFT = 48 };
#define HEAD_MASK ((UINT64_C(1) << HEAD_BITS) - 1)
#define COUNT_ONE (UINT64_C(1) << COUNT_SHIFT)
#define LIST_MASK (HEAD_MASK | (UINT64_C(0xFFFF) << COUNT_SHIFT))
#define STATE_MASK (UINT64_C(3) << STATE_SHIFT)
#define VERSION_ONE (UINT64_C(1) << VERSION_SHIFT)

_Static_assert(PAGE_SLICES_MAX * (SLICE_SIZE / 8) < 1 << HEAD_BITS, "a head must fit");

static block_t* head_block(const page_t* page, uint64_t word) {
  const uint64_t head = word & HEAD_MASK;
  return head == 0 ? NULL : (block_t*)(void*)(page_start(page) + (head - 1) * 8);
}

static uint64_t with_head(const page_t* page, uint64_t word, const block_t* block) {
  const uint64_t offset = (uint64_t)((const char*)block - page_start(page));
  return (word & ~HEAD_MASK) | (offset / 8 + 1);
}

static uint64_t with_state(uint64_t word, remote_state_t state) {
  return (word & ~STATE_MASK) | ((uint64_t)state << STATE_SHIFT);
}

static uint64_t with_count(uint64_t word, uint32_t count) {
  return (word & ~(UINT64_C(0xFFFF) << COUNT_SHIFT)) | ((uint64_t)count << COUNT_SHIFT);
}

void remote_reset(page_t* page) {
  const uint64_t word = load_relaxed(&page->thread_free);
  store_relaxed(&page->thread_free, (word | (VERSION_ONE - 1)) + 1);
}

remote_verdict_t remote_free(page_t* page, block_t* block) {
  uint64_t word = load_acquire(&page->thread_free);
  uint64_t next;
  remote_verdict_t verdict;
  block_set_mark(page, block);
  do {
    if (remote_state(word) == REMOTE_DELAYED) {
      next = with_state(word, REMOTE_DELAYING);
      verdict = REMOTE_SIGNAL;
      continue;
    }
    if (remote_state(word) == REMOTE_ABANDONED && remote_count(word) == 0) return REMOTE_NOT_LIVE;
    block_set_next(page, block, head_block(page, word));
    next = with_head(page, word, block);
    if (remote_state(word) != REMOTE_ABANDONED) {
      next += COUNT_ONE;
      verdict = REMOTE_DONE;
    } else {
      next -= COUNT_ONE;
      verdict = remote_count(next) == 0 ? REMOTE_LAST : REMOTE_UNOWNED;
      if (verdict == REMOTE_LAST) next = with_state(next, REMOTE_NORMAL) + VERSION_ONE;
    }
  } while (!cas_weak_acq_rel(&page->thread_free, &word, next));
  return verdict;
}

void remote_signalled(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  while (remote_state(word) == REMOTE_DELAYING) {
    if (cas_weak_acq_rel(&page->thread_free, &word, with_state(word, REMOTE_NORMAL))) return;
  }
}

block_t* remote_take(page_t* page, uint32_t* count) {
  uint64_t word = load_relaxed(&page->thread_free);
  while ((word & HEAD_MASK) != 0) {
    if (cas_weak_acq_rel(&page->thread_free, &word, word & ~LIST_MASK)) break;
  }
  check(remote_state(word) != REMOTE_ABANDONED);
  *count = remote_count(word);
  return head_block(page, word);
}

const block_t* remote_list(const page_t* page) {
  return head_block(page, load_acquire(&((page_t*)(uintptr_t)page)->thread_free));
}

bool remote_arm(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  do {
    if ((word & HEAD_MASK) != 0) return false;
  } while (!cas_weak_acq_rel(&page->thread_free, &word, with_state(word, REMOTE_DELAYED)));
  return true;
}

void remote_disarm(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  while (remote_state(word) == REMOTE_DELAYED) {
    if (cas_weak_acq_rel(&page->thread_free, &word, with_state(word, REMOTE_NORMAL))) return;
  }
}

abandon_verdict_t remote_abandon(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  uint64_t next;
  check(page->local_free == NULL);
  do {
    const uint32_t live = page->used - remote_count(word);
    if (live == 0) return ABANDON_REFUSED;
    next = with_state(with_count(word, live), REMOTE_ABANDONED);
  } while (!cas_weak_acq_rel(&page->thread_free, &word, next));
  return (word & HEAD_MASK) != 0 ? ABANDON_ROOM : ABANDON_FULL;
}

void remote_park(page_t* page) {
  uint64_t word = load_relaxed(&page->thread_free);
  check(page->used == 0 && (word & HEAD_MASK) == 0);
  while (!cas_weak_acq_rel(&page->thread_free, &word, with_state(word & ~LIST_MASK, REMOTE_ABANDONED))) {
  }
}

bool remote_claim(page_t* page) {
  uint64_t word = load_acquire(&page->thread_free);
  do {
    if (remote_state(word) != REMOTE_ABANDONED) return false;
  } while (!cas_weak_acq_rel(&page->thread_free, &word,
                             with_state(word & ~LIST_MASK, REMOTE_NORMAL) + VERSION_ONE));
  page->used = remote_count(word);
  page->local_free = head_block(page, word);
  return true;
}
#undef COUNT_ONE
#undef HEAD_MASK
#undef LIST_MASK
#undef STATE_MASK
#undef VERSION_ONE

/* ---- src/heap/heap.h */
/* Heaps.  A heap is an identity shared by all threads plus one part per thread that allocates from it; the
   part owns pages and is touched by its thread only, but for the list of delayed remote frees.

     heap --state--> HEAP_LIVE --mi_heap_delete--> HEAP_DELETED    blocks live on in the main heap
                               --mi_heap_destroy-> HEAP_DESTROYED  blocks are gone
   Parts of other threads notice lazily (thread_settle).  Heaps, parts and threads are type-stable
   (heap/pool.h): a remote free that slept may still push to a part that has died, so a pusher looks at the
   part's state after its push, and empties the list itself when the part is dead.

   Page queues: a page with free blocks, or that may have some, is in queues[bin] of its part; the slow path
   takes the first and makes it current: only from there do the fast paths allocate.  When the current page
   leaves, the class has none until the next slow path, so at most one list of each class is used up between
   two cadences.  A page found full leaves for `full`, where nobody searches.

     empty table entry --part_fresh_page--> queue --part_find_page--> full --part_unfull--> queue
     queue --part_page_emptied--> retired in the queue --a few cadences--> released
     full --part_give_up (threads exist)--> abandoned, unlinked;  any --part_abandon_all--> abandoned
     abandoned --abandoned_claim--> queue of the claimer's part */
#ifndef HEAP_HEAP_H
#define HEAP_HEAP_H


/* ---- src/heap/pool.h */
/* Type-stable pools: a lock-free stack of unused structs, whose memory stays what it is for ever.  A struct
   in a pool begins with a pool_link_t that nothing else uses.

   head:  63 ..... 22 21 ... 0
         | address/64 | version |     the version grows with every pop, so a pop that slept never succeeds */
#ifndef HEAP_POOL_H
#define HEAP_POOL_H


typedef struct pool_link_s { atomic_u64_t next; } pool_link_t; /* address of the next unused struct */

typedef struct pool_s { atomic_u64_t head; } pool_t;

/* An unused struct, as pool_put left it, or a new zeroed one of `size` bytes; NULL when out of memory. */
void* pool_get(pool_t* pool, size_t size);
void pool_put(pool_t* pool, void* item);

#endif

typedef struct mi_heap_s heap_t; /* the public mi_heap_t */
typedef struct mi_theap_s heap_part_t;

enum {
  DIRECT_COUNT = DIRECT_SIZE_MAX / 8 + 1,
  RETIRE_CADENCES = 16,   /* slow-path visits that an empty last page of its class is kept */
  RETIRE_BYTES_MAX = 32 * 1024, /* what such a page may have carved */
  FULL_RETAIN = 16,       /* full pages a part keeps when the process has several threads */
  QUEUE_RETAIN = 4,       /* pages of a class that others' frees can make a part keep in its queue */
  HEAP_SEGMENT_BITS = 4096,
};

typedef enum heap_state_e { HEAP_LIVE, HEAP_DELETED, HEAP_DESTROYED } heap_state_t;
typedef enum part_state_e { PART_DEAD, PART_LIVE } part_state_t;

/* Abandoned pages of one class with something free in them; see heap/abandon.c. */
typedef struct abandoned_s {
  atomic_u64_t head;  /* version << 32 | slice index + 1 */
  atomic_u32_t count; /* entries, roughly */
  atomic_u32_t empty; /* entries whose page has no live block, roughly */
} abandoned_t;

/* Blocks handed out, per bin by pages that have gone (what pages still there have handed out is read off
   them); and all big blocks ever allocated, the last bin, with their bytes. */
typedef struct tally_s {
  atomic_u64_t blocks[BIN_COUNT + 1];
  atomic_u64_t big_bytes;
} tally_t;

struct mi_heap_s {
  pool_link_t link;
  atomic_u32_t state; /* atomic: heap_state_t */
  atomic_u32_t parts; /* atomic: parts and heaps that refer to the heap, plus one while it is live */
  home_t home;        /* where its memory comes from */
  heap_t* heir;       /* const: who gets the pages when it is deleted; NULL: it is never deleted */
  uint32_t only_delete; /* const: mi_heap_destroy deletes */
  uint32_t slot;      /* const: index in every thread's table of parts; the main heap has 0 */
  heap_t* main;       /* const: the main heap of its sub-process; NULL: it is one itself */
  heap_t* all_next;   /* const: next heap that was ever made */
  /* atomic: bit (segment % 4096) is set if a page was claimed there */
  atomic_u64_t segments[HEAP_SEGMENT_BITS / 64];
  abandoned_t abandoned[BIN_COUNT];
  tally_t tally;
  tally_t subprocess; /* of a main heap: of all heaps of the sub-process that ever were */
};

typedef struct page_queue_s {
  page_t* first;
  page_t* last;
  size_t count;
} page_queue_t;

struct mi_theap_s {
  page_t* direct[DIRECT_COUNT]; /* owner: first page of the class of (index * 8) bytes, or the empty page */
  pool_link_t link;
  atomic_word_t delayed; /* atomic: blocks of full pages freed by other threads */
  atomic_u32_t state;    /* atomic: part_state_t */
  uintptr_t tag;         /* owner: the thread's tag */
  heap_t* heap;          /* owner */
  heap_part_t* sibling;  /* owner: next part of the same thread */
  uint64_t retired[2];   /* owner: bins that may have a retired page */
  size_t pages_looked_at; /* owner: steps of the page search, for tests and statistics */
  page_queue_t full;
  page_queue_t queues[BIN_COUNT];
  page_t* current[BIN_COUNT]; /* owner: first page of the queue once the slow path has chosen it, else NULL */
};

extern heap_t heap_main;
extern heap_part_t part_empty; /* the part of a thread that has none: every slot holds the empty page */
extern tally_t heap_tally;            /* of the process, all heaps that ever were */
extern level_t heap_pages[BIN_COUNT]; /* pages of each bin, of the process */
extern level_t heap_count;            /* heaps, without the main one */
extern level_t heap_part_count;
extern atomic_u32_t heap_threads;   /* attached threads */
extern atomic_u32_t heap_strangers; /* 1: a thread that never allocated has freed */

/* For policy: does memory pass between threads? */
static inline bool heap_is_threaded(void) {
  return load_relaxed(&heap_threads) > 1 || load_relaxed(&heap_strangers) != 0;
}

/* A live heap of the sub-process of `main` (NULL: the main heap of a new one), or NULL when out of memory;
   and the end of a reference (a part's, another heap's, or the live heap's own). */
heap_t* heap_create(heap_t* main);
/* A heap whose pages lie in the arena; NULL: as heap_create.  In an exclusive arena they stay the arena's
   after its end, as the pages of a heap that nobody allocates from. */
heap_t* heap_create_in(struct arena_s* arena, heap_t* main);
void heap_unref(heap_t* heap);

/* A sub-process is a main heap and the heaps made by its threads; each heap keeps its main heap's record. */
static inline heap_t* heap_main_of(heap_t* heap) { return heap->main != NULL ? heap->main : heap; }

/* The main heap that a public id names; NULL: there is no such sub-process (any more). */
static inline heap_t* heap_subprocess(void* id) {
  heap_t* const main = (heap_t*)id;
  return main != NULL && main->main == NULL && load_acquire(&main->state) == HEAP_LIVE ? main : NULL;
}

/* All live heaps of the sub-process, its main heap first; stops when `visit` says so, and returns false. */
typedef bool heap_visit_t(heap_t* heap, void* arg);
bool heap_visit_heaps(heap_t* main, heap_visit_t* visit, void* arg);

/* The page goes for good, or begins: its account is closed, or opened. */
void heap_open_page(unsigned bin);
void heap_close_page(page_t* page);
/* Big blocks that `heap` got, or bytes that one grew by. */
void heap_count_big(heap_t* heap, size_t blocks, size_t bytes);
/* The heap that the page's blocks belong to: not a deleted one. */
heap_t* heap_of_page(page_t* page);

/* ---- a part's pages (owner only) ---- */
void part_init(heap_part_t* part, heap_t* heap, uintptr_t tag);
/* a page with page->free != NULL; NULL: out of memory */
page_t* part_find_page(heap_part_t* part, unsigned bin);
void part_attach(heap_part_t* part, page_t* page);       /* a claimed page joins the queues */
void part_unfull(heap_part_t* part, page_t* page);
void part_give_up(heap_part_t* part, page_t* full);      /* a full page is abandoned */
void part_page_emptied(heap_part_t* part, page_t* page);
void part_free_local(heap_part_t* part, page_t* page, block_t* block); /* any owned page, block checked */
/* the same, freed by another thread */
void part_free_delivered(heap_part_t* part, page_t* page, block_t* block);
void part_tick(heap_part_t* part);         /* one cadence: retired pages */
void part_collect(heap_part_t* part);      /* adopt all remote frees, release all empty pages */
void part_abandon_all(heap_part_t* part);  /* thread exit: release or abandon every page */
void part_move_all(heap_part_t* part, heap_part_t* to); /* heap delete: the pages join another part */
void part_forget(heap_part_t* part);       /* the heap was destroyed: the pages are gone already */
bool part_is_valid(const heap_part_t* part);

/* ---- remote and delayed frees (heap/delayed.c) ---- */
/* anybody: free a checked block of a page that is not one's own */
void heap_free_remote(page_t* page, block_t* block);
void part_drain(heap_part_t* part);                     /* owner: free what others delivered to the part */
bool part_delays_block(heap_part_t* part, const block_t* block); /* is it on the list? */
/* anybody: look along the list until `visit` says true; true when it did.  Ends and never faults. */
typedef bool delayed_visit_t(page_t* page, const block_t* listed, void* arg);
bool part_look_delayed(heap_part_t* part, delayed_visit_t* visit, void* arg);
/* owner, part without pages: nothing delivered is lost */
void part_die(heap_part_t* part);

/* ---- parts of idle threads (heap/idle.c); who holds the part (thread/idle.c) ---- */
bool part_idle_look(heap_part_t* part);    /* give up full pages, mark empty ones; true: some are marked */
/* after a barrier everywhere: the marked pages go back to the OS */
void part_idle_release(heap_part_t* part);
void part_drain_held(heap_part_t* part);   /* heap/delayed.c: free what others delivered */

/* ---- a heap's pages (anybody) ---- */
page_t* page_of(const void* p);  /* the page whose slices cover p; NULL when there is none */
void heap_note_page(heap_t* heap, const page_t* page);
/* an empty page that the caller owns goes back, or stays parked while linked */
void page_release(page_t* page);

/* Visit the pages of a heap: pages of other heaps in the same segments are passed over. */
typedef void page_visit_t(page_t* page, void* arg);
void heap_visit_pages(const heap_t* heap, page_visit_t* visit, void* arg);
void heap_visit_all_pages(page_visit_t* visit, void* arg); /* of all heaps */

/* ---- abandoned pages (heap/abandon.c) ---- */
/* owner, page in no queue: give it up, or release it if empty */
void page_abandon(page_t* page);
void abandoned_link(heap_t* heap, unsigned bin, page_t* page); /* it has got a free block: make it findable */
page_t* abandoned_claim(heap_t* heap, unsigned bin);   /* NULL: none */
void abandoned_note_empty(heap_t* heap, unsigned bin); /* a linked page has lost its last block */
/* release the empty ones, forward those of a deleted heap */
void abandoned_sweep(heap_t* heap);
void abandoned_unlink_all(heap_t* heap);               /* destroy: forget all entries */

/* ---- big blocks (heap/single.c) ---- */
typedef struct single_request_s {
  size_t size;
  size_t alignment; /* power of two, or 0 */
  size_t offset;    /* (p + offset) is what shall be aligned */
} single_request_t;
page_t* single_alloc(heap_t* heap, single_request_t request, zeroed_t* memory);
bool single_free(page_t* page);                    /* false: it was freed already */
bool single_resize(page_t* page, size_t size);     /* in place; false: not possible */
/* The contents go to a bigger single without a copy; false: not possible, nothing has changed. */
bool single_move(page_t* page, page_t* to);

#endif

/* ==== src/heap/abandon.c */
/* Abandoned pages: pages without an owner, shared by all threads, of one heap.

   Whether a page is abandoned is told by its word alone (page/remote.h), and the CAS on that word decides who
   gets it.  So that a thread that needs a page of a class finds one, those with something free are also
   entries of a stack per heap and class (Treiber; the head carries a version, entries are table entries and
   never go away).  An entry is only a hint: its page may have been claimed by a free meanwhile, and be
   anybody's.

     linked 0 --abandoned_link--> 1    the one who made it 1 pushes the entry
     linked 1 --claim_entry----> 0     the one who took the entry off the stack; then it tries to claim

   link: word := ABANDONED, then linked: 0 -> 1.   take: linked: 1 -> 0, then claim by the word.
   Both are read-modify-writes (acq_rel).  If the linker finds 1, it comes before the taker's 1 -> 0, whose
   acquire then sees ABANDONED: the taker claims.  Either the page is on the stack or somebody owns it.

   A linker that sleeps between the two may link a page that has gone on to another life: takers look at the
   word, the heap and the class of what they claim, so the entry is at worst useless.

   A page is never released while linked: it is parked (abandoned with no live block).  When parked ones are
   many the stack is swept: taken whole, the empty ones released, the others pushed again. */

enum { SWEEP_MIN = 1 }; /* parked pages that are worth a sweep, plus a quarter of the stack */

#define INDEX_MASK UINT64_C(0xFFFFFFFF)
#define VERSION_ONE (INDEX_MASK + 1)
#define ADDRESS_MASK ((UINT64_C(1) << ADDRESS_SHIFT) - 1)

static heap_t* page_heap(page_t* page) { return (heap_t*)load_relaxed(&page->heap); }

/* The index is a slice number modulo 2^32: of adopted memory, the one whose address exists. */
static page_t* entry_page(uint64_t head) {
  const uint64_t index = head & INDEX_MASK;
  const uintptr_t base = load_settled(&window.base);
  if (index == 0) return NULL;
  return page_at(window_slice_number((void*)((base + ((index - 1) << SLICE_SHIFT)) & ADDRESS_MASK)));
}

static void stack_push(abandoned_t* stack, page_t* page) {
  const uint64_t index = ((uint64_t)page_slice(page) + 1) & INDEX_MASK;
  uint64_t head = load_relaxed(&stack->head);
  add_relaxed(&stack->count, 1u);
  do {
    store_relaxed(&page->abandoned_next, (uint32_t)(head & INDEX_MASK));
  } while (!cas_weak_acq_rel(&stack->head, &head, (head & ~INDEX_MASK) | index));
}

static page_t* stack_pop(abandoned_t* stack) {
  uint64_t head = load_acquire(&stack->head);
  for (;;) {
    page_t* const page = (page_t*)(entry_page(head));
    if (page == NULL) return NULL;
    /* A stale next is harmless: the version makes the CAS fail. */
    const uint64_t next = (head & ~INDEX_MASK) + VERSION_ONE + load_relaxed(&page->abandoned_next);
    if (cas_weak_acq_rel(&stack->head, &head, next)) break;
  }
  add_relaxed(&stack->count, UINT32_MAX);
  return entry_page(head);
}

/* The entry is off the stack: try to get its page. */
static bool claim_entry(page_t* page) {
  exchange_acq_rel(&page->linked, 0u);
  return remote_claim(page);
}

void abandoned_link(heap_t* heap, unsigned bin, page_t* page) {
  if (exchange_acq_rel(&page->linked, 1u) != 0) return;
  stack_push(&heap->abandoned[bin], page);
  /* Deleted meanwhile: whoever comes last, this push or the deleter's sweep, forwards the entry. */
  if (load_acquire(&heap->state) == HEAP_DELETED) abandoned_sweep(heap);
}

void page_abandon(page_t* page) {
  heap_t* const heap = (heap_t*)(page_heap(page));
  const unsigned bin = page->bin;
  page_merge_lists(page);
  check(page_is_valid(page) && page->local_free == NULL); /* P5 */
  const bool room = page->free != NULL || page_capacity(page) < page->reserved;
  store_relaxed(&page->owner_tag, TAG_ABANDONED);
  const abandon_verdict_t verdict = remote_abandon(page);
  if (verdict != ABANDON_REFUSED) {
    if (room || verdict == ABANDON_ROOM) abandoned_link(heap, bin, page);
    return;
  }
  page_collect_remote(page);
  page_merge_lists(page);
  if (load_relaxed(&page->linked) == 0) {
    page_release(page);
    return;
  }
  remote_park(page);
  /* The entry may have been taken since; its taker found no abandoned page then, so link it anew. */
  abandoned_link(heap, bin, page);
  abandoned_note_empty(heap, bin);
}

void page_release(page_t* page) {
  const size_t slice = page_slice(page);
  const size_t count = page_slice_count(page);
  if (load_relaxed(&page->linked) != 0) {
    /* Its entry in the abandoned stack refers to it: it stays there, empty, until the stack is swept. */
    page_abandon(page);
    return;
  }
  heap_close_page(page);
  /* The entry matches no owner before its slices can be claimed again (release in slices_release). */
  store_relaxed(&page->owner_tag, 0);
  slices_clear_start(slice);
  slices_release(slice, count);
}

page_t* abandoned_claim(heap_t* heap, unsigned bin) {
  abandoned_t* const stack = &heap->abandoned[bin];
  if ((load_relaxed(&stack->head) & INDEX_MASK) == 0) return NULL;
  page_t* page;
  while ((page = stack_pop(stack)) != NULL) {
    if (!claim_entry(page)) continue;
    if (page_heap(page) == heap && page->bin == bin) return page;
    page_abandon(page); /* another life: goes to the right stack */
  }
  return NULL;
}

/* Take the whole stack; every page of it that is still abandoned is claimed, then released or abandoned
   again. */
static void sweep_stack(abandoned_t* stack, heap_t* forward) {
  uint64_t head = load_acquire(&stack->head);
  while (!cas_weak_acq_rel(&stack->head, &head, (head & ~INDEX_MASK) + VERSION_ONE)) {
  }
  store_relaxed(&stack->empty, 0u);
  for (page_t *page = entry_page(head), *next; page != NULL; page = next) {
    next = entry_page(load_relaxed(&page->abandoned_next));
    add_relaxed(&stack->count, UINT32_MAX);
    if (!claim_entry(page)) continue;
    if (forward != NULL) {
      store_relaxed(&page->heap, (uintptr_t)forward);
      heap_note_page(forward, page);
    }
    page_abandon(page);
  }
}

void abandoned_note_empty(heap_t* heap, unsigned bin) {
  abandoned_t* const stack = &heap->abandoned[bin];
  const uint32_t empty = add_relaxed(&stack->empty, 1u) + 1;
  if (empty >= SWEEP_MIN + load_relaxed(&stack->count) / 4) sweep_stack(stack, NULL);
}

void abandoned_sweep(heap_t* heap) {
  heap_t* const forward = (heap_t*)(load_acquire(&heap->state) == HEAP_DELETED ? heap->heir : NULL);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    if ((load_relaxed(&heap->abandoned[bin].head) & INDEX_MASK) != 0)
      sweep_stack(&heap->abandoned[bin], forward);
  }
}

void abandoned_unlink_all(heap_t* heap) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    page_t* page;
    while ((page = stack_pop(&heap->abandoned[bin])) != NULL) exchange_acq_rel(&page->linked, 0u);
    store_relaxed(&heap->abandoned[bin].empty, 0u);
  }
}
#undef ADDRESS_MASK
#undef INDEX_MASK
#undef VERSION_ONE

/* ==== src/heap/delayed.c */
/* A free by a thread that does not own the page.  The common case is one CAS on the page's word
   (page/remote.h); the first such free into a full page goes to the owning part's delayed list, so that the
   owner, who does not search full pages, hears of it once.

   The list: push = CAS, take = exchange, both acq_rel on one word.  A part may die (its thread exits, its
   heap is deleted) while a pusher sleeps.  part_die: state := DEAD, then take;  pusher: push, then look at
   the state. If the push comes after that last take in the order of the list word, its CAS has read the
   exchange (acquire), so it sees DEAD and takes the list itself.  Parts are type-stable, so the push itself
   is always safe.

   A block on such a list counts as live in its page, so the page cannot go away while the block is in flight;
   whoever takes it frees it like any other, by the page's state of that moment. */


/* The owner may take the list while another thread looks for a block in it, and the program writes to what
   were links: the look ends. */
enum { LOOK_MAX = 64 * 1024 };

static bool push_delayed(heap_part_t* part, page_t* page, block_t* block) {
  uintptr_t head = load_relaxed(&part->delayed);
  do {
    block_set_next(page, block, (block_t*)head);
  } while (!cas_weak_acq_rel(&part->delayed, &head, (uintptr_t)block));
  return load_acquire(&part->state) == PART_LIVE;
}

static block_t* take_delayed(heap_part_t* part) { return (block_t*)exchange_acq_rel(&part->delayed, 0); }

/* Nobody reads a dead part's list: free its blocks in its stead. */
static void drain_dead(heap_part_t* part) {
  for (block_t *block = take_delayed(part), *next; block != NULL; block = next) {
    page_t* const page = (page_t*)(page_of(block));
    next = block_next(page, block);
    heap_free_remote(page, block);
  }
}

void heap_free_remote(page_t* page, block_t* block) {
  /* Read before the block goes: it is what keeps the page from going to another life. */
  heap_t* const heap = (heap_t*)load_relaxed(&page->heap);
  const unsigned bin = page->bin;
  switch (remote_free(page, block)) {
    case REMOTE_DONE: scavenger_hint(); break;
    case REMOTE_NOT_LIVE: /* two threads freed the page's last block at once: no list could tell */
      report_misuse(EAGAIN, "double free of %p (a block of %zu bytes): another thread freed it, too",
                    (const void*)block, page_usable_size(page));
      break;
    case REMOTE_UNOWNED: abandoned_link(heap, bin, page); break;
    case REMOTE_LAST: {
      uint32_t count; /* is 0: the word counted what was live */
      page->local_free = remote_take(page, &count);
      page->used = 0;
      page_release(page);
      break;
    }
    case REMOTE_SIGNAL: {
      heap_part_t* const part = (heap_part_t*)load_relaxed(&page->part);
      const bool live = push_delayed(part, page, block);
      remote_signalled(page);
      if (!live) drain_dead(part);
      scavenger_hint();
      break;
    }
  }
}

void part_drain(heap_part_t* part) {
  if (load_relaxed(&part->delayed) == 0) return;
  for (block_t *block = take_delayed(part), *next; block != NULL; block = next) {
    page_t* const page = (page_t*)(page_of(block));
    next = block_next(page, block);
    if ((load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) == part->tag) {
      part_free_delivered((heap_part_t*)load_relaxed(&page->part), page, block);
    } else {
      heap_free_remote(page, block);
    }
  }
}

void part_drain_held(heap_part_t* part) {
  for (block_t *block = take_delayed(part), *next; block != NULL; block = next) {
    page_t* const page = (page_t*)(page_of(block));
    next = block_next(page, block);
    if (load_relaxed(&page->owner_tag) == (part->tag | (page->bin == BIN_TINY ? CARE_TINY : 0) | CARE_FULL)) {
      page_push_local(page, block);
      /* Empty: the holder releases it and gives its memory back at once, it has been idle long enough. */
      if (page->used == remote_count(load_acquire(&page->thread_free)))
        part_unfull((heap_part_t*)load_relaxed(&page->part), page);
      else part_give_up((heap_part_t*)load_relaxed(&page->part), page);
    } else {
      heap_free_remote(page, block); /* also into pages of the part: their owner may be freeing, too */
    }
  }
}

bool part_look_delayed(heap_part_t* part, delayed_visit_t* visit, void* arg) {
  const block_t* listed = (const block_t*)load_acquire(&part->delayed);
  for (size_t i = 0; i < LOOK_MAX && listed != NULL; i++) {
    page_t* const page = (page_t*)(page_of(listed));
    if (page == NULL || page->slices == 0 || !page_is_block(page, listed)) return false;
    if (visit(page, listed, arg)) return true;
    listed = block_next(page, listed);
  }
  return false;
}

static bool is_block(page_t* page, const block_t* listed, void* block) {
  UNUSED(page);
  return listed == block;
}

bool part_delays_block(heap_part_t* part, const block_t* block) {
  return part != NULL && part_look_delayed(part, is_block, (block_t*)(uintptr_t)block);
}

void part_die(heap_part_t* part) {
  store_release(&part->state, PART_DEAD);
  drain_dead(part);
}

/* ---- src/heap/queue.h */
/* Doubly linked lists of pages, and the direct[] slots that mirror the first page of a class. */
#ifndef HEAP_QUEUE_H
#define HEAP_QUEUE_H


static inline void queue_append(page_queue_t* queue, page_t* page) {
  page->next = NULL;
  page->prev = queue->last;
  if (queue->last != NULL) queue->last->next = page;
  else queue->first = page;
  queue->last = page;
  queue->count++;
}

static inline void queue_remove(page_queue_t* queue, page_t* page) {
  if (page->prev != NULL) page->prev->next = page->next;
  else queue->first = page->next;
  if (page->next != NULL) page->next->prev = page->prev;
  else queue->last = page->prev;
  page->next = NULL;
  page->prev = NULL;
  queue->count--;
}

/* The page that the fast paths take blocks of `bin` from; NULL: none.  Mirrored in the slots of its sizes
   (tiny blocks have none). */
void part_set_current(heap_part_t* part, unsigned bin, page_t* page);

#endif

/* ==== src/heap/idle.c */
/* Pages of a thread that sleeps, emptied by others: the scavenger releases them in the thread's stead.

   The caller holds the part (thread/idle.c): its thread is in no slow path and enters none, so the queues,
   the full list and the delayed list's order are the holder's.  The thread's fast paths go on meanwhile; they
   touch:
     - the first page of a queue of `direct` sizes: allocation.  Such a page is left alone.
     - any page of the queues that has a live block of the thread: frees.  So the holder changes nothing of a
       page with live blocks but its atomic word, and reads `used` of it, which can only fall.
     - no page of the full list: their tag has a care flag, which sends frees to the slow path.
   An empty page (used == blocks in thread_free) has no live block: nobody else can touch it.  `used` falls
   only while the page is held, so a stale value is too high and never makes a page look empty.

     queue, not empty --held--> as it is         full --held--> abandoned (its last free will release it)
     queue, empty --part_idle_look--> marked --barrier everywhere--> part_idle_release--> released and purged

   Why the barrier: the free that made `used` what it is writes the block and local_free first, in program
   order (alloc/fast.h), but on some machines not in the order others see.  Once its thread has passed a
   barrier after `used` was read, those writes are over, and the memory may have another owner. */

enum { IDLE_MARK = 255 }; /* in retire_left */

/* Races with the frees of the page's thread, see above. */
static bool looks_empty(page_t* page) {
  const uint32_t used = *(const volatile uint32_t*)&page->used;
  return used == remote_count(load_acquire(&page->thread_free));
}

static bool is_direct(unsigned bin) { return bin != BIN_TINY && bin_size(bin) <= DIRECT_SIZE_MAX; }

/* The first page that the part's fast paths do not allocate from. */
static page_t* first_waiting(const heap_part_t* part, unsigned bin) {
  page_t* const first = (page_t*)(part->queues[bin].first);
  return first != NULL && is_direct(bin) ? first->next : first;
}

bool part_idle_look(heap_part_t* part) {
  bool marked = false;
  part_drain_held(part);
  while (part->full.first != NULL) part_give_up(part, part->full.first);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    for (page_t* page = first_waiting(part, bin); page != NULL; page = page->next) {
      if (looks_empty(page)) {
        page->retire_left = IDLE_MARK;
        marked = true;
      } else if (page->retire_left == IDLE_MARK) {
        page->retire_left = 0; /* no barrier was to be had the last time */
      }
    }
  }
  return marked;
}

/* Nobody but the holder can reach the page.  Its lists stay as they are: were they taken apart first, a child
   forked in the middle would count their blocks as live. */
static void release_empty(page_t* page) {
  check(looks_empty(page) && page_is_valid(page));
  page->retire_left = 0;
  if (load_relaxed(&page->linked) != 0) {
    page_abandon(page); /* parked, as by page_release */
    return;
  }
  const size_t slice = page_slice(page);
  const size_t slices = page_slice_count(page);
  heap_close_page(page);
  store_relaxed(&page->owner_tag, 0);
  slices_clear_start(slice);
  slices_release_purged(slice, slices);
}

void part_idle_release(heap_part_t* part) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    for (page_t *page = first_waiting(part, bin), *next; page != NULL; page = next) {
      next = page->next;
      if (page->retire_left != IDLE_MARK) continue;
      if (part->current[bin] == page) part->current[bin] = NULL; /* not of a `direct` size: no slot changes */
      queue_remove(&part->queues[bin], page);
      release_empty(page);
    }
  }
}

/* ==== src/heap/pages.c */
/* The heaps, and which pages belong to them. */

heap_t heap_main;
static pool_t heap_pool;
tally_t heap_tally;
level_t heap_pages[BIN_COUNT];
level_t heap_count;
level_t heap_part_count;

static size_t segment_bit(size_t slice) { return (slice / SEGMENT_SLICES) % HEAP_SEGMENT_BITS; }

void heap_note_page(heap_t* heap, const page_t* page) {
  const size_t bit = segment_bit(page_slice(page));
  const uint64_t mask = UINT64_C(1) << (bit % 64);
  atomic_u64_t* const word = &heap->segments[bit / 64];
  if ((load_relaxed(word) & mask) == 0) or_acq_rel(word, mask);
}

/* Without the seam: for figures only, or while the heap cannot change. */
heap_t* heap_of_page(page_t* page) {
  heap_t* heap = (heap_t*)load_settled(&page->heap);
  while (heap != NULL && load_settled(&heap->state) == HEAP_DELETED) heap = heap->heir;
  return heap != NULL && heap->heir == NULL ? &heap_main : heap;
}

void heap_open_page(unsigned bin) { level_up(&heap_pages[bin]); }

void heap_close_page(page_t* page) {
  const unsigned bin = page->bin;
  if (bin >= BIN_COUNT) return; /* one big block: counted when it was allocated */
  const uint64_t served = page_served(page);
  heap_t* const heap = (heap_t*)(heap_of_page(page));
  level_down(&heap_pages[bin]);
  figure_add(&heap_tally.blocks[bin], served);
  figure_add(&heap_main_of(heap)->subprocess.blocks[bin], served);
  figure_add(&heap->tally.blocks[bin], served);
}

void heap_count_big(heap_t* heap, size_t blocks, size_t bytes) {
  tally_t* const tallies[] = {&heap_tally, &heap_main_of(heap)->subprocess, &heap->tally};
  for (size_t i = 0; i < sizeof(tallies) / sizeof(tallies[0]); i++) {
    if (blocks > 0) figure_add(&tallies[i]->blocks[BIN_COUNT], blocks);
    figure_add(&tallies[i]->big_bytes, bytes);
  }
}

page_t* page_of(const void* p) {
  size_t slice = window_slice_of(p);
  if (slice == SLICE_NONE) return NULL;
  if (load_relaxed(&page_at(slice)->owner_tag) != 0) return page_at(slice);
  const size_t start = slices_find_start(slice);
  if (start == SLICE_NONE) return NULL;
  page_t* const page = (page_t*)(page_at(start));
  return slice < start + page_slice_count(page) ? page : NULL;
}

/* Records of heaps stay in the registry for ever. */
static atomic_word_t all_heaps;

static void heap_register(heap_t* heap) {
  static atomic_u32_t slots;
  uintptr_t head = load_relaxed(&all_heaps);
  heap->slot = add_relaxed(&slots, 1u) + 1;
  store_relaxed(&heap->state, HEAP_DESTROYED); /* until it is ready */
  do {
    heap->all_next = (heap_t*)head;
  } while (!cas_weak_acq_rel(&all_heaps, &head, (uintptr_t)heap)); /* release: partner in heap_visit_heaps */
}

bool heap_visit_heaps(heap_t* main, heap_visit_t* visit, void* arg) {
  if (!visit(main, arg)) return false;
  for (heap_t *heap = (heap_t*)load_acquire(&all_heaps), *next; heap != NULL; heap = next) {
    next = heap->all_next;
    if (load_acquire(&heap->state) != HEAP_LIVE || heap->main != main || heap->heir == NULL) continue;
    if (!visit(heap, arg)) return false;
  }
  return true;
}

static void tally_clear(tally_t* tally) {
  for (unsigned bin = 0; bin <= BIN_COUNT; bin++) figure_set(&tally->blocks[bin], 0);
  figure_set(&tally->big_bytes, 0);
}

static heap_t* heap_make(heap_t* main, heap_t* heir, arena_t* arena) {
  heap_t* const heap = (heap_t*)(pool_get(&heap_pool, sizeof(heap_t)));
  if (heap == NULL) return NULL;
  if (heap->slot == 0) heap_register(heap);
  heap->main = main;
  if (main != NULL) add_relaxed(&main->parts, 1u);
  for (size_t i = 0; i < HEAP_SEGMENT_BITS / 64; i++) store_relaxed(&heap->segments[i], 0);
  tally_clear(&heap->tally);
  tally_clear(&heap->subprocess);
  heap->home.arena = arena;
  store_relaxed(&heap->home.node, 0u);
  heap->heir = heir;
  store_relaxed(&heap->parts, 1u);
  heap->only_delete = 0;
  store_release(&heap->state, HEAP_LIVE); /* pairs with the look at the state in abandoned_link */
  return heap;
}

/* The heap that gets what is left of heaps in the exclusive arena. */
static heap_t* arena_heir(arena_t* arena) {
  uintptr_t known = load_acquire(&arena->heir);
  if (known != 0) return (heap_t*)known;
  heap_t* const heir = (heap_t*)(heap_make(&heap_main, NULL, arena));
  if (heir == NULL) return NULL;
  if (cas_strong_acq_rel(&arena->heir, &known, (uintptr_t)heir)) return heir;
  store_relaxed(&heir->state, HEAP_DESTROYED);
  heap_unref(heir);
  return (heap_t*)known;
}

heap_t* heap_create(heap_t* main) { return heap_create_in(NULL, main); }

heap_t* heap_create_in(arena_t* arena, heap_t* main) {
  heap_t* heir = (heap_t*)(main != NULL ? main : &heap_main);
  if (arena != NULL && (arena->flags & ARENA_EXCLUSIVE) != 0) heir = arena_heir(arena);
  heap_t* const heap = (heap_t*)(heir != NULL ? heap_make(main, heir, arena) : NULL);
  if (heap != NULL) level_up(&heap_count);
  return heap;
}

void heap_unref(heap_t* heap) {
  if (add_acq_rel(&heap->parts, UINT32_MAX) != 1 || heap == &heap_main) return;
  heap_t* const main = (heap_t*)(heap->main);
  pool_put(&heap_pool, heap);
  if (main != NULL) heap_unref(main);
}

static void visit_segment(const heap_t* heap, size_t segment, page_visit_t* visit, void* arg) {
  if (!window_segment_ready(segment)) return;
  uint64_t starts = load_acquire(segment_word(segment, WORD_STARTS));
  for (; starts != 0; starts &= starts - 1) {
    page_t* const page = (page_t*)(page_at(segment * SEGMENT_SLICES + bit_lowest(starts)));
    if (heap == NULL || load_relaxed(&page->heap) == (uintptr_t)heap) visit(page, arg);
  }
}

void heap_visit_pages(const heap_t* heap, page_visit_t* visit, void* arg) {
  span_t span = window_span();
  do {
    const size_t count = span.end - span.first;
    for (size_t i = 0; i < HEAP_SEGMENT_BITS && i < count; i++) {
      const size_t bit = (span.first + i) % HEAP_SEGMENT_BITS;
      atomic_u64_t* const word = &((heap_t*)(uintptr_t)heap)->segments[bit / 64];
      if ((load_relaxed(word) >> (bit % 64) & 1) == 0) continue;
      for (size_t at = i; at < count; at += HEAP_SEGMENT_BITS) {
        visit_segment(heap, span.first + at, visit, arg);
      }
    }
  } while (window_next_span(&span));
}

void heap_visit_all_pages(page_visit_t* visit, void* arg) {
  span_t span = window_span();
  do {
    for (size_t segment = span.first; segment < span.end; segment++) visit_segment(NULL, segment, visit, arg);
  } while (window_next_span(&span));
}

/* ==== src/heap/part.c */
/* A thread's part of a heap: finding a page with a free block, full pages, retired pages.  The states of a
   page and the edges between them are drawn in heap.h. */


static page_t page_empty; /* no slot of direct[] is ever NULL: free == NULL here */

atomic_u32_t heap_threads;
atomic_u32_t heap_strangers;

#define EMPTY_4 &page_empty, &page_empty, &page_empty, &page_empty
#define EMPTY_16 EMPTY_4, EMPTY_4, EMPTY_4, EMPTY_4
#define EMPTY_64 EMPTY_16, EMPTY_16, EMPTY_16, EMPTY_16
_Static_assert(DIRECT_COUNT == 129, "the initialiser below fills every slot");
heap_part_t part_empty = {.direct = {EMPTY_64, EMPTY_64, &page_empty}};

void part_init(heap_part_t* part, heap_t* heap, uintptr_t tag) {
  for (size_t i = 0; i < DIRECT_COUNT; i++) part->direct[i] = &page_empty;
  part->tag = tag;
  part->heap = heap;
  part->sibling = NULL;
  part->retired[0] = part->retired[1] = 0;
  memset(&part->full, 0, sizeof(part->full));
  memset(part->queues, 0, sizeof(part->queues));
  memset(part->current, 0, sizeof(part->current));
  /* Pairs with the pusher's look at the state: from now on the owner drains the list. */
  store_release(&part->state, PART_LIVE);
}

void part_set_current(heap_part_t* part, unsigned bin, page_t* page) {
  const size_t size = bin_size(bin);
  part->current[bin] = page;
  if (bin == BIN_TINY || size > DIRECT_SIZE_MAX) return;
  const size_t low = bin_size(bin - 1) / 8 + 1;
  for (size_t i = low; i <= size / 8; i++) part->direct[i] = page != NULL ? page : &page_empty;
}

static void enqueue(heap_part_t* part, page_t* page) { queue_append(&part->queues[page->bin], page); }

static void dequeue(heap_part_t* part, page_t* page) {
  queue_remove(&part->queues[page->bin], page);
  if (part->current[page->bin] == page) part_set_current(part, page->bin, NULL);
}

static uintptr_t own_tag(const heap_part_t* part, const page_t* page) {
  return part->tag | (page->bin == BIN_TINY ? CARE_TINY : 0);
}

void part_attach(heap_part_t* part, page_t* page) {
  check(page_is_valid(page));
  store_relaxed(&page->part, (uintptr_t)part);
  store_relaxed(&page->owner_tag, own_tag(part, page));
  enqueue(part, page);
}

/* Threads exist: a page that others empty should not have to wait for this one to come by. */
void part_give_up(heap_part_t* part, page_t* full) {
  queue_remove(&part->full, full);
  page_abandon(full);
}

static void part_to_full(heap_part_t* part, page_t* page) {
  dequeue(part, page);
  store_relaxed(&page->owner_tag, own_tag(part, page) | CARE_FULL);
  queue_append(&part->full, page);
  if (part->full.count > FULL_RETAIN && heap_is_threaded()) part_give_up(part, part->full.first);
}

void part_unfull(heap_part_t* part, page_t* page) {
  queue_remove(&part->full, page);
  remote_disarm(page);
  store_relaxed(&page->owner_tag, own_tag(part, page));
  enqueue(part, page);
}

static page_t* part_fresh_page(heap_part_t* part, unsigned bin) {
  claim_t claim;
  if (!slices_claim_for(&part->heap->home, bin_page_slices(bin), SLICE_SIZE, &claim)) return NULL;
  page_t* const page = (page_t*)(page_at(claim.slice));
  page_init(page, bin, claim.zero ? MEMORY_ZERO : MEMORY_UNKNOWN);
  store_relaxed(&page->heap, (uintptr_t)part->heap);
  heap_note_page(part->heap, page);
  heap_open_page(bin);
  part_attach(part, page);
  slices_set_start(claim.slice);
  return page;
}

page_t* part_find_page(heap_part_t* part, unsigned bin) {
  page_queue_t* const queue = &part->queues[bin];
  for (;;) {
    page_t* page = (page_t*)(queue->first);
    if (page == NULL) {
      page = abandoned_claim(part->heap, bin);
      if (page != NULL) part_attach(part, page);
      else page = part_fresh_page(part, bin);
      if (page == NULL) return NULL;
    }
    part->pages_looked_at++;
    if (page_refill(page)) {
      if (part->current[bin] != page) part_set_current(part, bin, page);
      check(page_is_valid(page));
      return page;
    }
    /* Full, unless somebody frees between the look and the arming: then look again. */
    if (remote_arm(page)) part_to_full(part, page);
  }
}

void part_page_emptied(heap_part_t* part, page_t* page) {
  check(page->used == 0);
  if (part->queues[page->bin].count == 1 && (size_t)page_capacity(page) * page->stride <= RETIRE_BYTES_MAX) {
    page->retire_left = RETIRE_CADENCES;
    part->retired[page->bin / 64] |= UINT64_C(1) << (page->bin % 64);
    return;
  }
  dequeue(part, page);
  page_release(page);
}

void part_free_local(heap_part_t* part, page_t* page, block_t* block) {
  page_push_local(page, block);
  check(page_is_valid(page));
  if ((load_relaxed(&page->owner_tag) & CARE_FULL) != 0) part_unfull(part, page);
  if (page->used == 0) part_page_emptied(part, page);
}

void part_free_delivered(heap_part_t* part, page_t* page, block_t* block) {
  const bool full = (load_relaxed(&page->owner_tag) & CARE_FULL) != 0;
  if (full && part->queues[page->bin].count >= QUEUE_RETAIN && heap_is_threaded()) {
    page_push_local(page, block);
    part_give_up(part, page);
  } else {
    part_free_local(part, page, block);
  }
}

void part_tick(heap_part_t* part) {
  for (unsigned word = 0; word < 2; word++) {
    for (uint64_t bins = part->retired[word]; bins != 0; bins &= bins - 1) {
      const unsigned bin = word * 64 + bit_lowest(bins);
      page_t* const page = (page_t*)(part->queues[bin].first);
      const bool retired = page != NULL && page->used == 0 && page->retire_left > 0;
      if (retired && --page->retire_left > 0) continue;
      part->retired[word] &= ~(UINT64_C(1) << (bin % 64));
      if (!retired) continue;
      dequeue(part, page);
      page_release(page);
    }
  }
}

/* ---- whole-part operations ---- */

static void collect_page(heap_part_t* part, page_t* page) {
  page_merge_lists(page);
  page_collect_remote(page);
  page_merge_lists(page);
  page->retire_left = 0;
  if (page->used == 0) {
    dequeue(part, page);
    page_release(page);
  }
}

void part_collect(heap_part_t* part) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    for (page_t *page = part->queues[bin].first, *next; page != NULL; page = next) {
      next = page->next;
      collect_page(part, page);
    }
  }
  part->retired[0] = part->retired[1] = 0;
}

static page_t* any_page(heap_part_t* part, unsigned bin) {
  if (part->queues[bin].first != NULL) return part->queues[bin].first;
  return bin == 0 ? part->full.first : NULL;
}

/* Take pages off the part until none is left; the caller gives each a new life. */
static page_t* part_take_page(heap_part_t* part, unsigned bin) {
  page_t* const page = (page_t*)(any_page(part, bin));
  if (page == NULL) return NULL;
  if ((load_relaxed(&page->owner_tag) & CARE_FULL) != 0) {
    queue_remove(&part->full, page);
    remote_disarm(page);
  } else {
    dequeue(part, page);
  }
  return page;
}

void part_abandon_all(heap_part_t* part) {
  page_t* page;
  for (unsigned bin = BIN_COUNT; bin-- > 0;) {
    while ((page = part_take_page(part, bin)) != NULL) page_abandon(page);
  }
}

void part_move_all(heap_part_t* part, heap_part_t* to) {
  page_t* page;
  for (unsigned bin = BIN_COUNT; bin-- > 0;) {
    while ((page = part_take_page(part, bin)) != NULL) {
      store_relaxed(&page->heap, (uintptr_t)to->heap);
      heap_note_page(to->heap, page);
      part_attach(to, page);
    }
  }
}

void part_forget(heap_part_t* part) {
  /* What was delivered lies in the destroyed pages. */
  heap_part_t* const sibling = (heap_part_t*)(part->sibling);
  exchange_acq_rel(&part->delayed, 0);
  part_init(part, part->heap, part->tag);
  part->sibling = sibling;
}

static bool queue_is_valid(const heap_part_t* part, const page_queue_t* queue, uintptr_t care) {
  size_t count = 0;
  for (page_t* page = queue->first; page != NULL; page = page->next) {
    if (load_relaxed(&page->owner_tag) != (own_tag(part, page) | care)) return false;
    if (load_relaxed(&page->part) != (uintptr_t)part || !page_is_valid(page)) return false;
    if (!slices_are_claimed(page_slice(page), page->slices)) return false;
    if (page->next == NULL ? queue->last != page : page->next->prev != page) return false;
    count++;
  }
  return count == queue->count;
}

bool part_is_valid(const heap_part_t* part) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    if (!queue_is_valid(part, &part->queues[bin], 0)) return false;
    const size_t slot = bin_size(bin) / 8;
    page_t* const current = (page_t*)(part->current[bin]);
    if (current != NULL && current != part->queues[bin].first) return false;
    const page_t* const expected = (const page_t*)(current != NULL ? current : &page_empty);
    if (bin != BIN_TINY && slot < DIRECT_COUNT && part->direct[slot] != expected) return false;
  }
  return queue_is_valid(part, &part->full, CARE_FULL);
}
#undef EMPTY_16
#undef EMPTY_4
#undef EMPTY_64

/* ==== src/heap/pool.c */
/* See pool.h.  CAS on head is acq_rel: release of a put pairs with acquire of the pop that
   takes the struct. */


enum { POOL_VERSION_BITS = 22, POOL_ALIGN_SHIFT = 6 };
#define POOL_VERSION_MASK ((UINT64_C(1) << POOL_VERSION_BITS) - 1)

static pool_link_t* pool_item(uint64_t head) {
  return (pool_link_t*)(uintptr_t)((head >> POOL_VERSION_BITS) << POOL_ALIGN_SHIFT);
}

static uint64_t pool_head(uint64_t item, uint64_t version) {
  return ((item >> POOL_ALIGN_SHIFT) << POOL_VERSION_BITS) | (version & POOL_VERSION_MASK);
}

void* pool_get(pool_t* pool, size_t size) {
  uint64_t head = load_acquire(&pool->head);
  for (;;) {
    pool_link_t* const item = (pool_link_t*)(pool_item(head));
    if (item == NULL) return meta_alloc(size);
    const uint64_t next = pool_head(load_relaxed(&item->next), head + 1);
    if (cas_weak_acq_rel(&pool->head, &head, next)) return item;
  }
}

void pool_put(pool_t* pool, void* struct_) {
  pool_link_t* const item = (pool_link_t*)(struct_);
  uint64_t head = load_relaxed(&pool->head);
  do {
    store_relaxed(&item->next, (uint64_t)(uintptr_t)pool_item(head));
  } while (!cas_weak_acq_rel(&pool->head, &head, pool_head((uint64_t)(uintptr_t)item, head)));
}
#undef POOL_VERSION_MASK

/* ==== src/heap/single.c */
/* Big blocks: a page that is one block, an exact run of slices, owned by nobody: whoever frees it returns the
   run.

     word: SINGLE_FREE --single_alloc--> SINGLE_LIVE --single_free (one CAS)--> SINGLE_FREE
   So a second free loses the CAS, whichever thread it comes from. */


#define SINGLE_LIVE UINT64_C(1)

enum {
  MOVE_MIN = 4 * 1024 * 1024, /* below, a copy is cheaper than the change of page tables */
  MOVES_MAX = 4096,           /* each may split two mappings: an eighth of what Linux grants a process */
};

/* Where the block begins in an aligned run, so that block + offset is aligned. */
static size_t single_lead(single_request_t request) {
  if (request.alignment == 0) return 0;
  return (request.alignment - request.offset % request.alignment) % request.alignment;
}

page_t* single_alloc(heap_t* heap, single_request_t request, zeroed_t* memory) {
  const size_t lead = single_lead(request);
  const size_t shift = lead % SLICE_SIZE;
  const size_t skip = lead / SLICE_SIZE;
  const size_t bytes = shift + max_size(request.size, 1);
  claim_t claim;
  if (bytes > ALLOC_SIZE_MAX / 2) return NULL;
  const size_t slices = skip + div_up(bytes, SLICE_SIZE);
  if (!slices_claim_for(&heap->home, slices, max_size(request.alignment, SLICE_SIZE), &claim)) return NULL;
  if (skip > 0) slices_release(claim.slice, skip);
  page_t* const page = (page_t*)(page_at(claim.slice + skip));
  page->free = NULL;
  page->local_free = NULL;
  page->stride = (uint32_t)shift;
  page->slices = 0;
  page->bin = BIN_COUNT;
  page->single_size = align_up(bytes, os_page_size()) - shift;
  store_relaxed(&page->heap, (uintptr_t)heap);
  heap_note_page(heap, page);
  heap_count_big(heap, 1, (size_t)page->single_size);
  store_relaxed(&page->thread_free, SINGLE_LIVE);
  store_relaxed(&page->owner_tag, TAG_SINGLE);
  slices_set_start(claim.slice + skip);
  *memory = claim.zero ? MEMORY_ZERO : MEMORY_UNKNOWN;
  return page;
}

bool single_free(page_t* page) {
  uint64_t live = SINGLE_LIVE;
  if (!cas_strong_acq_rel(&page->thread_free, &live, 0)) return false;
  const size_t slice = page_slice(page);
  const size_t count = page_slice_count(page);
  store_relaxed(&page->owner_tag, 0);
  slices_clear_start(slice);
  slices_release(slice, count);
  return true;
}

bool single_resize(page_t* page, size_t size) {
  const size_t shift = page->stride;
  const size_t have = page_slice_count(page);
  const size_t want = div_up(shift + size, SLICE_SIZE);
  claim_t claim;
  if (want > have && !slices_extend(page_slice(page), have, want - have, &claim)) return false;
  const size_t before = (size_t)page->single_size;
  page->single_size = align_up(shift + size, os_page_size()) - shift;
  if (page->single_size > before) heap_count_big(heap_of_page(page), 0, (size_t)page->single_size - before);
  if (want < have) slices_release(page_slice(page) + want, have - want);
  return true;
}

/* Huge pages, and the program's own memory, have to stay where they are. */
static bool is_in_arena(const page_t* page) {
  return segment_flags(page_slice(page) / SEGMENT_SLICES) != 0;
}

bool single_move(page_t* page, page_t* to) {
  static atomic_u32_t moves;
  const size_t bytes = page->stride + (size_t)page->single_size;
  if (bytes < MOVE_MIN || page->stride != to->stride || is_in_arena(page) || is_in_arena(to)) return false;
  if (bytes > to->stride + (size_t)to->single_size) return false;
  if (load_relaxed(&moves) >= MOVES_MAX) return false;
  const int error = os_move(page_start(page), page_start(to), bytes);
  if (error == ENOTRECOVERABLE)
    report_fatal("realloc: %zu bytes at %p were unmapped and cannot be mapped again", bytes,
                 (void*)page_start(to));
  /* A kernel that cannot is not asked again. */
  add_relaxed(&moves, error == 0 ? 1u : error == EINVAL ? (uint32_t)MOVES_MAX : 0u);
  return error == 0;
}
#undef SINGLE_LIVE

/* ---- src/thread/thread.h */
/* A thread's place in the allocator: its tag and its parts of the heaps.

   Three thread-local words.  The fast paths use the first two; a thread that has not attached, or is inside a
   slow path, has the empty part and a tag that matches no page, so that both fast paths fall through:

     unattached --thread_enter--> busy --thread_leave--> ready --thread_enter--> busy ...
     ready --thread_exit--> unattached
   Re-entrancy: a signal handler (or a hook) that comes while the thread is busy frees by the remote push, and
   allocates with a second, nested record, made on demand and kept with the first.  The same record serves
   while the scavenger holds the thread's parts (thread/idle.c):

     held FREE --scavenger, then a barrier everywhere--> HELD, if `busy` is 0 then  --> FREE
     held HELD --thread_exit--> HANDED: the scavenger ends the record's life
   The default heap, which malloc serves, is the main one until thread_set_default.  It is the record's that
   the thread attached with; nested records serve it too, from parts of their own.
   A thread sets busy, then looks at held; the scavenger sets held, then looks at busy: one sees the other.
   The thread's side needs no barrier instruction, the scavenger makes every thread pass one in between. */
#ifndef THREAD_THREAD_H
#define THREAD_THREAD_H


typedef struct thread_s thread_t;

struct thread_s {
  pool_link_t link;
  uintptr_t tag;           /* generation of the process | number of the thread, never reused */
  /* atomic: of the process that this thread last acted in; see thread/fork.c; written by the owner */
  atomic_u64_t generation;
  atomic_u32_t busy;       /* atomic: inside a slow path, or in the pool; written by the owner */
  atomic_u32_t held;       /* atomic: held_t */
  int in_deferred;         /* the user's deferred_free runs */
  int in_threadpool;       /* the thread serves many tasks: see mi_thread_set_in_threadpool */
  int exit_round;          /* how often the exit destructor has run */
  heap_t* default_heap;    /* what malloc serves; of a nested record: unused */
  heap_t* main_heap;       /* that of the thread's sub-process; of a nested record: unused */
  /* what thread_part is when ready: the default heap's, or the empty part until a slow path has made it */
  heap_part_t* part;
  heap_part_t* parts;      /* all parts, by sibling */
  heap_part_t** slots;     /* parts by the slot of their heap */
  size_t slot_count;
  atomic_u64_t heartbeat;  /* atomic: slow-path visits, deterministic; written by the owner */
  thread_t* nested;
  thread_t* outer;         /* of a nested record: what thread_self becomes when it is left */
  thread_t* all_next;      /* const: the registry of all records ever made */
  int registered;
  uint64_t idle_beat;      /* scavenger: the heartbeat at its last look ... */
  long idle_ms;            /* ... and for how long it has not changed */
};

typedef enum held_e { HELD_FREE, HELD, HELD_HANDED } held_t;

extern HIDDEN THREAD_LOCAL heap_part_t* thread_part;
extern HIDDEN THREAD_LOCAL uintptr_t thread_tag;
extern HIDDEN THREAD_LOCAL thread_t* thread_self;

/* The calling thread's record, busy, attached first if need be; NULL when out of memory. */
thread_t* thread_enter(void);
void thread_leave(thread_t* self);

/* Begin and end a short slow path that may fail: false when the thread is busy or held. */
static inline bool thread_try_busy(thread_t* self) {
  if (load_relaxed(&self->busy) != 0) return false;
  store_relaxed(&self->busy, 1u);
  atomic_signal_fence(memory_order_seq_cst); /* partner: the barrier in thread/idle.c */
  if (likely(load_acquire(&self->held) == HELD_FREE)) return true;
  store_release(&self->busy, 0u);
  return false;
}
static inline void thread_not_busy(thread_t* self) { store_release(&self->busy, 0u); }

/* thread/idle.c */
void thread_register(thread_t* record); /* a new record: once, for ever */
/* Anybody: all parts of all threads.  Exact while no thread gets or loses one. */
typedef void part_visit_t(heap_part_t* part, void* arg);
void thread_visit_parts(part_visit_t* visit, void* arg);
void thread_watch_idle(void);           /* from now on the scavenger looks after idle threads */
void thread_tidy_idle(long elapsed);    /* its job: `elapsed` ms have passed since the last call */

/* A record whose thread has gone gives up its parts; then nobody uses it. */
void thread_end_record(thread_t* record);

/* In a forked child: when the parent's scavenger held the thread, its parts may be torn; it gets a
   new record. */
bool thread_unhold_after_fork(void);

/* Make sure that the thread is attached, or stays busy as it is. */
void thread_attach(void);

/* A thread that is not attached frees: the process has several, though this one may never allocate.  It
   starts nothing itself: the C library frees with locks held that the start of a thread needs. */
void thread_note_stranger(void);

/* glibc: 0 once a second thread is being started.  Other C libraries have no such thing. */
extern char __libc_single_threaded __attribute__((weak, visibility("default")));
static inline bool thread_libc_has_threads(void) {
  return &__libc_single_threaded != NULL && __libc_single_threaded == 0;
}

/* Start the scavenger when there are threads that never attached. */
void thread_look_around(void);

/* The calling thread gives up its pages; it may come back. */
void thread_exit(void);

/* Between enter and leave: this thread's part of a live heap, made if need be; NULL when out of memory. */
heap_part_t* thread_part_of(thread_t* self, heap_t* heap);
/* The same, but NULL when there is none yet. */
heap_part_t* thread_find_part(const thread_t* self, const heap_t* heap);

/* The record that the thread attached with; NULL when it is not attached. */
thread_t* thread_root(void);

/* From now on malloc serves `heap`, in the attached calling thread; at any time, in signal handlers too. */
void thread_set_default(heap_t* heap);

/* The main heap of the calling thread's sub-process. */
heap_t* thread_main_heap(void);

/* The attached calling thread joins the sub-process of this main heap; false: it has allocated before. */
bool thread_join_subprocess(heap_t* main);

/* Between enter and leave: the part that malloc serves, made if need be; NULL when out of memory. */
heap_part_t* thread_default_part(thread_t* self);

/* Between enter and leave: the part gives up its pages; unless it is the main heap's, it goes away. */
void thread_end_part(thread_t* self, heap_part_t* part);

/* Between enter and leave: parts of heaps that were deleted or destroyed meanwhile go away. */
void thread_settle(thread_t* self);

/* The calling thread takes note of what others have done to its pages and heaps: to count what it has. */
void thread_hear(void);

extern atomic_u64_t thread_total; /* figure: threads that have attached */
extern atomic_u64_t thread_peak;  /* figure: the most at a time */

/* Slow paths call this first: in a forked child it adopts what the parent's other threads owned. */
void thread_check_fork(void);
uint64_t thread_generation(void);

/* Thread tags: | generation (20) | number (40) | care flags (3) | */
enum { TAG_NUMBER_SHIFT = 3, TAG_GENERATION_SHIFT = 43 };

#endif

/* ==== src/thread/fork.c */
/* Fork.  A word that the kernel wipes in every child (fork, _Fork, raw clone alike) tells a slow path that it
   runs in a new process.  No handler runs at fork time and nothing is locked, so a child can allocate at
   once.

     word: 0 (wiped) --first slow path of the child--> generation of this process

   The generation is part of every thread tag.  The one thread that came over is recognised by its record,
   whose generation is older than the word's; it adopts for the child what the parent's other threads owned:
   every page with an older tag that is not its own.  Their lists may be torn (fork copies memory in the
   middle of their work), so such pages are rebuilt from what their lists verifiably hold.  Threads that the
   child starts before that have the new generation and keep their hands off. */

static size_t slices_of_entry(table_entry_t* entry) {
  page_t* const page = (page_t*)entry;
  if (load_relaxed(&page->owner_tag) == 0) return 0;
  if (!page_is_single(page) || load_relaxed(&page->thread_free) != 0) return page_slice_count(page);
  store_relaxed(&page->owner_tag, 0); /* a big block that a dead thread was freeing */
  return 0;
}

/* The stacks of abandoned pages may be torn too: forget them, they are built anew from the pages. */
static void forget_links(page_t* page, void* self) {
  UNUSED(self);
  if (page_is_single(page)) return;
  heap_t* const heap = (heap_t*)load_relaxed(&page->heap);
  store_relaxed(&page->linked, 0u);
  store_relaxed(&heap->abandoned[page->bin].head, 0);
  store_relaxed(&heap->abandoned[page->bin].count, 0u);
  store_relaxed(&heap->abandoned[page->bin].empty, 0u);
}

static bool tag_is_own(uintptr_t tag, const thread_t* self) {
  for (; self != NULL; self = self->nested) {
    if (self->tag == tag) return true;
  }
  return false;
}

static void adopt_page(page_t* page, void* self) {
  const uintptr_t owner = load_relaxed(&page->owner_tag);
  /* Adopting one page may have released another that the visitor still holds for a page. */
  if (owner == 0 || owner == TAG_SINGLE) return;
  const uintptr_t tag = owner & ~(uintptr_t)CARE_MASK;
  const uintptr_t now = (uintptr_t)(thread_generation() << TAG_GENERATION_SHIFT);
  if (remote_claim(page)) {
    page_abandon(page);
  } else if (tag < now && !tag_is_own(tag, (const thread_t*)self)) {
    heap_part_t* const part = (heap_part_t*)load_relaxed(&page->part);
    page_rebuild(page);
    page_abandon(page);
    /* What was delivered to it.  A page on its way to a new owner still names the old part: not
       one of ours. */
    if (!tag_is_own(part->tag, (const thread_t*)self)) part_die(part);
  }
}

/* A full page whose one signal a dead thread had taken upon itself would wait for ever. */
static void rearm_full_pages(const thread_t* self) {
  for (heap_part_t* part = self->parts; part != NULL; part = part->sibling) {
    for (page_t *page = part->full.first, *next; page != NULL; page = next) {
      next = page->next;
      if (remote_state(load_relaxed(&page->thread_free)) != REMOTE_DELAYED) part_unfull(part, page);
    }
  }
}

typedef enum adoption_e {
  ADOPT_FIRST, /* nobody else has been in the allocator since the fork: everything may be put right */
  ADOPT_LATE,  /* threads of the child have: only what dead threads owned is safe to touch */
} adoption_t;

static void adopt_all(thread_t* self, adoption_t adoption) {
  if (adoption == ADOPT_FIRST) {
    const bool alone = !heap_is_threaded();
    store_relaxed(&heap_threads, 1u);
    store_relaxed(&heap_strangers, 0u);
    /* A scavenger that was purging when the process forked holds slices too. */
    if (purge_after_fork() == PURGE_INLINE && alone) return;
    memory_after_fork(slices_of_entry);
    heap_visit_all_pages(forget_links, self);
  }
  thread_settle(self);
  rearm_full_pages(self);
  heap_visit_all_pages(adopt_page, self);
}

void thread_check_fork(void) {
  atomic_u64_t* const word = (atomic_u64_t*)(os_fork_word());
  const adoption_t adoption = word != NULL && load_relaxed(word) == 0 ? ADOPT_FIRST : ADOPT_LATE;
  const uint64_t generation = thread_generation();
  /* A busy thread forked inside a slow path, from a signal handler: its next visit will do. */
  if (thread_self == NULL || likely(load_relaxed(&thread_self->generation) == generation)) return;
  if (load_relaxed(&thread_self->busy) != 0 || !thread_unhold_after_fork()) return;
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return;
  for (thread_t* record = self; record != NULL; record = record->nested)
    store_release(&record->generation, generation); /* none is held: the child's scavenger may do so now */
  adopt_all(self, adoption);
  thread_leave(self);
}

/* ==== src/thread/generation.c */
/* The generation of the process: a number that each forked child takes anew (see thread/fork.c). */

static atomic_u64_t last_generation; /* as the parent left it */

uint64_t thread_generation(void) {
  atomic_u64_t* word = (atomic_u64_t*)(os_fork_word());
  if (word == NULL) return 1;
  uint64_t generation = load_acquire(word);
  if (likely(generation != 0)) return generation;
  const uint64_t next = load_relaxed(&last_generation) + 1;
  if (cas_strong_acq_rel(word, &generation, next)) {
    generation = next;
    scavenger_after_fork();
    if (next > 1) page_forked();
  }
  store_relaxed(&last_generation, generation);
  return generation;
}

/* ==== src/thread/idle.c */
/* Threads that sleep cannot give back what others free into their pages: the scavenger does it for them.

   A thread whose heartbeat has stood still for a purge delay is held (the states are in thread.h), its part
   of the main heap is looked through (heap/idle.c), and it is let go.  If it wakes up meanwhile it allocates
   with a nested record and frees by remote pushes: nobody waits.  Only the main heap: it is never destroyed
   under the holder.

   Records are type-stable and stay in the registry for ever; one in the pool is busy, so it is never held. In
   a forked child the records of threads that have not come over keep an old generation, and so does that of
   the one that has until it knows whether the parent's scavenger held it: not to be touched. */

/* Thread sanitizers do not see barriers that one thread makes for another. */
enum { BARRIERS_ARE_KNOWN = !THREAD_SANITIZER };

enum { BATCH = 32 };

typedef struct batch_s {
  size_t count;
  thread_t* records[BATCH];
} batch_t;

static atomic_word_t all_records;

void thread_register(thread_t* record) {
  uintptr_t head = load_relaxed(&all_records);
  record->registered = 1;
  do {
    record->all_next = (thread_t*)head;
  } while (!cas_weak_acq_rel(&all_records, &head, (uintptr_t)record)); /* release: partner in the look */
}

void thread_visit_parts(part_visit_t* visit, void* arg) {
  for (thread_t* record = (thread_t*)load_acquire(&all_records); record != NULL; record = record->all_next) {
    for (heap_part_t* part = record->parts; part != NULL; part = part->sibling) visit(part, arg);
  }
}

static heap_part_t* main_part(const thread_t* record) {
  heap_part_t* part = (heap_part_t*)(record->parts);
  while (part != NULL && part->heap != &heap_main) part = part->sibling;
  return part;
}

static void let_go(thread_t* record) {
  uint32_t held = HELD;
  if (cas_strong_acq_rel(&record->held, &held, HELD_FREE)) return;
  store_release(&record->held, HELD_FREE); /* handed over: its thread has gone */
  thread_end_record(record);
}

/* Keep only records that are really held: their threads were in no slow path after the barrier. */
static void drop_busy(batch_t* batch) {
  size_t kept = 0;
  for (size_t i = 0; i < batch->count; i++) {
    thread_t* const record = (thread_t*)(batch->records[i]);
    /* acquire: partner of thread_not_busy */
    if (load_acquire(&record->busy) == 0) batch->records[kept++] = record;
    else let_go(record);
  }
  batch->count = kept;
}

static void tidy(batch_t* batch) {
  bool marked = false;
  for (size_t i = 0; i < batch->count; i++) store_relaxed(&batch->records[i]->held, HELD);
  if (os_barrier_everywhere() == 0) {
    drop_busy(batch);
    for (size_t i = 0; i < batch->count; i++) {
      heap_part_t* const part = (heap_part_t*)(main_part(batch->records[i]));
      if (part != NULL) marked |= part_idle_look(part);
    }
    if (marked && os_barrier_everywhere() == 0) {
      for (size_t i = 0; i < batch->count; i++) {
        heap_part_t* const part = (heap_part_t*)(main_part(batch->records[i]));
        if (part != NULL) part_idle_release(part);
      }
    }
  }
  for (size_t i = 0; i < batch->count; i++) let_go(batch->records[i]);
  batch->count = 0;
}

static bool has_been_idle(thread_t* record, long elapsed) {
  const uint64_t beat = load_relaxed(&record->heartbeat);
  if (beat != record->idle_beat || load_relaxed(&record->busy) != 0) record->idle_ms = 0;
  else if (record->idle_ms < purge_delay()) record->idle_ms += elapsed;
  record->idle_beat = beat;
  return load_relaxed(&record->busy) == 0 && record->idle_ms >= purge_delay();
}

void thread_tidy_idle(long elapsed) {
  batch_t batch = {0};
  const uint64_t generation = thread_generation();
  for (thread_t* record = (thread_t*)load_acquire(&all_records); record != NULL; record = record->all_next) {
    if (load_acquire(&record->generation) != generation || !has_been_idle(record, elapsed)) continue;
    batch.records[batch.count++] = record;
    if (batch.count == BATCH) tidy(&batch);
  }
  if (batch.count > 0) tidy(&batch);
}

void thread_watch_idle(void) {
  if (BARRIERS_ARE_KNOWN) scavenger_set_job(thread_tidy_idle);
}

/* ==== src/thread/thread.c */
/* Attaching, leaving, exiting.  States are drawn in thread.h. */



THREAD_LOCAL heap_part_t* thread_part = &part_empty;
THREAD_LOCAL uintptr_t thread_tag = TAG_NOBODY;
THREAD_LOCAL thread_t* thread_self;

atomic_u64_t thread_total;
atomic_u64_t thread_peak;

static pool_t thread_pool;
static pool_t part_pool;
static atomic_u64_t tag_counter;

/* The compiler must not move work across the change of the thread-local words: a signal handler sees them. */
static inline void signal_fence(void) { atomic_signal_fence(memory_order_seq_cst); }

/* ---- parts ---- */

heap_part_t* thread_find_part(const thread_t* self, const heap_t* heap) {
  return heap->slot < self->slot_count ? self->slots[heap->slot] : NULL;
}

static bool reserve_slot(thread_t* self, size_t slot) {
  if (slot < self->slot_count) return true;
  const size_t count = max_size(slot + 1, 2 * self->slot_count);
  heap_part_t** const slots = (heap_part_t**)(meta_alloc(count * sizeof(heap_part_t*)));
  if (slots == NULL) return false;
  if (self->slot_count != 0) memcpy(slots, self->slots, self->slot_count * sizeof(heap_part_t*));
  self->slots = slots;
  self->slot_count = count;
  return true;
}

heap_part_t* thread_part_of(thread_t* self, heap_t* heap) {
  heap_part_t* part = (heap_part_t*)(thread_find_part(self, heap));
  if (likely(part != NULL)) return part;
  if (!reserve_slot(self, heap->slot)) return NULL;
  part = (heap_part_t*)pool_get(&part_pool, sizeof(heap_part_t));
  if (part == NULL) return NULL;
  part_init(part, heap, self->tag);
  add_relaxed(&heap->parts, 1u);
  level_up(&heap_part_count);
  part->sibling = self->parts;
  self->parts = part;
  self->slots[heap->slot] = part;
  return part;
}

/* The part has no pages any more. */
static void part_discard(thread_t* self, heap_part_t* part) {
  heap_t* const heap = (heap_t*)(part->heap);
  heap_part_t** at = &self->parts;
  while (*at != part) at = &(*at)->sibling;
  *at = part->sibling;
  self->slots[heap->slot] = NULL;
  part_die(part);
  level_down(&heap_part_count);
  pool_put(&part_pool, part);
  heap_unref(heap);
  if (part != self->part) return;
  self->default_heap = self->main_heap;
  self->part = &part_empty;
}

void thread_end_part(thread_t* self, heap_part_t* part) {
  part_drain(part);
  part_abandon_all(part);
  if (part->heap != &heap_main) part_discard(self, part);
}

/* Who gets the blocks of a deleted heap; when its sub-process has ended, the main heap. */
static heap_t* living_heir(const heap_t* deleted) {
  heap_t* const heir = (heap_t*)(deleted->heir);
  return load_acquire(&heir->state) == HEAP_LIVE ? heir : &heap_main;
}

void thread_settle(thread_t* self) {
  for (heap_part_t *part = self->parts, *next; part != NULL; part = next) {
    next = part->sibling;
    const uint32_t state = load_acquire(&part->heap->state);
    if (state == HEAP_LIVE) continue;
    if (state == HEAP_DELETED) {
      heap_part_t* const to = (heap_part_t*)(thread_part_of(self, living_heir(part->heap)));
      if (to == NULL) continue; /* no memory now */
      part_move_all(part, to);
    } else {
      part_forget(part);
    }
    part_discard(self, part);
  }
}

/* ---- the default heap ---- */

thread_t* thread_root(void) {
  thread_t* root = (thread_t*)(thread_self);
  while (root != NULL && root->outer != NULL) root = root->outer;
  return root;
}

void thread_set_default(heap_t* heap) {
  thread_t* const root = (thread_t*)(thread_root());
  heap_part_t* const part = (heap_part_t*)(thread_find_part(root, heap));
  root->default_heap = heap;
  root->part = part != NULL ? part : &part_empty;
  signal_fence();
  if (thread_tag != TAG_NOBODY) thread_part = root->part;
}

static bool is_alive(heap_t* heap) { return heap == &heap_main || load_relaxed(&heap->state) == HEAP_LIVE; }

heap_t* thread_main_heap(void) {
  thread_t* const root = (thread_t*)(thread_root());
  if (root == NULL) return &heap_main;
  if (!is_alive(root->main_heap)) root->main_heap = &heap_main;
  return root->main_heap;
}

bool thread_join_subprocess(heap_t* main) {
  thread_t* const root = (thread_t*)(thread_root());
  if (root == NULL || load_relaxed(&root->heartbeat) != 0) return false;
  root->main_heap = main;
  thread_set_default(main);
  return true;
}

heap_part_t* thread_default_part(thread_t* self) {
  thread_t* const root = (thread_t*)(thread_root());
  if (!is_alive(root->default_heap)) root->default_heap = thread_main_heap();
  heap_part_t* const part = (heap_part_t*)(thread_part_of(self, root->default_heap));
  if (self == root && part != NULL) self->part = part;
  return part;
}

/* ---- exit ---- */

static atomic_u32_t exit_key; /* the pthread key + 1, 0: none yet */

void thread_hear(void) {
  if (thread_self == NULL) return;
  thread_check_fork();
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return;
  thread_settle(self);
  for (heap_part_t* part = self->parts; part != NULL; part = part->sibling) part_drain(part);
  thread_leave(self);
}

static void give_up_parts(thread_t* self) {
  thread_settle(self);
  while (self->parts != NULL) {
    heap_part_t* const part = (heap_part_t*)(self->parts);
    part_drain(part);
    part_abandon_all(part);
    part_discard(self, part);
  }
}

void thread_end_record(thread_t* record) {
  give_up_parts(record);
  pool_put(&thread_pool, record); /* busy stays set */
}

/* The record is busy for good: end it, or let the scavenger do that which holds it. */
static void retire_record(thread_t* record) {
  uint32_t held = HELD;
  store_relaxed(&record->busy, 1u);
  signal_fence(); /* as in thread_try_busy */
  if (load_acquire(&record->held) == HELD && cas_strong_acq_rel(&record->held, &held, HELD_HANDED)) return;
  thread_end_record(record);
}

void thread_exit(void) {
  if (thread_self == NULL || load_relaxed(&thread_self->busy) != 0) return;
  thread_check_fork(); /* nobody else would adopt what the parent's threads owned */
  thread_t* const self = (thread_t*)(thread_self);
  if (self == NULL) return;
  store_relaxed(&self->busy, 1u);
  signal_fence();
  thread_tag = TAG_GONE;
  thread_part = &part_empty;
  signal_fence();
  thread_t* nested = (thread_t*)(self->nested);
  self->nested = NULL;
  thread_self = NULL;
  signal_fence();
  for (thread_t* next; nested != NULL; nested = next) {
    next = nested->nested;
    retire_record(nested);
  }
  retire_record(self);
  add_relaxed(&heap_threads, UINT32_MAX);
}

static void watch_exit(thread_t* self);

/* Other destructors may still free and allocate: wait until the last round that the system grants. */
static void on_thread_exit(void* self) {
  thread_t* const record = (thread_t*)(self);
  if (record == thread_self) {
    if (++record->exit_round < PTHREAD_DESTRUCTOR_ITERATIONS - 1) {
      watch_exit(record);
      return;
    }
    thread_exit();
  }
  /* A process whose main thread has exited ends with its last thread: that must not be the scavenger, which
     never ends by itself. */
  if (thread_self == NULL && load_relaxed(&heap_threads) == 0) scavenger_switch_off();
}

/* Every thread may make the key; the first one published is used. */
static uint32_t shared_key(void) {
  pthread_key_t key;
  uint32_t published = load_acquire(&exit_key);
  if (published != 0 || pthread_key_create(&key, on_thread_exit) != 0) return published;
  if (cas_strong_acq_rel(&exit_key, &published, key + 1)) return key + 1;
  pthread_key_delete(key);
  return published;
}

/* May call calloc: the thread is ready by now. */
static void watch_exit(thread_t* self) {
  const uint32_t key = shared_key();
  if (key != 0) pthread_setspecific(key - 1, self);
}

/* ---- attaching ---- */

static uintptr_t new_tag(void) {
  const uint64_t number = add_relaxed(&tag_counter, UINT64_C(1)) + 1;
  return (uintptr_t)((thread_generation() << TAG_GENERATION_SHIFT) | (number << TAG_NUMBER_SHIFT));
}

static thread_t* thread_create(void) {
  thread_t* const self = (thread_t*)(pool_get(&thread_pool, sizeof(thread_t)));
  if (self == NULL) return NULL;
  self->tag = new_tag();
  if (load_relaxed(&self->generation) != thread_generation()) {
    store_relaxed(&self->held, HELD_FREE); /* the parent's scavenger may have been about to hold it */
    store_release(&self->generation, thread_generation()); /* partner: the look at idle threads */
  }
  store_relaxed(&self->busy, 1u);
  self->in_deferred = 0;
  self->in_threadpool = 0;
  self->exit_round = 0;
  self->default_heap = &heap_main;
  self->main_heap = &heap_main;
  store_relaxed(&self->heartbeat, 0);
  self->nested = NULL;
  self->outer = NULL;
  self->parts = NULL;
  self->part = thread_part_of(self, &heap_main);
  if (!self->registered) thread_register(self);
  if (self->part != NULL) return self;
  pool_put(&thread_pool, self);
  return NULL;
}

static bool attach_record(void) {
  thread_t* const self = (thread_t*)(thread_create());
  if (self == NULL) return false;
  thread_self = self;
  signal_fence();
  thread_leave(self);
  watch_exit(self);
  return true;
}

void thread_attach(void) {
  if (thread_self != NULL) return;
  const int saved_errno = errno;
  if (!window_init()) return;
  reserve_at_start();
  if (!attach_record()) return;
  const uint32_t others = add_relaxed(&heap_threads, 1u);
  figure_add(&thread_total, 1);
  figure_raise(&thread_peak, others + UINT64_C(1));
  if (others > 0) {
    thread_watch_idle();
    scavenger_start();
  }
  errno = saved_errno;
}

static bool others_exist(void) {
  if (load_relaxed(&heap_strangers) != 0) return true;
  /* A forked child inherits the word, not the threads. */
  return thread_libc_has_threads() && thread_generation() == 1;
}

void thread_look_around(void) {
  if (likely(load_relaxed(&scavenger_state) != SCAVENGER_NONE) || !others_exist()) return;
  thread_watch_idle();
  scavenger_start();
}

void thread_note_stranger(void) {
  if (thread_tag != TAG_GONE && load_relaxed(&heap_strangers) == 0) store_relaxed(&heap_strangers, 1u);
}

bool thread_unhold_after_fork(void) {
  const thread_t* record = (const thread_t*)(thread_self);
  while (record != NULL && load_relaxed(&record->held) == HELD_FREE) record = record->nested;
  if (record == NULL) return true;
  /* The old record is never used again, its pages are adopted like those of a dead thread. */
  thread_tag = TAG_NOBODY;
  thread_part = &part_empty;
  signal_fence();
  heap_t* const heap = (heap_t*)(thread_self->default_heap);
  heap_t* const main = (heap_t*)(thread_self->main_heap);
  thread_self = NULL;
  if (!attach_record()) return false;
  thread_self->main_heap = main;
  thread_set_default(heap);
  return true;
}

/* A record of the same thread that is neither busy nor held, made if need be. */
static thread_t* enter_nested(thread_t* outer) {
  thread_t* nested = (thread_t*)(outer->nested);
  while (nested != NULL && !thread_try_busy(nested)) {
    outer = nested;
    nested = outer->nested;
  }
  if (nested == NULL) {
    nested = thread_create();
    if (nested == NULL) return NULL;
    outer->nested = nested;
  }
  nested->outer = thread_self;
  signal_fence();
  thread_self = nested;
  return nested;
}

thread_t* thread_enter(void) {
  thread_t* self = (thread_t*)(thread_self);
  if (unlikely(self == NULL)) {
    thread_attach();
    self = thread_self;
    if (self == NULL) return NULL;
  }
  if (unlikely(!thread_try_busy(self))) {
    /* Held, perhaps by the parent's scavenger: a nested record would make the adoption come late. */
    if (load_relaxed(&self->busy) == 0) thread_check_fork();
    return thread_self == self ? enter_nested(self) : thread_enter();
  }
  thread_tag = TAG_NOBODY;
  thread_part = &part_empty;
  signal_fence();
  return self;
}

void thread_leave(thread_t* self) {
  signal_fence();
  if (unlikely(self->outer != NULL)) {
    thread_self = self->outer;
    signal_fence();
    thread_not_busy(self);
    return;
  }
  thread_not_busy(self);
  signal_fence();
  thread_part = self->part;
  thread_tag = self->tag;
}

/* ---- src/alloc/fast.h */
/* The fast paths, whole; every entry that allocates or frees a small block instantiates them. */
#ifndef ALLOC_FAST_H
#define ALLOC_FAST_H



/* ---- src/alloc/alloc.h */
/* What the allocation entries share.  The call tree:

     malloc_fast ----cold----> alloc_slow ---> alloc_generic ---> part_find_page | single_alloc
     free_fast   ----cold----> free_outside | free_slow | free_emptied
     every other entry builds a request_t and calls alloc_generic, or free_fast */
#ifndef ALLOC_ALLOC_H
#define ALLOC_ALLOC_H


/* What an entry wants.  alignment 0 (or up to 16): natural; offset: (p + offset) is what shall be aligned. */
typedef struct request_s {
  heap_t* heap; /* NULL: the calling thread's default */
  size_t size;
  size_t alignment;
  size_t offset;
  zeroed_t memory; /* MEMORY_ZERO: all usable bytes are to be zero */
} request_t;

static inline heap_t* heap_or_main(mi_heap_t* heap) {
  return likely(heap != NULL) ? heap : thread_main_heap();
}
static inline heap_t* theap_heap(const mi_theap_t* theap) {
  return likely(theap != NULL) ? theap->heap : thread_main_heap();
}

/* The end of a live heap other than the process's main one: its blocks live on, or are gone. */
void heap_delete(heap_t* heap);
void heap_destroy(heap_t* heap);

/* Does every block of its size meet the request's alignment? */
static inline bool request_is_natural(const request_t* request) {
  return request->alignment <= 16 && (request->alignment <= 1 || request->offset % request->alignment == 0);
}

/* A block, or NULL after deferred frees, a collection and a second try: errno is ENOMEM and the error hook
   has been told (ENOMEM; EOVERFLOW for a size above ALLOC_SIZE_MAX; EINVAL for an alignment that is no power
   of two). */
COLD void* alloc_generic(request_t request);

/* The tails of the fast paths. */
NOINLINE void* alloc_slow(size_t size);
NOINLINE void* alloc_slow_zero(size_t size);
NOINLINE void free_slow(void* p, page_t* page);
COLD void free_outside(void* p);
NOINLINE void free_emptied(page_t* page);

/* NULL with errno ENOMEM and the hook told EOVERFLOW. */
COLD void* alloc_overflow(const char* what, size_t count, size_t size);

/* The page of a block that is to be resized or measured; NULL when p is not ours or is
   not a live block's start (then it has been reported). */
typedef enum ownership_e { BLOCK_OURS, BLOCK_FOREIGN, BLOCK_BAD } ownership_t;
ownership_t block_lookup(const void* p, const char* verb, page_t** page);

/* Bytes of the block that p starts; the block has been looked up. */
static inline size_t block_usable_size(const page_t* page) { return page_usable_size(page); }

/* Call the user's deferred_free, unless it runs already. */
typedef enum cadence_e { CADENCE_NORMAL, CADENCE_FORCED } cadence_t;
void alloc_cadence(cadence_t cadence);

/* Release what the calling thread can; CADENCE_FORCED: and purge all free memory. */
void alloc_collect(cadence_t cadence);

#endif

/* The page of a small size in the calling thread's part.  Threads start on the empty part and empty slots
   hold the empty page, so nothing here can be NULL.  Slots 0 and 1 stay empty: 8-byte blocks have no room for
   the mark that take_small clears. */
ALWAYS_INLINE page_t* small_page(size_t size) { return thread_part->direct[(size + 7) >> 3]; }

/* A block of the page, or NULL. */
ALWAYS_INLINE block_t* take_small(page_t* page) {
  block_t* block = (block_t*)(page->free);
  IN_REGISTER(block);
  if (unlikely(block == NULL)) return NULL;
  page->used++;
  page->free = block->next;
  if (FREE_CHECKS) block->mark = 0;
  page_check_step(page);
  return block;
}

/* Whatever is not "a small block, on hand" is one cold call. */
ALWAYS_INLINE void* malloc_fast(size_t size) {
  if (likely(size <= DIRECT_SIZE_MAX)) {
    block_t* const block = (block_t*)(take_small(small_page(size)));
    if (likely(block != NULL)) return block;
  }
  return alloc_slow(size);
}

/* Zero the usable bytes of a block just taken; blocks never used before need only their link cleared. */
ALWAYS_INLINE void zero_block(const page_t* page, block_t* block) {
  if ((page->flags & PAGE_FRESH_ZERO) != 0) block->next = NULL;
  else memset(block, 0, bin_size(page->bin));
}

ALWAYS_INLINE void* zalloc_fast(size_t size) {
  if (likely(size <= DIRECT_SIZE_MAX)) {
    page_t* const page = (page_t*)(small_page(size));
    block_t* const block = (block_t*)(take_small(page));
    if (likely(block != NULL)) {
      zero_block(page, block);
      return block;
    }
  }
  return alloc_slow_zero(size);
}

/* The range test answers for NULL, for other allocators' pointers and for garbage.  The tag test fails for
   other threads' pages, full pages, 8-byte blocks, big blocks and all but the first slice of a page.  What is
   left is a block of an own page: is it the start of one, and not already free? */
ALWAYS_INLINE void free_fast(void* p) {
  const uintptr_t offset = (uintptr_t)p - load_folded(&window.base);
  if (unlikely(offset >= load_folded(&window.limit))) {
    free_outside(p);
    return;
  }
  page_t* page = (page_t*)(load_folded(&window.table) + (offset >> SLICE_SHIFT) * TABLE_ENTRY_SIZE);
  IN_REGISTER(page);
  if (unlikely(load_folded(&page->owner_tag) != thread_tag)) {
    free_slow(p, page);
    return;
  }
  block_t* const block = (block_t*)(p);
  if (FREE_CHECKS) {
    const uint64_t in_slice = (uint16_t)(uintptr_t)p;
    if (unlikely(in_slice * page->reciprocal >= page->bound || block->mark == (uintptr_t)page)) {
      free_slow(p, page);
      return;
    }
  }
  page_check_step(page);
  if (FREE_CHECKS) block->mark = (uintptr_t)page;
  block->next = page->local_free;
  page->local_free = block;
  /* `used` last: then the page may be empty, and gone (heap/idle.c) */
  atomic_signal_fence(memory_order_release);
  if (unlikely(--page->used == 0)) free_emptied(page);
}

#endif

/* ---- src/alloc/resize.h */
#ifndef ALLOC_RESIZE_H
#define ALLOC_RESIZE_H


/* realloc in all its forms.  NULL: as alloc_generic, and p is what it was.  Size 0 gives a fresh minimal
   block. */
void* resize(void* p, request_t request);

/* The same for callers who gave an alignment: it must be a power of two (else NULL, EINVAL). */
void* resize_aligned(void* p, request_t request);

#endif

/* ==== src/alloc/aligned.c */
/* Aligned allocation.  Small blocks are aligned by their class, everything else gets a run of slices of its
   own. */

static void* alloc_aligned(size_t size, size_t alignment, size_t offset, zeroed_t memory) {
  /* An alignment of 0 is an error here; everywhere else it means none. */
  const size_t power = alignment != 0 ? alignment : 3;
  if (likely(power <= 16 && is_power_of_two(power) && offset % power == 0 && size >= power)) {
    return memory == MEMORY_ZERO ? zalloc_fast(size) : malloc_fast(size);
  }
  if (power <= CACHE_LINE && is_power_of_two(power) && offset % power == 0 && size <= DIRECT_SIZE_MAX) {
    const size_t rounded = align_up(max_size(size, 1), power);
    return memory == MEMORY_ZERO ? zalloc_fast(rounded) : malloc_fast(rounded);
  }
  return alloc_generic((request_t){.size = size, .alignment = power, .offset = offset, .memory = memory});
}

void* resize_aligned(void* p, request_t request) {
  if (request.alignment == 0) request.alignment = 3;
  if (!is_power_of_two(request.alignment)) return alloc_generic(request); /* which refuses it */
  if (request.alignment <= sizeof(void*) && request.offset % request.alignment == 0) request.alignment = 0;
  return resize(p, request);
}

EXPORT void* mi_malloc_aligned(size_t size, size_t alignment) mi_attr_noexcept {
  return alloc_aligned(size, alignment, 0, MEMORY_UNKNOWN);
}

EXPORT void* mi_malloc_aligned_at(size_t size, size_t alignment, size_t offset) mi_attr_noexcept {
  return alloc_aligned(size, alignment, offset, MEMORY_UNKNOWN);
}

EXPORT void* mi_zalloc_aligned(size_t size, size_t alignment) mi_attr_noexcept {
  return alloc_aligned(size, alignment, 0, MEMORY_ZERO);
}

EXPORT void* mi_zalloc_aligned_at(size_t size, size_t alignment, size_t offset) mi_attr_noexcept {
  return alloc_aligned(size, alignment, offset, MEMORY_ZERO);
}

EXPORT void* mi_calloc_aligned(size_t count, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_calloc_aligned_at(count, size, alignment, 0);
}

EXPORT void* mi_calloc_aligned_at(size_t count, size_t size, size_t alignment, size_t offset) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(count, size, &total)) return alloc_overflow("calloc_aligned", count, size);
  return alloc_aligned(total, alignment, offset, MEMORY_ZERO);
}

EXPORT void* mi_realloc_aligned(void* p, size_t newsize, size_t alignment) mi_attr_noexcept {
  return mi_realloc_aligned_at(p, newsize, alignment, 0);
}

EXPORT void* mi_realloc_aligned_at(void* p, size_t newsize, size_t alignment, size_t offset) mi_attr_noexcept {
  return resize_aligned(p, (request_t){.size = newsize, .alignment = alignment, .offset = offset});
}

EXPORT void* mi_rezalloc_aligned(void* p, size_t newsize, size_t alignment) mi_attr_noexcept {
  return mi_rezalloc_aligned_at(p, newsize, alignment, 0);
}

EXPORT void* mi_rezalloc_aligned_at(void* p, size_t newsize, size_t alignment, size_t offset) mi_attr_noexcept {
  return resize_aligned(
      p, (request_t){.size = newsize, .alignment = alignment, .offset = offset, .memory = MEMORY_ZERO});
}

EXPORT void* mi_recalloc_aligned(void* p, size_t newcount, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_recalloc_aligned_at(p, newcount, size, alignment, 0);
}

EXPORT void* mi_recalloc_aligned_at(void* p, size_t newcount, size_t size, size_t alignment, size_t offset) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(newcount, size, &total)) return alloc_overflow("recalloc_aligned", newcount, size);
  return mi_rezalloc_aligned_at(p, total, alignment, offset);
}

EXPORT size_t mi_good_size(size_t size) mi_attr_noexcept {
  if (size <= MEDIUM_BLOCK_MAX) return bin_size(bin_of(size));
  if (size > ALLOC_SIZE_MAX) return size;
  return align_up(size, os_page_size());
}

/* ==== src/alloc/arenas.c */
/* Arenas as programs see them. */


static arena_t* arena_of(mi_arena_id_t id) {
  arena_t* arena = (arena_t*)(id != NULL ? arena_newest() : NULL);
  while (arena != NULL && arena != id) arena = arena->next;
  return arena;
}

static void* arena_start(const arena_t* arena) {
  return window_address(arena->area.segments.first * SEGMENT_SLICES);
}
static size_t arena_size(const arena_t* arena) {
  return arena->area.segments.count * SEGMENT_SIZE;
}

/* Hand out the id; was an arena made? */
static bool give_arena(arena_t* arena, mi_arena_id_t* id) {
  if (id != NULL) *id = arena;
  return arena != NULL;
}

/* ---- making arenas ---- */

EXPORT int mi_reserve_os_memory_ex(size_t size, bool commit, bool allow_large, bool exclusive,
                                   mi_arena_id_t* arena_id) mi_attr_noexcept {
  const unsigned how = (allow_large ? RESERVE_LARGE : 0u) | (commit ? RESERVE_COMMITTED : 0u);
  return give_arena(reserve_memory(size, how, exclusive ? ARENA_EXCLUSIVE : 0), arena_id) ? 0 : ENOMEM;
}

EXPORT int mi_reserve_os_memory(size_t size, bool commit, bool allow_large) mi_attr_noexcept {
  return mi_reserve_os_memory_ex(size, commit, allow_large, false, NULL);
}

EXPORT bool mi_manage_memory(void* start, size_t size, bool is_committed, bool is_pinned, bool is_zero,
                             int numa_node, bool exclusive, mi_commit_fun_t* commit_fun, void* commit_fun_arg,
                             mi_arena_id_t* arena_id) mi_attr_noexcept {
  const uint32_t flags = (is_committed ? (uint32_t)ARENA_COMMITTED : 0) | (is_pinned ? ARENA_PINNED : 0) |
                         (is_zero ? ARENA_ZERO : 0) | (exclusive ? ARENA_EXCLUSIVE : 0);
  const arena_spec_t spec = {flags, reserve_node(numa_node), commit_fun, commit_fun_arg};
  const bool made = give_arena(reserve_adopt(start, size, spec), arena_id);
  if (!made) report_warning("manage_memory: %zu bytes at %p cannot be an arena", size, start);
  return made;
}

EXPORT bool mi_manage_os_memory_ex(void* start, size_t size, bool is_committed, bool is_pinned, bool is_zero,
                                   int numa_node, bool exclusive, mi_arena_id_t* arena_id) mi_attr_noexcept {
  return mi_manage_memory(start, size, is_committed, is_pinned, is_zero, numa_node, exclusive, NULL, NULL,
                          arena_id);
}

EXPORT bool mi_manage_os_memory(void* start, size_t size, bool is_committed, bool is_pinned, bool is_zero,
                                int numa_node) mi_attr_noexcept {
  return mi_manage_os_memory_ex(start, size, is_committed, is_pinned, is_zero, numa_node, false, NULL);
}

EXPORT int mi_reserve_huge_os_pages_at_ex(size_t pages, int numa_node, size_t timeout_msecs, bool exclusive,
                                          mi_arena_id_t* arena_id) mi_attr_noexcept {
  const uint32_t flags = exclusive ? ARENA_EXCLUSIVE : 0;
  arena_t* const arena = (arena_t*)(reserve_huge(pages, reserve_node(numa_node), timeout_msecs, flags));
  return give_arena(arena, arena_id) || pages == 0 ? 0 : ENOMEM;
}

EXPORT int mi_reserve_huge_os_pages_at(size_t pages, int numa_node, size_t timeout_msecs) mi_attr_noexcept {
  return mi_reserve_huge_os_pages_at_ex(pages, numa_node, timeout_msecs, false, NULL);
}

EXPORT int mi_reserve_huge_os_pages_interleave(size_t pages, size_t numa_nodes, size_t timeout_msecs) mi_attr_noexcept {
  return reserve_huge_interleaved(pages, numa_nodes, timeout_msecs) > 0 || pages == 0 ? 0 : ENOMEM;
}

EXPORT int mi_reserve_huge_os_pages(size_t pages, double max_secs, size_t* pages_reserved) mi_attr_noexcept {
  const double most = 1e9; /* 30 years, and NaN too */
  const double seconds = max_secs > 0 && max_secs < most ? max_secs : max_secs > 0 ? most : 0;
  const size_t have = reserve_huge_interleaved(pages, 0, (uint64_t)(seconds * 1000));
  if (pages_reserved != NULL) *pages_reserved = have;
  return have > 0 || pages == 0 ? 0 : ENOMEM;
}

/* ---- asking ---- */

EXPORT void* mi_arena_area(mi_arena_id_t arena_id, size_t* size) mi_attr_noexcept {
  const arena_t* const arena = (const arena_t*)(arena_of(arena_id));
  if (size != NULL) *size = arena != NULL ? arena_size(arena) : 0;
  return arena != NULL ? arena_start(arena) : NULL;
}

EXPORT bool mi_arena_contains(mi_arena_id_t arena_id, const void* p) mi_attr_noexcept {
  const size_t slice = window_slice_of(p);
  return slice != SLICE_NONE && arena_id != NULL && segment_arena(slice / SEGMENT_SLICES) == arena_id;
}

EXPORT size_t mi_arena_min_alignment(void) mi_attr_noexcept {
  return SEGMENT_SIZE;
}

EXPORT size_t mi_arena_min_size(void) mi_attr_noexcept {
  return SEGMENT_SIZE;
}

EXPORT size_t mi_arena_max_object_size(void) mi_attr_noexcept {
  return WINDOW_SLICES * SLICE_SIZE;
}

/* ---- heaps ---- */

EXPORT mi_heap_t* mi_heap_new_in_arena(mi_arena_id_t arena_id) mi_attr_noexcept {
  const int saved_errno = errno;
  arena_t* const arena = (arena_t*)(arena_of(arena_id));
  heap_t* heap = NULL;
  if (arena != NULL || arena_id == NULL) {
    thread_attach();
    thread_check_fork();
    heap = heap_create_in(arena, thread_main_heap());
    errno = heap != NULL ? saved_errno : ENOMEM;
  } else {
    errno = EINVAL;
  }
  return heap;
}

EXPORT void mi_heap_set_numa_affinity(mi_heap_t* heap, int numa_node) mi_attr_noexcept {
  store_relaxed(&(heap != NULL ? heap : &heap_main)->home.node, (uint32_t)(reserve_node(numa_node) + 1));
}

/* ---- upkeep and printing ---- */

EXPORT void mi_arenas_purge(void) mi_attr_noexcept {
  const int saved_errno = errno;
  purge_all();
  errno = saved_errno;
}

static size_t free_slices(const arena_t* arena) {
  const extent_t segments = arena->area.segments;
  size_t slices = 0;
  for (size_t s = segments.first; s < segments.first + segments.count; s++)
    slices += bit_count(load_relaxed(segment_word(s, WORD_FREE)));
  return slices;
}

static void print_map(const arena_t* arena) {
  const extent_t segments = arena->area.segments;
  const output_t output = {NULL, NULL};
  for (size_t s = segments.first; s < segments.first + segments.count; s++) {
    const uint64_t free = load_relaxed(segment_word(s, WORD_FREE));
    const uint64_t dirty = segment_dirty(s);
    char map[SEGMENT_SLICES + 1] = {0};
    for (unsigned i = 0; i < SEGMENT_SLICES; i++)
      map[i] = (free >> i & 1) == 0 ? '#' : (dirty >> i & 1) != 0 ? 'd' : '.';
    print_to(&output, "  %p %s\n", window_address(s * SEGMENT_SLICES), map);
  }
}

static void print_arena(const arena_t* arena) {
  const output_t output = {NULL, NULL};
  const uint32_t flags = arena->flags;
  print_to(&output, "arena %p: %zu MiB at %p, %zu KiB free, node %d,%s%s%s\n", (const void*)arena,
           arena_size(arena) / MiB, arena_start(arena), free_slices(arena) * (SLICE_SIZE / KiB), arena->node,
           (flags & ARENA_EXCLUSIVE) != 0 ? " exclusive" : " for all heaps",
           (flags & ARENA_PINNED) != 0 ? ", pinned" : "",
           (flags & ARENA_OUTSIDE) != 0 ? ", the program's" : "");
}

EXPORT void mi_arenas_print(void) mi_attr_noexcept {
  const output_t output = {NULL, NULL};
  const memory_stats_t stats = memory_stats();
  print_to(&output, "memory: %zu MiB reserved, arenas included, %zu KiB in use\n", stats.reserved / MiB,
           stats.claimed / KiB);
  for (const arena_t* a = arena_newest(); a != NULL; a = a->next) print_arena(a);
}

EXPORT void mi_debug_show_arenas(void) mi_attr_noexcept {
  for (const arena_t* a = arena_newest(); a != NULL; a = a->next) {
    print_arena(a);
    print_map(a);
  }
}

/* ---- src/alloc/new.h */
/* What operator new does when the first try has failed: the program's new_handler, again and again, then
   std::bad_alloc.  The C++ runtime is reached by weak references, so programs in C need none. */
#ifndef ALLOC_NEW_H
#define ALLOC_NEW_H


/* request has failed once.  new_retry throws rather than return NULL; new_retry_nothrow returns NULL also
   when the handler throws. */
COLD void* new_retry(request_t request);
COLD void* new_retry_nothrow(request_t request);

/* The tail of new_fast, whole: allocation, then new_retry. */
NOINLINE void* new_slow(size_t size);

/* malloc_fast with the tail of operator new, so that this path too needs no stack frame. */
ALWAYS_INLINE void* new_fast(size_t size) {
  if (likely(size <= DIRECT_SIZE_MAX)) {
    block_t* const block = (block_t*)(take_small(small_page(size)));
    if (likely(block != NULL)) return block;
  }
  return new_slow(size);
}

/* Call function; NULL, or the exception object that it threw, which is caught (alloc/catch.c). */
void* call_catching(void (*function)(void));

#endif

/* ==== src/alloc/catch.c */
/* catch (...) in C.  operator new(nothrow) must return NULL when the program's new_handler throws, but a C
   compiler has no catch, and C++ would make the library depend on a C++ runtime.  So the frame that calls
   the handler is a few lines of assembly with a personality routine of our own: asked by the unwinder, it
   answers that the handler is here, and has the call return the exception object.  (Unwinder and C++
   runtime are present in any process in which something is thrown; the references are weak for those in
   which nothing is.) */


#pragma weak _Unwind_SetGR
#pragma weak _Unwind_SetIP

#if defined(__x86_64__)

extern const char call_catching_landing[] __attribute__((visibility("hidden")));

__attribute__((used)) /* named in assembly only */
_Unwind_Reason_Code call_catching_personality(int version, _Unwind_Action actions,
                                              _Unwind_Exception_Class kind,
                                              struct _Unwind_Exception* exception,
                                              struct _Unwind_Context* context);

/* A forced unwind (the end of a thread) is not an exception: it passes. */
_Unwind_Reason_Code call_catching_personality(int version, _Unwind_Action actions,
                                              _Unwind_Exception_Class kind,
                                              struct _Unwind_Exception* exception,
                                              struct _Unwind_Context* context) {
  UNUSED(kind);
  if (version != 1 || (actions & _UA_FORCE_UNWIND) != 0) return _URC_CONTINUE_UNWIND;
  if ((actions & _UA_SEARCH_PHASE) != 0) return _URC_HANDLER_FOUND;
  if ((actions & _UA_HANDLER_FRAME) == 0) return _URC_CONTINUE_UNWIND;
  _Unwind_SetGR(context, __builtin_eh_return_data_regno(0), (uintptr_t)exception);
  _Unwind_SetIP(context, (uintptr_t)call_catching_landing);
  return _URC_INSTALL_CONTEXT;
}

/* The result register is 0 after a normal return, and at the landing the exception object. */
__asm__(".text\n"
        ".hidden call_catching\n"
        ".globl call_catching\n"
        ".type call_catching, @function\n"
        "call_catching:\n"
        "  .cfi_startproc\n"
        "  .cfi_personality 0x1b, call_catching_personality\n"
        "  endbr64\n"
        "  subq $8, %rsp\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  call *%rdi\n"
        "  xorl %eax, %eax\n"
        "  jmp 1f\n"
        ".hidden call_catching_landing\n"
        ".globl call_catching_landing\n"
        "call_catching_landing:\n"
        "  endbr64\n"
        "1:\n"
        "  addq $8, %rsp\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size call_catching, .-call_catching\n");

#else

/* A port without its own frame: a handler that throws leaves through operator new(nothrow). */
void* call_catching(void (*function)(void)) {
  function();
  return NULL;
}

#endif

/* ---- src/alloc/collect.h */
#ifndef ALLOC_COLLECT_H
#define ALLOC_COLLECT_H


/* Collect the calling thread's pages and give all free memory of the process back to the
   OS; returns bytes. */
size_t memory_trim(void);

#endif

/* ==== src/alloc/collect.c */
/* Maintenance on request, and the user's deferred frees.

   The callback runs while the thread is ready (not busy), so it may allocate and free like any code; while it
   runs it is not called again. */



static hook_t deferred_hook;

EXPORT void mi_register_deferred_free(mi_deferred_free_fun* deferred_free, void* arg) mi_attr_noexcept {
  hook_set(&deferred_hook, (hook_function_t*)deferred_free, arg);
}

void alloc_cadence(cadence_t cadence) {
  thread_t* const self = (thread_t*)(thread_self);
  if (self == NULL || load_relaxed(&self->busy) != 0) return;
  store_relaxed(&self->heartbeat, load_relaxed(&self->heartbeat) + 1);
  const hook_pair_t hook = hook_get(&deferred_hook);
  if (likely(hook.function == NULL) || self->in_deferred) return;
  self->in_deferred = 1;
  ((mi_deferred_free_fun*)hook.function)(cadence == CADENCE_FORCED, load_relaxed(&self->heartbeat),
                                         hook.argument);
  self->in_deferred = 0;
}

static void collect_part(heap_part_t* part) {
  part_drain(part);
  part_collect(part);
  abandoned_sweep(part->heap);
  check(part_is_valid(part));
}

void alloc_collect(cadence_t cadence) {
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return;
  thread_settle(self);
  for (heap_part_t* part = self->parts; part != NULL; part = part->sibling) collect_part(part);
  if (cadence == CADENCE_FORCED) purge_all();
  else purge_due();
  thread_leave(self);
}

size_t memory_trim(void) {
  thread_check_fork();
  alloc_cadence(CADENCE_FORCED);
  alloc_collect(CADENCE_NORMAL);
  const size_t bytes = purge_all();
  report_verbose("trim: %zu bytes given back", bytes);
  return bytes;
}

EXPORT void mi_collect(bool force) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_attach();
  thread_check_fork();
  alloc_cadence(force ? CADENCE_FORCED : CADENCE_NORMAL);
  alloc_collect(force ? CADENCE_FORCED : CADENCE_NORMAL);
  errno = saved_errno;
}

EXPORT void mi_collect_reduce(size_t target_thread_owned) mi_attr_noexcept {
  UNUSED(target_thread_owned);
  mi_collect(true);
}

EXPORT void mi_heap_collect(mi_heap_t* heap, bool force) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_attach();
  thread_check_fork();
  alloc_cadence(force ? CADENCE_FORCED : CADENCE_NORMAL);
  thread_t* const self = (thread_t*)(thread_enter());
  if (self != NULL) {
    heap_part_t* const part = (heap_part_t*)(thread_find_part(self, heap != NULL ? heap : thread_main_heap()));
    if (part != NULL) collect_part(part);
    if (force) purge_all();
    thread_leave(self);
  }
  errno = saved_errno;
}

/* ---- src/alloc/foreign.h */
/* What happens to a pointer outside the window: a block of another allocator, or an error.

   Beside the system's allocator, everything foreign is an error (the definition in alloc/foreign.c is weak).
   As a replacement of malloc, override/foreign.c decides, and hands blocks of the allocator behind us back
   to it. */
#ifndef ALLOC_FOREIGN_H
#define ALLOC_FOREIGN_H


typedef struct foreign_s {
  void (*free)(void* p);
  void* (*realloc)(void* p, size_t size); /* NULL with errno set: p is what it was */
  size_t (*usable_size)(const void* p);
} foreign_t;

extern const foreign_t foreign; /* p is not NULL */

/* Report that p was handed to `verb` and cannot be a block; `what` says what it is instead. */
void foreign_report(const char* verb, const void* p, const char* what);

#endif

/* ==== src/alloc/foreign.c */
/* Foreign pointers when there is no other allocator behind this one. */



void foreign_report(const char* verb, const void* p, const char* what) {
  report_misuse(EINVAL, "%s of %p: %s, not a block of this allocator; pass only what it returned", verb, p,
                what);
}

static const char ELSEWHERE[] = "memory from elsewhere";

static void refuse_free(void* p) {
  foreign_report("free", p, ELSEWHERE);
}

static void* refuse_realloc(void* p, size_t size) {
  UNUSED(size);
  foreign_report("realloc", p, ELSEWHERE);
  errno = ENOMEM;
  return NULL;
}

/* Programs ask this of pointers they do not know: no error, the answer is 0. */
static size_t refuse_usable_size(const void* p) {
  report_warning("usable_size of %p: %s, not a block of this allocator", p, ELSEWHERE);
  return 0;
}

#if MI_OVERRIDE
static __attribute__((unused)) const foreign_t foreign_replaced = {refuse_free, refuse_realloc, refuse_usable_size};
#else
const foreign_t foreign = {refuse_free, refuse_realloc, refuse_usable_size};
#endif

/* ==== src/alloc/free.c */
/* Free: everything that is not "a block of an own page, and not the last one".  Whatever cannot be the start
   of a live block is reported, never acted upon. */


/* ---- misuse ---- */

static COLD void report_double_free(const void* p, const page_t* page) {
  report_misuse(EAGAIN,
                "double free of %p (a block of %zu bytes): it was freed before; remove one of the two frees",
                p, page_usable_size(page));
}

static COLD void report_bad_start(const char* verb, const void* p, const page_t* page) {
  const char* const start = (const char*)(page_start(page));
  const size_t offset = (size_t)((const char*)p - start);
  if (page->slices == 0) {
    report_misuse(EINVAL, "%s of %p: not the start of a block, it points inside the block at %p of %zu bytes",
                  verb, p, (const void*)(start + page->stride), page_usable_size(page));
    return;
  }
  report_misuse(EINVAL, "%s of %p: not the start of a block, it points inside the block at %p of %zu bytes",
                verb, p, (const void*)(start + offset - offset % page->stride), page_usable_size(page));
}

static COLD void report_unallocated(const char* verb, const void* p) {
  report_misuse(EINVAL, "%s of %p: not allocated by this allocator, or freed before (double free?)", verb, p);
}

/* Does the block look as if it were free?  The mark does not lie about a free block, but a live one may hold
   it: programs copy memory that they never wrote.  So it only raises the suspicion. */
static bool block_is_suspect(const page_t* page, const block_t* block) {
  if (likely(page->bin != BIN_TINY)) return block->mark == (uintptr_t)page;
  /* No mark: a free block holds an encoded link, which decodes to NULL or a block of the page. */
  const uintptr_t next = (uintptr_t)block_next(page, block);
  return next == 0 || (next % 8 == 0 && next - (uintptr_t)page_start(page) < SLICE_SIZE);
}

/* Is the block on a list of free blocks?  Exact for the owner.  For others the lists may move meanwhile: then
   a second free may be missed, but a live block is on no list, so a correct program is never accused. */
static COLD bool block_is_free(const page_t* page, const block_t* block) {
  return page_list_holds(page, page->local_free, block) || page_list_holds(page, page->free, block) ||
         page_list_holds(page, remote_list(page), block) ||
         part_delays_block((heap_part_t*)load_relaxed(&((page_t*)(uintptr_t)page)->part), block);
}

static inline bool block_was_freed(const page_t* page, const block_t* block) {
  return FREE_CHECKS && unlikely(block_is_suspect(page, block)) && block_is_free(page, block);
}

/* Others may ask too: whoever was given a block knows of its carving. */
static bool page_is_carved(const page_t* page, const void* p) {
  return (size_t)((const char*)p - page_start(page)) < page_capacity(page) * page->stride;
}

/* ---- own pages ---- */

static bool page_is_of(page_t* page, const thread_t* self) {
  return (load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) == self->tag;
}

/* `tag` is the page's, read once: of a full page it may change, then the slow path must look again. */
static void free_own(void* p, page_t* page, uintptr_t tag) {
  block_t* const block = (block_t*)(p);
  if (FREE_CHECKS) {
    if (!page_is_block(page, p)) {
      report_bad_start("free", p, page);
      return;
    }
    if (!page_is_carved(page, p)) {
      report_unallocated("free", p);
      return;
    }
    if (block_was_freed(page, block)) {
      report_double_free(p, page);
      return;
    }
  }
  if (likely((tag & CARE_FULL) == 0 && page->used > 1)) {
    page_push_local(page, block);
    return;
  }
  thread_t* const self = (thread_t*)(thread_enter());
  /* The scavenger may hold this thread (then `self` is a nested record), or have given the
     page up meanwhile. */
  if (self != NULL && page_is_of(page, self))
    part_free_local((heap_part_t*)load_relaxed(&page->part), page, block);
  else heap_free_remote(page, block);
  if (self == NULL) return;
  purge_due();
  thread_leave(self);
}

NOINLINE void free_emptied(page_t* page) {
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return; /* the page stays, empty */
  /* The scavenger may have released the page since, or be about to. */
  if (page_is_of(page, self)) part_page_emptied((heap_part_t*)load_relaxed(&page->part), page);
  purge_due();
  thread_leave(self);
}

/* ---- pages of others, or of nobody ---- */

/* Whether the calling thread should become the owner of the abandoned page that it frees into. */
static heap_part_t* reclaiming_part(const thread_t* self, page_t* page) {
  heap_t* const heap = (heap_t*)load_relaxed(&page->heap);
  if (self->outer != NULL || self->in_threadpool || load_relaxed(&heap->state) != HEAP_LIVE) return NULL;
  heap_part_t* const part = (heap_part_t*)(thread_find_part(self, heap));
  if (part == NULL) return NULL;
  const bool was_own = load_relaxed(&page->part) == (uintptr_t)part;
  return was_own || part->queues[page->bin].count < QUEUE_RETAIN ? part : NULL;
}

static bool free_by_reclaim(page_t* page, block_t* block) {
  if (thread_self == NULL || load_relaxed(&thread_self->busy) != 0) return false;
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return false;
  heap_part_t* const part = (heap_part_t*)(reclaiming_part(self, page));
  const bool claimed = part != NULL && remote_claim(page);
  if (claimed) {
    part_attach(part, page);
    part_free_local(part, page, block);
    purge_due();
  }
  thread_leave(self);
  return claimed;
}

static void free_other(void* p, page_t* page) {
  block_t* const block = (block_t*)(p);
  if (FREE_CHECKS) {
    if (!page_is_block(page, p)) {
      report_bad_start("free", p, page);
      return;
    }
    if (!page_is_carved(page, p)) {
      report_unallocated("free", p);
      return;
    }
    if (block_was_freed(page, block)) {
      report_double_free(p, page);
      return;
    }
  }
  if (load_relaxed(&page->owner_tag) == TAG_ABANDONED && free_by_reclaim(page, block)) return;
  heap_free_remote(page, block);
}

static void free_big(void* p, page_t* page) {
  if (p != page_start(page) + page->stride) report_bad_start("free", p, page);
  else if (!single_free(page)) report_unallocated("free", p);
  else purge_due();
}

NOINLINE void free_slow(void* p, page_t* page) {
  uintptr_t tag = load_relaxed(&page->owner_tag);
  if (unlikely(tag == 0)) {
    page = page_of(p);
    if (page == NULL) {
      report_unallocated("free", p);
      return;
    }
    tag = load_relaxed(&page->owner_tag);
  }
  if (unlikely(thread_self == NULL)) thread_note_stranger();
  if ((tag & ~(uintptr_t)CARE_MASK) == thread_tag) free_own(p, page, tag);
  else if (tag == TAG_SINGLE) free_big(p, page);
  else free_other(p, page);
}

COLD void free_outside(void* p) {
  if (p == NULL) return;
  if (window_slice_of(p) != SLICE_NONE) { /* the program's own memory, an arena by mi_manage_memory */
    free_slow(p, page_at(window_slice_number(p)));
    return;
  }
  const int saved_errno = errno;
  foreign.free(p);
  errno = saved_errno;
}

/* ---- looking up a block that is to be resized or measured ---- */

ownership_t block_lookup(const void* p, const char* verb, page_t** page_out) {
  if (!window_knows(p)) return BLOCK_FOREIGN;
  page_t* const page = (page_t*)(page_of(p));
  *page_out = page;
  if (page == NULL) {
    report_unallocated(verb, p);
    return BLOCK_BAD;
  }
  const bool start = page->slices == 0 ? p == page_start(page) + page->stride : page_is_block(page, p);
  if (!start) {
    report_bad_start(verb, p, page);
    return BLOCK_BAD;
  }
  if (page->slices != 0 && !page_is_carved(page, p)) {
    report_unallocated(verb, p);
    return BLOCK_BAD;
  }
  if (page->slices != 0 && block_was_freed(page, (const block_t*)p)) {
    report_misuse(EAGAIN, "%s of %p: the block of %zu bytes was freed before", verb, p,
                  page_usable_size(page));
    return BLOCK_BAD;
  }
  return BLOCK_OURS;
}

/* ---- entries ---- */

EXPORT void mi_free(void* p) mi_attr_noexcept { free_fast(p); }

EXPORT void mi_free_small(void* p) mi_attr_noexcept { free_fast(p); }
EXPORT void mi_free_small_nonnull(void* p) mi_attr_noexcept { free_fast(p); }
EXPORT void mi_free_small_local(void* p) mi_attr_noexcept { free_fast(p); }
EXPORT void mi_free_small_local_nonnull(void* p) mi_attr_noexcept { free_fast(p); }

EXPORT void mi_free_size(void* p, size_t size) mi_attr_noexcept {
  UNUSED(size);
  free_fast(p);
}

EXPORT void mi_free_size_aligned(void* p, size_t size, size_t alignment) mi_attr_noexcept {
  UNUSED(size);
  UNUSED(alignment);
  free_fast(p);
}

EXPORT void mi_free_aligned(void* p, size_t alignment) mi_attr_noexcept {
  UNUSED(alignment);
  free_fast(p);
}

EXPORT size_t mi_usable_size(const void* p) mi_attr_noexcept {
  page_t* page;
  if (p == NULL) return 0;
  switch (block_lookup(p, "usable_size", &page)) {
    case BLOCK_OURS: return block_usable_size(page);
    case BLOCK_FOREIGN: return foreign.usable_size(p);
    default: return 0;
  }
}

EXPORT void mi_ufree(void* p, size_t* block_size) mi_attr_noexcept {
  if (block_size != NULL) *block_size = mi_usable_size(p);
  free_fast(p);
}

/* ==== src/alloc/heaps.c */
/* First-class heaps: allocation in a heap from any thread, and the end of a heap.

   delete:  state := DELETED; the caller's pages move to its part of the main heap, abandoned ones are
   forwarded; other threads move theirs when they notice (thread_settle). destroy: state := DESTROYED; every
   page of the heap is released whatever lives in it. */


/* ---- allocation ---- */

/* The calling thread's ready part of the heap, or the empty part. */
static heap_part_t* ready_part(const heap_t* heap) {
  const thread_t* const self = (const thread_t*)(thread_self);
  if (self == NULL || load_relaxed(&self->busy) != 0) return &part_empty;
  heap_part_t* const part = (heap_part_t*)(thread_find_part(self, heap));
  return part != NULL ? part : &part_empty;
}

static void* heap_alloc(mi_heap_t* h, size_t size, zeroed_t memory) {
  heap_t* const heap = (heap_t*)(heap_or_main(h));
  if (likely(size <= DIRECT_SIZE_MAX)) {
    page_t* const page = (page_t*)(ready_part(heap)->direct[(size + 7) >> 3]);
    if (likely(page->free != NULL)) {
      block_t* const block = (block_t*)(page_pop(page));
      if (memory == MEMORY_ZERO) zero_block(page, block);
      return block;
    }
  }
  return alloc_generic((request_t){.heap = heap, .size = size, .memory = memory});
}

EXPORT void* mi_heap_malloc(mi_heap_t* heap, size_t size) mi_attr_noexcept { return heap_alloc(heap, size, MEMORY_UNKNOWN); }
EXPORT void* mi_heap_zalloc(mi_heap_t* heap, size_t size) mi_attr_noexcept { return heap_alloc(heap, size, MEMORY_ZERO); }
EXPORT void* mi_heap_malloc_small(mi_heap_t* heap, size_t size) mi_attr_noexcept {
  return heap_alloc(heap, size, MEMORY_UNKNOWN);
}
EXPORT void* mi_heap_zalloc_small(mi_heap_t* heap, size_t size) mi_attr_noexcept {
  return heap_alloc(heap, size, MEMORY_ZERO);
}

EXPORT void* mi_heap_calloc(mi_heap_t* heap, size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(count, size, &total)) return alloc_overflow("heap_calloc", count, size);
  return heap_alloc(heap, total, MEMORY_ZERO);
}

EXPORT void* mi_heap_mallocn(mi_heap_t* heap, size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(count, size, &total)) return alloc_overflow("heap_mallocn", count, size);
  return heap_alloc(heap, total, MEMORY_UNKNOWN);
}

EXPORT void* mi_heap_realloc(mi_heap_t* heap, void* p, size_t newsize) mi_attr_noexcept {
  return resize(p, (request_t){.heap = heap_or_main(heap), .size = newsize});
}

EXPORT void* mi_heap_reallocn(mi_heap_t* heap, void* p, size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(count, size, &total)) return alloc_overflow("heap_reallocn", count, size);
  return mi_heap_realloc(heap, p, total);
}

EXPORT void* mi_heap_reallocf(mi_heap_t* heap, void* p, size_t newsize) mi_attr_noexcept {
  void* const q = resize(p, (request_t){.heap = heap_or_main(heap), .size = newsize});
  if (q == NULL) mi_free(p);
  return q;
}

EXPORT void* mi_heap_rezalloc(mi_heap_t* heap, void* p, size_t newsize) mi_attr_noexcept {
  return resize(p, (request_t){.heap = heap_or_main(heap), .size = newsize, .memory = MEMORY_ZERO});
}

EXPORT void* mi_heap_recalloc(mi_heap_t* heap, void* p, size_t newcount, size_t size) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(newcount, size, &total)) return alloc_overflow("heap_recalloc", newcount, size);
  return mi_heap_rezalloc(heap, p, total);
}

/* An alignment of 0 is an error: 3 is refused like every other that is no power of two. */
static request_t aligned_request(mi_heap_t* heap, size_t size, size_t alignment, size_t offset) {
  return (request_t){.heap = heap_or_main(heap),
                     .size = size,
                     .alignment = alignment != 0 ? alignment : 3,
                     .offset = offset};
}

EXPORT void* mi_heap_malloc_aligned_at(mi_heap_t* heap, size_t size, size_t alignment, size_t offset) mi_attr_noexcept {
  return alloc_generic(aligned_request(heap, size, alignment, offset));
}

EXPORT void* mi_heap_malloc_aligned(mi_heap_t* heap, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_heap_malloc_aligned_at(heap, size, alignment, 0);
}

EXPORT void* mi_heap_zalloc_aligned_at(mi_heap_t* heap, size_t size, size_t alignment, size_t offset) mi_attr_noexcept {
  request_t request = aligned_request(heap, size, alignment, offset);
  request.memory = MEMORY_ZERO;
  return alloc_generic(request);
}

EXPORT void* mi_heap_zalloc_aligned(mi_heap_t* heap, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_heap_zalloc_aligned_at(heap, size, alignment, 0);
}

EXPORT void* mi_heap_calloc_aligned_at(mi_heap_t* heap, size_t count, size_t size, size_t alignment,
                                       size_t offset) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(count, size, &total)) return alloc_overflow("heap_calloc_aligned", count, size);
  return mi_heap_zalloc_aligned_at(heap, total, alignment, offset);
}

EXPORT void* mi_heap_calloc_aligned(mi_heap_t* heap, size_t count, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_heap_calloc_aligned_at(heap, count, size, alignment, 0);
}

EXPORT void* mi_heap_realloc_aligned_at(mi_heap_t* heap, void* p, size_t newsize, size_t alignment,
                                        size_t offset) mi_attr_noexcept {
  return resize_aligned(p, aligned_request(heap, newsize, alignment, offset));
}

EXPORT void* mi_heap_realloc_aligned(mi_heap_t* heap, void* p, size_t newsize, size_t alignment) mi_attr_noexcept {
  return mi_heap_realloc_aligned_at(heap, p, newsize, alignment, 0);
}

EXPORT void* mi_heap_rezalloc_aligned_at(mi_heap_t* heap, void* p, size_t newsize, size_t alignment,
                                         size_t offset) mi_attr_noexcept {
  request_t request = aligned_request(heap, newsize, alignment, offset);
  request.memory = MEMORY_ZERO;
  return resize_aligned(p, request);
}

EXPORT void* mi_heap_rezalloc_aligned(mi_heap_t* heap, void* p, size_t newsize, size_t alignment) mi_attr_noexcept {
  return mi_heap_rezalloc_aligned_at(heap, p, newsize, alignment, 0);
}

EXPORT void* mi_heap_recalloc_aligned_at(mi_heap_t* heap, void* p, size_t newcount, size_t size,
                                         size_t alignment, size_t offset) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(newcount, size, &total)) return alloc_overflow("heap_recalloc_aligned", newcount, size);
  return mi_heap_rezalloc_aligned_at(heap, p, total, alignment, offset);
}

EXPORT void* mi_heap_recalloc_aligned(mi_heap_t* heap, void* p, size_t newcount, size_t size,
                                      size_t alignment) mi_attr_noexcept {
  return mi_heap_recalloc_aligned_at(heap, p, newcount, size, alignment, 0);
}

/* ---- life ---- */

EXPORT mi_heap_t* mi_heap_main(void) mi_attr_noexcept { return thread_main_heap(); }

EXPORT mi_heap_t* mi_heap_new(void) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_attach();
  thread_check_fork();
  heap_t* const heap = (heap_t*)(heap_create(thread_main_heap()));
  errno = heap != NULL ? saved_errno : ENOMEM;
  return heap;
}

static bool heap_may_end(const heap_t* heap, const char* verb) {
  if (heap == NULL) return false;
  if (heap->main == NULL) {
    report_warning("heap_%s: the main heap cannot be ended, nothing is done", verb);
    return false;
  }
  if (load_relaxed(&((heap_t*)(uintptr_t)heap)->state) == HEAP_LIVE) return true;
  report_misuse(EINVAL, "heap_%s of %p: the heap was deleted or destroyed before", verb, (const void*)heap);
  return false;
}

/* The calling thread's own use of a heap that ends. */
static void leave_default(const heap_t* heap) {
  const thread_t* const root = (const thread_t*)(thread_root());
  if (root != NULL && root->default_heap == heap) thread_set_default(thread_main_heap());
}

/* Big blocks have no owner to move them, full pages that were given up stand in no stack. */
static void forward_page(page_t* page, void* arg) {
  const heap_t* const heap = (const heap_t*)(arg);
  uintptr_t from = (uintptr_t)heap;
  heap_t* const heir = (heap_t*)(heap->heir);
  heap_t* const counted = (heap_t*)(heir->heir != NULL ? heir : &heap_main); /* an arena's heir shows as the main heap */
  const bool single = page_is_single(page);
  if (!single && !remote_claim(page)) return;
  /* Freed meanwhile, the entry may be another heap's page by now: then it stays that. */
  heap_note_page(heir, page);
  if (cas_strong_acq_rel(&page->heap, &from, (uintptr_t)heir) && single) {
    figure_add(&counted->tally.blocks[BIN_COUNT], 1);
    figure_add(&counted->tally.big_bytes, page->single_size);
  }
  if (!single) page_abandon(page);
}

void heap_delete(heap_t* heap) {
  const int saved_errno = errno;
  leave_default(heap);
  store_seq_cst(&heap->state, (uint32_t)HEAP_DELETED); /* partner: the look at the state in abandoned_link */
  thread_t* const self = (thread_t*)(thread_enter());
  if (self != NULL) thread_settle(self);
  abandoned_sweep(heap);
  heap_visit_pages(heap, forward_page, heap);
  if (self != NULL) thread_leave(self);
  level_down(&heap_count);
  heap_unref(heap);
  errno = saved_errno;
}

static void destroy_page(page_t* page, void* arg) {
  UNUSED(arg);
  const size_t slice = page_slice(page);
  const size_t count = page_slice_count(page);
  heap_close_page(page);
  store_relaxed(&page->owner_tag, 0);
  remote_reset(page);
  slices_clear_start(slice);
  slices_release(slice, count);
}

EXPORT void mi_heap_delete(mi_heap_t* heap) mi_attr_noexcept {
  if (heap_may_end(heap, "delete")) heap_delete(heap);
}

void heap_destroy(heap_t* heap) {
  const int saved_errno = errno;
  leave_default(heap);
  thread_t* const self = (thread_t*)(thread_enter());
  store_seq_cst(&heap->state, (uint32_t)HEAP_DESTROYED);
  abandoned_unlink_all(heap);
  heap_visit_pages(heap, destroy_page, NULL);
  if (self != NULL) {
    thread_settle(self);
    thread_leave(self);
  }
  level_down(&heap_count);
  heap_unref(heap);
  errno = saved_errno;
}

EXPORT void mi_heap_destroy(mi_heap_t* heap) mi_attr_noexcept {
  if (!heap_may_end(heap, "destroy")) return;
  if (heap->only_delete) heap_delete(heap);
  else heap_destroy(heap);
}

/* ---- whose block ---- */

EXPORT mi_heap_t* mi_heap_of(const void* p) mi_attr_noexcept {
  page_t* const page = (page_t*)(p != NULL ? page_of(p) : NULL);
  return page != NULL ? heap_of_page(page) : NULL;
}

EXPORT bool mi_heap_contains(const mi_heap_t* heap, const void* p) mi_attr_noexcept {
  return p != NULL && mi_heap_of(p) == heap_or_main((mi_heap_t*)(uintptr_t)heap);
}

EXPORT bool mi_any_heap_contains(const void* p) mi_attr_noexcept { return mi_heap_of(p) != NULL; }
EXPORT bool mi_check_owned(const void* p) mi_attr_noexcept { return mi_any_heap_contains(p); }
EXPORT bool mi_is_in_heap_region(const void* p) mi_attr_noexcept { return window_slice_of(p) != SLICE_NONE; }

/* Blocks are not filled: nothing is there to be preserved. */
EXPORT void mi_heap_set_debug_fill_preserve(mi_heap_t* heap, size_t preserve) mi_attr_noexcept {
  UNUSED(heap);
  UNUSED(preserve);
}

/* ==== src/alloc/life.c */
/* Threads and the process, as far as the program may want to say something of them: both attach and end by
   themselves. */


EXPORT void mi_thread_init(void) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_attach();
  errno = saved_errno;
}

EXPORT void mi_process_init(void) mi_attr_noexcept { mi_thread_init(); }

EXPORT void mi_thread_done(void) mi_attr_noexcept {
  const int saved_errno = errno;
  if (thread_self != NULL && !thread_self->in_deferred) thread_exit(); /* the callback's caller goes on */
  errno = saved_errno;
}

EXPORT void mi_thread_set_in_threadpool(void) mi_attr_noexcept {
  mi_thread_init();
  thread_t* const root = (thread_t*)(thread_root());
  if (root != NULL) root->in_threadpool = 1;
}

EXPORT size_t mi_thread_id_of(const void* p) mi_attr_noexcept {
  page_t* const page = (page_t*)(p != NULL ? page_of(p) : NULL);
  return page != NULL ? load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK : 0;
}

EXPORT bool mi_is_redirected(void) mi_attr_noexcept { return false; }

/* ==== src/alloc/malloc.c */
/* Allocation: the cold half of malloc, and the entries that only allocate. */


/* ---- the generic path ---- */

static page_t* find_single(heap_part_t* part, const request_t* request, zeroed_t* memory) {
  const single_request_t single = {request->size, request->alignment, request->offset};
  return single_alloc(part->heap, single, memory);
}

/* The bin whose natural alignment serves the request, or BIN_COUNT when it needs a run of its own. */
static unsigned request_bin(const request_t* request) {
  const size_t alignment = request->alignment;
  if (request_is_natural(request)) {
    const size_t size = max_size(request->size, alignment);
    return size <= MEDIUM_BLOCK_MAX ? bin_of(size) : BIN_COUNT;
  }
  if (request->offset % alignment != 0) return BIN_COUNT;
  if (request->size > MEDIUM_BLOCK_MAX || alignment > SMALL_BLOCK_MAX) return BIN_COUNT;
  /* Classes at a multiple of the alignment have it as long as pages start at slices and strides are sizes. */
  const size_t size = align_up(max_size(request->size, 1), alignment);
  if (size > (alignment <= CACHE_LINE ? MEDIUM_BLOCK_MAX : SMALL_BLOCK_MAX)) return BIN_COUNT;
  return bin_of(size);
}

static void* alloc_from_part(heap_part_t* part, const request_t* request) {
  const unsigned bin = request_bin(request);
  zeroed_t memory = MEMORY_UNKNOWN;
  if (bin == BIN_COUNT) {
    page_t* const page = (page_t*)(find_single(part, request, &memory));
    if (page == NULL) return NULL;
    char* const p = (char*)(page_start(page) + page->stride);
    if (request->memory == MEMORY_ZERO && memory != MEMORY_ZERO) memset(p, 0, (size_t)page->single_size);
    return p;
  }
  page_t* const page = (page_t*)(part_find_page(part, bin));
  if (page == NULL) return NULL;
  block_t* const block = (block_t*)(page_pop(page));
  if (request->memory == MEMORY_ZERO) zero_block(page, block);
  return block;
}

static void* alloc_try(const request_t* request) {
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return NULL;
  void* p = NULL;
  /* A nested record serves its own part of the heap. */
  heap_part_t* const part =
      (heap_part_t*)(request->heap == NULL ? thread_default_part(self) : thread_part_of(self, request->heap));
  if (part != NULL) {
    part_drain(part);
    part_tick(part);
    p = alloc_from_part(part, request);
  }
  purge_due();
  thread_leave(self);
  return p;
}

COLD void* alloc_overflow(const char* what, size_t count, size_t size) {
  errno = ENOMEM;
  if (count == 1) report_failure(EOVERFLOW, "%s: %zu bytes are more than PTRDIFF_MAX", what, size);
  else report_failure(EOVERFLOW, "%s: %zu objects of %zu bytes are more than PTRDIFF_MAX", what, count, size);
  errno = ENOMEM;
  return NULL;
}

static bool request_is_valid(const request_t* request) {
  if (request->size > ALLOC_SIZE_MAX || request->offset > ALLOC_SIZE_MAX) {
    alloc_overflow("allocation", 1, max_size(request->size, request->offset));
    return false;
  }
  if (request->alignment != 0 && !is_power_of_two(request->alignment)) {
    report_failure(EINVAL, "allocation: the alignment %zu is not a power of two", request->alignment);
    errno = EINVAL;
    return false;
  }
  return true;
}

COLD void* alloc_generic(request_t request) {
  const int saved_errno = errno;
  if (!request_is_valid(&request)) return NULL;
  thread_attach();
  thread_check_fork();
  thread_look_around();
  alloc_cadence(CADENCE_NORMAL);
  void* p = (void*)(alloc_try(&request));
  if (p == NULL) {
    alloc_cadence(CADENCE_FORCED);
    alloc_collect(CADENCE_FORCED);
    p = alloc_try(&request);
  }
  errno = saved_errno;
  if (p != NULL) return p;
  report_failure(ENOMEM, "out of memory: %zu bytes (alignment %zu) could not be allocated", request.size,
                 request.alignment);
  errno = ENOMEM;
  return NULL;
}

/* Blocks that are on hand but that the fast path does not serve: 8-byte ones, and those above 1 KiB. */
static block_t* take_on_hand(size_t size) {
  if (size > DIRECT_SIZE_MAX ? size > MEDIUM_BLOCK_MAX : size > 8) return NULL;
  heap_part_t* const part = (heap_part_t*)(thread_part);
  thread_t* const self = (thread_t*)(thread_self);
  if (self == NULL || part == &part_empty || !thread_try_busy(self)) return NULL;
  page_t* const page = (page_t*)(part->current[bin_of(size)]);
  block_t* const block = (block_t*)(page != NULL && page->free != NULL ? page_pop(page) : NULL);
  thread_not_busy(self);
  return block;
}

NOINLINE void* alloc_slow(size_t size) {
  block_t* const block = (block_t*)(take_on_hand(size));
  if (likely(block != NULL)) return block;
  return alloc_generic((request_t){.size = size});
}

NOINLINE void* alloc_slow_zero(size_t size) {
  block_t* const block = (block_t*)(take_on_hand(size));
  if (block == NULL) return alloc_generic((request_t){.size = size, .memory = MEMORY_ZERO});
  zero_block(page_of(block), block);
  return block;
}

/* ---- entries ---- */

EXPORT void* mi_malloc(size_t size) mi_attr_noexcept { return malloc_fast(size); }

EXPORT void* mi_zalloc(size_t size) mi_attr_noexcept { return zalloc_fast(size); }

EXPORT void* mi_calloc(size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("calloc", count, size);
  return zalloc_fast(total);
}

EXPORT void* mi_mallocn(size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("mallocn", count, size);
  return malloc_fast(total);
}

EXPORT void* mi_malloc_small(size_t size) mi_attr_noexcept { return malloc_fast(size); }

EXPORT void* mi_zalloc_small(size_t size) mi_attr_noexcept { return zalloc_fast(size); }

EXPORT void* mi_wmalloc_small(size_t wsize) mi_attr_noexcept { return mi_mallocn(wsize, sizeof(void*)); }

EXPORT void* mi_wzalloc_small(size_t wsize) mi_attr_noexcept { return mi_calloc(wsize, sizeof(void*)); }

EXPORT size_t mi_wsize_from_size(size_t size) mi_attr_noexcept {
  return size / sizeof(void*) + (size % sizeof(void*) != 0);
}

/* ==== src/alloc/new.c */
/* The allocation functions of C++ (protocol: alloc/new.h).  Compiled with unwind tables: exceptions of the
   program's new_handler, and our own std::bad_alloc, pass through these frames. */



typedef void new_handler_t(void);

/* The C++ runtime: the handler in force, the throw of std::bad_alloc, the end of a caught exception. */
new_handler_t* _ZSt15get_new_handlerv(void) __attribute__((weak, visibility("default")));
_Noreturn void _ZSt17__throw_bad_allocv(void) __attribute__((weak, visibility("default")));
void* __cxa_begin_catch(void* exception) __attribute__((weak, visibility("default")));
void __cxa_end_catch(void) __attribute__((weak, visibility("default")));

static new_handler_t* current_handler(void) {
  return _ZSt15get_new_handlerv != NULL ? _ZSt15get_new_handlerv() : NULL;
}

static COLD _Noreturn void throw_bad_alloc(size_t size) {
  if (_ZSt17__throw_bad_allocv != NULL) _ZSt17__throw_bad_allocv();
  report_fatal("out of memory: operator new of %zu bytes failed, and there is no C++ runtime to throw", size);
}

/* What to try next; an alignment that can never be had is not worth a try. */
static new_handler_t* handler_for(const request_t* request) {
  const bool possible = request->alignment == 0 || is_power_of_two(request->alignment);
  return possible ? current_handler() : NULL;
}

COLD void* new_retry(request_t request) {
  for (;;) {
    new_handler_t* const handler = (new_handler_t*)(handler_for(&request));
    if (handler == NULL) throw_bad_alloc(request.size);
    handler();
    void* const p = (void*)(alloc_generic(request));
    if (p != NULL) return p;
  }
}

COLD void* new_retry_nothrow(request_t request) {
  for (;;) {
    new_handler_t* const handler = (new_handler_t*)(handler_for(&request));
    if (handler == NULL) return NULL;
    void* const exception = (void*)(call_catching(handler));
    if (exception != NULL) {
      __cxa_begin_catch(exception);
      __cxa_end_catch();
      return NULL;
    }
    void* const p = (void*)(alloc_generic(request));
    if (p != NULL) return p;
  }
}

/* ---- entries ---- */

NOINLINE void* new_slow(size_t size) {
  void* const p = (void*)(alloc_slow(size));
  return likely(p != NULL) ? p : new_retry((request_t){.size = size});
}

EXPORT void* mi_new(size_t size) {
  return new_fast(size);
}

EXPORT void* mi_new_nothrow(size_t size) mi_attr_noexcept {
  void* const p = (void*)(malloc_fast(size));
  return likely(p != NULL) ? p : new_retry_nothrow((request_t){.size = size});
}

EXPORT void* mi_new_aligned(size_t size, size_t alignment) {
  void* const p = (void*)(mi_malloc_aligned(size, alignment));
  return likely(p != NULL) ? p : new_retry((request_t){.size = size, .alignment = alignment});
}

EXPORT void* mi_new_aligned_nothrow(size_t size, size_t alignment) mi_attr_noexcept {
  void* const p = (void*)(mi_malloc_aligned(size, alignment));
  return likely(p != NULL) ? p : new_retry_nothrow((request_t){.size = size, .alignment = alignment});
}

/* The product, or a size that no allocation can have. */
static size_t saturated_product(size_t count, size_t size) {
  size_t total;
  return mul_fits(count, size, &total) ? total : SIZE_MAX;
}

EXPORT void* mi_new_n(size_t count, size_t size) {
  return mi_new(saturated_product(count, size));
}

EXPORT void* mi_new_realloc(void* p, size_t newsize) {
  for (;;) {
    void* const q = (void*)(mi_realloc(p, newsize));
    if (likely(q != NULL)) return q;
    new_handler_t* const handler = (new_handler_t*)(current_handler());
    if (handler == NULL) throw_bad_alloc(newsize);
    handler();
  }
}

EXPORT void* mi_new_reallocn(void* p, size_t newcount, size_t size) {
  return mi_new_realloc(p, saturated_product(newcount, size));
}

EXPORT void* mi_heap_alloc_new(mi_heap_t* heap, size_t size) {
  void* const p = (void*)(mi_heap_malloc(heap, size));
  return likely(p != NULL) ? p : new_retry((request_t){.heap = heap_or_main(heap), .size = size});
}

EXPORT void* mi_heap_alloc_new_n(mi_heap_t* heap, size_t count, size_t size) {
  return mi_heap_alloc_new(heap, saturated_product(count, size));
}

EXPORT void* mi_theap_alloc_new(mi_theap_t* theap, size_t size) {
  return mi_heap_alloc_new(theap_heap(theap), size);
}

EXPORT void* mi_theap_alloc_new_n(mi_theap_t* theap, size_t count, size_t size) {
  return mi_heap_alloc_new_n(theap_heap(theap), count, size);
}

EXPORT void* mi_theap_alloc_new_nothrow(mi_theap_t* theap, size_t size) mi_attr_noexcept {
  void* const p = (void*)(mi_theap_malloc(theap, size));
  return likely(p != NULL) ? p : new_retry_nothrow((request_t){.heap = theap_heap(theap), .size = size});
}

/* ==== src/alloc/posix.c */
/* The names of POSIX, the Unixes and Windows for what the allocator does anyway, each with its own rules for
   arguments and errors. */


EXPORT size_t mi_malloc_size(const void* p) mi_attr_noexcept {
  return mi_usable_size(p);
}

EXPORT size_t mi_malloc_usable_size(const void* p) mi_attr_noexcept {
  return mi_usable_size(p);
}

EXPORT size_t mi_malloc_good_size(size_t size) mi_attr_noexcept {
  return mi_good_size(size);
}

EXPORT bool mi_cfree(void* p) mi_attr_noexcept {
  if (p == NULL || window_slice_of(p) == SLICE_NONE) return false;
  free_fast(p);
  return true;
}

EXPORT void* mi__expand(void* p, size_t newsize) mi_attr_noexcept {
  void* const q = (void*)(mi_expand(p, newsize));
  if (q == NULL) errno = ENOMEM;
  return q;
}

/* ---- aligned ---- */

EXPORT int mi_posix_memalign(void** p, size_t alignment, size_t size) mi_attr_noexcept {
  if (p == NULL || alignment % sizeof(void*) != 0 || !is_power_of_two(alignment)) return EINVAL;
  const int saved = errno;
  void* const q = (void*)(mi_malloc_aligned(size, alignment));
  errno = saved;
  if (q == NULL) return ENOMEM;
  *p = q;
  return 0;
}

EXPORT void* mi_memalign(size_t alignment, size_t size) mi_attr_noexcept {
  if (likely(is_power_of_two(alignment))) return mi_malloc_aligned(size, alignment);
  report_failure(EINVAL, "memalign: the alignment %zu is not a power of two", alignment);
  errno = EINVAL;
  return NULL;
}

EXPORT void* mi_aligned_alloc(size_t alignment, size_t size) mi_attr_noexcept {
  return mi_memalign(alignment, size);
}

EXPORT void* mi_valloc(size_t size) mi_attr_noexcept {
  return mi_malloc_aligned(size, os_page_size());
}

EXPORT void* mi_pvalloc(size_t size) mi_attr_noexcept {
  const size_t page = os_page_size();
  if (size > ALLOC_SIZE_MAX - page) return alloc_overflow("pvalloc", 1, size);
  return mi_malloc_aligned(align_up(max_size(size, 1), page), page);
}

EXPORT void* mi_aligned_recalloc(void* p, size_t newcount, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_recalloc_aligned(p, newcount, size, alignment);
}

EXPORT void* mi_aligned_offset_recalloc(void* p, size_t newcount, size_t size, size_t alignment,
                                        size_t offset) mi_attr_noexcept {
  return mi_recalloc_aligned_at(p, newcount, size, alignment, offset);
}

/* ---- arrays ---- */

EXPORT void* mi_reallocarray(void* p, size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (likely(mul_fits(count, size, &total))) return mi_realloc(p, total);
  alloc_overflow("reallocarray", count, size);
  errno = EOVERFLOW;
  return NULL;
}

/* ptrp points to a pointer of whatever type, so it is read and written as bytes. */
EXPORT int mi_reallocarr(void* ptrp, size_t count, size_t size) mi_attr_noexcept {
  if (ptrp == NULL || size == 0) return errno = EINVAL;
  size_t total;
  if (!mul_fits(count, size, &total)) {
    alloc_overflow("reallocarr", count, size);
    return errno = EOVERFLOW;
  }
  void* p;
  memcpy(&p, ptrp, sizeof(p));
  void* q = NULL;
  if (total == 0) {
    mi_free(p);
  } else {
    q = mi_realloc(p, total);
    if (q == NULL) return errno = ENOMEM;
  }
  memcpy(ptrp, &q, sizeof(q));
  return 0;
}

/* ---- the environment ---- */

EXPORT int mi_dupenv_s(char** buf, size_t* size, const char* name) mi_attr_noexcept {
  if (buf == NULL || name == NULL) return EINVAL;
  if (size != NULL) *size = 0;
  *buf = NULL;
  const char* const value = (const char*)(getenv(name));
  if (value == NULL) return 0;
  *buf = mi_strdup(value);
  if (*buf == NULL) return ENOMEM;
  if (size != NULL) *size = strlen(value) + 1;
  return 0;
}

EXPORT int mi_wdupenv_s(wchar_t** buf, size_t* size, const wchar_t* name) mi_attr_noexcept {
  UNUSED(buf);
  UNUSED(size);
  UNUSED(name);
  return EINVAL;
}

/* ==== src/alloc/realloc.c */
/* Changing the size of a block: in place where that wastes less than half and is possible, else by moving. */


static bool is_aligned_as(const void* p, const request_t* request) {
  return request->alignment <= 1 || ((uintptr_t)p + request->offset) % request->alignment == 0;
}

/* Big blocks give their tail back, or take the free slices behind them. */
static bool resize_single(page_t* page, const request_t* request) {
  if (page->slices != 0 || request->size <= MEDIUM_BLOCK_MAX) return false;
  const size_t old = (size_t)page->single_size;
  thread_t* const self = (thread_t*)(thread_enter());
  if (self == NULL) return false;
  const bool resized = single_resize(page, request->size);
  thread_leave(self);
  if (!resized) return false;
  if (request->memory == MEMORY_ZERO) { /* what was added, or the unused end of the last page */
    const size_t from = min_size(old, request->size);
    memset(page_start(page) + page->stride + from, 0, (size_t)page->single_size - from);
  }
  return true;
}

static bool resize_in_place(void* p, page_t* page, const request_t* request) {
  const size_t usable = block_usable_size(page);
  if (request->size == 0 || !is_aligned_as(p, request)) return false;
  if (request->size <= usable && request->size >= usable / 2) {
    /* Zeroing reallocs rely on zeros behind the requested size. */
    if (request->memory == MEMORY_ZERO) memset((char*)p + request->size, 0, usable - request->size);
    return true;
  }
  return resize_single(page, request);
}

/* Big blocks change their place in the page tables. */
static bool move_pages(void* p, void* q) {
  page_t* const from = (page_t*)(page_of(p));
  page_t* const to = (page_t*)(page_of(q));
  return from->slices == 0 && to->slices == 0 && single_move(from, to);
}

static void* move_block(void* p, size_t usable, request_t request) {
  const size_t keep = min_size(usable, request.size);
  const zeroed_t wanted = request.memory;
  request.memory = MEMORY_UNKNOWN;
  const bool plain = request.alignment <= 1 && request.heap == NULL;
  char* const q = (char*)(plain ? malloc_fast(request.size) : alloc_generic(request));
  if (q == NULL) return NULL;
  if (keep <= MEDIUM_BLOCK_MAX || !move_pages(p, q)) memcpy(q, p, keep);
  if (wanted == MEMORY_ZERO) memset(q + keep, 0, mi_usable_size(q) - keep);
  free_fast(p);
  return q;
}

void* resize(void* p, request_t request) {
  if (p == NULL) return alloc_generic(request);
  if (unlikely(request.size > ALLOC_SIZE_MAX)) return alloc_overflow("realloc", 1, request.size);
  page_t* page;
  switch (block_lookup(p, "realloc", &page)) {
    case BLOCK_OURS: break;
    case BLOCK_FOREIGN: return foreign.realloc(p, request.size);
    default: errno = ENOMEM; return NULL;
  }
  if (request.heap != NULL && request.heap != (heap_t*)load_relaxed(&page->heap)) {
    return move_block(p, block_usable_size(page), request);
  }
  if (resize_in_place(p, page, &request)) return p;
  return move_block(p, block_usable_size(page), request);
}

/* ---- entries ---- */

EXPORT void* mi_realloc(void* p, size_t newsize) mi_attr_noexcept { return resize(p, (request_t){.size = newsize}); }

EXPORT void* mi_reallocn(void* p, size_t count, size_t size) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(count, size, &total)) return alloc_overflow("reallocn", count, size);
  return mi_realloc(p, total);
}

EXPORT void* mi_reallocf(void* p, size_t newsize) mi_attr_noexcept {
  void* const q = resize(p, (request_t){.size = newsize});
  if (q == NULL) mi_free(p);
  return q;
}

EXPORT void* mi_rezalloc(void* p, size_t newsize) mi_attr_noexcept {
  return resize(p, (request_t){.size = newsize, .memory = MEMORY_ZERO});
}

EXPORT void* mi_recalloc(void* p, size_t newcount, size_t size) mi_attr_noexcept {
  size_t total;
  if (!mul_fits(newcount, size, &total)) return alloc_overflow("recalloc", newcount, size);
  return mi_rezalloc(p, total);
}

EXPORT void* mi_expand(void* p, size_t newsize) mi_attr_noexcept {
  page_t* page;
  if (p == NULL || block_lookup(p, "expand", &page) != BLOCK_OURS) return NULL;
  return newsize <= block_usable_size(page) ? p : NULL;
}

/* ==== src/alloc/sized.c */
/* Allocation entries that also tell how large the block is. */

static void* with_size(void* p, size_t* block_size) {
  if (block_size != NULL) *block_size = mi_usable_size(p);
  return p;
}

EXPORT void* mi_umalloc(size_t size, size_t* block_size) mi_attr_noexcept { return with_size(malloc_fast(size), block_size); }

EXPORT void* mi_umalloc_small(size_t size, size_t* block_size) mi_attr_noexcept {
  return with_size(malloc_fast(size), block_size);
}

EXPORT void* mi_uzalloc_small(size_t size, size_t* block_size) mi_attr_noexcept {
  return with_size(zalloc_fast(size), block_size);
}

EXPORT void* mi_ucalloc(size_t count, size_t size, size_t* block_size) mi_attr_noexcept {
  return with_size(mi_calloc(count, size), block_size);
}

EXPORT void* mi_umalloc_aligned(size_t size, size_t alignment, size_t* block_size) mi_attr_noexcept {
  return with_size(mi_malloc_aligned(size, alignment), block_size);
}

EXPORT void* mi_uzalloc_aligned(size_t size, size_t alignment, size_t* block_size) mi_attr_noexcept {
  return with_size(mi_zalloc_aligned(size, alignment), block_size);
}

EXPORT void* mi_urealloc(void* p, size_t newsize, size_t* block_size_pre, size_t* block_size_post) mi_attr_noexcept {
  if (block_size_pre != NULL) *block_size_pre = mi_usable_size(p);
  void* const q = (void*)(mi_realloc(p, newsize));
  if (block_size_post != NULL) *block_size_post = mi_usable_size(q);
  return q;
}

/* ==== src/alloc/strings.c */
/* Copies of strings and paths. */


/* length characters of s and a terminator, in heap (NULL: by mi_malloc). */
static char* copy_string(heap_t* heap, const char* s, size_t length) {
  char* const copy = (char*)(heap == NULL ? mi_malloc(length + 1) : mi_heap_malloc(heap, length + 1));
  if (copy == NULL) return NULL;
  memcpy(copy, s, length);
  copy[length] = 0;
  return copy;
}

/* The path is resolved on the stack: what the C library allocated could be another allocator's block. */
static char* copy_realpath(heap_t* heap, const char* fname, char* resolved_name) {
  if (resolved_name != NULL) return realpath(fname, resolved_name);
  char path[PATH_MAX];
  if (realpath(fname, path) == NULL) return NULL;
  return copy_string(heap, path, strlen(path));
}

EXPORT char* mi_strdup(const char* s) mi_attr_noexcept {
  return s == NULL ? NULL : copy_string(NULL, s, strlen(s));
}

EXPORT char* mi_strndup(const char* s, size_t n) mi_attr_noexcept {
  return s == NULL ? NULL : copy_string(NULL, s, strnlen(s, n));
}

EXPORT char* mi_realpath(const char* fname, char* resolved_name) mi_attr_noexcept {
  return copy_realpath(NULL, fname, resolved_name);
}

EXPORT char* mi_heap_strdup(mi_heap_t* heap, const char* s) mi_attr_noexcept {
  return s == NULL ? NULL : copy_string(heap, s, strlen(s));
}

EXPORT char* mi_heap_strndup(mi_heap_t* heap, const char* s, size_t n) mi_attr_noexcept {
  return s == NULL ? NULL : copy_string(heap, s, strnlen(s, n));
}

EXPORT char* mi_heap_realpath(mi_heap_t* heap, const char* fname, char* resolved_name) mi_attr_noexcept {
  return copy_realpath(heap, fname, resolved_name);
}

EXPORT unsigned char* mi_mbsdup(const unsigned char* s) mi_attr_noexcept {
  return (unsigned char*)mi_strdup((const char*)s);
}

EXPORT wchar_t* mi_wcsdup(const wchar_t* s) mi_attr_noexcept {
  if (s == NULL) return NULL;
  const size_t bytes = (wcslen(s) + 1) * sizeof(wchar_t);
  wchar_t* const copy = (wchar_t*)(mi_malloc(bytes));
  if (copy != NULL) memcpy(copy, s, bytes);
  return copy;
}

/* ==== src/alloc/subprocess.c */
/* Sub-processes: groups of threads and heaps that share no page.

   A sub-process is its main heap; its id is that heap's address.  Pages belong to heaps and are reclaimed
   only by parts of the same heap, and a heap never changes its sub-process: nothing else keeps them apart. */


static mi_subproc_id_t id_of(heap_t* main) { return (mi_subproc_id_t){main}; }

static heap_t* main_of(mi_subproc_id_t id) { return heap_subprocess(id._mi_subproc_id); }

EXPORT mi_subproc_id_t mi_subproc_main(void) mi_attr_noexcept { return id_of(&heap_main); }
EXPORT mi_subproc_id_t mi_subproc_current(void) mi_attr_noexcept { return id_of(thread_main_heap()); }

EXPORT mi_subproc_id_t mi_subproc_new(void) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_attach();
  thread_check_fork();
  heap_t* const main = (heap_t*)(heap_create(NULL));
  errno = main != NULL ? saved_errno : ENOMEM;
  return id_of(main);
}

EXPORT void mi_subproc_add_current_thread(mi_subproc_id_t id) mi_attr_noexcept {
  const int saved_errno = errno;
  heap_t* const main = (heap_t*)(main_of(id));
  thread_attach();
  if (main == NULL)
    report_warning("subproc_add_current_thread: there is no sub-process %p", id._mi_subproc_id);
  else if (main != thread_main_heap() && !thread_join_subprocess(main))
    report_warning("subproc_add_current_thread: the thread has allocated before, it stays where it is");
  errno = saved_errno;
}

typedef struct visitor_s {
  mi_heap_visit_fun* visit;
  void* arg;
} visitor_t;

static bool visit_heap(heap_t* heap, void* arg) {
  const visitor_t* const visitor = (const visitor_t*)(arg);
  return visitor->visit(heap, visitor->arg);
}

EXPORT bool mi_subproc_visit_heaps(mi_subproc_id_t id, mi_heap_visit_fun* visitor, void* arg) mi_attr_noexcept {
  visitor_t with = {visitor, arg};
  heap_t* const main = (heap_t*)(main_of(id));
  return main != NULL && visitor != NULL && heap_visit_heaps(main, visit_heap, &with);
}

typedef void end_t(heap_t* heap);

static bool end_child(heap_t* heap, void* end) {
  if (heap->main != NULL) (*(end_t* const*)end)(heap);
  return true;
}

static void end_subprocess(mi_subproc_id_t id, const char* verb, end_t* end) {
  heap_t* const main = (heap_t*)(main_of(id));
  if (id._mi_subproc_id == NULL) return;
  if (main == NULL) {
    report_misuse(EINVAL, "subproc_%s of %p: there is no such sub-process (any more)", verb,
                  id._mi_subproc_id);
  } else if (main == &heap_main) {
    report_warning("subproc_%s: the main sub-process cannot be ended, nothing is done", verb);
  } else {
    heap_visit_heaps(main, end_child, &end);
    end(main);
  }
}

EXPORT void mi_subproc_destroy(mi_subproc_id_t id) mi_attr_noexcept { end_subprocess(id, "destroy", heap_destroy); }
EXPORT void mi_subproc_delete(mi_subproc_id_t id) mi_attr_noexcept { end_subprocess(id, "delete", heap_delete); }

/* ==== src/alloc/theaps.c */
/* A thread's parts of heaps as the program sees them, the thread's default heap, and the names of 2.x for it.

   Everything but identity comes from the heap that a part belongs to: allocation goes through the calling
   thread's part of that heap, whichever part it was asked for. */


/* ---- parts ---- */

/* The thread's own part rather than a nested record's, so that it stays the same. */
EXPORT mi_theap_t* mi_heap_theap(mi_heap_t* h) mi_attr_noexcept {
  heap_t* const heap = (heap_t*)(heap_or_main(h));
  const int saved_errno = errno;
  thread_attach();
  thread_check_fork();
  const thread_t* const root = (const thread_t*)(thread_root());
  heap_part_t* part = (heap_part_t*)(root != NULL ? thread_find_part(root, heap) : NULL);
  thread_t* const self = (thread_t*)(part == NULL ? thread_enter() : NULL);
  if (self != NULL) {
    part = thread_part_of(self, heap);
    thread_leave(self);
  }
  errno = part != NULL ? saved_errno : ENOMEM;
  return part;
}

/* The thread's own record, busy, and its part of the heap; false: the thread is inside the allocator already
   (a signal handler, the scavenger), or has no such part. */
static bool enter_part(const heap_t* heap, thread_t** self, heap_part_t** part) {
  thread_check_fork();
  *self = thread_self != NULL ? thread_enter() : NULL;
  if (*self == NULL) return false;
  *part = (*self)->outer == NULL ? thread_find_part(*self, heap) : NULL;
  if (*part == NULL) thread_leave(*self);
  return *part != NULL;
}

EXPORT void mi_theap_delete(mi_theap_t* theap) mi_attr_noexcept {
  if (theap == NULL) return;
  const int saved_errno = errno;
  heap_t* const heap = (heap_t*)(theap->heap);
  thread_t* self;
  heap_part_t* part;
  if (mi_heap_get_default() == heap) thread_set_default(thread_main_heap());
  if (enter_part(heap, &self, &part)) {
    thread_end_part(self, part);
    thread_leave(self);
  }
  errno = saved_errno;
}

EXPORT void mi_theap_quiescent_abandon(mi_theap_t* theap) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_t* self;
  heap_part_t* part;
  if (enter_part(theap_heap(theap), &self, &part)) {
    part_drain(part);
    part_abandon_all(part);
    thread_leave(self);
  }
  errno = saved_errno;
}

EXPORT void mi_theap_collect(mi_theap_t* theap, bool force) mi_attr_noexcept { mi_heap_collect(theap_heap(theap), force); }

/* There is no guarded sampling that could be tuned. */
EXPORT void mi_theap_guarded_set_sample_rate(mi_theap_t* theap, size_t sample_rate, size_t seed) mi_attr_noexcept {
  UNUSED(theap);
  UNUSED(sample_rate);
  UNUSED(seed);
}

EXPORT void mi_theap_guarded_set_size_bound(mi_theap_t* theap, size_t min, size_t max) mi_attr_noexcept {
  UNUSED(theap);
  UNUSED(min);
  UNUSED(max);
}

/* ---- the default ---- */

EXPORT mi_heap_t* mi_heap_get_default(void) mi_attr_noexcept {
  const int saved_errno = errno;
  thread_attach();
  errno = saved_errno;
  const thread_t* const root = (const thread_t*)(thread_root());
  return root != NULL ? root->default_heap : &heap_main;
}

EXPORT mi_theap_t* mi_theap_get_default(void) mi_attr_noexcept { return mi_heap_theap(mi_heap_get_default()); }

EXPORT mi_theap_t* mi_theap_set_default(mi_theap_t* theap) mi_attr_noexcept {
  mi_theap_t* const previous = (mi_theap_t*)(mi_theap_get_default());
  heap_t* const heap = (heap_t*)(theap_heap(theap));
  if (previous == NULL || mi_heap_theap(heap) == NULL) return NULL;
  thread_set_default(heap);
  return previous;
}

EXPORT mi_heap_t* mi_heap_set_default(mi_heap_t* heap) mi_attr_noexcept {
  mi_theap_t* const theap = (mi_theap_t*)(mi_heap_theap(heap));
  mi_theap_t* const previous = (mi_theap_t*)(theap != NULL ? mi_theap_set_default(theap) : NULL);
  return previous != NULL ? previous->heap : NULL;
}

EXPORT mi_heap_t* mi_heap_get_backing(void) mi_attr_noexcept { return mi_heap_main(); }

EXPORT mi_heap_t* mi_heap_new_ex(int heap_tag, bool allow_destroy, mi_arena_id_t arena_id) mi_attr_noexcept {
  UNUSED(heap_tag);
  mi_heap_t* const heap = (mi_heap_t*)(mi_heap_new_in_arena(arena_id));
  if (heap != NULL) heap->only_delete = !allow_destroy;
  return heap;
}

EXPORT bool mi_heap_contains_block(mi_heap_t* heap, const void* p) mi_attr_noexcept { return mi_heap_contains(heap, p); }
EXPORT bool mi_heap_check_owned(mi_heap_t* heap, const void* p) mi_attr_noexcept { return mi_heap_contains(heap, p); }

/* ---- allocation ---- */

EXPORT void* mi_theap_malloc(mi_theap_t* theap, size_t size) mi_attr_noexcept {
  return mi_heap_malloc(theap_heap(theap), size);
}

EXPORT void* mi_theap_zalloc(mi_theap_t* theap, size_t size) mi_attr_noexcept {
  return mi_heap_zalloc(theap_heap(theap), size);
}

EXPORT void* mi_theap_calloc(mi_theap_t* theap, size_t count, size_t size) mi_attr_noexcept {
  return mi_heap_calloc(theap_heap(theap), count, size);
}

EXPORT void* mi_theap_malloc_small(mi_theap_t* theap, size_t size) mi_attr_noexcept { return mi_theap_malloc(theap, size); }
EXPORT void* mi_theap_zalloc_small(mi_theap_t* theap, size_t size) mi_attr_noexcept { return mi_theap_zalloc(theap, size); }

EXPORT void* mi_theap_wmalloc_small(mi_theap_t* theap, size_t wsize) mi_attr_noexcept {
  return mi_heap_mallocn(theap_heap(theap), wsize, sizeof(void*));
}

EXPORT void* mi_theap_wzalloc_small(mi_theap_t* theap, size_t wsize) mi_attr_noexcept {
  return mi_theap_calloc(theap, wsize, sizeof(void*));
}

EXPORT void* mi_theap_malloc_aligned(mi_theap_t* theap, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_heap_malloc_aligned(theap_heap(theap), size, alignment);
}

EXPORT void* mi_theap_zalloc_aligned(mi_theap_t* theap, size_t size, size_t alignment) mi_attr_noexcept {
  return mi_heap_zalloc_aligned(theap_heap(theap), size, alignment);
}

EXPORT void* mi_theap_realloc(mi_theap_t* theap, void* p, size_t newsize) mi_attr_noexcept {
  return mi_heap_realloc(theap_heap(theap), p, newsize);
}

EXPORT void* mi_theap_rezalloc(mi_theap_t* theap, void* p, size_t newsize) mi_attr_noexcept {
  return mi_heap_rezalloc(theap_heap(theap), p, newsize);
}

/* ---- src/report/statistics.h */
/* What the process holds and has handed out, counted when asked: live blocks are read off the pages, and
   what a page has handed out is what was put into its free list and is not there any more.  So the fast paths
   count nothing.  Exact once no other thread runs; while they run, each page is read at its own moment. */
#ifndef REPORT_STATISTICS_H
#define REPORT_STATISTICS_H


typedef struct bin_snapshot_s {
  size_t pages, blocks; /* blocks: live */
  uint64_t served;      /* blocks handed out */
} bin_snapshot_t;

/* Whose pages are counted: those of a sub-process by its main heap (NULL: of all), of a heap (NULL: of all),
   owned by the thread (0: by anybody). */
typedef struct scope_s {
  heap_t* main;
  heap_t* heap;
  uintptr_t tag;
} scope_t;

typedef struct stats_snapshot_s {
  scope_t scope;
  size_t live_bytes, live_blocks; /* usable bytes of live blocks, big ones included */
  size_t huge_bytes, huge_blocks; /* the big ones: runs of their own */
  size_t pages, abandoned_pages;
  size_t page_bytes;      /* slices that pages and big blocks cover */
  size_t free_bytes;      /* carved or not, inside pages and not live */
  size_t reserved, committed, peak_committed, dirty, metadata; /* committed: claimed slices */
  uint64_t purged, purge_calls, commit_calls, map_calls;
  uint64_t huge_served, huge_served_bytes; /* big blocks handed out; not of a single thread */
  uint64_t served_blocks, served_bytes;    /* all blocks handed out */
  size_t threads;
  bin_snapshot_t bins[BIN_COUNT];
} stats_snapshot_t;

void stats_snapshot(stats_snapshot_t* stats); /* of the process */
void stats_snapshot_of(scope_t scope, stats_snapshot_t* stats);

#endif

/* ==== src/report/figures.c */
/* The statistics as the public struct: include/mimalloc-stats.h says what each figure means.

   Peaks.  Nobody counts blocks while they come and go, but pages: a bin's blocks were never more than its
   pages at their peak had room for, nor were all bytes more than the slices claimed at their peak, nor was
   anything more than its total. */

_Static_assert(BIN_COUNT == MI_BIN_HUGE, "our bins and the big blocks fill the public ones");

static int64_t smaller(uint64_t a, uint64_t b) { return (int64_t)(a < b ? a : b); }

static mi_stat_count_t count_of(uint64_t total, int64_t peak, uint64_t current) {
  const int64_t now = (int64_t)current;
  return (mi_stat_count_t){(int64_t)total, peak > now ? peak : now, now};
}

static mi_stat_count_t count_level(level_t* level, uint64_t more) {
  const uint64_t current = figure_read(&level->current) + more;
  return count_of(figure_read(&level->total) + more, (int64_t)(figure_read(&level->peak) + more), current);
}

/* Of a bin: blocks in all its pages at their peak. */
static uint64_t room(unsigned bin) {
  return figure_read(&heap_pages[bin].peak) * (bin_page_slices(bin) * SLICE_SIZE / bin_stride(bin));
}

static void fill_bins(mi_stats_t* stats, const stats_snapshot_t* from) {
  mi_stat_count_t normal = {0, 0, 0};
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    const bin_snapshot_t* const b = &from->bins[bin];
    const int64_t size = (int64_t)bin_size(bin);
    mi_stat_count_t* const blocks = &stats->malloc_bins[bin];
    *blocks = count_of(b->served, smaller(b->served, room(bin)), b->blocks);
    normal.total += blocks->total * size;
    normal.peak += blocks->peak * size;
    normal.current += blocks->current * size;
    stats->malloc_normal_count.total += blocks->total;
    stats->page_bins[bin].current = (int64_t)b->pages;
  }
  const uint64_t peak = (uint64_t)normal.peak;
  stats->malloc_normal =
      count_of((uint64_t)normal.total, smaller(peak, from->peak_committed), (uint64_t)normal.current);
}

static void fill_blocks(mi_stats_t* stats, const stats_snapshot_t* from) {
  const uint64_t bytes = from->peak_committed;
  fill_bins(stats, from);
  stats->malloc_huge =
      count_of(from->huge_served_bytes, smaller(from->huge_served_bytes, bytes), from->huge_bytes);
  stats->malloc_huge_count.total = (int64_t)from->huge_served;
  stats->malloc_bins[MI_BIN_HUGE] =
      count_of(from->huge_served, smaller(from->huge_served, bytes / SLICE_SIZE), from->huge_blocks);
  stats->page_bins[MI_BIN_HUGE].current = (int64_t)from->huge_blocks;
  stats->allocated = count_of(from->served_bytes, smaller(from->served_bytes, bytes), from->live_bytes);
  stats->malloc_count.total = (int64_t)from->served_blocks;
  stats->free_count.total = (int64_t)(from->served_blocks - from->live_blocks);
  stats->freed.total = (int64_t)(from->served_bytes - from->live_bytes);
  stats->pages.current = (int64_t)from->pages;
  stats->pages_abandoned.current = (int64_t)from->abandoned_pages;
}

static void fill_pages(mi_stats_t* stats, const stats_snapshot_t* from) {
  uint64_t total = from->huge_served;
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    mi_stat_count_t* const pages = &stats->page_bins[bin];
    *pages = count_of(figure_read(&heap_pages[bin].total), (int64_t)figure_read(&heap_pages[bin].peak),
                      (uint64_t)pages->current);
    total += (uint64_t)pages->total;
  }
  stats->page_bins[MI_BIN_HUGE] = stats->malloc_bins[MI_BIN_HUGE];
  stats->pages = count_of(total, smaller(total, from->peak_committed / SLICE_SIZE), from->pages);
}

static void fill_process(mi_stats_t* stats, const stats_snapshot_t* from) {
  fill_pages(stats, from);
  stats->reserved = count_of(from->reserved, 0, from->reserved); /* addresses are never returned */
  stats->committed = count_of(figure_read(&memory_counters.committed), (int64_t)from->peak_committed,
                              from->committed);
  stats->purged.total = (int64_t)from->purged;
  stats->mmap_calls.total = (int64_t)from->map_calls;
  stats->commit_calls.total = (int64_t)from->commit_calls;
  stats->purge_calls.total = (int64_t)from->purge_calls;
  stats->threads = count_of(figure_read(&thread_total), (int64_t)figure_read(&thread_peak), from->threads);
  stats->heaps = count_level(&heap_count, 1); /* and the main heap */
  stats->theaps = count_level(&heap_part_count, 0);
}

/* ---- since the last reset ---- */

/* Totals at the reset; written by mi_stats_reset, a word at a time. */
static mi_stats_t base;

typedef void total_visit_t(int64_t* total, int64_t* at_reset);

static void visit_totals(mi_stats_t* stats, total_visit_t* visit) {
#define MI_STAT_COUNT(name)   visit(&stats->name.total, &base.name.total);
#define MI_STAT_COUNTER(name) visit(&stats->name.total, &base.name.total);
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    visit(&stats->malloc_bins[bin].total, &base.malloc_bins[bin].total);
    visit(&stats->page_bins[bin].total, &base.page_bins[bin].total);
  }
}

static void keep_total(int64_t* total, int64_t* at_reset) {
  __atomic_store_n(at_reset, *total, __ATOMIC_RELAXED);
}

static void subtract_total(int64_t* total, int64_t* at_reset) {
  *total -= __atomic_load_n(at_reset, __ATOMIC_RELAXED);
}

static void reset_peak(level_t* level) { figure_set(&level->peak, figure_read(&level->current)); }

static void fill_since_start(mi_stats_t* stats) {
  stats_snapshot_t from;
  thread_hear();
  stats_snapshot(&from);
  mi_stats_init(stats);
  fill_blocks(stats, &from);
  fill_process(stats, &from);
}

/* ---- entries ---- */

static bool is_of_this_version(const mi_stats_t* stats) {
  return stats != NULL && stats->size == sizeof(*stats) && stats->version == MI_STAT_VERSION;
}

EXPORT bool mi_stats_get(mi_stats_t* stats) mi_attr_noexcept {
  if (!is_of_this_version(stats)) return false;
  fill_since_start(stats);
  visit_totals(stats, subtract_total);
  return true;
}

static bool fill_scope(mi_stats_t* stats, scope_t scope) {
  if (!is_of_this_version(stats)) return false;
  stats_snapshot_t from;
  thread_hear();
  stats_snapshot_of(scope, &from);
  mi_stats_init(stats);
  fill_blocks(stats, &from);
  return true;
}

EXPORT bool mi_heap_stats_get(mi_heap_t* heap, mi_stats_t* stats) mi_attr_noexcept {
  return fill_scope(stats, (scope_t){.heap = heap != NULL ? heap : thread_main_heap()});
}

EXPORT bool mi_theap_stats_get(mi_theap_t* theap, mi_stats_t* stats) mi_attr_noexcept {
  if (theap == NULL) theap = mi_theap_get_default();
  return theap != NULL && fill_scope(stats, (scope_t){.heap = theap->heap, .tag = theap->tag});
}

EXPORT bool mi_subproc_stats_get(mi_subproc_id_t id, mi_stats_t* stats) mi_attr_noexcept {
  heap_t* const main = (heap_t*)(heap_subprocess(id._mi_subproc_id));
  return main != NULL && fill_scope(stats, (scope_t){.main = main});
}

typedef struct less_s {
  mi_stats_t* from;
  mi_stats_t heap;
} less_t;

static int64_t not_below_0(int64_t number) { return number > 0 ? number : 0; }

/* Figures of a heap that lives do not count. */
static bool subtract_heap(heap_t* heap, void* arg) {
  less_t* const less = (less_t*)(arg);
  mi_stats_header_init(&less->heap);
  if (!fill_scope(&less->heap, (scope_t){.heap = heap})) return false;
#define MI_STAT_COUNT(name) \
  less->from->name.total = not_below_0(less->from->name.total - less->heap.name.total);
#define MI_STAT_COUNTER(name) MI_STAT_COUNT(name)
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    int64_t* const total = &less->from->malloc_bins[bin].total;
    *total = not_below_0(*total - less->heap.malloc_bins[bin].total);
  }
  return true;
}

static void clear_live(mi_stats_t* stats) {
#define MI_STAT_COUNT(name) stats->name.peak = stats->name.current = 0;
#define MI_STAT_COUNTER(name)
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    stats->malloc_bins[bin].peak = stats->malloc_bins[bin].current = 0;
    stats->page_bins[bin].peak = stats->page_bins[bin].current = 0;
  }
}

EXPORT bool mi_subproc_stats_get_exclusive(mi_subproc_id_t id, mi_stats_t* stats) mi_attr_noexcept {
  heap_t* const main = (heap_t*)(heap_subprocess(id._mi_subproc_id));
  less_t less = {.from = stats};
  if (!mi_subproc_stats_get(id, stats) || !heap_visit_heaps(main, subtract_heap, &less)) return false;
  clear_live(stats);
  return true;
}

EXPORT size_t mi_stats_get_bin_size(size_t bin) mi_attr_noexcept { return bin < BIN_COUNT ? bin_size((unsigned)bin) : 0; }

EXPORT void mi_stats_reset(void) mi_attr_noexcept {
  mi_stats_t stats;
  fill_since_start(&stats);
  visit_totals(&stats, keep_total);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) reset_peak(&heap_pages[bin]);
  reset_peak(&heap_count);
  reset_peak(&heap_part_count);
  figure_set(&thread_peak, load_relaxed(&heap_threads));
  figure_set(&memory_counters.claimed_peak, figure_read(&memory_counters.claimed));
}

/* There is nothing to merge: every figure is counted once, when it is asked for. */
EXPORT void mi_stats_merge(void) mi_attr_noexcept {}
EXPORT void mi_theap_stats_merge_to_heap(mi_theap_t* theap) mi_attr_noexcept { UNUSED(theap); }
EXPORT void mi_heap_stats_merge_to_subproc(mi_heap_t* heap) mi_attr_noexcept { UNUSED(heap); }
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER

/* ==== src/report/json.c */
/* The statistics as JSON.  The text is made twice when a block is wanted for it: to know its length, then to
   store it. */


enum { PIECE_MAX = 256 };

typedef struct process_s {
  size_t elapsed, user, system, rss, peak_rss, commit, peak_commit, faults;
} process_t;

typedef struct text_s {
  char* buffer;
  size_t size;   /* of the buffer */
  size_t length; /* of the text so far, without its terminator */
} text_t;

PRINTF_LIKE(2, 3) static void text_put(text_t* text, const char* format, ...) {
  char piece[PIECE_MAX];
  va_list arguments;
  va_start(arguments, format);
  const size_t length = format_text_v(piece, sizeof(piece), format, arguments);
  va_end(arguments);
  if (text->length + length < text->size) memcpy(text->buffer + text->length, piece, length + 1);
  text->length += length;
}

static void put_process(text_t* text, const process_t* process) {
  text_put(text, "  \"process\": {\n");
  text_put(text, "    \"elapsed_msecs\": %zu,\n    \"user_msecs\": %zu,\n    \"system_msecs\": %zu,\n",
           process->elapsed, process->user, process->system);
  text_put(text, "    \"page_faults\": %zu,\n    \"rss_current\": %zu,\n    \"rss_peak\": %zu,\n",
           process->faults, process->rss, process->peak_rss);
  text_put(text, "    \"commit_current\": %zu,\n    \"commit_peak\": %zu\n  },\n", process->commit,
           process->peak_commit);
}

/* The inside of an object: the three numbers. */
static void put_count(text_t* text, const mi_stat_count_t* count) {
  text_put(text, "\"total\": %lld, \"peak\": %lld, \"current\": %lld", (long long)count->total,
      (long long)count->peak, (long long)count->current);
}

static void put_fields(text_t* text, const mi_stats_t* stats) {
#define MI_STAT_COUNT(name)           \
  text_put(text, "  \"%s\": { ", #name);   \
  put_count(text, &stats->name);      \
  text_put(text, " },\n");
#define MI_STAT_COUNTER(name) text_put(text, "  \"%s\": %lld,\n", #name, (long long)stats->name.total);
  MI_STAT_FIELDS()
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER
}

static void put_bins(text_t* text, const char* name, const mi_stat_count_t* bins) {
  text_put(text, "  \"%s\": [\n", name);
  for (unsigned bin = 0; bin <= MI_BIN_HUGE; bin++) {
    text_put(text, "    { ");
    put_count(text, &bins[bin]);
    text_put(text, ", \"block_size\": %zu, \"page_size\": %zu }%s\n", mi_stats_get_bin_size(bin),
        bin < BIN_COUNT ? bin_page_slices(bin) * SLICE_SIZE : 0, bin < MI_BIN_HUGE ? "," : "");
  }
  text_put(text, "  ],\n");
}

static void put_chunks(text_t* text, const mi_stat_count_t* chunks) {
  static const char kinds[] = "SXMLH "; /* as mi_chunkbin_t */
  text_put(text, "  \"chunk_bins\": [\n");
  for (unsigned kind = 0; kind < MI_CBIN_COUNT; kind++) {
    text_put(text, "    { ");
    put_count(text, &chunks[kind]);
    text_put(text, ", \"bin\": \"%c\" }%s\n", kinds[kind], kind + 1 < MI_CBIN_COUNT ? "," : "");
  }
  text_put(text, "  ]\n");
}

static void put_all(text_t* text, const mi_stats_t* stats, const process_t* process) {
  text_put(text, "{\n  \"stat_version\": %d,\n  \"mimalloc_version\": %d,\n", MI_STAT_VERSION,
           MI_MALLOC_VERSION);
  put_process(text, process);
  put_fields(text, stats);
  put_bins(text, "malloc_bins", stats->malloc_bins);
  put_bins(text, "page_bins", stats->page_bins);
  put_chunks(text, stats->chunk_bins);
  text_put(text, "}\n");
}

EXPORT char* mi_stats_as_json(mi_stats_t* stats, size_t buf_size, char* buf) mi_attr_noexcept {
  if (stats == NULL || stats->size != sizeof(*stats) || stats->version != MI_STAT_VERSION) return NULL;
  process_t now;
  mi_process_info(&now.elapsed, &now.user, &now.system, &now.rss, &now.peak_rss, &now.commit,
                  &now.peak_commit, &now.faults);
  text_t text = {buf, buf != NULL ? buf_size : 0, 0};
  put_all(&text, stats, &now);
  if (buf != NULL) return text.length < buf_size ? buf : NULL;
  text = (text_t){NULL, text.length + 1, 0};
  text.buffer = (char*)mi_malloc(text.size);
  if (text.buffer == NULL) return NULL;
  put_all(&text, stats, &now);
  return text.buffer;
}

EXPORT char* mi_stats_get_json(size_t buf_size, char* buf) mi_attr_noexcept {
  mi_stats_t_decl(stats);
  return mi_stats_get(&stats) ? mi_stats_as_json(&stats, buf_size, buf) : NULL;
}

EXPORT char* mi_subproc_stats_get_json(mi_subproc_id_t id, size_t buf_size, char* buf) mi_attr_noexcept {
  mi_stats_t_decl(stats);
  return mi_subproc_stats_get(id, &stats) ? mi_stats_as_json(&stats, buf_size, buf) : NULL;
}

EXPORT char* mi_heap_stats_get_json(mi_heap_t* heap, size_t buf_size, char* buf) mi_attr_noexcept {
  mi_stats_t_decl(stats);
  return mi_heap_stats_get(heap, &stats) ? mi_stats_as_json(&stats, buf_size, buf) : NULL;
}
#undef MI_STAT_COUNT
#undef MI_STAT_COUNTER

/* ==== src/report/process.c */
/* What the system knows of this process. */

static void give(size_t* where, size_t value) {
  if (where != NULL) *where = value;
}

EXPORT void mi_process_info(size_t* elapsed_msecs, size_t* user_msecs, size_t* system_msecs,
                            size_t* current_rss, size_t* peak_rss, size_t* current_commit,
                            size_t* peak_commit, size_t* page_faults) mi_attr_noexcept {
  static atomic_u64_t first_ms;
  const memory_stats_t memory = memory_stats();
  uint64_t start = 0;
  const uint64_t now = os_now_ms();
  const os_usage_t usage = os_process_usage();
  const size_t rss = os_process_rss();
  if (cas_strong_acq_rel(&first_ms, &start, now)) start = now;
  give(elapsed_msecs, (size_t)(now - start));
  give(user_msecs, usage.user_ms);
  give(system_msecs, usage.system_ms);
  give(current_rss, rss);
  give(peak_rss, max_size(usage.peak_rss, rss)); /* the system updates its peak late */
  give(current_commit, memory.claimed);
  give(peak_commit, memory.claimed_peak);
  give(page_faults, usage.page_faults);
}

EXPORT void mi_process_info_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept {
  const output_t sink = {out, arg};
  size_t elapsed, user, system, rss, peak_rss, commit, peak_commit, faults;
  mi_process_info(&elapsed, &user, &system, &rss, &peak_rss, &commit, &peak_commit, &faults);
  print_to(&sink, "mimalloc: process: %zu.%03zu s elapsed, %zu.%03zu s user, %zu.%03zu s system\n",
           elapsed / 1000, elapsed % 1000, user / 1000, user % 1000, system / 1000, system % 1000);
  print_to(&sink, "  resident   %14zu bytes, peak %zu; %zu page faults from disk\n", rss, peak_rss, faults);
  print_to(&sink, "  committed  %14zu bytes, peak %zu\n", commit, peak_commit);
}

EXPORT void mi_process_info_print(void) mi_attr_noexcept { mi_process_info_print_out(NULL, NULL); }

/* ==== src/report/statistics.c */
#define put_bins report_statistics_put_bins
/* Statistics as text.  Reads all modules, is called by none below. */



/* Blocks that wait to be delivered are free, too: a full page that is not armed any more has one such. */
static size_t live_blocks(page_t* page) {
  const size_t live = page_live_blocks(page);
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  const bool full = tag > CARE_MASK && (tag & CARE_FULL) != 0;
  return live - min_size(live, full && remote_state(load_acquire(&page->thread_free)) != REMOTE_DELAYED);
}

static bool is_in_scope(scope_t scope, page_t* page) {
  heap_t* const heap = (heap_t*)(heap_of_page(page));
  if (scope.main != NULL && (heap == NULL || heap_main_of(heap) != scope.main)) return false;
  if (scope.heap != NULL && heap != scope.heap) return false;
  return scope.tag == 0 || (load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) == scope.tag;
}

static void count_page(page_t* page, void* arg) {
  stats_snapshot_t* const stats = (stats_snapshot_t*)(arg);
  if (!is_in_scope(stats->scope, page)) return;
  stats->pages++;
  stats->page_bytes += page_slice_count(page) * SLICE_SIZE;
  if (page_is_single(page)) {
    stats->huge_blocks++;
    stats->huge_bytes += (size_t)page->single_size;
    return;
  }
  const unsigned bin = page->bin;
  if (bin >= BIN_COUNT) return; /* it has just become a big block */
  const size_t live = live_blocks(page);
  if (load_relaxed(&page->owner_tag) == TAG_ABANDONED) stats->abandoned_pages++;
  stats->bins[bin].pages++;
  stats->bins[bin].blocks += live;
  stats->bins[bin].served += page_served(page);
  stats->live_blocks += live;
  stats->live_bytes += live * bin_size(bin);
}

/* What pages that have gone had handed out. */
static void add_tally(stats_snapshot_t* stats, tally_t* tally) {
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) stats->bins[bin].served += figure_read(&tally->blocks[bin]);
  stats->huge_served = figure_read(&tally->blocks[BIN_COUNT]);
  stats->huge_served_bytes = figure_read(&tally->big_bytes);
}

static void add_memory(stats_snapshot_t* stats) {
  const memory_stats_t memory = memory_stats();
  stats->reserved = memory.reserved;
  stats->committed = memory.claimed;
  stats->peak_committed = memory.claimed_peak;
  stats->dirty = memory.dirty;
  stats->metadata = memory.metadata;
  stats->purged = memory.purged;
  stats->purge_calls = memory.purge_calls;
  stats->commit_calls = memory.commit_calls;
  stats->map_calls = memory.map_calls;
  stats->threads = load_relaxed(&heap_threads);
}

void stats_snapshot_of(scope_t scope, stats_snapshot_t* stats) {
  memset(stats, 0, sizeof(*stats));
  stats->scope = scope;
  /* Blocks of a deleted heap belong to the main heap, also where its own pages are not. */
  if (scope.heap == NULL || scope.heap->main == NULL) heap_visit_all_pages(count_page, stats);
  else heap_visit_pages(scope.heap, count_page, stats);
  if (scope.heap != NULL && scope.tag == 0) add_tally(stats, &scope.heap->tally);
  else if (scope.main != NULL) add_tally(stats, &scope.main->subprocess);
  else if (scope.tag == 0) add_tally(stats, &heap_tally);
  stats->live_blocks += stats->huge_blocks;
  stats->live_bytes += stats->huge_bytes;
  stats->free_bytes = stats->page_bytes - min_size(stats->page_bytes, stats->live_bytes);
  stats->served_blocks = stats->huge_served;
  stats->served_bytes = stats->huge_served_bytes;
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    stats->served_blocks += stats->bins[bin].served;
    stats->served_bytes += stats->bins[bin].served * bin_size(bin);
  }
  add_memory(stats);
}

void stats_snapshot(stats_snapshot_t* stats) { stats_snapshot_of((scope_t){0}, stats); }

/* ---- text ---- */

static void put_bins(const output_t* sink, const stats_snapshot_t* stats) {
  print_to(sink, "  %10s %12s %14s %10s\n", "block", "live", "bytes", "pages");
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    const bin_snapshot_t* const b = &stats->bins[bin];
    if (b->pages == 0) continue;
    print_to(sink, "  %10zu %12zu %14zu %10zu\n", bin_size(bin), b->blocks, b->blocks * bin_size(bin),
             b->pages);
  }
  print_to(sink, "  %10s %12zu %14zu %10zu\n", "big", stats->huge_blocks, stats->huge_bytes,
           stats->huge_blocks);
}

static void print_stats(const output_t* sink) {
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  print_to(sink, "mimalloc: statistics of process %d\n", (int)getpid());
  print_to(sink, "  live       %14zu bytes in %zu blocks\n", stats.live_bytes, stats.live_blocks);
  print_to(sink, "  committed  %14zu bytes, peak %zu\n", stats.committed, stats.peak_committed);
  print_to(sink, "  dirty      %14zu bytes free but not yet given back\n", stats.dirty);
  print_to(sink, "  purged     %14llu bytes in %llu calls\n", (unsigned long long)stats.purged,
      (unsigned long long)stats.purge_calls);
  print_to(sink, "  reserved   %14zu bytes of addresses, %zu of metadata\n", stats.reserved, stats.metadata);
  print_to(sink, "  resident   %14zu bytes\n", os_process_rss());
  print_to(sink, "  pages      %14zu, %zu of them abandoned; %zu threads\n", stats.pages,
           stats.abandoned_pages, stats.threads);
  print_to(sink, "  OS calls   %14llu commit, %llu map\n", (unsigned long long)stats.commit_calls,
      (unsigned long long)stats.map_calls);
  put_bins(sink, &stats);
}

EXPORT void mi_stats_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept {
  const output_t sink = {out, arg};
  print_stats(&sink);
}

EXPORT void mi_stats_print(void* out) mi_attr_noexcept { mi_stats_print_out((mi_output_fun*)out, NULL); }

/* What a heap or a thread has its part in. */
static void print_scope(const output_t* sink, scope_t scope) {
  stats_snapshot_t stats;
  stats_snapshot_of(scope, &stats);
  print_to(sink, "  live       %14zu bytes in %zu blocks\n", stats.live_bytes, stats.live_blocks);
  print_to(sink, "  pages      %14zu, %zu of them abandoned\n", stats.pages, stats.abandoned_pages);
  put_bins(sink, &stats);
}

EXPORT void mi_heap_stats_print_out(mi_heap_t* heap, mi_output_fun* out, void* arg) mi_attr_noexcept {
  const output_t sink = {out, arg};
  thread_hear();
  print_to(&sink, "mimalloc: statistics of heap %p\n", (void*)heap);
  print_scope(&sink, (scope_t){.heap = heap != NULL ? heap : thread_main_heap()});
}

static bool print_heap(heap_t* heap, void* arg) {
  const output_t* const sink = (const output_t*)arg;
  print_to(sink, "  heap %p\n", (void*)heap);
  print_scope(sink, (scope_t){.heap = heap});
  return true;
}

EXPORT void mi_subproc_heap_stats_print_out(mi_subproc_id_t id, mi_output_fun* out, void* arg) mi_attr_noexcept {
  output_t sink = {out, arg};
  heap_t* const main = (heap_t*)(heap_subprocess(id._mi_subproc_id));
  thread_hear();
  print_to(&sink, "mimalloc: statistics of the heaps of sub-process %p\n", id._mi_subproc_id);
  if (main != NULL) heap_visit_heaps(main, print_heap, &sink);
}

EXPORT void mi_subproc_stats_print_out(mi_subproc_id_t id, mi_output_fun* out, void* arg) mi_attr_noexcept {
  const output_t sink = {out, arg};
  heap_t* const main = (heap_t*)(heap_subprocess(id._mi_subproc_id));
  thread_hear();
  print_to(&sink, "mimalloc: statistics of sub-process %p\n", id._mi_subproc_id);
  if (main != NULL) print_scope(&sink, (scope_t){.main = main});
}

EXPORT void mi_thread_stats_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept {
  const output_t sink = {out, arg};
  thread_hear();
  print_to(&sink, "mimalloc: statistics of the calling thread\n");
  /* A thread without a record owns no page: no page has this tag. */
  print_scope(&sink, (scope_t){.tag = thread_self != NULL ? thread_self->tag : UINTPTR_MAX});
}

/* Programs close their stderr before they exit, and descriptor 2 may name another file by then. */
__attribute__((constructor)) static void prepare_for_exit(void) {
  if (option_enabled(mi_option_show_stats)) os_keep_stderr();
}

/* Once, when MIMALLOC_SHOW_STATS is set; the first line is for programs to read. */
__attribute__((destructor)) static void print_at_exit(void) {
  static atomic_u32_t printed;
  if (!option_enabled(mi_option_show_stats) || exchange_acq_rel(&printed, 1u) != 0) return;
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  os_return_to_stderr();
  const output_t sink = {NULL, NULL};
  print_to(&sink, "mimalloc: served: blocks=%llu bytes=%llu pid=%d\n",
           (unsigned long long)stats.served_blocks, (unsigned long long)stats.served_bytes, (int)getpid());
  print_stats(&sink);
}

EXPORT void mi_process_done(void) mi_attr_noexcept {
  const int saved_errno = errno;
  print_at_exit();
  scavenger_switch_off();
  errno = saved_errno;
}
#undef put_bins

/* ==== src/report/visit.c */
#define heap_or_main report_visit_heap_or_main
#define visit_heap report_visit_visit_heap
/* Visiting the areas and live blocks of a heap, and telling sparse pages.

   Nothing counts blocks one by one, so which are live is read off the pages: carved, and on no list of free
   ones.  Those lists are the page's own three, and the delayed lists, where a block may wait in a part that
   has given its page up since: so all parts' are looked at.  They are mostly empty; of those that are not, a
   filter tells which pages to ask them about.

   Nothing is allocated, locked or changed.  A page is read before its blocks are reported, and not touched
   after, so the visitor may free the block it is given. */


enum { FILTER_BITS = 4096 };

typedef enum reach_e { REACH_ALL, REACH_ABANDONED, REACH_PART } reach_t;

typedef struct visit_s {
  heap_t* heap;
  const heap_part_t* part; /* REACH_PART: the one */
  reach_t reach;
  bool blocks; /* report them, not only their areas */
  bool stopped;
  mi_block_visit_fun* visitor;
  void* arg;
  uint64_t delayed[FILTER_BITS / 64]; /* pages that have a block on a delayed list, by slice % FILTER_BITS */
} visit_t;

/* ---- delayed lists ---- */

static bool filter_page(page_t* page, const block_t* listed, void* arg) {
  UNUSED(listed);
  const size_t bit = page_slice(page) % FILTER_BITS;
  ((visit_t*)arg)->delayed[bit / 64] |= UINT64_C(1) << (bit % 64);
  return false;
}

static void filter_part(heap_part_t* part, void* visit) { part_look_delayed(part, filter_page, visit); }

static bool has_delayed(const visit_t* visit, const page_t* page) {
  const size_t bit = page_slice(page) % FILTER_BITS;
  return (visit->delayed[bit / 64] >> (bit % 64)) & 1;
}

typedef struct delayed_of_s {
  const page_t* page;
  page_look_t* look; /* NULL: only count */
  size_t count;
} delayed_of_t;

static bool note_delayed(page_t* page, const block_t* listed, void* arg) {
  delayed_of_t* const of = (delayed_of_t*)(arg);
  if (page != of->page) return false;
  of->count++;
  if (of->look != NULL) page_look_note(of->look, listed);
  return false;
}

static void note_delayed_of_part(heap_part_t* part, void* arg) { part_look_delayed(part, note_delayed, arg); }

/* ---- one page ---- */

static bool report(const visit_t* visit, const mi_heap_area_t* area, void* block) {
  return visit->visitor(visit->heap, area, block, area->block_size, visit->arg);
}

static bool visit_single(const visit_t* visit, const page_t* page) {
  char* const block = (char*)(page_start(page) + page->stride);
  const size_t bytes = page_slice_count(page) * SLICE_SIZE - page->stride;
  const mi_heap_area_t area = {.blocks = block,
                               .reserved = bytes,
                               .committed = bytes,
                               .used = 1,
                               .block_size = (size_t)page->single_size,
                               .full_block_size = bytes};
  return report(visit, &area, NULL) && (!visit->blocks || report(visit, &area, block));
}

static mi_heap_area_t area_of(const page_t* page) {
  const size_t stride = page->stride;
  const unsigned bin = page->bin;
  return (mi_heap_area_t){.blocks = page_start(page),
                          .reserved = page->reserved * stride,
                          .committed = page_capacity(page) * stride,
                          .block_size = bin < BIN_COUNT ? bin_size(bin) : stride,
                          .full_block_size = stride};
}

static bool visit_area(const visit_t* visit, page_t* page) {
  delayed_of_t delayed = {.page = page};
  mi_heap_area_t area = area_of(page);
  if (has_delayed(visit, page)) thread_visit_parts(note_delayed_of_part, &delayed);
  area.used = page_live_blocks(page);
  area.used -= min_size(area.used, delayed.count);
  return report(visit, &area, NULL);
}

static bool visit_blocks(const visit_t* visit, const page_t* page) {
  page_look_t look;
  delayed_of_t delayed = {.page = page, .look = &look};
  mi_heap_area_t area = area_of(page);
  page_look(page, &look);
  if (has_delayed(visit, page)) thread_visit_parts(note_delayed_of_part, &delayed);
  for (size_t i = 0; i < look.capacity; i++) area.used += page_look_is_listed(&look, i) ? 0 : 1;
  if (!report(visit, &area, NULL)) return false;
  for (size_t i = 0; i < look.capacity; i++) {
    if (!page_look_is_listed(&look, i) && !report(visit, &area, look.start + i * look.stride)) return false;
  }
  return true;
}

static bool is_wanted(const visit_t* visit, page_t* page, uintptr_t tag) {
  switch (visit->reach) {
    case REACH_ALL: return heap_of_page(page) == visit->heap;
    case REACH_ABANDONED: return tag == TAG_ABANDONED && heap_of_page(page) == visit->heap;
    default:
      return tag != TAG_SINGLE && tag != TAG_ABANDONED &&
             load_relaxed(&page->part) == (uintptr_t)visit->part;
  }
}

static void visit_page(page_t* page, void* arg) {
  visit_t* const visit = (visit_t*)(arg);
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  /* 0: the visitor has freed its last block. */
  if (visit->stopped || tag == 0 || !is_wanted(visit, page, tag)) return;
  bool more;
  if (tag == TAG_SINGLE) more = visit_single(visit, page);
  else if (visit->blocks) more = visit_blocks(visit, page);
  else more = visit_area(visit, page);
  visit->stopped = !more;
}

/* ---- entries ---- */

static bool visit_heap(visit_t* visit) {
  const int saved_errno = errno;
  thread_attach();
  thread_check_fork();
  memset(visit->delayed, 0, sizeof(visit->delayed));
  thread_visit_parts(filter_part, visit);
  /* Pages of deleted heaps count as the main heap's, wherever they are. */
  if (visit->heap->main == NULL) heap_visit_all_pages(visit_page, visit);
  else heap_visit_pages(visit->heap, visit_page, visit);
  errno = saved_errno;
  return !visit->stopped;
}

static heap_t* heap_or_main(mi_heap_t* heap) { return heap != NULL ? heap : thread_main_heap(); }

EXPORT bool mi_heap_visit_blocks(mi_heap_t* heap, bool blocks, mi_block_visit_fun* visitor, void* arg) mi_attr_noexcept {
  visit_t visit = {.heap = heap_or_main(heap), .blocks = blocks, .visitor = visitor, .arg = arg};
  return visit_heap(&visit);
}

EXPORT bool mi_heap_visit_abandoned_blocks(mi_heap_t* heap, bool blocks, mi_block_visit_fun* visitor,
                                           void* arg) mi_attr_noexcept {
  visit_t visit = {.heap = heap_or_main(heap),
                   .reach = REACH_ABANDONED,
                   .blocks = blocks,
                   .visitor = visitor,
                   .arg = arg};
  return visit_heap(&visit);
}

EXPORT bool mi_theap_visit_blocks(const mi_theap_t* theap, bool blocks, mi_block_visit_fun* visitor,
                                  void* arg) mi_attr_noexcept {
  const thread_t* const root = (const thread_t*)(thread_root());
  if (theap == NULL && root != NULL) theap = thread_find_part(root, root->default_heap);
  if (theap == NULL) return true; /* a thread that has no part has no blocks */
  visit_t visit = {.heap = theap->heap,
                   .part = theap,
                   .reach = REACH_PART,
                   .blocks = blocks,
                   .visitor = visitor,
                   .arg = arg};
  return visit_heap(&visit);
}

/* ---- for defragmenters ---- */

/* Does its owner take the next block of the class from this page? */
static bool is_allocated_from(page_t* page) {
  const uintptr_t tag = load_relaxed(&page->owner_tag);
  if (tag == 0 || tag == TAG_ABANDONED) return false;
  const heap_part_t* const part = (const heap_part_t*)load_relaxed(&page->part);
  const page_t* const current = (const page_t*)(part->current[page->bin]);
  return page == (current != NULL ? current : part->queues[page->bin].first);
}

EXPORT bool mi_unsafe_heap_page_is_under_utilized(mi_heap_t* heap, void* p, size_t percent) mi_attr_noexcept {
  page_t* const page = (page_t*)(p != NULL ? page_of(p) : NULL);
  if (page == NULL || page_is_single(page) || heap_of_page(page) != heap_or_main(heap)) return false;
  if (page->bin >= BIN_COUNT || is_allocated_from(page)) return false;
  return page_live_blocks(page) * 100 < min_size(percent, 100) * page->reserved;
}
#undef heap_or_main
#undef visit_heap
#if MI_OVERRIDE
#pragma GCC visibility pop

/* ==== src/override/foreign.c */
/* Foreign pointers in a process whose malloc we replace: blocks made by the allocator behind us (before we
   were loaded, or by a library bound to it) are its to free.  A pointer can only be one when it points into
   anonymous memory; stacks, static data and unmapped addresses are misuse and reported as such. The
   functions of the next allocator are looked up once, when the library is loaded; a look-up that comes
   earlier is done then.  A static program has no next allocator. */



#pragma weak dlsym /* absent from static programs */

enum { NEXT_FREE, NEXT_REALLOC, NEXT_USABLE_SIZE, NEXT_COUNT };

static const char* const next_names[NEXT_COUNT] = {"free", "realloc", "malloc_usable_size"};
static atomic_word_t next_functions[NEXT_COUNT]; /* atomic: 0 not looked up, NEXT_MISSING, or the address */

#define NEXT_MISSING ((uintptr_t)1)

static void* next_function(unsigned which) {
  uintptr_t function = load_relaxed(&next_functions[which]);
  if (function == 0) {
    const int saved = errno;
    if (dlsym != NULL) function = (uintptr_t)dlsym(RTLD_NEXT, next_names[which]);
    errno = saved;
    if (function == 0) function = NEXT_MISSING;
    store_relaxed(&next_functions[which], function);
  }
  return function == NEXT_MISSING ? NULL : (void*)function;
}

static __attribute__((constructor)) void look_up_next(void) {
  for (unsigned i = 0; i < NEXT_COUNT; i++) next_function(i);
}

/* The mapping that held the last forwarded block, in one word: first page << 24 | pages.  A program that
   hands over many foreign blocks pays for reading the list of mappings once in a while only. */
static atomic_u64_t last_region;

enum { REGION_PAGE_SHIFT = 12, REGION_COUNT_BITS = 24 };

static void remember_region(const os_region_t* region) {
  const uint64_t pages = (region->end - region->start) >> REGION_PAGE_SHIFT;
  const uint64_t first = region->start >> REGION_PAGE_SHIFT;
  if (pages >> REGION_COUNT_BITS == 0 && first >> (64 - REGION_COUNT_BITS) == 0) {
    store_relaxed(&last_region, first << REGION_COUNT_BITS | pages);
  }
}

static bool in_last_region(const void* p) {
  const uint64_t word = load_relaxed(&last_region);
  const uint64_t pages = word & ((UINT64_C(1) << REGION_COUNT_BITS) - 1);
  return ((uintptr_t)p >> REGION_PAGE_SHIFT) - (word >> REGION_COUNT_BITS) < pages;
}

/* NULL when p may be a block of another allocator, else what it is. */
static const char* why_not_a_block(const void* p) {
  if ((uintptr_t)p % sizeof(void*) != 0) return "a misaligned address";
  if (in_last_region(p)) return NULL;
  const os_region_t region = os_region_of(p);
  switch (region.place) {
  case OS_PLACE_UNMAPPED:
    return "an address without memory";
  case OS_PLACE_STACK:
    return "an address on the stack";
  case OS_PLACE_STATIC:
    return "an address of static data or code";
  case OS_PLACE_HEAP:
    remember_region(&region);
    break;
  case OS_PLACE_UNKNOWN:
    break;
  }
  return NULL;
}

/* The next allocator's function for block p, or NULL when there is none or p is no block (then reported). */
static void* next_for(unsigned which, const char* verb, const void* p) {
  const char* reason = (const char*)(why_not_a_block(p));
  void* const function = (void*)(reason == NULL ? next_function(which) : NULL);
  if (function == NULL) foreign_report(verb, p, reason != NULL ? reason : "memory from elsewhere");
  return function;
}

static void forward_free(void* p) {
  void (*const next)(void*) = (void (*)(void*))next_for(NEXT_FREE, "free", p);
  if (next != NULL) next(p);
}

static void* forward_realloc(void* p, size_t size) {
  void* (*const next)(void*, size_t) = (void* (*)(void*, size_t))next_for(NEXT_REALLOC, "realloc", p);
  if (next != NULL) return next(p, size != 0 ? size : 1); /* a block of no bytes, not the end of p */
  errno = ENOMEM;
  return NULL;
}

static size_t forward_usable_size(const void* p) {
  size_t (*const next)(const void*) =
      (size_t(*)(const void*))next_for(NEXT_USABLE_SIZE, "malloc_usable_size", p);
  return next != NULL ? next(p) : 0;
}

const foreign_t foreign = {forward_free, forward_realloc, forward_usable_size};
#undef NEXT_MISSING
#pragma GCC visibility push(hidden)
#endif
#if MI_OVERRIDE
#pragma GCC visibility pop

/* ==== src/override/libc.c */
/* The functions of the C library that allocate, under their own names, with the C library's own rules where
   they differ from the mi_ functions: realloc(p, 0) frees, alignments of memalign are rounded up, and what
   fails for whatever reason but a bad alignment leaves ENOMEM.  (strdup and its like need no replacement:
   the C library's call malloc.) */


void cfree(void* p);
void free_sized(void* p, size_t size);
void free_aligned_sized(void* p, size_t alignment, size_t size);
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* p, size_t size);
void __libc_free(void* p);
void __libc_cfree(void* p);
void* __libc_memalign(size_t alignment, size_t size);
void* __libc_valloc(size_t size);
void* __libc_pvalloc(size_t size);
void* __libc_reallocarray(void* p, size_t count, size_t size);
int __posix_memalign(void** p, size_t alignment, size_t size);
#if !defined(__GLIBC__) /* the only C library with this name of old */
void* pvalloc(size_t size);
#endif

EXPORT void* malloc(size_t size) {
  return malloc_fast(size);
}

EXPORT void* calloc(size_t count, size_t size) {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("calloc", count, size);
  /* The C library callocs for every thread that is about to start; perhaps nothing else is ever allocated. */
  if (unlikely(thread_libc_has_threads())) thread_look_around();
  return zalloc_fast(total);
}

EXPORT void free(void* p) {
  free_fast(p);
}

EXPORT void* realloc(void* p, size_t size) {
  if (unlikely(p == NULL)) return malloc_fast(size);
  if (likely(size != 0)) return mi_realloc(p, size);
  free_fast(p);
  return NULL;
}

EXPORT void* reallocarray(void* p, size_t count, size_t size) {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("reallocarray", count, size);
  return realloc(p, total);
}

EXPORT size_t malloc_usable_size(void* p) {
  return mi_usable_size(p);
}

/* ---- C23: the caller knows size and alignment ---- */

EXPORT void free_sized(void* p, size_t size) {
  UNUSED(size);
  free_fast(p);
}

EXPORT void free_aligned_sized(void* p, size_t alignment, size_t size) {
  UNUSED(alignment);
  UNUSED(size);
  free_fast(p);
}

/* ---- aligned ---- */

EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  return mi_aligned_alloc(alignment, size);
}

EXPORT int posix_memalign(void** p, size_t alignment, size_t size) {
  return mi_posix_memalign(p, alignment, size);
}

EXPORT void* memalign(size_t alignment, size_t size) {
  const size_t largest = SIZE_MAX / 2 + 1;
  if (unlikely(alignment > largest)) {
    errno = EINVAL;
    return NULL;
  }
  size_t power = alignment < 2 ? 1 : (size_t)2 << bit_highest(alignment - 1);
  if (is_power_of_two(alignment)) power = alignment;
  void* const p = (void*)(mi_malloc_aligned(size, power));
  if (unlikely(p == NULL)) errno = ENOMEM;
  return p;
}

EXPORT void* valloc(size_t size) {
  return mi_valloc(size);
}

EXPORT void* pvalloc(size_t size) {
  return mi_pvalloc(size);
}

/* ---- other names that programs and other libraries are linked with ---- */

EXPORT void cfree(void* p) {
  free_fast(p);
}
EXPORT void __libc_free(void* p) {
  free_fast(p);
}
EXPORT void __libc_cfree(void* p) {
  free_fast(p);
}
EXPORT void* __libc_malloc(size_t size) {
  return malloc_fast(size);
}
EXPORT void* __libc_calloc(size_t count, size_t size) {
  return mi_calloc(count, size);
}
EXPORT void* __libc_realloc(void* p, size_t size) {
  return realloc(p, size);
}
EXPORT void* __libc_reallocarray(void* p, size_t count, size_t size) {
  return reallocarray(p, count, size);
}
EXPORT void* __libc_memalign(size_t alignment, size_t size) {
  return memalign(alignment, size);
}
EXPORT void* __libc_valloc(size_t size) {
  return mi_valloc(size);
}
EXPORT void* __libc_pvalloc(size_t size) {
  return mi_pvalloc(size);
}
EXPORT int __posix_memalign(void** p, size_t alignment, size_t size) {
  return mi_posix_memalign(p, alignment, size);
}
#pragma GCC visibility push(hidden)
#endif
#if MI_OVERRIDE
#pragma GCC visibility pop

/* ==== src/override/malloc_info.c */
/* The C library's questions about its heap, answered for ours, and its settings. Its terms: an "arena" is
   what small and medium blocks live in (used + free); what it would have mapped for one block each are our
   big blocks; what a trim could release now is memory that is free but not yet purged. */


#if defined(__GLIBC__) /* others have none of it */

EXPORT struct mallinfo2 mallinfo2(void) {
  const int saved = errno;
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  struct mallinfo2 info = {0};
  info.uordblks = stats.live_bytes - stats.huge_bytes;
  info.fordblks = stats.free_bytes + stats.dirty;
  info.arena = info.uordblks + info.fordblks;
  info.ordblks = stats.pages;
  info.hblks = stats.huge_blocks;
  info.hblkhd = stats.huge_bytes;
  info.keepcost = stats.dirty;
  errno = saved;
  return info;
}

/* The older form has ints: what does not fit is the largest. */
static int saturated(size_t value) {
  return value > INT_MAX ? INT_MAX : (int)value;
}

EXPORT struct mallinfo mallinfo(void) {
  const struct mallinfo2 info = mallinfo2();
  struct mallinfo old = {0};
  old.uordblks = saturated(info.uordblks);
  old.fordblks = saturated(info.fordblks);
  old.arena = saturated(info.arena);
  old.ordblks = saturated(info.ordblks);
  old.hblks = saturated(info.hblks);
  old.hblkhd = saturated(info.hblkhd);
  old.keepcost = saturated(info.keepcost);
  return old;
}

/* The stream is the user's: writing to it may allocate, as in any other code of the user. */
static void put_text(const char* text, FILE* file) {
  for (; *text != 0; text++) putc(*text, file);
}

/* One heap with a line per size class that has pages, and the totals, in the C library's XML. */
EXPORT int malloc_info(int options, FILE* file) {
  static const char size_format[] = "    <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n";
  static const char total_format[] = "%s<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
                                     "%s<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
                                     "%s<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
                                     "%s<system type=\"current\" size=\"%zu\"/>\n"
                                     "%s<system type=\"max\" size=\"%zu\"/>\n"
                                     "%s<aspace type=\"total\" size=\"%zu\"/>\n"
                                     "%s<aspace type=\"mprotect\" size=\"%zu\"/>\n";
  if (options != 0) return EINVAL;
  stats_snapshot_t stats;
  stats_snapshot(&stats);
  char line[LINE_MAX];
  put_text("<malloc version=\"1\">\n<heap nr=\"0\">\n  <sizes>\n", file);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    if (stats.bins[bin].pages == 0) continue;
    const size_t size = bin_size(bin);
    format_text(line, sizeof(line), size_format, bin == 0 ? 1 : bin_size(bin - 1) + 1, size,
                stats.bins[bin].blocks * size, stats.bins[bin].blocks);
    put_text(line, file);
  }
  put_text("  </sizes>\n", file);
  for (int nested = 1; nested >= 0; nested--) {
    const char* const indent = nested ? "  " : "";
    format_text(line, sizeof(line), total_format, indent, indent, stats.pages, stats.free_bytes + stats.dirty,
                indent, stats.huge_blocks, stats.huge_bytes, indent, stats.committed, indent,
                stats.peak_committed, indent, stats.reserved, indent, stats.committed);
    put_text(line, file);
    put_text(nested ? "</heap>\n" : "</malloc>\n", file);
  }
  return ferror(file) ? -1 : 0;
}

EXPORT void malloc_stats(void) {
  mi_stats_print_out(NULL, NULL);
}

/* The bytes to keep make no difference: what is in use stays, all else goes. */
EXPORT int malloc_trim(size_t keep) {
  const int saved = errno;
  UNUSED(keep);
  const int released = memory_trim() != 0;
  errno = saved;
  return released;
}

/* 1: done.  0: there is no such thing here. */
EXPORT int mallopt(int parameter, int value) {
  switch (parameter) {
  case M_TRIM_THRESHOLD: /* -1: never; another size has no counterpart */
    if (value != -1) return 0;
    mi_option_set(mi_option_purge_delay, -1);
    return 1;
  case M_CHECK_ACTION: /* bit 1: abort on misuse */
    mi_option_set_enabled(mi_option_continue_on_error, (value & 2) == 0);
    return 1;
  default:
    return 0;
  }
}

#endif
#pragma GCC visibility push(hidden)
#endif
#if MI_OVERRIDE
#pragma GCC visibility pop

/* ==== src/override/operators.c */
/* The replaceable operators of C++17 under their mangled names, in C: the library needs no C++ runtime, and
   reaches the program's by weak references (alloc/new.h).  size_t is m, std::nothrow_t const&
   RKSt9nothrow_t, std::align_val_t St11align_val_t; n is new and d delete, w one object and a an array.
   Sizes and alignments given to delete are not needed, so all deletes are one function. */

void* _Znwm(size_t size);
void* _Znam(size_t size);
void* _ZnwmRKSt9nothrow_t(size_t size, const void* tag);
void* _ZnamRKSt9nothrow_t(size_t size, const void* tag);
void* _ZnwmSt11align_val_t(size_t size, size_t alignment);
void* _ZnamSt11align_val_t(size_t size, size_t alignment);
void* _ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag);
void* _ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag);
void _ZdlPv(void* p);
void _ZdlPvRKSt9nothrow_t(void* p);
void _ZdlPvm(void* p);
void _ZdlPvSt11align_val_t(void* p);
void _ZdlPvmSt11align_val_t(void* p);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void* p);
void _ZdaPv(void* p);
void _ZdaPvRKSt9nothrow_t(void* p);
void _ZdaPvm(void* p);
void _ZdaPvSt11align_val_t(void* p);
void _ZdaPvmSt11align_val_t(void* p);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void* p);

#define SAME_AS(name) EXPORT __attribute__((alias(#name)))

EXPORT void* _Znwm(size_t size) {
  return new_fast(size);
}

EXPORT void* _ZnwmRKSt9nothrow_t(size_t size, const void* tag) {
  UNUSED(tag);
  return mi_new_nothrow(size);
}

EXPORT void* _ZnwmSt11align_val_t(size_t size, size_t alignment) {
  return mi_new_aligned(size, alignment);
}

EXPORT void* _ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag) {
  UNUSED(tag);
  return mi_new_aligned_nothrow(size, alignment);
}

SAME_AS(_Znwm) void* _Znam(size_t size);
SAME_AS(_ZnwmRKSt9nothrow_t) void* _ZnamRKSt9nothrow_t(size_t size, const void* tag);
SAME_AS(_ZnwmSt11align_val_t) void* _ZnamSt11align_val_t(size_t size, size_t alignment);
SAME_AS(_ZnwmSt11align_val_tRKSt9nothrow_t)
void* _ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void* tag);

EXPORT void _ZdlPv(void* p) {
  free_fast(p);
}

SAME_AS(_ZdlPv) void _ZdlPvRKSt9nothrow_t(void* p);
SAME_AS(_ZdlPv) void _ZdlPvm(void* p);
SAME_AS(_ZdlPv) void _ZdlPvSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdlPvmSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdlPvSt11align_val_tRKSt9nothrow_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPv(void* p);
SAME_AS(_ZdlPv) void _ZdaPvRKSt9nothrow_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPvm(void* p);
SAME_AS(_ZdlPv) void _ZdaPvSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPvmSt11align_val_t(void* p);
SAME_AS(_ZdlPv) void _ZdaPvSt11align_val_tRKSt9nothrow_t(void* p);
#undef SAME_AS
#pragma GCC visibility push(hidden)
#endif

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif
#pragma GCC visibility pop
