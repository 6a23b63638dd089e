/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timestamp.c: texts of instants to microseconds since 1970-01-01T00:00:00Z and back.
 *
 * The calendar is the proleptic Gregorian one without leap seconds, computed with whole numbers:
 * the C library's time functions depend on locale, zone and platform and are not used. Years are
 * counted from March, so that a leap day is the last day of its year. May include: value.h and the
 * C library's formatting.
 */
#include "value.h"

#include <stdio.h>

#define US_PER_S 1000000
#define S_PER_DAY 86400
#define DAYS_PER_400Y 146097
/* Days from 1 March of year 0 to 1 January 1970. */
#define EPOCH_FROM_MARCH_0 719468

/* Reads n digits at p; -1 if one of them is none. */
static int digits(const uint8_t *p, size_t n)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days since 1970-01-01; year 1 to 9999. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9; /* March is 0 */
    /* The months from March on have 31, 30, 31, 30, 31 days, twice, and then 31: 153 days in five.
     */
    int64_t before_month = (153 * m + 2) / 5;
    return y * 365 + y / 4 - y / 100 + y / 400 + before_month + day - 1 - EPOCH_FROM_MARCH_0;
}

/* The length of the time's text without its zone, 0 if its form is wrong; *fraction in
 * microseconds. */
static size_t read_fraction(struct span t, int64_t *fraction)
{
    size_t n = 19;
    *fraction = 0;
    if (t.n <= n || t.p[n] != '.')
        return n;
    size_t first = ++n;
    int64_t unit = US_PER_S;
    for (; n < t.n && n - first < 6 && t.p[n] >= '0' && t.p[n] <= '9'; n++) {
        unit /= 10;
        *fraction += (t.p[n] - '0') * unit;
    }
    return n == first ? 0 : n;
}

/* Offset from UTC in seconds. */
static bool read_zone(struct span zone, int64_t *offset)
{
    *offset = 0;
    if (zone.n == 1)
        return zone.p[0] == 'Z';
    if (zone.n != 6 || (zone.p[0] != '+' && zone.p[0] != '-') || zone.p[3] != ':')
        return false;
    int hours = digits(zone.p + 1, 2), minutes = digits(zone.p + 4, 2);
    if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59)
        return false;
    *offset = (hours * 60 + minutes) * 60;
    if (zone.p[0] == '-')
        *offset = -*offset;
    return true;
}

static const char not_a_time[] =
    "is not a time: YYYY-MM-DDThh:mm:ss, up to 6 decimals, then Z or an offset like +09:00";

const char *time_fault(struct span t, int64_t *us)
{
    int64_t fraction = 0, offset = 0;
    *us = 0;
    if (t.n < 20 || t.p[4] != '-' || t.p[7] != '-' || t.p[10] != 'T' || t.p[13] != ':' ||
        t.p[16] != ':')
        return not_a_time;
    int year = digits(t.p, 4), month = digits(t.p + 5, 2), day = digits(t.p + 8, 2);
    int hour = digits(t.p + 11, 2), minute = digits(t.p + 14, 2), second = digits(t.p + 17, 2);
    size_t n = read_fraction(t, &fraction);
    if (year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0 || n == 0 ||
        !read_zone(span_of(t.p + n, t.n - n), &offset))
        return not_a_time;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return "is not a date of the calendar";
    if (hour > 23 || minute > 59 || second > 59)
        return "is not a time of the day: hours to 23, minutes and seconds to 59";
    int64_t of_day = (hour * 60 + minute) * 60 + second - offset;
    *us = (days_from_date(year, month, day) * S_PER_DAY + of_day) * US_PER_S + fraction;
    return NULL;
}

bool time_parse(struct span text, int64_t *us)
{
    return time_fault(text, us) == NULL;
}

/* Quotient rounded down; *rest is never negative. */
static int64_t floor_div(int64_t v, int64_t by, int64_t *rest)
{
    int64_t q = v / by;
    *rest = v % by;
    if (*rest < 0) {
        *rest += by;
        q--;
    }
    return q;
}

struct date {
    int64_t year;
    int month, day;
};

static struct date date_from_days(int64_t days)
{
    int64_t rest = 0;
    int64_t cycles = floor_div(days + EPOCH_FROM_MARCH_0, DAYS_PER_400Y, &rest);
    /* A century has 36524 days and a group of four years 1461; the last day of 400 years is a leap
     * day that belongs to the century before it, and likewise for four years. */
    int64_t century = rest / 36524 > 3 ? 3 : rest / 36524;
    rest -= century * 36524;
    int64_t four = rest / 1461;
    rest -= four * 1461;
    int64_t single = rest / 365 > 3 ? 3 : rest / 365;
    rest -= single * 365;
    int64_t m = (5 * rest + 2) / 153; /* March is 0 */
    struct date d = {.year = cycles * 400 + century * 100 + four * 4 + single + (m >= 10 ? 1 : 0),
                     .month = (int)(m >= 10 ? m - 9 : m + 3),
                     .day = (int)(rest - (153 * m + 2) / 5 + 1)};
    return d;
}

/* The last n digits of a number that is not negative. */
static char *put_digits(char *out, int64_t v, int n)
{
    for (int i = n; i-- > 0; v /= 10)
        out[i] = (char)('0' + v % 10);
    return out + n;
}

size_t time_format(int64_t us, char out[TIME_TEXT_MAX])
{
    int64_t fraction = 0, of_day = 0;
    int64_t seconds = floor_div(us, US_PER_S, &fraction);
    int64_t days = floor_div(seconds, S_PER_DAY, &of_day);
    struct date d = date_from_days(days);
    char *p = d.year >= 0 && d.year <= 9999
                  ? put_digits(out, d.year, 4)
                  : out + snprintf(out, TIME_TEXT_MAX, "%04lld", (long long)d.year);
    const int64_t parts[] = {d.month, d.day, of_day / 3600, of_day / 60 % 60, of_day % 60};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *p++ = "--T::"[i];
        p = put_digits(p, parts[i], 2);
    }
    if (fraction) {
        *p++ = '.';
        p = put_digits(p, fraction, 6);
        while (p[-1] == '0')
            p--;
    }
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - out);
}
