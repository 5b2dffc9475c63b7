/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* token - the file with the administrator's token. */
#include "src/node/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define CHANCE_BYTES 32
#define TOKEN_FILE   "admin.token"
#define TOKEN_TMP    "admin.token.tmp"

static int
make(const struct env *env, char token[TOKEN_TEXT_BYTES], const char *path)
{
	uint8_t chance[CHANCE_BYTES];
	int fd, r = 0;

	env->rng.bytes(env->rng.ctx, chance, sizeof(chance));
	for (int i = 0; i < CHANCE_BYTES; i++)
		snprintf(token + 2 * i, 3, "%02x", chance[i]);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	if (write(fd, token, TOKEN_TEXT_BYTES - 1) != TOKEN_TEXT_BYTES - 1 ||
	    write(fd, "\n", 1) != 1 || fsync(fd))
		r = -ERR_IO;
	close(fd);
	return r;
}

int
token_load(const struct env *env, char token[TOKEN_TEXT_BYTES],
    const char *data, char *why, size_t why_bytes)
{
	char path[4200];
	ssize_t got;
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", data, TOKEN_FILE);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		r = make(env, token, path);
		if (r)
			snprintf(why, why_bytes, "%s: %s", path, err_text(r));
		return r;
	}
	got = read(fd, token, TOKEN_TEXT_BYTES - 1);
	close(fd);
	if (got == TOKEN_TEXT_BYTES - 1)
		return 0;
	snprintf(why, why_bytes, "%s is damaged: remove it to get a new token",
	    path);
	return -ERR_CORRUPT;
}

/* --- saving: a new file in the place of the old ------------------------------ */

struct saving {
	struct env_job job;
	const struct env *env;
	char line[TOKEN_TEXT_BYTES];
};

static void
run(struct env_job *job)
{
	struct saving *s = CONTAINER_OF(job, struct saving, job);
	const struct env_disk *d = &s->env->disk;
	struct iovec iov = {s->line, TOKEN_TEXT_BYTES};
	struct disk_file *file;
	int r;

	r = d->open(
	    d->ctx, TOKEN_TMP, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);
	if (r == 0) {
		r = d->pwritev(d->ctx, file, &iov, 1, 0);
		if (r == 0)
			r = d->sync(d->ctx, file);
		d->close(d->ctx, file);
	}
	if (r == 0)
		r = d->rename(d->ctx, TOKEN_TMP, TOKEN_FILE);
	if (r == 0)
		d->sync_dir(d->ctx, "");
	mem_free(s);
}

int
token_save(const struct env *env, const char token[TOKEN_TEXT_BYTES])
{
	struct saving *s = mem_zalloc(sizeof(*s));

	if (!s)
		return -ERR_NOMEM;
	s->env = env;
	memcpy(s->line, token, TOKEN_TEXT_BYTES - 1);
	s->line[TOKEN_TEXT_BYTES - 1] = '\n';
	s->job.run = run;
	env->post.to_lane(env->post.ctx, LANE_FLUSH, &s->job);
	return 0;
}
