#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ledgerctl audit --report`: the same bytes for everybody at the same checkpoint, also after the ledger grew and after an audit was killed and
resumed; what does not hold is found, with its entry, and the rest is still looked at; the page shows what the ledger says as text."""
import html.parser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")]

from suite import WAIT_S, Daemon, Suite  # noqa: E402

MANY = 60000
HOSTILE = "<script>alert('x')</script> & \"q\" \u202e</td></table>"
MARK = "shelf-to-be-changed"
OCCURRED = "2026-01-02T00:00:00Z"
MATERIAL = dict(gtin="1", lot="L", supplier="S", name="FBS", quantity=5, uom="L", expiry="2099-01-01T00:00:00Z", coa_hash="h",
                origin="defined")


class Again(Daemon):
    """The same data folder, served again."""

    def __init__(self, suite, data, *arguments):
        self.suite, self.data, self.folder = suite, data, os.path.dirname(data)
        self.log = open(os.path.join(self.folder, "log"), "ab")
        address = os.path.join(data, "run", "address")
        if os.path.exists(address):
            os.unlink(address)
        self.process = subprocess.Popen([suite.ledgerd, "run", data, "--listen", "127.0.0.1:0", *arguments], stdout=self.log,
                                        stderr=self.log)
        self.address = self.wait()

    def ctl_as(self, profile, *arguments):
        return self.suite.run(self.suite.ctl, "--profile", profile, "--server", self.address, *arguments)

    def __exit__(self, *what):
        self.process.terminate()
        self.process.wait(WAIT_S)
        self.log.close()


class Proxy:
    """Between a client and a server that talk without TLS: everything that comes from the server is changed."""

    def __init__(self, address, change):
        self.target, self.change = address, change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            host, port = self.target.rsplit(":", 1)
            server = socket.create_connection((host, int(port)))
            threading.Thread(target=self.pump, args=(client, server, lambda x: x), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, self.change), daemon=True).start()

    @staticmethod
    def pump(source, sink, change):
        try:
            while True:
                head = b""
                while len(head) < 4:
                    piece = source.recv(4 - len(head))
                    if not piece:
                        return
                    head += piece
                body = b""
                while len(body) < int.from_bytes(head, "big"):
                    piece = source.recv(65536 if len(body) + 65536 < int.from_bytes(head, "big") else int.from_bytes(head, "big") - len(body))
                    if not piece:
                        return
                    body += piece
                sink.sendall(head + change(body))
        except OSError:
            pass
        finally:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Page(html.parser.HTMLParser):
    VOID = {"meta"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.bad = [], set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.bad += [f"{tag} {a}" for a in attrs if a[0] in ("src", "href") or a[0].startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"</{tag}>")

    def handle_data(self, data):
        self.words.append(data)


def lines(*steps):
    return "".join(json.dumps(dict(kind=kind, occurred=OCCURRED, id=f"{kind}-{n}", fields=fields,
                                   signers=[dict(party=s, meaning="authorship") for s in signers])) + "\n"
                   for n, (kind, fields, signers) in enumerate(steps))


def story():
    parties = [("u.a", "ADMIN", []), ("u.wh", "WAREHOUSE", ["u.a"]), ("u.qa", "QA", ["u.a"]), ("u.qp", "QP", ["u.a"]), ("u.op", "OPERATOR", ["u.a"])]
    steps = [("PARTY_REGISTERED", dict(action="REGISTER", party=p, roles=[r], org="CPC"), s) for p, r, s in parties]
    steps += [("MATERIAL_RECEIVED", dict(MATERIAL, item="M-1"), ["u.wh"]), ("MATERIAL_RECEIVED", dict(MATERIAL, item="M-2"), ["u.wh"]),
              ("STORAGE_MOVED", dict(item="M-1", location="F-1"), ["u.wh"]),
              ("DEVIATION_CHANGED", dict(deviation="D-1", action="OPENED", item="M-1", description="d", **{"class": "MINOR"}), ["u.qa"]),
              ("DEVIATION_CHANGED", dict(deviation="D-2", action="OPENED", item="M-2", description="d", **{"class": "MINOR"}), ["u.qa"]),
              ("DEVIATION_CHANGED", dict(deviation="D-2", action="CLOSED", item="M-2", description="d"), ["u.qa"]),
              ("RECALL_CHANGED", dict(recall="R-1", action="ISSUED", items=["M-2"], reason="x", **{"class": "I"}), ["u.qa", "u.qp"]),
              ("EVENT_CORRECTED", dict(target_event="MATERIAL_RECEIVED-5", reason=HOSTILE, changes=[dict(field="supplier", old="S",
                                                                                                     new="T")]), ["u.wh", "u.qa"]),
              ("STORAGE_MOVED", dict(item="M-1", location=MARK), ["u.wh"]), ("STORAGE_MOVED", dict(item="M-1", location="F-2"), ["u.wh"])]
    return lines(*steps)


def materials(first, n):
    return "".join(json.dumps(dict(kind="MATERIAL_RECEIVED", occurred=OCCURRED, id=f"m-{i}", fields=dict(MATERIAL, item=f"X-{i}"))) + "\n"
                   for i in range(first, first + n))


def size_of_report(report):
    return json.loads(report)["checkpoint"]["size"]


def size_of(d):
    return int(d.ctl("checkpoint")[1].split("\n")[1])


def audit(suite, d, name, *arguments, profile=None, server=None):
    """(exit code, report, page, output) of an audit into a folder of its own."""
    folder = suite.path(name)
    command = ["--profile", profile or os.path.join(d.data, "profile"), "--server", server or d.address, "--timeout", str(WAIT_S // 2)]
    code, out, err = suite.run(suite.ctl, *command, "audit", "--report", folder, *arguments, timeout=WAIT_S * 3)
    report = page = b""
    if os.path.exists(os.path.join(folder, "report.json")):
        with open(os.path.join(folder, "report.json"), "rb") as f:
            report = f.read()
        with open(os.path.join(folder, "report.html"), "rb") as f:
            page = f.read()
    return code, report, page, out + err


def found(report, **want):
    return [f for f in json.loads(report)["findings"] if all(f.get(k) == v for k, v in want.items())]


def counted(report, by):
    """The report's numbers are the ones that another reading of the ledger gives."""
    r = json.loads(report)
    kinds = {}
    for kind in by:
        kinds[kind] = kinds.get(kind, 0) + 1
    return r["by_kind"] == kinds and r["counts"]["derived"] == r["counts"]["entries"] == len(by) and r["counts"]["not_derived"] == 0


