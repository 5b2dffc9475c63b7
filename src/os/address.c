/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * address - names, hosts and the runtime directory.
 *
 * The file of a process that is gone is ignored.  A process id may have been
 * given anew since: then what is dialed is no node, or another one, and both
 * are found out by the hello.
 */
#include "src/os/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/stat.h>

#include "src/base/err.h"

#define PATH_BYTES 1024
#define HOST_BYTES 256

/* --- names ---------------------------------------------------------------- */

/* HOST as in a URL: brackets and all.  *PORT 0: none given. */
static int
split(const char *name, char host[HOST_BYTES], uint16_t *port)
{
	const char *at = strchr(name, '@'), *colon;
	unsigned long value;
	size_t n;
	char *end;

	*port = 0;
	if (!at || strpbrk(name, "/ \t\n"))
		return -ERR_INVAL;
	at++;
	colon = *at == '[' ? strchr(at, ']') : at;
	colon = colon ? strchr(colon, ':') : NULL;
	n = colon ? (size_t)(colon - at) : strlen(at);
	if (n == 0 || n >= HOST_BYTES)
		return -ERR_INVAL;
	memcpy(host, at, n);
	host[n] = '\0';
	if (!colon)
		return 0;
	value = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || value == 0 || value > 65535)
		return -ERR_INVAL;
	*port = (uint16_t)value;
	return 0;
}

/* --- this machine --------------------------------------------------------- */

static int
same_ip(const struct sockaddr *a, int family, const void *ip)
{
	if (!a || a->sa_family != family)
		return 0;
	if (family == AF_INET)
		return memcmp(&((const struct sockaddr_in *)(const void *)a)
				   ->sin_addr,
			   ip, 4) == 0;
	return memcmp(
		   &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
		   ip, 16) == 0;
}

static int
is_interface(int family, const void *ip)
{
	struct ifaddrs *all;
	int found = 0;

	if (getifaddrs(&all))
		return 0;
	for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
		found = same_ip(i->ifa_addr, family, ip);
	freeifaddrs(all);
	return found;
}

static int
is_here(const char *host)
{
	char own[HOST_BYTES] = "", bare[HOST_BYTES];
	uint8_t ip[16];
	size_t n = strlen(host);

	if (gethostname(own, sizeof(own) - 1) == 0 &&
	    strcasecmp(own, host) == 0)
		return 1;
	if (strcasecmp(host, "localhost") == 0)
		return 1;
	if (inet_pton(AF_INET, host, ip) == 1)
		return ip[0] == 127 || is_interface(AF_INET, ip);
	if (host[0] != '[' || n < 3 || host[n - 1] != ']')
		return 0;
	memcpy(bare, host + 1, n - 2);
	bare[n - 2] = '\0';
	return inet_pton(AF_INET6, bare, ip) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK((struct in6_addr *)(void *)ip) ||
		   is_interface(AF_INET6, ip));
}

/* --- the runtime directory ------------------------------------------------ */

static int
path_of(
    char out[PATH_BYTES], const char *dir, const char *name, const char *suffix)
{
	int n = snprintf(out, PATH_BYTES, "%s/%s%s", dir, name, suffix);

	if (name[0] == '.' || strchr(name, '/') || n >= PATH_BYTES)
		return -ERR_INVAL;
	return 0;
}

/* What the file of NAME says, whoever wrote it. */
static int
read_file(const char *dir, const char *name, uint16_t *port, long *pid)
{
	char path[PATH_BYTES], text[64];
	unsigned long value;
	char *end;
	ssize_t n;
	int fd;

	if (path_of(path, dir, name, ""))
		return -ERR_INVAL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_from_errno(errno);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -ERR_CORRUPT;
	text[n] = '\0';
	value = strtoul(text, &end, 10);
	if (end == text || *end != ' ' || value == 0 || value > 65535)
		return -ERR_CORRUPT;
	*port = (uint16_t)value;
	*pid = strtol(end, &end, 10);
	return *pid > 0 && *end == '\n' ? 0 : -ERR_CORRUPT;
}

static int
lookup(const char *dir, const char *name, uint16_t *port)
{
	long pid;

	if (read_file(dir, name, port, &pid))
		return -ERR_NOTFOUND;
	if (kill((pid_t)pid, 0) && errno != EPERM)
		return -ERR_NOTFOUND;
	return 0;
}

int
runtime_before(const char *dir, const char *name, char out[ADDRESS_BYTES])
{
	uint16_t port;
	long pid;

	if (read_file(dir, name, &port, &pid))
		return -ERR_NOTFOUND;
	return address_with_port(name, port, out);
}

int
runtime_announce(const char *dir, const char *name, uint16_t port)
{
	char path[PATH_BYTES], tmp[PATH_BYTES], text[64];
	int fd, n, r = 0;

	if (path_of(path, dir, name, "") || path_of(tmp, dir, name, ".tmp"))
		return -ERR_INVAL;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_from_errno(errno);
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	n = snprintf(text, sizeof(text), "%u %ld\n", port, (long)getpid());
	if (write(fd, text, (size_t)n) != n)
		r = err_from_errno(errno);
	close(fd);
	if (r == 0 && rename(tmp, path))
		r = err_from_errno(errno);
	if (r)
		unlink(tmp);
	return r;
}

void
runtime_forget(const char *dir, const char *name)
{
	char path[PATH_BYTES];
	uint16_t port;
	long pid;

	if (read_file(dir, name, &port, &pid) == 0 && pid == getpid() &&
	    path_of(path, dir, name, "") == 0)
		unlink(path);
}

/* --- both ----------------------------------------------------------------- */

int
address_with_port(const char *name, uint16_t port, char out[ADDRESS_BYTES])
{
	char host[HOST_BYTES];
	uint16_t own;
	int r = split(name, host, &own);

	if (r == 0)
		snprintf(out, ADDRESS_BYTES, "%s:%u", host, port);
	return r;
}

int
address_of(const char *runtime_dir, const char *name, char out[ADDRESS_BYTES])
{
	char host[HOST_BYTES];
	uint16_t port;
	int r = split(name, host, &port);

	if (r)
		return r;
	if (port == 0 && is_here(host))
		r = lookup(runtime_dir, name, &port);
	if (r)
		return r;
	snprintf(out, ADDRESS_BYTES, "%s:%u", host,
	    port ? port : ADDRESS_DEFAULT_PORT);
	return 0;
}
