/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kinds: the closed set of event kinds, their fields, types, signer roles and numbers of signatures, as one
 * table that every part reads: the codec, the form check, the judge, the JSON of the command line.
 * Kind numbers are the numbers in entry headers and the field numbers of the oneof in ledger_events.proto; 0 to 63 are
 * the ledger's own (entry.h).
 */
#ifndef LEDGERD_PROTO_KINDS_H
#define LEDGERD_PROTO_KINDS_H

#include "base.h"

#define EVENT_KIND_LIST(X) \
    X(PARTY_REGISTERED, 64)                                 \
    X(COI_ASSIGNED, 65)                                     \
    X(CONSENT_CHANGED, 66)                                  \
    X(MATERIAL_RECEIVED, 67)                                \
    X(COLLECTION_PERFORMED, 68)                             \
    X(SPECIFICATION_SET, 69)                                \
    X(LOT_CREATED, 70)                                      \
    X(PROCESS_STEP, 71)                                     \
    X(INPUT_CONSUMED, 72)                                   \
    X(LOT_DERIVED, 73)                                      \
    X(LOT_SPLIT, 74)                                        \
    X(QC_RESULT, 75)                                        \
    X(DEVIATION_CHANGED, 76)                                \
    X(QUALITY_DECISION, 77)                                 \
    X(STORAGE_MOVED, 78)                                    \
    X(SHIPMENT_DISPATCHED, 79)                              \
    X(CUSTODY_TRANSFERRED, 80)                              \
    X(SHIPMENT_RECEIVED, 81)                                \
    X(CONDITION_LOGGED, 82)                                 \
    X(EXCURSION_ASSESSED, 83)                               \
    X(ADMINISTERED, 84)                                     \
    X(ADVERSE_EVENT_REPORTED, 85)                           \
    X(RECALL_CHANGED, 86)                                   \
    X(EVENT_CORRECTED, 87)                                  \
    X(LOT_DISPOSED, 88)

enum event_kind {
    EVENT_KIND_NONE = 0,
#define X(name, number) KIND_##name = number,
    EVENT_KIND_LIST(X)
#undef X
};
#define EVENT_KIND_FIRST 64
#define EVENT_KIND_LAST 88

