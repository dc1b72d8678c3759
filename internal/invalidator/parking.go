package invalidator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// ParkedStream holds the events of parked rules, without limit of age, and what
// all invalidators have to know of rules with a limit. Its subjects are
// events-parked.rule.<rule> for whether a rule is parked, .spent.<rule> for
// what it has cleared, and .event.<rule>.<subject> for events that wait.
const ParkedStream = "EVENTS_PARKED"

const (
	parkedSubjects = "events-parked.>"
	ruleSubject    = "events-parked.rule."
	spentSubject   = "events-parked.spent."
	parkedEvent    = "events-parked.event."
)

// token makes a rule's name one level of a subject.
func token(rule string) string { return strings.ReplaceAll(url.PathEscape(rule), ".", "%2E") }

// RuleState says whether a rule is parked.
type RuleState struct {
	Rule   string    `json:"rule"`
	Parked bool      `json:"parked"`
	Since  time.Time `json:"since"`
	Why    string    `json:"why,omitempty"`
	// revision is the state's sequence in the stream, 0 for a rule that never
	// was parked.
	revision uint64
}

// spent is what a rule has drawn of a minute's budget.
type spent struct {
	Minute int64 `json:"minute"`
	Names  int   `json:"names"`
	Broad  int   `json:"broad"`
}

// errSpent reports that a minute's budget does not hold what is asked for.
var errSpent = errors.New("the minute's budget is spent")

// errStale reports that a rule was parked or released meanwhile: the event is
// to be judged again.
var errStale = errors.New("the rule was parked or released meanwhile")

// parking is the shared knowledge of which rules are parked. It follows the
// stream; what it does not know yet it is told when it tries to write, for
// every write names the state that it rests on.
type parking struct {
	js    jetstream.JetStream
	log   *slog.Logger
	known chan struct{} // closed when all states are known
	once  sync.Once

	mu     sync.Mutex
	states map[string]RuleState // by rule
}

func newParking(js jetstream.JetStream, log *slog.Logger) *parking {
	return &parking{js: js, log: log, known: make(chan struct{}), states: map[string]RuleState{}}
}

// run follows the rules' states until ctx ends. Without the stream it waits: it
// is needed by limited rules only, and those wait too.
func (p *parking) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			p.log.WarnContext(ctx, "states of rules can't be followed at the moment", "stream", ParkedStream, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (p *parking) follow(ctx context.Context) error {
	it, pending, err := lastStates(ctx, p.js)
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		if pending == 0 {
			p.once.Do(func() { close(p.known) })
		}
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		pending = meta.NumPending
		p.learn(m.Data(), meta.Sequence.Stream)
	}
}

// lastStates reads every rule's newest state, then what changes; pending is how
// many there are already.
func lastStates(ctx context.Context, js jetstream.JetStream) (it jetstream.MessagesContext, pending uint64, err error) {
	opening, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := js.OrderedConsumer(opening, ParkedStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{ruleSubject + ">"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return nil, 0, fmt.Errorf("follow %s: %w", ParkedStream, err)
	}
	info, err := c.Info(opening)
	if err != nil {
		return nil, 0, fmt.Errorf("follow %s: %w", ParkedStream, err)
	}
	it, err = c.Messages(jetstream.PullHeartbeat(2*time.Second), jetstream.PullExpiry(10*time.Second))
	return it, info.NumPending, err
}

// learn takes over a state that is newer than what is known.
func (p *parking) learn(data []byte, revision uint64) {
	var s RuleState
	if err := json.Unmarshal(data, &s); err != nil || s.Rule == "" {
		p.log.Error("state of a rule can't be read", "stream", ParkedStream, "sequence", revision, "error", err)
		return
	}
	s.revision = revision
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.states[s.Rule].revision < revision {
		p.states[s.Rule] = s
	}
}

func (p *parking) state(rule string) RuleState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[rule]
}

// list returns the parked rules by name.
func (p *parking) list() []RuleState {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []RuleState
	for _, s := range p.states {
		if s.Parked {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b RuleState) int { return strings.Compare(a.Rule, b.Rule) })
	return all
}

// ErrNoParking reports rules with a limit where the stream of parked events is
// missing or out of reach.
var ErrNoParking = errors.New("limits of rules can't be kept: stream " + ParkedStream + " does not answer; `invalidator --create` makes it")

