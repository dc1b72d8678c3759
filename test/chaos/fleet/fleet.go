package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/test/chaos/wire"
)

// Clients is for how many embedded clients there are paths: "client-0" and so on.
const Clients = 8

// ErrNobody reports a name that nothing in the fleet has.
var ErrNobody = errors.New("nobody has this name")

// Fleet is a running fleet. Its methods are safe for concurrent use, except that
// one process is ended and started by one caller at a time.
type Fleet struct {
	config   Config
	network  *network
	wires    *wire.Net // nil: everybody is on loopback
	programs []*program
	// These are filled by Start and do not change afterwards.
	nats      []*natsServer
	redis     []*redisServer
	sentinels []*redisServer
	members   []*member
	natsFor   map[string][]string
	redisFor  map[string]string
	conn      *nats.Conn
	web       *http.Client

	mu     sync.Mutex
	mounts []string
}

// Start starts a fleet and returns once every member would serve. ctx bounds the
// start; [Fleet.Close] ends the fleet.
func Start(ctx context.Context, c Config) (*Fleet, error) {
	f := &Fleet{
		config: c, network: newNetwork(), natsFor: map[string][]string{}, redisFor: map[string]string{},
		web: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	hush()
	f.config.Shape.Fill()
	// Processes run in directories of their own.
	for _, path := range []*string{&f.config.Dir, &f.config.Bin} {
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(f.config.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{f.layWires, f.startNATS, f.startRedis, f.createDomain, f.startMembers} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// Fill gives zero fields their defaults: three NATS servers that write each
// record to the disk, one Redis, three nodes, two invalidators, a warmer, a lease
// of 3 s, one partition, policy fence, all on loopback.
func (s *Shape) Fill() {
	fill(&s.NATS, 3)
	fill(&s.Sync, "always")
	fill(&s.Redis, "single")
	fill(&s.Nodes, 3)
	fill(&s.Invalidators, 2)
	fill(&s.Warmers, 1)
	fill(&s.Lease, 3*time.Second)
	fill(&s.Partitions, 1)
	fill(&s.Policy, "fence")
	fill(&s.Hosts, Loopback)
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Close ends all processes, members first: asked, then killed.
func (f *Fleet) Close() error {
	var ending sync.WaitGroup
	for _, m := range f.members {
		ending.Go(func() { m.stop() })
	}
	ending.Wait()
	if f.conn != nil {
		f.conn.Close()
	}
	for _, p := range f.programs {
		p.kill()
	}
	f.network.close()
	var errs []error
	if f.wires != nil {
		errs = append(errs, f.wires.Close())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, dir := range f.mounts {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", dir, err))
		}
	}
	f.mounts = nil
	return errors.Join(errs...)
}

// Shape returns what the fleet is made of.
func (f *Fleet) Shape() Shape { return f.config.Shape }

// Dir is where the fleet's files lie.
func (f *Fleet) Dir() string { return f.config.Dir }

// Domain returns the domain's name.
func (f *Fleet) Domain() string { return Domain }

// Nodes returns the nodes, as they are now.
func (f *Fleet) Nodes() []Member {
	var all []Member
	for _, m := range f.members {
		if m.kind == Node {
			all = append(all, Member{Name: m.name, RESP: m.resp, HTTP: m.http, Pid: m.pid(), Log: m.log})
		}
	}
	return all
}

// Processes returns all processes that run now.
func (f *Fleet) Processes() []Process {
	var all []Process
	for _, p := range f.programs {
		if pid := p.pid(); pid != 0 {
			all = append(all, Process{Name: p.name, Kind: p.kind, Pid: pid, HTTP: p.http})
		}
	}
	return all
}

// Names returns the processes of a kind, those that don't run included.
func (f *Fleet) Names(k Kind) []string {
	var all []string
	for _, p := range f.programs {
		if p.kind == k {
			all = append(all, p.name)
		}
	}
	return all
}

// Deaths tells of processes that ended without having been told to.
func (f *Fleet) Deaths() []string {
	var all []string
	for _, p := range f.programs {
		p.mu.Lock()
		all = append(all, p.deaths...)
		p.mu.Unlock()
	}
	return all
}

// NATSURL is the servers' own addresses, for those who must not be cut off.
func (f *Fleet) NATSURL() string {
	var all []string
	for _, s := range f.nats {
		all = append(all, s.url())
	}
	return strings.Join(all, ",")
}

// NATSURLFor is the servers' addresses through name's proxies. Names "client-0"
// to "client-7" are for embedded clients.
func (f *Fleet) NATSURLFor(name string) string { return strings.Join(f.natsFor[name], ",") }

// RedisURL is Redis past all proxies where it is a single server, and otherwise
// as everybody sees it; empty without Redis.
func (f *Fleet) RedisURL() string {
	return f.redisURL(func(i int) string { return f.redis[i].addr() })
}

// RedisURLFor is Redis's address through name's proxy.
func (f *Fleet) RedisURLFor(name string) string {
	return f.redisURL(func(int) string { return f.redisFor[name] })
}

// Link finds a connection by its name; see [Link].
func (f *Fleet) Link(name string) (Link, error) { return f.network.link(name) }

func (f *Fleet) program(name string) (*program, error) {
	i := slices.IndexFunc(f.programs, func(p *program) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s", ErrNobody, name)
	}
	return f.programs[i], nil
}

// disk is the directory of a process's data: on a small disk of its own if the
// shape says so.
func (f *Fleet) disk(name string) (string, error) {
	dir := filepath.Join(f.config.Dir, name, "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if size := f.config.Shape.SmallDisks; size > 0 {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID, fmt.Sprintf("size=%dm", size)); err != nil {
			return "", fmt.Errorf("a small disk for %s (it takes root): %w", name, err)
		}
		f.mu.Lock()
		f.mounts = append(f.mounts, dir)
		f.mu.Unlock()
	}
	return dir, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
