package peers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/turn"
)

// Line carries what nodes say about loads, over a connection, which it does
// not close. It serves one node. It is safe for concurrent use.
//
// Subjects: tercet.<domain>.filled.<bucket> for announcements,
// tercet.<domain>.once.<incarnation> for requests to an owner, answered to
// the inbox that they name.
type Line struct {
	nc     *nats.Conn
	prefix string // tercet.<domain>.

	mu     sync.Mutex
	filled func(turn.Filled) // nil: it does not serve
	heard  map[int]*hearing
}

// hearing is a bucket that is listened to.
type hearing struct {
	sub    *nats.Subscription
	active chan struct{} // closed when the server knows of it, or err is set
	err    error
}

var _ node.Line = (*Line)(nil)

// hearTimeout bounds how long the server may take to note a subscription.
const hearTimeout = 2 * time.Second

// errNotServing reports a line that is used before or after Serve.
var errNotServing = errors.New("line does not serve")

// NewLine returns a node's line in a domain.
func NewLine(nc *nats.Conn, domain string) (*Line, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return nil, err
	}
	return &Line{nc: nc, prefix: "tercet." + domain + "."}, nil
}

// Announce implements [node.Line].
func (l *Line) Announce(f turn.Filled) error {
	return l.nc.Publish(l.bucket(turn.Bucket(f.Key)), append([]byte{version}, appendFilled(nil, &f)...))
}

// Hear implements [node.Line]. What is listened to once is listened to until
// Serve ends: a bucket that was waited for will be waited for again.
func (l *Line) Hear(ctx context.Context, bucket int) (fresh bool, err error) {
	l.mu.Lock()
	filled := l.filled
	h := l.heard[bucket]
	if filled != nil && h == nil {
		fresh = true
		h = &hearing{active: make(chan struct{})}
		l.heard[bucket] = h
	}
	l.mu.Unlock()
	if filled == nil {
		return false, errNotServing
	}
	if !fresh {
		select {
		case <-h.active:
			return false, h.err
		default:
		}
		select {
		case <-h.active:
			return h.err == nil, h.err // another began it, and nothing was heard when we asked
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	h.sub, h.err = l.nc.Subscribe(l.bucket(bucket), func(m *nats.Msg) {
		if f, err := decodeAnnouncement(m.Data); err == nil {
			filled(f)
		}
	})
	if h.err == nil {
		flushing, cancel := context.WithTimeout(ctx, hearTimeout)
		h.err = l.nc.FlushWithContext(flushing)
		cancel()
	}
	if h.err != nil {
		l.mu.Lock()
		if l.heard[bucket] == h {
			delete(l.heard, bucket)
		}
		l.mu.Unlock()
		h.end()
	}
	close(h.active)
	return h.err == nil, h.err
}

// end drops the subscription; a closed connection has ended it already.
func (h *hearing) end() {
	if h.sub != nil {
		_ = h.sub.Unsubscribe()
	}
}

// Request implements [node.Line].
func (l *Line) Request(ctx context.Context, to events.Incarnation, q node.TurnRequest) (node.TurnReply, error) {
	if !l.nc.IsConnected() {
		return node.TurnReply{}, fmt.Errorf("ask the owner %s: %w", to, nats.ErrDisconnected)
	}
	m, err := l.nc.RequestWithContext(ctx, l.prefix+"once."+to.String(), appendTurnRequest(nil, q))
	if err != nil {
		return node.TurnReply{}, fmt.Errorf("ask the owner %s: %w", to, err)
	}
	return decodeTurnReply(m.Data)
}

// Serve implements [node.Line].
func (l *Line) Serve(ctx context.Context, self events.Incarnation, filled func(turn.Filled), asked func(node.TurnRequest) node.TurnReply) error {
	requests, err := l.nc.Subscribe(l.prefix+"once."+self.String(), func(m *nats.Msg) {
		if q, err := decodeTurnRequest(m.Data); err == nil {
			_ = m.Respond(appendTurnReply(nil, asked(q))) // who asked goes on without
		}
	})
	if err != nil {
		return fmt.Errorf("listen for requests of turns: %w", err)
	}
	l.mu.Lock()
	l.filled, l.heard = filled, make(map[int]*hearing)
	l.mu.Unlock()
	<-ctx.Done()
	_ = requests.Unsubscribe() // a closed connection has ended it already
	l.mu.Lock()
	heard := l.heard
	l.filled, l.heard = nil, nil
	l.mu.Unlock()
	for _, h := range heard {
		<-h.active
		h.end()
	}
	return ctx.Err()
}

func (l *Line) bucket(b int) string { return l.prefix + "filled." + strconv.Itoa(b) }
