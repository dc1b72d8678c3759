package invalidator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/test/process"
)

const testRules = `
domains: [shop]
rules:
  - name: price
    match: {type: price}
    keys: ["product:{data.id}:price"]
  - name: stock
    match: {type: price}
    keys: ["stock:{data.id}"]
    domains: [depot]
  - name: label
    match: {type: label}
    tags: ["label:{data.label}"]
  - name: hot
    match: {type: hot}
    keys: ["hot:{data.id}"]
    warm: true
`

// log is a Fencer that remembers what landed and fails on demand.
type log struct {
	mu     sync.Mutex
	landed map[string]int // "domain/kind:name" to how often
	order  []string
	fail   func(domain string, attempt int) error
	calls  map[string]int // by domain and cause
	most   int            // if set, how many fences fit into a record
	block  chan struct{}  // if set, Fence waits for it or its context
	begun  chan struct{}  // gets a token per blocked call
}

func newLog() *log { return &log{landed: map[string]int{}, calls: map[string]int{}} }

func (l *log) Fence(ctx context.Context, domain string, fences ...*events.Invalidate) error {
	if l.block != nil {
		l.begun <- struct{}{}
		select {
		case <-l.block:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	call := domain + " " + fences[0].Cause.Event
	l.calls[call]++
	if l.most > 0 && len(fences) > l.most {
		return fmt.Errorf("append: %w", events.ErrTooLarge)
	}
	if l.fail != nil {
		if err := l.fail(domain, l.calls[call]); err != nil {
			return err
		}
	}
	for _, f := range fences {
		for kind, names := range map[string][]string{"key": f.Scope.Keys, "tag": f.Scope.Tags, "prefix": f.Scope.Prefixes, "glob": f.Scope.Globs} {
			for _, n := range names {
				l.landed[domain+"/"+kind+":"+n]++
				l.order = append(l.order, domain+"/"+kind+":"+n)
			}
		}
	}
	return nil
}

func (l *log) has(names ...string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, n := range names {
			if l.landed[n] == 0 {
				return false
			}
		}
		return true
	}
}

func (l *log) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.landed)
}

// fixture is a server with the streams, and the means to run invalidators.
type fixture struct {
	t      *testing.T
	server *process.NATSServer
	js     jetstream.JetStream
}

