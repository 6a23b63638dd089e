/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access: what a connected client may do and read. One table in the configuration maps the name in a client certificate (its
 * SAN URI) to a `struct access`; everything that answers a client asks here.
 */
#ifndef LEDGERD_ACCESS_H
#define LEDGERD_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base.h"
#include "kinds.h"

#define ACCESS_NAME_MAX 255

struct access {
    char name[ACCESS_NAME_MAX + 1]; /* SAN URI of the certificate; "loopback" on a plain connection */
    bool may_submit;
    bool may_administer;            /* submit acts of the ledger that persons sign: parameters, erasure */
    bool may_read_states;           /* openings and members of chains */
    uint32_t read_kinds;            /* bit (kind − EVENT_KIND_FIRST): events of that kind in clear */
};

/* Headers and proofs are for everybody who may connect; content is by kind. Own entries are always readable. */
static inline bool access_reads_kind(const struct access *a, unsigned kind)
{
    return kind < EVENT_KIND_FIRST || (kind <= EVENT_KIND_LAST && (a->read_kinds >> (kind - EVENT_KIND_FIRST) & 1u));
}

/* The table. Made while the configuration is read, then only read; replaced as a whole on reload. */
struct access_table {
    size_t n;
    struct access *rows;
};
/* The row of a name, or NULL. Borrowed from the table. */
const struct access *access_find(const struct access_table *t, const char *name);
/*
 * Adds the row of `name` with `rights` as the configuration has them, parts divided by commas:
 *   submit            may submit events
 *   administer        may submit acts of the ledger itself that two persons have signed: parameters, erasures
 *   read all          content of every kind, and states
 *   read none         headers and proofs only, as everybody who may connect
 *   read KIND KIND …  content of these kinds; the word `states` among them adds openings and members of chains
 * EINVAL: the name or a right is malformed, or the name has a row already.
 */
enum ledger_rc access_add(struct access_table *t, const char *name, const char *rights, struct ledger_err *err)
    LEDGER_MUST_USE;
/* True for 1 to ACCESS_NAME_MAX printable ASCII characters without space, "=", ";" and "#". */
bool access_name_valid(struct span name);
bool access_equal(const struct access *a, const struct access *b);
void access_table_fini(struct access_table *t);

#endif
