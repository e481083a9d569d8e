// Gopargzip compresses its standard input to its standard output with
// golang.org/x/build/pargzip.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/build/pargzip"
)

func main() {
	chunk := flag.Int("chunk", 0, "uncompressed `bytes` per gzip member; 0 keeps the package's default")
	parallel := flag.Int("p", 0, "chunks compressed at once; 0 keeps the package's default")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *chunk, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "gopargzip:", err)
		os.Exit(1)
	}
}

func run(r io.Reader, w io.Writer, chunk, parallel int) error {
	if flag.NArg() > 0 {
		return errors.New("takes no argument: it reads its standard input")
	}
	zw := pargzip.NewWriter(w)
	if chunk != 0 {
		zw.ChunkSize = chunk
	}
	if parallel != 0 {
		zw.Parallel = parallel
	}
	if _, err := io.Copy(zw, onlyReader{r}); err != nil {
		return err
	}
	return zw.Close()
}

// onlyReader hides an os.File's WriteTo, so that every input, file or pipe,
// reaches the Writer in the same pieces.
type onlyReader struct{ io.Reader }
