/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_tally: what each entry adds to an audit (audit.h). Counts and findings are notes of the replay, saved in one transaction with the
 * state that they belong to: an audit that was interrupted counts nothing twice.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"

#define COUNTS_VERSION 1
#define COUNTS_NAME "audit"
#define N_COUNTS (sizeof(struct audit_counts) / sizeof(uint64_t))

const char *severity_name(enum severity s)
{
    static const char *const names[SEVERITIES] = {"critical", "major", "minor", "info"};
    return names[s];
}

/* ---- notes ---- */

enum ledger_rc audit_saving(void *audit, struct ledger_err *err)
{
    struct audit *au = audit;
    struct wbuf w;
    const uint64_t *n = (const uint64_t *)(const void *)&au->n;
    if (au->program.rc) {
        if (err)
            *err = au->program;
        return au->program.rc;
    }
    struct arena_mark mark = arena_mark(au->a);
    wbuf_init(&w, au->a);
    wbuf_u8(&w, COUNTS_VERSION);
    for (size_t i = 0; i < N_COUNTS; i++)
        wbuf_u64(&w, n[i]);
    struct span s = wbuf_span(&w);
    enum ledger_rc rc = s.p ? replayer_put_note(au->replayer, COUNTS_NAME, s, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    arena_release(au->a, mark);
    return rc;
}

enum ledger_rc audit_resume(struct audit *au, struct ledger_err *err)
{
    struct span s;
    struct rbuf r;
    uint64_t *n = (uint64_t *)(void *)&au->n;
    const struct machine *m = replayer_machine(au->replayer);
    au->previous = (struct header){.recorded_us = m->recorded_us, .epoch = m->epoch};
    au->seal = m->seal;
    au->seal_leaf = m->seal_leaf;
    au->batch_first = m->batch_first;
    if (replayer_size(au->replayer) == 0)
        return LEDGER_OK;
    enum ledger_rc rc = replayer_get_note(au->replayer, COUNTS_NAME, &s, err);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, LEDGER_EINVAL, "the state folder is not one of an audit; name another");
    if (rc)
        return rc;
    rbuf_init(&r, s);
    unsigned version = rbuf_u8(&r);
    for (size_t i = 0; i < N_COUNTS; i++)
        n[i] = rbuf_u64(&r);
    if (version != COUNTS_VERSION || !rbuf_done(&r))
        return ledger_fail(err, LEDGER_EVERSION, "the state folder was written by another version of this program; name another");
    return LEDGER_OK;
}

static void put_row(struct audit *au, const char *list, uint64_t number, struct span value)
{
    char name[40];
    if (au->program.rc)
        return;
    snprintf(name, sizeof name, "%s/%016" PRIx64, list, number);
    if (value.p)
        (void)!replayer_put_note(au->replayer, name, value, &au->program);
    else
        ledger_fail(&au->program, LEDGER_ENOMEM, "out of memory");
}

void audit_find(struct audit *au, enum severity severity, uint64_t index, const char *what, const char *fmt, ...)
{
    char text[1400];
    struct wbuf w;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct arena_mark mark = arena_mark(au->a);
    wbuf_init(&w, au->a);
    wbuf_u8(&w, (uint8_t)severity);
    wbuf_u64(&w, index);
    wbuf_str(&w, span_str(what));
    wbuf_str(&w, span_str(text));
    put_row(au, "finding", au->n.findings++, wbuf_span(&w));
    arena_release(au->a, mark);
}

/* A case that this entry may have opened: whether it is open is asked at the end. */
static void may_open(struct audit *au, uint64_t index, enum case_type type, struct span id)
{
    struct wbuf w;
    struct arena_mark mark = arena_mark(au->a);
    wbuf_init(&w, au->a);
    wbuf_u64(&w, index);
    wbuf_u8(&w, (uint8_t)type);
    wbuf_str(&w, id);
    put_row(au, "case", au->n.cases++, wbuf_span(&w));
    arena_release(au->a, mark);
}

