/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* rig - the machine, and the program that runs the tests as TAP. */
#include "tests/os/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

_Noreturn void
rig_fail(const char *file, int line, const char *what)
{
	printf("Bail out! %s:%d: %s\n", file, line, what);
	fflush(stdout);
	_exit(1);
}

_Noreturn void
rig_fail_values(
    const char *file, int line, const char *what, long long a, long long b)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %lld, not %lld", what, a, b);
	rig_fail(file, line, text);
}

uint64_t
rig_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

void
rig_pause_us(uint32_t us)
{
	struct timespec nap = {us / 1000000, (long)(us % 1000000) * 1000};

	nanosleep(&nap, NULL);
}

void
rig_temp_dir(char out[64])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(out, 64, "%.40s/iorio-os-XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(out));
}

void
rig_remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char name[512];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name))
			rig_remove_dir(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

/* --- the machine ---------------------------------------------------------- */

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct rig *rig = arg;

	if (m->kind == MSG_FRAME) {
		rig->on_frame(
		    rig, worker, CONTAINER_OF(m, struct net_frame, msg));
		return;
	}
	CHECK_EQ(m->kind, MSG_CALL);
	m->fn(m);
}

static void
turn(void *arg, uint32_t worker)
{
	struct rig *rig = arg;

	if (atomic_fetch_add(&rig->n_turns[worker], 1) == 0)
		rig->threads[worker] = pthread_self();
	CHECK(pthread_equal(rig->threads[worker], pthread_self()));
	if (rig->on_turn)
		rig->on_turn(rig, worker);
}

static void
on_signal(void *arg, int signo)
{
	atomic_store(&((struct rig *)arg)->signo, signo);
}

static struct rig *
make(uint32_t n_workers, uint32_t n_read_threads,
    void (*hear)(void *arg, int signo))
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct os_config c = {
	    .n_workers = n_workers,
	    .n_read_threads = n_read_threads,
	    .dispatch = dispatch,
	    .turn = turn,
	    .signal = hear,
	    .arg = rig,
	};

	rig_temp_dir(rig->dir);
	c.data_root = rig->dir;
	CHECK_EQ(os_open(&rig->os, &c), 0);
	rig->env = os_env(rig->os);
	return rig;
}

struct rig *
rig_new(uint32_t n_workers, uint32_t n_read_threads)
{
	return make(n_workers, n_read_threads, NULL);
}

struct rig *
rig_new_with_signals(uint32_t n_workers)
{
	return make(n_workers, 0, on_signal);
}

void
rig_start(struct rig *rig)
{
	CHECK_EQ(os_start(rig->os), 0);
}

void
rig_stop(struct rig *rig)
{
	os_stop(rig->os);
	os_join(rig->os);
}

void
rig_free(struct rig *rig)
{
	rig_stop(rig);
	CHECK(!os_close(rig->os));
	rig_remove_dir(rig->dir);
	free(rig);
}

void
rig_post(
    struct rig *rig, uint32_t worker, struct msg *m, void (*fn)(struct msg *m))
{
	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	rig->env->post.to_worker(rig->env->post.ctx, worker, m);
}

struct call {
	struct msg msg;
	void (*fn)(void *arg);
	void *arg;
	atomic_uint done;
};

static void
run_call(struct msg *m)
{
	struct call *c = CONTAINER_OF(m, struct call, msg);

	c->fn(c->arg);
	atomic_fetch_add(&c->done, 1);
}

void
rig_on(struct rig *rig, uint32_t worker, void (*fn)(void *arg), void *arg)
{
	struct call c = {.fn = fn, .arg = arg};

	rig_post(rig, worker, &c.msg, run_call);
	rig_await(&c.done, 1);
}

void
rig_await(atomic_uint *n, unsigned want)
{
	while (atomic_load(n) < want)
		rig_pause_us(200);
}

/* --- the program ---------------------------------------------------------- */

static const char *volatile running;

static void
too_long(int signo)
{
	static const char text[] = "Bail out! hangs: ";
	const char *name = running;

	(void)signo;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0 ||
	    write(STDOUT_FILENO, name, strlen(name)) < 0 ||
	    write(STDOUT_FILENO, "\n", 1) < 0)
		_exit(2);
	_exit(1);
}

static int
chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return 1;
	return argc < 2;
}

int
main(int argc, char **argv)
{
	const struct test *suites[] = {loop_tests, lane_tests, tcp_tests,
	    disk_tests, net_tests, net_peers_tests, net_hostile_tests,
	    net_lines_tests};
	const size_t n_suites = sizeof(suites) / sizeof(suites[0]);
	int n = 0, total = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, too_long);
	for (size_t i = 0; i < n_suites; i++)
		for (const struct test *t = suites[i]; t->name; t++)
			total += chosen(t->name, argc, argv);
	printf("1..%d\n", total);
	for (size_t i = 0; i < n_suites; i++)
		for (const struct test *t = suites[i]; t->name; t++) {
			uint64_t start = rig_now_us();
			const char *why;

			if (!chosen(t->name, argc, argv))
				continue;
			running = t->name;
			alarm(TEST_SECONDS);
			why = t->fn();
			printf("ok %d - %s # %s%s%.1f s\n", ++n, t->name,
			    why ? "SKIP " : "", why ? why : "",
			    (double)(rig_now_us() - start) / 1e6);
		}
	alarm(0);
	return 0;
}
