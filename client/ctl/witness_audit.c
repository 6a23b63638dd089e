/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_audit: the auditor's thread and what it shares with the server's (witness_audit.h).
 *
 * Shared, under the mutex: how far it has come, the roots of the latest seals, what was asked for and is not among them, why it has
 * stopped. The replayer belongs to the auditor's thread alone. So the server never waits for a replay: it asks again when it is woken.
 *
 * Nothing here may use the arena of the invocation, which belongs to the server's thread.
 */
#include "witness_audit.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "evidence.h"
#include "pins.h"
#include "replayer.h"

#define SEALS_KEPT 1024u  /* roots that are answered at once; older ones the auditor's thread looks up */
#define FOLLOW_MS 1000u   /* how long it waits for news; so long may the end take */
#define CONNECT_MS 10000u /* how long the server may take for its first word before it counts as away */
#define SAVE_S 10          /* at a quiet moment, or after so long */
#define PAUSE_MS 2000u    /* before it tries again what did not work */
#define SCRATCH_BUDGET ((size_t)2 << 20)

struct seal {
    uint64_t size;
    struct hash root;
};
struct wanted {
    bool present;
    uint64_t size;
    struct hash root;
    uint64_t signers;
    uint8_t *note; /* owned */
    size_t note_n;
};

struct auditor {
    struct witness *w;
    struct witness_log *log;
    void (*changed_cb)(void *ctx);
    void *ctx;
    struct ledger_profile *profile;
    struct ledger_client *client;
    char folder[PROFILE_PATH_MAX];
    pthread_t thread;
    bool running;

    /* The auditor's thread alone. */
    struct replayer *replayer;
    struct arena *scratch;
    struct crypto *c;
    struct verdict verdict;   /* what ended the replay */
    bool wrong_profile;       /* … and the ledger is not to blame */
    struct span bad;          /* the record that did, owned */
    uint8_t *newest;          /* the newest verified checkpoint, a note; owned */
    size_t newest_n;
    uint64_t newest_size, told, saved;
    bool connected;
    int64_t saved_us;
    struct ledger_err own;    /* what is wrong with the state, found where it could not be returned */

    /* Shared. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool ending, stopped;
    char why[WITNESS_WHY_MAX]; /* stopped, or unable; "" */
    uint64_t replayed;
    struct seal seals[SEALS_KEPT];
    uint64_t n_seals;
    struct wanted now, later; /* of a size that is derived; of the largest one that is not yet */
    uint64_t key_from;
    char key[NOTE_NAME_MAX + 200], key_before[NOTE_NAME_MAX + 200];
};

/* ---- shared state ---- */

static bool over(struct auditor *a)
{
    pthread_mutex_lock(&a->mutex);
    bool yes = a->ending || a->stopped;
    pthread_mutex_unlock(&a->mutex);
    return yes;
}