/* ---- the ledger's own entries ---- */

static void take_epoch(struct audit *au, const struct read_entry *e)
{
    struct epoch ep;
    au->n.epochs++;
    if (epoch_decode(e->raw.event, &ep, NULL) == LEDGER_OK)
        audit_find(au, SEVERITY_INFO, e->entry.header.index, "epoch", "the ledger was started as epoch %" PRIu64 " by %.*s on %.*s: %.*s",
                   ep.epoch, SPAN_FMT(ep.program), SPAN_FMT(ep.host), SPAN_FMT(ep.reason));
}

static void take_clock_step(struct audit *au, const struct read_entry *e)
{
    struct clock_step s;
    au->n.clock_steps++;
    if (clock_step_decode(e->raw.event, &s, NULL))
        return;
    bool back = s.clock_us < s.expected_us;
    char was[TIME_TEXT_MAX], now[TIME_TEXT_MAX];
    au->n.clock_steps_back += back;
    time_format(s.expected_us, was);
    time_format(s.clock_us, now);
    audit_find(au, back ? SEVERITY_MINOR : SEVERITY_INFO, e->entry.header.index, "clock",
               "the ledger's clock went %s: it read %s where %s was expected", back ? "back" : "forward", now, was);
}

static const char *signers(struct audit *au, const struct entry *e)
{
    if (e->block.n < 2)
        return e->block.n ? ctl_text(au->ctl, "%.*s", SPAN_FMT(e->block.sigs[0].party)) : "nobody";
    return ctl_text(au->ctl, "%.*s and %.*s", SPAN_FMT(e->block.sigs[0].party), SPAN_FMT(e->block.sigs[1].party));
}

static const char *erased_name(char out[40], uint64_t index)
{
    snprintf(out, 40, "erased/%016" PRIx64, index);
    return out;
}

/* Marks an entry as one whose content is erased. False: it was marked before. */
static bool mark_erased(struct audit *au, uint64_t index)
{
    char name[40];
    struct span v;
    if (replayer_get_note(au->replayer, erased_name(name, index), &v, NULL) == LEDGER_OK)
        return false;
    (void)!replayer_put_note(au->replayer, name, SPAN_LIT("1"), &au->program);
    au->n.erased++;
    return true;
}

/* Who reads the ledger after an erasure finds the content gone from the beginning; who had derived the entry before has to say the same. */
static void forget_content(struct audit *au, const uint8_t *id)
{
    struct machine *m = replayer_machine(au->replayer);
    struct entry_record record;
    struct header h;
    struct rbuf r;
    struct span v;
    uint8_t key[KV_KEY_MAX];
    if (kv_get(&m->kv, KV_EVENT, span_of(id, KV_INDEX_KEY), &v))
        return;
    rbuf_init(&r, v);
    uint64_t index = rbuf_u64(&r);
    if (!mark_erased(au, index) || kv_get(&m->kv, KV_LOG, kv_key_u64(key, index), &v) || !entry_record_split(v, &record))
        return;
    struct arena_mark mark = arena_mark(au->a);
    if (header_decode(au->a, record.header, &h, NULL) == LEDGER_OK && kind_find(h.kind) && !au->hashes_only)
        au->n.signatures -= kind_find(h.kind)->signatures;
    arena_release(au->a, mark);
}

static void take_erasure(struct audit *au, const struct read_entry *e)
{
    struct erasure x;
    au->n.erasures++;
    if (erasure_decode(e->raw.event, &x, NULL))
        return;
    for (unsigned i = 0; i < x.n; i++)
        forget_content(au, x.ids + (size_t)i * HASH_LEN);
    audit_find(au, SEVERITY_INFO, e->entry.header.index, "erasure", "the content of %u events was erased, signed by %s: %.*s", x.n,
               signers(au, &e->entry), SPAN_FMT(x.reason));
}

