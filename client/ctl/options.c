/* SPDX-License-Identifier: Apache-2.0 */
/* options: one way to read the options of every command (ctl.h). */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

struct parse {
    struct ctl *ctl;
    const struct ctl_opt *opts;
    size_t n_opts;
    int argc, at;
    char **argv;
};

static const struct ctl_opt *find(const struct ctl_opt *opts, size_t n, const char *arg, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        bool is_long = arg[0] == '-' && arg[1] == '-' && strlen(opts[i].name) == len - 2 &&
                       strncmp(arg + 2, opts[i].name, len - 2) == 0;
        if (is_long || (len == 2 && opts[i].letter && arg[1] == opts[i].letter))
            return &opts[i];
    }
    return NULL;
}

static bool store(const struct ctl_opt *o, const char *value)
{
    if (o->kind == OPT_FLAG) {
        *o->to.flag = true;
        return true;
    }
    if (o->kind == OPT_TEXT) {
        *o->to.text = value;
        return true;
    }
    if (o->to.list->n == OPT_LIST_MAX)
        return false;
    o->to.list->v[o->to.list->n++] = value;
    return true;
}

/* One option at argv[at]; its value may follow after "=" or as the next argument. */
static bool one(struct parse *p, const struct ctl_opt *common, size_t n_common)
{
    const char *arg = p->argv[p->at], *eq = strchr(arg, '=');
    size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
    const struct ctl_opt *o = find(p->opts, p->n_opts, arg, len);
    if (!o)
        o = find(common, n_common, arg, len);
    if (!o) {
        ctl_fail(p->ctl, EXIT_USAGE, "unknown option %s; `ledgerctl %s --help` lists them", arg, p->ctl->command);
        return false;
    }
    const char *value = eq ? eq + 1 : NULL;
    if (o->kind == OPT_FLAG ? value != NULL : !value && p->at + 1 >= p->argc) {
        ctl_fail(p->ctl, EXIT_USAGE, o->kind == OPT_FLAG ? "--%s takes no value" : "--%s needs a value", o->name);
        return false;
    }
    if (o->kind != OPT_FLAG && !value)
        value = p->argv[++p->at];
    if (!store(o, value)) {
        ctl_fail(p->ctl, EXIT_USAGE, "--%s is given more than %d times", o->name, OPT_LIST_MAX);
        return false;
    }
    return true;
}

static bool set_timeout(struct ctl *ctl)
{
    const char *text = ctl->timeout;
    char *end;
    if (!text)
        return true;
    unsigned long s = strtoul(text, &end, 10);
    if (*end || end == text || s == 0 || s > 86400) {
        ctl_fail(ctl, EXIT_USAGE, "--timeout takes seconds, 1 to 86400");
        return false;
    }
    ctl->timeout_ms = (unsigned)s * 1000u;
    return true;
}

bool ctl_options(struct ctl *ctl, int argc, char **argv, const struct ctl_opt *opts, size_t n_opts, unsigned min, unsigned max,
                 char ***args, unsigned *n_args, bool *done)
{
    bool help = false;
    const struct ctl_opt common[] = {
        {"json", OPT_FLAG, {.flag = &ctl->json}, 0},          {"quiet", OPT_FLAG, {.flag = &ctl->quiet}, 'q'},
        {"profile", OPT_TEXT, {.text = &ctl->profile_path}, 0}, {"server", OPT_TEXT, {.text = &ctl->server}, 0},
        {"timeout", OPT_TEXT, {.text = &ctl->timeout}, 0},         {"help", OPT_FLAG, {.flag = &help}, 'h'},
    };
    struct parse p = {.ctl = ctl, .opts = opts, .n_opts = n_opts, .argc = argc, .at = 1, .argv = argv};
    unsigned n = 0;
    bool only_args = false;
    *done = false;
    for (; p.at < argc; p.at++) {
        const char *arg = argv[p.at];
        if (!only_args && strcmp(arg, "--") == 0)
            only_args = true;
        else if (only_args || arg[0] != '-' || arg[1] == 0)
            argv[n++] = argv[p.at]; /* positional arguments move to the front: never past where we read */
        else if (!one(&p, common, sizeof common / sizeof common[0]))
            return false;
    }
    if (help) {
        ctl_help(ctl_command(ctl->command));
        *done = true;
        return true;
    }
    *args = argv;
    *n_args = n;
    if (n < min || n > max) {
        const struct command *cmd = ctl_command(ctl->command);
        ctl_fail(ctl, EXIT_USAGE, "usage: ledgerctl %s %s", cmd->name, cmd->arguments);
        return false;
    }
    return set_timeout(ctl);
}

void ctl_help(const struct command *cmd)
{
    printf("usage: ledgerctl [--profile FOLDER] %s %s\n\n%s\n\n%s", cmd->name, cmd->arguments, cmd->summary, cmd->help);
    printf("\nCommon options: --profile FOLDER, --server HOST:PORT, --timeout SECONDS, --json, --quiet.\n");
}

const struct command *ctl_command(const char *name)
{
    for (unsigned i = 0; i < ctl_n_commands; i++)
        if (strcmp(ctl_commands[i].name, name) == 0)
            return &ctl_commands[i];
    return NULL;
}
