#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tells the life of one CAR-T lot with the built programs: from three chairs (operator, hospital, auditor), and then somebody changes
# one byte. Everything happens in a scratch folder that is removed at the end, with a daemon of its own on a free port of loopback.
# Each command is checked: the script ends with status 1 at the first that does not end as the story says.
#
# usage: demo.sh BUILD
set -eu

build=$(cd "${1:?usage: demo.sh BUILD}" && pwd)
. "$(dirname "$0")/story.sh"
cd "$scratch"

profiles="ledger/profile hospital auditor"

# ---- names: fictional, in the forms of docs/format.md (GS1 prefix 952 is the one for examples) ----

hospital=gs1:414/9521234000013
centre=gs1:414/9521234000020
courier=gs1:414/9521234000037
product=gs1:01/09521234543213
lot=$product/10/CT26-0001
bag1=$product/21/B001
bag2=$product/21/B002
serum=gs1:01/09521234100010/10/HS-2609
vector=gs1:01/09521234100027/10/LV-26-007
cells_a=isbt:A999926000101
cells_b=isbt:A999926000102
coi_a=CHA999926000001
coi_b=CHA999926000002
inbound=gs1:00/095212340000000013
outbound=gs1:00/095212340000000020

printf '%s\n' "${bold}ledgerd: a CAR-T lot from collection to bedside, from three chairs; then somebody changes one byte$plain"
cat <<EOT

  Midori Hospital            $hospital          patients' chains of identity: $coi_a (A), $coi_b (B)
  Aozora Cell Centre         $centre          the lot: $lot
  Tsubame Couriers           $courier          its bags: $bag1 and B002

Two weeks are told in seconds, so everything occurs "now". Every \$ line below is a command that is really run, and checked.
EOT

chapter "Before: a ledger, its signers, their keys"
say "One command makes data folder, keys, a private CA, the first administrator and a client profile."
brief ledgerd init ledger --origin ledger.example/aozora
start_daemon
say "Hospital and auditor connect with certificates of their own; the auditor may read everything and submit nothing."
brief ledgerd cert issue ledger --name urn:ledgerd:client:midori --out hospital --address "$address"
brief ledgerd cert issue ledger --name urn:ledgerd:client:auditor --out auditor --address "$address" --no-submit
kill -HUP "$daemon"

chair ledger/profile
mkdir -p hospital/keys
say "Whoever signs makes a key where they work. The administrator registers its public half, their roles and their organisation."
register() {
    keys=$1 party=$2 roles=$3 org=$4
    run 0 ledgerctl key new "$party" -o "$keys/$party.key"
    run 0 ledgerctl party register "$party" --roles "$roles" --org "$org" --key "$keys/$party.key"
    wants "Recorded as entry"
}
show_command ledgerctl key new qa.ono -o ledger/profile/keys/qa.ono.key
register ledger/profile/keys qa.ono QA "$centre"
show_command ledgerctl party register qa.ono --roles QA --org "$centre" --key ledger/profile/keys/qa.ono.key
show_output
for person in "qp.hara QP" "op.sato OPERATOR" "qc.abe QC" "wh.ito WAREHOUSE"; do
    register ledger/profile/keys "${person% *}" "${person#* }" "$centre"
done
register ledger/profile/keys courier.nishi COURIER "$courier"
for person in "consent.mori CONSENT_OFFICER" "apheresis.kato COLLECTION" "nurse.endo HOSPITAL" "dr.fuji HOSPITAL"; do
    register hospital/keys "${person% *}" "${person#* }" "$hospital"
done
echo "    ... and in the same way qp.hara, op.sato, qc.abe, wh.ito, courier.nishi, consent.mori, apheresis.kato, nurse.endo, dr.fuji"

chapter "1. The operator's chair: every step is recorded, wrong ones are refused"
chair hospital
say "Personal data never enters the ledger: a patient is a salted commitment. The hospital keeps number and salt."
tell 0 ledgerctl subject commit MRN-4711
commit_a=$(sed -n 's/^subject_commit *//p' output)
run 0 ledgerctl subject commit MRN-0815
commit_b=$(sed -n 's/^subject_commit *//p' output)
brief ledgerctl record COI_ASSIGNED --sign consent.mori coi=$coi_a subject_commit="$commit_a" use=AUTOLOGOUS
brief ledgerctl record COI_ASSIGNED --sign consent.mori coi=$coi_b subject_commit="$commit_b" use=AUTOLOGOUS

