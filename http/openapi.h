/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * openapi - the document at /openapi.json, made by scripts/openapi-c of
 * http/openapi/ and the table of routes.
 */
#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H

#include "src/base/buf.h"

struct slice openapi_text(void); /* for good */

#endif
