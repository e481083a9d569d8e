// Gogunzip expands the gzip stream on its standard input to its standard
// output with Go's compress/gzip, member after member.
//
// It exits with status 1, and says why on its standard error, when that
// reader refuses the input.
package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gogunzip:", err)
		os.Exit(1)
	}
}

func run(r io.Reader, w io.Writer) error {
	zr, err := gzip.NewReader(bufio.NewReaderSize(r, 256<<10))
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	// One buffer of this size for each write call, as a program in
	// production would have.
	if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{zr}, make([]byte, 256<<10)); err != nil {
		return fmt.Errorf("expand: %w", err)
	}
	return zr.Close()
}

// onlyReader and onlyWriter hide the methods that let io.CopyBuffer do
// without its buffer.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }
