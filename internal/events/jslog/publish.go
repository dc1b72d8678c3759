package jslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

const (
	// MaxPublishing bounds the publishes of one partition whose outcome is not
	// known yet, in the foreground and in the background together. Beyond it
	// Publish waits.
	MaxPublishing = 256
	// firstAnswer and longestAnswer bound how long one attempt waits for its
	// acknowledgement. An attempt given up is repeated, under the same id.
	firstAnswer   = time.Second
	longestAnswer = 8 * time.Second
	// firstPause and longestPause bound the pause before an attempt that
	// follows a refusal, such as by a stream without a leader.
	firstPause   = 10 * time.Millisecond
	longestPause = time.Second
)

// Codes of JetStream's errors that no later attempt will cure.
const (
	codeTooLarge    jetstream.ErrorCode = 10054 // message size exceeds maximum allowed
	codeWrongStream jetstream.ErrorCode = 10060 // expected stream does not match
	codeSealed      jetstream.ErrorCode = 10109 // invalid operation on sealed stream
	codeWrongID     jetstream.ErrorCode = 10070 // wrong last msg ID
	codeWrongLast   jetstream.ErrorCode = 10071 // wrong last sequence
)

// Publish implements [events.Log].
func (p *partition) Publish(ctx context.Context, id events.ID, data []byte) (events.Position, error) {
	return p.publish(ctx, id, data, p.header(id))
}

// PublishNext implements [events.Log]. The server compares both the position
// and the identity of its last record.
func (p *partition) PublishNext(ctx context.Context, last events.Mark, id events.ID, data []byte) (events.Position, error) {
	h := p.header(id)
	h[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(uint64(last.Position), 10)}
	h[jetstream.ExpectedLastMsgIDHeader] = []string{last.ID.String()}
	return p.publish(ctx, id, data, h)
}

// header names the record and the stream that must take it: another one that
// has got hold of the subject would acknowledge it too.
func (p *partition) header(id events.ID) nats.Header {
	h := nats.Header{jetstream.MsgIDHeader: {id.String()}}
	if !mutant.On(mutant.AnyStream) {
		h[jetstream.ExpectedStreamHeader] = []string{p.want.Name}
	}
	return h
}

func (p *partition) publish(ctx context.Context, id events.ID, data []byte, h nats.Header) (events.Position, error) {
	a := &publication{p: p, msg: &nats.Msg{Subject: p.want.Subjects[0], Header: h, Data: data}}
	refused := func(cause error) error {
		return &events.PublishError{ID: id, Outcome: events.ErrNotLanded, Cause: cause}
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, refused(ctx.Err())
	case <-p.closed.Done():
		return 0, refused(events.ErrClosed)
	}
	switch { // select chose at random
	case p.closed.Err() != nil:
		<-p.slots
		return 0, refused(events.ErrClosed)
	case ctx.Err() != nil:
		<-p.slots
		return 0, refused(ctx.Err())
	}
	at, err := a.run(ctx)
	switch {
	case err == nil:
		<-p.slots
		return at, nil
	case !a.uncertain:
		<-p.slots
		return 0, refused(err)
	case a.final:
		<-p.slots
	default:
		goesOn := p.background(func() {
			defer func() { <-p.slots }()
			// Whoever needs the outcome sees it in the log.
			_, _ = a.run(p.closed)
		})
		if !goesOn {
			<-p.slots
			err = events.ErrClosed
		}
	}
	return 0, &events.PublishError{ID: id, Outcome: events.ErrIndeterminate, Cause: err}
}

// publication is one record on its way into the log.
type publication struct {
	p   *partition
	msg *nats.Msg
	// uncertain: an attempt ended without an answer, so that the record may
	// have landed or may be on its way still.
	uncertain bool
	// final: the log refuses the record for good.
	final bool
}

// run tries until the record landed, is refused for good, or ctx or the log
// ends.
func (a *publication) run(ctx context.Context) (events.Position, error) {
	wait, pause := firstAnswer, firstPause
	for {
		at, err := a.attempt(ctx, wait)
		switch {
		case err == nil:
			return at, nil
		case a.final:
			return 0, err
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case a.p.closed.Err() != nil:
			return 0, events.ErrClosed
		case errors.Is(err, context.DeadlineExceeded):
			wait = min(2*wait, longestAnswer)
			continue
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-a.p.closed.Done():
			return 0, events.ErrClosed
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// attempt publishes once. It notes whether the record may have landed in spite
// of an error.
func (a *publication) attempt(ctx context.Context, wait time.Duration) (events.Position, error) {
	nc := a.p.nc
	// While the connection is down nothing is sent: the client would keep the
	// record and send it at a time of its own, and "not landed" could no
	// longer be told from "unknown".
	switch nc.Status() {
	case nats.CONNECTED, nats.DRAINING_SUBS:
	case nats.CLOSED:
		a.final = true
		return 0, nats.ErrConnectionClosed
	default:
		return 0, nats.ErrDisconnected
	}
	reply, err := a.p.asking.ask(ctx, a.p.closed, a.msg, wait)
	switch {
	case err == nil:
	case errors.Is(err, nats.ErrMaxPayload):
		a.final = true
		return 0, fmt.Errorf("%w: %w", events.ErrTooLarge, err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded):
		return 0, err // nobody got it
	default:
		a.uncertain = true
		return 0, err
	}
	return a.answer(reply.Data)
}

// answer reads an acknowledgement.
func (a *publication) answer(data []byte) (events.Position, error) {
	var ack struct {
		Stream string              `json:"stream"`
		Seq    uint64              `json:"seq"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		a.uncertain = true
		return 0, fmt.Errorf("acknowledgement: %w", err)
	}
	switch {
	case ack.Error == nil && ack.Stream == a.p.want.Name && ack.Seq > 0:
		return events.Position(ack.Seq), nil
	case ack.Error == nil:
		// Someone else listens on the subject and answers.
		a.uncertain = true
		return 0, fmt.Errorf("acknowledgement names stream %q position %d, want stream %q", ack.Stream, ack.Seq, a.p.want.Name)
	}
	switch ack.Error.ErrorCode {
	case codeTooLarge, codeWrongStream, codeSealed:
		a.final = true
	case codeWrongID, codeWrongLast:
		// An earlier attempt that landed without an answer reads like this, too.
		a.final = true
		return 0, fmt.Errorf("stream %s: %w: %w", a.p.want.Name, events.ErrNotNext, ack.Error)
	}
	if ack.Error.Code >= 500 {
		// A server that failed while it stored may have stored.
		a.uncertain = true
	}
	return 0, fmt.Errorf("stream %s: %w", a.p.want.Name, ack.Error)
}
