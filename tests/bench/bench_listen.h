/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* bench_listen - `iorio-bench listen`; ARGV begins with that word.  0: each
 * listener got each event once and in order. */
#ifndef TESTS_BENCH_BENCH_LISTEN_H
#define TESTS_BENCH_BENCH_LISTEN_H

int bench_listen(int argc, char **argv);

#endif
