# SPDX-License-Identifier: Apache-2.0
"""What an accepted event changes: docs/rules.md, section 5 (what stands after the arrows), and the lists of docs/format.md, 14.

Nothing is judged here: every event is taken for one that the ledger rightly accepted. States of all chains are kept as dictionaries,
and each event gives the chains that it advances.
"""
import states
from layout import CASE, ITEM, LEDGER, PARTY, PRODUCT, SHIPMENT, SUBJECT, decimal, instant, need, public_key

TRUE, FALSE = 2, 1
DEVIATION, EXCURSION, RECALL = 1, 2, 3
PREFIX = {DEVIATION: "deviation/", EXCURSION: "excursion/", RECALL: "recall/"}


class Recorded:
    """An event on its way into the states."""

    def __init__(self, index, event_id, occurred, name, body, org):
        self.index, self.event_id, self.occurred, self.name, self.body, self.org = index, event_id, instant(occurred), name, body, org
        self.chains = []


def once(ids):
    return list(dict.fromkeys(ids))


class World:
    def __init__(self):
        self.states, self.events, self.latest_result, self.touched = {}, {}, {}, []

    # ---- chains ----

    def touch(self, type_, id_):
        need((type_, id_) in self.states, f"an accepted event names chain {type_} {id_}, which does not exist")
        if (type_, id_) not in self.touched:
            self.touched.append((type_, id_))
        return self.states[type_, id_]

    def make(self, type_, id_, **fields):
        need((type_, id_) not in self.states, f"chain {type_} {id_} is made twice")
        self.states[type_, id_] = states.blank(type_, **fields)
        return self.touch(type_, id_)

    def known(self, type_, id_):
        return (type_, id_) in self.states

    def item(self, id_):
        return self.touch(ITEM, id_)

    def case(self, type_, id_):
        return self.touch(CASE, PREFIX[type_] + id_)

    def make_item(self, e, id_, **fields):
        return self.make(ITEM, id_, id=id_, made_index=e.index, born=e.occurred, arrived=e.occurred, holder=e.org, **fields)

    # ---- entries ----

    def genesis(self, g):
        self.touched = []
        self.make(LEDGER, g.origin, origin=g.origin, format_version=g.format, rules_version=g.rules, log_key=g.log_key,
                  clock_tolerance=g.tolerance, heartbeat=g.heartbeat, event_size_max=g.event_max, batch_events_max=g.batch_max)
        self.make(PARTY, g.admin, id=g.admin, org=g.org, roles=1 << 1, algorithm=g.algorithm, key=g.key)
        self.origin = g.origin
        return self.touched

    def epoch(self, payload):
        self.touched = []
        self.touch(LEDGER, self.origin)["epoch"] = payload.epoch
        return self.touched

    def unchanged(self):
        """An entry that advances the ledger's chain and changes nothing in its state."""
        self.touched = []
        self.touch(LEDGER, self.origin)
        return self.touched

    def clock_step(self, payload):
        self.touched = []
        self.touch(LEDGER, self.origin)["clock"] = payload.reading
        return self.touched

    def event(self, e):
        self.touched = []
        getattr(self, e.name)(e)
        e.chains = self.touched
        self.events[e.event_id.hex()] = e
        return self.touched

    # ---- people ----

    def party_registered(self, e):
        b, action = e.body, e.body["action"]
        if action == 1:
            algorithm, key = public_key(b["pubkey"])
            self.make(PARTY, b["party"], id=b["party"], org=b["org"], roles=sum(1 << r for r in set(b["roles"])), algorithm=algorithm,
                      key=key, key_index=e.index, registered=e.index)
            return
        party = self.touch(PARTY, b["party"])
        if action == 2:
            party["roles"] = sum(1 << r for r in set(b["roles"]))
        elif action == 3:
            party["algorithm"], party["key"] = public_key(b["pubkey"])
            party["key_index"] = e.index
        else:
            party["revoked"] = e.index

    def coi_assigned(self, e):
        b = e.body
        self.make(SUBJECT, b["coi"], id=b["coi"], subject_commit=b["subject_commit"], use=b["use"], assigned=e.index)

    def consent_changed(self, e):
        subject = self.touch(SUBJECT, e.body["coi"])
        for scope in e.body["scopes"]:
            subject[f"given{scope}"], subject[f"index{scope}"] = e.body["action"], e.index
            if e.body["action"] == 1:
                subject[f"given_at{scope}"] = e.occurred

    def subject_item(self, coi, item):
        self.touch(SUBJECT, coi)["items"].append(item.encode())

    # ---- items ----

    def material_received(self, e):
        b = e.body
        item = self.make_item(e, b["item"], uom=b["uom"], available=decimal(b["quantity"]), has_expiry=True, expiry=instant(b["expiry"]),
                              **{"class": 1})
        item["required"] = [test.encode() for test in b.get("required_tests", [])]

    def collection_performed(self, e):
        b = e.body
        self.make_item(e, b["item"], use=b["use"], coi=b["coi"], uom=b["uom"], available=decimal(b["quantity"]), has_expiry=True,
                       expiry=instant(b["expiry"]), **{"class": 2})
        self.subject_item(b["coi"], b["item"])

    def specification_set(self, e):
        b = e.body
        if not self.known(PRODUCT, b["product_code"]):
            self.make(PRODUCT, b["product_code"], id=b["product_code"])
        tests = [{"test": t["test"], "unit": t["unit"], "has_low": "low" in t, "has_high": "high" in t, "required": t["required"] == TRUE,
                  "low": decimal(t.get("low", "0")), "high": decimal(t.get("high", "0"))} for t in b["tests"]]
        product = self.touch(PRODUCT, b["product_code"])
        product["versions"].append(states.specification(b["version"], e.index, tests))

    def specifications(self, product_code):
        product = self.states.get((PRODUCT, product_code), {"versions": []})
        return [states.read_member("specification", member) for member in product["versions"]]

    def lot_created(self, e):
        b = e.body
        versions = [s["version"].decode() for s in self.specifications(b["product_code"])]
        item = self.make_item(e, b["item"], use=b["use"], gmo="gmo" in b, coi=b.get("coi"), for_coi=b.get("for_coi"), uom=b.get("uom"),
                              has_expiry="expiry" in b, expiry=instant(b["expiry"]) if "expiry" in b else 0,
                              product_code=b["product_code"], **{"class": 2 + b["lot_class"]})
        item["spec_member"] = 1 + versions.index(b["spec_version"]) if versions else 0
        item["required"] = [test.encode() for test in b["required_tests"]]
        for coi in once(c for c in (b.get("coi"), b.get("for_coi")) if c and self.known(SUBJECT, c)):
            self.subject_item(coi, b["item"])

    def process_step(self, e):
        self.item(e.body["item"])

    def input_consumed(self, e):
        b, quantity = e.body, decimal(e.body["quantity"])
        item, taken = self.item(b["item"]), self.item(b["input"])
        taken["available"] -= quantity
        item["last_input"] = e.index
        item["inputs"].append(states.member("edge", item=b["input"], quantity=quantity, uom=b["uom"], index=e.index))
        taken["uses"].append(states.member("edge", item=b["item"], quantity=quantity, uom=b["uom"], index=e.index))

    def lot_derived(self, e):
        b, item = e.body, self.item(e.body["item"])
        expiry = instant(b["expiry"])
        item["available"] += decimal(b["quantity"])
        item["uom"] = b["uom"]
        item["expiry"] = min(item["expiry"], expiry) if item["derived"] else expiry
        item["derived"] = item["has_expiry"] = True
        item["last_derived"] = e.index

    def lot_split(self, e):
        whole = self.item(e.body["item"])
        for unit in e.body["units"]:
            quantity = decimal(unit["quantity"])
            same = {name: whole[name] for name in ("use", "gmo", "coi", "for_coi", "uom", "has_expiry", "expiry")}
            self.make_item(e, unit["item"], parent=e.body["item"], available=quantity, **same, **{"class": 7})
            whole["available"] -= quantity
            whole["units"].append(states.member("edge", item=unit["item"], quantity=quantity, uom=whole["uom"], index=e.index))

    def storage_moved(self, e):
        self.item(e.body["item"])["location"] = e.body["location"]

    def lot_disposed(self, e):
        b, item = e.body, self.item(e.body["item"])
        took = decimal(b.get("quantity", "0"))
        item["available"] -= took
        if "lost_shipment" in b:
            self.touch(SHIPMENT, b["lost_shipment"])
        if "quantity" in b and item["available"]:
            return
        item["terminal"], item["terminal_index"], item["terminal_took"] = 2, e.index, took
        if "lost_shipment" in b:
            item["shipment"] = None

    # ---- quality ----

    def limits(self, item_id, b):
        """(low, high, whether any applies) for a QC_RESULT"""
        top = self.states[ITEM, item_id]
        while top["parent"] is not None:
            top = self.states[ITEM, top["parent"]]
        if top["spec_member"]:
            specification = self.specifications(top["product_code"])[top["spec_member"] - 1]
            for t in specification["tests"]:
                if t["test"].decode() == b["test"]:
                    return (t["low"] if t["has_low"] else None), (t["high"] if t["has_high"] else None)
        return tuple(decimal(b[name]) if name in b else None for name in ("low", "high"))

    def outcome(self, e, item_id, test, verdict, source):
        item = self.item(item_id)
        item["outcomes"].append(states.member("outcome", test=test, verdict=verdict, index=e.index, source=source))
        if verdict == 2:
            item["last_fail"] = e.index

    def qc_result(self, e):
        b = e.body
        self.outcome(e, b["item"], b["test"], b["verdict"], e.index)
        self.latest_result[b["item"], b["test"]] = e.index

    def deviation_changed(self, e):
        b, item = e.body, self.item(e.body["item"])
        if b["action"] == 1:
            case = self.make(CASE, PREFIX[DEVIATION] + b["deviation"], id=b["deviation"], type=DEVIATION, open=True, opened=e.index,
                             item=b["item"], **{"class": b.get("class")})
            case["items"].append(b["item"].encode())
            item["cases"].append((PREFIX[DEVIATION] + b["deviation"]).encode())
            item["open_deviations"] += 1
        else:
            self.close(e, self.case(DEVIATION, b["deviation"]))
            item["open_deviations"] -= 1

    @staticmethod
    def close(e, case):
        case["open"], case["closed"] = False, e.index

    def quality_decision(self, e):
        item, decision = self.item(e.body["item"]), e.body["decision"]
        if decision in (1, 2):
            item["last_release"], item["quarantined"] = e.index, False
        elif decision == 3:
            item["rejected"] = e.index
        else:
            item["quarantined"] = decision == 4

    def recall_changed(self, e):
        b = e.body
        if b["action"] == 1:
            case = self.make(CASE, PREFIX[RECALL] + b["recall"], id=b["recall"], type=RECALL, open=True, opened=e.index,
                             **{"class": "I" * b["class"]})
            for id_ in once(b["items"]):
                case["items"].append(id_.encode())
                self.item(id_)["cases"].append((PREFIX[RECALL] + b["recall"]).encode())
                self.item(id_)["open_recalls"] += 1
        else:
            case = self.case(RECALL, b["recall"])
            self.close(e, case)
            for id_ in case["items"]:
                self.item(id_.decode())["open_recalls"] -= 1

    # ---- transport ----

    def shipment_dispatched(self, e):
        b = e.body
        shipment = self.make(SHIPMENT, b["shipment"], id=b["shipment"], from_org=e.org, to_org=b["to_org"], logger=b["logger"],
                             min_c=decimal(b["min_c"]), max_c=decimal(b["max_c"]), dispatched=e.occurred, handover=e.occurred,
                             remaining=len(b["items"]), is_return="return_reason" in b)
        for id_ in b["items"]:
            shipment["items"].append(id_.encode())
            self.item(id_)["shipment"] = b["shipment"]

    def custody_transferred(self, e):
        self.touch(SHIPMENT, e.body["shipment"])["handover"] = e.occurred

    def shipment_received(self, e):
        b, shipment = e.body, self.touch(SHIPMENT, e.body["shipment"])
        for id_ in b["items"]:
            item = self.item(id_)
            item["holder"], item["arrived"], item["shipment"] = e.org, e.occurred, None
        shipment["remaining"] -= len(b["items"])
        if not shipment["has_log"]:
            self.open_excursion(e, "NOLOG:" + b["shipment"], b["items"], None, b["shipment"])
        if b["seal_intact"] == FALSE:
            self.open_excursion(e, "SEAL:" + b["shipment"], b["items"], None, b["shipment"])

    def open_excursion(self, e, id_, items, start, shipment):
        if not self.known(CASE, PREFIX[EXCURSION] + id_):
            self.make(CASE, PREFIX[EXCURSION] + id_, id=id_, type=EXCURSION)
        case = self.case(EXCURSION, id_)
        if not case["open"]:
            case.update(open=True, opened=e.index, has_start=start is not None, start=start or 0, shipment=shipment,
                        episode_first=len(case["items"]), outcome=0, has_new_expiry=False, new_expiry=0)
        for item in items:
            case["items"].append(item.encode())
            self.fact(e, item, 1, case, start=case["start"], has_start=case["has_start"])["open_excursions"] += 1

    def fact(self, e, item_id, fact, case, **fields):
        item = self.item(item_id)
        item["excursions"].append(states.member("fact", fact=fact, id=case["id"], index=e.index, **fields))
        return item

    @staticmethod
    def episode(case):
        return [id_.decode() for id_ in case["items"][case["episode_first"]:]]

    def condition_logged(self, e):
        b = e.body
        shipment = self.touch(SHIPMENT, b["shipment"]) if "shipment" in b else None
        items = [id_.decode() for id_ in shipment["items"]] if shipment else once(b["items"])
        for id_ in items:
            self.item(id_)
        if b["excursion"] == TRUE:
            self.open_excursion(e, b["excursion_id"], items, instant(b["start"]), b.get("shipment"))
        if shipment and b["logger"] == shipment["logger"] and instant(b["end"]) >= shipment["dispatched"]:
            shipment["has_log"] = True
            self.close_nolog(e, "NOLOG:" + b["shipment"])

    def close_nolog(self, e, id_):
        if not self.states.get((CASE, PREFIX[EXCURSION] + id_), {"open": False})["open"]:
            return
        case = self.case(EXCURSION, id_)
        self.close(e, case)
        for item in self.episode(case):
            self.fact(e, item, 3, case)["open_excursions"] -= 1

    def excursion_assessed(self, e):
        b, case = e.body, self.case(EXCURSION, e.body["excursion_id"])
        reduces = b["outcome"] == 2
        new = {"has_new_expiry": reduces, "new_expiry": instant(b["new_expiry"]) if reduces else 0}
        self.close(e, case)
        case.update(outcome=b["outcome"], **new)
        for id_ in self.episode(case):
            item = self.fact(e, id_, 2, case, outcome=b["outcome"], **new)
            item["open_excursions"] -= 1
            item["rejecting_excursions"] += b["outcome"] == 3
            item["reducing_excursions"] += reduces

    # ---- the patient ----

    def administered(self, e):
        b, item = e.body, self.item(e.body["item"])
        self.touch(SUBJECT, b["coi"])
        item["nonconforming"] = "nonconforming" in b
        took = item["available"] if item["nonconforming"] else decimal(b["dose"])
        item["available"] -= took
        item.update(terminal=1, terminal_index=e.index, terminal_took=took, patient=b["coi"])

    def adverse_event_reported(self, e):
        self.item(e.body["item"])
        if self.known(SUBJECT, e.body["coi"]):
            self.touch(SUBJECT, e.body["coi"])

    # ---- corrections ----

    def event_corrected(self, e):
        target = self.events[e.body["target_event"]]
        for chain in target.chains:
            self.touch(*chain)["corrections"] += self.corrections(e, target)
        if "did_not_occur" in e.body:
            self.void(target)
        for change in e.body.get("changes", []):
            self.change(e, target, change["field"], change["new"])

    @staticmethod
    def corrections(e, target):
        common = {"target": target.event_id, "target_index": target.index, "index": e.index}
        if "did_not_occur" in e.body:
            return [states.member("correction", is_void=True, **common)]
        return [states.member("correction", field=change["field"], has_number="number" in change["new"],
                              number=any_number(change["new"]), **common) for change in e.body["changes"]]

    def void(self, target):
        if target.name not in ("administered", "lot_disposed"):
            return
        item = self.item(target.body["item"])
        if item["terminal_index"] == target.index:
            item["available"] += item["terminal_took"]
            item.update(terminal=0, terminal_index=0, terminal_took=0, patient=None)
        else:
            item["available"] += decimal(target.body["quantity"])

    def change(self, e, target, field, new):
        b = target.body
        if target.name in ("collection_performed", "lot_derived") and field == "quantity":
            self.item(b["item"])["available"] += any_number(new) - decimal(b["quantity"])
        elif target.name == "input_consumed" and field == "quantity":
            self.item(b["input"])["available"] -= any_number(new) - decimal(b["quantity"])
        elif target.name == "qc_result" and field == "value" and "number" in new:
            self.judge_again(e, target, any_number(new))

    def judge_again(self, e, target, value):
        b = target.body
        if self.latest_result[b["item"], b["test"]] != target.index:
            return
        low, high = self.limits(b["item"], b)
        good = (low is None or value >= low) and (high is None or value <= high)
        self.outcome(e, b["item"], b["test"], 1 if good else 2, target.index)


def any_number(any_):
    """Of an Any; 0 if it holds none."""
    number = any_.get("number", "0")
    return decimal(number[:-2] if number.endswith(".0") else number)