def what_it_says(suite, d, size):
    code, report, page, out = audit(suite, d, "said", "--at", str(size))
    if not suite.check(code == 0 and report, "an audit of a ledger with everything", out):
        return report, page
    r = json.loads(report)
    by = [json.loads(line)["kind"] for line in d.ctl("--json", "watch", "--from", "0", "--count", str(size))[1].splitlines()]
    suite.check(counted(report, by), "counts", json.dumps(r["by_kind"]) + str(by))
    suite.check(r["checkpoint"]["size"] == size and r["ranges"] == [{"from": 0, "to": size - 1, "checked": "derived again"}], "ranges",
                json.dumps(r["ranges"]))
    suite.check(r["counts"]["signatures"] == r["counts"]["events"] + 2, "signatures: two events have two", json.dumps(r["counts"]))
    recall = found(report, about="open case", severity="major")
    suite.check([f["text"] for f in recall] == ["recall R-1 is open"] and by[recall[0]["entry"]] == "RECALL_CHANGED", "an open recall", str(recall))
    suite.check([f["text"] for f in found(report, about="open case", severity="minor")] == ["deviation D-1 is open"],
                "of two deviations one is open", str(found(report, about="open case")))
    corrections = found(report, about="correction")
    suite.check(len(corrections) == 1 and HOSTILE in corrections[0]["text"], "a correction with its reason", str(corrections))
    suite.check(len(found(report, about="party")) == r["counts"]["parties_registered"] + r["counts"]["parties_revoked"], "parties",
                json.dumps(r["counts"]))
    suite.check(any("rewrite" in t for t in [r["limit"]]) and any("Cosignatures" in t for t in r["not_checked"]), "what it does not say", str(r["not_checked"]))
    for name in (d.data, d.address, os.path.basename(suite.scratch)):
        suite.check(name.encode() not in report + page, "no path and no address is in it", name)
    return report, page


