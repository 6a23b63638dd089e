/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replayer: the machine, fed in order with what others verify beforehand (replayer.h).
 *
 * With a state folder the machine writes into an overlay in memory, which goes to the folder at seals: so a commit always ends with a whole
 * batch, and an entry that does not hold leaves no trace on disk. The folder's row "replayer" says whose state it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay_store.h"
#include "replay_verify.h"

#define MEMORY_BUDGET ((size_t)64 << 30)
#define OVERLAY_BUDGET ((size_t)4 << 30)
#define OVERLAY_SAVE_BYTES ((size_t)128 << 20)
#define SCRATCH_BUDGET ((size_t)512 << 20)
#define QUEUE_ENTRIES 1024u /* taken and not derived: above this, replayer_feed derives */
#define THREADS_MAX 64u
#define IDENTITY_VERSION 1

static const char identity_key[] = "replayer";

struct replayer {
    struct replayer_options o;
    char origin[ORIGIN_MAX + 1];
    struct machine m;
    struct crypto *c;
    struct arena *scratch;
    struct replay_store *store; /* NULL: in memory */
    struct kv base;             /* the store's; kv_mem keeps a pointer to it */
    struct kv_mem *tables;
    struct verify_pool pool;
    bool pooled;
    struct portion *first, **end;
    size_t queued;
    uint64_t next;              /* the index that the next portion begins with */
    uint64_t size, saved;
    enum ledger_rc ended, broken;
    struct verdict verdict;
};

/* ---- the state folder ---- */

static struct span identity_of(struct replayer *r, struct arena *a)
{
    struct wbuf w;
    struct hash commit;
    index_key_commit(r->c, &r->m.index_key, &commit);
    wbuf_init(&w, a);
    wbuf_u8(&w, IDENTITY_VERSION);
    wbuf_u8(&w, r->o.skip_signatures);
    wbuf_hash(&w, &commit);
    wbuf_str(&w, span_str(r->origin));
    return wbuf_span(&w);
}

static enum ledger_rc check_identity(struct replayer *r, struct span have, struct ledger_err *err)
{
    struct rbuf in;
    struct hash commit;
    rbuf_init(&in, have);
    unsigned version = rbuf_u8(&in);
    if (version > IDENTITY_VERSION)
        return ledger_fail(err, LEDGER_EVERSION, "the state folder was written by a newer program; nothing was touched");
    bool skipped = rbuf_u8(&in) != 0;
    struct hash theirs = rbuf_hash(&in);
    struct span origin = rbuf_str(&in);
    index_key_commit(r->c, &r->m.index_key, &commit);
    if (!rbuf_done(&in))
        return ledger_fail(err, LEDGER_EINVAL, "the state folder is damaged; delete it, and it is derived again");
    if (!span_eq(origin, span_str(r->origin)))
        return ledger_fail(err, LEDGER_EINVAL, "the state folder is of the ledger %.*s, not of %s", SPAN_FMT(origin), r->origin);
    if (!hash_eq(&theirs, &commit))
        return ledger_fail(err, LEDGER_EINVAL, "the state folder is of another ledger with the name %s: its index key is not this profile's",
                           r->origin);
    if (skipped != r->o.skip_signatures)
        return ledger_fail(err, LEDGER_EINVAL, "the state folder was made %s signatures; name another folder, or do the same again",
                           skipped ? "without verifying" : "with verified");
    return LEDGER_OK;
}

/* Does the tree that is stored give the root that was stored with the size? */
static enum ledger_rc check_tree(struct replayer *r, struct ledger_err *err)
{
    struct hash root, kept;
    if (replayer_root(r, r->m.size, &root) && replayer_checkpoint(r, r->m.size, &kept, NULL) == LEDGER_OK && hash_eq(&root, &kept))
        return LEDGER_OK;
    return ledger_fail(err, LEDGER_EINVAL, "the state folder is damaged: %s; delete it, and it is derived again",
                       replay_store_problem(r->store)[0] ? replay_store_problem(r->store) : "its tree is not whole");
}

