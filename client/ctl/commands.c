/* SPDX-License-Identifier: Apache-2.0 */
/* commands: the table of ledgerctl's commands and their help. */
#include "ctl.h"

const struct command ctl_commands[] = {
    {"record", "KIND field=value… | -f FILE", "build, sign and submit an event, or a file of many",
     "A list is given as values with commas between them, a map as name=value with commas between them, a list of records as JSON.\n"
     "Prints the receipt: entry, event id, recorded time, checkpoint, the subjects whose chains it advanced. A refused event gets\n"
     "code, subject, field and sentence, and exit code 1.\n"
     "Options:\n"
     "  --sign KEY          key file of a signer, or a party whose key is in the profile's folder keys;\n"
     "                      the second --sign is the second signature. Default: the profile's party.\n"
     "  --meaning TEXT      what a signature stands for; once for each --sign (default: authorship,\n"
     "                      then verification)\n"
     "  --reference TEXT    your own reference, unique for each first signer (default: a random one)\n"
     "  --occurred TIME     when it happened, with offset (default: now)\n"
     "  -o FILE             also write the receipt as a file; --force overwrites it\n"
     "  --level LEVEL       durable (default): the ledger has acknowledged it; witnessed: the policy's witnesses have cosigned a\n"
     "                      checkpoint that covers it, too. Exit code 3: it is recorded, and they have not in time\n"
     "  -f FILE             lines of JSON as `ledgerctl simulate` reads them (\"-\": standard input); `id`, `occurred` and\n"
     "                      `signers` may be left out, `expect` and `recorded` are ignored. Signed by --sign, or else by the\n"
     "                      line's signers, or else by the profile's party; neighbours with the same signers go in batches\n"
     "                      under one signature. Prints ID<TAB>ACCEPT<TAB>#ENTRY or ID<TAB>REFUSE:CODE<TAB>SENTENCE for each;\n"
     "                      exit code 1 if any was refused. A line that has a `nonce` (32 hexadecimal digits) may be sent again:\n"
     "                      it is recorded once.\n"
     "  --keys FOLDER       with -f: further keys, found by their party\n"
     "  --all               with -f: all or nothing; the file must fit into one batch\n",
     cmd_record},
    {"play", "FILE.jsonl", "send a lifecycle over the wire into a fresh ledger",
     "Prints one line for each event: ID<TAB>ACCEPT or ID<TAB>REFUSE:CODE, as simulate does. Recorded times are the ledger's own.\n"
     "A key is made for each party that the file registers; it signs once its registration was accepted. Until the first party\n"
     "is registered the profile's administrator signs registrations. Parties that are not registered sign with a made-up key.\n"
     "Two verdicts are reached here, without asking the ledger: what the rules refuse for the form of a line, which the wire\n"
     "cannot carry, and E_DUP_EVENT for an id that was accepted under another first signer, for whom the ledger has another\n"
     "name space. Everything else is the ledger's verdict. The target of a correction is translated from the line's id to the event's.\n"
     "The profile's administrator is one more than the file knows. Before a line that would take the file's last administrator\n"
     "away it therefore revokes itself, and a notice says so. From then on only the file's parties can register others.\n"
     "Options:\n"
     "  --keys FOLDER       keep the keys that are made there (default: they are forgotten)\n"
     "  --keep-administrator  do not revoke the profile's administrator\n",
     cmd_play},
    {"simulate", "FILE.jsonl…", "judge a lifecycle without a server",
     "Each file is judged in an empty ledger of its own; \"-\" is standard input. Takes recorded times from the file. Prints one line\n"
     "for each event: ID<TAB>ACCEPT or ID<TAB>REFUSE:CODE, with --json an object that also has subject, field and sentence.\n"
     "A line that is no event at all ends it with exit code 2; file, line and column are named.\n"
     "Options:\n"
     "  --expect            compare with each line's \"expect\", if it has one; exit 1 and say where they differ\n",
     cmd_simulate},
    {"show", "ITEM", "the present state of an item (or --type …), proven",
     "Options:\n"
     "  --type TYPE         item (default), party, subject, shipment, deviation, excursion, recall, product, ledger\n"
     "  --members           also its inputs, uses, units, test outcomes, excursions, cases, corrections\n",
     cmd_show},
    {"history", "ITEM", "all entries of its chain, proven complete, signatures verified",
     "Each signature is verified under the key that its signer held when the entry was recorded; rules are not replayed (`audit`).\n"
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
     "  --dot               as a Graphviz graph\n"
     "  --deep              fetch all their entries, too, and replay signatures and rules\n",
     cmd_trace},
    {"check", "ITEM --for PURPOSE", "may this item be used? FIT, or NOT FIT with every reason",
     "Options:\n"
     "  --for PURPOSE       administer, consume, dispatch, release\n"
     "  --coi COI  --subject-commit HEX    administer: the patient, as scanned at the bedside\n"
     "  --org ORG           the acting organisation (custody is asked for only with it)\n"
     "  --into ITEM         consume: what it would go into\n"
     "  --at TIME           default: now\n"
     "  --deep              fetch all entries of the lineage, too, and replay signatures and rules\n",
     cmd_check},
    {"erase", "EVENT-ID… --reason TEXT | --act FILE", "destroy the content of recorded events, signed by two persons",
     "EVENT-ID is the event's id (64 hexadecimal digits) or its entry's number (#42). An ERASURE entry names the events; the ledger then\n"
     "destroys their bytes and signatures. Entries, chains and the states that they left stay, so that every proof still holds.\n"
     "An administrator signs first, QA or REGULATORY second; the connection needs the right \"administer\". Refused (exit code 1) are\n"
     "registrations of parties, what a retention rule still holds, events whose corrections are not named too, and erased ones.\n"
     "Options:\n"
     "  --reason TEXT       why; stays readable in the ledger for ever: no personal data\n"
     "  --sign KEY          once for each of the two signers, as with record\n"
     "  --meaning TEXT      as with record\n"
     "  --prepare FILE      at two desks: write it with the first signature and send nothing; --force overwrites FILE\n"
     "  --act FILE          read what somebody prepared, sign it with --sign, and send it\n",
     cmd_erase},
    {"parameters", "show | set", "retention of content, and which algorithms new keys may be of",
     "What set does not name stays as it is. Two persons sign: an administrator first, QA or REGULATORY second; the connection needs\n"
     "the right \"administer\".\n"
     "Options:\n"
     "  --retention KIND=DAYS,…   events of that kind cannot be erased for so many days after they were recorded; 0: no rule\n"
     "  --algorithms NAME,…       all that new keys may be of: ed25519, p256\n"
     "  --sign, --meaning, --prepare, --act, --force   as with erase\n",
     cmd_parameters},
    {"receipt", "EVENT-ID -o FILE", "a portable receipt of a recorded event",
     "EVENT-ID is the event's id (64 hexadecimal digits) or its entry's number (#42).\n"
     "Options:\n"
     "  -o FILE             where to write it\n"
     "  --force             overwrite\n"
     "  --witnessed         under a checkpoint that the policy's witnesses have cosigned; waits for it\n",
     cmd_receipt},
    {"dossier", "ITEM -o FILE", "one file with all that is needed to check an item without a server",
     "Its chain and those of its whole lineage, of the parties who signed, the subjects, cases, products and every shipment that it or its\n"
     "lineage travelled in, each complete, with the signed events and one checkpoint (which the witnesses have cosigned, where the profile's\n"
     "policy demands a quorum). `ledgerctl verify` checks it offline.\n"
     "Options:\n"
     "  -o FILE             where to write it; --force overwrites it\n"
     "  --back              with everything that it came from (default)\n"
     "  --forward           with everything that came from it: for a recall\n"
     "  --withhold KIND,…   leave out the signed content of these kinds; every proof still holds. Not PARTY_REGISTERED.\n"
     "  --coi COI           also this chain of identity: of the patient for whom an allogeneic item is meant\n"
     "  --type TYPE         of something else than an item, as for show\n",
     cmd_dossier},
    {"verify", "FILE…", "verify receipts, dossiers and evidence offline",
     "Needs only the files and a policy (c2sp.org/tlog-policy). Says what was proven, by whom, as of when, and what was not proven; of\n"
     "evidence, what it proves to anybody and what is the claim of whoever kept it. Receipts are compared with each other, too. Exit code\n"
     "1: one does not verify, and which part of it is wrong is said, or is evidence that by itself proves nothing, or the item is not fit;\n"
     "2: one cannot be read; 3: one needs a newer version, or the answer leads outside the dossier; 4: the files prove that the ledger has\n"
     "broken its word.\n"
     "Options:\n"
     "  --policy FILE       default: the profile's\n"
     "  --for PURPOSE       dossiers: may the item be used for that? administer, consume, dispatch, release\n"
     "  --coi, --subject-commit, --org, --into, --at TIME   with --for, as for check\n"
     "  --tsa-ca FILE       dossiers: whose time stamps are believed, as PEM (default: the profile's tsa_ca); 1 if one does not verify under it\n",
     cmd_verify},
    {"audit", "[--report DIR] [--at SIZE] [--state DIR]", "read the whole ledger and derive everything again",
     "Signatures, rules, states, links, chain map, tree, on all cores. Says exactly what was and was not checked. Goes on after something did\n"
     "not hold, as far as that has a meaning. Exit code 0: everything was checked and holds (with --hashes-only: all but the signatures); 3: not\n"
     "everything could be checked; 4: something does not hold, and the evidence is kept.\n"
     "Options:\n"
     "  --report DIR        write DIR/report.json and DIR/report.html\n"
     "  --at SIZE           up to the checkpoint of that size: the report is then the same, byte for byte, for everybody who may read the same\n"
     "  --state DIR         keep there what was derived: an audit that was interrupted, or is repeated later, goes on from there\n"
     "  --hashes-only       leave out the signatures, and say so: forged events are then not found\n",
     cmd_audit},
    {"export-tiles", "DIR", "the tree as files that stock tools verify (c2sp.org/tlog-tiles)",
     "Writes DIR/checkpoint, DIR/tile/LEVEL/… (hashes) and DIR/tile/entries/… (headers), as the daemon's HTTP server gives them out,\n"
     "from verified entries. An existing DIR is gone on with: only what is new is read. Each file appears as a whole, the checkpoint\n"
     "last, so DIR may be served meanwhile. Exit code 1: DIR is not of this ledger, or damaged; 4: the checkpoint in DIR shows that\n"
     "the log has rewritten or lost entries.\n",
     cmd_export_tiles},
    {"export-entries", "DIR [--from INDEX]", "the log's entries as they stand, content included: a replica in your hands",
     "Reads with proofs, and writes in the form of `ledgerd backup`: when the ledger loses its end, `ledgerd restore --refill DIR` takes it from\n"
     "there. Run it again for what is new. Needs the right to read everything; what was erased before stays erased, what is erased later\n"
     "stays in DIR, and that is said. Exit code 1: DIR is of something else, or content is withheld; 4: the log does not continue DIR.\n"
     "Options:\n"
     "  --from INDEX        begin a new DIR there (default: with entry 0)\n",
     cmd_export_entries},
    {"watch", "[--from INDEX]", "follow new entries as they come, verified",
     "Options:\n"
     "  --from INDEX        begin there (default: with what is recorded from now on)\n"
     "  --count N           end after N entries\n",
     cmd_watch},
    {"checkpoint", "[--against FILE]", "the latest checkpoint, verified, as a signed note",
     "Options:\n"
     "  --against FILE      a checkpoint that somebody else was given, or an evidence file: the server has to prove that its log\n"
     "                      continues it, or leads to it. Exit code 4: it cannot, or you were shown two histories\n",
     cmd_checkpoint},
    {"time-stamps", "[--for ENTRY]", "time from outside: tokens of a time-stamping authority, verified; when an entry was recorded",
     "Lists all tokens that the ledger has recorded (RFC 3161), each verified under the authority's certificates as of its own time: a\n"
     "certificate that has expired since does not matter. Exit code 1: a token does not verify.\n"
     "Options:\n"
     "  --for ENTRY         an entry's number or an event id: not earlier than when it was recorded, and not later. Exit code\n"
     "                      1: no verified token bounds it\n"
     "  --ca FILE           certificates that are trusted, as PEM (default: the profile's tsa_ca)\n"
     "  --export DIR        write ENTRY.note and ENTRY.token of each, for `openssl ts -verify -data ENTRY.note -in ENTRY.token\n"
     "                      -token_in -CAfile FILE`\n",
     cmd_time_stamps},
    {"key", "new PARTY -o FILE | show FILE", "make a signing key, or show what registering it takes",
     "With a profile, also prints the proof of possession for that ledger: an administrator registers a party with the public key\n"
     "and that proof, and never sees the secret.\n"
     "Options:\n"
     "  -o FILE             where to write it (mode 0600; never overwritten)\n"
     "  --algorithm NAME    ed25519 (default) or p256\n",
     cmd_key},
    {"party", "register|amend|rotate|revoke|show PARTY", "signers: roles, organisation, keys",
     "register needs --roles, --org and a key; amend --roles; rotate a key; revoke nothing. From a revocation on no signature of the\n"
     "party counts; earlier ones stay valid.\n"
     "Options:\n"
     "  --roles ROLE,…      all that it is to have: ADMIN, COLLECTION, CONSENT_OFFICER, COURIER, HOSPITAL, OPERATOR, QA, QC,\n"
     "                      QP, REGULATORY, WAREHOUSE\n"
     "  --org ORG           its organisation, which never changes\n"
     "  --key FILE          its key file: the public key and the proof of possession come from it\n"
     "  --pubkey KEY --proof BASE64   the same without the secret, as `ledgerctl key show` prints them\n"
     "  --gln GLN  --name-commit HEX  --reference TEXT  --occurred TIME\n"
     "  --sign KEY          the administrator's key (default: the profile's party)\n"
     "  -o FILE             also write the receipt as a file; --force overwrites it\n",
     cmd_party},
    {"subject", "commit PATIENT-ID", "the commitment to a patient or donor that goes into the ledger",
     "Draws a salt, or takes the one given, and prints commitment and salt. Keep the salt where you keep the identifier.\n"
     "PATIENT-ID \"-\" reads it from standard input, so that no list of processes shows it. Asks no server.\n"
     "Options:\n"
     "  --salt HEX          64 hexadecimal digits\n",
     cmd_subject},
    {"status", "", "the server's own figures, and how fresh its latest seal is", "", cmd_status},
    {"witness", "init|run|status DIR", "cosign the checkpoints of logs after checking that they only grew (c2sp.org/tlog-witness)",
     "init makes the folder: key, policy (which logs), state; it prints the witness's verifier key and its line for policies. run serves\n"
     "POST /add-checkpoint, GET /HEX/checkpoint and GET /healthz until SIGTERM. status shows what was cosigned last for each log.\n"
     "Options:\n"
     "  --name NAME         init: its name, like witness.example/w1\n"
     "  --audit PROFILE     init: the keys of this profile's ledger, too. run: an auditing witness of it: follows the ledger, derives\n"
     "                      everything again and cosigns only that; stops for good when it lies. May be repeated.\n"
     "  --log VKEY          init: a key of a log that it cosigns for; may be repeated. More are added in DIR/policy.\n"
     "  --url URL           init: where it will be reached, for its line (default: http://127.0.0.1:7463)\n"
     "  --listen ADDRESS:PORT  run: default 127.0.0.1:7463; port 0 takes any free one. The address is logged and in DIR/address.\n"
     "  --certificate FILE --key FILE   run: serve HTTPS\n"
     "  --timeout SECONDS   run: for a request to arrive and its answer to be taken (default: 15)\n"
     "  --plain             run: serve HTTP beyond loopback addresses\n",
     cmd_witness},
};
const unsigned ctl_n_commands = sizeof ctl_commands / sizeof ctl_commands[0];
