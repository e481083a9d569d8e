// Gotlsclient makes TLS connections with Go's stack, one after the other, with whatever server name it is told: also one
// that is no host name, such as localhost:8119, which is what a buildlet asks a coordinator on that port for. On each it
// sends a line and waits for the same line to come back.
//
// One JSON object is printed per connection. The server's certificate is not verified.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

type result struct {
	Version string `json:"version"`
	Resumed bool   `json:"resumed"`
	Retried bool   `json:"retried"` // whether the server asked for a second ClientHello
	Error   string `json:"error,omitempty"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gotlsclient: ")
	addr := flag.String("addr", "", "address of the server")
	name := flag.String("name", "", "server name to ask for")
	conns := flag.Int("conns", 1, "how many connections to make")
	max := flag.String("max", "1.3", "newest TLS version, 1.2 or 1.3")
	resume := flag.Bool("resume", false, "resume sessions")
	flag.Parse()

	config := &tls.Config{ServerName: *name, InsecureSkipVerify: true}
	switch *max {
	case "1.2":
		config.MaxVersion = tls.VersionTLS12
	case "1.3":
	default:
		log.Fatalf("no such version: %q", *max)
	}
	if *resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}

	out := json.NewEncoder(os.Stdout)
	for range *conns {
		var r result
		if err := echo(*addr, config, &r); err != nil {
			r.Error = err.Error()
		}
		out.Encode(r)
	}
}

func echo(addr string, config *tls.Config, r *result) error {
	tcp, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(20 * time.Second))
	conn := tls.Client(tcp, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	r.Version = tls.VersionName(state.Version)
	r.Resumed = state.DidResume
	r.Retried = state.HelloRetryRequest

	const line = "are you there?\n"
	if _, err := conn.Write([]byte(line)); err != nil {
		return err
	}
	// Tickets come along with the answer.
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if got != line {
		return fmt.Errorf("%q came back", got)
	}
	return nil
}
