/* SPDX-License-Identifier: Apache-2.0 */
/* test_line: events as JSON lines and from command lines: what becomes of each value, and that
 * nothing is lost. */
#include "check.h"
#include "event_gen.h"
#include "line.h"

#include <ledgerd/event.h>

static struct arena *arena;

static void setup(void)
{
    arena = arena_new((size_t)16 << 20);
    CHECK(arena);
}

static struct line parse(const char *text)
{
    struct line line;
    struct ledger_err err = {0};
    if (line_parse(arena, span_str(text), &line, &err) != LEDGER_OK)
        fprintf(stderr, "%s: %s\n", text, err.msg);
    CHECK_EQ_INT(err.rc, LEDGER_OK);
    return line;
}

static void check_error(const char *text, const char *message)
{
    struct line line;
    struct ledger_err err = {0};
    CHECK_EQ_INT(line_parse(arena, span_str(text), &line, &err), LEDGER_EINVAL);
    if (!strstr(err.msg, message))
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", err.msg, message);
    CHECK(strstr(err.msg, message));
}

static void check_form(const struct event *ev, enum refusal_code code, const char *field,
                       const char *text)
{
    struct refusal why = {0};
    bool fits = event_check_form(ev, &why);
    if (why.code != code || strcmp(why.field, field) != 0 || !strstr(why.text, text))
        fprintf(stderr, "%s %s: %s\n", refusal_name(why.code), why.field, why.text);
    CHECK(fits == (code == REFUSE_NONE));
    CHECK_EQ_INT(why.code, code);
    CHECK_EQ_STR(why.field, field);
    CHECK(strstr(why.text, text));
}

/* A line of that kind with those fields. */
static void check_fields(const char *kind, const char *fields, enum refusal_code code,
                         const char *field, const char *text)
{
    char json[8192];
    snprintf(json, sizeof json,
             "{\"id\":\"x\",\"kind\":\"%s\",\"occurred\":\"2026-04-06T09:00:00Z\",\"fields\":{%s}}",
             kind, fields);
    struct line line = parse(json);
    check_form(&line.event, code, field, text);
}

TEST(a_whole_line)
{
    setup();
    struct line line = parse("{\"id\": \"a-1\", \"kind\": \"STORAGE_MOVED\", \"occurred\": "
                             "\"2026-04-06T09:00:00+09:00\","
                             " \"recorded\": \"2026-04-06T09:01:00+09:00\","
                             " \"signers\": [{\"party\": \"u.wh\", \"meaning\": \"authorship\"}, "
                             "{\"party\": \"u.qa\"}, {\"meaning\": \"\"}],"
                             " \"fields\": {\"item\": \"BAG-1\", \"location\": \"LN2\", "
                             "\"temperature_c\": -196.0}, \"expect\": \"E_ROLE\"}");
    CHECK(span_eq(line.id, SPAN_LIT("a-1")) && span_eq(line.event.reference, line.id));
    CHECK(span_eq(line.kind_name, SPAN_LIT("STORAGE_MOVED")));
    CHECK_EQ_INT(line.event.kind->kind, KIND_STORAGE_MOVED);
    CHECK(line.has_recorded && line.recorded_us == line.event.occurred.time_us + 60000000);
    CHECK(span_eq(line.recorded, SPAN_LIT("2026-04-06T09:01:00+09:00")));
    CHECK_EQ_INT(line.n_signers, 3);
    CHECK(span_eq(line.signers[0].party, SPAN_LIT("u.wh")) &&
          span_eq(line.signers[0].meaning, SPAN_LIT("authorship")));
    CHECK(line.signers[1].party.p && !line.signers[1].meaning.p);
    CHECK(!line.signers[2].party.p && !line.signers[2].meaning.p);
    CHECK(span_eq(line.expect, SPAN_LIT("E_ROLE")));
    const struct value *t = event_get(&line.event, FIELD_TEMPERATURE_C);
    CHECK(t && t->num == -196 * DEC_ONE && span_eq(t->raw, SPAN_LIT("-196")));
    check_form(&line.event, REFUSE_NONE, "", "");
}

