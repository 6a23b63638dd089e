#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second, deliberately naive judge of lifecycles. It keeps nothing but the list of accepted events: every fact
("the latest release on the split line", "how much is left") is found by reading that list again.

    python3 judge.py FILE.jsonl            one line of output per input line: ID<TAB>ACCEPT or ID<TAB>REFUSE:CODE
    python3 judge.py --expect FILE.jsonl   compares with each line's `expect`; exit 1 and the differences
"""
import sys

from kinds import KINDS
from values import (MICRO, NANO, Num, Refused, check_type, equal, instant, is_empty, is_text, nano, need, parse_line,
                    strings_in)

DECISIONS_ON_STATUS = ("QUARANTINE", "LIFT_QUARANTINE", "RELEASE", "EXCEPTIONAL_RELEASE")
RELEASES = ("RELEASE", "EXCEPTIONAL_RELEASE")
MAY_BE_VOID = ("PROCESS_STEP", "STORAGE_MOVED", "ADMINISTERED", "LOT_DISPOSED", "ADVERSE_EVENT_REPORTED")


class Event:
    """One line, read. `event["name"]` is the field's value, None when the field counts as absent."""

    def __init__(self, line):
        self.id = line.get("id")
        self.kind = line.get("kind")
        self.occurred_text = line.get("occurred")
        self.recorded = instant(line["recorded"])
        self.signers = line.get("signers") or []
        self.fields = line.get("fields")
        if not isinstance(self.fields, dict):
            self.fields = {}
        self.occurred = None    # set by check 3
        self.org = None         # the acting organisation, set by check 6
        self.seq = None         # place in the list of accepted events

    def __getitem__(self, name):
        value = self.fields.get(name)
        if is_empty(value):
            return None
        if value is False and KINDS[self.kind]["optional"].get(name) == "bool":
            return None
        return value

    def signer(self, index):
        signer = self.signers[index]
        return signer if isinstance(signer, dict) else {}


class Excursion:
    """One opening of an excursion (NOLOG: and SEAL: ones may be opened several times)."""

    def __init__(self, name, opened, start, items):
        self.name, self.opened, self.start, self.items = name, opened, start, items
        self.open, self.outcome, self.new_expiry = True, None, None


