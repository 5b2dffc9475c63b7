/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_bundle - the short frames that a worker has for one peer in one turn leave
 * as one message.
 *
 * A message costs two wake-ups of threads at either side, about as much as
 * answering a request; a frame in it costs a memcpy.  So whatever is short waits
 * for the end of the turn, and what is long goes at once, behind what waited
 * for the same peer.
 *
 * The body of such a message is its frames, one behind the other, little
 * endian:
 *
 *	u32 bytes of the frame; u32 zero; the frame; zeros up to 8 bytes
 *
 * At least one frame, each whole.  Nothing of it is kept on a disk; version
 * and kind are those of the sealed message around it (seal.c).
 */
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define HEAD_BYTES   8
#define BUNDLE_BYTES (64u << 10)
#define ROUND(n)     (((n) + 7) & ~(size_t)7)

static struct net_bundle *
find(struct net_bundles *all, const uint8_t id[16])
{
	for (uint32_t i = 0; i < all->n; i++)
		if (memcmp(all->of[i].to, id, 16) == 0)
			return &all->of[i];
	return NULL;
}

/* The buffers of earlier turns are used again. */
static struct net_bundle *
begin(struct net_bundles *all, const uint8_t id[16])
{
	struct net_bundle *b;

	if (all->n == all->cap) {
		uint32_t cap = all->cap ? 2 * all->cap : 4;

		b = mem_realloc(all->of, cap * sizeof(*b));
		if (!b)
			return NULL;
		all->of = b;
		for (; all->cap < cap; all->cap++) {
			b[all->cap] = (struct net_bundle){0};
			buf_init(&b[all->cap].bytes, BUNDLE_BYTES);
		}
	}
	b = &all->of[all->n++];
	memcpy(b->to, id, 16);
	buf_reset(&b->bytes);
	return b;
}

/* One frame alone needs no bundle. */
static void
send_bundle(struct net *net, uint32_t worker, struct net_bundle *b)
{
	struct slice rest = buf_slice(&b->bytes), frame;
	enum seal_kind kind = SEAL_BUNDLE;
	struct iovec iov = {b->bytes.p, b->bytes.n};

	if (!rest.n)
		return;
	if (net_bundle_next(&rest, &frame) == 0 && rest.n == 0) {
		kind = SEAL_FRAME;
		iov = (struct iovec){b->bytes.p + HEAD_BYTES, frame.n};
	}
	net_send_now(net, worker, b->to, NET_CONTROL, kind, &iov, 1);
	buf_reset(&b->bytes);
}

int
net_bundle_add(struct net *net, uint32_t worker, const uint8_t id[16],
    const struct iovec *iov, int n, size_t bytes)
{
	struct net_bundles *all = &net->bundles[worker];
	struct net_bundle *b = find(all, id);
	size_t need = HEAD_BYTES + ROUND(bytes);
	uint8_t *p;

	if (b && b->bytes.n + need > BUNDLE_BYTES)
		send_bundle(net, worker, b);
	if (!b)
		b = begin(all, id);
	p = b ? buf_reserve(&b->bytes, need) : NULL;
	if (!p) {
		if (b) {
			b->bytes.error = 0; /* what is in it is whole */
			send_bundle(net, worker, b);
		}
		return -ERR_NOMEM;
	}
	memset(p + need - 8, 0, 8);
	le_put32(p, (uint32_t)bytes);
	le_put32(p + 4, 0);
	p += HEAD_BYTES;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len)
			memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	b->bytes.n += need;
	return 0;
}

void
net_bundle_send(struct net *net, uint32_t worker, const uint8_t id[16])
{
	struct net_bundle *b = find(&net->bundles[worker], id);

	if (b)
		send_bundle(net, worker, b);
}

void
net_flush(struct net *net, uint32_t worker)
{
	struct net_bundles *all = &net->bundles[worker];

	for (uint32_t i = 0; i < all->n; i++)
		send_bundle(net, worker, &all->of[i]);
	all->n = 0;
}

int
net_bundle_next(struct slice *rest, struct slice *out)
{
	size_t n, need;

	if (rest->n < HEAD_BYTES)
		return -ERR_FORMAT;
	n = le_get32(rest->p);
	need = HEAD_BYTES + ROUND(n);
	if (need > rest->n || le_get32(rest->p + 4))
		return -ERR_FORMAT;
	*out = SLICE(rest->p + HEAD_BYTES, n);
	*rest = SLICE(rest->p + need, rest->n - need);
	return 0;
}

void
net_bundles_free(struct net_bundles *all)
{
	for (uint32_t i = 0; i < all->cap; i++)
		buf_deinit(&all->of[i].bytes);
	mem_free(all->of);
}