func newFixture(t *testing.T, opts ...process.NATSOption) *fixture {
	t.Helper()
	f := &fixture{t: t, server: process.NATS(t, opts...)}
	nc, err := nats.Connect(f.server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if f.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if err := invalidator.EnsureStreams(t.Context(), f.js, invalidator.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) rules(text string) *rules.Set {
	f.t.Helper()
	set, err := rules.Parse("test.yaml", []byte(text), rules.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	return set
}

// running is an invalidator under way. Both of its functions may be called
// more than once.
type running struct {
	cancel context.CancelFunc // tells it to stop
	wait   func()             // waits for its end
}

func (f *fixture) start(fencer invalidator.Fencer, change ...func(*invalidator.Deps, *invalidator.Config)) (*invalidator.Invalidator, running) {
	f.t.Helper()
	d := invalidator.Deps{JetStream: f.js, Fencer: fencer, Rules: f.rules(testRules)}
	c := invalidator.Config{AckWait: 2 * time.Second, RetryDelay: 5 * time.Millisecond}
	for _, ch := range change {
		ch(&d, &c)
	}
	i, err := invalidator.New(d, c)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	wait := sync.OnceFunc(func() {
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(func() { cancel(); wait() })
	select {
	case <-i.Ready():
	case <-time.After(20 * time.Second):
		f.t.Fatal("not ready")
	}
	return i, running{cancel, wait}
}

func (f *fixture) publish(subject, body string, headers ...string) {
	f.t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	if _, err := f.js.PublishMsg(f.t.Context(), m); err != nil {
		f.t.Fatalf("publish: %v", err)
	}
}

func event(kind, id, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":%q,"data":%s}`, id, kind, data)
}

// settled reports whether every message has been acknowledged.
func (f *fixture) settled() bool {
	return f.settledFor(invalidator.DefaultDurable)
}

// settledFor looks at the acknowledgements' floor: what is pending the consumer
// learns a moment after the stream.
func (f *fixture) settledFor(durable string) bool {
	s, err := f.js.Stream(f.t.Context(), invalidator.DefaultStream)
	if err != nil {
		return false
	}
	c, err := s.Consumer(f.t.Context(), durable)
	if err != nil {
		return false
	}
	return c.CachedInfo().AckFloor.Stream >= s.CachedInfo().State.LastSeq
}

func (f *fixture) letters() []*jetstream.RawStreamMsg {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), invalidator.DeadStream)
	if err != nil {
		f.t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for n := uint64(1); n <= s.CachedInfo().State.LastSeq; n++ {
		m, err := s.GetMsg(f.t.Context(), n)
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between looks at an awaited condition
	}
}

func TestEventsBecomeFencesInEveryDomain(t *testing.T) {
	f, l := newFixture(t), newLog()
	i, _ := f.start(l)
	f.publish("events.price", event("price", "1", `{"id":7}`))
	f.publish("events.price", `{"id":8}`, "ce-specversion", "1.0", "ce-id", "2", "ce-source", "/test", "ce-type", "price")
	f.publish("events.other", event("other", "3", `{}`))
	await(t, "fences", l.has("shop/key:product:7:price", "depot/key:stock:7", "shop/key:product:8:price", "depot/key:stock:8"))
	await(t, "acknowledgements", f.settled)
	await(t, "counts", func() bool {
		s := i.Stats()
		return s.Acknowledged == 3 && s.Unmatched == 1 && s.Fences == 4 && s.Rules["price"].Matched == 2
	})
	if n := len(f.letters()); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

func TestFailingLogIsTriedAgain(t *testing.T) {
	f, l := newFixture(t), newLog()
	// More failures than retries at once: the message must go back to the
	// stream and come again.
	l.fail = func(_ string, attempt int) error {
		if attempt <= 4 {
			return errors.New("no leader")
		}
		return nil
	}
	i, _ := f.start(l, func(_ *invalidator.Deps, c *invalidator.Config) { c.Retries = 2 })
	f.publish("events.label", event("label", "1", `{"label":"red"}`))
	await(t, "fence", l.has("shop/tag:label:red"))
	await(t, "acknowledgement", f.settled)
	if s := i.Stats(); s.Failures != 4 || s.Redelivered == 0 || s.DeadLetters != 0 {
		t.Errorf("stats %+v: want 4 failures, a redelivery, no dead letter", s)
	}
}

func TestPoisonIsFencedCoarselyThenPutAside(t *testing.T) {
	f, l := newFixture(t), newLog()
	attempts := 0
	l.fail = func(string, int) error { // the fence must be insisted on, too
		if attempts++; attempts == 1 {
			return errors.New("no leader")
		}
		if n := len(f.letters()); n != 0 {
			t.Errorf("the dead letter was stored before its fence landed")
		}
		return nil
	}
	i, _ := f.start(l)
	f.publish("events.price", event("price", "1", `{"id":null}`), "Nats-Msg-Id", "m1", "Nats-Expected-Stream", "EVENTS", "Kept", "yes")
	await(t, "dead letter", func() bool { return len(f.letters()) == 1 })
	await(t, "acknowledgement", f.settled)
	if !l.has("shop/prefix:product:", "depot/prefix:stock:")() {
		t.Errorf("landed %v, want the reach of both rules", l.order)
	}
	m := f.letters()[0]
	for name, want := range map[string]string{
		invalidator.HeaderRule: "price", invalidator.HeaderField: "data.id", invalidator.HeaderReached: "true",
		invalidator.HeaderEvent: "/test#1", invalidator.HeaderStream: "EVENTS", invalidator.HeaderSequence: "1",
		invalidator.HeaderSubject: "events.price", invalidator.HeaderMsgID: "m1", "Kept": "yes", "Nats-Expected-Stream": "",
	} {
		if have := m.Header.Get(name); have != want {
			t.Errorf("header %s = %q, want %q", name, have, want)
		}
	}
	if m.Subject != "events-dead.events.price" || string(m.Data) != event("price", "1", `{"id":null}`) {
		t.Errorf("dead letter %s %s", m.Subject, m.Data)
	}
	if s := i.Stats(); s.DeadLetters != 1 || s.Unreached != 0 || s.Rules["price"].Failed != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestUnknownReachIsSaid(t *testing.T) {
	f, l := newFixture(t), newLog()
	i, _ := f.start(l)
	f.publish("events.a", "not json")
	f.publish("events.label", event("label", "1", `{}`)) // tags have no reach
	f.publish("events.b", `[`+event("price", "1", `{"id":1}`)+`,{"specversion":"1.0"}]`)
	await(t, "dead letters", func() bool { return len(f.letters()) == 3 })
	for _, m := range f.letters() {
		if have := m.Header.Get(invalidator.HeaderReached); have != "false" {
			t.Errorf("%s: reached = %q, want false", m.Subject, have)
		}
	}
	if !l.has("shop/key:product:1:price")() {
		t.Errorf("the good half of a batch was not fenced")
	}
	await(t, "counts", func() bool { return i.Stats().Unreached == 3 })
}

func TestLetterThatIsTooLargeGoesWithoutItsBody(t *testing.T) {
	f := newFixture(t, process.ServerConfig("max_payload: 8192"))
	f.start(newLog())
	f.publish("events.a", strings.Repeat("x", 8000)) // fits, but not beside the headers
	await(t, "dead letter", func() bool { return len(f.letters()) == 1 })
	m := f.letters()[0]
	if m.Header.Get(invalidator.HeaderOmitted) != "true" || len(m.Data) != 0 || m.Header.Get(invalidator.HeaderSequence) != "1" {
		t.Errorf("letter of %d bytes with %v", len(m.Data), m.Header)
	}
}

func TestBatchBeyondOneRecordIsSplit(t *testing.T) {
	f, l := newFixture(t), newLog()
	l.most = 2
	attempts := 0
	l.fail = func(string, int) error { // half of a batch that fails is tried again
		if attempts++; attempts == 3 {
			return errors.New("no leader")
		}
		return nil
	}
	i, _ := f.start(l)
	var batch, want []string
	for k := range 7 {
		batch = append(batch, event("price", strconv.Itoa(k), fmt.Sprintf(`{"id":%d}`, k)))
		want = append(want, fmt.Sprintf("shop/key:product:%d:price", k))
	}
	f.publish("events.many", "["+strings.Join(batch, ",")+"]")
	await(t, "fences", l.has(want...))
	await(t, "acknowledgement", f.settled)
	if s := i.Stats(); s.DeadLetters != 0 || s.Failures != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestRefusedFenceIsPutAsideAndOthersLand(t *testing.T) {
	f, l := newFixture(t), newLog()
	l.fail = func(domain string, _ int) error {
		if domain == "shop" {
			return fmt.Errorf("fence: %w", events.ErrTooLarge)
		}
		return nil
	}
	f.start(l)
	f.publish("events.price", event("price", "1", `{"id":7}`))
	await(t, "dead letter", func() bool { return len(f.letters()) == 1 })
	if !l.has("depot/key:stock:7")() {
		t.Error("the other domain got no fence")
	}
}

func TestShutdownFinishesWorkAndPoisonsNothing(t *testing.T) {
	f, l := newFixture(t), newLog()
	l.block, l.begun = make(chan struct{}), make(chan struct{}, 10)
	i, r := f.start(l)
	f.publish("events.label", event("label", "1", `{"label":"red"}`))
	<-l.begun
	r.cancel()
	close(l.block) // the grace lets it finish
	r.wait()
	if err := i.Run(t.Context()); !errors.Is(err, invalidator.ErrRan) {
		t.Errorf("second Run = %v, want ErrRan", err)
	}
	if !l.has("shop/tag:label:red")() {
		t.Error("work under way was cut off")
	}
	if s := i.Stats(); s.DeadLetters != 0 || s.Returned != 0 || s.Acknowledged != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestShutdownBeyondItsGraceLeavesTheEventToOthers(t *testing.T) {
	f, stuck := newFixture(t), newLog()
	stuck.block, stuck.begun = make(chan struct{}), make(chan struct{}, 10)
	_, r := f.start(stuck, func(_ *invalidator.Deps, c *invalidator.Config) { c.Grace = 10 * time.Millisecond })
	f.publish("events.price", event("price", "1", `{"id":null}`)) // poison, even
	<-stuck.begun
	r.cancel()
	r.wait()
	if n := len(f.letters()); n != 0 {
		t.Fatalf("%d dead letters by a shutdown, want none", n)
	}
	l := newLog()
	f.start(l)
	await(t, "fence by the next process", l.has("shop/prefix:product:"))
}

func TestKilledServerLosesNothing(t *testing.T) {
	f, l := newFixture(t), newLog()
	const n = 3000
	f.start(l)
	f.start(l) // two share the work
	var want []string
	for k := range n {
		f.publishThroughOutages("events.price", event("price", strconv.Itoa(k), fmt.Sprintf(`{"id":%d}`, k)))
		want = append(want, fmt.Sprintf("shop/key:product:%d:price", k), fmt.Sprintf("depot/key:stock:%d", k))
		if k == n/3 || k == 2*n/3 {
			f.server.Kill()
			f.server.Restart()
		}
	}
	await(t, "all fences", func() bool { return l.count() == len(want) && l.has(want...)() })
	await(t, "acknowledgements", f.settled)
	if n := len(f.letters()); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

// publishThroughOutages publishes until an answer came, under one id.
func (f *fixture) publishThroughOutages(subject, body string) {
	f.t.Helper()
	await(f.t, "publish", func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
		defer cancel()
		_, err := f.js.Publish(ctx, subject, []byte(body), jetstream.WithMsgID(body))
		return err == nil
	})
}

func TestDeletedConsumerIsMadeAgain(t *testing.T) {
	f, l := newFixture(t), newLog()
	f.start(l)
	f.publish("events.label", event("label", "1", `{"label":"a"}`))
	await(t, "fence", l.has("shop/tag:label:a"))
	await(t, "acknowledgement", f.settled)
	if err := f.js.DeleteConsumer(t.Context(), invalidator.DefaultStream, invalidator.DefaultDurable); err != nil {
		t.Fatal(err)
	}
	f.publish("events.label", event("label", "2", `{"label":"b"}`))
	await(t, "fence after the consumer was made again", l.has("shop/tag:label:b"))
	// It began from the start: the first event came twice, and that is that.
	await(t, "acknowledgement", f.settled)
}

func TestRulesAreSwappedWhileRunning(t *testing.T) {
	f, l := newFixture(t), newLog()
	i, _ := f.start(l)
	f.publish("events.label", event("label", "1", `{"label":"a"}`))
	await(t, "fence", l.has("shop/tag:label:a"))
	i.SetRules(f.rules(`
domains: [shop]
rules:
  - {name: label, match: {type: label}, keys: ["l:{data.label}"]}
`))
	f.publish("events.label", event("label", "2", `{"label":"b"}`))
	await(t, "fence by the new rules", l.has("shop/key:l:b"))
	await(t, "counts", func() bool { return i.Stats().Rules["label"].Matched == 2 }) // kept over the swap
}

type warmer struct {
	mu   sync.Mutex
	keys []string
	log  *log
}

func (w *warmer) Warm(_ context.Context, domain string, s events.Scope) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.log.has(domain + "/key:" + s.Keys[0])() {
		w.keys = append(w.keys, "too early")
	}
	w.keys = append(w.keys, domain+"/"+s.Keys[0])
	return errors.New("no matter")
}

func TestWarmingIsAskedForAfterTheFence(t *testing.T) {
	f, l := newFixture(t), newLog()
	w := &warmer{log: l}
	f.start(l, func(d *invalidator.Deps, _ *invalidator.Config) { d.Warmer = w })
	f.publish("events.hot", event("hot", "1", `{"id":1}`))
	f.publish("events.label", event("label", "2", `{"label":"b"}`))
	await(t, "fence", l.has("shop/key:hot:1", "shop/tag:label:b"))
	await(t, "acknowledgements", f.settled)
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := []string{"shop/hot:1"}; !slices.Equal(w.keys, want) {
		t.Errorf("asked for %v, want %v", w.keys, want)
	}
}

func TestStreamWithOtherSubjectsIsRefused(t *testing.T) {
	f := newFixture(t)
	if err := invalidator.EnsureStreams(t.Context(), f.js, invalidator.StreamOptions{EventAge: time.Hour}); err != nil {
		t.Errorf("streams that are there with other ages: %v, want them left alone", err)
	}
	if err := f.js.DeleteStream(t.Context(), invalidator.DefaultStream); err != nil {
		t.Fatal(err)
	}
	if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: invalidator.DefaultStream, Subjects: []string{"else"}}); err != nil {
		t.Fatal(err)
	}
	err := invalidator.EnsureStreams(t.Context(), f.js, invalidator.StreamOptions{})
	if !errors.Is(err, invalidator.ErrStreamDiffers) {
		t.Errorf("EnsureStreams = %v, want ErrStreamDiffers", err)
	}
}

func TestConfigurationsThatCanNotWork(t *testing.T) {
	for name, d := range map[string]invalidator.Deps{"nothing": {}, "no rules": {Fencer: newLog()}} {
		if _, err := invalidator.New(d, invalidator.Config{}); !errors.Is(err, invalidator.ErrConfig) {
			t.Errorf("%s: New = %v, want ErrConfig", name, err)
		}
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
