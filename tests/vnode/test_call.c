/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Requests between nodes: what is written is read, and only that. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/list.h"
#include "tests/golden/golden.h"
#include "vnode/call.h"

TestSuite(call, .timeout = 60);

/* What a frame would hold. */
static struct block *
encode(uint64_t id, const struct msg *m)
{
	struct call_out out;
	struct block *b;
	size_t n = 0;

	cr_assert_eq(call_encode(&out, id, m), 0);
	for (uint32_t i = 0; i < out.n_iov; i++)
		n += out.iov[i].iov_len;
	b = block_new((uint32_t)n);
	for (uint32_t i = 0; i < out.n_iov; i++) {
		memcpy(b->p + b->n, out.iov[i].iov_base, out.iov[i].iov_len);
		b->n += (uint32_t)out.iov[i].iov_len;
	}
	call_out_deinit(&out);
	return b;
}

/* --- one of each ---------------------------------------------------------- */

static const struct vnode_put_event events[] = {
    {EVENT_JSON | EVENT_NEWLINE, {0}, {(const uint8_t *)"{\n}", 3}},
    {0, {(const uint8_t *)"a/b", 3}, {0}},
};

static const struct vnode_put put = {
    .msg = {.kind = MSG_PUT},
    .group = 7,
    .bucket = {(const uint8_t *)"bucket", 6},
    .stream = {(const uint8_t *)"stream", 6},
    .n_events = 2,
    .events = events,
    .has_expect = 1,
    .expect = 41,
};

/* The second event is the patch. */
static const struct vnode_put patch = {
    .msg = {.kind = MSG_PUT},
    .group = 7,
    .bucket = {(const uint8_t *)"bucket", 6},
    .stream = {(const uint8_t *)"stream", 6},
    .n_events = 2,
    .events = events,
    .has_expect = 1,
    .expect = 41,
    .patch_of = 43,
};

static const struct vnode_put keyed = {
    .msg = {.kind = MSG_PUT},
    .group = 7,
    .bucket = {(const uint8_t *)"b", 1},
    .stream = {(const uint8_t *)"s", 1},
    .n_events = 1,
    .events = events,
    .has_key = 1,
    .key = {1, 2, 3},
    .key_body = {4, 5, 6},
};

static const struct vnode_read reading = {
    .msg = {.kind = MSG_READ},
    .group = 8,
    .bucket = {(const uint8_t *)"b", 1},
    .stream = {(const uint8_t *)"s", 1},
    .op = VNODE_READ_SEEK,
    .from = 1,
    .to = UINT64_MAX,
    .last_n = 3,
    .limit = 4,
    .max_bytes = 5,
    .desc = 1,
    .any = 1,
    .seek_ms = 6,
};

static const struct vnode_list list = {
    .msg = {.kind = MSG_LIST},
    .group = 9,
    .bucket = {(const uint8_t *)"b", 1},
    .prefix = {(const uint8_t *)"pre", 3},
    .after = {(const uint8_t *)"after", 5},
    .limit = 10,
    .detail = 1,
    .any = 1,
};

static struct vnode_put
put_answer(void)
{
	struct vnode_put p = put;

	p.msg.answer = 1;
	p.r = -ERR_CONFLICT;
	p.first = 1;
	p.last = 2;
	p.t_ms = 3;
	p.newest = 42;
	p.n_replicas = 5;
	return p;
}

static struct vnode_read
read_answer(struct vnode_part *part)
{
	static uint8_t record[EVENT_HEADER_BYTES];
	struct event e = {.seq = 12, .t_ms = 13, .index = 14, .flags = 0};
	struct vnode_read r = reading;

	event_encode_head(&e, record);
	*part = (struct vnode_part){.records = SLICE(record, sizeof(record))};
	r.msg.answer = 1;
	r.stale = 1;
	memset(r.leader, 0x11, 16);
	r.incarnation = 9;
	r.kept_first = 10;
	r.newest = 20;
	r.range_first = 11;
	r.range_last = 19;
	r.seek = 15;
	r.damaged_first = 16;
	r.damaged_last = 17;
	r.page = (struct vnode_page){
	    .n_parts = 1, .parts = part, .first = 12, .last = 12};
	return r;
}

