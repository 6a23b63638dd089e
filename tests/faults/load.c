/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: clients that keep what they were promised. Each thread is a client of its own: it records events, one batch at a time, and sends
 * the very same bytes again until it has an answer, whatever becomes of the daemon meanwhile. What was acknowledged is written down:
 *
 *   ack NANOSECONDS INDEX EVENT-ID SIZE BEFORE CHECKPOINT      CLOCK_MONOTONIC when the answer was there; the note in base64
 *   error RC nothing|unknown TEXT                              an attempt that was not answered, or a refusal to record
 *   sent NUMBER                                                events made so far, at the end of a thread
 *
 * The library verifies each answer, and at each connection that the ledger continues what was seen. Evidence of tampering, and an event
 * that the rules refuse, end the program: status 4, and 1.
 *
 *   load record PROFILE ADDRESS KEY OUT CLIENTS BATCH PREFIX   until standard input ends; then each client finishes what it has begun
 *   load receipts PROFILE ADDRESS ACKS FOLDER STEP             the receipt of every STEP-th acknowledged event, verified as a file, into
 *                                                              FOLDER; and that it is at the place that was acknowledged
 *   load verify PROFILE ADDRESS FOLDER                         the receipts of a folder again, offline; prints how many
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ledgerd/ledgerd.h>

#define CLIENTS_MAX 64
#define TIMEOUT_MS 20000u
#define RETRY_US 5000
#define GIVE_UP_S 30 /* after the end of the input */
#define EXIT_EVIDENCE 4

static atomic_bool stopping;
static FILE *out;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

static _Noreturn void die(int status, const char *what, const struct ledger_err *err)
{
    fprintf(stderr, "load: %s: %s\n", what, err ? err->msg : strerror(errno));
    _exit(status);
}

static void must(enum ledger_rc rc, const struct ledger_err *err, const char *what)
{
    if (rc != LEDGER_OK)
        die(rc == LEDGER_ETAMPER ? EXIT_EVIDENCE : 1, what, err);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void tell(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&out_lock);
    vfprintf(out, fmt, ap);
    fflush(out);
    pthread_mutex_unlock(&out_lock);
    va_end(ap);
}

/* ---- recording ---- */

struct recorder {
    const char *profile, *address, *key_path, *prefix;
    unsigned number, batch;
    uint64_t sent;
    pthread_t thread;
};

static void add_event(struct recorder *r, struct ledger_batch *b)
{
    char json[1024];
    struct ledger_err err;
    struct ledger_event *ev = NULL;
    int n = snprintf(json, sizeof json,
                     "{\"kind\":\"MATERIAL_RECEIVED\",\"id\":\"%s-%u-%" PRIu64 "\",\"occurred\":\"2025-01-02T03:04:05Z\",\"fields\":{"
                     "\"item\":\"%s-%u-%" PRIu64 "\",\"gtin\":\"09521234543213\",\"lot\":\"LOT\",\"supplier\":\"S\",\"quantity\":10,\"uom\":"
                     "\"mL\",\"expiry\":\"2099-01-01T00:00:00Z\",\"coa_hash\":\"h\",\"origin\":\"bovine\"}}",
                     r->prefix, r->number, r->sent, r->prefix, r->number, r->sent);
    must(ledger_event_from_json(json, (size_t)n, &ev, &err), &err, "event");
    must(ledger_batch_add_event(b, ev, &err), &err, "event");
    ledger_event_free(ev);
    r->sent++;
}

static void hex(const uint8_t *id, char text[65])
{
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
}

static void base64(const char *s, char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(uint8_t)s[i] << 16 | (i + 1 < n ? (unsigned)(uint8_t)s[i + 1] << 8 : 0) |
                     (i + 2 < n ? (unsigned)(uint8_t)s[i + 2] : 0);
        *text++ = digits[v >> 18];
        *text++ = digits[v >> 12 & 63];
        *text++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *text++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *text = 0;
}

static void tell_answer(const struct ledger_submission *s, uint64_t ns)
{
    char note[8192] = "", id[65];
    const char *text = ledger_submission_checkpoint(s);
    const char *line = strchr(text, '\n');
    if (strlen(text) < sizeof note / 2)
        base64(text, note);
    for (size_t i = 0; i < ledger_submission_count(s); i++) {
        struct ledger_result r;
        if (!ledger_submission_result(s, i, &r) || (r.outcome != LEDGER_ACCEPTED && r.outcome != LEDGER_BEFORE)) {
            fprintf(stderr, "load: event %zu: %s %s\n", i, r.code, r.text);
            _exit(1);
        }
        hex(r.event_id, id);
        tell("ack %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %d %s\n", ns, r.index, id, line ? (uint64_t)strtoull(line + 1, NULL, 10) : 0,
             r.outcome == LEDGER_BEFORE, note);
    }
}

/* True: it was answered. */
static bool try_once(struct ledger_client *cl, struct ledger_batch *b)
{
    struct ledger_err err = {0};
    struct ledger_submission *s = NULL;
    enum ledger_rc rc = ledger_submit(cl, b, 0, TIMEOUT_MS, &s, &err);
    bool answered = rc == LEDGER_OK && ledger_submission_recorded(s) == LEDGER_RECORDED_ANSWERED;
    if (rc == LEDGER_ETAMPER || rc == LEDGER_EUNTRUSTED || rc == LEDGER_EPROTO)
        die(EXIT_EVIDENCE, "submit", &err);
    if (answered)
        tell_answer(s, now_ns());
    else
        tell("error %d %s %s\n", (int)rc, !s || ledger_submission_recorded(s) == LEDGER_RECORDED_NOTHING ? "nothing" : "unknown", err.msg);
    ledger_submission_free(s);
    return answered;
}

