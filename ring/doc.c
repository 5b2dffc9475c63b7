/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * doc - a document of the root group.
 *
 * An event of its stream, format 1, little endian:
 *
 *	 0  u32  magic "IORD"
 *	 4  u8   format = 1
 *	 5  u8   kind: 1 the whole, 2 a change
 *	 6  u16  0
 *	 8  u64  base: the number of the newest whole event; of kind 1 its own
 *	16  u64  bytes of all changes since the base, this one with them; of
 *		 kind 1: 0
 *	24  u32  items
 *	28	 the items, in strictly ascending order of their keys:
 *		 u16 length of the key, u32 length of the value or ffffffff:
 *		 the key goes (kind 2 only), key, value
 *
 * What holds.  An event is appended under the condition that the newest one is
 * the one that it was made of, so event N + 1 is always a change of what event N
 * gave; all replicas have the same events, so all have the same document.  The
 * event's record has a CRC; what does not parse is refused, and the document
 * stays what it was.
 *
 * When the changes since the last whole event are as long as the whole (and a few
 * KiB), the next event is the whole, so that a reader never has to read more than
 * twice what there is, and what is written is at most twice what was changed.
 * What is before the newest whole event need not be kept: who has an older
 * document, however old, takes that one next.
 */
#include "ring/doc.h"

#include <string.h>

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"

#define MAGIC         0x44524f49u
#define FORMAT        1
#define WHOLE         1
#define CHANGE        2
#define HEAD          28
#define ITEM_HEAD     6
#define GONE          0xffffffffu
#define SHORT_CHANGES 8192 /* below this the whole is never written */

struct item {
	uint16_t key_n;
	uint32_t value_n; /* or GONE */
	uint8_t p[];
};

struct doc {
	struct item **items;
	uint32_t n, cap;
	uint64_t seq, base;
	uint64_t changed; /* bytes of the changes since base */
	uint64_t bytes;   /* of items, as encoded */
};

struct doc *
doc_new(void)
{
	return mem_zalloc(sizeof(struct doc));
}

struct doc *
doc_free(struct doc *d)
{
	if (!d)
		return NULL;
	for (uint32_t i = 0; i < d->n; i++)
		mem_free(d->items[i]);
	mem_free(d->items);
	return mem_free(d);
}

uint64_t
doc_seq(const struct doc *d)
{
	return d->seq;
}

uint32_t
doc_n(const struct doc *d)
{
	return d->n;
}

static size_t
size_of(const struct item *it)
{
	return ITEM_HEAD + it->key_n + (it->value_n == GONE ? 0 : it->value_n);
}

static struct slice
key_of(const struct item *it)
{
	return SLICE(it->p, it->key_n);
}

struct doc_item
doc_at(const struct doc *d, uint32_t i)
{
	const struct item *it = d->items[i];
	int removed = it->value_n == GONE;

	return (struct doc_item){
	    .key = key_of(it),
	    .value = SLICE(it->p + it->key_n, removed ? 0 : it->value_n),
	    .removed = removed,
	};
}

