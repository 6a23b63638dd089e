#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Two organisations and two witnesses around one ledger: a cell-processing centre that runs the server, a hospital, a university that
# witnesses, and a regulator whose witness replays everything before it cosigns. Then the operator deletes an entry, rebuilds and re-signs.
# Each command is checked: the script ends with status 1 at the first that does not end as the story says.
#
# usage: consortium.sh BUILD
set -eu

build=$(cd "${1:?usage: consortium.sh BUILD}" && pwd)
. "$(dirname "$0")/story.sh"
cd "$scratch"
profiles="ledger/profile hospital newcomer kantoku"

# ---- names: fictional, in the forms of docs/format.md (GS1 prefix 952 is the one for examples) ----

origin=ledger.example/aozora
hospital=gs1:414/9521234000013
centre=gs1:414/9521234000020
lot=gs1:01/09521234543213/10/CT26-0007
cells=isbt:A999926000777
coi=CHA999926000777

# A witness in FOLDER on any free port; further arguments are those of `witness run`.
start_witness() {
    folder=$1
    shift
    rm -f "$folder/address"
    "$build/ledgerctl" witness run "$folder" --listen "$(cat "$folder.port" 2>/dev/null || echo 127.0.0.1:0)" "$@" >>"$folder.log" 2>&1 &
    others="$others $!"
    last=$!
    tries=0
    until [ -s "$folder/address" ]; do
        kill -0 $last 2>/dev/null || { cat "$folder.log" >&2; fail "the witness ended"; }
        tries=$((tries + 1))
        [ "$tries" -lt 400 ] || fail "the witness does not listen"
        sleep 0.05
    done
    cp "$folder/address" "$folder.port"
}
# Commands whose answer comes with the next cosignatures: until it is there.
patiently() {
    for _ in 1 2 3 4 5 6 7 8; do
        status=0
        "$@" >output 2>&1 || status=$?
        [ "$status" = 3 ] || break
        sleep 1
    done
    steps=$((steps + 1))
}

printf '%s\n' "${bold}ledgerd: two organisations, two witnesses, and an operator who rewrites history$plain"
cat <<EOT

  Aozora Cell Centre         $centre          runs the ledger $origin
  Midori Hospital            $hospital          asks before it gives
  Hokuto University          witness.example/hokuto      cosigns checkpoints: the log only grew
  Kantoku Agency             witness.example/kantoku     cosigns only what it has replayed itself

Every \$ line below is a command that is really run, and checked.
EOT

chapter "1. A ledger, and those who need not believe it"
brief ledgerd init ledger --origin $origin
vkey=$(sed -n 's/^log  *//p' ledger/profile/policy)
say "Each witness makes its own key, and is told the ledger's."
brief ledgerctl witness init hokuto --name witness.example/hokuto --log "$vkey"
run 0 ledgerctl witness init kantoku-witness --name witness.example/kantoku --log "$vkey"
start_daemon
for who in "midori hospital" "newcomer newcomer" "kantoku kantoku"; do
    run 0 ledgerd cert issue ledger --name "urn:ledgerd:client:${who% *}" --out "${who#* }" --address "$address"
done
kill -HUP "$daemon"
start_witness hokuto
hokuto_url=http://$(cat hokuto/address)
say "The agency's witness follows the ledger with a certificate of its own and replays signatures, rules, states, map and tree."
show_command ledgerctl witness run kantoku-witness --audit kantoku
start_witness kantoku-witness --audit kantoku
kantoku_url=http://$(cat kantoku-witness/address)

say "All trust is one file. The hospital believes a checkpoint only if both have cosigned it; \"auditors\" is the word for who has replayed it."
run 0 ledgerctl witness status hokuto --json
hokuto_vkey=$(sed -n 's/.*"vkey": *"\([^"]*\)".*/\1/p' output | head -n 1)
run 0 ledgerctl witness status kantoku-witness --json
kantoku_vkey=$(sed -n 's/.*"vkey": *"\([^"]*\)".*/\1/p' output | head -n 1)
{
    echo "log $vkey"
    echo "witness hokuto $hokuto_vkey $hokuto_url"
    echo "witness kantoku $kantoku_vkey $kantoku_url"
    echo "group auditors all kantoku"
    echo "group everybody all hokuto auditors"
    echo "quorum everybody"
} >policy
tell 0 cat policy
cp policy hospital/policy
cp policy newcomer/policy
cp policy ledger/profile/policy
cp policy ledger/witnesses
stop_daemon
sed 's/^#policy = witnesses$/policy = witnesses/' ledger/ledgerd.conf >conf && cat conf >ledger/ledgerd.conf
start_daemon

