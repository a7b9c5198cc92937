/* SPDX-License-Identifier: MIT */
/* The remote-free word: every edge of the diagram in page/remote.h, and every edge that must not be there. */
#include "unit/page_support.h"

enum { BIN_8K_BLOCKS = 8 };

static page_t* full_page(void) {
  page_t* const page = test_page(bin_of(8192));
  store_relaxed(&page->owner_tag, TAG_UNIT);
  take_all(page);
  assert_int_equal(page->reserved, BIN_8K_BLOCKS);
  return page;
}

static uint64_t version_of(page_t* page) { return load_relaxed(&page->thread_free) >> 48; }

/* ---- owned pages ---- */

static void normal_pushes_and_takes(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  uint32_t count = 99;
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  assert_null(remote_take(page, &count));
  assert_int_equal(count, 0);
  for (size_t i = 0; i < BIN_8K_BLOCKS; i++) {
    assert_int_equal(remote_free(page, test_block(page, i)), REMOTE_DONE);
    assert_int_equal(count_of(page), i + 1);
    if (FREE_CHECKS) assert_int_equal(test_block(page, i)->mark, page);
    assert_true(page_list_holds(page, remote_list(page), test_block(page, i)));
  }
  assert_int_equal(page->used, BIN_8K_BLOCKS); /* P1: what lies in thread_free still counts */
  block_t* list = remote_take(page, &count);
  assert_int_equal(count, BIN_8K_BLOCKS);
  for (size_t i = BIN_8K_BLOCKS; i-- > 0; list = block_next(page, list))
    assert_ptr_equal(list, test_block(page, i));
  assert_null(list);
  assert_int_equal(count_of(page), 0);
  assert_false(page_list_holds(page, remote_list(page), test_block(page, 0)));
  drop_test_page(page);
}

static void collecting_counts_without_walking(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  remote_free(page, test_block(page, 1));
  remote_free(page, test_block(page, 5));
  page_collect_remote(page);
  assert_int_equal(page->used, BIN_8K_BLOCKS - 2);
  assert_int_equal(test_list_length(page, page->local_free), 2);
  assert_true(page_is_valid(page));
  drop_test_page(page);
}

static void one_signal_per_full_page(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  assert_true(remote_arm(page));
  assert_int_equal(state_of(page), REMOTE_DELAYED);
  assert_int_equal(remote_free(page, test_block(page, 0)), REMOTE_SIGNAL);
  assert_int_equal(state_of(page), REMOTE_DELAYING);
  assert_int_equal(count_of(page), 0); /* not pushed: it goes to the part's list */
  assert_false(page_list_holds(page, remote_list(page), test_block(page, 0)));
  /* Others neither wait nor signal. */
  assert_int_equal(remote_free(page, test_block(page, 1)), REMOTE_DONE);
  assert_int_equal(remote_free(page, test_block(page, 2)), REMOTE_DONE);
  assert_int_equal(state_of(page), REMOTE_DELAYING);
  assert_int_equal(count_of(page), 2);
  remote_signalled(page);
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  assert_int_equal(count_of(page), 2);
  assert_int_equal(remote_free(page, test_block(page, 3)), REMOTE_DONE);
  drop_test_page(page);
}

static void arming_fails_when_something_was_freed(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  uint32_t count;
  remote_free(page, test_block(page, 0));
  assert_false(remote_arm(page));
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  remote_take(page, &count);
  assert_true(remote_arm(page));
  /* The owner may find the page full again while the signaller is still on its way. */
  assert_int_equal(remote_free(page, test_block(page, 1)), REMOTE_SIGNAL);
  assert_true(remote_arm(page));
  assert_int_equal(state_of(page), REMOTE_DELAYED);
  remote_signalled(page); /* late: must not take the new arming away */
  assert_int_equal(state_of(page), REMOTE_DELAYED);
  drop_test_page(page);
}

static void disarming(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  remote_disarm(page);
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  assert_true(remote_arm(page));
  remote_disarm(page);
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  assert_true(remote_arm(page));
  remote_free(page, test_block(page, 0));
  remote_disarm(page); /* DELAYING is the signaller's */
  assert_int_equal(state_of(page), REMOTE_DELAYING);
  drop_test_page(page);
}

