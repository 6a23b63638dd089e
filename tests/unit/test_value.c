/* SPDX-License-Identifier: Apache-2.0 */
/* test_value: decimals, times, UTF-8, ids, texts and the equality of the rules. */
#include "check.h"
#include "value.h"

#include <time.h>

static dec_t dec(const char *text)
{
    dec_t v = 0;
    CHECK(decimal_parse(span_str(text), &v, NULL));
    return v;
}

static void check_format(const char *given, const char *canonical)
{
    char out[DEC_TEXT_MAX];
    dec_t again = 0;
    size_t n = decimal_format(dec(given), out);
    CHECK_EQ_STR(out, canonical);
    CHECK_EQ_INT(n, strlen(canonical));
    CHECK(decimal_canonical(span_str(canonical), &again));
    CHECK(again == dec(given));
    CHECK(decimal_canonical(span_str(given), &again) == (strcmp(given, canonical) == 0));
}

TEST(decimals_have_one_text)
{
    static const char *const pairs[][2] = {
        {"0", "0"},
        {"-0", "0"},
        {"0.0", "0"},
        {"-0.000e7", "0"},
        {"0e999999999999999999999", "0"},
        {"40", "40"},
        {"40.0", "40"},
        {"4e1", "40"},
        {"4E+1", "40"},
        {"400e-1", "40"},
        {"0.5", "0.5"},
        {"-0.5", "-0.5"},
        {"5e-1", "0.5"},
        {"0.000000001", "0.000000001"},
        {"1e-9", "0.000000001"},
        {"1.0000000000000000000000", "1"},
        {"-196", "-196"},
        {"999999999999999.999999999", "999999999999999.999999999"},
        {"-999999999999999.999999999", "-999999999999999.999999999"},
        {"1e14", "100000000000000"},
        {"0.000000000000000000001e21", "1"},
        {"1000000000000000000000000e-24", "1"},
        {"120.50", "120.5"},
        {"10", "10"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        check_format(pairs[i][0], pairs[i][1]);
}

TEST(what_is_no_decimal)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      "01",
                                      "-01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "1E-",
                                      "1 ",
                                      " 1",
                                      "0x1",
                                      "1,5",
                                      "NaN",
                                      "Infinity",
                                      "--1",
                                      "1.5.2",
                                      "1e1.5",
                                      "1e15",
                                      "1000000000000000",
                                      "-1e15",
                                      "1e999",
                                      "1e99999999999999999999999",
                                      "0.0000000001",
                                      "1e-10",
                                      "1.0000000001",
                                      "1e-99999999999999999999",
                                      "9999999999999999e-0"};
    dec_t v = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (decimal_parse(span_str(bad[i]), &v, NULL))
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK(!decimal_parse(span_str(bad[i]), &v, NULL));
    }
    CHECK(!decimal_parse(SPAN_LIT("1\0"), &v, NULL));
    CHECK_EQ_STR(decimal_fault(SPAN_LIT("1e999"), &v, NULL), "is 10^15 or larger in size");
    CHECK_EQ_STR(decimal_fault(SPAN_LIT("1e-10"), &v, NULL), "needs more than 9 decimals");
    CHECK_EQ_STR(decimal_fault(SPAN_LIT("x"), &v, NULL), "is not a number");
}

TEST(int_is_a_matter_of_writing)
{
    dec_t v = 0;
    bool is_int = false;
    CHECK(decimal_parse(SPAN_LIT("3"), &v, &is_int) && is_int);
    CHECK(decimal_parse(SPAN_LIT("3.0"), &v, &is_int) && !is_int);
    CHECK(decimal_parse(SPAN_LIT("3e0"), &v, &is_int) && !is_int);
    CHECK(decimal_parse(SPAN_LIT("-3"), &v, &is_int) && is_int);
}

TEST(decimals_round_trip)
{
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        dec_t v = (dec_t)(x % 1000000000000000u) * DEC_ONE + (dec_t)(x >> 40) % DEC_ONE;
        if (i % 3 == 0)
            v /= 1000000000000;
        if (i % 2)
            v = -v;
        char out[DEC_TEXT_MAX];
        dec_t again = 0;
        size_t n = decimal_format(v, out);
        CHECK(decimal_canonical(span_of(out, n), &again));
        CHECK(again == v);
    }
}

