/* SPDX-License-Identifier: Apache-2.0 */
/*
 * act: acts of the ledger that two persons sign (parameters, erasures): signing at one desk or at two, submitting, and printing
 * what came of it. For two desks the first signer prepares a file that holds the act and his signature; the second one reads what
 * it says, signs it and submits it.
 */
#ifndef LEDGERD_CTL_ACT_H
#define LEDGERD_CTL_ACT_H

#include "ctl.h"
#include "entry.h"
#include "signers.h"

struct act_options {
    struct ctl_list sign, meaning;
    const char *prepare; /* write the act with the first signature there and send nothing */
    const char *file;    /* an act that somebody prepared */
    bool force;
};
/* For the table of a command's options. */
#define ACT_OPTIONS(o)                                                                            \
    {"sign", OPT_LIST, {.list = &(o)->sign}, 's'}, {"meaning", OPT_LIST, {.list = &(o)->meaning}, 'm'}, \
        {"prepare", OPT_TEXT, {.text = &(o)->prepare}, 0}, {"act", OPT_TEXT, {.text = &(o)->file}, 0},  \
        {"force", OPT_FLAG, {.flag = &(o)->force}, 0}
#define ACT_OPTIONS_N 5

/* All return an exit code; EXIT_GOOD with *out owned by the caller (ledger_batch_free). */
int act_new(struct ctl *ctl, unsigned kind, struct span payload, struct ledger_batch **out);
/* The act in the file of --act, of that kind. */
int act_read(struct ctl *ctl, const struct act_options *o, unsigned kind, struct ledger_batch **out);
/* Signs, and then writes the file of --prepare (*out is NULL) or submits. EXIT_GOOD with *out: recorded, its one result is verified.
 * EXIT_NEGATIVE after printing the refusal. */
int act_finish(struct ctl *ctl, struct ledger_batch *b, const struct act_options *o, struct reply **out);
/* 16 random bytes, for a payload. */
int act_nonce(struct ctl *ctl, uint8_t nonce[16]);
/* Who signed an act so far: "admin (authorship), qa.tanaka (verification)". */
const char *act_signers(struct ctl *ctl, const struct signature *sigs, size_t n);
/* Members entry, event_id, recorded, checkpoint of an open object. */
void act_result_json(struct json_writer *w, const struct ledger_batch *b, const struct reply *r);

#endif