# collect HOW ITEM COI, where HOW is one of the ways to tell a step.
collect() {
    item=$2 coi=$3
    $1 ledgerctl record COLLECTION_PERFORMED --sign apheresis.kato item="$item" din="${item#isbt:}" coi="$coi" \
        use=AUTOLOGOUS quantity=240 uom=mL expiry="$(ahead '3 days')" site=apheresis-2 procedure=leukapheresis
}
say "Nobody may collect cells before the patient has consented."
collect "refused E_CONSENT_ABSENT" $cells_a $coi_a
say "A consents to everything that is needed, B not yet to treatment. Then both are collected."
brief ledgerctl record CONSENT_CHANGED --sign consent.mori coi=$coi_a action=GIVEN scopes=COLLECTION,MANUFACTURE,TREATMENT \
    document_hash="$(digest consent-a)" version=ICF-3.1
brief ledgerctl record CONSENT_CHANGED --sign consent.mori coi=$coi_b action=GIVEN scopes=COLLECTION,MANUFACTURE \
    document_hash="$(digest consent-b)" version=ICF-3.1
collect brief $cells_a $coi_a
collect brief $cells_b $coi_b

say "The cells travel to the centre with a temperature logger."
# ship SHIPMENT ITEMS TO FROM-SIGNER MIN MAX; the courier's log and the receipt follow.
dispatch() {
    departed=$(now)
    brief ledgerctl record SHIPMENT_DISPATCHED --sign "$4" shipment="$1" items="$2" to_org="$3" carrier_org="$courier" \
        container=DS-17 logger=LG-0007 logger_calibration_due="$(ahead '300 days')" min_c="$5" max_c="$6" sscc="${1#gs1:00/}"
}
logged() {
    brief ledgerctl record CONDITION_LOGGED --sign courier.nishi shipment="$1" logger=LG-0007 start="$departed" end="$(now)" \
        interval_s=300 readings=72 min_c="$2" max_c="$3" mean_c="$4" raw_hash="$(digest "$1")" excursion=false
}
dispatch $inbound $cells_a,$cells_b $centre apheresis.kato 2 8
chair ledger/profile
logged $inbound 3.1 6.8 4.6
brief ledgerctl record SHIPMENT_RECEIVED --sign wh.ito shipment=$inbound items=$cells_a,$cells_b seal_intact=true container_condition=ok

say "Raw materials come in by a file: many events, one batch, one signature. Releasing is the word of two persons."
material() {
    printf '{"id": "%s", "kind": "MATERIAL_RECEIVED", "occurred": "%s", "signers": [{"party": "wh.ito", "meaning": "authorship"}],
' "in-$1" "$(now)" | tr -d '\n'
    printf ' "fields": {"item": "%s", "gtin": "%s", "lot": "%s", "supplier": "%s", "name": "%s", "quantity": %s, "uom": "mL",' \
        "$1" "$(echo "$1" | cut -c 8-21)" "${1##*/}" "$2" "$3" "$4"
    printf ' "expiry": "%s", "coa_hash": "%s", "origin": "%s"}}\n' "$(ahead '200 days')" "$(digest "$1")" "$5"
}
release() {
    printf '{"id": "release-%s", "kind": "QUALITY_DECISION", "occurred": "%s", "signers": [{"party": "qa.ono", "meaning": "approval"},' \
        "$1" "$(now)"
    printf ' {"party": "qp.hara", "meaning": "release"}], "fields": {"item": "%s", "decision": "RELEASE", "spec_version": "RM-1",' "$1"
    printf ' "reason": "%s"}}\n' "$2"
}
{
    material $serum "Kaede Biologicals" "human AB serum" 500 "human, tested donors"
    material $vector "Sumire Vectors" "lentiviral vector CD19-CAR" 60 "HEK293T, three plasmids"
} >materials.jsonl
tell 0 head -n 1 materials.jsonl
tell 0 ledgerctl record -f materials.jsonl
wants ACCEPT
{
    release $serum "certificate conforms"
    release $vector "certificate conforms"
    release $cells_a "arrived cold, viable"
    release $cells_b "arrived cold, viable"
} >releases.jsonl
tell 0 ledgerctl record -f releases.jsonl

say "The specification of the product, then the lot. A genetically modified lot needs the reference of its approval."
tests='{"test":"viability","unit":"%","low":70,"required":true},'
tests=$tests'{"test":"vcn","unit":"copies/cell","high":5,"required":true},'
tests=$tests'{"test":"sterility","unit":"-","required":true}'
brief ledgerctl record SPECIFICATION_SET --sign qa.ono --sign qp.hara product_code=PC-CART19 version=SPEC-2 "tests=[$tests]"
open_lot() {
    how=$1
    shift
    $how ledgerctl record LOT_CREATED --sign op.sato item=$lot lot_class=BATCH product_code=PC-CART19 lot=CT26-0001 use=AUTOLOGOUS \
        coi=$coi_a required_tests=viability,vcn,sterility spec_version=SPEC-2 uom=mL gmo=true "$@"
}
open_lot "refused E_CARTAGENA"
open_lot brief cartagena_ref=T1-2026-013

