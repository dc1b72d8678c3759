package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
	"github.com/raptorflow/tercet/test/process"
)

// memberEnv makes the test binary a member of the domain instead of a test: it
// obeys lines of JSON on standard input, many at once.
const memberEnv = "TERCET_HISTORY_MEMBER"

func TestMain(m *testing.M) {
	if text := os.Getenv(memberEnv); text != "" {
		if err := beMember(text); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type memberConfig struct {
	Name, NATS, Redis, Dir string
	Database               database
}

type request struct {
	ID         uint64
	Op         string // get, load, set, invalidate, bracket
	Key        string
	Value      int64
	Level      string
	Bound      time.Duration
	Token      string
	Everywhere bool
	Die        string // at which step of a bracketed write; see dieBeforeCommit
}

type response struct {
	ID    uint64
	Value int64
	// Err is what kind of failure it was: miss, nothing (certainly not
	// landed), refused (not serving), or the error's text.
	Err   string
	Token string
}

func beMember(text string) error {
	signal.Ignore(os.Interrupt)
	var mc memberConfig
	if err := json.Unmarshal([]byte(text), &mc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := client.Open(ctx, client.Config{
		Domain: domain, NATSURL: mc.NATS, RedisURL: mc.Redis, DataDir: mc.Dir, NodeID: mc.Name, L1Size: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	db, err := mc.Database.open(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(r response) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(r) // nobody listens any more: the test is over
	}
	say(response{})
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var q request
		if err := in.Decode(&q); err == io.EOF {
			return c.Close(context.Background())
		} else if err != nil {
			return err
		}
		go func() { say(obey(c, db, q)) }()
	}
}

func obey(c *client.Client, db *origin, q request) (r response) {
	r.ID = q.ID
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var opts []client.WriteOption
	if q.Everywhere {
		opts = append(opts, client.Everywhere())
	}
	var err error
	var v client.Value
	var token client.Token
	switch q.Op {
	case "get":
		v, err = c.Get(ctx, q.Key, client.At(q.level()))
		r.Value, _ = strconv.ParseInt(string(v.Bytes), 10, 64)
	case "load":
		v, err = c.GetOrLoad(ctx, q.Key, db.load, client.At(q.level()))
		r.Value, _ = strconv.ParseInt(string(v.Bytes), 10, 64)
	case "set":
		token, err = c.Set(ctx, q.Key, strconv.AppendInt(nil, q.Value, 10), opts...)
	case "invalidate":
		token, err = c.Invalidate(ctx, client.Invalidation{Keys: []string{q.Key}, Source: strconv.FormatInt(q.Value, 10)}, opts...)
	case "bracket":
		token, err = db.write(ctx, c, q.Key, q.Value, q.Die)
	}
	r.Token = token.String()
	switch {
	case err == nil:
	case errors.Is(err, client.ErrNotFound):
		r.Err = "miss"
	case errors.Is(err, client.ErrNotLanded) && q.Op != "bracket", // its end may be what did not land
		errors.Is(err, sqlbracket.ErrAborted):
		r.Err = "nothing"
	case errors.Is(err, client.ErrNotServing):
		r.Err = "refused"
	default:
		r.Err = err.Error()
	}
	if q.Op == "get" || q.Op == "load" {
		r.Token = c.Token().String() // what this node has seen, the value's birth included
	}
	return r
}

func (q request) level() client.Level {
	switch q.Level {
	case "strong":
		return client.Strong()
	case "eventual":
		return client.Eventual()
	case "session":
		t, err := client.ParseToken(q.Token)
		if err != nil {
			panic(err) // the test made it
		}
		return client.Session(t)
	}
	return client.Bounded(q.Bound)
}

// member is a node in a process of its own. Its methods are safe for concurrent
// use.
type member struct {
	t    *testing.T
	mc   []byte
	name string

	mu      sync.Mutex
	cmd     *exec.Cmd
	in      *json.Encoder
	alive   bool
	last    uint64
	pending map[uint64]chan response
}

// start starts the process, or starts it again, and waits until it serves.
func (m *member) start() {
	m.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberEnv+"="+string(m.mc))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	out := json.NewDecoder(bufio.NewReader(stdout))
	var hello response
	if err := out.Decode(&hello); err != nil {
		m.t.Errorf("member %s does not come up: %v", m.name, err)
		return
	}
	m.mu.Lock()
	m.cmd, m.in, m.alive, m.pending = cmd, json.NewEncoder(stdin), true, map[uint64]chan response{}
	m.mu.Unlock()
	go m.listen(out)
}

// listen hands out the answers; when there are no more, whoever waits learns
// that there will be none.
func (m *member) listen(out *json.Decoder) {
	for {
		var r response
		err := out.Decode(&r)
		m.mu.Lock()
		if err != nil {
			m.alive = false
			for _, ch := range m.pending {
				close(ch)
			}
			clear(m.pending)
			m.mu.Unlock()
			return
		}
		ch := m.pending[r.ID]
		delete(m.pending, r.ID)
		m.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	}
}

// do asks and waits. asked is false if the member was not there to be asked;
// answered, if it died before it said anything.
func (m *member) do(q request) (r response, asked, answered bool) {
	m.mu.Lock()
	if !m.alive {
		m.mu.Unlock()
		return r, false, false
	}
	m.last++
	q.ID = m.last
	ch := make(chan response, 1)
	m.pending[q.ID] = ch
	err := m.in.Encode(q)
	m.mu.Unlock()
	if err != nil {
		return r, true, false
	}
	r, answered = <-ch
	return r, true, answered
}

// lives says that the member has not been seen to end.
func (m *member) lives() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive
}

func (m *member) kill() {
	m.mu.Lock()
	cmd := m.cmd
	m.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed, or dead before
}

func (m *member) pause() {
	_ = m.cmd.Process.Signal(syscall.SIGSTOP)
	for process.Stopped(m.cmd.Process.Pid) != nil {
		time.Sleep(time.Millisecond)
	}
}

// awaitPending returns once the member has been asked n things that it has not
// answered.
func (m *member) awaitPending(n int) {
	for {
		m.mu.Lock()
		have := len(m.pending)
		m.mu.Unlock()
		if have >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *member) resume() { _ = m.cmd.Process.Signal(syscall.SIGCONT) }

// seenOf returns where a token stands in the key's partition.
func seenOf(token, key string, partitions int) consistency.Point {
	t, err := client.ParseToken(token)
	if err != nil {
		panic(err) // a member made it
	}
	return t.At(partitionOf(key, partitions))
}
