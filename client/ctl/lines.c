/* SPDX-License-Identifier: Apache-2.0 */
/* lines: reads a file of events line by line (lines.h). */
#include "lines.h"

#include "chain_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_BYTES_MAX (16u * 1024u * 1024u)

int line_file_open(struct line_file *lf, struct ctl *ctl, const char *path)
{
    struct stat st;
    *lf = (struct line_file){.ctl = ctl, .path = path};
    lf->f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!lf->f)
        return ctl_fail(ctl, EXIT_USAGE, "%s: %s", path, strerror(errno));
    if (fstat(fileno(lf->f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        lf->size = (uint64_t)st.st_size;
    return EXIT_GOOD;
}

void line_file_close(struct line_file *lf)
{
    if (lf->f && lf->f != stdin)
        fclose(lf->f);
    free(lf->text);
    lf->f = NULL;
    lf->text = NULL;
}

int line_file_fail(struct line_file *lf, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return ctl_fail(lf->ctl, EXIT_USAGE, "%s, line %llu: %s", lf->path,
                    (unsigned long long)lf->number, text);
}

/* The parser counts lines within its text, which is one line here: its "line 1, column 7: …" goes
 * on after the file's own number. */
static int fail_parse(struct line_file *lf, const struct ledger_err *err)
{
    static const char first[] = "line 1, ";
    const char *text = err->msg;
    if (strncmp(text, first, sizeof first - 1) != 0)
        return line_file_fail(lf, "%s", text);
    return ctl_fail(lf->ctl, EXIT_USAGE, "%s, line %llu, %s", lf->path,
                    (unsigned long long)lf->number, text + sizeof first - 1);
}

static bool is_blank(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n'))
        i++;
    return i == n;
}

int line_file_next(struct line_file *lf, struct arena *a, struct line *out, bool *end)
{
    struct ledger_err err = {0};
    ssize_t n;
    *end = false;
    do {
        errno = 0;
        n = getline(&lf->text, &lf->text_cap, lf->f);
        if (n < 0 && (ferror(lf->f) || !feof(lf->f)))
            return ctl_fail(lf->ctl, EXIT_USAGE, "%s: %s", lf->path,
                            errno ? strerror(errno) : "cannot be read");
        if (n < 0) {
            *end = true;
            return EXIT_GOOD;
        }
        lf->number++;
        lf->bytes += (uint64_t)n;
    } while (is_blank(lf->text, (size_t)n));
    if (lf->text[n - 1] == '\n')
        n--;
    if ((size_t)n > LINE_BYTES_MAX)
        return line_file_fail(lf, "longer than %u bytes", LINE_BYTES_MAX);
    enum ledger_rc rc = line_parse(a, span_of(lf->text, (size_t)n), out, &err);
    return rc ? fail_parse(lf, &err) : EXIT_GOOD;
}

static void print_object(struct json_writer *w)
{
    json_end(w);
    struct span text = json_written(w);
    fwrite(text.p, 1, text.n, stdout);
    putchar('\n');
}

static void print_json(struct ctl *ctl, struct span id, const struct refusal *why,
                       const uint64_t *index, const struct hash *event_id)
{
    struct json_writer w;
    json_writer_init(&w, ctl->a, false);
    json_object(&w);
    json_put_string(&w, "id", id);
    json_put_string(&w, "verdict", why ? SPAN_LIT("REFUSE") : SPAN_LIT("ACCEPT"));
    if (why) {
        json_put_string(&w, "code", span_str(refusal_name(why->code)));
        json_put_string(&w, "subject", span_str(why->subject));
        json_put_string(&w, "field", span_str(why->field));
        json_put_string(&w, "text", span_str(why->text));
    }
    if (index)
        json_put_uint(&w, "index", *index);
    if (event_id)
        json_put_hex(&w, "event_id", span_of(event_id->b, HASH_LEN));
    print_object(&w);
}

void line_print_other(struct ctl *ctl, struct span id, const char *outcome, const char *text)
{
    struct arena_mark mark = arena_mark(ctl->a);
    struct json_writer w;
    json_writer_init(&w, ctl->a, false);
    json_object(&w);
    json_put_string(&w, "id", id);
    json_put_string(&w, "verdict", span_str(outcome));
    json_put_string(&w, "text", span_str(text));
    print_object(&w);
    arena_release(ctl->a, mark);
}

void line_print(struct ctl *ctl, struct span id, const struct refusal *why, const uint64_t *index,
                const struct hash *event_id)
{
    struct arena_mark mark = arena_mark(ctl->a);
    if (ctl->json)
        print_json(ctl, id, why, index, event_id);
    else if (why)
        printf("%s\tREFUSE:%s\n", ctl_span(ctl, id), refusal_name(why->code));
    else
        printf("%s\tACCEPT\n", ctl_span(ctl, id));
    arena_release(ctl->a, mark);
}
