/* SPDX-License-Identifier: Apache-2.0 */
/* scratch: see scratch.h. */
#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "event_value.h"

#define OCCURRED "2020-02-03T04:05:06Z"

static void must(enum ledger_rc rc, const struct ledger_err *err, const char *what)
{
    if (rc == LEDGER_OK)
        return;
    fprintf(stderr, "scratch: %s: %s: %s\n", what, ledger_rc_text(rc), err->msg);
    exit(CHECK_EXIT_FAILED);
}

/* ---- events ---- */

void pen_init(struct scratch_pen *pen)
{
    pen->c = crypto_new();
    pen->a = arena_new((size_t)256 << 20);
    CHECK(pen->c && pen->a);
}

void pen_fini(struct scratch_pen *pen)
{
    arena_free(pen->a);
    crypto_free(pen->c);
}

struct secret_key pen_key(struct scratch_pen *pen, unsigned number)
{
    struct secret_key k;
    uint8_t seed[32] = {(uint8_t)number, 0xc5};
    CHECK(crypto_secret_from_seed(pen->c, SIG_ED25519, seed, &k));
    return k;
}

static struct span cut(struct span *rest, char at)
{
    const uint8_t *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct span head = end ? span_of(rest->p, (size_t)(end - rest->p)) : *rest;
    *rest = end ? span_of(end + 1, rest->n - head.n - 1) : SPAN_NONE;
    return head;
}

static struct value one_value(struct scratch_pen *pen, const struct field_def *def,
                              struct span text)
{
    struct value v = {.type = VALUE_ABSENT};
    enum field_type type = list_member_type(def->type);
    if (type == TYPE_DECIMAL || type == TYPE_INT)
        CHECK(value_from_number(pen->a, type, text, &v));
    else
        value_from_text(pen->a, type, def->names, text, &v);
    return v;
}

static struct value field_value(struct scratch_pen *pen, const struct field_def *def,
                                struct span text)
{
    if (list_member_type(def->type) == def->type)
        return one_value(pen, def, text);
    struct value v = {.type = VALUE_LIST, .items = arena_alloc(pen->a, LIST_MAX * sizeof *v.items)};
    while (text.n && v.n < LIST_MAX)
        v.items[v.n++] = one_value(pen, def, cut(&text, '|'));
    return v;
}

static void draft(struct scratch_pen *pen, struct event *ev, const char *kind,
                  const char *reference, const char *fields)
{
    struct span rest = arena_copy(pen->a, span_str(fields)), ref = span_str(reference);
    struct hash nonce;
    memset(ev, 0, sizeof *ev);
    ev->kind = kind_by_name(span_str(kind));
    CHECK(ev->kind != NULL);
    crypto_sha256(pen->c, &ref, 1, &nonce);
    ev->nonce = arena_copy(pen->a, span_of(nonce.b, NONCE_LEN));
    ev->reference = arena_copy(pen->a, ref);
    value_from_text(pen->a, TYPE_TIME, NULL, SPAN_LIT(OCCURRED), &ev->occurred);
    while (rest.n) {
        struct span value = cut(&rest, ';'), name = cut(&value, '=');
        const struct field_def *def = kind_field(ev->kind, name);
        CHECK(def != NULL);
        ev->fields[def - ev->kind->fields] = field_value(pen, def, value);
    }
}

static struct span encode(struct scratch_pen *pen, const struct event *ev)
{
    struct span bytes = event_encode(pen->a, ev);
    CHECK(bytes.p != NULL);
    return bytes;
}

struct span pen_event(struct scratch_pen *pen, const char *kind, const char *reference,
                      const char *fields)
{
    struct event ev;
    draft(pen, &ev, kind, reference, fields);
    return encode(pen, &ev);
}

static struct span proof_of_possession(struct scratch_pen *pen, const char *party,
                                       const struct secret_key *k)
{
    uint8_t sig[64];
    struct span input = key_proof_input(pen->a, SPAN_LIT(SCRATCH_ORIGIN), span_str(party), k->alg,
                                        span_of(k->pub, k->pub_len));
    CHECK(input.p && crypto_make_signature(pen->c, k, input, sig));
    return arena_copy(pen->a, span_of(sig, sizeof sig));
}

struct span pen_registration(struct scratch_pen *pen, const char *reference, const char *party,
                             const char *roles, unsigned key)
{
    struct event ev;
    struct secret_key k = pen_key(pen, key);
    char text[KEY_TEXT_MAX], fields[512];
    key_text_format(k.alg, span_of(k.pub, k.pub_len), text);
    snprintf(fields, sizeof fields, "action=REGISTER;party=%s;org=ORG;roles=%s;pubkey=%s", party,
             roles, text);
    draft(pen, &ev, "PARTY_REGISTERED", reference, fields);
    ev.key_proof = proof_of_possession(pen, party, &k);
    return encode(pen, &ev);
}

struct span pen_material(struct scratch_pen *pen, const char *item)
{
    char reference[128], fields[256];
    snprintf(reference, sizeof reference, "receipt of %s", item);
    snprintf(fields, sizeof fields,
             "item=%s;gtin=04012345000001;lot=L1;supplier=S;quantity=10;uom=mL;expiry=2099-01-"
             "01T00:00:00Z;"
             "coa_hash=h;origin=bovine",
             item);
    return pen_event(pen, "MATERIAL_RECEIVED", reference, fields);
}

