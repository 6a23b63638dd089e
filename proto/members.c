/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members: the encodings of what the logs of a state hold (state.h; docs/format.md, "Members"). A
 * member is written once and hashed as a leaf, so its bytes are never re-encoded; decoding refuses
 * whatever the encoder would not have written.
 */
#include "state_codec.h"

static const struct codec_field edge_fields[] = {
    CODEC_PLAIN(TEXT, struct edge, item),
    CODEC_PLAIN(DEC, struct edge, quantity),
    CODEC_PLAIN(OPT, struct edge, uom),
    CODEC_PLAIN(U64, struct edge, index),
};
static const struct codec_field outcome_fields[] = {
    CODEC_PLAIN(TEXT, struct outcome, test),
    CODEC_RANGE(struct outcome, verdict, QC_PASS, QC_FAIL),
    CODEC_PLAIN(U64, struct outcome, index),
    CODEC_PLAIN(U64, struct outcome, source),
};
static const struct codec_field excursion_fields[] = {
    CODEC_RANGE(struct excursion_fact, fact, EXCURSION_OPENED, EXCURSION_LOGGED),
    CODEC_PLAIN(TEXT, struct excursion_fact, id),
    CODEC_PLAIN(U64, struct excursion_fact, index),
    CODEC_PLAIN(BOOL, struct excursion_fact, has_start),
    CODEC_GUARDED(I64, struct excursion_fact, start_us, has_start),
    CODEC_RANGE(struct excursion_fact, outcome, 0, OUTCOME_REJECT),
    CODEC_PLAIN(BOOL, struct excursion_fact, has_new_expiry),
    CODEC_GUARDED(I64, struct excursion_fact, new_expiry_us, has_new_expiry),
};
static const struct codec_field correction_fields[] = {
    CODEC_PLAIN(HASH, struct correction, target),
    CODEC_PLAIN(U64, struct correction, target_index),
    CODEC_PLAIN(U64, struct correction, index),
    CODEC_PLAIN(BOOL, struct correction, is_void),
    CODEC_PLAIN(OPT, struct correction, field),
    CODEC_PLAIN(BOOL, struct correction, has_number),
    CODEC_GUARDED(DEC, struct correction, number, has_number),
};
static const struct codec_field spec_test_fields[] = {
    CODEC_PLAIN(TEXT, struct spec_test, test),
    CODEC_PLAIN(TEXT, struct spec_test, unit),
    CODEC_PLAIN(BOOL, struct spec_test, has_low),
    CODEC_PLAIN(BOOL, struct spec_test, has_high),
    CODEC_PLAIN(BOOL, struct spec_test, required),
    CODEC_GUARDED(DEC, struct spec_test, low, has_low),
    CODEC_GUARDED(DEC, struct spec_test, high, has_high),
};

static const struct codec_table edge_table = CODEC_TABLE(edge_fields);
static const struct codec_table outcome_table = CODEC_TABLE(outcome_fields);
static const struct codec_table excursion_table = CODEC_TABLE(excursion_fields);
static const struct codec_table correction_table = CODEC_TABLE(correction_fields);
static const struct codec_table spec_test_table = CODEC_TABLE(spec_test_fields);

/* A member is nothing but the table's fields. */
static bool read_all(const struct codec_table *t, struct span s, void *out)
{
    struct rbuf r;
    rbuf_init(&r, s);
    return codec_read(t, &r, out) && rbuf_done(&r);
}

void edge_encode(const struct edge *e, struct wbuf *w)
{
    codec_write(&edge_table, e, w);
}

bool edge_decode(struct span s, struct edge *out)
{
    return read_all(&edge_table, s, out);
}

void outcome_encode(const struct outcome *o, struct wbuf *w)
{
    codec_write(&outcome_table, o, w);
}

bool outcome_decode(struct span s, struct outcome *out)
{
    return read_all(&outcome_table, s, out);
}

void excursion_fact_encode(const struct excursion_fact *f, struct wbuf *w)
{
    codec_write(&excursion_table, f, w);
}

bool excursion_fact_decode(struct span s, struct excursion_fact *out)
{
    return read_all(&excursion_table, s, out);
}

void correction_encode(const struct correction *x, struct wbuf *w)
{
    codec_write(&correction_table, x, w);
}

bool correction_decode(struct span s, struct correction *out)
{
    return read_all(&correction_table, s, out) && out->is_void == (out->field.n == 0);
}

void spec_version_encode(const struct spec_version *v, struct wbuf *w)
{
    wbuf_str(w, v->version);
    wbuf_u64(w, v->index);
    wbuf_u32(w, v->n);
    for (unsigned i = 0; i < v->n; i++)
        codec_write(&spec_test_table, &v->tests[i], w);
}

bool spec_version_decode(struct arena *a, struct span s, struct spec_version *out)
{
    struct rbuf r;
    rbuf_init(&r, s);
    out->tests = NULL;
    out->version = rbuf_str(&r);
    out->index = rbuf_u64(&r);
    out->n = rbuf_u32(&r);
    /* Each test takes at least its two lengths and three flags: a false count cannot ask for much.
     */
    if (r.failed || out->n > r.n / 11) {
        out->n = 0;
        return false;
    }
    out->tests = arena_alloc(a, (size_t)out->n * sizeof *out->tests + 1);
    if (!out->tests)
        return false;
    for (unsigned i = 0; i < out->n; i++)
        if (!codec_read(&spec_test_table, &r, &out->tests[i]))
            return false;
    return rbuf_done(&r);
}
