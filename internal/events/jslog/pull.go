package jslog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxBatch and maxBatchBytes bound what the sink gets at once.
	maxBatch      = 1024
	maxBatchBytes = 4 << 20
	// window and windowBytes bound what the server may send ahead of us.
	window      = 2 * maxBatch
	windowBytes = 2 * maxBatchBytes

	heartbeat = time.Second
	// silence is how long a consumer may say nothing, not even a heartbeat.
	silence = 2500 * time.Millisecond
	// idleHeartbeats is after how many heartbeats in a row without a record
	// the stream itself is asked.
	idleHeartbeats = 5
	pullExpires    = 30 * time.Second
)

var (
	// errIdle reports that nothing came for a while, though the consumer lives.
	errIdle = errors.New("nothing was delivered for a while")
	// errSilent reports a consumer that gives no sign of life.
	errSilent = errors.New("consumer fell silent")
	// errReconnected reports that the connection was lost and found.
	errReconnected = errors.New("connection was re-established")
)

// pull asks a consumer for messages, always ahead of need, and gathers what
// has come into batches. It is used by one goroutine.
//
// nats.go's Consume does the same with a goroutine, a timer and a callback per
// message in between; here messages go from the connection's reader straight
// into a channel.
type pull struct {
	nc      *nats.Conn
	subject string
	inbox   string
	sub     *nats.Subscription
	in      chan *nats.Msg
	status  chan nats.Status
	timer   *time.Timer

	// What the server may still send of what it was asked for.
	messages, bytes int
	batch           []*nats.Msg
	beats           int   // heartbeats since the last message
	failed          error // met behind a message that had to be delivered first
}

func newPull(nc *nats.Conn, stream, consumer string) (*pull, error) {
	p := &pull{
		nc:      nc,
		subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer,
		inbox:   nc.NewInbox(),
		// Never full: the server sends no more than it was asked for, plus
		// now and then a word about a request.
		in:     make(chan *nats.Msg, window+256),
		status: nc.StatusChanged(nats.CONNECTED, nats.CLOSED),
		timer:  time.NewTimer(silence),
	}
	sub, err := nc.ChanSubscribe(p.inbox, p.in)
	if err != nil {
		p.timer.Stop()
		nc.RemoveStatusListener(p.status)
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	p.sub = sub
	if err := p.request(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pull) stop() {
	p.timer.Stop()
	_ = p.sub.Unsubscribe() // fails only with the connection
	p.nc.RemoveStatusListener(p.status)
}

// request asks for as much as fills the window.
func (p *pull) request() error {
	messages, bytes := window-p.messages, windowBytes-p.bytes
	body := make([]byte, 0, 128)
	body = append(body, `{"expires":`...)
	body = strconv.AppendInt(body, int64(pullExpires), 10)
	body = append(body, `,"batch":`...)
	body = strconv.AppendInt(body, int64(messages), 10)
	body = append(body, `,"max_bytes":`...)
	body = strconv.AppendInt(body, int64(bytes), 10)
	body = append(body, `,"idle_heartbeat":`...)
	body = strconv.AppendInt(body, int64(heartbeat), 10)
	body = append(body, '}')
	if err := p.nc.PublishRequest(p.subject, p.inbox, body); err != nil {
		return fmt.Errorf("ask for records: %w", err)
	}
	p.messages += messages
	p.bytes += bytes
	return nil
}

// next waits for a message and returns it with all that came by then. The
// slice is reused at the next call.
func (p *pull) next(ctx context.Context) ([]*nats.Msg, error) {
	if p.failed != nil {
		return nil, p.failed
	}
	clear(p.batch) // don't keep the last batch's records alive
	p.batch = p.batch[:0]
	size := 0
	for len(p.batch) == 0 {
		m, err := p.wait(ctx)
		if err != nil {
			return nil, err
		}
		n, err := p.take(m)
		if err != nil {
			return nil, err
		}
		size += n
	}
	for len(p.batch) < maxBatch && size < maxBatchBytes {
		select {
		case m := <-p.in:
			n, err := p.take(m)
			if err != nil {
				p.failed = err
				return p.batch, nil
			}
			size += n
			continue
		default:
		}
		break
	}
	if p.hungry() {
		p.failed = p.request()
	}
	return p.batch, nil
}

func (p *pull) wait(ctx context.Context) (*nats.Msg, error) {
	select {
	case m := <-p.in:
		return m, nil
	default:
	}
	p.timer.Reset(silence)
	select {
	case m := <-p.in:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.status:
		// Requests died with the connection, and so may have the consumer.
		return nil, errReconnected
	case <-p.timer.C:
		return nil, errSilent
	}
}

// take accounts for a message. A record goes into the batch, and its size is
// returned; a word about a request is acted on.
func (p *pull) take(m *nats.Msg) (int, error) {
	status := ""
	if len(m.Data) == 0 && m.Subject == p.inbox {
		status = m.Header.Get("Status")
	}
	switch status {
	case "":
		p.messages--
		p.bytes -= m.Size()
		p.beats = 0
		p.batch = append(p.batch, m)
		return m.Size(), nil
	case "100":
		p.beats++
		if p.beats%idleHeartbeats == 0 && len(p.batch) == 0 {
			return 0, errIdle
		}
		return 0, nil
	}
	// A request ended: it ran out of time or of bytes. What remained of it
	// will not come. Any other word (the consumer was deleted, the server goes
	// down, nobody responds) names no remainder.
	messages, err1 := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	bytes, err2 := strconv.Atoi(m.Header.Get("Nats-Pending-Bytes"))
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("consumer ended: %s %s", status, m.Header.Get("Description"))
	}
	p.messages = max(0, p.messages-messages)
	p.bytes = max(0, p.bytes-bytes)
	if p.hungry() {
		return 0, p.request()
	}
	return 0, nil
}

func (p *pull) hungry() bool { return p.messages < window/2 || p.bytes < windowBytes/2 }
