/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * banned - library calls that this project does not use, made errors.
 *
 * Included by the build for every source file (-include), so that no file can
 * forget it.  The first column of each comment names what to use instead.
 */
#ifndef SRC_BASE_BANNED_H
#define SRC_BASE_BANNED_H

/* The headers that declare them come first: poison forbids even that later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* buf_add*, snprintf: unbounded writes. */
#pragma GCC poison strcpy strcat sprintf vsprintf gets stpcpy
/* conf_parse_*, strtoull: no error report. */
#pragma GCC poison atoi atol atoll atof
/* strtok_r, slices: hidden state. */
#pragma GCC poison strtok
/* gmtime_r, localtime_r: hidden state. */
#pragma GCC poison gmtime localtime asctime ctime
/* Timers: nothing sleeps on a loop thread. */
#pragma GCC poison sleep usleep
/* env->rng: the simulator must own every random number. */
#pragma GCC poison srand srandom drand48

#endif
