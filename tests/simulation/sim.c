/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: the judge, the writer and the store under a seeded schedule of clients, crashes and faults.
 *
 *   sim                       the suite: some worlds, each of a seed of its own (LEDGERD_LONG: very many)
 *   sim --seed N [--steps M]  one world again, exactly
 *
 * After each step it is true that: what was acknowledged is there and stays as it was, also after a crash; nothing is there twice; nothing is
 * there that was answered "nothing was recorded"; the tree is that of every checkpoint that anybody was shown; recorded time does not run
 * backwards; the chain map's root is that of a sorted list; and everything that was taken or refused is what a plain model of the rules says.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients.h"
#include "log.h"
#include "store/log.h"
#include "world.h"

#define STEPS 2500
#define WORLDS 6
#define WORLDS_LONG 400 /* some two million events */
#define NOTES_MAX 200000
#define STEPS_AGAIN 400
#define OPEN_MAX 24

struct note_seen { uint64_t size; struct hash root; };

static struct sim {
    uint64_t seed;
    unsigned steps, sent, busy, failed, refused, again, before;
    struct scratch s;
    struct model m;
    struct clients cl;
    struct crypto *c;
    struct arena *a;
    struct store *store;
    struct pipeline *p;
    struct pipeline_options o;
    struct ask *answered, **answered_end; /* in the order of the answers */
    struct ask *open;                     /* sent and not answered */
    unsigned n_open;
    struct note_seen *notes;
    size_t n_notes, n_compared;
    uint64_t shown;                       /* the largest size that anybody was shown */
    unsigned answered_number;             /* of the latest answer */
    uint64_t batch;                       /* size of the latest checkpoint among the answers */
    bool quiet;                           /* no faults, no crashes */
    uint64_t backup;                      /* entries in the copy of the disk; 0: there is none */
    unsigned rollbacks;
    bool fatal, ghost;                    /* ghost: the process has ended, what it still does counts for nothing */
    unsigned crashes, fatals, stops;
} sim;
static bool verbose, replaying;
static struct hash last_root; /* of the world that was played last */

struct totals { uint64_t worlds, entries, events, refused, again, before, busy, failed, crashes, fatals, stops, roots, notes, rollbacks; };

void sim_fail(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    printf("simulation: %s\nafter %u requests, %llu entries, %u crashes; again: sim --seed %llu --steps %u\nTALLY simulation failed=1\n0 passed, 1 failed, 0 skipped\n",
           text, sim.sent, (unsigned long long)sim.m.size, sim.crashes, (unsigned long long)sim.seed, sim.steps);
    fflush(NULL);
    scratch_remove(&sim.s);
    _exit(1);
}

void __wrap_logline(enum log_level level, const char *message, const char *fmt, ...);
void __wrap_logline(enum log_level level, const char *message, const char *fmt, ...)
{
    if (!verbose)
        return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%lld %d %s ", (long long)world_monotonic_us(), (int)level, message);
    if (fmt)
        vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
}

/* ---- what the daemon would be told ---- */

static void done(void *ctx, struct job *job)
{
    struct ask *k = job->owner;
    (void)ctx;
    if (sim.ghost || world_crashed())
        return; /* it is still among the open ones */
    struct ask **at = &sim.open;
    while (*at && *at != k)
        at = &(*at)->next;
    if (!*at)
        sim_fail("a request was answered that is not open");
    if (k->job.rc == LEDGER_OK && k->number < sim.answered_number)
        sim_fail("request %u was judged after request %u", k->number, sim.answered_number);
    if (k->job.rc == LEDGER_OK)
        sim.answered_number = k->number;
    *at = k->next;
    sim.n_open--;
    k->next = NULL;
    *sim.answered_end = k;
    sim.answered_end = &k->next;
}

static void fatal(void *ctx, const struct ledger_err *err)
{
    (void)ctx;
    if (verbose)
        fprintf(stderr, "fatal: %s\n", err->msg);
    if (err->rc == LEDGER_ETAMPER || err->rc == LEDGER_EINTERNAL)
        sim_fail("the daemon finds its own store damaged: %s", err->msg);
    sim.fatal = true;
}