#define FIELD_LIST(X) \
    X(ACTION, "action") X(PARTY, "party") X(ROLES, "roles") X(ORG, "org") X(PUBKEY, "pubkey")     \
    X(NAME_COMMIT, "name_commit") X(GLN, "gln") X(VALID_FROM, "valid_from")                       \
    X(VALID_TO, "valid_to") X(COI, "coi") X(SUBJECT_COMMIT, "subject_commit") X(USE, "use")       \
    X(ISSUER, "issuer") X(DONOR_OR_PATIENT, "donor_or_patient") X(SCOPES, "scopes")               \
    X(DOCUMENT_HASH, "document_hash") X(VERSION, "version") X(JURISDICTION, "jurisdiction")       \
    X(LANGUAGE, "language") X(ECONSENT_REF, "econsent_ref") X(ITEM, "item") X(GTIN, "gtin")       \
    X(LOT, "lot") X(SUPPLIER, "supplier") X(QUANTITY, "quantity") X(UOM, "uom")                   \
    X(EXPIRY, "expiry") X(COA_HASH, "coa_hash") X(ORIGIN, "origin")                               \
    X(REQUIRED_TESTS, "required_tests") X(COO_HASH, "coo_hash")                                   \
    X(TSE_STATEMENT, "tse_statement") X(STORAGE_C, "storage_c") X(NAME, "name") X(DIN, "din")     \
    X(SITE, "site") X(PROCEDURE, "procedure") X(ANTICOAGULANT, "anticoagulant")                   \
    X(DONOR_SCREEN_HASH, "donor_screen_hash") X(CELL_COUNT_E9, "cell_count_e9")                   \
    X(PRODUCT_CODE, "product_code") X(TESTS, "tests") X(LOT_CLASS, "lot_class")                   \
    X(SPEC_VERSION, "spec_version") X(GMO, "gmo") X(CARTAGENA_REF, "cartagena_ref")               \
    X(MBR_VERSION, "mbr_version") X(FOR_COI, "for_coi") X(STEP, "step") X(SOP, "sop")             \
    X(EQUIPMENT, "equipment") X(PARAMS, "params") X(DURATION_MIN, "duration_min")                 \
    X(VERIFIER, "verifier") X(ROOM, "room") X(BSC_PARTICLES, "bsc_particles") X(INPUT, "input")   \
    X(LINE_CLEARANCE, "line_clearance") X(CONTAINER, "container") X(FORMULATION, "formulation")   \
    X(CELLS_TOTAL_E6, "cells_total_e6") X(UNITS, "units") X(LABEL_VERSION, "label_version")       \
    X(TEST, "test") X(METHOD, "method") X(VALUE, "value") X(UNIT, "unit") X(VERDICT, "verdict")   \
    X(SAMPLE, "sample") X(LOW, "low") X(HIGH, "high") X(LAB, "lab") X(ANALYST, "analyst")         \
    X(INSTRUMENT, "instrument") X(DEVIATION, "deviation") X(DESCRIPTION, "description")           \
    X(CLASS, "class") X(ROOT_CAUSE, "root_cause") X(CAPA, "capa") X(DECISION, "decision")         \
    X(REASON, "reason") X(JUSTIFICATION, "justification")                                         \
    X(PHYSICIAN_REQUEST, "physician_request") X(CERTIFICATE_HASH, "certificate_hash")             \
    X(LOCATION, "location") X(POSITION, "position") X(TEMPERATURE_C, "temperature_c")             \
    X(SHIPMENT, "shipment") X(ITEMS, "items") X(TO_ORG, "to_org") X(CARRIER_ORG, "carrier_org")   \
    X(LOGGER, "logger") X(LOGGER_CALIBRATION_DUE, "logger_calibration_due") X(MIN_C, "min_c")     \
    X(MAX_C, "max_c") X(SSCC, "sscc") X(UNDER_QUARANTINE, "under_quarantine") X(ETA, "eta")       \
    X(ROUTE, "route") X(RETURN_REASON, "return_reason") X(FROM_PARTY, "from_party")               \
    X(TO_PARTY, "to_party") X(PLACE, "place") X(SEAL_INTACT, "seal_intact")                       \
    X(CONTAINER_CONDITION, "container_condition") X(DISCREPANCY, "discrepancy")                   \
    X(RETURNED, "returned") X(START, "start") X(END, "end") X(INTERVAL_S, "interval_s")           \
    X(READINGS, "readings") X(MEAN_C, "mean_c") X(RAW_HASH, "raw_hash")                           \
    X(EXCURSION, "excursion") X(LIMIT_MIN_C, "limit_min_c") X(LIMIT_MAX_C, "limit_max_c")         \
    X(EXCURSION_ID, "excursion_id") X(MINUTES_OUTSIDE, "minutes_outside") X(SHOCK_G, "shock_g")   \
    X(TILT_DEG, "tilt_deg") X(OUTCOME, "outcome") X(STABILITY_REF, "stability_ref")               \
    X(MKT_C, "mkt_c") X(NEW_EXPIRY, "new_expiry")                                                 \
    X(SUBJECT_COMMIT_SCANNED, "subject_commit_scanned") X(DOSE, "dose")                           \
    X(THAW_TIME, "thaw_time") X(MAX_POST_THAW_MIN, "max_post_thaw_min")                           \
    X(VOLUME_ML, "volume_ml") X(INFUSION_END, "infusion_end") X(NONCONFORMING, "nonconforming")   \
    X(EVENT_CODE, "event_code") X(GRADE, "grade") X(ONSET, "onset")                               \
    X(SERIOUSNESS, "seriousness") X(CAUSALITY, "causality") X(REPORTED_TO, "reported_to")         \
    X(PRE_ADMINISTRATION, "pre_administration") X(RECALL, "recall") X(NOTIFIED, "notified")       \
    X(CLOSING_REPORT_HASH, "closing_report_hash") X(TARGET_EVENT, "target_event")                 \
    X(CHANGES, "changes") X(DID_NOT_OCCUR, "did_not_occur")                                       \
    X(GMO_INACTIVATION, "gmo_inactivation") X(WITNESS, "witness")                                 \
    X(LOST_SHIPMENT, "lost_shipment")

