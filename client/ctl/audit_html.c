/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_html: an audit as a page for people (audit.h): one file without scripts and without anything from elsewhere, to be read on a screen
 * or printed, also without colours. Whatever comes from the ledger is text: it is escaped, and what would steer how text is shown is made
 * visible.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audit.h"

#define INFO_SHOWN 1000u /* the rest is in the JSON */

static const char style[] =
    "body{font:16px/1.5 sans-serif;color:#111;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid #888}\n"
    ".result{border:3px solid #111;padding:.8rem 1rem;margin:1rem 0;font-size:1.1rem}\n"
    ".holds{border-color:#1a7f37}.tampered{border-color:#b42318;border-style:double;border-width:6px}.incomplete{border-color:#9a6700;border-style:dashed}\n"
    ".result strong{display:block;font-size:1.4rem}\n"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere;"
    "unicode-bidi:isolate}\n"
    "th{background:#eee}th,td.w{overflow-wrap:normal}td.w{white-space:nowrap}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"
    "tr.critical td{font-weight:bold}code{font-family:monospace;overflow-wrap:anywhere}\n"
    "thead{display:table-header-group}tr{break-inside:avoid}\n"
    "@media print{body{margin:0;max-width:none;font-size:10pt}th{background:none}}\n";

static void raw(struct wbuf *w, const char *s)
{
    wbuf_bytes(w, s, strlen(s));
}

/* One character of UTF-8 at p, its length in *n; 0xfffd (of one byte) if there is none. */
static uint32_t character(const uint8_t *p, size_t left, size_t *n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned want = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    *n = 1;
    if (want == 1)
        return p[0];
    if (want == 0 || want > left)
        return 0xfffd;
    uint32_t c = p[0] & (0xffu >> (want + 1));
    for (unsigned i = 1; i < want; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[want] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0xfffd;
    *n = want;
    return c;
}

/* Controls, and characters that change direction or are not seen. */
static bool steers(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           c == 0xfeff || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef) || (c >= 0xe0000 && c <= 0xe0fff);
}

static void text(struct wbuf *w, struct span s)
{
    for (size_t i = 0, n; i < s.n; i += n) {
        uint32_t c = character(s.p + i, s.n - i, &n);
        char code[16];
        snprintf(code, sizeof code, "[U+%04" PRIX32 "]", c);
        if (c == 0xfffd || steers(c))
            raw(w, code);
        else if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
            raw(w, c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : "&#39;");
        else
            wbuf_bytes(w, s.p + i, n);
    }
}

static void number(struct wbuf *w, uint64_t n)
{
    char buf[24];
    snprintf(buf, sizeof buf, "%" PRIu64, n);
    raw(w, buf);
}

/* A row of two cells: a name of ours and a text. */
static void pair(struct wbuf *w, const char *name, struct span value, bool code)
{
    raw(w, "<tr><th scope=\"row\">");
    raw(w, name);
    raw(w, code ? "</th><td><code>" : "</th><td>");
    text(w, value);
    raw(w, code ? "</code></td></tr>\n" : "</td></tr>\n");
}

static void summary(struct audit *au, struct wbuf *w)
{
    static const char *const class[] = {[AUDIT_HOLDS] = "holds", [AUDIT_INCOMPLETE] = "incomplete", [AUDIT_TAMPERED] = "tampered"};
    static const char *const means[] = {
        [AUDIT_HOLDS] = "Every entry follows from the signed events and the entries before it.",
        [AUDIT_INCOMPLETE] = "What could be checked holds; not everything could be checked. The findings say what and why.",
        [AUDIT_TAMPERED] = "Something that is recorded contradicts the signatures, the rules or the entries before it. The critical findings say what.",
    };
    raw(w, "<p class=\"result ");
    raw(w, class[au->result]);
    raw(w, "\"><strong>Result: ");
    raw(w, audit_result_text(au));
    raw(w, "</strong>\n");
    raw(w, means[au->result]);
    raw(w, "</p>\n<table>\n<thead><tr><th scope=\"col\">Findings</th><th scope=\"col\">Number</th><th scope=\"col\">Meaning</th></tr></thead>\n<tbody>\n");
    static const char *const severities[SEVERITIES] = {
        "what is signed or derived does not hold", "not checked, recorded as against the rules, or open and standing against a use",
        "a person should look at it", "what happened to the ledger and its parties"};
    for (unsigned s = 0; s < SEVERITIES; s++) {
        raw(w, "<tr><th scope=\"row\">");
        raw(w, severity_name((enum severity)s));
        raw(w, "</th><td class=\"n\">");
        number(w, au->by_severity[s]);
        raw(w, "</td><td>");
        raw(w, severities[s]);
        raw(w, "</td></tr>\n");
    }
    raw(w, "</tbody>\n</table>\n<p>");
    raw(w, audit_completeness(au));
    raw(w, "</p>\n");
}