/* ---- answers ---- */

static struct store_snapshot *snapshot(struct kv *kv)
{
    struct store_snapshot *sn;
    if (store_snapshot_open(sim.store, &sn, NULL))
        return NULL;
    *kv = store_snapshot_kv(sn);
    return sn;
}

static void settle_ask(struct ask *k)
{
    for (unsigned i = 0; i < k->n; i++)
        if (!k->foreign)
            k->e[i]->may--;
    ask_free(k);
}

static void read_note(struct span bytes, struct checkpoint *cp)
{
    struct note note;
    uint64_t matched = 0;
    if (note_parse(sim.a, bytes, &note, NULL) || !note_verify(sim.c, sim.a, &note, &sim.s.key, 1, &matched, NULL) || !matched ||
        checkpoint_parse(note.text, cp, NULL))
        sim_fail("an answer's checkpoint is not signed by the log");
    sim.notes[sim.n_notes++] = (struct note_seen){cp->size, cp->root};
    LEDGER_REQUIRE(sim.n_notes < NOTES_MAX);
    if (cp->size > sim.shown)
        sim.shown = cp->size;
}

static void check_receipt(const struct sent *e, const struct job_result *r, const struct checkpoint *cp)
{
    struct hash leaf, path[MERKLE_PATH_MAX];
    merkle_leaf(sim.c, r->header, &leaf);
    if (!hash_eq(&leaf, &sim.m.leaves[r->index]) || e->index != r->index)
        sim_fail("the receipt of entry %llu is of another entry", (unsigned long long)r->index);
    LEDGER_REQUIRE(r->path.n <= sizeof path);
    if (r->path.n)
        memcpy(path, r->path.p, r->path.n);
    if (!merkle_verify_inclusion(sim.c, r->index, cp->size, &leaf, path, r->path.n / HASH_LEN, &cp->root))
        sim_fail("the receipt of entry %llu does not lead to its checkpoint", (unsigned long long)r->index);
}

static void check_recorded(struct ask *k, unsigned i, const struct kv *kv, const struct checkpoint *cp)
{
    struct sent *e = k->e[i];
    const struct job_result *r = &k->job.results[i];
    if (r->index >= cp->size)
        sim_fail("entry %llu is not under the checkpoint of %llu entries that it was answered with", (unsigned long long)r->index,
                 (unsigned long long)cp->size);
    if (k->foreign)
        sim_fail("entry %llu under another signature was answered with its receipt", (unsigned long long)r->index);
    if (r->outcome == JOB_ACCEPTED && e->index)
        sim_fail("an event was accepted as entry %llu, and is entry %llu", (unsigned long long)r->index, (unsigned long long)e->index);
    model_read(&sim.m, kv, r->index + 1);
    check_receipt(e, r, cp);
    sim.before += r->outcome == JOB_BEFORE;
}

static void check_refused(struct ask *k, unsigned i, const struct kv *kv, const struct checkpoint *cp)
{
    struct sent *e = k->e[i];
    const struct job_result *r = &k->job.results[i];
    sim.refused++;
    if (r->why.code == E_DUP_EVENT && r->index && r->index >= cp->size)
        sim_fail("a refusal names entry %llu, which is not there", (unsigned long long)r->index);
    if (k->foreign && r->why.code != E_DUP_EVENT)
        sim_fail("a recorded event under another signature was refused as %s", refusal_name(r->why.code));
    if (k->foreign)
        return;
    sim.m.recalled += r->why.code == E_HOLD_RECALL && model_inherits_recall(&sim.m, e);
    if (e->index)
        sim_fail("entry %llu was sent again, unchanged, and refused: %s %s", (unsigned long long)e->index, refusal_name(r->why.code),
                 r->why.text);
    if (!model_legal(&sim.m, e))
        return;
    model_read(&sim.m, kv, cp->size); /* it was judged after all of that batch */
    if (model_legal(&sim.m, e))
        sim_fail("the rules allow what was refused: %s %s: %s", refusal_name(r->why.code), r->why.subject, r->why.text);
}

