/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_watch: reading and following the log (include/ledgerd/client.h): one CALL_ENTRIES after the other, each from where the last one
 * ended. The cursor is only changed by whoever has the call under way, so the mutex guards no more than that fact.
 */
#include <pthread.h>
#include <stdlib.h>

#include "client.h"

struct ledger_watch {
    struct ledger_client *client;
    pthread_mutex_t mutex;
    bool busy, closed;
    struct entries_cursor cursor;
    ledger_entries_cb cb; /* of the call under way */
    void *user;
};
struct ledger_entries {
    struct reply *reply;
};

LEDGER_API enum ledger_rc ledger_watch_open(struct ledger_client *c, uint64_t first, struct ledger_watch **out,
                                            struct ledger_err *err)
{
    struct ledger_watch *w = calloc(1, sizeof *w);
    *out = w;
    if (!w)
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    pthread_mutex_init(&w->mutex, NULL);
    w->client = c;
    w->cursor.next = first;
    return LEDGER_OK;
}

static void watch_free(struct ledger_watch *w)
{
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

LEDGER_API void ledger_watch_close(struct ledger_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->closed = true;
    bool busy = w->busy;
    pthread_mutex_unlock(&w->mutex);
    if (!busy)
        watch_free(w);
}

LEDGER_API uint64_t ledger_watch_position(const struct ledger_watch *w)
{
    /* Reading does not change the watch; the mutex has to know. */
    struct ledger_watch *mutable = (struct ledger_watch *)(uintptr_t)w;
    pthread_mutex_lock(&mutable->mutex);
    uint64_t at = w->cursor.next;
    pthread_mutex_unlock(&mutable->mutex);
    return at;
}

static enum ledger_rc begin(struct ledger_watch *w, struct call_request *rq, struct ledger_err *err)
{
    pthread_mutex_lock(&w->mutex);
    bool was_busy = w->busy;
    w->busy = true;
    *rq = (struct call_request){.op = CALL_ENTRIES};
    rq->u.entries.cursor = w->cursor;
    rq->u.entries.follow = true;
    pthread_mutex_unlock(&w->mutex);
    return was_busy ? ledger_fail(err, LEDGER_EBUSY, "a portion of this watch is under way") : LEDGER_OK;
}

/* After a call: moves on if it was good. True if the watch is still wanted; else it is freed. */
static bool end(struct ledger_watch *w, const struct reply *r)
{
    pthread_mutex_lock(&w->mutex);
    w->busy = false;
    if (r && r->rc == LEDGER_OK)
        w->cursor = r->u.entries.cursor;
    bool closed = w->closed;
    pthread_mutex_unlock(&w->mutex);
    if (closed)
        watch_free(w);
    return !closed;
}

static struct ledger_entries *entries_new(struct reply *r)
{
    struct ledger_entries *e = calloc(1, sizeof *e);
    if (e)
        e->reply = r;
    return e;
}

LEDGER_API enum ledger_rc ledger_watch_next(struct ledger_watch *w, unsigned timeout_ms, struct ledger_entries **out,
                                            struct ledger_err *err)
{
    struct call_request rq;
    struct reply *r = NULL;
    *out = NULL;
    enum ledger_rc rc = begin(w, &rq, err);
    if (rc != LEDGER_OK)
        return rc;
    rc = client_call(w->client, &rq, timeout_ms, &r, err);
    if (rc == LEDGER_OK && !(*out = entries_new(r))) {
        end(w, NULL); /* stays where it is: the portion comes again */
        reply_free(r);
        return ledger_fail(err, LEDGER_ENOMEM, "out of memory");
    }
    end(w, r);
    if (rc != LEDGER_OK)
        reply_free(r);
    return rc;
}

static void on_entries(void *user, struct reply *r)
{
    struct ledger_watch *w = user;
    ledger_entries_cb cb = w->cb;
    void *cb_user = w->user;
    struct ledger_err err = r->err;
    enum ledger_rc rc = r->rc;
    struct ledger_entries *e = rc == LEDGER_OK ? entries_new(r) : NULL;
    if (rc == LEDGER_OK && !e)
        rc = ledger_fail(&err, LEDGER_ENOMEM, "out of memory");
    end(w, e ? r : NULL);
    if (!e)
        reply_free(r);
    cb(cb_user, rc, &err, e);
}

LEDGER_API enum ledger_rc ledger_watch_next_start(struct ledger_watch *w, unsigned timeout_ms, ledger_entries_cb cb, void *user,
                                                  struct ledger_err *err)
{
    struct call_request rq;
    enum ledger_rc rc = begin(w, &rq, err);
    if (rc != LEDGER_OK)
        return rc;
    w->cb = cb;
    w->user = user;
    rc = client_start(w->client, &rq, timeout_ms, on_entries, w, err);
    if (rc != LEDGER_OK)
        end(w, NULL);
    return rc;
}

LEDGER_API size_t ledger_entries_count(const struct ledger_entries *e)
{
    return e->reply->u.entries.n;
}

static const uint8_t *present(struct span s)
{
    return s.n ? s.p : NULL;
}

LEDGER_API int ledger_entries_get(const struct ledger_entries *e, size_t i, struct ledger_entry *out)
{
    if (i >= ledger_entries_count(e))
        return 0;
    const struct read_entry *r = &e->reply->u.entries.entries[i];
    const struct header *h = &r->entry.header;
    const char *name = entry_kind_name(h->kind);
    *out = (struct ledger_entry){
        .index = h->index, .kind = h->kind, .kind_name = name ? name : "unknown", .recorded_us = h->recorded_us,
        .event_id = h->kind == OWN_SEAL ? NULL : h->event_id.b,
        .header = r->raw.header.p, .header_n = r->raw.header.n,
        .event = present(r->raw.event), .event_n = r->raw.event.n,
        .block = present(r->raw.block), .block_n = r->raw.block.n,
        .withheld = r->raw.withheld,
        .erased_by = r->entry.erased_by,
    };
    return 1;
}

LEDGER_API void ledger_entries_free(struct ledger_entries *e)
{
    if (!e)
        return;
    reply_free(e->reply);
    free(e);
}
