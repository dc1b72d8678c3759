package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// read is one read that was answered.
type read struct {
	start, end time.Duration
	by         *process
	machine    string
	restarted  bool
	rolledBack bool // a tier had come back from a copy before
	late       bool // a late copy had landed before
	key        string
	level      consistency.Level
	// since is when the session's token was had, if the level is one.
	since  time.Duration
	values map[string]int
	source node.Source
	stale  bool
	// soft: a fallback was allowed.
	soft  bool
	epoch events.Epoch
	birth events.Position
}

func (r *read) String() string {
	return fmt.Sprintf("read of %s on %s at %s from %.6f to %.6f returned %v from %s (born %d of epoch %.4s)",
		r.key, r.machine, kindOf(r.level), r.start.Seconds(), r.end.Seconds(), r.values, r.source, r.birth, r.epoch)
}

// confirmed is an Everywhere write that returned.
type confirmed struct {
	by              *process
	partition       int
	position        events.Position
	epoch           events.Epoch // 0 if its node did not know it
	begun, returned time.Duration
}

// put is one Put.
type put struct {
	id      int
	version events.Version
	point   consistency.Point
	part    int
}

// session is a client that carries its token from node to node.
type session struct {
	mu    sync.Mutex
	token consistency.Token
	since time.Duration
}

func (s *session) get() (consistency.Token, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token, s.since
}

func (s *session) join(t consistency.Token, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.since = s.token.Join(t), now
}

func kindOf(l consistency.Level) string {
	switch l.Kind() {
	case consistency.KindSession:
		return "session"
	case consistency.KindStrong:
		return "strong"
	case consistency.KindEventual:
		return "eventual"
	}
	return l.String()
}

// step carries out one step of the plan.
func (w *World) step(s step) {
	m := w.machines[s.machine]
	switch s.what {
	case "read":
		w.read(m, w.rowOf(s), w.levelOf(s), nil)
	case "session read":
		w.read(m, w.rowOf(s), consistency.Level{}, w.sessions[s.choice%len(w.sessions)])
	case "read page":
		w.read(m, w.plan.page, w.levelOf(s), nil)
	case "read batch":
		w.readBatch(m, w.levelOf(s))
	case "read softly":
		w.readSoftly(m, w.rowOf(s), s)
	case "burst":
		key := w.rowOf(s)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				time.Sleep(w.roll.between(0, 5*time.Millisecond))
				s := s
				s.choice += i
				w.read(w.machines[(s.machine+i%2)%len(w.machines)], key, w.levelOf(s), nil)
			})
		}
		all.Wait()
	case "race":
		w.race(m, s)
	case "change":
		w.change(m, s, node.Logged)
	case "change everywhere":
		w.change(m, s, node.Everywhere)
	case "bracket":
		w.bracket(m, s)
	case "put":
		w.put(m, s, node.Logged)
	case "put everywhere":
		w.put(m, s, node.Everywhere)
	case "invalidate":
		w.invalidate(m, w.scopeOf(s), node.Logged, s.choice%5 == 0)
	case "touch":
		if p := m.process(); p != nil {
			ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
			defer cancel()
			_, _ = p.node.Touch(ctx, w.rowOf(s), time.Time{}) // it changes nothing that is judged
		}
	default:
		w.fault(m, s)
	}
}

// race lets a load run while its row is changed, and others ask meanwhile.
func (w *World) race(m *machine, s step) {
	w.change(m, s, node.Logged)
	key := w.plan.keys[s.key%len(w.plan.keys)]
	var all sync.WaitGroup
	all.Go(func() { w.read(m, key, consistency.Level{}, nil) })
	time.Sleep(w.roll.between(0, 3*time.Millisecond))
	all.Go(func() { w.change(m, s, node.Logged) })
	for range 3 {
		time.Sleep(w.roll.between(0, 4*time.Millisecond))
		all.Go(func() { w.read(m, key, consistency.Strong(), nil) })
		all.Go(func() { w.read(m, key, consistency.Level{}, w.sessions[0]) })
	}
	all.Wait()
}

// rowOf returns the key that a reading step reads.
func (w *World) rowOf(s step) string {
	switch k := s.key % 8; {
	case k < 3:
		return w.plan.keys[0]
	case k < 5:
		return w.plan.keys[1]
	case k < 7:
		return w.plan.bracketed[0]
	}
	return w.plan.registers[0]
}

func (w *World) levelOf(s step) consistency.Level {
	switch s.choice % 6 {
	case 0:
		return consistency.Eventual()
	case 1:
		return consistency.Strong()
	case 2:
		return consistency.Bounded(time.Duration(float64(lease)*s.frac) + time.Millisecond)
	}
	return consistency.Bounded(0)
}

