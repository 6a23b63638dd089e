/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain_json: what was proven about chains and entries, as JSON. The one place that gives states, members and entries their names
 * for people and machines; ledger_query and ledgerctl both print through it. Everything written comes from verified objects.
 *
 * Decimals are JSON numbers with every digit, instants RFC 3339 texts in UTC, hashes lower-case hexadecimal. What a state does not
 * have is left out.
 */
#ifndef LEDGERD_CLIENT_CHAIN_JSON_H
#define LEDGERD_CLIENT_CHAIN_JSON_H

#include "json.h"
#include "verify.h"

/* An object: type, id, present, and if present: entries, head, and if opened: state and (where given) its lists. */
void chain_json(struct json_writer *w, const struct proven_chain *pc);
/* An object: index, kind, recorded, event id, and with content: the event and its signatures. */
void entry_json(struct json_writer *w, struct arena *a, const struct entry *e);
/* Member "witnessed" of the object that is being written: null, or the newest checkpoint that the policy's witnesses have cosigned: size,
 * age in seconds, by whom. */
struct reply;
void witnessed_json(struct json_writer *w, const struct reply *r);
/* Names for people: "UNIT", "ADMINISTERED". */
const char *item_class_name(unsigned klass);
const char *terminal_name(unsigned terminal);

void json_put_time(struct json_writer *w, const char *name, int64_t us);
void json_put_dec(struct json_writer *w, const char *name, dec_t v);
void json_put_hex(struct json_writer *w, const char *name, struct span s);

#endif
