/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* mem - malloc with a hook through which tests make it fail. */
#include "src/base/mem.h"

static mem_fail_fn hook_fail; /* process wide on purpose: it hooks malloc */
static void *hook_arg;

static int
refused(size_t n)
{
	return hook_fail && hook_fail(hook_arg, n);
}

void *
mem_alloc(size_t n)
{
	return refused(n) ? NULL : malloc(n ? n : 1);
}

void *
mem_zalloc(size_t n)
{
	return refused(n) ? NULL : calloc(1, n ? n : 1);
}

void *
mem_calloc(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return mem_zalloc(total);
}

void *
mem_realloc(void *p, size_t n)
{
	return refused(n) ? NULL : realloc(p, n ? n : 1);
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
	free(p);
	return NULL;
}

void
mem_set_hook(mem_fail_fn fail, void *arg)
{
	hook_fail = fail;
	hook_arg = arg;
}
