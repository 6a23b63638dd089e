/* SPDX-License-Identifier: Apache-2.0 */
/* What headers say of one another: a log that is whole is taken as it is, and whatever is changed in one header, left out of it or put in twice is told, at
 * the first entry at which it can be seen. */
#include "log_order.h"

#include <string.h>

#include "check.h"

#define ENTRIES 4000u
#define CHAINS 900u /* more than the first places hold */
#define BATCH 7u

static struct header headers[ENTRIES];
static struct link links[ENTRIES][3];
static struct hash leaves[ENTRIES];
static struct arena *memory;
static struct crypto *c;

static struct hash chain_of(unsigned n)
{
    struct hash h;
    const struct span part = span_of(&n, sizeof n);
    crypto_sha256(c, &part, 1, &h);
    return h;
}

static void leaf_of(unsigned i)
{
    struct span bytes = header_encode(memory, &headers[i]);
    CHECK(bytes.p);
    crypto_sha256(c, &bytes, 1, &leaves[i]);
    arena_reset(memory);
}

static int by_key(const struct hash *x, const struct hash *y)
{
    return memcmp(x->b, y->b, HASH_LEN);
}

/* A log of entries on one to three chains each, every seventh a seal. */
static void make_log(void)
{
    static uint64_t count[CHAINS];
    static struct hash latest[CHAINS];
    uint64_t chains = 0, seal = 0, batch_first = 0;
    struct hash seal_leaf = HASH_ZERO;
    memset(count, 0, sizeof count);
    memory = arena_new(1 << 20);
    c = crypto_new();
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct header *h = &headers[i];
        unsigned of[3];
        *h = (struct header){.index = i, .epoch = 1 + i / 1000, .recorded_us = 1000 + i / 3, .kind = 64, .links = links[i]};
        if (i % BATCH == BATCH - 1) {
            *h = (struct header){.index = i, .epoch = h->epoch, .recorded_us = h->recorded_us, .kind = OWN_SEAL, .prev_seal = seal, .chains = chains,
                                 .prev_seal_leaf = seal_leaf, .batch_first = batch_first, .map_root = chain_of(CHAINS + i)};
            leaf_of(i);
            seal = i;
            seal_leaf = leaves[i];
            batch_first = i + 1;
            continue;
        }
        for (unsigned k = 0; k < 1 + i % 3; k++) { /* ascending by key, as in a header */
            unsigned n = (i * 31 + k * 577) % CHAINS;
            struct link l = {.chain = chain_of(n), .seq = count[n], .prev = count[n] ? latest[n] : HASH_ZERO};
            unsigned at = h->n_links++;
            for (; at && by_key(&links[i][at - 1].chain, &l.chain) > 0; at--) {
                links[i][at] = links[i][at - 1];
                of[at] = of[at - 1];
            }
            links[i][at] = l;
            of[at] = n;
        }
        leaf_of(i);
        for (unsigned k = 0; k < h->n_links; k++) {
            chains += count[of[k]]++ == 0;
            latest[of[k]] = leaves[i];
        }
    }
}

/* The index of the first entry that does not hold, with *what; ENTRIES: all hold. `skip` leaves one out; ENTRIES: none. */
static unsigned first_bad(unsigned skip, struct verdict *v)
{
    struct log_order *o = log_order_new(1 << 24);
    unsigned found = ENTRIES;
    CHECK(o);
    for (unsigned i = 0; i < ENTRIES && found == ENTRIES; i++) {
        if (i == skip)
            continue;
        log_order_soon(o, &headers[i]);
        enum ledger_rc rc = log_order_add(o, &headers[i], &leaves[i], v);
        CHECK(rc == LEDGER_OK || rc == LEDGER_ETAMPER);
        if (rc)
            found = i;
    }
    log_order_free(o);
    return found;
}

static void told(unsigned at, const char *what)
{
    struct verdict v = {0};
    CHECK_EQ_INT(first_bad(ENTRIES, &v), at);
    CHECK_EQ_INT(v.index, at);
    CHECK_EQ_STR(v.what, what);
}

static void done(void)
{
    arena_free(memory);
    crypto_free(c);
}

