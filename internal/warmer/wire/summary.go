package wire

import (
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
)

// Limits of a [Summary].
const (
	MaxReads  = 4096 // keys in one summary
	MaxTags   = 16   // tags that a summary tells of one key
	MaxWindow = time.Hour
	maxCount  = 1 << 40
)

// Summary says which keys one node read most in one window of time.
type Summary struct {
	Node events.NodeID
	// Window is how long the node gathered; whole milliseconds.
	Window time.Duration
	Reads  []Read
}

// Read is one key's part of a [Summary].
type Read struct {
	Key string
	// Count is the estimated number of reads in the window.
	Count uint64
	// Tags are those of the copy that was read, or as many as fit. They let
	// the warmer tell which keys a fence of a tag killed.
	Tags []string
}

// Append validates s and appends its wire form to dst; on an error dst is
// returned as it was.
func (s *Summary) Append(dst []byte) ([]byte, error) {
	if err := s.validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	b := msgp.AppendArrayHeader(dst, 4)
	b = msgp.AppendUint64(b, Version)
	b = msgp.AppendString(b, string(s.Node))
	b = msgp.AppendUint64(b, uint64(s.Window.Milliseconds()))
	b = msgp.AppendArrayHeader(b, uint32(len(s.Reads)))
	for i := range s.Reads {
		b = s.Reads[i].append(b)
	}
	if n := len(b) - start; n > MaxMessage {
		return dst, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, n, MaxMessage)
	}
	return b, nil
}

func (r *Read) append(b []byte) []byte {
	b = msgp.AppendArrayHeader(b, 3)
	b = msgp.AppendString(b, r.Key)
	b = msgp.AppendUint64(b, min(r.Count, maxCount))
	b = msgp.AppendArrayHeader(b, uint32(len(r.Tags)))
	for _, t := range r.Tags {
		b = msgp.AppendString(b, t)
	}
	return b
}

// Size returns an upper bound of the bytes that r takes in a summary.
func (r *Read) Size() int {
	const head = 5 // of a string or array; nothing here is longer than 4 GiB
	n := 1 + head + len(r.Key) + 9 + head
	for _, t := range r.Tags {
		n += head + len(t)
	}
	return n
}

func (s *Summary) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: summary: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Node == "" || len(s.Node) > events.MaxNodeID:
		return bad("node id of %d bytes, want 1 to %d", len(s.Node), events.MaxNodeID)
	case s.Window <= 0 || s.Window > MaxWindow:
		return bad("window %v, want up to %v", s.Window, MaxWindow)
	case len(s.Reads) > MaxReads:
		return bad("%d keys, at most %d", len(s.Reads), MaxReads)
	}
	for i := range s.Reads {
		r := &s.Reads[i]
		if err := events.ValidateKey(r.Key); err != nil {
			return bad("%v", err)
		}
		if len(r.Tags) > MaxTags {
			return bad("%d tags, at most %d", len(r.Tags), MaxTags)
		}
		for _, t := range r.Tags {
			if err := events.ValidateTag(t); err != nil {
				return bad("%v", err)
			}
		}
	}
	return nil
}

// DecodeSummary reads a summary; it shares no memory with data.
func DecodeSummary(data []byte) (Summary, error) {
	var (
		r reader
		s Summary
	)
	fields := r.open(data)
	r.least("summary", fields, 3)
	s.Node = events.NodeID(r.string("node", events.MaxNodeID))
	s.Window = time.Duration(r.uint("window", uint64(MaxWindow.Milliseconds()))) * time.Millisecond
	n := r.array("keys", MaxReads)
	for range n {
		if r.err != nil {
			break
		}
		s.Reads = append(s.Reads, r.read())
	}
	r.skip("appended field", fields-3)
	if err := r.end(); err != nil {
		return Summary{}, err
	}
	if s.Window == 0 {
		return Summary{}, fmt.Errorf("%w: window: zero", ErrMalformed)
	}
	return s, nil
}

func (r *reader) read() Read {
	var v Read
	fields := r.array("read", MaxMessage)
	r.least("read", fields, 3)
	v.Key = r.string("key", events.MaxKey)
	v.Count = r.uint("count", maxCount)
	n := r.array("tags", MaxTags)
	for range n {
		if r.err != nil {
			break
		}
		v.Tags = append(v.Tags, r.string("tag", events.MaxTag))
	}
	r.skip("appended field", fields-3)
	return v
}
