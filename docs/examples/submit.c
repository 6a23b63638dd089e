/* SPDX-License-Identifier: Apache-2.0 */
/*
 * submit: records that a lot of raw material arrived, and keeps the receipt.
 *
 *   cc submit.c $(pkg-config --cflags --libs libledgerd) -o submit
 *   ./submit PROFILE KEY-FILE ITEM RECEIPT-FILE
 *
 * KEY-FILE is a signing key of a party with the role WAREHOUSE. Run it twice with the same item: the second time the ledger refuses,
 * and says why.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <ledgerd/ledgerd.h>

static struct ledger_err err;

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, err.msg);
    return 1;
}

/* The fields of MATERIAL_RECEIVED; docs/rules.md lists them for each kind. */
static int fill(struct ledger_event *ev, const char *item)
{
    char now[40];
    time_t t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &tm);
    const char *fields[][2] = {
        {"reference", item},       {"occurred", now},    {"item", item},
        {"gtin", "04912345678904"}, {"lot", item},        {"supplier", "acme"},
        {"quantity", "500"},       {"uom", "mL"},        {"expiry", "2031-01-01T00:00:00Z"},
        {"coa_hash", "coa-1"},     {"origin", "animal"}, {"required_tests", "sterility"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (ledger_event_set(ev, fields[i][0], fields[i][1], &err) != LEDGER_OK)
            return failed("event");
    return 0;
}

static int make_batch(const struct ledger_profile *profile, struct ledger_key *key, const char *item, struct ledger_batch **out)
{
    struct ledger_event *ev = NULL;
    int bad = 0;
    if (ledger_event_new("MATERIAL_RECEIVED", &ev, &err) != LEDGER_OK ||
        ledger_batch_new(ledger_profile_origin(profile), out, &err) != LEDGER_OK)
        bad = failed("event");
    if (!bad)
        bad = fill(ev, item);
    if (!bad && (ledger_batch_add_event(*out, ev, &err) != LEDGER_OK ||
                 ledger_batch_sign(*out, key, "authorship", NULL, &err) != LEDGER_OK))
        bad = failed("batch");
    ledger_event_free(ev);
    return bad;
}

static int keep_receipt(struct ledger_client *client, const uint8_t *event_id, const char *path)
{
    uint8_t *bytes;
    size_t n;
    if (ledger_receipt(client, event_id, 0, &bytes, &n, &err) != LEDGER_OK)
        return failed("receipt");
    FILE *f = fopen(path, "wb");
    int bad = !f || fwrite(bytes, 1, n, f) != n;
    if (f && fclose(f) != 0)
        bad = 1;
    if (bad)
        perror(path);
    ledger_free(bytes);
    return bad;
}

static int submit(struct ledger_client *client, struct ledger_batch *batch, const char *path)
{
    struct ledger_submission *s;
    struct ledger_result r;
    int bad = 1;
    if (ledger_submit(client, batch, 0, 0, &s, &err) != LEDGER_OK) {
        failed("submit");
        puts(s && ledger_submission_recorded(s) == LEDGER_RECORDED_UNKNOWN ? "Whether it was recorded is not known."
                                                                           : "Nothing was recorded.");
    } else if (ledger_submission_result(s, 0, &r) && r.outcome == LEDGER_REFUSED) {
        printf("refused: %s (%s, field %s): %s\n", r.code, r.subject, r.field, r.text);
    } else {
        printf("recorded as entry %llu\n", (unsigned long long)r.index);
        bad = keep_receipt(client, r.event_id, path);
    }
    ledger_submission_free(s);
    return bad;
}

int main(int argc, char **argv)
{
    struct ledger_profile *profile = NULL;
    struct ledger_key *key = NULL;
    struct ledger_batch *batch = NULL;
    struct ledger_client *client = NULL;
    int bad = 1;
    if (argc != 5) {
        fprintf(stderr, "usage: submit PROFILE KEY-FILE ITEM RECEIPT-FILE\n");
        return 2;
    }
    if (ledger_profile_open(argv[1], NULL, &profile, &err) != LEDGER_OK)
        failed("profile");
    else if (ledger_key_load(argv[2], &key, &err) != LEDGER_OK)
        failed("key");
    else if (ledger_client_open(profile, NULL, &client, &err) != LEDGER_OK)
        failed("client");
    else if (!make_batch(profile, key, argv[3], &batch))
        bad = submit(client, batch, argv[4]);
    ledger_client_close(client);
    ledger_batch_free(batch);
    ledger_key_free(key);
    ledger_profile_close(profile);
    return bad;
}