chapter "2. Work: the centre records, the hospital asks"
chair ledger/profile
mkdir -p hospital/keys
register() {
    run 0 ledgerctl key new "$2" -o "$1/$2.key"
    run 0 ledgerctl party register "$2" --roles "$3" --org "$4" --key "$1/$2.key"
}
for person in "qa.ono QA" "qp.hara QP" "op.sato OPERATOR" "qc.abe QC"; do
    register ledger/profile/keys "${person% *}" "${person#* }" $centre
done
for person in "consent.mori CONSENT_OFFICER" "apheresis.kato COLLECTION"; do
    register hospital/keys "${person% *}" "${person#* }" $hospital
done
chair hospital
run 0 ledgerctl subject commit MRN-7777
commit=$(sed -n 's/^subject_commit *//p' output)
brief ledgerctl record COI_ASSIGNED --sign consent.mori coi=$coi subject_commit="$commit" use=AUTOLOGOUS
brief ledgerctl record CONSENT_CHANGED --sign consent.mori coi=$coi action=GIVEN scopes=COLLECTION,MANUFACTURE,TREATMENT \
    document_hash="$(digest consent)" version=ICF-3.1
brief ledgerctl record COLLECTION_PERFORMED --sign apheresis.kato item=$cells din=A999926000777 coi=$coi use=AUTOLOGOUS quantity=240 uom=mL \
    expiry="$(ahead '3 days')" site=apheresis-2 procedure=leukapheresis
chair ledger/profile
brief ledgerctl record LOT_CREATED --sign op.sato item=$lot lot_class=BATCH product_code=PC-CART19 lot=CT26-0007 use=AUTOLOGOUS coi=$coi \
    required_tests=sterility spec_version=SPEC-2 uom=mL

say "The operator, who has plans, keeps a copy of the data folder from before the test."
stop_daemon
cp -a ledger before
cp ledger.anchor before.anchor
start_daemon
chair ledger/profile
say "The sterility test of the lot fails. It is recorded, and the witnesses cosign."
brief ledgerctl record QC_RESULT --sign qc.abe --level witnessed item=$lot test=sterility method=rapid value=growth unit=- verdict=FAIL sample=S-3
chair hospital
say "The hospital's next question is answered under both cosignatures."
show_command ledgerctl check $lot --for release
patiently ledgerctl check $lot --for release
[ "$status" = 1 ] || fail "expected exit code 1, got $status"
show_output
wants "NOT FIT" E_QC_FAILED

chapter "3. The operator deletes the entry, rebuilds and re-signs"
say "The folder goes back to the copy. The daemon's own anchor and the witnesses stand in the way, so both are put out of it: an operator can \
do that to what is the operator's."
stop_daemon
rm -rf ledger.kept && mv ledger ledger.kept
cp -a before ledger
show_command ledgerd run ledger
run 4 timeout 60 "$build/ledgerd" run ledger --listen 127.0.0.1:0
show_output
cp before.anchor ledger.anchor
say "With the old anchor: the witnesses are asked before anything new is signed."
show_command ledgerd run ledger
run 4 timeout 60 "$build/ledgerd" run ledger --listen 127.0.0.1:0
show_output
sed 's/^policy = witnesses$/#policy = witnesses/' ledger/ledgerd.conf >conf && cat conf >ledger/ledgerd.conf
say "Without witnesses it starts, and a nicer result is recorded. Chains, tree, map and signatures are all in order: the real key made them."
start_daemon
chair ledger/profile
rm -rf ledger/profile/pins
brief ledgerctl record QC_RESULT --sign qc.abe item=$lot test=sterility method=rapid value='no growth' unit=- verdict=PASS sample=S-3
stop_daemon
tell 0 ledgerd check ledger
start_daemon

chapter "4. The hospital's next call"
chair hospital
tell 4 ledgerctl check $lot --for release
say "It keeps both signed statements of the ledger, and the server's own proof that the larger tree begins otherwise: anybody can check \
that, years later, without the server."
stop_daemon
evidence=$(ls hospital/pins/evidence-* | head -n 1)
tell 0 ls hospital/pins
tell 4 ledgerctl verify "$evidence" --policy policy
wants PROVEN "history was rewritten"
start_daemon
say "Somebody who has never seen the ledger has nothing to compare. But its policy asks for the cosignatures, and nobody cosigns this."
chair newcomer
run 3 ledgerctl --timeout 8 check $lot --for release
show_command ledgerctl check $lot --for release
show_output
say "And both witnesses still hold the history that was: what each cosigned last."
tell 0 ledgerctl witness status hokuto
tell 0 ledgerctl witness status kantoku-witness
stop_daemon

took=$(($(date +%s) - began))
printf '\n%s%d steps, each as expected, in %d seconds. Nothing is left running.%s\n' "$green" "$steps" "$took" "$plain"
