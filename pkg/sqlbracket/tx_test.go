package sqlbracket_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
)

func TestTx(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.wants(1)
		if _, err := f.markers.Tx(ctx, f.cache, boots, update(2)); err != nil {
			t.Fatal(err)
		}
		f.wants(2)
		f.wantsKept()

		// What fails is rolled back, and the bracket ends.
		changedMind := errors.New("changed my mind")
		_, err := f.markers.Tx(ctx, f.cache, boots, func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(update(3)(ctx, tx), changedMind)
		})
		if !errors.Is(err, changedMind) {
			t.Errorf("%v, want %v", err, changedMind)
		}
		f.wants(2)
		f.wantsKept()

		// So is what the function ends itself.
		if _, err := f.markers.Tx(ctx, f.cache, boots, func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(update(3)(ctx, tx), tx.Rollback())
		}); err == nil {
			t.Error("a transaction that rolled itself back counts as committed")
		}
		f.wants(2)
		f.wantsKept()

		// A panic leaves the bracket open; nothing can commit, and it can be
		// resolved.
		func() {
			defer func() { recover() }()
			f.markers.Tx(ctx, f.cache, boots, func(ctx context.Context, tx *sql.Tx) error {
				update(3)(ctx, tx)
				panic("a bug")
			})
		}()
		b := f.open()
		if b.Writer != "here" || b.Decider != f.markers.Decider() || len(b.Covers.Keys) != 1 || b.Covers.Keys[0] != "stock:boots" {
			t.Errorf("the bracket says %+v", b)
		}
		if all := f.markers.ResolveOverdue(ctx, f.cache); len(all) != 1 || all[0].Err != nil || all[0].Outcome != sqlbracket.Aborted {
			t.Errorf("resolved: %+v", all)
		}
		f.wants(2)
		f.wantsKept()
	})
}

// stalled holds a writer between its intent and its transaction, as a process
// that was stopped is held.
type stalled struct {
	sqlbracket.Cache
	begun, goOn chan struct{}
}

func (s stalled) BracketedBy(ctx context.Context, covers client.Invalidation, o client.BracketOptions, fn func(context.Context, client.BracketID) error) (client.Token, error) {
	return s.Cache.BracketedBy(ctx, covers, o, func(ctx context.Context, id client.BracketID) error {
		close(s.begun)
		<-s.goOn
		return fn(ctx, id)
	})
}

// P6: a writer that was taken for dead, and goes on, can't commit any more.
func TestResolvedWriterCantCommit(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		w := stalled{f.cache, make(chan struct{}), make(chan struct{})}
		failed := make(chan error)
		go func() {
			_, err := f.markers.Tx(t.Context(), w, boots, update(2))
			failed <- err
		}()
		<-w.begun
		b := f.open()
		outcome, err := f.markers.Resolve(t.Context(), f.cache, b.ID)
		if err != nil || outcome != sqlbracket.Aborted {
			t.Fatalf("%s, %v", outcome, err)
		}
		f.wants(1)
		f.wantsKept()
		close(w.goOn)
		if err := <-failed; !errors.Is(err, sqlbracket.ErrAborted) {
			t.Errorf("the writer was told %v, want that it was aborted", err)
		}
		// Its own end of the bracket is the second, and clears nobody's copies
		// but those that the bracket covered.
		f.wants(1)
		f.wantsKept()
		if _, err := f.markers.Resolve(t.Context(), f.cache, b.ID); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("a bracket that has ended: %v", err)
		}
	})
}

// A bracket whose transaction runs is not resolved: nobody can know yet.
func TestRunningWriterIsNotResolved(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		begun, goOn := make(chan struct{}), make(chan struct{})
		failed := make(chan error)
		go func() {
			_, err := f.markers.Tx(t.Context(), f.cache, boots, func(ctx context.Context, tx *sql.Tx) error {
				err := update(2)(ctx, tx)
				close(begun)
				<-goOn
				return err
			})
			failed <- err
		}()
		<-begun
		b := f.open()
		if outcome, err := f.markers.Resolve(t.Context(), f.cache, b.ID); !errors.Is(err, sqlbracket.ErrRunning) {
			t.Errorf("%s, %v; want that it runs", outcome, err)
		}
		if len(f.cache.Brackets()) != 1 {
			t.Error("the bracket has ended")
		}
		f.wants(1)
		close(goOn)
		if err := <-failed; err != nil {
			t.Error(err)
		}
		f.wants(2)
		f.wantsKept()
	})
}

