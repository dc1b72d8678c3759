package peers

import (
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/turn"
)

func appendClaim(b []byte, c turn.Claim) []byte {
	b = msgp.AppendUint64(b, uint64(c.Epoch))
	b = msgp.AppendBytes(b, []byte(c.Key))
	b = msgp.AppendBytes(b, c.Token.Publisher[:])
	b = msgp.AppendUint64(b, c.Token.Counter)
	return msgp.AppendUint64(b, uint64(c.Since))
}

func (r *reader) claim() (c turn.Claim) {
	c.Epoch = events.Epoch(r.uint())
	c.Key = string(r.bytes(events.MaxKey))
	r.fixed(c.Token.Publisher[:])
	c.Token.Counter = r.uint()
	c.Since = events.Position(r.uint())
	return c
}

// appendFilled writes an announcement; nil stands for none.
func appendFilled(b []byte, f *turn.Filled) []byte {
	if f == nil {
		return msgp.AppendUint64(b, 0)
	}
	b = msgp.AppendUint64(b, uint64(f.Outcome))
	b = appendClaim(b, f.Claim)
	b = msgp.AppendBytes(b, f.Entry)
	b = msgp.AppendUint64(b, uint64(f.At))
	return msgp.AppendBytes(b, f.Digest[:])
}

func (r *reader) filled() *turn.Filled {
	o := r.uint()
	switch {
	case o == 0:
		return nil
	case o > uint64(turn.Unshared):
		r.bad = true
		return nil
	}
	f := &turn.Filled{Outcome: turn.Outcome(o), Claim: r.claim()}
	f.Entry = r.bytes(len(r.b))
	f.At = events.Position(r.uint())
	r.fixed(f.Digest[:])
	return f
}

func decodeAnnouncement(b []byte) (turn.Filled, error) {
	r := reader{b: b}
	r.version()
	f := r.filled()
	if f == nil {
		r.bad = true
		f = &turn.Filled{}
	}
	return *f, r.end()
}

func appendTurnRequest(b []byte, q node.TurnRequest) []byte {
	b = append(b, version)
	b = msgp.AppendUint64(b, uint64(q.Op))
	b = appendClaim(b, q.Claim)
	b = msgp.AppendUint64(b, uint64(q.Need))
	b = msgp.AppendInt64(b, int64(q.For))
	b = msgp.AppendBool(b, q.Anew)
	return appendFilled(b, q.Filled)
}

func decodeTurnRequest(b []byte) (node.TurnRequest, error) {
	var q node.TurnRequest
	r := reader{b: b}
	r.version()
	op := r.uint()
	r.bad = r.bad || op < uint64(node.TakeTurn) || op > uint64(node.ReleaseTurn)
	q.Op = node.TurnOp(op)
	q.Claim = r.claim()
	q.Need = events.Position(r.uint())
	q.For = r.duration()
	q.Anew = r.bool()
	q.Filled = r.filled()
	return q, r.end()
}

func appendTurnReply(b []byte, a node.TurnReply) []byte {
	b = append(b, version)
	for _, v := range []bool{a.Answer.Granted, a.Answer.Held, a.Extended, a.Ended.Lost, a.Ended.Waited} {
		b = msgp.AppendBool(b, v)
	}
	b = msgp.AppendInt64(b, int64(a.Answer.Left))
	return appendFilled(b, a.Answer.Filled)
}

func decodeTurnReply(b []byte) (node.TurnReply, error) {
	var a node.TurnReply
	r := reader{b: b}
	r.version()
	for _, v := range []*bool{&a.Answer.Granted, &a.Answer.Held, &a.Extended, &a.Ended.Lost, &a.Ended.Waited} {
		*v = r.bool()
	}
	a.Answer.Left = r.duration()
	a.Answer.Filled = r.filled()
	return a, r.end()
}

// longest bounds what another node may make this one wait for or remember.
const longest = time.Hour

func (r *reader) duration() time.Duration {
	d := time.Duration(field(r, msgp.ReadInt64Bytes))
	r.bad = r.bad || d < 0 || d > longest
	return d
}

func (r *reader) bool() bool { return field(r, msgp.ReadBoolBytes) }

// bytes returns at most so many bytes, which are the message's.
func (r *reader) bytes(most int) []byte {
	v := field(r, msgp.ReadBytesZC)
	if len(v) > most {
		r.bad = true
		return nil
	}
	return v
}
