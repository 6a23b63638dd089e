# SPDX-License-Identifier: Apache-2.0
"""Plausible next events. Each function looks at the world and returns one line without reference and recorded time."""
from kinds import KINDS
from mutate import EXTREME_TIMES
from values import MICRO, NANO, Num, instant, is_empty

MINUTE, HOUR, DAY = 60 * MICRO, 3600 * MICRO, 86400 * MICRO
MAKERS, HOSPITALS = ["CPC", "CMO"], ["HOSP-A", "HOSP-B"]
ROSTER = [("adm", "AUTH", ["ADMIN"]), ("consent", "HOSP-A", ["CONSENT_OFFICER"]), ("coll", "HOSP-A", ["COLLECTION"]),
          ("op1", "CPC", ["OPERATOR"]), ("wh", "CPC", ["WAREHOUSE"]), ("qc", "CPC", ["QC"]), ("qa", "CPC", ["QA"]),
          ("qa2", "CMO", ["QA", "OPERATOR"]), ("qp", "CPC", ["QP"]), ("cour", "COURIER-J", ["COURIER"]),
          ("h1", "HOSP-A", ["HOSPITAL"]), ("h2", "HOSP-A", ["HOSPITAL"]), ("b1", "HOSP-B", ["HOSPITAL"]),
          ("b2", "HOSP-B", ["HOSPITAL", "QA"]), ("reg", "AUTH", ["REGULATORY"]), ("cmo", "CMO", ["OPERATOR", "WAREHOUSE"]),
          ("collb", "HOSP-B", ["COLLECTION", "OPERATOR"])]
TESTS = ["viability", "endotoxin", "sterility", "vcn", "mycoplasma"]
UNITS = {"viability": "%", "endotoxin": "EU/mL", "vcn": "copies/cell"}
PRODUCTS = ["PC-CART", "PC-IPSC", "PC-PLAIN"]
WORDS = ["ok", "batch record review", "SOP-12", "EQ-7", "\u7d30\u80de\u52a0\u5de5", "caf\u00e9 \u2713", "-", "R2/C7"]
# optional fields that no check names, free to be filled at random
RECORDED_ONLY = {"name_commit", "gln", "valid_from", "valid_to", "issuer", "donor_or_patient", "jurisdiction", "language",
                 "econsent_ref", "coo_hash", "tse_statement", "storage_c", "name", "anticoagulant", "donor_screen_hash",
                 "cell_count_e9", "document_hash", "mbr_version", "params", "duration_min", "verifier", "room",
                 "bsc_particles", "step", "line_clearance", "container", "formulation", "cells_total_e6", "label_version",
                 "lab", "analyst", "instrument", "class", "root_cause", "capa", "certificate_hash", "position",
                 "temperature_c", "sscc", "eta", "discrepancy", "minutes_outside", "shock_g", "tilt_deg", "stability_ref",
                 "mkt_c", "volume_ml", "infusion_end", "causality", "outcome", "reported_to", "notified",
                 "closing_report_hash", "witness"}


# ---- values ----------------------------------------------------------------------------------------------------------

def some_value(world, kind_of):
    rng = world.rng
    if isinstance(kind_of, dict) and "enum" in kind_of:
        return rng.choice(kind_of["enum"])
    if isinstance(kind_of, dict) and "list" in kind_of:
        return [some_value(world, kind_of["list"]) for _ in range(rng.choice([1, 1, 2, 3]))]
    if isinstance(kind_of, dict) and "map" in kind_of:
        return {rng.choice(WORDS): some_value(world, "scalar") for _ in range(rng.choice([0, 1, 2]))}
    if isinstance(kind_of, dict):
        return {n.rstrip("?"): some_value(world, t) for n, t in kind_of.items()}
    if kind_of == "scalar":
        kind_of = rng.choice(["text", "decimal"])
    return {"id": lambda: rng.choice(["x-1", "~", "u.a:b/c"]), "text": lambda: rng.choice(WORDS), "ref": world.hex,
            "decimal": lambda: world.number(rng.choice([0, 1, -180 * NANO, 40 * NANO, 1500000000, 7 * NANO])),
            "int": lambda: world.whole(rng.randrange(1, 5)), "bool": lambda: rng.random() < 0.5,
            "time": lambda: rng.choice([world.time(world.now), rng.choice(EXTREME_TIMES)]),
            "any": lambda: rng.choice(WORDS)}[kind_of]()


def line(world, kind, given, signers, around=()):
    """The proposed line: mandatory fields filled up, some optional ones, and a time of occurrence."""
    rng, table = world.rng, KINDS[kind]
    fields = {}
    for name, kind_of in table["mandatory"].items():
        fields[name] = given[name] if name in given else some_value(world, kind_of)
    for name, kind_of in table["optional"].items():
        if name in given:
            if given[name] is not None or rng.random() < 0.2:
                fields[name] = given[name]
        elif name in RECORDED_ONLY and rng.random() < 0.12:
            fields[name] = some_value(world, kind_of) if rng.random() < 0.85 else rng.choice([None, "", []])
        elif rng.random() < 0.02:
            fields[name] = rng.choice([None, "", []])
    return {"kind": kind, "occurred": world.time(occurrence(world, around)), "signers": signers, "fields": fields}


