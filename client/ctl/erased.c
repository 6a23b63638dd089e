/* SPDX-License-Identifier: Apache-2.0 */
/* erased: looking up the acts under which content was erased (erased.h). */
#include "erased.h"

#include "act.h"
#include "chain_json.h"

static struct erased_act *known(const struct erased_acts *e, uint64_t index)
{
    struct erased_act *a = e->first;
    while (a && a->reply->u.receipt.receipt.entry.header.index != index)
        a = a->next;
    return a;
}

static int fetch(struct erased_acts *e, uint64_t index, struct erased_act **out)
{
    struct call_request call = {.op = CALL_RECEIPT, .u.receipt = {.by_index = true, .index = index}};
    struct erased_act *a = arena_alloc(e->ctl->a, sizeof *a);
    if (!a)
        return ctl_fail(e->ctl, EXIT_NO_ANSWER, "out of memory");
    int exit = ctl_call(e->ctl, &call, &a->reply);
    if (exit)
        return exit;
    a->next = e->first;
    e->first = a;
    *out = a;
    return EXIT_GOOD;
}

int erased_act(struct erased_acts *e, const struct entry *entry, const struct erased_act **out)
{
    struct verdict v = {0};
    if (entry->erased_by >= e->basis->snapshot.cp.size)
        return ctl_tampered(e->ctl, e->basis, SPAN_NONE, "content is said to be erased under an entry that is not under the checkpoint");
    struct erased_act *a = known(e, entry->erased_by);
    int exit = a ? EXIT_GOOD : fetch(e, entry->erased_by, &a);
    if (exit)
        return exit;
    struct span payload = a->reply->u.receipt.claim.entry.event;
    if (!verify_erasure(entry, &a->reply->u.receipt.receipt.entry, payload, &a->erasure, &v))
        return verdict_open(v.kind) ? ctl_fail(e->ctl, EXIT_NO_ANSWER, "%s", v.text)
                                       : ctl_tampered(e->ctl, a->reply, a->reply->u.receipt.file, v.text);
    a->reason = a->erasure.reason;
    *out = a;
    return EXIT_GOOD;
}

const char *erased_text(struct ctl *ctl, const struct erased_act *act)
{
    const struct entry *e = &act->reply->u.receipt.receipt.entry;
    return ctl_text(ctl, "erased under entry #%llu by %s: %s", (unsigned long long)e->header.index,
                    act_signers(ctl, e->block.sigs, e->block.n), ctl_span(ctl, act->reason));
}

static void act_json(struct json_writer *w, const struct erased_act *act)
{
    const struct entry *e = &act->reply->u.receipt.receipt.entry;
    json_object(w);
    json_put_uint(w, "index", e->header.index);
    json_put_time(w, "recorded", e->header.recorded_us);
    json_put_string(w, "reason", act->reason);
    json_name(w, SPAN_LIT("by"));
    json_array(w);
    for (size_t i = 0; i < e->block.n; i++)
        json_string(w, e->block.sigs[i].party);
    json_end(w);
    json_end(w);
}

int erased_json(struct erased_acts *e, struct json_writer *w, const struct entry *entries, size_t n)
{
    const struct erased_act *act;
    for (size_t i = 0; i < n; i++) {
        int exit = entries[i].erased_by ? erased_act(e, &entries[i], &act) : EXIT_GOOD;
        if (exit)
            return exit;
    }
    if (!e->first)
        return EXIT_GOOD;
    json_name(w, SPAN_LIT("erasures"));
    json_array(w);
    for (act = e->first; act; act = act->next)
        act_json(w, act);
    json_end(w);
    return EXIT_GOOD;
}

void erased_free(struct erased_acts *e)
{
    for (struct erased_act *a = e->first; a; a = a->next)
        reply_free(a->reply); /* the act itself is in the command's arena */
    e->first = NULL;
}
