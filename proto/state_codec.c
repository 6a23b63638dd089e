/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_codec: walks a table of fields over a struct, once to write and once to read. A value that
 * another encoding could also stand for is refused while reading; the reader's sticky failure makes
 * one check at the end enough.
 */
#include "state_codec.h"

#include <string.h>

__extension__ typedef unsigned __int128 wide_t;

static bool guarded_off(const struct codec_field *f, const uint8_t *base)
{
    bool set;
    if (f->guard == 0)
        return false;
    memcpy(&set, base + f->guard - 1, sizeof set);
    return !set;
}

static void write_dec(struct wbuf *w, dec_t v)
{
    /* The two halves of the two's complement; the shift is of an unsigned value, so it is defined.
     */
    wide_t u = (wide_t)v;
    wbuf_u64(w, (uint64_t)(u >> 64));
    wbuf_u64(w, (uint64_t)u);
}

/* Far above what quantities of events can add up to, and so low that one more never overflows: a state may be the word of a stranger (opening.h). */
#define DEC_STATE_MAX ((dec_t)1 << 120)

static dec_t read_dec(struct rbuf *r)
{
    uint64_t high = rbuf_u64(r);
    uint64_t low = rbuf_u64(r);
    return (dec_t)((wide_t)high << 64 | low);
}

static void write_span(struct wbuf *w, struct span s, bool optional)
{
    if (optional) {
        wbuf_u8(w, s.n > 0);
        if (s.n == 0)
            return;
    }
    wbuf_str(w, s);
}

/* Numbers: copied out with memcpy, so that the table needs no pointer of the field's own type. */
static void write_number(const struct codec_field *f, const uint8_t *p, bool off, struct wbuf *w)
{
    uint16_t v16 = 0;
    uint32_t v32 = 0;
    uint64_t v64 = 0;
    int64_t i64 = 0;
    dec_t dec = 0;
    switch (f->type) {
    case CODEC_U16:
        memcpy(&v16, p, sizeof v16);
        wbuf_u16(w, v16);
        break;
    case CODEC_U32:
        memcpy(&v32, p, sizeof v32);
        wbuf_u32(w, v32);
        break;
    case CODEC_U64:
        memcpy(&v64, p, sizeof v64);
        wbuf_u64(w, v64);
        break;
    case CODEC_I64:
        memcpy(&i64, p, sizeof i64);
        wbuf_i64(w, off ? 0 : i64);
        break;
    case CODEC_DEC:
        memcpy(&dec, p, sizeof dec);
        write_dec(w, off ? 0 : dec);
        break;
    case CODEC_U8:
    case CODEC_BOOL:
    case CODEC_TEXT:
    case CODEC_OPT:
    case CODEC_HASH:
    default:
        ledger_panic(__FILE__, __LINE__, "no number");
    }
}

static void write_field(const struct codec_field *f, const uint8_t *base, struct wbuf *w)
{
    const uint8_t *p = base + f->offset;
    bool flag = false;
    struct span s;
    switch (f->type) {
    case CODEC_U8:
        LEDGER_REQUIRE(*p >= f->min && *p <= f->max);
        wbuf_u8(w, *p);
        break;
    case CODEC_BOOL:
        memcpy(&flag, p, sizeof flag);
        wbuf_u8(w, flag);
        break;
    case CODEC_TEXT:
    case CODEC_OPT:
        memcpy(&s, p, sizeof s);
        write_span(w, s, f->type == CODEC_OPT);
        break;
    case CODEC_HASH:
        wbuf_bytes(w, p, HASH_LEN);
        break;
    case CODEC_U16:
    case CODEC_U32:
    case CODEC_U64:
    case CODEC_I64:
    case CODEC_DEC:
        write_number(f, p, guarded_off(f, base), w);
        break;
    default:
        ledger_panic(__FILE__, __LINE__, "no codec type");
    }
}

void codec_write(const struct codec_table *t, const void *base, struct wbuf *w)
{
    for (size_t i = 0; i < t->n; i++)
        write_field(&t->f[i], base, w);
}

static bool read_span(struct rbuf *r, struct span *out, bool optional)
{
    if (optional) {
        uint8_t present = rbuf_u8(r);
        *out = SPAN_NONE;
        if (present > 1)
            return false;
        if (present == 0)
            return true;
    }
    *out = rbuf_str(r);
    return !optional || out->n > 0;
}

static bool read_number(const struct codec_field *f, struct rbuf *r, uint8_t *p, bool off)
{
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    int64_t i64;
    dec_t dec;
    switch (f->type) {
    case CODEC_U16:
        v16 = rbuf_u16(r);
        memcpy(p, &v16, sizeof v16);
        return true;
    case CODEC_U32:
        v32 = rbuf_u32(r);
        memcpy(p, &v32, sizeof v32);
        return true;
    case CODEC_U64:
        v64 = rbuf_u64(r);
        memcpy(p, &v64, sizeof v64);
        return true;
    case CODEC_I64:
        i64 = rbuf_i64(r);
        memcpy(p, &i64, sizeof i64);
        return !off || i64 == 0;
    case CODEC_DEC:
        dec = read_dec(r);
        memcpy(p, &dec, sizeof dec);
        return dec <= DEC_STATE_MAX && dec >= -DEC_STATE_MAX && (!off || dec == 0);
    case CODEC_U8:
    case CODEC_BOOL:
    case CODEC_TEXT:
    case CODEC_OPT:
    case CODEC_HASH:
    default:
        return false;
    }
}

static bool read_field(const struct codec_field *f, struct rbuf *r, uint8_t *base)
{
    uint8_t *p = base + f->offset;
    struct span s;
    struct hash h;
    bool flag;
    uint8_t v;
    switch (f->type) {
    case CODEC_U8:
        *p = rbuf_u8(r);
        return *p >= f->min && *p <= f->max;
    case CODEC_BOOL:
        v = rbuf_u8(r);
        flag = v == 1;
        memcpy(p, &flag, sizeof flag);
        return v <= 1;
    case CODEC_TEXT:
    case CODEC_OPT:
        if (!read_span(r, &s, f->type == CODEC_OPT))
            return false;
        memcpy(p, &s, sizeof s);
        return true;
    case CODEC_HASH:
        h = rbuf_hash(r);
        memcpy(p, &h, sizeof h);
        return true;
    case CODEC_U16:
    case CODEC_U32:
    case CODEC_U64:
    case CODEC_I64:
    case CODEC_DEC:
        return read_number(f, r, p, guarded_off(f, base));
    default:
        return false;
    }
}

bool codec_read(const struct codec_table *t, struct rbuf *r, void *base)
{
    for (size_t i = 0; i < t->n; i++)
        if (!read_field(&t->f[i], r, base) || r->failed)
            return false;
    return true;
}