static void check_skipped(const struct ask *k)
{
    unsigned refused = 0, recorded = 0, skipped = 0;
    for (unsigned i = 0; i < k->n; i++) {
        refused += k->job.results[i].outcome == JOB_REFUSED;
        skipped += k->job.results[i].outcome == JOB_SKIPPED;
        recorded += k->job.results[i].outcome == JOB_ACCEPTED;
    }
    if (skipped && (!k->job.all_or_nothing || refused != 1))
        sim_fail("events were skipped without a refusal");
    if (k->job.all_or_nothing && k->n > 1 && recorded && recorded != k->n)
        sim_fail("of %u events that are all or nothing %u were recorded", k->n, recorded);
}

static void take_answer(struct ask *k, const struct kv *kv)
{
    struct checkpoint cp;
    if (k->job.rc) {
        if (k->job.unknown)
            sim_fail("a request was answered \"unknown\": %s", k->job.err.msg);
        sim.failed++;
        settle_ask(k);
        return;
    }
    struct arena_mark mark = arena_mark(sim.a);
    read_note(k->job.checkpoint, &cp);
    if (cp.size > sim.batch) {
        model_read(&sim.m, kv, sim.batch); /* all of the batch before */
        sim.batch = cp.size;
    }
    for (unsigned i = 0; i < k->n; i++) {
        enum job_outcome outcome = k->job.results[i].outcome;
        if (outcome == JOB_ACCEPTED || outcome == JOB_BEFORE)
            check_recorded(k, i, kv, &cp);
        else if (outcome == JOB_REFUSED)
            check_refused(k, i, kv, &cp);
    }
    check_skipped(k);
    arena_release(sim.a, mark);
    settle_ask(k);
}

/* Every checkpoint that anybody was shown is one of the tree. */
static void compare_notes(void)
{
    while (sim.n_compared < sim.n_notes && sim.notes[sim.n_compared].size <= sim.m.size) {
        const struct note_seen *n = &sim.notes[sim.n_compared++];
        if (!hash_eq(&n->root, &sim.m.root_at[n->size]))
            sim_fail("the checkpoint of %llu entries that was signed is not of this tree", (unsigned long long)n->size);
    }
}

static void take_answers(void)
{
    struct kv kv;
    struct store_snapshot *sn = sim.answered ? snapshot(&kv) : NULL;
    while (sn && sim.answered) {
        struct ask *k = sim.answered;
        sim.answered = k->next;
        if (!sim.answered)
            sim.answered_end = &sim.answered;
        take_answer(k, &kv);
        compare_notes();
    }
    if (sn)
        store_snapshot_close(sn);
}

/* ---- start and end ---- */

static enum ledger_rc try_start(struct ledger_err *err)
{
    struct store_options so = {.map_bytes = SCRATCH_MAP, .reserve_bytes = 1};
    enum ledger_rc rc = store_open_with(sim.s.dir, STORE_WRITE, &so, &sim.store, err);
    if (rc)
        return rc;
    sim.o.store = sim.store;
    rc = pipeline_start(&sim.o, &sim.p, err);
    if (rc) {
        store_close(sim.store);
        sim.store = NULL;
    }
    return rc;
}

/* What is in the log now is what is there; what is not will not come any more. False: the power went before it could be read. */
static bool read_all(void)
{
    struct kv kv;
    uint64_t size;
    struct ledger_err err;
    take_answers();
    struct store_snapshot *sn = snapshot(&kv);
    if (!sn && world_crashed())
        return false;
    if (!sn || log_size(sn, &size, &err))
        sim_fail("the log cannot be read after a start");
    if (size < sim.shown)
        sim_fail("a checkpoint of %llu entries was signed, and there are only %llu", (unsigned long long)sim.shown,
                 (unsigned long long)size);
    model_compare(&sim.m, &kv);
    model_read(&sim.m, &kv, size);
    store_snapshot_close(sn);
    compare_notes();
    while (sim.open) {
        struct ask *k = sim.open;
        sim.open = k->next;
        settle_ask(k);
    }
    sim.n_open = 0;
    sim.batch = sim.m.size;
    return true;
}

