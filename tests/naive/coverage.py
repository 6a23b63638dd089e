#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much of the rules the generated lifecycles reach: refusals by code, acceptances by kind.

    python3 coverage.py --seeds N --events M [--first S] [--hostile P]

Exit 1 if a code or a kind was never reached, or if a line breaks the generator's own promises."""
import argparse
import collections
import sys

from generate import generate
from judge import Ledger
from kinds import KINDS
from values import instant, parse_line

CODES = """
    E_UNKNOWN_KIND E_MISSING_FIELD E_DUP_EVENT E_UNKNOWN_PARTY E_ROLE E_SIG_MISSING E_SIG_SECOND_MISSING
    E_SIG_SAME_PERSON E_SIG_MEANING E_UNKNOWN_ITEM E_DUP_ITEM E_TIME_FUTURE E_TIME_ORDER E_TERMINAL E_CONSENT_ABSENT
    E_CONSENT_WITHDRAWN E_COI_MISMATCH E_PATIENT_MISMATCH E_HOLD_RECALL E_REJECTED E_HOLD_QUARANTINE E_HOLD_DEVIATION
    E_HOLD_EXCURSION E_NOT_RELEASED E_EXPIRED E_IN_TRANSIT E_CUSTODY E_NOT_IN_SHIPMENT E_QTY_EXCEEDED E_UOM E_SPLIT_SUM
    E_NO_INPUT E_CYCLE E_QC_INCOMPLETE E_QC_FAILED E_QC_VERDICT E_CARTAGENA E_LOGGER_CALIBRATION E_LOG_STATS
    E_EXCURSION_FLAG E_THAW_WINDOW E_NOT_ADMINISTERED E_CORRECT_TARGET E_CORRECT_TWICE E_CORRECT_FIELD
    E_CORRECT_OLD_VALUE E_QC_RETEST E_BAD_VALUE E_SIG_COUNT""".split()
# E_SIG_INVALID and E_KEY_INVALID exist only where there are real keys, not in a scenario file


def count(seed, events, hostile, seen):
    """Judge one lifecycle; `seen` counts (kind, verdict). Returns complaints about the lines themselves."""
    ledger, last, complaints = Ledger(), None, []
    for text in generate(seed, events, hostile):
        line = parse_line(text)
        recorded = instant(line["recorded"])
        if last is not None and recorded < last:
            complaints.append(f"seed {seed}: {line['id']}: recorded time runs backwards")
        last = recorded
        kind = line["kind"] if isinstance(line["kind"], str) and line["kind"] in KINDS else "(unknown)"
        seen[kind, ledger.judge(line).rpartition(":")[2]] += 1
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--hostile", type=float, default=0.4)
    options = parser.parse_args()
    seen, complaints = collections.Counter(), []
    for seed in range(options.first, options.first + options.seeds):
        complaints += count(seed, options.events, options.hostile, seen)
    codes, kinds = collections.Counter(), collections.Counter()
    for (kind, verdict), number in seen.items():
        codes[verdict] += number
        if verdict == "ACCEPT":
            kinds[kind] += number
    total = sum(codes.values())
    print(f"{total} lines, {100 * codes['ACCEPT'] / total:.1f} % accepted")
    print("accepted: " + ", ".join(f"{kind} {kinds[kind]}" for kind in KINDS))
    print("refused: " + ", ".join(f"{code} {codes[code]}" for code in CODES))
    print(f"pairs of kind and code: {sum(1 for _, verdict in seen if verdict != 'ACCEPT')}")
    complaints += [f"never reached: {code}" for code in CODES if not codes[code]]
    complaints += [f"never accepted: {kind}" for kind in KINDS if not kinds[kind]]
    print("\n".join(complaints) or "every code and every kind reached")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
