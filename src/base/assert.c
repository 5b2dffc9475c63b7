/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* assert - what happens when an assertion does not hold. */
#include "src/base/assert.h"

void
assert_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
	abort();
}