/* Texts that are nearly numbers: canonical is what is written as it was read, and nothing else. */
TEST(canonical_is_what_would_be_written)
{
    static const char signs[] = "-0019.e+5";
    uint64_t x = 2463534242u;
    unsigned numbers = 0, canonical = 0;
    for (int i = 0; i < 400000; i++) {
        char text[14], out[DEC_TEXT_MAX];
        size_t n = 0;
        do {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            text[n++] = signs[(x >> 20) % (sizeof signs - 1)];
        } while (n < 13 && (x >> 40) % 8);
        dec_t v = 0, again = 0;
        bool is_number = decimal_parse(span_of(text, n), &v, NULL);
        bool same = is_number && span_eq(span_of(out, decimal_format(v, out)), span_of(text, n));
        CHECK(decimal_canonical(span_of(text, n), &again) == same);
        CHECK(again == v);
        CHECK((decimal_canonical_fault(span_of(text, n), &again) == NULL) == same);
        numbers += is_number;
        canonical += same;
    }
    CHECK(numbers > 20000 && canonical > 10000 && canonical < numbers);
}

TEST(decimal_sums_beyond_the_limit_have_a_text)
{
    char out[DEC_TEXT_MAX];
    dec_t largest = (dec_t)1 << 126;
    largest += largest - 1;
    decimal_format(largest, out);
    CHECK_EQ_STR(out, "170141183460469231731687303715.884105727");
    decimal_format(-largest - 1, out);
    CHECK_EQ_STR(out, "-170141183460469231731687303715.884105728");
}

static int64_t when(const char *text)
{
    int64_t us = 0;
    CHECK(time_parse(span_str(text), &us));
    return us;
}

TEST(times_are_instants)
{
    CHECK_EQ_INT(when("1970-01-01T00:00:00Z"), 0);
    CHECK_EQ_INT(when("1970-01-01T00:00:00.000001Z"), 1);
    CHECK_EQ_INT(when("1969-12-31T23:59:59.5Z"), -500000);
    CHECK_EQ_INT(when("2026-04-06T09:00:00+09:00"), when("2026-04-06T00:00:00Z"));
    CHECK_EQ_INT(when("2026-04-06T00:00:00-14:59"), when("2026-04-06T14:59:00Z"));
    CHECK_EQ_INT(when("2000-02-29T00:00:00Z"), 951782400000000);
    CHECK_EQ_INT(when("0001-01-01T00:00:00Z"), -62135596800000000);
    CHECK_EQ_INT(when("9999-12-31T23:59:59.999999Z"), 253402300799999999);
    CHECK_EQ_INT(when("2026-04-06T09:00:00-00:00"), when("2026-04-06T09:00:00Z"));
}

TEST(what_is_no_time)
{
    static const char *const bad[] = {"",
                                      "2026-04-06",
                                      "2026-04-06T09:00:00",
                                      "2026-04-06T09:00Z",
                                      "2026-04-06 09:00:00Z",
                                      "2026-04-06t09:00:00Z",
                                      "2026-04-06T09:00:00z",
                                      "2026-04-06T09:00:00.Z",
                                      "2026-04-06T09:00:00.1234567Z",
                                      "2026-04-06T09:00:00,5Z",
                                      "2026-04-06T09:00:00+9:00",
                                      "2026-04-06T09:00:00+0900",
                                      "2026-04-06T09:00:00+15:00",
                                      "2026-04-06T09:00:00+14:60",
                                      "2026-04-06T09:00:00+09",
                                      "2026-04-06T09:00:00ZZ",
                                      "2026-04-06T09:00:00Z ",
                                      " 2026-04-06T09:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-02-30T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2026-01-00T00:00:00Z",
                                      "2026-04-31T00:00:00Z",
                                      "2026-04-06T24:00:00Z",
                                      "2026-04-06T09:60:00Z",
                                      "2026-04-06T23:59:60Z",
                                      "0000-01-01T00:00:00Z",
                                      "12026-01-01T00:00:00Z",
                                      "+026-01-01T00:00:00Z",
                                      "2026-04-06T09:00:00*09:00",
                                      "2026-04-06T-9:00:00Z",
                                      "2026-04-06T09:00:00+09:0a",
                                      "2026-04-06T09:00:00.12",
                                      "2026-W15-1T00:00:00Z"};
    int64_t us = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (time_parse(span_str(bad[i]), &us))
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK(!time_parse(span_str(bad[i]), &us));
    }
    CHECK_EQ_STR(time_fault(SPAN_LIT("2026-02-30T00:00:00Z"), &us),
                 "is not a date of the calendar");
}

TEST(every_day_agrees_with_the_c_library)
{
    char out[TIME_TEXT_MAX], expected[TIME_TEXT_MAX + 40];
    for (int64_t day = -719162; day <= 2932896; day++) { /* years 1 to 9999 */
        time_t seconds = (time_t)(day * 86400 + (day & 0xffff));
        struct tm tm;
        CHECK(gmtime_r(&seconds, &tm));
        size_t n = time_format((int64_t)seconds * 1000000, out);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        CHECK_EQ_STR(out, expected);
        int64_t us = 0;
        CHECK(time_parse(span_of(out, n), &us));
        CHECK(us == (int64_t)seconds * 1000000);
    }
}

