#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# layers: the part of `make lint` that takes no time.
exec sh "$(dirname "$0")/../lint.sh" --fast "${1:-build}"
