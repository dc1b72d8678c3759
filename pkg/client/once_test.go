package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// heldOrigin is an origin over HTTP that answers no request before it is told
// to, and says which process asks.
type heldOrigin struct {
	*httptest.Server
	asked   chan int // the process that asks
	release chan struct{}
}

func newHeldOrigin(t *testing.T) *heldOrigin {
	o := &heldOrigin{asked: make(chan int, 1000), release: make(chan struct{})}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pid, _ := strconv.Atoi(r.URL.Query().Get("pid"))
		o.asked <- pid
		select {
		case <-o.release:
			fmt.Fprint(w, "the value of "+r.URL.Query().Get("key"))
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(o.CloseClientConnections)
	t.Cleanup(o.Close)
	return o
}

// askOrigin is a member's loader.
func askOrigin(ctx context.Context, address, key string) (client.Loaded, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s?key=%s&pid=%d", address, url.QueryEscape(key), os.Getpid()), nil)
	if err != nil {
		return client.Loaded{}, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return client.Loaded{}, err
	}
	defer answer.Body.Close()
	value, err := io.ReadAll(answer.Body)
	return client.Loaded{Value: value, TTL: time.Minute}, err
}

// next returns the process that asks next.
func (o *heldOrigin) next(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case pid := <-o.asked:
		return pid
	case <-time.After(within):
		t.Fatalf("nobody has asked the origin within %v", within)
		return 0
	}
}

// G10: fifty processes ask for the same missing key at once, and the origin is
// asked once; with Redis, without, and when the process that asks it is killed.
// A turn is of one key, so that one partition is enough.
func TestFiftyProcessesLoadOnce(t *testing.T) {
	const processes = 50
	f := newFleet(t)
	f.open("a", func(c *client.Config) {
		c.Settings.Lease = 15 * time.Second // fifty processes share this machine's few cores
	})
	ms := make(map[int]*member) // by process
	var starting []*member
	ready := func() {
		for _, m := range starting {
			if r := m.answer(); r.Err != "" {
				t.Fatal(r.Err)
			}
			ms[m.cmd.Process.Pid] = m
		}
		starting = nil
	}
	for i := range processes {
		starting = append(starting, f.spawn(memberConfig{
			Name: fmt.Sprintf("m%d", i), NATS: f.nats.URL(), Redis: f.redis.URL(), Small: true,
		}))
		if len(starting) == 8 {
			ready()
		}
	}
	ready()
	for _, m := range ms {
		await(t, "a member to know all others", func() bool {
			return m.do(request{Op: "members"}).Members == processes+1
		})
	}

	// all lets every process ask, and once they have waited, the origin answer.
	// With victim it kills the first process that asks the origin.
	all := func(t *testing.T, key string, victim bool) {
		o := newHeldOrigin(t)
		for _, m := range ms {
			m.ask(request{Op: "load", Key: key, Value: o.URL})
		}
		pid := o.next(t, 10*time.Second)
		if victim {
			ms[pid].kill()
			delete(ms, pid)
			began := time.Now()
			pid = o.next(t, 15*time.Second)
			t.Logf("the origin is asked by another %v after the first was killed", time.Since(began).Round(time.Millisecond))
		}
		select {
		case another := <-o.asked:
			t.Fatalf("process %d asks the origin while %d does", another, pid)
		case <-time.After(2 * time.Second): // long enough for all to have asked
		}
		close(o.release)
		began := time.Now()
		sources := map[string]int{}
		var mu sync.Mutex
		var answers sync.WaitGroup
		for _, m := range ms {
			answers.Go(func() {
				r := m.answer()
				mu.Lock()
				defer mu.Unlock()
				if sources[r.Source]++; r.Err != "" || r.Value != "the value of "+key {
					t.Errorf("%q %s", r.Value, r.Err)
				}
			})
		}
		answers.Wait()
		t.Logf("%d processes had the value within %v: %v", len(ms), time.Since(began).Round(time.Millisecond), sources)
		if n := len(o.asked); n != 0 {
			t.Errorf("%d loads too many", n)
		}
	}
	for _, c := range []struct {
		name   string
		redis  bool
		victim bool
	}{
		{"redis", true, false}, {"redis, filler killed", true, true},
		{"no redis", false, false}, {"no redis, filler killed", false, true},
	} {
		if !c.redis {
			f.redis.Kill()
		}
		if !t.Run(c.name, func(t *testing.T) { all(t, "key of "+c.name, c.victim) }) {
			return // some still wait for this one
		}
	}
}
