/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * layout - the small rules that the tables share (cluster.md section 4.1, 4.5).
 *
 * Pure; adds to OUT.
 */
#ifndef ADMIN_LAYOUT_H
#define ADMIN_LAYOUT_H

#include "ring/ring.h"
#include "src/base/buf.h"

#define LAYOUT_WIDTH 79

/* N times C. */
void layout_fill(struct buf *out, char c, size_t n);
/* A whole line of C. */
void layout_rule(struct buf *out, char c);
/* LEFT times `=`, TITLE between blanks, RIGHT times `=`. */
void layout_heading(
    struct buf *out, size_t left, const char *title, size_t right);
/* TEXT in the middle of WIDTH columns; what is over goes to the right. */
void layout_centre(struct buf *out, const char *text, size_t width);

/* COUNT of Q as tenths of a percent, half up: 4 of 64 is 63. */
uint32_t layout_tenths(uint32_t count, uint32_t q);
#define LAYOUT_PERCENT_BYTES 16
/* The same as text, WIDTH columns: "  6.3". */
const char *layout_percent(
    uint32_t count, uint32_t q, int width, char out[LAYOUT_PERCENT_BYTES]);

/*
 * ['a@h','b@h']: the names of the members I of R for which MARKED[I] == WANT,
 * by name, filled to 80 columns; OUT's last line ends where the list begins.
 */
void layout_members(
    struct buf *out, const struct ring *r, const uint8_t *marked, uint8_t want);

/* Places in R's members by name; ORDER has room for n_members. */
void layout_by_name(const struct ring *r, uint16_t *order);

/* "2.02 s", "16.97 ms": us, ms, s, min, hr, d. */
void layout_time(struct buf *out, uint64_t us);
/* "23.59 MB": B, KB, MB, GB of 1024. */
void layout_bytes(struct buf *out, uint64_t bytes);
/* "2026-11-23 17:10:48", in UTC. */
void layout_date(struct buf *out, uint64_t ms);

#define LAYOUT_INDEX_BYTES 64
/* Slot G of Q as a decimal index: g * 2^160 / Q. */
const char *layout_index(uint32_t g, uint32_t q, char out[LAYOUT_INDEX_BYTES]);

/* `"name":` and its value, a comma before it unless an object begins. */
void layout_json_key(struct buf *out, const char *key);
void layout_json_string(struct buf *out, const char *key, const char *value);
void layout_json_tenths(struct buf *out, uint32_t tenths); /* 25.0 */
/* {"ok":bool,"message":TEXT without its last newline} and a newline. */
void layout_json_message(struct buf *out, int ok, struct slice text);

#endif
