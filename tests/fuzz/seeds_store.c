/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* seeds_store - the data of nodes, as the files they left. */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/fuzz/seeds.h"
#include "tests/fuzz/store_rig.h"

struct packing {
	struct store_rig *sr;
	const char *dir; /* below SR_DIR, with its slash */
	struct buf out;
};

static void pack_folder(struct packing *p, const char *dir);

static void
pack_name(void *arg, const char *name)
{
	struct packing *p = arg;
	char path[192];
	struct buf b;

	snprintf(path, sizeof(path), SR_DIR "/%s%s", p->dir, name);
	buf_init(&b, RIG_FILE_MAX);
	if (memdisk_read_all(p->sr->rig.md, path, &b) == 0) {
		rig_pack(&p->out, path + sizeof(SR_DIR), buf_slice(&b));
	} else { /* a folder */
		snprintf(path, sizeof(path), "%s%s/", p->dir, name);
		pack_folder(p, path);
	}
	buf_deinit(&b);
}

static void
pack_folder(struct packing *p, const char *dir)
{
	const struct env_disk *d = &p->sr->rig.env->disk;
	const char *outer = p->dir;
	char path[192];

	snprintf(path, sizeof(path), SR_DIR "/%s", dir);
	path[strlen(path) - 1] = '\0';
	p->dir = dir;
	ASSERT(d->list(d->ctx, path, pack_name, p) == 0);
	p->dir = outer;
}

static void
write_store(struct store_rig *sr, const char *name)
{
	struct packing p = {.sr = sr};

	buf_init(&p.out, 1u << 20);
	pack_folder(&p, "");
	ASSERT(buf_error(&p.out) == 0);
	seed_write("store", name, buf_slice(&p.out), NULL);
	buf_deinit(&p.out);
}

/* An event of N bytes, most of them zero. */
static void
put(struct store_rig *sr, uint32_t group, const char *stream, uint32_t n)
{
	uint8_t *body = mem_zalloc(n + 1);
	struct vnode_put_event event = {
	    .type = SLICE_LIT("text/plain"), .data = SLICE(body, n)};
	struct vnode_put req = {
	    .group = group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(stream),
	    .n_events = 1,
	    .events = &event,
	};

	ASSERT(body);
	memset(body, 'x', n < 8 ? n : 8);
	sr_put(sr, &req);
	ASSERT(req.r == 0);
	mem_free(body);
}

void
seed_stores(void)
{
	static struct store_rig sr;

	sr_init(&sr);
	ASSERT(sr.rig.env->disk.mkdir(sr.rig.env->disk.ctx, SR_DIR) == 0);
	ASSERT(sr_open(&sr) == 0);
	put(&sr, 0, "s", 20);
	put(&sr, 1, "t", 300);
	put(&sr, 0, "s", 0);
	write_store(&sr, "journal");
	sr_stop(&sr);
	write_store(&sr, "stopped");
	ASSERT(sr_open(&sr) == 0);
	put(&sr, 0, "s", 5000);
	put(&sr, 0, "u", 1);
	sr_stop(&sr);
	ASSERT(sr_open(&sr) == 0);
	put(&sr, 0, "s", 9);
	put(&sr, 1, "t", 9);
	write_store(&sr, "images");
	sr_stop(&sr);
	sr_deinit(&sr);
}
