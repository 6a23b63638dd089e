// SPDX-License-Identifier: Apache-2.0

// witness is a client of `ledgerctl witness run` that shares no code with it: logs made by golang.org/x/mod/sumdb submit their
// checkpoints, honest and dishonest ones, and cosignatures are verified by crypto/ed25519.
//
//	witness LEDGERCTL FOLDER     runs witnesses in FOLDER, an empty one
//
// Exit code 0: everything holds; 1: what does not is named.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "witness: "+format+"\n", args...)
	if running != nil {
		running.Process.Kill()
	}
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

// ---- logs ----

type log struct {
	origin, vkey string
	signer       note.Signer
	stored       []tlog.Hash
	size         int64
}

func newLog(origin string) *log {
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	return &log{origin: origin, vkey: vkey, signer: signer}
}

func (l *log) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = l.stored[n]
	}
	return out, nil
}

func (l *log) grow(to int64, what string) {
	for ; l.size < to; l.size++ {
		more, err := tlog.StoredHashes(l.size, []byte(fmt.Sprintf("%s %d", what, l.size)), l)
		must(err)
		l.stored = append(l.stored, more...)
	}
}

// fork is a log of the same name and key that has the first `size` entries in common with this one.
func (l *log) fork(size, to int64) *log {
	f := &log{origin: l.origin, vkey: l.vkey, signer: l.signer}
	f.grow(size, "entry")
	f.grow(to, "other")
	return f
}

func (l *log) text(size int64) string {
	root := sha256.Sum256(nil)
	if size > 0 {
		r, err := tlog.TreeHash(size, l)
		must(err)
		root = r
	}
	return fmt.Sprintf("%s\n%d\n%s\n", l.origin, size, base64.StdEncoding.EncodeToString(root[:]))
}

func sign(text string, signers ...note.Signer) string {
	b, err := note.Sign(&note.Note{Text: text}, signers...)
	must(err)
	return string(b)
}

func (l *log) checkpoint(size int64) string { return sign(l.text(size), l.signer) }

