/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family: reads item states into nodes, joins them to lines and lineages, and unpacks the logs that
 * questions need. Each node is read at most once in a judgement.
 *
 * Failure modes: a record that is missing although another one names it, or that does not decode,
 * is a broken store (EINTERNAL or the decoder's code in j->rc); lack of memory is ENOMEM there.
 */
#include "rules/family.h"

#include <string.h>

static void *family_alloc(struct family *fam, size_t n)
{
    void *p = arena_alloc(fam->j->a, n);
    if (!p)
        fam->j->rc = ledger_fail(&fam->j->err, LEDGER_ENOMEM, "judging: over the memory budget");
    return p;
}

static bool broken(struct judge *j, const char *what)
{
    if (j->rc == LEDGER_OK)
        j->rc = ledger_fail(&j->err, LEDGER_EINTERNAL, "judging: %s", what);
    return false;
}

bool family_init(struct family *fam, struct judge *j)
{
    memset(fam, 0, sizeof *fam);
    fam->j = j;
    fam->buckets = family_alloc(fam, FAMILY_BUCKETS * sizeof(struct node *));
    return fam->buckets != NULL;
}

bool member_get(struct judge *j, const struct hash *key, unsigned log, uint64_t number,
                struct span *out)
{
    uint8_t k[KV_KEY_MAX];
    enum ledger_rc rc = kv_get(j->kv, KV_MEMBER, kv_key_member(k, key, log, number), out);
    if (rc == LEDGER_OK)
        return true;
    if (rc == LEDGER_ENOTFOUND)
        return broken(j, "a member of a log is missing");
    j->rc = ledger_fail(&j->err, rc, "judging: reading a member of a log failed");
    return false;
}

/* ---- nodes ---- */

static struct node **bucket_of(struct family *fam, const struct hash *key)
{
    /* Chain keys are uniformly distributed, so any of their bits make a hash. */
    return &fam->buckets[(key->b[0] << 8 | key->b[1]) % FAMILY_BUCKETS];
}

static struct node *known(struct family *fam, const struct hash *key)
{
    for (struct node *x = *bucket_of(fam, key); x; x = x->bucket_next)
        if (hash_eq(&x->key, key))
            return x;
    return NULL;
}

static struct node *add_node(struct family *fam, const struct hash *key, const struct item_state *s)
{
    struct node *x = family_alloc(fam, sizeof *x);
    if (!x)
        return NULL;
    x->key = *key;
    x->id = s->id;
    x->parent_id = s->parent;
    x->coi = s->coi;
    x->for_coi = s->for_coi;
    x->product_code = s->product_code;
    x->klass = s->klass;
    x->use = s->use;
    x->terminal = s->terminal;
    x->quarantined = s->quarantined;
    x->has_expiry = s->has_expiry;
    x->born_us = s->born_us;
    x->arrived_us = s->arrived_us;
    x->expiry_us = s->expiry_us;
    x->made_index = s->made_index;
    x->spec_member = s->spec_member;
    x->last_input = s->last_input;
    x->last_derived = s->last_derived;
    x->last_release = s->last_release;
    x->last_fail = s->last_fail;
    x->rejected = s->rejected;
    x->open_deviations = s->open_deviations;
    x->open_recalls = s->open_recalls;
    x->open_excursions = s->open_excursions;
    x->rejecting_excursions = s->rejecting_excursions;
    x->reducing_excursions = s->reducing_excursions;
    for (unsigned i = 0; i < ITEM_LOGS; i++)
        x->counts[i] = s->logs[i].size;
    struct node **bucket = bucket_of(fam, key);
    x->bucket_next = *bucket;
    *bucket = x;
    return x;
}

struct node *family_node_of(struct family *fam, const struct chain *ch)
{
    struct node *x = known(fam, &ch->key);
    return x ? x : add_node(fam, &ch->key, &ch->item);
}

struct node *family_node(struct family *fam, struct span id)
{
    struct judge *j = fam->j;
    struct hash key;
    struct span record;
    chain_key(j->c, j->index_key, CHAIN_ITEM, id, &key);
    struct node *x = known(fam, &key);
    if (x)
        return x;
    enum ledger_rc rc = kv_get(j->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record);
    if (rc == LEDGER_ENOTFOUND)
        return NULL;
    if (rc == LEDGER_OK) {
        if (!fam->scratch)
            fam->scratch = family_alloc(fam, sizeof *fam->scratch);
        if (!fam->scratch)
            return NULL;
        rc = chain_record_decode(record, fam->scratch, &j->err);
    }
    if (rc != LEDGER_OK) {
        j->rc = ledger_wrap(&j->err, rc, "judging: item %.*s", SPAN_FMT(id));
        return NULL;
    }
    return add_node(fam, &key, &fam->scratch->item);
}

/* An item that the ledger itself refers to, so it must exist. */
static struct node *relative(struct family *fam, struct span id)
{
    struct node *x = family_node(fam, id);
    if (!x)
        (void)broken(fam->j, "an item that another one came from is missing");
    return x;
}

/* Finds parent and inputs. */
static bool resolve(struct family *fam, struct node *x)
{
    size_t n = (size_t)x->counts[ITEM_LOG_INPUTS];
    if (x->resolved)
        return true;
    if (x->parent_id.n > 0) {
        x->parent = relative(fam, x->parent_id);
        if (!x->parent)
            return false;
    }
    x->inputs = family_alloc(fam, (n + 1) * sizeof(struct node *));
    if (!x->inputs)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct span bytes;
        struct edge edge;
        if (!member_get(fam->j, &x->key, ITEM_LOG_INPUTS, i, &bytes))
            return false;
        if (!edge_decode(bytes, &edge))
            return broken(fam->j, "an edge does not decode");
        x->inputs[i] = relative(fam, edge.item);
        if (!x->inputs[i])
            return false;
    }
    x->resolved = true;
    return true;
}

