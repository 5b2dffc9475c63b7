/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Every call of the disk on a real one, its errors, and the lock. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/os/rig.h"

struct disk {
	struct rig *rig;
	const struct env_disk *d;
};

static struct disk
disk_new(void)
{
	struct disk k = {.rig = rig_new(1, 0)};

	k.d = &k.rig->env->disk;
	return k;
}

static int
write_text(const struct disk *k, const char *path, const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	struct disk_file *f;
	int r = k->d->open(
	    k->d->ctx, path, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f);

	if (r)
		return r;
	r = k->d->pwritev(k->d->ctx, f, &iov, 1, 0);
	k->d->close(k->d->ctx, f);
	return r;
}

static int
read_text(const struct disk *k, const char *path, char out[256])
{
	struct disk_file *f;
	size_t got;
	int r = k->d->open(k->d->ctx, path, DISK_READ, &f);

	if (r)
		return r;
	r = k->d->pread(k->d->ctx, f, out, 255, 0, &got);
	out[got] = '\0';
	k->d->close(k->d->ctx, f);
	return r;
}

static void
check_text(const struct disk *k, const char *path, const char *want)
{
	char text[256];

	CHECK_EQ(read_text(k, path, text), 0);
	CHECK(strcmp(text, want) == 0);
}

/* --- files ---------------------------------------------------------------- */

static int
open_close(const struct disk *k, const char *path, unsigned flags)
{
	struct disk_file *f = NULL;
	int r = k->d->open(k->d->ctx, path, flags, &f);

	CHECK(r == 0 ? f != NULL : f == NULL);
	k->d->close(k->d->ctx, f); /* NULL too */
	return r;
}

static const char *
files_are_opened_as_the_flags_say(void)
{
	struct disk k = disk_new();
	struct iovec iov = {(void *)(uintptr_t) "x", 1};
	struct disk_file *f;

	CHECK_EQ(open_close(&k, "a", DISK_READ), -ERR_NOTFOUND);
	CHECK_EQ(open_close(&k, "a", DISK_WRITE), -ERR_NOTFOUND);
	CHECK_EQ(
	    open_close(&k, "no/a", DISK_WRITE | DISK_CREATE), -ERR_NOTFOUND);
	CHECK_EQ(open_close(&k, "a", DISK_WRITE | DISK_CREATE | DISK_EXCL), 0);
	CHECK_EQ(open_close(&k, "a", DISK_WRITE | DISK_CREATE | DISK_EXCL),
	    -ERR_EXISTS);
	CHECK_EQ(write_text(&k, "a", "hello"), 0);
	CHECK_EQ(open_close(&k, "a", DISK_WRITE | DISK_CREATE), 0);
	check_text(&k, "a", "hello");
	CHECK_EQ(open_close(&k, "a", DISK_WRITE | DISK_TRUNC), 0);
	check_text(&k, "a", "");
	CHECK_EQ(k.d->open(k.d->ctx, "a", DISK_READ, &f), 0);
	CHECK(k.d->pwritev(k.d->ctx, f, &iov, 1, 0) < 0);
	k.d->close(k.d->ctx, f);
	rig_free(k.rig);
	return NULL;
}

#define N_SLICES 1500 /* more than the kernel takes at once */

