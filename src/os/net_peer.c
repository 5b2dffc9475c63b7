/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_peer - the table of peers, their sockets and what waits for them.
 *
 * A connection that nanomsg has is kept while it lives; it connects anew by
 * itself every 100 ms.  What it can not see is done here: an address that has
 * changed, and a connection whose other end is gone without a word, where TCP
 * would try again only after minutes.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define LOOK_US        500000  /* where an unconfirmed peer is */
#define REDIAL_US      5000000 /* while it is not confirmed */
#define UNTOLD_US      5000000 /* a stranger that does not answer */
#define IDLE_US        60000000
#define FLUSH_PER_TURN 64

static const uint8_t nobody[16];

/* --- the table ------------------------------------------------------------ */

struct net_peer *
net_find(struct net *net, const uint8_t id[16])
{
	for (uint32_t i = 0; i < net->n_peers; i++)
		if (memcmp(net->peers[i]->id, id, 16) == 0 &&
		    memcmp(id, nobody, 16) != 0)
			return net->peers[i];
	return NULL;
}

struct net_peer *
net_find_serial(struct net *net, uint64_t serial)
{
	for (uint32_t i = 0; i < net->n_peers; i++)
		if (net->peers[i]->serial == serial)
			return net->peers[i];
	return NULL;
}

struct net_peer *
net_find_name(struct net *net, const char *name)
{
	for (uint32_t i = 0; i < net->n_peers; i++)
		if (strcmp(net->peers[i]->name, name) == 0)
			return net->peers[i];
	return NULL;
}

static struct net_peer *
new_peer(const uint8_t *id, const char *name, const char *address)
{
	struct net_peer *p = mem_zalloc(sizeof(*p));

	if (!p)
		return NULL;
	if (id)
		memcpy(p->id, id, 16);
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->address, sizeof(p->address), "%s", address);
	p->way.socket = p->way.fd = -1;
	for (int c = 0; c < NET_CHANNEL_COUNT; c++)
		p->outboxes[c].last = &p->outboxes[c].first;
	p->last_tell = &p->tells;
	return p;
}

static void
add(struct net *net, struct net_peer *p)
{
	p->serial = ++net->next_serial;
	pthread_mutex_lock(&net->lock);
	ASSERT(net->n_peers < NET_PEERS_MAX);
	net->peers[net->n_peers++] = p;
	pthread_mutex_unlock(&net->lock);
}

static void
drop_first(struct net_outbox *o)
{
	struct net_out *out = o->first;

	o->first = out->next;
	if (!o->first)
		o->last = &o->first;
	o->bytes -= out->bytes;
	mem_free(out);
}

void
net_drop_outboxes(struct net *net, struct net_peer *p)
{
	for (int c = 0; c < NET_CHANNEL_COUNT; c++)
		while (p->outboxes[c].first) {
			way_message_free(p->outboxes[c].first->message);
			drop_first(&p->outboxes[c]);
			net_count(net, NET_dropped_old, 1);
		}
}

void
net_remove(struct net *net, struct net_peer *p)
{
	net_hang_up(net, p);
	pthread_mutex_lock(&net->lock);
	for (uint32_t i = 0; i < net->n_peers; i++)
		if (net->peers[i] == p)
			net->peers[i--] = net->peers[--net->n_peers];
	net_drop_outboxes(net, p);
	pthread_mutex_unlock(&net->lock);
	net_free_keys(net, p);
	net_free_tells(net, p);
	way_close(&p->way);
	mem_free(p);
}

/* The stranger that is missed least: one that has not proved itself, then the
 * one that was used least recently.  NULL: there are few. */
static struct net_peer *
surplus(struct net *net)
{
	struct net_peer *least = NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; i < net->n_peers; i++) {
		struct net_peer *p = net->peers[i];

		if (p->is_member)
			continue;
		n++;
		if (!least || p->is_known < least->is_known ||
		    (p->is_known == least->is_known &&
			p->used.us < least->used.us))
			least = p;
	}
	return n >= OS_NET_STRANGERS_MAX ? least : NULL;
}

struct net_peer *
net_new_stranger(
    struct net *net, const uint8_t *id, const char *name, const char *address)
{
	struct net_peer *p = new_peer(id, name, address), *out;

