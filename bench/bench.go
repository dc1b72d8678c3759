package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/raptorflow/tercet/test/process"
)

// bench is one run: its settings, the servers that the parts share, and the
// rows so far.
type bench struct {
	config
	progress io.Writer
	out      result
	name     string // of the part that runs
	began    time.Time

	servers owner
	nats    *process.NATSServer
	redis   *process.RedisServer
	stocked *stocked
}

func (b *bench) pairing() pairing { return pairing{rounds: b.rounds, slice: b.slice} }

// part runs p. What its servers report as fatal becomes its error.
func (b *bench) part(ctx context.Context, p part) (err error) {
	b.name, b.began = p.name, time.Now()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			err = r
		default:
			panic(r)
		}
	}()
	return p.run(ctx, b)
}

// say tells whoever watches what goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%-9s%6.1fs  %s\n", b.name, time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// add takes a finished row.
func (b *bench) add(r row) {
	r.Part = b.name
	r = r.judged()
	b.out.Rows = append(b.out.Rows, r)
	if r.Rounds > 0 {
		b.say("%s: %.2f (%s)", r.Name, r.Ratio, r.mark())
	} else {
		b.say("%s: %s", r.Name, r.Unit.format(r.Ours))
	}
}

func (b *bench) natsURL() string {
	if b.nats == nil {
		b.nats = process.NATS(&b.servers)
	}
	return b.nats.URL()
}

func (b *bench) redisServer() *process.RedisServer {
	if b.redis == nil {
		logging.Disable() // it reports the first probes of a server that starts
		b.redis = process.Redis(&b.servers)
	}
	return b.redis
}

func (b *bench) close() { b.servers.release() }

// owner stands in for a test as the one to whom servers belong. Package
// process uses the few methods that are here.
type owner struct {
	testing.TB
	cleanups []func()
}

// fatal is how a server's failure to start reaches [bench.part].
type fatal struct{ error }

func (o *owner) Helper()                      {}
func (o *owner) Failed() bool                 { return false }
func (o *owner) Cleanup(f func())             { o.cleanups = append(o.cleanups, f) }
func (o *owner) Fatalf(f string, args ...any) { panic(fatal{fmt.Errorf(f, args...)}) }
func (o *owner) Fatal(args ...any)            { panic(fatal{fmt.Errorf("%s", fmt.Sprint(args...))}) }

func (o *owner) TempDir() string {
	dir, err := os.MkdirTemp("", "tercet-bench-")
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { _ = os.RemoveAll(dir) }) // what stays, the system's cleaning takes
	return dir
}

// release undoes everything, the last first.
func (o *owner) release() {
	for i := len(o.cleanups) - 1; i >= 0; i-- {
		o.cleanups[i]()
	}
	o.cleanups = nil
}

// allocations returns how many times op allocates, on average.
func allocations(op func() error) (float64, error) {
	var failed error
	runtime.GC() // a collection under way would be counted
	n := testing.AllocsPerRun(5000, func() {
		if err := op(); err != nil {
			failed = err
		}
	})
	return n, failed
}
