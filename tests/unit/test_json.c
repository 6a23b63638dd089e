/* SPDX-License-Identifier: Apache-2.0 */
/* test_json: what is parsed and what is not, broken strings, duplicate names, depth, and the
 * writer. */
#include "check.h"
#include "json.h"

static struct arena *arena;

static const struct json *parse(const char *text)
{
    const struct json *j = NULL;
    struct ledger_err err = {0};
    if (!arena)
        arena = arena_new((size_t)16 << 20);
    if (json_parse(arena, span_str(text), &j, &err) != LEDGER_OK)
        fprintf(stderr, "%s: %s\n", text, err.msg);
    CHECK(j);
    return j;
}

static void check_error(struct span text, const char *message)
{
    const struct json *j = NULL;
    struct ledger_err err = {0};
    if (!arena)
        arena = arena_new((size_t)16 << 20);
    CHECK_EQ_INT(json_parse(arena, text, &j, &err), LEDGER_EINVAL);
    CHECK(!j);
    if (!strstr(err.msg, message))
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", err.msg, message);
    CHECK(strstr(err.msg, message));
}

static void check_compact(const char *text, const char *compact)
{
    struct json_writer w;
    const struct json *j = parse(text);
    json_writer_init(&w, arena, false);
    json_tree(&w, j);
    CHECK_EQ_STR(arena_strdup(arena, json_written(&w)), compact);
}

TEST(trees_come_back)
{
    check_compact(" { \"a\" : [ 1 , -0.50e+7 , true , false , null , \"x\" , [ ] , { } ] , \"\" : "
                  "{ \"b\" : \"\" } } ",
                  "{\"a\":[1,-0.50e+7,true,false,null,\"x\",[],{}],\"\":{\"b\":\"\"}}");
    check_compact("\"\\u00e9\\ud83d\\ude00\\/\\b\\n\\u007f\\\"\\\\\"",
                  "\"é😀/\\u0008\\n\\u007f\\\"\\\\\"");
    check_compact("123456789012345678901234567890.000", "123456789012345678901234567890.000");
    check_compact("[[],[[],{}],{\"a\":[],\"b\":1}]", "[[],[[],{}],{\"a\":[],\"b\":1}]");
}

TEST(what_is_no_json)
{
    check_error(SPAN_LIT(""), "line 1, column 1");
    check_error(SPAN_LIT("  "), "premature EOF");
    check_error(SPAN_LIT("{\n\"a\": tru\n}"), "line 2, column");
    check_error(SPAN_LIT("[1,]"), "line 1");
    check_error(SPAN_LIT("[] []"), "trailing garbage");
    check_error(SPAN_LIT("[01]"), "line 1");
    check_error(SPAN_LIT("[+1]"), "line 1");
    check_error(SPAN_LIT("[NaN]"), "line 1");
    check_error(SPAN_LIT("{'a':1}"), "line 1");
    check_error(SPAN_LIT("// c\n1"), "line 1");
    check_error(SPAN_LIT("\"a\0b\""), "line 1");
    check_error(SPAN_LIT("[\"\xc0\x80\"]"), "column 3: not UTF-8");
    check_error(SPAN_LIT("[\"\xed\xa0\x80\"]"), "column 3: not UTF-8");
    check_error(SPAN_LIT("\xef\xbb\xbf[]"), "line 1");
    check_error(SPAN_LIT("\"\\x\""), "line 1");
    check_error(SPAN_LIT("\"\\ud800"), "premature EOF");
    check_error(SPAN_LIT("\"\\ud8"), "line 1");
    check_error(SPAN_LIT("\"\\"), "line 1");
}

TEST(names_occur_once)
{
    check_error(SPAN_LIT("{\"a\":1,\"b\":2,\"a\":3}"), "a name occurs twice");
    check_error(SPAN_LIT("{\"a\":1,\"\\u0061\":3}"), "a name occurs twice");
    check_error(SPAN_LIT("[{\"x\":{\"\":1,\"\":1}}]"), "a name occurs twice");
    CHECK_EQ_INT(parse("{\"a\":{\"a\":1},\"b\":{\"a\":1}}")->n, 2);
}

TEST(depth_ends_at_64)
{
    char text[200] = "";
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        strcat(text, "[");
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        strcat(text, "]");
    check_compact(text, text);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    check_error(span_str(text), "64 levels");
}

TEST(half_surrogate_pairs_break_a_string)
{
    const struct json *j = parse("[\"a\", \"\\uD800\" , \"\\udc00x\", \"\\ud800\\u0041\", "
                                 "\"\\ud800\\ud83d\\ude00\", \"\\ud83d\\ude00\","
                                 " \"\\\\ud800\"]");
    static const bool broken[] = {false, true, true, true, true, false, false};
    size_t i = 0;
    for (const struct json *m = j->first; m; m = m->next, i++) {
        CHECK_EQ_INT(m->broken, broken[i]);
        CHECK(json_is_text(m) == !broken[i]);
    }
    CHECK_EQ_INT(i, 7);
    CHECK(span_eq(j->first->next->text, SPAN_LIT("\"\\uD800\"")));
    check_error(SPAN_LIT("{\"\\udfff\":1}"), "half a surrogate pair");
    check_compact("[ \"\\ud800\\u0041\" ]", "[\"\\ud800\\u0041\"]");
}

