/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tls - TLS on the sockets of tcp.
 *
 * RFC 8446, RFC 5246, RFC 7301.  Where libssl leaves a choice: recommendations of
 * RFC 9325: no TLS 1.0 and 1.1, forward secrecy and AEAD only, no renegotiation,
 * no compression.
 */
#include "src/os/tls.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/tcp.h"

#define RECORD_BYTES 16384

struct tls_context {
	atomic_uint refs;
	SSL_CTX *ssl;
	uint8_t id[TLS_ID_BYTES];
	uint64_t ends_s;
};

struct tls {
	struct tls_context *context;
	SSL *ssl;
	int broken; /* libssl must not be called again */
};

/* --- contexts ------------------------------------------------------------- */

/* RFC 7301: a client that names protocols must name ours. */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, in,
		in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Nobody sits at a terminal to type it. */
static int
no_password(char *out, int n, int writing, void *arg)
{
	(void)out;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

static int
set_up(SSL_CTX *s)
{
	static const unsigned char id[] = "iorio";

	SSL_CTX_set_options(s, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				   SSL_OP_CIPHER_SERVER_PREFERENCE |
				   SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(s, SSL_MODE_ENABLE_PARTIAL_WRITE |
				SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				SSL_MODE_RELEASE_BUFFERS);
	/* Tickets only: nothing is kept for clients that are away. */
	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(s, choose_protocol, NULL);
	SSL_CTX_set_default_passwd_cb(s, no_password);
	if (!SSL_CTX_set_min_proto_version(s, TLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(s, "ECDHE+AESGCM:ECDHE+CHACHA20") ||
	    !SSL_CTX_set_session_id_context(s, id, sizeof(id) - 1))
		return -ERR_SYSTEM;
	return 0;
}

/* The newest of libssl's complaints, which is the nearest to the cause. */
static int
complain(const char *key, const char *file, char *why, size_t n)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	if (ERR_SYSTEM_ERROR(e))
		reason = strerror(ERR_GET_REASON(e));
	snprintf(why, n, "%s: %s: %s", key, file,
	    reason ? reason : "cannot be used");
	ERR_clear_error();
	return -ERR_INVAL;
}

static int
take_clients(SSL_CTX *s, const char *file)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);

	if (!names)
		return -ERR_INVAL;
	SSL_CTX_set_client_CA_list(s, names); /* takes it over */
	if (!SSL_CTX_load_verify_file(s, file))
		return -ERR_INVAL;
	SSL_CTX_set_verify(
	    s, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

static int
take_files(SSL_CTX *s, const struct tls_files *f, char *why, size_t why_bytes)
{
	const char *key = f->key[0] ? f->key : f->cert;

	ERR_clear_error();
	if (!SSL_CTX_use_certificate_chain_file(s, f->cert))
		return complain("https.cert", f->cert, why, why_bytes);
	if (!SSL_CTX_use_PrivateKey_file(s, key, SSL_FILETYPE_PEM) ||
	    !SSL_CTX_check_private_key(s))
		return complain("https.key", key, why, why_bytes);
	if (f->cacert[0] && take_clients(s, f->cacert))
		return complain("https.cacert", f->cacert, why, why_bytes);
	return 0;
}

static void
note_certificate(struct tls_context *c)
{
	X509 *cert = SSL_CTX_get0_certificate(c->ssl);
	unsigned n = TLS_ID_BYTES;
	struct tm tm;

	X509_digest(cert, EVP_sha256(), c->id, &n);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm))
		c->ends_s = (uint64_t)timegm(&tm);
}

int
tls_context_new(struct tls_context **out, const struct tls_files *files,
    char *why, size_t why_bytes)
{
	struct tls_context *c = mem_zalloc(sizeof(*c));
	int r;

	why[0] = '\0';
	if (!c)
		return -ERR_NOMEM;
	atomic_init(&c->refs, 1);
	c->ssl = SSL_CTX_new(TLS_server_method());
	r = c->ssl ? set_up(c->ssl) : -ERR_NOMEM;
	if (r == 0)
		r = take_files(c->ssl, files, why, why_bytes);
	if (r) {
		if (!why[0])
			snprintf(why, why_bytes, "https: %s", err_text(r));
		tls_context_unref(c);
		return r;
	}
	note_certificate(c);
	*out = c;
	return 0;
}

