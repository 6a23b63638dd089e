/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_codec: one table-driven codec for the fixed part of every state and of every member of a
 * log (state.h). A table names the fields of a struct in the order of their encoding; writing and
 * reading walk the same table, so the two cannot drift apart.
 *
 * All integers are big-endian. Each value has exactly one encoding: a bool is 0 or 1, an
 * enumeration lies within its range, an optional text is never present and empty, and a value whose
 * guard is false is zero. May include: state.h.
 */
#ifndef LEDGERD_PROTO_STATE_CODEC_H
#define LEDGERD_PROTO_STATE_CODEC_H

#include "state.h"

enum codec_type {
    CODEC_U8,   /* uint8_t between min and max */
    CODEC_BOOL, /* u8, 0 or 1 */
    CODEC_U16,
    CODEC_U32,
    CODEC_U64,
    CODEC_I64,  /* two's complement; 0 if its guard is false */
    CODEC_DEC,  /* dec_t, 16 bytes of two's complement; 0 if its guard is false */
    CODEC_TEXT, /* struct span: u32 length, bytes */
    CODEC_OPT,  /* struct span that may be absent: u8 0, or u8 1, u32 length above 0, bytes */
    CODEC_HASH, /* 32 bytes */
};

struct codec_field {
    enum codec_type type;
    size_t offset;    /* of the field in the struct */
    uint8_t min, max; /* CODEC_U8 */
    size_t guard; /* 1 + offset of the bool that says whether the value is meaningful; 0: none */
};

/* Table entries. `s` is the struct as offsetof wants it, `f` the field. */
#define CODEC_PLAIN(kind, s, f)                                                                    \
    {                                                                                              \
        .type = CODEC_##kind, .offset = offsetof(s, f)                                             \
    }
#define CODEC_RANGE(s, f, lo, hi)                                                                  \
    {                                                                                              \
        .type = CODEC_U8, .offset = offsetof(s, f), .min = (lo), .max = (hi)                       \
    }
#define CODEC_GUARDED(kind, s, f, g)                                                               \
    {                                                                                              \
        .type = CODEC_##kind, .offset = offsetof(s, f), .guard = 1 + offsetof(s, g)                \
    }

struct codec_table {
    const struct codec_field *f;
    size_t n;
};
#define CODEC_TABLE(fields)                                                                        \
    {                                                                                              \
        (fields), sizeof(fields) / sizeof((fields)[0])                                             \
    }

/* Appends the encoding of the struct at `base` (borrowed) to w. */
void codec_write(const struct codec_table *t, const void *base, struct wbuf *w);
/* Fills every listed field of the struct at `base`; spans borrow from the input. False if the input
 * is not exactly an encoding (then the struct's content means nothing); what follows stays in r. */
bool codec_read(const struct codec_table *t, struct rbuf *r, void *base) LEDGER_MUST_USE;

#endif
