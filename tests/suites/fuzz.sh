#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz: every fuzz target over its corpus: seeds from a real ledger, what fuzzers found interesting, and what they once broke.
exec "$1/tests/fuzz/replay" "$(dirname "$0")/../fuzz/corpus"
