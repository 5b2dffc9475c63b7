/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* keep - the rule of retention, applied to what is known (http-api.md 4.6). */
#include "tests/world/keep.h"

#include "src/base/assert.h"

void
keep_init(struct keep *k)
{
	memset(k, 0, sizeof(*k));
	k->n = 1;
}

void
keep_begin(struct keep *k, const struct policy of[MODEL_STREAMS])
{
	ASSERT(k->n < KEEP_TABLES);
	memcpy(k->tables[k->n++].of, of, sizeof(k->tables[0].of));
}

void
keep_done(struct keep *k, struct model *m)
{
	k->tables[k->n - 1].done = ++m->now;
}

/* --- the rule --------------------------------------------------------------- */

/* A stream as it is when it ends at `newest`.  MOST: what is not known of it is
 * such that it hides as much as possible; else as little. */
struct view {
	const struct model *m;
	const struct model_life *life;
	uint64_t newest, clock_ms;
	int most;
};

static uint64_t
bytes_at(const struct view *v, uint64_t seq)
{
	uint64_t bytes = model_bytes_at(v->m, v->life, seq);

	if (bytes)
		return bytes;
	return v->most ? MODEL_DATA_MAX : MODEL_DATA_MIN;
}

/* The first of the newest events that have MOST bytes together; the newest stays
 * in any case. */
static uint64_t
first_by_bytes(const struct view *v, uint64_t most)
{
	uint64_t seq = v->newest, sum = bytes_at(v, seq);

	while (seq > 1 && (sum += bytes_at(v, seq - 1)) <= most)
		seq--;
	return seq;
}

static uint64_t
first_by_age(const struct view *v, uint64_t age)
{
	uint64_t first = v->newest + 1;

	for (uint64_t seq = v->newest; seq; seq--) {
		uint64_t t_ms = model_time_at(v->m, v->life, seq);

		if (t_ms && t_ms + age <= v->clock_ms)
			return v->most ? first : seq + 1;
		if (t_ms)
			first = seq;
	}
	return v->most ? first : 1;
}

static uint64_t
higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
first_of(const struct view *v, const struct policy *p)
{
	const uint64_t *max = p->max;
	uint64_t first = 1;

	if (max[POLICY_EVENTS] && v->newest > max[POLICY_EVENTS])
		first = v->newest - max[POLICY_EVENTS] + 1;
	if (max[POLICY_BYTES])
		first = higher(first, first_by_bytes(v, max[POLICY_BYTES]));
	if (max[POLICY_AGE])
		first = higher(first, first_by_age(v, max[POLICY_AGE]));
	return first;
}

/* --- an answer -------------------------------------------------------------- */

/* The oldest table that may have counted for who asked at AT. */
static uint32_t
oldest_at(const struct keep *k, uint64_t at)
{
	uint32_t i = k->n - 1;

	while (i && !(k->tables[i].done && k->tables[i].done < at))
		i--;
	return i;
}

/* The most that table T, whose time may be over, has hidden. */
static uint64_t
most_of(struct keep_table *t, uint32_t stream, struct view v, int is_over)
{
	if (is_over && !t->newest[stream]) {
		t->newest[stream] = v.newest;
		t->clock_ms[stream] = v.clock_ms;
	}
	if (t->newest[stream]) {
		v.newest = t->newest[stream];
		v.clock_ms = t->clock_ms[stream];
	}
	return first_of(&v, &t->of[stream]);
}

int
keep_saw(struct keep *k, struct model *m, uint32_t stream,
    const struct model_ask *ask, uint64_t life, uint64_t newest, uint64_t first)
{
	struct model_stream *s = &m->streams[stream];
	const struct model_known *known = &ask->streams[stream];
	struct view v = {m, model_life(s, life), newest, known->clock_ms, 0};
	uint32_t oldest = oldest_at(k, ask->at);
	uint64_t least = UINT64_MAX, most = 1;

	for (uint32_t i = oldest; i < k->n; i++) {
		uint64_t hides = first_of(&v, &k->tables[i].of[stream]);

		least = hides < least ? hides : least;
	}
	least = higher(least, known->first);
	v.most = 1;
	v.clock_ms = m->clock_ms[s->group];
	for (uint32_t i = 0; i < k->n; i++)
		most =
		    higher(most, most_of(&k->tables[i], stream, v, i < oldest));
	if (first < least || first > most)
		return model_wrong(m,
		    "%s is visible from %llu on, not from %llu to %llu, of "
		    "%llu",
		    s->name, (unsigned long long)first,
		    (unsigned long long)least, (unsigned long long)most,
		    (unsigned long long)newest);
	s->first = higher(s->first, first);
	return 0;
}