def the_page(suite, page):
    text = page.decode()
    p = Page(text)
    suite.check(not p.open and not p.bad, "the page is well-formed and refers to nothing", str(p.open) + str(p.bad))
    suite.check(not p.tags & {"script", "img", "link", "iframe", "object", "a"}, "nothing but text and tables", str(p.tags))
    words = "".join(p.words)
    suite.check(HOSTILE.replace("\u202e", "[U+202E]") in words, "hostile text is shown as text", re.sub(r"\s+", " ", words)[:2000])
    try:
        xml.etree.ElementTree.fromstring(text)
        suite.check(True, "XML")
    except xml.etree.ElementTree.ParseError as why:
        suite.check(False, "the page is well-formed XML too", str(why))


def same_for_everybody(suite, d, size, report, page):
    again = audit(suite, d, "again", "--at", str(size))
    suite.check(again[:3] == (0, report, page), "a second time: the same bytes", again[3])
    other = suite.path("other-auditor")
    code, out, err = suite.run(suite.ledgerd, "cert", "issue", d.data, "--name", "urn:ledgerd:client:auditor-b", "--out", other, "--no-submit")
    suite.check(code == 0, "a second auditor", out + err)
    theirs = audit(suite, d, "theirs", "--at", str(size), profile=other)
    suite.check(theirs[:3] == (0, report, page), "another auditor: the same bytes", theirs[3])
    state = suite.path("state-small")
    kept = audit(suite, d, "kept", "--at", str(size), "--state", state)
    suite.check(kept[:3] == (0, report, page), "with a state folder: the same bytes", kept[3])
    kept = audit(suite, d, "kept-again", "--at", str(size), "--state", state)
    suite.check(kept[:3] == (0, report, page), "with the state of before: the same bytes", kept[3])
    newest = audit(suite, d, "newest")
    suite.check(newest[0] == 0 and "No witness" in json.loads(newest[1])["checkpoint"]["witnesses"] and "unwitnessed" in json.loads(newest[1]),
                "without --at witnesses are named", newest[3])
    hashes = audit(suite, d, "hashes", "--at", str(size), "--hashes-only")
    suite.check(hashes[0] == 0 and json.loads(hashes[1])["counts"]["signatures"] == 0 and "Signatures: left out" in hashes[1].decode() and
                json.loads(hashes[1])["signatures_checked"] is False and json.loads(report)["signatures_checked"] is True,
                "hashes only: the report says so", hashes[3])
    code, out, err = d.ctl("audit", "--hashes-only")
    suite.check(code == 0 and out.startswith("holds; signatures were not checked") and re.search(r"signatures verified +none: left out", out),
                "hashes only: the text says so", out + err)
    for arguments, checked in [(["--hashes-only"], False), ([], True)]:
        code, out, err = d.ctl("--json", "audit", *arguments)
        suite.check(code == 0 and json.loads(out)["signatures_checked"] is checked, f"signatures_checked {checked}", out + err)
    mixed = audit(suite, d, "mixed", "--at", str(size), "--hashes-only", "--state", state)
    suite.check(mixed[0] == 2 and "verified signatures" in mixed[3], "a state with signatures is not gone on with without", mixed[3])