struct tls_context *
tls_context_ref(struct tls_context *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

struct tls_context *
tls_context_unref(struct tls_context *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
		return NULL;
	SSL_CTX_free(c->ssl);
	return mem_free(c);
}

const uint8_t *
tls_context_id(const struct tls_context *c)
{
	return c->id;
}

uint64_t
tls_context_ends_s(const struct tls_context *c)
{
	return c->ends_s;
}

/* --- connections ---------------------------------------------------------- */

struct tls *
tls_new(struct tls_context *c, int fd)
{
	struct tls *t = mem_zalloc(sizeof(*t));

	if (!t)
		return NULL;
	t->ssl = SSL_new(c->ssl);
	if (!t->ssl || !SSL_set_fd(t->ssl, fd)) {
		SSL_free(t->ssl);
		ERR_clear_error();
		return mem_free(t);
	}
	SSL_set_accept_state(t->ssl); /* the first read does the handshake */
	t->context = tls_context_ref(c);
	return t;
}

struct tls *
tls_free(struct tls *t)
{
	if (!t)
		return NULL;
	SSL_free(t->ssl);
	tls_context_unref(t->context);
	return mem_free(t);
}

/* What an unsuccessful call means; SAME is what waits for its own direction. */
static int
condition(struct tls *t, int ret, int same, int *other)
{
	int e = SSL_get_error(t->ssl, ret);

	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		*other = e != same;
		return TCP_E_AGAIN;
	}
	if (e == SSL_ERROR_ZERO_RETURN)
		return TCP_E_EOF;
	t->broken = 1;
	ERR_clear_error();
	return -ERR_IO;
}

int
tls_read(struct tls *t, void *out, size_t n, size_t *got, int *other)
{
	size_t at = 0, k;
	int ret, r;

	if (t->broken)
		return -ERR_IO;
	do { /* a record may be shorter than what there is room for */
		ERR_clear_error();
		ret = SSL_read_ex(t->ssl, (uint8_t *)out + at, n - at, &k);
		if (ret != 1)
			break;
		at += k;
	} while (at < n);
	r = ret == 1 ? 0 : condition(t, ret, SSL_ERROR_WANT_READ, other);
	if (at == 0)
		return r;
	*got = at; /* what ended it will be seen again */
	return 0;
}

/* Small slices become one record; what is passed is a prefix of all, and never
 * shorter when it is tried again, as libssl wants it. */
static size_t
gather(const struct iovec *iov, int n, uint8_t out[RECORD_BYTES])
{
	size_t at = 0;

	for (int i = 0; i < n && at < RECORD_BYTES; i++) {
		size_t k = iov[i].iov_len;

		if (k > RECORD_BYTES - at)
			k = RECORD_BYTES - at;
		memcpy(out + at, iov[i].iov_base, k);
		at += k;
	}
	return at;
}

int
tls_writev(
    struct tls *t, const struct iovec *iov, int n, size_t *put, int *other)
{
	uint8_t store[RECORD_BYTES];
	const void *p = iov[0].iov_base;
	size_t bytes = iov[0].iov_len, k = 0;
	int ret;

	if (t->broken)
		return -ERR_IO;
	if (bytes < RECORD_BYTES) {
		bytes = gather(iov, n, store);
		p = store;
	} else {
		bytes = RECORD_BYTES;
	}
	ERR_clear_error();
	ret = SSL_write_ex(t->ssl, p, bytes, &k);
	if (ret != 1)
		return condition(t, ret, SSL_ERROR_WANT_WRITE, other);
	*put = k;
	return 0;
}

int
tls_has_pending(const struct tls *t)
{
	return !t->broken && SSL_pending(t->ssl) > 0;
}

void
tls_shutdown(struct tls *t)
{
	if (t->broken || !SSL_is_init_finished(t->ssl))
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl); /* if it does not fit, it is not said */
	ERR_clear_error();
}
