/* SPDX-License-Identifier: Apache-2.0 */
/* liar: `liar run DIR …` is `ledgerd run DIR …` with the lie of the environment; `liar witness` prints the witness's vkey (liar.h). */
#include "liar.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

int liar_print_witness(void);

struct liar liar;

bool lie_is(const char *name)
{
    return strcmp(liar.lie, name) == 0;
}

void liar_die(const char *what, const char *why)
{
    fprintf(stderr, "liar: %s: %s\n", what, why);
    exit(70);
}

bool liar_old_chain(struct arena *a, const struct hash *key, struct chain *out)
{
    struct store_snapshot *sn;
    struct span v;
    struct ledger_err err = {0};
    if (!liar.old)
        liar_die(liar.lie, "needs LIAR_OLD");
    if (store_snapshot_open(liar.old, &sn, &err))
        liar_die("older copy", err.msg);
    struct kv kv = store_snapshot_kv(sn);
    enum ledger_rc rc = kv_get(&kv, KV_CHAIN, span_of(key->b, HASH_LEN), &v);
    v = rc ? SPAN_NONE : arena_copy(a, v);
    store_snapshot_close(sn);
    if (rc)
        return false;
    if (!v.p || chain_record_decode(v, out, &err))
        liar_die("older copy", "a record of a chain");
    out->key = *key;
    return true;
}

static const char *setting(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

int main(int argc, char **argv)
{
    struct ledger_err err = {0};
    const struct store_options small = {.map_bytes = (uint64_t)1 << 30}; /* as the folders are configured */
    liar = (struct liar){setting("LIAR_LIE"), setting("LIAR_A"), setting("LIAR_B"), getenv("LIAR_OLD"), NULL};
    if (argc == 2 && strcmp(argv[1], "witness") == 0)
        return liar_print_witness();
    if (argc < 3 || strcmp(argv[1], "run") != 0)
        liar_die("usage", "liar run DIR [OPTION…] | liar witness");
    if (liar.old_dir && store_open_with(liar.old_dir, STORE_READ, &small, &liar.old, &err))
        liar_die("older copy", err.msg);
    signal(SIGPIPE, SIG_IGN); /* as the daemon's own main does */
    int exit = cmd_run(argc - 1, argv + 1);
    store_close(liar.old);
    return exit;
}