static void take_own(struct audit *au, const struct read_entry *e)
{
    unsigned kind = e->entry.header.kind;
    uint64_t index = e->entry.header.index;
    struct log_key_change k;
    if (kind == OWN_EPOCH) {
        take_epoch(au, e);
    } else if (kind == OWN_CLOCK_STEP) {
        take_clock_step(au, e);
    } else if (kind == OWN_ERASURE) {
        take_erasure(au, e);
    } else if (kind == OWN_PARAMETERS) {
        au->n.parameters++;
        audit_find(au, SEVERITY_INFO, index, "parameters", "the ledger's parameters were set, signed by %s", signers(au, &e->entry));
    } else if (kind == OWN_LOG_KEY && log_key_change_decode(e->raw.event, &k, NULL) == LEDGER_OK) {
        au->n.log_keys++;
        audit_find(au, SEVERITY_MINOR, index, "log key", "checkpoints from size %" PRIu64 " on are signed by %.*s", k.from_size, SPAN_FMT(k.new_vkey));
    } else if (kind == OWN_TIME_STAMP) {
        au->n.time_stamps++;
    } else if (kind != OWN_SEAL && kind != OWN_GENESIS) {
        audit_find(au, SEVERITY_INFO, index, "ledger", "an entry %s was written", entry_kind_name(kind));
    }
}

/* ---- events ---- */

static void take_party(struct audit *au, const struct entry *e)
{
    static const char *const did[] = {"", "was registered", "was amended", "has a new key", "was revoked"};
    unsigned action = event_enum(&e->event, FIELD_ACTION);
    struct span party = event_text(&e->event, FIELD_PARTY), signer = e->block.n ? e->block.sigs[0].party : SPAN_NONE;
    au->n.registered += action == PARTY_REGISTER;
    au->n.amended += action == PARTY_AMEND;
    au->n.rotated += action == PARTY_ROTATE_KEY;
    au->n.revoked += action == PARTY_REVOKE;
    if (action >= PARTY_REGISTER && action <= PARTY_REVOKE)
        audit_find(au, SEVERITY_INFO, e->header.index, "party", "party %.*s %s, signed by %.*s", SPAN_FMT(party), did[action],
                   SPAN_FMT(signer));
}

static void take_correction(struct audit *au, const struct entry *e)
{
    struct span target = event_text(&e->event, FIELD_TARGET_EVENT), reason = event_text(&e->event, FIELD_REASON);
    bool is_void = event_true(&e->event, FIELD_DID_NOT_OCCUR);
    audit_find(au, is_void ? SEVERITY_MINOR : SEVERITY_INFO, e->header.index, "correction", "event %.*s %s: %.*s", SPAN_FMT(target),
               is_void ? "is declared not to have occurred" : "is corrected", SPAN_FMT(reason));
}

static void take_decision(struct audit *au, const struct entry *e)
{
    if (event_enum(&e->event, FIELD_DECISION) != DECISION_EXCEPTIONAL_RELEASE)
        return;
    struct span item = event_text(&e->event, FIELD_ITEM), why = event_text(&e->event, FIELD_JUSTIFICATION);
    audit_find(au, SEVERITY_MINOR, e->header.index, "release", "item %.*s was released exceptionally: %.*s", SPAN_FMT(item), SPAN_FMT(why));
}

static void take_administered(struct audit *au, const struct entry *e)
{
    struct span item = event_text(&e->event, FIELD_ITEM);
    if (!event_true(&e->event, FIELD_NONCONFORMING))
        return;
    audit_find(au, SEVERITY_MAJOR, e->header.index, "administration", "item %.*s was administered although the rules did not allow it",
               SPAN_FMT(item));
}