	if (!p)
		return NULL;
	p->used = net_now(net);
	while ((out = surplus(net)))
		net_remove(net, out);
	add(net, p);
	return p;
}

/* --- the address book ----------------------------------------------------- */

/* 0; -ERR_NOMEM. */
static int
enter(struct net *net, const struct os_net_peer *from)
{
	struct net_peer *p = net_find(net, from->id);

	if (!p) {
		p = new_peer(from->id, from->name, from->address);
		if (!p)
			return -ERR_NOMEM;
		p->is_member = p->is_in_book = 1;
		add(net, p);
		return 0;
	}
	p->is_in_book = 1;
	p->is_moved |= !p->is_member || strcmp(p->address, from->address) ||
		       strcmp(p->name, from->name);
	memcpy(p->name, from->name, sizeof(p->name));
	memcpy(p->address, from->address, sizeof(p->address));
	pthread_mutex_lock(&net->lock);
	p->is_member = 1;
	pthread_mutex_unlock(&net->lock);
	return 0;
}

/* Those that are not in the book any more. */
static void
remove_others(struct net *net)
{
	for (uint32_t i = 0; i < net->n_peers;) {
		struct net_peer *p = net->peers[i];

		if (p->is_member && !p->is_in_book)
			net_remove(net, p);
		else
			i++;
	}
}

void
net_take_book(struct net *net)
{
	struct os_net_peer *book;
	uint32_t n;
	int r = 0;

	pthread_mutex_lock(&net->lock);
	book = net->book;
	n = net->n_book;
	net->book = NULL;
	pthread_mutex_unlock(&net->lock);
	if (!book)
		return;
	for (uint32_t i = 0; i < net->n_peers; i++)
		net->peers[i]->is_in_book = 0;
	for (uint32_t i = 0; i < net->n_peers; i++)
		for (uint32_t k = 0; k < n; k++)
			net->peers[i]->is_in_book |=
			    memcmp(book[k].id, net->peers[i]->id, 16) == 0;
	remove_others(net);
	for (uint32_t i = 0; i < n && r == 0; i++)
		if (memcmp(book[i].id, net->config.node_id, 16) != 0)
			r = enter(net, &book[i]);
	pthread_mutex_lock(&net->lock);
	if (r && !net->book) {
		net->book = book; /* again when there is memory */
		book = NULL;
	}
	pthread_mutex_unlock(&net->lock);
	mem_free(book);
}

/* --- ways ----------------------------------------------------------------- */

int
net_is_full(const struct net_peer *p, enum env_channel channel)
{
	return p->outboxes[channel].bytes >= NET_OUTBOX_MAX;
}

void *
net_take_bulk(struct net *net, struct net_peer *p, size_t *bytes)
{
	struct net_outbox *o = &p->outboxes[NET_BULK];
	void *m = NULL;

	pthread_mutex_lock(&net->lock);
	if (o->first) {
		m = o->first->message;
		*bytes = o->first->bytes;
		drop_first(o);
		o->moved = net_now(net);
	}
	pthread_mutex_unlock(&net->lock);
	return m;
}

static int
wait_in_outbox(struct net *net, struct net_outbox *o, void *m, size_t bytes)
{
	struct net_out *out = mem_alloc(sizeof(*out));

	if (!out) {
		way_message_free(m);
		net_count(net, NET_dropped_memory, 1);
		return -ERR_BUSY;
	}
	*out = (struct net_out){NULL, m, bytes, net_now(net)};
	if (!o->first) {
		o->moved = out->since;
		net_wake(net); /* who watches for room from now on */
	}
	*o->last = out;
	o->last = &out->next;
	o->bytes += bytes;
	return 0;
}

static void
count_sent(struct net *net, size_t bytes)
{
	net_count(net, NET_frames_sent, 1);
	net_count(net, NET_bytes_sent, bytes);
}

int
net_put(struct net *net, struct net_peer *p, enum env_channel channel, void *m,
    size_t bytes)
{
	struct net_outbox *o = &p->outboxes[channel];

	if (channel == NET_BULK) /* the thread has the lines */
		return wait_in_outbox(net, o, m, bytes);
	if (atomic_load(&p->unanswered_us) == 0)
		atomic_store(&p->unanswered_us, net_now(net).us);
	if (o->first || way_send(&p->way, m))
		return wait_in_outbox(net, o, m, bytes);
	count_sent(net, bytes);
	return 0;
}

