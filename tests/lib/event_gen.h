/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_gen: random events that pass the form check, from a seed, for tests that want all kinds and
 * all types. Lists are short, optional fields come and go, texts hold characters of one to four
 * bytes.
 */
#ifndef LEDGERD_TESTS_EVENT_GEN_H
#define LEDGERD_TESTS_EVENT_GEN_H

#include "event.h"
#include "event_value.h"

#include <stdio.h>
#include <string.h>

struct gen {
    uint64_t state;
    struct arena *a;
};

static inline uint64_t gen_u64(struct gen *g)
{
    /* splitmix64 (Steele, Lea, Flood 2014). */
    uint64_t z = (g->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline unsigned gen_below(struct gen *g, unsigned n)
{
    return (unsigned)(gen_u64(g) % n);
}

static inline struct span gen_id(struct gen *g)
{
    char text[24];
    unsigned n = 1 + gen_below(g, 20);
    for (unsigned i = 0; i < n; i++)
        text[i] = (char)(0x21 + gen_below(g, 94));
    return arena_copy(g->a, span_of(text, n));
}

static inline struct span gen_text(struct gen *g)
{
    static const char *const bits[] = {"a", "Z",  " ", "\"", "\\", "/",
                                       "é", "日", "😀", "7",  ",",  "{"};
    char text[64] = "x";
    unsigned n = gen_below(g, 12);
    for (unsigned i = 0; i < n; i++)
        strcat(text, bits[gen_below(g, sizeof bits / sizeof bits[0])]);
    return arena_copy(g->a, span_str(text));
}

static inline struct value gen_decimal(struct gen *g, bool whole, bool positive)
{
    char text[DEC_TEXT_MAX];
    struct value v = {.type = whole ? VALUE_INT : VALUE_DECIMAL};
    v.num = (dec_t)gen_below(g, 1000000) * (gen_below(g, 4) ? 1 : 1000000000);
    if (positive)
        v.num++;
    if (whole)
        v.num *= DEC_ONE;
    else if (gen_below(g, 3))
        v.num = v.num * DEC_ONE / (gen_below(g, 2) ? 1 : 1000);
    if (!positive && gen_below(g, 4) == 0)
        v.num = -v.num;
    v.raw = arena_copy(g->a, span_of(text, decimal_format(v.num, text)));
    return v;
}

static inline struct value gen_time(struct gen *g)
{
    char text[80];
    struct value v;
    int n =
        snprintf(text, sizeof text, "20%02u-%02u-%02uT%02u:%02u:%02u%s%s", gen_below(g, 100),
                 1 + gen_below(g, 12), 1 + gen_below(g, 28), gen_below(g, 24), gen_below(g, 60),
                 gen_below(g, 60), gen_below(g, 3) ? "" : ".250", gen_below(g, 2) ? "Z" : "+09:00");
    value_from_text(g->a, TYPE_TIME, NULL, arena_copy(g->a, span_of(text, (size_t)n)), &v);
    return v;
}

static inline struct value gen_scalar(struct gen *g)
{
    if (gen_below(g, 2))
        return gen_decimal(g, false, false);
    return (struct value){.type = VALUE_TEXT, .raw = gen_text(g)};
}

static inline struct value gen_map(struct gen *g)
{
    struct value v = {.type = VALUE_MAP, .n = gen_below(g, 4)};
    v.items = arena_alloc(g->a, 4 * sizeof *v.items);
    v.names = arena_alloc(g->a, 4 * sizeof *v.names);
    for (size_t i = 0; i < v.n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c%u", (char)('a' + (int)i), gen_below(g, 100));
        v.names[i] = arena_copy(g->a, span_str(name));
        v.items[i] = gen_scalar(g);
    }
    return v;
}

static inline struct value gen_any(struct gen *g)
{
    switch (gen_below(g, 7)) {
    case 0:
        return (struct value){.type = VALUE_NULL};
    case 1:
        return (struct value){.type = VALUE_TEXT, .raw = gen_text(g)};
    case 2:
        return gen_map(g);
    case 3:
        return (struct value){.type = VALUE_OTHER, .raw = SPAN_LIT("[1,\"a\",true]")};
    case 4:
        return gen_decimal(g, true, false);
    case 5:
        return (struct value){.type = VALUE_TEXT, .raw = SPAN_LIT("")};
    default:
        return gen_decimal(g, false, false);
    }
}

/* A value that is no list. */
static inline struct value gen_single(struct gen *g, const struct field_def *def)
{
    switch ((int)list_member_type(def->type)) {
    case TYPE_ID:
        return (struct value){.type = VALUE_TEXT, .raw = gen_id(g)};
    case TYPE_DECIMAL:
        return gen_decimal(g, false, def->name == FIELD_QUANTITY);
    case TYPE_INT:
        return gen_decimal(g, true, false);
    case TYPE_TIME:
        return gen_time(g);
    case TYPE_BOOL:
        return (struct value){.type = VALUE_BOOL, .b = gen_below(g, 2) || !def->mandatory};
    case TYPE_ENUM:
        return (struct value){.type = VALUE_ENUM, .e = 1 + gen_below(g, def->names->n)};
    case TYPE_SCALAR:
        return gen_scalar(g);
    case TYPE_ANY:
        return gen_any(g);
    case TYPE_MAP:
        return gen_map(g);
    default:
        return (struct value){.type = VALUE_TEXT, .raw = gen_text(g)};
    }
}

static inline struct value gen_record(struct gen *g, const struct field_def *def)
{
    struct value v = {.type = VALUE_RECORD, .n = def->n_members};
    v.items = arena_alloc(g->a, v.n * sizeof *v.items);
    for (unsigned i = 0; i < def->n_members; i++) {
        if (def->members[i].mandatory || gen_below(g, 2))
            v.items[i] = gen_single(g, &def->members[i]);
    }
    return v;
}

static inline struct value gen_field(struct gen *g, const struct field_def *def)
{
    if (def->type != TYPE_LIST_RECORD && list_member_type(def->type) == def->type)
        return gen_single(g, def);
    struct value v = {.type = VALUE_LIST, .n = 1 + gen_below(g, 4)};
    v.items = arena_alloc(g->a, v.n * sizeof *v.items);
    for (size_t i = 0; i < v.n; i++)
        v.items[i] = def->type == TYPE_LIST_RECORD ? gen_record(g, def) : gen_single(g, def);
    return v;
}

/* An event of that kind which event_check_form accepts; everything from g->a. */
static inline void gen_event(struct gen *g, const struct kind_def *kind, struct event *ev)
{
    uint8_t nonce[NONCE_LEN];
    memset(ev, 0, sizeof *ev);
    ev->kind = kind;
    for (size_t i = 0; i < NONCE_LEN; i++)
        nonce[i] = (uint8_t)gen_u64(g);
    ev->nonce = arena_copy(g->a, span_of(nonce, sizeof nonce));
    ev->reference = gen_text(g);
    ev->occurred = gen_time(g);
    for (unsigned i = 0; i < kind->n_fields; i++) {
        if (kind->fields[i].mandatory || gen_below(g, 2))
            ev->fields[i] = gen_field(g, &kind->fields[i]);
    }
    if (kind->kind == KIND_PARTY_REGISTERED && gen_below(g, 2))
        ev->key_proof = gen_text(g);
    if (kind->kind == KIND_LOT_CREATED && gen_below(g, 2)) {
        ev->foreign = (struct foreign_ref){.present = true, .origin = gen_text(g)};
        ev->foreign.index = gen_below(g, 2) ? gen_u64(g) : 0;
        memset(ev->foreign.chain_key.b, 7, HASH_LEN);
        memset(ev->foreign.checkpoint_hash.b, 9, HASH_LEN);
    }
}

/* True if both say the same: types, values, numbers of members. */
static inline bool gen_same_value(const struct value *a, const struct value *b)
{
    bool nothing_a = a->type == VALUE_ABSENT || a->type == VALUE_EMPTY;
    bool nothing_b = b->type == VALUE_ABSENT || b->type == VALUE_EMPTY;
    if (nothing_a || nothing_b)
        return nothing_a && nothing_b;
    return a->type == b->type && a->n == b->n && a->num == b->num && a->b == b->b && a->e == b->e &&
           a->time_us == b->time_us && span_eq(a->raw, b->raw);
}

#endif
