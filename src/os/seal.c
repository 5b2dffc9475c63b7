/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * seal - sealed frames between nodes.
 *
 * One message of nanomsg, or of a line (net_line.c), is one sealed frame, little
 * endian:
 *
 *	  0  u32  magic "IONF"
 *	  4  u8   version = 1
 *	  5  u8   kind: 1 hello, 2 frame, 3 piece of a frame, 4 greeting,
 *		5 bundle of frames
 *	  6  u16  number of the sender's key
 *	  8  [16] cluster id; zeros: the receiver need not be a member
 *	 24  [16] node id of the sender
 *	 40  [16] boot of the sender: 128 bits drawn at each of its starts
 *	 56  [16] node id of the receiver; zeros: whoever listens (hello only)
 *	 72  [16] boot of the receiver; zeros: not known (hello only)
 *	 88  u64  counter
 *	 96       body, encrypted
 *	  +  [16] tag over head and body
 *
 * Key.  HKDF-SHA256 (RFC 5869), 32 bytes: the cookie; salt the 18 bytes of
 * `iorio-db sealed v1`; info sender id, sender boot, number as u16.  Number:
 * 2 * worker + channel, and 2 * workers for the thread of the transport.
 *
 * Nonce.  4 zero bytes and the counter.  All keys of a node draw from one
 * counter that begins at 1 with each boot and never goes back (an atomic
 * addition), so that no two frames of one boot have the same counter, whatever
 * their key; another boot has other keys; another node too.  So no nonce is
 * used twice under a key, which AES-GCM (NIST SP 800-38D, section 8) rests on.
 * 2^64 frames are not reached, nor is the bound of blocks of one key.
 *
 * Whole and unchanged.  The head is authenticated with the body (AAD), so
 * neither can be changed, nor a body put behind another head.  A frame is for
 * the receiver, and the boot of the receiver, that its head names.
 *
 * Replay.  A receiver R takes frames of S only under the one boot s of S that
 * answered a challenge of R (hello.c): s was S's boot then, later boots
 * answer later challenges, and a challenge is 128 random bits that count once.
 * Of those frames
 *	- the ones for an earlier boot of R name another boot in their head;
 *	- the ones of an earlier boot of S name another sender boot;
 *	- the ones that came before since R accepted s are in the window of
 *	  their key, and what falls out of it is refused unseen;
 *	- the ones that S sealed before it answered have a lower counter than
 *	  the answer, which is the floor of all windows: so that nothing comes
 *	  back either when R has forgotten S for a while and its windows with
 *	  it.
 * A hello is in no window: one that is played again is an answer to a
 * challenge that is not open, which does nothing, or asks a challenge, whose
 * answer says only what its head says: who R is, and R's boot.
 *
 * What is not kept from someone who listens: who talks to whom, when, and how
 * much.  A cookie that can be guessed can be tried against a recorded frame.
 */
#include "src/os/seal.h"

#include <sys/uio.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"

#define MAGIC     0x464e4f49u /* "IONF" */
#define VERSION   1
#define KEY_BYTES 32
#define IV_BYTES  12

struct seal_key {
	EVP_CIPHER_CTX *ctx; /* keyed; each frame only sets the nonce */
	int to_seal;
};

/* --- the head ------------------------------------------------------------- */

static void
put_head(uint8_t *p, const struct seal_head *h)
{
	le_put32(p, MAGIC);
	p[4] = VERSION;
	p[5] = h->kind;
	le_put16(p + 6, h->number);
	memcpy(p + 8, h->cluster, 16);
	memcpy(p + 24, h->sender, 16);
	memcpy(p + 40, h->sender_boot, 16);
	memcpy(p + 56, h->receiver, 16);
	memcpy(p + 72, h->receiver_boot, 16);
	le_put64(p + 88, h->counter);
}

int
seal_read_head(struct slice frame, struct seal_head *out)
{
	const uint8_t *p = frame.p;

	if (frame.n < SEAL_BYTES || le_get32(p) != MAGIC)
		return -ERR_CORRUPT;
	if (p[4] != VERSION)
		return -ERR_FORMAT;
	if (p[5] == 0 || p[5] >= SEAL_KIND_COUNT)
		return -ERR_CORRUPT;
	out->kind = p[5];
	out->number = le_get16(p + 6);
	memcpy(out->cluster, p + 8, 16);
	memcpy(out->sender, p + 24, 16);
	memcpy(out->sender_boot, p + 40, 16);
	memcpy(out->receiver, p + 56, 16);
	memcpy(out->receiver_boot, p + 72, 16);
	out->counter = le_get64(p + 88);
	return 0;
}

/* --- keys ----------------------------------------------------------------- */

static int
derive(uint8_t key[KEY_BYTES], const char *cookie, const uint8_t info[34])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	char digest[] = "SHA256", salt[] = "iorio-db sealed v1";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 6),
	    OSSL_PARAM_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)cookie, strlen(cookie)),
	    OSSL_PARAM_octet_string(
		OSSL_KDF_PARAM_SALT, salt, sizeof(salt) - 1),
	    OSSL_PARAM_octet_string(
		OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, 34),
	    OSSL_PARAM_END,
	};
	int r = 0;

	if (!ctx || EVP_KDF_derive(ctx, key, KEY_BYTES, params) != 1)
		r = -ERR_NOMEM;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return r;
}

