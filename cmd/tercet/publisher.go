package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// inFlight is how many events wait for their acknowledgement at a time.
const inFlight = 512

// shownProblems is how many problems are shown one by one.
const shownProblems = 10

// publisher sends events and gathers their acknowledgements, in order.
type publisher struct {
	js       jetstream.JetStream
	progress io.Writer
	result   published
	problems int
	last     error     // the last failure, as the cause of a partial one
	waiting  []pending // oldest first, at most inFlight
	shown    time.Time
}

type pending struct {
	line   int
	future jetstream.PubAckFuture
}

func newPublisher(js jetstream.JetStream, progress io.Writer) *publisher {
	return &publisher{js: js, progress: progress, shown: time.Now()}
}

// all publishes every line of r to subject, or each to that of its type.
func (p *publisher) all(ctx context.Context, r *bufio.Reader, subject string) (published, error) {
	for n := 1; ctx.Err() == nil; n++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && len(line) == 0 {
			continue
		}
		p.result.Read++
		if errors.Is(err, errLineTooLong) || err == nil {
			var m *nats.Msg
			if err == nil {
				m, err = message(line, subject)
			}
			if err != nil {
				p.result.Refused++
				p.problem(n, err)
				continue
			}
			p.send(ctx, n, m)
			p.report()
			continue
		}
		return p.result, fmt.Errorf("read line %d: %w", n, err)
	}
	for len(p.waiting) > 0 {
		p.settle(ctx)
		p.report()
	}
	if err := ctx.Err(); err != nil {
		return p.result, err
	}
	if p.result.Refused+p.result.Failed > 0 {
		err := fmt.Errorf("%w: %d refused, %d not acknowledged", errPartly, p.result.Refused, p.result.Failed)
		if p.last != nil {
			err = fmt.Errorf("%w, the last because: %w", err, p.last)
		}
		return p.result, err
	}
	return p.result, nil
}

func (p *publisher) send(ctx context.Context, line int, m *nats.Msg) {
	if len(p.waiting) == inFlight {
		p.settle(ctx)
	}
	f, err := p.js.PublishMsgAsync(m)
	if err != nil {
		p.fail(line, err)
		return
	}
	p.waiting = append(p.waiting, pending{line, f})
}

// settle waits for the oldest acknowledgement.
func (p *publisher) settle(ctx context.Context) {
	oldest := p.waiting[0]
	p.waiting = p.waiting[1:]
	select {
	case ack := <-oldest.future.Ok():
		p.result.Stored++
		if ack.Duplicate {
			p.result.Repeated++
		}
	case err := <-oldest.future.Err():
		p.fail(oldest.line, err)
	case <-ctx.Done():
		p.result.Failed++
	}
}

func (p *publisher) fail(line int, err error) {
	p.result.Failed++
	p.last = err
	p.problem(line, err)
}

func (p *publisher) problem(line int, err error) {
	p.problems++
	switch {
	case p.problems <= shownProblems:
		fmt.Fprintf(p.progress, "line %d: %v\n", line, err)
	case p.problems == shownProblems+1:
		fmt.Fprintln(p.progress, "further problems are only counted")
	}
}

// report tells of the progress once a second.
func (p *publisher) report() {
	if time.Since(p.shown) < time.Second {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.progress, "%d read, %d stored\n", p.result.Read, p.result.Stored)
}

// message makes a NATS message of an event, which it checks the way that the
// invalidator reads it.
func message(line []byte, subject string) (*nats.Msg, error) {
	all, err := domainevent.Decode(domainevent.Message{Body: line}, domainevent.Options{})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errNoEvent
	}
	e := all[0]
	if subject == "" {
		if subject, err = subjectOf(e.Type); err != nil {
			return nil, err
		}
	}
	m := nats.NewMsg(subject)
	if e.ID != "" && len(all) == 1 {
		m.Header.Set(nats.MsgIdHdr, e.Source+"|"+e.ID)
	}
	if e.Format == domainevent.FormatCloudEvents && len(all) == 1 {
		m.Header.Set("Content-Type", "application/cloudevents+json")
	}
	m.Data = line
	return m, nil
}

var (
	errNoEvent     = errors.New("an empty batch")
	errNoSubject   = errors.New("the event's type makes no NATS subject; name one with --to")
	errLineTooLong = fmt.Errorf("longer than %d bytes", maxLine)
)

// subjectOf returns events.<type>.
func subjectOf(kind string) (string, error) {
	for token := range strings.SplitSeq(kind, ".") {
		if token == "" || strings.ContainsAny(token, " \t\r\n*>") {
			return "", fmt.Errorf("%w: %.100q", errNoSubject, kind)
		}
	}
	return "events." + kind, nil
}

// readLine returns the next line without its end; a line that is too long is
// skipped and reported as such.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			if len(line) > maxLine {
				return nil, errLineTooLong
			}
			return bytes.TrimSpace(line), nil
		default:
			return nil, err
		}
	}
}
