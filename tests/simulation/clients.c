/* SPDX-License-Identifier: Apache-2.0 */
/* clients: see clients.h. */
#include "clients.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "world.h"

#define OCCURRED "2020-02-03T04:05:06Z" /* as scratch.c has it */
#define EXPIRY "2099-01-01T00:00:00Z"
#define ASK_ARENA ((size_t)4 << 20)
#define COI "C-1"

void clients_init(struct clients *cl, struct scratch_pen *pen, struct model *m)
{
    *cl = (struct clients){.pen = pen, .m = m, .n_parties = PARTY_EXTRA, .n_items = 1};
    for (unsigned i = 0; i < 256; i++)
        cl->keys[i] = pen_key(pen, i);
    cl->materials = calloc(MODEL_ITEMS_MAX, sizeof *cl->materials);
    cl->lots = calloc(MODEL_ITEMS_MAX, sizeof *cl->lots);
    cl->inputs = calloc(MODEL_ITEMS_MAX, 1);
    LEDGER_REQUIRE(cl->materials && cl->lots && cl->inputs);
    m->parties[PARTY_ADMIN].exists = true; /* by the genesis */
}

void clients_fini(struct clients *cl)
{
    ask_free(cl->last);
    free(cl->materials);
    free(cl->lots);
    free(cl->inputs);
}

void ask_free(struct ask *k)
{
    if (k)
        arena_free(k->job.a);
    free(k);
}

/* ---- names ---- */

static const char *party_name(unsigned party)
{
    static const char *const names[] = {SCRATCH_ADMIN, "wh", "op", "qa", "qp", "hospital"};
    static char text[4][24];
    static unsigned turn;
    if (party < PARTY_EXTRA)
        return names[party];
    snprintf(text[turn = (turn + 1) % 4], sizeof text[0], "p-%u", party);
    return text[turn];
}

static unsigned key_of(unsigned party)
{
    return party == PARTY_ADMIN ? KEY_ADMIN : 10 + party;
}

/* ---- signing ---- */

/* Party signs all events with a key; `before` is the signature at position 1, or absent. */
static struct span sign(struct clients *cl, const struct span *events, size_t n, unsigned party, unsigned key, struct span before)
{
    struct scratch_pen *pen = cl->pen;
    const struct secret_key *k = &cl->keys[key];
    struct signature s = {.party = span_str(party_name(party)), .alg = k->alg, .meaning = SPAN_LIT("authorship"),
                          .time = SPAN_LIT(OCCURRED)}, first;
    uint8_t id[KEY_ID_LEN], sig[64];
    struct frontier f = {0};
    struct hash root;
    for (size_t i = 0; i < n; i++) {
        struct hash event, leaf;
        event_id(pen->c, events[i], &event);
        merkle_leaf(pen->c, span_of(event.b, HASH_LEN), &leaf);
        frontier_append(pen->c, &f, &leaf);
    }
    frontier_root(pen->c, &f, &root);
    LEDGER_REQUIRE(!before.p || signature_decode(before, &first, NULL) == LEDGER_OK);
    crypto_key_id(pen->c, k->alg, span_of(k->pub, k->pub_len), id);
    s.key_id = span_of(id, sizeof id);
    struct span input = signature_input(pen->c, pen->a, SPAN_LIT(SCRATCH_ORIGIN), &s, before.p ? 2 : 1, (unsigned)n, &root,
                                        before.p ? &first : NULL);
    LEDGER_REQUIRE(input.p && crypto_make_signature(pen->c, k, input, sig));
    s.sig = span_of(sig, sizeof sig);
    struct span bytes = signature_encode(pen->a, &s);
    LEDGER_REQUIRE(bytes.p);
    return bytes;
}

/* ---- events ---- */

static struct sent *sent_new(struct clients *cl, enum op op, unsigned signer, unsigned subject)
{
    struct sent *e = arena_alloc(cl->pen->a, sizeof *e);
    LEDGER_REQUIRE(e);
    *e = (struct sent){.op = op, .signer = signer, .subject = subject, .signatures_good = true, .reference = ++cl->n_references};
    return e;
}

