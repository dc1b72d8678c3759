package resp

import (
	"bytes"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

var small = limits{args: 8, bulk: 64, command: 256}

// What frame lets through, redcon parses whole, and in the same way however it
// arrived.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		"PING\r\n", "*1\r\n$4\r\nPING\r\n", "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "*0\r\n", "\r\n", "set \"a b\" 'c'\n",
		"*1\r\n$9223372036854775807\r\n", "*-1\r\n", "$5\r\n", "*1\r\n$1\r\nabc", "*01\r\n$+1\r\nx\r\n",
	} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		split := func(step int) (commands [][]string, failed string) {
			var fr frame
			buf := []byte(nil)
			for rest := stream; ; {
				n, err := fr.next(buf, small)
				switch {
				case err != nil:
					return commands, err.Error()
				case n > len(buf) || n < 0:
					t.Fatalf("frame of %d bytes in %d", n, len(buf))
				case n > 0:
					complete, args, _, left, err := redcon.ReadNextCommand(buf[:n], nil)
					if err == nil && (!complete || len(left) != 0) {
						t.Fatalf("%q: complete %v, left %q", buf[:n], complete, left)
					}
					if err != nil {
						return commands, err.Error()
					}
					var words []string
					for _, a := range args {
						words = append(words, string(a))
					}
					commands = append(commands, words)
					buf = buf[n:]
				case len(rest) == 0:
					return commands, ""
				default:
					k := min(step, len(rest))
					buf = append(bytes.Clone(buf), rest[:k]...)
					rest = rest[k:]
				}
			}
		}
		whole, err1 := split(len(stream) + 1)
		pieces, err2 := split(int(step)%16 + 1)
		if len(whole) != len(pieces) || err1 != err2 {
			t.Fatalf("%q: %q, %q at once; %q, %q in pieces", stream, whole, err1, pieces, err2)
		}
		for i := range whole {
			if len(whole[i]) != len(pieces[i]) {
				t.Fatalf("command %d: %q and %q", i, whole[i], pieces[i])
			}
			for j := range whole[i] {
				if whole[i][j] != pieces[i][j] {
					t.Fatalf("command %d: %q and %q", i, whole[i], pieces[i])
				}
			}
		}
	})
}

// Whatever the options are, parsers neither panic nor accept what contradicts
// itself.
func FuzzOptions(f *testing.F) {
	f.Add([]byte("ex 10 nx get"))
	f.Add([]byte("tag a b ex 5 priority low everywhere"))
	f.Add([]byte("key a b soft everywhere"))
	f.Add([]byte("match [^a-z]\\ count 5 type string"))
	f.Fuzz(func(t *testing.T, line []byte) {
		args := bytes.Split(line, []byte(" "))
		if o, err := parseSet(args, time.Now()); err == nil {
			if o.ifAbsent && o.ifPresent || o.keepTTL && o.ttl != 0 || o.ttl < 0 {
				t.Errorf("%q: %+v", line, o)
			}
		}
		if o, err := parseTercetSet(args); err == nil && o.TTL < 0 {
			t.Errorf("%q: %+v", line, o)
		}
		if inv, _, err := parseInvalidate(args); err == nil && inv.Scope.Empty() {
			t.Errorf("%q: covers nothing", line)
		}
		if x, err := parseConditions(args); err == nil && x&onlyNone != 0 && x.allow(1, 1) {
			t.Errorf("%q: NX allows a key with an end", line)
		}
		if o, err := parseScan(args); err == nil && (o.count < 1 || o.count > maxScan) {
			t.Errorf("%q: %+v", line, o)
		}
	})
}

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern  string
		yes, not []string
	}{
		{"*", []string{"", "a", "a\nb", "\xff"}, nil},
		{"a?c", []string{"abc", "a\xffc", "a.c"}, []string{"ac", "abbc", "xabc"}},
		{"[a-c]x", []string{"ax", "cx"}, []string{"dx", "x"}},
		{"[c-a]x", []string{"bx"}, []string{"dx"}},
		{"[^a-c]", []string{"d", "-"}, []string{"a", ""}},
		{`[\]]`, []string{"]"}, []string{`\`}},
		{"[]x", nil, []string{"x", "[]x"}},
		{"[ab", []string{"a", "b"}, []string{"[ab"}},
		{`\*`, []string{"*"}, []string{"a"}},
		{`a\`, []string{`a\`}, []string{"a"}},
		{"a.c+$", []string{"a.c+$"}, []string{"abc+$"}},
		{"é*", []string{"été"}, []string{"e"}},
	} {
		m, err := compile([]byte(tc.pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range tc.yes {
			if !m(k) {
				t.Errorf("%q does not match %q", tc.pattern, k)
			}
		}
		for _, k := range tc.not {
			if m(k) {
				t.Errorf("%q matches %q", tc.pattern, k)
			}
		}
	}
}

func TestCursorsForgetTheOldest(t *testing.T) {
	c := newCursors(2)
	a, b := c.number("a"), c.number("b")
	if c.number("a") != a {
		t.Error("one cursor has two numbers")
	}
	x := c.number("x")
	if _, ok := c.cursor(b); ok {
		t.Error("the oldest is still known")
	}
	for n, want := range map[uint64]string{0: "", a: "a", x: "x"} {
		if got, ok := c.cursor(n); !ok || got != want {
			t.Errorf("%d: %q, %v; want %q", n, got, ok, want)
		}
	}
}
