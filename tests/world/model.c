/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* model - where every event is, as far as anybody was told. */
#include "tests/world/model.h"

#include <stdarg.h>

#include "ring/hash.h"
#include "src/base/assert.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "src/base/name.h"

#define TYPE "text/x-world"

int
model_wrong(struct model *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, ap);
	va_end(ap);
	return -1;
}

/* A name in BUCKET that belongs to GROUP of N_GROUPS. */
static void
find_name(struct ring_hash *h, const struct model_stream *s, uint32_t plain,
    uint32_t n_groups, char out[16])
{
	for (uint32_t i = 0; i < 10000; i++) {
		snprintf(out, 16, "s%u-%u", plain, i);
		if (ring_hash_group(h, SLICE_STR(s->bucket), SLICE_STR(out),
			n_groups) == s->group)
			return;
	}
	ASSERT_UNREACHED();
}

void
model_init(struct model *m, uint32_t n_plain, uint32_t n_groups)
{
	struct ring_hash *h = ring_hash_new();

	*m = (struct model){.n_streams = 2 * n_plain, .n_plain = n_plain};
	ASSERT(n_plain <= MODEL_PLAIN && n_groups <= MODEL_GROUPS && h);
	m->scratch = mem_alloc(MODEL_DATA_MAX);
	ASSERT(m->scratch);
	for (uint32_t i = 0; i < m->n_streams; i++) {
		struct model_stream *s = &m->streams[i];
		uint32_t plain = i % n_plain;
		char name[16];

		s->group = plain % n_groups;
		s->first = 1;
		snprintf(
		    s->bucket, sizeof(s->bucket), "b%u", plain % MODEL_BUCKETS);
		find_name(h, s, plain, n_groups, name);
		snprintf(s->name, sizeof(s->name), "%.8s%s", name,
		    i < n_plain ? "" : NAME_PATCH_SUFFIX);
	}
	ring_hash_free(h);
}

void
model_deinit(struct model *m)
{
	for (uint32_t i = 0; i < m->n_streams; i++) {
		struct model_stream *s = &m->streams[i];

		for (uint32_t k = 0; k < s->n_lives; k++)
			mem_free(s->lives[k].puts);
		mem_free(s->lives);
	}
	mem_free(m->puts);
	mem_free(m->scratch);
}

/* --- what an event consists of ---------------------------------------------
 */

/* Most are small, some take several blocks of the journal. */
static size_t
data_bytes(uint64_t put, uint32_t ordinal, uint32_t n)
{
	uint64_t key[2] = {put, ordinal};
	uint64_t h = hash64(key, sizeof(key), 1);

	if (n > 8)
		return MODEL_DATA_MIN + h % 40;
	if (h % 16 == 0)
		return MODEL_DATA_MIN + (h >> 8) % 4000;
	if (h % 97 == 0 && n == 1)
		return MODEL_DATA_MIN +
		       (h >> 8) % (MODEL_DATA_MAX - MODEL_DATA_MIN);
	return MODEL_DATA_MIN + (h >> 8) % 200;
}

struct vnode_put_event
model_event(uint64_t put, uint32_t ordinal, uint32_t n, uint8_t *out)
{
	size_t bytes = data_bytes(put, ordinal, n), at;

	at = (size_t)snprintf((char *)out, MODEL_DATA_MAX,
	    "%llu.%u:", (unsigned long long)put, ordinal);
	for (size_t i = at; i < bytes; i++)
		out[i] = (uint8_t)('a' + (put + ordinal * 7 + i) % 26);
	return (struct vnode_put_event){
	    .flags = put % 3 ? EVENT_JSON : 0,
	    .type = put % 3 ? SLICE(NULL, 0) : SLICE_LIT(TYPE),
	    .data = SLICE(out, bytes),
	};
}

/* Reads what model_event begins with; 0 when it is something else. */
static int
parse(struct slice data, uint64_t *put, uint32_t *ordinal)
{
	uint64_t v[2] = {0, 0};
	size_t i = 0;

	for (int k = 0; k < 2; k++) {
		for (; i < data.n && data.p[i] >= '0' && data.p[i] <= '9'; i++)
			v[k] = v[k] * 10 + (uint64_t)(data.p[i] - '0');
		if (i == data.n || data.p[i++] != ".:"[k])
			return 0;
	}
	*put = v[0];
	*ordinal = (uint32_t)v[1];
	return 1;
}

/* --- puts -------------------------------------------------------------------
 */

