/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Who is a peer and where, strangers, twins, and peers that are in trouble. */
#include <sys/stat.h>

#include "tests/os/net_rig.h"

static int
is(const struct net_frame *f, const char *text)
{
	return slice_equal(f->bytes, SLICE_STR(text));
}

static int
tell(struct node *n, const char *name, const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

	return os_net_tell(n->rig->os, name, &iov, 1);
}

static int
tell_back(struct node *n, const uint8_t id[16], const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

	return os_net_tell_back(n->rig->os, id, &iov, 1);
}

static void
name_with_port(const struct node *n, char out[64])
{
	snprintf(out, 64, "node%u@127.0.0.1:%u", n->number, node_port(n));
}

static const char *
strangers_tell_and_are_told(void)
{
	struct node a = {.number = 1, .cluster = 1};
	struct node b = {.number = 2, .cluster = 2};
	char name[64];
	uint8_t id[16];

	node_start(&a);
	node_start(&b);
	name_with_port(&b, name);
	node_id(&a, id);
	CHECK_EQ(tell_back(&b, id, "?"), -ERR_NOTFOUND);
	CHECK_EQ(tell(&a, name, "may I join"), 0);
	CHECK_EQ(tell(&a, name, "please"), 0);
	CHECK(is(node_frame(&b, 0), "may I join"));
	CHECK(is(node_frame(&b, 1), "please"));
	CHECK_EQ(node_frame(&b, 0)->stranger, 1);
	CHECK(memcmp(node_frame(&b, 0)->from, id, 16) == 0);
	CHECK_EQ(tell_back(&b, id, "you may"), 0);
	CHECK(is(node_frame(&a, 0), "you may"));
	CHECK_EQ(node_frame(&a, 0)->stranger, 1);
	node_id(&b, id);
	CHECK_EQ(tell_back(&a, id, "thank you"), 0);
	CHECK(is(node_frame(&b, 2), "thank you"));
	/* One that listened is still no member. */
	CHECK_EQ(node_send(&a, &b, NET_CONTROL, "x", 1), -ERR_NOTFOUND);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
a_stranger_that_becomes_a_member_needs_no_other_hello(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	char name[64];

	node_start(&a);
	node_start(&b);
	name_with_port(&b, name);
	CHECK_EQ(tell(&a, name, "hello"), 0);
	CHECK(is(node_frame(&b, 0), "hello"));
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	CHECK_EQ(tell(&a, b.own_name, "by its name"), -ERR_NOTFOUND);
	CHECK_EQ(tell(&a, name, "as a member"), 0);
	CHECK(is(node_frame(&b, 1), "as a member"));
	CHECK_EQ(node_frame(&b, 1)->stranger, 1);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
a_peer_that_is_out_of_the_book_is_hung_up(void)
{
	struct node a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
	struct node *all[] = {&b, &c}, *b_and_a[] = {&a};

	node_start(&a);
	node_start(&b);
	node_start(&c);
	node_peers(&a, all, 2);
	node_peers(&b, b_and_a, 1);
	node_peers(&c, b_and_a, 1);
	node_await_peers(&a, &b);
	node_await_peers(&a, &c);
	node_peers(&a, all + 1, 1);
	AWAIT(node_send(&a, &b, NET_CONTROL, "x", 1) == -ERR_NOTFOUND);
	AWAIT(node_send(&b, &a, NET_CONTROL, "x", 1) ||
	      node_stats(&a).refused_stranger > 0);
	CHECK_EQ(a.n_frames, 0);
	node_await_peers(&a, &c);
	node_stop(&a);
	node_stop(&b);
	node_stop(&c);
	return NULL;
}

static const char *
too_many_peers_change_nothing(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct os_net_peer *many =
	    calloc(OS_NET_MEMBERS_MAX + 1, sizeof(*many));

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	CHECK_EQ(os_net_set_peers(a.rig->os, many, OS_NET_MEMBERS_MAX + 1),
	    -ERR_LIMIT);
	node_await_peers(&a, &b);
	free(many);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

/* --- twins ---------------------------------------------------------------- */

static const char *
a_node_that_hears_its_own_id_of_another_boot_says_so_once(void)
{
	struct node a = {.number = 1}, twin = {.number = 1, .boot = 100};
	char name[64];

	node_start(&a);
	node_start(&twin);
	name_with_port(&a, name);
	CHECK_EQ(tell(&twin, name, "hello"), 0);
	AWAIT(a.n_twins > 0);
	AWAIT(twin.n_twins > 0);
	CHECK_EQ(tell(&twin, name, "hello"), 0);
	rig_pause_us(200000);
	CHECK_EQ(a.n_twins, 1);
	CHECK_EQ(twin.n_twins, 1);
	CHECK_EQ(a.n_frames + twin.n_frames, 0);
	CHECK(strstr(a.last_line, "copied"));
	node_stop(&a);
	node_stop(&twin);
	return NULL;
}

static const char *
a_twin_that_starts_on_the_same_machine_is_found_out_at_once(void)
{
	struct node a = {.number = 1}, twin = {.number = 1, .boot = 100};
	char dir[96];

	node_start(&a);
	snprintf(dir, sizeof(dir), "%s/run", a.rig->dir);
	twin.runtime_dir = dir;
	node_start(&twin);
	AWAIT(a.n_twins > 0);
	AWAIT(twin.n_twins > 0);
	node_stop(&a);
	node_stop(&twin);
	return NULL;
}

static const char *
twins_are_found_out_by_a_third(void)
{
	struct node a = {.number = 1}, twin = {.number = 1, .boot = 100};
	struct node b = {.number = 2};
	struct node *others = &b;

	node_start(&a);
	node_start(&twin);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	node_peers(&twin, &others, 1);
	node_peer_at(&b, &twin, node_port(&twin));
	node_await_peers(&twin, &b);
	CHECK_EQ(a.n_twins + twin.n_twins + b.n_twins, 0);
	node_peer_at(&b, &a, node_port(&a));
	while (a.n_twins == 0) {
		node_send(&a, &b, NET_CONTROL, "x", 1);
		node_send(&b, &a, NET_CONTROL, "x", 1);
		rig_pause_us(1000);
	}
	CHECK_EQ(b.n_twins, 0);
	node_stop(&a);
	node_stop(&twin);
	node_stop(&b);
	return NULL;
}

/* --- the runtime directory ------------------------------------------------ */

static void
peer_by_name(struct node *n, const struct node *other)
{
	struct os_net_peer p = {0};

	node_id(other, p.id);
	snprintf(p.name, sizeof(p.name), "%s", other->own_name);
	CHECK_EQ(os_net_set_peers(n->rig->os, &p, 1), 0);
}

static const char *
nodes_of_one_machine_find_each_other_by_name(void)
{
	char dir[64], run[96], path[160];
	struct node a = {.number = 1}, b = {.number = 2};
	struct stat st;

	rig_temp_dir(dir);
	snprintf(run, sizeof(run), "%s/run", dir);
	a.runtime_dir = b.runtime_dir = run;
	node_start(&a);
	CHECK_EQ(tell(&a, "node2@127.0.0.1", "x"), -ERR_NOTFOUND);
	CHECK_EQ(tell(&a, "node2", "x"), -ERR_INVAL);
	node_start(&b);
	peer_by_name(&a, &b);
	peer_by_name(&b, &a);
	node_await_peers(&a, &b);
	/* Elsewhere, the next time. */
	node_stop(&b);
	CHECK_EQ(tell(&a, "node2@127.0.0.1", "x"), -ERR_NOTFOUND);
	node_start(&b);
	peer_by_name(&b, &a);
	node_await_peers(&a, &b);
	snprintf(path, sizeof(path), "%s/node2@127.0.0.1", run);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(stat(run, &st) == 0 && (st.st_mode & 0777) == 0700);
	node_stop(&a);
	node_stop(&b);
	CHECK(stat(path, &st) < 0);
	CHECK(rmdir(run) == 0); /* nothing is left */
	rig_remove_dir(dir);
	return NULL;
}

static void
open_at(struct os *os, const char *ip, uint16_t port, const char *dir, int want,
    const char *says)
{
	struct os_net_config c = {.name = "x@127.0.0.1",
	    .ip = ip,
	    .port = port,
	    .cookie = "c",
	    .runtime_dir = dir};
	char why[256] = "";

	CHECK_EQ(os_net_open(os, &c, why, sizeof(why)), want);
	CHECK(strstr(why, says));
	CHECK(!strchr(why, '\n'));
}

static const char *
a_port_that_can_not_be_is_named(void)
{
	struct node a = {.number = 1};
	struct rig *rig = rig_new(1, 0);
	char port[16];

	node_start(&a);
	snprintf(port, sizeof(port), "%u", node_port(&a));
	open_at(
	    rig->os, "127.0.0.1", node_port(&a), rig->dir, -ERR_INUSE, port);
	open_at(rig->os, "192.0.2.1", 4711, rig->dir, -ERR_INVAL, "cluster.ip");
	open_at(rig->os, "192.0.2.1", 0, rig->dir, -ERR_INVAL, "192.0.2.1");
	open_at(rig->os, "x", 0, rig->dir, -ERR_INVAL, "cluster.ip x");
	open_at(rig->os, "127.0.0.1", 0, "/nowhere/at/all", -ERR_NOTFOUND,
	    "cluster.runtime_dir");
	rig_free(rig);
	node_stop(&a);
	return NULL;
}

/* --- trouble -------------------------------------------------------------- */

/* Sends until BUSY; the bytes that were taken. */
static size_t
flood(struct node *a, struct node *b, enum env_channel channel)
{
	static uint8_t bytes[64 << 10];
	size_t n = 0;
	int r;

	while ((r = node_send(a, b, channel, bytes, sizeof(bytes))) == 0)
		n += sizeof(bytes);
	CHECK_EQ(r, -ERR_BUSY);
	return n;
}

static const char *
a_stalled_peer_takes_little_and_disturbs_nobody(void)
{
	struct node a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
	struct os_net_peer peers[2] = {0};
	struct node *others = &a;
	struct relay r = {0};
	uint64_t start;

	node_start(&a);
	node_start(&b);
	node_start(&c);
	relay_start(&r, &b);
	node_id(&b, peers[0].id);
	node_id(&c, peers[1].id);
	for (int i = 0; i < 2; i++)
		snprintf(peers[i].address, 64, "127.0.0.1:%u",
		    i ? node_port(&c) : r.port);
	CHECK_EQ(os_net_set_peers(a.rig->os, peers, 2), 0);
	node_peers(&b, &others, 1);
	node_peers(&c, &others, 1);
	node_await_peers(&a, &b);
	node_await_peers(&a, &c);

	atomic_store(&r.pauses, 1);
	CHECK(flood(&a, &b, NET_CONTROL) < 32u << 20);
	CHECK(flood(&a, &b, NET_BULK) < 32u << 20);
	start = rig_now_us();
	for (int i = 0; i < 20; i++)
		node_await_peers(&a, &c);
	CHECK(rig_now_us() - start < 20 * 1000000);
	/* It is silent: nothing more is kept for it, nor sent. */
	AWAIT(node_send(&a, &b, NET_CONTROL, "x", 1) == -ERR_NOTFOUND);
	CHECK(node_stats(&a).dropped_old > 0);

	atomic_store(&r.pauses, 0);
	while (node_send(&a, &b, NET_CONTROL, "back", 4) || b.n_frames == 0 ||
	       !is(node_frame(&b, b.n_frames - 1), "back"))
		rig_pause_us(1000);
	relay_stop(&r);
	node_stop(&a);
	node_stop(&b);
	node_stop(&c);
	return NULL;
}

static const char *
a_worker_that_is_far_behind_gets_no_more(void)
{
	static uint8_t bytes[1 << 20];
	pthread_mutex_t stall = PTHREAD_MUTEX_INITIALIZER;
	struct node a = {.number = 1}, b = {.number = 2};
	uint32_t n = 0;

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	b.stall = &stall;
	pthread_mutex_lock(&stall);
	while (node_stats(&b).dropped_busy < 10)
		node_must_send(&a, &b, NET_BULK, bytes, sizeof(bytes));
	pthread_mutex_unlock(&stall);
	while (node_send(&a, &b, NET_BULK, "end", 3) || b.n_frames == 0 ||
	       !is(node_frame(&b, b.n_frames - 1), "end"))
		rig_pause_us(1000);
	for (uint32_t i = 0; i < b.n_frames; i++)
		n += node_frame(&b, i)->bytes.n == sizeof(bytes);
	CHECK(n >= 60 && n <= 80);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test net_peers_tests[] = {
    TEST(strangers_tell_and_are_told),
    TEST(a_stranger_that_becomes_a_member_needs_no_other_hello),
    TEST(a_peer_that_is_out_of_the_book_is_hung_up),
    TEST(too_many_peers_change_nothing),
    TEST(a_node_that_hears_its_own_id_of_another_boot_says_so_once),
    TEST(a_twin_that_starts_on_the_same_machine_is_found_out_at_once),
    TEST(twins_are_found_out_by_a_third),
    TEST(nodes_of_one_machine_find_each_other_by_name),
    TEST(a_port_that_can_not_be_is_named),
    TEST(a_stalled_peer_takes_little_and_disturbs_nobody),
    TEST(a_worker_that_is_far_behind_gets_no_more),
    {NULL, NULL},
};