/* One name, one number, whatever the kind: the judge asks for FIELD_ITEM of any event. */
enum field_name {
    FIELD_NONE = 0,
#define X(name, text) FIELD_##name,
    FIELD_LIST(X)
#undef X
    FIELD_COUNT
};

/* Roles, as bits of a mask; the order is the enum's order in ledger_events.proto (1-based). */
#define ROLE_LIST(X)                                                                              \
    X(ADMIN, 1) X(COLLECTION, 2) X(CONSENT_OFFICER, 3) X(COURIER, 4) X(HOSPITAL, 5) X(OPERATOR, 6) \
    X(QA, 7) X(QC, 8) X(QP, 9) X(REGULATORY, 10) X(WAREHOUSE, 11)
enum role {
#define X(name, number) ROLE_##name = number,
    ROLE_LIST(X)
#undef X
};
#define ROLE_BIT(r) (1u << (r))

enum field_type {
    TYPE_ID, TYPE_TEXT, TYPE_REF, TYPE_DECIMAL, TYPE_INT, TYPE_TIME, TYPE_BOOL, TYPE_ENUM, TYPE_SCALAR, TYPE_ANY,
    TYPE_MAP,          /* text to scalars */
    TYPE_LIST_ID, TYPE_LIST_TEXT, TYPE_LIST_DECIMAL, TYPE_LIST_ENUM, TYPE_LIST_RECORD,
};

struct enum_type { unsigned n; const char *const *names; }; /* names[0] has number 1 */

/* A member of a record, or a field of a kind. */
struct field_def {
    enum field_name name;
    const char *text;              /* the name as in rules and JSON */
    enum field_type type;
    unsigned number;               /* field number in the kind's protobuf message */
    bool mandatory;
    bool correctable;
    const struct enum_type *names; /* TYPE_ENUM, TYPE_LIST_ENUM */
    const struct field_def *members; /* TYPE_LIST_RECORD; member names that are no kind's field have FIELD_NONE */
    unsigned n_members;
};

struct kind_def {
    enum event_kind kind;
    const char *name;        /* "LOT_SPLIT" */
    unsigned signatures;     /* 1 or 2 */
    unsigned roles;          /* mask: the first signer has one of them */
    unsigned second_roles;   /* mask; 0 for kinds with one signature */
    const struct field_def *fields; /* mandatory ones first, in the listed order; numbers 1..n in this order */
    unsigned n_fields;
};

const struct kind_def *kind_find(unsigned number);           /* NULL if it is none of the 25 */
const struct kind_def *kind_by_name(struct span name);
const struct field_def *kind_field(const struct kind_def *k, struct span name);
const struct field_def *kind_field_at(const struct kind_def *k, enum field_name name);
const char *role_name(enum role r);
unsigned role_by_name(struct span name);                     /* 0 if there is none */

/* Enum values that the judge switches on: 1-based, in the listed order of event_kinds.json. */
enum party_action { PARTY_REGISTER = 1, PARTY_AMEND, PARTY_ROTATE_KEY, PARTY_REVOKE };
enum use { USE_AUTOLOGOUS = 1, USE_ALLOGENEIC };
enum consent_action { CONSENT_GIVEN = 1, CONSENT_WITHDRAWN };
enum consent_scope { SCOPE_COLLECTION = 1, SCOPE_MANUFACTURE, SCOPE_TREATMENT, SCOPE_RESEARCH,
                     SCOPE_INTERNATIONAL_TRANSFER, SCOPE_BIOBANK, SCOPE_COUNT = SCOPE_BIOBANK };
enum lot_class { LOT_BANK = 1, LOT_BATCH, LOT_VECTOR, LOT_PLASMID };
enum qc_verdict { QC_PASS = 1, QC_FAIL };
enum deviation_action { DEVIATION_OPENED = 1, DEVIATION_CLOSED };
enum quality_decision { DECISION_RELEASE = 1, DECISION_EXCEPTIONAL_RELEASE, DECISION_REJECT,
                        DECISION_QUARANTINE, DECISION_LIFT_QUARANTINE };
enum excursion_outcome { OUTCOME_USE_AS_IS = 1, OUTCOME_REDUCE_EXPIRY, OUTCOME_REJECT };
enum recall_action { RECALL_ISSUED = 1, RECALL_CLOSED };

#endif