uint64_t
model_put_new(struct model *m, uint32_t stream, uint32_t n)
{
	if (m->n_puts == m->cap_puts) {
		m->cap_puts = m->cap_puts ? m->cap_puts * 2 : 1024;
		m->puts = mem_realloc(m->puts, m->cap_puts * sizeof(*m->puts));
		ASSERT(m->puts);
	}
	m->streams[stream].empty = 0;
	m->streams[stream].n_puts++;
	m->puts[m->n_puts] =
	    (struct model_put){.stream = stream, .n_events = n};
	return m->n_puts++;
}

uint64_t
model_patch_new(struct model *m, uint32_t stream)
{
	uint64_t a = model_put_new(m, stream, 1);
	uint64_t b = model_put_new(m, stream + m->n_plain, 1);

	m->puts[a].twin = b + 1;
	m->puts[b].twin = a + 1;
	return a;
}

static struct model_put *
twin_of(struct model *m, const struct model_put *p)
{
	return p->twin ? &m->puts[p->twin - 1] : NULL;
}

static void
settle(struct model *m, struct model_put *p, enum put_state state)
{
	struct model_put *twin = twin_of(m, p);

	p->state = state;
	p->ended = ++m->now;
	if (twin) {
		twin->state = state;
		twin->ended = m->now;
	}
}

static struct model_life *
life_of(const struct model_stream *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->n_lives; i++)
		if (s->lives[i].id == id)
			return &s->lives[i];
	return NULL;
}

const struct model_life *
model_life(const struct model_stream *s, uint64_t id)
{
	return life_of(s, id);
}

static struct model_life *
get_life(struct model_stream *s, uint64_t id)
{
	struct model_life *l = life_of(s, id);

	if (l)
		return l;
	s->lives = mem_realloc(s->lives, (s->n_lives + 1) * sizeof(*s->lives));
	ASSERT(s->lives);
	l = &s->lives[s->n_lives++];
	*l = (struct model_life){.id = id};
	return l;
}

static void
reserve(struct model_life *l, uint64_t last)
{
	uint64_t cap = l->cap ? l->cap : 64;

	while (cap <= last)
		cap *= 2;
	if (cap != l->cap) {
		l->puts = mem_realloc(l->puts, cap * sizeof(*l->puts));
		ASSERT(l->puts);
		memset(l->puts + l->cap, 0, (cap - l->cap) * sizeof(*l->puts));
		l->cap = cap;
	}
	if (l->n < last)
		l->n = last;
}

uint64_t
model_time_at(const struct model *m, const struct model_life *l, uint64_t seq)
{
	if (!l || seq == 0 || seq > l->n || l->puts[seq] == 0)
		return 0;
	return m->puts[l->puts[seq] - 1].t_ms;
}

uint64_t
model_bytes_at(const struct model *m, const struct model_life *l, uint64_t seq)
{
	const struct model_put *p;
	uint64_t put;

	if (!l || seq == 0 || seq > l->n || l->puts[seq] == 0)
		return 0;
	put = l->puts[seq] - 1;
	p = &m->puts[put];
	return data_bytes(put, (uint32_t)(seq - p->first), p->n_events);
}

/* PUT is at FIRST of life LIFE, with time T_MS, and nowhere else. */
static int
place(
    struct model *m, uint64_t put, uint64_t life, uint64_t first, uint64_t t_ms)
{
	struct model_put *p = &m->puts[put];
	struct model_stream *s = &m->streams[p->stream];
	struct model_life *l;
	uint64_t before, after;

	if (p->first == first && p->t_ms == t_ms && p->life == life)
		return 0;
	if (p->first)
		return model_wrong(m,
		    "put %llu of %s is at %llu.%llu with time %llu and at "
		    "%llu.%llu with time %llu",
		    (unsigned long long)put, s->name,
		    (unsigned long long)p->life, (unsigned long long)p->first,
		    (unsigned long long)p->t_ms, (unsigned long long)life,
		    (unsigned long long)first, (unsigned long long)t_ms);
	if (first == 0 || t_ms == 0 || life == 0)
		return model_wrong(m,
		    "put %llu of %s has seqnum, time or life 0",
		    (unsigned long long)put, s->name);
	l = get_life(s, life);
	reserve(l, first + p->n_events);
	before = model_time_at(m, l, first - 1);
	after = model_time_at(m, l, first + p->n_events);
	if (t_ms < before || (after && t_ms > after))
		return model_wrong(m, "the time of %s decreases at %llu",
		    s->name, (unsigned long long)first);
	for (uint64_t seq = first; seq < first + p->n_events; seq++) {
		if (l->puts[seq])
			return model_wrong(m,
			    "%s has put %llu at %llu, and put %llu", s->name,
			    (unsigned long long)l->puts[seq] - 1,
			    (unsigned long long)seq, (unsigned long long)put);
		l->puts[seq] = put + 1;
	}
	s->n = l->n;
	p->life = life;
	p->first = first;
	p->t_ms = t_ms;
	return 0;
}

