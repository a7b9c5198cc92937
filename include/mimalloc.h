/* SPDX-License-Identifier: MIT */
/* The public interface of the allocator, compatible in source and binary with mimalloc 3.6.

   What holds for every function unless its own comment says otherwise:
   - Sizes, alignments and counts are in bytes or elements; nothing is rounded by the caller.
   - Size 0 is a valid request: it gives a unique block of the smallest size, to be freed like any other.
   - A request that cannot be met returns NULL.  Requests above PTRDIFF_MAX and products count * size that
     overflow are such requests; they never wrap.  The error hook hears of each (mi_register_error), and errno
     is ENOMEM.  A call that succeeds leaves errno alone; so does every function that frees.
   - A block of 16 bytes and more is aligned to 16, a smaller one to 8; a size that is a power of two up to
     4 KiB is aligned to itself.  Alignments asked for are powers of two, up to 1 GiB and beyond.
   - Any thread may call any function, and any thread may resize or free any block.  Nothing waits for a lock.
   - Freeing NULL does nothing.  A pointer this allocator did not hand out, or that is free already, is a
     misuse: one line on stderr, then abort (or with MIMALLOC_CONTINUE_ON_ERROR=1, the call is ignored).
     Where malloc is replaced, blocks of the malloc behind ours are no misuse: they are handed on to it.
   - Functions prefixed mi_heap_ take their memory from the heap given; they are else the same.
   - What is said to be as another function has the same rules for sizes, failure and errno.  What differs
     from ISO C, POSIX or mimalloc 3.6 is said where it does; where nothing is said, nothing is known to. */
#ifndef MIMALLOC_H
#define MIMALLOC_H

/* The interface implemented: major * 10000 + minor * 100 + patch. */
#define MI_MALLOC_VERSION 30600
/* The release of this implementation; it has numbers of its own. */
#define MI_RELEASE "0.1.0"

#ifdef __cplusplus
#include <cstdlib>
#endif
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- attributes -------------------------------------------------------------------------------------- */

#if defined(__cplusplus) && __cplusplus >= 201103L
#define mi_attr_noexcept noexcept
#elif defined(__cplusplus)
#define mi_attr_noexcept throw()
#else
#define mi_attr_noexcept
#endif

#if defined(__cplusplus) && __cplusplus >= 201703L
#define mi_decl_nodiscard [[nodiscard]]
#elif defined(__GNUC__)
#define mi_decl_nodiscard __attribute__((warn_unused_result))
#else
#define mi_decl_nodiscard
#endif

#if defined(__GNUC__)
#define mi_decl_export __attribute__((visibility("default")))
#define mi_decl_restrict
#define mi_attr_malloc              __attribute__((__malloc__))
#define mi_attr_alloc_size(s)       __attribute__((__alloc_size__(s)))
#define mi_attr_alloc_size2(s1, s2) __attribute__((__alloc_size__(s1, s2)))
#define mi_attr_alloc_align(p)      __attribute__((__alloc_align__(p)))
#define mi_attr_const               __attribute__((__const__))
#else
#define mi_decl_export
#define mi_decl_restrict
#define mi_attr_malloc
#define mi_attr_alloc_size(s)
#define mi_attr_alloc_size2(s1, s2)
#define mi_attr_alloc_align(p)
#define mi_attr_const
#endif
/* What functions that return blocks are: fresh ones of s bytes, n times s, aligned to a; or resized ones. */
#define mi_attr_block(s)               mi_attr_noexcept mi_attr_malloc mi_attr_alloc_size(s)
#define mi_attr_array(n, s)            mi_attr_noexcept mi_attr_malloc mi_attr_alloc_size2(n, s)
#define mi_attr_aligned(s, a)          mi_attr_block(s) mi_attr_alloc_align(a)
#define mi_attr_array_aligned(n, s, a) mi_attr_array(n, s) mi_attr_alloc_align(a)
#define mi_attr_resized(s)             mi_attr_noexcept mi_attr_alloc_size(s)
#define mi_attr_resized_array(n, s)    mi_attr_noexcept mi_attr_alloc_size2(n, s)
#define mi_cdecl /* the calling convention of hooks: C's own */

/* An export whose result must not be dropped, and one whose result is a block for mi_free. */
#define mi_decl_result mi_decl_nodiscard mi_decl_export
#define mi_decl_fresh  mi_decl_result mi_attr_freed_by_us

