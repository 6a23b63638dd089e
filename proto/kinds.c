/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kinds.c: the table of the 25 event kinds (rules version 1).
 *
 * A row reads: protobuf field number, name, type, MUST or MAY, and FIX if EVENT_CORRECTED may
 * change it. Mandatory fields come first, in the order in which the rules check them; numbers,
 * names and the order of enum values are part of the format and never change. A look-up that finds
 * nothing returns NULL or 0. May include: kinds.h only.
 */
#include "kinds.h"

#define MUST 1u
#define MAY 0u
#define FIX 2u

#define FIELD(n, id, word, kind_of_value, flags)                                                   \
    {.name = FIELD_##id, .text = (word), .type = TYPE_##kind_of_value, .number = (n),              \
     .mandatory = ((flags) & MUST) != 0, .correctable = ((flags) & FIX) != 0}
#define ENUMERATED(n, id, word, kind_of_value, flags, list)                                        \
    {.name = FIELD_##id, .text = (word), .type = TYPE_##kind_of_value, .number = (n),              \
     .mandatory = ((flags) & MUST) != 0, .correctable = ((flags) & FIX) != 0, .names = &(list)}
#define RECORDS(n, id, word, flags, list)                                                          \
    {.name = FIELD_##id, .text = (word), .type = TYPE_LIST_RECORD, .number = (n),                  \
     .mandatory = ((flags) & MUST) != 0, .correctable = ((flags) & FIX) != 0, .members = (list),   \
     .n_members = sizeof(list) / sizeof(list)[0]}
#define NAMES(list) {.n = sizeof(list) / sizeof(list)[0], .names = (list)}
#define R(role) ROLE_BIT(ROLE_##role)
#define KIND(id, signers, first, second, list)                                                     \
    {.kind = KIND_##id, .name = #id, .signatures = (signers), .roles = (first),                    \
     .second_roles = (second), .fields = (list), .n_fields = sizeof(list) / sizeof(list)[0]}

static const char *const party_action_list[] = {"REGISTER", "AMEND", "ROTATE_KEY", "REVOKE"};
static const struct enum_type party_action_names = NAMES(party_action_list);

static const char *const role_list[] = {
    "ADMIN", "COLLECTION", "CONSENT_OFFICER", "COURIER", "HOSPITAL", "OPERATOR", "QA", "QC",
    "QP", "REGULATORY", "WAREHOUSE"};
static const struct enum_type role_names = NAMES(role_list);

static const char *const use_list[] = {"AUTOLOGOUS", "ALLOGENEIC"};
static const struct enum_type use_names = NAMES(use_list);

static const char *const donor_or_patient_list[] = {"DONOR", "PATIENT"};
static const struct enum_type donor_or_patient_names = NAMES(donor_or_patient_list);

static const char *const consent_action_list[] = {"GIVEN", "WITHDRAWN"};
static const struct enum_type consent_action_names = NAMES(consent_action_list);

static const char *const consent_scope_list[] = {
    "COLLECTION", "MANUFACTURE", "TREATMENT", "RESEARCH", "INTERNATIONAL_TRANSFER",
    "BIOBANK"};
static const struct enum_type consent_scope_names = NAMES(consent_scope_list);

static const char *const lot_class_list[] = {"BANK", "BATCH", "VECTOR", "PLASMID"};
static const struct enum_type lot_class_names = NAMES(lot_class_list);

static const char *const qc_verdict_list[] = {"PASS", "FAIL"};
static const struct enum_type qc_verdict_names = NAMES(qc_verdict_list);

static const char *const deviation_action_list[] = {"OPENED", "CLOSED"};
static const struct enum_type deviation_action_names = NAMES(deviation_action_list);

static const char *const quality_decision_list[] = {
    "RELEASE", "EXCEPTIONAL_RELEASE", "REJECT", "QUARANTINE", "LIFT_QUARANTINE"};
static const struct enum_type quality_decision_names = NAMES(quality_decision_list);

