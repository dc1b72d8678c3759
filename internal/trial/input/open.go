package input

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// known are the formats, as an error lists them.
var known = []string{
	"access log in TSV with the header host, logname, time, method, url, …, bytes (NASA 1995)",
	"access log in the Common or Combined Log Format",
	"shop trace: big-endian int32 keys of type, id and index bits, .xz or .trace",
	"ARC trace: lines of start, count, ignored, number (.lis)",
	"LIRS trace: one block number a line",
	"block I/O in CSV with the header version,time,op,size,lbn (CloudPhysics)",
	"key-value trace in CSV with the header op_time,key,key_size,op,… (CacheLib)",
	"clicks in TSV with the header SessionId, ItemId, Time (YooChoose)",
	"Debezium change events: a directory of .json files, a JSON file, or one event a line",
	"each of them plain or compressed with gzip, zstd or xz",
}

// sniffLen is how much of the content decides on the format.
const sniffLen = 8 << 10

// reader turns a recognised input into a workload.
type reader func(r *source, o Options) (*Workload, error)

// Open reads the workload at path, a file or a directory. Its format is
// recognised by content and, where that leaves a choice, by name.
//
// Errors wrap [ErrUnknownFormat] (a *[FormatError]), [ErrMalformed] (a
// *[PlaceError] with line or record), [ErrEmpty], or are the file system's.
func Open(path string, o Options) (*Workload, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if info.IsDir() {
		return openDebeziumDirectory(path, o)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	defer f.Close()
	content, done, err := decompress(f)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w: %v", path, ErrMalformed, err)
	}
	defer done()
	s := &source{path: path, r: bufio.NewReaderSize(content, 64<<10)}
	head, err := s.r.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, s.broken(err)
	}
	if len(head) == 0 {
		return nil, fmt.Errorf("input %s: %w: the file is empty", path, ErrEmpty)
	}
	read := recognise(head, path)
	if read == nil {
		return nil, &FormatError{Path: path, Known: known}
	}
	return read(s, o)
}

// decompress looks at the first bytes and unpacks what they announce.
func decompress(f io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReader(f)
	magic, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	nothing := func() {}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		return z, nothing, err
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One frame's window may ask for gigabytes; the formats here need no
		// more than this.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		z, err := xz.ReaderConfig{DictCap: 1 << 20}.NewReader(b)
		return z, nothing, err
	}
	return b, nothing, nil
}

// recognise returns the reader of the format that head is in, or nil.
func recognise(head []byte, path string) reader {
	if isBinary(head) {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".xz") || strings.HasSuffix(name, ".trace") {
			return readShopTrace
		}
		return nil
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	first := strings.TrimRight(string(line), "\r")
	switch {
	case strings.HasPrefix(first, "host\tlogname\ttime\tmethod\turl\t"):
		return readLogTSV
	case strings.HasPrefix(first, "SessionId\tItemId\tTime"):
		return readClicks
	case strings.HasPrefix(first, "version,time,op,size,lbn"):
		return readBlockIO
	case strings.HasPrefix(first, "op_time,key,key_size,op,"):
		return readKeyValue
	}
	if t := bytes.TrimSpace(head); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		return readDebeziumFile
	}
	switch {
	case arcLine.MatchString(first):
		return readARC
	case lirsLine.MatchString(first):
		return readLIRS
	case commonLog.MatchString(first):
		return readCommonLog
	}
	return nil
}

// isBinary reports whether content holds bytes that no text has.
func isBinary(head []byte) bool {
	return bytes.IndexByte(head, 0) >= 0
}