static const char *
any_number_of_slices_is_written_at_its_place(void)
{
	struct disk k = disk_new();
	static uint8_t bytes[N_SLICES * 3], back[sizeof(bytes) + 200];
	static struct iovec iov[N_SLICES];
	struct disk_file *f;
	uint64_t size;
	size_t got, at = 0;
	int n = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(1 + i * 31 % 251);
	for (; n < N_SLICES; n++) { /* of 0 to 6 bytes */
		size_t k_bytes = (size_t)n % 7;

		if (k_bytes > sizeof(bytes) - at)
			k_bytes = sizeof(bytes) - at;
		iov[n] = (struct iovec){bytes + at, k_bytes};
		at += k_bytes;
	}
	CHECK_EQ(k.d->open(k.d->ctx, "a", DISK_WRITE | DISK_CREATE, &f), 0);
	CHECK_EQ(k.d->pwritev(k.d->ctx, f, iov, n, 100), 0);
	CHECK_EQ(k.d->size(k.d->ctx, f, &size), 0);
	CHECK_EQ(size, 100 + at);
	CHECK_EQ(k.d->pread(k.d->ctx, f, back, sizeof(back), 0, &got), 0);
	CHECK_EQ(got, 100 + at);
	for (size_t i = 0; i < 100; i++)
		CHECK_EQ(back[i], 0);
	CHECK(memcmp(back + 100, bytes, at) == 0);
	CHECK_EQ(k.d->pread(k.d->ctx, f, back, 10, 100 + at - 4, &got), 0);
	CHECK_EQ(got, 4);
	CHECK_EQ(k.d->pread(k.d->ctx, f, back, 10, 1u << 20, &got), 0);
	CHECK_EQ(got, 0);
	CHECK_EQ(k.d->truncate(k.d->ctx, f, 102), 0);
	CHECK_EQ(k.d->truncate(k.d->ctx, f, 110), 0);
	CHECK_EQ(k.d->pread(k.d->ctx, f, back, 100, 100, &got), 0);
	CHECK_EQ(got, 10);
	CHECK(memcmp(back, bytes, 2) == 0 && back[2] == 0 && back[9] == 0);
	CHECK_EQ(k.d->sync(k.d->ctx, f), 0);
	CHECK_EQ(k.d->sync_all(k.d->ctx), 0);
	k.d->close(k.d->ctx, f);
	rig_free(k.rig);
	return NULL;
}

static void
join_name(void *arg, const char *name)
{
	strncat(arg, name, 60);
}

static const char *
names_are_made_listed_renamed_and_removed(void)
{
	struct disk k = disk_new();
	char names[256] = "";
	uint64_t room = 0;

	CHECK_EQ(k.d->mkdir(k.d->ctx, "d"), 0);
	CHECK_EQ(k.d->mkdir(k.d->ctx, "d"), -ERR_EXISTS);
	CHECK_EQ(k.d->mkdir(k.d->ctx, "no/d"), -ERR_NOTFOUND);
	CHECK_EQ(write_text(&k, "d/a", "one"), 0);
	CHECK_EQ(write_text(&k, "b", "two"), 0);
	CHECK_EQ(k.d->rename(k.d->ctx, "b", "d/a"), 0);
	check_text(&k, "d/a", "two");
	CHECK_EQ(k.d->rename(k.d->ctx, "b", "c"), -ERR_NOTFOUND);
	CHECK_EQ(k.d->list(k.d->ctx, "d", join_name, names), 0);
	CHECK(strcmp(names, "a") == 0);
	names[0] = '\0';
	CHECK_EQ(k.d->list(k.d->ctx, "", join_name, names), 0);
	CHECK(strcmp(names, "d") == 0);
	CHECK_EQ(k.d->list(k.d->ctx, "no", join_name, names), -ERR_NOTFOUND);
	CHECK_EQ(k.d->sync_dir(k.d->ctx, "d"), 0);
	CHECK_EQ(k.d->sync_dir(k.d->ctx, ""), 0);
	CHECK_EQ(k.d->sync_dir(k.d->ctx, "no"), -ERR_NOTFOUND);
	CHECK_EQ(k.d->unlink(k.d->ctx, "d/a"), 0);
	CHECK_EQ(k.d->unlink(k.d->ctx, "d/a"), -ERR_NOTFOUND);
	CHECK_EQ(k.d->free_bytes(k.d->ctx, &room), 0);
	CHECK(room > 0);
	rig_free(k.rig);
	return NULL;
}