static const char *const excursion_outcome_list[] = {"USE_AS_IS", "REDUCE_EXPIRY", "REJECT"};
static const struct enum_type excursion_outcome_names = NAMES(excursion_outcome_list);

static const char *const recall_action_list[] = {"ISSUED", "CLOSED"};
static const struct enum_type recall_action_names = NAMES(recall_action_list);

static const char *const recall_class_list[] = {"I", "II", "III"};
static const struct enum_type recall_class_names = NAMES(recall_class_list);

/* Records inside lists. Members marked `?` in the rules are MAY. */
static const struct field_def test_limit_members[] = {
    FIELD(1, TEST, "test", TEXT, MUST),
    FIELD(2, UNIT, "unit", TEXT, MUST),
    FIELD(3, LOW, "low", DECIMAL, MAY),
    FIELD(4, HIGH, "high", DECIMAL, MAY),
    FIELD(5, NONE, "required", BOOL, MUST),
};
static const struct field_def split_unit_members[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, QUANTITY, "quantity", DECIMAL, MUST),
    FIELD(3, GTIN, "gtin", TEXT, MAY),
    FIELD(4, NONE, "serial", TEXT, MAY),
    FIELD(5, NONE, "sgtin", TEXT, MAY),
};
static const struct field_def change_members[] = {
    FIELD(1, NONE, "field", TEXT, MUST),
    FIELD(2, NONE, "old", ANY, MUST),
    FIELD(3, NONE, "new", ANY, MUST),
};

static const struct field_def party_registered_fields[] = {
    ENUMERATED(1, ACTION, "action", ENUM, MUST, party_action_names),
    FIELD(2, PARTY, "party", ID, MUST),
    ENUMERATED(3, ROLES, "roles", LIST_ENUM, MUST, role_names),
    FIELD(4, ORG, "org", ID, MUST),
    FIELD(5, PUBKEY, "pubkey", TEXT, MAY),
    FIELD(6, NAME_COMMIT, "name_commit", TEXT, MAY),
    FIELD(7, GLN, "gln", TEXT, MAY),
    FIELD(8, VALID_FROM, "valid_from", TIME, MAY),
    FIELD(9, VALID_TO, "valid_to", TIME, MAY),
};

static const struct field_def coi_assigned_fields[] = {
    FIELD(1, COI, "coi", ID, MUST),
    FIELD(2, SUBJECT_COMMIT, "subject_commit", TEXT, MUST),
    ENUMERATED(3, USE, "use", ENUM, MUST, use_names),
    FIELD(4, ISSUER, "issuer", TEXT, MAY),
    ENUMERATED(5, DONOR_OR_PATIENT, "donor_or_patient", ENUM, MAY, donor_or_patient_names),
};

static const struct field_def consent_changed_fields[] = {
    FIELD(1, COI, "coi", ID, MUST),
    ENUMERATED(2, ACTION, "action", ENUM, MUST, consent_action_names),
    ENUMERATED(3, SCOPES, "scopes", LIST_ENUM, MUST, consent_scope_names),
    FIELD(4, DOCUMENT_HASH, "document_hash", REF, MUST),
    FIELD(5, VERSION, "version", TEXT, MUST | FIX),
    FIELD(6, JURISDICTION, "jurisdiction", TEXT, MAY),
    FIELD(7, LANGUAGE, "language", TEXT, MAY),
    FIELD(8, ECONSENT_REF, "econsent_ref", TEXT, MAY),
};

static const struct field_def material_received_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, GTIN, "gtin", TEXT, MUST),
    FIELD(3, LOT, "lot", TEXT, MUST | FIX),
    FIELD(4, SUPPLIER, "supplier", TEXT, MUST | FIX),
    FIELD(5, QUANTITY, "quantity", DECIMAL, MUST),
    FIELD(6, UOM, "uom", TEXT, MUST),
    FIELD(7, EXPIRY, "expiry", TIME, MUST),
    FIELD(8, COA_HASH, "coa_hash", REF, MUST),
    FIELD(9, ORIGIN, "origin", TEXT, MUST),
    FIELD(10, REQUIRED_TESTS, "required_tests", LIST_TEXT, MAY),
    FIELD(11, COO_HASH, "coo_hash", REF, MAY),
    FIELD(12, TSE_STATEMENT, "tse_statement", TEXT, MAY),
    FIELD(13, STORAGE_C, "storage_c", LIST_DECIMAL, MAY),
    FIELD(14, NAME, "name", TEXT, MAY),
};