/* ---- abandoned pages ---- */

static void give_up(page_t* page, abandon_verdict_t expected) {
  page_merge_lists(page);
  store_relaxed(&page->owner_tag, TAG_ABANDONED);
  assert_int_equal(remote_abandon(page), expected);
}

static void last_free_gets_the_page(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  give_up(page, ABANDON_FULL);
  assert_int_equal(state_of(page), REMOTE_ABANDONED);
  assert_int_equal(count_of(page), BIN_8K_BLOCKS);
  const uint64_t version = version_of(page);
  for (uint32_t i = 0; i + 1 < BIN_8K_BLOCKS; i++) {
    assert_int_equal(remote_free(page, test_block(page, i)), REMOTE_ROOMY);
    assert_int_equal(count_of(page), BIN_8K_BLOCKS - 1 - i);
  }
  assert_int_equal(remote_free(page, test_block(page, BIN_8K_BLOCKS - 1)), REMOTE_LAST);
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  assert_int_equal(version_of(page), version + 1);
  assert_false(remote_claim(page)); /* the freeing thread owns it */
  drop_test_page(page);
}

static void abandoning_counts_what_others_freed(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  remote_free(page, test_block(page, 0));
  remote_free(page, test_block(page, 1));
  give_up(page, ABANDON_ROOM);
  assert_int_equal(count_of(page), BIN_8K_BLOCKS - 2);
  assert_true(remote_claim(page));
  assert_int_equal(page->used, BIN_8K_BLOCKS - 2);
  assert_int_equal(test_list_length(page, page->local_free), 2);
  assert_int_equal(count_of(page), 0);
  assert_true(page_is_valid(page));
  drop_test_page(page);
}

static void abandoning_an_empty_page_is_refused(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  for (size_t i = 0; i < BIN_8K_BLOCKS; i++) remote_free(page, test_block(page, i));
  give_up(page, ABANDON_REFUSED);
  assert_int_equal(state_of(page), REMOTE_NORMAL);
  assert_int_equal(count_of(page), BIN_8K_BLOCKS);
  drop_test_page(page);
}

static void abandoning_in_every_owned_state(void** unused) {
  UNUSED(unused);
  for (int delaying = 0; delaying < 2; delaying++) {
    page_t* const page = full_page();
    assert_true(remote_arm(page));
    if (delaying) assert_int_equal(remote_free(page, test_block(page, 0)), REMOTE_SIGNAL);
    give_up(page, ABANDON_FULL);
    remote_signalled(page); /* a late signaller changes nothing */
    remote_disarm(page);
    assert_int_equal(state_of(page), REMOTE_ABANDONED);
    /* The block in flight counts as live: the page cannot go before it. */
    assert_int_equal(count_of(page), BIN_8K_BLOCKS);
    assert_int_equal(remote_free(page, test_block(page, 0)), REMOTE_ROOMY);
    drop_test_page(page);
  }
}

static void one_claim_wins(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  assert_false(remote_claim(page));
  give_up(page, ABANDON_FULL);
  const uint64_t version = version_of(page);
  assert_true(remote_claim(page));
  assert_int_equal(version_of(page), version + 1);
  assert_int_equal(page->used, BIN_8K_BLOCKS);
  assert_null(page->local_free);
  assert_false(remote_claim(page));
  assert_int_equal(remote_free(page, test_block(page, 0)), REMOTE_DONE);
  drop_test_page(page);
}

static void a_parked_page_has_no_live_block(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  while (page->used > 0) page_push_local(page, test_block(page, page->used - 1));
  page_merge_lists(page);
  remote_park(page);
  assert_int_equal(state_of(page), REMOTE_ABANDONED);
  assert_int_equal(count_of(page), 0);
  const uint64_t before = load_relaxed(&page->thread_free);
  assert_int_equal(remote_free(page, test_block(page, 3)), REMOTE_NOT_LIVE);
  assert_int_equal(load_relaxed(&page->thread_free), before);
  assert_true(remote_claim(page));
  assert_int_equal(page->used, 0);
  assert_true(page_is_valid(page));
  drop_test_page(page);
}