func (w *World) scopeOf(s step) events.Scope {
	k := w.plan.keys[s.key%len(w.plan.keys)]
	switch s.choice / 7 % 9 {
	case 0:
		return events.Scope{Tags: []string{tagOf(k)}}
	case 1:
		return events.Scope{Prefixes: []string{"row:"}}
	case 2:
		return events.Scope{Globs: []string{"row:*"}}
	case 3:
		return events.Scope{All: true}
	case 4:
		return events.Scope{Keys: w.plan.keys}
	}
	return events.Scope{Keys: []string{k}}
}

func tagOf(key string) string { return "of " + key }

func (w *World) isRow(key string) bool {
	return key != w.plan.page && key != w.plan.registers[0]
}

// tagsOf returns the tags that copies of key carry.
func (w *World) tagsOf(key string) []string {
	if key == w.plan.page {
		return []string{tagOf(w.plan.keys[0]), tagOf(w.plan.keys[1])}
	}
	return []string{tagOf(key)}
}

// loader returns what asks the origin for key on p; nil for registers.
func (w *World) loader(p *process, key string) node.Loader {
	switch {
	case key == w.plan.page:
		return func(ctx context.Context, _ string) (node.Loaded, error) {
			var versions []int
			for _, k := range w.plan.keys {
				r, err := p.node.Get(ctx, k, nil, node.ReadOptions{Load: w.loader(p, k), Policy: &patient})
				if err != nil && !errors.Is(err, node.ErrNotFound) {
					return node.Loaded{}, err
				}
				v := 0
				if err == nil {
					values, err := parse(r.Entry.Payload())
					if err != nil {
						return node.Loaded{}, err
					}
					v = values[k]
				}
				versions = append(versions, v)
			}
			return node.Loaded{Payload: payload(w.plan.keys, versions), Tags: w.tagsOf(key)}, nil
		}
	case !w.isRow(key):
		return nil
	}
	return func(ctx context.Context, key string) (node.Loaded, error) {
		most := 3 * time.Millisecond
		if w.strikes(p.roll, w.plan.slowLoads, "origin: slow load") {
			most = 1500 * time.Millisecond
		}
		if err := p.pass(ctx); err != nil {
			return node.Loaded{}, err
		}
		time.Sleep(p.roll.between(time.Nanosecond, most))
		v := w.origin.read(key)
		if w.lags(key) {
			v = w.readReplica(ctx, key)
		}
		time.Sleep(p.roll.between(time.Nanosecond, most))
		if err := p.pass(ctx); err != nil {
			return node.Loaded{}, err
		}
		l := node.Loaded{Payload: payload([]string{key}, []int{v}), Tags: w.tagsOf(key)}
		if v == 0 {
			l.Flags = tiers.FlagNegative
		}
		if old, ok := node.Previous(ctx); ok && v != 0 && bytes.Equal(old.Payload(), l.Payload) {
			w.count.answer("not modified")
			return node.Loaded{NotModified: true, Tags: l.Tags}, nil
		}
		return l, nil
	}
}

// patient is the policy of reads that have to be answered in the end.
var patient = node.Policy{HardTimeout: -1}

