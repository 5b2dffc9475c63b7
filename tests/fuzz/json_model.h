/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * json_model - JSON as RFC 8259 draws it, one byte after the other.
 *
 * The dumb oracle of fuzz_json: it shares no code with src/base/json.c, and as
 * it never looks ahead it answers as if each byte came alone.
 */
#ifndef TESTS_FUZZ_JSON_MODEL_H
#define TESTS_FUZZ_JSON_MODEL_H

#include "src/base/buf.h"

/* 0, JSON_E_INVALID or JSON_E_DEPTH, as json_check should say. */
int json_model(struct slice text, unsigned max_depth);

#endif