static const char *
no_name_leads_out_of_the_directory(void)
{
	static const char *const bad[] = {
	    "", "/etc/passwd", "..", "../x", "d/../../x", "d/..", "d/../x"};
	struct disk k = disk_new();
	char path[128];
	struct stat st;

	CHECK_EQ(k.d->mkdir(k.d->ctx, "d"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *p = bad[i];

		CHECK_EQ(
		    open_close(&k, p, DISK_WRITE | DISK_CREATE), -ERR_INVAL);
		CHECK_EQ(k.d->unlink(k.d->ctx, p), -ERR_INVAL);
		CHECK_EQ(k.d->mkdir(k.d->ctx, p), -ERR_INVAL);
		CHECK_EQ(k.d->rename(k.d->ctx, p, "y"), -ERR_INVAL);
		CHECK_EQ(k.d->rename(k.d->ctx, "d", p), -ERR_INVAL);
		if (*p == '\0')
			continue; /* the root itself may be listed */
		CHECK_EQ(k.d->list(k.d->ctx, p, join_name, NULL), -ERR_INVAL);
		CHECK_EQ(k.d->sync_dir(k.d->ctx, p), -ERR_INVAL);
	}
	/* Dots that mean nothing are names like others. */
	CHECK_EQ(write_text(&k, "d/..a", "x"), 0);
	CHECK_EQ(k.d->unlink(k.d->ctx, "d/..a"), 0);
	snprintf(path, sizeof(path), "%s/link", k.rig->dir);
	CHECK(!symlink("/etc/passwd", path));
	CHECK(open_close(&k, "link", DISK_READ) < 0);
	CHECK(open_close(&k, "link", DISK_WRITE | DISK_TRUNC) < 0);
	CHECK(!unlink(path) && !symlink("/etc", path));
	CHECK(k.d->list(k.d->ctx, "link", join_name, NULL) < 0);
	CHECK(!stat("/etc/passwd", &st) && st.st_size > 0);
	rig_free(k.rig);
	return NULL;
}

static const char *
files_are_readable_by_their_owner_only(void)
{
	struct disk k = disk_new();
	char path[128];
	struct stat st;

	CHECK_EQ(write_text(&k, "a", "x"), 0);
	CHECK_EQ(k.d->mkdir(k.d->ctx, "d"), 0);
	snprintf(path, sizeof(path), "%s/a", k.rig->dir);
	CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0600);
	snprintf(path, sizeof(path), "%s/d", k.rig->dir);
	CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0700);
	rig_free(k.rig);
	return NULL;
}

/* --- errors --------------------------------------------------------------- */

static const char *
a_directory_is_no_file_and_a_file_no_directory(void)
{
	struct disk k = disk_new();

	CHECK_EQ(k.d->mkdir(k.d->ctx, "d"), 0);
	CHECK_EQ(write_text(&k, "f", "x"), 0);
	CHECK_EQ(open_close(&k, "d", DISK_WRITE), -ERR_FILETYPE);
	CHECK_EQ(write_text(&k, "d", "x"), -ERR_FILETYPE);
	CHECK_EQ(open_close(&k, "f/x", DISK_READ), -ERR_FILETYPE);
	CHECK_EQ(k.d->list(k.d->ctx, "f", join_name, NULL), -ERR_FILETYPE);
	CHECK_EQ(k.d->sync_dir(k.d->ctx, "f"), -ERR_FILETYPE);
	CHECK_EQ(write_text(&k, "d/x", "x"), 0);
	CHECK(k.d->unlink(k.d->ctx, "d"));
	CHECK_EQ(k.d->unlink(k.d->ctx, "d/x"), 0);
	CHECK_EQ(k.d->unlink(k.d->ctx, "d"), 0);
	CHECK_EQ(k.d->mkdir(k.d->ctx, "f"), -ERR_EXISTS);
	rig_free(k.rig);
	return NULL;
}

static const char *
no_descriptor_is_left_is_said_so(void)
{
	struct disk k = disk_new();
	struct rlimit before, low;
	int n = 0, spare[256];

	CHECK_EQ(write_text(&k, "a", "x"), 0);
	CHECK(!getrlimit(RLIMIT_NOFILE, &before));
	low = (struct rlimit){100, before.rlim_max};
	CHECK(!setrlimit(RLIMIT_NOFILE, &low));
	while (n < 256 && (spare[n] = dup(STDOUT_FILENO)) >= 0)
		n++;
	CHECK_EQ(open_close(&k, "a", DISK_READ), -ERR_LIMIT);
	CHECK_EQ(open_close(&k, "b", DISK_WRITE | DISK_CREATE), -ERR_LIMIT);
	CHECK_EQ(k.d->list(k.d->ctx, "", join_name, NULL), -ERR_LIMIT);
	while (n)
		close(spare[--n]);
	CHECK(!setrlimit(RLIMIT_NOFILE, &before));
	check_text(&k, "a", "x");
	rig_free(k.rig);
	return NULL;
}

