/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * main - ioriod: options, configuration, daemonising, pid file.
 *
 *	ioriod [-r ROOT] [-c FILE] [-o KEY=VALUE]... [-d]
 *	ioriod --check-config | --get KEY | --ping | --ready | --version
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "admin/wire.h"
#include "src/base/conf.h"
#include "src/base/err.h"
#include "src/base/tree.h"
#include "src/node/node.h"
#include "src/os/os.h"

#define START_WAIT_MS 15000

struct options {
	const char *root, *file, *get;
	int daemon, check, ping, ready, version;
	int n_sets;
	char *sets[64];
	char root_path[PATH_MAX], file_path[PATH_MAX + 32];
};

static int
usage(void)
{
	fputs("Usage: ioriod [-r ROOT] [-c FILE] [-o KEY=VALUE]... [-d]\n"
	      "       ioriod [-r ROOT] --check-config | --get KEY\n"
	      "       ioriod [-r ROOT] --ping | --ready\n"
	      "       ioriod --version\n",
	    stderr);
	return 1;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		int more = i + 1 < argc;

		if (strcmp(a, "-d") == 0)
			o->daemon = 1;
		else if (strcmp(a, "--check-config") == 0)
			o->check = 1;
		else if (strcmp(a, "--ping") == 0)
			o->ping = 1;
		else if (strcmp(a, "--ready") == 0)
			o->ping = o->ready = 1;
		else if (strcmp(a, "--version") == 0)
			o->version = 1;
		else if (strcmp(a, "-r") == 0 && more)
			o->root = argv[++i];
		else if (strcmp(a, "-c") == 0 && more)
			o->file = argv[++i];
		else if (strcmp(a, "--get") == 0 && more)
			o->get = argv[++i];
		else if (strcmp(a, "-o") == 0 && more && o->n_sets < 64)
			o->sets[o->n_sets++] = argv[++i];
		else
			return -1;
	}
	return 0;
}

/* The tree that sbin/ioriod stands in, unless -r says another. */
static void
find_root(struct options *o)
{
	if (!o->root)
		tree_root(o->root_path, sizeof(o->root_path));
	if (!o->root || realpath(o->root, o->root_path))
		o->root = o->root_path;
	if (!o->file) {
		tree_conf(o->root, o->file_path, sizeof(o->file_path));
		o->file = o->file_path;
	}
}

extern char **environ;

static int
load_conf(struct conf *c, const struct options *o, char why[CONF_WHY_BYTES])
{
	int r = conf_load_file(c, o->file, why);

	if (r == 0)
		r = conf_load_env(c, (const char *const *)environ, why);
	for (int i = 0; r == 0 && i < o->n_sets; i++) {
		char *equals = strchr(o->sets[i], '=');

		if (!equals) {
			/* Not what it is: that may be a secret. */
			snprintf(why, CONF_WHY_BYTES, "-o: expected KEY=VALUE");
			return -ERR_INVAL;
		}
		*equals = '\0';
		r = conf_set(c, o->sets[i], equals + 1, "-o", why);
		*equals = '=';
	}
	return r ? r : conf_check(c, why);
}

/* --- small answers -------------------------------------------------------- */

static int
print_value(const struct conf *c, const struct options *o)
{
	char path[PATH_MAX], dir[PATH_MAX];
	const char *text;

	if (strcmp(o->get, "url") == 0) {
		node_url("http", conf_str(c, CONF_http_ip),
		    (uint16_t)conf_num(c, CONF_http_port), path, sizeof(path));
		puts(path);
		return 0;
	}
	if (strcmp(o->get, "pidfile") == 0 || strcmp(o->get, "logfile") == 0) {
		int pid = o->get[0] == 'p';

		tree_path(o->root,
		    conf_str(c, pid ? CONF_paths_data : CONF_paths_log), dir,
		    sizeof(dir));
		snprintf(path, sizeof(path), "%.4000s/%s", dir,
		    pid ? "ioriod.pid" : "iorio.log");
		puts(path);
		return 0;
	}
	text = conf_text(c, o->get);
	if (!text) {
		fprintf(stderr, "ioriod: no such key: %s\n", o->get);
		return 1;
	}
	puts(text);
	return 0;
}

/* Without plain HTTP: whether it listens for iorio-admin. */
static int
ping_control(const struct conf *c, const struct options *o)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char dir[PATH_MAX];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), root, ok;

	if (fd < 0)
		return 1;
	tree_path(o->root, conf_str(c, CONF_paths_data), dir, sizeof(dir));
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", root,
	    ADMIN_SOCKET);
	ok = root >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	if (root >= 0)
		close(root);
	close(fd);
	return !ok;
}

/* GET of PATH at the configured address: 0 when it says 200. */
static int
ping(const struct conf *c, const char *path)
{
	struct timeval limit = {3, 0};
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
			    .ai_socktype = SOCK_STREAM},
			*a;
	char port[16], request[64], answer[16] = "";
	int n = snprintf(request, sizeof(request),
	    "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
	int ok = 0, fd;

	snprintf(port, sizeof(port), "%llu",
	    (unsigned long long)conf_num(c, CONF_http_port));
	if (getaddrinfo(conf_str(c, CONF_http_ip), port, &hints, &a))
		return 1;
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0 &&
	    write(fd, request, (size_t)n) == n &&
	    recv(fd, answer, 12, MSG_WAITALL) == 12)
		ok = memcmp(answer, "HTTP/1.1 200", 12) == 0;
	freeaddrinfo(a);
	if (fd >= 0)
		close(fd);
	return !ok;
}

