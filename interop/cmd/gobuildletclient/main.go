// Gobuildletclient makes every call of upstream's buildlet client to one buildlet, and prints what came of it.
//
// With -addr it calls a buildlet that listens, by TLS with the key pair in -keys if that is given. With -listen it is a
// coordinator: it accepts one reverse buildlet as upstream's pool does, and calls that. With -new-keys it only makes a key
// pair, as upstream does for a new machine.
//
// The output is one JSON object a line: first {"listening": ADDR} and {"registered": HEADERS} of a coordinator, then
// {"call": NAME, ...} for each call.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
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
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/build/buildlet"
	"golang.org/x/build/revdial/v2"
)

// fact is what came of one call.
type fact struct {
	Call   string   `json:"call"`
	Error  string   `json:"error,omitempty"`  // of the call; for Exec, that of the machinery
	Remote string   `json:"remote,omitempty"` // for Exec, that of the command
	Output string   `json:"output,omitempty"`
	List   []string `json:"list,omitempty"`
	Broken bool     `json:"broken,omitempty"` // what the client thinks of the buildlet afterwards
}

var out = json.NewEncoder(os.Stdout)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gobuildletclient: ")
	addr := flag.String("addr", "", "address of a buildlet that listens")
	keys := flag.String("keys", "", "folder with the key pair that the buildlet has: cert.pem and key.pem")
	newKeys := flag.String("new-keys", "", "folder to make a key pair in")
	listen := flag.String("listen", "", "address to accept a reverse buildlet at, with the key pair in -keys")
	url := flag.String("url", "", "URL of a .tar.gz for the buildlet to fetch")
	ssh := flag.Bool("ssh", false, "also connect to the SSH server")
	flag.Parse()

	// The client logs its heartbeats' failures.
	log.SetOutput(os.Stderr)
	switch {
	case *newKeys != "":
		pair, err := buildlet.NewKeyPair()
		check(err)
		check(os.WriteFile(filepath.Join(*newKeys, "cert.pem"), []byte(pair.CertPEM), 0o600))
		check(os.WriteFile(filepath.Join(*newKeys, "key.pem"), []byte(pair.KeyPEM), 0o600))
	case *addr != "":
		pair := buildlet.NoKeyPair
		if *keys != "" {
			pair = readKeys(*keys)
		}
		callAll(buildlet.NewClient(*addr, pair), *url, *ssh)
	case *listen != "":
		callAll(accept(*listen, readKeys(*keys)), *url, *ssh)
	default:
		flag.Usage()
		os.Exit(2)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func readKeys(dir string) buildlet.KeyPair {
	cert, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	check(err)
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	check(err)
	return buildlet.KeyPair{CertPEM: string(cert), KeyPEM: string(key)}
}

// accept waits for a buildlet to register, and returns a client that calls it over the connections that it makes.
func accept(addr string, pair buildlet.KeyPair) buildlet.Client {
	cert, err := tls.X509KeyPair([]byte(pair.CertPEM), []byte(pair.KeyPEM))
	check(err)
	ln, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{cert}})
	check(err)
	out.Encode(map[string]string{"listening": ln.Addr().String()})

	clients := make(chan buildlet.Client)
	mux := http.NewServeMux()
	mux.Handle("/revdial", revdial.ConnHandler())
	mux.HandleFunc("/reverse", func(w http.ResponseWriter, r *http.Request) {
		out.Encode(map[string]http.Header{"registered": r.Header})
		conn, _, err := w.(http.Hijacker).Hijack()
		check(err)
		// No version and no headers, as in upstream's pool.
		check((&http.Response{StatusCode: http.StatusSwitchingProtocols}).Write(conn))
		dialer := revdial.NewDialer(conn, "/revdial")
		client := buildlet.NewClient(r.Header.Get("X-Go-Builder-Hostname"), buildlet.NoKeyPair)
		client.SetHTTPClient(&http.Client{
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					return dialer.Dial(ctx)
				},
			},
		})
		client.SetDialer(dialer.Dial)
		clients <- client
	})
	go func() { check(http.Serve(ln, mux)) }()
	return <-clients
}

