#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hostile: clients that break the rules of the protocol, against a real daemon (tests/integration/hostile.py).
exec python3 "$(dirname "$0")/../integration/hostile.py" "${1:-build}/ledgerd"
