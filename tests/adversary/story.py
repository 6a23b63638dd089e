# SPDX-License-Identifier: Apache-2.0
"""The honest ledger that the liars start from: a lot from its raw materials to two bags at a hospital, where one of them is about to be
given. Everything is recorded by `ledgerctl record -f`, so that it takes a second or two."""
import datetime
import json
import os

HOSPITAL = "gs1:414/9521234000013"
CENTRE = "gs1:414/9521234000020"
COURIER = "gs1:414/9521234000037"
PRODUCT = "gs1:01/09521234543213"
LOT = PRODUCT + "/10/CT26-0001"
BAG = PRODUCT + "/21/B001"
SPARE = PRODUCT + "/21/B002"
SERUM = "gs1:01/09521234100010/10/HS-2609"
VECTOR = "gs1:01/09521234100027/10/LV-26-007"
CELLS = "isbt:A999926000101"
COI = "CHA999926000001"
INBOUND = "gs1:00/095212340000000013"
OUTBOUND = "gs1:00/095212340000000020"
ONWARD = "gs1:00/095212340000000037"
COMMIT = "11" * 32  # to the patient
PEOPLE = {"qa": ("QA", CENTRE), "qp": ("QP", CENTRE), "qp2": ("QP", CENTRE), "op": ("OPERATOR", CENTRE), "qc": ("QC", CENTRE),
          "wh": ("WAREHOUSE", CENTRE), "courier": ("COURIER", COURIER), "consent": ("CONSENT_OFFICER", HOSPITAL),
          "apheresis": ("COLLECTION", HOSPITAL), "nurse": ("HOSPITAL", HOSPITAL)}
MEANINGS = {2: ["approval", "release"]}


def later(**how):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**how)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event(kind, signers, ref=None, **fields):
    """A line for `ledgerctl record -f`; ref names it."""
    signers = signers.split()
    meanings = MEANINGS.get(len(signers), ["authorship"])
    line = {"kind": kind, "occurred": later(), "signers": [{"party": p, "meaning": m} for p, m in zip(signers, meanings)], "fields": fields}
    return dict(line, id=ref) if ref else line


def material(item, quantity, ref=None, signer="wh"):
    return event("MATERIAL_RECEIVED", signer, ref, item=item, gtin="09521234100010", lot="L", supplier="Kaede", name="serum",
                 quantity=quantity, uom="mL", expiry=later(days=200), coa_hash="h", origin="tested donors")


def moved(item, location, ref=None):
    return event("STORAGE_MOVED", "wh", ref, item=item, location=location)


def release(item):
    return event("QUALITY_DECISION", "qa qp", item=item, decision="RELEASE", spec_version="SPEC-2", reason="reviewed")


def result(test, verdict, value, unit="-", ref=None, signer="qc", item=LOT):
    return event("QC_RESULT", signer, ref, item=item, test=test, method="m", value=value, unit=unit, verdict=verdict, sample="S")


def recall(ref=None, item=SERUM):
    return event("RECALL_CHANGED", "qa qp", ref, recall="RC-1", action="ISSUED", items=[item], **{"class": "II"}, reason="donor information")


def dispatch(shipment, items, to_org, signer, coldest=-196, warmest=-120):
    return event("SHIPMENT_DISPATCHED", signer, shipment=shipment, items=items, to_org=to_org, carrier_org=COURIER, container="DS",
                 logger="LG", logger_calibration_due=later(days=300), min_c=coldest, max_c=warmest)


def condition(shipment, start, warmest, excursion, ref=None, coldest=-191, **more):
    return event("CONDITION_LOGGED", "courier", ref, shipment=shipment, logger="LG", start=start, end=later(), interval_s=300, readings=9,
                 min_c=coldest, max_c=warmest, mean_c=(coldest + warmest) / 2, raw_hash="h", excursion=excursion, **more)


def received(shipment, items, signer):
    return event("SHIPMENT_RECEIVED", signer, shipment=shipment, items=items, seal_intact=True, container_condition="ok")


def create_lot(item):
    return event("LOT_CREATED", "op", item=item, lot_class="BATCH", product_code="PC", lot="CT26", use="AUTOLOGOUS", coi=COI,
                 required_tests=["viability", "sterility"], spec_version="SPEC-2", uom="mL", gmo=True, cartagena_ref="T1")


def consume(item, source, quantity, ref=None):
    return event("INPUT_CONSUMED", "op", ref, item=item, input=source, quantity=quantity, uom="mL")


def life():
    """From consent to the hospital's tank."""
    start = later()
    tests = [{"test": "viability", "unit": "%", "low": 70, "required": True}, {"test": "sterility", "unit": "-", "required": True}]
    return [
        event("COI_ASSIGNED", "consent", coi=COI, subject_commit=COMMIT, use="AUTOLOGOUS"),
        event("CONSENT_CHANGED", "consent", coi=COI, action="GIVEN", scopes=["COLLECTION", "MANUFACTURE", "TREATMENT"], document_hash="h",
              version="1"),
        event("COLLECTION_PERFORMED", "apheresis", item=CELLS, din=CELLS[5:], coi=COI, use="AUTOLOGOUS", quantity=240, uom="mL",
              expiry=later(days=3), site="2", procedure="leukapheresis"),
        dispatch(INBOUND, [CELLS], CENTRE, "apheresis", 2, 8),
        condition(INBOUND, start, 6, False, coldest=3),
        received(INBOUND, [CELLS], "wh"),
        material(SERUM, 500), material(VECTOR, 60),
        release(SERUM), release(VECTOR), release(CELLS),
        event("SPECIFICATION_SET", "qa qp", product_code="PC", version="SPEC-2", tests=tests),
        create_lot(LOT), consume(LOT, CELLS, 200), consume(LOT, SERUM, 50), consume(LOT, VECTOR, 12),
        event("LOT_DERIVED", "op", item=LOT, quantity=60, uom="mL", expiry=later(days=400), container="cryobag", formulation="CS10"),
        result("viability", "PASS", 96.2, "%"), result("sterility", "PASS", "no growth"), release(LOT),
        event("LOT_SPLIT", "op", item=LOT, units=[{"item": BAG, "quantity": 30}, {"item": SPARE, "quantity": 30}]),
        dispatch(OUTBOUND, [BAG, SPARE], HOSPITAL, "wh"),
        condition(OUTBOUND, start, -150, False),
        received(OUTBOUND, [BAG, SPARE], "nurse"),
    ]


def lines(events):
    return "\n".join(json.dumps(e) for e in events).encode()


def make_people(run, profile, ring):
    """Keys for all, and their registrations. `run` runs a program and returns its code and outputs."""
    os.mkdir(ring)
    for party, (roles, org) in PEOPLE.items():
        path = os.path.join(ring, party + ".key")
        for arguments in (["key", "new", party, "-o", path], ["party", "register", party, "--roles", roles, "--org", org, "--key", path]):
            code, out, err = run(*profile, *arguments)
            if code:
                raise RuntimeError(f"{arguments}: {out}{err}")