// callAll makes the calls, in an order in which each finds what it needs.
func callAll(c buildlet.Client, url string, ssh bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	say := func(f fact, err error) {
		if err != nil {
			f.Error = err.Error()
		}
		f.Broken = c.IsBroken()
		out.Encode(f)
	}

	status, err := c.Status(ctx)
	say(fact{Call: "status", Output: fmt.Sprint(status.Version)}, err)
	dir, err := c.WorkDir(ctx)
	say(fact{Call: "workdir", Output: dir}, err)

	err = c.Put(ctx, strings.NewReader("#!/bin/sh\necho out $A; echo err >&2; exit $1\n"), "bin/a b", 0o755)
	say(fact{Call: "put"}, err)
	// Of unknown length, so chunked.
	err = c.PutTar(ctx, io.MultiReader(bytes.NewReader(archive())), "src")
	say(fact{Call: "puttar"}, err)
	say(fact{Call: "puttar, broken"}, c.PutTar(ctx, strings.NewReader("no archive"), "src"))
	if url != "" {
		say(fact{Call: "puttarfromurl"}, c.PutTarFromURL(ctx, url, "fetched"))
	}

	exec := func(call, cmd string, opts buildlet.ExecOpts) {
		var output bytes.Buffer
		opts.Output = &output
		started := false
		opts.OnStartExec = func() { started = true }
		remote, err := c.Exec(ctx, cmd, opts)
		f := fact{Call: call, Output: output.String()}
		if remote != nil {
			f.Remote = remote.Error()
		}
		if err == nil && !started {
			err = errors.New("OnStartExec was not called")
		}
		say(f, err)
	}
	exec("exec", "bin/a b", buildlet.ExecOpts{Args: []string{"0"}, ExtraEnv: []string{"A=&="}})
	exec("exec, exit 7", "bin/a b", buildlet.ExecOpts{Args: []string{"7"}, Dir: "src"})
	exec("exec, killed", "sh", buildlet.ExecOpts{SystemLevel: true, Args: []string{"-c", "kill -9 $$"}})
	exec("exec, path", "sh", buildlet.ExecOpts{
		SystemLevel: true,
		Args:        []string{"-c", "echo $PATH; /bin/pwd"},
		Path:        []string{"$WORKDIR/bin", "/bin"},
	})
	exec("exec, debug", "bin/a b", buildlet.ExecOpts{Args: []string{"0"}, Debug: true})
	exec("exec, unknown", "no-such-command", buildlet.ExecOpts{})
	exec("exec, cannot start", "./src/VERSION", buildlet.ExecOpts{})

	list := fact{Call: "listdir"}
	err = c.ListDir(ctx, "src", buildlet.ListDirOpts{Recursive: true, Digest: true, Skip: []string{"pkg"}}, func(e buildlet.DirEntry) {
		list.List = append(list.List, e.String())
	})
	say(list, err)
	list = fact{Call: "listdir, outside"}
	say(list, c.ListDir(ctx, "..", buildlet.ListDirOpts{}, func(buildlet.DirEntry) {}))

	got := fact{Call: "gettar"}
	got.List, err = names(c.GetTar(ctx, "src"))
	say(got, err)
	_, err = c.GetTar(ctx, "missing")
	say(fact{Call: "gettar, missing"}, err)

	if ssh {
		line, err := greet(c)
		say(fact{Call: "connectssh", Output: line}, err)
	}

	say(fact{Call: "removeall"}, c.RemoveAll(ctx, "bin", "src", "fetched", "missing"))
	list = fact{Call: "listdir, after"}
	err = c.ListDir(ctx, ".", buildlet.ListDirOpts{}, func(e buildlet.DirEntry) {
		list.List = append(list.List, e.Name())
	})
	say(list, err)

	say(fact{Call: "close"}, c.Close())
}

// archive makes a .tar.gz of two members, as many programs do.
func archive() []byte {
	var buf bytes.Buffer
	first := gzip.NewWriter(&buf)
	tw := tar.NewWriter(first)
	when := time.Unix(1000000000, 0)
	for _, e := range []struct{ name, body string }{
		{"VERSION", "devel"},
		{"pkg/", ""},
		{"a/b.go", "package b\n"},
		{"a/" + strings.Repeat("long", 40), "x"},
	} {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.body)), ModTime: when}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		check(tw.WriteHeader(h))
		_, err := io.WriteString(tw, e.body)
		check(err)
	}
	check(tw.Flush())
	check(first.Close())
	second := gzip.NewWriter(&buf)
	_, err := second.Write(make([]byte, 1024))
	check(err)
	check(second.Close())
	return buf.Bytes()
}

// names lists the entries of an archive that GetTar brought.
func names(r io.ReadCloser, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	var list []string
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			return list, err
		}
		list = append(list, fmt.Sprintf("%s %q", h.Name, body))
	}
}

// greet exchanges a line with the SSH server.
func greet(c buildlet.Client) (string, error) {
	conn, err := c.ConnectSSH("", "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "SSH-2.0-client\r\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}
