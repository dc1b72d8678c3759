package history

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

const (
	domain = "shop"
	lease  = 2 * time.Second
	// length is how long a run takes; its faults are spread over it.
	length = 9 * time.Second
)

func partitionOf(key string, partitions int) int { return node.Partition(key, partitions) }

// fleet is three members in processes of their own over real servers, one
// observer in this process who sees the log, and perhaps a database.
type fleet struct {
	t          *testing.T
	partitions int
	nats       *process.NATSServer
	redis      *process.RedisServer
	db         *origin // nil: none, and nobody loads
	observer   *client.Client
	members    []*member
	*Recorder

	// levels and bound are those of the reads that a waking member finds.
	levels []string
	bound  time.Duration
	value  atomic.Int64 // the last that was given out

	mu    sync.Mutex
	order Order
}

func newFleet(t *testing.T, partitions int, base database) *fleet {
	f := &fleet{t: t, partitions: partitions, nats: process.NATS(t), redis: process.Redis(t), order: Order{}}
	s := client.DefaultSettings()
	s.Lease, s.Partitions = lease, partitions
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if base.Driver != "" {
		if err := base.create(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if f.db, err = base.open(ctx); err != nil {
		t.Fatal(err)
	} else if f.db != nil {
		t.Cleanup(func() { f.db.Close() })
	}
	f.observer, err = client.Open(ctx, client.Config{
		Domain: domain, NATSURL: f.nats.URL(), RedisURL: f.redis.URL(), DataDir: t.TempDir(), NodeID: "observer",
		Create: true, Settings: &s, OnApply: f.observe, L1Size: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.observer.Close(context.Background()) }) // its servers may be gone
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		mc, err := json.Marshal(memberConfig{Name: name, NATS: f.nats.URL(), Redis: f.redis.URL(), Dir: filepath.Join(dir, name), Database: base})
		if err != nil {
			t.Fatal(err)
		}
		m := &member{t: t, mc: mc, name: name}
		m.start()
		t.Cleanup(m.kill)
		f.members = append(f.members, m)
	}
	f.Recorder = NewRecorder()
	return f
}

// observe takes the log's order of writes from the log itself.
func (f *fleet) observe(_ int, mark events.Mark, changes []events.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		switch c := c.(type) {
		case *events.Put:
			if e, err := tiers.Parse(c.Entry); err == nil {
				if v, err := strconv.ParseInt(string(e.Payload()), 10, 64); err == nil {
					f.order.Note(c.Key, v, mark.Position)
				}
			}
		case *events.Invalidate:
			if v, err := strconv.ParseInt(c.Source, 10, 64); err == nil && len(c.Scope.Keys) == 1 {
				f.order.Note(c.Scope.Keys[0], v, mark.Position)
			}
		}
	}
}

// caller is one client: it does one thing at a time, carries a session's token
// and goes from member to member.
type caller struct {
	f     *fleet
	id    int
	token string
	dice  *rand.Rand
	calls int
}

func (f *fleet) caller(id int) *caller {
	return &caller{f: f, id: id, dice: rand.New(rand.NewPCG(uint64(id), 7))}
}

// member takes turns between two of the three, so that whatever happens to one
// of them some callers go on with the others.
func (c *caller) member() *member {
	c.calls++
	return c.f.members[(c.id+c.calls%2)%len(c.f.members)]
}

func (c *caller) key(keys []string) string { return keys[c.dice.IntN(len(keys))] }

// did records an operation that m is asked for.
func (c *caller) did(m *member, o Op, q request) {
	o.Client, o.Key = c.id, q.Key
	q.Value = o.Value
	if o.Kind == Read {
		q.Level, q.Bound = o.Level, o.Bound
		if o.Level == "session" {
			q.Token = c.token
			if c.token != "" {
				o.Seen = seenOf(c.token, q.Key, c.f.partitions).Position
			}
		}
	}
	o.Call = c.f.Now()
	r, asked, answered := m.do(q)
	if !asked {
		return
	}
	o.Return = c.f.Now()
	switch {
	case !answered: // open for ever
	case r.Err == "" && o.Kind == Read:
		o.Outcome, o.Value = Done, r.Value
	case r.Err == "":
		o.Outcome = Done
	case r.Err == "miss":
		o.Outcome = Miss
	case r.Err == "nothing":
		o.Outcome = Nothing
	}
	// A read answers with all that its node has seen, which the session then
	// has too.
	if answered && r.Token != "" && (r.Err == "" || r.Err == "miss") {
		c.token = joined(c.token, r.Token)
	}
	c.f.Add(o)
}

