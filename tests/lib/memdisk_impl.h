/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * memdisk_impl - what the files of memdisk share: pages, images, nodes, names.
 */
#ifndef TESTS_LIB_MEMDISK_IMPL_H
#define TESTS_LIB_MEMDISK_IMPL_H

#include "src/base/list.h"
#include "tests/lib/chance.h"
#include "tests/lib/memdisk.h"

#define PAGE_BYTES 4096u
#define FAULTS_MAX 16

/* Never changed while two hold it. */
struct page {
	uint32_t refs;
	uint8_t p[PAGE_BYTES];
};

/* What a file holds.  Bytes at and beyond SIZE are zero in every page. */
struct image {
	uint64_t size;
	size_t n;            /* pages there is room for */
	size_t n_used;       /* that are not NULL */
	struct page **pages; /* NULL: zeros */
};

/* One write or truncation: the pages as they were right after it. */
struct change {
	uint64_t from, to; /* bytes that may differ from before */
	uint64_t size;     /* of the file afterwards */
	size_t first, n;
	struct page **pages;
};

struct name {
	char *text;
	struct node *node;
};

struct names {
	struct name *v;
	size_t n;
};

/*
 * A file or a directory.
 * Invariants:
 * 1. refs = names, live and durable, + unsynced name operations as node, from
 *    or to + handles + 1 for the root.
 * 2. live = durable + changes, unless a sync has failed.
 */
struct node {
	struct list link; /* in memdisk.nodes */
	uint64_t id;
	int is_dir;
	unsigned refs;
	unsigned n_live_names;
	unsigned n_handles;
	struct image live, durable;
	struct change *changes;
	size_t n_changes;
	struct names live_names, durable_names;
	struct node *copy; /* while cloning */
	size_t n_ops;      /* while a crash picks: unsynced ones here */
	int is_cut;        /* while a crash or sync picks */
};

enum nameop_kind { NAME_MAKE, NAME_RENAME, NAME_REMOVE };

/* MAKE has no FROM, REMOVE no TO and no NODE. */
struct nameop {
	enum nameop_kind kind;
	struct node *from, *to; /* directories */
	char *from_name, *to_name;
	struct node *node;
};

struct disk_file {
	struct list link;
	struct node *node;
	char *path;
	unsigned flags;
	uint64_t epoch; /* of the disk when it was opened */
};

struct fault_at {
	uint64_t op;
	enum memdisk_fault fault;
};

struct memdisk {
	struct env_disk disk;
	struct memdisk_config config;
	struct list nodes, handles;
	struct node *root;
	struct nameop *ops; /* unsynced, in order */
	size_t n_ops;
	uint64_t epoch; /* power cuts */
	uint64_t n_calls;
	uint64_t next_id;
	int is_down;
	struct fault_at faults[FAULTS_MAX];
	size_t n_faults;
	memdisk_hook_fn hook;
	void *hook_arg;
};

/* Memory, or abort. */
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);

struct page *page_ref(struct page *p);
/* A page of the caller's own with the content of OLD, which may be NULL. */
struct page *page_copy(const struct page *old);

/* Takes the caller's reference of PAGE. */
void image_set_page(struct image *im, size_t at, struct page *page);
struct page *image_page(const struct image *im, size_t at);
/* Bytes beyond SIZE are forgotten. */
void image_resize(struct image *im, uint64_t size);
void image_copy(struct image *to, const struct image *from);
void image_read(const struct image *im, void *out, size_t n, uint64_t offset);

struct node *node_new(struct memdisk *md, int is_dir);
struct node *node_ref(struct node *node);
void node_unref(struct node *node);
/* All of it, whoever may point here: only when the whole disk goes. */
void node_destroy(struct node *node);

/* Writes into the live image, at most ROOM pages that it had not yet; returns
 * how many bytes. */
size_t node_write(struct node *node, const uint8_t *p, size_t n,
    uint64_t offset, size_t room);
void node_truncate(struct node *node, uint64_t size);
void node_sync(struct node *node);
void node_forget_changes(struct node *node);
/* The page of CHANGE at index AT of the file, in *OUT; 0 if it is not in it. */
int change_page(const struct change *c, size_t at, struct page **out);

struct node *names_find(const struct names *names, const char *text, size_t n);
/* Applies OP to the live or the durable names. */
void nameop_apply(const struct nameop *op, int durable);
/* Applies OP to the live names and keeps it for a sync.  Copies the texts. */
void nameop_do(struct memdisk *md, struct nameop op);
void nameop_release(struct nameop *op);

/* Where a path leads: NODE, if there is one, is called NAME in DIR. */
struct place {
	struct node *dir;
	const char *name;
	struct node *node;
};

int walk(struct memdisk *md, const char *path, struct place *out);
/* A file or directory of that name, which is free. */
struct node *make(struct memdisk *md, const struct place *at, int is_dir);

/* Makes the operations of DIR durable, of all directories when it is NULL. */
void names_sync(struct memdisk *md, struct node *dir);

/* Decides what of the changes of NODE is durable, and forgets them. */
void node_decide(struct node *node, enum memdisk_outcome outcome,
    uint32_t sector, uint64_t seed);

#endif