/* --- running -------------------------------------------------------------- */

struct verdict {
	int fd; /* of the waiting parent; -1 in the foreground */
	char pid_path[PATH_MAX];
};

static void
tell_parent(struct verdict *v, const char *what)
{
	if (v->fd < 0)
		return;
	if (write(v->fd, what, strlen(what)) < 0)
		perror("ioriod");
	close(v->fd);
	v->fd = -1;
}

static void
on_up(void *arg)
{
	struct verdict *v = arg;
	FILE *f = fopen(v->pid_path, "we");

	if (f) {
		fprintf(f, "%d\n", (int)getpid());
		fclose(f);
	}
	tell_parent(v, "ok");
}

/* In the parent: waits for the word of the daemon, at most START_WAIT_MS. */
static int
await_verdict(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[NODE_WHY_BYTES + 16] = "";
	size_t n = 0;

	while (n < sizeof(text) - 1 && poll(&p, 1, START_WAIT_MS) > 0) {
		ssize_t k = read(fd, text + n, sizeof(text) - 1 - n);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	if (strcmp(text, "ok") == 0)
		return 0;
	fprintf(stderr, "ioriod: %s\n",
	    n ? text : "the node did not start within 15 s: see the log");
	return 1;
}

/* Returns in the daemon; the first process exits with its verdict. */
static int
daemonise(struct verdict *v)
{
	int ends[2], null;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -ERR_SYSTEM;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -ERR_SYSTEM;
	if (pid > 0) {
		close(ends[1]);
		waitpid(pid, NULL, 0);
		_exit(await_verdict(ends[0]));
	}
	close(ends[0]);
	setsid();
	pid = fork();
	if (pid)
		_exit(pid < 0);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	v->fd = ends[1];
	return 0;
}

static void
log_settings(const struct conf *c, struct log_config *l)
{
	l->level = node_log_level(c);
	l->json = conf_num(c, CONF_log_format) == 1;
	conf_log_rotate(c, &l->rotate_bytes, &l->rotate_files);
	l->now = os_wall;
}

/* The file as it is now, with the environment and options of the start. */
static int
load_again(void *arg, struct conf **out, char why[CONF_WHY_BYTES])
{
	struct conf *c = conf_new();
	int r;

	if (!c) {
		snprintf(why, CONF_WHY_BYTES, "%s", err_text(ERR_NOMEM));
		return -ERR_NOMEM;
	}
	r = load_conf(c, arg, why);
	if (r == 0)
		*out = c;
	else
		conf_free(c);
	return r;
}

static int
run(struct conf *c, struct options *o)
{
	struct verdict v = {.fd = -1};
	struct node_options no = {
	    .conf = c,
	    .root = o->root,
	    .load = load_again,
	    .load_arg = o,
	    .up = on_up,
	    .arg = &v,
	};
	char dir[PATH_MAX], log_path[PATH_MAX], why[NODE_WHY_BYTES];
	int r = 0;

	log_settings(c, &no.log);
	tree_path(o->root, conf_str(c, CONF_paths_data), dir, sizeof(dir));
	snprintf(v.pid_path, sizeof(v.pid_path), "%.4000s/ioriod.pid", dir);
	if (o->daemon) {
		tree_path(
		    o->root, conf_str(c, CONF_paths_log), dir, sizeof(dir));
		if (mkdir(dir, 0750) && errno != EEXIST) {
			fprintf(stderr, "ioriod: paths.log: %s: %s\n", dir,
			    strerror(errno));
			return 1;
		}
		snprintf(log_path, sizeof(log_path), "%.4000s/iorio.log", dir);
		no.log.path = log_path;
		r = daemonise(&v);
	}
	if (r == 0)
		r = node_run(&no, why);
	if (r) {
		if (v.fd < 0)
			fprintf(stderr, "ioriod: %s\n", why);
		tell_parent(&v, why);
	} else {
		unlink(v.pid_path);
	}
	return r ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	char why[CONF_WHY_BYTES] = "";
	struct conf *c;
	struct buf b;
	int code;

	if (parse_options(&o, argc, argv))
		return usage();
	if (o.version) {
		puts("iorio " IORIO_VERSION);
		return 0;
	}
	find_root(&o);
	c = conf_new();
	if (!c || load_conf(c, &o, why)) {
		fprintf(stderr, "ioriod: %s\n", why);
		conf_free(c);
		return 1;
	}
	if (o.check) {
		buf_init(&b, 1u << 20);
		conf_print(c, &b);
		fwrite(b.p, 1, b.n, stdout);
		buf_deinit(&b);
		code = 0;
	} else if (o.get) {
		code = print_value(c, &o);
	} else if (o.ping) {
		code = conf_num(c, CONF_http_enabled)
			   ? ping(c, o.ready ? "/readyz" : "/ping")
			   : ping_control(c, &o);
	} else {
		code = run(c, &o);
	}
	conf_free(c);
	return code;
}
