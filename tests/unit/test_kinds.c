/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kinds: the table against itself, against the protobuf schema, and against
 * model/event_kinds.json of the shared folder when that is there.
 */
#include "check.h"
#include "json.h"
#include "kinds.h"
#include "ledger_events.pb-c.h"

#define FOR_EACH_KIND(k)                                                                           \
    for (unsigned number = EVENT_KIND_FIRST; number <= EVENT_KIND_LAST; number++)                  \
        for (const struct kind_def *k = kind_find(number); k; k = NULL)

TEST(look_ups)
{
    CHECK(!kind_find(63) && !kind_find(89) && !kind_find(0));
    CHECK(!kind_by_name(SPAN_LIT("LOT_SPLI")) && !kind_by_name(SPAN_NONE));
    CHECK(kind_by_name(SPAN_LIT("LOT_SPLIT")) == kind_find(KIND_LOT_SPLIT));
    const struct kind_def *k = kind_find(KIND_ADMINISTERED);
    CHECK(kind_field(k, SPAN_LIT("dose")) == kind_field_at(k, FIELD_DOSE));
    CHECK(!kind_field(k, SPAN_LIT("Dose")) && !kind_field_at(k, FIELD_GLN) &&
          !kind_field_at(k, FIELD_NONE));
    CHECK_EQ_STR(role_name(ROLE_QP), "QP");
    CHECK_EQ_STR(role_name((enum role)0), "?");
    CHECK_EQ_STR(role_name((enum role)12), "?");
    CHECK_EQ_INT(role_by_name(SPAN_LIT("WAREHOUSE")), ROLE_WAREHOUSE);
    CHECK_EQ_INT(role_by_name(SPAN_LIT("QQ")), 0);
}

TEST(rows_are_consistent)
{
    static const char *const names[] = {"",
#define X(name, text) text,
                                        FIELD_LIST(X)
#undef X
    };
    FOR_EACH_KIND(k)
    {
        CHECK_EQ_INT(k->kind, number);
        CHECK(k->n_fields >= 1 && k->n_fields <= 20 && k->roles != 0);
        CHECK((k->signatures == 2) == (k->second_roles != 0));
        for (unsigned i = 0; i < k->n_fields; i++) {
            const struct field_def *f = &k->fields[i];
            CHECK_EQ_INT(f->number, i + 1);
            CHECK_EQ_STR(f->text, names[f->name]);
            CHECK(i == 0 || k->fields[i - 1].mandatory || !f->mandatory);
            CHECK((f->names != NULL) == (f->type == TYPE_ENUM || f->type == TYPE_LIST_ENUM));
            CHECK((f->members != NULL) == (f->type == TYPE_LIST_RECORD));
            for (unsigned j = 0; j < f->n_members; j++) {
                CHECK_EQ_INT(f->members[j].number, j + 1);
                CHECK(!f->members[j].name ||
                      strcmp(f->members[j].text, names[f->members[j].name]) == 0);
            }
        }
    }
}

/* The judge switches on enum constants; they must be the places in the table's lists. */
static void check_name(unsigned kind, enum field_name field, unsigned number, const char *name)
{
    const struct enum_type *names = kind_field_at(kind_find(kind), field)->names;
    CHECK(names && number >= 1 && number <= names->n);
    CHECK_EQ_STR(names->names[number - 1], name);
}

TEST(constants_name_what_they_say)
{
    check_name(KIND_PARTY_REGISTERED, FIELD_ACTION, PARTY_REVOKE, "REVOKE");
    check_name(KIND_PARTY_REGISTERED, FIELD_ACTION, PARTY_ROTATE_KEY, "ROTATE_KEY");
    check_name(KIND_COI_ASSIGNED, FIELD_USE, USE_ALLOGENEIC, "ALLOGENEIC");
    check_name(KIND_CONSENT_CHANGED, FIELD_ACTION, CONSENT_WITHDRAWN, "WITHDRAWN");
    check_name(KIND_CONSENT_CHANGED, FIELD_SCOPES, SCOPE_BIOBANK, "BIOBANK");
    check_name(KIND_CONSENT_CHANGED, FIELD_SCOPES, SCOPE_INTERNATIONAL_TRANSFER,
               "INTERNATIONAL_TRANSFER");
    check_name(KIND_LOT_CREATED, FIELD_LOT_CLASS, LOT_PLASMID, "PLASMID");
    check_name(KIND_QC_RESULT, FIELD_VERDICT, QC_FAIL, "FAIL");
    check_name(KIND_DEVIATION_CHANGED, FIELD_ACTION, DEVIATION_CLOSED, "CLOSED");
    check_name(KIND_QUALITY_DECISION, FIELD_DECISION, DECISION_LIFT_QUARANTINE, "LIFT_QUARANTINE");
    check_name(KIND_QUALITY_DECISION, FIELD_DECISION, DECISION_EXCEPTIONAL_RELEASE,
               "EXCEPTIONAL_RELEASE");
    check_name(KIND_EXCURSION_ASSESSED, FIELD_OUTCOME, OUTCOME_REDUCE_EXPIRY, "REDUCE_EXPIRY");
    check_name(KIND_RECALL_CHANGED, FIELD_ACTION, RECALL_CLOSED, "CLOSED");
    for (unsigned r = 1; r <= ROLE_WAREHOUSE; r++)
        check_name(KIND_PARTY_REGISTERED, FIELD_ROLES, r, role_name((enum role)r));
}

