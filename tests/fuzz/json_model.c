/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* json_model - an automaton with a stack of open brackets. */
#include "tests/fuzz/json_model.h"

#include "src/base/assert.h"
#include "src/base/json.h"
#include "src/base/mem.h"

enum state {
	VALUE,
	FIRST_ITEM, /* a value or ] */
	FIRST_NAME, /* a name or } */
	NAME,
	COLON,
	BEHIND, /* a value: , or the closing bracket, or the end */
	STRING,
	ESCAPE,
	HEX, /* so many are left */
	WORD,
	MINUS,
	ZERO,
	INTEGER,
	POINT,
	FRACTION,
	EXPONENT,
	SIGN,
	POWER,
};

struct model {
	enum state state;
	int is_name; /* the string */
	int hex_left;
	const char *word; /* what is left of true, false, null */
	uint8_t *open;    /* brackets */
	size_t n_open;
	unsigned max_depth;
	/* UTF-8: bytes that must follow, and the bounds of the next. */
	int more;
	uint8_t low, high;
	int bad_bytes;
};

/* --- bytes: RFC 3629 section 4 -------------------------------------------- */

static void
begin_sequence(struct model *m, uint8_t c)
{
	m->low = 0x80;
	m->high = 0xbf;
	if (c < 0x80) {
		m->more = 0;
	} else if (c >= 0xc2 && c <= 0xdf) {
		m->more = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		m->more = 2;
		m->low = c == 0xe0 ? 0xa0 : 0x80;
		m->high = c == 0xed ? 0x9f : 0xbf;
	} else if (c >= 0xf0 && c <= 0xf4) {
		m->more = 3;
		m->low = c == 0xf0 ? 0x90 : 0x80;
		m->high = c == 0xf4 ? 0x8f : 0xbf;
	} else {
		m->bad_bytes = 1;
	}
}

static void
take_byte(struct model *m, uint8_t c)
{
	if (c == '\f' || c == '\v')
		m->bad_bytes = 1;
	if (m->more == 0) {
		begin_sequence(m, c);
		return;
	}
	if (c < m->low || c > m->high)
		m->bad_bytes = 1;
	m->low = 0x80;
	m->high = 0xbf;
	m->more--;
}

/* --- grammar -------------------------------------------------------------- */

static int
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int
open_bracket(struct model *m, uint8_t c)
{
	m->open[m->n_open++] = c;
	m->state = c == '[' ? FIRST_ITEM : FIRST_NAME;
	return m->n_open > m->max_depth ? JSON_E_DEPTH : 0;
}

static int
close_bracket(struct model *m, uint8_t c)
{
	uint8_t opened = c == ']' ? '[' : '{';

	if (m->n_open == 0 || m->open[m->n_open - 1] != opened)
		return JSON_E_INVALID;
	m->n_open--;
	m->state = BEHIND;
	return 0;
}

static int
begin_word(struct model *m, const char *rest)
{
	m->word = rest;
	m->state = WORD;
	return 0;
}

static int
begin_value(struct model *m, uint8_t c)
{
	switch (c) {
	case '[':
	case '{':
		return open_bracket(m, c);
	case '"':
		m->state = STRING;
		m->is_name = 0;
		return 0;
	case 't':
		return begin_word(m, "rue");
	case 'f':
		return begin_word(m, "alse");
	case 'n':
		return begin_word(m, "ull");
	case '-':
		m->state = MINUS;
		return 0;
	case '0':
		m->state = ZERO;
		return 0;
	}
	m->state = INTEGER;
	return is_digit(c) ? 0 : JSON_E_INVALID;
}

static int
begin_name(struct model *m, uint8_t c)
{
	m->state = STRING;
	m->is_name = 1;
	return c == '"' ? 0 : JSON_E_INVALID;
}

static int
behind(struct model *m, uint8_t c)
{
	if (c == ']' || c == '}')
		return close_bracket(m, c);
	if (c != ',' || m->n_open == 0)
		return JSON_E_INVALID;
	m->state = m->open[m->n_open - 1] == '[' ? VALUE : NAME;
	return 0;
}

