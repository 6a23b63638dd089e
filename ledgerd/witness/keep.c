/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep: the witnessed checkpoint: made of the lines that have come, written to DIR/witnessed, read again at the next start.
 *
 * Failure: a file that cannot be written is logged, and the checkpoint is served nevertheless: it is as good as before, only that the
 * next start has to ask for it again.
 */
#include <string.h>

#include "../log.h"
#include "../tiles.h"
#include "service.h"

/* The round's note with all lines that have come. */
static struct span assemble(struct witness_service *s)
{
    struct wbuf w;
    wbuf_init(&w, s->a);
    wbuf_bytes(&w, s->note, s->note_n);
    for (unsigned i = 0; i < s->n; i++)
        wbuf_bytes(&w, s->witnesses[i].line, s->witnesses[i].line_n);
    return wbuf_span(&w);
}

void keep_publish(struct witness_service *s)
{
    struct checkpoint cp;
    struct policy_verdict verdict;
    struct ledger_err err = {0};
    struct span note = assemble(s);
    if (!note.p || !policy_check(s->c, s->a, s->policy, note, &cp, &verdict, &err)) {
        logline(LOG_ERROR, "the cosignatures cannot be joined", "reason=%s", err.msg);
        return;
    }
    if (!verdict.quorum_met)
        return;
    if (!s->met)
        s->met_ms = witness_now_ms();
    s->met = true;
    if (files_replace(s->path, note, &err) != LEDGER_OK)
        logline(LOG_ERROR, "the witnessed checkpoint cannot be kept", "error=%s", err.msg);
    const struct witnessed_view v = {.size = s->size, .root = s->root, .cosigned_at = verdict.cosigned_at, .note = note};
    witnessed_set(s->newest, &v);
    s->published_cb(s->ctx);
}

static enum ledger_rc contradicts(struct witness_service *s, const struct checkpoint *cp, struct ledger_err *err)
{
    struct hash root;
    enum ledger_rc rc = tiles_root(s->store, cp->size, &root, err);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_ETAMPER, "rolled back: the witnesses have cosigned %llu entries (%s), and the store holds "
                           "fewer; see \"Restoring\" in docs/operations.md", (unsigned long long)cp->size, s->path);
    if (rc == LEDGER_OK && !hash_eq(&root, &cp->root))
        return ledger_fail(err, LEDGER_ETAMPER, "rolled back: the witnesses have cosigned another tree of %llu entries (%s); see "
                           "\"Restoring\" in docs/operations.md", (unsigned long long)cp->size, s->path);
    return rc;
}

/* Another policy than the one it was cosigned under, or a damaged file: it is asked for again. */
static enum ledger_rc drop(const struct witness_service *s, const char *why)
{
    logline(LOG_WARN, "the kept witnessed checkpoint is not used", "file=%s reason=%s", s->path, why);
    return LEDGER_OK;
}

enum ledger_rc keep_load(struct witness_service *s, struct ledger_err *err)
{
    struct span bytes;
    struct checkpoint cp;
    struct policy_verdict verdict;
    struct ledger_err why = {0};
    arena_reset(s->a);
    enum ledger_rc rc = files_read(s->a, s->path, NOTE_SIZE_MAX, &bytes, &why);
    if (rc == LEDGER_ENOTFOUND)
        return LEDGER_OK;
    if (rc != LEDGER_OK)
        return drop(s, why.msg);
    if (!policy_check(s->c, s->a, s->policy, bytes, &cp, &verdict, &why))
        return drop(s, why.msg);
    if (!verdict.log_signed || cp.size == 0)
        return drop(s, "it is not signed by a log of the policy");
    rc = contradicts(s, &cp, err);
    if (rc != LEDGER_OK)
        return rc;
    if (!verdict.quorum_met)
        return drop(s, "it does not meet the policy's quorum");
    const struct witnessed_view v = {.size = cp.size, .root = cp.root, .cosigned_at = verdict.cosigned_at, .note = bytes};
    witnessed_set(s->newest, &v);
    return LEDGER_OK;
}
