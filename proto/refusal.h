/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal: why an event was not accepted. The codes are those of the rules (version 1); their numbers
 * are part of the wire protocol and never change. A refused event changes nothing.
 */
#ifndef LEDGERD_PROTO_REFUSAL_H
#define LEDGERD_PROTO_REFUSAL_H

#include "base.h"

#define REFUSAL_LIST(X) \
    X(E_UNKNOWN_KIND, 1) /* event kind not in the closed set */ \
    X(E_MISSING_FIELD, 2) /* something that must be given is absent or empty: a mandatory field, or one that the circumstances ask for */ \
    X(E_DUP_EVENT, 3) /* event id already recorded (idempotent resubmit of identical bytes should instead return the first receipt) */ \
    X(E_UNKNOWN_PARTY, 4) /* signer not registered or revoked at recording time */ \
    X(E_ROLE, 5) /* a signer lacks the role, or the organisation, that this asks for; or no administrator would be left */ \
    X(E_SIG_MISSING, 6) /* no signature */ \
    X(E_SIG_SECOND_MISSING, 7) /* the kind needs two signatures */ \
    X(E_SIG_SAME_PERSON, 8) /* both signatures by one party */ \
    X(E_SIG_MEANING, 9) /* signature without meaning (authorship/verification/approval/release) */ \
    X(E_UNKNOWN_ITEM, 10) /* reference to an id never created */ \
    X(E_DUP_ITEM, 11) /* id created twice */ \
    X(E_TIME_FUTURE, 12) /* occurred later than recorded */ \
    X(E_TIME_ORDER, 13) /* occurred before the thing it refers to existed / before previous custody */ \
    X(E_TERMINAL, 14) /* item already administered or disposed */ \
    X(E_CONSENT_ABSENT, 15) /* no consent for the scope */ \
    X(E_CONSENT_WITHDRAWN, 16) /* consent withdrawn for the scope */ \
    X(E_COI_MISMATCH, 17) /* autologous chain of identity broken */ \
    X(E_PATIENT_MISMATCH, 18) /* scanned patient commitment differs from COI */ \
    X(E_HOLD_RECALL, 19) /* item or an ancestor recalled */ \
    X(E_REJECTED, 20) /* item rejected by quality */ \
    X(E_HOLD_QUARANTINE, 21) /* in quarantine */ \
    X(E_HOLD_DEVIATION, 22) /* open deviation */ \
    X(E_HOLD_EXCURSION, 23) /* unassessed excursion or missing logger data */ \
    X(E_NOT_RELEASED, 24) /* not released */ \
    X(E_EXPIRED, 25) /* past expiry at occurred time */ \
    X(E_IN_TRANSIT, 26) /* in a shipment */ \
    X(E_CUSTODY, 27) /* acting organisation does not hold the item */ \
    X(E_NOT_IN_SHIPMENT, 28) /* item/shipment mismatch or already received */ \
    X(E_QTY_EXCEEDED, 29) /* more taken than available */ \
    X(E_UOM, 30) /* unit of measure differs */ \
    X(E_SPLIT_SUM, 31) /* a unit's quantity is not above 0, or the units sum to more than available */ \
    X(E_NO_INPUT, 32) /* output without any input */ \
    X(E_CYCLE, 33) /* genealogy cycle */ \
    X(E_QC_INCOMPLETE, 34) /* required test missing */ \
    X(E_QC_FAILED, 35) /* a test failed (only EXCEPTIONAL_RELEASE possible) */ \
    X(E_QC_VERDICT, 36) /* verdict contradicts value and limits */ \
    X(E_CARTAGENA, 37) /* GMO lot without approval reference */ \
    X(E_LOGGER_CALIBRATION, 38) /* logger calibration overdue at dispatch */ \
    X(E_LOG_STATS, 39) /* min<=mean<=max violated */ \
    X(E_EXCURSION_FLAG, 40) /* flag contradicts readings and limits */ \
    X(E_THAW_WINDOW, 41) /* post-thaw time exceeded */ \
    X(E_NOT_ADMINISTERED, 42) /* adverse event on a unit never administered */ \
    X(E_CORRECT_TARGET, 43) /* target unknown or itself a correction */ \
    X(E_CORRECT_TWICE, 44) /* this field of this event was corrected before, or the event was declared not to have occurred */ \
    X(E_CORRECT_FIELD, 45) /* field not correctable (identity, quantity-critical, signatures) */ \
    X(E_CORRECT_OLD_VALUE, 46) /* old value does not match the record */ \
    X(E_QC_RETEST, 47) /* a PASS after a FAIL of the same test without a closed deviation of this item that explains it */ \
    X(E_SIG_INVALID, 48) /* a signature does not verify under the key that the party held */ \
    X(E_KEY_INVALID, 49) /* a registered key is no canonical, full-order Ed25519 or P-256 public key */ \
    X(E_BAD_VALUE, 50) /* a field is not of the kind, or its value is not of its type or set */ \
    X(E_SIG_COUNT, 51) /* more signatures than the kind asks for */ \
    /* Of the ledger's own acts; no event is refused with these. */ \
    X(E_ERASE_TARGET, 52) /* what was named for erasure is no event, is a registration, was erased before, or has corrections that are not named */ \
    X(E_RETAINED, 53) /* a retention rule still holds the event */

enum refusal_code {
    REFUSE_NONE = 0,
#define X(name, number) name = number,
    REFUSAL_LIST(X)
#undef X
};

/* Code, whose state stood against it, which field of the event asked for it, and a sentence. */
struct refusal {
    enum refusal_code code;
    char subject[128]; /* "item BAG-1", "party u.qa"; may be empty; cut at the end if longer */
    char field[64];    /* a field of the kind, "units[2].quantity", "signatures[1]"; may be empty */
    char text[240];    /* one sentence: what is wrong and what to do */
};

const char *refusal_name(enum refusal_code code);    /* "E_ROLE"; "E_?" for an unknown number */

/* Fills *r (which may be NULL) and returns false, so that a check reads "return refuse(…)". subject and
 * field may be NULL. Texts are cut, never overrun; bytes that are not printable ASCII become '?'. */
bool refuse(struct refusal *r, enum refusal_code code, const char *subject, const char *field,
            const char *fmt, ...) LEDGER_PRINTF(5, 6);

#endif
