/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analyzer: included before every file that `make lint` gives to gcc -fanalyzer and clang-tidy, which look at one file at a time: says of functions that
 * are defined elsewhere what their callers rely on. Each returns the code that it is given, so that `return ledger_fail(err, LEDGER_EINVAL,
 * …)` is never taken for success. LINT_CTL: a file of ledgerctl.
 */
#ifndef LEDGERD_TESTS_LINT_ANALYZER_H
#define LEDGERD_TESTS_LINT_ANALYZER_H

#include "verdict.h"

#define ledger_wrap(err, rc, ...) ((void)(ledger_wrap)(err, rc, __VA_ARGS__), rc)
#define verdict_bad(...) ((void)(verdict_bad)(__VA_ARGS__), false)
#define ledger_fail(err, rc, ...) ((void)(ledger_fail)(err, rc, __VA_ARGS__), rc)
#ifdef LINT_CTL
#include "ctl/ctl.h"
#define ctl_fail(ctl, exit, ...) ((void)(ctl_fail)(ctl, exit, __VA_ARGS__), exit)
#endif

#endif
