#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the deliberate faults of `make mutants` still fit the code, and does docs/mutants.md list them?"""
import os
import sys

os.execv(sys.executable, [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mutants", "mutants.py"), "--check"])