/* On the monotonic clock: a step of the other must not prolong it. */
static void pause_for(struct auditor *a, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    pthread_mutex_lock(&a->mutex);
    while (!a->ending && !a->stopped && pthread_cond_timedwait(&a->wake, &a->mutex, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&a->mutex);
}

/* What stands in the way for now; "" when nothing does any more. Each change is a line of the log. */
static void set_unable(struct auditor *a, const char *why)
{
    pthread_mutex_lock(&a->mutex);
    bool news = !a->stopped && strcmp(a->why, why) != 0;
    if (news)
        snprintf(a->why, sizeof a->why, "%s", why);
    pthread_mutex_unlock(&a->mutex);
    if (!news)
        return;
    if (why[0])
        witness_say(a->w, "cannot audit origin=%s, and cosigns nothing of it: %s", a->profile->origin, why);
    else
        witness_say(a->w, "auditing origin=%s again", a->profile->origin);
    a->changed_cb(a->ctx);
}

/* ---- stopping for good ---- */

static struct span newest_note(const struct auditor *a)
{
    return span_of(a->newest, a->newest_n);
}

/* False: it had stopped before, unless `more`: then this is what is known by now of the same reason. */
static bool stop_for(struct auditor *a, const char *why, bool more)
{
    struct ledger_err err = {0};
    pthread_mutex_lock(&a->mutex);
    bool news = more || !a->stopped;
    a->stopped = true;
    if (news)
        snprintf(a->why, sizeof a->why, "%s", why);
    pthread_mutex_unlock(&a->mutex);
    if (!news)
        return false;
    witness_say(a->w, "STOPPED cosigning for origin=%s: %s", a->profile->origin, why);
    /* In memory it has stopped already; that it is for good needs the file. */
    if (witness_write_stopped(a->w, a->log, why, &err))
        witness_say(a->w, "that it has stopped could not be written: %s; after a restart it would find the same again", err.msg);
    a->changed_cb(a->ctx);
    return true;
}

static void stop(struct auditor *a, const char *why)
{
    (void)stop_for(a, why, false);
}

/* It has kept what it has and stopped before the ledger, which has lied, is asked for the receipt that proves it: that may take long. */
static void stop_with_entry(struct auditor *a)
{
    struct ledger_err err = {0};
    char what[WITNESS_WHY_MAX];
    snprintf(what, sizeof what, "entry #%" PRIu64 ", %s: %s", a->verdict.index, a->verdict.what, a->verdict.text);
    client_keep_evidence(a->profile, what, newest_note(a), a->bad, &err);
    if (!stop_for(a, what, false))
        return;
    client_keep_recorded(a->client, 0, a->verdict.index, what, newest_note(a), a->bad, &err);
    (void)stop_for(a, err.msg, true);
}

/* The leaf at the end of the first `size` entries and its path in the newest checkpoint's tree: they fix what the beginning of that tree is. */
static struct span last_place(struct auditor *a, uint64_t size)
{
    struct merkle_path path;
    struct hash leaf;
    struct wbuf w;
    struct merkle_store tree = machine_tree(replayer_machine(a->replayer));
    if (!tree.get(tree.ctx, 0, size - 1, 1, &leaf) || !merkle_inclusion(a->c, &tree, size - 1, a->newest_size, &path))
        return SPAN_NONE;
    wbuf_init(&w, a->scratch);
    wbuf_bytes(&w, leaf.b, HASH_LEN);
    wbuf_bytes(&w, path.h[0].b, path.n * HASH_LEN);
    return wbuf_span(&w);
}

/* A checkpoint was submitted that is not the tree that the ledger serves. With the newest checkpoint, and the path that shows how its tree
 * begins, anybody can see it. */
static void stop_with_checkpoint(struct auditor *a, const struct wanted *x, const char *what)
{
    char file[PIN_PATH_MAX], why[WITNESS_WHY_MAX];
    struct ledger_err err = {0};
    struct evidence e = {.what = what, .known = newest_note(a), .received = span_of(x->note, x->note_n)};
    arena_reset(a->scratch);
    if (x->size && a->newest_size > x->size && a->newest_size <= replayer_size(a->replayer))
        e.last = last_place(a, x->size);
    enum ledger_rc rc = pin_write_evidence(a->scratch, a->profile, &e, file, &err);
    snprintf(why, sizeof why, "%s; %s%.160s", what, rc ? "the evidence could not be kept: " : "evidence: ", rc ? err.msg : file);
    stop(a, why);
}

/* ---- deriving ---- */

static void push_seal(struct auditor *a, uint64_t size, const struct hash *root)
{
    pthread_mutex_lock(&a->mutex);
    a->seals[a->n_seals++ % SEALS_KEPT] = (struct seal){size, *root};
    pthread_mutex_unlock(&a->mutex);
}

/* A profile with the index key of another ledger derives nothing, and accuses nobody. */
static bool is_wrong_profile(struct auditor *a, const struct entry_claim *raw, const struct header *h)
{
    struct genesis g;
    struct hash commit;
    if (h->kind != OWN_GENESIS || genesis_decode(raw->event, &g, NULL))
        return false;
    index_key_commit(a->c, &a->profile->index_key, &commit);
    return !hash_eq(&commit, &g.index_key_commit);
}

/* Content that is missing was not judged, and an ERASURE, which two persons sign, has to say so. Until it does, nothing is vouched for: in an honest
 * log it has come by the end. */
static bool all_named(const struct auditor *a)
{
    return replayer_machine(a->replayer)->erased_open == 0;
}

/* What the server's thread may know. */
static void publish_state(struct auditor *a)
{
    const struct machine *m = replayer_machine(a->replayer);
    pthread_mutex_lock(&a->mutex);
    a->replayed = replayer_sealed(a->replayer);
    a->key_from = m->log_key_from;
    memcpy(a->key, m->log_vkey, sizeof a->key);
    memcpy(a->key_before, m->log_vkey_before, sizeof a->key_before);
    pthread_mutex_unlock(&a->mutex);
}

/* The latest seal may be cosigned, under the key that is in force there. */
static void publish_seal(struct auditor *a)
{
    uint64_t size = replayer_sealed(a->replayer);
    struct hash root;
    publish_state(a);
    if (size && all_named(a) && replayer_checkpoint(a->replayer, size, &root, &a->own) == LEDGER_OK)
        push_seal(a, size, &root);
}

/* Each entry, in order, in the auditor's thread. */
static void on_step(void *user, const struct replay_step *s)
{
    struct auditor *a = user;
    const struct header *h = &s->entry->entry.header;
    if (s->outcome == REPLAY_DERIVED && h->kind == OWN_SEAL)
        publish_seal(a);
    if (s->outcome != REPLAY_FAILED)
        return;
    const struct entry_claim *raw = &s->entry->raw;
    const struct entry_record parts = {.header = raw->header, .event = raw->event, .block = raw->block,
                                       .opening = raw->erased_by ? raw->opening : SPAN_NONE, .erased_by = raw->erased_by};
    a->verdict = *s->verdict;
    a->wrong_profile = is_wrong_profile(a, raw, h);
    struct arena *scratch = arena_new(4 * (raw->header.n + raw->event.n + raw->block.n + raw->opening.n) + 65536);
    struct span record = scratch ? entry_record_join(scratch, &parts) : SPAN_NONE;
    uint8_t *copy = record.n ? malloc(record.n) : NULL;
    if (copy) {
        memcpy(copy, record.p, record.n);
        free((void *)(uintptr_t)a->bad.p);
        a->bad = span_of(copy, record.n);
    }
    arena_free(scratch);
}

/* Has the key with this text form signed? */
static bool signed_by(const struct auditor *a, uint64_t signers, const char *vkey)
{
    const struct witness_origin *o = a->log->origin;
    for (size_t i = 0; i < o->n_keys; i++) {
        char text[NOTE_NAME_MAX + 200];
        if (!(signers >> i & 1))
            continue;
        text[note_key_format(&o->keys[i], text)] = 0;
        if (strcmp(text, vkey) == 0)
            return true;
    }
    return false;
}

/* *lie: how what was signed differs from what was derived; NULL: it does not. OK: a batch ends there; ENOTFOUND: none does; EIO: our own state does
 * not say. */
static enum ledger_rc compare_wanted(struct auditor *a, const struct wanted *x, const char **lie, struct ledger_err *err)
{
    struct hash root;
    enum ledger_rc rc = replayer_checkpoint(a->replayer, x->size, &root, err);
    *lie = NULL;
    if (rc == LEDGER_OK && !hash_eq(&root, &x->root))
        *lie = "the log has signed a tree that is not the one that the ledger serves";
    if (rc != LEDGER_ENOTFOUND)
        return rc;
    /* No batch ends there, or a row of ours is lost: the tree itself tells. */
    if (!replayer_root(a->replayer, x->size, &root))
        return ledger_fail(err, LEDGER_EIO, "state folder: the tree has holes; delete it, and it is derived again");
    if (!hash_eq(&root, &x->root))
        *lie = "the log has signed a checkpoint at which no batch of the ledger ends";
    return rc;
}

/* The newest key alone accuses; one that has signed at its own time is answered if what it has signed is true. */
static void judge(struct auditor *a, const struct wanted *x)
{
    const struct machine *m = replayer_machine(a->replayer);
    struct ledger_err err = {0};
    const char *lie;
    bool newest = signed_by(a, x->signers, m->log_vkey);
    if (!newest && !signed_by(a, x->signers, machine_log_vkey(m, x->size)))
        return;
    enum ledger_rc rc = compare_wanted(a, x, &lie, &err);
    if (rc == LEDGER_EIO)
        a->own = err;
    else if (lie && newest)
        stop_with_checkpoint(a, x, lie);
    else if (rc == LEDGER_OK && !lie)
        push_seal(a, x->size, &x->root);
}

static bool take_wanted(struct auditor *a, struct wanted *from, struct wanted *out)
{
    pthread_mutex_lock(&a->mutex);
    bool yes = from->present && from->size <= replayer_sealed(a->replayer) && all_named(a);
    if (yes) {
        *out = *from;
        *from = (struct wanted){.present = false};
    }
    pthread_mutex_unlock(&a->mutex);
    return yes;
}

static void answer_wanted(struct auditor *a)
{
    struct wanted *const slots[] = {&a->now, &a->later}, x;
    for (size_t i = 0; i < 2; i++)
        if (take_wanted(a, slots[i], &x)) {
            judge(a, &x);
            free(x.note);
        }
}

/* The same, and an answer to what it has asked for. */
static void publish(struct auditor *a)
{
    publish_state(a);
    answer_wanted(a);
    a->changed_cb(a->ctx);
}

static void on_progress(void *user, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    publish(user);
}

static bool on_portion(void *user)
{
    const struct auditor *a = user;
    return a->own.rc || over(user);
}

static void keep_newest(struct auditor *a, const struct reply *r)
{
    const struct snapshot *s = &r->snapshot;
    uint8_t *copy = r->has_checkpoint && s->cp.size >= a->newest_size ? malloc(s->note.n) : NULL;
    if (!copy)
        return;
    memcpy(copy, s->note.p, s->note.n);
    free(a->newest);
    a->newest = copy;
    a->newest_n = s->note.n;
    a->newest_size = s->cp.size;
}

/* For `witness status`, which looks at the folder alone. */
static void tell(struct auditor *a)
{
    struct ledger_err err = {0};
    if (a->saved == a->told)
        return;
    a->told = a->saved;
    if (witness_write_replayed(a->w, a->log, a->saved, &err))
        witness_say(a->w, "%s", err.msg);
}

static enum ledger_rc save(struct auditor *a, struct ledger_err *err)
{
    if (replayer_sealed(a->replayer) == a->saved)
        return LEDGER_OK;
    enum ledger_rc rc = replayer_save(a->replayer, err);
    if (!rc)
        a->saved = replayer_sealed(a->replayer);
    a->saved_us = ctl_now_us();
    return rc;
}

static enum ledger_rc open_replayer(struct auditor *a, struct ledger_err *err)
{
    const struct replayer_options o = {.step = on_step, .user = a};
    enum ledger_rc rc = replayer_open(a->folder, a->profile->origin, &a->profile->index_key, &o, &a->replayer, err);
    if (rc)
        return rc;
    a->saved = replayer_sealed(a->replayer);
    publish_seal(a);
    return LEDGER_OK;
}

/* The newest checkpoint: tells whether the server is there, and how far there is to go. */
static enum ledger_rc ask_newest(struct auditor *a, struct reply **r, struct ledger_err *err)
{
    const struct call_request call = {.op = CALL_SNAPSHOT, .log_only = true};
    enum ledger_rc rc = client_call(a->client, &call, CONNECT_MS, r, err);
    if (rc && *r && (*r)->err.rc)
        *err = (*r)->err;
    a->connected = rc == LEDGER_OK;
    return rc;
}

/* Waits for the next batch. A server that says nothing in this short time is asked in another way before it counts as away. */
static enum ledger_rc wait_for_batch(struct auditor *a, struct reply **r, struct ledger_err *err)
{
    struct call_request call = {.op = CALL_ENTRIES, .log_only = true, .u.entries = {.follow = true}};
    if (!replayer_cursor(a->replayer, &call.u.entries.cursor))
        return ledger_fail(err, LEDGER_EIO, "the state of the replay has no whole tree");
    enum ledger_rc rc = client_call(a->client, &call, FOLLOW_MS, r, err);
    if (rc == LEDGER_ECONNECT) {
        a->connected = false;
        return LEDGER_OK;
    }
    if (rc && *r && (*r)->err.rc)
        *err = (*r)->err;
    if (!rc && (*r)->u.entries.n)
        rc = replayer_feed(a->replayer, (*r)->u.entries.entries, (*r)->u.entries.n, NULL, NULL, err);
    enum ledger_rc derived = replayer_wait(a->replayer, rc ? NULL : err);
    return rc ? rc : derived;
}

static enum ledger_rc read_on(struct auditor *a, struct ledger_err *err)
{
    struct reply *r = NULL;
    const struct replay_read rq = {.client = a->client, .log_only = true, .replayer = a->replayer, .progress = on_progress, .stop = on_portion, .user = a};
    enum ledger_rc rc = !a->connected                                  ? ask_newest(a, &r, err)
                        : replayer_size(a->replayer) < a->newest_size ? replay_read(&rq, &r, err)
                                                                       : wait_for_batch(a, &r, err);
    if (r && !r->rc)
        keep_newest(a, r);
    reply_free(r);
    return rc;
}

/* ---- the thread ---- */

static void close_replayer(struct auditor *a)
{
    replayer_close(a->replayer);
    a->replayer = NULL;
}

/* What did not work: is it the ledger's lie, or a want of ours? */
static void failed(struct auditor *a, enum ledger_rc rc, const struct ledger_err *err)
{
    char why[WITNESS_WHY_MAX];
    enum ledger_rc ended = a->replayer ? replayer_ended(a->replayer, NULL) : LEDGER_OK;
    if (rc == LEDGER_ECANCELED)
        return;
    if (ended == LEDGER_ETAMPER && !a->wrong_profile) {
        stop_with_entry(a);
        return;
    }
    if (rc == LEDGER_ETAMPER && !ended) { /* the library has kept the evidence, and the message names it */
        stop(a, err->msg);
        return;
    }
    if (ended && a->wrong_profile)
        snprintf(why, sizeof why, "index.key of the profile is not this ledger's");
    else if (ended)
        snprintf(why, sizeof why, "entry #%" PRIu64 ": %s: %s", a->verdict.index, a->verdict.what, a->verdict.text);
    else
        snprintf(why, sizeof why, "%s", err->msg[0] ? err->msg : ledger_rc_text(rc));
    set_unable(a, why);
    /* A replay that has ended, or lost its memory or disk, begins anew where it was saved; a lost connection costs it nothing. */
    if (rc != LEDGER_ECONNECT && rc != LEDGER_EBUSY)
        close_replayer(a);
    pause_for(a, PAUSE_MS);
}

/* Our own state, and no word about the ledger. */
static void no_state(struct auditor *a, const struct ledger_err *err)
{
    char why[WITNESS_WHY_MAX];
    snprintf(why, sizeof why, "what was derived is not at hand: %.300s", err->msg);
    a->own.rc = LEDGER_OK;
    set_unable(a, why);
    close_replayer(a);
    pause_for(a, PAUSE_MS);
}

static enum ledger_rc go_on(struct auditor *a, struct ledger_err *err)
{
    uint64_t before = replayer_size(a->replayer);
    enum ledger_rc rc = read_on(a, err);
    if (rc)
        return rc;
    publish(a);
    if (a->own.rc)
        return LEDGER_OK;
    if (a->connected)
        set_unable(a, "");
    if (replayer_size(a->replayer) == before || ctl_now_us() - a->saved_us > (int64_t)SAVE_S * 1000000)
        rc = save(a, err);
    tell(a);
    return rc;
}

static void *audit(void *arg)
{
    struct auditor *a = arg;
    struct ledger_err err;
    while (!over(a)) {
        memset(&err, 0, sizeof err);
        if (!a->replayer && open_replayer(a, &err)) {
            no_state(a, &err);
            continue;
        }
        enum ledger_rc rc = go_on(a, &err);
        if (a->own.rc)
            no_state(a, &a->own);
        else if (rc)
            failed(a, rc, &err);
    }
    if (a->replayer && save(a, &err))
        witness_say(a->w, "origin=%s: the replay was not saved: %s", a->profile->origin, err.msg);
    tell(a);
    close_replayer(a);
    return NULL;
}

/* ---- starting and ending ---- */

static void auditor_free(struct auditor *a)
{
    close_replayer(a);
    ledger_client_close(a->client);
    ledger_profile_close(a->profile);
    arena_free(a->scratch);
    crypto_free(a->c);
    free(a->newest);
    free((void *)(uintptr_t)a->bad.p);
    free(a->now.note);
    free(a->later.note);
    pthread_mutex_destroy(&a->mutex);
    pthread_cond_destroy(&a->wake);
    free(a);
}

static enum ledger_rc open_parts(struct auditor *a, const char *profile, struct ledger_err *err)
{
    const struct ledger_client_options options = {.program = "ledgerctl witness " LEDGERD_VERSION};
    enum ledger_rc rc = ledger_profile_open(profile, a->w->ctl->server, &a->profile, err);
    if (rc)
        return rc;
    a->log = witness_find(a->w, span_str(a->profile->origin));
    if (!a->log)
        return ledger_fail(err, LEDGER_EINVAL, "the ledger of %.80s, %s, is not in %.80s/policy: add a line \"log VKEY\" with its key", profile,
                           a->profile->origin, a->w->dir);
    if (a->log->auditor)
        return ledger_fail(err, LEDGER_EINVAL, "%s is audited already", a->profile->origin);
    /* Its own cosignature may be part of the quorum. */
    a->profile->policy->quorum_none = true;
    int n = snprintf(a->folder, sizeof a->folder, "%s/audit/%s", a->w->dir, a->log->hex);
    if (n < 0 || (size_t)n >= sizeof a->folder)
        return ledger_fail(err, LEDGER_EINVAL, "the path of the folder is too long");
    rc = witness_make_folder(a->w, "audit", err);
    return rc ? rc : ledger_client_open(a->profile, &options, &a->client, err);
}

static void init_locks(struct auditor *a)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->wake, &attr);
    pthread_condattr_destroy(&attr);
}

