/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill: makes a ledger of many entries without a daemon: real signed events, judged by the machine and appended to the store as the
 * daemon's writer does it, but in transactions of many batches.
 *
 * usage: fill --ledger DIR --entries N [--lineage N] [--reach N]
 *
 * DIR is what `ledgerd init` made, and was never served. What is in it afterwards:
 *
 *   --lineage N   the lot FILL-CHECK, made in generations of ten, each of which consumed the one before and nine materials: N items, all
 *                 tested and released, so that it may be dispatched
 *   --reach N     the material FILL-SERUM, which went into lots of 49 bags each: N items come from it, each bag put into a freezer
 *   --entries N   then steps of batch records (lib/shapes.h), one signature each: 256 lots at a time, 39 steps a lot, until there are N
 *
 * A seal follows after 64 events, as many as 64 clients have on their way. Threads make and sign the steps, the main thread judges.
 * Their signatures are not verified again here: whoever audits the ledger does that.
 *
 * Failure: whatever goes wrong ends the program with a sentence; the folder is then to be thrown away. For the same reason nothing is
 * made durable before the end (fdatasync below).
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "anchor.h"
#include "batch.h"
#include "client.h"
#include "machine.h"
#include "store/log.h"
#include "lib/raw_client.h"
#include "lib/shapes.h"

#define THREADS_MAX 8u
#define OPERATORS 8u /* of each thread */
#define LOTS_OPEN 256u
#define EVENTS_A_LOT 40u
#define BATCH_EVENTS 64u
#define CHUNK_BYTES ((size_t)32 << 20) /* of rows; ends a transaction at the next seal */
#define CHUNK_BUDGET ((size_t)1 << 30)
#define PORTION 512u /* steps that a thread makes at a time */
#define PORTIONS_AHEAD 8u
#define ARENA_BYTES ((size_t)256 << 20)
#define GENERATION 10u
#define BAGS 49u
#define TEXT_BYTES 8192

/* LMDB calls it after each transaction. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

struct prepared { struct event ev; struct span block; struct sigblock b; };
struct portion { struct arena *a; struct prepared *events; bool ready; };
struct maker {
    struct fill *f;
    unsigned number;
    struct crypto *c;
    struct ledger_key *keys[OPERATORS];
    struct event step, lot;
};
struct fill {
    const char *dir, *origin;
    uint64_t entries, lineage, reach;
    struct crypto *c;
    struct arena *scratch, *a; /* of the machine; of the event being made */
    struct ledger_key *admin, *operator, *warehouse, *qa, *qp, *qc;
    uint64_t references;
    /* the ledger */
    struct store *store;
    struct kv txn;
    struct kv_mem *rows; /* over txn */
    struct machine m;
    uint64_t before; /* size at the beginning of the transaction */
    unsigned unsealed;
    struct checkpoint cp; /* of the latest seal */
    double began, shown;
    /* steps; under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct portion portions[PORTIONS_AHEAD];
    uint64_t taken, used; /* portions */
    bool stop;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *need(void *p)
{
    if (!p)
        raw_die("out of memory");
    return p;
}

/* ---- the ledger ---- */

static int64_t recorded_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void begin(struct fill *f)
{
    struct ledger_err err;
    raw_must(log_begin(f->store, &f->txn, &err), &err, "begin");
    f->m = (struct machine){.c = f->c, .a = f->scratch, .kv = kv_mem_kv(f->rows), .index_key = *store_index_key(f->store), .wire = true};
    raw_must(machine_load(&f->m, &err), &err, "the ledger's state");
    f->before = f->m.size;
}

static void commit(struct fill *f)
{
    struct ledger_err err;
    const struct log_batch batch = {.rows = f->rows};
    if (log_append(f->store, f->before, f->m.epoch, &batch, &err) != LOG_APPENDED)
        raw_die("commit: %s", err.msg);
}

