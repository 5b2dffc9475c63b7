/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_send - from a frame to messages: of workers, and of what is told.
 *
 * A worker seals with a key of its own, without the lock, into the memory that
 * nanomsg will send from; then, with the lock, hands it over.  That order of
 * its messages to a peer is the order in which they arrive.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define TELL_US   3000000 /* what is told waits for an answer to the hello */
#define ASKED_MAX 64
#define PIECE_MAX (NET_BODY_MAX - PIECE_HEAD_BYTES)

/* Whom a frame is for, and which start of it. */
struct dest {
	uint64_t serial;
	uint8_t boot[16];
	enum env_channel channel;
	int wrong; /* what is wrong with its handoff address: -ERR_*, or 0 */
};

static size_t
total(const struct iovec *iov, int n)
{
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

void *
net_seal(struct net *net, uint16_t number, struct seal_head *head,
    const struct iovec *iov, int n, size_t *bytes)
{
	void *m;

	*bytes = total(iov, n) + SEAL_BYTES;
	ASSERT(*bytes <= WAY_MESSAGE_MAX);
	m = way_message_new(*bytes);
	if (!m)
		return NULL;
	head->number = number;
	memcpy(head->sender, net->config.node_id, 16);
	memcpy(head->sender_boot, net->config.boot, 16);
	head->counter = atomic_fetch_add(&net->counter, 1);
	seal(net->keys[number], head, iov, n, m);
	return m;
}

/* Hands M over, unless its receiver is another one by now. */
static int
put(struct net *net, const struct dest *to, void *m, size_t bytes)
{
	struct net_peer *p;
	int r = -ERR_NOTFOUND;

	pthread_mutex_lock(&net->lock);
	p = net_find_serial(net, to->serial);
	if (p && p->is_known && memcmp(p->boot, to->boot, 16) == 0)
		r = net_put(net, p, to->channel, m, bytes);
	else
		way_message_free(m);
	pthread_mutex_unlock(&net->lock);
	return r;
}

static int
send_one(struct net *net, uint16_t number, struct seal_head *h,
    const struct dest *to, const struct iovec *iov, int n)
{
	size_t bytes;
	void *m = net_seal(net, number, h, iov, n, &bytes);

	if (!m) {
		net_count(net, NET_dropped_memory, 1);
		return -ERR_BUSY;
	}
	return put(net, to, m, bytes);
}

/* The next piece of what is left of IOV: its slices to OUT behind the first,
 * which is for its head. */
static int
cut(struct iovec *iov, int n, int *at, struct iovec *out)
{
	size_t room = PIECE_MAX;
	int k = 1;

	for (; *at < n && room > 0; (*at)++) {
		struct iovec *v = &iov[*at];
		size_t take = v->iov_len < room ? v->iov_len : room;

		out[k++] = (struct iovec){v->iov_base, take};
		room -= take;
		v->iov_base = (uint8_t *)v->iov_base + take;
		v->iov_len -= take;
		if (v->iov_len > 0)
			break;
	}
	return k;
}

static int
send_pieces(struct net *net, uint16_t number, struct seal_head *h,
    const struct dest *to, const struct iovec *iov, int n, size_t bytes)
{
	struct iovec *v = mem_calloc((size_t)n * 2 + 1, sizeof(*v));
	struct piece_head ph = {atomic_load(&net->counter), (uint32_t)bytes, 0};
	struct iovec *left = v + n + 1;
	uint8_t head[PIECE_HEAD_BYTES];
	int r = 0, at = 0;

	if (!v) {
		net_count(net, NET_dropped_memory, 1);
		return -ERR_BUSY;
	}
	memcpy(left, iov, (size_t)n * sizeof(*v));
	h->kind = SEAL_PIECE;
	v[0] = (struct iovec){head, sizeof(head)};
	while (r == 0 && ph.at < bytes) {
		int k = cut(left, n, &at, v);

		piece_put_head(head, &ph);
		ph.at += (uint32_t)(total(v, k) - sizeof(head));
		r = send_one(net, number, h, to, v, k);
	}
	mem_free(v);
	return r;
}

/* Whether, and to which boot, something may go to the peer ID now. */
static int
find_dest(struct net *net, const uint8_t id[16], struct dest *to)
{
	struct net_peer *p;
	int r = 0;

	pthread_mutex_lock(&net->lock);
	p = net_find(net, id);
	if (!p || !p->is_member || !p->is_known)
		r = -ERR_NOTFOUND;
	else if (net_is_full(p, to->channel))
		r = -ERR_BUSY;
	if (r == 0) {
		to->serial = p->serial;
		memcpy(to->boot, p->boot, 16);
		to->wrong = to->channel == NET_BULK ? -p->line_error : 0;
	}
	pthread_mutex_unlock(&net->lock);
	if (r)
		net_count(net,
		    r == -ERR_BUSY ? NET_dropped_busy : NET_dropped_unknown, 1);
	return r;
}

static int
send_to(struct net *net, uint32_t worker, const uint8_t id[16],
    const struct dest *to, enum seal_kind kind, const struct iovec *iov, int n)
{
	uint16_t number = (uint16_t)(worker * NET_CHANNEL_COUNT + to->channel);
	struct seal_head h = {.kind = (uint8_t)kind};
	size_t bytes = total(iov, n);

	memcpy(h.cluster, net->config.cluster_id, 16);
	memcpy(h.receiver, id, 16);
	memcpy(h.receiver_boot, to->boot, 16);
	if (bytes > NET_BODY_MAX)
		return send_pieces(net, number, &h, to, iov, n, bytes);
	return send_one(net, number, &h, to, iov, n);
}

int
net_send_now(struct net *net, uint32_t worker, const uint8_t id[16],
    enum env_channel channel, enum seal_kind kind, const struct iovec *iov,
    int n)
{
	struct dest to = {.channel = channel};
	int r = find_dest(net, id, &to);

	return r ? r : send_to(net, worker, id, &to, kind, iov, n);
}

int
net_send(void *ctx, uint32_t worker, const uint8_t id[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	struct net *net = ((struct os *)ctx)->net;
	struct dest to = {.channel = channel};
	size_t bytes = total(iov, n);
	int r;

	if (!net)
		return -ERR_NOTFOUND; /* a node that knows no other */
	ASSERT(bytes <= NET_FRAME_MAX);
	r = find_dest(net, id, &to);
	if (r)
		return r;
	if (channel == NET_CONTROL) {
		if (bytes <= NET_SHORT_MAX &&
		    net_bundle_add(net, worker, id, iov, n, bytes) == 0)
			return 0;
		net_bundle_send(net, worker, id); /* it was first */
	}
	r = send_to(net, worker, id, &to, SEAL_FRAME, iov, n);
	return r ? r : to.wrong;
}

/* --- what is told --------------------------------------------------------- */

static int
ask(struct net *net, const uint8_t *id, const char *name,
    const struct iovec *iov, int n)
{
	size_t bytes = total(iov, n);
	struct net_tell *t;
	int r = 0;

	ASSERT(bytes <= OS_NET_TELL_MAX);
	t = mem_zalloc(sizeof(*t) + bytes);
	if (!t)
		return -ERR_NOMEM;
	t->until = mono_add_us(net_now(net), TELL_US);
	if (id)
		memcpy(t->to, id, 16);
	snprintf(t->name, sizeof(t->name), "%s", name);
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len == 0)
			continue;
		memcpy(t->bytes + t->n, iov[i].iov_base, iov[i].iov_len);
		t->n += iov[i].iov_len;
	}
	pthread_mutex_lock(&net->lock);
	if (id && !net_find(net, id))
		r = -ERR_NOTFOUND;
	else if (net->n_asked >= ASKED_MAX)
		r = -ERR_BUSY;
	if (r == 0) {
		*net->last_asked = t;
		net->last_asked = &t->next;
		net->n_asked++;
	}
	pthread_mutex_unlock(&net->lock);
	if (r)
		mem_free(t);
	else
		net_wake(net);
	return r;
}