TEST(looking_things_up)
{
    const struct json *j = parse("{\"a\":1,\"b\":{\"c\":\"x\"}}");
    CHECK(json_get(j, "a")->type == JSON_NUMBER && span_eq(json_get(j, "a")->text, SPAN_LIT("1")));
    CHECK(json_is_text(json_get(json_get(j, "b"), "c")));
    CHECK(!json_get(j, "c") && !json_get(NULL, "a") && !json_get(json_get(j, "a"), "a"));
    CHECK(!json_is_text(NULL) && !json_is_text(j));
}

TEST(many_names_are_no_trouble)
{
    size_t size = 4000000;
    char *text = malloc(size);
    CHECK(text);
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < 60000; i++)
        n += (size_t)snprintf(text + n, size - n, "%s\"n%d\":%d", i ? "," : "", (i * 7919) % 60000,
                              i);
    text[n++] = '}';
    text[n] = '\0';
    CHECK_EQ_INT(parse(text)->n, 60000);
    free(text);
}

TEST(memory_has_a_budget)
{
    struct ledger_err err;
    const struct json *j = NULL;
    struct span text = SPAN_LIT("{\"a\":[1,2,\"\\ud800\",{\"b\":\"some text\"}],\"c\":true}");
    enum ledger_rc rc = LEDGER_ENOMEM;
    for (size_t budget = 0; budget < 4000; budget += 16) {
        struct arena *small = arena_new(budget);
        rc = json_parse(small, text, &j, &err);
        CHECK(rc == LEDGER_ENOMEM || rc == LEDGER_OK);
        arena_free(small);
    }
    CHECK_EQ_INT(rc, LEDGER_OK);
}

TEST(writing)
{
    struct json_writer w;
    struct arena *a = arena_new(100000);
    json_writer_init(&w, a, true);
    json_object(&w);
    json_put_string(&w, "text", SPAN_LIT("a\"\\\n\t\x01é\x7f"));
    json_put_string(&w, "absent", SPAN_NONE);
    json_put_string(&w, "empty", SPAN_LIT(""));
    json_put_string(&w, "broken", SPAN_LIT("a\xff\xc3zé\xe6\x97"));
    json_put_uint(&w, "n", UINT64_MAX);
    json_put_bool(&w, "b", false);
    json_name(&w, SPAN_LIT("list"));
    json_array(&w);
    json_null(&w);
    json_object(&w);
    json_end(&w);
    json_number(&w, SPAN_LIT("1.50"));
    json_end(&w);
    json_end(&w);
    CHECK_EQ_STR(arena_strdup(a, json_written(&w)),
                 "{\n"
                 "  \"text\": \"a\\\"\\\\\\n\\t\\u0001é\\u007f\",\n"
                 "  \"empty\": \"\",\n"
                 "  \"broken\": \"a��zé��\",\n"
                 "  \"n\": 18446744073709551615,\n"
                 "  \"b\": false,\n"
                 "  \"list\": [\n"
                 "    null,\n"
                 "    {},\n"
                 "    1.50\n"
                 "  ]\n"
                 "}\n");
    arena_free(a);
}

/* Of every length, with each character that needs care at each place, as text and as name. */
TEST(what_was_written_is_read)
{
    static const char odd[] = "a\"\\\x7f\x1f ~";
    for (size_t n = 0; n < 140; n++) {
        for (size_t i = 0; i < (n ? n : 1) * (sizeof odd - 1); i++) {
            struct arena *a = arena_new(100000);
            struct json_writer w;
            const struct json *j = NULL;
            uint8_t text[140];
            memset(text, 'x', sizeof text);
            text[i / (sizeof odd - 1)] = (uint8_t)odd[i % (sizeof odd - 1)];
            json_writer_init(&w, a, i % 2);
            json_object(&w);
            json_name(&w, span_of(text, n));
            json_string(&w, span_of(text, n));
            json_end(&w);
            CHECK_EQ_INT(json_parse(a, json_written(&w), &j, NULL), LEDGER_OK);
            CHECK(span_eq(j->first->name, span_of(text, n)) && span_eq(j->first->text, span_of(text, n)));
            arena_free(a);
        }
    }
}

TEST_MAIN(TEST_ENTRY(trees_come_back), TEST_ENTRY(what_is_no_json), TEST_ENTRY(names_occur_once),
          TEST_ENTRY(depth_ends_at_64), TEST_ENTRY(half_surrogate_pairs_break_a_string),
          TEST_ENTRY(looking_things_up), TEST_ENTRY(many_names_are_no_trouble),
          TEST_ENTRY(memory_has_a_budget), TEST_ENTRY(writing), TEST_ENTRY(what_was_written_is_read))
