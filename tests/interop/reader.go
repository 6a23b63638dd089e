// SPDX-License-Identifier: Apache-2.0

// reader is a reader of ledgers that shares no code with ledgerd: it knows signed notes and trees only through
// golang.org/x/mod/sumdb (Debian: golang-golang-x-mod-dev).
//
//	reader verify FILE             verifies what export.c wrote, and prints what it counted
//	reader note VKEY FILE          verifies one checkpoint, and prints its size
//	reader make SEED FILE          writes notes and proofs of random trees, good and bad ones, for import.c
//
// Exit code 0: all of it verifies; 1: the first thing that does not is named.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "reader: "+format+"\n", args...)
	os.Exit(1)
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		fail("%q is no number", text)
	}
	return n
}

func decode(text string) []byte {
	if text == "-" {
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		fail("%q: %v", text, err)
	}
	return b
}

func hashes(path []byte) []tlog.Hash {
	if len(path)%tlog.HashSize != 0 {
		fail("a path of %d bytes", len(path))
	}
	out := make([]tlog.Hash, len(path)/tlog.HashSize)
	for i := range out {
		copy(out[i][:], path[i*tlog.HashSize:])
	}
	return out
}

// tree keeps the hashes of a log in the order that tlog wants them.
type tree struct {
	stored []tlog.Hash
	leaves []tlog.Hash
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at >= int64(len(t.stored)) {
			return nil, fmt.Errorf("no hash %d", at)
		}
		out[i] = t.stored[at]
	}
	return out, nil
}

func (t *tree) add(record []byte) {
	more, err := tlog.StoredHashes(int64(len(t.leaves)), record, t)
	if err != nil {
		fail("%v", err)
	}
	t.stored = append(t.stored, more...)
	t.leaves = append(t.leaves, tlog.RecordHash(record))
}

func (t *tree) root(size int64) tlog.Hash {
	if size > int64(len(t.leaves)) {
		fail("there are %d entries, not %d", len(t.leaves), size)
	}
	h, err := tlog.TreeHash(size, t)
	if err != nil {
		fail("%v", err)
	}
	return h
}

// checkpoint is what a note's text says (c2sp.org/tlog-checkpoint).
type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
}

func open(vkey string, signed []byte) checkpoint {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		fail("%v", err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		fail("%v:\n%s", err, signed)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || len(n.Sigs) != 1 {
		fail("no checkpoint:\n%s", signed)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		fail("%v", err)
	}
	if lines[0] != verifier.Name() {
		fail("the origin is %q, the key's name %q", lines[0], verifier.Name())
	}
	return checkpoint{lines[0], number(lines[1]), root}
}

// ledger is what export.c wrote, and what was found to be true of it.
type ledger struct {
	vkey                              string
	headers                           [][]byte
	tree                              tree
	notes, inclusions, trees, refused int
	sizes                             map[int64]bool
}

// Entry headers (docs/format.md, section 5) begin with version, index, epoch, time and kind.
const (
	headerKindAt = 1 + 8 + 8 + 8
	kindSeal     = 1
)

func (l *ledger) addHeader(index int64, header []byte) {
	if index != int64(len(l.headers)) {
		fail("header %d where %d was to come", index, len(l.headers))
	}
	if len(header) < headerKindAt+2 || header[0] != 1 || binary.BigEndian.Uint64(header[1:]) != uint64(index) {
		fail("header %d does not say so", index)
	}
	l.headers = append(l.headers, header)
	l.tree.add(header)
}

func (l *ledger) checkNote(signed []byte) {
	cp := open(l.vkey, signed)
	if cp.root != l.tree.root(cp.size) {
		fail("the checkpoint of size %d has another root than its %d headers", cp.size, cp.size)
	}
	if binary.BigEndian.Uint16(l.headers[cp.size-1][headerKindAt:]) != kindSeal {
		fail("the checkpoint of size %d does not end in a seal", cp.size)
	}
	l.notes++
}

func (l *ledger) checkInclusion(index, size int64, path []byte) {
	proof, root, leaf := tlog.RecordProof(hashes(path)), l.tree.root(size), tlog.RecordHash(l.headers[index])
	if err := tlog.CheckRecord(proof, size, root, index, leaf); err != nil {
		fail("inclusion of %d in %d: %v", index, size, err)
	}
	own, err := tlog.ProveRecord(size, index, &l.tree)
	if err != nil || fmt.Sprint(own) != fmt.Sprint(proof) {
		fail("inclusion of %d in %d: another path than tlog's", index, size)
	}
	leaf[0] ^= 1
	if tlog.CheckRecord(proof, size, root, index, leaf) == nil {
		fail("inclusion of %d in %d: another leaf passes", index, size)
	}
	l.refused++
	l.inclusions++
}

func (l *ledger) checkConsistency(size1, size2 int64, path []byte) {
	proof, root1, root2 := tlog.TreeProof(hashes(path)), l.tree.root(size1), l.tree.root(size2)
	if err := tlog.CheckTree(proof, size2, root2, size1, root1); err != nil {
		fail("consistency of %d and %d: %v", size1, size2, err)
	}
	own, err := tlog.ProveTree(size2, size1, &l.tree)
	if err != nil || fmt.Sprint(own) != fmt.Sprint(proof) {
		fail("consistency of %d and %d: another path than tlog's", size1, size2)
	}
	root1[0] ^= 1
	if tlog.CheckTree(proof, size2, root2, size1, root1) == nil {
		fail("consistency of %d and %d: another root passes", size1, size2)
	}
	l.refused++
	l.trees++
	l.sizes[size1], l.sizes[size2] = true, true
}

func lines(path string) [][]string {
	f, err := os.Open(path)
	if err != nil {
		fail("%v", err)
	}
	defer f.Close()
	var out [][]string
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		out = append(out, strings.Fields(scanner.Text()))
	}
	if scanner.Err() != nil {
		fail("%v", scanner.Err())
	}
	return out
}

func verify(path string) {
	l := ledger{sizes: map[int64]bool{}}
	all := lines(path)
	// Everything is checked against the headers, so they come first.
	for _, line := range all {
		switch line[0] {
		case "vkey":
			l.vkey = line[1]
		case "header":
			l.addHeader(number(line[1]), decode(line[2]))
		}
	}
	for _, line := range all {
		switch line[0] {
		case "note":
			l.checkNote(decode(line[1]))
		case "inclusion":
			l.checkInclusion(number(line[1]), number(line[2]), decode(line[3]))
		case "consistency":
			l.checkConsistency(number(line[1]), number(line[2]), decode(line[3]))
		}
	}
	fmt.Printf("%d headers, %d checkpoints, %d inclusion proofs, %d consistency proofs between %d sizes hold; %d altered ones do not\n",
		len(l.headers), l.notes, l.inclusions, l.trees, len(l.sizes), l.refused)
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "verify":
		verify(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "note":
		signed, err := os.ReadFile(os.Args[3])
		if err != nil {
			fail("%v", err)
		}
		fmt.Println(open(os.Args[2], signed).size)
	case len(os.Args) == 4 && os.Args[1] == "make":
		makeVectors(number(os.Args[2]), os.Args[3])
	default:
		fail("usage: reader verify FILE | note VKEY FILE | make SEED FILE")
	}
}