static void seal(struct fill *f)
{
    struct ledger_err err;
    struct appended_entry out;
    raw_must(machine_seal(&f->m, recorded_us(), &out, &f->cp, &err), &err, "seal");
    arena_reset(f->scratch);
    f->unsealed = 0;
    if (kv_mem_bytes(f->rows) < CHUNK_BYTES)
        return;
    commit(f);
    begin(f);
}

/* One line a second on a terminal, else one in half a minute. */
static void show(struct fill *f)
{
    double t = now(), every = isatty(STDERR_FILENO) ? 1 : 30;
    if (t - f->shown < every)
        return;
    double rate = (double)f->m.size / (t - f->began);
    f->shown = t;
    fprintf(stderr, "%s  filling: %llu of %llu entries, %.0f a second, %.0f s to go  %s", every > 1 ? "" : "\r", (unsigned long long)f->m.size,
            (unsigned long long)f->entries, rate, f->m.size < f->entries ? (double)(f->entries - f->m.size) / rate : 0, every > 1 ? "\n" : "");
}

static void append(struct fill *f, const struct prepared *p)
{
    static const struct preverified all = {.ok = {true, true}};
    struct ledger_err err;
    struct appended_entry out;
    struct refusal why = {0};
    const struct submission s = {.ev = &p->ev, .block = p->block, .b = &p->b, .pre = &all};
    enum ledger_rc rc = machine_event(&f->m, &s, recorded_us(), &out, &why, &err);
    if (rc == LEDGER_EREFUSED)
        raw_die("%.*s was refused: %s %s: %s", SPAN_FMT(p->ev.reference), refusal_name(why.code), why.field, why.text);
    raw_must(rc, &err, "event");
    arena_reset(f->scratch);
    if (++f->unsealed == BATCH_EVENTS)
        seal(f);
    show(f);
}

static void epoch(struct fill *f)
{
    struct ledger_err err;
    struct appended_entry out;
    struct epoch e = {.epoch = f->m.epoch + 1, .host = SPAN_LIT("fill"), .program = SPAN_LIT("fill"), .reason = SPAN_LIT("start")};
    raw_must(machine_own(&f->m, OWN_EPOCH, epoch_encode(f->scratch, &e), recorded_us(), &out, &err), &err, "epoch");
    seal(f);
}

static void open_ledger(struct fill *f)
{
    struct ledger_err err;
    raw_must(store_open_with(f->dir, STORE_WRITE, NULL, &f->store, &err), &err, f->dir);
    f->rows = need(kv_mem_new(&f->txn, CHUNK_BUDGET));
    begin(f);
    if (f->m.epoch != 0)
        raw_die("%s was served already", f->dir);
    epoch(f);
}

/* ---- events ---- */

/* Signs, and decodes again what was encoded: in the arena, as the daemon's workers hand it over. */
static void prepare(struct crypto *c, struct arena *a, const char *origin, struct span bytes, struct ledger_key *const keys[], unsigned n,
                    struct prepared *out)
{
    struct ledger_err err;
    struct refusal why = {0};
    struct batch_event e = {.bytes = bytes};
    struct ledger_batch b = {.a = a, .c = c, .events = &e, .n = 1};
    snprintf(b.origin, sizeof b.origin, "%s", origin);
    event_id(c, bytes, &e.id);
    for (unsigned i = 0; i < n; i++)
        raw_must(batch_sign(&b, keys[i], "authorship", NULL, &err), &err, "signature");
    raw_must(batch_seal(&b, &err), &err, "signature block");
    out->block = e.block;
    if (event_decode(c, a, bytes, &out->ev, &why, &err) != LEDGER_OK)
        raw_die("event: %s %s: %s", refusal_name(why.code), why.field, why.text);
    raw_must(sigblock_decode(out->block, &out->b, &err), &err, "signature block");
}

static void append_bytes(struct fill *f, struct span bytes, struct ledger_key *first, struct ledger_key *second)
{
    struct ledger_key *const keys[2] = {first, second};
    struct prepared p;
    prepare(f->c, f->a, f->origin, bytes, keys, second ? 2 : 1, &p);
    append(f, &p);
    arena_reset(f->a);
}

