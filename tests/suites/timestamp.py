#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time from outside: a daemon whose checkpoints are stamped by an authority that this suite runs (an HTTP server that answers with
`openssl ts -reply`): good and bad answers, an authority that hangs, tokens that outlive their certificates, the bounds of an entry's
time, and OpenSSL as an independent verifier of every token that the ledger recorded. And: when certificates expire."""
import datetime
import http.client
import json
import os
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), part) for part in ("lib", "system")]

from authority import POLICY, Authority, Served, Stamped  # noqa: E402
from suite import WAIT_S, Suite  # noqa: E402

os.environ["http_proxy"] = os.environ["ALL_PROXY"] = "http://127.0.0.1:9/"  # nothing is taken from the environment


def us(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def stamped(d, s, name):
    """One more token than there was, after a new checkpoint."""
    before = d.status().get("time_stamps", 0)
    index = d.event()
    d.until(name, lambda f: f.get("time_stamps", 0) > before and f.get("time_stamped_entries", 0) > index)
    return index


def openssl_verifies(s, folder, ca, more=()):
    names = sorted(n[:-6] for n in os.listdir(folder) if n.endswith(".token"))
    for n in names:
        code, out, err = s.run("openssl", "ts", "-verify", "-data", f"{folder}/{n}.note", "-in", f"{folder}/{n}.token", "-token_in",
                               "-CAfile", ca, *more)
        s.check(code == 0 and "Verification: OK" in out + err, f"openssl verifies the token in entry {n}", out + err)
    return len(names)


def good(s, d, served, authority):
    began = time.time()
    d.until("the first token comes by itself", lambda f: f.get("time_stamps", 0) >= 1)
    first = stamped(d, s, "a token covers the first event")
    second = stamped(d, s, "a token covers the second event")
    figures = d.status()
    s.check(0 <= figures["time_stamp_age_seconds"] < WAIT_S, "the age of the last token is a figure", figures)
    s.check(abs(figures["time_stamp_clock_offset_seconds"]) < WAIT_S, "the clocks' difference is a figure", figures)
    s.check(figures["time_stamp_failing"] == 0, "nothing is failing", figures)
    s.check(served.types == {"application/timestamp-query"}, "the content type of RFC 3161", served.types)
    code, all_of_them, err = d.stamps("--ca", authority.ca)
    tokens = all_of_them["time_stamps"]
    s.check(code == 0 and len(tokens) >= 3 and all(t["verified"] for t in tokens), "all tokens verify", err)
    s.check(all(t["authority"] == "CN=good TSA,O=Suite" and t["ca"] == "CN=good CA,O=Suite" and t["policy"] == POLICY and
                t["size"] <= t["entry"] and began - 1 <= us(t["time"]) <= time.time() + 1 for t in tokens), "what they say", tokens)
    for index in (first, second):
        code, answer, err = d.stamps("--for", str(index), "--ca", authority.ca)
        after = max((t for t in tokens if t["entry"] < index), key=lambda t: us(t["time"]))
        before = min((t for t in tokens if t["size"] > index), key=lambda t: us(t["time"]))
        b = answer["bounds"]
        s.check(code == 0 and b["not_before"]["by_entry"] == after["entry"] and b["not_after"]["by_entry"] == before["entry"],
                f"bounds of entry {index}: the tokens around it", answer)
        s.check(abs(us(b["not_before"]["time"]) - us(after["time"]) + 1.5) < 1e-3 and
                abs(us(b["not_after"]["time"]) - us(before["time"]) - 1.5) < 1e-3, "the bounds allow for the accuracy", b)
    code, answer, err = d.stamps("--for", "0", "--ca", authority.ca)
    s.check(code == 0 and answer["bounds"]["not_before"] is None and answer["bounds"]["not_after"], "nothing before entry 0", answer)
    code, _, err = d.stamps("--for", str(first))
    s.check(code == 2 and "--ca" in err, "bounds want to know whom to believe", err)
    code, listed, _ = d.stamps()
    s.check(code == 0 and not any(t["verified"] for t in listed["time_stamps"]), "without certificates nothing is called verified")
    return tokens


def exported(s, d, authority, other):
    folder = s.path("exported")
    code, _, err = d.stamps("--ca", authority.ca, "--export", folder)
    s.check(code == 0 and openssl_verifies(s, folder, authority.ca) >= 3, "tokens are exported", err)
    code, answer, err = d.stamps("--ca", other.ca)
    s.check(code == 1 and not any(t["verified"] for t in answer["time_stamps"]), "under another CA none verifies", answer)
    profile = os.path.join(d.data, "profile")
    with open(authority.ca) as f, open(os.path.join(profile, "tsa.pem"), "w") as out:
        out.write(f.read())
    with open(os.path.join(profile, "profile.conf"), "a") as f:
        f.write("tsa_ca = tsa.pem\n")
    code, out, err = d.ctl("time-stamps")
    s.check(code == 0 and "verified" in out and "all that this ledger has recorded" in out, "the profile names the CA", out + err)
    code, out, err = d.ctl("time-stamps", "--for", "#1")
    s.check(code == 0 and "not later than" in out and "good CA" in out, "bounds for people name the CA", out + err)


BAD = [("imprint", "something else"), ("nonce", "nonce"), ("error", "HTTP status 500"), ("garbage", "no TimeStampResp"),
       ("long", "more than 65536 bytes")]


def bad(s, d, served, authorities):
    """What is not believed, while recording goes on; and that a good answer mends it."""
    for mode, words in BAD:
        served.mode = mode
        expect_failure(s, d, mode, words)
    served.mode = "good"
    for name, words in (("untrusted", "certificate"), ("picky", "badAlg")):
        served.authority = authorities[name]
        expect_failure(s, d, name, words)
    served.authority = authorities["good"]
    stamped(d, s, "a good answer mends it")
    s.check(d.status()["time_stamp_failing"] == 0, "nothing is failing any more")
    code, answer, _ = d.stamps("--ca", authorities["good"].ca)
    s.check(code == 0 and all(t["verified"] for t in answer["time_stamps"]), "no bad token was recorded", answer)


def expect_failure(s, d, name, words):
    before = d.status()["time_stamps"]
    d.event()
    figures = d.until(f"{name}: it is said why there is no token",
                      lambda f: isinstance(f.get("time_stamp_failing"), str) and words in f["time_stamp_failing"])
    s.check(figures["time_stamps"] == before, f"{name}: nothing is recorded of it", figures)


def expired(s, d, served, old):
    """Tokens of an authority whose certificates ended years ago: they hold as of their time."""
    served.authority = old
    index = stamped(d, s, "a token of another time is recorded: it is evidence of a wrong clock")
    figures = d.status()
    s.check(figures["time_stamp_clock_offset_seconds"] < -86400 * 300, "the clocks differ by years", figures)
    s.check("one of the two clocks is wrong" in d.output(), "a warning about the clocks", d.output()[-800:])
    code, answer, err = d.stamps("--ca", old.ca)
    verified = [t for t in answer["time_stamps"] if t["verified"]]
    s.check(code == 1 and verified and all(t["time"].startswith("2015-") for t in verified), "it verifies though it has expired", answer)
    folder = s.path("expired")
    d.stamps("--ca", old.ca, "--export", folder)
    only = s.path("only")
    os.makedirs(only)
    for t in verified:
        for end in ("note", "token"):
            os.rename(f"{folder}/{t['entry']}.{end}", f"{only}/{t['entry']}.{end}")
    code, out, err = s.run("openssl", "ts", "-verify", "-data", f"{only}/{verified[0]['entry']}.note", "-in",
                           f"{only}/{verified[0]['entry']}.token", "-token_in", "-CAfile", old.ca)
    s.check(code != 0, "openssl finds it expired today", out + err)
    openssl_verifies(s, only, old.ca, ("-attime", str(int(us(verified[0]["time"])))))
    code, answer, _ = d.stamps("--for", str(index), "--ca", old.ca)
    s.check(code == 0 and answer["bounds"]["not_after"]["time"].startswith("2015-"), "the bounds are those of the trusted authority", answer)
    expires(s, d, "the authority's certificate has expired, says the status",
            lambda what, days: what.startswith("time-stamping authority CN=old") and days < 0)


def expires(s, d, name, test):
    """Waits until the status lists such a certificate."""
    end = time.monotonic() + WAIT_S
    while True:
        listed = json.loads(d.ctl("status", "--json")[1])["expiry"]
        good = any(test(f["what"], f["days"]) for f in listed)
        if good or time.monotonic() > end:
            return s.check(good, name, listed)
        time.sleep(0.2)


def metrics(s, d):
    with open(os.path.join(d.data, "run", "http")) as f:
        connection = http.client.HTTPConnection(f.read().strip(), timeout=WAIT_S)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    for line in ("# TYPE ledgerd_time_stamps_total counter", "# TYPE ledgerd_time_stamp_failures_total counter", "ledgerd_time_stamp_age_seconds ",
                 '# TYPE ledgerd_certificate_days gauge', 'ledgerd_certificate_days{text="server"} 36',
                 'ledgerd_certificate_days{text="time-stamping authority CN='):
        s.check(line in text, f"/metrics has {line}", text)


def idle(s, d, served):
    """The entry of a token makes a new checkpoint, which is not stamped for its own sake."""
    served.authority, served.mode = served.good, "good"
    stamped(d, s, "a token before nothing happens")
    time_of = d.status()["time_stamp_entry"]
    asked = served.asked
    figures = d.until("an idle ledger", lambda f: f.get("time_stamp_age_seconds", 0) > 4)
    s.check(served.asked == asked and figures["time_stamp_entry"] == time_of, "an idle ledger is stamped once", (asked, served.asked))
    code, out, err = s.run(s.ctl, "--profile", os.path.join(d.data, "profile"), "--server", d.address, "audit", timeout=600)
    s.check(code == 0, "the ledger with tokens audits well", out[-600:] + err[-600:])


def interval(s, served, authority):
    """One token an interval, also over a restart, after which the last one is known again."""
    with Stamped(s, served, authority.ca, "interval_seconds = 86400\n") as d:
        entry = d.until("the first token", lambda f: f.get("time_stamps") == 1)["time_stamp_entry"]
        asked = served.asked
        d.event()
        d.restart()
        figures = d.until("the last token is known after a restart", lambda f: "time_stamp_entry" in f)
        d.event()
        s.check(figures["time_stamp_entry"] == entry and figures["time_stamps"] == 0 and figures["time_stamped_entries"] <= entry,
                "it is the one of before", figures)
        s.check(served.asked == asked, "the authority is not asked before the interval is over", (asked, served.asked))


def hangs(s, served, authority):
    """An authority that hangs stops nobody, also not the end of the daemon."""
    served.mode = "hang"
    served.hanging.clear()
    with Stamped(s, served, authority.ca, "timeout_seconds = 600\n") as d:
        s.check(served.hanging.wait(WAIT_S), "the daemon asks")
        d.event()
        began = time.monotonic()
    s.check(time.monotonic() - began < 60, "the daemon ends although the authority hangs", time.monotonic() - began)
    served.hanging.clear()
    with Stamped(s, served, authority.ca, "timeout_seconds = 1\n") as d:
        expect_figures = d.until("an answer that does not come in time", lambda f: isinstance(f.get("time_stamp_failing"), str))
        s.check("does not answer" in str(expect_figures.get("time_stamp_failing")), "it is said that it does not answer", expect_figures)
    served.mode = "good"


def configuration(s, served, authority):
    """Mistakes are found before anything is recorded."""
    data = s.path("misconfigured")
    s.run(s.ledgerd, "init", data, "--origin", "misconfigured.example/ledger")
    conf = os.path.join(data, "ledgerd.conf")
    with open(conf) as f:
        text = f.read().replace("#map_size = 1T", "map_size = 1G")
    for more, words in ((f"authority = ftp://127.0.0.1/\nca = {authority.ca}\n", "no http:// or https:// URL"),
                        (f"authority = {served.url}\n", "ca is missing"), (f"authority = {served.url}\nca = FORMAT\n", "not PEM"),
                        (f"authority = {served.url}\nca = nowhere.pem\n", "nowhere.pem"), (f"ca = {authority.ca}\n", "authority is missing"),
                        (f"authority = {served.url}\nca = {authority.ca}\npolicy = mine\n", "policy"),
                        (f"authority = {served.url}\nca = {authority.ca}\nproxy = mine\n", "proxy is no")):
        with open(conf, "w") as f:
            f.write(text.replace("#authority = http://tsa.example/\n", more))
        code, out, err = s.run(s.ledgerd, "run", data, "--listen", "127.0.0.1:0")
        s.check(code in (1, 2) and words in err, f"refused: {words}", f"exit {code}\n{out}{err}")


def expiry(s, d):
    days = {f["what"]: f["days"] for f in json.loads(d.ctl("status", "--json")[1])["expiry"]}
    s.check(3640 < days["server"] < 3660, "days of the server's certificate", days)
    s.check(days["certificate authority"] > 10900 and days["revocation list"] > 10900, "days of CA and revocation list", days)
    s.check(1090 < days["this profile's certificate"] < 1100 and days["this profile's authority"] > 10900, "days of the profile's", days)
    client = s.path("short")
    code, out, err = s.run(s.ledgerd, "cert", "issue", d.data, "--name", "urn:suite:short", "--out", client, "--days", "7")
    s.check(code == 0, "a certificate of a week", err)
    what = "client certificate " + next(line.split()[1] for line in out.splitlines() if line.split()[:1] == ["serial"])
    expires(s, d, "days of a client's certificate", lambda w, days: w == what and 6 < days < 7.1)
    code, out, err = d.ctl("status")
    s.check(what in out and "EXPIRES IN" in out and "urn:suite:short" not in out, "the status says so to people, and names nobody", out)
    code, out, err = s.run(s.ctl, "--profile", client, "--server", d.address, "status")
    s.check("this profile's certificate" in out, "and to its owner", out + err)


def main():
    s = Suite(sys.argv)
    authorities = {"good": Authority(s, "good"), "untrusted": Authority(s, "untrusted"), "picky": Authority(s, "picky", digests="sha512"),
                   "old": Authority(s, "old", at="2015-06-01")}
    ca = s.path("both.pem", open(authorities["good"].ca, "rb").read() + open(authorities["old"].ca, "rb").read())
    served = Served(authorities["good"])
    served.good = authorities["good"]
    with Stamped(s, served, ca) as d:
        good(s, d, served, authorities["good"])
        exported(s, d, authorities["good"], authorities["untrusted"])
        bad(s, d, served, authorities)
        expired(s, d, served, authorities["old"])
        metrics(s, d)
        idle(s, d, served)
        expiry(s, d)
    interval(s, served, authorities["good"])
    hangs(s, served, authorities["good"])
    configuration(s, served, authorities["good"])
    served.close()
    s.end()


if __name__ == "__main__":
    main()