/* --- what is known when ----------------------------------------------------
 */

void
model_ask(struct model *m, struct model_ask *out)
{
	out->at = ++m->now;
	for (uint32_t i = 0; i < m->n_streams; i++) {
		const struct model_stream *s = &m->streams[i];

		out->streams[i] = (struct model_known){
		    .epoch = s->epoch,
		    .floor = s->floor,
		    .floor_life = s->floor_life,
		    .incarnation = s->incarnation,
		    .n_puts = s->n_puts,
		    .first = s->first,
		    .clock_ms = m->clock_ms[s->group],
		    .empty = s->empty,
		};
	}
}

/* Whether no deletion can have come between the question and now. */
static int
is_quiet(const struct model_stream *s, const struct model_known *k)
{
	return s->n_ending == 0 && s->epoch == k->epoch;
}

static void
raise_floor(struct model_stream *s, uint64_t life, uint64_t seq)
{
	if (s->floor >= seq)
		return;
	s->floor = seq;
	s->floor_life = life;
}

int
model_put_acked(struct model *m, uint64_t put, const struct model_ask *ask,
    const struct vnode_put *a)
{
	struct model_put *p = &m->puts[put];
	struct model_stream *s = &m->streams[p->stream];
	const struct model_known *k = &ask->streams[p->stream];

	ASSERT(p->state == PUT_PENDING || p->state == PUT_ACKED);
	settle(m, p, PUT_ACKED);
	if (a->last != a->first + p->n_events - 1)
		return model_wrong(m, "put %llu of %u events is %llu to %llu",
		    (unsigned long long)put, p->n_events,
		    (unsigned long long)a->first, (unsigned long long)a->last);
	if (a->incarnation < k->incarnation)
		return model_wrong(m,
		    "put %llu went to stream %llu, after %llu",
		    (unsigned long long)put, (unsigned long long)a->incarnation,
		    (unsigned long long)k->incarnation);
	if (is_quiet(s, k))
		raise_floor(s, a->incarnation, a->last);
	return place(m, put, a->incarnation, a->first, a->t_ms);
}

int
model_put_failed(struct model *m, uint64_t put, enum put_state state)
{
	struct model_put *p = &m->puts[put];
	const struct model_put *twin = twin_of(m, p);

	ASSERT(p->state == PUT_PENDING);
	settle(m, p, state);
	if (state == PUT_REFUSED && (p->first || (twin && twin->first)))
		return model_wrong(m,
		    "put %llu of %s was refused, and is at %llu",
		    (unsigned long long)put, m->streams[p->stream].name,
		    (unsigned long long)p->first);
	return 0;
}

/* --- answers to readers -----------------------------------------------------
 */

/* PUT is in log entry INDEX, and so is the other half of a patch. */
static int
in_entry(struct model *m, uint64_t put, uint64_t index)
{
	struct model_put *p = &m->puts[put];
	const struct model_put *twin = twin_of(m, p);

	if ((p->index && p->index != index) ||
	    (twin && twin->index && twin->index != index))
		return model_wrong(m,
		    "put %llu of %s is in entry %llu and in %llu",
		    (unsigned long long)put, m->streams[p->stream].name,
		    (unsigned long long)(p->index ? p->index : twin->index),
		    (unsigned long long)index);
	p->index = index;
	return 0;
}

int
model_saw(struct model *m, uint32_t stream, const struct model_ask *ask,
    uint64_t life, const struct event *e)
{
	const struct model_stream *s = &m->streams[stream];
	struct vnode_put_event want;
	uint64_t put;
	uint32_t ordinal;

	if (!parse(e->data, &put, &ordinal) || put >= m->n_puts ||
	    ordinal >= m->puts[put].n_events)
		return model_wrong(m,
		    "%s has an event at %llu that nobody sent", s->name,
		    (unsigned long long)e->seq);
	want = model_event(put, ordinal, m->puts[put].n_events, m->scratch);
	if (!slice_equal(want.data, e->data) ||
	    !slice_equal(want.type, e->type) ||
	    want.flags != (e->flags & ~EVENT_KEY))
		return model_wrong(m,
		    "%s has other bytes at %llu than were sent", s->name,
		    (unsigned long long)e->seq);
	if (m->puts[put].stream != stream)
		return model_wrong(m,
		    "%s has an event at %llu that was sent to %s", s->name,
		    (unsigned long long)e->seq,
		    m->streams[m->puts[put].stream].name);
	if (m->puts[put].state == PUT_REFUSED)
		return model_wrong(m,
		    "%s has put %llu at %llu, which was refused", s->name,
		    (unsigned long long)put, (unsigned long long)e->seq);
	if (m->puts[put].gone && m->puts[put].gone < ask->at)
		return model_wrong(m,
		    "%s has put %llu at %llu, which was deleted", s->name,
		    (unsigned long long)put, (unsigned long long)e->seq);
	return in_entry(m, put, e->index) ||
		       place(m, put, life, e->seq - ordinal, e->t_ms)
		   ? -1
		   : 0;
}

