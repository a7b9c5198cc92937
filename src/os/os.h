/* SPDX-License-Identifier: MIT */
/* All the allocator asks of the operating system.  A port is one file that keeps these contracts.

   Rules for every function: it may be called from any thread, from a signal handler and before constructors
   have run; it calls no malloc, takes no lock, is no cancellation point, and leaves errno as it was.
   Functions that return int return 0 or an errno value.  Addresses and sizes of ranges are multiples of
   os_page_size() unless said otherwise; size > 0. */
#pragma once

#include <sys/uio.h>

#include "base/atomics.h"
#include "base/config.h"

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

/* The same of several ranges at the price of one: every other processor that the process runs on is
   interrupted once, not for each.  Returns how many bytes were dropped. */
size_t os_purge_each(const struct iovec* ranges, size_t count);

/* Tell the OS that it may take the memory behind a writable range whenever it needs some: what the range
   holds is unknown until it is written to.  0, or an errno value: nothing has changed. */
int os_reset(void* addr, size_t size);

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

/* Let every access to a writable range fault; its contents are gone.  Where the kernel has no guards without
   mappings of their own (Linux before 6.13), a bounded number of ranges.  0, or an errno value: ENOMEM when
   they are spent. */
int os_guard(void* addr, size_t size);
/* The range, guarded in whole, in parts or not at all, is writable, and what was guarded reads as zero;
   `calls` of os_guard are undone. */
int os_unguard(void* addr, size_t size, uint32_t calls);
bool os_has_guarded(void); /* has any range ever been guarded? */

/* Ask for no huge pages in a range; a hint. */
void os_no_huge_pages(void* addr, size_t size);
void os_want_huge_pages(void* addr, size_t size); /* the opposite; a hint, too */

/* Does the OS promise more memory than it has, so that unused memory costs nothing?  False when unknown. */
bool os_overcommits(void);

/* Milliseconds of a clock that never goes back; may step by several at once (it is cheap). */
uint64_t os_now_ms(void);
uint64_t os_touch(void* fresh); /* memory gets its first touch, by a zero: processor time in ns */

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
size_t os_resident(void* addr, size_t size); /* bytes of the mapped range; what is unknown is not */

/* The most there were since its last exec (which getrusage does not tell), 0 when unknown. */
size_t os_process_peak_rss(void);

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
