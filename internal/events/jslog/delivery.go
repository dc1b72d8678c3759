package jslog

import (
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// delivery reads a record out of a message that a consumer delivered.
func delivery(m *nats.Msg) (events.Delivery, bool) {
	position, at, ok := place(m.Reply)
	if !ok {
		return events.Delivery{}, false
	}
	d := events.Delivery{Mark: events.Mark{Position: position, Time: at}, Data: m.Data}
	if text := m.Header[jetstream.MsgIDHeader]; len(text) == 1 {
		if id, err := events.ParseID(text[0]); err == nil {
			d.ID = id
			return d, true
		}
	}
	d.ID = events.ForeignID(m.Data)
	return d, true
}

// place reads position and timestamp out of a delivery's reply subject:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>[.<more>]
//
// jetstream.Msg.Metadata does the same at ten times the price.
func place(reply string) (events.Position, int64, bool) {
	const prefix = "$JS.ACK."
	if !strings.HasPrefix(reply, prefix) {
		return 0, 0, false
	}
	skip := 3
	if strings.Count(reply, ".") > 8 {
		skip = 5
	}
	rest := reply[len(prefix):]
	for range skip {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return 0, 0, false
		}
		rest = after
	}
	position, rest, ok := number(rest)
	if !ok || position == 0 {
		return 0, 0, false
	}
	if _, rest, ok = number(rest); !ok { // the consumer's own sequence
		return 0, 0, false
	}
	at, _, ok := number(rest)
	return events.Position(position), int64(at), ok
}

// number reads a decimal number and the dot behind it.
func number(s string) (n uint64, rest string, ok bool) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			return n, s[i+1:], i > 0
		case c < '0' || c > '9' || i > 18:
			return 0, "", false
		}
		n = n*10 + uint64(c-'0')
	}
	return 0, "", false
}