/* When the first message of O is dropped, unless it has gone out. */
static uint64_t
expiry_us(const struct net_outbox *o)
{
	uint64_t old = o->first->since.us + NET_OUT_MAX_US;
	uint64_t stuck = o->moved.us + NET_STUCK_US;

	return stuck < old ? stuck : old;
}

/* What waits for P goes out as far as there is room.  The lock is held. */
static void
flush(struct net *net, struct net_peer *p, struct mono now)
{
	for (int c = 0; c < NET_CHANNEL_COUNT; c++) {
		struct net_outbox *o = &p->outboxes[c];

		for (int i = 0;
		     c == NET_CONTROL && o->first && i < FLUSH_PER_TURN; i++) {
			size_t bytes = o->first->bytes;

			if (way_send(&p->way, o->first->message))
				break;
			drop_first(o);
			o->moved = now;
			count_sent(net, bytes);
		}
		while (o->first && expiry_us(o) <= now.us) {
			way_message_free(o->first->message);
			drop_first(o);
			net_count(net, NET_dropped_old, 1);
		}
	}
}

/* Where P is now; "" when nobody knows. */
static void
locate(struct net *net, const struct net_peer *p, char out[ADDRESS_BYTES])
{
	snprintf(out, ADDRESS_BYTES, "%s", p->address);
	if (!out[0] && address_of(net->config.runtime_dir, p->name, out))
		out[0] = '\0';
}

void
net_dial(struct net *net, struct net_peer *p)
{
	struct way old, fresh = {-1, -1};

	locate(net, p, p->dialed);
	p->is_moved = 0;
	p->dialed_at = p->looked_at = net_now(net);
	p->n_hellos = 0;
	p->hello_at = p->dialed_at;
	if (p->dialed[0]) {
		net_count(net, NET_dials, 1);
		if (way_out(&fresh, p->dialed))
			fresh = (struct way){-1, -1};
	}
	pthread_mutex_lock(&net->lock);
	old = p->way;
	p->way = fresh;
	pthread_mutex_unlock(&net->lock);
	/* No worker knows it any more; closing takes a while. */
	way_close(&old);
}

/* Whether P should be dialed anew: it is elsewhere, or does not answer. */
static int
is_elsewhere(struct net *net, struct net_peer *p, struct mono now)
{
	char address[ADDRESS_BYTES];

	if (p->is_moved || p->dialed_at.us == 0)
		return 1;
	if (p->is_known)
		return 0;
	if (mono_diff_us(p->dialed_at, now) >= REDIAL_US)
		return 1;
	if (mono_diff_us(p->looked_at, now) < LOOK_US)
		return 0;
	p->looked_at = now;
	locate(net, p, address);
	return strcmp(address, p->dialed) != 0;
}

/* A stranger that nobody needs any more. */
static int
is_idle(struct net *net, const struct net_peer *p, struct mono now)
{
	int waits;

	if (p->is_member || p->n_tells > 0 ||
	    mono_diff_us(p->used, now) < (p->is_known ? IDLE_US : UNTOLD_US))
		return 0;
	pthread_mutex_lock(&net->lock);
	waits = p->outboxes[NET_CONTROL].first != NULL;
	pthread_mutex_unlock(&net->lock);
	return !waits;
}

void
net_tend_ways(struct net *net, struct net_peer *p, struct mono now)
{
	if (is_idle(net, p, now)) {
		net_remove(net, p);
		return;
	}
	if (is_elsewhere(net, p, now))
		net_dial(net, p);
	pthread_mutex_lock(&net->lock);
	flush(net, p, now);
	pthread_mutex_unlock(&net->lock);
}

uint64_t
net_ways_due_us(const struct net_peer *p)
{
	uint64_t due = NET_NEVER;

	for (int c = 0; c < NET_CHANNEL_COUNT; c++)
		if (p->outboxes[c].first && expiry_us(&p->outboxes[c]) < due)
			due = expiry_us(&p->outboxes[c]);
	if (p->is_moved)
		due = 0;
	if (!p->is_known && p->looked_at.us + LOOK_US < due)
		due = p->looked_at.us + LOOK_US;
	return due;
}