TEST(little_is_needed_and_the_rules_say_the_rest)
{
    setup();
    struct line line = parse("{}");
    CHECK(!line.id.p && !line.event.kind && !line.has_recorded && !line.expect.p &&
          line.n_signers == 0);
    check_form(&line.event, E_UNKNOWN_KIND, "kind", "");
    line = parse("{\"kind\":\"LOT_SPLITS\",\"fields\":{\"a\":1}}");
    CHECK(span_eq(line.kind_name, SPAN_LIT("LOT_SPLITS")) && !line.event.kind);
    line = parse("{\"kind\":7}");
    CHECK(!line.kind_name.p && !line.event.kind);
    line = parse("{\"kind\":\"LOT_SPLIT\"}");
    check_form(&line.event, E_MISSING_FIELD, "item", "item is missing");
    line = parse("{\"kind\":\"LOT_SPLIT\",\"fields\":null}");
    check_form(&line.event, E_MISSING_FIELD, "item", "item is missing");
    line = parse("{\"kind\":\"STORAGE_MOVED\",\"fields\":{\"item\":\"x\",\"location\":\"y\"}}");
    check_form(&line.event, E_BAD_VALUE, "occurred", "must be a time");
    line = parse("{\"kind\":\"STORAGE_MOVED\",\"occurred\":\"\",\"fields\":{\"item\":\"x\","
                 "\"location\":\"y\"}}");
    check_form(&line.event, E_BAD_VALUE, "occurred", "must be a time");
    line = parse("{\"kind\":\"STORAGE_MOVED\",\"occurred\":5,\"fields\":{\"item\":\"x\","
                 "\"location\":\"y\"}}");
    check_form(&line.event, E_BAD_VALUE, "occurred", "a number is not a time");
}

TEST(what_is_no_line)
{
    setup();
    check_error("[]", "an event is an object");
    check_error("{\"id\":5}", "id: not a text");
    check_error("{\"fields\":[]", "line 1");
    check_error("{\"kind\":\"LOT_SPLIT\",\"fields\":[]}", "fields: not an object");
    check_error("{\"signers\":{}}", "signers: not a list");
    check_error("{\"signers\":[\"u.qa\"]}", "signers[0]");
    check_error("{\"recorded\":\"2026-02-30T00:00:00Z\"}", "is not a date");
    check_error("{\"id\":\"\\ud800\"}", "id: not a text");
    check_error("{\"nonce\":\"00\"}", "nonce");
    check_error("{\"key_proof\":\"a\"}", "key_proof");
    check_error("{\"foreign\":{\"origin\":\"o\"}}", "foreign");
}

#define ITEM "\"item\":\"x\",\"location\":\"y\""