int auditor_start(struct witness *w, const char *profile, void (*changed_cb)(void *ctx), void *ctx)
{
    struct ledger_err err = {0};
    struct auditor *a = calloc(1, sizeof *a);
    if (!a)
        return ctl_fail(w->ctl, EXIT_NO_ANSWER, "out of memory");
    a->w = w;
    a->changed_cb = changed_cb;
    a->ctx = ctx;
    init_locks(a);
    a->scratch = arena_new(SCRATCH_BUDGET);
    a->c = crypto_new();
    enum ledger_rc rc = a->scratch && a->c ? open_parts(a, profile, &err) : ledger_fail(&err, LEDGER_ENOMEM, "out of memory");
    if (!rc && a->log->stopped[0]) {
        a->stopped = true;
        snprintf(a->why, sizeof a->why, "%s", a->log->stopped);
    }
    if (!rc && pthread_create(&a->thread, NULL, audit, a) != 0)
        rc = ledger_fail(&err, LEDGER_ENOMEM, "no thread for an auditor: %s", strerror(errno));
    if (rc) {
        auditor_free(a);
        return ctl_fail(w->ctl, rc == LEDGER_EINVAL || rc == LEDGER_ENOTFOUND ? EXIT_USAGE : EXIT_NO_ANSWER, "%s", err.msg);
    }
    a->running = true;
    a->log->auditor = a;
    return EXIT_GOOD;
}

