/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tls - TLS on the sockets of tcp: the only module that knows libssl.
 *
 * Owns:    a context is immutable and counted: connections keep theirs when a
 *          new one is put into use.
 * Shape:   non-blocking; TLS 1.2 and 1.3; ALPN http/1.1; no renegotiation.
 * Thread:  a context: any; a connection: its worker.
 * Errors:  as in tcp.h.
 */
#ifndef SRC_OS_TLS_H
#define SRC_OS_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct tls_context; /* opaque */
struct tls;         /* opaque */

struct tls_files {
	const char *cert; /* PEM: the certificate, then those that signed it */
	const char *key;  /* PEM, without a password; empty: in CERT */
	/* PEM: clients need a certificate that one of these signed; empty: they
	 * need none. */
	const char *cacert;
};

#define TLS_ID_BYTES 32 /* SHA-256 of the certificate */

/* Reads files, so: not on a loop.  On failure WHY names the file. */
int tls_context_new(struct tls_context **out, const struct tls_files *files,
    char *why, size_t why_bytes);
struct tls_context *tls_context_ref(struct tls_context *c);
/* Takes NULL, returns NULL. */
struct tls_context *tls_context_unref(struct tls_context *c);
const uint8_t *tls_context_id(const struct tls_context *c);
/* When the certificate ends, in seconds since 1970; 0: that cannot be said. */
uint64_t tls_context_ends_s(const struct tls_context *c);

/* The server's side on FD, which stays the caller's.  NULL: no memory. */
struct tls *tls_new(struct tls_context *c, int fd);
struct tls *tls_free(struct tls *t); /* takes NULL, returns NULL */

/* As tcp_read and tcp_writev.  After TCP_E_AGAIN *OTHER says that it is the
 * other direction of the socket that must be waited for. */
int tls_read(struct tls *t, void *out, size_t n, size_t *got, int *other);
int tls_writev(
    struct tls *t, const struct iovec *iov, int n, size_t *put, int *other);
/* There are bytes to be read of which the socket does not know any more. */
int tls_has_pending(const struct tls *t);
/* Tells the peer that no more will come. */
void tls_shutdown(struct tls *t);

#endif