TEST(values_that_are_none)
{
    setup();
    check_fields("STORAGE_MOVED", "\"item\":\"x y\",\"location\":\"y\"", E_BAD_VALUE, "item",
                 "\"x y\" is not an id");
    check_fields("STORAGE_MOVED", "\"item\":\"\",\"location\":\"y\"", E_MISSING_FIELD, "item", "");
    check_fields("STORAGE_MOVED", "\"item\":[],\"location\":\"y\"", E_MISSING_FIELD, "item", "");
    check_fields("STORAGE_MOVED", "\"item\":false,\"location\":\"y\"", E_BAD_VALUE, "item",
                 "true or false is not an id");
    check_fields("STORAGE_MOVED", "\"item\":{},\"location\":\"y\"", E_BAD_VALUE, "item",
                 "an object is not an id");
    check_fields("STORAGE_MOVED", "\"item\":\"x\",\"location\":\"a\\nb\"", E_BAD_VALUE, "location",
                 "control characters");
    check_fields("STORAGE_MOVED", "\"item\":\"x\",\"location\":\"a\\u0000b\"", E_BAD_VALUE,
                 "location", "");
    check_fields("STORAGE_MOVED", "\"item\":\"x\",\"location\":\"\\ud800\"", E_BAD_VALUE,
                 "location", "half a surrogate pair");
    check_fields("STORAGE_MOVED", ITEM ",\"temperature_c\":1e999", E_BAD_VALUE, "temperature_c",
                 "1e999 is 10^15 or larger");
    check_fields("STORAGE_MOVED", ITEM ",\"temperature_c\":1e-10", E_BAD_VALUE, "temperature_c",
                 "more than 9 decimals");
    check_fields("STORAGE_MOVED", ITEM ",\"temperature_c\":\"4\"", E_BAD_VALUE, "temperature_c",
                 "a text is not a number");
    check_fields("STORAGE_MOVED", ITEM ",\"temperature_c\":[]", REFUSE_NONE, "", "");
    check_fields("STORAGE_MOVED", ITEM ",\"temperature_c\":null", REFUSE_NONE, "", "");
    check_fields("STORAGE_MOVED", ITEM ",\"temperature_c\":-0.0e5", REFUSE_NONE, "", "");
    check_fields("STORAGE_MOVED", ITEM ",\"colour\":null", E_BAD_VALUE, "colour", "has no field");
    check_fields("STORAGE_MOVED", "\"item\":\"x\",\"colour\":null", E_MISSING_FIELD, "location",
                 "");
    check_fields("PARTY_REGISTERED",
                 "\"action\":\"FIRE\",\"party\":\"p\",\"roles\":[\"QA\"],\"org\":\"o\"",
                 E_BAD_VALUE, "action", "FIRE is not one of REGISTER, AMEND, ROTATE_KEY, REVOKE");
    check_fields("PARTY_REGISTERED",
                 "\"action\":\"AMEND\",\"party\":\"p\",\"roles\":[\"QA\",\"\"],\"org\":\"o\"",
                 E_BAD_VALUE, "roles[1]", "");
    check_fields("PARTY_REGISTERED",
                 "\"action\":\"AMEND\",\"party\":\"p\",\"roles\":\"QA\",\"org\":\"o\"", E_BAD_VALUE,
                 "roles", "a text is not a list");
    check_fields("PARTY_REGISTERED",
                 "\"action\":\"AMEND\",\"party\":\"p\",\"roles\":[\"QA\"],\"org\":\"o\",\"valid_"
                 "from\":\"2026-02-30T00:00:00Z\"",
                 E_BAD_VALUE, "valid_from", "2026-02-30T00:00:00Z is not a date");
    check_fields("LOT_CREATED",
                 "\"item\":\"x\",\"lot_class\":\"BATCH\",\"product_code\":\"p\",\"lot\":\"l\","
                 "\"use\":\"AUTOLOGOUS\","
                 "\"required_tests\":[\"a\",\"\"],\"spec_version\":\"1\"",
                 E_BAD_VALUE, "required_tests[1]", "");
    check_fields("LOT_CREATED",
                 "\"item\":\"x\",\"lot_class\":\"BATCH\",\"product_code\":\"p\",\"lot\":\"l\","
                 "\"use\":\"AUTOLOGOUS\","
                 "\"required_tests\":[\"a\"],\"spec_version\":\"1\",\"gmo\":0",
                 E_BAD_VALUE, "gmo", "a number is not true or false");
}

#define GRADE(g)                                                                                   \
    "\"item\":\"x\",\"coi\":\"c\",\"event_code\":\"e\",\"grade\":" g                               \
    ",\"onset\":\"2026-04-06T09:00:00Z\",\"seriousness\":\"s\""

TEST(ints_are_written_as_such)
{
    setup();
    check_fields("ADVERSE_EVENT_REPORTED", GRADE("3"), REFUSE_NONE, "", "");
    check_fields("ADVERSE_EVENT_REPORTED", GRADE("-3"), REFUSE_NONE, "", "");
    check_fields("ADVERSE_EVENT_REPORTED", GRADE("0"), REFUSE_NONE, "", "");
    check_fields("ADVERSE_EVENT_REPORTED", GRADE("3.0"), E_BAD_VALUE, "grade",
                 "3.0 is not written as a whole number");
    check_fields("ADVERSE_EVENT_REPORTED", GRADE("3e0"), E_BAD_VALUE, "grade", "");
    check_fields("ADVERSE_EVENT_REPORTED", GRADE("1000000000000000"), E_BAD_VALUE, "grade", "");
}

#define SPLIT(units) "\"item\":\"x\",\"units\":[" units "]"