// read reads key on m, at the session's level if there is one, and keeps the
// answer for the judges.
func (w *World) read(m *machine, key string, level consistency.Level, s *session) *read {
	p := m.process()
	if p == nil || p.pass(w.ctx) != nil {
		return nil
	}
	r := &read{
		by: p, machine: m.name, restarted: p.restarted, key: key, level: level,
		rolledBack: w.rolledBack.Load(), late: w.lateCopies.Load(),
	}
	if s != nil {
		token, since := s.get()
		r.level, r.since = consistency.Session(token), since
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	r.start = w.trace.now()
	got, err := p.node.Get(ctx, key, nil, node.ReadOptions{Level: r.level, Load: w.loader(p, key), Policy: &patient})
	seen := p.node.Token()
	if p.pass(w.ctx) != nil || p.isDead() {
		return nil // nobody got the answer
	}
	r.end = w.trace.now()
	switch {
	case err == nil:
		if r.values, err = parse(got.Entry.Payload()); err != nil {
			w.violate("integrity", "%s: %v", r, err)
			return nil
		}
	case errors.Is(err, node.ErrNotFound) && got.Entry != nil:
		r.values = map[string]int{key: 0}
	case errors.Is(err, node.ErrNotFound):
		w.count.answer("miss")
		w.trace.add(m.name, "read of %s at %s: miss", key, kindOf(r.level))
		return nil
	default:
		w.count.answer("error")
		w.trace.add(m.name, "read of %s at %s: %v", key, kindOf(r.level), err)
		return nil
	}
	r.source, r.stale, r.epoch, r.birth = got.Source, got.Stale, got.Entry.Epoch(), got.Entry.Birth()
	if key == w.plan.page && w.plan.settings.Policy == events.PolicyServe {
		r.stale = true // its loader may have been given stale rows
	}
	w.count.answer(r.source.String())
	if s != nil && !r.stale {
		part := p.partition(key)
		if r.epoch != 0 {
			seen = seen.Join(consistency.Token{}.With(part, consistency.Point{Epoch: r.epoch, Position: max(r.birth, seen.At(part).Position)}))
		}
		s.join(seen, r.end)
	}
	w.trace.add(m.name, "%s", r)
	w.mu.Lock()
	w.reads = append(w.reads, r)
	w.mu.Unlock()
	return r
}

// change commits new versions of rows and then fences them: by the process
// itself, and if that fails or it dies, by the outbox.
func (w *World) change(m *machine, s step, concern node.Concern) {
	scope := w.scopeOf(s)
	var changed []string
	for _, k := range w.plan.keys {
		if scope.Covers(k) || len(scope.Tags) > 0 && scope.Tags[0] == tagOf(k) {
			changed = append(changed, k)
		}
	}
	w.debts.Add(1)
	_ = w.origin.commit(events.BracketID{}, changed...) // no bracket, no abort
	w.trace.add(m.name, "commits %v, versions %v", changed, w.versions(changed))
	time.Sleep(w.roll.between(0, 2*time.Millisecond))
	if w.strikes(w.roll, w.plan.deadWriters/2, "writer: dies between commit and fence") {
		w.trace.add(m.name, "writer dies before its fence")
	} else if w.invalidate(m, scope, concern, s.choice%6 == 0) {
		w.debts.Add(-1)
		return
	}
	w.relay(scope)
}

func (w *World) versions(keys []string) (out []int) {
	for _, k := range keys {
		out = append(out, w.origin.read(k))
	}
	return out
}

// relay is the outbox: it publishes scope until a node says that it is done.
func (w *World) relay(scope events.Scope) {
	defer w.debts.Add(-1)
	for w.ctx.Err() == nil {
		time.Sleep(w.roll.between(20*time.Millisecond, 300*time.Millisecond))
		if w.invalidate(pick(w.roll, w.machines), scope, node.Logged, false) {
			w.count.strike("writer: outbox published")
			return
		}
	}
}

// invalidate fences scope by m's process and reports whether that is known to
// have happened.
func (w *World) invalidate(m *machine, scope events.Scope, concern node.Concern, soft bool) bool {
	p := m.process()
	if p == nil || p.pass(w.ctx) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(w.ctx, 4*time.Second)
	defer cancel()
	start := w.trace.now()
	t, err := p.node.Invalidate(ctx, events.Invalidate{Scope: scope, Soft: soft, Source: w.source()}, node.InvalidateOptions{Concern: concern})
	if p.pass(w.ctx) != nil {
		w.trace.add(m.name, "invalidate %v: the process died", scope)
		return false
	}
	w.trace.add(m.name, "invalidate %+v concern %d, begun %.6f: %s %v", scope, concern, start.Seconds(), w.points(t), err)
	if err != nil {
		return false
	}
	w.written(p, start, t, concern)
	return true
}

func (w *World) points(t consistency.Token) (s string) {
	for i := range w.plan.settings.Partitions {
		if p := t.At(i); p.Position != 0 {
			s += fmt.Sprintf("%d@%d ", i, p.Position)
		}
	}
	return s
}

// written notes a write that returned.
func (w *World) written(p *process, begun time.Duration, t consistency.Token, concern node.Concern) {
	now := w.trace.now()
	if w.roll.chance(0.5) {
		pick(w.roll, w.sessions).join(t, now)
	}
	if concern != node.Everywhere {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.plan.settings.Partitions {
		if at := t.At(i); at.Position != 0 {
			w.everywhere = append(w.everywhere, &confirmed{by: p, partition: i, position: at.Position, epoch: at.Epoch, begun: begun, returned: now})
		}
	}
}

func (w *World) put(m *machine, s step, concern node.Concern) {
	p := m.process()
	if p == nil || p.pass(w.ctx) != nil {
		return
	}
	key := w.plan.registers[0]
	w.mu.Lock()
	w.nextPut++
	x := &put{id: w.nextPut, part: p.partition(key)}
	w.puts[x.id] = x
	w.mu.Unlock()
	if w.plan.Seed%3 == 0 {
		x.version = events.Version{N: uint64(max(x.id+s.choice%3-1, 1)), Known: true}
	}
	ctx, cancel := context.WithTimeout(w.ctx, 4*time.Second)
	defer cancel()
	start := w.trace.now()
	t, err := p.node.Put(ctx, key, payload([]string{key}, []int{x.id}), node.PutOptions{Concern: concern, Version: x.version, Tags: w.tagsOf(key)})
	w.mu.Lock()
	x.point = t.At(x.part)
	w.mu.Unlock()
	if p.pass(w.ctx) != nil {
		w.trace.add(m.name, "put %d: the process died", x.id)
		return
	}
	w.trace.add(m.name, "put %s#%d version %v concern %d, begun %.6f: %s %v", key, x.id, x.version, concern, start.Seconds(), w.points(t), err)
	if err == nil {
		w.written(p, start, t, concern)
	}
}

var errChangedMind = errors.New("sim: the writer changed its mind")

// bracket commits a new version of a row within a bracket.
func (w *World) bracket(m *machine, s step) {
	p := m.process()
	if p == nil || p.pass(w.ctx) != nil {
		return
	}
	key := w.plan.bracketed[0]
	scope := events.Scope{Keys: []string{key}}
	if s.choice%3 == 0 {
		scope = events.Scope{Prefixes: []string{"bracket:"}}
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	start := w.trace.now()
	_, err := p.node.Bracketed(ctx, scope, 300*time.Millisecond+s.dur/2, func(_ context.Context, id events.BracketID) error {
		time.Sleep(s.dur / 8)
		switch {
		case s.choice%11 == 0:
			return errChangedMind
		case w.strikes(w.roll, w.plan.deadWriters, "writer: dies in its bracket"):
			m.crashIf(p)
			w.revive(m, s.dur)
			if !w.strikes(w.roll, w.plan.zombieCommits, "writer: zombie commits") {
				return errDead
			}
			time.Sleep(s.dur)
		}
		err := w.origin.commit(id, key)
		if p.isDead() && err == nil && w.ledgers[p.partition(key)].brokenBetween(start, w.trace.now()) {
			// The log lost the bracket and the writer its memory of it: nobody
			// is left to fence the commit, and nothing was promised.
			w.orphaned.Store(true)
			w.count.strike("writer: commits in a bracket that the log lost")
		}
		w.trace.add(m.name, "commits %s, version %v, in bracket %x: %v", key, w.versions([]string{key}), id[:4], err)
		time.Sleep(s.dur / 8)
		return err
	})
	w.trace.add(m.name, "bracket %v, begun %.6f: %v", scope, start.Seconds(), err)
}

// resolve ends brackets whose writers fell silent, once it has made their
// commit impossible.
func (w *World) resolve() {
	for w.ctx.Err() == nil {
		time.Sleep(150 * time.Millisecond)
		p := pick(w.roll, w.machines).process()
		if p == nil || p.m.halted() != nil {
			continue
		}
		for _, b := range p.node.Brackets() {
			if !b.Overdue {
				continue
			}
			w.origin.abort(b.ID)
			ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
			_, err := p.node.EndBracket(ctx, b.ID)
			cancel()
			w.count.strike("writer: bracket resolved")
			w.trace.add(p.m.name, "resolves bracket %x: %v", b.ID[:4], err)
		}
	}
}

// final reads everything everywhere, with nobody writing any more.
func (w *World) final() {
	keys := append(append([]string{w.plan.page}, w.plan.keys...), w.plan.bracketed...)
	for i, level := range []consistency.Level{consistency.Strong(), {}} {
		if i > 0 {
			time.Sleep(lease * 3 / 2) // for what a bounded read must not miss
		}
		for _, m := range w.machines {
			for _, k := range keys {
				if k == w.plan.page && level.Kind() == consistency.KindStrong {
					continue
				}
				r := w.read(m, k, level, nil)
				if r == nil {
					w.violate("liveness", "%s does not answer for %s in the end", m.name, k)
					continue
				}
				for row, v := range r.values {
					// A page is fenced with its rows only where their tags are.
					if now := w.origin.read(row); k != w.plan.page && v != now && w.settledHistory(row) && !(w.orphaned.Load() && k == w.plan.bracketed[0]) && !w.unbracketed(row) {
						w.violate("stale for ever", "%s; the origin has version %d", r, now)
					}
				}
				w.count.judged("convergence")
			}
		}
	}
	time.Sleep(w.plan.settings.LeaseWait() + w.plan.settings.PulseInterval()) // who owns a slot follows the members by as much
	w.once()
	for _, m := range w.machines {
		if !w.invalidate(m, events.Scope{Keys: []string{w.plan.keys[0]}}, node.Everywhere, false) {
			w.violate("liveness", "an Everywhere write on %s does not return in the end", m.name)
		}
	}
}