bool family_line(struct family *fam, struct node *x)
{
    size_t n = 0;
    if (x->line)
        return true;
    for (struct node *m = x; m; m = m->parent, n++)
        if (m->parent_id.n > 0 && !m->parent && !(m->parent = relative(fam, m->parent_id)))
            return false;
    struct node **line = family_alloc(fam, n * sizeof(struct node *));
    if (!line)
        return false;
    n = 0;
    for (struct node *m = x; m; m = m->parent)
        line[n++] = m;
    x->line = line;
    x->line_n = n;
    return true;
}

/* ---- lineages ---- */

static void enqueue(struct lineage_walk *w, struct node *x)
{
    if (x->seen == w->fam->walks)
        return;
    x->seen = w->fam->walks;
    x->queue_next = NULL;
    if (w->tail)
        w->tail->queue_next = x;
    else
        w->head = x;
    w->tail = x;
}

void lineage_begin(struct lineage_walk *w, struct family *fam, struct node *x)
{
    w->fam = fam;
    w->head = w->tail = NULL;
    fam->walks++;
    enqueue(w, x);
}

struct node *lineage_next(struct lineage_walk *w)
{
    struct node *x = w->head;
    if (!x || !resolve(w->fam, x))
        return NULL;
    if (x->parent)
        enqueue(w, x->parent);
    for (size_t i = 0; i < x->counts[ITEM_LOG_INPUTS]; i++)
        enqueue(w, x->inputs[i]);
    w->head = x->queue_next;
    if (!w->head)
        w->tail = NULL;
    return x;
}

/* ---- logs ---- */

/* The latest opening with this id, or NULL. */
static struct excursion_view *latest_view(struct node *x, struct span id)
{
    for (size_t i = x->excursions_n; i > 0; i--)
        if (span_eq(x->excursions[i - 1].id, id))
            return &x->excursions[i - 1];
    return NULL;
}

static bool apply_fact(struct node *x, const struct excursion_fact *f)
{
    struct excursion_view *v;
    if (f->fact == EXCURSION_OPENED) {
        v = &x->excursions[x->excursions_n++];
        *v = (struct excursion_view){.id = f->id,
                                     .opened = f->index,
                                     .has_start = f->has_start,
                                     .start_us = f->start_us,
                                     .open = true};
        return true;
    }
    v = latest_view(x, f->id);
    if (!v)
        return false;
    v->open = false;
    v->outcome = f->fact == EXCURSION_ASSESSED_AS ? f->outcome : 0;
    v->has_new_expiry = f->has_new_expiry;
    v->new_expiry_us = f->new_expiry_us;
    return true;
}

bool family_excursions(struct family *fam, struct node *x)
{
    size_t n = (size_t)x->counts[ITEM_LOG_EXCURSIONS];
    if (x->has_excursions)
        return true;
    x->excursions = family_alloc(fam, (n + 1) * sizeof *x->excursions);
    if (!x->excursions)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct span bytes;
        struct excursion_fact f;
        if (!member_get(fam->j, &x->key, ITEM_LOG_EXCURSIONS, i, &bytes))
            return false;
        if (!excursion_fact_decode(bytes, &f) || !apply_fact(x, &f))
            return broken(fam->j, "an excursion fact does not decode");
    }
    x->has_excursions = true;
    return true;
}

bool family_outcomes(struct family *fam, struct node *x)
{
    size_t n = (size_t)x->counts[ITEM_LOG_OUTCOMES];
    if (x->has_outcomes)
        return true;
    x->outcomes = family_alloc(fam, (n + 1) * sizeof *x->outcomes);
    if (!x->outcomes)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct span bytes;
        struct outcome o;
        size_t at = 0;
        if (!member_get(fam->j, &x->key, ITEM_LOG_OUTCOMES, i, &bytes))
            return false;
        if (!outcome_decode(bytes, &o))
            return broken(fam->j, "an outcome does not decode");
        while (at < x->outcomes_n && !span_eq(x->outcomes[at].test, o.test))
            at++;
        x->outcomes[at] = o;
        if (at == x->outcomes_n)
            x->outcomes_n++;
    }
    x->has_outcomes = true;
    return true;
}

bool family_spec(struct family *fam, struct node *x)
{
    struct judge *j = fam->j;
    struct hash key;
    struct span bytes;
    if (x->has_spec)
        return true;
    if (x->spec_member > 0) {
        struct spec_version *v = family_alloc(fam, sizeof *v);
        if (!v)
            return false;
        chain_key(j->c, j->index_key, CHAIN_PRODUCT, x->product_code, &key);
        if (!member_get(j, &key, PRODUCT_LOG_VERSIONS, x->spec_member - 1, &bytes))
            return false;
        if (!spec_version_decode(j->a, bytes, v)) {
            if (v->n == 0 || v->tests)
                return broken(j, "a specification does not decode");
            j->rc = ledger_fail(&j->err, LEDGER_ENOMEM, "judging: over the memory budget");
            return false;
        }
        x->spec = v;
    }
    x->has_spec = true;
    return true;
}