TEST(records_and_their_order)
{
    setup();
    check_fields("LOT_SPLIT", SPLIT("{\"item\":\"u\",\"quantity\":1}"), REFUSE_NONE, "", "");
    check_fields(
        "LOT_SPLIT",
        SPLIT("{\"item\":\"u\",\"quantity\":0,\"gtin\":\"\",\"serial\":null,\"sgtin\":[]}"),
        REFUSE_NONE, "", "");
    check_fields("LOT_SPLIT", SPLIT(""), E_MISSING_FIELD, "units", "");
    check_fields("LOT_SPLIT", SPLIT("{}"), E_MISSING_FIELD, "units[0].item", "");
    check_fields("LOT_SPLIT", SPLIT("{\"item\":\"u\",\"quantity\":null}"), E_MISSING_FIELD,
                 "units[0].quantity", "");
    check_fields("LOT_SPLIT", SPLIT("{\"item\":\"u v\",\"quantity\":\"\",\"x\":1}"),
                 E_MISSING_FIELD, "units[0].quantity", "");
    check_fields("LOT_SPLIT", SPLIT("{\"item\":\"u v\",\"quantity\":1,\"x\":null}"), E_BAD_VALUE,
                 "units[0].x", "no member");
    check_fields("LOT_SPLIT", SPLIT("{\"item\":\"u v\",\"quantity\":1},{}"), E_BAD_VALUE,
                 "units[0].item", "");
    check_fields("LOT_SPLIT", SPLIT("{\"item\":\"u\",\"quantity\":1},{\"item\":\"u\"}"),
                 E_MISSING_FIELD, "units[1].quantity", "");
    check_fields("LOT_SPLIT", SPLIT("\"u\""), E_BAD_VALUE, "units[0]",
                 "a text is not a record of units");
    check_fields("LOT_SPLIT", SPLIT("null"), E_BAD_VALUE, "units[0]", "");
    check_fields("SPECIFICATION_SET",
                 "\"product_code\":\"p\",\"version\":\"1\",\"tests\":[{\"test\":\"t\",\"unit\":"
                 "\"u\",\"required\":false}]",
                 REFUSE_NONE, "", "");
    check_fields("SPECIFICATION_SET",
                 "\"product_code\":\"p\",\"version\":\"1\",\"tests\":[{\"test\":\"t\",\"unit\":"
                 "\"u\",\"required\":[]}]",
                 E_MISSING_FIELD, "tests[0].required", "");
}

#define STEP(params)                                                                               \
    "\"item\":\"x\",\"step\":\"s\",\"sop\":\"p\",\"equipment\":\"e\",\"params\":" params

TEST(maps)
{
    setup();
    check_fields("PROCESS_STEP", STEP("{}"), REFUSE_NONE, "", "");
    check_fields("PROCESS_STEP", STEP("[]"), REFUSE_NONE, "", "");
    check_fields("PROCESS_STEP", STEP("{\"b\":1,\"a\":\"x\"}"), REFUSE_NONE, "", "");
    check_fields("PROCESS_STEP", STEP("{\"b\":\"\"}"), E_BAD_VALUE, "params.b", "");
    check_fields("PROCESS_STEP", STEP("{\"b\":null}"), E_BAD_VALUE, "params.b",
                 "null is not a number or a text");
    check_fields("PROCESS_STEP", STEP("{\"b\":true}"), E_BAD_VALUE, "params.b", "");
    check_fields("PROCESS_STEP", STEP("{\"\":1}"), E_BAD_VALUE, "params", "");
    check_fields("PROCESS_STEP", STEP("{\"b\":\"\\udc00\"}"), E_BAD_VALUE, "params.b",
                 "half a surrogate pair");
    char text[4000] = "{";
    for (int i = 0; i < MAP_MAX + 1; i++)
        snprintf(text + strlen(text), 20, "%s\"n%02d\":true", i ? "," : "", i);
    strcat(text, "}");
    char fields[4100];
    snprintf(fields, sizeof fields, STEP("%s"), text);
    check_fields("PROCESS_STEP", fields, E_BAD_VALUE, "params", "a map of 65 names; at most 64");
}