uint32_t
doc_find(const struct doc *d, struct slice key)
{
	uint32_t low = 0, high = d->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (slice_compare(key_of(d->items[mid]), key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
is_at(const struct doc *d, uint32_t i, struct slice key)
{
	return i < d->n && slice_equal(key_of(d->items[i]), key);
}

struct slice
doc_get(const struct doc *d, struct slice key)
{
	uint32_t i = doc_find(d, key);

	return is_at(d, i, key) ? doc_at(d, i).value : SLICE(NULL, 0);
}

/* --- changing ------------------------------------------------------------- */

static struct item *
item_new(struct slice key, struct slice value, int removed)
{
	struct item *it =
	    mem_alloc(sizeof(*it) + key.n + (removed ? 0 : value.n));

	if (!it)
		return NULL;
	it->key_n = (uint16_t)key.n;
	it->value_n = removed ? GONE : (uint32_t)value.n;
	memcpy(it->p, key.p, key.n);
	if (!removed && value.n)
		memcpy(it->p + key.n, value.p, value.n);
	return it;
}

static int
make_room(struct doc *d)
{
	uint32_t cap = d->cap ? d->cap * 2 : 16;
	struct item **items;

	if (d->n < d->cap)
		return 0;
	items = mem_realloc(d->items, cap * sizeof(struct item *));
	if (!items)
		return -ERR_NOMEM;
	d->items = items;
	d->cap = cap;
	return 0;
}

static void
drop(struct doc *d, uint32_t i)
{
	d->bytes -= size_of(d->items[i]);
	mem_free(d->items[i]);
	memmove(d->items + i, d->items + i + 1,
	    (--d->n - i) * sizeof(struct item *));
}

static int
set(struct doc *d, struct slice key, struct slice value, int removed)
{
	uint32_t i = doc_find(d, key);
	struct item *it = item_new(key, value, removed);

	if (!it || make_room(d)) {
		mem_free(it);
		return -ERR_NOMEM;
	}
	if (is_at(d, i, key)) {
		d->bytes -= size_of(d->items[i]);
		mem_free(d->items[i]);
	} else {
		memmove(d->items + i + 1, d->items + i,
		    (d->n++ - i) * sizeof(struct item *));
	}
	d->items[i] = it;
	d->bytes += size_of(it);
	return 0;
}

int
doc_put(struct doc *change, struct slice key, struct slice value)
{
	if (key.n == 0 || key.n > DOC_KEY_MAX || value.n > DOC_VALUE_MAX)
		return -ERR_LIMIT;
	return set(change, key, value, 0);
}

int
doc_remove(struct doc *change, struct slice key)
{
	if (key.n == 0 || key.n > DOC_KEY_MAX)
		return -ERR_LIMIT;
	return set(change, key, SLICE(NULL, 0), 1);
}

/* D takes over what CHANGE says. */
static int
take(struct doc *d, const struct doc *change)
{
	int r = 0;

	for (uint32_t i = 0; i < change->n && r == 0; i++) {
		struct doc_item it = doc_at(change, i);
		uint32_t at = doc_find(d, it.key);

		if (!it.removed)
			r = set(d, it.key, it.value, 0);
		else if (is_at(d, at, it.key))
			drop(d, at);
	}
	return r;
}

struct doc *
doc_clone(const struct doc *d)
{
	struct doc *c = doc_new();

	if (c && take(c, d))
		return doc_free(c);
	if (c) {
		c->seq = d->seq;
		c->base = d->base;
		c->changed = d->changed;
	}
	return c;
}

int
doc_changed(const struct doc *d, const struct doc *change, struct doc **out)
{
	struct doc *c = doc_clone(d);
	int r = c ? take(c, change) : -ERR_NOMEM;

	if (r == 0 && c->bytes > DOC_BYTES_MAX)
		r = -ERR_LIMIT;
	if (r) {
		doc_free(c);
		return r;
	}
	c->seq++;
	*out = c;
	return 0;
}

/* --- writing -------------------------------------------------------------- */

static void
encode(const struct doc *items, uint8_t kind, uint64_t base, uint64_t changed,
    struct buf *out)
{
	uint8_t head[HEAD] = {0}, *p = le_put32(head, MAGIC);

	*p++ = FORMAT;
	*p = kind;
	p = le_put64(head + 8, base);
	p = le_put64(p, changed);
	le_put32(p, items->n);
	buf_add(out, head, sizeof(head));
	for (uint32_t i = 0; i < items->n; i++) {
		const struct item *it = items->items[i];
		uint8_t row[ITEM_HEAD];

		le_put32(le_put16(row, it->key_n), it->value_n);
		buf_add(out, row, sizeof(row));
		buf_add(out, it->p, size_of(it) - ITEM_HEAD);
	}
}

int
doc_encode(const struct doc *d, const struct doc *change, struct buf *out)
{
	uint64_t changed = d->changed + change->bytes;
	struct doc *after = NULL;
	int r = doc_changed(d, change, &after);

	if (r)
		return r;
	if (d->seq == 0 ||
	    changed >
		(after->bytes > SHORT_CHANGES ? after->bytes : SHORT_CHANGES))
		encode(after, WHOLE, d->seq + 1, 0, out);
	else
		encode(change, CHANGE, d->base, changed, out);
	doc_free(after);
	return buf_error(out);
}

/* --- reading -------------------------------------------------------------- */

struct head {
	uint8_t kind;
	uint64_t base, changed;
	uint32_t n;
};

static int
decode_head(struct slice in, uint64_t seq, struct head *out)
{
	if (in.n < HEAD || le_get32(in.p) != MAGIC)
		return -ERR_CORRUPT;
	if (in.p[4] != FORMAT)
		return -ERR_FORMAT;
	*out = (struct head){
	    .kind = in.p[5],
	    .base = le_get64(in.p + 8),
	    .changed = le_get64(in.p + 16),
	    .n = le_get32(in.p + 24),
	};
	if (le_get16(in.p + 6) || in.n > DOC_EVENT_MAX || out->base == 0)
		return -ERR_CORRUPT;
	if (out->kind == WHOLE)
		return out->base == seq && out->changed == 0 ? 0 : -ERR_CORRUPT;
	return out->kind == CHANGE && out->base < seq ? 0 : -ERR_CORRUPT;
}

int
doc_base(struct slice event, uint64_t seq, uint64_t *base)
{
	struct head h;
	int r = decode_head(event, seq, &h);

	if (r == 0)
		*base = h.base;
	return r;
}

/* The items of an event of KIND, as a document. */
static int
decode_items(struct slice in, const struct head *h, struct doc **out)
{
	struct doc *d = doc_new();
	struct slice last = {NULL, 0};
	int r = d ? 0 : -ERR_NOMEM;

	for (uint32_t i = 0; i < h->n && r == 0; i++) {
		uint32_t key_n, value_n;
		size_t used;

		if (in.n < ITEM_HEAD) {
			r = -ERR_CORRUPT;
			break;
		}
		key_n = le_get16(in.p);
		value_n = le_get32(in.p + 2);
		used =
		    ITEM_HEAD + key_n + (value_n == GONE ? 0 : (size_t)value_n);
		if (key_n == 0 || key_n > DOC_KEY_MAX ||
		    (value_n == GONE ? h->kind != CHANGE
				     : value_n > DOC_VALUE_MAX) ||
		    used > in.n ||
		    (i && slice_compare(last, SLICE(in.p + ITEM_HEAD, key_n)) >=
			      0)) {
			r = -ERR_CORRUPT;
			break;
		}
		last = SLICE(in.p + ITEM_HEAD, key_n);
		r = set(
		    d, last, SLICE(last.p + key_n, value_n), value_n == GONE);
		in = SLICE(in.p + used, in.n - used);
	}
	if (r == 0 && in.n)
		r = -ERR_CORRUPT;
	if (r) {
		doc_free(d);
		return r;
	}
	*out = d;
	return 0;
}

static void
swap_items(struct doc *a, struct doc *b)
{
	struct doc was = *a;

	*a = *b;
	*b = was;
}

int
doc_apply(struct doc *d, uint64_t seq, struct slice event)
{
	struct doc *items = NULL;
	struct head h;
	int r = decode_head(event, seq, &h);

	if (r == 0 &&
	    (seq <= d->seq ||
		(h.kind == CHANGE && (seq != d->seq + 1 || h.base != d->base))))
		r = -ERR_CORRUPT;
	if (r == 0)
		r = decode_items(
		    SLICE(event.p + HEAD, event.n - HEAD), &h, &items);
	if (r == 0 && h.kind == CHANGE &&
	    h.changed != d->changed + items->bytes)
		r = -ERR_CORRUPT;
	if (r == 0 && h.kind == WHOLE)
		swap_items(d, items);
	else if (r == 0)
		r = take(d, items);
	doc_free(items);
	if (r)
		return r;
	d->seq = seq;
	d->base = h.base;
	d->changed = h.changed;
	return 0;
}
