/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_hello - whose boot is which.
 *
 * A hello is sealed like any frame, under cluster id 0 and with the key of the
 * sender's transport thread.  Its body, little endian:
 *
 *	  0  [16] challenge: who hears this shows that it is there now; zeros:
 *	          none
 *	 16  [16] echo: the challenge that this answers, and then the head names
 *	          the boot of the receiver that asked; zeros: none
 *	 32  u8   1: a node of the receiver's id runs as another boot too
 *	 33  u8   bytes of the address, then host:port where the sender listens
 *	  +  u8   bytes of the name, then the sender's name
 *	  +  u16  port where the sender takes lines (net_line.c)
 *
 *	A                                B
 *	|  challenge a                   |
 *	|------------------------------->|  some boot of A, perhaps long gone
 *	|  echo a, challenge b           |
 *	|<-------------------------------|
 *	|  B's boot is confirmed; frames may go to B
 *	|  echo b                        |
 *	|------------------------------->|  A's boot is confirmed
 *
 * Both may begin at once: each answers the other's challenge.  A challenge is
 * 128 random bits, open for 5 s, and counts once; so what confirms a boot was
 * sealed by that boot after the challenge was made.  Its counter is the floor
 * of the windows of that boot: whatever the boot sealed before is refused.
 *
 *	state        heard                       then
 *	unconfirmed  echo of the open challenge  confirmed
 *	confirmed    the same, of another boot   confirmed as that; windows anew
 *	confirmed    frames of another boot      a hello with a challenge
 *	confirmed    1 s nothing, though some    a hello with a challenge
 *	             frame should be answered
 *	confirmed    3 s the same                unconfirmed; dialed anew
 *
 * A boot that was confirmed, then another, then the first again: both run, so
 * one has a copy of the other's data directory, and is told so.
 */
#include "src/base/assert.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define CHALLENGE_US   5000000
#define SILENT_US      1000000
#define LOST_US        3000000
#define HELLO_FIRST_US 100000
#define HELLO_MOST_US  1000000
#define ASK_US         100000 /* between hellos to a confirmed peer */
#define REDIAL_US      500000 /* between dials that a hello leads to */
#define CUT_OFF_US     200000 /* without an answer */
#define BODY_MIN       37

static const uint8_t none[16];

static int
is_none(const uint8_t p[16])
{
	return memcmp(p, none, 16) == 0;
}

/* --- saying --------------------------------------------------------------- */

static uint8_t *
put_text(uint8_t *p, const char *s)
{
	size_t n = strlen(s);

	ASSERT(n <= 255);
	*p++ = (uint8_t)n;
	memcpy(p, s, n);
	return p + n;
}

static void
open_challenge(struct net *net, struct net_peer *p, struct mono now)
{
	if (!p->has_challenge ||
	    mono_diff_us(p->challenge_at, now) >= CHALLENGE_US) {
		net->os->env.rng.bytes(net->os->env.rng.ctx, p->challenge, 16);
		p->challenge_at = now;
	}
	p->has_challenge = 1;
}

static void
say_hello(struct net *net, struct net_peer *p, struct mono now)
{
	struct seal_head h = {.kind = SEAL_HELLO};
	uint8_t body[BODY_MIN + 2 * 255] = {0}, *end;
	struct iovec iov = {body, 0};
	size_t bytes;
	void *m;

	memcpy(h.receiver, p->id, 16);
	if (!p->is_known || p->wants_hello) {
		open_challenge(net, p, now);
		memcpy(body, p->challenge, 16);
	}
	if (p->owes_echo) {
		memcpy(body + 16, p->echo, 16);
		memcpy(h.receiver_boot, p->echo_boot, 16);
	} else if (p->is_twin) {
		memcpy(h.receiver_boot, p->boot, 16);
	}
	body[32] = p->is_twin && memcmp(h.receiver_boot, p->boot, 16) == 0;
	end = put_text(body + 33, net->own_address);
	end = put_text(end, net->name);
	end = le_put16(end, net->line_port);
	iov.iov_len = (size_t)(end - body);
	m = net_seal(net, net_own_key(net), &h, &iov, 1, &bytes);
	if (!m)
		return;
	p->owes_echo = 0;
	p->wants_hello = 0;
	p->n_hellos++;
	p->hello_at = mono_add_us(
	    now, p->is_known       ? ASK_US
		 : p->n_hellos > 4 ? HELLO_MOST_US
				   : HELLO_FIRST_US << (p->n_hellos - 1));
	pthread_mutex_lock(&net->lock);
	if (way_send(&p->way, m))
		way_message_free(m); /* it is asked for again */
	else
		net_count(net, NET_frames_sent, 1);
	pthread_mutex_unlock(&net->lock);
}

void
net_want_hello(struct net_peer *p)
{
	p->wants_hello = 1;
}

