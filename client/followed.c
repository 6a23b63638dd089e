/* SPDX-License-Identifier: Apache-2.0 */
/* followed: see followed.h. May include: POSIX. */
#include "followed.h"

#include <unistd.h>

#include "pins.h"

bool log_key_claim_copy(struct arena *a, const struct log_key_claim *c, struct log_key_claim *to)
{
    *to = (struct log_key_claim){arena_copy(a, c->header), arena_copy(a, c->payload), arena_copy(a, c->path), arena_copy(a, c->note)};
    return to->header.p && to->payload.p && to->path.p && to->note.p;
}

enum ledger_rc followed_copy(const struct message_log_keys *keys, struct followed *out, struct ledger_err *err)
{
    struct arena *a = arena_new(FOLLOWED_BYTES_MAX);
    struct log_key_claim *to = a ? arena_alloc(a, (keys->n + 1) * sizeof *to) : NULL;
    bool whole = to != NULL;
    for (size_t i = 0; whole && i < keys->n; i++)
        whole = log_key_claim_copy(a, &keys->changes[i], &to[i]);
    if (!whole) {
        arena_free(a);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    *out = (struct followed){a, {keys->n, to}};
    return LEDGER_OK;
}

void followed_free(struct followed *f)
{
    arena_free(f->a);
    *f = (struct followed){.a = NULL};
}

/* ENOTFOUND: there is none. */
static enum ledger_rc read_file(const struct ledger_profile *p, struct arena *a, struct message_log_keys *out, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    struct span bytes;
    enum ledger_rc rc = pin_path_of(p, "keys", path, err);
    if (rc == LEDGER_OK)
        rc = file_read(a, path, FOLLOWED_BYTES_MAX / 4, &bytes, err);
    if (rc == LEDGER_OK)
        rc = log_keys_decode(a, bytes, out, err);
    return rc == LEDGER_OK || rc == LEDGER_ENOTFOUND ? rc : ledger_wrap(err, rc, "the log keys that were followed, %.150s", path);
}

enum ledger_rc followed_load(struct ledger_profile *p, struct crypto *c, struct followed *out, struct ledger_err *err)
{
    struct verdict v = {0};
    unsigned taken;
    size_t failed = 0;
    out->a = arena_new(FOLLOWED_BYTES_MAX);
    if (!out->a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = read_file(p, out->a, &out->keys, err);
    if (rc == LEDGER_OK && !log_keys_follow(c, out->a, p->origin, p->policy, out->keys.changes, out->keys.n, &taken, &failed, &v)) {
        if (v.kind != VERDICT_UNTRUSTED)
            rc = ledger_fail(err, verdict_rc_or(v.kind, LEDGER_EINVAL), "the log keys that were followed (pins/): %s", v.text);
        out->keys.n = failed;
    }
    if (rc != LEDGER_OK)
        followed_free(out);
    return rc == LEDGER_ENOTFOUND ? LEDGER_OK : rc;
}

enum ledger_rc followed_store(const struct ledger_profile *p, const struct message_log_keys *keys, struct ledger_err *err)
{
    char path[PIN_PATH_MAX];
    struct message_log_keys there = {0};
    int lock = -1;
    struct arena *a = arena_new(FOLLOWED_BYTES_MAX);
    if (!a)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    enum ledger_rc rc = pin_lock(p, &lock, err);
    if (rc == LEDGER_OK)
        rc = pin_path_of(p, "keys", path, err);
    if (rc == LEDGER_OK && (read_file(p, a, &there, NULL) != LEDGER_OK || there.n < keys->n)) {
        struct span bytes = log_keys_encode(a, keys);
        rc = bytes.p ? file_replace(path, bytes, err) : ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    if (lock >= 0)
        close(lock);
    arena_free(a);
    return rc;
}