// parked reports whether a rule is parked, as far as is known here. At first it
// waits until anything is known.
func (p *parking) parked(ctx context.Context, rule string) (bool, error) {
	select {
	case <-p.known:
	default:
		t := time.NewTimer(5 * time.Second)
		defer t.Stop()
		select {
		case <-p.known:
		case <-ctx.Done():
			return false, ctx.Err()
		case <-t.C:
			return false, ErrNoParking
		}
	}
	return p.state(rule).Parked, nil
}

// setParked parks a rule for the whole fleet.
func (p *parking) setParked(ctx context.Context, rule, why string) error {
	s := RuleState{Rule: rule, Parked: true, Since: time.Now().UTC(), Why: why}
	before := p.state(rule)
	revision, err := putState(ctx, p.js, s, before.revision)
	if isStale(err) {
		return p.refresh(ctx, rule)
	}
	if err != nil {
		return fmt.Errorf("park rule %q: %w", rule, err)
	}
	s.revision = revision
	p.mu.Lock()
	if p.states[rule].revision < revision {
		p.states[rule] = s
	}
	p.mu.Unlock()
	p.log.ErrorContext(ctx, "rule is parked: what its events would clear stays until it is released", "rule", rule, "why", why, "release", "tercet dead release "+rule)
	return nil
}

// putState writes a rule's state over the one of the given revision.
func putState(ctx context.Context, js jetstream.JetStream, s RuleState, over uint64) (uint64, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	return replace(ctx, js, ruleSubject+token(s.Rule), data, over)
}

// replace writes the only message of a subject over the one at sequence over.
func replace(ctx context.Context, js jetstream.JetStream, subject string, data []byte, over uint64) (uint64, error) {
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	ack, err := js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(over))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// isStale reports whether a write was refused since what it rests on changed.
func isStale(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// refresh reads a rule's state again and returns errStale, or why it can't.
func (p *parking) refresh(ctx context.Context, rule string) error {
	data, revision, err := last(ctx, p.js, ruleSubject+token(rule))
	if err != nil {
		return err
	}
	if revision > 0 {
		p.learn(data, revision)
	}
	return fmt.Errorf("rule %q: %w", rule, errStale)
}

// last returns the newest message of a subject; sequence 0 if there is none.
func last(ctx context.Context, js jetstream.JetStream, subject string) ([]byte, uint64, error) {
	stream, err := js.Stream(ctx, ParkedStream)
	if err != nil {
		return nil, 0, fmt.Errorf("look up %s: %w", ParkedStream, err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", subject, err)
	}
	return m.Data, m.Sequence, nil
}

// draw takes a share of a rule's budget for a minute, at least what is missing;
// [errSpent] if that is not left.
func (p *parking) draw(ctx context.Context, r rules.Rule, minute int64, missing demand) (demand, error) {
	subject := spentSubject + token(r.Name)
	for {
		data, revision, err := last(ctx, p.js, subject)
		if err != nil {
			return demand{}, err
		}
		var s spent
		if len(data) > 0 {
			if err := json.Unmarshal(data, &s); err != nil {
				s = spent{} // another build's: the budget begins anew
			}
		}
		if s.Minute < minute {
			s = spent{Minute: minute}
		}
		names, enough := share(r.Limit.Names, s.Names, missing.names)
		broad, also := share(r.Limit.Broad, s.Broad, missing.broad)
		if !enough || !also {
			return demand{}, errSpent
		}
		s.Names += names
		s.Broad += broad
		if data, err = json.Marshal(s); err != nil {
			return demand{}, err
		}
		if _, err = replace(ctx, p.js, subject, data, revision); err == nil {
			return demand{names, broad}, nil
		}
		if !isStale(err) {
			return demand{}, fmt.Errorf("draw on the budget of rule %q: %w", r.Name, err)
		}
	}
}

// keep stores an event for the time when its rule is released. The stream
// refuses it if the rule's state is not the one that is known here: who
// releases a rule then finds every event that was kept before.
func (p *parking) keep(ctx context.Context, rule string, copy *nats.Msg) error {
	copy.Subject = parkedEvent + token(rule) + "." + copy.Subject
	_, err := p.js.PublishMsg(ctx, copy, jetstream.WithExpectLastSequenceForSubject(p.state(rule).revision, ruleSubject+token(rule)))
	switch {
	case isStale(err):
		return p.refresh(ctx, rule)
	case err != nil:
		return fmt.Errorf("park event for rule %q: %w", rule, err)
	}
	return nil
}