static void encode(struct clients *cl, struct sent *e, const char *kind, const char *fmt, ...) LEDGER_PRINTF(4, 5);
static void encode(struct clients *cl, struct sent *e, const char *kind, const char *fmt, ...)
{
    char fields[2048], text[3072];
    uint8_t nonce[NONCE_LEN];
    struct line line;
    struct ledger_err err = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fields, sizeof fields, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof text, "{'id':'ref-%u','kind':'%s','occurred':'" OCCURRED "','fields':{%s}}", e->reference, kind, fields);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (line_parse(cl->pen->a, arena_copy(cl->pen->a, span_str(text)), &line, &err))
        sim_fail("the simulation writes a line that is none: %s: %s", err.msg, text);
    for (size_t i = 0; i < NONCE_LEN; i++)
        nonce[i] = (uint8_t)world_random();
    line.event.nonce = span_of(nonce, NONCE_LEN);
    e->bytes = event_encode(cl->pen->a, &line.event);
    LEDGER_REQUIRE(e->bytes.p);
}

static void encode_registration(struct clients *cl, struct sent *e, const char *roles)
{
    char reference[32];
    snprintf(reference, sizeof reference, "ref-%u", e->reference);
    e->bytes = pen_registration(cl->pen, reference, party_name(e->subject), roles, key_of(e->subject));
}

static unsigned pick(const unsigned *list, unsigned n, unsigned else_)
{
    unsigned back = world_chance(4) ? n : n < 12 ? n : 12; /* mostly what is new */
    return n == 0 || world_chance(40) ? else_ : list[n - 1 - world_below(back)];
}

/* What a person would choose, who knows what was recorded; sometimes anything. */
static unsigned choose(const struct clients *cl, const unsigned *list, unsigned n, bool (*fits)(const struct model_item *x))
{
    for (unsigned i = 0; n && i < 30 && !world_chance(40); i++) {
        unsigned back = n < 60 ? n : 60, item = list[n - 1 - world_below(back)];
        if (fits(&cl->m->items[item]))
            return item;
    }
    return pick(list, n, MODEL_ITEMS_MAX - 1);
}

static bool is_there(const struct model_item *x)
{
    return x->exists && !x->terminal;
}

static bool is_new(const struct model_item *x)
{
    return is_there(x) && !x->released;
}

static bool is_free(const struct model_item *x)
{
    return is_there(x) && x->released && x->available > 0;
}

static bool is_fed(const struct model_item *x)
{
    return is_there(x) && x->has_input;
}

static bool is_full(const struct model_item *x)
{
    return is_there(x) && x->available > 0;
}

static unsigned any_item(const struct clients *cl)
{
    unsigned back = world_chance(4) ? cl->n_items : cl->n_items < 20 ? cl->n_items : 20;
    return world_chance(50) || cl->n_items == 1 ? MODEL_ITEMS_MAX - 1 : cl->n_items - 1 - world_below(back > 1 ? back - 1 : 1);
}

static struct sent *make_material(struct clients *cl, unsigned signer)
{
    bool again = world_chance(30) && cl->n_materials;
    unsigned item = again ? cl->materials[world_below(cl->n_materials)] : cl->n_items++;
    struct sent *e = sent_new(cl, OP_MATERIAL, signer, item);
    if (!again)
        cl->materials[cl->n_materials++] = item;
    e->quantity = 5 + world_below(60);
    encode(cl, e, "MATERIAL_RECEIVED",
           "'item':'I-%u','gtin':'1','lot':'L','supplier':'S','quantity':%lld,'uom':'mL','expiry':'" EXPIRY "','coa_hash':'c',"
           "'origin':'defined'", item, (long long)e->quantity);
    return e;
}

static struct sent *make_lot(struct clients *cl)
{
    unsigned item = cl->n_items++;
    struct sent *e = sent_new(cl, OP_LOT, PARTY_OPERATOR, item);
    cl->lots[cl->n_lots++] = item;
    encode(cl, e, "LOT_CREATED",
           "'item':'I-%u','lot_class':'BATCH','product_code':'P','lot':'L','use':'ALLOGENEIC','required_tests':['viability'],"
           "'spec_version':'1','uom':'mL'", item);
    return e;
}

static struct sent *make_consume(struct clients *cl)
{
    unsigned lot = choose(cl, cl->lots, cl->n_lots, world_chance(2) ? is_fed : is_there);
    if (cl->inputs[lot]++ >= MODEL_INPUTS_MAX)
        return make_lot(cl);
    struct sent *e = sent_new(cl, OP_CONSUME, PARTY_OPERATOR, lot);
    e->other = choose(cl, cl->materials, cl->n_materials, is_free);
    int64_t there = cl->m->items[e->other].available;
    /* Often right at the limit, and one above it. */
    e->quantity = world_chance(2) ? 1 + world_below(10) : there + (world_chance(2) ? 1 : 0);
    if (e->quantity <= 0)
        e->quantity = 1;
    encode(cl, e, "INPUT_CONSUMED", "'item':'I-%u','input':'I-%u','quantity':%lld,'uom':'mL'", lot, e->other, (long long)e->quantity);
    return e;
}

