/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * iorio-admin - hands its arguments to the node of its release tree, prints
 * what comes back, and exits with the code that it is given.
 *
 * What words there are and what they say is the node's: see commands.c.  But
 * a password that is `-` is read here, from the terminal or standard input, so
 * that it need not stand where every user of the machine can read it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "admin/help.h"
#include "admin/wire.h"
#include "src/base/conf.h"
#include "src/base/err.h"
#include "src/base/tree.h"

#define RESTART_WAIT_MS 10000 /* a node that joins opens its store anew */
#define RETRY_MS        100
/* A little more than the node's own limit, whose word is the better one. */
#define SILENCE_MS   62000
#define SECRET_BYTES 2048 /* longer ones the node refuses */

extern char **environ;

struct client {
	char data[PATH_MAX]; /* paths.data */
	char name[256];      /* of the node */
	int fd;
};

/* The tree that bin/iorio-admin stands in. */
static int
find_data(struct client *c)
{
	char root[PATH_MAX], file[PATH_MAX + 32], why[CONF_WHY_BYTES];
	struct conf *conf = conf_new();
	int r;

	tree_root(root, sizeof(root));
	tree_conf(root, file, sizeof(file));
	if (!conf)
		return -ERR_NOMEM;
	r = conf_load_file(conf, file, why);
	if (r == 0)
		r = conf_load_env(conf, (const char *const *)environ, why);
	if (r) {
		printf("%s\n", why);
	} else {
		snprintf(c->name, sizeof(c->name), "%s",
		    conf_str(conf, CONF_nodename));
		tree_path(root, conf_str(conf, CONF_paths_data), c->data,
		    sizeof(c->data));
	}
	conf_free(conf);
	return r;
}

/* Whether the process of ioriod.pid is there, and is ioriod. */
static int
is_alive(const struct client *c)
{
	char path[PATH_MAX + 32], exe[PATH_MAX];
	FILE *f;
	int pid = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/ioriod.pid", c->data);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	if (pid <= 0 || (kill(pid, 0) && errno != EPERM))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	return n <= 0 || strstr(exe, "ioriod") != NULL;
}

/* By way of the directory, since a path to it may be too long for an address.
 */
static int
dial(struct client *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int dir = open(c->data, O_PATH | O_DIRECTORY | O_CLOEXEC), r;

	if (dir < 0)
		return -errno;
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir,
	    ADMIN_SOCKET);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a))
		? -errno
		: 0;
	if (r && c->fd >= 0)
		close(c->fd);
	close(dir);
	return r;
}

static int
reach(struct client *c)
{
	int r = dial(c);

	for (int waited = 0; r && waited < RESTART_WAIT_MS && is_alive(c);
	     waited += RETRY_MS) {
		poll(NULL, 0, RETRY_MS);
		r = dial(c);
	}
	return r;
}

static int
failed(const struct client *c, const char *why)
{
	printf("RPC to '%s' failed: %s\n", c->name, why);
	return 1;
}

/* The terminal as it was, while a password is typed. */
static struct termios shown;
static volatile sig_atomic_t is_hidden;
/* The last line that was printed has no end yet: a bar. */
static volatile sig_atomic_t is_in_line;

/* Whoever comes next should see what is typed again, and begins a line. */
static void
interrupted(int signo)
{
	if (is_hidden)
		tcsetattr(STDIN_FILENO, TCSANOW, &shown);
	if (is_in_line)
		(void)!write(STDOUT_FILENO, "\n", 1);
	raise(signo); /* as if there was no handler */
}

static void
tidy_when_interrupted(void)
{
	static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	struct sigaction sa = {
	    .sa_handler = interrupted, .sa_flags = (int)SA_RESETHAND};

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		struct sigaction was;

		if (sigaction(ends[i], &sa, &was) == 0 &&
		    was.sa_handler == SIG_IGN) /* of nohup */
			sigaction(ends[i], &was, NULL);
	}
}

static void
hide_typing(void)
{
	struct termios hidden = shown;

	is_hidden = 1;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
}

/* One line, typed at a terminal without being shown, or else of standard input;
 * 0: there is none. */
static int
read_secret(char *out, size_t n)
{
	int typed = tcgetattr(STDIN_FILENO, &shown) == 0, got;

	if (typed) {
		hide_typing();
		fputs("Password: ", stderr);
	}
	got = fgets(out, (int)n, stdin) != NULL;
	if (typed) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		is_hidden = 0;
		fputc('\n', stderr);
	}
	if (got)
		out[strcspn(out, "\r\n")] = '\0';
	return got && out[0];
}