static void start(void)
{
    struct ledger_err err = {0};
    struct disk_faults before = disk_faults;
    for (unsigned i = 0;; i++) {
        sim.ghost = sim.fatal = false;
        sim.m.step_due = false;
        enum ledger_rc rc = try_start(&err);
        if (rc == LEDGER_OK && !world_crashed() && !sim.fatal && read_all())
            break;
        bool crashed = world_crashed();
        if (rc == LEDGER_ETAMPER || rc == LEDGER_EINVAL || rc == LEDGER_ENOTFOUND || (i > 20 && !crashed))
            sim_fail("the daemon does not start again: %s", err.msg);
        sim.ghost = true;
        if (rc == LEDGER_OK) {
            pipeline_stop(sim.p);
            pipeline_free(sim.p);
            store_close(sim.store);
        }
        world_power_on();
        if (i > 8)
            disk_faults = (struct disk_faults){.no_space = false};
    }
    disk_faults = before;
    disk_faults.no_space = false;
}

static void end(bool ghost)
{
    sim.ghost = ghost;
    pipeline_stop(sim.p);
    pipeline_free(sim.p);
    sim.p = NULL;
    if (!ghost && !world_crashed() && !sim.fatal) {
        take_answers();
        if (sim.open)
            sim_fail("a request was not answered before the end");
    }
    store_close(sim.store);
    sim.store = NULL;
    world_power_on();
}

/* Somebody puts an older copy of the data in its place. The anchor knows better, and nothing is changed by the attempt. */
static void roll_back(void)
{
    struct ledger_err err = {0};
    if (!sim.quiet || !sim.backup || sim.backup >= sim.m.size)
        return;
    disk_exchange();
    sim.ghost = true;
    enum ledger_rc rc = try_start(&err);
    if (rc != LEDGER_ETAMPER)
        sim_fail("a copy of %llu entries was started where %llu were signed: %s", (unsigned long long)sim.backup,
                 (unsigned long long)sim.m.size, rc ? err.msg : "as if nothing were wrong");
    disk_exchange();
    sim.backup = 0;
    sim.rollbacks++;
}

static void recover(void)
{
    sim.crashes += world_crashed();
    sim.fatals += sim.fatal;
    end(true);
    start();
}

/* ---- steps ---- */

static void send_ask(struct ask *k)
{
    for (unsigned i = 0; i < k->n; i++)
        if (!k->foreign)
            k->e[i]->may++;
    k->number = ++sim.sent;
    k->next = sim.open;
    sim.open = k;
    sim.n_open++;
    sim.again += k->again;
    if (pipeline_submit(sim.p, &k->job) == LEDGER_OK)
        return;
    sim.busy++; /* nothing happened, and nothing will */
    struct ask **at = &sim.open;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    sim.n_open--;
    settle_ask(k);
}

static void change_faults(void)
{
    sim.quiet = world_chance(2);
    disk_faults = (struct disk_faults){0};
    world_crash_one_in(sim.quiet ? 0 : 3000);
    if (sim.quiet)
        return;
    disk_faults.full_one_in = world_chance(2) ? 12 : 0;
    disk_faults.memory_one_in = world_chance(2) ? 25 : 0;
    disk_faults.unknown_one_in = world_chance(3) ? 30 : 0;
    disk_faults.crash_one_in = world_chance(2) ? 25 : 0;
    disk_faults.no_space = world_chance(6);
}