static void take_event(struct audit *au, const struct entry *e)
{
    const struct event *ev = &e->event;
    unsigned kind = ev->kind->kind, action = event_enum(ev, FIELD_ACTION);
    if (kind == KIND_PARTY_REGISTERED)
        take_party(au, e);
    else if (kind == KIND_EVENT_CORRECTED)
        take_correction(au, e);
    else if (kind == KIND_QUALITY_DECISION)
        take_decision(au, e);
    else if (kind == KIND_ADMINISTERED)
        take_administered(au, e);
    else if (kind == KIND_RECALL_CHANGED && action == RECALL_ISSUED)
        may_open(au, e->header.index, CASE_RECALL, event_text(ev, FIELD_RECALL));
    else if (kind == KIND_DEVIATION_CHANGED && action == DEVIATION_OPENED)
        may_open(au, e->header.index, CASE_DEVIATION, event_text(ev, FIELD_DEVIATION));
    else if (kind == KIND_CONDITION_LOGGED && event_true(ev, FIELD_EXCURSION))
        may_open(au, e->header.index, CASE_EXCURSION, event_text(ev, FIELD_EXCURSION_ID));
}

/* ---- entries ---- */

static void take_derived(struct audit *au, const struct read_entry *e)
{
    const struct header *h = &e->entry.header;
    if (au->n.entries++ == 0)
        au->n.first_us = (uint64_t)h->recorded_us;
    au->n.last_us = (uint64_t)h->recorded_us;
    au->n.links += h->n_links;
    if (h->kind <= EVENT_KIND_LAST)
        au->n.by_kind[h->kind]++;
    if (h->kind == OWN_SEAL)
        au->n.seals++;
    else if (e->entry.own)
        au->n.own++;
    else
        au->n.events++;
    if (!au->hashes_only)
        au->n.signatures += e->entry.block.n;
    if (e->entry.erased_by)
        mark_erased(au, h->index);
    else if (e->entry.own)
        take_own(au, e);
    else
        take_event(au, &e->entry);
}

static void bad(struct audit *au, const struct read_entry *e, const char *what, const char *text)
{
    uint64_t index = e->entry.header.index;
    if (au->n.bad++ == 0) {
        verdict_bad(&au->bad, VERDICT_TAMPERED, index, what, "%s", text);
        const struct entry_record record = {e->raw.header, e->raw.event, e->raw.block, e->raw.opening, e->raw.erased_by};
        au->bad_record = entry_record_join(au->a, &record);
    }
    audit_find(au, SEVERITY_CRITICAL, index, what, "%s", text);
}

static void take_end(struct audit *au, const struct replay_step *s)
{
    const struct verdict *v = s->verdict;
    uint64_t index = s->entry->entry.header.index;
    au->n.not_derived++;
    if (s->rc == LEDGER_ETAMPER) {
        bad(au, s->entry, v->what, v->text);
    } else if (index != au->bad_content) {
        au->n.unverifiable += s->rc == LEDGER_EVERSION;
        audit_find(au, SEVERITY_MAJOR, index, v->what, "%s", v->text);
    }
}

/* What can be said of an entry without the states before it; that its content is what its header names, and its header the leaf at its
 * place, reading has checked. */
static void take_after(struct audit *au, const struct read_entry *e)
{
    const struct header *h = &e->entry.header;
    au->n.not_derived++;
    if (h->recorded_us < au->previous.recorded_us)
        bad(au, e, "recorded time", "runs backwards");
    if (h->epoch < au->previous.epoch)
        bad(au, e, "epoch", "is lower than that of the entry before");
    if (h->kind != OWN_SEAL)
        return;
    if (h->prev_seal != au->seal || !hash_eq(&h->prev_seal_leaf, &au->seal_leaf))
        bad(au, e, "previous seal", "is not the seal before this one");
    if (h->batch_first != au->batch_first)
        bad(au, e, "first entry of the batch", "does not follow the seal before");
}

void audit_step(void *audit, const struct replay_step *s)
{
    struct audit *au = audit;
    const struct header *h = &s->entry->entry.header;
    if (h->kind != OWN_SEAL && !s->entry->entry.content && !s->entry->entry.erased_by && h->index != au->bad_content)
        au->n.withheld++;
    if (s->outcome == REPLAY_DERIVED)
        take_derived(au, s->entry);
    else if (s->outcome == REPLAY_FAILED)
        take_end(au, s);
    else
        take_after(au, s->entry);
    au->previous.recorded_us = h->recorded_us;
    au->previous.epoch = h->epoch;
    if (h->kind == OWN_SEAL) {
        au->seal = h->index;
        au->seal_leaf = s->entry->entry.leaf;
        au->batch_first = h->index + 1;
    }
}