static int
wants_hello(const struct net_peer *p, struct mono now)
{
	if (p->owes_echo)
		return 1;
	return (!p->is_known || p->wants_hello) && now.us >= p->hello_at.us;
}

/* --- sessions ------------------------------------------------------------- */

void
net_forget_boot(struct net *net, struct net_peer *p)
{
	net_hang_up(net, p);
	pthread_mutex_lock(&net->lock);
	p->is_known = 0;
	net_drop_outboxes(net, p);
	pthread_mutex_unlock(&net->lock);
	net_free_keys(net, p);
	atomic_store(&p->unanswered_us, 0);
	p->n_hellos = 0;
}

static int
was_before(const struct net_peer *p, const uint8_t boot[16])
{
	for (int i = 0; i < NET_RETIRED_MAX; i++)
		if (memcmp(p->retired[i], boot, 16) == 0)
			return 1;
	return 0;
}

static void
retire(struct net_peer *p, const uint8_t boot[16])
{
	if (is_none(boot) || was_before(p, boot))
		return;
	memmove(p->retired[1], p->retired[0], 16 * (NET_RETIRED_MAX - 1));
	memcpy(p->retired[0], boot, 16);
}

/* BOOT has answered the open challenge, in the frame COUNTER. */
static void
confirm(struct net *net, struct net_peer *p, const uint8_t boot[16],
    uint64_t counter)
{
	p->has_challenge = 0;
	p->wants_hello = 0;
	p->n_hellos = 0;
	atomic_store(&p->unanswered_us, 0);
	if (memcmp(p->id, net->config.node_id, 16) == 0) {
		net_say_twin(net);
		return;
	}
	if (p->is_known && memcmp(p->boot, boot, 16) == 0)
		return;
	if (memcmp(p->boot, boot, 16) != 0) {
		retire(p, p->boot);
		p->is_twin = was_before(p, boot);
		p->wants_hello = p->is_twin; /* to tell it */
	}
	net_forget_boot(net, p);
	pthread_mutex_lock(&net->lock);
	memcpy(p->boot, boot, 16);
	p->is_known = 1;
	pthread_mutex_unlock(&net->lock);
	p->floor = counter;
	p->used = net_now(net);
}

void
net_tend_session(struct net *net, struct net_peer *p, struct mono now)
{
	uint64_t since = atomic_load(&p->unanswered_us);
	uint64_t silent = since ? mono_diff_us((struct mono){since}, now) : 0;

	for (struct net_key *k = p->keys; k; k = k->next)
		if (k->pieces.block &&
		    mono_diff_us(k->pieces.since, now) >= PIECES_MAX_US)
			pieces_drop(&k->pieces, &net->budget);
	if (p->is_known && silent >= LOST_US) {
		net_forget_boot(net, p);
		net_dial(net, p);
	} else if (p->is_known && silent >= SILENT_US) {
		p->wants_hello = 1;
	}
	if (wants_hello(p, now) && way_has_room(&p->way))
		say_hello(net, p, now);
}

uint64_t
net_session_due_us(const struct net_peer *p, struct mono now, int *room_wanted)
{
	uint64_t since = atomic_load(&p->unanswered_us), due = NET_NEVER;

	if (wants_hello(p, now))
		*room_wanted = 1;
	else if (!p->is_known || p->wants_hello)
		due = p->hello_at.us;
	if (p->is_known && since) {
		uint64_t at = since + SILENT_US;

		if (at <= now.us)
			at = since + LOST_US;
		if (at < due)
			due = at;
	}
	for (struct net_key *k = p->keys; k; k = k->next)
		if (k->pieces.block && k->pieces.since.us + PIECES_MAX_US < due)
			due = k->pieces.since.us + PIECES_MAX_US;
	return due;
}

/* --- hearing -------------------------------------------------------------- */

struct hello {
	const uint8_t *challenge, *echo;
	int twin;
	uint16_t line_port;
	char address[256], name[256];
};

static const uint8_t *
get_text(const uint8_t *p, const uint8_t *end, char out[256])
{
	size_t n;

	if (!p || p == end)
		return NULL;
	n = *p++;
	if (n > (size_t)(end - p) || memchr(p, '\0', n))
		return NULL;
	memcpy(out, p, n);
	out[n] = '\0';
	return p + n;
}

static int
read_hello(struct slice body, struct hello *out)
{
	const uint8_t *end = body.p + body.n, *p;

	if (body.n < BODY_MIN)
		return 0;
	out->challenge = body.p;
	out->echo = body.p + 16;
	out->twin = body.p[32] & 1;
	p = get_text(body.p + 33, end, out->address);
	p = get_text(p, end, out->name);
	if (!p || end - p < 2)
		return 0;
	out->line_port = le_get16(p);
	return 1;
}

