/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_parse - from arguments to a row of the table. */
#include "admin/command_parse.h"

#include "admin/command_impl.h"
#include "src/base/utf8.h"

#define WAIT_MAX_S 31536000u /* a year */

/* Arguments are printed, and stand in JSON. */
static int
is_plain(const char *s)
{
	size_t n = strlen(s);

	if (utf8_check(s, n) != n)
		return 0;
	for (; *s; s++)
		if ((uint8_t)*s < 0x20 || *s == 0x7f)
			return 0;
	return 1;
}

static int
is_node(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= ADMIN_NAME_MAX && !strchr(s, ' ');
}

/* Dash or underscore. */
static int
same_word(const char *given, const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (given[i] != word[i] && !(given[i] == '_' && word[i] == '-'))
			return 0;
	return given[n] == '\0';
}

/* The row that the first arguments name; *USED of them. */
static const struct command_word *
find_word(const struct command *c, uint32_t *used)
{
	for (size_t i = 0; i < n_command_words; i++) {
		const struct command_word *w = &command_words[i];
		const char *second = strchr(w->words, ' ');
		size_t n =
		    second ? (size_t)(second - w->words) : strlen(w->words);

		if (c->n_args < (second ? 2u : 1u) ||
		    !same_word(c->args[0], w->words, n))
			continue;
		if (second &&
		    !same_word(c->args[1], second + 1, strlen(second + 1)))
			continue;
		*used = second ? 2 : 1;
		return w;
	}
	return NULL;
}

static int
parse_wait(struct command *c, const char *text)
{
	char *end;

	c->wait = 1;
	if (!*text)
		return 0;
	text++;
	if (*text < '0' || *text > '9')
		return -1;
	c->wait_s = strtoull(text, &end, 10);
	return *end || c->wait_s == 0 || c->wait_s > WAIT_MAX_S ? -1 : 0;
}

static int
parse_plan_id(struct command *c, const char *text)
{
	c->plan_id = text;
	return strlen(text) == 8 && strspn(text, "0123456789abcdef") == 8 ? 0
									  : -1;
}

/* Option number I; takes its value too.  How many arguments, or -1. */
static int
parse_option(struct command *c, uint32_t i, unsigned allowed)
{
	const char *a = c->args[i];

	if (strcmp(a, "--format=json") == 0 || strcmp(a, "--format=text") == 0)
		return 1;
	if ((allowed & OPTION_WAIT) && strncmp(a, "--wait", 6) == 0 &&
	    (a[6] == '\0' || a[6] == '='))
		return parse_wait(c, a + 6) ? -1 : 1;
	if ((allowed & OPTION_PLAN) && strncmp(a, "--plan=", 7) == 0)
		return parse_plan_id(c, a + 7) ? -1 : 1;
	if ((allowed & OPTION_PLAN) && strcmp(a, "--plan") == 0 &&
	    i + 1 < c->n_args)
		return parse_plan_id(c, c->args[i + 1]) ? -1 : 2;
	return -1;
}

/* Argument I, before which are N that are none: a password may begin with one
 * dash. */
static int
is_option(const struct command *c, uint32_t i, uint32_t n)
{
	int dashes = (int)strspn(c->args[i], "-");

	return n == 1 && (c->word->options & OPTION_SECRET) ? dashes > 1
							    : dashes > 0;
}

enum parse
command_parse(struct command *c)
{
	uint32_t used = 0, n = 0;
	int plain = 1, k;

	for (uint32_t i = 0; i < c->n_args; i++) {
		plain &= is_plain(c->args[i]);
		if (strcmp(c->args[i], "--format=json") == 0)
			c->json = 1;
	}
	while (c->n_args && strncmp(c->args[0], "--format=", 9) == 0) {
		if (parse_option(c, 0, 0) < 0)
			return PARSE_UNKNOWN;
		memmove(c->args, c->args + 1, --c->n_args * sizeof(*c->args));
	}
	c->word = find_word(c, &used);
	if (!c->word)
		return c->n_args && strcmp(c->args[0], "cluster") == 0
			   ? PARSE_CLUSTER
			   : PARSE_UNKNOWN;
	if (!plain)
		return PARSE_MISUSED;
	for (uint32_t i = used; i < c->n_args; i += (uint32_t)k) {
		k = 1;
		if (is_option(c, i, n))
			k = parse_option(c, i, c->word->options);
		else
			c->args[n++] = c->args[i];
		if (k < 0)
			return PARSE_MISUSED;
	}
	c->n_args = n;
	if (n < c->word->min_args || n > c->word->max_args)
		return PARSE_MISUSED;
	for (uint32_t i = 0; i < n && i < c->word->n_nodes; i++)
		if (!is_node(c->args[i]))
			return PARSE_MISUSED;
	return PARSE_OK;
}