static const struct field_def collection_performed_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, DIN, "din", TEXT, MUST),
    FIELD(3, COI, "coi", ID, MUST),
    ENUMERATED(4, USE, "use", ENUM, MUST, use_names),
    FIELD(5, QUANTITY, "quantity", DECIMAL, MUST | FIX),
    FIELD(6, UOM, "uom", TEXT, MUST),
    FIELD(7, EXPIRY, "expiry", TIME, MUST),
    FIELD(8, SITE, "site", TEXT, MUST),
    FIELD(9, PROCEDURE, "procedure", TEXT, MUST),
    FIELD(10, ANTICOAGULANT, "anticoagulant", TEXT, MAY),
    FIELD(11, DONOR_SCREEN_HASH, "donor_screen_hash", REF, MAY),
    FIELD(12, CELL_COUNT_E9, "cell_count_e9", DECIMAL, MAY | FIX),
};

static const struct field_def specification_set_fields[] = {
    FIELD(1, PRODUCT_CODE, "product_code", TEXT, MUST),
    FIELD(2, VERSION, "version", TEXT, MUST),
    RECORDS(3, TESTS, "tests", MUST, test_limit_members),
    FIELD(4, DOCUMENT_HASH, "document_hash", REF, MAY),
};

static const struct field_def lot_created_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    ENUMERATED(2, LOT_CLASS, "lot_class", ENUM, MUST, lot_class_names),
    FIELD(3, PRODUCT_CODE, "product_code", TEXT, MUST),
    FIELD(4, LOT, "lot", TEXT, MUST | FIX),
    ENUMERATED(5, USE, "use", ENUM, MUST, use_names),
    FIELD(6, REQUIRED_TESTS, "required_tests", LIST_TEXT, MUST),
    FIELD(7, SPEC_VERSION, "spec_version", TEXT, MUST),
    FIELD(8, COI, "coi", ID, MAY),
    FIELD(9, UOM, "uom", TEXT, MAY),
    FIELD(10, GMO, "gmo", BOOL, MAY),
    FIELD(11, CARTAGENA_REF, "cartagena_ref", TEXT, MAY),
    FIELD(12, STORAGE_C, "storage_c", LIST_DECIMAL, MAY),
    FIELD(13, EXPIRY, "expiry", TIME, MAY),
    FIELD(14, MBR_VERSION, "mbr_version", TEXT, MAY),
    FIELD(15, SITE, "site", TEXT, MAY),
    FIELD(16, FOR_COI, "for_coi", ID, MAY),
};

static const struct field_def process_step_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, STEP, "step", TEXT, MUST),
    FIELD(3, SOP, "sop", TEXT, MUST),
    FIELD(4, EQUIPMENT, "equipment", TEXT, MUST | FIX),
    FIELD(5, PARAMS, "params", MAP, MAY | FIX),
    FIELD(6, DURATION_MIN, "duration_min", DECIMAL, MAY),
    FIELD(7, VERIFIER, "verifier", TEXT, MAY),
    FIELD(8, ROOM, "room", TEXT, MAY),
    FIELD(9, BSC_PARTICLES, "bsc_particles", DECIMAL, MAY),
};

static const struct field_def input_consumed_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, INPUT, "input", ID, MUST),
    FIELD(3, QUANTITY, "quantity", DECIMAL, MUST | FIX),
    FIELD(4, UOM, "uom", TEXT, MUST),
    FIELD(5, STEP, "step", TEXT, MAY),
    FIELD(6, LINE_CLEARANCE, "line_clearance", TEXT, MAY),
};