int
os_net_tell(struct os *os, const char *name, const struct iovec *iov, int n)
{
	char address[ADDRESS_BYTES];
	int r;

	if (strlen(name) >= OS_NET_NAME_BYTES)
		return -ERR_INVAL;
	r = address_of(os->net->config.runtime_dir, name, address);
	return r ? r : ask(os->net, NULL, name, iov, n);
}

int
os_net_tell_back(
    struct os *os, const uint8_t node[16], const struct iovec *iov, int n)
{
	return ask(os->net, node, "", iov, n);
}

/* Whom T is for; a stranger that is where its name is now. */
static struct net_peer *
whom(struct net *net, const struct net_tell *t)
{
	char address[ADDRESS_BYTES];
	struct net_peer *p;

	if (!t->name[0])
		return net_find(net, t->to);
	p = net_find_name(net, t->name);
	if (!p)
		return net_new_stranger(net, NULL, t->name, "");
	if (!p->is_member &&
	    address_of(net->config.runtime_dir, t->name, address) == 0 &&
	    strcmp(address, p->dialed) != 0) {
		p->address[0] = '\0';
		p->is_moved = 1;
	}
	return p;
}

void
net_take_asked(struct net *net)
{
	struct net_tell *t, *next;

	pthread_mutex_lock(&net->lock);
	t = net->asked;
	net->asked = NULL;
	net->last_asked = &net->asked;
	net->n_asked = 0;
	pthread_mutex_unlock(&net->lock);
	for (; t; t = next) {
		struct net_peer *p = whom(net, t);

		next = t->next;
		t->next = NULL;
		if (!p || p->n_tells >= NET_TELLS_MAX) {
			net_count(
			    net, p ? NET_dropped_busy : NET_dropped_unknown, 1);
			mem_free(t);
			continue;
		}
		*p->last_tell = t;
		p->last_tell = &t->next;
		p->n_tells++;
		p->used = net_now(net);
	}
}

static void
drop_tell(struct net_peer *p)
{
	struct net_tell *t = p->tells;

	p->tells = t->next;
	if (!p->tells)
		p->last_tell = &p->tells;
	p->n_tells--;
	mem_free(t);
}

void
net_free_tells(struct net *net, struct net_peer *p)
{
	while (p->tells) {
		drop_tell(p);
		net_count(net, NET_dropped_old, 1);
	}
}

static void
tell(struct net *net, struct net_peer *p, struct net_tell *t)
{
	struct seal_head h = {.kind = SEAL_FRAME};
	struct dest to = {p->serial, {0}, NET_CONTROL};
	struct iovec iov = {t->bytes, t->n};

	memcpy(to.boot, p->boot, 16);
	memcpy(h.receiver, p->id, 16);
	memcpy(h.receiver_boot, p->boot, 16);
	send_one(net, net_own_key(net), &h, &to, &iov, 1);
}

void
net_tend_tells(struct net *net, struct net_peer *p, struct mono now)
{
	while (p->tells && p->is_known) {
		tell(net, p, p->tells);
		drop_tell(p);
	}
	while (p->tells && p->tells->until.us <= now.us) {
		drop_tell(p);
		net_count(net, NET_dropped_old, 1);
	}
}