// Whatever comes first, the commit or the resolver, all agree on it.
func TestResolverRacesTheCommit(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		committed := 0
		for round := range int64(20) {
			was := f.truth()
			w := stalled{f.cache, make(chan struct{}), make(chan struct{})}
			failed := make(chan error)
			go func() {
				_, err := f.markers.Tx(ctx, w, boots, update(100+round))
				failed <- err
			}()
			<-w.begun
			id := f.cache.Brackets()[0].ID
			close(w.goOn)
			for range rand.IntN(200) { // let either go first
				runtime.Gosched()
			}
			outcome, err := f.markers.Resolve(ctx, f.cache, id)
			for errors.Is(err, sqlbracket.ErrRunning) {
				outcome, err = f.markers.Resolve(ctx, f.cache, id)
			}
			told := <-failed
			switch {
			case err != nil && !errors.Is(err, client.ErrNotFound):
				t.Fatalf("resolve: %v", err)
			case told == nil && outcome == sqlbracket.Aborted, told != nil && outcome == sqlbracket.Committed,
				told != nil && !errors.Is(told, sqlbracket.ErrAborted):
				t.Fatalf("the resolver found it %q, the writer was told %v", outcome, told)
			case told == nil:
				committed++
				f.wants(100 + round)
			default:
				f.wants(was)
			}
		}
		f.wantsKept()
		t.Logf("%d of 20 writers came first", committed)
	})
}

// G4b: readers of two nodes and the database agree at every instant: what is
// read was true at some moment of the read.
func TestReadersAndDatabaseAgree(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		there := f.node("there")
		var readers sync.WaitGroup
		var mu sync.Mutex
		reads, hits := 0, 0
		for _, c := range []*client.Client{f.cache, f.cache, there, there} {
			readers.Go(func() {
				for ctx.Err() == nil {
					before, err := load(ctx, f.db)
					if err != nil {
						continue
					}
					got, source, err := read(ctx, c, f.db)
					if err != nil {
						continue
					}
					after, err := load(ctx, f.db)
					if err != nil {
						continue
					}
					mu.Lock()
					reads++
					if source != "origin" {
						hits++
					}
					mu.Unlock()
					if got < before || got > after {
						t.Errorf("the cache said %d (from %s), the database %d before and %d after", got, source, before, after)
						return
					}
				}
			})
		}
		for n := range int64(12) {
			if _, err := f.markers.Tx(ctx, f.cache, boots, update(2+n)); err != nil && !strings.Contains(err.Error(), "locked") {
				t.Error(err)
			}
			// Let copies be made, and hit.
			for from := f.cache.Node().Stats().Loads; f.cache.Node().Stats().Loads == from; {
				if _, source, err := read(ctx, there, f.db); err != nil || source != "origin" {
					break
				}
			}
		}
		cancel()
		readers.Wait()
		t.Logf("%d reads, %d of them hits", reads, hits)
		if reads == 0 || hits == 0 {
			t.Errorf("%d reads and %d hits prove nothing", reads, hits)
		}
	})
}

// A bracket of another database is nobody's business here: a marker in this one
// would prove nothing.
func TestForeignBracketsAreLeftAlone(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		_, err := f.cache.Bracketed(t.Context(), boots, time.Millisecond, func(context.Context, client.BracketID) error { return client.ErrUnsettled })
		if !errors.Is(err, client.ErrUnsettled) {
			t.Fatal(err)
		}
		b := f.open()
		if _, err := f.markers.Resolve(t.Context(), f.cache, b.ID); !errors.Is(err, sqlbracket.ErrForeign) {
			t.Errorf("%v, want that it is foreign", err)
		}
		if all := f.markers.ResolveOverdue(t.Context(), f.cache); len(all) != 0 {
			t.Errorf("%+v", all)
		}
		if again := f.opened(f.db, options); again.Decider() != f.markers.Decider() {
			t.Errorf("opened again it is %q, was %q", again.Decider(), f.markers.Decider())
		}
	})
}

// Markers go once no writer can come back that they abort: one that is later
// than its life can't commit, marker or not.
func TestPrune(t *testing.T) {
	onEach(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		if _, err := f.markers.Tx(ctx, f.cache, boots, update(2)); err != nil {
			t.Fatal(err)
		}
		if n, err := f.markers.Prune(ctx, f.cache); err != nil || n != 0 {
			t.Errorf("pruned %d, %v; the marker is young", n, err)
		}
		short := f.opened(f.db, sqlbracket.Options{Timeout: time.Millisecond, Life: time.Millisecond, Wait: time.Second})
		for n := int64(0); n == 0; {
			var err error
			if n, err = short.Prune(ctx, f.cache); err != nil {
				t.Fatal(err)
			}
		}
		var names int
		if err := f.db.QueryRowContext(ctx, `SELECT count(*) FROM tercet_brackets`).Scan(&names); err != nil || names != 1 {
			t.Errorf("%d rows are left, %v; want the name", names, err)
		}

		// A writer that stalls beyond its life, and whose abort marker is gone.
		w := stalled{f.cache, make(chan struct{}), make(chan struct{})}
		failed := make(chan error)
		go func() {
			_, err := short.Tx(ctx, w, boots, update(3))
			failed <- err
		}()
		<-w.begun
		if _, err := short.Resolve(ctx, f.cache, f.open().ID); err != nil {
			t.Fatal(err)
		}
		for n := int64(0); n == 0; {
			var err error
			if n, err = short.Prune(ctx, f.cache); err != nil {
				t.Fatal(err)
			}
		}
		close(w.goOn)
		if err := <-failed; !errors.Is(err, sqlbracket.ErrAborted) {
			t.Errorf("the late writer was told %v", err)
		}
		f.wants(2)
	})
}