say "Somebody takes the other patient's cells out of the tank."
refused E_COI_MISMATCH ledgerctl record INPUT_CONSUMED --sign op.sato item=$lot input=$cells_b quantity=200 uom=mL
brief ledgerctl record INPUT_CONSUMED --sign op.sato item=$lot input=$cells_a quantity=200 uom=mL
brief ledgerctl record INPUT_CONSUMED --sign op.sato item=$lot input=$serum quantity=50 uom=mL
brief ledgerctl record INPUT_CONSUMED --sign op.sato item=$lot input=$vector quantity=12 uom=mL
brief ledgerctl record PROCESS_STEP --sign op.sato item=$lot step=transduction sop=SOP-0231 equipment=BR-04 params=moi=3,tu_per_ml=1.2e8
brief ledgerctl record PROCESS_STEP --sign op.sato item=$lot step=expansion sop=SOP-0232 equipment=BR-04 \
    params=temperature_c=37,co2_pct=5,cells_e6=2900
brief ledgerctl record LOT_DERIVED --sign op.sato item=$lot quantity=60 uom=mL expiry="$(ahead '400 days')" container=cryobag \
    formulation=CS10

say "Tests are judged by the specification, not by the one who reports them."
refused E_QC_VERDICT ledgerctl record QC_RESULT --sign qc.abe item=$lot test=vcn method=qPCR value=14.5 unit=copies/cell verdict=PASS \
    sample=S-2
brief ledgerctl record QC_RESULT --sign qc.abe item=$lot test=vcn method=qPCR value=1.45 unit=copies/cell verdict=PASS sample=S-2
brief ledgerctl record QC_RESULT --sign qc.abe item=$lot test=viability method=flow value=96.2 unit=% verdict=PASS sample=S-1
decide() {
    $1 ledgerctl record QUALITY_DECISION --sign "$2" --meaning approval --sign "$3" --meaning release item=$lot decision=RELEASE \
        spec_version=SPEC-2 reason='batch record reviewed: 1 minor remark'
}
say "One test is still missing. And when it is there, one person cannot sign twice."
decide "refused E_QC_INCOMPLETE" qa.ono qp.hara
brief ledgerctl record QC_RESULT --sign qc.abe item=$lot test=sterility method=rapid value='no growth' unit=- verdict=PASS sample=S-3
decide "refused E_SIG_SAME_PERSON" qa.ono qa.ono
decide "tell 0" qa.ono qp.hara
release_entry=$(sed -n 's/^Recorded as entry \(#[0-9]*\).*/\1/p' output)

say "The lot is filled into two bags, which travel frozen to the hospital."
brief ledgerctl record LOT_SPLIT --sign op.sato item=$lot \
    "units=[{\"item\":\"$bag1\",\"quantity\":30},{\"item\":\"$bag2\",\"quantity\":30}]"
dispatch $outbound $bag1,$bag2 $hospital wh.ito -196 -120
logged $outbound -191.0 -150.4 -168.2
chair hospital
brief ledgerctl record SHIPMENT_RECEIVED --sign nurse.endo shipment=$outbound items=$bag1,$bag2 seal_intact=true container_condition=ok

chapter "2. The hospital's chair: is this bag for this patient?"
say "Wristband and bag are scanned. The answer is computed here, from proofs, not taken from the server."
tell 0 ledgerctl check $bag1 --for administer --org $hospital --coi $coi_a --subject-commit "$commit_a"
wants "FIT"
say "The same bag at the wrong bed: every reason, not only the first."
tell 1 ledgerctl check $bag1 --for administer --org $hospital --coi $coi_b --subject-commit "$commit_b"
wants "NOT FIT" E_COI_MISMATCH E_CONSENT_ABSENT

say "The hospital keeps a receipt of the release. The server is stopped; file and policy are enough to verify it."
tell 0 ledgerctl receipt "$release_entry" -o release.receipt
cp hospital/policy policy.copy
stop_daemon
cp -a ledger ledger.older
cp ledger.anchor ledger.older.anchor
unset LEDGERD_PROFILE
tell 0 ledgerctl verify release.receipt --policy policy.copy
wants "qa.ono" "qp.hara"
start_daemon
chair hospital

give() {
    how=$1 bag=$2
    shift 2
    $how ledgerctl record ADMINISTERED "$@" item="$bag" coi=$coi_a subject_commit_scanned="$commit_a" dose=30 uom=mL route=IV site=ward-7
}
say "Giving it takes two at the bedside."
give "refused E_SIG_SECOND_MISSING" $bag1 --sign nurse.endo
give "tell 0" $bag1 --sign nurse.endo --sign dr.fuji

