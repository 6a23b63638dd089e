/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_stamp: what a recorded TIME_STAMP entry says and who vouches for it. The machine, clients and whoever reads a dossier check
 * tokens here. Pure, as verify.h.
 *
 * Two questions that are kept apart: does the entry hold together (*verify_time_stamp*: its token stamps the note that it carries, the
 * note is a checkpoint of this log and no larger than the entry's place: else the ledger has recorded what its rules forbid), and does one
 * trust the authority (*time_stamp_trust*: under certificates that the verifier has chosen, as of the token's own time).
 *
 * A stamp bounds an entry's time from above only if the stamped checkpoint's tree is a beginning of the tree in which the entry is proven:
 * whoever draws that conclusion proves (cp.size, cp.root) consistent first.
 */
#ifndef LEDGERD_PROTO_VERIFY_STAMP_H
#define LEDGERD_PROTO_VERIFY_STAMP_H

#include "entry.h"
#include "note.h"
#include "tsp.h"
#include "verdict.h"

struct stamp_entry {
    uint64_t index;
    int64_t recorded_us;
    struct span note, token;  /* borrow from the payload */
    struct checkpoint cp;     /* of the note; the log's signature on it is checked by whoever has its key */
    struct hash imprint;      /* SHA-256 of the note */
    struct tsp_info info;     /* as the token says; by whom is not verified */
};
/* TAMPERED: it does not hold together; NEWER: its version. Results borrow from payload; scratch from `a`. */
bool verify_time_stamp(struct crypto *c, struct arena *a, const struct header *h, struct span payload, struct span origin,
                       struct stamp_entry *out, struct verdict *v) LEDGER_MUST_USE;
/* As tsp_token_verify, for a stamp that holds together. */
enum ledger_rc time_stamp_trust(const struct stamp_entry *s, struct span ca_pem, struct tsp_trust *trust, struct ledger_err *err)
    LEDGER_MUST_USE;
static inline struct tsp_stamp stamp_for_bounds(const struct stamp_entry *s)
{
    return (struct tsp_stamp){s->index, s->cp.size, s->info.gen_us, s->info.accuracy_us};
}

#endif
