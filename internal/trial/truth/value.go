package truth

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// A value is text, so that a person who asks a node for a key can read it:
//
//	<key>
//	commit <number>
//	rows <row> <row> …
//	sum <hash of all above and of the filler, in hexadecimal>
//	<filler>
//
// The filler makes values as large as a cache's values are, 64 to 1024 bytes
// by the key, and is itself made from key and number.
type value struct {
	key    string
	number uint64
	rows   []string
}

const (
	leastFiller = 64
	mostFiller  = 1024
)

func encode(key string, number uint64, rows []string) []byte {
	size := fillerSize(key)
	b := make([]byte, 0, len(key)+size+64+24*len(rows))
	b = append(b, strconv.Quote(key)...)
	b = append(b, "\ncommit "...)
	b = strconv.AppendUint(b, number, 10)
	b = append(b, "\nrows"...)
	for _, r := range rows {
		b = append(b, ' ')
		b = append(b, strconv.Quote(r)...)
	}
	sum := xxhash.Sum64(b)
	b = append(b, "\nsum "...)
	b = strconv.AppendUint(b, sum, 16)
	b = append(b, '\n')
	f := filler(sum)
	for range size {
		b = append(b, f.next())
	}
	return b
}

// fillerSize spreads sizes evenly over the keys.
func fillerSize(key string) int {
	return leastFiller + int(xxhash.Sum64String(key)%(mostFiller-leastFiller+1))
}

// filler yields characters that follow from its seed.
type filler uint64

func (f *filler) next() byte {
	const letters = "abcdefghijklmnopqrstuvwxyz-+ 0123456789ABCDEFGHIJKLMNOPQRSTUVWXY"
	x := uint64(*f) | 1 // xorshift must not start at 0
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*f = filler(x)
	return letters[x>>32&63]
}

// fills reports whether b is what the filler yields.
func (f filler) fills(b []byte) bool {
	for _, c := range b {
		if f.next() != c {
			return false
		}
	}
	return true
}

// decode reads what encode wrote, or says what is wrong with it.
func decode(payload []byte) (v value, wrong string) {
	head, rest, ok := bytes.Cut(payload, []byte("\nsum "))
	if !ok {
		return v, "it has no sum"
	}
	digits, fill, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return v, "it has no filler"
	}
	sum := xxhash.Sum64(head)
	if want := strconv.FormatUint(sum, 16); string(digits) != want {
		return v, "its sum does not fit"
	}
	lines := strings.SplitN(string(head), "\n", 3)
	if len(lines) != 3 {
		return v, "it has too few lines"
	}
	var err error
	if v.key, err = strconv.Unquote(lines[0]); err != nil {
		return v, "its key is not readable"
	}
	if v.number, err = strconv.ParseUint(strings.TrimPrefix(lines[1], "commit "), 10, 64); err != nil {
		return v, "its commit is not readable"
	}
	for rows := strings.TrimPrefix(lines[2], "rows"); rows != ""; {
		quoted, err := strconv.QuotedPrefix(strings.TrimPrefix(rows, " "))
		if err != nil {
			return v, "its rows are not readable"
		}
		row, _ := strconv.Unquote(quoted) // a quoted prefix has a meaning
		v.rows = append(v.rows, row)
		rows = rows[1+len(quoted):]
	}
	if len(fill) != fillerSize(v.key) || !filler(sum).fills(fill) {
		return v, "its filler is damaged"
	}
	return v, ""
}