TEST(lists_have_at_most_400_members)
{
    setup();
    char text[4000] = "";
    for (int n = 0; n <= LIST_MAX; n++)
        strcat(text, n ? ",1" : "1");
    char fields[4090], json[4096 + 200];
    snprintf(fields, sizeof fields,
             "\"shipment\":\"s\",\"items\":[%s],\"seal_intact\":true,\"container_condition\":\"c\"",
             text);
    snprintf(json, sizeof json,
             "{\"id\":\"x\",\"kind\":\"SHIPMENT_RECEIVED\",\"occurred\":\"2026-04-06T09:00:00Z\","
             "\"fields\":{%s}}",
             fields);
    struct line line = parse(json);
    check_form(&line.event, E_BAD_VALUE, "items", "a list of 401 members; at most 400");
}

static const struct value *change_of(const char *old_json, const char *member)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"id\":\"x\",\"kind\":\"EVENT_CORRECTED\",\"occurred\":\"2026-04-06T09:00:00Z\","
             "\"fields\":{\"target_event\":\"t\","
             "\"reason\":\"r\",\"changes\":[{\"field\":\"f\",\"old\":%s,\"new\":1}]}}",
             old_json);
    struct line line = parse(json);
    check_form(&line.event, REFUSE_NONE, "", "");
    const struct value *list = event_get(&line.event, FIELD_CHANGES);
    return record_get(kind_field_at(line.event.kind, FIELD_CHANGES), &list->items[0], member);
}

static void check_any(const char *json, enum value_type type, const char *raw)
{
    const struct value *v = change_of(json, "old");
    CHECK(v);
    CHECK_EQ_INT(v->type, type);
    if (raw)
        CHECK_EQ_STR(arena_strdup(arena, v->raw), raw);
}

TEST(any_takes_anything)
{
    setup();
    check_any("null", VALUE_NULL, NULL);
    check_any("\"\"", VALUE_TEXT, "");
    check_any("\"a\"", VALUE_TEXT, "a");
    check_any("40", VALUE_INT, "40");
    check_any("40.0", VALUE_DECIMAL, "40");
    check_any("40.50", VALUE_DECIMAL, "40.5");
    check_any("1e999", VALUE_OTHER, "1e999");
    check_any("true", VALUE_OTHER, "true");
    check_any("[]", VALUE_OTHER, "[]");
    check_any("[1, \"a\", {\"b\": null}]", VALUE_OTHER, "[1,\"a\",{\"b\":null}]");
    check_any("{}", VALUE_MAP, NULL);
    check_any("{\"a\":1}", VALUE_MAP, NULL);
    check_any("{\"a\":true}", VALUE_OTHER, "{\"a\":true}");
    check_any("\"a\\nb\"", VALUE_OTHER, "\"a\\nb\"");
    check_any("\"\\ud800\"", VALUE_OTHER, "\"\\ud800\"");
    check_fields(
        "EVENT_CORRECTED",
        "\"target_event\":\"t\",\"reason\":\"r\",\"changes\":[{\"field\":\"f\",\"new\":1}]",
        E_MISSING_FIELD, "changes[0].old", "");
}

/* ---- nothing is lost ---- */

static void check_round_trip(struct crypto *c, const struct event *ev, bool pretty)
{
    struct json_writer w;
    struct line line;
    struct ledger_err err = {0};
    struct event back;
    struct refusal why = {0};
    struct span bytes = event_encode(arena, ev);
    CHECK_EQ_INT(event_decode(c, arena, bytes, &back, &why, &err), LEDGER_OK);
    json_writer_init(&w, arena, pretty);
    event_to_json(arena, &w, &back);
    struct span text = json_written(&w);
    CHECK(text.p);
    if (line_parse(arena, text, &line, &err) != LEDGER_OK)
        fprintf(stderr, "%.*s\n%s\n", SPAN_FMT(text), err.msg);
    CHECK_EQ_INT(err.rc, LEDGER_OK);
    check_form(&line.event, REFUSE_NONE, "", "");
    if (!span_eq(event_encode(arena, &line.event), bytes))
        fprintf(stderr, "%.*s\n", SPAN_FMT(text));
    CHECK(span_eq(event_encode(arena, &line.event), bytes));
}