static struct vnode_list
list_answer(struct vnode_list_item *item)
{
	struct vnode_list l = list;

	*item = (struct vnode_list_item){.name = SLICE_LIT("name"),
	    .first = 1,
	    .last = 2,
	    .count = 3,
	    .bytes = 4,
	    .t_ms = 5};
	l.msg.answer = 1;
	l.stale = 1;
	l.more = 1;
	l.n_items = 1;
	l.items = item;
	return l;
}

/* --- requests ------------------------------------------------------------- */

static struct msg *
request_of(struct block *b, struct call_in *in)
{
	struct msg *m = NULL;

	cr_assert_eq(call_open(SLICE(b->p, b->n), in), 0);
	cr_assert_eq(in->id, 77);
	cr_assert_eq(in->answer, 0);
	cr_assert_eq(call_request(in, &m), 0);
	return m;
}

Test(call, a_put_arrives_with_its_condition_and_all_events)
{
	struct block *b = encode(77, &put.msg);
	struct call_in in;
	struct vnode_put *p =
	    CONTAINER_OF(request_of(b, &in), struct vnode_put, msg);

	cr_expect_eq(p->group, 7);
	cr_expect(slice_equal(p->bucket, put.bucket));
	cr_expect(slice_equal(p->stream, put.stream));
	cr_expect_eq(p->has_expect, 1);
	cr_expect_eq(p->expect, 41);
	cr_assert_eq(p->n_events, 2);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(p->events[i].flags, events[i].flags);
		cr_expect(slice_equal(p->events[i].type, events[i].type));
		cr_expect(slice_equal(p->events[i].data, events[i].data));
	}
	call_free_request(&p->msg);
	block_unref(b);
}

Test(call, a_patch_arrives_as_one)
{
	struct block *b = encode(77, &patch.msg);
	struct call_in in;
	struct vnode_put *p =
	    CONTAINER_OF(request_of(b, &in), struct vnode_put, msg);

	golden("call_patch.bin", SLICE(b->p, b->n));
	cr_expect_eq(p->patch_of, 43);
	cr_expect(p->has_expect && p->expect == 41 && p->n_events == 2);
	cr_expect(slice_equal(p->stream, patch.stream));
	for (int i = 0; i < 2; i++)
		cr_expect(slice_equal(p->events[i].data, events[i].data));
	call_free_request(&p->msg);
	block_unref(b);
}

Test(call, what_cannot_be_a_patch_is_refused)
{
	static const uint8_t name[249] = {'n'};
	struct vnode_put bad[] = {patch, patch, patch, patch};
	struct msg *m;

	bad[0].has_expect = 0;
	bad[1].expect = 0;
	bad[2].n_events = 1;
	bad[3].stream = SLICE(name, sizeof(name));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct block *b = encode(77, &bad[i].msg);
		struct call_in in;

		cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
		cr_expect_lt(call_request(&in, &m), 0, "%zu", i);
		block_unref(b);
	}
}

Test(call, a_key_and_what_became_of_it_arrive)
{
	struct block *b = encode(77, &keyed.msg);
	struct call_in in;
	struct vnode_put *p =
	    CONTAINER_OF(request_of(b, &in), struct vnode_put, msg);
	struct vnode_put back = keyed;
	struct buf all;

	cr_expect(p->has_key == 1 && p->has_expect == 0 && p->n_events == 1);
	cr_expect(memcmp(p->key, keyed.key, 16) == 0);
	cr_expect(memcmp(p->key_body, keyed.key_body, 16) == 0);
	cr_expect(slice_equal(p->events[0].data, events[0].data));
	buf_init(&all, 4096);
	buf_add(&all, b->p, b->n);
	call_free_request(&p->msg);
	block_unref(b);
	back.msg.answer = 1;
	back.replayed = 1;
	back.n_replicas = 3;
	b = encode(77, &back.msg);
	back = keyed;
	buf_add(&all, b->p, b->n);
	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(call_answer(&in, b, &back.msg), 0);
	cr_expect(back.replayed == 1 && back.n_replicas == 3);
	golden("call_key.bin", buf_slice(&all));
	buf_deinit(&all);
	block_unref(b);
}

