/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_receive - from a message to a frame on a worker.
 *
 * Checks go from cheap to dear: what a stranger without the cookie sends is
 * refused by its head, or costs one opening.  The frames of one peer and
 * channel go to one worker, so they keep their order; when it is far behind,
 * they are dropped.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define MARK_EVERY  (1u << 20)
#define FRAME_BYTES 256 /* what a frame costs besides its bytes */

static const uint8_t none[16];

/* --- keys of a peer ------------------------------------------------------- */

void
net_free_keys(struct net *net, struct net_peer *p)
{
	struct net_key *k;

	while ((k = p->keys)) {
		p->keys = k->next;
		pieces_drop(&k->pieces, &net->budget);
		seal_key_free(k->key);
		mem_free(k);
	}
}

static struct net_key *
find_key(const struct net_peer *p, uint16_t number)
{
	for (struct net_key *k = p->keys; k; k = k->next)
		if (k->number == number)
			return k;
	return NULL;
}

/* The key that H names; one that P did not use before is not with P yet. */
static struct net_key *
new_key(struct net *net, const struct net_peer *p, const struct seal_head *h)
{
	struct net_key *k = mem_zalloc(sizeof(*k));

	if (!k)
		return NULL;
	k->number = h->number;
	k->key = seal_key_new(net->config.cookie, p->id, p->boot, h->number, 0);
	if (!k->key)
		return mem_free(k);
	seal_window_init(&k->window, p->floor);
	return k;
}

static void
free_key(struct net_key *k)
{
	seal_key_free(k->key);
	mem_free(k);
}

/* --- frames --------------------------------------------------------------- */

static void
on_mark(struct msg *m)
{
	struct net_mail *mail = CONTAINER_OF(m, struct net_mail, mark);

	atomic_store(&mail->done, mail->marked);
	atomic_store(&mail->is_out, 0);
}

/* Room for N more bytes with worker W. */
static int
has_room(struct net *net, uint32_t w, size_t n)
{
	const struct env_post *post = &net->os->env.post;
	struct net_mail *mail = &net->mails[w];
	uint64_t waiting = mail->posted - atomic_load(&mail->done);

	if (waiting >= MARK_EVERY && !atomic_load(&mail->is_out)) {
		atomic_store(&mail->is_out, 1);
		mail->marked = mail->posted;
		mail->mark = (struct msg){.kind = MSG_CALL, .fn = on_mark};
		post->to_worker(post->ctx, w, &mail->mark);
	}
	if (waiting + n > NET_MAIL_MAX)
		return 0;
	mail->posted += n;
	return 1;
}

/* FRAME lies in B. */
static void
deliver(struct net *net, const struct seal_head *h, struct block *b,
    struct slice frame)
{
	const struct env_post *post = &net->os->env.post;
	/* Node ids are random; the key's last bit is the channel. */
	uint32_t w =
	    (h->sender[0] + h->number % NET_CHANNEL_COUNT) % post->n_workers;
	int room = has_room(net, w, frame.n + FRAME_BYTES);
	struct net_frame *f = room ? mem_zalloc(sizeof(*f)) : NULL;

	if (!f) {
		net_count(net, room ? NET_dropped_memory : NET_dropped_busy, 1);
		return;
	}
	f->msg.kind = MSG_FRAME;
	memcpy(f->from, h->sender, 16);
	f->stranger = memcmp(h->cluster, none, 16) == 0;
	f->block = block_ref(b);
	f->bytes = frame;
	post->to_worker(post->ctx, w, &f->msg);
}

static void
deliver_bundle(struct net *net, const struct seal_head *h, struct block *b)
{
	struct slice rest = SLICE(b->p, b->n), frame;

	do {
		if (net_bundle_next(&rest, &frame)) {
			net_refuse(net, NET_refused_malformed, h);
			return;
		}
		deliver(net, h, b, frame);
	} while (rest.n);
}

/* B holds the body of a piece. */
static void
add_piece(struct net *net, struct net_key *k, const struct seal_head *h,
    struct block *b)
{
	struct block *whole;
	int r = pieces_add(&k->pieces, &net->budget, NET_FRAME_MAX,
	    SLICE(b->p, b->n), net_now(net), &whole);

	if (r == 0) {
		deliver(net, h, whole, SLICE(whole->p, whole->n));
		block_unref(whole);
	} else if (r < 0)
		net_refuse(net, NET_refused_long, h);
}

/* The window of K lets H through. */
static int
open_frame(struct net *net, struct net_key *k, const struct seal_head *h,
    struct slice frame)
{
	struct block *b = block_new((uint32_t)(frame.n - SEAL_BYTES));

