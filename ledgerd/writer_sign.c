/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer_sign: the signature on a checkpoint. It takes about as long as a fast disk takes to make the batch durable, so a worker that has nothing else
 * to do makes it meanwhile. If all of them are busy until the batch is on the disk, the writer does it: nobody waits for anybody who has not begun.
 *
 * A note is given out by writer_sign alone, after the commit. Ed25519 is deterministic: after a crash between the commit and that, the next start
 * signs the same note; and a note of a batch that did not become durable has left nobody's memory.
 */
#include <string.h>

#include "pipeline_internal.h"

static size_t make_note(struct pipeline *p, struct crypto *c, struct arena *a, const struct checkpoint *cp, uint8_t out[CHECKPOINT_NOTE_MAX])
{
    struct wbuf note;
    arena_reset(a);
    wbuf_init(&note, a);
    checkpoint_sign(c, &p->w.key, store_log_key(p->o.store), cp, &note);
    struct span s = wbuf_span(&note);
    LEDGER_REQUIRE(s.p && s.n <= CHECKPOINT_NOTE_MAX);
    memcpy(out, s.p, s.n);
    return s.n;
}

void signing_help(struct pipeline *p, struct crypto *c, struct arena *a)
{
    struct signing *s = &p->signing;
    s->state = SIGNING_TAKEN;
    pthread_mutex_unlock(&p->lock);
    size_t n = make_note(p, c, a, s->cp, s->note);
    pthread_mutex_lock(&p->lock);
    s->n = n;
    s->state = SIGNING_DONE;
    pthread_cond_signal(&p->signed_note);
}

void writer_sign_wanted(struct writer *w, const struct checkpoint *cp)
{
    struct pipeline *p = w->p;
    pthread_mutex_lock(&p->lock);
    p->signing.cp = cp;
    p->signing.state = SIGNING_WANTED;
    pthread_cond_signal(&p->new_work);
    pthread_mutex_unlock(&p->lock);
}

/* Is there a note that a worker has made? Waits for one who has begun; from then on nobody looks at what was to be signed. */
static bool take_back(struct writer *w)
{
    struct pipeline *p = w->p;
    pthread_mutex_lock(&p->lock);
    while (p->signing.state == SIGNING_TAKEN)
        pthread_cond_wait(&p->signed_note, &p->lock);
    bool made = p->signing.state == SIGNING_DONE;
    p->signing.state = SIGNING_NONE;
    pthread_mutex_unlock(&p->lock);
    return made;
}

void writer_sign_unwanted(struct writer *w)
{
    (void)take_back(w);
}

void writer_sign(struct writer *w, const struct checkpoint *cp)
{
    struct signing *s = &w->p->signing;
    if (take_back(w)) {
        w->note_n = s->n;
        memcpy(w->note, s->note, s->n);
    } else {
        w->note_n = make_note(w->p, w->c, w->a, cp, w->note);
    }
    w->note_size = cp->size;
    w->root = cp->root;
}