Test(call, a_deletion_arrives_with_its_names)
{
	struct vnode_delete del = {.msg = {.kind = MSG_DELETE},
	    .group = 7,
	    .bucket = SLICE_LIT("bucket"),
	    .stream = SLICE_LIT("stream")};
	struct vnode_delete back = del, *p;
	struct block *b = encode(77, &del.msg);
	struct call_in in;
	struct msg *m;
	struct buf all;

	p = CONTAINER_OF(request_of(b, &in), struct vnode_delete, msg);
	cr_expect(p->msg.kind == MSG_DELETE && p->group == 7);
	cr_expect(slice_equal(p->bucket, del.bucket));
	cr_expect(slice_equal(p->stream, del.stream));
	call_free_request(&p->msg);
	for (uint32_t n = 0; n < b->n; n++)
		cr_expect(
		    call_open(SLICE(b->p, n), &in) || call_request(&in, &m));
	buf_init(&all, 4096);
	buf_add(&all, b->p, b->n);
	block_unref(b);
	del.msg.answer = 1;
	del.r = -ERR_NOTLEADER;
	memset(del.leader, 0x11, 16);
	b = encode(77, &del.msg);
	buf_add(&all, b->p, b->n);
	golden("call_delete.bin", buf_slice(&all));
	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(call_answer(&in, b, &back.msg), 0);
	cr_expect_eq(back.r, -ERR_NOTLEADER);
	cr_expect_eq(memcmp(back.leader, del.leader, 16), 0);
	buf_deinit(&all);
	block_unref(b);
}

Test(call, reads_and_lists_arrive_as_they_were_asked)
{
	struct call_in in;
	struct block *b = encode(77, &reading.msg);
	struct vnode_read *r =
	    CONTAINER_OF(request_of(b, &in), struct vnode_read, msg);
	struct vnode_list *l;

	cr_expect(r->group == 8 && r->op == VNODE_READ_SEEK && r->from == 1 &&
		  r->to == UINT64_MAX && r->last_n == 3 && r->limit == 4 &&
		  r->max_bytes == 5 && r->desc == 1 && r->any == 1 &&
		  r->seek_ms == 6);
	cr_expect(slice_equal(r->stream, reading.stream));
	call_free_request(&r->msg);
	block_unref(b);
	b = encode(77, &list.msg);
	l = CONTAINER_OF(request_of(b, &in), struct vnode_list, msg);
	cr_expect(
	    l->group == 9 && l->limit == 10 && l->detail == 1 && l->any == 1);
	cr_expect(slice_equal(l->prefix, list.prefix));
	cr_expect(slice_equal(l->after, list.after));
	call_free_request(&l->msg);
	block_unref(b);
}

/* --- answers -------------------------------------------------------------- */

Test(call, answers_come_back_with_what_they_say)
{
	struct vnode_part part;
	struct vnode_list_item item;
	struct vnode_put p = put_answer(), p2 = put;
	struct vnode_read r = read_answer(&part), r2 = reading;
	struct vnode_list l = list_answer(&item), l2 = list;
	struct call_in in;
	struct block *b = encode(1, &p.msg);

	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert(in.answer && !in.stale);
	cr_assert_eq(call_answer(&in, b, &p2.msg), 0);
	cr_expect(p2.r == -ERR_CONFLICT && p2.first == 1 && p2.last == 2 &&
		  p2.t_ms == 3 && p2.newest == 42 && p2.n_replicas == 5);
	block_unref(b);

	b = encode(2, &r.msg);
	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(call_answer(&in, b, &r2.msg), 0);
	cr_expect(
	    r2.r == 0 && r2.stale == 1 && r2.incarnation == 9 &&
	    r2.kept_first == 10 && r2.newest == 20 && r2.range_first == 11 &&
	    r2.range_last == 19 && r2.seek == 15 && r2.damaged_first == 16 &&
	    r2.damaged_last == 17 && r2.page.first == 12 && r2.page.last == 12);
	cr_expect(memcmp(r2.leader, r.leader, 16) == 0);
	cr_assert_eq(r2.page.n_parts, 1);
	cr_expect(slice_equal(r2.page.parts[0].records, part.records));
	block_unref(b); /* the page holds it */
	vnode_page_deinit(&r2.page);

	b = encode(3, &l.msg);
	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(call_answer(&in, b, &l2.msg), 0);
	cr_expect(l2.stale == 1 && l2.more == 1);
	cr_assert_eq(l2.n_items, 1);
	cr_expect(slice_equal(l2.items[0].name, item.name));
	cr_expect(l2.items[0].last == 2 && l2.items[0].t_ms == 5);
	vnode_list_deinit(&l2);
	block_unref(b);
}

