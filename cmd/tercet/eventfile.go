package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxEvent bounds one event, in bytes: NATS takes no larger message by default.
const maxEvent = 1 << 20

var errEventTooLong = fmt.Errorf("longer than %d bytes", maxEvent)

// eventFile reads events one by one: JSON objects on a line each, a JSON array
// of them (as CloudEvents' batches are), or objects one behind the other.
type eventFile struct {
	read  *counter
	buf   *bufio.Reader
	size  int64 // of the file in bytes; 0: unknown
	close func() error

	// unit is what at counts: "line" or "event".
	unit    string
	at      int
	decoder *json.Decoder // nil: by lines
	array   bool          // it holds arrays of events
	inside  bool          // an array was begun
}

// openEvents opens a file of events; "-" is standard input.
func (a *app) openEvents(name string) (*eventFile, error) {
	if name == "-" {
		return newEventFile(a.in, 0), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("%v", err)
	}
	var size int64
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	e := newEventFile(f, size)
	e.close = f.Close
	return e, nil
}

func newEventFile(r io.Reader, size int64) *eventFile {
	read := &counter{r: r}
	f := &eventFile{read: read, buf: bufio.NewReaderSize(read, 64<<10), size: size, close: func() error { return nil }, unit: "line"}
	if !f.linewise() {
		f.unit, f.decoder = "event", json.NewDecoder(f.buf)
	}
	return f
}

// linewise reports whether the input is to be read by lines: it does not begin
// with an array, nor with an object that goes on behind its line.
func (f *eventFile) linewise() bool {
	head, _ := f.buf.Peek(f.buf.Size()) // whatever is there decides
	head = bytes.TrimLeft(head, " \t\r\n")
	if f.array = len(head) > 0 && head[0] == '['; f.array {
		return false
	}
	line, _, whole := bytes.Cut(head, []byte("\n"))
	var v json.RawMessage
	return !whole || !errors.Is(json.NewDecoder(bytes.NewReader(line)).Decode(&v), io.ErrUnexpectedEOF)
}

// next returns an event's text. An error other than [io.EOF] is about this
// event; if it wraps errUnreadable, there are no more.
func (f *eventFile) next() ([]byte, error) {
	if f.decoder != nil {
		return f.nextValue()
	}
	for {
		f.at++
		line, err := f.line()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

// errUnreadable ends the reading of a file.
var errUnreadable = errors.New("the rest can't be read")

// line returns the next line without its end; one that is too long is skipped
// and reported as such.
func (f *eventFile) line() ([]byte, error) {
	var line []byte
	for {
		part, err := f.buf.ReadSlice('\n')
		if len(line) <= maxEvent {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			if len(line) > maxEvent {
				return nil, errEventTooLong
			}
			return bytes.TrimSpace(line), nil
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("%w: %w", errUnreadable, err)
		}
	}
}

func (f *eventFile) nextValue() ([]byte, error) {
	for f.array && (!f.inside || !f.decoder.More()) {
		// The end of an array, or the beginning of the first or another one.
		t, err := f.decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && !f.inside:
			return nil, io.EOF
		case err != nil:
			return nil, f.broken(err)
		case t == json.Delim('['):
			f.inside = true
		case t == json.Delim(']'):
			f.inside = false
		default:
			return nil, f.broken(fmt.Errorf("%v behind an array", t))
		}
	}
	f.at++
	var raw json.RawMessage
	switch err := f.decoder.Decode(&raw); {
	case errors.Is(err, io.EOF) && !f.inside:
		return nil, io.EOF
	case err != nil:
		return nil, f.broken(err)
	case len(raw) > maxEvent:
		return nil, errEventTooLong
	}
	return raw, nil
}

func (f *eventFile) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", errUnreadable, err)
}

// share is how much of the file was read, from 0 to 1; 0 where it has no size.
func (f *eventFile) share() float64 {
	if f.size == 0 {
		return 0
	}
	return min(1, float64(f.read.n)/float64(f.size))
}

// counter counts the bytes that were read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