def withheld(suite, d, size):
    profile = suite.path("half")
    suite.run(suite.ledgerd, "cert", "issue", d.data, "--name", "urn:ledgerd:client:half", "--out", profile, "--read", "PARTY_REGISTERED")
    code, report, _, out = audit(suite, d, "half-report", "--at", str(size), profile=profile)
    if not suite.check(code == 3 and report, "withheld content: not everything could be checked", out):
        return
    r = json.loads(report)
    first = r["ranges"][0]["to"] + 1
    suite.check(not r["holds"] and r["counts"]["withheld"] == r["counts"]["events"] + 0 * first or r["counts"]["withheld"] > 5, "withheld entries are counted",
                json.dumps(r["counts"]))
    suite.check(len(r["ranges"]) == 2 and r["ranges"][1] == {"from": first, "to": size - 1, "checked": "place, hashes, order and times; not derived"}
                and found(report, entry=first, severity="major") and not found(report, severity="critical"), "from where on", json.dumps(r["ranges"]))
    wrong = audit(suite, d, "none", "--at", str(size - 1))
    suite.check(wrong[0] == 2 and "no checkpoint of size" in wrong[3] and not wrong[1], "a size at which no checkpoint is", wrong[3])
    beyond = audit(suite, d, "none", "--at", str(10 ** 9))
    suite.check(beyond[0] == 2 and "no checkpoint of size" in beyond[3] and not beyond[1], "a size that is not there yet", beyond[3])


def standing_at(suite, d, state):
    """How many entries a state folder holds, as the sentence says that refuses an earlier checkpoint."""
    _, _, _, out = audit(suite, d, "none", "--at", "1", "--state", state)
    match = re.search(r"stands at (\d+) entries", out)
    return int(match.group(1)) if match else 0


def saves(path):
    """How many transactions an LMDB file has seen: the newer of its two meta pages (lmdb.h: MDB_meta) says so. The first makes the tables."""
    try:
        with open(path, "rb") as f:
            pages = f.read(8192)
    except OSError:
        return 0
    return max((int.from_bytes(pages[at + 144:at + 152], sys.byteorder) for at in (0, 4096) if len(pages) == 8192), default=0)