/* By hours, forth or back. Requests that are open may be judged before or after it. */
static void set_clock(void)
{
    if (sim.m.step_due || sim.n_open || sim.answered)
        return;
    world_set_clock(((int64_t)world_below(20000000) - 10000000) * 1000);
    int64_t hours = world_chance(2) ? 3600 : -3600;
    world_set_clock(hours * 1000000 * (int64_t)(1 + world_below(9)) + (hours > 0 ? 20000000000 : -20000000000));
    sim.m.step_due = true;
}

/* A ledger that nobody uses goes on to say so. */
static void stay_idle(void)
{
    struct pipeline_stats before, after;
    if (world_crashed() || sim.fatal || sim.n_open || disk_faults.full_one_in || disk_faults.memory_one_in || disk_faults.no_space)
        return;
    pipeline_stats(sim.p, &before);
    world_sleep_us(sim.o.heartbeat_s * INT64_C(3000000));
    if (world_crashed() || sim.fatal)
        return;
    pipeline_stats(sim.p, &after);
    if (after.size <= before.size)
        sim_fail("three heartbeats have passed without a seal");
    if (after.anchor_size < before.size)
        sim_fail("the anchor has stayed at %llu entries", (unsigned long long)after.anchor_size);
}

static void step(void)
{
    unsigned what = world_below(1000);
    if (what < 650) {
        if (sim.n_open < OPEN_MAX)
            send_ask(clients_ask(&sim.cl));
        else
            world_settle();
    } else if (what < 850) {
        world_yield();
    } else if (what < 950) {
        world_settle();
    } else if (what < 972) {
        world_sleep_us(world_below(3000000));
    } else if (what < 980) {
        change_faults();
    } else if (what < 986) {
        world_settle();
        take_answers();
        set_clock();
    } else if (what < 990) {
        world_settle();
        stay_idle();
    } else if (what < 993) {
        world_crash();
    } else if (what < 995 && !world_crashed() && !sim.fatal) {
        sim.stops++;
        end(false);
        roll_back();
        start();
    } else if (what < 997 && !world_crashed() && !sim.fatal) {
        sim.backup = sim.m.size;
        disk_backup();
    }
    if (world_crashed() || sim.fatal)
        recover();
    take_answers();
}

/* ---- worlds ---- */

static void world_start(uint64_t seed, unsigned steps)
{
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.steps = steps;
    sim.answered_end = &sim.answered;
    world_begin(seed);
    scratch_make(&sim.s);
    sim.c = crypto_new();
    sim.a = arena_new((size_t)64 << 20);
    sim.notes = calloc(NOTES_MAX, sizeof *sim.notes);
    LEDGER_REQUIRE(sim.c && sim.a && sim.notes);
    model_init(&sim.m, sim.c, sim.a);
    sim.m.map_every = 1 + world_below(4);
    clients_init(&sim.cl, &sim.s.pen, &sim.m);
    sim.quiet = true;
    sim.o = (struct pipeline_options){.workers = 1 + world_below(4), .queue_jobs_max = 4 + world_below(16),
                                      .batch_events_max = 1 + world_below(40), .heartbeat_s = 2 + world_below(20), .done_cb = done,
                                      .fatal_cb = fatal};
    start();
    struct ask *k;
    for (unsigned i = 0; (k = clients_begin(&sim.cl, i)) != NULL; i++) {
        send_ask(k);
        world_settle();
        take_answers();
    }
}