/* In a process of its own, whose mounts are its own. */
static void
on_a_tiny_disk(void)
{
	struct disk k;
	struct rig *rig = rig_new(1, 0);
	static uint8_t bytes[300000];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct disk_file *f;
	uint64_t room = 0, size = 0;

	k = (struct disk){rig, &rig->env->disk};
	CHECK_EQ(k.d->free_bytes(k.d->ctx, &room), 0);
	CHECK(room <= 128 << 10);
	CHECK_EQ(k.d->open(k.d->ctx, "a", DISK_WRITE | DISK_CREATE, &f), 0);
	CHECK_EQ(k.d->pwritev(k.d->ctx, f, &iov, 1, 0), -ERR_NOSPC);
	CHECK_EQ(k.d->size(k.d->ctx, f, &size), 0);
	CHECK(size < sizeof(bytes)); /* a part of it may be there */
	CHECK_EQ(k.d->truncate(k.d->ctx, f, 0), 0);
	iov.iov_len = 4096;
	CHECK_EQ(k.d->pwritev(k.d->ctx, f, &iov, 1, 0), 0);
	k.d->close(k.d->ctx, f);
	rig_free(rig);
}

static const char *
a_full_disk_is_said_so_and_goes_on_with_room(void)
{
	char dir[64];
	int status;
	pid_t pid;

	rig_temp_dir(dir);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) &&
		    unshare(CLONE_NEWUSER | CLONE_NEWNS))
			_exit(77);
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("tmpfs", dir, "tmpfs", 0, "size=128k"))
			_exit(77);
		setenv("TMPDIR", dir, 1);
		on_a_tiny_disk();
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	rig_remove_dir(dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return "no right to mount a tmpfs: ";
	CHECK_EQ(status, 0);
	return NULL;
}

static const char *
a_root_that_cannot_be_is_refused(void)
{
	struct os_config c = {.n_workers = 1};
	char dir[64], path[128];
	struct os *os = NULL;

	rig_temp_dir(dir);
	snprintf(path, sizeof(path), "%s/no/data", dir);
	c.data_root = path;
	CHECK_EQ(os_open(&os, &c), -ERR_NOTFOUND);
	snprintf(path, sizeof(path), "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CHECK_EQ(os_open(&os, &c), -ERR_FILETYPE);
	c.data_root = "/proc/data";
	CHECK(os_open(&os, &c) < 0);
	snprintf(path, sizeof(path), "%s/new", dir);
	c.data_root = path;
	CHECK_EQ(os_open(&os, &c), 0);
	os_close(os);
	rig_remove_dir(dir);
	return NULL;
}

/* --- the lock ------------------------------------------------------------- */

static const char *
one_directory_is_locked_by_one_process(void)
{
	struct rig *rig = rig_new(1, 0);
	struct os_config c = {.n_workers = 1, .data_root = rig->dir};
	struct disk k = {rig, &rig->env->disk};
	struct os *other = NULL;
	char text[256];

	CHECK_EQ(os_lock(rig->os), 0);
	CHECK_EQ(read_text(&k, "LOCK", text), 0);
	CHECK_EQ(strtol(text, NULL, 10), getpid());
	CHECK_EQ(os_open(&other, &c), 0);
	CHECK_EQ(os_lock(other), -ERR_LOCKED);
	CHECK_EQ(os_lock(other), -ERR_LOCKED);
	rig_stop(rig);
	rig->os = os_close(rig->os);
	CHECK_EQ(os_lock(other), 0);
	os_close(other);
	rig_remove_dir(rig->dir);
	free(rig);
	return NULL;
}

static const char *
the_lock_of_a_killed_process_is_free(void)
{
	struct rig *rig = rig_new(1, 0);
	int ready[2], status;
	char byte;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	if (pid == 0) {
		if (os_lock(rig->os) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	CHECK_EQ(os_lock(rig->os), -ERR_LOCKED);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(os_lock(rig->os), 0);
	close(ready[0]);
	close(ready[1]);
	rig_free(rig);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test disk_tests[] = {
    TEST(files_are_opened_as_the_flags_say),
    TEST(any_number_of_slices_is_written_at_its_place),
    TEST(names_are_made_listed_renamed_and_removed),
    TEST(no_name_leads_out_of_the_directory),
    TEST(files_are_readable_by_their_owner_only),
    TEST(a_directory_is_no_file_and_a_file_no_directory),
    TEST(no_descriptor_is_left_is_said_so),
    TEST(a_full_disk_is_said_so_and_goes_on_with_room),
    TEST(a_root_that_cannot_be_is_refused),
    TEST(one_directory_is_locked_by_one_process),
    TEST(the_lock_of_a_killed_process_is_free),
    {NULL, NULL},
};