class Ledger:
    def __init__(self):
        self.log = []       # the accepted events, in the order of recording: the only state
        self.by_word = {}   # the same events by every string that they contain, so that reading again is quick

    # ---- reading the list --------------------------------------------------------------------------------------

    def accept(self, event):
        event.seq = len(self.log)
        self.log.append(event)
        words = set(strings_in(event.fields)) | {event.kind}
        if event.kind == "EVENT_CORRECTED":  # a correction also talks about what its target talks about
            words |= set(strings_in(self.by_reference(event["target_event"]).fields))
        for word in words:
            self.by_word.setdefault(word, []).append(event)

    def about(self, word, *kinds):
        """Accepted events that contain this string, in order; optionally only those kinds."""
        return [e for e in self.by_word.get(word, []) if not kinds or e.kind in kinds]

    def by_reference(self, reference):
        for event in self.log:
            if event.id == reference:
                return event
        return None

    def corrections_of(self, event):
        return [e for e in self.by_word.get(event.id, [])
                if e.kind == "EVENT_CORRECTED" and e["target_event"] == event.id]

    def is_void(self, event):
        return any(c["did_not_occur"] for c in self.corrections_of(event))

    # ---- parties -----------------------------------------------------------------------------------------------

    def party(self, name):
        """{"org", "roles", "revoked"} or None if never registered."""
        found = None
        for e in self.about(name, "PARTY_REGISTERED"):
            if e["party"] != name:
                continue
            if e["action"] == "REGISTER":
                found = {"org": e["org"], "roles": e["roles"], "revoked": False}
            elif e["action"] == "AMEND":
                found["roles"] = e["roles"]
            elif e["action"] == "REVOKE":
                found["revoked"] = True
        return found

    def signs_now(self, name):
        party = self.party(name) if isinstance(name, str) else None
        return party is not None and not party["revoked"]

    def has_role(self, name, roles):
        return any(role in roles for role in self.party(name)["roles"])

    def other_admin(self, name):
        names = {e["party"] for e in self.about("PARTY_REGISTERED")} - {name}
        return any(self.signs_now(other) and self.has_role(other, ["ADMIN"]) for other in names)

    # ---- chain of identity and consent ---------------------------------------------------------------------------

    def coi(self, name):
        for e in self.about(name, "COI_ASSIGNED"):
            if e["coi"] == name:
                return e
        return None

    def consent_events(self, coi, scope):
        return [e for e in self.about(coi, "CONSENT_CHANGED") if e["coi"] == coi and scope in e["scopes"]]

    def need_consent(self, coi, scope, event):
        changes = self.consent_events(coi, scope)
        givings = [e for e in changes if e["action"] == "GIVEN"]
        need(givings, "E_CONSENT_ABSENT")
        need(changes[-1]["action"] == "GIVEN", "E_CONSENT_WITHDRAWN")
        need(givings[-1].occurred <= event.occurred, "E_CONSENT_ABSENT")

    # ---- what an item is and where it came from ------------------------------------------------------------------

    def maker(self, item):
        """The event that made the item, or None."""
        for e in self.about(item, "MATERIAL_RECEIVED", "COLLECTION_PERFORMED", "LOT_CREATED", "LOT_SPLIT"):
            if e.kind == "LOT_SPLIT":
                if any(unit["item"] == item for unit in e["units"]):
                    return e
            elif e["item"] == item:
                return e
        return None

    def line(self, item):
        """The split line: the item, the item it was split from, and so on up to the top."""
        members = [item]
        while self.maker(members[-1]).kind == "LOT_SPLIT":
            members.append(self.maker(members[-1])["item"])
        return members

    def top(self, item):
        return self.maker(self.line(item)[-1])

    def inputs(self, item):
        return [e["input"] for e in self.about(item, "INPUT_CONSUMED") if e["item"] == item]

    def lineage(self, item):
        members = []
        todo = [item]
        while todo:
            member = todo.pop()
            if member in members:
                continue
            members.append(member)
            todo += self.line(member) + self.inputs(member)
        return members

    def item_class(self, item):
        top = self.top(item)
        if top.kind == "LOT_CREATED":
            return top["lot_class"]
        return "MATERIAL" if top.kind == "MATERIAL_RECEIVED" else "STARTING"

    def property(self, item, name):
        """use, coi, for_coi, gmo: a unit has its top's. A material has none of them."""
        return self.top(item)[name]

    def autologous(self, item):
        return self.property(item, "use") == "AUTOLOGOUS"

    def expiry(self, item, before=None):
        """The item's own expiry as an instant, or None; as it stood before event number `before`."""
        maker = self.maker(item)
        if maker.kind == "LOT_SPLIT":
            value = self.expiry(maker["item"], maker.seq)
        else:
            value = instant(maker["expiry"]) if maker["expiry"] else None
        first = True
        for e in self.about(item, "LOT_DERIVED"):
            if e["item"] != item or (before is not None and e.seq >= before):
                continue
            new = instant(e["expiry"])
            value = new if first or value is None else min(value, new)
            first = False
        return value

    def uom(self, item, before=None):
        maker = self.maker(item)
        value = self.uom(maker["item"], maker.seq) if maker.kind == "LOT_SPLIT" else maker["uom"]
        for e in self.about(item, "LOT_DERIVED"):
            if e["item"] == item and (before is None or e.seq < before):
                value = e["uom"]
        return value

    def stock(self, item):
        """(available in billionths, the event that ended the item or None), by playing its events again."""
        available, ended_by, took = 0, None, {}
        for e in self.about(item):
            if e.kind == "LOT_SPLIT":
                for unit in e["units"]:
                    if e["item"] == item:
                        available -= nano(unit["quantity"])
                    if unit["item"] == item:
                        available += nano(unit["quantity"])
            elif e.kind == "INPUT_CONSUMED":
                if e["input"] == item:
                    available -= nano(e["quantity"])
            elif e.kind == "EVENT_CORRECTED":
                target = self.by_reference(e["target_event"])
                if e["did_not_occur"]:
                    available += took.get(target.id, 0)
                    if ended_by is target:
                        ended_by = None
                else:
                    available += self.stock_change(target, e, item)
            elif e["item"] == item:
                if e.kind in ("MATERIAL_RECEIVED", "COLLECTION_PERFORMED", "LOT_DERIVED"):
                    available += nano(e["quantity"])
                elif e.kind == "ADMINISTERED":
                    took[e.id] = available if e["nonconforming"] else nano(e["dose"])
                    available -= took[e.id]
                    ended_by = e
                elif e.kind == "LOT_DISPOSED":
                    took[e.id] = nano(e["quantity"]) if e["quantity"] else 0
                    available -= took[e.id]
                    if e["quantity"] is None or available == 0:
                        ended_by = e
        return available, ended_by

    def stock_change(self, target, correction, item):
        """What a correction of a quantity adds to the item's available."""
        change = 0
        for one in correction["changes"]:
            if one["field"] == "quantity":
                more = nano(one["new"]) - nano(target["quantity"])
                if target.kind in ("COLLECTION_PERFORMED", "LOT_DERIVED") and target["item"] == item:
                    change += more
                if target.kind == "INPUT_CONSUMED" and target["input"] == item:
                    change -= more
        return change

    # ---- where it is ---------------------------------------------------------------------------------------------

    def arrival(self, item):
        """The receipt that brought the item where it is, or else its making."""
        found = self.maker(item)
        for e in self.about(item, "SHIPMENT_RECEIVED"):
            if item in e["items"]:
                found = e
        return found

    def in_shipment(self, item):
        """The shipment that the item is in, or None."""
        inside = None
        for e in self.about(item, "SHIPMENT_DISPATCHED", "SHIPMENT_RECEIVED"):
            if item in e["items"]:
                inside = e["shipment"] if e.kind == "SHIPMENT_DISPATCHED" else None
        ended_by = self.stock(item)[1]
        lost = ended_by is not None and ended_by.kind == "LOT_DISPOSED" and ended_by["lost_shipment"]
        return None if lost else inside

    def dispatch(self, shipment):
        for e in self.about(shipment, "SHIPMENT_DISPATCHED"):
            if e["shipment"] == shipment:
                return e
        return None

    def all_received(self, shipment):
        """A lost item was never received, so it keeps this False."""
        received = []
        for e in self.about(shipment, "SHIPMENT_RECEIVED"):
            if e["shipment"] == shipment:
                received += e["items"]
        return all(item in received for item in self.dispatch(shipment)["items"])

    def last_hand_over(self, shipment):
        last = self.dispatch(shipment).occurred
        for e in self.about(shipment, "CUSTODY_TRANSFERRED"):
            if e["shipment"] == shipment:
                last = e.occurred
        return last

    # ---- recalls, deviations, excursions -------------------------------------------------------------------------

    def recall_issued(self, name):
        return [e for e in self.about(name, "RECALL_CHANGED") if e["recall"] == name and e["action"] == "ISSUED"]

    def recall_open(self, name):
        closed = [e for e in self.about(name, "RECALL_CHANGED") if e["recall"] == name and e["action"] == "CLOSED"]
        return bool(self.recall_issued(name)) and not closed

    def recalled(self, item):
        for e in self.about(item, "RECALL_CHANGED"):
            if e["action"] == "ISSUED" and item in e["items"] and self.recall_open(e["recall"]):
                return True
        return False

    def deviation(self, name, action):
        for e in self.about(name, "DEVIATION_CHANGED"):
            if e["deviation"] == name and e["action"] == action:
                return e
        return None

    def has_open_deviation(self, item):
        for e in self.about(item, "DEVIATION_CHANGED"):
            if e["item"] == item and e["action"] == "OPENED" and not self.deviation(e["deviation"], "CLOSED"):
                return True
        return False

    def excursions(self):
        """Every opening of every excursion, by reading logs, receipts and assessments from the start."""
        found, has_log = [], set()
        for e in self.log:
            if e.kind == "CONDITION_LOGGED":
                shipment = e["shipment"]
                if e["excursion"]:
                    items = self.dispatch(shipment)["items"] if shipment else e["items"]
                    found.append(Excursion(e["excursion_id"], e.seq, instant(e["start"]), list(items)))
                if shipment and self.is_own_log(e):
                    has_log.add(shipment)
                    for excursion in found:
                        if excursion.name == "NOLOG:" + shipment:
                            excursion.open = False
            elif e.kind == "SHIPMENT_RECEIVED":
                if e["shipment"] not in has_log:
                    self.open_or_extend(found, "NOLOG:" + e["shipment"], e)
                if e["seal_intact"] is False:
                    self.open_or_extend(found, "SEAL:" + e["shipment"], e)
            elif e.kind == "EXCURSION_ASSESSED":
                for excursion in found:
                    if excursion.name == e["excursion_id"] and excursion.open:
                        excursion.open, excursion.outcome, excursion.new_expiry = False, e["outcome"], e["new_expiry"]
        return found

    def is_own_log(self, log):
        """By the shipment's own logger, and ended not before the dispatch."""
        dispatch = self.dispatch(log["shipment"])
        return log["logger"] == dispatch["logger"] and instant(log["end"]) >= dispatch.occurred

    @staticmethod
    def open_or_extend(found, name, receipt):
        for excursion in found:
            if excursion.name == name and excursion.open:
                excursion.items += receipt["items"]
                return
        found.append(Excursion(name, receipt.seq, None, list(receipt["items"])))

    def concerns(self, excursion, item):
        line = self.line(item)
        for place, member in enumerate(line):
            if member not in excursion.items:
                continue
            if place == 0:
                return True
            split = self.maker(line[place - 1])  # the split that made the child of the named member
            if excursion.opened < split.seq:
                return True
            if excursion.start is not None and excursion.start < split.occurred:
                return True
        return False

    def excursions_concerning(self, item):
        return [x for x in self.excursions() if self.concerns(x, item)]

    # ---- quality -------------------------------------------------------------------------------------------------

    def decisions(self, item, *which):
        return [e for e in self.about(item, "QUALITY_DECISION") if e["item"] == item and e["decision"] in which]

    def rejected(self, item):
        if any(self.decisions(member, "REJECT") for member in self.line(item)):
            return True
        return any(x.outcome == "REJECT" for x in self.excursions_concerning(item))

    def quarantined(self, item):
        for member in self.line(item):
            decisions = self.decisions(member, *DECISIONS_ON_STATUS)
            if decisions and decisions[-1]["decision"] == "QUARANTINE":
                return True
        return False

    def specified(self, item, test):
        """The test in the specification of the item's top, or None."""
        specification = self.specification(self.top(item))
        for one in specification["tests"] if specification else []:
            if one["test"] == test:
                return one
        return None

    def specification(self, lot):
        """The specification that the lot was opened under: one set before it, or none for good."""
        if lot.kind != "LOT_CREATED":
            return None
        for e in self.about(lot["product_code"], "SPECIFICATION_SET"):
            if e["product_code"] == lot["product_code"] and e["version"] == lot["spec_version"] and e.seq < lot.seq:
                return e
        return None

    def limits(self, item, test, result):
        """(low, high) that judge this result: the specification's, else the result's own. None is no bound."""
        judge = self.specified(item, test) or result.fields
        return tuple(None if is_empty(judge.get(name)) else nano(judge[name]) for name in ("low", "high"))

    @staticmethod
    def within(value, limits):
        low, high = limits
        return (low is None or nano(value) >= low) and (high is None or nano(value) <= high)

    def outcomes(self, item, test):
        """[(number of the event that brought it, verdict)] of that test on that very item, in order."""
        found, latest = [], None
        for e in self.about(item, "QC_RESULT", "EVENT_CORRECTED"):
            if e.kind == "QC_RESULT":
                if e["item"] == item and e["test"] == test:
                    latest = e
                    found.append((e.seq, e["verdict"]))
            elif latest is not None and e["target_event"] == latest.id:
                for change in e["changes"] or []:
                    if change["field"] == "value" and isinstance(change["new"], Num):
                        passed = self.within(change["new"], self.limits(item, test, latest))
                        found.append((e.seq, "PASS" if passed else "FAIL"))
        return found

    def tests_seen(self, item):
        return sorted({e["test"] for e in self.about(item, "QC_RESULT") if e["item"] == item})

    def in_force(self, item, test):
        """The outcome nearest on the split line, as (event number, verdict), or None."""
        for member in self.line(item):
            outcomes = self.outcomes(member, test)
            if outcomes:
                return outcomes[-1]
        return None

    def required(self, item):
        """The required tests of this very item: a unit has none of its own."""
        maker = self.maker(item)
        if maker.kind not in ("MATERIAL_RECEIVED", "LOT_CREATED"):
            return []
        tests = list(maker["required_tests"] or [])
        specification = self.specification(maker)
        if specification:
            tests += [one["test"] for one in specification["tests"] if one["required"]]
        return tests

    # ---- the questions of the rules, as checks -------------------------------------------------------------------

    def need_exists(self, item):
        need(self.maker(item), "E_UNKNOWN_ITEM")

    def need_new(self, item):
        need(not self.maker(item), "E_DUP_ITEM")

    def need_born(self, item, event):
        need(event.occurred >= self.maker(item).occurred, "E_TIME_ORDER")

    def need_live(self, item):
        need(self.stock(item)[1] is None, "E_TERMINAL")

    def need_clear(self, item, but=()):
        need(not any(self.recalled(member) for member in self.lineage(item)), "E_HOLD_RECALL")
        need(not self.rejected(item), "E_REJECTED")
        if "quarantine" not in but:
            need(not self.quarantined(item), "E_HOLD_QUARANTINE")
        if "deviation" not in but:
            need(not any(self.has_open_deviation(member) for member in self.line(item)), "E_HOLD_DEVIATION")
        if "excursion" not in but:
            need(not any(x.open for x in self.excursions_concerning(item)), "E_HOLD_EXCURSION")

    def need_released(self, item):
        line = self.line(item)
        releases = [e.seq for member in line for e in self.decisions(member, *RELEASES)]
        need(releases, "E_NOT_RELEASED")
        latest = max(releases)
        for member in line:
            for e in self.about(member, "INPUT_CONSUMED", "LOT_DERIVED"):
                need(e["item"] != member or e.seq < latest, "E_NOT_RELEASED")
        for member in line:
            for test in self.tests_seen(member):
                for seq, verdict in self.outcomes(member, test):
                    need(verdict == "PASS" or seq < latest, "E_QC_FAILED")

    def need_unexpired(self, item, event):
        expiry = self.expiry(item)
        need(expiry is None or event.occurred <= expiry, "E_EXPIRED")
        for x in self.excursions_concerning(item):
            if x.outcome == "REDUCE_EXPIRY":
                need(event.occurred <= instant(x.new_expiry), "E_EXPIRED")

    def need_here(self, item, event):
        need(self.in_shipment(item) is None, "E_IN_TRANSIT")
        need(self.arrival(item).org == event.org, "E_CUSTODY")

    def need_take(self, item, quantity, uom):
        need(self.uom(item) in (None, uom), "E_UOM")
        need(0 < nano(quantity) <= self.stock(item)[0], "E_QTY_EXCEEDED")

    # ---- every event ---------------------------------------------------------------------------------------------

    def judge(self, line):
        """ACCEPT or REFUSE:CODE; an accepted event joins the list, a refused one leaves no trace."""
        event = Event(line)
        try:
            self.check(event)
        except Refused as refused:
            return "REFUSE:" + refused.code
        self.accept(event)
        return "ACCEPT"

    def check(self, event):
        need(isinstance(event.kind, str) and event.kind in KINDS, "E_UNKNOWN_KIND")
        kind = KINDS[event.kind]
        self.check_fields(event, kind)
        need(self.by_reference(event.id) is None, "E_DUP_EVENT")
        bootstrap = event.kind == "PARTY_REGISTERED" and not self.about("PARTY_REGISTERED")
        if not bootstrap:
            self.check_signatures(event, kind)
        need(event.occurred <= event.recorded, "E_TIME_FUTURE")
        getattr(self, "check_" + event.kind.lower())(event)

    @staticmethod
    def check_fields(event, kind):
        for name in kind["mandatory"]:
            need(not is_empty(event.fields.get(name)), "E_MISSING_FIELD")
        types = {**kind["mandatory"], **kind["optional"]}
        need(all(name in types for name in event.fields), "E_BAD_VALUE")
        event.occurred = instant(event.occurred_text) if isinstance(event.occurred_text, str) else None
        need(event.occurred is not None, "E_BAD_VALUE")
        for name, kind_of in types.items():
            if event[name] is not None:
                check_type(event[name], kind_of)
        if event.kind in ("MATERIAL_RECEIVED", "COLLECTION_PERFORMED", "LOT_DERIVED"):
            need(nano(event["quantity"]) > 0, "E_BAD_VALUE")
        if event.kind == "SHIPMENT_DISPATCHED":
            need(len(event["shipment"]) <= 90, "E_BAD_VALUE")

    def check_signatures(self, event, kind):
        names = [event.signer(i).get("party") for i in range(len(event.signers))]
        need(names, "E_SIG_MISSING")
        need(len(names) <= kind["signatures"], "E_SIG_COUNT")
        need(all(self.signs_now(name) for name in names), "E_UNKNOWN_PARTY")
        event.org = self.party(names[0])["org"]
        need(self.has_role(names[0], kind["roles"]), "E_ROLE")
        if kind["signatures"] == 2:
            need(len(names) == 2, "E_SIG_SECOND_MISSING")
            need(names[0] != names[1], "E_SIG_SAME_PERSON")
            need(self.has_role(names[1], kind["second_roles"]), "E_ROLE")
        need(all(is_text(event.signer(i).get("meaning")) for i in range(len(names))), "E_SIG_MEANING")

    # ---- kind by kind --------------------------------------------------------------------------------------------

    def check_party_registered(self, e):
        party = self.party(e["party"])
        if e["action"] == "REGISTER":
            need(party is None, "E_DUP_ITEM")
            return
        need(self.signs_now(e["party"]), "E_UNKNOWN_PARTY")
        if e["action"] == "REVOKE" or (e["action"] == "AMEND" and "ADMIN" not in e["roles"]):
            need(self.other_admin(e["party"]), "E_ROLE")

    def check_coi_assigned(self, e):
        need(self.coi(e["coi"]) is None, "E_DUP_ITEM")

    def check_consent_changed(self, e):
        need(self.coi(e["coi"]), "E_UNKNOWN_ITEM")
        if e["action"] == "WITHDRAWN":
            for scope in e["scopes"]:
                changes = self.consent_events(e["coi"], scope)
                need(changes and changes[-1]["action"] == "GIVEN", "E_CONSENT_ABSENT")

    def check_material_received(self, e):
        self.need_new(e["item"])
        need(instant(e["expiry"]) >= e.occurred, "E_EXPIRED")

    def check_collection_performed(self, e):
        self.need_new(e["item"])
        need(self.coi(e["coi"]), "E_UNKNOWN_ITEM")
        self.need_consent(e["coi"], "COLLECTION", e)
        need(e["use"] == self.coi(e["coi"])["use"], "E_COI_MISMATCH")

    def check_specification_set(self, e):
        for other in self.about(e["product_code"], "SPECIFICATION_SET"):
            need((other["product_code"], other["version"]) != (e["product_code"], e["version"]), "E_DUP_ITEM")
        names = [one["test"] for one in e["tests"]]
        need(len(names) == len(set(names)), "E_BAD_VALUE")
        for one in e["tests"]:
            if not is_empty(one.get("low")) and not is_empty(one.get("high")):
                need(nano(one["low"]) <= nano(one["high"]), "E_BAD_VALUE")

    def check_lot_created(self, e):
        self.need_new(e["item"])
        versions = [s["version"] for s in self.about(e["product_code"], "SPECIFICATION_SET")
                    if s["product_code"] == e["product_code"]]
        need(not versions or e["spec_version"] in versions, "E_UNKNOWN_ITEM")
        if e["use"] == "AUTOLOGOUS":
            need(e["coi"] and self.coi(e["coi"]), "E_COI_MISMATCH")
        if e["for_coi"]:
            need(self.coi(e["for_coi"]), "E_COI_MISMATCH")
        if e["gmo"]:
            need(e["cartagena_ref"], "E_CARTAGENA")

    def check_process_step(self, e):
        self.need_exists(e["item"])
        self.need_born(e["item"], e)
        self.need_live(e["item"])
        self.need_clear(e["item"], but=("quarantine", "deviation", "excursion"))
        self.need_here(e["item"], e)

    def check_input_consumed(self, e):
        item, source = e["item"], e["input"]
        self.need_exists(item)
        self.need_exists(source)
        need(item not in self.lineage(source), "E_CYCLE")
        self.need_born(item, e)
        self.need_born(source, e)
        self.need_live(item)
        self.need_live(source)
        if self.item_class(source) == "STARTING":
            self.need_consent(self.property(source, "coi"), "MANUFACTURE", e)
        if self.autologous(source):
            same = self.property(item, "coi") == self.property(source, "coi")
            need(self.autologous(item) and same, "E_COI_MISMATCH")
        self.need_clear(item, but=("quarantine", "deviation", "excursion"))
        self.need_clear(source)
        self.need_released(source)
        self.need_unexpired(source, e)
        self.need_here(source, e)
        self.need_here(item, e)
        self.need_take(source, e["quantity"], e["uom"])

    def check_lot_derived(self, e):
        self.need_exists(e["item"])
        self.need_born(e["item"], e)
        self.need_live(e["item"])
        self.need_clear(e["item"], but=("deviation",))
        self.need_here(e["item"], e)
        need(self.uom(e["item"]) in (None, e["uom"]), "E_UOM")
        need(self.inputs(e["item"]), "E_NO_INPUT")

    def check_lot_split(self, e):
        self.need_exists(e["item"])
        names = [unit["item"] for unit in e["units"]]
        need(len(names) == len(set(names)), "E_DUP_ITEM")
        for name in names:
            self.need_new(name)
        self.need_born(e["item"], e)
        self.need_live(e["item"])
        self.need_clear(e["item"], but=("deviation",))
        self.need_here(e["item"], e)
        quantities = [nano(unit["quantity"]) for unit in e["units"]]
        need(all(q > 0 for q in quantities) and sum(quantities) <= self.stock(e["item"])[0], "E_SPLIT_SUM")

    def check_qc_result(self, e):
        self.need_exists(e["item"])
        self.need_born(e["item"], e)
        self.need_live(e["item"])
        specified = self.specified(e["item"], e["test"])
        if specified:
            need(e["unit"] == specified["unit"], "E_UOM")
            for name in ("low", "high"):
                if e[name] is not None:
                    need(not is_empty(specified.get(name)) and e[name].same(specified[name]), "E_QC_VERDICT")
        limits = self.limits(e["item"], e["test"], e)
        if isinstance(e["value"], Num):
            need(self.within(e["value"], limits) == (e["verdict"] == "PASS"), "E_QC_VERDICT")
        else:
            need(limits == (None, None), "E_BAD_VALUE")
        in_force = self.in_force(e["item"], e["test"])
        if e["verdict"] == "PASS" and in_force and in_force[1] == "FAIL":
            need(e["deviation"] and self.explains(e["deviation"], e["item"], in_force[0]), "E_QC_RETEST")

    def explains(self, deviation, item, failed):
        """A deviation of a member of the split line that was closed after that FAIL."""
        closed = self.deviation(deviation, "CLOSED")
        return closed is not None and closed["item"] in self.line(item) and closed.seq > failed

    def check_deviation_changed(self, e):
        self.need_exists(e["item"])
        opened = self.deviation(e["deviation"], "OPENED")
        if e["action"] == "OPENED":
            need(opened is None, "E_DUP_ITEM")
        else:
            need(self.has_role(e.signer(0)["party"], ["QA"]), "E_ROLE")
            need(opened and not self.deviation(e["deviation"], "CLOSED"), "E_UNKNOWN_ITEM")
            need(opened["item"] == e["item"], "E_UNKNOWN_ITEM")
        self.need_born(e["item"], e)

    def check_quality_decision(self, e):
        item, decision = e["item"], e["decision"]
        self.need_exists(item)
        self.need_born(item, e)
        self.need_live(item)
        if decision in RELEASES + ("LIFT_QUARANTINE",):
            self.need_clear(item, but=("quarantine",))
            if decision == "RELEASE":
                need(not any(self.rejected(member) for member in self.lineage(item)), "E_REJECTED")
            self.need_unexpired(item, e)
        if decision == "RELEASE":
            for member in self.line(item):
                for test in self.required(member):
                    need(self.in_force(item, test), "E_QC_INCOMPLETE")
            for member in self.line(item):
                for test in self.tests_seen(member):
                    need(self.in_force(item, test)[1] == "PASS", "E_QC_FAILED")
        if decision == "EXCEPTIONAL_RELEASE":
            need(e["justification"] and e["physician_request"], "E_MISSING_FIELD")

    def check_storage_moved(self, e):
        self.need_exists(e["item"])
        self.need_born(e["item"], e)
        self.need_live(e["item"])
        self.need_here(e["item"], e)

    def check_shipment_dispatched(self, e):
        need(self.dispatch(e["shipment"]) is None, "E_DUP_ITEM")
        for item in e["items"]:
            self.need_exists(item)
        need(len(e["items"]) == len(set(e["items"])), "E_DUP_ITEM")
        need(instant(e["logger_calibration_due"]) >= e.occurred, "E_LOGGER_CALIBRATION")
        for item in e["items"]:
            self.need_born(item, e)
            self.need_live(item)
            if e["return_reason"] is None:
                self.need_clear(item, but=("quarantine",) if e["under_quarantine"] else ())
                if self.item_class(item) != "STARTING" and not e["under_quarantine"]:
                    self.need_released(item)
                    self.need_unexpired(item, e)
            self.need_here(item, e)

    def check_custody_transferred(self, e):
        need(self.dispatch(e["shipment"]) and not self.all_received(e["shipment"]), "E_NOT_IN_SHIPMENT")
        need(e.occurred >= self.last_hand_over(e["shipment"]), "E_TIME_ORDER")

    def check_shipment_received(self, e):
        dispatch = self.dispatch(e["shipment"])
        need(dispatch, "E_NOT_IN_SHIPMENT")
        need(len(e["items"]) == len(set(e["items"])), "E_NOT_IN_SHIPMENT")
        for item in e["items"]:
            need(self.maker(item) and self.in_shipment(item) == e["shipment"], "E_NOT_IN_SHIPMENT")
        need(e.occurred >= self.last_hand_over(e["shipment"]), "E_TIME_ORDER")
        need(e.org == (dispatch.org if e["returned"] else dispatch["to_org"]), "E_CUSTODY")

    def check_condition_logged(self, e):
        if e["shipment"]:
            limits = self.dispatch(e["shipment"])
            need(limits, "E_NOT_IN_SHIPMENT")
            low, high = limits["min_c"], limits["max_c"]
        else:
            low, high = e["limit_min_c"], e["limit_max_c"]
            need(e["items"] and low is not None and high is not None, "E_MISSING_FIELD")
            for item in e["items"]:
                self.need_exists(item)
        need(instant(e["start"]) <= instant(e["end"]), "E_TIME_ORDER")
        need(nano(e["readings"]) >= NANO, "E_LOG_STATS")
        need(nano(e["min_c"]) <= nano(e["mean_c"]) <= nano(e["max_c"]), "E_LOG_STATS")
        outside = nano(e["min_c"]) < nano(low) or nano(e["max_c"]) > nano(high)
        need(e["excursion"] == outside, "E_EXCURSION_FLAG")
        if outside:
            need(e["excursion_id"], "E_MISSING_FIELD")
            name = e["excursion_id"]
            used = any(log["excursion"] and log["excursion_id"] == name for log in self.about(name, "CONDITION_LOGGED"))
            need(not used and not name.startswith(("NOLOG:", "SEAL:")), "E_DUP_ITEM")

    def check_excursion_assessed(self, e):
        need(any(x.name == e["excursion_id"] and x.open for x in self.excursions()), "E_UNKNOWN_ITEM")
        if e["outcome"] == "REDUCE_EXPIRY":
            need(e["new_expiry"], "E_MISSING_FIELD")

    def check_administered(self, e):
        item = e["item"]
        self.need_exists(item)
        coi = self.coi(e["coi"])
        need(coi, "E_UNKNOWN_ITEM")
        second = e.signer(1)["party"]
        if e["nonconforming"]:
            need(self.has_role(second, ["QA", "QP"]), "E_ROLE")
            need(e["deviation"], "E_MISSING_FIELD")
        else:
            need(self.has_role(second, ["HOSPITAL"]) and self.party(second)["org"] == e.org, "E_ROLE")
        self.need_born(item, e)
        self.need_live(item)
        if not e["nonconforming"]:
            self.check_conforming(e, item, coi)

    def check_conforming(self, e, item, coi):
        self.need_consent(e["coi"], "TREATMENT", e)
        if self.autologous(item):
            need(self.property(item, "coi") == e["coi"], "E_COI_MISMATCH")
        need(self.property(item, "for_coi") in (None, e["coi"]), "E_COI_MISMATCH")
        need(e["subject_commit_scanned"] == coi["subject_commit"], "E_PATIENT_MISMATCH")
        self.need_clear(item)
        self.need_released(item)
        need(self.item_class(item) not in ("MATERIAL", "BANK"), "E_NOT_RELEASED")
        self.need_unexpired(item, e)
        self.need_here(item, e)
        need(e.occurred >= self.arrival(item).occurred, "E_TIME_ORDER")
        self.need_take(item, e["dose"], e["uom"])
        if e["thaw_time"]:
            thawed = instant(e["thaw_time"])
            need(thawed <= e.occurred, "E_TIME_ORDER")
            if e["max_post_thaw_min"] is not None:
                need((e.occurred - thawed) * NANO <= nano(e["max_post_thaw_min"]) * 60 * MICRO, "E_THAW_WINDOW")

    def check_adverse_event_reported(self, e):
        self.need_exists(e["item"])
        self.need_born(e["item"], e)
        if not e["pre_administration"]:
            ended_by = self.stock(e["item"])[1]
            need(ended_by and ended_by.kind == "ADMINISTERED", "E_NOT_ADMINISTERED")
            need(ended_by["coi"] == e["coi"], "E_PATIENT_MISMATCH")

    def check_recall_changed(self, e):
        if e["action"] == "ISSUED":
            need(not self.recall_issued(e["recall"]), "E_DUP_ITEM")
            for item in e["items"]:
                self.need_exists(item)
        else:
            need(self.recall_open(e["recall"]), "E_UNKNOWN_ITEM")

    def check_event_corrected(self, e):
        target = self.by_reference(e["target_event"])
        need(target and target.kind != "EVENT_CORRECTED", "E_CORRECT_TARGET")
        need(not self.is_void(target), "E_CORRECT_TWICE")
        need(bool(e["changes"]) != bool(e["did_not_occur"]), "E_MISSING_FIELD")
        if e["did_not_occur"]:
            need(target.kind in MAY_BE_VOID, "E_CORRECT_FIELD")
            need(target.kind != "LOT_DISPOSED" or target["lost_shipment"] is None, "E_CORRECT_FIELD")
            return
        self.check_changes(e, target)
        self.check_new_quantity(e, target)

    def check_changes(self, e, target):
        kind = KINDS[target.kind]
        types = {**kind["mandatory"], **kind["optional"]}
        corrected = [c["field"] for old in self.corrections_of(target) for c in old["changes"] or []]
        named = []
        for change in e["changes"]:
            field = change["field"]
            need(field in kind["correctable"] and field not in named, "E_CORRECT_FIELD")
            need(field not in corrected, "E_CORRECT_TWICE")
            need(equal(change["old"], target[field]), "E_CORRECT_OLD_VALUE")
            need(not is_empty(change["new"]), "E_BAD_VALUE")
            check_type(change["new"], types[field])
            named.append(field)

    def check_new_quantity(self, e, target):
        for change in e["changes"]:
            if change["field"] == "quantity":
                need(nano(change["new"]) >= 0, "E_QTY_EXCEEDED")
                item = target["input"] if target.kind == "INPUT_CONSUMED" else target["item"]
                need(self.stock(item)[0] + self.stock_change(target, e, item) >= 0, "E_QTY_EXCEEDED")

    def check_lot_disposed(self, e):
        item = e["item"]
        self.need_exists(item)
        self.need_born(item, e)
        self.need_live(item)
        lost = e["lost_shipment"]
        if lost:
            need(self.in_shipment(item) == lost and self.dispatch(lost).org == e.org, "E_NOT_IN_SHIPMENT")
        else:
            self.need_here(item, e)
            if self.property(item, "gmo"):
                need(e["gmo_inactivation"], "E_CARTAGENA")
        if e["quantity"] is not None:
            need(e["uom"], "E_MISSING_FIELD")
            self.need_take(item, e["quantity"], e["uom"])


def judge_file(path):
    """(line, verdict) for each line of the file."""
    ledger = Ledger()
    with open(path, encoding="utf-8", newline="\n") as file:
        for text in file:
            if text.strip():
                line = parse_line(text)
                yield line, ledger.judge(line)


def main(arguments):
    expect = "--expect" in arguments
    paths = [a for a in arguments if a != "--expect"]
    if not paths:
        sys.stderr.write(__doc__)
        return 2
    differences = 0
    for path in paths:
        for line, verdict in judge_file(path):
            if not expect:
                print(f"{line.get('id')}\t{verdict}")
            elif verdict != line["expect"]:
                differences += 1
                print(f"{path}: {line.get('id')}: expected {line['expect']}, judged {verdict}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
