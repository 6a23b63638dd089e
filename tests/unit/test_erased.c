/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says about erased content is believed only if the act that it names says so, too. */
#include "check.h"
#include "verify.h"

struct world {
    struct crypto *c;
    struct arena *a;
    struct entry erased, act;
    struct erasure erasure;
    struct span payload;
    uint8_t ids[3 * HASH_LEN];
};

static void make(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->c = crypto_new();
    w->a = arena_new(1u << 20);
    for (unsigned i = 0; i < 3; i++)
        memset(w->ids + i * HASH_LEN, (int)(i + 1), HASH_LEN);
    w->erasure = (struct erasure){.reason = SPAN_LIT("asked for"), .n = 3, .ids = w->ids};
    w->payload = erasure_encode(w->a, &w->erasure);
    CHECK(w->payload.p != NULL);
    w->erased = (struct entry){.header = {.index = 7, .kind = EVENT_KIND_FIRST + 1}, .erased_by = 20};
    memset(w->erased.header.event_id.b, 2, HASH_LEN);
    w->act = (struct entry){.header = {.index = 20, .kind = OWN_ERASURE}, .own = true, .content = true};
}

static void done(struct world *w)
{
    arena_free(w->a);
    crypto_free(w->c);
}

static bool holds(struct world *w, struct verdict *v)
{
    struct erasure out;
    memset(v, 0, sizeof *v);
    return verify_erasure(&w->erased, &w->act, w->payload, &out, v);
}

TEST(an_act_that_names_the_event)
{
    struct world w;
    struct verdict v;
    make(&w);
    CHECK(holds(&w, &v));
    memset(w.erased.header.event_id.b, 3, HASH_LEN);
    CHECK(holds(&w, &v));
    done(&w);
}

TEST(an_act_that_does_not_name_it)
{
    struct world w;
    struct verdict v;
    make(&w);
    memset(w.erased.header.event_id.b, 4, HASH_LEN);
    CHECK(!holds(&w, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    CHECK(strstr(v.text, "does not name it"));
    done(&w);
}

TEST(another_entry_in_its_place)
{
    struct world w;
    struct verdict v;
    make(&w);
    w.act.header.kind = OWN_PARAMETERS;
    CHECK(!holds(&w, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    w.act.header.kind = OWN_ERASURE;
    w.act.header.index = 21;
    CHECK(!holds(&w, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    w.act.header.index = 20;
    w.act.content = false;
    CHECK(!holds(&w, &v));
    CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    done(&w);
}

TEST(a_payload_that_is_cut_or_newer)
{
    struct world w;
    struct verdict v;
    make(&w);
    struct span whole = w.payload;
    for (size_t n = 0; n < whole.n; n++) {
        w.payload = span_of(whole.p, n);
        CHECK(!holds(&w, &v));
        CHECK_EQ_INT(v.kind, VERDICT_TAMPERED);
    }
    uint8_t newer[256];
    CHECK(whole.n <= sizeof newer);
    memcpy(newer, whole.p, whole.n);
    newer[0] = 2;
    w.payload = span_of(newer, whole.n);
    CHECK(!holds(&w, &v));
    CHECK_EQ_INT(v.kind, VERDICT_NEWER);
    done(&w);
}

TEST_MAIN(TEST_ENTRY(an_act_that_names_the_event), TEST_ENTRY(an_act_that_does_not_name_it),
          TEST_ENTRY(another_entry_in_its_place), TEST_ENTRY(a_payload_that_is_cut_or_newer))