TEST(times_beyond_the_calendar_still_have_a_text)
{
    char out[TIME_TEXT_MAX];
    time_format(when("0001-01-01T00:00:00+14:59"), out);
    CHECK_EQ_STR(out, "0000-12-31T09:01:00Z");
    time_format(when("9999-12-31T23:59:59-14:59"), out);
    CHECK_EQ_STR(out, "10000-01-01T14:58:59Z");
    CHECK(time_format(INT64_MIN, out) < TIME_TEXT_MAX);
    CHECK(time_format(INT64_MAX, out) < TIME_TEXT_MAX);
    time_format(1500000, out);
    CHECK_EQ_STR(out, "1970-01-01T00:00:01.5Z");
    time_format(-1, out);
    CHECK_EQ_STR(out, "1969-12-31T23:59:59.999999Z");
}

/* Writes one character the plain way, surrogates and all. */
static size_t put_utf8(uint32_t u, uint8_t out[4])
{
    if (u < 0x80)
        return out[0] = (uint8_t)u, 1;
    if (u < 0x800)
        return out[0] = (uint8_t)(0xc0 | u >> 6), out[1] = (uint8_t)(0x80 | (u & 63)), 2;
    if (u < 0x10000)
        return out[0] = (uint8_t)(0xe0 | u >> 12), out[1] = (uint8_t)(0x80 | (u >> 6 & 63)),
               out[2] = (uint8_t)(0x80 | (u & 63)), 3;
    return out[0] = (uint8_t)(0xf0 | u >> 18), out[1] = (uint8_t)(0x80 | (u >> 12 & 63)),
           out[2] = (uint8_t)(0x80 | (u >> 6 & 63)), out[3] = (uint8_t)(0x80 | (u & 63)), 4;
}

TEST(utf8_is_exactly_rfc_3629)
{
    uint8_t b[4];
    for (uint32_t u = 0; u < 0x120000; u++) {
        size_t n = put_utf8(u, b);
        CHECK(utf8_valid(span_of(b, n)) == (u <= 0x10ffff && (u < 0xd800 || u > 0xdfff)));
        for (size_t cut = 1; cut < n; cut++)
            CHECK(!utf8_valid(span_of(b, cut)));
    }
    CHECK(!utf8_valid(SPAN_LIT("\xc0\x80"))); /* overlong NUL */
    CHECK(!utf8_valid(SPAN_LIT("\xc1\xbf")));
    CHECK(!utf8_valid(SPAN_LIT("\xe0\x9f\xbf")));
    CHECK(!utf8_valid(SPAN_LIT("\xf0\x8f\xbf\xbf")));
    CHECK(!utf8_valid(SPAN_LIT("\x80")));
    CHECK(!utf8_valid(SPAN_LIT("\xff")));
    CHECK(!utf8_valid(SPAN_LIT("a\xe6\x97")));
    CHECK_EQ_INT(utf8_valid_prefix(SPAN_LIT("ab\xff")), 2);
}

TEST(texts_and_ids)
{
    static uint8_t long_text[TEXT_MAX + 1];
    memset(long_text, 'a', sizeof long_text);
    CHECK(text_valid(SPAN_LIT("日本 é 😀")));
    CHECK(text_valid(span_of(long_text, TEXT_MAX)));
    CHECK(!text_valid(span_of(long_text, TEXT_MAX + 1)));
    CHECK(!text_valid(SPAN_LIT("")));
    CHECK(!text_valid(SPAN_NONE));
    CHECK(!text_valid(SPAN_LIT("a\nb")));
    CHECK(!text_valid(SPAN_LIT("a\0b")));
    CHECK(!text_valid(SPAN_LIT("\x7f")));
    CHECK(text_valid(SPAN_LIT("\xc2\x80"))); /* U+0080 is allowed */
    CHECK(id_valid(SPAN_LIT("BAG-1~!")));
    CHECK(id_valid(span_of(long_text, ID_MAX)));
    CHECK(!id_valid(span_of(long_text, ID_MAX + 1)));
    CHECK(!id_valid(SPAN_LIT("a b")));
    CHECK(!id_valid(SPAN_LIT("é")));
    CHECK(!id_valid(SPAN_LIT("a\x7f")));
    CHECK(!id_valid(SPAN_NONE));
}

