// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"math/rand"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// vectors writes what tlog and note make, one statement a line, for import.c:
//
//	tree N                                        followed by N lines "leaf DATA"
//	root SIZE HASH                                of the tree above
//	inclusion good|bad INDEX SIZE PATH
//	consistency good|bad SIZE1 SIZE2 PATH
//	note good|bad VKEY NOTE SIZE ROOT
//
// Bad ones are good ones with one change that matters.
type vectors struct {
	r *rand.Rand
	w *bufio.Writer
}

func encode(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return base64.StdEncoding.EncodeToString(b)
}

func join(path []tlog.Hash) []byte {
	var out []byte
	for _, h := range path {
		out = append(out, h[:]...)
	}
	return out
}

func (v *vectors) bytes(n int) []byte {
	b := make([]byte, n)
	v.r.Read(b)
	return b
}

// damage gives back a path that proves nothing: one bit is another, or there is a step too many, or one too few.
func (v *vectors) damage(path []byte) []byte {
	out := append([]byte(nil), path...)
	switch kind := v.r.Intn(3); {
	case kind == 0 && len(out) > 0:
		out[v.r.Intn(len(out))] ^= 1 << v.r.Intn(8)
	case kind == 1 && len(out) > 0:
		out = out[:len(out)-tlog.HashSize]
	default:
		out = append(out, v.bytes(tlog.HashSize)...)
	}
	return out
}

func (v *vectors) proof(kind string, a, b int64, path []tlog.Hash) {
	fmt.Fprintf(v.w, "%s good %d %d %s\n", kind, a, b, encode(join(path)))
	fmt.Fprintf(v.w, "%s bad %d %d %s\n", kind, a, b, encode(v.damage(join(path))))
}

func (v *vectors) tree(n int64) {
	var t tree
	fmt.Fprintf(v.w, "tree %d\n", n)
	for i := int64(0); i < n; i++ {
		leaf := v.bytes(v.r.Intn(200))
		fmt.Fprintf(v.w, "leaf %s\n", encode(leaf))
		t.add(leaf)
	}
	for i := 0; i < 40; i++ {
		size := 1 + v.r.Int63n(n)
		index, size1 := v.r.Int63n(size), 1+v.r.Int63n(size)
		root := t.root(size)
		fmt.Fprintf(v.w, "root %d %s\n", size, encode(root[:]))
		record, err := tlog.ProveRecord(size, index, &t)
		if err != nil {
			fail("%v", err)
		}
		v.proof("inclusion", index, size, record)
		older, err := tlog.ProveTree(size, size1, &t)
		if err != nil {
			fail("%v", err)
		}
		v.proof("consistency", size1, size, older)
	}
}

func (v *vectors) signer(name string) (note.Signer, string) {
	skey, vkey, err := note.GenerateKey(v.r, name)
	if err != nil {
		fail("%v", err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		fail("%v", err)
	}
	return s, vkey
}

func (v *vectors) note(i int) {
	var root tlog.Hash
	copy(root[:], v.bytes(tlog.HashSize))
	name := fmt.Sprintf("log%d.example/ledger", i)
	log, vkey := v.signer(name)
	other, otherKey := v.signer("witness.example/Zürich")
	size := v.r.Int63n(1 << uint(1+v.r.Intn(62)))
	text := fmt.Sprintf("%s\n%d\n%s\n", name, size, root)
	if i%3 == 1 {
		text += "an extension line\nand another: ü\n"
	}
	signers := []note.Signer{log}
	if i%2 == 1 {
		signers = []note.Signer{other, log}
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		fail("%v", err)
	}
	put := func(verdict, key string, signed []byte) {
		fmt.Fprintf(v.w, "note %s %s %s %d %s\n", verdict, key, encode(signed), size, encode(root[:]))
	}
	put("good", vkey, signed)
	// One bit of the text; one bit of the log's signature; nobody whom the reader knows; the size with a leading zero.
	put("bad", vkey, []byte(strings.Replace(string(signed), root.String()[:10], v.otherText(root.String()[:10]), 1)))
	damaged := append([]byte(nil), signed...)
	damaged[len(damaged)-5-v.r.Intn(60)] ^= 1
	put("bad", vkey, damaged)
	if i%2 == 0 {
		put("bad", otherKey, signed)
	}
	put("bad", vkey, []byte(strings.Replace(string(signed), name+"\n", name+"\n0", 1)))
}

// otherText changes one character into another of the base64 alphabet.
func (v *vectors) otherText(text string) string {
	b := []byte(text)
	at := v.r.Intn(len(b))
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func makeVectors(seed int64, path string) {
	f, err := os.Create(path)
	if err != nil {
		fail("%v", err)
	}
	v := vectors{rand.New(rand.NewSource(seed)), bufio.NewWriter(f)}
	for n := int64(1); n <= 20; n++ {
		v.tree(n)
	}
	for i := 0; i < 20; i++ {
		v.tree(1 + v.r.Int63n(600))
	}
	for i := 0; i < 60; i++ {
		v.note(i)
	}
	if err := v.w.Flush(); err != nil {
		fail("%v", err)
	}
	if err := f.Close(); err != nil {
		fail("%v", err)
	}
}