/* Room for an eighth makes an abandoned page worth the others' while. */
static void an_abandoned_page_becomes_roomy(void** unused) {
  UNUSED(unused);
  page_t* const page = test_page(bin_of(64));
  store_relaxed(&page->owner_tag, TAG_UNIT);
  take_all(page);
  const size_t blocks = page->reserved;
  give_up(page, ABANDON_FULL);
  for (size_t i = 0; i < blocks; i++) {
    const remote_verdict_t verdict = remote_free(page, test_block(page, i));
    const remote_verdict_t expected = i + 1 < blocks / 8 ? REMOTE_UNOWNED : REMOTE_ROOMY;
    assert_int_equal(verdict, i + 1 == blocks ? REMOTE_LAST : expected);
  }
  drop_test_page(page);
}

/* The short way in: only where the general one would push and be done. */
static void push_takes_the_usual_case_only(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  uint32_t count;
  assert_true(remote_push(page, test_block(page, 2), 2 * 8192));
  assert_true(remote_push(page, test_block(page, 0), 0));
  assert_int_equal(count_of(page), 2);
  assert_true(block_is_marked(page, test_block(page, 2)) == FREE_CHECKS);
  assert_ptr_equal(remote_take(page, &count), test_block(page, 0));
  assert_ptr_equal(block_next(page, test_block(page, 0)), test_block(page, 2));
  assert_null(block_next(page, test_block(page, 2)));
  assert_int_equal(count, 2);
  assert_true(remote_arm(page));
  const uint64_t armed = load_relaxed(&page->thread_free);
  assert_false(remote_push(page, test_block(page, 1), 8192));
  assert_int_equal(load_relaxed(&page->thread_free), armed);
  assert_int_equal(remote_free(page, test_block(page, 1)), REMOTE_SIGNAL);
  assert_true(remote_push(page, test_block(page, 3), 3 * 8192)); /* while the signal is on its way */
  drop_test_page(page);
  page_t* const unowned = full_page();
  give_up(unowned, ABANDON_FULL);
  assert_false(remote_push(unowned, test_block(unowned, 1), 8192));
  assert_int_equal(count_of(unowned), BIN_8K_BLOCKS);
  drop_test_page(unowned);
}

/* ---- the word over the lives of a table entry ---- */

static void versions_outlive_pages(void** unused) {
  UNUSED(unused);
  page_t* const page = full_page();
  const uint64_t version = version_of(page);
  const unsigned bin = page->bin;
  page_init(page, bin, MEMORY_UNKNOWN);
  assert_int_equal(version_of(page), version + 1);
  assert_int_equal(load_relaxed(&page->thread_free) << 16, 0);
  drop_test_page(page);
}

/* The last block of the longest page has the greatest offset that a head must hold. */
static void heads_reach_the_last_block(void** unused) {
  UNUSED(unused);
  for (unsigned bin = 0; bin < BIN_COUNT; bin++) {
    page_t* const page = test_page(bin);
    uint32_t count;
    block_t* const last = test_block(page, (size_t)page->reserved - 1);
    block_t* const first = test_block(page, 0);
    take_all(page);
    remote_free(page, last);
    if (page->key != 0) remote_free(page, first);
    else assert_true(remote_push(page, first, 0));
    assert_ptr_equal(remote_take(page, &count), first);
    assert_ptr_equal(block_next(page, first), last);
    assert_null(block_next(page, last));
    assert_int_equal(count, 2);
    drop_test_page(page);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(normal_pushes_and_takes),
      cmocka_unit_test(collecting_counts_without_walking),
      cmocka_unit_test(one_signal_per_full_page),
      cmocka_unit_test(arming_fails_when_something_was_freed),
      cmocka_unit_test(disarming),
      cmocka_unit_test(an_abandoned_page_becomes_roomy),
      cmocka_unit_test(push_takes_the_usual_case_only),
      cmocka_unit_test(last_free_gets_the_page),
      cmocka_unit_test(abandoning_counts_what_others_freed),
      cmocka_unit_test(abandoning_an_empty_page_is_refused),
      cmocka_unit_test(abandoning_in_every_owned_state),
      cmocka_unit_test(one_claim_wins),
      cmocka_unit_test(a_parked_page_has_no_live_block),
      cmocka_unit_test(versions_outlive_pages),
      cmocka_unit_test(heads_reach_the_last_block),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
