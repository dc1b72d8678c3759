package sqlbracket_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
	"github.com/raptorflow/tercet/test/process"
)

// writerEnv makes the test binary a writer that gets as far as it is told, says
// so, and waits to be killed.
const writerEnv = "TERCET_TEST_WRITER"

type writerConfig struct {
	NATS, Dir, Stage string
	Database         database
}

func TestMain(m *testing.M) {
	if text := os.Getenv(writerEnv); text != "" {
		fmt.Fprintln(os.Stderr, beWriter(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// halting says that its function has returned, and goes no further.
type halting struct{ sqlbracket.Cache }

func (h halting) BracketedBy(ctx context.Context, covers client.Invalidation, o client.BracketOptions, fn func(context.Context, client.BracketID) error) (client.Token, error) {
	return h.Cache.BracketedBy(ctx, covers, o, func(ctx context.Context, id client.BracketID) error {
		if err := fn(ctx, id); err != nil {
			return err
		}
		halt()
		return nil
	})
}

func halt() {
	fmt.Fprintln(os.Stdout, "here")
	select {}
}

func beWriter(text string) error {
	var w writerConfig
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	ctx := context.Background()
	c, err := openNode(ctx, w.NATS, "writer", w.Dir)
	if err != nil {
		return err
	}
	db, err := w.Database.open()
	if err != nil {
		return err
	}
	m, err := sqlbracket.Open(ctx, db, w.Database.dialect(), options)
	if err != nil {
		return err
	}
	var cache sqlbracket.Cache = c
	if w.Stage == "after the commit" {
		cache = halting{c}
	}
	_, err = m.Tx(ctx, cache, boots, func(ctx context.Context, tx *sql.Tx) error {
		if err := update(2)(ctx, tx); err != nil {
			return err
		}
		if w.Stage == "before the commit" {
			halt()
		}
		return nil
	})
	return err
}

// A writer that is killed before its commit, or between commit and end, leaves a
// bracket open. Reads and database agree all the while, and it is resolved by
// what the database says.
func TestWriterIsKilled(t *testing.T) {
	for stage, want := range map[string]sqlbracket.Outcome{"before the commit": sqlbracket.Aborted, "after the commit": sqlbracket.Committed} {
		t.Run(strings.ReplaceAll(stage, " ", "-"), func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fixture) {
				f.wants(1)
				f.wantsKept()
				w := f.writer(stage)
				n := int64(1)
				if want == sqlbracket.Committed {
					n = 2
				}
				f.wants(n)
				_ = w.Process.Kill()
				_ = w.Wait() // killed
				b := f.open()
				f.wants(n)
				outcome, err := f.markers.Resolve(t.Context(), f.cache, b.ID)
				for errors.Is(err, sqlbracket.ErrRunning) { // until the server has noticed
					outcome, err = f.markers.Resolve(t.Context(), f.cache, b.ID)
				}
				if err != nil || outcome != want {
					t.Fatalf("%s, %v; want %s", outcome, err, want)
				}
				f.wants(n)
				f.wantsKept()
			})
		})
	}
}

// writer starts a process that writes up to stage.
func (f *fixture) writer(stage string) *exec.Cmd {
	f.t.Helper()
	text, err := json.Marshal(writerConfig{NATS: f.nats.URL(), Dir: f.t.TempDir(), Stage: stage, Database: f.base})
	if err != nil {
		f.t.Fatal(err)
	}
	w := exec.CommandContext(f.t.Context(), os.Args[0])
	w.Env = append(os.Environ(), writerEnv+"="+string(text))
	w.Stderr = os.Stderr
	out, err := w.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		f.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "here\n" {
		f.t.Fatalf("the writer said %q, %v", line, err)
	}
	return w
}

// cutting is a proxy in front of PostgreSQL that cuts a connection off at its
// COMMIT.
type cutting struct {
	net.Listener
	to string
	// at is where: 0 nowhere, else before the server hears it, or before its
	// answer.
	at atomic.Int32
}

const (
	beforeServer = iota + 1
	beforeAnswer
)

func cuttingProxy(t *testing.T, to string) *cutting {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutting{Listener: l, to: to}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(c)
		}
	}()
	return p
}

func (p *cutting) carry(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer s.Close()
	var mute atomic.Bool
	go func() {
		defer c.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := s.Read(b)
			if err != nil || mute.Load() {
				return
			}
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 1<<16)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if at := p.at.Load(); at != 0 && strings.Contains(strings.ToLower(string(b[:n])), "commit") && !strings.Contains(string(b[:n]), "committed") && p.at.CompareAndSwap(at, 0) {
			if at == beforeServer {
				return
			}
			mute.Store(true)
		}
		if _, err := s.Write(b[:n]); err != nil {
			return
		}
	}
}

// A commit whose answer is lost is settled by its marker: it happened, or it
// never will. (SQLite has no answers to lose.)
func TestAnswerOfTheCommitIsLost(t *testing.T) {
	server := process.Postgres(t)
	f := newFixture(t, database{Driver: "pgx", DSN: server.URL()})
	proxy := cuttingProxy(t, server.Addr())
	db := f.must(sql.Open("pgx", server.URLAt(proxy.Addr().String())))
	defer db.Close()
	m := f.opened(db, sqlbracket.Options{Timeout: time.Millisecond, Wait: 5 * time.Second})
	proxy.at.Store(beforeAnswer)
	if _, err := m.Tx(t.Context(), f.cache, boots, update(2)); err != nil {
		t.Errorf("the commit happened, and its writer was told %v", err)
	}
	f.wants(2)
	f.wantsKept()
	proxy.at.Store(beforeServer)
	if _, err := m.Tx(t.Context(), f.cache, boots, update(3)); err == nil || errors.Is(err, client.ErrUnsettled) {
		t.Errorf("the commit can't happen, and its writer was told %v", err)
	}
	f.wants(2)
	f.wantsKept()
	if proxy.at.Load() != 0 {
		t.Error("no commit came by")
	}
	// Where the database can't be reached at all, nobody knows, and the
	// bracket stays open.
	proxy.at.Store(beforeAnswer)
	_, err := m.Tx(t.Context(), f.cache, boots, func(ctx context.Context, tx *sql.Tx) error {
		proxy.Close()
		return update(4)(ctx, tx)
	})
	if !errors.Is(err, client.ErrUnsettled) {
		t.Errorf("nobody can know, and the writer was told %v", err)
	}
	b := f.open()
	outcome, err := f.markers.Resolve(t.Context(), f.cache, b.ID)
	for errors.Is(err, sqlbracket.ErrRunning) {
		outcome, err = f.markers.Resolve(t.Context(), f.cache, b.ID)
	}
	if err != nil || outcome != sqlbracket.Committed {
		t.Errorf("%s, %v", outcome, err)
	}
	f.wants(4)
	f.wantsKept()
}