static struct sent *make_derive(struct clients *cl)
{
    struct sent *e = sent_new(cl, OP_DERIVE, PARTY_OPERATOR, choose(cl, cl->lots, cl->n_lots, is_fed));
    e->quantity = 1 + world_below(50);
    encode(cl, e, "LOT_DERIVED", "'item':'I-%u','quantity':%lld,'uom':'mL','expiry':'" EXPIRY "'", e->subject, (long long)e->quantity);
    return e;
}

static struct sent *make_split(struct clients *cl)
{
    char units[512] = "";
    size_t at = 0;
    struct sent *e = sent_new(cl, OP_SPLIT, PARTY_OPERATOR, choose(cl, cl->lots, cl->n_lots, is_full));
    int64_t there = cl->m->items[e->subject].available;
    e->n = 1 + world_below(4);
    e->other = cl->n_items;
    e->quantity = world_chance(2) ? 1 + world_below(8) : there / e->n + (world_chance(2) ? 1 : 0);
    if (e->quantity <= 0)
        e->quantity = 1;
    cl->n_items += e->n;
    for (unsigned i = 0; i < e->n; i++)
        at += (size_t)snprintf(units + at, sizeof units - at, "%s{'item':'I-%u','quantity':%lld}", i ? "," : "", e->other + i,
                               (long long)e->quantity);
    encode(cl, e, "LOT_SPLIT", "'item':'I-%u','units':[%s]", e->subject, units);
    return e;
}

static struct sent *make_move(struct clients *cl, unsigned signer, unsigned item)
{
    struct sent *e = sent_new(cl, OP_MOVE, signer, item);
    encode(cl, e, "STORAGE_MOVED", "'item':'I-%u','location':'F-%u'", item, world_below(9));
    return e;
}

static struct sent *make_dispose(struct clients *cl, unsigned signer)
{
    struct sent *e = sent_new(cl, OP_DISPOSE, signer, any_item(cl));
    encode(cl, e, "LOT_DISPOSED", "'item':'I-%u','method':'m','reason':'r'", e->subject);
    return e;
}

static struct sent *make_release(struct clients *cl)
{
    struct sent *e = sent_new(cl, OP_RELEASE, PARTY_QA, choose(cl, cl->materials, cl->n_materials, is_new));
    encode(cl, e, "QUALITY_DECISION", "'item':'I-%u','decision':'RELEASE','spec_version':'1','reason':'r'", e->subject);
    return e;
}

static struct sent *make_recall(struct clients *cl, bool close)
{
    char items[256] = "";
    size_t at = 0;
    unsigned recall = close && cl->n_recalls ? world_below(cl->n_recalls) : cl->n_recalls++;
    struct sent *e = sent_new(cl, close ? OP_CLOSE : OP_RECALL, PARTY_QA, recall);
    e->n = 1 + world_below(3);
    e->other = world_chance(2) ? any_item(cl) : choose(cl, cl->materials, cl->n_materials, is_free);
    if (e->other + e->n > MODEL_ITEMS_MAX)
        e->n = 1;
    for (unsigned i = 0; i < e->n; i++)
        at += (size_t)snprintf(items + at, sizeof items - at, "%s'I-%u'", i ? "," : "", e->other + i);
    encode(cl, e, "RECALL_CHANGED", "'recall':'R-%u','action':'%s','items':[%s],'class':'II','reason':'r'", recall,
           close ? "CLOSED" : "ISSUED", items);
    return e;
}

static struct sent *make_administer(struct clients *cl)
{
    struct sent *e = sent_new(cl, OP_ADMINISTER, PARTY_HOSPITAL, any_item(cl));
    encode(cl, e, "ADMINISTERED",
           "'item':'I-%u','coi':'" COI "','subject_commit_scanned':'s','dose':1,'uom':'mL','route':'IV','site':'W','nonconforming':true,"
           "'deviation':'D-1'", e->subject);
    return e;
}

