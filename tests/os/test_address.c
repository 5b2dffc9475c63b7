/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/os/address.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <criterion/criterion.h>

#include "src/base/err.h"

static char dir[] = "/tmp/iorio-address-XXXXXX";
static char path[256];

static void
setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a@127.0.0.1", dir);
}

static void
teardown(void)
{
	unlink(path);
	cr_expect_eq(rmdir(dir), 0, "something is left in %s", dir);
}

TestSuite(address, .init = setup, .fini = teardown);

static void
write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void
is_at(const char *name, const char *want)
{
	char out[ADDRESS_BYTES] = "";
	int r = address_of(dir, name, out);

	cr_expect_eq(r, 0, "%s: %d", name, r);
	cr_expect_str_eq(out, want);
}

static void
is_not(const char *name, int want)
{
	char out[ADDRESS_BYTES];
	int r = address_of(dir, name, out);

	cr_expect_eq(r, want, "%s: %d, not %d", name, r, want);
}

Test(address, a_port_in_the_name_is_the_port)
{
	is_at("a@10.0.0.1:7000", "10.0.0.1:7000");
	is_at("a@127.0.0.1:7000", "127.0.0.1:7000");
	is_at("a@[::1]:7000", "[::1]:7000");
	is_at("a@db1.example.com:1", "db1.example.com:1");
}

Test(address, another_machine_has_the_usual_port)
{
	is_at("a@192.0.2.1", "192.0.2.1:8099");
	is_at("a@[2001:db8::1]", "[2001:db8::1]:8099");
	is_at("a@db1.example.com", "db1.example.com:8099");
}

Test(address, a_name_without_a_host_or_with_a_bad_port_is_none)
{
	static const char *const bad[] = {"", "a", "a@", "a@:1",
	    "a@h:", "a@h:0", "a@h:65536", "a@h:1x", "a@h:99999999999999999999",
	    "a@h/..", "../a@127.0.0.1", "a@h b"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_not(bad[i], -ERR_INVAL);
}

Test(address, a_node_of_this_machine_is_found_while_it_runs)
{
	struct stat st;
	char host[200] = "", name[256], out[ADDRESS_BYTES];

	is_not("a@127.0.0.1", -ERR_NOTFOUND);
	is_not("a@localhost", -ERR_NOTFOUND);
	is_not("a@[::1]", -ERR_NOTFOUND);
	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "a@%s", host);
	is_not(name, -ERR_NOTFOUND);
	cr_assert_eq(runtime_announce(dir, "a@127.0.0.1", 10012), 0);
	is_at("a@127.0.0.1", "127.0.0.1:10012");
	is_at("a@127.0.0.1:7000", "127.0.0.1:7000");
	is_not("b@127.0.0.1", -ERR_NOTFOUND);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(runtime_announce(dir, "a@127.0.0.1", 10013), 0);
	is_at("a@127.0.0.1", "127.0.0.1:10013");
	runtime_forget(dir, "a@127.0.0.1");
	is_not("a@127.0.0.1", -ERR_NOTFOUND);
	cr_assert_eq(address_with_port("a@127.0.0.1:1", 2, out), 0);
	cr_assert_str_eq(out, "127.0.0.1:2");
}

Test(address, the_directory_is_made_for_its_owner_only)
{
	char sub[300];
	struct stat st;

	snprintf(sub, sizeof(sub), "%s/run", dir);
	cr_assert_eq(runtime_announce(sub, "a@127.0.0.1", 1), 0);
	cr_assert_eq(stat(sub, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
	runtime_forget(sub, "a@127.0.0.1");
	cr_assert_eq(rmdir(sub), 0);
	cr_assert_eq(runtime_announce(sub, "../a@127.0.0.1", 1), -ERR_INVAL);
}

Test(address, the_file_of_a_process_that_is_gone_is_ignored_and_kept)
{
	char text[64];
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	snprintf(text, sizeof(text), "10012 %d\n", pid);
	write_file(text);
	is_not("a@127.0.0.1", -ERR_NOTFOUND);
	runtime_forget(dir, "a@127.0.0.1");
	cr_assert_eq(access(path, F_OK), 0, "it is not ours");
	cr_assert_eq(runtime_announce(dir, "a@127.0.0.1", 10014), 0);
	is_at("a@127.0.0.1", "127.0.0.1:10014");
}

Test(address, a_file_that_says_nothing_is_ignored)
{
	static const char *const bad[] = {"", "\n", "10012", "10012 ",
	    "10012 1", "0 1\n", "65536 1\n", "10012 -1\n", "10012 0\n", "x 1\n",
	    "10012 1 2\n"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i]);
		is_not("a@127.0.0.1", -ERR_NOTFOUND);
	}
	unlink(path);
	cr_assert_eq(mkdir(path, 0700), 0);
	is_not("a@127.0.0.1", -ERR_NOTFOUND);
	cr_assert_eq(rmdir(path), 0);
	cr_assert_eq(symlink("/proc/self/stat", path), 0);
	is_not("a@127.0.0.1", -ERR_NOTFOUND);
}
