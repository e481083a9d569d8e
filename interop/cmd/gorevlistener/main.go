// Gorevlistener is a worker as a Go buildlet is one: it registers at a coordinator by TLS and GET /reverse, and serves
// HTTP on what the coordinator dials, by the package revdial/v2.
//
//	GET  /status        {"Version":29}
//	POST /echo          sends the body back while it comes
//	POST /hash          the body's SHA-256 in hexadecimal digits
//	GET  /stream?n=N    N bytes, each counting on from the one before
//
// It prints {"event":"registered"} and, when the coordinator is gone, {"event":"closed"}; then it ends with status 0. The
// coordinator's certificate is not verified.
//
// -fault STEP ends the process, with status 3, at that step; -drop STEP cuts the first connection that gets there, with a TCP
// reset, and goes on. The steps:
//
//	connected  half-request  requested  registered  mid-line  conn-ready      (not for -drop)
//	dialed  half-pickup  picked-up  transfer
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/build/revdial/v2"
)

var (
	addr     = flag.String("addr", "", "the coordinator's address")
	name     = flag.String("name", "", "TLS server name to ask for (default: the address without :443)")
	hostname = flag.String("hostname", "gorevlistener", "what to register as")
	hostType = flag.String("hosttype", "host-linux-bullseye", "host type to register as")
	key      = flag.String("key", "9322a0f46b098a3218073b0711fbdccd", "key of that host type")
	path     = flag.String("path", "/reverse", "path to register at")
	fault    = flag.String("fault", "", "step at which the process ends")
	drop     = flag.String("drop", "", "step at which the first connection is cut")
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gorevlistener: ")
	flag.Parse()
	if *name == "" {
		*name = strings.TrimSuffix(*addr, ":443")
	}
	ln, err := register()
	if err != nil {
		log.Fatal(err)
	}
	say("registered")
	err = http.Serve(ln, mux())
	if !ln.Closed() {
		log.Fatal(err)
	}
	say("closed")
}

func say(event string) {
	json.NewEncoder(os.Stdout).Encode(map[string]string{"event": event})
}

// register returns a listener for what the coordinator dials.
func register() (*revdial.Listener, error) {
	conn, err := dial(context.Background())
	if err != nil {
		return nil, err
	}
	reached("connected", nil)
	req, err := http.NewRequest("GET", *path, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range map[string]string{
		"X-Go-Builder-Hostname": *hostname,
		"X-Go-Builder-Key":      *key,
		"X-Go-Builder-Version":  "29",
		"X-Go-Host-Type":        *hostType,
		"X-Revdial-Version":     "2",
	} {
		req.Header.Set(k, v)
	}
	var head bytes.Buffer
	if err := req.Write(&head); err != nil {
		return nil, err
	}
	if *fault == "half-request" {
		conn.Write(head.Bytes()[:head.Len()/2])
		os.Exit(3)
	}
	if _, err := head.WriteTo(conn); err != nil {
		return nil, err
	}
	reached("requested", nil)
	location, err := revdial.ReadProtoSwitchOrRedirect(bufio.NewReader(conn), req)
	if err != nil {
		return nil, err
	}
	if location != "" {
		return nil, fmt.Errorf("redirected to %s", location)
	}
	reached("registered", nil)
	if *fault == "mid-line" {
		io.WriteString(conn, `{"command":"keep-`)
		os.Exit(3)
	}
	return revdial.NewListener(control{conn}, pickUp), nil
}

func dial(ctx context.Context) (net.Conn, error) {
	d := tls.Dialer{Config: &tls.Config{ServerName: *name, InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return d.DialContext(ctx, "tcp", *addr)
}

func pickUp(ctx context.Context) (net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	if reached("dialed", conn) {
		return nil, errors.New("cut on purpose")
	}
	return &pickedUp{Conn: conn}, nil
}

// control is the control connection.
type control struct{ net.Conn }

func (c control) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("conn-ready")) {
		reached("conn-ready", nil)
	}
	return n, err
}

// pickedUp is a connection for the coordinator, on which a request is written first.
type pickedUp struct {
	net.Conn
	written bool
}

func (c *pickedUp) Write(p []byte) (int, error) {
	if c.written {
		return c.Conn.Write(p)
	}
	c.written = true
	half := len(p) / 2
	if n, err := c.Conn.Write(p[:half]); err != nil || reached("half-pickup", c.Conn) {
		return n, err
	}
	n, err := c.Conn.Write(p[half:])
	if err == nil {
		reached("picked-up", c.Conn)
	}
	return half + n, err
}

var dropped atomic.Bool

// reached ends the process or cuts conn if that is what flags say of this step, and tells whether it cut.
func reached(step string, conn net.Conn) bool {
	if *fault == step {
		os.Exit(3)
	}
	if *drop != step || conn == nil || !dropped.CompareAndSwap(false, true) {
		return false
	}
	tcp := conn.(*tls.Conn).NetConn().(*net.TCPConn)
	tcp.SetLinger(0)
	tcp.Close()
	return true
}

func mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"Version":29}`)
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("POST /hash", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, r.Body); err != nil {
			return
		}
		fmt.Fprintf(w, "%x", hash.Sum(nil))
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
		if *fault == "transfer" || *drop == "transfer" && !dropped.Load() {
			w.Write(counting(n / 2))
			w.(http.Flusher).Flush()
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				reached("transfer", conn.(*pickedUp).Conn)
			}
			return
		}
		block := counting(1 << 16)
		for n > 0 {
			m, err := w.Write(block[:min(n, len(block))])
			if err != nil {
				return
			}
			n -= m
		}
	})
	return mux
}

// counting is n bytes of which each is one more than the one before; 256 of them begin anew.
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