say "Days later: growth in a late culture, and the supplier calls the serum back. Whom did it reach?"
chair ledger/profile
brief ledgerctl record QC_RESULT --sign qc.abe item=$lot test=late_sterility method=culture value='growth in 1 of 2 bottles' unit=- \
    verdict=FAIL sample=S-9
late_entry=$(sed -n 's/^Recorded as entry #\([0-9]*\).*/\1/p' output)
brief ledgerctl record RECALL_CHANGED --sign qa.ono --sign qp.hara recall=RC-26-01 action=ISSUED items=$serum class=II \
    reason='supplier: donor information after donation'
tell 0 ledgerctl trace $serum --forward
wants $bag1 $bag2 $coi_a
say "The second bag is still in the hospital's tank. It is for this patient, and must not be given."
chair hospital
tell 1 ledgerctl check $bag2 --for administer --org $hospital --coi $coi_a --subject-commit "$commit_a"
wants "NOT FIT" E_HOLD_RECALL E_QC_FAILED
give "refused E_HOLD_RECALL" $bag2 --sign nurse.endo --sign dr.fuji

chapter "3. The auditor's chair: replay everything"
chair auditor
say "The whole ledger is read and everything derived again: signatures, rules, states, chain map, tree."
tell 0 ledgerctl audit
say "Where did the second bag come from, and what happened to it?"
tell 0 ledgerctl trace $bag2 --back
wants $serum $vector $cells_a
clip=yes
tell 0 ledgerctl history $bag1
wants LOT_SPLIT ADMINISTERED "nurse.endo"
clip=

chapter "4. Somebody changes one byte"
# One byte of a file: FILE OFFSET CHARACTER.
poke() { printf %s "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }
offsets() { LC_ALL=C grep -abo -- "$2" "$1" | cut -d : -f 1; }

chair hospital
say "In the receipt: \"1 minor remark\" becomes \"0 minor remark\"."
cp release.receipt damaged.receipt
at=$(offsets damaged.receipt '1 minor remark')
poke damaged.receipt "$at" 0
tell 1 ledgerctl verify damaged.receipt
wants checksum
say "Receipts end with a checksum against damage. Somebody who knows that makes the checksum good again."
size=$(($(wc -c <damaged.receipt) - 32))
head -c "$size" damaged.receipt >forged.receipt
for byte in $(sha256sum forged.receipt | cut -d ' ' -f 1 | sed 's/../& /g'); do
    printf "\\$(printf %o "0x$byte")"
done >sum
cat sum >>forged.receipt
tell 1 ledgerctl verify forged.receipt
wants "event of entry $release_entry"

say "In the daemon's data, while it is stopped: growth in \"1 of 2 bottles\" becomes \"0 of 2\"."
stop_daemon
tell 0 ledgerd check ledger
cp ledger/data/data.mdb data.good
found=0
for at in $(offsets ledger/data/data.mdb 'growth in 1 of 2 bottles'); do
    poke ledger/data/data.mdb $((at + 10)) 0
    found=$((found + 1))
done
[ "$found" -gt 0 ] || fail "the event's text is not in the data file"
tell 1 ledgerd check ledger
wants "entry $late_entry"
cat data.good >ledger/data/data.mdb

say "Or the whole data folder goes back to how it was before the bag was given. The daemon's own anchor remembers."
rm -rf ledger/data ledger/journal
cp -a ledger.older/data ledger.older/journal ledger/
show_command ledgerd run ledger
run 4 timeout 20 "$build/ledgerd" run ledger --listen 127.0.0.1:0
show_output
say "Without an anchor it does not start either."
rm ledger.anchor
show_command ledgerd run ledger
run 1 timeout 20 "$build/ledgerd" run ledger --listen 127.0.0.1:0
show_output
wants anchor
say "So the old anchor is put back, too, and the old state is served as if nothing had been since. But the hospital's client \
remembers the newest checkpoint that it saw."
cp ledger.older.anchor ledger.anchor
start_daemon
tell 4 ledgerctl check $bag1 --for administer --org $hospital --coi $coi_a --subject-commit "$commit_a"
say "It keeps both signed statements: proof for a third party that the ledger contradicted itself."
tell 0 ls hospital/pins
tell 4 ledgerctl verify hospital/pins/evidence-*.txt --policy policy.copy
wants PROVEN
stop_daemon

printf '\n%s%s%s\n' "$green" "$steps steps, each as expected, in $(($(date +%s) - began)) seconds. Nothing is left running." "$plain"