#ifdef __cplusplus
extern "C" {
#endif

/* Who takes blocks back, and as which argument: so gcc finds those that go to the wrong function, ours or
   another's (-Wmismatched-dealloc, part of -Wall).  All functions that return blocks must know all of these,
   which are declared twice therefore.  They are the usual ones, for each costs compile time; a function that
   is not among them takes any block unchecked, as mi_cfree must, for it is asked about the blocks of others.
   The results of mi_new and its kin are unchecked: operator delete may free them too. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
#define mi_attr_takers(take)                                                                              \
  take(void, mi_free, 1, (void*)) take(void, mi_ufree, 1, (void*, size_t*))                               \
  take(void, mi_free_size, 1, (void*, size_t)) take(void, mi_free_aligned, 1, (void*, size_t))            \
  take(void, mi_free_size_aligned, 1, (void*, size_t, size_t)) take(void, mi_free_small, 1, (void*))      \
  take(void, mi_free_small_nonnull, 1, (void*)) take(void, mi_free_small_local, 1, (void*))               \
  take(void, mi_free_small_local_nonnull, 1, (void*)) take(void*, mi_realloc, 1, (void*, size_t))         \
  take(void*, mi_reallocf, 1, (void*, size_t)) take(void*, mi_reallocn, 1, (void*, size_t, size_t))       \
  take(void*, mi_reallocarray, 1, (void*, size_t, size_t)) take(void*, mi_rezalloc, 1, (void*, size_t))   \
  take(void*, mi_recalloc, 1, (void*, size_t, size_t)) take(void*, mi_urealloc, 1, (void*, size_t,        \
  size_t*, size_t*)) take(void*, mi_realloc_aligned, 1, (void*, size_t, size_t))                          \
  take(void*, mi_heap_realloc, 2, (struct mi_heap_s*, void*, size_t))                                     \
  take(void*, mi_heap_reallocf, 2, (struct mi_heap_s*, void*, size_t))
#define mi_attr_taker(type, name, argument, parameters)         , __malloc__(name, argument)
#define mi_attr_declare_taker(type, name, argument, parameters) ; type name parameters mi_attr_noexcept
struct mi_heap_s mi_attr_takers(mi_attr_declare_taker);
#define mi_attr_freed_by_us __attribute__((mi_attr_takers(mi_attr_taker)))
#else
#define mi_attr_freed_by_us
#endif

/* ---- the standard functions -------------------------------------------------------------------------- */

/* A block of at least `size` bytes, contents undefined. */
mi_decl_fresh void* mi_malloc(size_t size) mi_attr_block(1);

/* A block of `count * size` bytes, all zero.  A product of 0 is a size of 0. */
mi_decl_fresh void* mi_calloc(size_t count, size_t size) mi_attr_array(1, 2);

/* Give block `p` the size `newsize`: in place where that is possible and wastes less than half of the block,
   else by moving its contents; the bytes up to the smaller size are kept, those behind are undefined.  The
   result replaces p, which is freed when it differs.  p NULL: mi_malloc(newsize).  newsize 0: a fresh
   smallest block, and p is freed (ISO C's realloc may return NULL there; ours, in the replacement of malloc,
   does). On failure p stays valid and unchanged. */
mi_decl_fresh void* mi_realloc(void* p, size_t newsize) mi_attr_resized(2);

/* p itself when its usable size is newsize or more, else NULL and p unchanged: a block never gets larger by
   this.  NULL for NULL.  A refusal is no error: errno stays, and the error hook is not called. */
mi_decl_result void* mi_expand(void* p, size_t newsize) mi_attr_resized(2);

/* Return a block of any function here to the allocator.  NULL: nothing happens. */
mi_decl_export void mi_free(void* p) mi_attr_noexcept;

/* A copy of the string s, or of its first n bytes at most (always terminated).  s NULL: NULL, and errno
   stays (the C library's crash there). */
mi_decl_fresh char* mi_strdup(const char* s) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh char* mi_strndup(const char* s, size_t n) mi_attr_noexcept mi_attr_malloc;

/* The absolute path of file `fname` without links or dots, in `resolved_name` (at least PATH_MAX bytes), or
   in a fresh block when that is NULL.  NULL with errno as realpath(3) sets it when there is no such file. */
mi_decl_result char* mi_realpath(const char* fname, char* resolved_name) mi_attr_noexcept;

/* ---- extended functions ------------------------------------------------------------------------------ */

/* The largest size of a small block: in words of sizeof(void*), and in bytes. */
#define MI_SMALL_WSIZE_MAX 128
#define MI_SMALL_SIZE_MAX  (MI_SMALL_WSIZE_MAX * sizeof(void*))

/* As mi_malloc and mi_zalloc for a size known to be at most MI_SMALL_SIZE_MAX (larger sizes work too). */
mi_decl_fresh void* mi_malloc_small(size_t size) mi_attr_block(1);
mi_decl_fresh void* mi_zalloc_small(size_t size) mi_attr_block(1);

/* A block of `size` bytes, all zero. */
mi_decl_fresh void* mi_zalloc(size_t size) mi_attr_block(1);

/* As mi_malloc and mi_realloc of count * size bytes. */
mi_decl_fresh void* mi_mallocn(size_t count, size_t size) mi_attr_array(1, 2);
mi_decl_fresh void* mi_reallocn(void* p, size_t count, size_t size) mi_attr_resized_array(2, 3);

/* As mi_realloc, but p is freed also when it fails. */
mi_decl_fresh void* mi_reallocf(void* p, size_t newsize) mi_attr_resized(2);

/* The bytes a program may use at p: at least what was asked for, all of it writable.  0 for NULL.  Of what is
   no block of ours: 0 and a warning, but where malloc is replaced, what the malloc behind ours answers for
   its blocks, and a misuse for the rest.  Compilers know the size asked for only: with _FORTIFY_SOURCE=3 say
   mi_expand(p, mi_usable_size(p)) before using more. */
mi_decl_result size_t mi_usable_size(const void* p) mi_attr_noexcept;

/* The usable size that a block of `size` bytes gets from mi_malloc; `size` itself when no such block can
   exist. */
mi_decl_result size_t mi_good_size(size_t size) mi_attr_noexcept;

/* Free a block whose size or alignment the caller knows: as allocated, or the size given to realloc.  NULL:
   nothing happens.  In this version the knowledge is not needed and not checked. */
mi_decl_export void mi_free_size(void* p, size_t size) mi_attr_noexcept;
mi_decl_export void mi_free_size_aligned(void* p, size_t size, size_t alignment) mi_attr_noexcept;
mi_decl_export void mi_free_aligned(void* p, size_t alignment) mi_attr_noexcept;

/* mi_free for blocks that were asked for with at most MI_SMALL_SIZE_MAX bytes; nonnull: p is not NULL; local:
   the calling thread allocated p.  In this version the knowledge is not needed: they are mi_free. */
mi_decl_export void mi_free_small(void* p) mi_attr_noexcept;
mi_decl_export void mi_free_small_nonnull(void* p) mi_attr_noexcept;
mi_decl_export void mi_free_small_local(void* p) mi_attr_noexcept;
mi_decl_export void mi_free_small_local_nonnull(void* p) mi_attr_noexcept;

/* As mi_malloc_small and mi_zalloc_small, the size in words of sizeof(void*) bytes: at most
   MI_SMALL_WSIZE_MAX (more works too).  The last gives the words that hold `size` bytes, rounded up; for
   every size, without overflow. */
mi_decl_fresh void* mi_wmalloc_small(size_t wsize) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_wzalloc_small(size_t wsize) mi_attr_noexcept mi_attr_malloc;
mi_decl_result size_t mi_wsize_from_size(size_t size) mi_attr_noexcept mi_attr_const;

/* The functions of that name without u, telling also the usable size in bytes of the block made
   (`block_size`), freed, or resized (before: `block_size_pre`, after: `block_size_post`).  Each of these
   pointers may be NULL; 0 is stored where there is no block: after a failure, and for NULL.  All bytes told
   may be used, so compilers are not told the size asked for. */
mi_decl_fresh void* mi_umalloc(size_t size, size_t* block_size) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_ucalloc(size_t count, size_t size, size_t* block_size) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_urealloc(void* p, size_t newsize, size_t* block_size_pre, size_t* block_size_post)
    mi_attr_noexcept;
mi_decl_export void mi_ufree(void* p, size_t* block_size) mi_attr_noexcept;
mi_decl_fresh void* mi_umalloc_small(size_t size, size_t* block_size) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_uzalloc_small(size_t size, size_t* block_size) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_umalloc_aligned(size_t size, size_t alignment, size_t* block_size)
    mi_attr_noexcept mi_attr_malloc mi_attr_alloc_align(2);
mi_decl_fresh void* mi_uzalloc_aligned(size_t size, size_t alignment, size_t* block_size)
    mi_attr_noexcept mi_attr_malloc mi_attr_alloc_align(2);

/* ---- aligned allocation ------------------------------------------------------------------------------ */

/* As the functions without _aligned, at an address that is a multiple of `alignment` (bytes); of _at, one
   where p + offset is.  alignment 0 or not a power of two: NULL and errno EINVAL.  Every alignment goes with
   every offset up to PTRDIFF_MAX (mimalloc refuses offsets at large alignments); above: NULL, ENOMEM.  The
   size need not be a multiple of the alignment.  mi_free frees these blocks too; mi_realloc may lose the
   alignment.  The reallocs keep p where it is if it happens to be so aligned, and is large enough; the
   alignment need not be that of the block before, and without an offset any number up to sizeof(void*) means
   that every address will do. */
mi_decl_fresh void* mi_malloc_aligned(size_t size, size_t alignment) mi_attr_aligned(1, 2);
mi_decl_fresh void* mi_malloc_aligned_at(size_t size, size_t alignment, size_t offset) mi_attr_block(1);
mi_decl_fresh void* mi_zalloc_aligned(size_t size, size_t alignment) mi_attr_aligned(1, 2);
mi_decl_fresh void* mi_zalloc_aligned_at(size_t size, size_t alignment, size_t offset) mi_attr_block(1);
mi_decl_fresh void* mi_calloc_aligned(size_t count, size_t size, size_t alignment) mi_attr_array_aligned(1, 2,
                                      3);
mi_decl_fresh void* mi_calloc_aligned_at(size_t count, size_t size, size_t alignment, size_t offset)
    mi_attr_array(1, 2);
mi_decl_fresh void* mi_realloc_aligned(void* p, size_t newsize, size_t alignment) mi_attr_resized(2);
mi_decl_fresh void* mi_realloc_aligned_at(void* p, size_t newsize, size_t alignment, size_t offset)
    mi_attr_resized(2);

/* ---- resizing zero-initialised blocks ---------------------------------------------------------------- */

/* As mi_realloc, and what the block grows by is zero.  p NULL: a zeroed block.  Only for NULL and for blocks
   that came zeroed from this allocator and were resized by nothing but these functions: the bytes between the
   size last asked for and the usable size are taken to be zero still.  So they must not be written. */
mi_decl_fresh void* mi_rezalloc(void* p, size_t newsize) mi_attr_resized(2);
mi_decl_fresh void* mi_recalloc(void* p, size_t newcount, size_t size) mi_attr_resized_array(2, 3);
mi_decl_fresh void* mi_rezalloc_aligned(void* p, size_t newsize, size_t alignment) mi_attr_resized(2);
mi_decl_fresh void* mi_rezalloc_aligned_at(void* p, size_t newsize, size_t alignment, size_t offset)
    mi_attr_resized(2);
mi_decl_fresh void* mi_recalloc_aligned(void* p, size_t newcount, size_t size, size_t alignment)
    mi_attr_resized_array(2, 3);
mi_decl_fresh void* mi_recalloc_aligned_at(void* p, size_t newcount, size_t size, size_t alignment,
                                           size_t offset) mi_attr_resized_array(2, 3);

/* ---- POSIX, Unix and Windows names ------------------------------------------------------------------- */

/* Two names of mi_usable_size, 0 for NULL, and one of mi_good_size. */
mi_decl_result size_t mi_malloc_size(const void* p) mi_attr_noexcept;
mi_decl_result size_t mi_malloc_usable_size(const void* p) mi_attr_noexcept;
mi_decl_result size_t mi_malloc_good_size(size_t size) mi_attr_noexcept;

/* Free p and return true when it points into memory of this allocator; else (NULL too) return false.  An
   address in there that is no block is a misuse, as for mi_free. */
mi_decl_export bool mi_cfree(void* p) mi_attr_noexcept;

/* mi_expand that reports a refusal in errno (ENOMEM). */
mi_decl_result void* mi__expand(void* p, size_t newsize) mi_attr_resized(2);

/* Store in *p a block of `size` bytes aligned to `alignment`.  Returns 0; EINVAL when p is NULL or the
   alignment is 0 or not a power of two multiple of sizeof(void*); ENOMEM.  *p is stored only on success, and
   errno is never changed.  Size 0: a block. */
mi_decl_result int mi_posix_memalign(void** p, size_t alignment, size_t size) mi_attr_noexcept;

/* mi_malloc_aligned with the arguments in C's order: alignment, size (an alignment that is 0 or no power of
   two: NULL and EINVAL; the C library's memalign, which the replacement of malloc follows, rounds it up).
   The size need not be a multiple of the alignment, which older editions of ISO C demand.  valloc: aligned to
   the OS page; pvalloc: that with the size rounded up to whole OS pages, of 0 to one. */
mi_decl_fresh void* mi_memalign(size_t alignment, size_t size) mi_attr_aligned(2, 1);
mi_decl_fresh void* mi_aligned_alloc(size_t alignment, size_t size) mi_attr_aligned(2, 1);
mi_decl_fresh void* mi_valloc(size_t size) mi_attr_block(1);
mi_decl_fresh void* mi_pvalloc(size_t size) mi_attr_block(1);

/* mi_reallocn that reports in errno: EOVERFLOW when count * size overflows, else ENOMEM. */
mi_decl_fresh void* mi_reallocarray(void* p, size_t count, size_t size) mi_attr_resized_array(2, 3);

/* NetBSD's: resize the block whose pointer `ptrp` points to (NULL there: none yet) to count * size bytes and
   store the new pointer there.  count 0: the block is freed and NULL stored.  Returns 0, or EINVAL (ptrp
   NULL, or size 0), EOVERFLOW, ENOMEM, which errno holds too; the block and the pointer are then unchanged.
   */
mi_decl_export int mi_reallocarr(void* ptrp, size_t count, size_t size) mi_attr_noexcept;

/* Other names of mi_recalloc_aligned and mi_recalloc_aligned_at. */
mi_decl_fresh void* mi_aligned_recalloc(void* p, size_t newcount, size_t size, size_t alignment)
    mi_attr_resized_array(2, 3) mi_attr_alloc_align(4);
mi_decl_fresh void* mi_aligned_offset_recalloc(void* p, size_t newcount, size_t size, size_t alignment,
                                               size_t offset) mi_attr_resized_array(2, 3);

/* Copies of a multibyte and of a wide string; NULL for NULL. */
mi_decl_fresh unsigned char* mi_mbsdup(const unsigned char* s) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh wchar_t* mi_wcsdup(const wchar_t* s) mi_attr_noexcept mi_attr_malloc;

/* Store in *buf a copy of environment variable `name` (NULL when unset) and in *size, unless NULL, its
   bytes with the terminator (0 when unset).  Returns 0, EINVAL (buf or name NULL) or ENOMEM.  No thread may
   change the environment meanwhile.  The wide form always returns EINVAL: it exists on Windows only. */
mi_decl_export int mi_dupenv_s(char** buf, size_t* size, const char* name) mi_attr_noexcept;
mi_decl_export int mi_wdupenv_s(wchar_t** buf, size_t* size, const wchar_t* name) mi_attr_noexcept;

/* ---- allocation as C++'s operator new does it -------------------------------------------------------- */

/* Never NULL: on failure the program's std::new_handler is called and the request tried again, for as long
   as there is a handler; without one std::bad_alloc is thrown.  The nothrow forms return NULL instead of
   throwing (a handler that throws std::bad_alloc makes them return NULL too).  In a program without a C++
   runtime nothing can be thrown: a message, then abort.  An alignment that is 0 or no power of two fails
   without a call of the handler, a product that overflows like any other size.  The _realloc forms leave p
   as it was when they throw.  Freed by mi_free or, where that is ours, operator delete. */
mi_decl_result void* mi_new(size_t size) mi_attr_malloc mi_attr_alloc_size(1);
mi_decl_result void* mi_new_aligned(size_t size, size_t alignment) mi_attr_malloc mi_attr_alloc_size(1)
    mi_attr_alloc_align(2);
mi_decl_result void* mi_new_nothrow(size_t size) mi_attr_block(1);
mi_decl_result void* mi_new_aligned_nothrow(size_t size, size_t alignment) mi_attr_aligned(1, 2);
mi_decl_result void* mi_new_n(size_t count, size_t size) mi_attr_malloc mi_attr_alloc_size2(1, 2);
mi_decl_result void* mi_new_realloc(void* p, size_t newsize) mi_attr_alloc_size(2);
mi_decl_result void* mi_new_reallocn(void* p, size_t newcount, size_t size) mi_attr_alloc_size2(2, 3);

/* ---- heaps ------------------------------------------------------------------------------------------- */

/* A heap groups blocks so that they can be freed together.  Its functions may be called from any thread, at
   the same time; a block of any heap is freed by mi_free.  Only delete and destroy must be the last call
   on their heap; a heap that is destroyed must not be another thread's default (mi_theap_set_default). */
typedef struct mi_heap_s mi_heap_t;

/* A new heap, or NULL (errno ENOMEM) when out of memory.  It costs about 3 KiB until something is
   allocated in it; their number is not limited. */
mi_decl_result mi_heap_t* mi_heap_new(void) mi_attr_noexcept;

/* End a heap.  delete: live blocks stay valid and belong to the main heap from then on.  destroy: all its
   blocks are freed at once, in a time that depends on the number of its pages only.  NULL: nothing happens.
   The main heap is refused, with a warning.  The pointer is invalid afterwards: its use is a misuse, which is
   not always noticed. */
mi_decl_export void mi_heap_delete(mi_heap_t* heap) mi_attr_noexcept;
mi_decl_export void mi_heap_destroy(mi_heap_t* heap) mi_attr_noexcept;

/* Give back to the system what the calling thread's part of `heap` (NULL: the main heap) and the pages of
   ended threads do not use; force: what is retained for reuse as well, that of the whole process. */
mi_decl_export void mi_heap_collect(mi_heap_t* heap, bool force) mi_attr_noexcept;

/* The heap that mi_malloc allocates from unless told otherwise (mi_theap_set_default); the heap that block p
   belongs to.  p may be any address, also one inside a block: NULL when no heap has memory there. */
mi_decl_result mi_heap_t* mi_heap_main(void) mi_attr_noexcept;
mi_decl_result mi_heap_t* mi_heap_of(const void* p) mi_attr_noexcept;

/* Does p point to a block of `heap` (NULL: the main heap), or into one?  p may be any address; false for
   NULL. */
mi_decl_result bool mi_heap_contains(const mi_heap_t* heap, const void* p) mi_attr_noexcept;

/* Does p (any address) point to a block of any heap; the same by its old name; does it point to memory of
   this allocator, allocated or not?  Of memory that is free, or is being freed meanwhile, the first two may
   say either.  False for NULL. */
mi_decl_result bool mi_any_heap_contains(const void* p) mi_attr_noexcept;
mi_decl_result bool mi_check_owned(const void* p) mi_attr_noexcept;
mi_decl_result bool mi_is_in_heap_region(const void* p) mi_attr_noexcept;

/* How much of its blocks a build that fills freed and fresh memory leaves as it is.  Accepted without effect:
   no build of this version fills memory. */
mi_decl_export void mi_heap_set_debug_fill_preserve(mi_heap_t* heap, size_t preserve) mi_attr_noexcept;

/* Blocks of `heap` (NULL: the main heap), by any thread; otherwise as mi_malloc and its kin. */
mi_decl_fresh void* mi_heap_malloc(mi_heap_t* heap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_heap_zalloc(mi_heap_t* heap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_heap_calloc(mi_heap_t* heap, size_t count, size_t size) mi_attr_array(2, 3);
mi_decl_fresh void* mi_heap_mallocn(mi_heap_t* heap, size_t count, size_t size) mi_attr_array(2, 3);
mi_decl_fresh void* mi_heap_malloc_small(mi_heap_t* heap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_heap_zalloc_small(mi_heap_t* heap, size_t size) mi_attr_block(2);

/* Resizing keeps a block of `heap` where it is when it fits; a block of another heap always moves into
   `heap`. */
mi_decl_fresh void* mi_heap_realloc(mi_heap_t* heap, void* p, size_t newsize) mi_attr_resized(3);
mi_decl_fresh void* mi_heap_reallocn(mi_heap_t* heap, void* p, size_t count, size_t size)
    mi_attr_resized_array(3, 4);
mi_decl_fresh void* mi_heap_reallocf(mi_heap_t* heap, void* p, size_t newsize) mi_attr_resized(3);
mi_decl_fresh void* mi_heap_rezalloc(mi_heap_t* heap, void* p, size_t newsize) mi_attr_resized(3);
mi_decl_fresh void* mi_heap_recalloc(mi_heap_t* heap, void* p, size_t newcount, size_t size)
    mi_attr_resized_array(3, 4);

/* The same with an alignment: as mi_malloc_aligned and its kin. */
mi_decl_fresh void* mi_heap_malloc_aligned(mi_heap_t* heap, size_t size, size_t alignment) mi_attr_aligned(2,
                                           3);
mi_decl_fresh void* mi_heap_malloc_aligned_at(mi_heap_t* heap, size_t size, size_t alignment, size_t offset)
    mi_attr_block(2);
mi_decl_fresh void* mi_heap_zalloc_aligned(mi_heap_t* heap, size_t size, size_t alignment) mi_attr_aligned(2,
                                           3);
mi_decl_fresh void* mi_heap_zalloc_aligned_at(mi_heap_t* heap, size_t size, size_t alignment, size_t offset)
    mi_attr_block(2);
mi_decl_fresh void* mi_heap_calloc_aligned(mi_heap_t* heap, size_t count, size_t size, size_t alignment)
    mi_attr_array_aligned(2, 3, 4);
mi_decl_fresh void* mi_heap_calloc_aligned_at(mi_heap_t* heap, size_t count, size_t size, size_t alignment,
                                              size_t offset) mi_attr_array(2, 3);
mi_decl_fresh void* mi_heap_realloc_aligned(mi_heap_t* heap, void* p, size_t newsize, size_t alignment)
    mi_attr_resized(3);
mi_decl_fresh void* mi_heap_realloc_aligned_at(mi_heap_t* heap, void* p, size_t newsize, size_t alignment,
                                               size_t offset) mi_attr_resized(3);

/* As mi_rezalloc_aligned and its kin (for blocks that came zeroed from such functions only). */
mi_decl_fresh void* mi_heap_rezalloc_aligned(mi_heap_t* heap, void* p, size_t newsize, size_t alignment)
    mi_attr_resized(3);
mi_decl_fresh void* mi_heap_rezalloc_aligned_at(mi_heap_t* heap, void* p, size_t newsize, size_t alignment,
                                                size_t offset) mi_attr_resized(3);
mi_decl_fresh void* mi_heap_recalloc_aligned(mi_heap_t* heap, void* p, size_t newcount, size_t size,
                                             size_t alignment) mi_attr_resized_array(3, 4);
mi_decl_fresh void* mi_heap_recalloc_aligned_at(mi_heap_t* heap, void* p, size_t newcount, size_t size,
                                                size_t alignment, size_t offset) mi_attr_resized_array(3, 4);

/* As mi_strdup, mi_strndup and mi_realpath: the copy lies in `heap`. */
mi_decl_fresh char* mi_heap_strdup(mi_heap_t* heap, const char* s) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh char* mi_heap_strndup(mi_heap_t* heap, const char* s, size_t n) mi_attr_noexcept mi_attr_malloc;
mi_decl_result char* mi_heap_realpath(mi_heap_t* heap, const char* fname, char* resolved_name)
    mi_attr_noexcept;

/* As mi_new and mi_new_n: the new-handler runs, and std::bad_alloc is thrown, when out of memory. */
mi_decl_result void* mi_heap_alloc_new(mi_heap_t* heap, size_t size) mi_attr_malloc mi_attr_alloc_size(2);
mi_decl_result void* mi_heap_alloc_new_n(mi_heap_t* heap, size_t count, size_t size)
    mi_attr_malloc mi_attr_alloc_size2(2, 3);

/* ---- a thread's parts of heaps ---------------------------------------------------------------------- */

/* Every thread that allocates from a heap has a part of it, with memory of its own: a theap.  It is valid
   until its thread ends (or calls mi_thread_done), or the heap does.  NULL stands for the main heap's.

   Allocation from a theap is allocation from its heap, by whichever thread calls. */
typedef struct mi_theap_s mi_theap_t;

/* The calling thread's part of `heap` (NULL: the main heap), made if need be; NULL when out of memory (errno
   ENOMEM). */
mi_decl_result mi_theap_t* mi_heap_theap(mi_heap_t* heap) mi_attr_noexcept;

/* From now on the functions that name no heap (mi_malloc, and malloc where that is ours) allocate in the
   calling thread from the heap of `theap`; every thread starts with the main heap.  Returns the theap that
   was the default; NULL when out of memory, then nothing has changed (errno ENOMEM).  theap NULL: the main
   heap again; get: that of the heap in force now.  When the thread deletes or destroys the heap, or deletes
   the theap, the main heap is its default again.  Where malloc is ours the default serves libraries too
   (pthread_create, stdio), which may keep what they got: delete such a heap, do not destroy it. */
mi_decl_result mi_theap_t* mi_theap_get_default(void) mi_attr_noexcept;
mi_decl_export mi_theap_t* mi_theap_set_default(mi_theap_t* theap) mi_attr_noexcept;

/* mi_heap_collect of the theap's heap. */
mi_decl_export void mi_theap_collect(mi_theap_t* theap, bool force) mi_attr_noexcept;

/* The calling thread gives up the memory of its part: live blocks stay valid, in the same heap, whose other
   threads may fill the room between them.  After delete the theap is invalid, but for the main heap's;
   after abandon it may go on.  A theap must be the calling thread's own.  From a signal handler that
   interrupts an allocation, both leave the memory where it is. */
mi_decl_export void mi_theap_delete(mi_theap_t* theap) mi_attr_noexcept;
mi_decl_export void mi_theap_quiescent_abandon(mi_theap_t* theap) mi_attr_noexcept;

/* Tune the sampling of guarded builds.  Accepted without effect: no build of this version guards blocks. */
mi_decl_export void mi_theap_guarded_set_sample_rate(mi_theap_t* theap, size_t sample_rate, size_t seed)
    mi_attr_noexcept;
mi_decl_export void mi_theap_guarded_set_size_bound(mi_theap_t* theap, size_t min, size_t max)
    mi_attr_noexcept;

/* As mi_heap_malloc and its kin, called for the theap's heap; `wsize` counts words of sizeof(void*) bytes,
   and mi_theap_alloc_new_nothrow is mi_new_nothrow for that heap. */
mi_decl_fresh void* mi_theap_malloc(mi_theap_t* theap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_theap_zalloc(mi_theap_t* theap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_theap_calloc(mi_theap_t* theap, size_t count, size_t size) mi_attr_array(2, 3);
mi_decl_fresh void* mi_theap_malloc_small(mi_theap_t* theap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_theap_zalloc_small(mi_theap_t* theap, size_t size) mi_attr_block(2);
mi_decl_fresh void* mi_theap_wmalloc_small(mi_theap_t* theap, size_t wsize) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_theap_wzalloc_small(mi_theap_t* theap, size_t wsize) mi_attr_noexcept mi_attr_malloc;
mi_decl_fresh void* mi_theap_malloc_aligned(mi_theap_t* theap, size_t size, size_t alignment)
    mi_attr_aligned(2, 3);
mi_decl_fresh void* mi_theap_zalloc_aligned(mi_theap_t* theap, size_t size, size_t alignment)
    mi_attr_aligned(2, 3);
mi_decl_fresh void* mi_theap_realloc(mi_theap_t* theap, void* p, size_t newsize) mi_attr_resized(3);
mi_decl_fresh void* mi_theap_rezalloc(mi_theap_t* theap, void* p, size_t newsize) mi_attr_resized(3);
mi_decl_result void* mi_theap_alloc_new(mi_theap_t* theap, size_t size) mi_attr_malloc mi_attr_alloc_size(2);
mi_decl_result void* mi_theap_alloc_new_n(mi_theap_t* theap, size_t count, size_t size)
    mi_attr_malloc mi_attr_alloc_size2(2, 3);
mi_decl_result void* mi_theap_alloc_new_nothrow(mi_theap_t* theap, size_t size) mi_attr_block(2);

/* ---- visiting heaps ---------------------------------------------------------------------------------- */

/* A run of memory with blocks of one size: a page, or one big block. */
typedef struct mi_heap_area_s {
  void* blocks;           /* where the first block is, or will be */
  size_t reserved;        /* bytes of all blocks that fit */
  size_t committed;       /* bytes of those that have been made ready for use; the others cost nothing yet */
  size_t used;            /* number of live blocks */
  size_t block_size;      /* usable bytes of each block */
  size_t full_block_size; /* bytes from one block to the next */
  void* reserved1;        /* NULL */
} mi_heap_area_t;

/* What a visit calls.  For each area with block NULL, and then, if blocks are visited, for each live block of
   the area, in the order of addresses; block_size is the area's.  Returns whether to go on.  `area` is valid
   during the call.  The function may free the block that it is given; it must not allocate from, resize in or
   otherwise free from the heap, nor end it. */
typedef bool(mi_cdecl mi_block_visit_fun)(const mi_heap_t* heap, const mi_heap_area_t* area, void* block,
                                          size_t block_size, void* arg);
typedef bool(mi_cdecl mi_heap_visit_fun)(mi_heap_t* heap, void* arg);

/* Visit all areas of `heap` (NULL: the main heap), of whichever thread they are: true when all have been
   visited, false when the visitor has returned false.  Areas without a live block may be among them.
   Blocks count as live from their allocation to their free, whoever frees them.
   Only while no other thread allocates from the heap or frees blocks of it: otherwise blocks may be missing,
   or reported though they are free.  Even then the visit itself ends and reads no memory that is not the
   allocator's; what the visitor does with a block is its own affair. */
mi_decl_export bool mi_heap_visit_blocks(mi_heap_t* heap, bool visit_blocks, mi_block_visit_fun* visitor,
                                         void* arg) mi_attr_noexcept;

/* The same for those areas alone that no thread owns: their threads have ended, or have put them aside as
   full.  Big blocks are not among them, they never have an owner. */
mi_decl_export bool mi_heap_visit_abandoned_blocks(mi_heap_t* heap, bool visit_blocks,
                                                   mi_block_visit_fun* visitor, void* arg) mi_attr_noexcept;

/* The same for those areas alone that one thread owns (NULL: the calling thread, of the heap that it
   allocates from by default). */
mi_decl_export bool mi_theap_visit_blocks(const mi_theap_t* theap, bool visit_blocks,
                                          mi_block_visit_fun* visitor, void* arg) mi_attr_noexcept;

/* For programs that defragment their heap: is block p better moved, that is: copied to a block fresh from
   mi_heap_malloc and freed?  True when p belongs to `heap` (NULL: the main heap), less than `percent` of the
   blocks that its page has room for are in use, and the page is not the one that blocks of its size are just
   taken from.  A program that so moves every block that it holds fills its pages one after the other, and
   those it moves blocks out of become empty and go back to the system.  Big blocks have pages of their own:
   false.  A hint: when other threads use the heap at the same time it may be a moment old.  p must be
   live. */
mi_decl_export bool mi_unsafe_heap_page_is_under_utilized(mi_heap_t* heap, void* p, size_t percent)
    mi_attr_noexcept;

/* ---- names of version 2 ------------------------------------------------------------------------------ */

/* For programs written against 2.x; there a heap served one thread only, here any. */

/* The heap that the calling thread's mi_malloc serves, and its change, which returns the one before (NULL
   when out of memory; then nothing has changed): mi_theap_set_default by heaps.  backing: the main heap. */
mi_decl_result mi_heap_t* mi_heap_get_default(void) mi_attr_noexcept;
mi_decl_export mi_heap_t* mi_heap_set_default(mi_heap_t* heap) mi_attr_noexcept;
mi_decl_result mi_heap_t* mi_heap_get_backing(void) mi_attr_noexcept;

/* Two more names of mi_heap_contains. */
mi_decl_result bool mi_heap_contains_block(mi_heap_t* heap, const void* p) mi_attr_noexcept;
mi_decl_result bool mi_heap_check_owned(mi_heap_t* heap, const void* p) mi_attr_noexcept;

/* A heap; without allow_destroy, mi_heap_destroy only deletes it.  The tag is accepted without effect: it
   served visitors of abandoned blocks, which are told the heap itself.  arena_id as of mi_heap_new_in_arena.
 */
typedef void* mi_arena_id_t;
mi_decl_result mi_heap_t* mi_heap_new_ex(int heap_tag, bool allow_destroy, mi_arena_id_t arena_id)
    mi_attr_noexcept;

/* ---- sub-processes ------------------------------------------------------------------------------------ */

/* Groups of threads and heaps that share no memory but through the program's own pointers: no page that a
   thread of one leaves is reclaimed by a thread of another.  For runtimes with several interpreters in a
   process.  The functions that name no heap, and NULL for a heap, mean the main heap of the calling
   thread's sub-process, and heaps made by a thread belong to its sub-process. */
typedef struct mi_subproc_id_s {
  void* _mi_subproc_id; /* NULL: none */
} mi_subproc_id_t;

/* The sub-process that threads start in; that of the calling thread; and a new one: without memory and
   threads, none (an id of NULL, errno ENOMEM) when out of memory. */
mi_decl_result mi_subproc_id_t mi_subproc_main(void) mi_attr_noexcept;
mi_decl_result mi_subproc_id_t mi_subproc_current(void) mi_attr_noexcept;
mi_decl_export mi_subproc_id_t mi_subproc_new(void) mi_attr_noexcept;

/* From now on the calling thread is one of the sub-process's.  Before its first allocation: after that, and
   for an id that names none, a warning, and nothing is done. */
mi_decl_export void mi_subproc_add_current_thread(mi_subproc_id_t subproc) mi_attr_noexcept;

/* All blocks of all heaps of the sub-process are gone, in a time that depends on the number of pages only,
   and the id with them.  Its threads must have ended, but for the calling one, which is back in the main
   sub-process.  The main one: a warning, and nothing is done.  delete (the name of 2.x): blocks live
   on, in the main heap of the process.  No id (NULL): nothing is done; one that names none any more is a
   misuse. */
mi_decl_export void mi_subproc_destroy(mi_subproc_id_t subproc) mi_attr_noexcept;
mi_decl_export void mi_subproc_delete(mi_subproc_id_t subproc) mi_attr_noexcept;

/* Call `visitor` with each live heap of the sub-process, the main heap first, until it returns false; false
   then, or when there is no such sub-process.  The visitor may end the heap that it is given. */
mi_decl_export bool mi_subproc_visit_heaps(mi_subproc_id_t subproc, mi_heap_visit_fun* visitor, void* arg)
    mi_attr_noexcept;

/* Of 2.x: mi_heap_visit_abandoned_blocks of each heap of the sub-process; the tag is accepted without effect.
   False when the visitor stopped it, or there is no such sub-process. */
mi_decl_export bool mi_abandoned_visit_blocks(mi_subproc_id_t id, int heap_tag, bool visit_blocks,
                                              mi_block_visit_fun* visitor, void* arg) mi_attr_noexcept;

/* ---- housekeeping, hooks, information ---------------------------------------------------------------- */

/* Tidy the calling thread's parts of all heaps and give free memory back to the system; force: all of it, at
   once, wherever in the process nothing lives in it, after a call of the deferred_free hook that says so
   (mi_register_deferred_free). */
mi_decl_export void mi_collect(bool force) mi_attr_noexcept;

/* mi_collect(true).  The target, bytes that the thread may keep, is accepted without effect: everything that
   can be given back is, and live blocks cannot be. */
mi_decl_export void mi_collect_reduce(size_t target_thread_owned) mi_attr_noexcept;

/* Threads and the process announce themselves by their first allocation and leave when they end; none of
   these calls is needed, each may be repeated, and none changes errno.
   - mi_thread_init: the calling thread announces itself now.
   - mi_thread_done: it gives up its memory now, as at its end; its live blocks stay valid.  It may allocate
     again, as a new thread to the allocator, with the main heap for its default.  From within a
     deferred_free the call does nothing.
   - mi_process_init: the allocator gets ready.
   - mi_process_done: the statistics are printed if option show_stats asks for them (not again at exit), and
     the thread that gives memory back in the background ends, for good.  The program may go on allocating;
     then those who free give back. */
mi_decl_export void mi_thread_init(void) mi_attr_noexcept;
mi_decl_export void mi_thread_done(void) mi_attr_noexcept;
mi_decl_export void mi_process_init(void) mi_attr_noexcept;
mi_decl_export void mi_process_done(void) mi_attr_noexcept;

/* The calling thread belongs to a pool and runs whatever comes: when it frees blocks of threads that have
   ended it does not become the owner of the memory around them, which stays for everybody.  Until the thread
   ends or calls mi_thread_done. */
mi_decl_export void mi_thread_set_in_threadpool(void) mi_attr_noexcept;

/* A number for the thread that owns the memory around p (any address): the same for all it owns, never
   another thread's.  0 when no thread owns it: p is not ours, a large block, or its thread has given it
   up. */
mi_decl_result size_t mi_thread_id_of(const void* p) mi_attr_noexcept;

/* Always false: whether Windows' own malloc is redirected to this one. */
mi_decl_result bool mi_is_redirected(void) mi_attr_noexcept;

/* Called by the allocating thread whenever its allocation takes the slow path, which the thread counts in
   `heartbeat`, and with `force` when memory is collected by force or has run out: the place to free what the
   program put off, a bounded number each time.  Several threads may be in it at a time.  It may allocate and
   free, and is not called from within itself.  One function in all: the last registered; NULL unregisters; a
   call that another thread has begun goes on. */
typedef void(mi_cdecl mi_deferred_free_fun)(bool force, unsigned long long heartbeat, void* arg);
mi_decl_export void mi_register_deferred_free(mi_deferred_free_fun* deferred_free, void* arg)
    mi_attr_noexcept;

/* Receives the allocator's text, whole lines, instead of stderr.  Up to 16 KiB written before the first
   registration are handed over by it.  NULL: back to stderr.  It may be called by any thread, by several at a
   time, also while memory is being claimed: it may allocate and free, but must not wait for another thread.
   What it makes the allocator itself say goes to stderr.  The line of a misuse goes there as well. */
typedef void(mi_cdecl mi_output_fun)(const char* msg, void* arg);
mi_decl_export void mi_register_output(mi_output_fun* out, void* arg) mi_attr_noexcept;

/* Hears of every error: EAGAIN a double free, EFAULT corrupted memory, EINVAL an invalid pointer or
   alignment, ENOMEM out of memory, EOVERFLOW a size that is too large (errno then is mostly ENOMEM).  Misuse
   aborts after it returns.  Called by the thread that erred, several at a time.  It is not called from within
   itself and errno is kept over it.  NULL unregisters. */
typedef void(mi_cdecl mi_error_fun)(int err, void* arg);
mi_decl_export void mi_register_error(mi_error_fun* fun, void* arg) mi_attr_noexcept;

/* MI_MALLOC_VERSION of the library in use: 30600 for 3.6.0. */
mi_decl_export int mi_version(void) mi_attr_noexcept;

/* Print the statistics, to `out` (NULL: the registered output or stderr), which is called with lines and with
   `arg`.  mi_stats_print ignores its argument, for which programs pass NULL, stdout or stderr. */
mi_decl_export void mi_stats_print(void* out) mi_attr_noexcept;
mi_decl_export void mi_stats_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept;

/* Print what belongs to the calling thread: the pages it owns, of all heaps, and the blocks in them.  Big
   blocks belong to no thread. */
mi_decl_export void mi_thread_stats_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept;

/* Start anew: totals that mi_stats_get reports count from here, and peaks are the highest from here on.  What
   is live stays as it is; the figures of a single heap are not touched. */
mi_decl_export void mi_stats_reset(void) mi_attr_noexcept;

/* Here threads keep no figures of their own that would have to be added up: nothing to do, and nothing is
   done.  Reading is exact without it. */
mi_decl_export void mi_stats_merge(void) mi_attr_noexcept;

/* Milliseconds since the library was loaded, and of processor time in the program and in the system; memory
   in bytes; page faults that needed the disk.  Any pointer may be NULL.  The resident set is the real one,
   read from the system (in mimalloc it is the commit, on Linux); commit is what this allocator has in use. */
mi_decl_export void mi_process_info(size_t* elapsed_msecs, size_t* user_msecs, size_t* system_msecs,
                                    size_t* current_rss, size_t* peak_rss, size_t* current_commit,
                                    size_t* peak_commit, size_t* page_faults) mi_attr_noexcept;

/* Print the same as text, to `out` (NULL: the registered output or stderr). */
mi_decl_export void mi_process_info_print(void) mi_attr_noexcept;
mi_decl_export void mi_process_info_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept;

/* ---- arenas, huge pages, NUMA ------------------------------------------------------------------------- */

/* An arena is a range of memory, known by an id (mi_arena_id_t; NULL: none), that never ends.  It serves
   every heap, before new memory is asked of the system, unless it is exclusive: then only heaps made by
   mi_heap_new_in_arena use it. Arenas consist of 4 MiB units (mi_arena_min_alignment and mi_arena_min_size).
   Where *arena_id is an output it may be NULL; it is set to NULL when nothing was made.  numa_node is taken
   modulo the number of nodes (option use_numa_nodes can lower that); negative: no particular one.  Except
   mi_arena_contains none of these functions is meant to be called often; any thread may call them at any
   time. */

/* Reserve an arena of `size` bytes, rounded up to whole units.  commit: now, instead of when it is first
   used; allow_large: of 2 MiB pages, if the system has as many to give; these are committed and never given
   back. Returns 0, or ENOMEM (size 0, too). */
mi_decl_export int mi_reserve_os_memory(size_t size, bool commit, bool allow_large) mi_attr_noexcept;
mi_decl_export int mi_reserve_os_memory_ex(size_t size, bool commit, bool allow_large, bool exclusive,
                                           mi_arena_id_t* arena_id) mi_attr_noexcept;

/* Hand over memory of the program for good: the whole units inside [start, start + size).  is_committed: it
   can be read and written, else mprotect will make it so.  is_pinned: its contents may not be dropped when it
   is free; else that is done by MADV_DONTNEED.  is_zero: it is all zero.  False: no whole unit, memory that
   an arena has already, memory of this allocator, or no room for the book-keeping: that needs a fixed place,
   1/512 of the size, which may be taken; the range can be used by others then. */
mi_decl_export bool mi_manage_os_memory(void* start, size_t size, bool is_committed, bool is_pinned,
                                        bool is_zero, int numa_node) mi_attr_noexcept;
mi_decl_export bool mi_manage_os_memory_ex(void* start, size_t size, bool is_committed, bool is_pinned,
                                           bool is_zero, int numa_node, bool exclusive,
                                           mi_arena_id_t* arena_id) mi_attr_noexcept;

/* The same, for memory that only the program itself can make usable.  commit_fun(commit, start, size,
   is_zero, arg) is called, by any thread and several at a time, with parts of the area that are multiples of
   64 KiB: commit true before a part is used, and again after each decommit; it returns whether that worked
   and stores in *is_zero, never NULL and false before the call, whether the part reads as zero.  commit
   false: the part is free; true says that it was given up and must be committed again, false that it is as it
   was.  It must not allocate.  commit_fun NULL: mi_manage_os_memory_ex. */
typedef bool(mi_cdecl mi_commit_fun_t)(bool commit, void* start, size_t size, bool* is_zero, void* user_arg);
mi_decl_export bool mi_manage_memory(void* start, size_t size, bool is_committed, bool is_pinned,
                                     bool is_zero, int numa_node, bool exclusive, mi_commit_fun_t* commit_fun,
                                     void* commit_fun_arg, mi_arena_id_t* arena_id) mi_attr_noexcept;

/* Reserve an arena of `pages` huge pages of 1 GiB (each made of 2 MiB pages where there is none), whose
   memory comes from the NUMA node if it has some.  It stops when timeout_msecs have passed (0: never) or the
   system has no more.  Returns 0 when there is at least one page, or pages is 0; else ENOMEM.  Such memory is
   committed and is never given back.  interleave: spread over `numa_nodes` nodes (0: all), one arena each. */
mi_decl_export int mi_reserve_huge_os_pages_at(size_t pages, int numa_node, size_t timeout_msecs)
    mi_attr_noexcept;
mi_decl_export int mi_reserve_huge_os_pages_at_ex(size_t pages, int numa_node, size_t timeout_msecs,
                                                  bool exclusive, mi_arena_id_t* arena_id) mi_attr_noexcept;
mi_decl_export int mi_reserve_huge_os_pages_interleave(size_t pages, size_t numa_nodes, size_t timeout_msecs)
    mi_attr_noexcept;

/* Of older versions: interleave over all nodes within max_secs (0: no limit); *pages_reserved, unless NULL,
   tells how many pages there are. */
mi_decl_export int mi_reserve_huge_os_pages(size_t pages, double max_secs, size_t* pages_reserved)
    mi_attr_noexcept;

/* The start of the arena, and in *size (unless NULL) its bytes; NULL and 0 when there is no such arena. */
mi_decl_result void* mi_arena_area(mi_arena_id_t arena_id, size_t* size) mi_attr_noexcept;

/* Does the address lie in the arena? */
mi_decl_result bool mi_arena_contains(mi_arena_id_t arena_id, const void* p) mi_attr_noexcept;

/* What an arena's start is rounded to, and the smallest one: 4 MiB.  The largest block that an arena could
   hold if it were as large as arenas can be: 1 TiB. */
mi_decl_result size_t mi_arena_min_alignment(void) mi_attr_noexcept;
mi_decl_result size_t mi_arena_min_size(void) mi_attr_noexcept;
mi_decl_result size_t mi_arena_max_object_size(void) mi_attr_noexcept;

/* A heap whose blocks all lie in the arena: NULL and ENOMEM when that is full (as soon as its own thread's
   free memory has been collected).  When it is deleted, its blocks stay where they are, and what is free
   between them is not used until their pages are empty.  arena_id NULL: mi_heap_new().  NULL: out of memory,
   or there is no such arena (EINVAL). */
mi_decl_result mi_heap_t* mi_heap_new_in_arena(mi_arena_id_t arena_id) mi_attr_noexcept;

/* Fresh memory of the heap (NULL: the main one) comes from arenas of that NUMA node while they have some, if
   it is not bound to an arena; negative: from anywhere again. */
mi_decl_export void mi_heap_set_numa_affinity(mi_heap_t* heap, int numa_node) mi_attr_noexcept;

/* Give all free memory back to the system now, that of arenas too. */
mi_decl_export void mi_arenas_purge(void) mi_attr_noexcept;

/* Print a line for each arena, to the registered output or stderr; show: and a map of its slices of 64 KiB
   ('.' free, 'd' free but not given back, '#' in use). */
mi_decl_export void mi_arenas_print(void) mi_attr_noexcept;
mi_decl_export void mi_debug_show_arenas(void) mi_attr_noexcept;

/* ---- options ----------------------------------------------------------------------------------------- */

/* Each can be set by environment variable MIMALLOC_<NAME> before the program starts (name and value in any
   case): 1, true, yes, on or nothing for true; 0, false, no, off; a number; sizes in bytes, or with a suffix
   K, M, G or T, optionally followed by B or iB.  A process that runs with privileges of its own (setuid)
   ignores the environment.  mi_options_print shows all with their values and says which ones this allocator
   has no use for; doc/options.md lists them.  The numbers are part of the binary interface. */
typedef enum mi_option_e {
  mi_option_show_errors, mi_option_show_stats,
  mi_option_verbose, mi_option_deprecated_eager_commit,
  mi_option_arena_eager_commit, mi_option_purge_decommits,
  mi_option_allow_large_os_pages, mi_option_reserve_huge_os_pages,
  mi_option_reserve_huge_os_pages_at, mi_option_reserve_os_memory,
  mi_option_deprecated_segment_cache, mi_option_deprecated_page_reset,
  mi_option_deprecated_abandoned_page_purge, mi_option_deprecated_segment_reset,
  mi_option_deprecated_eager_commit_delay, mi_option_purge_delay,
  mi_option_use_numa_nodes, mi_option_disallow_os_alloc,
  mi_option_os_tag, mi_option_max_errors,
  mi_option_max_warnings, mi_option_deprecated_max_segment_reclaim,
  mi_option_destroy_on_exit, mi_option_arena_reserve,
  mi_option_arena_purge_mult, mi_option_deprecated_purge_extend_delay,
  mi_option_disallow_arena_alloc, mi_option_retry_on_oom,
  mi_option_deprecated_visit_abandoned, mi_option_guarded_min,
  mi_option_guarded_max, mi_option_unsafe_guarded_precise,
  mi_option_guarded_sample_rate, mi_option_guarded_sample_seed,
  mi_option_generic_collect, mi_option_page_reclaim_on_free,
  mi_option_page_full_retain, mi_option_page_max_candidates,
  mi_option_max_vabits, mi_option_pagemap_commit,
  mi_option_page_commit_on_demand, mi_option_page_max_reclaim,
  mi_option_page_cross_thread_max_reclaim, mi_option_allow_thp,
  mi_option_arena_purge_min_size, mi_option_arena_max_object_size,
  mi_option_arena_is_numa_local, mi_option_stats_merge_on_collect,
  mi_option_profile_alloc_interval, mi_option_profile_inuse_interval,
  mi_option_profile_time_interval, mi_option_profile_sample_rate,
  mi_option_stats_merge_threshold, mi_option_arena_purge_immediate_size,

  /* Ours: after those of the common interface, whose numbers they do not disturb. */
  mi_option_continue_on_error, /* misuse is reported and ignored instead of aborting (0) */
  mi_option_scavenger,         /* a thread purges while a multi-threaded program is idle (1) */
  mi_option_keep_deepbind,     /* the preloaded library leaves RTLD_DEEPBIND to dlopen (0) */
  mi_option_secure_level,      /* 1: blocks in mixed order, 2: and guards at pages and big blocks (0) */
  _mi_option_last,

  mi_option_large_os_pages = mi_option_allow_large_os_pages,
  mi_option_eager_region_commit = mi_option_arena_eager_commit,
  mi_option_reset_decommits = mi_option_purge_decommits,
  mi_option_reset_delay = mi_option_purge_delay,
  mi_option_limit_os_alloc = mi_option_disallow_os_alloc,
  mi_option_minimal_purge_size = mi_option_arena_purge_min_size,

  /* Of 2.x. */
  mi_option_eager_commit = mi_option_deprecated_eager_commit,
  mi_option_segment_cache = mi_option_deprecated_segment_cache,
  mi_option_page_reset = mi_option_deprecated_page_reset,
  mi_option_abandoned_page_purge = mi_option_deprecated_abandoned_page_purge,
  mi_option_segment_reset = mi_option_deprecated_segment_reset,
  mi_option_eager_commit_delay = mi_option_deprecated_eager_commit_delay,
  mi_option_max_segment_reclaim = mi_option_deprecated_max_segment_reclaim,
  mi_option_purge_extend_delay = mi_option_deprecated_purge_extend_delay,
  mi_option_visit_abandoned = mi_option_deprecated_visit_abandoned,
  mi_option_abandoned_reclaim_on_free = mi_option_page_reclaim_on_free,
  mi_option_target_segments_per_thread = mi_option_deprecated_segment_cache
} mi_option_t;

/* The value, in the option's unit; kept within min..max; in bytes (also of options whose unit is KiB; 0 for a
   negative value); whether it is not 0.  Of a number that is no option: 0. */
mi_decl_result long mi_option_get(mi_option_t option);
mi_decl_result long mi_option_get_clamp(mi_option_t option, long min, long max);
mi_decl_result size_t mi_option_get_size(mi_option_t option);
mi_decl_result bool mi_option_is_enabled(mi_option_t option);

/* Set an option, whatever the environment says, from now on and for all threads; enable: to 1, disable: to 0.
   The _default forms only when neither the environment nor the program has set it.  A number that is no
   option: nothing happens.  Options that shape the start are best set before the first allocation. */
mi_decl_export void mi_option_set(mi_option_t option, long value);
mi_decl_export void mi_option_set_default(mi_option_t option, long value);
mi_decl_export void mi_option_set_enabled(mi_option_t option, bool enable);
mi_decl_export void mi_option_set_enabled_default(mi_option_t option, bool enable);
mi_decl_export void mi_option_enable(mi_option_t option);
mi_decl_export void mi_option_disable(mi_option_t option);

/* Print all options and their values, to `out` (NULL: the registered output or stderr). */
mi_decl_export void mi_options_print(void) mi_attr_noexcept;
mi_decl_export void mi_options_print_out(mi_output_fun* out, void* arg) mi_attr_noexcept;

#ifdef __cplusplus
}
#endif

/* ---- typed allocation -------------------------------------------------------------------------------- */

/* For sizes (and alignments) that are constants; nonnull: p is not NULL.  In this version nothing can be
   gained by them: they are other names. */
#define mi_malloc_csize               mi_malloc
#define mi_zalloc_csize               mi_zalloc
#define mi_theap_malloc_csize         mi_theap_malloc
#define mi_theap_zalloc_csize         mi_theap_zalloc
#define mi_free_csize                 mi_free_size
#define mi_free_csize_nonnull         mi_free_size
#define mi_free_csize_aligned         mi_free_size_aligned
#define mi_free_csize_aligned_nonnull mi_free_size_aligned

/* A block for one object of type tp, or for n of them, as a pointer to tp: the function of that name with the
   size taken from the type.  The arguments' order is that of 3.x: the type, then the heap `hp`, then the rest
   (2.x had the heap first). */
#define mi_malloc_tp(tp)                  ((tp*)mi_malloc(sizeof(tp)))
#define mi_zalloc_tp(tp)                  ((tp*)mi_zalloc(sizeof(tp)))
#define mi_calloc_tp(tp, n)               ((tp*)mi_calloc(n, sizeof(tp)))
#define mi_mallocn_tp(tp, n)              ((tp*)mi_mallocn(n, sizeof(tp)))
#define mi_reallocn_tp(tp, p, n)          ((tp*)mi_reallocn(p, n, sizeof(tp)))
#define mi_recalloc_tp(tp, p, n)          ((tp*)mi_recalloc(p, n, sizeof(tp)))
#define mi_free_tp(tp, p)                 mi_free_csize(p, sizeof(tp))
#define mi_heap_malloc_tp(tp, hp)         ((tp*)mi_heap_malloc(hp, sizeof(tp)))
#define mi_heap_zalloc_tp(tp, hp)         ((tp*)mi_heap_zalloc(hp, sizeof(tp)))
#define mi_heap_calloc_tp(tp, hp, n)      ((tp*)mi_heap_calloc(hp, n, sizeof(tp)))
#define mi_heap_mallocn_tp(tp, hp, n)     ((tp*)mi_heap_mallocn(hp, n, sizeof(tp)))
#define mi_heap_reallocn_tp(tp, hp, p, n) ((tp*)mi_heap_reallocn(hp, p, n, sizeof(tp)))
#define mi_heap_recalloc_tp(tp, hp, p, n) ((tp*)mi_heap_recalloc(hp, p, n, sizeof(tp)))

/* ---- the standard containers of C++ ------------------------------------------------------------------ */

#if defined(__cplusplus) && __cplusplus >= 201103L
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

/* What the allocators below have in common: the types, and the members that std::allocator had until C++20,
   which programs may call by name. */
template <class T> struct mi_stl_types {
  typedef T value_type;
  typedef T* pointer;
  typedef const T* const_pointer;
  typedef typename std::add_lvalue_reference<T>::type reference;
  typedef typename std::add_lvalue_reference<const T>::type const_reference;
  typedef std::size_t size_type;
  typedef std::ptrdiff_t difference_type;
  typedef std::true_type propagate_on_container_copy_assignment;
  typedef std::true_type propagate_on_container_move_assignment;
  typedef std::true_type propagate_on_container_swap;

  size_type max_size() const noexcept { return PTRDIFF_MAX / sizeof(T); }
  /* A template, so that T may be void. */
  template <class U> U* address(U& object) const noexcept { return std::addressof(object); }
  template <class U, class... Args> void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
  template <class U> void destroy(U* p) { p->~U(); }
};

/* An allocator for containers, as the standard asks for: it throws std::bad_alloc when out of memory, as
   mi_new_n does, and serves over-aligned types.  All are equal. */
template <class T> struct mi_stl_allocator : mi_stl_types<T> {
  typedef std::true_type is_always_equal;
  template <class U> struct rebind { typedef mi_stl_allocator<U> other; };

  mi_stl_allocator() noexcept = default;
  mi_stl_allocator(const mi_stl_allocator&) noexcept = default;
  mi_stl_allocator& operator=(const mi_stl_allocator&) noexcept = default;
  template <class U> mi_stl_allocator(const mi_stl_allocator<U>&) noexcept {}
  mi_stl_allocator select_on_container_copy_construction() const noexcept { return *this; }

  mi_decl_nodiscard T* allocate(size_t count, const void* = nullptr) {
    if (alignof(T) <= 2 * sizeof(void*) || count > SIZE_MAX / sizeof(T)) {
      return static_cast<T*>(mi_new_n(count, sizeof(T)));
    }
    return static_cast<T*>(mi_new_aligned(count * sizeof(T), alignof(T)));
  }
  void deallocate(T* p, size_t = 0) noexcept { mi_free(p); }
};

template <class T, class U> bool operator==(const mi_stl_allocator<T>&, const mi_stl_allocator<U>&) noexcept {
  return true;
}
template <class T, class U> bool operator!=(const mi_stl_allocator<T>&, const mi_stl_allocator<U>&) noexcept {
  return false;
}

/* An allocator that serves containers from a heap: the program's, which outlives them (NULL: the main heap),
   or a fresh one, shared by all copies of the allocator, that `end` ends after the last of them.  Equal when
   the heap is.  There is a copy but no move: a container that has been moved from is still good for use. */
template <class T, void (*end)(mi_heap_t*)> class mi_stl_heap_allocator : public mi_stl_types<T> {
public:
  typedef std::false_type is_always_equal;
  template <class U> struct rebind { typedef mi_stl_heap_allocator<U, end> other; };

  mi_stl_heap_allocator() {
    for (;; out_of_memory()) {
      users = mi_heap_malloc_tp(size_t, mi_heap_main());
      heap = users != nullptr ? mi_heap_new() : nullptr;
      if (heap != nullptr) break;
      mi_free(users);
    }
    *users = 1;
  }
  mi_stl_heap_allocator(mi_heap_t* given) noexcept : heap(given), users(nullptr) {}
  mi_stl_heap_allocator(const mi_stl_heap_allocator& other) noexcept
      : heap(other.heap), users(one_more(other.users)) {}
  template <class U> mi_stl_heap_allocator(const mi_stl_heap_allocator<U, end>& other) noexcept
      : heap(other.heap), users(one_more(other.users)) {}
  ~mi_stl_heap_allocator() { one_less(); }
  mi_stl_heap_allocator& operator=(const mi_stl_heap_allocator& other) noexcept {
    size_t* const shared = one_more(other.users); /* first: other may be this one */
    one_less();
    heap = other.heap;
    users = shared;
    return *this;
  }
  mi_stl_heap_allocator select_on_container_copy_construction() const noexcept { return *this; }

  mi_decl_nodiscard T* allocate(size_t count, const void* = nullptr) {
    if (alignof(T) <= 2 * sizeof(void*) || count > SIZE_MAX / sizeof(T)) {
      return static_cast<T*>(mi_heap_alloc_new_n(heap, count, sizeof(T)));
    }
    for (;; out_of_memory()) {
      void* const p = mi_heap_malloc_aligned(heap, count * sizeof(T), alignof(T));
      if (p != nullptr) return static_cast<T*>(p);
    }
  }
  void deallocate(T* p, size_t = 0) noexcept {
    if (end != mi_heap_destroy) mi_free(p);
  }
  void collect(bool force) noexcept { mi_heap_collect(heap, force); }
  template <class U> bool is_equal(const mi_stl_heap_allocator<U, end>& other) const noexcept {
    return heap == other.heap;
  }

private:
  template <class U, void (*)(mi_heap_t*)> friend class mi_stl_heap_allocator;
  mi_heap_t* heap;
  size_t* users; /* the number of copies; NULL when the heap is the program's */

  static size_t* one_more(size_t* users) noexcept {
    if (users != nullptr) __atomic_add_fetch(users, 1, __ATOMIC_RELAXED);
    return users;
  }
  void one_less() noexcept {
    if (users == nullptr || __atomic_sub_fetch(users, 1, __ATOMIC_ACQ_REL) != 0) return;
    end(heap);
    mi_free(users);
  }
  static void out_of_memory() { /* what operator new does then: the handler, and another try; or the end */
    if (std::get_new_handler() != nullptr) return std::get_new_handler()();
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
  }
};

template <class T, class U, void (*end)(mi_heap_t*)>
bool operator==(const mi_stl_heap_allocator<T, end>& a, const mi_stl_heap_allocator<U, end>& b) noexcept {
  return a.is_equal(b);
}
template <class T, class U, void (*end)(mi_heap_t*)>
bool operator!=(const mi_stl_heap_allocator<T, end>& a, const mi_stl_heap_allocator<U, end>& b) noexcept {
  return !a.is_equal(b);
}

/* With the first, blocks are freed one by one, and those left over live on when a fresh heap ends.  With the
   second nothing is freed before the heap is, by whoever destroys it: then all at once. */
template <class T> using mi_heap_stl_allocator = mi_stl_heap_allocator<T, mi_heap_delete>;
template <class T> using mi_heap_destroy_stl_allocator = mi_stl_heap_allocator<T, mi_heap_destroy>;
#define MI_HAS_HEAP_STL_ALLOCATOR 1
#endif

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#pragma GCC diagnostic pop
#endif
#endif
