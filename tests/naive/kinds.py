# SPDX-License-Identifier: Apache-2.0
"""The 25 event kinds: who signs them, which fields they have, of which type, and what may be corrected.

A type is a name, {"enum": [...]}, {"list": type}, {"map": "scalar"} or a record {member: type}, where a member
ending in "?" is optional. The order of the fields is the order in which they are checked."""

ROLES = ["ADMIN", "COLLECTION", "CONSENT_OFFICER", "COURIER", "HOSPITAL", "OPERATOR",
         "QA", "QC", "QP", "REGULATORY", "WAREHOUSE"]
ROLE = {"enum": ROLES}
SCOPE = {"enum": ["COLLECTION", "MANUFACTURE", "TREATMENT", "RESEARCH", "INTERNATIONAL_TRANSFER", "BIOBANK"]}
SPECIFIED_TEST = {"test": "text", "unit": "text", "low?": "decimal", "high?": "decimal", "required": "bool"}
UNIT = {"item": "id", "quantity": "decimal", "gtin?": "text", "serial?": "text", "sgtin?": "text"}

KINDS = {
    "PARTY_REGISTERED": {
        "roles": ["ADMIN"], "signatures": 1,
        "mandatory": {
            "action": {"enum": ["REGISTER", "AMEND", "ROTATE_KEY", "REVOKE"]}, "party": "id", "roles": {"list": ROLE},
            "org": "id",
        },
        "optional": {
            "pubkey": "text", "name_commit": "text", "gln": "text", "valid_from": "time", "valid_to": "time",
        },
        "correctable": [],
    },
    "COI_ASSIGNED": {
        "roles": ["CONSENT_OFFICER", "COLLECTION", "ADMIN"], "signatures": 1,
        "mandatory": {
            "coi": "id", "subject_commit": "text", "use": {"enum": ["AUTOLOGOUS", "ALLOGENEIC"]},
        },
        "optional": {
            "issuer": "text", "donor_or_patient": {"enum": ["DONOR", "PATIENT"]},
        },
        "correctable": [],
    },
    "CONSENT_CHANGED": {
        "roles": ["CONSENT_OFFICER"], "signatures": 1,
        "mandatory": {
            "coi": "id", "action": {"enum": ["GIVEN", "WITHDRAWN"]},
            "scopes": {"list": SCOPE},
            "document_hash": "ref", "version": "text",
        },
        "optional": {
            "jurisdiction": "text", "language": "text", "econsent_ref": "text",
        },
        "correctable": ["version"],
    },
    "MATERIAL_RECEIVED": {
        "roles": ["WAREHOUSE", "OPERATOR"], "signatures": 1,
        "mandatory": {
            "item": "id", "gtin": "text", "lot": "text", "supplier": "text", "quantity": "decimal", "uom": "text",
            "expiry": "time", "coa_hash": "ref", "origin": "text",
        },
        "optional": {
            "required_tests": {"list": "text"}, "coo_hash": "ref", "tse_statement": "text",
            "storage_c": {"list": "decimal"}, "name": "text",
        },
        "correctable": ["lot", "supplier"],
    },
    "COLLECTION_PERFORMED": {
        "roles": ["COLLECTION"], "signatures": 1,
        "mandatory": {
            "item": "id", "din": "text", "coi": "id", "use": {"enum": ["AUTOLOGOUS", "ALLOGENEIC"]},
            "quantity": "decimal", "uom": "text", "expiry": "time", "site": "text", "procedure": "text",
        },
        "optional": {
            "anticoagulant": "text", "donor_screen_hash": "ref", "cell_count_e9": "decimal",
        },
        "correctable": ["quantity", "cell_count_e9"],
    },
    "SPECIFICATION_SET": {
        "roles": ["QA"], "signatures": 2,
        "second_roles": ["QA", "QP"],
        "mandatory": {
            "product_code": "text", "version": "text",
            "tests": {"list": SPECIFIED_TEST},
        },
        "optional": {
            "document_hash": "ref",
        },
        "correctable": [],
    },
    "LOT_CREATED": {
        "roles": ["OPERATOR", "QA"], "signatures": 1,
        "mandatory": {
            "item": "id", "lot_class": {"enum": ["BANK", "BATCH", "VECTOR", "PLASMID"]}, "product_code": "text",
            "lot": "text", "use": {"enum": ["AUTOLOGOUS", "ALLOGENEIC"]}, "required_tests": {"list": "text"},
            "spec_version": "text",
        },
        "optional": {
            "coi": "id", "uom": "text", "gmo": "bool", "cartagena_ref": "text", "storage_c": {"list": "decimal"},
            "expiry": "time", "mbr_version": "text", "site": "text", "for_coi": "id",
        },
        "correctable": ["lot"],
    },
    "PROCESS_STEP": {
        "roles": ["OPERATOR", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "item": "id", "step": "text", "sop": "text", "equipment": "text",
        },
        "optional": {
            "params": {"map": "scalar"}, "duration_min": "decimal", "verifier": "text", "room": "text",
            "bsc_particles": "decimal",
        },
        "correctable": ["params", "equipment"],
    },
    "INPUT_CONSUMED": {
        "roles": ["OPERATOR"], "signatures": 1,
        "mandatory": {
            "item": "id", "input": "id", "quantity": "decimal", "uom": "text",
        },
        "optional": {
            "step": "text", "line_clearance": "text",
        },
        "correctable": ["quantity"],
    },
    "LOT_DERIVED": {
        "roles": ["OPERATOR"], "signatures": 1,
        "mandatory": {
            "item": "id", "quantity": "decimal", "uom": "text", "expiry": "time",
        },
        "optional": {
            "container": "text", "formulation": "text", "cells_total_e6": "decimal",
        },
        "correctable": ["quantity"],
    },
    "LOT_SPLIT": {
        "roles": ["OPERATOR", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "item": "id",
            "units": {"list": UNIT},
        },
        "optional": {
            "label_version": "text",
        },
        "correctable": [],
    },
    "QC_RESULT": {
        "roles": ["QC"], "signatures": 1,
        "mandatory": {
            "item": "id", "test": "text", "method": "text", "value": "scalar", "unit": "text",
            "verdict": {"enum": ["PASS", "FAIL"]}, "sample": "text",
        },
        "optional": {
            "low": "decimal", "high": "decimal", "lab": "text", "analyst": "text", "instrument": "text",
            "deviation": "id",
        },
        "correctable": ["value"],
    },
    "DEVIATION_CHANGED": {
        "roles": ["QA", "OPERATOR"], "signatures": 1,
        "mandatory": {
            "item": "id", "deviation": "id", "action": {"enum": ["OPENED", "CLOSED"]}, "description": "text",
        },
        "optional": {
            "class": "text", "root_cause": "text", "capa": "text",
        },
        "correctable": ["description"],
    },
    "QUALITY_DECISION": {
        "roles": ["QA", "QP"], "signatures": 2,
        "second_roles": ["QA", "QP"],
        "mandatory": {
            "item": "id",
            "decision": {"enum": ["RELEASE", "EXCEPTIONAL_RELEASE", "REJECT", "QUARANTINE", "LIFT_QUARANTINE"]},
            "spec_version": "text", "reason": "text",
        },
        "optional": {
            "justification": "text", "physician_request": "text", "certificate_hash": "ref",
        },
        "correctable": [],
    },
    "STORAGE_MOVED": {
        "roles": ["OPERATOR", "WAREHOUSE", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "item": "id", "location": "text",
        },
        "optional": {
            "position": "text", "temperature_c": "decimal",
        },
        "correctable": ["position"],
    },
    "SHIPMENT_DISPATCHED": {
        "roles": ["OPERATOR", "WAREHOUSE", "COLLECTION", "COURIER", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "shipment": "id", "items": {"list": "id"}, "to_org": "id", "carrier_org": "id", "container": "text",
            "logger": "text", "logger_calibration_due": "time", "min_c": "decimal", "max_c": "decimal",
        },
        "optional": {
            "sscc": "text", "under_quarantine": "bool", "eta": "time", "route": "text", "return_reason": "text",
        },
        "correctable": [],
    },
    "CUSTODY_TRANSFERRED": {
        "roles": ["COURIER"], "signatures": 1,
        "mandatory": {
            "shipment": "id", "from_party": "text", "to_party": "text", "place": "text",
        },
        "optional": {
            "seal_intact": "bool",
        },
        "correctable": [],
    },
    "SHIPMENT_RECEIVED": {
        "roles": ["OPERATOR", "WAREHOUSE", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "shipment": "id", "items": {"list": "id"}, "seal_intact": "bool", "container_condition": "text",
        },
        "optional": {
            "discrepancy": "text", "returned": "bool",
        },
        "correctable": [],
    },
    "CONDITION_LOGGED": {
        "roles": ["COURIER", "WAREHOUSE", "OPERATOR", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "logger": "text", "start": "time", "end": "time", "interval_s": "int", "readings": "int",
            "min_c": "decimal", "max_c": "decimal", "mean_c": "decimal", "raw_hash": "ref", "excursion": "bool",
        },
        "optional": {
            "shipment": "id", "items": {"list": "id"}, "limit_min_c": "decimal", "limit_max_c": "decimal",
            "excursion_id": "id", "minutes_outside": "decimal", "shock_g": "decimal", "tilt_deg": "decimal",
            "logger_calibration_due": "time",
        },
        "correctable": [],
    },
    "EXCURSION_ASSESSED": {
        "roles": ["QA"], "signatures": 2,
        "second_roles": ["QA", "QP"],
        "mandatory": {
            "excursion_id": "id", "outcome": {"enum": ["USE_AS_IS", "REDUCE_EXPIRY", "REJECT"]},
            "justification": "text",
        },
        "optional": {
            "stability_ref": "text", "mkt_c": "decimal", "new_expiry": "time",
        },
        "correctable": [],
    },
    "ADMINISTERED": {
        "roles": ["HOSPITAL"], "signatures": 2,
        "second_roles": ["HOSPITAL", "QA", "QP"],
        "mandatory": {
            "item": "id", "coi": "id", "subject_commit_scanned": "text", "dose": "decimal", "uom": "text",
            "route": "text", "site": "text",
        },
        "optional": {
            "thaw_time": "time", "max_post_thaw_min": "decimal", "volume_ml": "decimal", "infusion_end": "time",
            "nonconforming": "bool", "deviation": "id",
        },
        "correctable": ["volume_ml", "infusion_end"],
    },
    "ADVERSE_EVENT_REPORTED": {
        "roles": ["HOSPITAL", "REGULATORY"], "signatures": 1,
        "mandatory": {
            "item": "id", "coi": "id", "event_code": "text", "grade": "int", "onset": "time", "seriousness": "text",
        },
        "optional": {
            "causality": "text", "outcome": "text", "reported_to": "text", "pre_administration": "bool",
        },
        "correctable": ["grade", "causality"],
    },
    "RECALL_CHANGED": {
        "roles": ["QA", "REGULATORY"], "signatures": 2,
        "second_roles": ["QA", "REGULATORY", "QP"],
        "mandatory": {
            "recall": "id", "action": {"enum": ["ISSUED", "CLOSED"]}, "items": {"list": "id"},
            "class": {"enum": ["I", "II", "III"]}, "reason": "text",
        },
        "optional": {
            "notified": "text", "closing_report_hash": "ref",
        },
        "correctable": [],
    },
    "EVENT_CORRECTED": {
        "roles": ["OPERATOR", "QA", "QC", "HOSPITAL", "COLLECTION", "WAREHOUSE"], "signatures": 2,
        "second_roles": ["QA"],
        "mandatory": {
            "target_event": "id", "reason": "text",
        },
        "optional": {
            "changes": {"list": {"field": "text", "old": "any", "new": "any"}}, "did_not_occur": "bool",
        },
        "correctable": [],
    },
    "LOT_DISPOSED": {
        "roles": ["OPERATOR", "WAREHOUSE", "HOSPITAL"], "signatures": 1,
        "mandatory": {
            "item": "id", "method": "text", "reason": "text",
        },
        "optional": {
            "gmo_inactivation": "text", "witness": "text", "quantity": "decimal", "uom": "text",
            "lost_shipment": "id",
        },
        "correctable": [],
    },
}