def interrupted(suite, d, how, name, arguments):
    """A state folder of an audit that was ended in its middle. The process is looked at until it has saved something."""
    for attempt in range(6):
        state = suite.path(f"{name}-{attempt}")
        process = subprocess.Popen([suite.ctl, "--profile", os.path.join(d.data, "profile"), "--server", d.address, "audit", "--state", state,
                                    "--report", suite.path(f"{name}-report"), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        path = os.path.join(state, "data.mdb")
        while process.poll() is None and saves(path) < 2:
            time.sleep(0.002)
        process.send_signal(how)
        err = process.communicate(timeout=WAIT_S)[1].decode()
        if process.returncode == -how:
            return state, err
        shutil.rmtree(state)
    suite.check(False, f"{name}: it was always faster", err)
    return None, ""


def killed_and_resumed(suite, d, small, report, page):
    file = suite.path("many", materials(0, MANY))
    code, out, err = d.ctl("record", "-f", file, "--sign", os.path.join(suite.path("keys"), "u.wh.key"), timeout=WAIT_S * 10)
    suite.check(code == 0, "the ledger grows", out[-300:] + err[-300:])
    size = size_of(d)
    before = audit(suite, d, "before", "--at", str(small))
    suite.check(before[:3] == (0, report, page), "at the earlier checkpoint: still the same bytes", before[3])
    whole = audit(suite, d, "whole", "--at", str(size))
    suite.check(whole[0] == 0 and json.loads(whole[1])["counts"]["entries"] == size, "an audit of all of it", whole[3])
    for how, name in ((signal.SIGKILL, "killed"), (signal.SIGINT, "stopped")):
        state, err = interrupted(suite, d, how, name, ("--at", str(size)))
        if not state:
            continue
        at = standing_at(suite, d, state)
        suite.check(0 < at < size, f"{name} in the middle", f"{at} of {size}")
        resumed = audit(suite, d, name + "-resumed", "--at", str(size), "--state", state)
        suite.check(resumed[:3] == whole[:3], f"{name} and resumed: the same bytes as of an audit that was not", resumed[3])
        suite.check(standing_at(suite, d, state) == size, f"{name}: it is done", "")
    small_state = suite.path("state-small")
    later = audit(suite, d, "later", "--at", str(size), "--state", small_state)
    suite.check(later[:3] == whole[:3], "the state of an earlier audit goes on: the same bytes", later[3])
    damage(suite, d, small_state, size)


def damage(suite, d, state, size):
    path = os.path.join(state, "data.mdb")
    os.truncate(path, os.path.getsize(path) // 2)
    code, report, _, out = audit(suite, d, "none", "--at", str(size), "--state", state)
    suite.check(code == 2 and "damaged" in out and "delete" in out and not report, "a damaged state folder is refused", f"{code} {out}")
    with open(os.path.join(state, "FORMAT"), "w") as f:
        f.write("ledgerd replay 7\n")
    code, report, _, out = audit(suite, d, "none", "--at", str(size), "--state", state)
    suite.check(code == 3 and "format 7" in out and not report, "a newer state folder is refused", f"{code} {out}")


def erased(suite, d):
    """An audit that has seen the content, and goes on after the erasure, says the same as one that has not."""
    size, state = size_of(d), suite.path("state-erased")
    first = audit(suite, d, "not-erased", "--at", str(size), "--state", state)
    suite.check(first[0] == 0 and b"<script>" in first[1], "before the erasure", first[3])
    kinds = [json.loads(line)["kind"] for line in d.ctl("--json", "watch", "--from", "0", "--count", str(size))[1].splitlines()]
    targets = [kinds.index("EVENT_CORRECTED"), kinds.index("STORAGE_MOVED")]
    keys = suite.path("keys")
    code, out, err = d.ctl("erase", *[f"#{n}" for n in targets], "--reason", "asked for", "--sign", os.path.join(keys, "u.a.key"), "--sign",
                           os.path.join(keys, "u.qa.key"))
    if not suite.check(code == 0, "an erasure", out + err):
        return
    after = size_of(d)
    resumed = audit(suite, d, "erased-resumed", "--at", str(after), "--state", state)
    fresh = audit(suite, d, "erased-fresh", "--at", str(after))
    suite.check(fresh[0] == 0 and resumed[:3] == fresh[:3], "seen before or not: the same bytes", resumed[3] + fresh[3])
    r = json.loads(fresh[1])
    suite.check(r["counts"]["erased"] == 2 and r["counts"]["erasures"] == 1 and b"<script>" not in fresh[1] and
                any("2 erased entries" in t for t in r["not_checked"]), "what is erased is counted and not told", json.dumps(r["counts"]))
    before = audit(suite, d, "erased-before", "--at", str(size))
    suite.check(before[0] == 3 and found(before[1], about="erasure", severity="major"), "at a checkpoint before the erasure it cannot be verified",
                before[3])


def changed_on_the_way(suite, data):
    """One entry's content is not what its header says: what stands before it and behind it is still looked at."""
    def change(body):
        return body.replace(MARK.encode(), MARK.encode().upper())
    profile = suite.path("plain-profile")
    shutil.copytree(os.path.join(data, "profile"), profile)
    with open(os.path.join(profile, "profile.conf"), "a") as f:
        f.write("plain = yes\n")
    with Again(suite, data, "--plain") as d, Proxy(d.address, change) as proxy:
        honest = audit(suite, d, "plain", profile=profile)
        suite.check(honest[0] == 0, "without TLS", honest[3])
        kinds = [json.loads(line)["kind"] for line in d.ctl_as(profile, "--json", "watch", "--from", "0", "--count", str(size_of_report(honest[1])))[1].splitlines()]
        entry = [i for i, kind in enumerate(kinds) if kind == "STORAGE_MOVED"][1]
        code, report, page, out = audit(suite, d, "changed", profile=profile, server=proxy.address)
    if not suite.check(code == 4 and report, "changed content: tampering", f"{code} {out}"):
        return
    r, bad = json.loads(report), found(report, severity="critical")
    suite.check(len(bad) == 1 and bad[0]["about"] == "event" and bad[0]["entry"] == entry, "one finding, with its entry", json.dumps(bad))
    suite.check([(g["from"], g["to"]) for g in r["ranges"]] == [(0, bad[0]["entry"] - 1), (bad[0]["entry"], r["checkpoint"]["size"] - 1)],
                "all before it is derived, all behind it is looked at", json.dumps(r["ranges"]))
    suite.check("DOES NOT HOLD" in page.decode(), "the page says so too")
    kept = [n for n in os.listdir(os.path.join(profile, "pins")) if n.startswith("evidence")]
    suite.check(kept and "evidence" in out, "the evidence is kept", out)


def forged(suite, data):
    """The operator records an event that nobody signed, with the log's own key on the checkpoint."""
    code, out, err = suite.run(os.path.join(suite.build, "tests", "interop", "forge"), "unsigned", data, "u.wh", "M-1", "ELSEWHERE")
    if not suite.check(code == 0, "a forged entry", out + err):
        return
    entry = int(out)
    with Again(suite, data) as d:
        code, out, err = d.ctl("record", "MATERIAL_RECEIVED", *[f"{k}={v}" for k, v in dict(MATERIAL, item="Y").items()], "--sign",
                               os.path.join(suite.path("keys"), "u.wh.key"))
        suite.check(code == 0, "business goes on", out + err)
        code, report, page, out = audit(suite, d, "forged")
        plain, text, err = d.ctl("--json", "audit")
        hashes = d.ctl("audit", "--hashes-only")
        again = audit(suite, d, "forged-again")
    if not suite.check(code == 4 and report, "a forged entry: tampering", f"{code} {out}"):
        return
    r, bad = json.loads(report), found(report, severity="critical")
    suite.check([f["entry"] for f in bad] == [entry] and bad[0]["about"] == "signature" and "E_SIG_INVALID" in bad[0]["text"],
                "the entry is named", json.dumps(bad))
    suite.check(r["counts"]["derived"] == entry and r["counts"]["derived"] + r["counts"]["not_derived"] == r["checkpoint"]["size"]
                and not r["holds"] and r["ranges"][1]["from"] == entry, "what was derived, and what was not", json.dumps(r["ranges"]))
    suite.check(again[0] == 4 and again[1:3] == (report, page), "the same bytes again", again[3])
    short = json.loads(text)
    suite.check(plain == 4 and short["at_entry"] == entry and not short["holds"] and "evidence" in err, "without a report", text + err)
    suite.check(hashes[0] == 0, "hashes alone do not show it", hashes[1] + hashes[2])


def main():
    suite = Suite(sys.argv)
    with Daemon(suite, "audit.example/ledger") as d:
        code, out, err = d.ctl("play", "--keep-administrator", "--keys", suite.path("keys"), suite.path("story", story()))
        suite.check(code == 0 and "REFUSE" not in out, "a story", out + err)
        size = size_of(d)
        data = os.path.join(suite.path("copy"), "ledger")
        report, page = what_it_says(suite, d, size)
        if report:
            the_page(suite, page)
            same_for_everybody(suite, d, size, report, page)
            withheld(suite, d, size)
            killed_and_resumed(suite, d, size, report, page)
    with Daemon(suite, "audit.example/forged") as d:
        d.ctl("play", "--keep-administrator", "--keys", suite.path("keys"), suite.path("story", story()))
        d.process.terminate()
        d.process.wait(WAIT_S)
        shutil.copytree(d.folder, os.path.dirname(data))
        changed_on_the_way(suite, data)
        forged(suite, data)
    with Daemon(suite, "audit.example/erased") as d:
        d.ctl("play", "--keep-administrator", "--keys", suite.path("keys"), suite.path("story", story()))
        if d.ctl("erase", "--help")[0] == 0:
            erased(suite, d)
        else:
            suite.skip("erasure", "ledgerctl has no command erase")
    suite.end()


if __name__ == "__main__":
    main()