	if (!b) {
		net_count(net, NET_dropped_memory, 1);
		return -ERR_NOMEM;
	}
	if (seal_open(k->key, frame, b->p)) {
		block_unref(b);
		net_refuse(net, NET_refused_seal, h);
		return -ERR_CORRUPT;
	}
	b->n = b->cap;
	seal_window_add(&k->window, h->counter);
	net_count(net, NET_frames_received, 1);
	net_count(net, NET_bytes_received, frame.n);
	if (h->kind == SEAL_PIECE)
		add_piece(net, k, h, b);
	else if (h->kind == SEAL_BUNDLE)
		deliver_bundle(net, h, b);
	else if (h->kind == SEAL_FRAME)
		deliver(net, h, b, SLICE(b->p, b->n));
	block_unref(b);
	return 0;
}

static int
from_peer(struct net *net, struct net_peer *p, const struct seal_head *h,
    struct slice frame)
{
	struct net_key *k = find_key(p, h->number), *fresh = NULL;
	int r = -ERR_CORRUPT;

	if (!k && !(k = fresh = new_key(net, p, h))) {
		net_count(net, NET_dropped_memory, 1);
		return -ERR_NOMEM;
	}
	if (!seal_window_is_new(&k->window, h->counter)) {
		net_refuse(net, NET_refused_replay, h);
	} else if ((r = open_frame(net, k, h, frame)) == 0) {
		p->used = net_now(net);
		if (atomic_load_explicit(
			&p->unanswered_us, memory_order_relaxed))
			atomic_store(&p->unanswered_us, 0);
		if (fresh) {
			/* Only now: numbers in heads may be made up. */
			k->next = p->keys;
			p->keys = k;
			fresh = NULL;
		}
	}
	if (fresh) {
		pieces_drop(&fresh->pieces, &net->budget);
		free_key(fresh);
	}
	return r;
}

static int
on_frame(struct net *net, const struct seal_head *h, struct slice frame)
{
	int is_stranger = memcmp(h->cluster, none, 16) == 0;
	struct net_peer *p = net_find(net, h->sender);

	if (!is_stranger && memcmp(h->cluster, net->config.cluster_id, 16)) {
		net_refuse(net, NET_refused_cluster, h);
		return -ERR_IDENTITY;
	}
	if (!is_stranger && !(p && p->is_member)) {
		net_refuse(net, NET_refused_stranger, h);
		return -ERR_IDENTITY;
	}
	if (!p || !p->is_known || memcmp(p->boot, h->sender_boot, 16) != 0 ||
	    memcmp(net->config.boot, h->receiver_boot, 16) != 0) {
		net_refuse(net, NET_refused_stale, h);
		if (p)
			net_want_hello(p);
		return -ERR_IDENTITY;
	}
	return from_peer(net, p, h, frame);
}

/* For who was here before, as those think who have not heard yet that its disk
 * was replaced. */
static void
refuse_for_other(struct net *net, const struct seal_head *h)
{
	int is_ours = memcmp(h->cluster, none, 16) == 0 ||
		      memcmp(h->cluster, net->config.cluster_id, 16) == 0;

	net_refuse(net, is_ours ? NET_refused_other : NET_refused_cluster, h);
}

static int
read_head(struct net *net, struct slice message, struct seal_head *h)
{
	if (seal_read_head(message, h) || memcmp(h->sender, none, 16) == 0) {
		net_refuse(net, NET_refused_malformed, NULL);
		return -ERR_CORRUPT;
	}
	if (memcmp(h->receiver, net->config.node_id, 16) == 0 ||
	    (h->kind == SEAL_HELLO && memcmp(h->receiver, none, 16) == 0))
		return 0;
	refuse_for_other(net, h);
	return -ERR_IDENTITY;
}

void
net_on_message(struct net *net, struct slice message)
{
	struct seal_head h;

	if (read_head(net, message, &h))
		return;
	if (h.kind == SEAL_HELLO)
		net_on_hello(net, &h, message);
	else if (h.kind == SEAL_GREETING)
		net_refuse(net, NET_refused_malformed, NULL);
	else
		on_frame(net, &h, message);
}

int
net_on_line_message(
    struct net *net, struct slice message, int greets, struct seal_head *h)
{
	int r = read_head(net, message, h);

	if (r)
		return r;
	if (h->kind == SEAL_HELLO || (h->kind == SEAL_GREETING) != greets ||
	    memcmp(h->cluster, none, 16) == 0) {
		net_refuse(net, NET_refused_malformed, NULL);
		return -ERR_CORRUPT;
	}
	return on_frame(net, h, message);
}