static enum ledger_rc resume(struct replayer *r, struct ledger_err *err)
{
    struct span have;
    enum ledger_rc rc = kv_get(&r->m.kv, KV_META, span_str(identity_key), &have);
    if (rc == LEDGER_ENOTFOUND) {
        struct span own = identity_of(r, r->scratch);
        rc = own.p ? kv_put(&r->m.kv, KV_META, span_str(identity_key), own) : LEDGER_ENOMEM;
        return rc ? ledger_fail(err, rc, "state: %s", ledger_rc_text(rc)) : LEDGER_OK;
    }
    if (rc)
        return ledger_fail(err, rc, "state folder: %s", replay_store_problem(r->store));
    rc = check_identity(r, have, err);
    if (rc)
        return rc;
    rc = machine_load(&r->m, err);
    if (rc == LEDGER_ETAMPER) /* what is wrong here is ours, not the ledger's */
        return ledger_fail(err, LEDGER_EINVAL, "the state folder is damaged; delete it, and it is derived again");
    if (rc)
        return rc == LEDGER_ENOTFOUND ? LEDGER_OK : rc;
    rc = check_tree(r, err);
    r->size = r->next = r->saved = r->m.size;
    return rc;
}

static enum ledger_rc broken(struct replayer *r, enum ledger_rc rc)
{
    r->broken = rc;
    return rc;
}

static enum ledger_rc save(struct replayer *r, struct ledger_err *err)
{
    enum ledger_rc rc = r->o.saving ? r->o.saving(r->o.user, err) : LEDGER_OK;
    if (!rc && r->store)
        rc = kv_mem_flush(r->tables, err);
    if (!rc && r->store)
        rc = replay_store_commit(r->store, err);
    if (rc)
        return broken(r, rc);
    r->saved = r->size;
    return LEDGER_OK;
}

static bool at_seal(const struct replayer *r)
{
    return r->size > r->saved && !r->ended && r->m.batch_first == r->m.size;
}

/* ---- one entry ---- */

static enum ledger_rc finding(struct replayer *r, enum ledger_rc rc, uint64_t index, struct ledger_err *err)
{
    r->ended = rc;
    if (!r->verdict.text[0])
        verdict_bad(&r->verdict, verdict_of_error(rc, rc == LEDGER_ETAMPER ? VERDICT_TAMPERED : VERDICT_NEWER), index, "replay", "%s", err->msg);
    return ledger_fail(err, rc, "entry #%llu: %s: %s", (unsigned long long)index, r->verdict.what, r->verdict.text);
}

static bool is_withheld(const struct read_entry *e)
{
    return e->entry.header.kind != OWN_SEAL && !e->entry.content && !e->entry.erased_by;
}

/* What the machine cannot see: which ledger is meant. */
static enum ledger_rc check_origin(struct replayer *r, struct ledger_err *err)
{
    if (r->m.size != 1 || strcmp(r->m.origin, r->origin) == 0)
        return LEDGER_OK;
    verdict_bad(&r->verdict, VERDICT_TAMPERED, 0, "origin", "the genesis entry names the ledger %s, not %s", r->m.origin, r->origin);
    return ledger_fail(err, LEDGER_ETAMPER, "%s", r->verdict.text);
}