static void ids_root(struct scratch_pen *pen, const struct span *events, size_t n,
                     struct hash *root)
{
    struct frontier f = {0};
    for (size_t i = 0; i < n; i++) {
        struct hash id, leaf;
        event_id(pen->c, events[i], &id);
        merkle_leaf(pen->c, span_of(id.b, HASH_LEN), &leaf);
        frontier_append(pen->c, &f, &leaf);
    }
    frontier_root(pen->c, &f, root);
}

struct span pen_sign(struct scratch_pen *pen, const struct span *events, size_t n,
                     const char *party, unsigned key, struct span before)
{
    struct secret_key k = pen_key(pen, key);
    struct signature s = {.party = span_str(party),
                          .alg = k.alg,
                          .meaning = SPAN_LIT("authorship"),
                          .time = SPAN_LIT(OCCURRED)},
                     first;
    uint8_t id[KEY_ID_LEN], sig[64];
    struct hash root;
    if (before.p)
        CHECK_EQ_INT(signature_decode(before, &first, NULL), LEDGER_OK);
    crypto_key_id(pen->c, k.alg, span_of(k.pub, k.pub_len), id);
    s.key_id = span_of(id, sizeof id);
    ids_root(pen, events, n, &root);
    struct span input =
        signature_input(pen->c, pen->a, SPAN_LIT(SCRATCH_ORIGIN), &s, before.p ? 2 : 1, (unsigned)n,
                        &root, before.p ? &first : NULL);
    CHECK(input.p && crypto_make_signature(pen->c, &k, input, sig));
    s.sig = span_of(sig, sizeof sig);
    struct span bytes = signature_encode(pen->a, &s);
    CHECK(bytes.p != NULL);
    return bytes;
}

/* ---- the ledger ---- */

static struct span genesis_payload(struct scratch *s, const char *vkey)
{
    struct scratch_pen *pen = &s->pen;
    struct secret_key admin = pen_key(pen, KEY_ADMIN);
    struct genesis g = {.origin = SPAN_LIT(SCRATCH_ORIGIN),
                        .log_vkey = span_str(vkey),
                        .format_version = FORMAT_VERSION,
                        .rules_version = RULES_VERSION,
                        .clock_tolerance_us = 60000000,
                        .heartbeat_s = 300,
                        .event_size_max = EVENT_SIZE_MAX,
                        .batch_events_max = BATCH_EVENTS_MAX,
                        .admin = SPAN_LIT(SCRATCH_ADMIN),
                        .admin_org = SPAN_LIT("ORG"),
                        .admin_alg = SIG_ED25519,
                        .admin_key = span_of(admin.pub, admin.pub_len)};
    memset(g.nonce.b, 0x17, HASH_LEN);
    index_key_commit(pen->c, &s->index_key, &g.index_key_commit);
    g.admin_proof = proof_of_possession(pen, SCRATCH_ADMIN, &admin);
    return genesis_encode(pen->a, &g);
}

static void write_genesis(struct scratch *s, struct store *store)
{
    struct ledger_err err = {0};
    struct appended_entry out;
    struct checkpoint cp;
    char vkey[NOTE_NAME_MAX + 200];
    struct machine *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    *m = (struct machine){.c = s->pen.c, .a = s->pen.a, .index_key = s->index_key, .wire = true};
    must(store_begin(store, &m->kv, &err), &err, "begin");
    note_key_format(&s->key, vkey);
    int64_t now = (int64_t)time(NULL) * 1000000;
    must(machine_genesis(m, genesis_payload(s, vkey), now, &out, &err), &err, "genesis");
    must(machine_seal(m, now, &out, &cp, &err), &err, "seal");
    must(store_commit(store, &err), &err, "commit");
    free(m);
}

void scratch_make(struct scratch *s)
{
    struct ledger_err err = {0};
    memset(s, 0, sizeof *s);
    pen_init(&s->pen);
    snprintf(s->base, sizeof s->base, "/tmp/ledgerd-test-XXXXXX");
    CHECK(mkdtemp(s->base) != NULL);
    snprintf(s->dir, sizeof s->dir, "%s/ledger", s->base);
    snprintf(s->anchor, sizeof s->anchor, "%s.anchor", s->dir);
    struct secret_key log_key = pen_key(&s->pen, KEY_LOG);
    memset(s->index_key.b, 0x29, HASH_LEN);
    CHECK(note_key_make(s->pen.c, SCRATCH_ORIGIN, NOTE_ED25519,
                        span_of(log_key.pub, log_key.pub_len), &s->key));
    must(store_create(s->dir, &err), &err, "create");
    must(store_keys_write(s->dir, SCRATCH_ORIGIN, &log_key, &s->index_key, &err), &err, "keys");
    struct store *store = scratch_open(s);
    write_genesis(s, store);
    store_close(store);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void scratch_remove(struct scratch *s)
{
    nftw(s->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pen_fini(&s->pen);
}

static struct store *open_mode(struct scratch *s, enum store_mode mode)
{
    struct ledger_err err = {0};
    struct store *store = NULL;
    struct store_options o = {.map_bytes = SCRATCH_MAP, .reserve_bytes = 1};
    must(store_open_with(s->dir, mode, &o, &store, &err), &err, "open");
    return store;
}

struct store *scratch_open(struct scratch *s)
{
    return open_mode(s, STORE_WRITE);
}

struct store *scratch_open_read(struct scratch *s)
{
    return open_mode(s, STORE_READ);
}
