// Gorevdialer is a coordinator as Go's is one: it takes registrations at /reverse and pick-ups at /revdial, both by TLS, and
// dials the worker that registered last, by the package revdial/v2. The worker serves HTTP as gorevlistener does.
//
// Each line of its standard input is a command, done one after the other:
//
//	dials N            opens N connections at once, echoes some bytes on each once all are open, and closes them
//	upload BYTES       sends this many to /hash on one connection, and checks the answer
//	download BYTES     reads this many from /stream on one connection, and checks them
//	close              closes the dialer
//	reset              ends the control connection with a TCP reset
//
// The end of its input ends it. It prints a JSON object a line: {"event":"listening","addr":...,"certificate":PEM} first,
// {"event":"registered","host":...} and {"event":"gone"} as workers come and go, and {"event":COMMAND,"ok":...,"error":...}
// when a command is done.
//
// -fault STEP ends the process, with status 3, at that step; -drop STEP cuts the first connection that gets there, with a TCP
// reset, and goes on. The steps:
//
//	reverse  half-reverse-101  reverse-101  mid-line      (registration: before, in and behind the reply, and in the first line)
//	pickup  half-pickup-101  pickup-101  transfer         (pick-ups: before, in and behind the reply, and while bytes flow)
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/build/revdial/v2"
)

var (
	addr     = flag.String("addr", "127.0.0.1:0", "address to listen on")
	connPath = flag.String("connpath", "/revdial", "where workers are told to pick connections up")
	fault    = flag.String("fault", "", "step at which the process ends")
	drop     = flag.String("drop", "", "step at which the first connection is cut")
)

// commandLimit is how long one command may take.
const commandLimit = time.Minute

func main() {
	log.SetFlags(0)
	log.SetPrefix("gorevdialer: ")
	flag.Parse()

	cert, certPEM := newCertificate()
	ln, err := tls.Listen("tcp", *addr, &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/reverse", serveReverse)
	mux.HandleFunc("/revdial", servePickup)
	go func() { log.Fatal(http.Serve(ln, mux)) }()
	say(map[string]any{"event": "listening", "addr": ln.Addr().String(), "certificate": certPEM})

	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		command, arg, _ := strings.Cut(commands.Text(), " ")
		done := map[string]any{"event": command, "ok": true}
		if err := run(command, arg); err != nil {
			done["ok"], done["error"] = false, err.Error()
		}
		say(done)
	}
}

var stdout sync.Mutex

func say(event map[string]any) {
	stdout.Lock()
	defer stdout.Unlock()
	json.NewEncoder(os.Stdout).Encode(event)
}

func newCertificate() (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text)
}

// worker is the one that registered last.
var worker struct {
	sync.Mutex
	dialer  *revdial.Dialer
	control net.Conn
}

func serveReverse(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Revdial-Version") != "2" {
		http.Error(w, "unknown revdial version", http.StatusBadRequest)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if reached("reverse", conn) {
		return
	}
	switched := http.Response{StatusCode: http.StatusSwitchingProtocols}
	if err := switched.Write(&reply{Conn: conn, step: "half-reverse-101"}); err != nil || reached("reverse-101", conn) {
		return
	}
	if *fault == "mid-line" || *drop == "mid-line" && !dropped.Load() {
		io.WriteString(conn, `{"command":"keep-`)
		if reached("mid-line", conn) {
			return
		}
	}
	dialer := revdial.NewDialer(conn, *connPath)
	worker.Lock()
	worker.dialer, worker.control = dialer, conn
	worker.Unlock()
	say(map[string]any{"event": "registered", "host": r.Header.Get("X-Go-Builder-Hostname")})
	<-dialer.Done()
	say(map[string]any{"event": "gone"})
}

var pickups = revdial.ConnHandler()

func servePickup(w http.ResponseWriter, r *http.Request) {
	conn := &hijacker{ResponseWriter: w}
	if *fault == "pickup" || *drop == "pickup" && !dropped.Load() {
		if hijacked, _, err := http.NewResponseController(w).Hijack(); err == nil && reached("pickup", hijacked) {
			return
		}
	}
	pickups.ServeHTTP(conn, r)
}

// hijacker gives connections away on which a reply may break off.
type hijacker struct{ http.ResponseWriter }

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &reply{Conn: conn, step: "half-pickup-101", behind: "pickup-101"}, rw, nil
}

