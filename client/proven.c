/* SPDX-License-Identifier: Apache-2.0 */
/* proven: keeps of a proven chain what it takes to have all of it again (client.h). */
#include <string.h>

#include "client.h"

void subject_keep(struct proven_subject *s, const struct proven_chain *pc)
{
    s->present = pc->present;
    s->opened = pc->opened;
    s->key = pc->chain.key;
    s->head = pc->chain.head;
    s->count = pc->chain.count;
    s->head_index = pc->chain.head_index;
    s->head_recorded_us = pc->head.recorded_us;
}

void subject_open(const struct proven_subject *s, struct proven_chain *out)
{
    proven_chain_clear(out);
    if (!s->opened) {
        chain_clear_state(&out->chain);
    } else {
        LEDGER_REQUIRE(state_decode(s->name.type, s->claim.state, &out->chain, NULL) == LEDGER_OK); /* as when it was verified */
        memcpy(out->chain.salt.b, s->claim.salt.p, HASH_LEN);
        for (size_t i = 0; i < s->claim.n_logs; i++)
            out->logs[s->claim.logs[i].log] = &s->claim.logs[i];
    }
    out->present = out->chain.exists = s->present;
    out->opened = s->opened;
    out->chain.type = s->name.type;
    out->chain.id = s->name.id;
    out->chain.key = s->key;
    out->chain.head = s->head;
    out->chain.count = s->count;
    out->chain.head_index = out->head.index = s->head_index;
    out->head.recorded_us = s->head_recorded_us;
}
