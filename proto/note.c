/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note: signed notes, checkpoints and cosignatures, read strictly and written byte-exact.
 *
 * A note is a text, an empty line and signature lines "— <name> <base64>\n". What is signed is the
 * text with its final newline. A key is known by (name, id): its signature must verify, everybody
 * else's is ignored, whatever algorithm it may be of.
 *
 * Failure modes: LEDGER_EINVAL for malformed input, LEDGER_ELIMIT over NOTE_SIZE_MAX or
 * NOTE_SIGS_MAX, LEDGER_ENOMEM over the arena's budget (about 4.2 KB a signature line).
 */
#include "note.h"

#include <string.h>

enum {
    ED25519_SIG = 64,
    COSIGNATURE_SIG = 8 + ED25519_SIG, /* u64 time, signature */
    U64_DIGITS_MAX = 20,
    COSIGNED_HEAD_MAX = 64, /* "cosignature/v1\ntime <decimal>\n" */
};

/* "— ": U+2014 and a space. */
static const char DASH[] = "\xe2\x80\x94 ";
static const size_t DASH_LEN = sizeof DASH - 1;

/* Decodes one UTF-8 sequence (RFC 3629: shortest form, no surrogates, at most U+10FFFF). Returns
 * its length, 0 if there is none. */
static size_t utf8_next(struct span s, uint32_t *code)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } FORMS[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    size_t n = 0;
    while (n < 4 && (s.p[0] & FORMS[n].mask) != FORMS[n].lead)
        n++;
    if (n == 4 || n + 1 > s.n)
        return 0;
    uint32_t v = s.p[0] & (uint8_t)~FORMS[n].mask;
    for (size_t i = 1; i <= n; i++) {
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (s.p[i] & 0x3f);
    }
    if (v < FORMS[n].least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *code = v;
    return n + 1;
}

/* The Unicode property White_Space (Unicode 15.1, PropList.txt). */
static bool unicode_space(uint32_t v)
{
    return (v >= 0x09 && v <= 0x0d) || v == 0x20 || v == 0x85 || v == 0xa0 || v == 0x1680 ||
           (v >= 0x2000 && v <= 0x200a) || v == 0x2028 || v == 0x2029 || v == 0x202f ||
           v == 0x205f || v == 0x3000;
}

/* A key name of any length: names of strangers may be longer than those we can hold. */
static bool name_form(struct span name)
{
    if (name.n == 0)
        return false;
    while (name.n > 0) {
        uint32_t code;
        size_t n = utf8_next(name, &code);
        if (n == 0 || code < 0x20 || code == '+' || unicode_space(code))
            return false;
        name.p += n;
        name.n -= n;
    }
    return true;
}

bool note_name_valid(struct span name)
{
    return name.n <= NOTE_NAME_MAX && name_form(name);
}

bool origin_valid(struct span origin)
{
    if (origin.n == 0 || origin.n > ORIGIN_MAX)
        return false;
    for (size_t i = 0; i < origin.n; i++)
        if (origin.p[i] <= 0x20 || origin.p[i] > 0x7e || origin.p[i] == '+')
            return false;
    return true;
}

static bool key_form(struct crypto *c, uint8_t type, struct span key)
{
    switch (type) {
    case NOTE_ED25519:
    case NOTE_COSIGNATURE_V1:
        return crypto_key_valid(c, SIG_ED25519, key);
    case NOTE_ECDSA:
        return crypto_spki_valid(c, key);
    default:
        return false;
    }
}

bool note_key_make(struct crypto *c, const char *name, uint8_t type, struct span key,
                   struct note_key *out)
{
    struct span name_span = span_str(name);
    if (!note_name_valid(name_span) || key.n > sizeof out->key || !key_form(c, type, key))
        return false;
    *out = (struct note_key){.type = type, .key_n = key.n};
    memcpy(out->name, name, name_span.n);
    memcpy(out->key, key.p, key.n);
    const uint8_t middle[2] = {'\n', type};
    const struct span parts[3] = {name_span, {middle, 2}, key};
    struct hash h;
    if (type == NOTE_ECDSA)
        crypto_sha256(c, &key, 1, &h);
    else
        crypto_sha256(c, parts, 3, &h);
    memcpy(out->id, h.b, sizeof out->id);
    return true;
}

/* Cuts `s` before the first byte `sep`; the rest begins behind it. */
static bool cut(struct span s, uint8_t sep, struct span *head, struct span *rest)
{
    const uint8_t *at = s.n ? memchr(s.p, sep, s.n) : NULL;
    if (!at)
        return false;
    size_t n = (size_t)(at - s.p);
    *head = span_of(s.p, n);
    *rest = span_of(at + 1, s.n - n - 1);
    return true;
}

enum ledger_rc note_key_parse(struct crypto *c, struct span vkey, struct note_key *out,
                              struct ledger_err *err)
{
    struct span name, id_text, rest;
    /* Base64 may hold '+', so only the first two separate. */
    if (!cut(vkey, '+', &name, &rest) || !cut(rest, '+', &id_text, &rest))
        return ledger_fail(err, LEDGER_EINVAL, "a verifier key is <name>+<key id>+<base64>");
    if (!note_name_valid(name))
        return ledger_fail(err, LEDGER_EINVAL, "the key's name is empty, too long or not allowed");
    uint8_t id[4];
    uint8_t bytes[1 + sizeof out->key];
    size_t n;
    if (id_text.n != 8 || !hex_decode(id_text, id))
        return ledger_fail(err, LEDGER_EINVAL, "the key id is not 8 lower-case hex digits");
    if (!b64_decode(rest, bytes, sizeof bytes, &n) || n < 1)
        return ledger_fail(err, LEDGER_EINVAL, "the key is not base64 of a type and a key");
    if (bytes[0] != NOTE_ED25519 && bytes[0] != NOTE_ECDSA && bytes[0] != NOTE_COSIGNATURE_V1)
        return ledger_fail(err, LEDGER_EINVAL, "keys of type 0x%02x are not supported", bytes[0]);
    char name_z[NOTE_NAME_MAX + 1] = {0};
    memcpy(name_z, name.p, name.n);
    if (!note_key_make(c, name_z, bytes[0], span_of(bytes + 1, n - 1), out))
        return ledger_fail(err, LEDGER_EINVAL, "not a valid public key of type 0x%02x", bytes[0]);
    if (memcmp(out->id, id, sizeof id) != 0)
        return ledger_fail(err, LEDGER_EINVAL, "the key id does not belong to this name and key");
    return LEDGER_OK;
}

size_t note_key_format(const struct note_key *k, char *out)
{
    uint8_t bytes[1 + sizeof k->key];
    bytes[0] = k->type;
    memcpy(bytes + 1, k->key, k->key_n);
    size_t n = strlen(k->name);
    memcpy(out, k->name, n);
    out[n++] = '+';
    n += hex_encode(span_of(k->id, sizeof k->id), out + n);
    out[n++] = '+';
    return n + b64_encode(span_of(bytes, 1 + k->key_n), out + n);
}

static bool note_octets_valid(struct span s)
{
    while (s.n > 0) {
        uint32_t code;
        size_t n = utf8_next(s, &code);
        if (n == 0 || (code < 0x20 && code != '\n'))
            return false;
        s.p += n;
        s.n -= n;
    }
    return true;
}

/* Finds the last empty line; what is before it (with its newline) is the text. */
static bool note_split(struct span bytes, struct note *out)
{
    for (size_t i = bytes.n; i >= 2; i--) {
        if (bytes.p[i - 1] != '\n' || bytes.p[i - 2] != '\n')
            continue;
        out->text = span_of(bytes.p, i - 1);
        out->sigs_text = span_of(bytes.p + i, bytes.n - i);
        return true;
    }
    return false;
}

/*
 * Reads the base64 of one line. A signature too long for any algorithm that we verify keeps its
 * name and id with sig_n = 0, which no key verifies: a stranger's is then ignored, and a known
 * key's still fails.
 */
static bool sig_bytes(struct arena *a, struct span text, struct note_sig *out)
{
    size_t max = text.n / 4 * 3;
    struct arena_mark mark = arena_mark(a);
    uint8_t *bytes = arena_alloc(a, max);
    size_t n;
    bool ok = bytes && b64_decode(text, bytes, max, &n) && n > sizeof out->id;
    if (ok) {
        memcpy(out->id, bytes, sizeof out->id);
        out->sig_n = n - sizeof out->id <= sizeof out->sig ? n - sizeof out->id : 0;
        memcpy(out->sig, bytes + sizeof out->id, out->sig_n);
    }
    arena_release(a, mark);
    return ok;
}

/* One line, without its newline. */
static bool sig_line(struct arena *a, struct span line, struct note_sig *out)
{
    if (line.n < DASH_LEN || memcmp(line.p, DASH, DASH_LEN) != 0)
        return false;
    struct span rest;
    return cut(span_of(line.p + DASH_LEN, line.n - DASH_LEN), ' ', &out->name, &rest) &&
           name_form(out->name) && sig_bytes(a, rest, out);
}

enum ledger_rc note_parse(struct arena *a, struct span bytes, struct note *out,
                          struct ledger_err *err)
{
    *out = (struct note){.n = 0};
    if (bytes.n > NOTE_SIZE_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "a note has at most %d bytes", NOTE_SIZE_MAX);
    if (!note_octets_valid(bytes))
        return ledger_fail(err, LEDGER_EINVAL, "the note is not UTF-8 or has control characters");
    if (!note_split(bytes, out) || out->sigs_text.n == 0)
        return ledger_fail(err, LEDGER_EINVAL,
                           "the note has no signature lines behind an empty line");
    if (bytes.p[bytes.n - 1] != '\n')
        return ledger_fail(err, LEDGER_EINVAL, "the note's last line has no newline");
    size_t lines = 0;
    for (size_t i = 0; i < out->sigs_text.n; i++)
        lines += out->sigs_text.p[i] == '\n';
    if (lines > NOTE_SIGS_MAX)
        return ledger_fail(err, LEDGER_ELIMIT, "a note has at most %d signatures", NOTE_SIGS_MAX);
    out->sigs = arena_alloc(a, lines * sizeof *out->sigs);
    /* Scratch for what follows is asked for now, for the decoding of lines as well as for verifying
     * a cosignature: later, want of memory could not be told from a bad signature. */
    struct arena_mark mark = arena_mark(a);
    bool room = out->sigs && arena_alloc(a, bytes.n + COSIGNED_HEAD_MAX);
    if (!room)
        return ledger_fail(err, LEDGER_ENOMEM, "no memory for %zu signatures", lines);
    arena_release(a, mark);
    struct span line, rest = out->sigs_text;
    while (cut(rest, '\n', &line, &rest)) {
        if (!sig_line(a, line, &out->sigs[out->n]))
            return ledger_fail(err, LEDGER_EINVAL, "signature line %zu is malformed", out->n + 1);
        out->n++;
    }
    return LEDGER_OK;
}

static void put_decimal(struct wbuf *w, uint64_t v)
{
    char digits[U64_DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    wbuf_bytes(w, digits + at, sizeof digits - at);
}

/* What a cosignature/v1 signs (C2SP tlog-cosignature). */
static void cosigned_message(struct wbuf *w, uint64_t time_s, struct span text)
{
    static const char head[] = "cosignature/v1\ntime ";
    w->cap = text.n + COSIGNED_HEAD_MAX;
    w->p = arena_alloc(w->a, w->cap);
    w->failed = !w->p;
    wbuf_bytes(w, head, sizeof head - 1);
    put_decimal(w, time_s);
    wbuf_u8(w, '\n');
    wbuf_bytes(w, text.p, text.n);
}

static bool verify_cosignature(struct crypto *c, struct arena *a, const struct note_key *k,
                               struct span text, const struct note_sig *s, uint64_t *time_s)
{
    if (s->sig_n != COSIGNATURE_SIG)
        return false;
    struct rbuf r;
    rbuf_init(&r, span_of(s->sig, s->sig_n));
    *time_s = rbuf_u64(&r);
    if (*time_s > INT64_MAX)
        return false;
    struct arena_mark mark = arena_mark(a);
    struct wbuf w;
    wbuf_init(&w, a);
    cosigned_message(&w, *time_s, text);
    bool ok = !w.failed && crypto_verify(c, SIG_ED25519, span_of(k->key, k->key_n), wbuf_span(&w),
                                         rbuf_bytes(&r, ED25519_SIG));
    arena_release(a, mark);
    return ok;
}

static bool verify_one(struct crypto *c, struct arena *a, const struct note_key *k,
                       struct span text, const struct note_sig *s, uint64_t *time_s)
{
    struct span key = span_of(k->key, k->key_n);
    struct span sig = span_of(s->sig, s->sig_n);
    *time_s = 0;
    switch (k->type) {
    case NOTE_ED25519:
        return crypto_verify(c, SIG_ED25519, key, text, sig);
    case NOTE_ECDSA:
        return crypto_spki_verify(c, key, text, sig);
    case NOTE_COSIGNATURE_V1:
        return verify_cosignature(c, a, k, text, s, time_s);
    default:
        return false;
    }
}

bool note_verify(struct crypto *c, struct arena *a, const struct note *n,
                 const struct note_key *keys, size_t n_keys, uint64_t *matched, uint64_t *times)
{
    LEDGER_REQUIRE(n_keys <= 64);
    uint64_t bits = 0;
    if (matched)
        *matched = 0;
    for (size_t i = 0; times && i < n_keys; i++)
        times[i] = 0;
    for (size_t i = 0; i < n->n; i++) {
        const struct note_sig *s = &n->sigs[i];
        for (size_t k = 0; k < n_keys; k++) {
            uint64_t time_s;
            if (memcmp(keys[k].id, s->id, sizeof s->id) != 0 ||
                !span_eq(span_str(keys[k].name), s->name))
                continue;
            if (!verify_one(c, a, &keys[k], n->text, s, &time_s))
                return false;
            bits |= UINT64_C(1) << k;
            /* A witness may cosign the same text again; its newest word counts. */
            if (times && time_s > times[k])
                times[k] = time_s;
        }
    }
    if (matched)
        *matched = bits;
    return true;
}

static void put_base64(struct wbuf *w, const uint8_t *p, size_t n)
{
    char text[4 * (4 + COSIGNATURE_SIG)];
    LEDGER_REQUIRE(b64_len(n) < sizeof text);
    wbuf_bytes(w, text, b64_encode(span_of(p, n), text));
}

/* "— name base64(id ‖ payload)\n". */
static void put_sig_line(struct wbuf *w, const struct note_key *k, const uint8_t *payload, size_t n)
{
    uint8_t bytes[sizeof k->id + COSIGNATURE_SIG];
    memcpy(bytes, k->id, sizeof k->id);
    memcpy(bytes + sizeof k->id, payload, n);
    wbuf_bytes(w, DASH, DASH_LEN);
    wbuf_bytes(w, k->name, strlen(k->name));
    wbuf_u8(w, ' ');
    put_base64(w, bytes, sizeof k->id + n);
    wbuf_u8(w, '\n');
}

/* Signs with the Ed25519 key `secret`, which must be the private half of k. */
static bool sign_as(struct crypto *c, const struct note_key *k, uint8_t type,
                    const struct secret_key *secret, struct span msg, uint8_t out[ED25519_SIG])
{
    return k->type == type && secret->alg == SIG_ED25519 &&
           span_eq(span_of(k->key, k->key_n), span_of(secret->pub, secret->pub_len)) &&
           crypto_make_signature(c, secret, msg, out);
}

void note_sign_line(struct crypto *c, const struct note_key *k, const struct secret_key *secret,
                    struct span text, struct wbuf *w)
{
    uint8_t sig[ED25519_SIG];
    if (!sign_as(c, k, NOTE_ED25519, secret, text, sig)) {
        w->failed = true;
        return;
    }
    put_sig_line(w, k, sig, sizeof sig);
}

void note_cosign_line(struct crypto *c, const struct note_key *k, const struct secret_key *secret,
                      uint64_t time_s, struct span text, struct wbuf *w)
{
    uint8_t payload[COSIGNATURE_SIG];
    for (size_t i = 0; i < 8; i++)
        payload[i] = (uint8_t)(time_s >> (56 - 8 * i));
    struct arena_mark mark = arena_mark(w->a);
    struct wbuf msg;
    wbuf_init(&msg, w->a);
    cosigned_message(&msg, time_s, text);
    bool ok = time_s <= INT64_MAX && !msg.failed &&
              sign_as(c, k, NOTE_COSIGNATURE_V1, secret, wbuf_span(&msg), payload + 8);
    arena_release(w->a, mark);
    if (!ok) {
        w->failed = true;
        return;
    }
    put_sig_line(w, k, payload, sizeof payload);
}

void checkpoint_text(const struct checkpoint *cp, struct wbuf *w)
{
    wbuf_bytes(w, cp->origin.p, cp->origin.n);
    wbuf_u8(w, '\n');
    put_decimal(w, cp->size);
    wbuf_u8(w, '\n');
    put_base64(w, cp->root.b, HASH_LEN);
    wbuf_u8(w, '\n');
}

/* Decimal without sign and leading zeros, at most UINT64_MAX. */
bool note_size_parse(struct span s, uint64_t *out)
{
    if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

enum ledger_rc checkpoint_parse(struct span text, struct checkpoint *out, struct ledger_err *err)
{
    struct span size, root, line, rest;
    if (!cut(text, '\n', &out->origin, &rest) || !cut(rest, '\n', &size, &rest) ||
        !cut(rest, '\n', &root, &rest))
        return ledger_fail(err, LEDGER_EINVAL, "a checkpoint has three lines: origin, size, root");
    if (out->origin.n == 0)
        return ledger_fail(err, LEDGER_EINVAL, "the checkpoint's origin is empty");
    if (!note_size_parse(size, &out->size))
        return ledger_fail(err, LEDGER_EINVAL, "the checkpoint's size is not a decimal number");
    size_t n;
    if (!b64_decode(root, out->root.b, HASH_LEN, &n) || n != HASH_LEN)
        return ledger_fail(err, LEDGER_EINVAL, "the checkpoint's root is not base64 of 32 bytes");
    while (cut(rest, '\n', &line, &rest))
        if (line.n == 0)
            return ledger_fail(err, LEDGER_EINVAL, "the checkpoint has an empty extension line");
    if (rest.n != 0)
        return ledger_fail(err, LEDGER_EINVAL, "the checkpoint's last line has no newline");
    return LEDGER_OK;
}

void checkpoint_sign(struct crypto *c, const struct note_key *k, const struct secret_key *secret,
                     const struct checkpoint *cp, struct wbuf *w)
{
    size_t begin = w->n;
    checkpoint_text(cp, w);
    if (w->failed)
        return;
    struct span text = span_of(w->p + begin, w->n - begin);
    uint8_t sig[ED25519_SIG];
    if (!sign_as(c, k, NOTE_ED25519, secret, text, sig)) {
        w->failed = true;
        return;
    }
    wbuf_u8(w, '\n');
    put_sig_line(w, k, sig, sizeof sig);
}
