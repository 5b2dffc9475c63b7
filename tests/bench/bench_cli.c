/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* bench_cli - what a run is asked for, and what is said of it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

#define BATCH_MAX 10000

static _Noreturn void
usage(FILE *out)
{
	fputs(
	    "Usage: iorio-bench {append|read|login} [options]\n"
	    "       iorio-bench listen --help\n"
	    "  --host IP          127.0.0.1     --port N           8080\n"
	    "  -u USER            admin         -p PASSWORD        secret\n"
	    "  --token T          no login      --connections N    50\n"
	    "  --seconds S        10            --rate N           0: closed "
	    "loop\n"
	    "  --size BYTES       256           --streams N        64\n"
	    "  --bucket B         bench         --limit N          1 (read)\n"
	    "  --batch N          events in a request, as NDJSON; 1 "
	    "(append)\n"
	    "  --if-match         each append if the one before is the newest "
	    "(append)\n"
	    "  --keys N           with idempotency keys; N of 100 are sent "
	    "twice (append)\n"
	    "  --verify           read back what was acknowledged (append)\n"
	    "  --json             one JSON object instead of a line\n",
	    out);
	exit(out == stdout ? 0 : 1);
}

void
bench_parse(struct bench *b, int argc, char **argv)
{
	static const struct option options[] = {{"host", 1, NULL, 'h'},
	    {"port", 1, NULL, 'o'}, {"token", 1, NULL, 't'},
	    {"user", 1, NULL, 'u'}, {"password", 1, NULL, 'p'},
	    {"connections", 1, NULL, 'c'}, {"seconds", 1, NULL, 's'},
	    {"rate", 1, NULL, 'r'}, {"size", 1, NULL, 'z'},
	    {"streams", 1, NULL, 'S'}, {"bucket", 1, NULL, 'b'},
	    {"limit", 1, NULL, 'l'}, {"batch", 1, NULL, 'B'},
	    {"if-match", 0, NULL, 'm'}, {"keys", 1, NULL, 'k'},
	    {"verify", 0, NULL, 'v'}, {"json", 0, NULL, 'j'},
	    {"help", 0, NULL, 'H'}, {0}};
	int o;

	*b = (struct bench){.host = "127.0.0.1",
	    .user = "admin",
	    .password = "secret",
	    .port = 8080,
	    .connections = 50,
	    .seconds = 10,
	    .size = 256,
	    .streams = 64,
	    .bucket = "bench",
	    .limit = 1,
	    .batch = 1,
	    .keys = -1};
	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		usage(stdout);
	if (argc < 2 ||
	    (strcmp(argv[1], "append") != 0 && strcmp(argv[1], "read") != 0 &&
		strcmp(argv[1], "login") != 0))
		usage(stderr);
	b->mode = argv[1];
	while ((o = getopt_long(argc - 1, argv + 1, "u:p:", options, NULL)) !=
	       -1) {
		long n = optarg ? strtol(optarg, NULL, 10) : 0;

		switch (o) {
		case 'h':
			b->host = optarg;
			break;
		case 'o':
			b->port = (int)n;
			break;
		case 't':
			b->token = optarg;
			break;
		case 'u':
			b->user = optarg;
			break;
		case 'p':
			b->password = optarg;
			break;
		case 'c':
			b->connections = (int)n;
			break;
		case 's':
			b->seconds = strtod(optarg, NULL);
			break;
		case 'r':
			b->rate = strtod(optarg, NULL);
			break;
		case 'z':
			b->size = (int)n;
			break;
		case 'S':
			b->streams = (int)n;
			break;
		case 'b':
			b->bucket = optarg;
			break;
		case 'l':
			b->limit = (int)n;
			break;
		case 'B':
			b->batch = (int)n;
			break;
		case 'm':
			b->if_match = 1;
			break;
		case 'k':
			b->keys = n < 0 ? 101 : (int)n;
			break;
		case 'v':
			b->verify = 1;
			break;
		case 'j':
			b->json = 1;
			break;
		case 'H':
			usage(stdout);
		default:
			usage(stderr);
		}
	}
	if (b->connections < 1 || b->streams < 1 || b->size < 64 ||
	    b->size > 65536 || b->batch < 1 || b->batch > BATCH_MAX ||
	    ((b->batch > 1 || b->if_match || b->keys >= 0) &&
		b->mode[0] != 'a') ||
	    b->keys > 100 || (long)b->size * b->batch > (8l << 20))
		usage(stderr);
}

void
bench_report(const struct bench *b, double seconds, uint64_t lost)
{
	const struct hist *h = &b->hist;
	char more[96] = "";

	if (b->if_match || b->keys >= 0)
		snprintf(more, sizeof(more),
		    "  %llu conflicts  %llu asked again  %llu replayed",
		    (unsigned long long)b->n_conflicts,
		    (unsigned long long)b->n_again,
		    (unsigned long long)b->n_replayed);
	if (b->json)
		printf("{\"mode\":\"%s\",\"connections\":%d,\"ok\":%llu,"
		       "\"failed\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,"
		       "\"events_per_second\":%.1f,"
		       "\"p50_us\":%llu,\"p99_us\":%llu,\"p999_us\":%llu,"
		       "\"max_us\":%llu,\"bytes_in\":%llu,\"conflicts\":%llu,"
		       "\"again\":%llu,\"replayed\":%llu,\"lost\":%llu}\n",
		    b->mode, b->connections, (unsigned long long)b->n_ok,
		    (unsigned long long)b->n_failed, seconds,
		    (double)b->n_ok / seconds,
		    (double)b->n_ok * b->batch / seconds,
		    (unsigned long long)hist_quantile(h, 0.5),
		    (unsigned long long)hist_quantile(h, 0.99),
		    (unsigned long long)hist_quantile(h, 0.999),
		    (unsigned long long)h->max, (unsigned long long)b->bytes_in,
		    (unsigned long long)b->n_conflicts,
		    (unsigned long long)b->n_again,
		    (unsigned long long)b->n_replayed,
		    (unsigned long long)lost);
	else
		printf("%-8s %4d connections  %9.0f/s  p50 %6llu us  "
		       "p99 %6llu us  p99.9 %6llu us  max %7llu us  "
		       "%llu ok  %llu failed%s%s\n",
		    b->mode, b->connections, (double)b->n_ok / seconds,
		    (unsigned long long)hist_quantile(h, 0.5),
		    (unsigned long long)hist_quantile(h, 0.99),
		    (unsigned long long)hist_quantile(h, 0.999),
		    (unsigned long long)h->max, (unsigned long long)b->n_ok,
		    (unsigned long long)b->n_failed, more,
		    !b->verify ? ""
		    : lost     ? "  VERIFY FAILED"
			       : "  verified");
	if (lost)
		fprintf(stderr, "verify: %llu events lost or changed\n",
		    (unsigned long long)lost);
}