TEST(event_to_json_and_back)
{
    setup();
    struct crypto *c = crypto_new();
    for (unsigned kind = EVENT_KIND_FIRST; kind <= EVENT_KIND_LAST; kind++) {
        for (uint64_t seed = 0; seed < 100; seed++) {
            struct gen g = {.state = seed * 31 + kind, .a = arena};
            struct event ev;
            gen_event(&g, kind_find(kind), &ev);
            check_round_trip(c, &ev, seed % 2);
            arena_reset(arena);
        }
    }
    crypto_free(c);
}

/* A text that came as JSON text but is none is shown as a text. */
TEST(other_that_is_no_json)
{
    setup();
    struct event ev;
    struct json_writer w;
    struct gen g = {.state = 1, .a = arena};
    gen_event(&g, kind_find(KIND_EVENT_CORRECTED), &ev);
    struct value members[3] = {{.type = VALUE_TEXT, .raw = SPAN_LIT("f")},
                               {.type = VALUE_OTHER, .raw = SPAN_LIT("[1,")},
                               {.type = VALUE_NULL}};
    struct value record = {.type = VALUE_RECORD, .n = 3, .items = members};
    memset(ev.fields, 0, sizeof ev.fields);
    ev.fields[2] = (struct value){.type = VALUE_LIST, .n = 1, .items = &record};
    json_writer_init(&w, arena, false);
    event_fields_to_json(arena, &w, &ev);
    CHECK_EQ_STR(arena_strdup(arena, json_written(&w)),
                 "{\"changes\":[{\"field\":\"f\",\"old\":\"[1,\",\"new\":null}]}");
    /* As deep as a document may be, inside another document. */
    char deep[2 * JSON_DEPTH_MAX + 1];
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    members[1].raw = span_of(deep, 2 * JSON_DEPTH_MAX);
    json_writer_init(&w, arena, true);
    event_fields_to_json(arena, &w, &ev);
    CHECK(json_written(&w).p);
}

/* ---- command lines ---- */

static struct event of_kind(const char *name)
{
    struct event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = kind_by_name(span_str(name));
    ev.reference = SPAN_LIT("x");
    value_from_text(arena, TYPE_TIME, NULL, SPAN_LIT("2026-04-06T09:00:00Z"), &ev.occurred);
    CHECK(ev.kind);
    return ev;
}

static void set(struct event *ev, const char *assignment)
{
    struct ledger_err err = {0};
    if (line_set_field(arena, ev, assignment, &err) != LEDGER_OK)
        fprintf(stderr, "%s: %s\n", assignment, err.msg);
    CHECK_EQ_INT(err.rc, LEDGER_OK);
}

static void check_json(const struct event *ev, const char *fields)
{
    struct json_writer w;
    json_writer_init(&w, arena, false);
    event_fields_to_json(arena, &w, ev);
    CHECK_EQ_STR(arena_strdup(arena, json_written(&w)), fields);
}