void auditor_stop(struct auditor *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->mutex);
    a->ending = true;
    pthread_cond_broadcast(&a->wake);
    pthread_mutex_unlock(&a->mutex);
    client_end(a->client); /* it may be waiting for an answer */
    if (a->running)
        pthread_join(a->thread, NULL);
    a->log->auditor = NULL;
    auditor_free(a);
}

/* ---- the server's thread ---- */

static void keep_wanted(struct wanted *x, const struct witness_submission *s, uint64_t signers)
{
    uint8_t *note = malloc(s->bytes.n);
    if (!note)
        return;
    memcpy(note, s->bytes.p, s->bytes.n);
    free(x->note);
    *x = (struct wanted){true, s->cp.size, s->cp.root, signers, note, s->bytes.n};
}

/* For the auditor's thread. One that it can judge at once is not pushed out by another; of the others the largest is what the ledger says last. */
static void want(struct auditor *a, const struct witness_submission *s, uint64_t signers)
{
    if (s->cp.size > a->replayed) {
        if (!a->later.present || a->later.size < s->cp.size)
            keep_wanted(&a->later, s, signers);
    } else if (!a->now.present) {
        keep_wanted(&a->now, s, signers);
    }
}

/* Is it one of the latest seals? With the mutex. */
static bool is_derived(const struct auditor *a, const struct checkpoint *cp)
{
    uint64_t from = a->n_seals > SEALS_KEPT ? a->n_seals - SEALS_KEPT : 0;
    for (uint64_t i = a->n_seals; i > from; i--) {
        const struct seal *seal = &a->seals[(i - 1) % SEALS_KEPT];
        if (seal->size == cp->size && hash_eq(&seal->root, &cp->root))
            return true;
    }
    return false;
}