static int
in_string(struct model *m, uint8_t c)
{
	if (c == '"')
		m->state = m->is_name ? COLON : BEHIND;
	else if (c == '\\')
		m->state = ESCAPE;
	return c < 0x20 ? JSON_E_INVALID : 0;
}

static int
in_escape(struct model *m, uint8_t c)
{
	m->state = STRING;
	if (c == 'u') {
		m->state = HEX;
		m->hex_left = 4;
	}
	return c && strchr("\"\\/bfnrtu", c) ? 0 : JSON_E_INVALID;
}

static int
in_hex(struct model *m, uint8_t c)
{
	if (--m->hex_left == 0)
		m->state = STRING;
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')
		   ? 0
		   : JSON_E_INVALID;
}

static int
in_word(struct model *m, uint8_t c)
{
	if (c != (uint8_t)*m->word++)
		return JSON_E_INVALID;
	if (!*m->word)
		m->state = BEHIND;
	return 0;
}

/* The next state of a number at C; BEHIND: it ended before C; -1: wrong. */
static int
next_of_number(enum state s, uint8_t c)
{
	int e = c == 'e' || c == 'E', digit = is_digit(c);

	switch (s) {
	case MINUS:
		return c == '0' ? ZERO : digit ? INTEGER : -1;
	case ZERO:
		return c == '.' ? POINT : e ? EXPONENT : BEHIND;
	case INTEGER:
		return digit      ? INTEGER
		       : c == '.' ? POINT
		       : e        ? EXPONENT
				  : BEHIND;
	case POINT:
		return digit ? FRACTION : -1;
	case FRACTION:
		return digit ? FRACTION : e ? EXPONENT : BEHIND;
	case EXPONENT:
		return digit ? POWER : c == '+' || c == '-' ? SIGN : -1;
	case SIGN:
		return digit ? POWER : -1;
	default:
		return digit ? POWER : BEHIND;
	}
}

static int
between_tokens(struct model *m, uint8_t c)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
		return 0;
	switch (m->state) {
	case FIRST_ITEM:
		return c == ']' ? close_bracket(m, c) : begin_value(m, c);
	case FIRST_NAME:
		return c == '}' ? close_bracket(m, c) : begin_name(m, c);
	case NAME:
		return begin_name(m, c);
	case COLON:
		m->state = VALUE;
		return c == ':' ? 0 : JSON_E_INVALID;
	case BEHIND:
		return behind(m, c);
	default:
		return begin_value(m, c);
	}
}

static int
take(struct model *m, uint8_t c)
{
	int next;

	switch (m->state) {
	case STRING:
		return in_string(m, c);
	case ESCAPE:
		return in_escape(m, c);
	case HEX:
		return in_hex(m, c);
	case WORD:
		return in_word(m, c);
	default:
		break;
	}
	if (m->state < MINUS)
		return between_tokens(m, c);
	next = next_of_number(m->state, c);
	if (next < 0)
		return JSON_E_INVALID;
	m->state = (enum state)next;
	return next == BEHIND ? between_tokens(m, c) : 0;
}

int
json_model(struct slice text, unsigned max_depth)
{
	struct model m = {.max_depth = max_depth};
	int r = 0;

	m.open = mem_alloc(text.n);
	ASSERT(m.open);
	for (size_t i = 0; i < text.n; i++) {
		take_byte(&m, text.p[i]);
		if (r == 0)
			r = take(&m, text.p[i]);
	}
	if (m.bad_bytes || m.more)
		r = JSON_E_INVALID;
	else if (r == 0 && m.state >= MINUS && m.state != BEHIND)
		r = next_of_number(m.state, ' ') == BEHIND && m.n_open == 0
			? 0
			: JSON_E_INVALID;
	else if (r == 0)
		r = m.state == BEHIND && m.n_open == 0 ? 0 : JSON_E_INVALID;
	mem_free(m.open);
	return r;
}