Test(call, an_answer_that_is_not_stale_does_not_say_so)
{
	struct vnode_part part;
	struct vnode_read r = read_answer(&part), r2 = reading;
	struct call_in in;
	struct block *b;

	r.stale = 0;
	r2.stale = 1;
	b = encode(2, &r.msg);
	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(call_answer(&in, b, &r2.msg), 0);
	cr_expect_eq(r2.stale, 0);
	vnode_page_deinit(&r2.page);
	b->p[7] = 2; /* a request cannot be */
	cr_expect_lt(call_open(SLICE(b->p, b->n), &in), 0);
	block_unref(b);
}

/* --- bytes ---------------------------------------------------------------- */

static const struct msg *
nth(uint32_t i, struct vnode_put *p, struct vnode_read *r, struct vnode_list *l)
{
	const struct msg *all[] = {
	    &put.msg, &reading.msg, &list.msg, &p->msg, &r->msg, &l->msg};

	return i < sizeof(all) / sizeof(*all) ? all[i] : NULL;
}

Test(call, no_part_of_a_call_is_one)
{
	struct vnode_part part;
	struct vnode_list_item item;
	struct vnode_put p = put_answer();
	struct vnode_read r = read_answer(&part);
	struct vnode_list l = list_answer(&item);
	const struct msg *m;

	for (uint32_t i = 0; (m = nth(i, &p, &r, &l)); i++) {
		struct block *b = encode(i, m);

		for (uint32_t n = 0; n < b->n; n++) {
			struct vnode_put p2 = put;
			struct vnode_read r2 = reading;
			struct vnode_list l2 = list;
			struct msg *back[] = {&p2.msg, &r2.msg, &l2.msg}, *out;
			struct call_in in;

			if (call_open(SLICE(b->p, n), &in))
				continue;
			cr_expect_lt(in.answer
					 ? call_answer(&in, b, back[i % 3])
					 : call_request(&in, &out),
			    0, "%u: %u of %u bytes", i, n, b->n);
		}
		block_unref(b);
	}
}

Test(call, the_bytes_are_what_they_have_always_been)
{
	struct vnode_part part;
	struct vnode_list_item item;
	struct vnode_put p = put_answer();
	struct vnode_read r = read_answer(&part);
	struct vnode_list l = list_answer(&item);
	const struct msg *m;
	struct buf all;

	buf_init(&all, 1u << 16);
	for (uint32_t i = 0; (m = nth(i, &p, &r, &l)); i++) {
		struct block *b = encode(i, m);

		buf_add(&all, b->p, b->n);
		block_unref(b);
	}
	golden("call.bin", buf_slice(&all));
	buf_deinit(&all);
}

Test(call, a_read_that_waits_says_what_it_knows_and_how_long)
{
	struct vnode_read wait = reading;
	struct call_in in;
	struct block *b;
	struct msg *m;
	const struct vnode_read *r;

	wait.op = VNODE_READ_WAIT;
	wait.last_n = wait.seek_ms = 0;
	wait.known = 21;
	wait.wait_ms = 10000;
	b = encode(78, &wait.msg);
	golden("call_wait.bin", SLICE(b->p, b->n));
	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(call_request(&in, &m), 0);
	r = CONTAINER_OF(m, struct vnode_read, msg);
	cr_expect_eq(r->op, VNODE_READ_WAIT);
	cr_expect_eq(r->known, 21);
	cr_expect_eq(r->wait_ms, 10000);
	cr_expect_eq(r->last_n, 0);
	cr_expect_eq(r->seek_ms, 0);
	call_free_request(m);
	block_unref(b);
}

