/* SPDX-License-Identifier: Apache-2.0 */
/* shapes: see shapes.h. */
#include "shapes.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "event_value.h"
#include "line.h"
#include "raw_client.h"

#define TEXT_BYTES 2048
#define LINE_BYTES 16384

void shape_ago(unsigned seconds, char out[TIME_TEXT_MAX])
{
    out[time_format((int64_t)(time(NULL) - (time_t)seconds) * 1000000, out)] = 0;
}

static void parse(struct arena *a, const char *text, int n, struct event *out)
{
    struct ledger_err err;
    struct line line;
    struct span copy = arena_copy(a, span_of(text, (size_t)n)); /* the event borrows from it */
    if (!copy.p)
        raw_die("out of memory");
    raw_must(line_parse(a, copy, &line, &err), &err, "event");
    *out = line.event;
}

void shape_line(struct arena *a, const char *kind, const char *fields, struct event *out)
{
    char text[LINE_BYTES], when[TIME_TEXT_MAX];
    shape_ago(3600, when);
    int n = snprintf(text, sizeof text, "{\"id\":\"x\",\"kind\":\"%s\",\"occurred\":\"%s\",\"fields\":%s}", kind, when, fields);
    if (n >= (int)sizeof text)
        raw_die("an event of %d bytes", n);
    parse(a, text, n, out);
}

void shape_step(struct arena *a, const char *item, struct event *out)
{
    char text[TEXT_BYTES], when[TIME_TEXT_MAX];
    shape_ago(3600, when);
    int n = snprintf(text, sizeof text,
                     "{\"id\":\"x\",\"kind\":\"PROCESS_STEP\",\"occurred\":\"%s\",\"fields\":{\"item\":\"%s\",\"step\":"
                     "\"expansion, medium exchange\",\"sop\":\"SOP-CPC-0231 rev 7\","
                     "\"equipment\":\"bioreactor BR-04, pump P-11, incubator INC-02\",\"params\":{\"temperature_c\":37.0,\"co2_pct\":5.1,"
                     "\"o2_pct\":18.6,\"ph\":7.24,\"glucose_mmol_l\":9.8,\"lactate_mmol_l\":6.41,\"medium_ml\":480,\"cells_e6\":2140.5,"
                     "\"viability_pct\":96.2,\"agitation_rpm\":15,\"operator_note\":\"no visible aggregates, colour normal\"},"
                     "\"duration_min\":42.5,\"verifier\":\"op-00@cpc.example\",\"room\":\"clean room B-2\",\"bsc_particles\":12}}",
                     when, item);
    parse(a, text, n, out);
}

void shape_lot(struct arena *a, const char *item, struct event *out)
{
    char text[TEXT_BYTES], when[TIME_TEXT_MAX];
    shape_ago(2 * 3600, when);
    int n = snprintf(text, sizeof text,
                     "{\"id\":\"x\",\"kind\":\"LOT_CREATED\",\"occurred\":\"%s\",\"fields\":{\"item\":\"%s\",\"lot_class\":\"BATCH\","
                     "\"product_code\":\"PC-BENCH\",\"lot\":\"%s\",\"use\":\"ALLOGENEIC\",\"required_tests\":[\"viability\",\"sterility\"],"
                     "\"spec_version\":\"SPEC-1\",\"uom\":\"mL\"}}",
                     when, item, item);
    parse(a, text, n, out);
}

struct span shape_registration(struct arena *a, const char *origin, struct ledger_key *key, const char *role)
{
    struct ledger_err err;
    struct event ev;
    char text[TEXT_BYTES], when[TIME_TEXT_MAX], party[ID_MAX + 32];
    uint8_t proof[64];
    shape_ago(3 * 3600, when);
    int n = snprintf(text, sizeof text,
                     "{\"id\":\"x\",\"kind\":\"PARTY_REGISTERED\",\"occurred\":\"%s\",\"fields\":{\"action\":\"REGISTER\",\"party\":\"%s\","
                     "\"roles\":[\"%s\"],\"org\":\"gs1:414/9521234000013\",\"pubkey\":\"%s\"}}",
                     when, ledger_key_party(key), role, ledger_key_public(key));
    parse(a, text, n, &ev);
    raw_must(ledger_key_prove(key, origin, proof, &err), &err, "proof of possession");
    ev.key_proof = span_of(proof, sizeof proof);
    snprintf(party, sizeof party, "register %s", ledger_key_party(key));
    return shape_encode(a, &ev, party, 0);
}

struct span shape_encode(struct arena *a, struct event *ev, const char *prefix, uint64_t number)
{
    uint8_t nonce[NONCE_LEN] = {0};
    char reference[96];
    int n = snprintf(reference, sizeof reference, "%s-%llu", prefix, (unsigned long long)number);
    memcpy(nonce, &number, sizeof number);
    ev->nonce = span_of(nonce, sizeof nonce);
    ev->reference = span_of(reference, (size_t)n);
    struct span bytes = event_encode(a, ev);
    if (!bytes.p)
        raw_die("out of memory for events");
    ev->nonce = ev->reference = SPAN_NONE;
    return bytes;
}

void shape_set(struct event *ev, const char *field, struct span text)
{
    const struct field_def *def = kind_field(ev->kind, span_str(field));
    if (!def)
        raw_die("the kind has no field %s", field);
    value_from_text(NULL, def->type, def->names, text, &ev->fields[def - ev->kind->fields]);
}
