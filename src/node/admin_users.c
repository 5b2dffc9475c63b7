/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* admin_users - a change that iorio-admin asks for: hash, change, done. */
#include "src/node/admin_users.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

struct asked {
	struct users *users;
	struct admin_auth *admin;
	struct login login;
	struct auth_request ask;
};

static void
end(struct asked *a)
{
	struct admin_auth *admin = a->admin;

	admin->r = a->ask.root.r > 0 ? 0 : a->ask.root.r; /* refused: why */
	admin->refusal = a->ask.refusal;
	admin->pending = a->ask.root.pending;
	admin->done(admin);
	buf_deinit(&a->ask.root.pending);
	explicit_bzero(&a->login, sizeof(a->login));
	mem_free(a);
}

static void
changed(struct msg *m)
{
	struct root_request *q = CONTAINER_OF(m, struct root_request, msg);

	end(CONTAINER_OF(q, struct asked, ask.root));
}

static void
change(struct asked *a)
{
	a->ask.root.msg.fn = changed;
	a->ask.root.make = auth_request_make;
	root_value_ask(users_value(a->users), &a->ask.root);
}

static void
hashed(struct msg *m)
{
	struct login *l = CONTAINER_OF(m, struct login, msg);
	struct asked *a = CONTAINER_OF(l, struct asked, login);

	a->ask.root.r = l->r;
	a->ask.change.has_hash = 1;
	a->ask.change.hash = SLICE_STR(l->hash);
	if (l->r)
		end(a);
	else
		change(a);
}

void
admin_users_ask(struct users *u, struct logins *l, struct admin_auth *admin)
{
	struct asked *a = mem_zalloc(sizeof(*a));

	if (!a) {
		admin->r = -ERR_NOMEM;
		admin->done(admin);
		return;
	}
	a->users = u;
	a->admin = admin;
	a->ask.change = admin->change;
	if (!admin->password) {
		change(a);
		return;
	}
	a->login.op = LOGIN_HASH;
	a->login.password = SLICE_STR(admin->password);
	a->login.msg.fn = hashed;
	logins_ask(l, &a->login);
}
