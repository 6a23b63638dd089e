/* SPDX-License-Identifier: Apache-2.0 */
/* request: what a client sends, taken apart by the server's two readers. */
#include "fuzz.h"

#include "query.h"
#include "server/message.h"

FUZZ_TARGET(request)
{
    struct message m;
    struct query *q;
    struct access access = {0};
    const struct query_env env = {.access = &access}; /* no store: nothing is answered here */
    enum ledger_rc rc = message_decode(f->a, in, &m, NULL);
    if (rc == LEDGER_OK)
        for (size_t i = 0; i < m.n_events; i++)
            HOLDS(m.events[i].n <= in.n);
    HOLDS(query_begin(&env, in, &q, NULL) == LEDGER_OK);
    HOLDS(query_credit(q) > 0);
    query_end(q);
    return rc == LEDGER_OK && m.op != OP_UNKNOWN;
}