static void checkpoint(struct audit *au, struct wbuf *w)
{
    const struct machine *m = replayer_machine(au->replayer);
    char hex[2 * HASH_LEN + 1], size[24], when[TIME_TEXT_MAX];
    bool known;
    uint64_t unwitnessed;
    const char *witnesses = audit_witnessed(au, &known, &unwitnessed);
    raw(w, "<h2>What was audited</h2>\n<table>\n<tbody>\n");
    pair(w, "Ledger", au->last->snapshot.cp.origin, false);
    snprintf(size, sizeof size, "%" PRIu64 " entries", au->size);
    pair(w, "Checkpoint", span_str(size), false);
    if (au->has_root) {
        hex_encode(span_of(au->root.b, HASH_LEN), hex);
        pair(w, "Root of the tree", span_str(hex), true);
    }
    if (replayer_size(au->replayer) == au->size) {
        hex_encode(span_of(m->map_root.b, HASH_LEN), hex);
        pair(w, "Root of the chain map", span_str(hex), true);
        time_format(m->recorded_us, when);
        pair(w, "Sealed", span_str(when), false);
    }
    pair(w, "Log key", span_str(machine_log_vkey(m, au->size)), true);
    pair(w, "Witnesses", span_str(witnesses), false);
    if (known) {
        snprintf(size, sizeof size, "%" PRIu64, unwitnessed);
        pair(w, "Entries without an auditing witness", span_str(size), false);
    }
    if (au->n.entries) {
        time_format((int64_t)au->n.first_us, when);
        pair(w, "First entry recorded", span_str(when), false);
        time_format((int64_t)au->n.last_us, when);
        pair(w, "Last derived entry recorded", span_str(when), false);
    }
    raw(w, "</tbody>\n</table>\n<h2>Ranges</h2>\n<table>\n<thead><tr><th scope=\"col\">Entries</th><th scope=\"col\">Checked</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < au->n_ranges; i++) {
        raw(w, "<tr><td>#");
        number(w, au->ranges[i].from);
        raw(w, " to #");
        number(w, au->ranges[i].to);
        raw(w, "</td><td>");
        raw(w, au->ranges[i].how);
        raw(w, "</td></tr>\n");
    }
    raw(w, "</tbody>\n</table>\n");
}

static void findings(struct audit *au, struct wbuf *w)
{
    size_t info = 0;
    raw(w, "<h2>Findings</h2>\n");
    if (au->n_findings == 0)
        raw(w, "<p>None.</p>\n");
    if (au->n_findings == 0)
        return;
    raw(w, "<table>\n<thead><tr><th scope=\"col\">Severity</th><th scope=\"col\">Entry</th><th scope=\"col\">About</th><th scope=\"col\">Finding</th></tr></thead>\n"
           "<tbody>\n");
    for (size_t i = 0; i < au->n_findings; i++) {
        const struct audit_finding *f = &au->findings[i];
        if (f->severity == SEVERITY_INFO && ++info > INFO_SHOWN)
            break;
        raw(w, "<tr class=\"");
        raw(w, severity_name(f->severity));
        raw(w, "\"><td class=\"w\">");
        raw(w, severity_name(f->severity));
        raw(w, "</td><td class=\"n\">");
        if (f->index != VERDICT_NO_INDEX) {
            raw(w, "#");
            number(w, f->index);
        }
        raw(w, "</td><td class=\"w\">");
        text(w, f->what);
        raw(w, "</td><td>");
        text(w, f->text);
        raw(w, "</td></tr>\n");
    }
    raw(w, "</tbody>\n</table>\n");
    if (au->by_severity[SEVERITY_INFO] <= INFO_SHOWN)
        return;
    raw(w, "<p>");
    number(w, au->by_severity[SEVERITY_INFO] - INFO_SHOWN);
    raw(w, " more findings of severity info are in report.json.</p>\n");
}

static void counted(struct wbuf *w, const char *label, uint64_t n)
{
    raw(w, "<tr><th scope=\"row\">");
    raw(w, label);
    raw(w, "</th><td class=\"n\">");
    number(w, n);
    raw(w, "</td></tr>\n");
}

static void counts(struct audit *au, struct wbuf *w)
{
    struct audit_row rows[AUDIT_ROWS];
    size_t n = audit_rows(au, rows);
    raw(w, "<h2>Counts</h2>\n<table>\n<tbody>\n");
    for (size_t i = 0; i < n; i++)
        counted(w, rows[i].label, rows[i].n);
    raw(w, "</tbody>\n</table>\n<h2>Derived entries by kind</h2>\n<table>\n<tbody>\n");
    for (unsigned k = 0; k <= EVENT_KIND_LAST; k++)
        if (au->n.by_kind[k])
            counted(w, entry_kind_name(k), au->n.by_kind[k]);
    raw(w, "</tbody>\n</table>\n");
}

static void limits(struct audit *au, struct wbuf *w)
{
    struct audit_sentences not_checked;
    audit_not_checked(au, &not_checked);
    raw(w, "<h2>Not checked</h2>\n<ul>\n");
    for (size_t i = 0; i < not_checked.n; i++) {
        raw(w, "<li>");
        raw(w, not_checked.text[i]);
        raw(w, "</li>\n");
    }
    raw(w, "</ul>\n<p>");
    raw(w, audit_rewrite_text);
    raw(w, "</p>\n");
}

struct span audit_html(struct audit *au)
{
    struct wbuf w;
    char size[24];
    wbuf_init(&w, au->a);
    snprintf(size, sizeof size, "%" PRIu64, au->size);
    raw(&w, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<title>Audit of ");
    text(&w, au->last->snapshot.cp.origin);
    raw(&w, " at ");
    raw(&w, size);
    raw(&w, "</title>\n<style>\n");
    raw(&w, style);
    raw(&w, "</style>\n</head>\n<body>\n<h1>Audit of ");
    text(&w, au->last->snapshot.cp.origin);
    raw(&w, "</h1>\n<p>Checkpoint of ");
    raw(&w, size);
    raw(&w, " entries. Made by ledgerctl " LEDGERD_VERSION "; the same at this checkpoint for everybody who may read the same.</p>\n");
    summary(au, &w);
    checkpoint(au, &w);
    findings(au, &w);
    limits(au, &w);
    counts(au, &w);
    raw(&w, "</body>\n</html>\n");
    return wbuf_span(&w);
}
