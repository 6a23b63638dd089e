#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The read side for stock tools: a daemon with HTTP and a ledger of 70,000 entries; a client of tlog-tiles that shares no code with it
(tests/interop/tiles.go) verifies the tree from the first entry to the last; the exported folder is what HTTP serves; HTTP itself: what
is there and what is not, methods, headers, limits, TLS, metrics."""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")]

from suite import ROOT, WAIT_S, Daemon, Suite  # noqa: E402

ENTRIES = 70000
MATERIAL = dict(gtin="1", lot="L", supplier="S", name="FBS", quantity=5, uom="L", expiry="2099-01-01T00:00:00Z", coa_hash="h",
                origin="defined")


class Served(Daemon):
    """A daemon with [http]; `more` are further lines of that section."""

    def __init__(self, suite, origin, more=""):
        self.more = more
        super().__init__(suite, origin)
        with open(os.path.join(self.data, "run", "http")) as f:
            self.http = f.read().strip()
        with open(os.path.join(self.data, "profile", "policy")) as f:
            self.vkey = next(line[4:].strip() for line in f if line.startswith("log "))

    def shrink_map(self):
        super().shrink_map()
        configure(self.data, self.more)

    def get(self, path, method="GET", **how):
        connection = http.client.HTTPConnection(self.http, timeout=30)
        try:
            connection.request(method, path, **how)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def raw(self, data, seconds=20.0):
        """What comes back for these bytes until the server hangs up (None: it does not)."""
        host, port = self.http.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=seconds) as s:
            s.sendall(data)
            out = b""
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        return out
                    out += piece
            except ConnectionResetError:
                return out
            except socket.timeout:
                return None


class Copied(Served):
    """The same ledger as another one's folder holds, with its keys: what a dishonest operator could serve, or a restart."""

    def __init__(self, suite, data):
        self.suite, self.data = suite, data
        self.folder = os.path.dirname(data)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen([suite.ledgerd, "run", data, "--listen", "127.0.0.1:0"], stdout=self.log, stderr=self.log)
        self.address = self.wait()


class Restarted(Copied):
    """After the daemon of `d` was told to end: its folder, served again."""

    def __init__(self, suite, d):
        self.before = d
        d.process.terminate()
        d.process.wait(WAIT_S)
        super().__init__(suite, d.data)
        with open(os.path.join(self.data, "run", "http")) as f:
            self.http = f.read().strip()

    def __exit__(self, *_):
        self.before.process, self.before.log, self.before.address = self.process, self.log, self.address  # ended and tidied up by that one


def configure(data, more):
    path = os.path.join(data, "ledgerd.conf")
    with open(path) as f:
        text = f.read()
    assert "#listen = 127.0.0.1:7462" in text
    listen = "" if "listen =" in more else "listen = 127.0.0.1:0\n"
    with open(path, "w") as f:
        f.write(text.replace("#listen = 127.0.0.1:7462", listen + more))


def record(suite, d, first, n):
    lines = "".join(json.dumps(dict(kind="MATERIAL_RECEIVED", occurred="2026-01-01T00:00:00Z", id=f"line-{i}",
                                    fields=dict(MATERIAL, item=f"M-{i}"))) + "\n" for i in range(first, first + n))
    code, out, err = d.ctl("record", "-f", suite.path("lines", lines), "--sign", suite.path("wh.key"), timeout=600)
    return suite.check(code == 0, f"{n} events are recorded", out[-300:] + err[-300:])


