package workload

import (
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/history"
)

// caller is one client: it does one thing at a time and carries a session's
// token from member to member.
type caller struct {
	w     *Workload
	id    int
	dice  *rand.Rand
	token string
	ways  map[Endpoint][2]surface
}

func newCaller(w *Workload, id int) *caller {
	return &caller{w: w, id: id, dice: rand.New(rand.NewPCG(w.cfg.Seed, uint64(id))), ways: map[Endpoint][2]surface{}}
}

func (c *caller) run(ctx context.Context) {
	defer func() {
		for _, s := range c.ways {
			s[0].close()
			s[1].close()
		}
	}()
	tick := time.NewTicker(time.Duration(float64(c.w.mix.Clients) / c.w.mix.Rate * float64(time.Second)))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			// What was begun is finished, so that its outcome is known.
			c.act(context.WithoutCancel(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// patience bounds an operation, besides the lease that a write which must be
// everywhere may have to wait for.
const patience = 5 * time.Second

func (c *caller) act(ctx context.Context) {
	if c.w.mix.ReadOnly {
		c.look(ctx)
		return
	}
	l := c.lane()
	limit := patience
	if l == Everywhere || l == Bracketed {
		limit += 2 * c.w.cfg.Lease
	}
	ctx, done := context.WithTimeout(ctx, limit)
	defer done()
	switch l {
	case Register:
		c.register(ctx)
	case Everywhere:
		c.everywhere(ctx)
	case Bracketed:
		c.bracketed(ctx)
	case Loaded:
		c.loaded(ctx)
	case Herd:
		c.herding(ctx)
	}
}

func (c *caller) lane() Lane {
	if on, _ := c.w.surging(Stampede); on && len(c.w.members) > 0 && c.dice.IntN(3) > 0 {
		return Herd
	}
	all := 0
	for _, l := range lanes {
		all += c.w.mix.Weights[l]
	}
	x := c.dice.IntN(max(all, 1))
	for _, l := range lanes {
		if x -= c.w.mix.Weights[l]; x < 0 {
			return l
		}
	}
	return Register
}

// key draws a key of the lane: of its generation now, and for some reads of any
// before.
func (c *caller) key(l Lane, write bool) string {
	generation := int(c.w.now() / c.w.mix.Generation)
	if !write && generation > 0 && c.dice.IntN(12) == 0 {
		generation = c.dice.IntN(generation)
	}
	n, skew := 0, c.w.mix.Skew
	if on, _ := c.w.surging(Skew); on {
		skew = 2
	}
	if on, _ := c.w.surging(HotKey); !on || write {
		// The inverse of a power law's distribution, close enough to Zipf's.
		n = int(float64(c.w.mix.Keys) * math.Pow(c.dice.Float64(), 1+2*skew))
	}
	key := keyOf(l, generation, min(n, c.w.mix.Keys-1))
	if write && (l == Register || l == Everywhere) {
		c.w.observer.knows(key)
	}
	return key
}

// surface draws a way to some member.
func (c *caller) surface() surface {
	nodes := c.w.cfg.Nodes()
	x := c.dice.IntN(2*len(nodes) + len(c.w.members))
	if x >= 2*len(nodes) {
		return c.w.members[x-2*len(nodes)]
	}
	e := nodes[x/2]
	switch { // a node that speaks one protocol only
	case e.HTTP == "":
		x = 0
	case e.RESP == "":
		x = 1
	}
	if _, ok := c.ways[e]; !ok {
		c.ways[e] = [2]surface{newRESP(e), newHTTP(e, c.w.cfg.Domain)}
	}
	return c.ways[e][x%2]
}

func (c *caller) embedded() *embedded { return c.w.members[c.dice.IntN(len(c.w.members))] }

// publisher draws a surface that takes events.
func (c *caller) publisher() (publisher, surface) {
	for {
		s := c.surface()
		if p, ok := s.(publisher); ok {
			return p, s
		}
	}
}

func (w *Workload) partition(key string) int { return node.Partition(key, w.observer.partitions) }

// begin makes an operation whose call is now.
func (c *caller) begin(s surface, kind history.Kind, key string) Op {
	o := Op{Member: s.member(), Via: s.via()}
	o.Client, o.Kind, o.Key = c.id, kind, key
	o.Call = int64(c.w.now())
	return o
}

// end notes what came of it.
func (c *caller) end(o Op, a answer) {
	o.Return = int64(c.w.now())
	o.Outcome, o.Trouble, o.Strange = a.outcome, a.trouble, a.strange
	if (o.Kind == history.Read || o.Kind == history.Query) && a.outcome == history.Done {
		o.Value = a.value
	}
	if t, err := client.ParseToken(a.token); err == nil && a.token != "" {
		o.Epoch = t.At(c.w.partition(o.Key)).Epoch
		if mine, err := client.ParseToken(c.token); err == nil {
			t = mine.Join(t) // in this order: the answer's epoch is the later one
		}
		c.token = t.String()
	}
	c.w.mu.Lock()
	c.w.ops = append(c.w.ops, o)
	c.w.mu.Unlock()
}

// asking makes a read at a level of the session that the caller carries.
func (c *caller) asking(s surface, key, level string) (Op, read) {
	r := read{level: level, token: c.token}
	o := c.begin(s, history.Read, key)
	o.Level = level
	switch level {
	case "bounded":
		r.bound = c.w.mix.Bound
		o.Bound = r.bound
	case "session":
		if t, err := client.ParseToken(c.token); err == nil {
			at := t.At(c.w.partition(key))
			o.Seen, o.since = at.Position, at.Epoch
		}
	}
	return o, r
}

func (c *caller) get(ctx context.Context, key, level string) {
	s := c.surface()
	o, r := c.asking(s, key, level)
	c.end(o, s.get(ctx, key, r))
}

func (c *caller) level() string {
	return []string{"eventual", "bounded", "session", "strong"}[c.dice.IntN(4)]
}

// look reads keys of the workload's, without a hope of finding them: what it
// learns is whether it is answered, and how soon.
func (c *caller) look(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	c.get(ctx, keyOf(Register, 0, c.dice.IntN(c.w.mix.Keys)), c.level())
}

func (c *caller) register(ctx context.Context) {
	switch x := c.dice.IntN(100); {
	case x < 24:
		c.write(ctx, c.key(Register, true), false)
	case x < 30:
		c.kill(ctx, c.key(Register, true), false)
	case x < 36:
		// A batch's keys are judged one by one.
		s, level := c.surface(), []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)]
		var keys []string
		var ops []Op
		var r read
		for n := range c.w.mix.Keys {
			var o Op
			o, r = c.asking(s, keyOf(Register, int(c.w.now()/c.w.mix.Generation), n), level)
			keys, ops = append(keys, o.Key), append(ops, o)
		}
		for i, a := range s.getMany(ctx, keys, r) {
			c.end(ops[i], a)
		}
	default:
		c.get(ctx, c.key(Register, false), c.level())
	}
}

// write gives key a value that nothing had before.
func (c *caller) write(ctx context.Context, key string, everywhere bool) {
	s := c.surface()
	o := c.begin(s, history.Write, key)
	o.Value = c.w.value.Add(1)
	c.end(o, s.set(ctx, key, o.Value, c.token, everywhere))
}

// kill invalidates a key: by its name, its tag or its generation's prefix, and
// now and then with everything else.
func (c *caller) kill(ctx context.Context, key string, everywhere bool) {
	s := c.surface()
	o := c.begin(s, history.Invalidate, key)
	o.Value = c.w.value.Add(1)
	sc := c.scope(key)
	o.All = sc.All
	c.end(o, s.invalidate(ctx, sc, c.token, everywhere))
}

func (c *caller) scope(key string) events.Scope {
	switch x := c.dice.IntN(100); {
	case x < 45:
		return events.Scope{Keys: []string{key}}
	case x < 70:
		return events.Scope{Tags: []string{tagOf(key)}}
	case x < 97:
		return events.Scope{Prefixes: []string{prefixOf(key)}}
	}
	return events.Scope{All: true}
}

func (c *caller) everywhere(ctx context.Context) {
	switch x := c.dice.IntN(100); {
	case x < 10:
		c.write(ctx, c.key(Everywhere, true), true)
	case x < 13:
		c.kill(ctx, c.key(Everywhere, true), true)
	default:
		c.get(ctx, c.key(Everywhere, false), []string{"eventual", "bounded"}[c.dice.IntN(2)])
	}
}

func (c *caller) lag() time.Duration {
	if c.dice.IntN(2) == 0 {
		return 0
	}
	return time.Duration(c.dice.Int64N(int64(c.w.mix.Lag)))
}

func (c *caller) load(ctx context.Context, key, level string, lag time.Duration) {
	e := c.embedded()
	o, r := c.asking(e, key, level)
	c.end(o, e.load(ctx, key, r, c.w.origin.loader(e.name, lag)))
}

func (c *caller) bracketed(ctx context.Context) {
	switch x := c.dice.IntN(100); {
	case x < 8:
		key, e := c.key(Bracketed, true), c.embedded()
		o := c.begin(e, history.Write, key)
		o.Value = c.w.value.Add(1)
		c.end(o, e.bracket(ctx, key, o.Value))
	case x < 70:
		c.load(ctx, c.key(Bracketed, false), []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)], c.lag())
	default:
		o := Op{Member: "origin", Via: "origin"}
		o.Client, o.Kind, o.Key, o.Call = c.id, history.Query, c.key(Bracketed, false), int64(c.w.now())
		v, err := c.w.origin.query(ctx, o.Key)
		a := answer{outcome: history.Done, value: v}
		if err != nil {
			a = answer{trouble: "error"}
		}
		c.end(o, a)
	}
}