TEST(fields_from_a_command_line)
{
    setup();
    struct event ev = of_kind("PARTY_REGISTERED");
    set(&ev, "action=REGISTER");
    set(&ev, "party=u.qa");
    set(&ev, "roles=QA,QP");
    set(&ev, "org=CPC");
    set(&ev, "pubkey=ed25519:a==");
    check_form(&ev, REFUSE_NONE, "", "");
    check_json(&ev, "{\"action\":\"REGISTER\",\"party\":\"u.qa\",\"roles\":[\"QA\",\"QP\"],\"org\":"
                    "\"CPC\",\"pubkey\":\"ed25519:a==\"}");

    ev = of_kind("PROCESS_STEP");
    set(&ev, "item=B");
    set(&ev, "step=a, b"); /* a text is taken as it is */
    set(&ev, "sop=[1]");
    set(&ev, "equipment=5");
    set(&ev, "params=temp=37.0,by=é=x");
    set(&ev, "duration_min=1e1");
    check_form(&ev, REFUSE_NONE, "", "");
    check_json(&ev,
               "{\"item\":\"B\",\"step\":\"a, "
               "b\",\"sop\":\"[1]\",\"equipment\":\"5\",\"params\":{\"by\":\"é=x\",\"temp\":37},"
               "\"duration_min\":10}");
    ev = of_kind("PROCESS_STEP");
    set(&ev, "params={\"a\":\"5\"}");
    check_json(&ev, "{\"params\":{\"a\":\"5\"}}");

    ev = of_kind("LOT_SPLIT");
    set(&ev, "item=B");
    set(&ev, "units={\"item\":\"u\",\"quantity\":1}");
    check_json(&ev, "{\"item\":\"B\",\"units\":[{\"item\":\"u\",\"quantity\":1}]}");
    check_form(&ev, REFUSE_NONE, "", "");
    ev = of_kind("QC_RESULT");
    set(&ev, "value=negative");
    set(&ev, "low=-1.5");
    check_json(&ev, "{\"value\":\"negative\",\"low\":-1.5}");
    ev = of_kind("QC_RESULT");
    set(&ev, "value=95.50");
    check_json(&ev, "{\"value\":95.5}");
    ev = of_kind("LOT_CREATED");
    set(&ev, "storage_c=-196,-150");
    set(&ev, "required_tests=[\"a,b\"]");
    set(&ev, "gmo=true");
    check_json(&ev, "{\"required_tests\":[\"a,b\"],\"gmo\":true,\"storage_c\":[-196,-150]}");
}

TEST(bad_command_lines)
{
    setup();
    struct ledger_err err;
    struct event ev = of_kind("LOT_SPLIT");
    CHECK_EQ_INT(line_set_field(arena, &ev, "item", &err), LEDGER_EINVAL);
    CHECK_EQ_INT(line_set_field(arena, &ev, "colour=1", &err), LEDGER_EINVAL);
    CHECK_EQ_INT(line_set_field(arena, &ev, "=1", &err), LEDGER_EINVAL);
    CHECK_EQ_INT(line_set_field(arena, &ev, "units=[{", &err), LEDGER_EINVAL);
    set(&ev, "item=");
    CHECK_EQ_INT(line_set_field(arena, &ev, "item=a", &err), LEDGER_EINVAL);
    check_form(&ev, E_MISSING_FIELD, "item", "");
    ev = of_kind("STORAGE_MOVED");
    set(&ev, "item=a b");
    set(&ev, "location=\xff");
    set(&ev, "temperature_c=warm");
    check_form(&ev, E_BAD_VALUE, "item", "");
    ev.fields[0] = (struct value){.type = VALUE_TEXT, .raw = SPAN_LIT("a")};
    check_form(&ev, E_BAD_VALUE, "location", "not UTF-8");
    ev.fields[1] = ev.fields[0];
    check_form(&ev, E_BAD_VALUE, "temperature_c", "warm is not a number");
    ev = of_kind("PROCESS_STEP");
    set(&ev, "item=a");
    set(&ev, "step=a");
    set(&ev, "sop=a");
    set(&ev, "equipment=a");
    set(&ev, "params=a=1,a=2");
    check_form(&ev, E_BAD_VALUE, "params.a", "must ascend");
    ev.fields[4] = (struct value){0};
    set(&ev, "params=a");
    check_form(&ev, E_BAD_VALUE, "params", "a name in params");
}

/* ---- the shared scenarios ---- */

static void check_scenario_line(struct crypto *c, const char *text)
{
    static const uint8_t nonce[NONCE_LEN] = {1};
    struct line line;
    struct ledger_err err = {0};
    struct refusal why = {0};
    if (line_parse(arena, span_str(text), &line, &err) != LEDGER_OK)
        fprintf(stderr, "%s\n%s\n", text, err.msg);
    CHECK_EQ_INT(err.rc, LEDGER_OK);
    CHECK(line.id.p && line.kind_name.p && line.has_recorded && line.expect.p);
    /* What the form check refuses is expected to be refused so; everything else has a form. */
    if (!event_check_form(&line.event, &why)) {
        if (!span_eq(line.expect, span_str(refusal_name(why.code))))
            fprintf(stderr, "%s\n%s %s\n", text, refusal_name(why.code), why.text);
        CHECK(span_eq(line.expect, span_str(refusal_name(why.code))));
        return;
    }
    CHECK(!span_eq(line.expect, SPAN_LIT("E_UNKNOWN_KIND")));
    line.event.nonce = span_of(nonce, sizeof nonce);
    check_round_trip(c, &line.event, false);
}

