#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same work against ledgerd and against PostgreSQL on the same disk, in alternation, and the inner floor beside both.

    peers.py BUILD [--rounds N] [--seconds S] [--strict]

PostgreSQL (Debian's package, the latest that is installed) runs from a folder of its own inside the build folder, with its defaults:
synchronous commit, fsync. Its table takes 500 bytes a row, with a unique event id and an index of each lot's rows, and a trigger that
chains each row to the one before of its lot by SHA-256. No signature is verified there, and its clients come over a Unix socket without
TLS. ledgerd does all of its work: TLS, signatures, rules, chains, tree, map, a complete receipt for each event.

A round runs everything once, peers in turn; every figure is the median of the rounds and every ratio the median of ratios within a round.
Writes BUILD/bench-peers.json and BUILD/bench-peers.svg. Exit code 0 when it ran; with --strict 1 if a ratio is below its target.
"""
import argparse
import glob
import json
import os
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile

from report import Target, check, plot_groups, say, table, write_json

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = """
CREATE TABLE event (n bigserial PRIMARY KEY, lot int NOT NULL, event_id bytea NOT NULL UNIQUE, payload bytea NOT NULL, hash bytea NOT NULL);
CREATE INDEX event_lot ON event (lot, n);
CREATE FUNCTION chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE before bytea;
BEGIN
  SELECT hash INTO before FROM event WHERE lot = NEW.lot ORDER BY n DESC LIMIT 1;
  NEW.hash := sha256(coalesce(before, ''::bytea) || NEW.payload);
  RETURN NEW;
END $$;
CREATE TRIGGER chain BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION chain();
"""
ONE = """\\set lot random(1, 256)
INSERT INTO event (lot, event_id, payload)
  VALUES (:lot, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), decode(repeat(md5(random()::text), 31), 'hex') || '\\x00000000');
"""
HUNDRED = """\\set lot random(1, 256)
INSERT INTO event (lot, event_id, payload)
  SELECT :lot, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), decode(repeat(md5(random()::text), 31), 'hex') || '\\x00000000'
  FROM generate_series(1, 100);
