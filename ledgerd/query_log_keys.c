/* SPDX-License-Identifier: Apache-2.0 */
/* query_log_keys: how the key that signs checkpoints has changed: each LOG_KEY entry under the last checkpoint of the key that it replaced. */
#include "log_note.h"
#include "query_internal.h"

/* The kept note is not looked into here, but for its presence: whoever asks has to verify it, and it cannot be made again. */
static enum ledger_rc kept_note(struct query *q, struct arena *a, uint64_t size, struct span *note, struct ledger_err *err)
{
    enum ledger_rc rc = log_note_kept(store_dir(q->env.store), size, a, note, err);
    return rc == LEDGER_OK || rc == LEDGER_ENOMEM ? rc : ledger_wrap(err, LEDGER_EINTERNAL, "the kept checkpoint of a log key");
}

static enum ledger_rc build_change(struct query *q, struct reply *r, uint64_t from, Ledgerd__V1__LogKeyChange **out,
                                   struct ledger_err *err)
{
    struct stored e;
    struct span path, note;
    Ledgerd__V1__LogKeyChange *c = *out = arena_alloc(r->a, sizeof *c);
    if (!c)
        return no_room(err);
    ledgerd__v1__log_key_change__init(c);
    enum ledger_rc rc = read_entry(q, from - 3, &e, err);
    if (rc == LEDGER_OK && e.h.kind != OWN_LOG_KEY)
        rc = read_bad(err, from - 3, "a change of the log key was to be here");
    if (rc == LEDGER_OK)
        rc = read_path(q, r->a, &e, from - 1, &path, err);
    if (rc == LEDGER_OK)
        rc = kept_note(q, r->a, from - 1, &note, err);
    if (rc != LEDGER_OK)
        return rc;
    c->header = bin(e.header);
    c->payload = bin(e.event);
    c->path = bin(path);
    c->checkpoint = bin(note);
    r->bytes += e.header.n + e.event.n + path.n + note.n;
    return LEDGER_OK;
}

enum ledger_rc next_log_keys(struct query *q, struct reply *r, struct ledger_err *err)
{
    struct log_key_sizes *sizes = arena_alloc(q->scratch, sizeof *sizes);
    struct plist list = {.n = 0};
    Ledgerd__V1__LogKeysResponse *out = arena_alloc(r->a, sizeof *out);
    if (!sizes || !out)
        return no_room(err);
    ledgerd__v1__log_keys_response__init(out);
    enum ledger_rc rc = log_key_sizes(&q->m, sizes, err);
    for (size_t i = 0; rc == LEDGER_OK && i < sizes->n; i++) {
        Ledgerd__V1__LogKeyChange *c;
        rc = build_change(q, r, sizes->from[i], &c, err);
        if (rc == LEDGER_OK && !plist_push(&list, r->a, c))
            rc = no_room(err);
    }
    if (rc != LEDGER_OK)
        return rc;
    out->n_changes = list.n;
    out->changes = (Ledgerd__V1__LogKeyChange **)list.p;
    r->msg->answer_case = LEDGERD__V1__RESPONSE__ANSWER_LOG_KEYS;
    r->msg->log_keys = out;
    return LEDGER_OK;
}