static const struct field_def lot_derived_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, QUANTITY, "quantity", DECIMAL, MUST | FIX),
    FIELD(3, UOM, "uom", TEXT, MUST),
    FIELD(4, EXPIRY, "expiry", TIME, MUST),
    FIELD(5, CONTAINER, "container", TEXT, MAY),
    FIELD(6, FORMULATION, "formulation", TEXT, MAY),
    FIELD(7, CELLS_TOTAL_E6, "cells_total_e6", DECIMAL, MAY),
};

static const struct field_def lot_split_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    RECORDS(2, UNITS, "units", MUST, split_unit_members),
    FIELD(3, LABEL_VERSION, "label_version", TEXT, MAY),
};

static const struct field_def qc_result_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, TEST, "test", TEXT, MUST),
    FIELD(3, METHOD, "method", TEXT, MUST),
    FIELD(4, VALUE, "value", SCALAR, MUST | FIX),
    FIELD(5, UNIT, "unit", TEXT, MUST),
    ENUMERATED(6, VERDICT, "verdict", ENUM, MUST, qc_verdict_names),
    FIELD(7, SAMPLE, "sample", TEXT, MUST),
    FIELD(8, LOW, "low", DECIMAL, MAY),
    FIELD(9, HIGH, "high", DECIMAL, MAY),
    FIELD(10, LAB, "lab", TEXT, MAY),
    FIELD(11, ANALYST, "analyst", TEXT, MAY),
    FIELD(12, INSTRUMENT, "instrument", TEXT, MAY),
    FIELD(13, DEVIATION, "deviation", ID, MAY),
};

static const struct field_def deviation_changed_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, DEVIATION, "deviation", ID, MUST),
    ENUMERATED(3, ACTION, "action", ENUM, MUST, deviation_action_names),
    FIELD(4, DESCRIPTION, "description", TEXT, MUST | FIX),
    FIELD(5, CLASS, "class", TEXT, MAY),
    FIELD(6, ROOT_CAUSE, "root_cause", TEXT, MAY),
    FIELD(7, CAPA, "capa", TEXT, MAY),
};

static const struct field_def quality_decision_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    ENUMERATED(2, DECISION, "decision", ENUM, MUST, quality_decision_names),
    FIELD(3, SPEC_VERSION, "spec_version", TEXT, MUST),
    FIELD(4, REASON, "reason", TEXT, MUST),
    FIELD(5, JUSTIFICATION, "justification", TEXT, MAY),
    FIELD(6, PHYSICIAN_REQUEST, "physician_request", TEXT, MAY),
    FIELD(7, CERTIFICATE_HASH, "certificate_hash", REF, MAY),
};

static const struct field_def storage_moved_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, LOCATION, "location", TEXT, MUST),
    FIELD(3, POSITION, "position", TEXT, MAY | FIX),
    FIELD(4, TEMPERATURE_C, "temperature_c", DECIMAL, MAY),
};

static const struct field_def shipment_dispatched_fields[] = {
    FIELD(1, SHIPMENT, "shipment", ID, MUST),
    FIELD(2, ITEMS, "items", LIST_ID, MUST),
    FIELD(3, TO_ORG, "to_org", ID, MUST),
    FIELD(4, CARRIER_ORG, "carrier_org", ID, MUST),
    FIELD(5, CONTAINER, "container", TEXT, MUST),
    FIELD(6, LOGGER, "logger", TEXT, MUST),
    FIELD(7, LOGGER_CALIBRATION_DUE, "logger_calibration_due", TIME, MUST),
    FIELD(8, MIN_C, "min_c", DECIMAL, MUST),
    FIELD(9, MAX_C, "max_c", DECIMAL, MUST),
    FIELD(10, SSCC, "sscc", TEXT, MAY),
    FIELD(11, UNDER_QUARANTINE, "under_quarantine", BOOL, MAY),
    FIELD(12, ETA, "eta", TIME, MAY),
    FIELD(13, ROUTE, "route", TEXT, MAY),
    FIELD(14, RETURN_REASON, "return_reason", TEXT, MAY),
};

