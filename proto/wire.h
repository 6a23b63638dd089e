/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: protobuf's wire format as events and signature blocks use it, strictly: fields in ascending
 * order, varints and tags in as few bytes as possible, only varint (0) and length-delimited (2)
 * fields. A general protobuf library accepts more than one encoding of the same message and is not
 * used for anything that is hashed or signed.
 *
 * Terms: *tag* (field number and wire type), *fault* (what is wrong with the bytes, as the rest of
 * a sentence). The reader borrows; nothing allocates but the writer, through its wbuf. May include:
 * base.h.
 */
#ifndef LEDGERD_PROTO_WIRE_H
#define LEDGERD_PROTO_WIRE_H

#include "base.h"

#define WIRE_NUMBER_MAX 536870911u /* 2^29 − 1 */

struct wire_field {
    unsigned number;
    bool repeated; /* the field before it had the same number */
    bool is_bytes; /* length-delimited: s; else a varint: u */
    uint64_t u;
    struct span s;
};

struct wire_reader {
    const uint8_t *p;
    size_t n;
    unsigned last;     /* number of the field before; 0 at the beginning */
    const char *fault; /* NULL, or static text; sticky */
};
void wire_open(struct wire_reader *r, struct span s);
/* The next field. False at the end of the message and at a fault. */
bool wire_next(struct wire_reader *r, struct wire_field *f) LEDGER_MUST_USE;
/* One bare varint, as packed lists hold them. False at the end and at a fault. */
bool wire_next_packed(struct wire_reader *r, uint64_t *v) LEDGER_MUST_USE;

/* Both write what they are told, defaults too: leaving those out is the caller's decision. */
void wire_put_uint(struct wbuf *w, unsigned number, uint64_t v);
void wire_put_bytes(struct wbuf *w, unsigned number, struct span s);
void wire_put_varint(struct wbuf *w, uint64_t v);
/* A message inside: what is written between the two becomes field `number`. Pairs nest. */
size_t wire_begin(struct wbuf *w, unsigned number);
void wire_end(struct wbuf *w, size_t begun);

#endif
