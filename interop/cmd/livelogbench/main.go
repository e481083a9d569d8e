// Livelogbench measures how long a 100-byte write to the Go package livelog takes, with readers that are idle and
// with readers that follow. It is the peer of benches/benches/livelog.rs and does what that does:
//
//   - A log is filled with 20,000 writes of 100 bytes, which it takes without truncation, then a new one is made.
//   - Idle readers exist and do not read.
//   - Following readers are goroutines blocked in Read when the writes begin; each reads until the end.
//   - Only the writes are timed.
//
// One line is printed per case.
package main

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"sort"
	"sync"
	"time"

	"golang.org/x/build/livelog"
)

const (
	writeSize    = 100
	writesPerLog = 20_000
)

func main() {
	budget := flag.Duration("time", time.Second, "how long to write in each case")
	flag.Parse()

	for _, mode := range []string{"idle", "following"} {
		for _, readers := range []int{0, 1, 10, 100, 1000} {
			// Round times vary with what else the machine does; the median says what is typical.
			var perOp []float64
			for spent := time.Duration(0); spent < *budget; {
				d := fillLog(readers, mode == "following")
				perOp = append(perOp, float64(d.Nanoseconds())/writesPerLog)
				spent += d
			}
			sort.Float64s(perOp)
			fmt.Printf("write100 readers=%d mode=%s ns_per_op=%.1f\n", readers, mode, perOp[len(perOp)/2])
		}
	}
	fmt.Printf("idle_reader bytes=%d\n", bytesPerIdleReader())
}

// fillLog returns how long the writes to one new log took.
func fillLog(readers int, following bool) time.Duration {
	var log livelog.Buffer
	line := make([]byte, writeSize)

	var done, started sync.WaitGroup
	var idle []io.ReadCloser
	for range readers {
		r := log.Reader()
		if !following {
			idle = append(idle, r)
			continue
		}
		done.Add(1)
		started.Add(1)
		go func() {
			defer done.Done()
			started.Done()
			buf := make([]byte, 64<<10)
			for {
				if _, err := r.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	started.Wait()
	if following && readers > 0 {
		time.Sleep(time.Millisecond) // the package does not tell whether its readers are blocked yet
	}

	start := time.Now()
	for range writesPerLog {
		log.Write(line)
	}
	spent := time.Since(start)

	log.Close()
	done.Wait()
	runtime.KeepAlive(idle)
	return spent
}

func bytesPerIdleReader() uint64 {
	const readers = 100_000
	var log livelog.Buffer
	idle := make([]io.ReadCloser, 0, readers)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range readers {
		idle = append(idle, log.Reader())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(idle)
	return (after.HeapAlloc - before.HeapAlloc) / readers
}
