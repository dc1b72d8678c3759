package pack

import (
	"bytes"
	"unicode/utf8"
)

// kind is what a payload seems to be.
type kind uint8

const (
	opaque kind = iota
	text
	json
)

// sniffed is how much of a payload tells its kind.
const sniffed = 512

// compressed are beginnings of formats in which nothing is left to save.
var compressed = [][]byte{
	{0x1f, 0x8b}, {0x28, 0xb5, 0x2f, 0xfd}, {0x04, 0x22, 0x4d, 0x18}, []byte("PK\x03\x04"), []byte("\x89PNG"),
	{0xff, 0xd8, 0xff}, []byte("GIF8"), []byte("RIFF"), []byte("BZh"), []byte("\xfd7zXZ"), []byte("%PDF"), []byte("OggS"),
}

// sniff judges p by its beginning.
func sniff(p []byte) kind {
	for _, c := range compressed {
		if bytes.HasPrefix(p, c) {
			return opaque
		}
	}
	head := p[:min(len(p), sniffed)]
	if !readable(head, len(head) < len(p)) {
		return opaque
	}
	if t := bytes.TrimLeft(head, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		return json
	}
	return text
}

// readable reports whether b is UTF-8 without control characters, but for those
// that lay text out; cut, if its last character may be incomplete.
func readable(b []byte, cut bool) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			return cut && !utf8.FullRune(b)
		case r < ' ' && r != '\n' && r != '\r' && r != '\t':
			return false
		}
		b = b[n:]
	}
	return true
}
