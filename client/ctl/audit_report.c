/* SPDX-License-Identifier: Apache-2.0 */
/* audit_report: an audit as JSON, and the sentences that JSON and page share (audit.h). */
#include <inttypes.h>
#include <string.h>

#include "audit.h"

#define REPORT_VERSION 1

const char audit_rewrite_text[] =
    "An operator who holds the log key, the anchor and the keys of every witness can rewrite history for those who kept nothing. A checkpoint that "
    "was kept elsewhere, in a receipt, by a witness or from an earlier audit, exposes it.";

const char *audit_result_text(const struct audit *au)
{
    switch (au->result) {
    case AUDIT_TAMPERED: return "DOES NOT HOLD";
    case AUDIT_INCOMPLETE: return "could not be derived to its end";
    case AUDIT_HOLDS: break;
    }
    return au->hashes_only ? "holds; signatures were not checked" : "holds";
}

/* Cosignatures come after a checkpoint was signed, and the trust in them is the auditor's own: with --at, when the report is to be the same for
 * everybody, nothing is said of them. */
const char *audit_witnessed(struct audit *au, bool *known, uint64_t *unwitnessed)
{
    const struct policy_verdict *t = &au->last->snapshot.trust;
    *known = au->at == 0 && au->last->snapshot.cp.size == au->size;
    *unwitnessed = *known && !t->auditors_signed ? au->size : 0;
    if (!*known)
        return "Not part of this report: cosignatures of a checkpoint come later and count under each auditor's own policy. "
               "An audit without --at names them.";
    if (t->auditors_signed)
        return "An auditing witness of the auditor's policy has cosigned this checkpoint.";
    return t->quorum_met && t->cosigned_at ? "The quorum of the auditor's policy has cosigned this checkpoint; no auditing witness has."
                                           : "No witness of the auditor's policy has cosigned this checkpoint.";
}

const char *audit_completeness(struct audit *au)
{
    bool known;
    uint64_t unwitnessed;
    audit_witnessed(au, &known, &unwitnessed);
    if (known && !unwitnessed)
        return "That everybody is shown this same history rests on the operator and on the auditing witness that cosigned this checkpoint; "
               "that everything in it was derived as it should be, this audit has checked itself.";
    return "That everybody is shown this same history, with nothing left out of it, rests on the operator's word alone: no auditing witness "
           "is part of this report.";
}

void audit_not_checked(struct audit *au, struct audit_sentences *out)
{
    bool known;
    uint64_t unwitnessed;
    out->n = 0;
    if (au->hashes_only)
        out->text[out->n++] = "Signatures: left out on request (--hashes-only). That each names its signer's key was checked.";
    if (replayer_size(au->replayer) < au->size)
        out->text[out->n++] = ctl_text(au->ctl, "Rules, signatures and states of the entries from #%" PRIu64 " on: see the ranges.",
                                       replayer_size(au->replayer));
    if (au->read < au->size)
        out->text[out->n++] = ctl_text(au->ctl, "Entries from #%" PRIu64 " on: they could not be read.", au->read);
    if (au->n.erased)
        out->text[out->n++] = ctl_text(au->ctl, "Content and signatures of %" PRIu64 " erased entries: their states were taken from the commitments "
                                       "in their headers and not derived again.", au->n.erased);
    if (au->n.time_stamps)
        out->text[out->n++] = "Time stamps: that each is one of this ledger's checkpoints was checked, the authority's signature was not.";
    audit_witnessed(au, &known, &unwitnessed);
    if (!known)
        out->text[out->n++] = "Cosignatures of witnesses, and the log's signature on the checkpoint of this size: compare the checkpoint below with a "
                              "signed one. That the log's newest signed checkpoint continues it was checked.";
    out->text[out->n++] = "Whether what was signed is true, and whether everything that happened was recorded.";
    out->text[out->n++] = "Whether the ledger's clock was right: recorded times never run backwards; occurred times are the signers' own.";
    out->text[out->n++] = "Documents, certificates and logger files: the ledger holds their hashes alone.";
    out->text[out->n++] = "Whether another history is shown to others: compare the checkpoint with theirs.";
}

size_t audit_rows(const struct audit *au, struct audit_row out[AUDIT_ROWS])
{
    const struct audit_counts *n = &au->n;
    const struct audit_row rows[] = {
        {"derived", "entries derived again", n->entries},
        {"events", "of them events", n->events},
        {"seals", "of them seals, each with the chain map's root", n->seals},
        {"own_entries", "of them other entries of the ledger itself", n->own},
        {"not_derived", "entries in the tree that were not derived", n->not_derived},
        {"signatures", "signatures verified", n->signatures},
        {"links", "links and state commitments derived", n->links},
        {"withheld", "entries whose content is withheld", n->withheld},
        {"erased", "entries whose content is erased", n->erased},
        {"unverifiable", "entries that need a newer program", n->unverifiable},
        {"tampered", "contradictions found", n->bad},
        {"epochs", "starts of the ledger (epochs)", n->epochs},
        {"clock_steps", "steps of the clock", n->clock_steps},
        {"clock_steps_back", "of them back", n->clock_steps_back},
        {"parties_registered", "parties registered", n->registered},
        {"parties_amended", "parties amended", n->amended},
        {"keys_rotated", "keys rotated", n->rotated},
        {"parties_revoked", "parties revoked", n->revoked},
        {"log_keys", "changes of the log key", n->log_keys},
        {"parameters", "settings of parameters", n->parameters},
        {"erasures", "acts of erasure", n->erasures},
        {"time_stamps", "time stamps of an outside authority", n->time_stamps},
        {"corrections", "corrections", n->by_kind[KIND_EVENT_CORRECTED]},
        {"voids", "of them: did not occur", au->voids},
        {"nonconforming_administrations", "administrations against the rules", au->nonconforming},
        {"exceptional_releases", "exceptional releases", au->exceptional},
    };
    _Static_assert(sizeof rows / sizeof rows[0] <= AUDIT_ROWS, "AUDIT_ROWS");
    memcpy(out, rows, sizeof rows);
    return sizeof rows / sizeof rows[0];
}

