/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* ended - which streams of a group were deleted lately. */
#include "vnode/ended.h"

#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"

void
ended_init(struct ended *e)
{
	*e = (struct ended){0};
	list_init(&e->all);
}

static struct ended_stream *
oldest(const struct ended *e)
{
	struct list *node = list_first(&e->all);

	return node ? LIST_ENTRY(node, struct ended_stream, link) : NULL;
}

static struct ended_stream *
newest(const struct ended *e)
{
	return list_empty(&e->all)
		   ? NULL
		   : LIST_ENTRY(e->all.prev, struct ended_stream, link);
}

static uint32_t
bytes_of(const struct manifest_ended *row)
{
	return ENDED_FIXED_BYTES + (uint32_t)(row->bucket.n + row->stream.n);
}

static int
is_after(const struct manifest_ended *row, uint64_t index, uint32_t ordinal)
{
	return row->index > index ||
	       (row->index == index && row->ordinal > ordinal);
}

static void
drop(struct ended *e, struct ended_stream *s)
{
	list_del(&s->link);
	e->bytes -= bytes_of(&s->row);
	e->n--;
	mem_free(s);
}

void
ended_clear(struct ended *e)
{
	struct ended_stream *s;

	while ((s = oldest(e)))
		drop(e, s);
	ended_init(e);
}

void
ended_move(struct ended *to, struct ended *from)
{
	*to = *from;
	list_init(&to->all);
	list_splice_tail(&to->all, &from->all);
	ended_init(from);
}

static void
forget_oldest(struct ended *e)
{
	struct ended_stream *s = oldest(e);

	e->forgot_index = s->row.index;
	e->forgot_ordinal = s->row.ordinal;
	drop(e, s);
}

/* Whether ROW is newer than all that was forgotten. */
static int
is_newer(const struct ended *e, const struct manifest_ended *row)
{
	return is_after(row, e->forgot_index, e->forgot_ordinal);
}

/* A row of a manifest that says up to where all is forgotten. */
static int
forget_up_to(struct ended *e, const struct manifest_ended *row)
{
	while (e->n)
		forget_oldest(e);
	if (!is_newer(e, row))
		return -ERR_CORRUPT;
	e->forgot_index = row->index;
	e->forgot_ordinal = row->ordinal;
	return 0;
}

int
ended_add(struct ended *e, const struct manifest_ended *row, int saved)
{
	size_t n = row->bucket.n + row->stream.n;
	struct ended_stream *last = newest(e), *s;
	uint8_t *names;

	if (row->bucket.n == 0)
		return forget_up_to(e, row);
	if (last ? !is_after(row, last->row.index, last->row.ordinal)
		 : !is_newer(e, row))
		return -ERR_CORRUPT;
	s = mem_alloc(sizeof(*s) + n);
	if (!s)
		return -ERR_NOMEM;
	names = (uint8_t *)(s + 1);
	memcpy(names, row->bucket.p, row->bucket.n);
	memcpy(names + row->bucket.n, row->stream.p, row->stream.n);
	s->row = *row;
	s->row.bucket.p = names;
	s->row.stream.p = names + row->bucket.n;
	list_add_tail(&e->all, &s->link);
	e->bytes += bytes_of(row);
	e->n++;
	e->n_unsaved = saved ? 0 : e->n_unsaved + 1;
	while (e->bytes > ENDED_BYTES_MAX)
		forget_oldest(e);
	return 0;
}

int
ended_forgot_after(const struct ended *e, uint64_t index, uint32_t ordinal)
{
	struct manifest_ended row = {
	    .index = e->forgot_index, .ordinal = e->forgot_ordinal};

	return is_after(&row, index, ordinal);
}

/* As a rule only the newest are new, if any. */
struct ended_stream *
ended_after(const struct ended *e, uint64_t index, uint32_t ordinal)
{
	struct list *node = e->all.prev;

	while (node != &e->all &&
	       is_after(&LIST_ENTRY(node, struct ended_stream, link)->row,
		   index, ordinal))
		node = node->prev;
	return node->next == &e->all
		   ? NULL
		   : LIST_ENTRY(node->next, struct ended_stream, link);
}

struct ended_stream *
ended_next(const struct ended *e, const struct ended_stream *s)
{
	return s->link.next == &e->all
		   ? NULL
		   : LIST_ENTRY(s->link.next, struct ended_stream, link);
}

void
ended_add_rows(struct ended *e, struct manifest_writer *mw, int all)
{
	struct list *node = e->all.prev;
	uint32_t n = e->n_unsaved;

	if (VNODE_MUTANT(ENDED_NOT_IN_MANIFEST))
		return;
	if (e->forgot_index && (all || n > e->n))
		manifest_add_ended(
		    mw, &(struct manifest_ended){.index = e->forgot_index,
			    .ordinal = e->forgot_ordinal});
	while (node != &e->all && (all || n--))
		node = node->prev;
	for (node = node->next; node != &e->all; node = node->next)
		manifest_add_ended(
		    mw, &LIST_ENTRY(node, struct ended_stream, link)->row);
	e->n_unsaved = 0;
}
