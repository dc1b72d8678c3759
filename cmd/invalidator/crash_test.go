package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/test/process"
)

// processEnv makes the test binary the invalidator instead of a test, so that
// there is a real process to kill.
const processEnv = "INVALIDATOR_OF_A_TEST"

var crashEvents = flag.Int("crash-events", 10_000, "how many events flow while invalidators are killed")

const crashRules = `version: 1
rules:
  - name: price
    match: {type: price}
    keys: ["product:{data.id}"]
    tags: ["shelf:{data.shelf}"]
    domains: [shop]
  - name: stock
    match: {type: price}
    keys: ["stock:{data.id}"]
    domains: [depot]
`

// worker is an invalidator in a process of its own.
type worker struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
	done chan struct{}
	at   string // its HTTP address
}

func startWorker(t *testing.T, url, rules string, more ...string) *worker {
	t.Helper()
	w := &worker{t: t, at: fmt.Sprintf("127.0.0.1:%d", process.FreePort(t))}
	w.args = append([]string{
		"--domain", "shop", "--create", "--nats-url", url, "--rules", rules, "--log-level", "error",
		"--http-addr", w.at, "--invalidator-ack-wait", "3s",
	}, more...)
	w.start()
	t.Cleanup(w.kill)
	return w
}

func (w *worker) start() {
	w.t.Helper()
	w.cmd = exec.Command(os.Args[0], w.args...)
	w.cmd.Env = append(os.Environ(), processEnv+"=1")
	w.cmd.Stderr = os.Stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // how it ends is the test's doing
		close(done)
	}(w.cmd, w.done)
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	<-w.done
}

// Two processes share the events, each killed again and again, and the server
// goes down twice: whatever happens when, every event's fences are in the logs
// of both domains in the end, and no event became a dead letter.
func TestEveryEventIsFencedWhoeverDies(t *testing.T) {
	const shelves = 50
	n := *crashEvents
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	server := process.NATS(t)
	js := connected(t, server.URL())
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, rules, crashRules)
	workers := []*worker{startWorker(t, server.URL(), rules), startWorker(t, server.URL(), rules)}
	await(t, "the streams", func() bool {
		_, err := js.Stream(t.Context(), invalidator.DefaultStream)
		return err == nil
	})
	nc := js.Conn()
	await(t, "the domains", func() bool {
		for _, name := range []string{"shop", "depot"} {
			d, err := jslog.Open(t.Context(), nc, name)
			if err != nil {
				return false
			}
			d.Close()
		}
		return true
	})
	shop, depot := fenced(t, nc, "shop"), fenced(t, nc, "depot")

	var kills atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var killers sync.WaitGroup
	for i, w := range workers {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		killers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Duration(20+r.IntN(600)) * time.Millisecond):
				}
				w.kill()
				kills.Add(1)
				w.start()
			}
		})
	}
	defer killers.Wait()
	defer stop()
	r := rand.New(rand.NewPCG(seed, 99))
	order := r.Perm(n)
	size := max(n/20, 1)
	for batch := 0; batch < n; batch += size {
		some := order[batch:min(batch+size, n)]
		publishAll(t, js, some, shelves)
		if r.IntN(4) == 0 { // the whole batch again, without an id that the server would know it by
			publishAll(t, js, some[:len(some)/2], shelves)
		}
		if k := batch / size; k == 6 || k == 13 {
			server.Kill()
			server.Restart()
			server.AwaitReady()
		}
		before := kills.Load()
		await(t, "death amid the events", func() bool { return kills.Load() > before })
	}
	stop()
	killers.Wait()
	for key := range order {
		name := fmt.Sprint(key)
		await(t, "fence of event "+name, func() bool { return shop("product:"+name) && depot("stock:"+name) })
	}
	consumer, err := js.Consumer(t.Context(), invalidator.DefaultStream, "invalidator")
	if err != nil {
		t.Fatal(err)
	}
	await(t, "acknowledgement of all", func() bool {
		info, err := consumer.Info(t.Context())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream >= uint64(n)
	})
	dead, err := js.Stream(t.Context(), invalidator.DeadStream)
	if err != nil {
		t.Fatal(err)
	}
	if letters := dead.CachedInfo().State.Msgs; letters != 0 {
		t.Errorf("%d dead letters, want none", letters)
	}
	t.Logf("%d events, %d kills, 2 restarts of the server", n, kills.Load())
}

func connected(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publishAll publishes each event until the stream has answered, through
// whatever goes down meanwhile.
func publishAll(t *testing.T, js jetstream.JetStream, ids []int, shelves int) {
	t.Helper()
	for left := ids; len(left) > 0; {
		var futures []jetstream.PubAckFuture
		for _, id := range left {
			f, err := js.PublishAsync("events.price", fmt.Appendf(nil,
				`{"specversion":"1.0","type":"price","source":"/t","id":"%d","data":{"id":%d,"shelf":%d}}`, id, id, id%shelves),
				jetstream.WithStallWait(5*time.Second))
			if err != nil {
				f = nil
			}
			futures = append(futures, f)
		}
		var again []int
		timeout := time.After(2 * time.Second)
		for i, f := range futures {
			landed := false
			if f != nil {
				select {
				case <-f.Ok():
					landed = true
				case <-f.Err():
				case <-timeout:
					timeout = time.After(time.Millisecond)
				}
			}
			if !landed {
				again = append(again, left[i])
			}
		}
		left = again
	}
}