/* ---- the end ---- */

static enum ledger_rc row(struct audit *au, const char *list, uint64_t number, struct rbuf *r, struct ledger_err *err)
{
    char name[40];
    struct span v;
    snprintf(name, sizeof name, "%s/%016" PRIx64, list, number);
    enum ledger_rc rc = replayer_get_note(au->replayer, name, &v, err);
    if (rc)
        return rc == LEDGER_ENOTFOUND ? ledger_fail(err, LEDGER_EIO, "the state folder is damaged: %s is missing; delete the folder", name) : rc;
    v = arena_copy(au->a, v);
    rbuf_init(r, v);
    return v.p ? LEDGER_OK : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
}

static void find_open(struct audit *au, uint64_t index, enum case_type type, struct span id)
{
    static const char *const prefix[] = {"", "deviation/", "excursion/", "recall/"};
    static const char *const word[] = {"", "deviation", "excursion", "recall"};
    struct machine *m = replayer_machine(au->replayer);
    struct hash key;
    struct chain ch;
    struct span record;
    const char *name = ctl_text(au->ctl, "%s%.*s", prefix[type], SPAN_FMT(id));
    chain_key(m->c, &m->index_key, CHAIN_CASE, span_str(name), &key);
    if (kv_get(&m->kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record) || chain_record_decode(record, &ch, NULL) || !ch.kase.open ||
        ch.kase.opened != index)
        return;
    audit_find(au, type == CASE_RECALL ? SEVERITY_MAJOR : SEVERITY_MINOR, index, "open case", "%s %.*s is open", word[type], SPAN_FMT(id));
}

static enum ledger_rc open_cases(struct audit *au, struct ledger_err *err)
{
    for (uint64_t i = 0; i < au->n.cases; i++) {
        struct rbuf r;
        enum ledger_rc rc = row(au, "case", i, &r, err);
        if (rc)
            return rc;
        uint64_t index = rbuf_u64(&r);
        unsigned type = rbuf_u8(&r);
        struct span id = rbuf_str(&r);
        if (rbuf_done(&r) && type >= CASE_DEVIATION && type <= CASE_RECALL)
            find_open(au, index, (enum case_type)type, id);
    }
    return LEDGER_OK;
}

static bool is_erased(struct audit *au, uint64_t index)
{
    char name[40];
    struct span v;
    return au->n.erased && index != VERDICT_NO_INDEX &&
           replayer_get_note(au->replayer, erased_name(name, index), &v, NULL) == LEDGER_OK;
}

static void count_finding(struct audit *au, const struct audit_finding *f)
{
    au->by_severity[f->severity]++;
    au->voids += f->severity == SEVERITY_MINOR && span_eq(f->what, SPAN_LIT("correction"));
    au->exceptional += span_eq(f->what, SPAN_LIT("release"));
    au->nonconforming += span_eq(f->what, SPAN_LIT("administration"));
}

/* What an erased event said is in no report. */
static enum ledger_rc read_findings(struct audit *au, struct ledger_err *err)
{
    size_t at[SEVERITIES] = {0}, n = 0;
    struct audit_finding *all = arena_alloc(au->a, (au->n.findings + 1) * sizeof *all);
    au->findings = arena_alloc(au->a, (au->n.findings + 1) * sizeof *all);
    if (!all || !au->findings)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < au->n.findings; i++) {
        struct rbuf r;
        enum ledger_rc rc = row(au, "finding", i, &r, err);
        if (rc)
            return rc;
        struct audit_finding *f = &all[n];
        unsigned severity = rbuf_u8(&r);
        f->severity = severity < SEVERITIES ? (enum severity)severity : SEVERITY_INFO;
        f->index = rbuf_u64(&r);
        f->what = rbuf_str(&r);
        f->text = rbuf_str(&r);
        if (f->severity != SEVERITY_CRITICAL && is_erased(au, f->index))
            continue;
        count_finding(au, f);
        n++;
    }
    for (unsigned s = 1; s < SEVERITIES; s++)
        at[s] = at[s - 1] + au->by_severity[s - 1];
    for (size_t i = 0; i < n; i++)
        au->findings[at[all[i].severity]++] = all[i];
    au->n_findings = n;
    return LEDGER_OK;
}

