#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeded faults in the shipped code: each must make its scenarios fail.

mutants.py list                        one a line: name, source file, program, the program's arguments
mutants.py make NAME ROOT OUTPUT       write the source file with the fault; fails unless each of its texts to
                                       replace stands there exactly once (white space may differ)
"""
import re
import sys

REMOTE = "src/page/remote.c"
SEGMENT = "src/memory/segment.c"
PURGE = "src/memory/purge.c"
SUMMARY = "src/memory/summary.c"
ABANDON = "src/heap/abandon.c"
DELAYED = "src/heap/delayed.c"
HOLD = "src/thread/idle.c"
IDLE_PAGES = "src/heap/idle.c"
THREAD = "src/thread/thread.c"

# name: (source, program, arguments, [(text, replacement), ...])
MUTANTS = {
    "push-without-state-test": (REMOTE, "remote", "remote-full remote-arming", [
        ("if (remote_state(word) == REMOTE_DELAYED) {", "if (word == UINT64_MAX) {"),
    ]),
    "signal-lost": (REMOTE, "remote", "remote-full", [
        ("next = with_state(word, REMOTE_DELAYING);", "next = with_state(word, REMOTE_NORMAL);"),
        ("verdict = REMOTE_SIGNAL;", "verdict = REMOTE_DONE;"),
    ]),
    "count-apart": (REMOTE, "remote", "remote-full remote-arming", [
        ("next += REMOTE_COUNT_ONE;", "next += 0;"),
        ("return verdict;",
         "if (verdict == REMOTE_DONE) {"
         "  const uint64_t now = load_acquire(&page->thread_free);"
         "  store_release(&page->thread_free, now + REMOTE_COUNT_ONE);"
         "}"
         "return verdict;"),
    ]),
    "arm-without-looking": (REMOTE, "remote", "remote-arming", [
        ("if ((word & REMOTE_HEAD_MASK) != 0) return false;", ""),
    ]),
    "take-without-cas": (REMOTE, "remote", "remote-full remote-arming", [
        ("if (cas_weak_acq_rel(&page->thread_free, &word, word & ~REMOTE_LIST_MASK)) break;",
         "store_release(&page->thread_free, word & ~REMOTE_LIST_MASK); break;"),
    ]),
    "abandon-without-cas": (REMOTE, "remote", "remote-exit", [
        ("next = with_state(with_count(word, live), REMOTE_ABANDONED);"
         "} while (!cas_weak_seq_cst(&page->thread_free, &word, next));",
         "next = with_state(with_count(word, live), REMOTE_ABANDONED);"
         "} while (word == UINT64_MAX);"
         "store_release(&page->thread_free, next);"),
    ]),
    "claim-without-cas": (REMOTE, "remote", "remote-claim remote-frees", [
        ("} while (!cas_weak_acq_rel(&page->thread_free, &word,"
         " with_state(word & ~REMOTE_LIST_MASK, REMOTE_NORMAL) + REMOTE_VERSION_ONE));",
         "} while (word == UINT64_MAX);"
         "store_release(&page->thread_free,"
         " with_state(word & ~REMOTE_LIST_MASK, REMOTE_NORMAL) + REMOTE_VERSION_ONE);"),
    ]),
    "claim-slices-without-cas": (SEGMENT, "slices", "slices-contend slices-keep slices-claim-dirty", [
        ("if (cas_weak_acq_rel(word, &free, free & ~bit_range(first, run.count))) return first;",
         "store_release(word, free & ~bit_range(first, run.count)); return first;"),
    ]),
    "release-slices-without-cas": (SEGMENT, "slices", "slices-release slices-extend", [
        ("while (!cas_strong_seq_cst(word, &free, free | bits)) continue;",
         "store_seq_cst(word, free | bits);"),
    ]),
    "purge-without-claiming": (PURGE, "slices", "slices-purge", [
        ("if (segment_claim_bits(segment, run)) {", "{"),
    ]),
    "refute-hint-without-second-look": (SUMMARY, "slices", "slices-refute", [
        ("if (summary_holds(kind, segment)) raise_hint(kind, 0, segment);", ""),
    ]),
    "linked-without-exchange": (ABANDON, "heap", "heap-exit", [
        ("if (exchange_acq_rel(&page->linked, 1u) != 0) return;", "store_release(&page->linked, 1u);"),
    ]),
    "dead-part-not-drained": (DELAYED, "heap", "heap-exit heap-exit-3", [
        ("if (!live) drain_dead(part);", "if (part == NULL) drain_dead(part);"),
    ]),
    "delayed-take-without-exchange": (DELAYED, "heap", "heap-delayed-two", [
        ("return (block_t*)exchange_acq_rel(&part->delayed, 0);",
         "block_t* const list = (block_t*)load_acquire(&part->delayed);"
         "store_release(&part->delayed, 0);"
         "return list;"),
    ]),
    "hold-without-barrier": (HOLD, "idle", "idle-slow idle-malloc", [
        ("if (os_barrier_everywhere() == 0) { drop_busy(batch);", "{ drop_busy(batch);"),
    ]),
    "hold-the-busy": (HOLD, "idle", "idle-slow idle-malloc", [
        ("if (load_acquire(&record->busy) == 0) batch", "batch"),
        ("else let_go(record); } batch->count = kept;", "} batch->count = kept;"),
    ]),
    "handed-over-forgotten": (HOLD, "idle", "idle-exit", [
        ("thread_end_record(record);", ""),
    ]),
    "exit-under-the-hold": (THREAD, "idle", "idle-exit", [
        ("if (load_acquire(&record->held) == HELD && cas_strong_acq_rel(&record->held, &held, HELD_HANDED))"
         " return;", "(void)held;"),
    ]),
    "release-the-current-page": (IDLE_PAGES, "idle", "idle-fast-path", [
        ("return first != NULL && is_direct(bin) ? first->next : first;", "return first;"),
    ]),
    "wait-for-the-signal": (REMOTE, "remote", "remote-full-3-all", [
        ("block_set_mark(page, block);",
         "block_set_mark(page, block);"
         "while (remote_state(word) == REMOTE_DELAYING) word = load_acquire(&page->thread_free);"),
    ]),
    "lock-to-release": (SEGMENT, "freeze", "500 1 1 5", [
        ("uint64_t free = load_relaxed(word);",
         "static atomic_u32_t lock;"
         "while (exchange_acq_rel(&lock, 1u) != 0) continue;"
         "uint64_t free = load_relaxed(word);"),
        ("while (!cas_strong_seq_cst(word, &free, free | bits)) continue;",
         "while (!cas_strong_seq_cst(word, &free, free | bits)) continue;"
         "store_release(&lock, 0u);"),
    ]),
}


def pattern(text):
    """The text with any white space, or none, between its tokens."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return re.compile(r"\s*".join(re.escape(token) for token in tokens))


def make(name, root, output):
    source, _, _, changes = MUTANTS[name]
    with open(f"{root}/{source}", encoding="utf-8") as file:
        code = file.read()
    for text, replacement in changes:
        found = len(pattern(text).findall(code))
        if found != 1:
            sys.exit(f"mutant {name}: {source} has {found} times: {text}")
        code = pattern(text).sub(lambda _, r=replacement: r, code)
    with open(output, "w", encoding="utf-8") as file:
        file.write(code)


def main():
    if sys.argv[1:] == ["list"]:
        for name, (source, program, scenarios, _) in MUTANTS.items():
            print(f"{name}:{source}:{program}:{scenarios}")
    elif len(sys.argv) == 5 and sys.argv[1] == "make" and sys.argv[2] in MUTANTS:
        make(*sys.argv[2:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