TEST(a_whole_log_is_taken_and_counted)
{
    struct verdict v;
    struct hash leaf, map_root;
    uint64_t seal;
    make_log();
    struct log_order *o = log_order_new(1 << 24);
    CHECK(!log_order_seal(o, &seal, &leaf, &map_root));
    for (unsigned i = 0; i < ENTRIES; i++)
        CHECK_EQ_INT(log_order_add(o, &headers[i], &leaves[i], &v), LEDGER_OK);
    CHECK_EQ_INT(log_order_size(o), ENTRIES);
    CHECK_EQ_INT(log_order_chains(o), CHAINS);
    CHECK(log_order_seal(o, &seal, &leaf, &map_root));
    CHECK_EQ_INT(seal, ENTRIES / BATCH * BATCH - 1);
    CHECK(hash_eq(&leaf, &leaves[seal]) && hash_eq(&map_root, &headers[seal].map_root));
    log_order_free(o);
    done();
}

TEST(whatever_is_changed_in_a_header_is_told_where_it_stands)
{
    make_log();
    for (unsigned i = 5; i < ENTRIES; i += 97) {
        struct header was = headers[i];
        struct verdict v;
        headers[i].index++;
        told(i, "index");
        headers[i] = was;
        headers[i].recorded_us = headers[i - 1].recorded_us - 1;
        told(i, "recorded time");
        headers[i] = was;
        headers[i].epoch = headers[i - 1].epoch - 1;
        told(i, "epoch");
        headers[i] = was;
        CHECK_EQ_INT(first_bad(i, &v), i + 1); /* left out: the next one stands at its place */
        if (was.kind == OWN_SEAL)
            continue;
        struct link *l = &links[i][i % was.n_links], kept = *l;
        l->seq++;
        told(i, "link");
        *l = kept;
        l->prev.b[i % HASH_LEN] ^= 0x10;
        told(i, "link");
        *l = kept;
    }
    done();
}

TEST(a_seal_that_says_something_else_is_told)
{
    make_log();
    for (unsigned i = BATCH - 1; i < ENTRIES; i += BATCH * 13) {
        struct header was = headers[i];
        headers[i].prev_seal++;
        told(i, "previous seal");
        headers[i] = was;
        headers[i].prev_seal_leaf.b[3] ^= 1;
        told(i, "previous seal");
        headers[i] = was;
        headers[i].batch_first--;
        told(i, "first entry of the batch");
        headers[i] = was;
        headers[i].chains++;
        told(i, "number of chains");
        headers[i] = was;
    }
    done();
}

/* An entry in the place of another, with all its neighbours as they were: whoever comes next on one of its chains names the one that was there. */
TEST(an_entry_that_was_replaced_is_told_by_its_successor)
{
    struct verdict v = {0};
    make_log();
    unsigned i = 1001, next = i + 1;
    while (!header_link(&headers[next], &links[i][0].chain))
        next++;
    leaves[i].b[0] ^= 1;
    unsigned found = first_bad(ENTRIES, &v);
    CHECK(found > i && found <= next);
    CHECK_EQ_STR(v.what, "link");
    done();
}

TEST(memory_that_runs_out_takes_nothing)
{
    struct verdict v;
    make_log();
    struct log_order *o = log_order_new(90000); /* the first places and no more */
    CHECK(o);
    unsigned i = 0;
    while (i < ENTRIES && log_order_add(o, &headers[i], &leaves[i], &v) == LEDGER_OK)
        i++;
    CHECK(i > 100 && i < ENTRIES);
    CHECK_EQ_INT(log_order_size(o), i);
    CHECK_EQ_INT(log_order_add(o, &headers[i], &leaves[i], &v), LEDGER_ENOMEM);
    CHECK_EQ_INT(log_order_size(o), i);
    log_order_free(o);
    done();
}

TEST_MAIN(TEST_ENTRY(a_whole_log_is_taken_and_counted), TEST_ENTRY(whatever_is_changed_in_a_header_is_told_where_it_stands),
          TEST_ENTRY(a_seal_that_says_something_else_is_told), TEST_ENTRY(an_entry_that_was_replaced_is_told_by_its_successor),
          TEST_ENTRY(memory_that_runs_out_takes_nothing))