"""
LOADS = {"1 client": (1, 1), "8 clients": (8, 1), "64 clients": (64, 1), "8 clients, batches of 100": (8, 100)}
ONE_CLIENT, MANY, BATCHES = "1 client", "64 clients", "8 clients, batches of 100"


class Postgres:
    """A cluster of its own, run by the user postgres if we are root, for it refuses to run as root."""

    def __init__(self, scratch):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
        if not found:
            sys.exit("PostgreSQL is not installed: make bench-peers installs it")
        self.bin = found[-1]
        self.folder = os.path.join(scratch, "postgres")
        os.mkdir(self.folder)
        self.as_user = []
        if os.geteuid() == 0:
            who = pwd.getpwnam("postgres")
            os.chown(self.folder, who.pw_uid, who.pw_gid)
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        # A socket's path is short: it lies in a folder of its own.
        self.socket = tempfile.mkdtemp(prefix="ledgerd-pg-")
        os.chmod(self.socket, 0o777)
        self.data = os.path.join(self.folder, "data")
        self.run("initdb", "-D", self.data, "-A", "trust", "--no-instructions", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses= -c unix_socket_directories={self.socket} -c max_connections=100"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.folder, "log"), "-o", options, "start")
        self.sql(SCHEMA)
        self.scripts = {}
        for n, text in (1, ONE), (100, HUNDRED):
            self.scripts[n] = os.path.join(self.folder, f"insert-{n}.sql")
            with open(self.scripts[n], "w", encoding="ascii") as f:
                f.write(text)

    def run(self, program, *arguments):
        return check(*self.as_user, os.path.join(self.bin, program), *arguments, cwd=self.folder)

    def connect(self):
        return ["-h", self.socket, "-U", "postgres", "postgres"] if self.as_user else ["-h", self.socket, "postgres"]

    def sql(self, text):
        return self.run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text, *self.connect())

    def load(self, clients, batch, seconds, rate=0):
        for old in glob.glob(os.path.join(self.folder, "times.*")):
            os.unlink(old)
        paced = ["-R", str(rate)] if rate else []
        self.run("pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), "-f",
                 self.scripts[batch], "-l", "--log-prefix", "times", *paced, *self.connect())
        times = []
        for path in glob.glob(os.path.join(self.folder, "times.*")):
            with open(path, encoding="ascii") as f:
                # client, transaction, microseconds, script, epoch, microseconds [, lag]: with a rate the time counts from when it was due
                times += [int(line.split()[2]) for line in f]
        times.sort()
        return {"events_per_second": len(times) * batch / seconds, "p50_ms": times[len(times) // 2] / 1000,
                "p99_ms": times[len(times) - 1 - (len(times) - 1) // 100] / 1000}

    def bytes_a_row(self):
        """Of table and indexes, a page of each being full or not."""
        total, rows = self.sql("SELECT pg_total_relation_size('event'), count(*) FROM event").split("|")
        return int(total) / max(1, int(rows))

    def close(self):
        subprocess.run([*self.as_user, os.path.join(self.bin, "pg_ctl"), "-D", self.data, "-m", "immediate", "stop"], cwd=self.folder,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.socket, ignore_errors=True)


def ledgerd(build, scratch, seconds, *options):
    path = os.path.join(scratch, "ledgerd.json")
    out = check("sh", os.path.join(HERE, "bench.sh"), build, str(seconds), *options, env=dict(os.environ, BENCH_JSON=path))
    with open(path, encoding="utf-8") as f:
        runs = json.load(f)["runs"]
    size = int(out.rsplit("the data folder has ", 1)[1].split()[0])
    return runs, size / max(1, sum(run["events"] for run in runs))


def floor(build, scratch, seconds, per_signature):
    folder = tempfile.mkdtemp(dir=scratch)
    out = check(os.path.join(build, "tests", "bench", "floor"), folder, str(seconds), str(per_signature))
    shutil.rmtree(folder)
    return json.loads(out)["events_per_second"]


def one_round(build, scratch, pg, seconds):
    found = {"postgres": {}, "ledgerd": {}, "floor": {}}
    runs, found["ledgerd_bytes"] = ledgerd(build, scratch, seconds)
    for run in runs:
        name = next(n for n, load in LOADS.items() if load == (run["clients"], run["events_per_signature"]))
        found["ledgerd"][name] = run
        say(f"ledgerd: {name}: {run['events_per_second']:.0f} events/s")
    for name, (clients, batch) in LOADS.items():
        found["postgres"][name] = pg.load(clients, batch, seconds)
        say(f"postgres: {name}: {found['postgres'][name]['events_per_second']:.0f} rows/s")
    found["postgres_bytes"] = pg.bytes_a_row()
    found["floor"][MANY] = floor(build, scratch, seconds, 1)
    found["floor"][BATCHES] = floor(build, scratch, seconds, 100)
    half = max(1, int(found["ledgerd"][MANY]["events_per_second"] / 2))
    paced, _ = ledgerd(build, scratch, seconds, "--only", "64", "--rate", str(half))
    found["paced"] = {"rate": half, "ledgerd": paced[0], "postgres": pg.load(64, 1, seconds, half)}
    return found


def targets(rounds):
    def target(name, ratio, least):
        return Target(name, [ratio(r) for r in rounds], least)

    def best(r):
        return max(r["postgres"][n]["events_per_second"] for n in LOADS if n != BATCHES)
    return [
        target("1  64 clients / PostgreSQL's best", lambda r: r["ledgerd"][MANY]["events_per_second"] / best(r), 2.0),
        target("1  64 clients / inner floor", lambda r: r["ledgerd"][MANY]["events_per_second"] / r["floor"][MANY], 0.6),
        target("2  batches of 100 / PostgreSQL's", lambda r: r["ledgerd"][BATCHES]["events_per_second"] /
               r["postgres"][BATCHES]["events_per_second"], 2.0),
        target("3  1 client / PostgreSQL's", lambda r: r["ledgerd"][ONE_CLIENT]["events_per_second"] /
               r["postgres"][ONE_CLIENT]["events_per_second"], 1.0),
        target("3  p99 of 1 client, PostgreSQL's / ours", lambda r: r["postgres"][ONE_CLIENT]["p99_ms"] /
               r["ledgerd"][ONE_CLIENT]["p99_ms"], 1.0),
        target("4  p99 at half load, PostgreSQL's / ours", lambda r: r["paced"]["postgres"]["p99_ms"] / r["paced"]["ledgerd"]["p99_ms"], 1.0),
        target("9  bytes an event, 2 x PostgreSQL's / ours", lambda r: 2 * r["postgres_bytes"] / r["ledgerd_bytes"], 1.0),
    ]


def figures(rounds):
    """What was measured of each load, beside each other."""
    def middle(f):
        return statistics.median(f(r) for r in rounds)
    print(f"\n  {'durable events a second':<30}{'ledgerd':>10}{'p99 ms':>9}{'PostgreSQL':>12}{'p99 ms':>9}{'floor':>10}")
    for name in LOADS:
        row = [middle(lambda r, n=name: r["ledgerd"][n]["events_per_second"]), middle(lambda r, n=name: r["ledgerd"][n]["p99_ms"]),
               middle(lambda r, n=name: r["postgres"][n]["events_per_second"]), middle(lambda r, n=name: r["postgres"][n]["p99_ms"])]
        limit = f"{middle(lambda r, n=name: r['floor'][n]):>10.0f}" if name in rounds[0]["floor"] else f"{'':>10}"
        print(f"  {name:<30}{row[0]:>10.0f}{row[1]:>9.2f}{row[2]:>12.0f}{row[3]:>9.2f}{limit}")


def plot(path, rounds):
    series = [("ledgerd", "ledgerd", "#1b6ca8"), ("postgres", "PostgreSQL", "#b0b7c3"), ("floor", "inner floor", "#e0a458")]
    values = {(n, s): statistics.median(r[s][n]["events_per_second"] if isinstance(r[s][n], dict) else r[s][n] for r in rounds)
              for n in LOADS for s, _, _ in series if n in rounds[0][s]}
    plot_groups(path, "Durable events a second", LOADS, series, values)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("build")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=4)
    p.add_argument("--strict", action="store_true")
    a = p.parse_args()
    build = os.path.abspath(a.build)
    scratch = tempfile.mkdtemp(prefix="peers.", dir=build)
    os.chmod(scratch, 0o755)
    pg, rounds = None, []
    try:
        pg = Postgres(scratch)
        for i in range(a.rounds):
            say(f"round {i + 1} of {a.rounds}")
            rounds.append(one_round(build, scratch, pg, a.seconds))
    finally:
        if pg:
            pg.close()
        shutil.rmtree(scratch, ignore_errors=True)
    say("")
    results = targets(rounds)
    figures(rounds)
    table(results)
    write_json(os.path.join(build, "bench-peers.json"), {"rounds": rounds}, results)
    plot(os.path.join(build, "bench-peers.svg"), rounds)
    print(f"\n  written: {a.build}/bench-peers.json, {a.build}/bench-peers.svg")
    return 1 if a.strict and not all(t.met for t in results) else 0


if __name__ == "__main__":
    sys.exit(main())