def tile_paths(size):
    """The names of all tiles of a tree, by the words of the specification."""
    def name(n):
        groups = [f"{n % 1000:03}"]
        while n >= 1000:
            n //= 1000
            groups.insert(0, f"x{n % 1000:03}")
        return "/".join(groups)

    def level(prefix, units):
        for n in range(units // 256):
            yield f"{prefix}/{name(n)}"
        if units % 256:
            yield f"{prefix}/{name(units // 256)}.p/{units % 256}"

    yield from level("tile/entries", size)
    number = 0
    while size >= 1:
        yield from level(f"tile/{number}", size)
        size //= 256
        number += 1


def files_of(folder):
    return sorted(os.path.relpath(os.path.join(at, f), folder) for at, _, names in os.walk(folder) for f in names)


def compile_other(suite):
    client = os.path.join(suite.build, "tests", "interop", "tiles")
    if not shutil.which("go") or not os.path.isdir("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog"):
        suite.skip("another client of tlog-tiles", "no Go, or no golang-golang-x-mod-dev")
        return None
    os.makedirs(os.path.dirname(client), exist_ok=True)
    environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="", GOPROXY="off",
                       GOCACHE=os.path.join(suite.build, "go-cache"))
    done = subprocess.run(["go", "build", "-o", client, "tests/interop/tiles.go"], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return client if suite.check(done.returncode == 0, "the other client compiles", done.stdout.decode()) else None


def other_verifies(suite, client, name, want, *arguments):
    if client:
        code, out, err = suite.run(client, *arguments, timeout=300)
        suite.check(code == 0 and out.split() == [str(n) for n in want], name, f"{code} {want}\n{out[-300:]}{err[-600:]}")


def same_as_served(suite, d, folder, size):
    want = sorted([*tile_paths(size), "checkpoint"])
    have = files_of(folder)
    suite.check(have == want, f"the folder holds the tiles of {size} entries and nothing else", str(set(have) ^ set(want))[:600])
    connection = http.client.HTTPConnection(d.http, timeout=30)
    differ = []
    for name in want:
        connection.request("GET", "/" + name)
        answer = connection.getresponse()
        body = answer.read()
        with open(os.path.join(folder, name), "rb") as f:
            if answer.status != 200 or f.read() != body:
                differ.append(name)
    connection.close()
    suite.check(not differ, "the folder holds what HTTP serves", str(differ[:10]))


def exported(suite, d, folder):
    code, out, err = d.ctl("--json", "export-tiles", folder, timeout=300)
    suite.check(code == 0, "export-tiles", out + err)
    return json.loads(out) if code == 0 else {"entries": 0, "went_on_at": -1, "files_written": -1}


def growing(suite, d, client):
    """Small sizes, each with a checkpoint that is kept, then a large one; the folder is gone on with."""
    folder, notes, sizes = suite.path("tiles"), [], []
    d.ctl("key", "new", "u.wh", "-o", suite.path("wh.key"))
    code, out, err = d.ctl("party", "register", "u.wh", "--roles", "WAREHOUSE", "--org", "CPC", "--key", suite.path("wh.key"))
    suite.check(code == 0, "a party", out + err)
    at = 0
    for n in (1, 3, 240, 1, 5, 290, 700):
        record(suite, d, at, n)
        at += n
        note = d.get("/checkpoint")[2]
        notes.append(suite.path(f"note-{at}", note))
        sizes.append(int(note.split(b"\n")[1]))
        done = exported(suite, d, folder)
        suite.check(done["entries"] == sizes[-1], "the export goes to the checkpoint", str(done))
        code, out, err = d.ctl("checkpoint")
        suite.check(out.encode() == note, "HTTP and the protocol give the same checkpoint", out + err)
    suite.check(sizes[-1] > 1200 and any(n % 256 for n in sizes), "sizes", str(sizes))
    other_verifies(suite, client, "the other client verifies HTTP at every published size", sizes, d.vkey, "http://" + d.http, "-", *notes)
    record(suite, d, at, ENTRIES)
    done = exported(suite, d, folder)
    suite.check(done["entries"] > ENTRIES and 0 < done["went_on_at"] == sizes[-1] // 256 * 256, "the export went on where it stood", str(done))
    size = done["entries"]
    other_verifies(suite, client, "the other client verifies 70,000 entries through HTTP", [size], d.vkey, "http://" + d.http)
    other_verifies(suite, client, "the other client verifies the exported folder", [size], d.vkey, folder)
    other_verifies(suite, client, "the old checkpoints still verify", sizes, d.vkey, "http://" + d.http, "-", *notes)
    # The first export's partial tiles are gone from the folder: those of this size are there and the full ones.
    same_as_served(suite, d, folder, size)
    fresh = suite.path("fresh")
    done = exported(suite, d, fresh)
    suite.check(done["went_on_at"] == 0 and files_of(fresh) == files_of(folder), "a new export makes the same files", str(done))
    again = exported(suite, d, fresh)
    suite.check(again["went_on_at"] == size // 256 * 256 and again["files_written"] < 10, "an export with nothing new", str(again))
    return folder, fresh, size


def told(path, process):
    """What a program writes into a file when it serves."""
    for _ in range(WAIT_S * 100):
        if os.path.exists(path) and os.path.getsize(path):
            with open(path) as f:
                return f.read().strip()
        if process.poll() is not None:
            return None
        time.sleep(0.01)
    return None


def cosigned(suite, client, d, size):
    """Two witnesses, which have never heard of this ledger of 70,000 entries before: their lines are on what HTTP and the export give out,
    and the other client verifies them. The ledger is served from its folder, as the daemon that made it left it."""
    witnesses, keys, lines = [], [], [f"log {d.vkey}\n"]
    for name in "w1", "w2":
        folder = suite.path(name)
        code, out, err = suite.run(suite.ctl, "witness", "init", folder, "--name", f"witness.example/{name}", "--log", d.vkey)
        suite.check(code == 0, "a witness", out + err)
        keys.append(out.splitlines()[0])
        witnesses.append(subprocess.Popen([suite.ctl, "witness", "run", folder, "--listen", "127.0.0.1:0"], stdout=d.log, stderr=d.log))
        lines.append(f"witness {name} {keys[-1]} http://{told(os.path.join(folder, 'address'), witnesses[-1])}\n")
    with open(os.path.join(d.data, "witnesses"), "w") as f:
        f.write("".join(lines) + "group both all w1 w2\nquorum both\n")
    path = os.path.join(d.data, "ledgerd.conf")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace("#policy = witnesses", "policy = witnesses"))
    with Restarted(suite, d) as again:
        for _ in range(WAIT_S * 10):
            note = again.get("/checkpoint")[2].decode()
            if note.count("\u2014 witness.example/w") == 2:
                break
            time.sleep(0.1)
        suite.check(note.count("\u2014 witness.example/w") == 2, "the checkpoint is cosigned", note + again.output()[-1000:])
        at = [int(note.split("\n")[1])]
        suite.check(at[0] > size, "it is the newest", f"{at} {size}")
        vkeys = ",".join([d.vkey, *keys])
        kept = suite.path("cosigned", note)
        other_verifies(suite, client, "the other client verifies the cosignatures on 70,000 entries", at, vkeys, "http://" + again.http,
                       "-", kept)
        folder = suite.path("cosigned-tiles")
        done = exported(suite, again, folder)
        suite.check(done["entries"] >= at[0], "the export goes to the checkpoint", str(done))
        other_verifies(suite, client, "and on the exported folder", [done["entries"]], vkeys, folder)
        if client:
            lines = note.splitlines(True)
            last = lines[-1][:-6] + ("A" if lines[-1][-6] != "A" else "B") + lines[-1][-5:]
            for name, text in (("a witness that has not cosigned", "".join(lines[:-1])), ("a changed line", "".join(lines[:-1]) + last)):
                code, _, err = suite.run(client, vkeys, "http://" + again.http, "-", suite.path("bad-note", text))
                suite.check(code == 1 and ("has not signed" in err or "invalid signature" in err), f"the other client notices {name}",
                            f"{code} {err}")
    for w in witnesses:
        w.terminate()
        suite.check(w.wait(WAIT_S) == 0, "a witness ends with 0 on SIGTERM")


def hashes_alone(suite, d):
    """The whole folder by its hashes, many blocks in several threads; and what was changed in the middle of it is named."""
    code, out, err = d.ctl("history", f"M-{ENTRIES // 2}", "--json")
    index = json.loads(out)["history"][0]["index"] if suite.check(code == 0, "an entry in the middle", out[-300:] + err) else 0
    d.process.terminate()
    d.process.wait(WAIT_S)
    path = os.path.join(d.data, "data", "data.mdb")
    with open(path, "rb") as f:
        data = f.read()

    def check(changed=data):
        with open(path, "r+b") as f:
            f.write(changed)
        code, out, err = suite.run(suite.ledgerd, "check", d.data, "--hashes", "--json")
        return code, json.loads(out) if out else {"first": []}, out + err

    code, found, text = check()
    suite.check(code == 0, "the hashes of 70,000 entries agree", text)
    suite.check(found.get("hashes_only") == found.get("ordered") == found.get("size") and found["size"] > ENTRIES, "of all of them", text)
    changed = data.replace(f"M-{ENTRIES // 2}".encode(), f"M-{ENTRIES // 2}".encode()[:-1] + b"!")
    code, found, text = check(changed)
    suite.check(code == 1, "a changed event does not agree", text)
    suite.check([(x["entry"], x["what"]) for x in found["first"]] == [(index, "event")], "and is named alone", text)
    suite.check(check(changed) == (code, found, text), "each run says the same", text)
    # Keys of the log's rows, as LMDB has them: in a leaf before the page of the row, in a branch before no flags of a leaf. A row that stands
    # under another key is not found by those who look for its entries, though whoever walks along all rows meets it.
    keys = sorted({int.from_bytes(m.group(1), "big") for m in re.finditer(rb"(?s)\x01\x00\x08\x00(\x00\x00\x00\x00\x00.{3})", data)})
    keys = [k for k in keys if 4096 < k < ENTRIES]
    suite.check(len(keys) > 300, "rows of the log", str(len(keys)))
    leaf = lambda k: b"\x01\x00\x08\x00" + k.to_bytes(8, "big")  # noqa: E731
    for k, bit in [(keys[100], 1 << 3), (keys[200], 1 << 11), (keys[-50], 1 << 14), (keys[-10], 1)]:
        code, found, text = check(data.replace(leaf(k), leaf(k ^ bit)))
        suite.check(code == 1 and found["first"][0]["what"] in ("record", "leaf"), f"a row under another key: {k} under {k ^ bit}", text)
    branches = {int.from_bytes(m.group(1), "big") for m in re.finditer(rb"(?s)(?<!\x01\x00)\x08\x00(\x00\x00\x00\x00\x00.{3})", data)}
    branches = sorted(branches.intersection(keys))
    suite.check(len(branches) > 2, "separators of the log's pages", str(branches))
    for k in branches[1:4]:
        hidden = data.replace(b"\x08\x00" + k.to_bytes(8, "big"), b"\x08\x00" + (k - 200).to_bytes(8, "big")).replace(leaf(k - 200), leaf(k))
        code, found, text = check(hidden)
        suite.check(code == 1, f"rows that no look-up finds: behind {k}", text)
    code, found, text = check()
    suite.check(code == 0, "healed", text)


def other_notices(suite, client, d, folder, size):
    """The other client does notice: one bit of a bundle, of a tile, of the checkpoint."""
    if not client:
        return
    for name in ("tile/entries/007", "tile/0/100", "tile/1/000", "checkpoint"):
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            good = f.read()
        with open(path, "wb") as f:
            f.write(good[:50] + bytes([good[50] ^ 1]) + good[51:])
        code, _, err = suite.run(client, d.vkey, folder)
        suite.check(code == 1, f"a changed {name} is noticed", f"{code} {err}")
        with open(path, "wb") as f:
            f.write(good)
    other_verifies(suite, client, "put back, it verifies", [size], d.vkey, folder)


def export_resumes(suite, d, folder, size):
    """An interrupted export is gone on with, whatever was left; a folder that is not this ledger's is left alone."""
    cut = suite.path("cut")
    shutil.copytree(folder, cut)
    os.remove(os.path.join(cut, "checkpoint"))
    for name in files_of(cut):
        number = re.fullmatch(r"tile/(0|entries)/([0-9]{3})(\.p/[0-9]+)?", name)
        if number and int(number[2]) >= 200 or name.startswith(("tile/1/001", "tile/2")):
            os.remove(os.path.join(cut, name))
    with open(os.path.join(cut, "tile/0/200.99.new"), "wb") as f:
        f.write(b"half")
    done = exported(suite, d, cut)
    os.remove(os.path.join(cut, "tile/0/200.99.new"))
    suite.check(done["went_on_at"] == 200 * 256 and files_of(cut) == files_of(folder), "an interrupted export goes on", str(done))
    same = all(open(os.path.join(cut, n), "rb").read() == open(os.path.join(folder, n), "rb").read() for n in files_of(folder))
    suite.check(same, "and makes the same bytes")
    with open(os.path.join(cut, "tile/0/256"), "r+b") as f:
        f.seek(40)
        byte = f.read(1)
        f.seek(40)
        f.write(bytes([byte[0] ^ 1]))
    code, out, err = d.ctl("export-tiles", cut)
    suite.check(code == 1 and "export again" in err, "a damaged tile that is built on is noticed", f"{code} {out}{err}")
    with open(os.path.join(folder, "checkpoint")) as f:
        note = f.read()
    for name, text, want in (("of another ledger", note.replace("tiles.example", "other.example"), 1), ("that was changed", note.replace(
            f"\n{size}\n", f"\n{size + 1}\n"), 1)):
        with open(os.path.join(cut, "checkpoint"), "w") as f:
            f.write(text)
        code, out, err = d.ctl("export-tiles", cut)
        with open(os.path.join(cut, "checkpoint")) as f:
            suite.check(code == want and "left alone" in err and f.read() == text, f"a checkpoint {name} is left alone", f"{code} {out}{err}")
    code, out, err = d.ctl("export-tiles", suite.path("lines"))
    suite.check(code == 2 and "no folder" in err or code == 3, "a file in the folder's place", f"{code} {out}{err}")


def evidence_has(path, note):
    """The evidence file ends in the checkpoint of the folder, as base64 in lines."""
    with open(path) as f:
        text = f.read().split("==== answer, base64 ====\n")[-1]
    return base64.b64decode("".join(text.split())) == note


def rewritten(suite):
    """Two histories under one key. The folder holds a checkpoint of the one: the other is evidence."""
    folder, other = suite.path("seen"), os.path.join(suite.path("other"), "ledger")
    with Served(suite, "forked.example/ledger") as d:
        d.ctl("key", "new", "u.wh", "-o", suite.path("fork.key"))
        d.ctl("party", "register", "u.wh", "--roles", "WAREHOUSE", "--org", "CPC", "--key", suite.path("fork.key"))
        d.process.terminate()
        d.process.wait()
        shutil.copytree(d.data, other)
        shutil.copy(d.data + ".anchor", other + ".anchor")
        with Copied(suite, d.data) as honest:
            os.replace(suite.path("fork.key"), suite.path("wh.key"))
            record(suite, honest, 0, 300)
            size = exported(suite, honest, folder)["entries"]
    with open(os.path.join(folder, "checkpoint"), "rb") as f:
        note = f.read()
    with Copied(suite, other) as d:
        for n, want in ((20, f"signed a checkpoint of {size} entries and now shows"), (500, "has signed")):
            record(suite, d, 1000 * n, n)
            code, out, err = d.ctl("export-tiles", folder)
            kept = re.search(r"(/\S+evidence-\S+\.txt)", err)
            suite.check(code == 4 and want in err and kept and evidence_has(kept[1], note), f"another history, {n} events long",
                        f"{code}\n{out}{err}")
        with open(os.path.join(folder, "checkpoint"), "rb") as f:
            suite.check(f.read() == note, "what the folder holds stays as it is")


def answers(suite, d, size):
    status, head, body = d.get("/checkpoint")
    suite.check(status == 200 and head["content-type"] == "text/plain; charset=utf-8" and "immutable" not in head["cache-control"] and
                re.search(r"max-age=[0-9]\b", head["cache-control"]), "/checkpoint", str(head))
    status, head, body = d.get("/tile/0/000")
    suite.check(status == 200 and len(body) == 8192 and head["content-type"] == "application/octet-stream" and
                "immutable" in head["cache-control"] and head["content-length"] == "8192" and "date" in head, "/tile/0/000", str(head))
    status, again, empty = d.get("/tile/0/000", "HEAD")
    suite.check(status == 200 and empty == b"" and {k: v for k, v in again.items() if k != "date"} ==
                {k: v for k, v in head.items() if k != "date"}, "HEAD has GET's head", str(again))
    status, head, body = d.get("/healthz")
    suite.check((status, body) == (200, b"ok\n") and head["cache-control"] == "no-store", "/healthz", f"{status} {body}")
    last = size // 256
    for path in ("/", "/tile", f"/tile/0/{last:03}", f"/tile/0/{last:03}.p/255", "/tile/0/999", "/tile/entries/999", "/tile/2/000",
                 "/tile/2/000.p/2", "/tile/3/000.p/1", "/tile/64/000", "/tile/0/0", "/tile/00/000", "/tile/0/000.p/256", "/tile/0/000.p/0",
                 "/tile/8/0/000", "/tile/0/x000/000", "/checkpoint/", "/../ledgerd.conf", "/keys/log.key", "/" + "a" * 300,
                 "/tile/0/000%2f", "/tile/0/000/", "/TILE/0/000"):
        status, head, body = d.get(path)
        suite.check(status == 404 and head["cache-control"] == "no-store", f"{path[:40]} is not there", f"{status} {head}")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, head, _ = d.get("/checkpoint", method)
        suite.check(status == 405 and head["allow"] == "GET, HEAD", f"{method} is not allowed", f"{status} {head}")
    status, _, _ = d.get("/checkpoint", body=b"x" * 10)
    suite.check(status == 400, "a body is refused", str(status))


def on_the_wire(suite, d):
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    out = d.raw(get + b"\r\n" + get + b"\r\n" + get + b"Connection: close\r\n\r\n")
    suite.check(out is not None and out.count(b"200 OK") == 3 and out.count(b"ok\n") == 3, "three requests in one packet", str(out))
    out = d.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
    suite.check(out is not None and b"200" in out.split(b"\r\n")[0], "HTTP/1.0", str(out))
    for name, data in (("an endless head", get + b"A: " + b"x" * 20000), ("a NUL in a path", b"GET /healthz%00 HTTP/1.1\r\nHost: x\r\n\r\n"), ("no HTTP", b"\x16\x03\x01\x02\x00" * 40 + b"\r\n\r\n"),
                       ("a WebSocket", get + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
                       ("HTTP/2 by upgrade", get + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"),
                       ("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                       ("a chunked body", get + b"Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n")):
        out = d.raw(data)
        suite.check(out is not None and b"200 OK" not in out and b" 101 " not in out, f"{name} is refused", str(out)[:300])
    # Who asks for much and takes nothing is cut off: then there is less to read than was asked for.
    host, port = d.http.rsplit(":", 1)
    whole = len(d.get("/tile/entries/000")[2])
    with socket.create_connection((host, int(port)), timeout=20) as s:
        s.sendall(b"GET /tile/entries/000 HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
        time.sleep(8)
        n = 0
        try:
            while piece := s.recv(1 << 20):
                n += len(piece)
        except ConnectionResetError:
            pass
    suite.check(n < 399 * whole, "a client that takes nothing is cut off", f"{n} of {400 * whole} bytes")
    # Others are served while one client takes nothing and another one is slow to say what it wants.
    idle = [socket.create_connection((host, int(port))) for _ in range(20)]
    for s in idle[:10]:
        s.sendall(b"GET /tile/entries/000 HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
    for s in idle[10:]:
        s.sendall(b"GET /tile")
    began = time.monotonic()
    status, _, _ = d.get("/tile/0/000")
    suite.check(status == 200 and time.monotonic() - began < 5, "slow clients hold nobody up", f"{time.monotonic() - began:.1f} s")
    for s in idle:
        s.close()
    suite.check(d.get("/healthz")[0] == 200, "clients that leave in the middle are no matter")


def metrics(suite, d, size):
    status, head, body = d.get("/metrics")
    text = body.decode()
    suite.check(status == 200 and head["content-type"].startswith("text/plain; version=0.0.4"), "/metrics", str(head))
    form = re.compile(r'(# TYPE ledgerd_[a-z_0-9]+ (gauge|counter)|ledgerd_[a-z_0-9]+(\{text="([^"\\\n]|\\[n"\\])*"\})? -?[0-9.e+-]+)')
    suite.check(text.endswith("\n") and all(form.fullmatch(line) for line in text.splitlines()), "their form",
                str([line for line in text.splitlines() if not form.fullmatch(line)]))
    values = dict(re.findall(r"^(ledgerd_\w+)(?:\{.*\})? (\S+)$", text, re.M))
    code, out, err = d.ctl("--json", "status")
    figures = set(re.findall(r'"name": *"(\w+)"', out)) or {k for k in json.loads(out)} if code == 0 else set()
    missing = [n for n in figures if re.fullmatch("[a-z_]+", n) and f"ledgerd_{n}" not in values and f"ledgerd_{n}_total" not in values
               and n in ("entries", "chains", "connections", "events_accepted", "writable", "last_commit_seconds", "http_requests")]
    suite.check(code == 0 and not missing, "every figure of the status is a metric", f"{missing}\n{out[:500]}{err}")
    suite.check(float(values["ledgerd_entries"]) == size and float(values["ledgerd_http_requests_total"]) > 500 and
                float(values["ledgerd_http_not_found_total"]) > 10 and float(values["ledgerd_http_refused_total"]) >= 5 and
                float(values["ledgerd_http_failed_total"]) == 0 and float(values["ledgerd_writable"]) == 1, "their values", text)
    suite.check('ledgerd_origin{text="tiles.example/ledger"}' in text, "the origin is among them")


def limits(suite):
    with Served(suite, "limits.example/ledger", "connections_max = 5\ntimeout_seconds = 1\nmetrics = no\n") as d:
        suite.check(d.get("/metrics")[0] == 404, "metrics = no")
        began = time.monotonic()
        out = d.raw(b"GET /heal", 15)
        suite.check(out is not None and time.monotonic() - began < 12, "a request that never ends is cut off", f"{time.monotonic() - began:.1f} s")
        began = time.monotonic()
        out = d.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 15)
        suite.check(out is not None and b"ok\n" in out and time.monotonic() - began < 12, "an idle connection is closed",
                    f"{time.monotonic() - began:.1f} s")
        host, port = d.http.rsplit(":", 1)
        many = [socket.create_connection((host, int(port))) for _ in range(5)]
        time.sleep(0.3)
        extra = socket.create_connection((host, int(port)))
        extra.settimeout(5)
        try:
            turned_away = extra.recv(1) == b""
        except ConnectionResetError:
            turned_away = True
        except socket.timeout:
            turned_away = False
        suite.check(turned_away, "one connection too many is turned away")
        for s in many + [extra]:
            s.close()
        for _ in range(50):
            time.sleep(0.1)
            try:
                if d.get("/healthz")[0] == 200:
                    break
            except (OSError, http.client.HTTPException):
                pass
        suite.check(d.get("/healthz")[0] == 200, "then there is room again")
        # A request is under way when the daemon is told to end: it ends all the same (checked on the way out).
        s = socket.create_connection((host, int(port)))
        s.sendall(b"GET /tile/entries/000.p/1 HTTP/1.1\r\nHost: x\r\n")


def tls(suite, client):
    with Served(suite, "tls.example/ledger", "certificate = pki/server.pem\nkey = pki/server.key\n") as d:
        ca = os.path.join(d.data, "pki", "ca.pem")
        size = None
        host, port = d.http.rsplit(":", 1)
        if client:
            code, out, err = suite.run(client, d.vkey, f"https://localhost:{port}", ca)
            size = out.strip()
            suite.check(code == 0 and int(size) >= 4, "the other client verifies over TLS", out + err)
            code, out, err = suite.run(client, d.vkey, f"https://localhost:{port}")
            suite.check(code == 1 and "certificate" in err, "and does not without the authority", err)
        out = d.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 30)
        suite.check(out is not None and b"200 OK" not in out, "without TLS there is no answer", str(out))

        def shown(*options):
            done = subprocess.run(["openssl", "s_client", "-connect", d.http, "-CAfile", ca, *options], input=b"", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=30)
            return done.stdout.decode(errors="replace")
        suite.check("Verify return code: 0" in shown("-tls1_3"), "TLS 1.3")
        suite.check("Cipher is (NONE)" in shown("-tls1_1") or "no protocols available" in shown("-tls1_1"), "no TLS 1.1", shown("-tls1_1")[-400:])
        suite.check("ALPN protocol: http/1.1" in shown("-alpn", "h2,http/1.1"), "only HTTP/1.1 is offered", shown("-alpn", "h2,http/1.1"))
        before = re.search(r"serial.*|-----BEGIN.*?-----END CERT", shown("-showcerts"), re.S)
        suite.run(suite.ledgerd, "cert", "renew-server", d.data)
        d.process.send_signal(signal.SIGHUP)
        for _ in range(50):
            after = re.search(r"serial.*|-----BEGIN.*?-----END CERT", shown("-showcerts"), re.S)
            if before and after and before[0] != after[0]:
                break
            time.sleep(0.1)
        suite.check(before and after and before[0] != after[0], "SIGHUP brings the new certificate")
        os.replace(os.path.join(d.data, "pki", "ca.key"), os.path.join(d.data, "pki", "server.key"))
        d.process.send_signal(signal.SIGHUP)
        for _ in range(50):
            if "HTTP certificate was not read again" in d.output():
                break
            time.sleep(0.1)
        suite.check("HTTP certificate was not read again" in d.output() and "Verify return code: 0" in shown("-tls1_3"),
                    "a key that is another one's leaves the old in force", d.output()[-600:])


def configurations(suite):
    """What a daemon does not start with. The message names what is wrong, and nothing was recorded."""
    data = suite.path("wrong")
    suite.run(suite.ledgerd, "init", data, "--origin", "wrong.example/ledger")
    path = os.path.join(data, "ledgerd.conf")
    with open(path) as f:
        text = f.read().replace("#map_size = 1T", "map_size = 1G")
    for more, want in (("listen = 0.0.0.0:0", "certificate and key, or plain = yes"), ("listen = nowhere:1", "no IP address"),
                       ("listen = 127.0.0.1:0\ncertificate = pki/server.pem", "go together"),
                       ("listen = 127.0.0.1:0\ncertificate = none\nkey = none", "no certificate and its key"),
                       ("listen = 127.0.0.1:0\ncertificate = pki/ca.pem\nkey = pki/server.key", "no certificate and its key"),
                       ("listen = 127.0.0.1:0\nplain = yes\ncertificate = pki/server.pem\nkey = pki/server.key", "exclude each other"),
                       ("listen = 127.0.0.1:0\nconnections_max = 0", "must be from 1"), ("listen = 192.0.2.1:1\nplain = yes", "192.0.2.1")):
        with open(path, "w") as f:
            f.write(text.replace("#listen = 127.0.0.1:7462", more))
        code, _, err = suite.run(suite.ledgerd, "run", data, "--listen", "127.0.0.1:0")
        suite.check(code in (1, 2) and want in err, f"[http] {more.splitlines()[-1]}", f"{code} {err}")


def main():
    suite = Suite(sys.argv)
    client = compile_other(suite)
    with Served(suite, "tiles.example/ledger", "timeout_seconds = 3\n") as d:
        folder, fresh, size = growing(suite, d, client)
        other_notices(suite, client, d, fresh, size)
        export_resumes(suite, d, folder, size)
        answers(suite, d, size)
        on_the_wire(suite, d)
        metrics(suite, d, size)
        cosigned(suite, client, d, size)
        hashes_alone(suite, d)
    rewritten(suite)
    limits(suite)
    tls(suite, client)
    configurations(suite)
    suite.end()


main()
