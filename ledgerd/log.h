/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: what the daemon says about itself, one line each on standard error:
 *
 *   2026-03-01T09:30:00.123Z info "ledger opened" size=1204 origin=example.org/ledger
 *
 * For the service manager to collect. No personal data, no content of events, no keys. (The log of
 * entries is store/log.h.)
 */
#ifndef LEDGERD_LOG_H
#define LEDGERD_LOG_H

#include "base.h"

enum log_level { LOG_ERROR = 0, LOG_WARN, LOG_INFO };

/*
 * `fmt` is printf's, made of words "key=%…" with one space between them, or NULL. A value that is
 * empty or holds anything but plain printable characters is quoted, with \n, \" and \\ escaped and
 * other control characters as \x1f. Long lines are cut. Any thread; one write per line, so that
 * lines never mix.
 */
void logline(enum log_level level, const char *message, const char *fmt, ...) LEDGER_PRINTF(3, 4);

#endif
