package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/play"
	"github.com/raptorflow/tercet/internal/warmer/access"
	"github.com/raptorflow/tercet/internal/warmer/natslink"
	"github.com/raptorflow/tercet/internal/warmer/worker"
	"github.com/raptorflow/tercet/pkg/client"
)

// member is one node with its data directory, which outlives a stop.
type member struct {
	fleet *Fleet
	index int
	name  string
	dir   string

	// Set by Start, cleared by Stop; nobody reads meanwhile.
	client   *client.Client
	reporter *access.Reporter
	servers  *servers // nil: the fleet does not listen
	conn     *nats.Conn
	end      context.CancelFunc
	ended    chan struct{}

	warmed atomic.Uint64
}

var _ play.Member = (*member)(nil)

func newMember(f *Fleet, i int) *member {
	name := "node-" + string(rune('a'+i))
	return &member{fleet: f, index: i, name: name, dir: filepath.Join(f.dir, name)}
}

// Name implements [play.Member].
func (m *member) Name() string { return m.name }

// Small tiers, so that a demonstration shows copies being served from each.
const (
	l1Size = 2 << 20
	l3Size = 256 << 20
)

// Start implements [play.Member].
func (m *member) Start(ctx context.Context) error {
	f := m.fleet
	c, err := client.Open(ctx, client.Config{
		Domain: f.config.Domain,
		NATS:   []nats.Option{nats.InProcessServer(f.nats)}, NATSURL: "",
		RedisURL: "redis://" + f.redis.Addr(),
		DataDir:  m.dir, L1Size: l1Size, L3Size: l3Size, DiskCache: 8 << 20,
		NodeID: m.name, DefaultTTL: time.Hour,
		Origin: m.origin,
		OnApply: func(_ int, mark events.Mark, changes []events.Change) {
			f.config.Observer(m.index, time.Now(), mark, changes)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.client = c
	if err := m.startParts(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	return nil
}

// startParts starts what stands around the node: reports of what is read, a
// worker that takes up requests to load, and servers.
func (m *member) startParts() (err error) {
	if m.conn, err = m.fleet.dial(m.name + " warming"); err != nil {
		return err
	}
	domain := m.fleet.config.Domain
	m.reporter, err = access.New(natslink.NewAccesses(m.conn, domain), access.Config{
		Node: events.NodeID(m.name), Sample: 4, Window: 500 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	queue, err := natslink.NewWork(m.conn, domain)
	if err != nil {
		return err
	}
	w, err := worker.New(queue, reloader{m}, worker.Config{Rate: 500})
	if err != nil {
		return err
	}
	parts := []func(context.Context) error{m.reporter.Run, w.Run}
	m.servers = nil
	if m.fleet.config.Listen != "" {
		if m.servers, err = m.newServers(); err != nil {
			return err
		}
		parts = append(parts, m.servers.resp.Run, m.servers.http.Run)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.end, m.ended = end, ended
	go func() {
		defer close(ended)
		run(ctx, parts...)
	}()
	return nil
}

// Stop implements [play.Member].
func (m *member) Stop(ctx context.Context) error {
	if m.end != nil {
		m.end()
		<-m.ended
		m.end = nil
	}
	if m.conn != nil {
		m.conn.Close()
		m.conn = nil
	}
	if m.client == nil {
		return nil
	}
	err := m.client.Close(ctx)
	m.client = nil
	return err
}

// Read implements [play.Member].
func (m *member) Read(ctx context.Context, key string) (play.Answer, error) {
	r, err := m.client.Node().Get(ctx, key, nil, node.ReadOptions{Load: m.load})
	if err != nil {
		return play.Answer{}, err
	}
	if m.reporter.Picked() {
		var tags []string
		for t := range r.Entry.Tags() {
			tags = append(tags, t)
		}
		m.reporter.Record(key, tags)
	}
	return play.Answer{Payload: r.Entry.Payload(), Source: r.Source}, nil
}

// load is the origin as the node asks it for a reader.
func (m *member) load(ctx context.Context, key string) (node.Loaded, error) {
	payload, tags, err := m.fleet.config.Load(ctx, key)
	return node.Loaded{Payload: payload, Tags: tags}, err
}

// origin is the same for the warmer.
func (m *member) origin(ctx context.Context, key string) (client.Loaded, error) {
	m.warmed.Add(1)
	payload, tags, err := m.fleet.config.Load(ctx, key)
	return client.Loaded{Value: payload, Tags: tags}, err
}

// reloader lets the warmer's requests load through the node.
type reloader struct{ m *member }

// Reload implements [worker.Reloader]. A strong read waits for everything in
// the log, so for the fence behind the request as well.
func (r reloader) Reload(ctx context.Context, key string, _ events.Position) error {
	return r.m.client.Reload(ctx, key)
}
