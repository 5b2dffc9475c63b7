/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * conf - iorio.conf: one table of keys (conf_keys.h), parsed and checked.
 *
 * Shape:   `key = value` lines, `#` comments; the environment overrides the
 *          file, conf_set overrides both.
 * Errors:  -ERR_INVAL with one line in WHY that names where, the key, and the
 *          nearest known one; -ERR_NOTFOUND for a file.
 * Thread:  one until it is complete; read-only, by any, afterwards.  References
 *          are counted atomically.
 */
#ifndef SRC_BASE_CONF_H
#define SRC_BASE_CONF_H

#include <stdint.h>

#include "src/base/buf.h"

#define CONF_WHY_BYTES 512

struct conf; /* opaque; its fields are those of conf_keys.h */

enum conf_key_flag {
	CONF_SECRET = 1, /* masked when printed */
	CONF_RELOAD = 2, /* read again on SIGHUP */
};

enum conf_field {
#define CONF_FIELD(kind, field, key, def, low, high, flags) CONF_##field,
#include "src/base/conf_keys.h"
	CONF_KEYS(CONF_FIELD)
#undef CONF_FIELD
	    CONF_N_KEYS
};

struct conf *conf_new(void); /* all defaults; NULL: no memory */
struct conf *conf_ref(struct conf *c);
/* Gives one reference up; the last one frees.  Takes NULL, returns NULL. */
struct conf *conf_free(struct conf *c);

int conf_load_file(struct conf *c, const char *path, char why[CONF_WHY_BYTES]);
/* IORIO_<KEY> of ENVIRON ("NAME=value", NULL-terminated). */
int conf_load_env(
    struct conf *c, const char *const *environment, char why[CONF_WHY_BYTES]);
/* WHERE is said in front of an error. */
int conf_set(struct conf *c, const char *key, const char *value,
    const char *where, char why[CONF_WHY_BYTES]);
/* What the limits of single keys cannot tell. */
int conf_check(const struct conf *c, char why[CONF_WHY_BYTES]);

const char *conf_str(const struct conf *c, enum conf_field f);
/* INT, SIZE (bytes), TIME (us), FLAG (0, 1), ENUM (index); unset or auto: 0. */
uint64_t conf_num(const struct conf *c, enum conf_field f);
/* The text as it was given; NULL for a key that there is not. */
const char *conf_text(const struct conf *c, const char *key);

#define CONF_WHERE_BYTES 384

/* "etc/iorio.conf:12: http.ip:", or "http.ip:" when nobody set it: what a
 * complaint begins with. */
void conf_where(
    const struct conf *c, enum conf_field f, char out[CONF_WHERE_BYTES]);
/* "4KB", "50MB"; "500ms", "60s", "7d": what values of keys are written in.  Bytes,
 * us; 0 or -ERR_INVAL. */
int conf_parse_size(const char *s, uint64_t *out);
int conf_parse_time(const char *s, uint64_t *out);
/* log.rotate: the size, and how many old files are kept. */
void conf_log_rotate(const struct conf *c, uint64_t *bytes, uint32_t *files);

/*
 * A value like OLD but for what can be reloaded, which is as in FRESH; NULL: no
 * memory.  CHANGED gets what that is, as "key = value, ..."; KEPT the names of
 * keys that differ, too, but need a new start.
 */
struct conf *conf_reload(const struct conf *old, const struct conf *fresh,
    struct buf *changed, struct buf *kept);

/* Every key and its value, a line each, secrets masked. */
void conf_print(const struct conf *c, struct buf *out);

#endif
