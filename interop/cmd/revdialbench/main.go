// Revdialbench measures the Go package revdial/v2, beside bare TLS by Go, with both ends in this process. It is the peer of
// benches/src/revdial and does what that does:
//
//   - throughput: 64 KiB writes through one connection, from the side that dials to the worker, which answers with one byte
//     at the end.
//   - rtt64: 64 bytes there and back on one connection; the median.
//   - dials1, dials8: dials, one at a time and eight at a time. The connection is closed when it has come. For
//     bare TLS, what is counted are handshakes followed by one byte from the server.
//
// TLS 1.3, a P-256 certificate that the worker verifies, loopback. One line is printed per case, with the nanoseconds that a
// MiB, a round trip or a dial takes, and those of all CPUs together.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/build/revdial/v2"
)

const (
	writeSize = 64 << 10
	pingSize  = 64
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("revdialbench: ")
	mib := flag.Int("mib", 256, "MiB through one connection")
	budget := flag.Duration("time", time.Second, "how long each other case takes")
	flag.Parse()

	server, client := configs()
	for _, b := range []bench{newBare(server, client), newReverse(server, client)} {
		report(b, "throughput", throughput(b, *mib))
		report(b, "rtt64", roundTrip(b, *budget))
		report(b, "dials1", dials(b, 1, *budget))
		report(b, "dials8", dials(b, 8, *budget))
	}
}

// cost is what one thing took, in nanoseconds.
type cost struct{ wall, cpu float64 }

func report(b bench, name string, c cost) {
	fmt.Printf("%s %s wall=%.0f cpu=%.0f\n", b, name, c.wall, c.cpu)
}

// meter measures what a number of things took since it was made.
type meter struct {
	wall time.Time
	cpu  time.Duration
}

func newMeter() meter { return meter{time.Now(), cpuTime()} }

func (m meter) eachOf(count int64) cost {
	wall, cpu := time.Since(m.wall), cpuTime()-m.cpu
	return cost{float64(wall) / float64(count), float64(cpu) / float64(count)}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		log.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// bench opens connections on whose other end serve runs.
type bench interface {
	fmt.Stringer
	dial() net.Conn
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// configs returns those of the coordinator and of the worker.
func configs() (server, client *tls.Config) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
	}
	der := must(x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key))
	roots := x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(der)))
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	client = &tls.Config{ServerName: "localhost", RootCAs: roots}
	return server, client
}

// serve does what the first byte on conn asks for, as the worker.
func serve(conn net.Conn) {
	defer conn.Close()
	kind := make([]byte, 1)
	if _, err := io.ReadFull(conn, kind); err != nil {
		return // it was only dialed
	}
	switch kind[0] {
	case 't':
		size := make([]byte, 4)
		must(io.ReadFull(conn, size))
		left := (int(size[0])<<24 | int(size[1])<<16 | int(size[2])<<8 | int(size[3])) << 20
		buf := make([]byte, writeSize)
		for left > 0 {
			left -= must(conn.Read(buf))
		}
		conn.Write([]byte{1})
	case 'r':
		buf := make([]byte, pingSize)
		for {
			if _, err := io.ReadFull(conn, buf); err != nil {
				return
			}
			conn.Write(buf)
		}
	}
}

// throughput returns what a MiB takes.
func throughput(b bench, mib int) cost {
	conn := b.dial()
	defer conn.Close()
	must(conn.Write([]byte{'t', byte(mib >> 24), byte(mib >> 16), byte(mib >> 8), byte(mib)}))
	buf := make([]byte, writeSize)
	m := newMeter()
	for left := mib << 20; left > 0; left -= len(buf) {
		must(conn.Write(buf))
	}
	must(io.ReadFull(conn, buf[:1]))
	return m.eachOf(int64(mib))
}

// roundTrip returns what a round trip takes: the median of the time, the mean on CPUs.
func roundTrip(b bench, budget time.Duration) cost {
	conn := b.dial()
	defer conn.Close()
	must(conn.Write([]byte{'r'}))
	buf := make([]byte, pingSize)
	var times []time.Duration
	m := newMeter()
	for len(times) == 0 || time.Since(m.wall) < budget {
		began := time.Now()
		must(conn.Write(buf))
		must(io.ReadFull(conn, buf))
		times = append(times, time.Since(began))
	}
	c := m.eachOf(int64(len(times)))
	slices.Sort(times)
	c.wall = float64(times[len(times)/2])
	return c
}

// dials returns what a dial takes when so many are made at a time.
func dials(b bench, at int, budget time.Duration) cost {
	var n atomic.Int64
	var wg sync.WaitGroup
	m := newMeter()
	for range at {
		wg.Go(func() {
			for {
				b.dial().Close()
				n.Add(1)
				if time.Since(m.wall) >= budget {
					return
				}
			}
		})
	}
	wg.Wait()
	return m.eachOf(n.Load())
}

// bare is TLS without more: the worker's end listens here, and what dials is the TLS client.
type bare struct {
	addr   string
	client *tls.Config
}

func newBare(server, client *tls.Config) bench {
	ln := must(tls.Listen("tcp", "127.0.0.1:0", server))
	go func() {
		for {
			conn := must(ln.Accept())
			go func() {
				if _, err := conn.Write([]byte{0}); err != nil {
					conn.Close()
					return
				}
				serve(conn)
			}()
		}
	}()
	return bare{ln.Addr().String(), client}
}

func (bare) String() string { return "tls" }

func (b bare) dial() net.Conn {
	conn := must(tls.Dial("tcp", b.addr, b.client))
	must(io.ReadFull(conn, make([]byte, 1)))
	return conn
}

// reverse is a worker and its coordinator.
type reverse struct{ dialer *revdial.Dialer }

func newReverse(server, client *tls.Config) bench {
	registered := make(chan *revdial.Dialer)
	mux := http.NewServeMux()
	mux.Handle("/revdial", revdial.ConnHandler())
	mux.HandleFunc("/reverse", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			log.Fatal(err)
		}
		switched := http.Response{StatusCode: http.StatusSwitchingProtocols}
		if err := switched.Write(conn); err != nil {
			log.Fatal(err)
		}
		registered <- revdial.NewDialer(conn, "/revdial")
	})
	ln := must(tls.Listen("tcp", "127.0.0.1:0", server))
	go func() { log.Fatal(http.Serve(ln, mux)) }()

	dial := func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: client}).DialContext(ctx, "tcp", ln.Addr().String())
	}
	conn := must(dial(context.Background()))
	go func() {
		must(conn.Write([]byte("GET /reverse HTTP/1.1\r\nHost: \r\n\r\n")))
		head := make([]byte, 0, 64)
		for buf := make([]byte, 1); len(head) < 4 || string(head[len(head)-4:]) != "\r\n\r\n"; head = append(head, buf...) {
			must(io.ReadFull(conn, buf))
		}
		worker := revdial.NewListener(conn, dial)
		for {
			conn, err := worker.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go serve(conn)
		}
	}()
	return reverse{<-registered}
}

func (reverse) String() string { return "revdial" }

func (r reverse) dial() net.Conn {
	return must(r.dialer.Dial(context.Background()))
}
