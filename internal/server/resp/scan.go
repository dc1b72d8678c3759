package resp

import (
	"container/list"
	"context"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// cursors remembers where scans stand. A node's cursor is a text, a Redis
// client's a number, and the client may go on with it over another connection;
// so the server keeps the pairs, the most recent ones.
type cursors struct {
	most int

	mu    sync.Mutex
	byID  map[uint64]*list.Element // of place
	order *list.List               // oldest first
}

type place struct {
	id     uint64
	cursor string
}

func newCursors(most int) *cursors {
	return &cursors{most: most, byID: make(map[uint64]*list.Element), order: list.New()}
}

// number returns the number for a node's cursor; 0 for "", the end. The same
// cursor has the same number, so that many scans of one cache need few places.
func (s *cursors) number(cursor string) uint64 {
	if cursor == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(cursor)) // never fails
	id := h.Sum64()>>1 | 1         // some clients read it as a signed number
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		e, taken := s.byID[id]
		if !taken {
			break
		}
		if e.Value.(place).cursor == cursor {
			s.order.MoveToBack(e)
			return id
		}
		id += 2 // another cursor with the same hash
	}
	s.byID[id] = s.order.PushBack(place{id, cursor})
	if s.order.Len() > s.most {
		delete(s.byID, s.order.Remove(s.order.Front()).(place).id)
	}
	return id
}

// cursor returns the node's cursor for a number.
func (s *cursors) cursor(id uint64) (string, bool) {
	if id == 0 {
		return "", true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[id]
	if !ok {
		return "", false
	}
	return e.Value.(place).cursor, true
}

type scanOptions struct {
	match func(string) bool // nil: all
	count int
	none  bool // asks for keys of a type that there is none of
}

// maxScan bounds what one SCAN returns, and so looks at.
const maxScan = 10_000

func parseScan(args [][]byte) (scanOptions, error) {
	o := scanOptions{count: 10}
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			return o, errSyntax
		}
		arg := args[i+1]
		switch word(args[i]) {
		case "match":
			m, err := compile(arg)
			if err != nil {
				return o, err
			}
			o.match = m
		case "count":
			n, err := strconv.Atoi(string(arg))
			if err != nil {
				return o, errInteger
			}
			if n < 1 {
				return o, errSyntax
			}
			o.count = min(n, maxScan)
		case "type":
			o.none = word(arg) != "string"
		default:
			return o, errSyntax
		}
	}
	return o, nil
}

func cmdScan(c *conn, ctx context.Context, args [][]byte) error {
	id, err := strconv.ParseUint(string(args[0]), 10, 64)
	if err != nil {
		return errCursor
	}
	o, err := parseScan(args[1:])
	if err != nil {
		return err
	}
	from, ok := c.srv.cursors.cursor(id)
	if !ok {
		return replyError("ERR invalid cursor: unknown, or forgotten since many other scans began; start again at 0")
	}
	var keys []string
	next := ""
	if !o.none {
		next, err = c.srv.cache.Scan(ctx, from, o.count, func(key string) bool {
			if o.match == nil || o.match(key) {
				keys = append(keys, strings.Clone(key))
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	c.out.array(2)
	c.out.text(strconv.FormatUint(c.srv.cursors.number(next), 10))
	c.out.array(len(keys))
	for _, k := range keys {
		c.out.text(k)
	}
	return nil
}

// compile translates a pattern of Redis's kind (*, ?, [a-z], [^a], \x) into a
// regular expression, whose matching takes linear time whatever the pattern
// is.
func compile(pattern []byte) (func(string) bool, error) {
	const most = 1024
	if len(pattern) > most {
		return nil, replyError("ERR pattern of " + strconv.Itoa(len(pattern)) + " bytes is too long, at most " + strconv.Itoa(most))
	}
	var x strings.Builder
	x.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch ch := pattern[i]; ch {
		case '*':
			x.WriteString(`.*`)
		case '?':
			x.WriteString(`.`)
		case '[':
			i = class(&x, pattern, i+1)
		case '\\':
			if i+1 < len(pattern) {
				i++
			}
			hex(&x, pattern[i])
		default:
			hex(&x, ch)
		}
	}
	x.WriteString(`\z`)
	re, err := regexp.Compile(x.String())
	if err != nil {
		return nil, replyError("ERR invalid pattern")
	}
	return func(key string) bool { return re.MatchString(latin1(key)) }, nil
}

// class translates what stands behind '[' and returns the index of its end.
// Like Redis it takes an unclosed class as closed by the pattern's end.
func class(x *strings.Builder, pattern []byte, i int) int {
	negated := i < len(pattern) && pattern[i] == '^'
	if negated {
		i++
	}
	var in strings.Builder
	for ; i < len(pattern) && pattern[i] != ']'; i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			hex(&in, pattern[i])
		case i+2 < len(pattern) && pattern[i+1] == '-':
			low, high := pattern[i], pattern[i+2]
			hex(&in, min(low, high))
			in.WriteByte('-')
			hex(&in, max(low, high))
			i += 2
		default:
			hex(&in, pattern[i])
		}
	}
	switch {
	case in.Len() == 0 && negated:
		x.WriteString(`.`)
	case in.Len() == 0:
		x.WriteString(`[^\x{0}-\x{10FFFF}]`) // matches nothing
	case negated:
		x.WriteString(`[^` + in.String() + `]`)
	default:
		x.WriteString(`[` + in.String() + `]`)
	}
	return i
}

// hex writes one byte as an escape, so that no byte has a meaning of its own.
func hex(x *strings.Builder, b byte) {
	x.WriteString(`\x{` + strconv.FormatUint(uint64(b), 16) + `}`)
}

// latin1 makes each byte a character, since patterns match bytes.
func latin1(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