/* One event of the kind, with the fields as JSON. */
static void LEDGER_PRINTF(5, 6)
    play(struct fill *f, struct ledger_key *first, struct ledger_key *second, const char *kind, const char *fmt, ...)
{
    static char fields[TEXT_BYTES];
    struct event ev;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fields, sizeof fields, fmt, ap);
    va_end(ap);
    shape_line(f->a, kind, fields, &ev);
    append_bytes(f, shape_encode(f->a, &ev, "fixture", f->references++), first, second);
}

static struct ledger_key *make_party(struct fill *f, const char *name, const char *role)
{
    struct ledger_err err;
    struct ledger_key *k = NULL;
    raw_must(ledger_key_new("ed25519", name, &k, &err), &err, "key");
    append_bytes(f, shape_registration(f->a, f->origin, k, role), f->admin, NULL);
    return k;
}

static void load_admin(struct fill *f)
{
    struct ledger_err err;
    char pattern[4096];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/profile/keys/*.key", f->dir);
    if (glob(pattern, 0, NULL, &found) || found.gl_pathc != 1)
        raw_die("%s: not one administrator's key", pattern);
    raw_must(ledger_key_load(found.gl_pathv[0], &f->admin, &err), &err, "administrator's key");
    globfree(&found);
}

static void make_parties(struct fill *f)
{
    f->operator = make_party(f, "operator@cpc.example", "OPERATOR");
    f->warehouse = make_party(f, "warehouse@cpc.example", "WAREHOUSE");
    f->qa = make_party(f, "qa@cpc.example", "QA");
    f->qp = make_party(f, "qp@cpc.example", "QP");
    f->qc = make_party(f, "qc@cpc.example", "QC");
}

/* ---- a lineage, and what one material reached ---- */

static void play_release(struct fill *f, const char *item)
{
    play(f, f->qa, f->qp, "QUALITY_DECISION",
         "{\"item\":\"%s\",\"decision\":\"RELEASE\",\"spec_version\":\"S-1\",\"reason\":\"conforms\"}", item);
}

static void play_material(struct fill *f, const char *item, unsigned quantity)
{
    play(f, f->warehouse, NULL, "MATERIAL_RECEIVED",
         "{\"item\":\"%s\",\"gtin\":\"09521234848431\",\"lot\":\"%s\",\"supplier\":\"SUP-1\",\"quantity\":%u,\"uom\":\"mL\","
         "\"expiry\":\"2099-12-31T00:00:00Z\",\"coa_hash\":\"fca667989690ce8a618dfa083a37c03344c1d2e91c2e9a237f7fa2a5eb1af8ae\","
         "\"origin\":\"bovine\"}",
         item, item, quantity);
    play_release(f, item);
}

static void play_lot(struct fill *f, const char *item)
{
    play(f, f->operator, NULL, "LOT_CREATED",
         "{\"item\":\"%s\",\"lot_class\":\"BATCH\",\"product_code\":\"PC-FILL\",\"lot\":\"%s\",\"use\":\"ALLOGENEIC\","
         "\"required_tests\":[\"viability\"],\"spec_version\":\"S-1\",\"uom\":\"mL\"}",
         item, item);
}

static void play_input(struct fill *f, const char *item, const char *input)
{
    play(f, f->operator, NULL, "INPUT_CONSUMED", "{\"item\":\"%s\",\"input\":\"%s\",\"quantity\":1,\"uom\":\"mL\"}", item, input);
}

static void play_derived(struct fill *f, const char *item, unsigned quantity)
{
    play(f, f->operator, NULL, "LOT_DERIVED", "{\"item\":\"%s\",\"quantity\":%u,\"uom\":\"mL\",\"expiry\":\"2098-12-31T00:00:00Z\"}", item,
         quantity);
}

static void make_lineage(struct fill *f)
{
    char lot[ID_MAX], before[ID_MAX] = "", material[ID_MAX];
    unsigned generations = (unsigned)(f->lineage / GENERATION);
    for (unsigned g = 0; g < generations; g++) {
        snprintf(lot, sizeof lot, g + 1 < generations ? "FILL-G%u" : "FILL-CHECK", g);
        play_lot(f, lot);
        for (unsigned i = 1; i < GENERATION; i++) {
            snprintf(material, sizeof material, "FILL-M%u-%u", g, i);
            play_material(f, material, 10);
            play_input(f, lot, material);
        }
        if (before[0])
            play_input(f, lot, before);
        play_derived(f, lot, 60);
        play(f, f->qc, NULL, "QC_RESULT",
             "{\"item\":\"%s\",\"test\":\"viability\",\"method\":\"7-AAD flow\",\"value\":97.9,\"unit\":\"%%\",\"verdict\":\"PASS\","
             "\"sample\":\"%s-S\",\"low\":70}",
             lot, lot);
        play_release(f, lot);
        memcpy(before, lot, sizeof before);
    }
}

static void make_bags(struct fill *f, const char *lot)
{
    char units[TEXT_BYTES - 256];
    size_t n = 0;
    for (unsigned i = 0; i < BAGS; i++)
        n += (size_t)snprintf(units + n, sizeof units - n, "%s{\"item\":\"%s-%u\",\"quantity\":1}", i ? "," : "", lot, i);
    play(f, f->operator, NULL, "LOT_SPLIT", "{\"item\":\"%s\",\"units\":[%s]}", lot, units);
    for (unsigned i = 0; i < BAGS; i++)
        play(f, f->warehouse, NULL, "STORAGE_MOVED",
             "{\"item\":\"%s-%u\",\"location\":\"LN2-A3\",\"position\":\"R%u/C%u\",\"temperature_c\":-183.0}", lot, i, i / 7, i % 7);
}

static void make_reach(struct fill *f)
{
    char lot[ID_MAX];
    unsigned lots = (unsigned)(f->reach / (BAGS + 1));
    if (lots == 0)
        return;
    play_material(f, "FILL-SERUM", lots);
    for (unsigned i = 0; i < lots; i++) {
        snprintf(lot, sizeof lot, "FILL-R%u", i);
        play_lot(f, lot);
        play_input(f, lot, "FILL-SERUM");
        play_derived(f, lot, BAGS);
        make_bags(f, lot);
    }
}

/* ---- steps ---- */

/* Event number n: 256 lots at a time begin, and go on in turn. */
static void make_step(struct maker *mk, struct arena *a, uint64_t n, struct prepared *out)
{
    char name[ID_MAX];
    uint64_t group = n / ((uint64_t)LOTS_OPEN * EVENTS_A_LOT), place = n % ((uint64_t)LOTS_OPEN * EVENTS_A_LOT);
    struct event *ev = place < LOTS_OPEN ? &mk->lot : &mk->step;
    int len = snprintf(name, sizeof name, "gs1:01/09521234543213/10/FILL-%llu", (unsigned long long)(group * LOTS_OPEN + place % LOTS_OPEN));
    struct ledger_key *const key = mk->keys[n % OPERATORS];
    shape_set(ev, "item", span_of(name, (size_t)len));
    prepare(mk->c, a, mk->f->origin, shape_encode(a, ev, "fill", n), &key, 1, out);
}

static void *make_steps(void *ctx)
{
    struct maker *mk = ctx;
    struct fill *f = mk->f;
    pthread_mutex_lock(&f->lock);
    for (;;) {
        while (!f->stop && f->taken - f->used >= PORTIONS_AHEAD)
            pthread_cond_wait(&f->changed, &f->lock);
        if (f->stop)
            break;
        uint64_t number = f->taken++;
        struct portion *p = &f->portions[number % PORTIONS_AHEAD];
        pthread_mutex_unlock(&f->lock);
        arena_reset(p->a);
        for (unsigned i = 0; i < PORTION; i++)
            make_step(mk, p->a, number * PORTION + i, &p->events[i]);
        pthread_mutex_lock(&f->lock);
        p->ready = true;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static void use_portion(struct fill *f)
{
    struct portion *p = &f->portions[f->used % PORTIONS_AHEAD];
    pthread_mutex_lock(&f->lock);
    while (!p->ready)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
    for (unsigned i = 0; i < PORTION && f->m.size + 1 < f->entries; i++)
        append(f, &p->events[i]);
    pthread_mutex_lock(&f->lock);
    p->ready = false;
    f->used++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

/* The threads' keys are registered before any of them starts. */
static void make_makers(struct fill *f, struct maker *makers, unsigned n, struct arena *a)
{
    char name[ID_MAX];
    for (unsigned i = 0; i < n; i++) {
        struct maker *mk = &makers[i];
        *mk = (struct maker){.f = f, .number = i, .c = need(crypto_new())};
        for (unsigned k = 0; k < OPERATORS; k++) {
            snprintf(name, sizeof name, "fill-%u-%u@cpc.example", i, k);
            mk->keys[k] = make_party(f, name, "OPERATOR");
        }
        shape_step(a, "x", &mk->step);
        shape_lot(a, "x", &mk->lot);
    }
}

static void fill_up(struct fill *f)
{
    struct maker makers[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    struct arena *a = need(arena_new(ARENA_BYTES));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = cores < 2 ? 1 : cores > (long)THREADS_MAX ? THREADS_MAX : (unsigned)cores;
    make_makers(f, makers, n, a);
    for (unsigned i = 0; i < PORTIONS_AHEAD; i++)
        f->portions[i] = (struct portion){.a = need(arena_new(ARENA_BYTES)), .events = need(calloc(PORTION, sizeof(struct prepared)))};
    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, make_steps, &makers[i]))
            raw_die("no thread");
    while (f->m.size + 1 < f->entries)
        use_portion(f);
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

/* Without it no daemon would serve what lies there. */
static void write_anchor(struct fill *f)
{
    struct ledger_err err;
    struct note_key key;
    struct wbuf note;
    char path[4096];
    wbuf_init(&note, f->a);
    f->cp.origin = span_str(f->origin);
    raw_must(note_key_parse(f->c, span_str(f->m.log_vkey), &key, &err), &err, "log key");
    checkpoint_sign(f->c, &key, store_log_key(f->store), &f->cp, &note);
    raw_must(anchor_path(NULL, store_dir(f->store), path, &err), &err, "anchor");
    raw_must(anchor_write(path, wbuf_span(&note), &err), &err, path);
}

static void finish(struct fill *f)
{
    if (f->unsealed)
        seal(f);
    commit(f);
    write_anchor(f);
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd))
        raw_die("%s: %s", f->dir, strerror(errno));
    close(fd);
    printf("{\"entries\": %llu, \"seconds\": %.1f}\n", (unsigned long long)f->m.size, now() - f->began);
    store_close(f->store);
}

static void read_options(int argc, char **argv, struct fill *f)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--ledger") == 0)
            f->dir = argv[i + 1];
        else if (strcmp(argv[i], "--entries") == 0)
            f->entries = n;
        else if (strcmp(argv[i], "--lineage") == 0)
            f->lineage = n;
        else if (strcmp(argv[i], "--reach") == 0)
            f->reach = n;
        else
            raw_die("unknown option %s", argv[i]);
    }
    if (!f->dir || f->entries == 0)
        raw_die("usage: fill --ledger DIR --entries N [--lineage N] [--reach N]");
}

int main(int argc, char **argv)
{
    static struct fill f = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct ledger_err err;
    struct ledger_profile *profile = NULL;
    char path[4096];
    read_options(argc, argv, &f);
    f.began = f.shown = now();
    f.c = need(crypto_new());
    f.scratch = need(arena_new(ARENA_BYTES));
    f.a = need(arena_new(ARENA_BYTES));
    snprintf(path, sizeof path, "%s/profile", f.dir);
    raw_must(ledger_profile_open(path, NULL, &profile, &err), &err, "profile");
    f.origin = profile->origin;
    load_admin(&f);
    open_ledger(&f);
    make_parties(&f);
    make_lineage(&f);
    make_reach(&f);
    fill_up(&f);
    finish(&f);
    ledger_profile_close(profile);
    return 0;
}
