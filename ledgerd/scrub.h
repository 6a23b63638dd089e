/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub: a thread of low priority that reads the whole store again and again, so that rot is found while a good copy still exists, and
 * not when somebody asks for the entry. What it compares: scrub_check.h. It repairs nothing.
 *
 *   a pass: every entry there is at its beginning → every chain → how many chains there are → rest until the next pass is due
 *
 * It works in portions, each on a snapshot of its own, and sleeps in between so that on average so many rows a second are looked at; a
 * restart goes on where it was, from DIR/scrub, which is written at each end and about once a minute. A finding is a line in the log
 * that names the entry, and counts in the figures; what to do then: "Rot" in docs/operations.md.
 *
 * Threads: new, start, stop and free in one; figures from any.
 */
#ifndef LEDGERD_SCRUB_H
#define LEDGERD_SCRUB_H

#include "config.h"
#include "store/store.h"

struct scrub;
struct scrub_options {
    const char *dir;     /* data folder; copied */
    struct store *store; /* borrowed until scrub_free */
    uint32_t interval_s; /* from the beginning of a pass to that of the next */
    uint32_t rate;       /* entries, and entries of chains, a second */
};
enum ledger_rc scrub_new(const struct scrub_options *o, struct scrub **out, struct ledger_err *err) LEDGER_MUST_USE;
enum ledger_rc scrub_start(struct scrub *s, struct ledger_err *err) LEDGER_MUST_USE;
void scrub_stop(struct scrub *s); /* NULL is allowed */
void scrub_free(struct scrub *s); /* NULL is allowed */
/* scrub_entries and scrub_chains: looked at since the start; scrub_findings: of the present pass or, while resting, of the latest one, with
 * the first of them as the text; scrub_passes: since the start; scrub_age_seconds: since the end of the last full pass, −1: none yet. */
void scrub_figures(struct scrub *s, void (*put)(void *sink, const char *name, double value, const char *text), void *sink);

#endif