/* ---- JSON ---- */

static void put_time(struct json_writer *w, const char *name, int64_t us)
{
    char text[TIME_TEXT_MAX];
    time_format(us, text);
    json_put_string(w, name, span_str(text));
}

static void put_checkpoint(struct audit *au, struct json_writer *w)
{
    const struct machine *m = replayer_machine(au->replayer);
    char hex[2 * HASH_LEN + 1];
    bool known;
    uint64_t unwitnessed;
    const char *witnesses = audit_witnessed(au, &known, &unwitnessed);
    json_name(w, SPAN_LIT("checkpoint"));
    json_object(w);
    json_put_string(w, "origin", au->last->snapshot.cp.origin);
    json_put_uint(w, "size", au->size);
    if (au->has_root) {
        hex_encode(span_of(au->root.b, HASH_LEN), hex);
        json_put_string(w, "root", span_str(hex));
    }
    if (replayer_size(au->replayer) == au->size) {
        hex_encode(span_of(m->map_root.b, HASH_LEN), hex);
        json_put_string(w, "map_root", span_str(hex));
        json_put_uint(w, "chains", m->chains);
        put_time(w, "sealed", m->recorded_us);
    }
    json_put_string(w, "log_key", span_str(machine_log_vkey(m, au->size)));
    json_put_string(w, "witnesses", span_str(witnesses));
    json_end(w);
    json_put_string(w, "completeness", span_str(audit_completeness(au)));
    if (known)
        json_put_uint(w, "unwitnessed", unwitnessed);
}

static void put_ranges(struct audit *au, struct json_writer *w)
{
    json_name(w, SPAN_LIT("ranges"));
    json_array(w);
    for (size_t i = 0; i < au->n_ranges; i++) {
        json_object(w);
        json_put_uint(w, "from", au->ranges[i].from);
        json_put_uint(w, "to", au->ranges[i].to);
        json_put_string(w, "checked", span_str(au->ranges[i].how));
        json_end(w);
    }
    json_end(w);
}

static void put_counts(struct audit *au, struct json_writer *w)
{
    struct audit_row rows[AUDIT_ROWS];
    size_t n = audit_rows(au, rows);
    json_name(w, SPAN_LIT("counts"));
    json_object(w);
    json_put_uint(w, "entries", au->size);
    for (size_t i = 0; i < n; i++)
        json_put_uint(w, rows[i].name, rows[i].n);
    json_end(w);
    json_name(w, SPAN_LIT("by_kind"));
    json_object(w);
    for (unsigned k = 0; k <= EVENT_KIND_LAST; k++)
        if (au->n.by_kind[k])
            json_put_uint(w, entry_kind_name(k), au->n.by_kind[k]);
    json_end(w);
}

static void put_findings(struct audit *au, struct json_writer *w)
{
    json_name(w, SPAN_LIT("findings_by_severity"));
    json_object(w);
    for (unsigned s = 0; s < SEVERITIES; s++)
        json_put_uint(w, severity_name((enum severity)s), au->by_severity[s]);
    json_end(w);
    json_name(w, SPAN_LIT("findings"));
    json_array(w);
    for (size_t i = 0; i < au->n_findings; i++) {
        const struct audit_finding *f = &au->findings[i];
        json_object(w);
        json_put_string(w, "severity", span_str(severity_name(f->severity)));
        if (f->index != VERDICT_NO_INDEX)
            json_put_uint(w, "entry", f->index);
        json_put_string(w, "about", f->what);
        json_put_string(w, "text", f->text);
        json_end(w);
    }
    json_end(w);
}

struct span audit_json(struct audit *au)
{
    struct json_writer w;
    struct audit_sentences not_checked;
    json_writer_init(&w, au->a, true);
    json_object(&w);
    json_put_string(&w, "report", SPAN_LIT("ledgerd audit"));
    json_put_uint(&w, "version", REPORT_VERSION);
    json_put_string(&w, "program", SPAN_LIT("ledgerctl " LEDGERD_VERSION));
    json_put_uint(&w, "format_version", FORMAT_VERSION);
    json_put_uint(&w, "rules_version", RULES_VERSION);
    json_put_bool(&w, "holds", au->result == AUDIT_HOLDS);
    json_put_string(&w, "result", span_str(audit_result_text(au)));
    json_put_bool(&w, "signatures_checked", !au->hashes_only);
    put_checkpoint(au, &w);
    if (au->n.entries) {
        put_time(&w, "first_recorded", (int64_t)au->n.first_us);
        put_time(&w, "last_recorded", (int64_t)au->n.last_us);
    }
    put_ranges(au, &w);
    put_counts(au, &w);
    put_findings(au, &w);
    audit_not_checked(au, &not_checked);
    json_name(&w, SPAN_LIT("not_checked"));
    json_array(&w);
    for (size_t i = 0; i < not_checked.n; i++)
        json_string(&w, span_str(not_checked.text[i]));
    json_end(&w);
    json_put_string(&w, "limit", span_str(audit_rewrite_text));
    json_end(&w);
    return json_written(&w);
}