Test(call, news_of_a_bucket_are_asked_for_and_told)
{
	struct vnode_news_item items[2] = {
	    {.name = SLICE_LIT("s"), .incarnation = 3, .last = 9, .from = 4},
	    {.name = SLICE_LIT("other"), .incarnation = 5, .last = 1},
	};
	struct vnode_news_ended ended[2] = {
	    {SLICE_LIT("gone"), 2, .index = 15, .t_ms = 16, .ordinal = 1},
	    {SLICE_LIT("s"), 1, .index = 15, .t_ms = 16, .ordinal = 2},
	};
	struct vnode_news ask = {
	    .msg = {.kind = MSG_NEWS},
	    .group = 7,
	    .bucket = SLICE_LIT("bucket"),
	    .after_index = 11,
	    .after_ordinal = 12,
	    .after_t = 13,
	    .wait_ms = 10000,
	};
	struct vnode_news told = ask, got = ask;
	const struct vnode_news *n;
	struct call_in in;
	struct block *b = encode(79, &ask.msg), *b2;
	struct msg *m;
	struct buf all;

	cr_assert_eq(call_open(SLICE(b->p, b->n), &in), 0);
	cr_assert_eq(in.kind, MSG_NEWS);
	cr_assert_eq(call_request(&in, &m), 0);
	n = CONTAINER_OF(m, struct vnode_news, msg);
	cr_expect_eq(n->group, 7);
	cr_expect(slice_equal(n->bucket, ask.bucket));
	cr_expect_eq(n->after_index, 11);
	cr_expect_eq(n->after_ordinal, 12);
	cr_expect_eq(n->after_t, 13);
	cr_expect_eq(n->wait_ms, 10000);
	cr_expect_eq(n->now, 0);
	call_free_request(m);
	told.msg.answer = 1;
	told.index = 21;
	told.t_ms = 22;
	told.n_items = 2;
	told.items = items;
	told.forgot = 1;
	told.n_ended = 2;
	told.ended = ended;
	b2 = encode(79, &told.msg);
	cr_assert_eq(call_open(SLICE(b2->p, b2->n), &in), 0);
	cr_assert_eq(call_answer(&in, b2, &got.msg), 0);
	cr_expect_eq(got.index, 21);
	cr_expect_eq(got.t_ms, 22);
	cr_assert_eq(got.n_items, 2);
	cr_expect(slice_equal(got.items[1].name, items[1].name));
	cr_expect_eq(got.items[0].incarnation, 3);
	cr_expect_eq(got.items[0].last, 9);
	cr_expect_eq(got.items[0].from, 4);
	cr_expect_eq(got.forgot, 1);
	cr_assert_eq(got.n_ended, 2);
	cr_expect(slice_equal(got.ended[0].name, ended[0].name));
	cr_expect_eq(got.ended[1].incarnation, 1);
	cr_expect_eq(got.ended[1].index, 15);
	cr_expect_eq(got.ended[1].t_ms, 16);
	cr_expect_eq(got.ended[1].ordinal, 2);
	buf_init(&all, 4096);
	buf_add(&all, b->p, b->n);
	buf_add(&all, b2->p, b2->n);
	golden("call_news.bin", buf_slice(&all));
	/* Cut anywhere it is none. */
	for (uint32_t i = 1; i < b2->n; i++) {
		cr_assert(call_open(SLICE(b2->p, i), &in) ||
			  call_answer(&in, b2, &got.msg));
		cr_assert_eq(got.n_items, 2);
	}
	vnode_news_deinit(&got);
	buf_deinit(&all);
	block_unref(b);
	block_unref(b2);
}