/* The place of the password of `user add` and `user passwd` if it is to be read;
 * 0: none is. */
static int
find_secret(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *s = argv[i];

		if (strncmp(s, "--", 2) == 0)
			continue;
		if ((n == 0 && strcmp(s, "user") != 0) ||
		    (n == 1 && strcmp(s, "add") != 0 &&
			strcmp(s, "passwd") != 0))
			return 0;
		if (n++ == 3)
			return strcmp(s, "-") == 0 ? i : 0;
	}
	return 0;
}

static int
send_request(struct client *c, int argc, char **argv)
{
	struct admin_request q = {.terminal = isatty(STDOUT_FILENO)};
	struct winsize size;
	struct buf b;
	size_t sent = 0;
	int r;

	if (argc - 1 > ADMIN_ARGS_MAX)
		return -ERR_LIMIT;
	if (q.terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col <= ADMIN_COLUMNS_MAX)
		q.columns = size.ws_col;
	for (int i = 1; i < argc; i++)
		q.args[q.n_args++] = SLICE_STR(argv[i]);
	buf_init(&b, ADMIN_REQUEST_MAX);
	admin_request_encode(&q, &b);
	r = buf_error(&b);
	while (r == 0 && sent < b.n) {
		ssize_t k = send(c->fd, b.p + sent, b.n - sent, MSG_NOSIGNAL);

		if (k > 0)
			sent += (size_t)k;
		else if (errno != EINTR)
			r = -ERR_IO;
	}
	buf_deinit(&b);
	return r;
}

/* One frame: -1 go on, else the exit code. */
static int
take(struct client *c, enum admin_frame kind, struct slice body)
{
	switch (kind) {
	case ADMIN_FRAME_NAME:
		snprintf(c->name, sizeof(c->name), "%.*s", (int)body.n,
		    (const char *)body.p);
		break;
	case ADMIN_FRAME_TEXT:
		if (fwrite(body.p, 1, body.n, stdout) != body.n ||
		    fflush(stdout))
			return 1;
		is_in_line = body.n && body.p[body.n - 1] != '\n';
		break;
	case ADMIN_FRAME_ALIVE:
		break;
	case ADMIN_FRAME_EXIT:
		return body.p[0];
	}
	return -1;
}

static int
hear(struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	struct buf in;
	int code = -1;

	buf_init(&in, 2 * (ADMIN_FRAME_MAX + ADMIN_FRAME_HEAD));
	while (code < 0) {
		enum admin_frame kind;
		struct slice rest = buf_slice(&in), body;
		int r = 1;
		ssize_t k;

		while (code < 0 &&
		       (r = admin_frame_decode(&rest, &kind, &body)) == 0)
			code = take(c, kind, body);
		if (rest.n)
			memmove(in.p, rest.p, rest.n);
		in.n = rest.n;
		if (code >= 0)
			break;
		if (r < 0 || !buf_reserve(&in, 65536)) {
			code = failed(c, "not understood");
		} else if (poll(&p, 1, SILENCE_MS) == 0) {
			code = failed(c, "timeout");
		} else {
			k = read(c->fd, in.p + in.n, 65536);
			if (k > 0)
				in.n += (size_t)k;
			else if (k == 0 || errno != EINTR)
				code = failed(c, "the node closed the "
						 "connection");
		}
	}
	buf_deinit(&in);
	return code;
}

int
main(int argc, char **argv)
{
	struct client c = {.fd = -1};
	char secret[SECRET_BYTES];
	int place = find_secret(argc, argv), r;

	if (argc < 2) {
		fputs(HELP_USAGE, stdout);
		return 1;
	}
	if (find_data(&c))
		return 1;
	if (isatty(STDOUT_FILENO) || isatty(STDIN_FILENO))
		tidy_when_interrupted();
	switch (-reach(&c)) {
	case 0:
		break;
	case EACCES:
	case EPERM:
		printf("%s: permission denied: only the user of the node may "
		       "ask it\n",
		    c.data);
		return 1;
	default:
		puts("Node is not running!");
		return 1;
	}
	if (place && !read_secret(secret, sizeof(secret))) {
		puts("Failed: there is no password");
		return 1;
	}
	if (place)
		argv[place] = secret;
	r = send_request(&c, argc, argv);
	explicit_bzero(secret, sizeof(secret));
	return r ? failed(&c, "the arguments are too long") : hear(&c);
}
