package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// memberEnv makes the test binary a member of a domain instead of a test: it
// obeys lines of JSON on standard input, so that tests can kill and pause a
// real process.
const memberEnv = "TERCET_TEST_MEMBER"

func TestMain(m *testing.M) {
	if text := os.Getenv(memberEnv); text != "" {
		if err := beMember(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type memberConfig struct {
	Name, NATS, Redis, Dir, Outbox string
	// Small: one of many on this machine.
	Small bool
}

type request struct {
	Op, Key, Value string
	Tags           []string
	Strong         bool
}

type response struct {
	Value, Source, Err string
	Serving            bool
	Replayed           uint64
	Members            int
}

func beMember(text string) error {
	signal.Ignore(os.Interrupt)
	var mc memberConfig
	if err := json.Unmarshal([]byte(text), &mc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg := client.Config{Domain: "shop", NATSURL: mc.NATS, RedisURL: mc.Redis, DataDir: mc.Dir, NodeID: mc.Name, L1Size: 8 << 20, Outbox: mc.Outbox, RedisTimeout: patient}
	if mc.Small {
		cfg.DataDir, cfg.L1Size, cfg.DiskCache = "", 1<<20, 1<<20
		cfg.Logger = slog.New(slog.DiscardHandler) // fifty of them say that Redis is gone
	}
	c, err := client.Open(ctx, cfg)
	if err != nil {
		return err
	}
	replayed := c.Node().Stats().Applied
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(response{Serving: true, Replayed: replayed}); err != nil {
		return err
	}
	in := json.NewDecoder(os.Stdin)
	for {
		var q request
		if err := in.Decode(&q); err == io.EOF {
			return c.Close(context.Background())
		} else if err != nil {
			return err
		}
		if err := out.Encode(obey(c, q)); err != nil {
			return err
		}
	}
}

func obey(c *client.Client, q request) response {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := response{Serving: c.Node().Serving() == nil}
	var err error
	switch q.Op {
	case "get":
		var v client.Value
		l := client.Bounded(0)
		if q.Strong {
			l = client.Strong()
		}
		v, err = c.Get(ctx, q.Key, client.At(l))
		r.Value, r.Source = string(v.Bytes), v.Source
	case "load": // from the origin at the URL that is the request's value
		var v client.Value
		v, err = c.GetOrLoad(ctx, q.Key, func(ctx context.Context, key string) (client.Loaded, error) {
			return askOrigin(ctx, q.Value, key)
		})
		r.Value, r.Source = string(v.Bytes), v.Source
	case "members":
		r.Members = len(c.Node().Members())
	case "publish":
		err = c.Publish(ctx, client.DomainEvent{Type: "shop.changed", ID: q.Key})
	case "kill": // invalidates, and says whether that is in the log or in the outbox
		soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err = c.Invalidate(soon, client.Invalidation{Keys: []string{q.Key}})
	case "set":
		_, err = c.Set(ctx, q.Key, []byte(q.Value), client.Tags(q.Tags...))
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// member is a node in a process of its own.
type member struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
	// Replayed is how many records it had applied when it came up.
	replayed uint64
	pipe     io.Closer
}

func (f *fleet) member(name string) *member {
	f.t.Helper()
	m := f.spawn(memberConfig{Name: name, NATS: f.nats.URL(), Redis: f.redis.URL(), Dir: f.config(name).DataDir})
	m.replayed = m.answer().Replayed
	return m
}

// spawn starts a member, which answers once it is ready.
func (f *fleet) spawn(config memberConfig) *member {
	f.t.Helper()
	mc, err := json.Marshal(config)
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberEnv+"="+string(mc))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	m := &member{t: f.t, cmd: cmd, in: json.NewEncoder(stdin), out: json.NewDecoder(bufio.NewReader(stdout)), pipe: stdin}
	f.t.Cleanup(m.kill)
	return m
}

func (m *member) answer() response {
	m.t.Helper()
	var r response
	if err := m.out.Decode(&r); err != nil {
		m.t.Fatalf("member does not answer: %v", err)
	}
	return r
}

func (m *member) do(q request) response {
	m.t.Helper()
	m.ask(q)
	return m.answer()
}

func (m *member) ask(q request) {
	m.t.Helper()
	if err := m.in.Encode(q); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) kill() {
	_ = m.cmd.Process.Signal(syscall.SIGCONT)
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait() // killed, or dead before
}

func (m *member) pause() {
	m.t.Helper()
	_ = m.cmd.Process.Signal(syscall.SIGSTOP)
	await(m.t, "every thread to stop", func() bool { return process.Stopped(m.cmd.Process.Pid) == nil })
}

func (m *member) resume() { _ = m.cmd.Process.Signal(syscall.SIGCONT) }
