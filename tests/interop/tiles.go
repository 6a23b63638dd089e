// SPDX-License-Identifier: Apache-2.0

// tiles is a client of C2SP tlog-tiles that shares no code with ledgerd: it verifies a whole log, from the first entry to the last,
// through golang.org/x/mod/sumdb/tlog (Debian: golang-golang-x-mod-dev).
//
//	tiles VKEY[,WITNESS-VKEY…] WHERE [CA [NOTE…]]
//
// Each witness that is named must have cosigned (C2SP tlog-cosignature, cosignature/v1), which that package does not know.
//
// WHERE is http://…, https://… (trusted by the certificate in the file CA, "-" for none) or a folder. Without a NOTE the log's latest
// checkpoint is verified; else each NOTE, a file with a checkpoint of the log, is, with the tiles of exactly its size.
//
// Exit code 0: everything verifies; 1: the first thing that does not is named.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8
const width = 1 << height

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "tiles: "+format+"\n", args...)
	os.Exit(1)
}

type source struct {
	where   string
	client  http.Client
	mu      sync.Mutex
	fetched map[string][]byte
}

func newSource(where, ca string) *source {
	s := &source{where: strings.TrimSuffix(where, "/"), fetched: map[string][]byte{}}
	if ca != "" && ca != "-" {
		pem, err := os.ReadFile(ca)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			fail("%s: no certificate", ca)
		}
		s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	}
	return s
}

func (s *source) get(path string) ([]byte, error) {
	if !strings.Contains(s.where, "://") {
		return os.ReadFile(s.where + "/" + path)
	}
	answer, err := s.client.Get(s.where + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return body, nil
}

// name translates: sumdb says tile/8/L/N, tlog-tiles says tile/L/N; the rest is the same.
func name(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height))
}

func (s *source) Height() int { return height }

func (s *source) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		s.mu.Lock()
		data, ok := s.fetched[name(t)]
		s.mu.Unlock()
		if !ok {
			var err error
			if data, err = s.get(name(t)); err != nil {
				return nil, err
			}
		}
		out[i] = data
	}
	return out, nil
}

// SaveTiles is given what was verified.
func (s *source) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range tiles {
		s.fetched[name(t)] = data[i]
	}
}

// cosigner verifies cosignature/v1: Ed25519 over two lines and the whole text; eight bytes before the signature are the time.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

func newCosigner(vkey string) *cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		fail("%s: no verifier key", vkey)
	}
	data, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(data) != 1+ed25519.PublicKeySize || data[0] != 4 {
		fail("%s: no cosigner's key", vkey)
	}
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), data...))
	hash := binary.BigEndian.Uint32(id[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		fail("%s: key id", vkey)
	}
	return &cosigner{parts[0], hash, ed25519.PublicKey(data[1:])}
}

func open(vkeys string, signed []byte) tlog.Tree {
	keys := strings.Split(vkeys, ",")
	verifier, err := note.NewVerifier(keys[0])
	if err != nil {
		fail("%v", err)
	}
	verifiers := []note.Verifier{verifier}
	for _, k := range keys[1:] {
		verifiers = append(verifiers, newCosigner(k))
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		fail("%v:\n%s", err, signed)
	}
	signers := map[string]bool{}
	for _, s := range n.Sigs {
		signers[s.Name] = true
	}
	for _, v := range verifiers {
		if !signers[v.Name()] {
			fail("%s has not signed:\n%s", v.Name(), signed)
		}
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail("no checkpoint of %s:\n%s", verifier.Name(), signed)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("%v", err)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		fail("%v", err)
	}
	return tlog.Tree{N: size, Hash: root}
}

// bundle cuts an entry bundle (u16 length, entry) into its entries.
func bundle(data []byte) [][]byte {
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			fail("a bundle ends in the middle of an entry")
		}
		n := int(binary.BigEndian.Uint16(data))
		out = append(out, data[2:2+n])
		data = data[2+n:]
	}
	return out
}

// root is RFC 6962's, by its words.
func root(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return tlog.NodeHash(root(leaves[:k]), root(leaves[k:]))
}

// everyTile derives all tiles from the leaves and compares. TileHashReader (0.7.0) looks at those that it needs, and, where several
// subtrees of the root lie in one tile, not at all of these.
func (s *source) everyTile(hashes []tlog.Hash) {
	for level := 0; len(hashes) > 0; level++ {
		var above []tlog.Hash
		for first := 0; first < len(hashes); first += width {
			n := len(hashes) - first
			if n > width {
				n = width
			}
			path := name(tlog.Tile{H: height, L: level, N: int64(first / width), W: n})
			data, err := s.get(path)
			if err != nil {
				fail("%v", err)
			}
			var want []byte
			for _, h := range hashes[first : first+n] {
				want = append(want, h[:]...)
			}
			if string(data) != string(want) {
				fail("%s is not what its leaves make of it", path)
			}
			if n == width {
				above = append(above, root(hashes[first:first+n]))
			}
		}
		hashes = above
	}
}

func (s *source) verify(tree tlog.Tree) {
	var leaves []tlog.Hash
	reader := tlog.TileHashReader(tree, s)
	for first := int64(0); first < tree.N; first += width {
		n := tree.N - first
		if n > width {
			n = width
		}
		path := name(tlog.Tile{H: height, L: 0, N: first / width, W: int(n)})
		data, err := s.get(strings.Replace(path, "tile/0/", "tile/entries/", 1))
		if err != nil {
			fail("%v", err)
		}
		entries := bundle(data)
		if int64(len(entries)) != n {
			fail("%s: %d entries, not %d", path, len(entries), n)
		}
		indexes := make([]int64, n)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			fail("entries %d to %d: %v", first, first+n-1, err)
		}
		for i, e := range entries {
			at := first + int64(i)
			if tlog.RecordHash(e) != hashes[i] {
				fail("entry %d is not the leaf of the tree", at)
			}
			// A header (docs/format.md, section 5) begins with version and index.
			if len(e) < 9 || e[0] != 1 || binary.BigEndian.Uint64(e[1:]) != uint64(at) {
				fail("entry %d does not say that it is", at)
			}
			leaves = append(leaves, hashes[i])
		}
	}
	if tree.N == 0 || root(leaves) != tree.Hash {
		fail("the tree of %d entries has another root", tree.N)
	}
	s.everyTile(leaves)
	fmt.Println(tree.N)
}

func main() {
	if len(os.Args) < 3 {
		fail("usage: tiles VKEY[,WITNESS-VKEY…] WHERE [CA [NOTE…]]")
	}
	ca := ""
	if len(os.Args) > 3 {
		ca = os.Args[3]
	}
	s := newSource(os.Args[2], ca)
	if len(os.Args) < 5 {
		signed, err := s.get("checkpoint")
		if err != nil {
			fail("%v", err)
		}
		s.verify(open(os.Args[1], signed))
		return
	}
	for _, file := range os.Args[4:] {
		signed, err := os.ReadFile(file)
		if err != nil {
			fail("%v", err)
		}
		s.verify(open(os.Args[1], signed))
	}
}
