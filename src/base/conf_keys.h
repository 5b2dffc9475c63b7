/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * conf_keys - every key of iorio.conf, once.
 *
 * X(kind, field, "key", "default", low, high, flags).  Kinds: STR (text), INT,
 * SIZE (bytes), TIME (microseconds), FLAG, ENUM (index in the words of the
 * default, which come after it in the flags column).  An empty default is
 * unset:
 * "" or 0.
 */
#ifndef SRC_BASE_CONF_KEYS_H
#define SRC_BASE_CONF_KEYS_H

#define KB     (1ull << 10)
#define MB     (1ull << 20)
#define GB     (1ull << 30)
#define SECOND 1000000ull
#define DAY    (86400 * SECOND)

#define CONF_KEYS(X)                                                           \
	X(STR, nodename, "nodename", "iorio@127.0.0.1", 3, 255, 0)             \
	X(INT, ring_size, "ring_size", "64", 8, 1024, 0)                       \
	X(INT, workers, "workers", "auto", 1, 64, 0)                           \
	X(STR, cluster_ip, "cluster.ip", "127.0.0.1", 1, 64, 0)                \
	X(INT, cluster_port, "cluster.port", "8099", 0, 65535, 0)              \
	X(STR, cluster_cookie, "cluster.cookie", "iorio", 1, 255, CONF_SECRET) \
	X(STR, cluster_runtime_dir, "cluster.runtime_dir", "", 0, 255, 0)      \
	X(STR, handoff_ip, "handoff.ip", "127.0.0.1", 1, 64, 0)                \
	X(INT, handoff_port, "handoff.port", "8019", 0, 65535, 0)              \
	X(SIZE, handoff_rate, "handoff.rate", "0", 0, 1024 * GB, CONF_RELOAD)  \
	X(TIME, handoff_grace, "handoff.grace", "10m", 0, 365 * DAY, 0)        \
	X(INT, transfer_limit, "transfer_limit", "2", 0, 1000, CONF_RELOAD)    \
	X(FLAG, http_enabled, "http.enabled", "yes", 0, 1, 0)                  \
	X(STR, http_ip, "http.ip", "127.0.0.1", 1, 64, 0)                      \
	X(INT, http_port, "http.port", "8080", 1, 65535, 0)                    \
	X(SIZE, http_max_body, "http.max_body", "8MB", 1, 15 * MB, 0)          \
	X(SIZE, http_max_inflight, "http.max_inflight", "256MB", MB,           \
	    1024 * GB, 0)                                                      \
	X(INT, http_max_batch, "http.max_batch", "10000", 1, 1000000, 0)       \
	X(INT, http_max_connections, "http.max_connections", "10000", 1,       \
	    1000000, 0)                                                        \
	X(FLAG, http_cors_enabled, "http.cors.enabled", "no", 0, 1, 0)         \
	X(STR, http_cors_origins, "http.cors.origins", "*", 0, 4000, 0)        \
	X(STR, http_cors_headers, "http.cors.headers", "", 0, 4000, 0)         \
	X(TIME, http_cors_maxage, "http.cors.maxage", "60s", 0, 365 * DAY, 0)  \
	X(FLAG, https_enabled, "https.enabled", "no", 0, 1, 0)                 \
	X(STR, https_ip, "https.ip", "127.0.0.1", 1, 64, 0)                    \
	X(INT, https_port, "https.port", "8443", 1, 65535, 0)                  \
	X(STR, https_cert, "https.cert", "", 0, 4000, CONF_RELOAD)             \
	X(STR, https_key, "https.key", "", 0, 4000, CONF_RELOAD)               \
	X(STR, https_cacert, "https.cacert", "", 0, 4000, CONF_RELOAD)         \
	X(STR, auth_secret, "auth.secret", "", 0, 4000, CONF_SECRET)           \
	X(ENUM, auth_algorithm, "auth.algorithm", "hs512 hs384 hs256", 0, 0,   \
	    0)                                                                 \
	X(STR, auth_admin_username, "auth.admin.username", "admin", 1, 64, 0)  \
	X(STR, auth_admin_password, "auth.admin.password", "secret", 1, 1024,  \
	    CONF_SECRET)                                                       \
	X(FLAG, auth_admin_everywhere, "auth.admin.everywhere", "yes", 0, 1,   \
	    0)                                                                 \
	X(STR, auth_anon_username, "auth.anon.username", "anonymous", 1, 64,   \
	    0)                                                                 \
	X(TIME, auth_session_duration, "auth.session.duration", "24h", SECOND, \
	    3650 * DAY, 0)                                                     \
	X(FLAG, auth_has_bucket, "auth.permission.user.has_bucket", "yes", 0,  \
	    1, 0)                                                              \
	X(STR, auth_bucket_prefix, "auth.permission.user.bucket.prefix",       \
	    "_user_", 0, 190, 0)                                               \
	X(INT, request_n, "request.n", "3", 1, 5, 0)                           \
	X(INT, request_w, "request.w", "0", 0, 5, 0)                           \
	X(TIME, request_timeout, "request.timeout", "5s", SECOND / 10,         \
	    3600 * SECOND, CONF_RELOAD)                                        \
	X(ENUM, durability_sync, "durability.sync", "always interval never",   \
	    0, 0, 0)                                                           \
	X(INT, channel_max_items, "channel.max_items", "50", 0, 1000000, 0)    \
	X(SIZE, channel_max_items_size, "channel.max_items_size", "2MB", 0,    \
	    GB, 0)                                                             \
	X(TIME, listen_comet_timeout, "listen.comet_timeout", "60s", SECOND,   \
	    DAY, 0)                                                            \
	X(SIZE, listen_max_queue, "listen.max_queue", "1MB", 4 * KB, GB, 0)    \
	X(INT, listen_max_subscriptions, "listen.max_subscriptions", "1000",   \
	    1, 1000000, 0)                                                     \
	X(INT, retention_max_events, "retention.max_events", "", 1,            \
	    1ull << 62, 0)                                                     \
	X(SIZE, retention_max_bytes, "retention.max_bytes", "", 1, 1ull << 62, \
	    0)                                                                 \
	X(TIME, retention_max_age, "retention.max_age", "", SECOND,            \
	    36500 * DAY, 0)                                                    \
	X(TIME, retention_interval, "retention.interval", "60s", SECOND, DAY,  \
	    0)                                                                 \
	X(TIME, idempotency_window, "idempotency.window", "10m", SECOND,       \
	    7 * DAY, 0)                                                        \
	X(INT, idempotency_max, "idempotency.max", "1000000", 1, 100000000, 0) \
	X(SIZE, disk_reserve, "disk.reserve", "256MB", 0, 1024 * GB, 0)        \
	X(INT, limits_user_rps, "limits.user.rps", "0", 0, 1000000000,         \
	    CONF_RELOAD)                                                       \
	X(INT, limits_anonymous_rps, "limits.anonymous.rps", "0", 0,           \
	    1000000000, CONF_RELOAD)                                           \
	X(FLAG, metrics_public, "metrics.public", "no", 0, 1, 0)               \
	X(TIME, metrics_interval, "metrics.interval", "60s", SECOND, DAY, 0)   \
	X(STR, metrics_bucket, "metrics.bucket", "$sys", 1, 255, 0)            \
	X(STR, metrics_stream, "metrics.stream", "metrics", 1, 255, 0)         \
	X(STR, paths_data, "paths.data", "./data", 1, 3000, 0)                 \
	X(STR, paths_log, "paths.log", "./log", 1, 3000, 0)                    \
	X(SIZE, journal_segment, "journal.segment", "64MB", 4 * MB, GB, 0)     \
	X(SIZE, journal_max, "journal.max", "1GB", 16 * MB, 1024 * GB, 0)      \
	X(ENUM, log_level, "log.level", "info debug warn error", 0, 0,         \
	    CONF_RELOAD)                                                       \
	X(ENUM, log_format, "log.format", "text json", 0, 0, 0)                \
	X(ROTATE, log_rotate, "log.rotate", "10MB x 5", 1, 64, 0)

#endif
