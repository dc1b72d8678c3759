package resp

import (
	"bytes"
	"strconv"
)

// protocolError is a malformed command. The connection ends with it, since
// nobody knows where the next one begins.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// maxInline bounds a command that is typed as a line. redcon's parser takes
// memory of the line's length for every word in it.
const maxInline = 4 << 10

// maxHeader bounds a line such as "$123\r\n".
const maxHeader = 32

// limits are what one command may be.
type limits struct {
	args    int // arguments, the name included
	bulk    int // bytes in an argument
	command int // bytes of the whole
}

// frame finds the end of the command at the start of a buffer that grows, and
// remembers how far it looked, so that a command that comes in many pieces is
// not looked at again from its start with each.
type frame struct {
	at      int // everything before it was looked at
	args    int // arguments still to come
	started bool
}

// next returns the length of the first command in buf, once it is whole; 0 as
// long as it is not. Between calls buf may only grow, until a length was
// returned; the next call begins with a new command.
func (f *frame) next(buf []byte, l limits) (int, error) {
	n, err := f.scan(buf, l)
	if n > 0 || err != nil {
		*f = frame{}
	}
	return n, err
}

func (f *frame) scan(buf []byte, l limits) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	if buf[0] != '*' {
		return f.inline(buf)
	}
	if !f.started {
		n, ok, err := f.header(buf, "invalid multibulk length")
		if !ok {
			return 0, err
		}
		if n < 0 || n > l.args {
			return 0, protocolError("invalid multibulk length")
		}
		f.args, f.started = n, true
	}
	for f.args > 0 {
		if f.at == len(buf) {
			return 0, nil
		}
		if buf[f.at] != '$' {
			return 0, protocolError("expected '$', got '" + printable(buf[f.at]) + "'")
		}
		start := f.at
		n, ok, err := f.header(buf, "invalid bulk length")
		if !ok {
			return 0, err
		}
		end := f.at + n + 2
		switch {
		case n < 0 || n > l.bulk:
			return 0, protocolError("invalid bulk length")
		case end > l.command:
			return 0, protocolError("command is too large")
		case end > len(buf):
			f.at = start // the header is read again once there is more
			return 0, nil
		case buf[end-2] != '\r' || buf[end-1] != '\n':
			return 0, protocolError("bulk is longer than its length")
		}
		f.at = end
		f.args--
	}
	return f.at, nil
}

func (f *frame) inline(buf []byte) (int, error) {
	if buf[0] == '$' {
		// To redcon that begins a command of another protocol.
		return 0, protocolError("expected '*', got '$'")
	}
	i := bytes.IndexByte(buf[f.at:], '\n')
	f.at += max(i, 0)
	switch {
	case i < 0 && len(buf) > maxInline, f.at > maxInline:
		return 0, protocolError("too big inline request")
	case i < 0:
		f.at = len(buf)
		return 0, nil
	}
	return f.at + 1, nil
}

// header reads the number of a line such as "*3\r\n" and moves behind it. It
// is not ok if there is no whole line yet, or if there is an error.
func (f *frame) header(buf []byte, complaint string) (n int, ok bool, err error) {
	line := buf[f.at:min(len(buf), f.at+maxHeader)]
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		if len(line) == maxHeader {
			return 0, false, protocolError(complaint)
		}
		return 0, false, nil
	}
	if end < 2 || line[end-1] != '\r' {
		return 0, false, protocolError(complaint)
	}
	v, err := strconv.ParseInt(string(line[1:end-1]), 10, 32)
	if err != nil {
		return 0, false, protocolError(complaint)
	}
	f.at += end + 1
	return int(v), true, nil
}

func printable(c byte) string {
	if c < ' ' || c > '~' {
		return "?"
	}
	return string(rune(c))
}
