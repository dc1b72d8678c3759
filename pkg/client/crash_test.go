package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// G7: a node is killed under load and comes back: it replays from its
// checkpoint and serves what its disk holds, without a stale read.
func TestKilledNodeComesBack(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.open("a")
		ctx := t.Context()
		const keys = 500
		key := func(i int) string { return fmt.Sprintf("item:%d:v", i) }
		var versions [keys]atomic.Int64
		write := func(i int) {
			v := versions[i].Load() + 1
			if _, err := a.Set(ctx, key(i), fmt.Appendf(nil, "%-300d", v)); err != nil {
				t.Fatal(err)
			}
			versions[i].Store(v)
		}
		for i := range keys {
			write(i)
		}
		m := f.member("m")
		if m.replayed < keys {
			t.Fatalf("a node without a checkpoint applied %d records before it was ready", m.replayed)
		}
		for round := range 3 {
			stop := make(chan struct{})
			stopped := make(chan struct{})
			go func() { // load on the log until after the kill
				defer close(stopped)
				for i := 0; ; i = (i + 7) % (keys / 2) {
					select {
					case <-stop:
						return
					default:
						write(i)
					}
				}
			}()
			for i := range 100 {
				m.do(request{Op: "get", Key: key(i)})
			}
			m.kill()
			for i := keys / 2; i < keys/2+20; i++ {
				write(i) // while it is away
			}
			close(stop)
			<-stopped
			head := uint64(0)
			for p := range f.partitions {
				head += uint64(a.Token().At(p).Position)
			}
			m = f.member("m")
			if m.replayed >= head {
				t.Errorf("round %d: it applied %d records of %d: it did not start from its checkpoint", round, m.replayed, head)
			}
			// What was written while it was away it has applied anew, and may have in
			// memory. The others it can have from its disk only.
			fromDisk, quiet := 0, keys-(keys/2+20)
			for i := range keys {
				r := m.do(request{Op: "get", Key: key(i)})
				want := fmt.Sprint(versions[i].Load())
				if strings.TrimSpace(r.Value) != want {
					t.Fatalf("round %d: %s: read %q (%s), want %s", round, key(i), r.Value, r.Err, want)
				}
				if i >= keys-quiet && r.Source == "disk" {
					fromDisk++
				}
			}
			if fromDisk < quiet*9/10 {
				t.Errorf("round %d: %d of %d reads were answered from disk", round, fromDisk, quiet)
			}
		}
	})
}

// G5: an Everywhere write while a member is stopped returns when that member's
// lease has run out, and the member serves nothing old when it wakes (P44).
func TestEverywhereWithAStoppedMember(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.open("a")
		ctx := t.Context()
		m := f.member("m")
		if _, err := a.Set(ctx, "k", []byte("old"), client.Everywhere()); err != nil {
			t.Fatal(err)
		}
		if r := m.do(request{Op: "get", Key: "k"}); r.Value != "old" {
			t.Fatalf("member read %q (%s)", r.Value, r.Err)
		}
		lease, wait := a.Node().Settings().Lease, a.Node().Settings().LeaseWait()
		m.pause()
		m.ask(request{Op: "get", Key: "k"}) // it will answer this when it wakes
		began := time.Now()
		if _, err := a.Set(ctx, "k", []byte("new"), client.Everywhere()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if took > wait+500*time.Millisecond {
			t.Errorf("returned after %v, want within %v", took, wait)
		}
		if took < lease/2 {
			t.Errorf("returned after %v: before the stopped member's lease can have run out", took)
		}
		t.Logf("returned after %v with a lease of %v", took, lease)
		m.resume()
		if r := m.answer(); r.Value == "old" {
			t.Error("the member woke up and served the old value")
		}
		for range 50 {
			if r := m.do(request{Op: "get", Key: "k"}); r.Value == "old" {
				t.Fatal("the member serves the old value")
			}
		}
	})
}

// With healthy members confirmations make it quick; without them it would take
// a pulse.
func TestEverywhereIsQuick(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a := f.open("a")
		f.open("b")
		f.open("c")
		ctx := t.Context()
		// The first may wait until nobody can hold a lease from before the epoch.
		if _, err := a.Set(ctx, "k", nil, client.Everywhere()); err != nil {
			t.Fatal(err)
		}
		var worst time.Duration
		for i := range 50 {
			began := time.Now()
			if _, err := a.Set(ctx, "k", fmt.Appendf(nil, "%d", i), client.Everywhere()); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(began))
		}
		if pulse := a.Node().Settings().PulseInterval(); worst >= pulse {
			t.Errorf("an Everywhere write took %v, a pulse comes every %v: nobody confirmed", worst, pulse)
		}
		t.Logf("worst of 50: %v", worst)
	})
}

// A bracketed write: while it is open every node reads the origin, and keeps
// nothing.
func TestBracketedWrite(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := f.open("a"), f.open("b")
		ctx := t.Context()
		var database atomic.Int64
		load := func(n *client.Client) int64 {
			t.Helper()
			v, err := n.GetOrLoad(ctx, "row:1", func(context.Context, string) (client.Loaded, error) {
				return client.Loaded{Value: fmt.Append(nil, database.Load())}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var got int64
			if _, err := fmt.Sscan(string(v.Bytes), &got); err != nil {
				t.Fatal(err)
			}
			return got
		}
		load(a)
		load(b)
		boom := errors.New("rolled back")
		for i, fail := range []error{nil, boom, nil} {
			token, err := a.Bracketed(ctx, client.Invalidation{Keys: []string{"row:1"}}, time.Minute, func(ctx context.Context, id client.BracketID) error {
				for _, n := range []*client.Client{a, b} {
					if got := get(t, n, "row:1"); got != "" {
						t.Errorf("a copy %q is served inside a bracket", got)
					}
					if got := load(n); got != database.Load() {
						t.Errorf("read %d before the commit, the database says %d", got, database.Load())
					}
				}
				database.Add(1) // the commit
				for _, n := range []*client.Client{a, b} {
					if got := load(n); got != database.Load() {
						t.Errorf("read %d after the commit, the database says %d", got, database.Load())
					}
				}
				if open := b.Node().Brackets(); len(open) != 1 || open[0].ID != id {
					t.Errorf("b knows the open brackets %+v", open)
				}
				return fail
			})
			if !errors.Is(err, fail) || (err == nil) != (fail == nil) {
				t.Fatalf("bracket %d returned %v", i, err)
			}
			for _, n := range []*client.Client{a, b} {
				// The other node may have loaded it anew already.
				if got := get(t, n, "row:1", client.At(client.Session(token))); got != "" && got != fmt.Sprint(database.Load()) {
					t.Errorf("a copy %q survived the bracket", got)
				}
				if got := load(n); got != database.Load() {
					t.Errorf("read %d after the bracket, the database says %d", got, database.Load())
				}
				if got := get(t, n, "row:1"); got == "" {
					t.Error("nothing is kept after the bracket")
				}
			}
		}
	})
}