static EVP_CIPHER_CTX *
keyed(const uint8_t key[KEY_BYTES], int to_seal)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *ctx = cipher ? EVP_CIPHER_CTX_new() : NULL;

	if (ctx &&
	    EVP_CipherInit_ex2(ctx, cipher, key, NULL, to_seal, NULL) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_CIPHER_free(cipher); /* the context holds it */
	return ctx;
}

struct seal_key *
seal_key_new(const char *cookie, const uint8_t sender[16],
    const uint8_t boot[16], uint16_t number, int to_seal)
{
	struct seal_key *k = mem_zalloc(sizeof(*k));
	uint8_t info[34], key[KEY_BYTES];

	if (!k)
		return NULL;
	memcpy(info, sender, 16);
	memcpy(info + 16, boot, 16);
	le_put16(info + 32, number);
	k->to_seal = to_seal;
	if (derive(key, cookie, info) == 0)
		k->ctx = keyed(key, to_seal);
	OPENSSL_cleanse(key, sizeof(key));
	return k->ctx ? k : seal_key_free(k);
}

struct seal_key *
seal_key_free(struct seal_key *k)
{
	if (!k)
		return NULL;
	EVP_CIPHER_CTX_free(k->ctx);
	return mem_free(k);
}

/* --- sealing -------------------------------------------------------------- */

/* What fails once the key is set is a use that is wrong: nothing is allocated.
 */
static void
begin(struct seal_key *k, uint64_t counter, const uint8_t *head)
{
	uint8_t iv[IV_BYTES] = {0};
	int n;

	le_put64(iv + 4, counter);
	ASSERT(
	    EVP_CipherInit_ex2(k->ctx, NULL, NULL, iv, k->to_seal, NULL) == 1);
	ASSERT(EVP_CipherUpdate(k->ctx, NULL, &n, head, SEAL_HEAD_BYTES) == 1);
}

void
seal(struct seal_key *k, const struct seal_head *h, const struct iovec *iov,
    int n, uint8_t *out)
{
	uint8_t *p = out + SEAL_HEAD_BYTES;
	int put;

	ASSERT(k->to_seal);
	put_head(out, h);
	begin(k, h->counter, out);
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len == 0)
			continue;
		ASSERT(EVP_CipherUpdate(k->ctx, p, &put, iov[i].iov_base,
			   (int)iov[i].iov_len) == 1);
		p += put;
	}
	ASSERT(EVP_CipherFinal_ex(k->ctx, p, &put) == 1 && put == 0);
	ASSERT(EVP_CIPHER_CTX_ctrl(
		   k->ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, p) == 1);
}

int
seal_open(struct seal_key *k, struct slice frame, uint8_t *out)
{
	size_t n = frame.n - SEAL_BYTES;
	const uint8_t *tag = frame.p + SEAL_HEAD_BYTES + n;
	uint8_t none;
	int put;

	ASSERT(!k->to_seal && frame.n >= SEAL_BYTES);
	begin(k, le_get64(frame.p + 88), frame.p);
	if (n > 0)
		ASSERT(EVP_CipherUpdate(k->ctx, out, &put,
			   frame.p + SEAL_HEAD_BYTES, (int)n) == 1);
	ASSERT(EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_SET_TAG,
		   SEAL_TAG_BYTES, (void *)(uintptr_t)tag) == 1);
	return EVP_CipherFinal_ex(k->ctx, &none, &put) == 1 ? 0 : -ERR_CORRUPT;
}

/* --- the window ----------------------------------------------------------- */

void
seal_window_init(struct seal_window *w, uint64_t floor)
{
	*w = (struct seal_window){.floor = floor, .newest = floor};
}

static uint64_t
bit(uint64_t counter)
{
	return UINT64_C(1) << counter % 64;
}

int
seal_window_is_new(const struct seal_window *w, uint64_t counter)
{
	if (counter <= w->floor)
		return 0;
	if (counter > w->newest)
		return 1;
	if (w->newest - counter >= SEAL_WINDOW_BITS)
		return 0;
	return !(w->bits[counter % SEAL_WINDOW_BITS / 64] & bit(counter));
}

void
seal_window_add(struct seal_window *w, uint64_t counter)
{
	ASSERT(seal_window_is_new(w, counter));
	if (counter > w->newest && counter - w->newest >= SEAL_WINDOW_BITS)
		memset(w->bits, 0, sizeof(w->bits));
	else
		for (uint64_t c = w->newest + 1; c < counter; c++)
			w->bits[c % SEAL_WINDOW_BITS / 64] &= ~bit(c);
	if (counter > w->newest)
		w->newest = counter;
	w->bits[counter % SEAL_WINDOW_BITS / 64] |= bit(counter);
}