/* Of an erased entry there is the opening of its states in place of content. */
static enum ledger_rc derive(struct replayer *r, const struct read_entry *e, const struct preverified *pre, struct ledger_err *err)
{
    const struct replay_options o = {.skip_signatures = r->o.skip_signatures, .pre = pre, .verified = &e->entry};
    uint64_t index = e->entry.header.index;
    r->verdict = (struct verdict){VERDICT_GOOD};
    if (is_withheld(e)) {
        verdict_bad(&r->verdict, VERDICT_NEWER, index, "content", "withheld from this certificate: states after it cannot be derived");
        return finding(r, LEDGER_EDENIED, index, err);
    }
    arena_reset(r->scratch);
    const struct entry_record record = {e->raw.header, e->raw.event, e->raw.block, e->raw.opening, e->raw.erased_by};
    enum ledger_rc rc = machine_replay(&r->m, &record, &o, &r->verdict, err);
    if (!rc)
        rc = check_origin(r, err);
    if (!rc)
        r->size = r->m.size;
    else if (r->store && replay_store_problem(r->store)[0]) /* whatever it looks like, our own disk is to blame */
        rc = ledger_fail(err, LEDGER_EIO, "state folder: %s", replay_store_problem(r->store));
    else if (rc == LEDGER_ETAMPER || rc == LEDGER_EVERSION)
        return finding(r, rc, index, err);
    return rc ? broken(r, rc) : LEDGER_OK;
}

static enum ledger_rc step(struct replayer *r, struct portion *p, struct ledger_err *err)
{
    const struct read_entry *e = &p->e[p->at];
    struct replay_step s = {.entry = e, .outcome = REPLAY_AFTER, .rc = r->ended};
    if (r->ended && !r->o.go_on)
        return LEDGER_OK;
    if (!r->ended) {
        if (p->pre)
            pool_wait(&r->pool, p, p->at);
        enum ledger_rc rc = derive(r, e, p->pre ? &p->pre[p->at] : NULL, err);
        if (r->broken)
            return rc;
        s = (struct replay_step){rc ? REPLAY_FAILED : REPLAY_DERIVED, e, rc, &r->verdict};
    }
    if (r->o.step)
        r->o.step(r->o.user, &s);
    if (r->store && at_seal(r) &&
        (r->size - r->saved >= REPLAY_SAVE_ENTRIES || kv_mem_bytes(r->tables) > OVERLAY_SAVE_BYTES))
        return save(r, err);
    return LEDGER_OK;
}

/* ---- portions ---- */

static void portion_end(struct replayer *r, struct portion *p)
{
    if (p->pre)
        pool_drop(&r->pool, p);
    r->first = p->next;
    if (!r->first)
        r->end = &r->first;
    r->queued -= p->n - p->at;
    if (p->release)
        p->release(p->owner);
    free(p->chunks);
    free(p->pre);
    free(p);
}

static enum ledger_rc derive_down_to(struct replayer *r, size_t queued, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    while (r->first && (r->queued > queued || r->broken)) {
        struct portion *p = r->first;
        while (!r->broken && p->at < p->n && !rc) {
            rc = step(r, p, err);
            p->at++;
            r->queued--;
        }
        portion_end(r, p);
    }
    if (r->broken)
        return rc ? rc : ledger_fail(err, r->broken, "the replay was given up earlier: %s", ledger_rc_text(r->broken));
    if (r->ended && !r->o.go_on)
        return ledger_fail(err, r->ended, "entry #%llu: %s: %s", (unsigned long long)r->verdict.index, r->verdict.what, r->verdict.text);
    return LEDGER_OK;
}

/* A key that was registered before this replayer was opened is found in the state. */
static enum ledger_rc learn_from_state(struct replayer *r, const struct signature *s, struct ledger_err *err)
{
    struct registered_key key;
    if (pool_knows(&r->pool, s->key_id) || !registered_key_in(&r->m.kv, r->c, &r->m.index_key, s->key_id, &key))
        return LEDGER_OK;
    return pool_add_key(&r->pool, &key, err);
}

/* A key that this very portion registers. */
static enum ledger_rc learn_from_entry(struct replayer *r, const struct read_entry *e, struct ledger_err *err)
{
    struct registered_key key;
    return registered_key_of(&e->entry, e->raw.event, &key) ? pool_add_key(&r->pool, &key, err) : LEDGER_OK;
}