/* ---- against the schema ---- */

static ProtobufCType wire_type(enum field_type type)
{
    switch (type) {
    case TYPE_BOOL:
    case TYPE_ENUM:
    case TYPE_LIST_ENUM:
        return PROTOBUF_C_TYPE_ENUM;
    case TYPE_SCALAR:
    case TYPE_ANY:
    case TYPE_MAP:
    case TYPE_LIST_RECORD:
        return PROTOBUF_C_TYPE_MESSAGE;
    case TYPE_ID:
    case TYPE_TEXT:
    case TYPE_REF:
    case TYPE_DECIMAL:
    case TYPE_INT:
    case TYPE_TIME:
    case TYPE_LIST_ID:
    case TYPE_LIST_TEXT:
    case TYPE_LIST_DECIMAL:
        break;
    }
    return PROTOBUF_C_TYPE_STRING;
}

/* "ROLE_QA" ends in "_QA". */
static void check_enum(const ProtobufCEnumDescriptor *d, const struct enum_type *names)
{
    CHECK_EQ_INT(d->n_values, names->n + 1);
    for (unsigned i = 0; i < names->n; i++) {
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, (int)i + 1);
        CHECK(v);
        size_t n = strlen(v->name), tail = strlen(names->names[i]);
        CHECK(n > tail && v->name[n - tail - 1] == '_');
        CHECK_EQ_STR(v->name + n - tail, names->names[i]);
    }
}

static void check_field(const ProtobufCMessageDescriptor *d, const struct field_def *f)
{
    const ProtobufCFieldDescriptor *p = protobuf_c_message_descriptor_get_field(d, f->number);
    CHECK(p);
    CHECK_EQ_STR(p->name, f->text);
    CHECK_EQ_INT(p->type, wire_type(f->type));
    CHECK_EQ_INT(p->label == PROTOBUF_C_LABEL_REPEATED, f->type >= TYPE_LIST_ID);
    if (f->names)
        check_enum(p->descriptor, f->names);
    if (f->type == TYPE_LIST_RECORD)
        CHECK_EQ_INT(((const ProtobufCMessageDescriptor *)p->descriptor)->n_fields, f->n_members);
}

TEST(the_schema_says_the_same)
{
    const ProtobufCMessageDescriptor *event = &ledgerd__v1__event__descriptor;
    FOR_EACH_KIND(k)
    {
        const ProtobufCFieldDescriptor *body =
            protobuf_c_message_descriptor_get_field(event, number);
        CHECK(body && body->type == PROTOBUF_C_TYPE_MESSAGE);
        const ProtobufCMessageDescriptor *d = body->descriptor;
        CHECK_EQ_INT(d->n_fields, k->n_fields);
        for (unsigned i = 0; i < k->n_fields; i++) {
            const struct field_def *f = &k->fields[i];
            check_field(d, f);
            const ProtobufCFieldDescriptor *p =
                protobuf_c_message_descriptor_get_field(d, f->number);
            for (unsigned j = 0; j < f->n_members; j++)
                check_field(p->descriptor, &f->members[j]);
        }
    }
    CHECK_EQ_INT(event->n_fields, 6 + EVENT_KIND_LAST - EVENT_KIND_FIRST + 1);
}

/* ---- against the model ---- */

static const struct json *load(struct arena *a, const char *relative)
{
    const struct json *j = NULL;
    struct ledger_err err = {0};
    const char *path = check_shared(relative);
    if (!path)
        CHECK_SKIP("no shared folder");
    FILE *f = fopen(path, "rb");
    CHECK(f);
    char *text = arena_alloc(a, 1 << 20);
    size_t n = fread(text, 1, 1 << 20, f);
    fclose(f);
    CHECK_EQ_INT(json_parse(a, span_of(text, n), &j, &err), LEDGER_OK);
    return j;
}

static unsigned role_mask(const struct json *list)
{
    unsigned mask = 0;
    for (const struct json *m = list->first; m; m = m->next) {
        CHECK(role_by_name(m->text));
        mask |= ROLE_BIT(role_by_name(m->text));
    }
    return mask;
}

