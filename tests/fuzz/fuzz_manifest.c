/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_manifest - a manifest says the same when it is written again; what no
 * COMMIT follows says nothing, and a cut one says a part of the whole.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/manifest.h"

#define OUT_MAX (64u << 20)

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_manifest(p, n);
}

/* What was read, as a manifest of our own. */
struct copy {
	struct buf out;
	struct manifest_writer w;
	struct buf policies;
	uint32_t n_commits;
};

static int
on_stream(void *arg, const struct manifest_stream *s)
{
	struct copy *c = arg;

	ASSERT(s->bucket.n <= 255 && s->stream.n <= 255);
	manifest_add_stream(&c->w, s);
	return 0;
}

static int
on_chunk(void *arg, uint64_t id, const struct chunk_info *info)
{
	struct copy *c = arg;

	manifest_add_chunk(&c->w, id, info);
	return 0;
}

static int
on_key(void *arg, const struct manifest_key *k)
{
	struct copy *c = arg;

	ASSERT(k->id.n_events > 0);
	manifest_add_key(&c->w, k);
	return 0;
}

static int
on_dropped(void *arg, uint64_t id)
{
	struct copy *c = arg;

	manifest_add_dropped(&c->w, id);
	return 0;
}

static int
on_ended(void *arg, const struct manifest_ended *e)
{
	struct copy *c = arg;

	ASSERT(e->bucket.n <= 255 && e->stream.n <= 255);
	manifest_add_ended(&c->w, e);
	return 0;
}

static int
on_commit(void *arg, const struct manifest_state *s)
{
	struct copy *c = arg;

	manifest_add_commit(&c->w, s);
	while (c->out.n % MANIFEST_BLOCK)
		buf_add_byte(&c->out, 0);
	c->n_commits++;
	return 0;
}

static int
on_kept(void *arg, const struct manifest_kept *k)
{
	struct copy *c = arg;

	manifest_add_kept(&c->w, k);
	return 0;
}

static int
on_policies(void *arg, struct slice piece, uint32_t at, uint32_t bytes)
{
	struct copy *c = arg;

	ASSERT(piece.n > 0 && at + piece.n <= bytes);
	if (at == 0)
		buf_reset(&c->policies);
	buf_add_slice(&c->policies, piece);
	if (at + piece.n == bytes)
		manifest_add_policies(&c->w, buf_slice(&c->policies));
	return 0;
}

static const struct manifest_reader_ops ops = {on_stream, on_chunk, on_key,
    on_dropped, on_ended, on_commit, on_kept, on_policies};

static int
read_copy(struct slice file, const struct manifest_id *id, struct copy *c,
    struct manifest_end *end)
{
	int r;

	*c = (struct copy){.w = {&c->out, 0}};
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->policies, POLICIES_BYTES_MAX);
	manifest_add_head(&c->w, id);
	r = manifest_read(file, id, &ops, c, end);
	buf_deinit(&c->policies);
	ASSERT(r <= 0 && buf_error(&c->out) == 0);
	return r;
}

/* Who the file says that it is of. */
static struct manifest_id
own_id(struct slice file)
{
	struct manifest_id id = {.number = 1};

	if (file.n < 48)
		return id;
	id.group = le_get16(file.p + 18);
	memcpy(id.cluster_id, file.p + 20, 16);
	id.generation = le_get64(file.p + 36);
	id.number = le_get32(file.p + 44);
	return id;
}

static void
check_copy(const struct manifest_id *id, const struct copy *c)
{
	struct manifest_end end;
	struct copy again;

	ASSERT(read_copy(buf_slice(&c->out), id, &again, &end) == 0);
	ASSERT(manifest_next(end.bytes) == c->out.n && end.crc == c->w.crc);
	ASSERT(slice_equal(buf_slice(&c->out), buf_slice(&again.out)));
	buf_deinit(&again.out);
}

/* The same with all that does not count gone, and less with a byte more. */
static void
check_end(struct slice file, const struct manifest_id *id, const struct copy *c,
    const struct manifest_end *end)
{
	struct manifest_end cut_end;
	struct copy cut;
	int r;

	ASSERT(end->bytes <= file.n);
	ASSERT(read_copy(SLICE(file.p, end->bytes), id, &cut, &cut_end) == 0);
	ASSERT(cut_end.bytes == end->bytes && cut_end.crc == end->crc);
	ASSERT(slice_equal(buf_slice(&c->out), buf_slice(&cut.out)));
	buf_deinit(&cut.out);
	r = read_copy(SLICE(file.p, end->bytes - 1), id, &cut, &cut_end);
	ASSERT((r < 0) == (c->n_commits == 1));
	if (r == 0) {
		ASSERT(cut.n_commits == c->n_commits - 1);
		ASSERT(cut_end.bytes < end->bytes);
		ASSERT(memcmp(c->out.p, cut.out.p, cut.out.n) == 0);
	}
	buf_deinit(&cut.out);
}

static void
check_identity(struct slice file, struct manifest_id id)
{
	struct manifest_end end;
	struct copy c;

	id.generation++;
	ASSERT(read_copy(file, &id, &c, &end) == -ERR_IDENTITY);
	buf_deinit(&c.out);
}

static void
check_mark(struct slice in)
{
	uint8_t out[MANIFEST_MARK_BYTES];
	struct manifest_mark mark;

	if (manifest_decode_mark(in, &mark))
		return;
	manifest_encode_mark(&mark, out);
	memset(out + 4, 0, 4);
	ASSERT(memcmp(out, in.p, 4) == 0);
	ASSERT(memcmp(out + 8, in.p + 8, in.n - 8) == 0);
}

static void
check_name(struct slice in)
{
	char name[MANIFEST_NAME_BYTES + 8], again[MANIFEST_NAME_BYTES];
	uint32_t number;

	if (in.n >= sizeof(name))
		return;
	if (in.n)
		memcpy(name, in.p, in.n);
	name[in.n] = '\0';
	if (manifest_parse_name(name, &number))
		return;
	manifest_file_name(again, number);
	ASSERT(strcmp(again, name) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice file = SLICE(p, n);
	struct manifest_id id = own_id(file);
	struct manifest_end end;
	struct copy c;
	int r = read_copy(file, &id, &c, &end);

	if (r == 0) {
		check_copy(&id, &c);
		check_end(file, &id, &c, &end);
		check_identity(file, id);
	} else {
		ASSERT(r == -ERR_CORRUPT || r == -ERR_FORMAT);
	}
	buf_deinit(&c.out);
	check_mark(file);
	check_name(file);
	return 0;
}
