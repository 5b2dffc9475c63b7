/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* arena - the calls of mem.h, on lists of pieces by owner. */
#include "tests/world/arena.h"

#include <stdint.h>
#include <stdio.h>

#include "src/base/assert.h"
#include "src/base/list.h"
#include "src/base/mem.h"

#define PIECE_MAGIC 0x65636970u

struct piece {
	struct list link;
	size_t n;
	uint32_t owner, magic;
	const void *caller; /* of mem.h */
};

extern const char __executable_start; /* the linker's */

/* Process wide on purpose, as the heap is. */
static struct list pieces[ARENA_OWNERS];
static size_t n_pieces[ARENA_OWNERS];
static unsigned current;
static mem_fail_fn hook_fail;
static void *hook_arg;

static void
set_up(void)
{
	if (pieces[0].next)
		return;
	for (unsigned i = 0; i < ARENA_OWNERS; i++)
		list_init(&pieces[i]);
}

unsigned
arena_enter(unsigned owner)
{
	unsigned before = current;

	ASSERT(owner < ARENA_OWNERS);
	current = owner;
	return before;
}

unsigned
arena_owner(void)
{
	return current;
}

void
arena_drop(unsigned owner)
{
	set_up();
	while (!list_empty(&pieces[owner]))
		mem_free(
		    LIST_ENTRY(list_first(&pieces[owner]), struct piece, link) +
		    1);
}

size_t
arena_pieces(unsigned owner)
{
	return n_pieces[owner];
}

size_t
arena_bytes(unsigned owner)
{
	size_t n = 0;

	LIST_FOREACH (l, &pieces[owner])
		n += LIST_ENTRY(l, struct piece, link)->n;
	return n;
}

void
arena_describe(unsigned owner, FILE *out)
{
	LIST_FOREACH (l, &pieces[owner]) {
		const struct piece *p = LIST_ENTRY(l, struct piece, link);

		fprintf(out, "%zu bytes, made for %#tx (addr2line -e)\n", p->n,
		    (const char *)p->caller - &__executable_start);
	}
}

static int
refused(size_t n)
{
	return hook_fail && hook_fail(hook_arg, n);
}

static void *
alloc(size_t n, int zero, const void *caller)
{
	struct piece *piece;

	set_up();
	if (refused(n) || n > SIZE_MAX - sizeof(*piece))
		return NULL;
	piece =
	    zero ? calloc(1, sizeof(*piece) + n) : malloc(sizeof(*piece) + n);
	if (!piece)
		return NULL;
	piece->n = n;
	piece->owner = current;
	piece->magic = PIECE_MAGIC;
	piece->caller = caller;
	list_add_tail(&pieces[current], &piece->link);
	n_pieces[current]++;
	return piece + 1;
}

void *
mem_alloc(size_t n)
{
	return alloc(n, 0, __builtin_return_address(0));
}

void *
mem_zalloc(size_t n)
{
	return alloc(n, 1, __builtin_return_address(0));
}

void *
mem_calloc(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return alloc(total, 1, __builtin_return_address(0));
}

/* What is reallocated keeps its owner, whoever asks. */
void *
mem_realloc(void *p, size_t n)
{
	struct piece *piece;
	unsigned before;
	void *moved;

	if (!p)
		return alloc(n, 0, __builtin_return_address(0));
	piece = (struct piece *)p - 1;
	ASSERT(piece->magic == PIECE_MAGIC);
	before = arena_enter(piece->owner);
	moved = alloc(n, 0, __builtin_return_address(0));
	arena_enter(before);
	if (!moved)
		return NULL;
	memcpy(moved, p, n < piece->n ? n : piece->n);
	mem_free(p);
	return moved;
}

char *
mem_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = mem_alloc(n);

	return copy ? memcpy(copy, s, n) : NULL;
}

void *
mem_free(void *p)
{
	struct piece *piece;

	if (!p)
		return NULL;
	piece = (struct piece *)p - 1;
	ASSERT(piece->magic == PIECE_MAGIC);
	piece->magic = 0;
	list_del(&piece->link);
	n_pieces[piece->owner]--;
	free(piece);
	return NULL;
}

void
mem_set_hook(mem_fail_fn fail, void *arg)
{
	hook_fail = fail;
	hook_arg = arg;
}
