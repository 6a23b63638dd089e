/* SPDX-License-Identifier: Apache-2.0 */
/* commands: the table of ledgerctl's commands and their help. */
#include "ctl.h"

const struct command ctl_commands[] = {
    {"record", "KIND field=value… | -f FILE", "build, sign and submit an event, or a file of many",
     "Options:\n"
     "  --sign KEY          key file of a signer; the second --sign is the second signature.\n"
     "                      Default: the profile's party.\n"
     "  --meaning TEXT      what a signature stands for; once for each --sign (default: authorship,\n"
     "                      then verification)\n"
     "  --reference TEXT    your own reference, unique for each first signer (default: a random one)\n"
     "  --occurred TIME     when it happened, with offset (default: now)\n"
     "  -f FILE             lines of JSON as `ledgerctl simulate` reads them (\"-\": standard input); runs of\n"
     "                      events with the same signers go in batches under one signature\n"
     "  --all               with -f: all or nothing\n"
     "  -o FILE             also write the receipt as a file\n",
     cmd_record},
    {"play", "FILE.jsonl", "send a lifecycle over the wire into a fresh ledger",
     "Makes a key for each party that the file registers. An unsigned first registration is signed by the profile's\n"
     "administrator. Prints one line for each event: ID<TAB>ACCEPT or ID<TAB>REFUSE:CODE.\n"
     "Options:\n"
     "  --keys FOLDER       keep the keys that are made there (default: they are forgotten)\n",
     cmd_play},
    {"simulate", "FILE.jsonl", "judge a lifecycle without a server",
     "Takes recorded times from the file. Prints the same lines as play.\n"
     "Options:\n"
     "  --expect            compare with each line's \"expect\"; exit 1 and say where they differ\n",
     cmd_simulate},
    {"show", "ITEM", "the present state of an item (or --type …), proven",
     "Options:\n"
     "  --type TYPE         item (default), party, subject, shipment, deviation, excursion, recall, product, ledger\n"
     "  --members           also its inputs, uses, units, test outcomes, excursions, cases, corrections\n",
     cmd_show},
    {"history", "ITEM", "all entries of its chain, proven complete",
     "Options:\n"
     "  --type TYPE         as for show\n",
     cmd_history},
    {"list", "[items|parties|subjects|shipments|cases|products]", "subjects by state, holder, hold, expiry, kind, coi",
     "Lists are on the operator's word; every row is proven.\n"
     "Options:\n"
     "  --state STATE       items: available, released, quarantined, administered, disposed, in-transit;\n"
     "                      cases, shipments: open, closed\n"
     "  --holder ORG  --hold recall|quarantine|deviation|excursion|rejected|any  --class CLASS  --coi COI\n"
     "  --expires-before TIME  --limit N\n",
     cmd_list},
    {"find", "TEXT", "subjects of any type whose id begins with TEXT", "Options:\n  --type TYPE, --limit N\n", cmd_find},
    {"trace", "ITEM --back | --forward", "lineage with quantities, proven",
     "Options:\n"
     "  --back              everything that it came from\n"
     "  --forward           everything that came from it\n"
     "  --dot               as a Graphviz graph\n",
     cmd_trace},
    {"check", "ITEM --for PURPOSE", "may this item be used? FIT, or NOT FIT with every reason",
     "Options:\n"
     "  --for PURPOSE       administer, consume, dispatch, release\n"
     "  --coi COI  --subject-commit HEX    administer: the patient, as scanned at the bedside\n"
     "  --org ORG           the acting organisation (custody is asked for only with it)\n"
     "  --into ITEM         consume: what it would go into\n"
     "  --at TIME           default: now\n",
     cmd_check},
    {"receipt", "EVENT-ID -o FILE", "a portable receipt of a recorded event",
     "EVENT-ID is the event's id (64 hexadecimal digits) or its entry's number (#42).\n"
     "Options:\n"
     "  -o FILE             where to write it\n"
     "  --force             overwrite\n",
     cmd_receipt},
    {"verify", "FILE…", "verify receipts offline",
     "Needs only the files and a policy (c2sp.org/tlog-policy).\n"
     "Options:\n"
     "  --policy FILE       default: the profile's\n",
     cmd_verify},
    {"audit", "[--at SIZE]", "read the whole ledger and derive everything again",
     "Signatures, rules, states, links, chain map, tree. Says exactly what was and was not checked.\n"
     "Options:\n"
     "  --at SIZE           up to the checkpoint of that size\n"
     "  --hashes-only       leave out the signatures\n",
     cmd_audit},
    {"watch", "[--from INDEX]", "follow new entries as they come, verified",
     "Options:\n"
     "  --from INDEX        begin there (default: with what is recorded from now on)\n"
     "  --count N           end after N entries\n",
     cmd_watch},
    {"checkpoint", "", "the latest checkpoint, verified, as a signed note", "", cmd_checkpoint},
    {"key", "new PARTY -o FILE", "make a signing key",
     "Options:\n"
     "  -o FILE             where to write it (mode 0600; never overwritten)\n"
     "  --algorithm NAME    ed25519 (default) or p256\n",
     cmd_key},
    {"party", "register|amend|rotate|revoke|show PARTY", "signers: roles, organisation, keys",
     "Options:\n"
     "  --roles ROLE,…  --org ORG  --key FILE (its key file: the public key and the proof of possession come from it)\n"
     "  --sign KEY          the administrator's key (default: the profile's party)\n",
     cmd_party},
    {"subject", "commit PATIENT-ID", "the commitment to a patient or donor that goes into the ledger",
     "Draws a salt, or takes the one given, and prints commitment and salt. Keep the salt where you keep the identifier.\n"
     "Options:\n"
     "  --salt HEX          64 hexadecimal digits\n",
     cmd_subject},
    {"status", "", "the server's own figures, and how fresh its latest seal is", "", cmd_status},
};
const unsigned ctl_n_commands = sizeof ctl_commands / sizeof ctl_commands[0];