static void range(struct audit *au, uint64_t from, uint64_t to, const char *how)
{
    if (from < to)
        au->ranges[au->n_ranges++] = (struct audit_range){from, to - 1, how};
}

/* Entries that are said to be erased under an ERASURE which has not come. */
static bool unnamed_erasures(struct audit *au)
{
    uint64_t open = replayer_machine(au->replayer)->erased_open;
    if (!open || replayer_ended(au->replayer, NULL))
        return false;
    if (au->size == au->last->snapshot.cp.size) {
        if (au->n.bad++ == 0)
            verdict_bad(&au->bad, VERDICT_TAMPERED, VERDICT_NO_INDEX, "erasure", "content was taken out and no ERASURE names it");
        audit_find(au, SEVERITY_CRITICAL, VERDICT_NO_INDEX, "erasure", "%" PRIu64 " entries are given out as erased, and no ERASURE names them", open);
        return false;
    }
    audit_find(au, SEVERITY_MAJOR, VERDICT_NO_INDEX, "erasure", "%" PRIu64 " entries were erased after this checkpoint: an audit at a later one "
               "sees under which entry", open);
    return true;
}

/* The log says itself which key signs this size; a policy that lists several, or has not followed a change, cannot know. */
static void check_log_key(struct audit *au)
{
    const struct snapshot *s = &au->last->snapshot;
    if (replayer_size(au->replayer) != s->cp.size || replayer_ended(au->replayer, NULL) ||
        log_key_signed(au->ctl->c, au->a, machine_log_vkey(replayer_machine(au->replayer), s->cp.size), s->note))
        return;
    if (au->n.bad++ == 0)
        verdict_bad(&au->bad, VERDICT_TAMPERED, VERDICT_NO_INDEX, "checkpoint", "it is not signed by the log key that the log names for its size");
    audit_find(au, SEVERITY_CRITICAL, VERDICT_NO_INDEX, "checkpoint", "it is not signed by the log key that the log names for its size: the key "
               "was replaced, and somebody signs on with another one");
}

enum ledger_rc audit_finish(struct audit *au, struct ledger_err *err)
{
    uint64_t derived = replayer_size(au->replayer);
    if (au->read < au->size)
        audit_find(au, SEVERITY_MAJOR, au->read, "reading", "entries from here on could not be read: nothing was checked of them");
    if (au->n.withheld)
        audit_find(au, SEVERITY_MAJOR, VERDICT_NO_INDEX, "content", "the content of %" PRIu64 " entries is withheld from the certificate "
                   "of this audit: ask for one that may read all", au->n.withheld);
    uint64_t findings = au->n.findings;
    bool open = unnamed_erasures(au);
    check_log_key(au);
    enum ledger_rc rc = open_cases(au, err);
    if (!rc)
        rc = au->program.rc ? ledger_fail(err, au->program.rc, "%s", au->program.msg) : read_findings(au, err);
    au->n.findings = findings; /* what is open is asked anew when the audit goes on */
    if (rc)
        return rc;
    range(au, 0, derived, "derived again");
    range(au, derived, au->read, "place, hashes, order and times; not derived");
    range(au, au->read, au->size, "not read");
    au->result = au->n.bad ? AUDIT_TAMPERED : derived < au->size || open ? AUDIT_INCOMPLETE : AUDIT_HOLDS;
    return LEDGER_OK;
}