static struct sent *make_party(struct clients *cl)
{
    bool revoke = world_chance(2) && cl->n_parties > PARTY_EXTRA;
    unsigned party = revoke ? PARTY_EXTRA + world_below(cl->n_parties - PARTY_EXTRA) : cl->n_parties;
    if (!revoke && cl->n_parties >= 230)
        return make_material(cl, PARTY_WAREHOUSE);
    struct sent *e = sent_new(cl, revoke ? OP_REVOKE : OP_REGISTER, PARTY_ADMIN, party);
    if (revoke) {
        encode(cl, e, "PARTY_REGISTERED", "'action':'REVOKE','party':'%s','roles':['WAREHOUSE'],'org':'ORG'", party_name(party));
    } else {
        cl->n_parties++;
        encode_registration(cl, e, "WAREHOUSE");
    }
    return e;
}

/* ---- requests ---- */

static unsigned second_of(enum op op)
{
    switch ((int)op) {
    case OP_RELEASE:
    case OP_RECALL:
    case OP_CLOSE: return PARTY_QP;
    case OP_ADMINISTER: return PARTY_QA;
    default: return 0;
    }
}

static struct ask *ask_new(struct clients *cl, struct sent **e, unsigned n)
{
    struct ask *k = calloc(1, sizeof *k);
    LEDGER_REQUIRE(k);
    k->n = n;
    for (unsigned i = 0; i < n; i++) {
        k->e[i] = e[i];
        k->events[i] = e[i]->bytes;
        event_id(cl->pen->c, e[i]->bytes, &e[i]->id);
        model_sent(cl->m, e[i]);
    }
    k->job = (struct job){.a = arena_new(ASK_ARENA), .owner = k, .n_events = n, .events = k->events, .signatures = k->signatures};
    LEDGER_REQUIRE(k->job.a);
    return k;
}

static void sign_ask(struct clients *cl, struct ask *k)
{
    unsigned signer = k->e[0]->signer, second = second_of(k->e[0]->op), key = key_of(signer);
    unsigned fault = k->n == 1 ? world_below(60) : 9;
    if (fault == 0)
        key = 7;
    bool stranger = fault == 4 && (signer == PARTY_OPERATOR || k->e[0]->op == OP_MATERIAL) && k->e[0]->op != OP_SPLIT;
    if (stranger) { /* whose role does not allow it */
        signer = k->e[0]->signer = PARTY_QP;
        key = key_of(signer);
    }
    k->signatures[0] = sign(cl, k->events, k->n, signer, key, SPAN_NONE);
    k->job.n_signatures = 1;
    if (second && fault != 1) {
        unsigned by = fault == 2 ? signer : second;
        /* The second person's key is another one's, or the second person is the first. */
        k->signatures[1] = sign(cl, k->events, k->n, by, fault == 3 ? 7 : key_of(by), k->signatures[0]);
        k->job.n_signatures = 2;
    }
    bool bad = stranger || fault == 0 || (second && fault <= 3);
    for (unsigned i = 0; i < k->n; i++) {
        k->e[i]->signatures_good = !bad;
        k->e[i]->n_signatures = k->job.n_signatures;
        memcpy(k->e[i]->signatures, k->signatures, sizeof k->signatures);
    }
}

static unsigned warehouse_signer(const struct clients *cl)
{
    return world_chance(5) && cl->n_parties > PARTY_EXTRA ? PARTY_EXTRA + world_below(cl->n_parties - PARTY_EXTRA) : PARTY_WAREHOUSE;
}

static struct sent *make_one(struct clients *cl)
{
    switch (world_below(16)) {
    case 0: return make_material(cl, warehouse_signer(cl));
    case 1:
    case 2:
    case 3: return make_release(cl);
    case 4: return make_lot(cl);
    case 5:
    case 6:
    case 7: return make_consume(cl);
    case 8:
    case 9: return make_derive(cl);
    case 10:
    case 11: return make_split(cl);
    case 12: return make_recall(cl, !world_chance(3));
    case 13: return world_chance(2) ? make_administer(cl) : make_release(cl);
    case 14: return world_chance(3) ? make_party(cl) : world_chance(3) ? make_dispose(cl, PARTY_WAREHOUSE) : make_material(cl, PARTY_WAREHOUSE);
    default: return make_move(cl, warehouse_signer(cl), any_item(cl));
    }
}