func (l *log) proof(old, size int64) []string {
	if old == 0 || old == size {
		return nil
	}
	p, err := tlog.ProveTree(size, old, l)
	must(err)
	lines := make([]string, len(p))
	for i, h := range p {
		lines[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return lines
}

func body(old int64, proof []string, checkpoint string) string {
	return fmt.Sprintf("old %d\n%s\n%s", old, strings.Join(append(proof, ""), "\n"), checkpoint)
}

func (l *log) step(old, size int64) string { return body(old, l.proof(old, size), l.checkpoint(size)) }

// ---- the witness ----

var ledgerctl, folder, base, witnessName string
var witnessKey ed25519.PublicKey
var witnessID []byte
var running *exec.Cmd

func start(options ...string) {
	os.Remove(filepath.Join(folder, "address"))
	running = exec.Command(ledgerctl, append([]string{"witness", "run", folder, "--listen", "127.0.0.1:0"}, options...)...)
	running.Stderr = os.Stderr
	must(running.Start())
	for i := 0; ; i++ {
		address, err := os.ReadFile(filepath.Join(folder, "address"))
		if err == nil && len(address) > 0 {
			base = "http://" + strings.TrimSpace(string(address))
			return
		}
		if i == 3000 || running.ProcessState != nil || syscall.Kill(running.Process.Pid, 0) != nil {
			fail("the witness does not start: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func kill(signal os.Signal) int {
	must(running.Process.Signal(signal))
	running.Wait()
	code := running.ProcessState.ExitCode()
	running = nil
	http.DefaultClient.CloseIdleConnections()
	return code
}

// refused runs the witness where it must not start, and returns what it says.
func refused(code int) string {
	out, _ := exec.Command(ledgerctl, "witness", "run", folder, "--listen", "127.0.0.1:0").CombinedOutput()
	cmd := exec.Command(ledgerctl, "witness", "run", folder, "--listen", "127.0.0.1:0")
	cmd.Run()
	if cmd.ProcessState.ExitCode() != code {
		fail("exit code %d, not %d: %s", cmd.ProcessState.ExitCode(), code, out)
	}
	return string(out)
}

func initialise(name string, keys ...string) {
	witnessName = name
	arguments := []string{"witness", "init", folder, "--name", name}
	for _, k := range keys {
		arguments = append(arguments, "--log", k)
	}
	out, err := exec.Command(ledgerctl, arguments...).Output()
	must(err)
	vkey := strings.SplitN(string(out), "\n", 2)[0]
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(err)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	if parts[0] != name || key[0] != 4 || len(key) != 33 || parts[1] != hex.EncodeToString(sum[:4]) {
		fail("%q is no verifier key of cosignature/v1", vkey)
	}
	witnessKey, witnessID = key[1:], sum[:4]
	info, err := os.Stat(filepath.Join(folder, "key"))
	must(err)
	if info.Mode().Perm() != 0600 {
		fail("the key's mode is %v", info.Mode())
	}
}

type answer struct {
	status     int
	kind, body string
}

func post(text string) answer {
	response, err := http.Post(base+"/add-checkpoint", "text/plain", strings.NewReader(text))
	must(err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	must(err)
	return answer{response.StatusCode, response.Header.Get("Content-Type"), string(b)}
}

func get(path string) answer {
	response, err := http.Get(base + path)
	must(err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	must(err)
	return answer{response.StatusCode, response.Header.Get("Content-Type"), string(b)}
}

func (l *log) latest() answer {
	sum := sha256.Sum256([]byte(l.origin))
	return get("/" + hex.EncodeToString(sum[:]) + "/checkpoint")
}

// cosigned verifies the one line of an answer over a checkpoint's text, and returns its time.
func cosigned(line, text string) uint64 {
	head := "— " + witnessName + " "
	if !strings.HasPrefix(line, head) || !strings.HasSuffix(line, "\n") || strings.Count(line, "\n") != 1 {
		fail("%q is not one signature line", line)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(line[len(head):], "\n"))
	must(err)
	if len(b) != 76 || !bytes.Equal(b[:4], witnessID) {
		fail("%q has no cosignature of this witness", line)
	}
	at := binary.BigEndian.Uint64(b[4:])
	if now := uint64(time.Now().Unix()); at+600 < now || at > now+600 {
		fail("the cosignature's time is %d", at)
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)
	if !ed25519.Verify(witnessKey, []byte(message), b[12:]) {
		fail("the cosignature does not verify")
	}
	return at
}

func expect(what, text string, status int) answer {
	a := post(text)
	if a.status != status {
		fail("%s: %d, not %d: %s", what, a.status, status, a.body)
	}
	return a
}

func good(what, text, checkpoint string) uint64 {
	return cosigned(expect(what, text, 200).body, checkpoint)
}

func conflict(what, text string, size int64) {
	a := expect(what, text, 409)
	if a.kind != "text/x.tlog.size" || a.body != strconv.FormatInt(size, 10)+"\n" {
		fail("%s: %q, %q", what, a.kind, a.body)
	}
}

// ---- what is tried ----

func growth(l *log) {
	if a := l.latest(); a.status != 404 {
		fail("a log without a checkpoint: %d", a.status)
	}
	l.grow(200, "entry")
	good("first", l.step(0, 1), l.text(1))
	last := int64(1)
	for _, size := range []int64{2, 3, 4, 7, 8, 9, 31, 64, 65, 100} {
		good("growth", l.step(last, size), l.text(size))
		last = size
	}
	conflict("a client without a state", l.step(0, 101), 100)
	conflict("an old size", l.step(64, 101), 100)
	conflict("a size to come", l.step(101, 102), 100)
	at := good("after the dialogue", l.step(100, 101), l.text(101))
	if again := good("the same again", l.step(101, 101), l.text(101)); again < at {
		fail("cosigned at %d, and then at %d", at, again)
	}
	text := l.latest()
	verifier, err := note.NewVerifier(l.vkey)
	must(err)
	n, err := note.Open([]byte(text.body), note.VerifierList(verifier))
	if err != nil || n.Text != l.text(101) || len(n.UnverifiedSigs) != 1 {
		fail("the latest checkpoint: %v: %q", err, text.body)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(text.body, "\n"), "\n")
	cosigned(lines[len(lines)-1]+"\n", n.Text)
}

func dishonest(l *log) {
	proof := l.proof(101, 150)
	flipped := append([]string{}, proof...)
	raw, _ := base64.StdEncoding.DecodeString(flipped[0])
	raw[7] ^= 1
	flipped[0] = base64.StdEncoding.EncodeToString(raw)
	expect("a changed proof", body(101, flipped, l.checkpoint(150)), 422)
	expect("no proof", body(101, nil, l.checkpoint(150)), 422)
	expect("half a proof", body(101, proof[1:], l.checkpoint(150)), 422)
	expect("more than a proof", body(101, append(append([]string{}, proof...), proof[0]), l.checkpoint(150)), 422)
	expect("a proof of another size", body(101, l.proof(101, 151), l.checkpoint(150)), 422)
	expect("a proof where none is", body(101, proof[:1], l.checkpoint(101)), 422)
	expect("an old size above the new", body(101, nil, l.checkpoint(100)), 400)
	conflict("a rollback", l.step(64, 100), 101)
	f := l.fork(64, 150)
	evidence := filepath.Join(folder, "evidence")
	if files, _ := os.ReadDir(evidence); len(files) != 0 {
		fail("there is evidence before anybody lied")
	}
	expect("a fork that is longer", f.step(101, 150), 422)
	expect("a fork of the same size", f.step(101, 101), 422)
	files, err := os.ReadDir(evidence)
	if err != nil || len(files) != 1 {
		fail("a fork leaves %d pieces of evidence", len(files))
	}
	kept, err := os.ReadFile(filepath.Join(evidence, files[0].Name()))
	if err != nil || !strings.Contains(string(kept), l.latest().body) || !strings.Contains(string(kept), f.checkpoint(101)) {
		fail("the evidence does not hold both checkpoints")
	}
	good("the honest log", l.step(101, 150), l.text(150))
}

func signatures(l, stranger *log) {
	stranger.grow(8, "entry")
	expect("an unknown log", stranger.step(0, 8), 404)
	unsigned := strings.Split(l.checkpoint(151), "\n\n")[0] + "\n\n"
	expect("signed by a stranger alone", body(150, l.proof(150, 151), sign(l.text(151), stranger.signer)), 403)
	expect("not signed", body(150, l.proof(150, 151), unsigned), 400)
	forged := strings.Split(l.checkpoint(152), "\n\n")
	expect("a signature of another checkpoint", body(150, l.proof(150, 151), strings.Split(l.checkpoint(151), "\n\n")[0]+"\n\n"+forged[1]), 403)
	both := sign(l.text(151), stranger.signer, l.signer)
	good("signed by a stranger too", body(150, l.proof(150, 151), both), l.text(151))
	if strings.Contains(l.latest().body, stranger.origin) {
		fail("a stranger's signature is passed on")
	}
}

func malformed(l *log) {
	whole := l.step(151, 160)
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	for what, text := range map[string]string{
		"one byte":           "o",
		"no old size":        strings.Replace(whole, "old 151\n", "", 1),
		"two blanks":         strings.Replace(whole, "old 151", "old  151", 1),
		"a leading zero":     strings.Replace(whole, "old 151", "old 0151", 1),
		"a sign":             strings.Replace(whole, "old 151", "old +151", 1),
		"too large a number": strings.Replace(whole, "old 151", "old 99999999999999999999", 1),
		"carriage returns":   strings.ReplaceAll(whole, "\n", "\r\n"),
		"a short hash":       strings.Replace(whole, "old 151\n", "old 151\nAAAA\n", 1),
		"64 hashes":          "old 151\n" + strings.Repeat(hash, 64) + "\n" + l.checkpoint(160),
		"no empty line":      strings.Replace(whole, "\n\n", "\n", 1),
		"no checkpoint":      "old 151\n\n",
		"cut off":            whole[:len(whole)-5],
		"no newline":         whole[:len(whole)-1],
		"zero bytes":         strings.Repeat("\x00", 500),
		"a text without size": body(151, nil, sign(l.origin+"\n\n", l.signer)),
	} {
		expect(what, text, 400)
	}
	expect("63 hashes", "old 151\n"+strings.Repeat(hash, 63)+"\n"+l.checkpoint(160), 422)
	if a := get("/add-checkpoint"); a.status != 405 {
		fail("GET add-checkpoint: %d", a.status)
	}
	for _, path := range []string{"/", "/x/checkpoint", "/" + strings.Repeat("0", 64) + "/checkpoint", "/key", "/../key", "/state"} {
		if a := get(path); a.status != 404 {
			fail("GET %s: %d", path, a.status)
		}
	}
	if a := get("/healthz"); a.status != 200 {
		fail("not healthy: %d %s", a.status, a.body)
	}
}

func empty(l *log) {
	wrong := sign(strings.Replace(l.text(0), "47DEQ", "57DEQ", 1), l.signer)
	expect("a wrong empty tree", body(0, nil, wrong), 422)
	good("an empty tree", l.step(0, 0), l.text(0))
	good("an empty tree again", l.step(0, 0), l.text(0))
	l.grow(20, "entry")
	expect("a proof from nothing", body(0, l.proof(3, 9), l.checkpoint(9)), 422)
	good("from nothing", l.step(0, 9), l.text(9))
}

// rotated: two keys for one name, of which either may sign.
func rotated(l, next *log) {
	l.grow(30, "entry")
	next.grow(30, "entry")
	good("the old key", l.step(0, 10), l.text(10))
	good("the new key", next.step(10, 20), l.text(20))
	good("both", body(20, l.proof(20, 30), sign(l.text(30), l.signer, next.signer)), l.text(30))
}

// restart: nothing that was answered is forgotten, whenever the process ends.
func restart(l *log) {
	for size := int64(152); size < 160; size++ {
		good("before it is killed", l.step(size-1, size), l.text(size))
		kill(syscall.SIGKILL)
		start()
		conflict("a rollback over a restart", l.step(100, 120), size)
		if !strings.HasPrefix(l.latest().body, l.text(size)) {
			fail("after a restart it has another checkpoint")
		}
	}
	expect("a fork over a restart", l.fork(64, 200).step(159, 200), 422)
	if out := refused(3); !strings.Contains(out, "another process") {
		fail("two processes in one folder: %s", out)
	}
	if code := kill(syscall.SIGTERM); code != 0 {
		fail("it ends with %d", code)
	}
}

func damaged(l *log) {
	sum := sha256.Sum256([]byte(l.origin))
	path := filepath.Join(folder, "state", hex.EncodeToString(sum[:]))
	whole, err := os.ReadFile(path)
	must(err)
	flipped := append([]byte{}, whole...)
	flipped[len(l.origin)+2] ^= 1
	for _, b := range [][]byte{flipped, whole[:len(whole)-40], {}} {
		must(os.WriteFile(path, b, 0600))
		if out := refused(2); !strings.Contains(out, "damaged") {
			fail("a damaged state: %s", out)
		}
	}
	must(os.WriteFile(path, whole, 0600))
	must(os.Rename(filepath.Join(folder, "state"), filepath.Join(folder, "moved")))
	if out := refused(2); !strings.Contains(out, "no folder") {
		fail("without its state: %s", out)
	}
	must(os.Rename(filepath.Join(folder, "moved"), filepath.Join(folder, "state")))
	start()
	conflict("with its state", l.step(100, 120), 159)
}

// slow: who sends its request a byte at a time, or not at all, is cut off; who sends too much is told so.
func slow() {
	kill(syscall.SIGTERM)
	start("--timeout", "2")
	for _, text := range []string{"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\nold 0\n", "POST /add-"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		must(err)
		c.Write([]byte(text))
		ended := make(chan bool)
		go func() {
			io.Copy(io.Discard, c)
			close(ended)
		}()
		for waiting, i := true, 0; waiting; i++ {
			select {
			case <-ended:
				waiting = false
			case <-time.After(200 * time.Millisecond):
				c.Write([]byte("a"))
			}
			if i > 600 {
				fail("a slow client is never cut off")
			}
		}
		c.Close()
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	must(err)
	fmt.Fprintf(c, "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
	head := make([]byte, 12)
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 413" {
		fail("too large a body: %q %v", head, err)
	}
	c.Close()
	kill(syscall.SIGTERM)
	start()
}

// secure: the same by TLS, and only by TLS.
func secure() {
	kill(syscall.SIGTERM)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
	must(err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	must(err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(os.WriteFile(folder+".pem", certificate, 0600))
	must(os.WriteFile(folder+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0600))
	start("--certificate", folder+".pem", "--key", folder+".key")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	response, err := client.Get(strings.Replace(base, "http:", "https:", 1) + "/healthz")
	must(err)
	response.Body.Close()
	if response.StatusCode != 200 || response.TLS == nil || response.TLS.Version < tls.VersionTLS12 {
		fail("by TLS: %d", response.StatusCode)
	}
	client.CloseIdleConnections()
	if response, err := http.Get(base + "/healthz"); err == nil && response.StatusCode == 200 {
		fail("it answers without TLS, too")
	}
}

// race: two submitters of one log that know nothing of each other. From each size at most one of them may go on.
func race(l *log) {
	var mutex sync.Mutex
	var group sync.WaitGroup
	next := map[int64]int64{}
	l.grow(400, "entry")
	for who := int64(0); who < 2; who++ {
		group.Add(1)
		go func(who int64) {
			defer group.Done()
			size := int64(159)
			for round := int64(0); round < 60; round++ {
				to := size + 1 + (round*(who+1))%3
				a := post(l.step(size, to))
				if a.status == 200 {
					cosigned(a.body, l.text(to))
					mutex.Lock()
					if was, ok := next[size]; ok && was != to {
						fail("from size %d it has cosigned %d and %d", size, was, to)
					}
					next[size] = to
					mutex.Unlock()
					size = to
				} else if a.status == 409 {
					fmt.Sscan(a.body, &size)
				} else {
					fail("in a race: %d %s", a.status, a.body)
				}
			}
		}(who)
	}
	group.Wait()
	size := int64(159)
	for next[size] != 0 {
		size = next[size]
	}
	if !strings.HasPrefix(l.latest().body, l.text(size)) {
		fail("after the race the chain of what was cosigned ends at %d: %s", size, l.latest().body)
	}
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: witness LEDGERCTL FOLDER")
	}
	ledgerctl, folder = os.Args[1], filepath.Join(os.Args[2], "w")
	l, other, old, next := newLog("log.example/one"), newLog("log.example/two"), newLog("log.example/rotated"), newLog("log.example/rotated")
	initialise("witness.example/w1", l.vkey, other.vkey, old.vkey, next.vkey)
	start()
	growth(l)
	dishonest(l)
	signatures(l, newLog("log.example/stranger"))
	malformed(l)
	empty(other)
	rotated(old, next)
	restart(l)
	damaged(l)
	slow()
	race(l)
	secure()
	if code := kill(syscall.SIGTERM); code != 0 {
		fail("it ends with %d", code)
	}
}