def occurrence(world, around):
    """Mostly just now; now and then exactly at, or a hair before or after, an instant that matters."""
    rng = world.rng
    near = [at for at in around if at is not None and at <= world.now + 1]
    if near and rng.random() < 0.3:
        return rng.choice(near) + rng.choice([0, 0, 1, -1, MICRO, -MICRO])
    return world.now - rng.choice([0, 0, 0, 1, MICRO, rng.randrange(MINUTE)])


def instants_of(world, item):
    """Birth, arrival, expiries of the item and the splits that made its ancestors."""
    ledger = world.ledger
    if not ledger.maker(item):
        return []
    found = [ledger.maker(member).occurred for member in ledger.line(item)]
    found += [ledger.arrival(item).occurred, ledger.expiry(item)]
    found += [instant(x.new_expiry) for x in ledger.excursions_concerning(item) if x.new_expiry]
    coi = ledger.property(item, "coi")
    if coi:
        found += [e.occurred for e in ledger.about(coi, "CONSENT_CHANGED")]
    return found


def some_expiry(world):
    rng = world.rng
    ahead = rng.choice([365 * DAY, 1000 * DAY, 3650 * DAY])
    if rng.random() < 0.35:
        ahead = rng.choice([0, HOUR, DAY, 5 * DAY, 20 * DAY, 90 * DAY])
    if rng.random() < 0.04:
        return rng.choice(EXTREME_TIMES)
    return world.time(world.now + ahead + rng.choice([0, 0, 1, -1]))