/* Several events under one signature; all or nothing only where none stands in another's way. */
static struct ask *ask_many(struct clients *cl)
{
    struct sent *e[ASK_EVENTS_MAX];
    unsigned n = 2 + world_below(ASK_EVENTS_MAX - 2);
    bool operator = !world_chance(3), group = world_chance(6);
    for (unsigned i = 0; i < n; i++) {
        if (group)
            e[i] = world_chance(12) ? make_move(cl, PARTY_OPERATOR, any_item(cl)) : make_lot(cl);
        else if (operator)
            e[i] = world_chance(3) ? make_consume(cl) : world_chance(2) ? make_derive(cl) : make_split(cl);
        else
            e[i] = world_chance(4) ? make_move(cl, PARTY_WAREHOUSE, any_item(cl)) : make_material(cl, PARTY_WAREHOUSE);
    }
    struct ask *k = ask_new(cl, e, n);
    k->job.all_or_nothing = group;
    sign_ask(cl, k);
    return k;
}

static struct ask *ask_one(struct clients *cl, struct sent *e)
{
    struct ask *k = ask_new(cl, &e, 1);
    sign_ask(cl, k);
    if (e->signatures_good && e->op == OP_MATERIAL && e->signer == PARTY_WAREHOUSE) {
        e->other_signature = sign(cl, k->events, 1, PARTY_OPERATOR, key_of(PARTY_OPERATOR), SPAN_NONE);
        cl->recent[cl->n_recent++ % 64] = e;
    }
    return k;
}

static struct ask *copy_ask(const struct ask *was)
{
    struct ask *k = calloc(1, sizeof *k);
    LEDGER_REQUIRE(k);
    *k = *was;
    k->next = NULL;
    k->again = true;
    k->job = (struct job){.a = arena_new(ASK_ARENA), .owner = k, .n_events = was->n, .events = k->events, .signatures = k->signatures,
                          .n_signatures = was->job.n_signatures, .all_or_nothing = was->job.all_or_nothing};
    LEDGER_REQUIRE(k->job.a);
    return k;
}

/* An event that is recorded, under the signature of somebody else. */
static struct ask *ask_foreign(struct clients *cl)
{
    struct sent *e = cl->recent[world_below(cl->n_recent < 64 ? cl->n_recent : 64)];
    if (e->index == 0)
        return ask_one(cl, make_one(cl));
    struct ask was = {.n = 1, .foreign = true, .e = {e}, .events = {e->bytes}, .signatures = {e->other_signature},
                      .job = {.n_signatures = 1}};
    return copy_ask(&was);
}

/* Another event with a reference that its signer has used before. */
static struct ask *ask_same_reference(struct clients *cl)
{
    const struct sent *was = cl->recent[world_below(cl->n_recent < 64 ? cl->n_recent : 64)];
    unsigned next = cl->n_references;
    cl->n_references = was->reference - 1;
    struct sent *e = make_move(cl, PARTY_WAREHOUSE, any_item(cl));
    cl->n_references = next;
    return ask_one(cl, e);
}

struct ask *clients_ask(struct clients *cl)
{
    struct ask *k;
    if (cl->last && world_chance(12))
        return copy_ask(cl->last);
    if (cl->n_recent && world_chance(25))
        return world_chance(2) ? ask_foreign(cl) : ask_same_reference(cl);
    k = world_chance(4) ? ask_many(cl) : ask_one(cl, make_one(cl));
    if (world_chance(4)) {
        ask_free(cl->last);
        cl->last = copy_ask(k);
    }
    return k;
}

struct ask *clients_begin(struct clients *cl, unsigned number)
{
    static const char *const roles[] = {"", "WAREHOUSE", "OPERATOR", "QA", "QP", "HOSPITAL"};
    struct sent *e;
    if (number + 1 < PARTY_EXTRA) {
        e = sent_new(cl, OP_REGISTER, PARTY_ADMIN, number + 1);
        encode_registration(cl, e, roles[number + 1]);
    } else if (number + 1 == PARTY_EXTRA) {
        e = sent_new(cl, OP_COI, PARTY_ADMIN, 0);
        encode(cl, e, "COI_ASSIGNED", "'coi':'" COI "','subject_commit':'s','use':'ALLOGENEIC'");
    } else {
        return NULL;
    }
    struct ask *k = ask_new(cl, &e, 1);
    k->signatures[0] = sign(cl, k->events, 1, PARTY_ADMIN, KEY_ADMIN, SPAN_NONE);
    k->job.n_signatures = 1;
    return k;
}