static enum ledger_rc learn_keys(struct replayer *r, const struct read_entry *e, size_t n, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = learn_from_entry(r, &e[i], err);
        for (unsigned k = 0; k < e[i].entry.block.n && !rc; k++)
            rc = learn_from_state(r, &e[i].entry.block.sigs[k], err);
    }
    return rc;
}

static struct portion *portion_new(struct replayer *r, const struct read_entry *e, size_t n)
{
    struct portion *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->e = e;
    p->n = n;
    if (!r->pooled || r->ended)
        return p;
    p->n_chunks = (n + CHUNK_ENTRIES - 1) / CHUNK_ENTRIES;
    p->pre = calloc(n, sizeof *p->pre);
    p->chunks = calloc(p->n_chunks, sizeof *p->chunks);
    if (p->pre && p->chunks)
        return p;
    free(p->pre);
    free(p->chunks);
    free(p);
    return NULL;
}

static void put_back(void (*release)(void *owner), void *owner)
{
    if (release)
        release(owner);
}

enum ledger_rc replayer_feed(struct replayer *r, const struct read_entry *e, size_t n, void (*release)(void *owner), void *owner,
                             struct ledger_err *err)
{
    bool in_order = true;
    for (size_t i = 0; i < n && in_order; i++)
        in_order = e[i].entry.header.index == r->next + i;
    if (n == 0 || !in_order || r->broken || (r->ended && !r->o.go_on)) {
        put_back(release, owner);
        if (!in_order)
            return ledger_fail(err, LEDGER_EINVAL, "these entries do not follow entry #%llu", (unsigned long long)r->next - 1);
        return derive_down_to(r, SIZE_MAX, err);
    }
    enum ledger_rc rc = r->pooled ? learn_keys(r, e, n, err) : LEDGER_OK;
    struct portion *p = rc ? NULL : portion_new(r, e, n);
    if (!p) {
        put_back(release, owner);
        return broken(r, rc ? rc : ledger_fail(err, LEDGER_ENOMEM, "out of memory"));
    }
    p->release = release;
    p->owner = owner;
    r->next += n;
    r->queued += n;
    if (p->pre)
        pool_add(&r->pool, r->end, p);
    else
        *r->end = p;
    r->end = &p->next;
    return derive_down_to(r, QUEUE_ENTRIES, err);
}

enum ledger_rc replayer_wait(struct replayer *r, struct ledger_err *err)
{
    return derive_down_to(r, 0, err);
}

enum ledger_rc replayer_save(struct replayer *r, struct ledger_err *err)
{
    enum ledger_rc rc = derive_down_to(r, 0, err);
    return rc || !at_seal(r) ? rc : save(r, err);
}

/* ---- what it knows ---- */

uint64_t replayer_size(const struct replayer *r)
{
    return r->size;
}

uint64_t replayer_next(const struct replayer *r)
{
    return r->next;
}

uint64_t replayer_sealed(const struct replayer *r)
{
    return r->m.batch_first;
}

enum ledger_rc replayer_ended(const struct replayer *r, struct verdict *v)
{
    if (v)
        *v = r->verdict;
    return r->ended;
}

struct machine *replayer_machine(struct replayer *r)
{
    return &r->m;
}

enum ledger_rc replayer_checkpoint(struct replayer *r, uint64_t size, struct hash *root, struct ledger_err *err)
{
    uint8_t key[KV_KEY_MAX];
    struct span v;
    enum ledger_rc rc = kv_get(&r->m.kv, KV_CHECKPOINT, kv_key_u64(key, size), &v);
    if (rc == LEDGER_ENOTFOUND)
        return ledger_fail(err, rc, "no batch ends at size %llu", (unsigned long long)size);
    if (rc || v.n != HASH_LEN)
        return ledger_fail(err, LEDGER_EIO, "state folder: %s", r->store && replay_store_problem(r->store)[0] ? replay_store_problem(r->store)
                                                                                                              : "a checkpoint cannot be read");
    memcpy(root->b, v.p, HASH_LEN);
    return LEDGER_OK;
}