def part_of(world, available):
    """A quantity to take: all, a part, the very least; seldom nothing or a hair too much."""
    rng = world.rng
    if rng.random() < 0.03:
        return world.number(0)
    choices = [available, available // 2, available // 3, available // 4, min(available, NANO), 1]
    choices = [c for c in choices if c > 0] or [NANO]
    return world.number(available + 1 if rng.random() < 0.04 else rng.choice(choices))


def holder(world, item):
    return world.ledger.arrival(item).org


def uom_of(world, item):
    return world.ledger.uom(item) or "mL" if world.rng.random() < 0.97 else world.rng.choice(["mL", "vial", "ml"])


def items_at(world, org, usable=False):
    """Live items that the organisation holds; `usable`: with something left and released."""
    found = []
    for item in world.live_items()[-80:]:
        if holder(world, item) == org and world.ledger.in_shipment(item) is None:
            if not usable or (world.ledger.stock(item)[0] > 0 and is_released(world, item)):
                found.append(item)
    return found


def is_released(world, item):
    return any(world.ledger.decisions(member, "RELEASE", "EXCEPTIONAL_RELEASE") for member in world.ledger.line(item))


# ---- parties, identities, consent ------------------------------------------------------------------------------------

def register(world, name, org, roles, signers=None):
    given = {"action": "REGISTER", "party": name, "roles": roles, "org": org, "pubkey": world.hex()}
    return line(world, "PARTY_REGISTERED", given, world.signers("PARTY_REGISTERED") if signers is None else signers)


def party(world):
    """Register, amend, rotate, revoke. A role that has run short is filled again first."""
    rng = world.rng
    missing = [entry for entry in ROSTER if not world.parties([entry[2][0]], entry[1])]
    if missing and rng.random() < 0.8:
        _, org, roles = rng.choice(missing)
        return register(world, world.fresh("u"), org, roles)
    if rng.random() < 0.35:
        _, org, roles = rng.choice(ROSTER)
        return register(world, world.fresh("u") if rng.random() < 0.8 else world.any_party(), org, roles)
    name = world.any_party()
    _, org, roles = rng.choice(ROSTER)
    given = {"action": rng.choice(["AMEND", "AMEND", "ROTATE_KEY", "REVOKE"]), "party": name, "org": org, "roles": roles,
             "pubkey": world.hex()}
    if given["action"] == "AMEND" and rng.random() < 0.6:
        given["roles"] = sorted(set(world.ledger.party(name)["roles"]) | set(roles))
    if rng.random() < 0.2:
        given["party"] = rng.choice(world.parties(["ADMIN"]))
    return line(world, "PARTY_REGISTERED", given, world.signers("PARTY_REGISTERED"))


def coi(world):
    rng = world.rng
    name = world.fresh("COI") if rng.random() < 0.92 else world.some("coi")
    given = {"coi": name, "subject_commit": world.hex(), "use": rng.choice(["AUTOLOGOUS", "AUTOLOGOUS", "ALLOGENEIC"])}
    return line(world, "COI_ASSIGNED", given, world.signers("COI_ASSIGNED"))


def consent(world):
    rng = world.rng
    scopes = rng.choice([["COLLECTION", "MANUFACTURE", "TREATMENT"], ["COLLECTION", "MANUFACTURE", "TREATMENT"],
                         ["TREATMENT"], ["MANUFACTURE"], ["COLLECTION", "RESEARCH"], ["TREATMENT", "TREATMENT"]])
    pool = world.names("coi")
    name = rng.choice(pool[-3:]) if pool and rng.random() < 0.5 else world.some("coi")
    withdrawn = rng.random() < 0.2
    given = {"coi": name, "action": "WITHDRAWN" if withdrawn else "GIVEN", "scopes": scopes[:1] if withdrawn else scopes}
    return line(world, "CONSENT_CHANGED", given, world.signers("CONSENT_CHANGED"))


def patients(world):
    """Chains of identity that can be treated now."""
    found = []
    for name in world.names("coi"):
        changes = world.ledger.consent_events(name, "TREATMENT")
        if changes and changes[-1]["action"] == "GIVEN":
            found.append(name)
    return found


# ---- making items ----------------------------------------------------------------------------------------------------

def new_item(world, prefix):
    return world.fresh(prefix) if world.rng.random() < 0.95 else world.some_item()


def material(world):
    rng = world.rng
    quantity = rng.choice([1, 5, 10, 500, 3]) * NANO + rng.choice([0, 0, 1])
    given = {"item": new_item(world, "MAT"), "quantity": world.number(quantity),
             "uom": rng.choice(["mL", "L", "mg"]), "expiry": some_expiry(world),
             "required_tests": rng.choice([None, None, ["endotoxin"], ["sterility", "viability"]])}
    return line(world, "MATERIAL_RECEIVED", given, world.signers("MATERIAL_RECEIVED", rng.choice(MAKERS)),
                [instant(given["expiry"])])


def collection(world):
    rng = world.rng
    name = world.some("coi")
    assigned = world.ledger.coi(name)
    use = assigned["use"] if assigned and rng.random() < 0.93 else rng.choice(["AUTOLOGOUS", "ALLOGENEIC"])
    given = {"item": new_item(world, "APH"), "coi": name, "use": use, "quantity": world.number(rng.choice([50, 240]) * NANO),
             "uom": "mL", "expiry": some_expiry(world)}
    around = [e.occurred for e in world.ledger.about(name, "CONSENT_CHANGED")]
    return line(world, "COLLECTION_PERFORMED", given, world.signers("COLLECTION_PERFORMED"), around)


def specification(world):
    rng = world.rng
    tests = []
    for test in rng.sample(TESTS, rng.choice([1, 2, 3])):
        one = {"test": test, "unit": UNITS.get(test, "-"), "required": rng.random() < 0.6}
        if test in UNITS:
            low, high = rng.choice([(70, None), (None, 10), (1, 20), (5, 5), (None, None)])
            one.update({n: world.number(v * NANO) for n, v in (("low", low), ("high", high)) if v is not None})
        tests.append(one)
    if rng.random() < 0.05:
        tests.append(dict(rng.choice(tests)))
    if rng.random() < 0.05:
        tests[0].update({"low": world.number(3 * NANO), "high": world.number(3 * NANO - 1)})
    given = {"product_code": rng.choice(PRODUCTS[:2] if rng.random() < 0.9 else PRODUCTS), "tests": tests,
             "version": rng.choice(["1", "2", "3", "3.0", "\u7248\u4e00"])}
    return line(world, "SPECIFICATION_SET", given, world.signers("SPECIFICATION_SET"))


def lot(world):
    rng = world.rng
    product = rng.choice(PRODUCTS)
    versions = [e["version"] for e in world.ledger.about(product, "SPECIFICATION_SET") if e["product_code"] == product]
    autologous = rng.random() < 0.5
    given = {"item": new_item(world, "LOT"), "lot_class": rng.choice(["BATCH"] * 3 + ["BANK", "VECTOR", "PLASMID"]),
             "product_code": product, "use": "AUTOLOGOUS" if autologous else "ALLOGENEIC",
             "spec_version": rng.choice(versions) if versions and rng.random() < 0.93 else "SPEC-0",
             "required_tests": rng.sample(TESTS, rng.choice([1, 1, 2])), "uom": rng.choice([None, "mL", "vial"])}
    if rng.random() < 0.2:
        given["for_coi"] = world.some("coi")
    if autologous:
        started = [e["coi"] for e in world.ledger.about("COLLECTION_PERFORMED") if e["use"] == "AUTOLOGOUS"]
        given["coi"] = rng.choice(started) if started and rng.random() < 0.9 else world.some("coi")
        if rng.random() < 0.2:
            given["for_coi"] = given["coi"]
    elif rng.random() < 0.15:
        given["coi"] = rng.choice(["COI-unknown", world.some("coi")])
    if rng.random() < 0.25:
        given.update(gmo=True, cartagena_ref="JP-2026-1" if rng.random() < 0.85 else None)
    if rng.random() < 0.15:
        given["expiry"] = some_expiry(world)
    return line(world, "LOT_CREATED", given, world.signers("LOT_CREATED", rng.choice(MAKERS)))


# ---- working on an item ----------------------------------------------------------------------------------------------

def process_step(world, item):
    return line(world, "PROCESS_STEP", {"item": item}, world.signers("PROCESS_STEP", holder(world, item)),
                instants_of(world, item))


def storage(world, item):
    return line(world, "STORAGE_MOVED", {"item": item}, world.signers("STORAGE_MOVED", holder(world, item)),
                instants_of(world, item))


def consume(world, item):
    """Feed something into the item: what its organisation holds, rather released than not."""
    rng, org = world.rng, holder(world, item)
    pool = items_at(world, org, usable=rng.random() < 0.85) or world.live_items()
    ledger = world.ledger
    if rng.random() < 0.8:      # what may go into it at all
        fits = [i for i in pool if i != item and item not in ledger.lineage(i)]
        mine = ledger.property(item, "coi") if ledger.autologous(item) else None
        fits = [i for i in fits if not ledger.autologous(i) or ledger.property(i, "coi") == mine]
        own = [i for i in fits if ledger.autologous(i)]
        pool = (own if own and rng.random() < 0.6 else fits) or pool
    source = rng.choice(pool)
    given = {"item": item, "input": source, "quantity": part_of(world, world.ledger.stock(source)[0]),
             "uom": uom_of(world, source)}
    return line(world, "INPUT_CONSUMED", given, world.signers("INPUT_CONSUMED", org), instants_of(world, source))


def derive(world, item):
    rng = world.rng
    given = {"item": item, "quantity": world.number(rng.choice([1, 10, 60, 200]) * NANO + rng.choice([0, 0, 5])),
             "uom": uom_of(world, item), "expiry": some_expiry(world)}
    return line(world, "LOT_DERIVED", given, world.signers("LOT_DERIVED", holder(world, item)), instants_of(world, item))


def split(world, item):
    rng = world.rng
    available = world.ledger.stock(item)[0]
    size = rng.choice([1, 1, 2, 2, 3, 5])
    each = available // (size + rng.choice([0, 1]))
    units = [{"item": new_item(world, "U"), "quantity": world.number(each)} for _ in range(size)]
    if rng.random() < 0.06:
        units[-1]["quantity"] = world.number(available - each * (size - 1) + rng.choice([0, 1]))
    if rng.random() < 0.04:
        units.append(dict(units[0]))
    if rng.random() < 0.2:
        units[0]["serial"] = rng.choice(["0001", "", None])
    return line(world, "LOT_SPLIT", {"item": item, "units": units}, world.signers("LOT_SPLIT", holder(world, item)),
                instants_of(world, item))


def wanted_tests(world, item):
    """Required tests of the split line that have no outcome yet, else any test that says something."""
    ledger = world.ledger
    required = [test for member in ledger.line(item) for test in ledger.required(member)]
    missing = [test for test in required if not ledger.in_force(item, test)]
    failed = [test for test in required if ledger.in_force(item, test) and ledger.in_force(item, test)[1] == "FAIL"]
    if missing and world.rng.random() < 0.85:
        return missing
    return failed or required or TESTS


def qc_result(world, item, test=None):
    rng, ledger = world.rng, world.ledger
    test = test or (rng.choice(wanted_tests(world, item)) if rng.random() < 0.93 else rng.choice(TESTS))
    specified = ledger.specified(item, test)
    given = {"item": item, "test": test, "unit": specified["unit"] if specified else UNITS.get(test, "-")}
    given.update(own_limits(world, specified, test))
    given["value"], passed = measured(world, specified or given, test)
    given["verdict"] = "PASS" if passed != (rng.random() < 0.04) else "FAIL"
    closed = [e["deviation"] for m in ledger.line(item) for e in ledger.about(m, "DEVIATION_CHANGED")
              if e["item"] == m and e["action"] == "CLOSED"]
    if closed and rng.random() < 0.8:
        given["deviation"] = rng.choice(closed) if rng.random() < 0.4 else closed[-1]
    elif rng.random() < 0.05:
        given["deviation"] = world.some("deviation")
    return line(world, "QC_RESULT", given, world.signers("QC_RESULT"), instants_of(world, item))


def own_limits(world, specified, test):
    """The result's own low and high: those of the specification again, others, or none."""
    rng = world.rng
    if specified:
        if rng.random() < 0.25:
            return {n: world.number(specified[n].nano()) for n in ("low", "high") if not is_empty(specified.get(n))}
        return {"high": world.number(7 * NANO)} if rng.random() < 0.06 else {}
    if test in UNITS and rng.random() < 0.7:
        return rng.choice([{"low": world.number(70 * NANO)}, {"high": world.number(5 * NANO)},
                           {"low": world.number(1), "high": world.number(10 * NANO)}])
    return {}


def measured(world, limits, test):
    """A value and whether it passes: at a limit, a hair outside it, anywhere; text where there are no limits."""
    rng = world.rng
    low, high = (None if is_empty(limits.get(n)) else limits[n].nano() for n in ("low", "high"))
    if low is None and high is None:
        if test in UNITS and rng.random() < 0.6:
            return world.number(rng.choice([0, 5, 70]) * NANO), True
        return rng.choice(["negative", "no growth"]), rng.random() < 0.9
    if rng.random() < 0.04:
        return "text", True
    edges = [v for v in (low, high) if v is not None]
    value = rng.choice(edges) + rng.choice([0, 0, 0, 1, -1, NANO, -NANO])
    if rng.random() < 0.7:
        value = edges[0] if len(edges) == 2 else edges[0] + (NANO if high is None else -NANO)
    return world.number(value), (low is None or value >= low) and (high is None or value <= high)


def decision(world, item, which=None):
    rng = world.rng
    which = which or rng.choice(["RELEASE"] * 8 + ["EXCEPTIONAL_RELEASE"] * 2 + ["QUARANTINE"] * 3
                                + ["LIFT_QUARANTINE"] * 2 + ["REJECT"])
    given = {"item": item, "decision": which}
    if which == "EXCEPTIONAL_RELEASE" and rng.random() < 0.85:
        given.update(justification="no alternative", physician_request=rng.choice(["PR-1"] * 8 + ["", None]))
    return line(world, "QUALITY_DECISION", given, world.signers("QUALITY_DECISION"), instants_of(world, item))


def release(world, item):
    return decision(world, item, "RELEASE" if world.rng.random() < 0.88 else "EXCEPTIONAL_RELEASE")


def deviation(world, item):
    """Open one on the item; or close one that is open, mostly on its own item and by QA."""
    rng, ledger = world.rng, world.ledger
    opened = [e for e in ledger.about(item, "DEVIATION_CHANGED")
              if e["item"] == item and e["action"] == "OPENED" and not ledger.deviation(e["deviation"], "CLOSED")]
    if opened and rng.random() < 0.85:
        given = {"item": item, "deviation": rng.choice(opened)["deviation"], "action": "CLOSED"}
    elif rng.random() < 0.15:
        given = {"item": item, "deviation": world.some("deviation"), "action": rng.choice(["CLOSED", "OPENED"])}
    else:
        given = {"item": item, "deviation": world.fresh("DEV"), "action": "OPENED"}
    roles = ["QA"] if given["action"] == "CLOSED" and rng.random() < 0.93 else None
    return line(world, "DEVIATION_CHANGED", given, world.signers("DEVIATION_CHANGED", roles=roles), instants_of(world, item))


def dispose(world, item):
    rng, ledger = world.rng, world.ledger
    given = {"item": item}
    org = holder(world, item)
    inside = ledger.in_shipment(item)
    if (inside and rng.random() < 0.8) or rng.random() < 0.04:
        given["lost_shipment"] = inside or world.some("shipment")
    if rng.random() < 0.6 and ledger.stock(item)[0] > 0:
        given.update(quantity=part_of(world, ledger.stock(item)[0]), uom=uom_of(world, item))
        if rng.random() < 0.05:
            given["uom"] = None
    if ledger.property(item, "gmo") and rng.random() < 0.8:
        given["gmo_inactivation"] = "autoclave 121 C"
    return line(world, "LOT_DISPOSED", given, world.signers("LOT_DISPOSED", org), instants_of(world, item))


def administer(world, item):
    rng, ledger = world.rng, world.ledger
    org = holder(world, item)
    name = ledger.property(item, "for_coi") or (ledger.property(item, "coi") if ledger.autologous(item) else None)
    if name is None or rng.random() < 0.12:
        name = rng.choice(patients(world) or ["no-such"])
    assigned = ledger.coi(name)
    available = ledger.stock(item)[0]
    dose = available if rng.random() < 0.6 else rng.choice([available // 2, available + 1, available - 1, 0, 1])
    given = {"item": item, "coi": name, "dose": world.number(dose),
             "subject_commit_scanned": assigned["subject_commit"] if assigned and rng.random() < 0.95 else world.hex(),
             "uom": uom_of(world, item)}
    second_roles, second_org = ["HOSPITAL"], org
    if rng.random() < 0.1:
        given.update(nonconforming=True, deviation=world.some("deviation") if rng.random() < 0.85 else None)
        second_roles, second_org = ["QA", "QP"], None
    signers = world.signers("ADMINISTERED", org, second_roles=second_roles, second_org=second_org)
    arrived = ledger.arrival(item).occurred
    proposed = line(world, "ADMINISTERED", given, signers, instants_of(world, item) + [arrived, arrived])
    if rng.random() < 0.6:
        thaw(world, proposed)
    return proposed


def thaw(world, proposed):
    """A thaw time exactly at the window's edge, a microsecond outside it, or after the administration."""
    rng = world.rng
    occurred = instant(proposed["occurred"])
    minutes = rng.choice([0, 30 * NANO, NANO // 2, 90 * NANO])
    before = minutes * 60 * MICRO // NANO
    proposed["fields"]["thaw_time"] = world.time(occurred - before + rng.choice([0, 0, 1, -1, -1, -MICRO, before + 1]))
    if rng.random() < 0.85:
        proposed["fields"]["max_post_thaw_min"] = world.number(minutes)


def adverse(world, item):
    rng = world.rng
    ended_by = world.ledger.stock(item)[1]
    name = ended_by["coi"] if ended_by and ended_by["coi"] and rng.random() < 0.8 else world.some("coi")
    given = {"item": item, "coi": name, "pre_administration": rng.choice([None, None, False, True])}
    return line(world, "ADVERSE_EVENT_REPORTED", given, world.signers("ADVERSE_EVENT_REPORTED"), instants_of(world, item))


# ---- transport and temperature ---------------------------------------------------------------------------------------

def dispatch(world, item):
    rng = world.rng
    org = holder(world, item)
    together = [i for i in items_at(world, org, usable=True) if i != item]
    items = [item] + rng.sample(together, min(len(together), rng.choice([0, 1, 2, 3, 4])))
    if rng.random() < 0.04:
        items.append(rng.choice(items))
    if rng.random() < 0.05:     # gone, yet packed
        items.insert(rng.randrange(2), world.some("item"))
    name = world.fresh("SH") if rng.random() < 0.96 else world.some("shipment")
    if rng.random() < 0.05:     # as long as it may be, or longer by one
        name = name.ljust(rng.choice([90, 91]), "x")
    given = {"shipment": name, "items": items,
             "to_org": rng.choice([o for o in MAKERS + HOSPITALS + HOSPITALS if o != org]), "carrier_org": "COURIER-J",
             "logger": rng.choice(["LG-1", "LG-2"]), "min_c": Num("-196"), "max_c": Num("-120.0"),
             "logger_calibration_due": world.time(world.now + rng.choice([365 * DAY, 365 * DAY, 365 * DAY, 0, -1])),
             "under_quarantine": rng.choice([None] * 7 + [False, True, True]),
             "return_reason": rng.choice([None] * 8 + ["", "not used"])}
    around = instants_of(world, item) + [instant(given["logger_calibration_due"])]
    return line(world, "SHIPMENT_DISPATCHED", given, world.signers("SHIPMENT_DISPATCHED", org), around)


def handover_instants(world, shipment):
    return [world.ledger.last_hand_over(shipment)] if world.ledger.dispatch(shipment) else []


def custody(world, shipment):
    given = {"shipment": shipment, "seal_intact": world.rng.choice([None, True, False])}
    return line(world, "CUSTODY_TRANSFERRED", given, world.signers("CUSTODY_TRANSFERRED"),
                handover_instants(world, shipment))


def remaining(world, shipment):
    return [i for i in world.ledger.dispatch(shipment)["items"] if world.ledger.in_shipment(i) == shipment]


def receive(world, shipment):
    """All or some of what is left, at its destination or returned."""
    rng = world.rng
    sent = world.ledger.dispatch(shipment)
    items = remaining(world, shipment) or sent["items"]
    if rng.random() < 0.65:
        items = rng.sample(items, rng.randrange(1, len(items) + 1))
    if rng.random() < 0.03:
        items = items + items[:1]
    returned = rng.random() < 0.12
    org = sent.org if returned else sent["to_org"]
    given = {"shipment": shipment, "items": items, "seal_intact": rng.random() < 0.8, "returned": returned or None}
    return line(world, "SHIPMENT_RECEIVED", given, world.signers("SHIPMENT_RECEIVED", org),
                handover_instants(world, shipment))


def temperatures(world, low, high, warm):
    """min, mean, max and the right flag: inside, exactly at the limits, or a hair outside one of them."""
    rng = world.rng
    hair = 1 if warm else rng.choice([0, 0, 0, 0, 1])
    coldest = rng.choice([low, low - hair, (low + high) // 2])
    warmest = rng.choice([high, (low + high) // 2, high + hair, high + hair * NANO][2 * hair * warm:])
    coldest = min(coldest, warmest)
    mean = rng.choice([coldest, warmest, (coldest + warmest) // 2])
    if rng.random() < 0.03:
        mean = warmest + 1
    values = {"min_c": world.number(coldest), "max_c": world.number(warmest), "mean_c": world.number(mean)}
    return values, coldest < low or warmest > high


def log(world, given, low, high, start, end, warm=False):
    rng = world.rng
    values, outside = temperatures(world, low, high, warm)
    given.update(values, start=world.time(start), end=world.time(end), interval_s=world.whole(300),
                 readings=world.whole(rng.choice([24, 1, 1, 0] if rng.random() < 0.1 else [24])),
                 excursion=outside if rng.random() < 0.95 else not outside)
    if outside and rng.random() < 0.95 or rng.random() < 0.05:
        given["excursion_id"] = rng.choice([world.fresh("EX")] * 12 + [world.some("excursion")] * 2 + ["NOLOG:EX", "SEAL:"])
    return line(world, "CONDITION_LOGGED", given, world.signers("CONDITION_LOGGED"))


def shipment_log(world, shipment):
    """Mostly by the shipment's own logger, which closes NOLOG; around the dispatch in time."""
    rng = world.rng
    sent = world.ledger.dispatch(shipment)
    given = {"shipment": shipment, "logger": sent["logger"] if rng.random() < 0.85 else "LG-9"}
    end = rng.choice([world.now, world.now, sent.occurred, sent.occurred - 1, sent.occurred + 1])
    start = end - rng.choice([0, HOUR, 12 * HOUR, 5 * DAY] + ([-1] if rng.random() < 0.1 else []))
    return log(world, given, sent["min_c"].nano(), sent["max_c"].nano(), start, end)


def storage_log(world, item):
    """A freezer's log of the item, which may begin before the item was split from its parent."""
    rng, ledger = world.rng, world.ledger
    items = [item] + ([world.some_item()] if rng.random() < 0.3 else [])
    if rng.random() < 0.7:
        items = [rng.choice(ledger.line(item)[1:] or [item])]
    given = {"logger": "FRZ-1", "items": items, "limit_min_c": Num("2"), "limit_max_c": Num("8.0")}
    if rng.random() < 0.04:
        given[rng.choice(["items", "limit_min_c", "limit_max_c"])] = None
    if rng.random() < 0.04:
        items = items + ["no-such"]
    splits = [e.occurred for i in items for e in ledger.about(i, "LOT_SPLIT")]
    start = world.now - rng.choice([HOUR, DAY, 10 * DAY])
    if splits and rng.random() < 0.7:
        start = rng.choice(splits) + rng.choice([0, 0, 1, -1, -1])
    return log(world, given, 2 * NANO, 8 * NANO, start, max(start, world.now), warm=rng.random() < 0.5)


def assess(world, name=None):
    rng = world.rng
    still_open = [x.name for x in world.ledger.excursions() if x.open]
    if name is None:
        name = rng.choice(still_open) if still_open and rng.random() < 0.92 else world.some("excursion")
    outcome = rng.choice(["USE_AS_IS"] * 5 + ["REDUCE_EXPIRY"] * 4 + ["REJECT"])
    given = {"excursion_id": name, "outcome": outcome}
    if (outcome == "REDUCE_EXPIRY") == (rng.random() < 0.93):
        given["new_expiry"] = some_expiry(world)
    return line(world, "EXCURSION_ASSESSED", given, world.signers("EXCURSION_ASSESSED"))


# ---- recalls and corrections -----------------------------------------------------------------------------------------

def recall(world):
    rng = world.rng
    still_open = [n for n in world.names("recall") if world.ledger.recall_open(n)]
    if still_open and rng.random() < 0.7:
        given = {"recall": rng.choice(still_open), "action": "CLOSED", "items": [world.some("item")]}
    elif rng.random() < 0.1:
        given = {"recall": world.some("recall"), "action": rng.choice(["ISSUED", "CLOSED"]), "items": [world.some_item()]}
    else:
        item = world.some("item")
        ancestors = world.ledger.lineage(item) if world.ledger.maker(item) else [item]
        given = {"recall": world.fresh("RC"), "action": "ISSUED", "items": [rng.choice(ancestors)]}
    return line(world, "RECALL_CHANGED", given, world.signers("RECALL_CHANGED"))


def correct(world):
    """A correction of one or two fields, with the right old value in some notation, or with a wrong one."""
    rng = world.rng
    able = [e for e in world.accepted if KINDS[e.kind]["correctable"]]
    if not able:
        return void(world)
    target = rng.choice(able[-40:] if rng.random() < 0.7 else able)
    kind = KINDS[target.kind]
    fields = rng.sample(kind["correctable"], rng.choice([1, len(kind["correctable"])]))
    if rng.random() < 0.04:
        fields.append(rng.choice(fields + ["item", "quantity", "no-such"]))
    given = {"target_event": target.id, "changes": [change(world, target, field) for field in fields]}
    if rng.random() < 0.04:
        given["did_not_occur"] = rng.choice([True, False])
    return line(world, "EVENT_CORRECTED", given, world.signers("EVENT_CORRECTED"))


def change(world, target, field):
    rng = world.rng
    kind = KINDS[target.kind]
    kind_of = {**kind["mandatory"], **kind["optional"]}.get(field, "text")
    old = target[field]
    if isinstance(old, Num) and rng.random() < 0.6:
        old = world.number(old.nano())      # 40 for 40.0: equal by value
    if rng.random() < 0.07:
        old = rng.choice([None, "", "other", Num("41"), True, [], {}, {"a": None}])
    new = some_value(world, kind_of)
    if field == "quantity" and field in kind["correctable"]:
        new = new_quantity(world, target)
    if field == "value" and field in kind["correctable"]:
        new = rng.choice([new, measured(world, target.fields, target["test"])[0],
                          world.number(rng.choice([4, 6, 69, 70, 71]) * NANO)])
    if rng.random() < 0.05:
        new = rng.choice([None, "", [], True, Num("1.5"), Num("1e999"), "a\u0001", {"x": None}])
    return {"field": field, "old": old, "new": new}


def new_quantity(world, target):
    """Zero, about the old one, or exactly as much less as the item can bear (and a hair more)."""
    rng = world.rng
    old = target["quantity"].nano()
    item = target["input"] if target.kind == "INPUT_CONSUMED" else target["item"]
    available = world.ledger.stock(item)[0]
    bound = old + available if target.kind == "INPUT_CONSUMED" else old - available
    return world.number(rng.choice([0, old, old + 1, old - 1, bound, bound, bound + 1, bound - 1, -1, old * 2]))


def void(world):
    rng = world.rng
    kinds = ["PROCESS_STEP", "STORAGE_MOVED", "ADMINISTERED", "LOT_DISPOSED", "ADVERSE_EVENT_REPORTED"]
    able = [e for e in world.accepted if e.kind in kinds]
    target = rng.choice(able) if able and rng.random() < 0.88 else rng.choice(world.accepted)
    given = {"target_event": target.id, "did_not_occur": True}
    if rng.random() < 0.05:
        given["changes"] = rng.choice([[], None, [{"field": "position", "old": None, "new": "x"}]])
    if rng.random() < 0.03:
        given["did_not_occur"] = False
    return line(world, "EVENT_CORRECTED", given, world.signers("EVENT_CORRECTED"))


# ---- choosing --------------------------------------------------------------------------------------------------------

def wild(world):
    """Any kind with any references, whatever the state: what a confused client might send."""
    rng = world.rng
    kind = rng.choice(list(KINDS))
    given = {}
    for name, kind_of in {**KINDS[kind]["mandatory"], **KINDS[kind]["optional"]}.items():
        if name in KINDS[kind]["optional"] and rng.random() < 0.6:
            continue
        space = world.REFERENCES.get(name)
        given[name] = some_value(world, kind_of)
        if space and isinstance(given[name], list):
            given[name] = [world.some(space) for _ in range(rng.choice([1, 2]))]
        elif space:
            given[name] = world.some(space)
    return line(world, kind, given, world.signers(kind))


def in_transit(world, shipment):
    rng = world.rng
    return rng.choice([receive] * 5 + [shipment_log] * 4 + [custody] * 2)(world, shipment)


def advance(world, item):
    """What would sensibly happen next to this item."""
    rng, ledger = world.rng, world.ledger
    if item in world.ended:
        return rng.choice([adverse, adverse, storage, qc_result])(world, item)
    if ledger.in_shipment(item):
        if rng.random() < 0.1:
            return rng.choice([dispose, storage, administer])(world, item)
        return in_transit(world, ledger.in_shipment(item))
    held_by = [x.name for x in ledger.excursions_concerning(item) if x.open]
    if held_by and rng.random() < 0.6:
        return assess(world, rng.choice(held_by))
    if any(ledger.has_open_deviation(m) for m in ledger.line(item)) and rng.random() < 0.6:
        return deviation(world, rng.choice(ledger.line(item)))
    if ledger.quarantined(item) and rng.random() < 0.5:
        return decision(world, rng.choice(ledger.line(item)), rng.choice(["LIFT_QUARANTINE", "RELEASE"]))
    if rng.random() < 0.22:
        return disturb(world, item)
    return make_progress(world, item)


def disturb(world, item):
    choices = [deviation, deviation, storage_log, storage_log, decision, dispose, qc_result, adverse, process_step, storage,
               storage, derive, consume]
    return world.rng.choice(choices)(world, item)


def make_progress(world, item):
    rng, ledger = world.rng, world.ledger
    maker = ledger.maker(item)
    if maker.kind == "LOT_CREATED" and ledger.stock(item)[0] == 0:
        fed = [consume, derive, derive, derive, derive, process_step]
        return rng.choice(fed if ledger.inputs(item) else [consume] * 6 + [process_step, derive])(world, item)
    if not is_released(world, item):
        lacking = [t for m in ledger.line(item) for t in ledger.required(m) if not ledger.in_force(item, t)]
        return rng.choice([qc_result] * (5 if lacking else 1) + [release] * (1 if lacking else 5) + [split])(world, item)
    if any(not ledger.in_force(item, t) for m in ledger.line(item) for t in ledger.required(m)) and rng.random() < 0.5:
        return qc_result(world, item)
    if holder(world, item) in HOSPITALS and maker.kind != "COLLECTION_PERFORMED":
        return rng.choice([administer] * 5 + [split, storage, dispatch])(world, item)
    if ledger.item_class(item) in ("MATERIAL", "STARTING") and holder(world, item) in MAKERS:
        lots = [i for i in items_at(world, holder(world, item)) if ledger.item_class(i) not in ("MATERIAL", "STARTING")]
        if lots and rng.random() < 0.7:
            return consume(world, rng.choice(lots[-6:]))
    return rng.choice([dispatch] * 4 + [split] * 3 + [release, qc_result, administer])(world, item)


def propose(world):
    """One proposal: mostly the next step of some item, else something that starts, ends or repairs."""
    rng = world.rng
    chance = rng.random()
    if chance < 0.6 and world.known["item"]:
        item = world.some_item()
        return advance(world, item) if item in world.known["item"] else material(world)
    if chance < 0.86:
        return rng.choice([coi, consent, consent, material, collection, collection, specification, lot, lot, lot, correct,
                           correct, correct, void, recall, party, assess])(world)
    if chance < 0.95 and world.known["shipment"]:
        partly = [s for s in world.known["shipment"] if remaining(world, s)]
        return in_transit(world, rng.choice(partly) if partly and rng.random() < 0.8 else world.some("shipment"))
    return wild(world)
