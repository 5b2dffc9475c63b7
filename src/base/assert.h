/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * assert - executable documentation that stays on in release builds.
 *
 * ASSERT is for errors of the programmer.  Anything that comes from a disk, a
 * socket or a user is checked with an error code instead.
 */
#ifndef SRC_BASE_ASSERT_H
#define SRC_BASE_ASSERT_H

#include <stdint.h>

/* Prints what failed and where to standard error, then aborts. */
_Noreturn void assert_fail(const char *what, const char *file, int line);

#define ASSERT(cond)                                                           \
	do {                                                                   \
		if (__builtin_expect(!(cond), 0))                              \
			assert_fail(#cond, __FILE__, __LINE__);                \
	} while (0)

#define ASSERT_UNREACHED() assert_fail("not reached", __FILE__, __LINE__)

/*
 * Objects that travel through a void * begin with `uint32_t magic`.  OBJ_CAST
 * checks it on the way back:  struct conn *c = OBJ_CAST(struct conn,
 * CONN_MAGIC, arg);
 */
#define OBJ_CAST(type, magic_value, ptr)                                       \
	({                                                                     \
		type *obj_cast_p = (ptr);                                      \
		ASSERT(obj_cast_p != NULL);                                    \
		ASSERT(obj_cast_p->magic == (magic_value));                    \
		obj_cast_p;                                                    \
	})

/* The struct of TYPE whose MEMBER lies at PTR. */
#define CONTAINER_OF(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))

#endif