/* Long texts are looked at eight bytes at a time: whichever byte it is, and wherever. */
TEST(each_byte_of_a_text_counts)
{
    for (size_t n = 1; n < 20; n++)
        for (size_t at = 0; at < n; at++)
            for (unsigned byte = 0; byte < 256; byte++) {
                uint8_t text[20];
                memset(text, at % 2 ? 0x20 : 0x7e, sizeof text);
                text[at] = (uint8_t)byte;
                CHECK_EQ_INT(text_plain(span_of(text, n)), byte >= 0x20 && byte < 0x7f);
                CHECK_EQ_INT(utf8_valid_prefix(span_of(text, n)), byte < 0x80 ? n : at);
            }
}

TEST(equality_of_the_rules)
{
    struct value absent = {0}, null = {.type = VALUE_NULL}, empty = {.type = VALUE_EMPTY};
    struct value forty = {.type = VALUE_DECIMAL, .num = dec("40.0")};
    struct value forty_int = {.type = VALUE_INT, .num = dec("40")};
    struct value text = {.type = VALUE_TEXT, .raw = SPAN_LIT("40")};
    struct value time = {.type = VALUE_TIME, .raw = SPAN_LIT("2026-04-06T09:00:00Z")};
    struct value same_instant = {.type = VALUE_TIME, .raw = SPAN_LIT("2026-04-06T09:00:00+00:00")};
    struct value time_text = {.type = VALUE_TEXT, .raw = time.raw};
    struct value yes = {.type = VALUE_BOOL, .b = true}, no = {.type = VALUE_BOOL};
    struct value one = {.type = VALUE_INT, .num = DEC_ONE};
    struct value other = {.type = VALUE_OTHER, .raw = SPAN_LIT("[]")};
    CHECK(value_equal(&absent, &null) && value_equal(&empty, &absent));
    CHECK(value_equal(&forty, &forty_int));
    CHECK(!value_equal(&forty, &text));
    CHECK(value_equal(&time, &time_text) && !value_equal(&time, &same_instant));
    CHECK(value_equal(&yes, &yes) && !value_equal(&yes, &no) && !value_equal(&yes, &one));
    CHECK(!value_equal(&no, &absent));
    CHECK(!value_equal(&other, &other) && !value_equal(&other, &absent));
}

TEST(equality_of_members)
{
    struct value ab[2] = {{.type = VALUE_TEXT, .raw = SPAN_LIT("a")},
                          {.type = VALUE_INT, .num = 5}};
    struct value ba[2] = {ab[1], ab[0]};
    struct span names[2] = {SPAN_LIT("x"), SPAN_LIT("y")},
                renamed[2] = {SPAN_LIT("x"), SPAN_LIT("z")};
    struct value list = {.type = VALUE_LIST, .n = 2, .items = ab};
    struct value turned = {.type = VALUE_LIST, .n = 2, .items = ba};
    struct value shorter = {.type = VALUE_LIST, .n = 1, .items = ab};
    struct value map = {.type = VALUE_MAP, .n = 2, .items = ab, .names = names};
    struct value map2 = {.type = VALUE_MAP, .n = 2, .items = ab, .names = renamed};
    struct value nothing = {.type = VALUE_MAP}, absent = {0};
    struct value nest_a[2] = {list, map}, nest_b[2] = {list, map2};
    struct value outer_a = {.type = VALUE_LIST, .n = 2, .items = nest_a};
    struct value outer_b = {.type = VALUE_LIST, .n = 2, .items = nest_b};
    CHECK(value_equal(&list, &list) && !value_equal(&list, &turned) &&
          !value_equal(&list, &shorter));
    CHECK(!value_equal(&shorter, &list) && !value_equal(&list, &map));
    CHECK(value_equal(&map, &map) && !value_equal(&map, &map2));
    CHECK(value_equal(&nothing, &nothing) && !value_equal(&nothing, &absent));
    CHECK(value_equal(&outer_a, &outer_a) && !value_equal(&outer_a, &outer_b));
}

TEST_MAIN(TEST_ENTRY(decimals_have_one_text), TEST_ENTRY(what_is_no_decimal),
          TEST_ENTRY(int_is_a_matter_of_writing), TEST_ENTRY(decimals_round_trip),
          TEST_ENTRY(canonical_is_what_would_be_written), TEST_ENTRY(decimal_sums_beyond_the_limit_have_a_text), TEST_ENTRY(times_are_instants),
          TEST_ENTRY(what_is_no_time), TEST_ENTRY(every_day_agrees_with_the_c_library),
          TEST_ENTRY(times_beyond_the_calendar_still_have_a_text),
          TEST_ENTRY(utf8_is_exactly_rfc_3629), TEST_ENTRY(texts_and_ids), TEST_ENTRY(each_byte_of_a_text_counts),
          TEST_ENTRY(equality_of_the_rules), TEST_ENTRY(equality_of_members))