static void *record(void *recorder)
{
    struct recorder *r = recorder;
    struct ledger_err err;
    struct ledger_profile *profile = NULL;
    struct ledger_client *cl = NULL;
    struct ledger_key *key = NULL;
    must(ledger_profile_open(r->profile, r->address, &profile, &err), &err, "profile");
    must(ledger_key_load(r->key_path, &key, &err), &err, "key");
    must(ledger_client_open(profile, &(struct ledger_client_options){.program = "load", .first_contact_ms = TIMEOUT_MS}, &cl, &err), &err,
         "client");
    uint64_t deadline = 0;
    while (!atomic_load(&stopping)) {
        struct ledger_batch *b = NULL;
        must(ledger_batch_new(ledger_profile_origin(profile), &b, &err), &err, "batch");
        for (unsigned i = 0; i < r->batch; i++)
            add_event(r, b);
        must(ledger_batch_sign(b, key, "authorship", NULL, &err), &err, "signature");
        while (!try_once(cl, b)) {
            usleep(RETRY_US);
            if (atomic_load(&stopping) && !deadline)
                deadline = now_ns() + GIVE_UP_S * UINT64_C(1000000000);
            if (deadline && now_ns() > deadline)
                break;
        }
        ledger_batch_free(b);
    }
    tell("sent %" PRIu64 "\n", r->sent);
    ledger_client_close(cl);
    ledger_key_free(key);
    ledger_profile_close(profile);
    return NULL;
}

static int run_record(char **argv)
{
    static struct recorder all[CLIENTS_MAX];
    unsigned n = (unsigned)strtoul(argv[4], NULL, 10), batch = (unsigned)strtoul(argv[5], NULL, 10);
    char byte;
    if (n < 1 || n > CLIENTS_MAX || batch < 1 || !(out = fopen(argv[3], "ae")))
        die(2, argv[3], NULL);
    for (unsigned i = 0; i < n; i++) {
        all[i] = (struct recorder){.profile = argv[0], .address = argv[1], .key_path = argv[2], .prefix = argv[6], .number = i, .batch = batch};
        if (pthread_create(&all[i].thread, NULL, record, &all[i]))
            die(2, "thread", NULL);
    }
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < n; i++)
        pthread_join(all[i].thread, NULL);
    return 0;
}

/* ---- receipts ---- */

static void one_receipt(struct ledger_client *cl, const struct ledger_profile *p, const char *id_text, uint64_t index, const char *folder)
{
    uint8_t id[32], *bytes = NULL;
    size_t n = 0;
    struct ledger_err err;
    char *json = NULL, path[4096], want[64];
    for (int i = 0; i < 32; i++) {
        unsigned v = 0;
        sscanf(id_text + 2 * i, "%2x", &v);
        id[i] = (uint8_t)v;
    }
    must(ledger_receipt(cl, id, TIMEOUT_MS, &bytes, &n, &err), &err, id_text);
    must(ledger_receipt_verify(p, bytes, n, &json, &err), &err, id_text);
    snprintf(want, sizeof want, "\"index\": %" PRIu64, index);
    const char *at = strstr(json, want);
    if (!at || at[strlen(want)] != ',') {
        fprintf(stderr, "load: %s was acknowledged as entry %" PRIu64 ": %s\n", id_text, index, json);
        _exit(1);
    }
    snprintf(path, sizeof path, "%s/%s.receipt", folder, id_text);
    FILE *f = fopen(path, "we");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f))
        die(2, path, NULL);
    ledger_free(json);
    ledger_free(bytes);
}

static int run_receipts(char **argv)
{
    struct ledger_err err;
    struct ledger_profile *profile = NULL;
    struct ledger_client *cl = NULL;
    static char line[16384], id[128];
    uint64_t ns, index, seen = 0, step = strtoull(argv[4], NULL, 10), done = 0;
    FILE *acks = fopen(argv[2], "re");
    if (!acks || step < 1)
        die(2, argv[2], NULL);
    must(ledger_profile_open(argv[0], argv[1], &profile, &err), &err, "profile");
    must(ledger_client_open(profile, NULL, &cl, &err), &err, "client");
    while (fgets(line, sizeof line, acks))
        if (sscanf(line, "ack %" SCNu64 " %" SCNu64 " %100s", &ns, &index, id) == 3 && seen++ % step == 0) {
            one_receipt(cl, profile, id, index, argv[3]);
            done++;
        }
    fclose(acks);
    ledger_client_close(cl);
    ledger_profile_close(profile);
    printf("%" PRIu64 "\n", done);
    return 0;
}

static int run_verify(char **argv)
{
    static uint8_t bytes[1 << 20];
    struct ledger_err err;
    struct ledger_profile *profile = NULL;
    char path[4096];
    unsigned done = 0;
    must(ledger_profile_open(argv[0], argv[1], &profile, &err), &err, "profile");
    DIR *d = opendir(argv[2]);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[2], e->d_name);
        FILE *f = fopen(path, "re");
        size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
        if (f)
            fclose(f);
        must(ledger_receipt_verify(profile, bytes, n, NULL, &err), &err, path);
        done++;
    }
    if (d)
        closedir(d);
    ledger_profile_close(profile);
    printf("%u\n", done);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 9 && strcmp(argv[1], "record") == 0)
        return run_record(argv + 2);
    if (argc == 7 && strcmp(argv[1], "receipts") == 0)
        return run_receipts(argv + 2);
    if (argc == 5 && strcmp(argv[1], "verify") == 0)
        return run_verify(argv + 2);
    fputs("usage: load record PROFILE ADDRESS KEY OUT CLIENTS BATCH PREFIX | receipts PROFILE ADDRESS ACKS FOLDER STEP | verify PROFILE ADDRESS "
          "FOLDER\n",
          stderr);
    return 2;
}