int
model_newest(struct model *m, uint32_t stream, const struct model_ask *ask,
    uint64_t life, uint64_t newest)
{
	struct model_stream *s = &m->streams[stream];
	const struct model_known *k = &ask->streams[stream];

	if (newest && k->empty && k->n_puts == s->n_puts)
		return model_wrong(m, "%s was deleted, and has %llu events",
		    s->name, (unsigned long long)newest);
	if (!is_quiet(s, k))
		return 0;
	if (newest < k->floor)
		return model_wrong(m,
		    "%s ends at %llu, though %llu was committed before the "
		    "question",
		    s->name, (unsigned long long)newest,
		    (unsigned long long)k->floor);
	if (life && k->floor && k->floor_life != life)
		return model_wrong(m, "%s was stream %llu and is %llu", s->name,
		    (unsigned long long)k->floor_life,
		    (unsigned long long)life);
	if (life)
		raise_floor(s, life, newest);
	return 0;
}

int
model_incarnation(struct model *m, uint32_t stream, const struct model_ask *ask,
    uint64_t life)
{
	struct model_stream *s = &m->streams[stream];

	if (life == 0)
		return model_wrong(
		    m, "%s has events and no incarnation", s->name);
	if (life < ask->streams[stream].incarnation)
		return model_wrong(m, "%s is stream %llu again, after %llu",
		    s->name, (unsigned long long)life,
		    (unsigned long long)ask->streams[stream].incarnation);
	for (uint32_t i = 0; i < m->n_streams; i++)
		if (i != stream && m->streams[i].group == s->group &&
		    life_of(&m->streams[i], life))
			return model_wrong(m, "%s and %s are both stream %llu",
			    s->name, m->streams[i].name,
			    (unsigned long long)life);
	if (s->incarnation < life)
		s->incarnation = life;
	get_life(s, life);
	return 0;
}

int
model_seek(struct model *m, uint32_t stream, uint64_t life, uint64_t ms,
    uint64_t seek, uint64_t first, uint64_t newest)
{
	const struct model_stream *s = &m->streams[stream];
	const struct model_life *l = life_of(s, life);
	uint64_t before = model_time_at(m, l, seek - 1),
		 at = model_time_at(m, l, seek);

	if (seek < first || seek > newest + 1)
		return model_wrong(m, "%s: seek gave %llu of %llu to %llu",
		    s->name, (unsigned long long)seek,
		    (unsigned long long)first, (unsigned long long)newest);
	if ((seek > first && before && before >= ms) ||
	    (seek <= newest && at && at < ms))
		return model_wrong(m, "%s: seek %llu gave %llu", s->name,
		    (unsigned long long)ms, (unsigned long long)seek);
	return 0;
}

int
model_check_patches(struct model *m)
{
	for (uint64_t i = 0; i < m->n_puts; i++) {
		const struct model_put *p = &m->puts[i];
		const struct model_put *twin = twin_of(m, p);

		if (twin && p->first && !twin->first)
			return model_wrong(m,
			    "put %llu of a patch is in %s, and %llu is nowhere",
			    (unsigned long long)i, m->streams[p->stream].name,
			    (unsigned long long)p->twin - 1);
	}
	return 0;
}

/* --- deletions --------------------------------------------------------------
 */

void
model_delete_new(struct model *m, uint32_t stream)
{
	struct model_stream *s = &m->streams[stream];

	s->n_ending++;
	s->epoch++;
	s->floor = 0;
}

void
model_delete_ended(struct model *m, uint32_t stream,
    const struct model_ask *ask, enum put_state state)
{
	struct model_stream *s = &m->streams[stream];

	m->now++;
	s->n_ending--;
	s->epoch++;
	s->floor = 0;
	if (state != PUT_ACKED)
		return;
	s->empty = 1;
	for (uint64_t i = 0; i < m->n_puts; i++) {
		struct model_put *p = &m->puts[i];

		if (p->stream != stream || p->state == PUT_REFUSED)
			continue;
		if (p->state == PUT_PENDING || p->ended > ask->at)
			s->empty = 0; /* it may have come behind */
		else if (!p->gone)
			p->gone = m->now;
	}
}
