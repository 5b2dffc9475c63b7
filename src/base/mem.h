/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * mem - malloc with a hook through which tests make it fail.
 *
 * Returns:  NULL when there is no memory; the caller passes -ERR_NOMEM on.
 * Thread:   any; the hook is set before threads start.
 */
#ifndef SRC_BASE_MEM_H
#define SRC_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n) __attribute__((malloc));
void *mem_zalloc(size_t n) __attribute__((malloc));
/* N elements of SIZE bytes, zeroed; NULL also when the product overflows. */
void *mem_calloc(size_t n, size_t size) __attribute__((malloc));
void *mem_realloc(void *p, size_t n);
char *mem_strdup(const char *s);
/* Takes NULL and returns NULL: p = mem_free(p). */
void *mem_free(void *p);

/* FAIL(ARG, n) returning non-zero makes the allocation of N bytes fail. */
typedef int (*mem_fail_fn)(void *arg, size_t n);
void mem_set_hook(mem_fail_fn fail, void *arg);

#endif
