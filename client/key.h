/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key: a party's signing key in memory, for the library's own files. Format of the file: include/ledgerd/key.h.
 */
#ifndef LEDGERD_CLIENT_KEY_H
#define LEDGERD_CLIENT_KEY_H

#include "crypto.h"
#include "value.h"

#include <ledgerd/key.h>

struct ledger_key {
    struct crypto *c;
    char party[ID_MAX + 1];
    char public_text[KEY_TEXT_MAX];
    uint8_t id[KEY_ID_LEN];
    struct secret_key secret;
};

/* The text of a key file. Strict: these five lines, in this order, that agree with each other. EINVAL names the line. */
enum ledger_rc key_text_read(struct span text, struct ledger_key **out, struct ledger_err *err) LEDGER_MUST_USE;
/* Signs with the key: 64 bytes. EINTERNAL if the library fails. */
enum ledger_rc key_sign(struct ledger_key *k, struct span message, uint8_t out[64], struct ledger_err *err) LEDGER_MUST_USE;

#endif
