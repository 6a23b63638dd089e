/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge: what an operator with all of a ledger's keys can do to its data folder, one lie at a time.
 *
 * forge unsigned DIR PARTY ITEM LOCATION: appends a STORAGE_MOVED that PARTY never signed, and a seal: consistent in itself, and signed by the log
 *     at the daemon's next start. Prints the entry's number.
 * forge content DIR INDEX: changes the last byte of an entry's recorded event and leaves its header.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_value.h"
#include "machine.h"
#include "store/store.h"

static void must(enum ledger_rc rc, const struct ledger_err *err)
{
    if (rc == LEDGER_OK)
        return;
    fprintf(stderr, "forge: %s\n", err->msg);
    exit(1);
}

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "forge: %s\n", what);
    exit(1);
}

struct forgery {
    struct crypto *c;
    struct arena *a;
    struct store *store;
    struct kv base;
    struct kv_mem *batch;
    struct machine m;
    struct ledger_err err;
};

static void set_text(struct event *ev, const char *name, const char *text)
{
    const struct field_def *def = kind_field(ev->kind, span_str(name));
    need(def != NULL, name);
    ev->fields[def - ev->kind->fields] = (struct value){.type = VALUE_TEXT, .raw = span_str(text)};
}

static struct party_state party_of(struct forgery *f, const char *id)
{
    struct hash key;
    struct span record;
    struct chain ch;
    chain_key(f->c, &f->m.index_key, CHAIN_PARTY, span_str(id), &key);
    need(kv_get(&f->m.kv, KV_CHAIN, span_of(key.b, HASH_LEN), &record) == LEDGER_OK, "no such party");
    record = arena_copy(f->a, record);
    must(chain_record_decode(record, &ch, &f->err), &f->err);
    return ch.party;
}

static struct span made_up_block(struct forgery *f, const struct event *ev, const char *party, struct span time)
{
    static uint8_t id[KEY_ID_LEN], nonsense[64] = {7};
    struct party_state p = party_of(f, party);
    struct sigblock b = {.events = 1, .n = 1};
    (void)ev;
    crypto_key_id(f->c, (enum sig_alg)p.alg, p.key, id);
    b.sigs[0] = (struct signature){.party = span_str(party), .key_id = span_of(id, sizeof id), .alg = p.alg,
                                   .meaning = SPAN_LIT("authorship"), .time = time, .sig = span_of(nonsense, sizeof nonsense)};
    return sigblock_encode(f->a, &b);
}

static void append_unsigned(struct forgery *f, char **argv)
{
    static const struct preverified all = {.ok = {true}};
    struct event draft = {.kind = kind_by_name(SPAN_LIT("STORAGE_MOVED"))}, ev;
    struct sigblock b;
    struct refusal why = {0};
    struct appended_entry e;
    struct checkpoint cp;
    char time[TIME_TEXT_MAX];
    int64_t now = f->m.recorded_us + 1000;
    struct span when = span_of(time, time_format(now, time));
    draft.nonce = SPAN_LIT("forged forged 16");
    draft.reference = SPAN_LIT("forged");
    value_from_text(f->a, TYPE_TIME, NULL, when, &draft.occurred);
    set_text(&draft, "item", argv[4]);
    set_text(&draft, "location", argv[5]);
    struct span bytes = event_encode(f->a, &draft);
    must(event_decode(f->c, f->a, bytes, &ev, &why, &f->err), &f->err);
    struct span block = made_up_block(f, &ev, argv[3], when);
    must(sigblock_decode(block, &b, &f->err), &f->err);
    const struct submission s = {.ev = &ev, .block = block, .b = &b, .pre = &all};
    enum ledger_rc rc = machine_event(&f->m, &s, now, &e, &why, &f->err);
    need(rc != LEDGER_EREFUSED, why.text);
    must(rc, &f->err);
    printf("%llu\n", (unsigned long long)e.index);
    must(machine_seal(&f->m, now, &e, &cp, &f->err), &f->err);
    must(kv_mem_flush(f->batch, &f->err), &f->err);
}

static void change_content(struct forgery *f, char **argv)
{
    uint8_t key[KV_KEY_MAX];
    struct span k = kv_key_u64(key, strtoull(argv[3], NULL, 10)), v;
    struct entry_record r;
    need(kv_get(&f->base, KV_LOG, k, &v) == LEDGER_OK, "no such entry");
    need(entry_record_split(arena_copy(f->a, v), &r) && r.event.n, "it has no content");
    uint8_t *event = (uint8_t *)(uintptr_t)arena_copy(f->a, r.event).p;
    event[r.event.n - 1] ^= 1;
    r.event = span_of(event, r.event.n);
    must(store_replace(f->store, KV_LOG, k, entry_record_join(f->a, &r), &f->err), &f->err);
}

int main(int argc, char **argv)
{
    struct forgery f = {.c = crypto_new(), .a = arena_new((size_t)64 << 20)};
    const char *map = getenv("LEDGERD_MAP_SIZE"); /* sanitizers leave no room for a map of the default size */
    const struct store_options small = {.map_bytes = map ? (uint64_t)1 << 30 : 0};
    bool content = argc == 4 && strcmp(argv[1], "content") == 0;
    need(content || (argc == 6 && strcmp(argv[1], "unsigned") == 0), "usage: forge unsigned DIR PARTY ITEM LOCATION | content DIR INDEX");
    must(store_open_with(argv[2], STORE_WRITE, &small, &f.store, &f.err), &f.err);
    must(store_begin(f.store, &f.base, &f.err), &f.err);
    f.batch = kv_mem_new(&f.base, (size_t)64 << 20);
    f.m = (struct machine){.c = f.c, .a = f.a, .kv = kv_mem_kv(f.batch), .index_key = *store_index_key(f.store), .wire = true};
    must(machine_load(&f.m, &f.err), &f.err);
    if (content)
        change_content(&f, argv);
    else
        append_unsigned(&f, argv);
    must(store_commit(f.store, &f.err), &f.err);
    kv_mem_free(f.batch);
    store_close(f.store);
    arena_free(f.a);
    crypto_free(f.c);
    return 0;
}