TEST(scenarios)
{
    static const char *const files[] = {"scenarios/a_cart.jsonl", "scenarios/b_ipsc.jsonl",
                                        "scenarios/e_edges.jsonl"};
    static char text[65536];
    struct crypto *c = crypto_new();
    unsigned lines = 0;
    setup();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = check_shared(files[i]);
        if (!path)
            CHECK_SKIP("no shared folder");
        FILE *f = fopen(path, "r");
        CHECK(f);
        for (; fgets(text, sizeof text, f); lines++) {
            text[strcspn(text, "\n")] = '\0';
            check_scenario_line(c, text);
            arena_reset(arena);
        }
        fclose(f);
    }
    CHECK(lines > 100);
    crypto_free(c);
}

TEST(memory_has_a_budget)
{
    struct line line;
    struct ledger_err err;
    struct span text = SPAN_LIT("{\"id\":\"x\",\"kind\":\"LOT_SPLIT\",\"signers\":[{\"party\":"
                                "\"p\"}],\"occurred\":\"2026-13-01T00:00:00Z\","
                                "\"fields\":{\"item\":\"x\",\"units\":[{\"item\":\"u\","
                                "\"quantity\":1.50}],\"label_version\":\"\\ud800\"}}");
    enum ledger_rc rc = LEDGER_ENOMEM;
    for (size_t budget = 0; budget < 16000; budget += 16) {
        struct arena *small = arena_new(budget);
        rc = line_parse(small, text, &line, &err);
        CHECK(rc == LEDGER_ENOMEM || rc == LEDGER_OK);
        arena_free(small);
    }
    CHECK_EQ_INT(rc, LEDGER_OK);
}

/* A guess at an event's content must not be checkable: each event has a nonce of its own. */
TEST(the_same_said_twice_is_two_events)
{
    const uint8_t *bytes[2];
    size_t n[2];
    struct ledger_event *ev[2];
    for (int i = 0; i < 2; i++) {
        CHECK_EQ_INT(ledger_event_new("STORAGE_MOVED", &ev[i], NULL), LEDGER_OK);
        CHECK_EQ_INT(ledger_event_set(ev[i], "reference", "r", NULL), LEDGER_OK);
        CHECK_EQ_INT(ledger_event_set(ev[i], "occurred", "2026-04-06T09:00:00Z", NULL), LEDGER_OK);
        CHECK_EQ_INT(ledger_event_set(ev[i], "item", "I", NULL), LEDGER_OK);
        CHECK_EQ_INT(ledger_event_set(ev[i], "location", "F", NULL), LEDGER_OK);
        CHECK_EQ_INT(ledger_event_finish(ev[i], &bytes[i], &n[i], NULL), LEDGER_OK);
    }
    CHECK_EQ_INT(n[0], n[1]);
    CHECK(memcmp(bytes[0], bytes[1], n[0]) != 0);
    ledger_event_free(ev[0]);
    ledger_event_free(ev[1]);
}

TEST_MAIN(TEST_ENTRY(the_same_said_twice_is_two_events), TEST_ENTRY(a_whole_line), TEST_ENTRY(little_is_needed_and_the_rules_say_the_rest),
          TEST_ENTRY(what_is_no_line), TEST_ENTRY(values_that_are_none),
          TEST_ENTRY(ints_are_written_as_such), TEST_ENTRY(records_and_their_order),
          TEST_ENTRY(maps), TEST_ENTRY(lists_have_at_most_400_members),
          TEST_ENTRY(any_takes_anything), TEST_ENTRY(event_to_json_and_back),
          TEST_ENTRY(other_that_is_no_json), TEST_ENTRY(fields_from_a_command_line),
          TEST_ENTRY(bad_command_lines), TEST_ENTRY(scenarios), TEST_ENTRY(memory_has_a_budget))