enum audited auditor_ask(struct auditor *a, const struct witness_submission *s, uint64_t signers, char why[WITNESS_WHY_MAX])
{
    enum audited word = AUDITED_NOT_YET;
    pthread_mutex_lock(&a->mutex);
    snprintf(why, WITNESS_WHY_MAX, "%s", a->why);
    if (a->stopped) {
        word = AUDITED_REFUSED;
    } else if (!is_derived(a, &s->cp)) {
        want(a, s, signers);
        if (why[0])
            word = AUDITED_UNABLE;
        else
            snprintf(why, WITNESS_WHY_MAX, "replayed %" PRIu64 " entries so far", a->replayed);
    } else if (signed_by(a, signers, s->cp.size >= a->key_from ? a->key : a->key_before)) {
        word = AUDITED_SAME;
    } else {
        snprintf(why, WITNESS_WHY_MAX, "not signed by the log key that is in force at this size");
        word = AUDITED_REFUSED;
    }
    pthread_mutex_unlock(&a->mutex);
    return word;
}

void auditor_look(struct auditor *a, const struct witness_submission *s, uint64_t signers)
{
    pthread_mutex_lock(&a->mutex);
    if (!a->stopped && !is_derived(a, &s->cp))
        want(a, s, signers);
    pthread_mutex_unlock(&a->mutex);
}

enum key_word auditor_key(struct auditor *a, uint64_t size, uint64_t signers)
{
    pthread_mutex_lock(&a->mutex);
    enum key_word word = size > a->replayed || !a->key[0] ? KEY_UNKNOWN : signed_by(a, signers, a->key) ? KEY_PROVES : KEY_GIVEN_UP;
    pthread_mutex_unlock(&a->mutex);
    return word;
}

void auditor_forked(struct auditor *a, const char *why)
{
    stop(a, why);
}

void auditor_state(struct auditor *a, uint64_t *replayed, bool *stopped, char why[WITNESS_WHY_MAX])
{
    pthread_mutex_lock(&a->mutex);
    *replayed = a->replayed;
    *stopped = a->stopped;
    snprintf(why, WITNESS_WHY_MAX, "%s", a->why);
    pthread_mutex_unlock(&a->mutex);
}