/* Whom we asked by name; the one whose challenge ECHO is. */
static struct net_peer *
nameless(struct net *net, const uint8_t echo[16])
{
	for (uint32_t i = 0; i < net->n_peers; i++) {
		struct net_peer *p = net->peers[i];

		if (is_none(p->id) && p->has_challenge &&
		    memcmp(p->challenge, echo, 16) == 0)
			return p;
	}
	return NULL;
}

/* What waits for the nameless goes to P, whom it turned out to be. */
static void
merge(struct net *net, struct net_peer *p, struct net_peer *from)
{
	if (from->tells) {
		*p->last_tell = from->tells;
		p->last_tell = from->last_tell;
		p->n_tells += from->n_tells;
		from->tells = NULL;
		from->n_tells = 0;
	}
	memcpy(p->challenge, from->challenge, 16);
	p->challenge_at = from->challenge_at;
	p->has_challenge = 1;
	net_remove(net, from);
}

static struct net_peer *
who(struct net *net, const struct seal_head *h, const struct hello *hello)
{
	struct net_peer *p = net_find(net, h->sender), *q = NULL;

	if (!is_none(hello->echo))
		q = nameless(net, hello->echo);
	if (q && !p) {
		pthread_mutex_lock(&net->lock);
		memcpy(q->id, h->sender, 16);
		pthread_mutex_unlock(&net->lock);
	}
	if (p && q)
		merge(net, p, q);
	if (p || q)
		return p ? p : q;
	return net_new_stranger(net, h->sender, hello->name, hello->address);
}

/* A stranger is where it says it is, but for one that we found by its name. */
static void
move(struct net_peer *p, const char *address)
{
	if (p->is_member || !p->address[0] || strcmp(p->address, address) == 0)
		return;
	snprintf(p->address, sizeof(p->address), "%s", address);
	p->is_moved = 1;
}

/*
 * Whether our connection leads to the start before this one, or nowhere.  One
 * that works is kept: the hello may be a recorded one.
 */
static int
is_cut_off(const struct net_peer *p, struct mono now)
{
	uint64_t since = atomic_load(&p->unanswered_us);

	if (!p->dialed_at.us || mono_diff_us(p->dialed_at, now) < REDIAL_US)
		return 0;
	return !way_has_room(&p->way) || (!p->is_known && p->n_hellos >= 2) ||
	       (since && mono_diff_us((struct mono){since}, now) >= CUT_OFF_US);
}

static void
heard(struct net *net, const struct seal_head *h, const struct hello *hello)
{
	struct net_peer *p = who(net, h, hello);
	int is_mine = memcmp(h->receiver_boot, net->config.boot, 16) == 0;
	struct mono now = net_now(net);

	if (!p)
		return;
	if (hello->twin && is_mine)
		net_say_twin(net);
	if (is_mine && p->has_challenge &&
	    memcmp(p->challenge, hello->echo, 16) == 0 &&
	    mono_diff_us(p->challenge_at, now) < CHALLENGE_US) {
		p->line_port = hello->line_port;
		confirm(net, p, h->sender_boot, h->counter);
	}
	if (is_none(hello->challenge))
		return;
	p->owes_echo = 1;
	memcpy(p->echo, hello->challenge, 16);
	memcpy(p->echo_boot, h->sender_boot, 16);
	if (p->is_known && memcmp(p->boot, h->sender_boot, 16) == 0)
		return;
	p->wants_hello = 1;
	move(p, hello->address);
	if (is_cut_off(p, now))
		net_dial(net, p);
}

void
net_on_hello(struct net *net, const struct seal_head *h, struct slice frame)
{
	uint8_t body[BODY_MIN + 2 * 255];
	struct hello hello;
	struct seal_key *k;
	int r;

	if (frame.n - SEAL_BYTES > sizeof(body) || !is_none(h->cluster)) {
		net_refuse(net, NET_refused_malformed, h);
		return;
	}
	if (memcmp(h->sender, net->config.node_id, 16) == 0 &&
	    memcmp(h->sender_boot, net->config.boot, 16) == 0)
		return; /* we have dialed ourselves */
	k = seal_key_new(
	    net->config.cookie, h->sender, h->sender_boot, h->number, 0);
	if (!k) {
		net_count(net, NET_dropped_memory, 1);
		return;
	}
	r = seal_open(k, frame, body);
	seal_key_free(k);
	if (r) {
		net_refuse(net, NET_refused_seal, h);
		return;
	}
	if (!read_hello(SLICE(body, frame.n - SEAL_BYTES), &hello)) {
		net_refuse(net, NET_refused_malformed, h);
		return;
	}
	net_count(net, NET_frames_received, 1);
	net_count(net, NET_bytes_received, frame.n);
	heard(net, h, &hello);
}