static bool lists(const struct json *list, const char *name)
{
    for (const struct json *m = list->first; m; m = m->next) {
        if (span_eq(m->text, span_str(name)))
            return true;
    }
    return false;
}

static void check_names_listed(const struct enum_type *names, const struct json *list)
{
    unsigned n = 0;
    CHECK(names && list);
    CHECK_EQ_INT(names->n, list->n);
    for (const struct json *m = list->first; m; m = m->next)
        CHECK(span_eq(m->text, span_str(names->names[n++])));
}

/* The type's name in the model, for types that have one. */
static const char *word(enum field_type type)
{
    static const char *const words[] = {"id",   "text", "ref", "decimal", "int",
                                        "time", "bool", "",    "scalar",  "any"};
    return type <= TYPE_ANY            ? words[type]
           : type == TYPE_LIST_ID      ? "id"
           : type == TYPE_LIST_TEXT    ? "text"
           : type == TYPE_LIST_DECIMAL ? "decimal"
                                       : "";
}

static void check_members(const struct field_def *f, const struct json *record)
{
    unsigned n = 0;
    CHECK_EQ_INT(f->n_members, record->n);
    for (const struct json *m = record->first; m; m = m->next, n++) {
        bool optional = m->name.p[m->name.n - 1] == '?';
        CHECK(span_eq(span_of(m->name.p, m->name.n - optional), span_str(f->members[n].text)));
        CHECK_EQ_INT(f->members[n].mandatory, !optional);
        CHECK(span_eq(m->text, span_str(word(f->members[n].type))));
    }
}

static void check_type(const struct field_def *f, const struct json *type)
{
    const struct json *list = json_get(type, "list");
    CHECK_EQ_INT(list != NULL, f->type >= TYPE_LIST_ID);
    if (f->type == TYPE_ENUM) {
        check_names_listed(f->names, json_get(type, "enum"));
    } else if (f->type == TYPE_LIST_ENUM) {
        check_names_listed(f->names, json_get(list, "enum"));
    } else if (f->type == TYPE_MAP) {
        CHECK(span_eq(json_get(type, "map")->text, SPAN_LIT("scalar")));
    } else if (f->type == TYPE_LIST_RECORD) {
        check_members(f, list);
    } else {
        CHECK(span_eq((list ? list : type)->text, span_str(word(f->type))));
    }
}

static void check_row(const struct kind_def *k, const struct json *j)
{
    const struct json *must = json_get(j, "mandatory"), *may = json_get(j, "optional"),
                      *listed = must->first;
    const struct json *second = json_get(j, "second_roles");
    CHECK(span_eq(json_get(j, "kind")->text, span_str(k->name)));
    CHECK_EQ_INT(json_get(j, "signatures")->text.p[0] - '0', k->signatures);
    CHECK_EQ_INT(role_mask(json_get(j, "roles")), k->roles);
    CHECK_EQ_INT(second->type == JSON_NULL ? 0 : role_mask(second), k->second_roles);
    CHECK_EQ_INT(must->n + may->n, k->n_fields);
    for (unsigned i = 0; i < k->n_fields; i++) {
        const struct field_def *f = &k->fields[i];
        if (i == must->n)
            listed = may->first;
        CHECK(span_eq(listed->text, span_str(f->text)));
        CHECK_EQ_INT(f->mandatory, i < must->n);
        CHECK_EQ_INT(f->correctable, lists(json_get(j, "correctable"), f->text));
        check_type(f, json_get(json_get(j, "types"), f->text));
        listed = listed->next;
    }
}

TEST(the_model_says_the_same)
{
    struct arena *a = arena_new((size_t)8 << 20);
    const struct json *model = load(a, "model/event_kinds.json");
    const struct json *kinds = json_get(model, "kinds"), *roles = json_get(model, "roles");
    CHECK_EQ_INT(kinds->n, EVENT_KIND_LAST - EVENT_KIND_FIRST + 1);
    unsigned number = EVENT_KIND_FIRST, role = 1;
    for (const struct json *j = kinds->first; j; j = j->next)
        check_row(kind_find(number++), j);
    for (const struct json *j = roles->first; j; j = j->next)
        CHECK_EQ_INT(role_by_name(j->text), role++);
    CHECK_EQ_INT(role, ROLE_WAREHOUSE + 1);
    arena_free(a);
}

TEST_MAIN(TEST_ENTRY(look_ups), TEST_ENTRY(rows_are_consistent),
          TEST_ENTRY(constants_name_what_they_say), TEST_ENTRY(the_schema_says_the_same),
          TEST_ENTRY(the_model_says_the_same))