static const struct field_def custody_transferred_fields[] = {
    FIELD(1, SHIPMENT, "shipment", ID, MUST),
    FIELD(2, FROM_PARTY, "from_party", TEXT, MUST),
    FIELD(3, TO_PARTY, "to_party", TEXT, MUST),
    FIELD(4, PLACE, "place", TEXT, MUST),
    FIELD(5, SEAL_INTACT, "seal_intact", BOOL, MAY),
};

static const struct field_def shipment_received_fields[] = {
    FIELD(1, SHIPMENT, "shipment", ID, MUST),
    FIELD(2, ITEMS, "items", LIST_ID, MUST),
    FIELD(3, SEAL_INTACT, "seal_intact", BOOL, MUST),
    FIELD(4, CONTAINER_CONDITION, "container_condition", TEXT, MUST),
    FIELD(5, DISCREPANCY, "discrepancy", TEXT, MAY),
    FIELD(6, RETURNED, "returned", BOOL, MAY),
};

static const struct field_def condition_logged_fields[] = {
    FIELD(1, LOGGER, "logger", TEXT, MUST),
    FIELD(2, START, "start", TIME, MUST),
    FIELD(3, END, "end", TIME, MUST),
    FIELD(4, INTERVAL_S, "interval_s", INT, MUST),
    FIELD(5, READINGS, "readings", INT, MUST),
    FIELD(6, MIN_C, "min_c", DECIMAL, MUST),
    FIELD(7, MAX_C, "max_c", DECIMAL, MUST),
    FIELD(8, MEAN_C, "mean_c", DECIMAL, MUST),
    FIELD(9, RAW_HASH, "raw_hash", REF, MUST),
    FIELD(10, EXCURSION, "excursion", BOOL, MUST),
    FIELD(11, SHIPMENT, "shipment", ID, MAY),
    FIELD(12, ITEMS, "items", LIST_ID, MAY),
    FIELD(13, LIMIT_MIN_C, "limit_min_c", DECIMAL, MAY),
    FIELD(14, LIMIT_MAX_C, "limit_max_c", DECIMAL, MAY),
    FIELD(15, EXCURSION_ID, "excursion_id", ID, MAY),
    FIELD(16, MINUTES_OUTSIDE, "minutes_outside", DECIMAL, MAY),
    FIELD(17, SHOCK_G, "shock_g", DECIMAL, MAY),
    FIELD(18, TILT_DEG, "tilt_deg", DECIMAL, MAY),
    FIELD(19, LOGGER_CALIBRATION_DUE, "logger_calibration_due", TIME, MAY),
};

static const struct field_def excursion_assessed_fields[] = {
    FIELD(1, EXCURSION_ID, "excursion_id", ID, MUST),
    ENUMERATED(2, OUTCOME, "outcome", ENUM, MUST, excursion_outcome_names),
    FIELD(3, JUSTIFICATION, "justification", TEXT, MUST),
    FIELD(4, STABILITY_REF, "stability_ref", TEXT, MAY),
    FIELD(5, MKT_C, "mkt_c", DECIMAL, MAY),
    FIELD(6, NEW_EXPIRY, "new_expiry", TIME, MAY),
};

static const struct field_def administered_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, COI, "coi", ID, MUST),
    FIELD(3, SUBJECT_COMMIT_SCANNED, "subject_commit_scanned", TEXT, MUST),
    FIELD(4, DOSE, "dose", DECIMAL, MUST),
    FIELD(5, UOM, "uom", TEXT, MUST),
    FIELD(6, ROUTE, "route", TEXT, MUST),
    FIELD(7, SITE, "site", TEXT, MUST),
    FIELD(8, THAW_TIME, "thaw_time", TIME, MAY),
    FIELD(9, MAX_POST_THAW_MIN, "max_post_thaw_min", DECIMAL, MAY),
    FIELD(10, VOLUME_ML, "volume_ml", DECIMAL, MAY | FIX),
    FIELD(11, INFUSION_END, "infusion_end", TIME, MAY | FIX),
    FIELD(12, NONCONFORMING, "nonconforming", BOOL, MAY),
    FIELD(13, DEVIATION, "deviation", ID, MAY),
};

