/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* conf_impl - what conf.c and conf_value.c share. */
#ifndef SRC_BASE_CONF_IMPL_H
#define SRC_BASE_CONF_IMPL_H

#include "src/base/conf.h"
#include "src/base/conf_keys.h"

enum kind {
	KIND_STR,
	KIND_INT,
	KIND_SIZE,
	KIND_TIME,
	KIND_FLAG,
	KIND_ENUM,
	KIND_ROTATE,
};

struct key {
	enum kind kind;
	const char *name, *fallback;
	uint64_t low, high;
	unsigned flags;
};

/* What S says, within the limits of K: 0 or -ERR_INVAL. */
int conf_value_parse(const struct key *k, const char *s, uint64_t *out);
/* What S would have to look like; may lie in OUT. */
const char *conf_value_expected(const struct key *k, char out[96]);
/* "10MB x 5": 0 or -ERR_INVAL. */
int conf_rotate_parse(const char *s, uint64_t *bytes, uint32_t *files);

#endif