bool replayer_root(struct replayer *r, uint64_t size, struct hash *root)
{
    struct merkle_store tree = machine_tree(&r->m);
    return merkle_root(r->c, &tree, size, root);
}

bool replayer_cursor(struct replayer *r, struct entries_cursor *out)
{
    struct merkle_store tree = machine_tree(&r->m);
    *out = (struct entries_cursor){.next = r->size, .ready = true};
    return frontier_from_store(r->c, &tree, r->size, &out->frontier);
}

static bool note_key(const char *name, uint8_t out[KV_KEY_MAX], struct span *key)
{
    size_t n = strlen(name);
    if (n == 0 || n > REPLAY_NOTE_NAME_MAX)
        return false;
    memcpy(out, "n/", 2);
    memcpy(out + 2, name, n);
    *key = span_of(out, n + 2);
    return true;
}

enum ledger_rc replayer_put_note(struct replayer *r, const char *name, struct span value, struct ledger_err *err)
{
    uint8_t buf[KV_KEY_MAX];
    struct span key;
    enum ledger_rc rc = note_key(name, buf, &key) ? kv_put(&r->m.kv, KV_META, key, value) : LEDGER_EINVAL;
    return rc ? ledger_fail(err, rc, "note %s: %s", name, ledger_rc_text(rc)) : LEDGER_OK;
}

enum ledger_rc replayer_get_note(struct replayer *r, const char *name, struct span *value, struct ledger_err *err)
{
    uint8_t buf[KV_KEY_MAX];
    struct span key;
    enum ledger_rc rc = note_key(name, buf, &key) ? kv_get(&r->m.kv, KV_META, key, value) : LEDGER_EINVAL;
    return rc ? ledger_fail(err, rc, "note %s: %s", name,
                            rc == LEDGER_EIO && r->store ? replay_store_problem(r->store) : ledger_rc_text(rc))
              : LEDGER_OK;
}

/* ---- opening and closing ---- */

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > (long)THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

static enum ledger_rc open_parts(struct replayer *r, const char *dir, const struct hash *index_key, struct ledger_err *err)
{
    enum ledger_rc rc = LEDGER_OK;
    r->c = crypto_new();
    r->scratch = arena_new(SCRATCH_BUDGET);
    if (dir)
        rc = replay_store_open(dir, &r->store, err);
    if (rc)
        return rc;
    if (dir)
        r->base = replay_store_kv(r->store);
    r->tables = kv_mem_new(dir ? &r->base : NULL, dir ? OVERLAY_BUDGET : MEMORY_BUDGET);
    if (!r->c || !r->scratch || !r->tables)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    r->m = (struct machine){.c = r->c, .a = r->scratch, .kv = kv_mem_kv(r->tables), .index_key = *index_key, .wire = true};
    if (dir)
        rc = resume(r, err);
    if (rc)
        return rc;
    r->pooled = !r->o.skip_signatures;
    return r->pooled ? pool_start(&r->pool, r->origin, r->o.threads ? r->o.threads : cores(), err) : LEDGER_OK;
}

enum ledger_rc replayer_open(const char *dir, const char *origin, const struct hash *index_key, const struct replayer_options *o,
                             struct replayer **out, struct ledger_err *err)
{
    *out = NULL;
    struct replayer *r = calloc(1, sizeof *r);
    if (!r)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    if (o)
        r->o = *o;
    r->end = &r->first;
    snprintf(r->origin, sizeof r->origin, "%s", origin);
    enum ledger_rc rc = open_parts(r, dir, index_key, err);
    if (rc)
        replayer_close(r);
    else
        *out = r;
    return rc;
}

void replayer_close(struct replayer *r)
{
    if (!r)
        return;
    while (r->first)
        portion_end(r, r->first);
    pool_stop(&r->pool);
    kv_mem_free(r->tables);
    replay_store_close(r->store);
    arena_free(r->scratch);
    crypto_free(r->c);
    free(r);
}