static const struct field_def adverse_event_reported_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, COI, "coi", ID, MUST),
    FIELD(3, EVENT_CODE, "event_code", TEXT, MUST),
    FIELD(4, GRADE, "grade", INT, MUST | FIX),
    FIELD(5, ONSET, "onset", TIME, MUST),
    FIELD(6, SERIOUSNESS, "seriousness", TEXT, MUST),
    FIELD(7, CAUSALITY, "causality", TEXT, MAY | FIX),
    FIELD(8, OUTCOME, "outcome", TEXT, MAY),
    FIELD(9, REPORTED_TO, "reported_to", TEXT, MAY),
    FIELD(10, PRE_ADMINISTRATION, "pre_administration", BOOL, MAY),
};

static const struct field_def recall_changed_fields[] = {
    FIELD(1, RECALL, "recall", ID, MUST),
    ENUMERATED(2, ACTION, "action", ENUM, MUST, recall_action_names),
    FIELD(3, ITEMS, "items", LIST_ID, MUST),
    ENUMERATED(4, CLASS, "class", ENUM, MUST, recall_class_names),
    FIELD(5, REASON, "reason", TEXT, MUST),
    FIELD(6, NOTIFIED, "notified", TEXT, MAY),
    FIELD(7, CLOSING_REPORT_HASH, "closing_report_hash", REF, MAY),
};

static const struct field_def event_corrected_fields[] = {
    FIELD(1, TARGET_EVENT, "target_event", ID, MUST),
    FIELD(2, REASON, "reason", TEXT, MUST),
    RECORDS(3, CHANGES, "changes", MAY, change_members),
    FIELD(4, DID_NOT_OCCUR, "did_not_occur", BOOL, MAY),
};

static const struct field_def lot_disposed_fields[] = {
    FIELD(1, ITEM, "item", ID, MUST),
    FIELD(2, METHOD, "method", TEXT, MUST),
    FIELD(3, REASON, "reason", TEXT, MUST),
    FIELD(4, GMO_INACTIVATION, "gmo_inactivation", TEXT, MAY),
    FIELD(5, WITNESS, "witness", TEXT, MAY),
    FIELD(6, QUANTITY, "quantity", DECIMAL, MAY),
    FIELD(7, UOM, "uom", TEXT, MAY),
    FIELD(8, LOST_SHIPMENT, "lost_shipment", ID, MAY),
};

