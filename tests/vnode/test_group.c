/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What the state machine of a group takes for its next entry. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "vnode/entry.h"
#include "vnode/event.h"
#include "vnode/vnode.h"

TestSuite(group);

#define CLOCK_MS 1700000000123u

/* The body of an entry that creates stream 1 with the N events in E. */
static struct body *
entry_with(const struct event *e, uint32_t n)
{
	struct buf b;
	uint32_t bytes = 0;
	struct body *body;

	for (uint32_t i = 0; i < n; i++)
		bytes += event_bytes(&e[i]);
	buf_init(&b, 1u << 16);
	entry_put_header(buf_reserve(&b, ENTRY_HEADER_BYTES), 2, CLOCK_MS);
	b.n += ENTRY_HEADER_BYTES;
	entry_add_create(&b, 1, SLICE_LIT("b"), SLICE_LIT("s"));
	entry_add_append(&b, 1, 1, n, bytes);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = buf_reserve(&b, event_bytes(&e[i]));

		b.n += event_encode_head(&e[i], p);
		buf_add_slice(&b, e[i].data);
	}
	cr_assert_eq(buf_error(&b), 0);
	body = body_copy(buf_slice(&b));
	cr_assert_not_null(body);
	buf_deinit(&b);
	return body;
}

/* What becomes of entry 1 with these two events. */
static int
apply_two(const struct event e[2])
{
	struct body *b = entry_with(e, 2);
	struct tail_cache cache;
	struct dirty dirty;
	static const struct dedup_limits limits = {1000, 10};
	struct vnode v;
	int r;

	tail_cache_init(&cache, 1u << 20);
	dirty_init(&dirty);
	vnode_init(&v, 0, 1, 0, "c", 1, &limits);
	r = group_apply(&v, &cache, &dirty, 1, 1, b);
	cr_expect_eq(v.group.applied_index, r == 0);
	for (struct stream *s; (s = dirty_first(&dirty));)
		dirty_remove(&dirty, s);
	vnode_deinit(&v, &cache);
	body_unref(b);
	return r;
}

static struct event
event_of(uint64_t seq)
{
	return (struct event){
	    .seq = seq,
	    .t_ms = CLOCK_MS,
	    .index = 1,
	    .ordinal = (uint32_t)seq - 1,
	    .flags = EVENT_JSON,
	    .data = SLICE_LIT("1"),
	};
}

Test(group, events_of_another_entry_place_or_time_are_no_part_of_this_one)
{
	struct event e[2] = {event_of(1), event_of(2)};

	cr_expect_eq(apply_two(e), 0);
	e[1].index = 2;
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
	e[1] = event_of(2);
	e[1].ordinal = 0;
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
	e[1] = event_of(2);
	e[1].t_ms--;
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
	e[1] = event_of(3);
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
}

Test(group, a_key_is_of_all_events_that_came_with_it)
{
	struct event e[2] = {event_of(1), event_of(2)};
	struct event_key key = {.key = {1}, .body = {2}, .n_events = 2};
	uint8_t ext[EVENT_KEY_BYTES];

	event_key_encode(&key, ext);
	e[0].flags |= EVENT_KEY;
	e[0].ext = SLICE(ext, sizeof(ext));
	cr_expect_eq(apply_two(e), 0);
	e[0].ext.n--;
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
	key.n_events = 1;
	event_key_encode(&key, ext);
	e[0].ext.n++;
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
	key.n_events = 2;
	event_key_encode(&key, ext);
	e[1].flags |= EVENT_KEY; /* one is enough */
	e[1].ext = e[0].ext;
	cr_expect_eq(apply_two(e), -ERR_CORRUPT);
}