// loaded changes rows first and fences them afterwards, and reads what was
// loaded, also over the nodes, which have no origin and may only find it.
func (c *caller) loaded(ctx context.Context) {
	switch x := c.dice.IntN(100); {
	case x < 10:
		c.change(ctx, Loaded)
	case x < 16:
		e := c.embedded()
		level, generation := []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)], int(c.w.now()/c.w.mix.Generation)
		var keys []string
		var ops []Op
		var r read
		for n := range c.w.mix.Keys {
			var o Op
			o, r = c.asking(e, keyOf(Loaded, generation, n), level)
			keys, ops = append(keys, o.Key), append(ops, o)
		}
		for i, a := range e.loadMany(ctx, keys, r, c.w.origin.batch(e.name, c.lag())) {
			c.end(ops[i], a)
		}
	case x < 60:
		c.load(ctx, c.key(Loaded, false), []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)], c.lag())
	default:
		c.get(ctx, c.key(Loaded, false), []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)])
	}
}

// change commits a row and then fences it, by itself or through the invalidator.
// A fence that nobody confirmed is one that may never come: nothing follows from
// it.
func (c *caller) change(ctx context.Context, l Lane) {
	key := c.key(l, true)
	f := Fence{Called: c.w.now()}
	n, err := c.w.origin.commit(ctx, key, func() int64 { return c.w.value.Add(1) })
	if err != nil {
		return
	}
	f.Place = events.Position(n)
	if c.dice.IntN(2) == 0 {
		s := c.surface()
		o := c.begin(s, history.Invalidate, key)
		o.Value = n
		sc := c.scope(key)
		o.All = sc.All
		a := s.invalidate(ctx, sc, c.token, false)
		c.end(o, a)
		f.Landed = c.w.now()
		if a.outcome == history.Done {
			c.w.mu.Lock()
			c.w.commits[key] = append(c.w.commits[key], f)
			c.w.mu.Unlock()
		}
		return
	}
	p, s := c.publisher()
	id := strconv.FormatInt(c.w.events.Add(1), 10)
	kind, data := "chaos.row.changed", map[string]string{"key": key}
	if c.dice.IntN(3) == 0 {
		kind, data = "chaos.shelf.changed", map[string]string{"tag": tagOf(key)}
	}
	a := p.publish(ctx, id, kind, data)
	c.w.mu.Lock()
	c.w.awaited[id] = append(c.w.awaited[id], awaited{key, f})
	if a.outcome == history.Done {
		c.w.accepted[id] = c.w.now()
	}
	c.w.mu.Unlock()
	o := c.begin(s, history.Invalidate, key)
	o.Level = "event"
	c.end(o, a)
}

// herding asks for what everybody asks for. While the herd is loose, one of them
// has just cleared everything.
func (c *caller) herding(ctx context.Context) {
	on, times := c.w.surging(Stampede)
	if on && c.id == 0 && c.dice.IntN(10) == 0 {
		s := c.surface()
		o := c.begin(s, history.Invalidate, keyOf(Herd, 0, 0))
		a := s.invalidate(ctx, events.Scope{All: true}, c.token, false)
		o.All = true
		c.end(o, a)
		return
	}
	key := keyOf(Herd, times, c.dice.IntN(c.w.mix.Keys))
	c.load(ctx, key, []string{"eventual", "bounded"}[c.dice.IntN(2)], c.w.mix.Lag/2)
}