/* In the order of their numbers: kind_find indexes it. */
static const struct kind_def kind_table[] = {
    KIND(PARTY_REGISTERED, 1, R(ADMIN), 0, party_registered_fields),
    KIND(COI_ASSIGNED, 1, R(CONSENT_OFFICER) | R(COLLECTION) | R(ADMIN), 0, coi_assigned_fields),
    KIND(CONSENT_CHANGED, 1, R(CONSENT_OFFICER), 0, consent_changed_fields),
    KIND(MATERIAL_RECEIVED, 1, R(WAREHOUSE) | R(OPERATOR), 0, material_received_fields),
    KIND(COLLECTION_PERFORMED, 1, R(COLLECTION), 0, collection_performed_fields),
    KIND(SPECIFICATION_SET, 2, R(QA), R(QA) | R(QP), specification_set_fields),
    KIND(LOT_CREATED, 1, R(OPERATOR) | R(QA), 0, lot_created_fields),
    KIND(PROCESS_STEP, 1, R(OPERATOR) | R(HOSPITAL), 0, process_step_fields),
    KIND(INPUT_CONSUMED, 1, R(OPERATOR), 0, input_consumed_fields),
    KIND(LOT_DERIVED, 1, R(OPERATOR), 0, lot_derived_fields),
    KIND(LOT_SPLIT, 1, R(OPERATOR) | R(HOSPITAL), 0, lot_split_fields),
    KIND(QC_RESULT, 1, R(QC), 0, qc_result_fields),
    KIND(DEVIATION_CHANGED, 1, R(QA) | R(OPERATOR), 0, deviation_changed_fields),
    KIND(QUALITY_DECISION, 2, R(QA) | R(QP), R(QA) | R(QP), quality_decision_fields),
    KIND(STORAGE_MOVED, 1, R(OPERATOR) | R(WAREHOUSE) | R(HOSPITAL), 0, storage_moved_fields),
    KIND(SHIPMENT_DISPATCHED, 1,
         R(OPERATOR) | R(WAREHOUSE) | R(COLLECTION) | R(COURIER) | R(HOSPITAL), 0,
         shipment_dispatched_fields),
    KIND(CUSTODY_TRANSFERRED, 1, R(COURIER), 0, custody_transferred_fields),
    KIND(SHIPMENT_RECEIVED, 1, R(OPERATOR) | R(WAREHOUSE) | R(HOSPITAL), 0,
         shipment_received_fields),
    KIND(CONDITION_LOGGED, 1, R(COURIER) | R(WAREHOUSE) | R(OPERATOR) | R(HOSPITAL), 0,
         condition_logged_fields),
    KIND(EXCURSION_ASSESSED, 2, R(QA), R(QA) | R(QP), excursion_assessed_fields),
    KIND(ADMINISTERED, 2, R(HOSPITAL), R(HOSPITAL) | R(QA) | R(QP), administered_fields),
    KIND(ADVERSE_EVENT_REPORTED, 1, R(HOSPITAL) | R(REGULATORY), 0, adverse_event_reported_fields),
    KIND(RECALL_CHANGED, 2, R(QA) | R(REGULATORY), R(QA) | R(REGULATORY) | R(QP),
         recall_changed_fields),
    KIND(EVENT_CORRECTED, 2,
         R(OPERATOR) | R(QA) | R(QC) | R(HOSPITAL) | R(COLLECTION) | R(WAREHOUSE),
         R(QA), event_corrected_fields),
    KIND(LOT_DISPOSED, 1, R(OPERATOR) | R(WAREHOUSE) | R(HOSPITAL), 0, lot_disposed_fields),
};

#undef R

#define N_KINDS (sizeof kind_table / sizeof kind_table[0])
_Static_assert(N_KINDS == EVENT_KIND_LAST - EVENT_KIND_FIRST + 1, "one row for each kind");
_Static_assert(sizeof role_list / sizeof role_list[0] == ROLE_WAREHOUSE, "one name for each role");

const struct kind_def *kind_find(unsigned number)
{
    if (number < EVENT_KIND_FIRST || number > EVENT_KIND_LAST)
        return NULL;
    return &kind_table[number - EVENT_KIND_FIRST];
}

const struct kind_def *kind_by_name(struct span name)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (span_eq(name, span_str(kind_table[i].name)))
            return &kind_table[i];
    }
    return NULL;
}

const struct field_def *kind_field(const struct kind_def *k, struct span name)
{
    for (unsigned i = 0; i < k->n_fields; i++) {
        if (span_eq(name, span_str(k->fields[i].text)))
            return &k->fields[i];
    }
    return NULL;
}

const struct field_def *kind_field_at(const struct kind_def *k, enum field_name name)
{
    for (unsigned i = 0; i < k->n_fields; i++) {
        if (k->fields[i].name == name && name != FIELD_NONE)
            return &k->fields[i];
    }
    return NULL;
}

const char *role_name(enum role r)
{
    unsigned n = (unsigned)r;
    return n >= 1 && n <= role_names.n ? role_list[n - 1] : "?";
}

unsigned role_by_name(struct span name)
{
    for (unsigned i = 0; i < role_names.n; i++) {
        if (span_eq(name, span_str(role_list[i])))
            return i + 1;
    }
    return 0;
}