static void world_finish(struct totals *t)
{
    change_faults();
    disk_faults = (struct disk_faults){0};
    world_crash_one_in(0);
    world_settle();
    if (world_crashed() || sim.fatal)
        recover();
    end(false);
    start();
    rederive(&sim.m, sim.store);
    end(false);
    *t = (struct totals){t->worlds + 1,
                         t->entries + sim.m.size,
                         t->events + sim.m.n_sent,
                         t->refused + sim.refused,
                         t->again + sim.again,
                         t->before + sim.before,
                         t->busy + sim.busy,
                         t->failed + sim.failed,
                         t->crashes + sim.crashes,
                         t->fatals + sim.fatals,
                         t->stops + sim.stops,
                         t->roots + sim.m.roots_compared,
                         t->notes + sim.n_compared,
                         t->rollbacks + sim.rollbacks};
    for (unsigned i = 0; replaying && i < OPS; i++)
        printf("%s%u", i ? " " : "recorded, by kind: ", sim.m.recorded[i]);
    if (replaying)
        printf("; refused for an inherited recall: %u\n", sim.m.recalled);
    if (verbose || replaying)
        printf("%llu entries, root %02x%02x%02x%02x…\n", (unsigned long long)sim.m.size, sim.m.root_at[sim.m.size].b[0],
               sim.m.root_at[sim.m.size].b[1], sim.m.root_at[sim.m.size].b[2], sim.m.root_at[sim.m.size].b[3]);
    last_root = sim.m.root_at[sim.m.size];
    clients_fini(&sim.cl);
    model_fini(&sim.m);
    free(sim.notes);
    arena_free(sim.a);
    crypto_free(sim.c);
    world_end();
    scratch_remove(&sim.s);
}

static void run_world(uint64_t seed, unsigned steps, struct totals *t)
{
    world_start(seed, steps);
    while (sim.sent < steps && sim.cl.n_items + 100 < MODEL_ITEMS_MAX && sim.cl.n_recalls + 10 < MODEL_RECALLS_MAX)
        step();
    world_finish(t);
}

/* What a failing seed is printed for: played again, it is the same world to the last bit. */
static bool replays_exactly(uint64_t seed)
{
    struct totals first = {0}, second = {0};
    run_world(seed, STEPS_AGAIN, &first);
    struct hash root = last_root;
    run_world(seed, STEPS_AGAIN, &second);
    bool same = memcmp(&first, &second, sizeof first) == 0 && hash_eq(&root, &last_root);
    if (!same)
        printf("simulation: seed %llu played twice: %llu entries, then %llu, or another root\n", (unsigned long long)seed,
               (unsigned long long)first.entries, (unsigned long long)second.entries);
    return same;
}

static void tell(const struct totals *t)
{
    const struct { const char *name; uint64_t n; } lines[] = {
        {"worlds", t->worlds}, {"events", t->events}, {"entries", t->entries}, {"refusals", t->refused}, {"sent_again", t->again},
        {"first_receipts", t->before}, {"busy", t->busy}, {"nothing_recorded", t->failed}, {"crashes", t->crashes},
        {"unknown_outcomes", t->fatals}, {"stops", t->stops}, {"map_roots", t->roots}, {"checkpoints", t->notes},
        {"rollbacks_refused", t->rollbacks}, {"lost", 0}, {"doubled", 0}, {"forked", 0}}; /* else a world would have ended it */
    printf("TALLY simulation");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        printf(" %s=%llu", lines[i].name, (unsigned long long)lines[i].n);
    printf("\n");
}

int main(int argc, char **argv)
{
    struct totals t = {0};
    uint64_t seed = 1;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("skipped: a sanitizer does not follow tasks that share a thread\n0 passed, 0 failed, 1 skipped\n");
    return 0;
#endif
    unsigned steps = STEPS, worlds = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
            replaying = true;
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            steps = (unsigned)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--worlds") == 0 && i + 1 < argc) {
            worlds = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: sim [--seed N] [--steps M] [--worlds W] [--verbose]\n");
            return 2;
        }
    }
    const char *share = getenv("LEDGERD_LONG"); /* percent */
    unsigned many = share ? (unsigned)(strtod(share, NULL) * WORLDS_LONG / 100) : 0;
    if (worlds == 0)
        worlds = replaying ? 1 : many > WORLDS ? many : WORLDS;
    for (unsigned i = 0; i < worlds; i++)
        run_world(seed + i, steps, &t);
    tell(&t);
    bool same = replaying || replays_exactly(seed);
    printf("%llu passed, %u failed, 0 skipped\n", (unsigned long long)t.worlds + (!replaying && same), !same);
    return !same;
}