// reply is a connection on which a reply's head is written, to which two steps belong.
type reply struct {
	net.Conn
	step, behind string
	written      bytes.Buffer
	ended        bool
}

func (r *reply) Write(p []byte) (int, error) {
	if r.ended {
		return r.Conn.Write(p)
	}
	half := len(p) / 2
	if n, err := r.Conn.Write(p[:half]); err != nil {
		return n, err
	}
	if reached(r.step, r.Conn) {
		return half, errors.New("cut on purpose")
	}
	n, err := r.Conn.Write(p[half:])
	r.written.Write(p)
	if bytes.HasSuffix(r.written.Bytes(), []byte("\r\n\r\n")) {
		r.ended = true
		if r.behind != "" {
			reached(r.behind, r.Conn)
		}
	}
	return half + n, err
}

var dropped atomic.Bool

// reached ends the process or cuts conn if that is what flags say of this step, and tells whether it cut.
func reached(step string, conn net.Conn) bool {
	if *fault == step {
		os.Exit(3)
	}
	if *drop != step || !dropped.CompareAndSwap(false, true) {
		return false
	}
	reset(conn)
	return true
}

func reset(conn net.Conn) {
	if r, ok := conn.(*reply); ok {
		conn = r.Conn
	}
	tcp := conn.(*tls.Conn).NetConn().(*net.TCPConn)
	tcp.SetLinger(0)
	tcp.Close()
}

func run(command, arg string) error {
	worker.Lock()
	dialer, control := worker.dialer, worker.control
	worker.Unlock()
	if dialer == nil {
		return errors.New("no worker has registered")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	var n int
	if arg != "" {
		var err error
		if n, err = strconv.Atoi(arg); err != nil {
			return err
		}
	}
	switch command {
	case "dials":
		return dials(ctx, dialer, n)
	case "upload":
		return upload(ctx, dialer, n)
	case "download":
		return download(ctx, dialer, n)
	case "close":
		return dialer.Close()
	case "reset":
		reset(control)
		return nil
	}
	return errors.New("no such command")
}

// client returns one that makes its requests on conn.
func client(conn net.Conn) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
}

func dials(ctx context.Context, dialer *revdial.Dialer, n int) error {
	conns := make([]net.Conn, n)
	err := together(n, func(i int) (err error) {
		conns[i], err = dialer.Dial(ctx)
		return err
	})
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	return together(n, func(i int) error {
		sent := strings.Repeat(fmt.Sprintf("connection %d\n", i), 1000)
		body, err := call(ctx, client(conns[i]), "POST", "/echo", strings.NewReader(sent))
		if err == nil && string(body) != sent {
			err = fmt.Errorf("connection %d: something else came back", i)
		}
		return err
	})
}

// together runs f(0) to f(n-1) at once and returns their errors.
func together(n int, f func(int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func call(ctx context.Context, client *http.Client, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://worker"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}

func upload(ctx context.Context, dialer *revdial.Dialer, n int) error {
	conn, err := dialer.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	want := sha256.New()
	body := io.TeeReader(io.LimitReader(&counter{cut: n / 2, conn: conn}, int64(n)), want)
	got, err := call(ctx, client(conn), "POST", "/hash", body)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%x", want.Sum(nil)); string(got) != want {
		return fmt.Errorf("the worker got other bytes: %s, not %s", got, want)
	}
	return nil
}

// counter reads as bytes of which each is one more than the one before.
type counter struct {
	at   int
	cut  int
	conn net.Conn
}

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.at + i)
	}
	c.at += len(p)
	if c.at >= c.cut {
		reached("transfer", c.conn)
	}
	return len(p), nil
}

func download(ctx context.Context, dialer *revdial.Dialer, n int) error {
	conn, err := dialer.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://worker/stream?n=%d", n), nil)
	if err != nil {
		return err
	}
	resp, err := client(conn).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, want := sha256.New(), sha256.New()
	half := int64(n / 2)
	if _, err := io.CopyN(got, resp.Body, half); err != nil {
		return err
	}
	reached("transfer", conn)
	if _, err := io.Copy(got, resp.Body); err != nil {
		return err
	}
	io.CopyN(want, &counter{cut: n + 1<<20, conn: conn}, int64(n))
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return errors.New("other bytes came")
	}
	return nil
}
