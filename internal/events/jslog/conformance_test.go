package jslog_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/events/logtest"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Harness { return newFixture(t).harness() })
}

// fixture is a server with one domain, and a client of it.
type fixture struct {
	server *process.NATSServer
	nc     *nats.Conn
	domain *jslog.Domain
}

const domain = "shop"

func newFixture(t testing.TB, opts ...process.NATSOption) *fixture {
	t.Helper()
	f := &fixture{server: process.NATS(t, opts...)}
	f.nc = dial(t, f.server.URL())
	if err := jslog.Create(t.Context(), f.nc, domain, events.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	f.domain = open(t, f.nc)
	return f
}

func dial(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func open(t testing.TB, nc *nats.Conn) *jslog.Domain {
	t.Helper()
	d, err := jslog.Open(t.Context(), nc, domain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func (f *fixture) harness() logtest.Harness {
	return logtest.Harness{
		Log:      f.domain.Log(0),
		Another:  func(t *testing.T) events.Log { return open(t, dial(t, f.server.URL())).Log(0) },
		Close:    f.domain.Close,
		Foreign:  f.foreign,
		Trim:     f.trim,
		Lose:     f.lose,
		Recreate: f.recreate,
		Save:     f.save,
		Mute: func(*testing.T) func() {
			f.server.Pause()
			return f.server.Resume
		},
	}
}

func (f *fixture) js(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func (f *fixture) config(t *testing.T, stream string) jetstream.StreamConfig {
	t.Helper()
	s, err := f.js(t).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func (f *fixture) foreign(t *testing.T, data []byte) {
	if _, err := f.js(t).Publish(t.Context(), jslog.LogSubject(domain, 0), data); err != nil {
		t.Fatal(err)
	}
}

// trim goes past the stream's denial of purges by a limit for a moment.
func (f *fixture) trim(t *testing.T, first events.Position) {
	js := f.js(t)
	s, err := js.Stream(t.Context(), jslog.LogStream(domain, 0))
	if err != nil {
		t.Fatal(err)
	}
	limited := s.CachedInfo().Config
	limited.MaxMsgs = int64(s.CachedInfo().State.LastSeq - uint64(first) + 1)
	for _, c := range []jetstream.StreamConfig{limited, s.CachedInfo().Config} {
		if _, err := js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// lose deletes messages, which the stream denies, and no change of its settings
// allows: it is made anew, with what is left, under settings that deny nothing
// yet.
func (f *fixture) lose(t *testing.T, first, last events.Position) {
	t.Helper()
	js, name := f.js(t), jslog.LogStream(domain, 0)
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var held []*jetstream.RawStreamMsg
	for at := uint64(1); at <= s.CachedInfo().State.LastSeq; at++ {
		m, err := s.GetMsg(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, m)
	}
	strict := s.CachedInfo().Config
	lax := strict
	lax.DenyDelete, lax.DenyPurge = false, false
	if err := js.DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if s, err = js.CreateStream(t.Context(), lax); err != nil {
		t.Fatal(err)
	}
	for _, m := range held {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			t.Fatal(err)
		}
	}
	for at := first; at <= last; at++ {
		if err := s.DeleteMsg(t.Context(), uint64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.UpdateStream(t.Context(), strict); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) recreate(t *testing.T) {
	js := f.js(t)
	c := f.config(t, jslog.LogStream(domain, 0))
	if err := js.DeleteStream(t.Context(), c.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// save copies the server's directory, as a backup of its disk does.
func (f *fixture) save(t *testing.T) func(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "saved")
	data := filepath.Join(f.server.Dir(), "data")
	f.server.Stop()
	copyDir(t, data, saved)
	f.server.Restart()
	f.server.AwaitReady()
	f.awaitConnected(t)
	return func(t *testing.T) {
		f.server.Kill()
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		copyDir(t, saved, data)
		f.server.Restart()
		f.server.AwaitReady()
		f.awaitConnected(t)
	}
}

func (f *fixture) awaitConnected(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		if err := f.nc.FlushWithContext(ctx); err == nil && f.nc.IsConnected() {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("client did not reconnect")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", from, err, out)
	}
}
