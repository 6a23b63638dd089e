/* SPDX-License-Identifier: Apache-2.0 */
/* witnessed: see witnessed.h. */
#include "witnessed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct witnessed {
    pthread_mutex_t lock;
    struct witnessed_view v; /* its note is `bytes` */
    uint8_t bytes[NOTE_SIZE_MAX];
};

struct witnessed *witnessed_new(void)
{
    struct witnessed *w = calloc(1, sizeof *w);
    if (w)
        pthread_mutex_init(&w->lock, NULL);
    return w;
}

void witnessed_free(struct witnessed *w)
{
    if (!w)
        return;
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void witnessed_set(struct witnessed *w, const struct witnessed_view *v)
{
    LEDGER_REQUIRE(v->note.n <= sizeof w->bytes);
    pthread_mutex_lock(&w->lock);
    if (v->size >= w->v.size) {
        memcpy(w->bytes, v->note.p, v->note.n);
        w->v = *v;
        w->v.note = span_of(w->bytes, v->note.n);
    }
    pthread_mutex_unlock(&w->lock);
}

bool witnessed_get(struct witnessed *w, struct arena *a, struct witnessed_view *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->v;
    out->note = out->size ? arena_copy(a, w->v.note) : SPAN_NONE;
    pthread_mutex_unlock(&w->lock);
    return out->size == 0 || out->note.p;
}

uint64_t witnessed_size(struct witnessed *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t size = w->v.size;
    pthread_mutex_unlock(&w->lock);
    return size;
}