func joined(a, b string) string {
	t, err := client.ParseToken(a)
	if err != nil {
		panic(err)
	}
	u, err := client.ParseToken(b)
	if err != nil {
		panic(err)
	}
	return t.Join(u).String()
}

func (c *caller) write(key string, everywhere bool) {
	o := Op{Kind: Write, Value: c.f.value.Add(1)}
	q := request{Op: "set", Key: key, Everywhere: everywhere}
	if c.dice.IntN(5) == 0 {
		o.Kind, o.Value, q.Op = Invalidate, -o.Value, "invalidate"
	}
	c.did(c.member(), o, q)
}

func (c *caller) read(key, level string, bound time.Duration) {
	c.did(c.member(), Op{Kind: Read, Level: level, Bound: bound}, request{Op: "get", Key: key})
}

// run lets n callers act for the length of a run, each at most every pause,
// while the faults strike. On a busy machine they take longer, and so does it.
func (f *fleet) run(n int, pause time.Duration, act func(*caller), faults ...fault) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 4*length)
	defer cancel()
	var all sync.WaitGroup
	for id := range n {
		c := f.caller(id)
		all.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					act(c)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	begun := time.Now()
	for _, x := range faults {
		select {
		case <-time.After(x.at - time.Since(begun)):
			f.t.Logf("%v: %s", time.Since(begun).Round(time.Millisecond), x.what)
			x.strike(f)
		case <-ctx.Done():
			f.t.Errorf("no time was left for %q", x.what)
		}
	}
	select {
	case <-time.After(max(length-time.Since(begun), length/5)):
	case <-ctx.Done():
	}
	cancel()
	all.Wait()
}

// fault strikes at its time.
type fault struct {
	at     time.Duration
	what   string
	strike func(*fleet)
}

// everything goes wrong once, one after the other.
var everything = []fault{
	{1 * time.Second, "b is stopped for less than a lease", func(f *fleet) { f.members[1].pause() }},
	{2 * time.Second, "b wakes", wakeReading},
	{2500 * time.Millisecond, "b is stopped for longer than a lease", func(f *fleet) { f.members[1].pause() }},
	{5 * time.Second, "b wakes", wakeReading},
	{5200 * time.Millisecond, "c is killed", func(f *fleet) { f.members[2].kill() }},
	{5400 * time.Millisecond, "c starts again", func(f *fleet) { f.members[2].start() }},
	{6 * time.Second, "redis is killed", func(f *fleet) { f.redis.Kill() }},
	{6500 * time.Millisecond, "redis starts again, empty", func(f *fleet) { f.redis.Restart() }},
	{7 * time.Second, "the log's server is stopped", func(f *fleet) { f.nats.Pause() }},
	{8 * time.Second, "the log's server goes on", func(f *fleet) { f.nats.Resume() }},
}

// waiting is how many reads a member finds when it wakes: few, for the judge has
// to try them in every order.
const waiting = 8

// wakeReading lets the second member find reads waiting for it when it wakes:
// they were asked for after all that was written while it was stopped.
func wakeReading(f *fleet) {
	var asked sync.WaitGroup
	for i := range waiting {
		c := f.caller(100 + i)
		m := f.members[1]
		began := make(chan struct{})
		asked.Add(1)
		go func() {
			defer asked.Done()
			close(began)
			op := "get"
			if f.db != nil {
				op = "load"
			}
			o := Op{Kind: Read, Level: f.levels[i%len(f.levels)], Bound: f.bound}
			c.did(m, o, request{Op: op, Key: keys[i/2%2]})
		}()
		<-began
	}
	f.members[1].awaitPending(waiting)
	f.members[1].resume()
	asked.Wait()
}

// tally counts what was judged, so that a run in which nothing happened does
// not pass.
func (f *fleet) tally(ops []Op) map[string]int {
	n := map[string]int{}
	for _, o := range ops {
		what := [...]string{"read", "write", "invalidation", "query"}[o.Kind]
		if o.Level != "" {
			what = o.Level + " " + what
		}
		n[what+" "+[...]string{"open", "done", "missed", "not done"}[o.Outcome]]++
	}
	return n
}

func (f *fleet) demand(n map[string]int, least int, whats ...string) {
	f.t.Helper()
	f.t.Logf("judged %v", n)
	for _, w := range whats {
		if n[w] < least {
			f.t.Errorf("%d of %q, want %d at least: the run shows too little", n[w], w, least)
		}
	}
}
