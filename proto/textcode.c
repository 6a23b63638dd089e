/* SPDX-License-Identifier: Apache-2.0 */
/*
 * textcode: hexadecimal, base64 (RFC 4648 section 4) and the text form of public keys.
 *
 * One value has one text here. Whatever decodes also in another spelling (upper-case hex, missing
 * or surplus padding, set bits behind the last byte, white space) is refused, so that nothing that
 * is compared or hashed as text can have twins.
 */
#include "crypto.h"

#include <string.h>

size_t hex_encode(struct span s, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        out[2 * i] = digits[s.p[i] >> 4];
        out[2 * i + 1] = digits[s.p[i] & 15];
    }
    out[2 * s.n] = '\0';
    return 2 * s.n;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool hex_decode(struct span text, uint8_t *out)
{
    if (text.n % 2 != 0)
        return false;
    for (size_t i = 0; i < text.n / 2; i++) {
        int hi = hex_value(text.p[2 * i]);
        int lo = hex_value(text.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

size_t b64_len(size_t n)
{
    return (n / 3 + (n % 3 != 0)) * 4;
}

size_t b64_encode(struct span s, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t o = 0;
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)s.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)s.p[i + 1] << 8;
        if (left > 2)
            v |= s.p[i + 2];
        out[o++] = digits[v >> 18];
        out[o++] = digits[v >> 12 & 63];
        out[o++] = left > 1 ? digits[v >> 6 & 63] : '=';
        out[o++] = left > 2 ? digits[v & 63] : '=';
    }
    out[o] = '\0';
    return o;
}

static int b64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* The 6·digits bits of the first `digits` characters. False if one of them is no base64 digit. */
static bool b64_quantum(const uint8_t *p, size_t digits, uint32_t *v)
{
    *v = 0;
    for (size_t i = 0; i < digits; i++) {
        int d = b64_value(p[i]);
        if (d < 0)
            return false;
        *v = *v << 6 | (uint32_t)d;
    }
    return true;
}

/* The last quantum, of 4, 3 ("=") or 2 ("==") digits. */
static bool b64_last(const uint8_t *p, uint8_t out[3], size_t *n)
{
    size_t pad = p[3] != '=' ? 0 : p[2] != '=' ? 1 : 2;
    uint32_t v;
    if (!b64_quantum(p, 4 - pad, &v))
        return false;
    /* 24, 18 or 12 bits carry 24, 16 or 8: the bits that are left over must be zero. */
    uint32_t spare = (uint32_t)pad * 2;
    if (v & ((1U << spare) - 1))
        return false;
    v >>= spare;
    *n = 3 - pad;
    for (size_t i = 0; i < *n; i++)
        out[i] = (uint8_t)(v >> (8 * (*n - 1 - i)));
    return true;
}

bool b64_decode(struct span text, uint8_t *out, size_t out_max, size_t *out_n)
{
    *out_n = 0;
    if (text.n % 4 != 0)
        return false;
    if (text.n == 0)
        return true;
    size_t full = text.n / 4 - 1;
    uint8_t tail[3];
    size_t tail_n;
    if (!b64_last(text.p + 4 * full, tail, &tail_n))
        return false;
    if (full > (SIZE_MAX - 3) / 3 || 3 * full + tail_n > out_max)
        return false;
    for (size_t i = 0; i < full; i++) {
        uint32_t v;
        if (!b64_quantum(text.p + 4 * i, 4, &v))
            return false;
        out[3 * i] = (uint8_t)(v >> 16);
        out[3 * i + 1] = (uint8_t)(v >> 8);
        out[3 * i + 2] = (uint8_t)v;
    }
    memcpy(out + 3 * full, tail, tail_n);
    *out_n = 3 * full + tail_n;
    return true;
}

static const struct key_text {
    enum sig_alg alg;
    const char *prefix;
    size_t key_n;
} KEY_TEXTS[] = {
    {SIG_ED25519, "ed25519:", 32},
    {SIG_P256, "p256:", 33},
};

bool key_text_parse(struct span text, enum sig_alg *alg, uint8_t *key, size_t *key_n)
{
    for (size_t i = 0; i < sizeof KEY_TEXTS / sizeof KEY_TEXTS[0]; i++) {
        const struct key_text *t = &KEY_TEXTS[i];
        size_t n = strlen(t->prefix);
        if (text.n != n + b64_len(t->key_n) || memcmp(text.p, t->prefix, n) != 0)
            continue;
        uint8_t bytes[48];
        size_t bytes_n;
        if (!b64_decode(span_of(text.p + n, text.n - n), bytes, sizeof bytes, &bytes_n) ||
            bytes_n != t->key_n)
            return false;
        memcpy(key, bytes, bytes_n);
        *key_n = bytes_n;
        *alg = t->alg;
        return true;
    }
    return false;
}

void key_text_format(enum sig_alg alg, struct span key, char out[KEY_TEXT_MAX])
{
    for (size_t i = 0; i < sizeof KEY_TEXTS / sizeof KEY_TEXTS[0]; i++) {
        const struct key_text *t = &KEY_TEXTS[i];
        if (t->alg != alg)
            continue;
        LEDGER_REQUIRE(key.n == t->key_n);
        size_t n = strlen(t->prefix);
        memcpy(out, t->prefix, n);
        b64_encode(key, out + n);
        return;
    }
    LEDGER_REQUIRE(alg == SIG_ED25519 || alg == SIG_P256);
}
