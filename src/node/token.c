/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * token - the files with the administrator's token: 64 hex digits, a newline.
 *
 * `admin.token` in the root is for people.  The one in the directory of the
 * cluster is that cluster's: a node that goes from one to another and back
 * counts from its first request on the token that counts there.  Each is
 * written aside, synced and renamed, so a crash leaves the old or the new.
 */
#include "src/node/token.h"

#include <stdio.h>
#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define CHANCE_BYTES 32
#define TOKEN_FILE   "admin.token"
#define PATH_BYTES   96

/* DIR is that of a cluster, or empty: the root. */
static void
path_in(const char *dir, const char *suffix, char out[PATH_BYTES])
{
	snprintf(out, PATH_BYTES, "%s%s%s%s", dir, dir[0] ? "/" : "",
	    TOKEN_FILE, suffix);
}

static int
read_file(const struct env *env, const char *dir, char token[TOKEN_TEXT_BYTES])
{
	const struct env_disk *d = &env->disk;
	char path[PATH_BYTES], line[TOKEN_TEXT_BYTES];
	struct disk_file *file;
	size_t got = 0;
	int r;

	path_in(dir, "", path);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r)
		return r;
	r = d->pread(d->ctx, file, line, TOKEN_TEXT_BYTES - 1, 0, &got);
	d->close(d->ctx, file);
	if (r == 0 && got != TOKEN_TEXT_BYTES - 1)
		r = -ERR_CORRUPT;
	if (r == 0)
		snprintf(token, TOKEN_TEXT_BYTES, "%.*s", TOKEN_TEXT_BYTES - 1,
		    line);
	return r;
}

static int
write_file(
    const struct env *env, const char *dir, const char token[TOKEN_TEXT_BYTES])
{
	const struct env_disk *d = &env->disk;
	char path[PATH_BYTES], tmp[PATH_BYTES], line[TOKEN_TEXT_BYTES];
	struct iovec iov = {line, TOKEN_TEXT_BYTES};
	struct disk_file *file;
	int r;

	memcpy(line, token, TOKEN_TEXT_BYTES - 1);
	line[TOKEN_TEXT_BYTES - 1] = '\n';
	path_in(dir, "", path);
	path_in(dir, ".tmp", tmp);
	r = d->open(d->ctx, tmp, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);
	if (r)
		return r;
	r = d->pwritev(d->ctx, file, &iov, 1, 0);
	if (r == 0)
		r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	if (r == 0)
		r = d->rename(d->ctx, tmp, path);
	return r ? r : d->sync_dir(d->ctx, dir);
}

static void
make(const struct env *env, char token[TOKEN_TEXT_BYTES])
{
	uint8_t chance[CHANCE_BYTES];

	env->rng.bytes(env->rng.ctx, chance, sizeof(chance));
	for (int i = 0; i < CHANCE_BYTES; i++)
		snprintf(token + 2 * i, 3, "%02x", chance[i]);
}

int
token_load(const struct env *env, const struct identity *id,
    char token[TOKEN_TEXT_BYTES], char *why, size_t why_bytes)
{
	char shown[TOKEN_TEXT_BYTES] = "";
	int known = read_file(env, id->dir, token) == 0;
	int r = read_file(env, "", shown);

	if (known && (r || strcmp(shown, token) != 0)) {
		r = write_file(env, "", token);
	} else if (!known) {
		if (r == -ERR_NOTFOUND) {
			make(env, shown);
			r = write_file(env, "", shown);
		}
		memcpy(token, shown, TOKEN_TEXT_BYTES);
		/* A founder's is the cluster's; else it is still to be seen. */
		if (r == 0 && !id->joined)
			r = write_file(env, id->dir, token);
	}
	if (r)
		snprintf(why, why_bytes, "%s in paths.data: %s%s", TOKEN_FILE,
		    err_text(r),
		    r == -ERR_CORRUPT ? ": remove it to get a new one" : "");
	return r;
}

/* --- saving --------------------------------------------------------------- */

struct saving {
	struct env_job job;
	const struct env *env;
	const struct identity *id;
	char token[TOKEN_TEXT_BYTES];
};

static void
run(struct env_job *job)
{
	struct saving *s = CONTAINER_OF(job, struct saving, job);

	if (write_file(s->env, s->id->dir, s->token) == 0)
		write_file(s->env, "", s->token);
	mem_free(s);
}

int
token_save(const struct env *env, const struct identity *id,
    const char token[TOKEN_TEXT_BYTES])
{
	struct saving *s = mem_zalloc(sizeof(*s));

	if (!s)
		return -ERR_NOMEM;
	s->env = env;
	s->id = id;
	memcpy(s->token, token, TOKEN_TEXT_BYTES);
	s->job.run = run;
	env->post.to_lane(env->post.ctx, LANE_FLUSH, &s->job);
	return 0;
}
