/* SPDX-License-Identifier: Apache-2.0 */
/* ask: what the asking commands (show, history, list, find, trace, check) share: names of subjects, proofs, printing of states. */
#ifndef LEDGERD_CTL_ASK_H
#define LEDGERD_CTL_ASK_H

#include "chain_json.h"
#include "ctl.h"
#include "line.h"

/* "item", "party", "subject", "shipment", "deviation", "excursion", "recall", "product", "ledger" and an id to a chain name; case ids get
 * their prefix. NULL type: item. EXIT_GOOD, or EXIT_USAGE after a message. */
int ask_name(struct ctl *ctl, const char *type, const char *id, struct chain_name *out);
/* Asks for one chain and what the request's flags add; the reply's first subject is that chain. */
int ask_prove(struct ctl *ctl, const struct prove_request *rq, struct reply **out);
/* Prints a JSON object's members as aligned "name  value" lines; nested ones as name.member. */
void ask_print_object(struct ctl *ctl, const struct json *object);
/* "item BAG-1 is not in the ledger: proven absent": EXIT_NEGATIVE. */
int ask_absent(struct ctl *ctl, const struct reply *r, const struct proven_subject *s);
/* Certificates of time-stamping authorities: of the file, or (NULL) of the profile's tsa_ca, if a profile is open and names one. *ca is
 * absent if there are none. EXIT_GOOD, or the exit code after a message. */
int ask_tsa_ca(struct ctl *ctl, const char *path, struct span *ca);
/* Options that say what is asked must not be empty: an empty one is mostly one that something before has failed to fill in, and means "not asked"
 * further down. False after a message. */
struct ask_text { const char *name, *value; /* NULL: not given */ };
bool ask_filled(struct ctl *ctl, const struct ask_text *texts, size_t n);
/* A time argument, or now. False after a message. */
bool ask_time(struct ctl *ctl, const char *text, int64_t *us);
/* A whole number argument; false after a message. */
bool ask_number(struct ctl *ctl, const char *option, const char *text, uint64_t *out);

#endif
