package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/trial/fleet"
	"github.com/raptorflow/tercet/pkg/client"
)

const (
	domain = "drill"
	// size is how many nodes there are.
	size = 3
	// lease is short, so that what waits for its end shows in a drill's time.
	lease = 3 * time.Second
	// closing bounds how long a node may take to leave.
	closing = 10 * time.Second
)

// scratchFleet is a fleet that a drill may do anything to.
type scratchFleet struct {
	dir   string
	nats  *server.Server
	redis *miniredis.Miniredis
	nc    *nats.Conn
	nodes [size]*client.Client // nil: stopped
}

func startFleet(ctx context.Context) (*scratchFleet, error) {
	f := &scratchFleet{}
	if err := f.begin(ctx); err != nil {
		return nil, fmt.Errorf("start the scratch fleet: %w", errors.Join(err, f.close()))
	}
	return f, nil
}

func (f *scratchFleet) begin(ctx context.Context) (err error) {
	if f.dir, err = os.MkdirTemp("", "tercet-drill-"); err != nil {
		return err
	}
	if f.nats, err = fleet.StartNATS(filepath.Join(f.dir, "nats"), ""); err != nil {
		return err
	}
	if f.redis, err = fleet.StartRedis(); err != nil {
		return err
	}
	if f.nc, err = nats.Connect("", nats.InProcessServer(f.nats), nats.Name("drill")); err != nil {
		return err
	}
	s := events.DefaultSettings()
	s.Lease = lease
	if err := jslog.Create(ctx, f.nc, domain, s); err != nil {
		return err
	}
	for i := range f.nodes {
		if err := f.start(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *scratchFleet) nodeDir(i int) string {
	return filepath.Join(f.dir, fmt.Sprintf("node-%c", 'a'+i))
}

// snapshots is where the nodes' snapshots lie.
func (f *scratchFleet) snapshots() (client.SnapshotStore, error) {
	return client.SnapshotDirectory(filepath.Join(f.dir, "snapshots"))
}

// start starts a node and returns once it may serve.
func (f *scratchFleet) start(ctx context.Context, i int) error {
	store, err := f.snapshots()
	if err != nil {
		return err
	}
	f.nodes[i], err = client.Open(ctx, client.Config{
		Domain: domain, NATS: []nats.Option{nats.InProcessServer(f.nats)}, RedisURL: "redis://" + f.redis.Addr(),
		DataDir: f.nodeDir(i), NodeID: fmt.Sprintf("node-%c", 'a'+i), Snapshots: store,
		L1Size: 1 << 20, L3Size: 256 << 20, DiskCache: 8 << 20, DefaultTTL: time.Hour, AuditRate: -1,
		Logger: slog.New(slog.DiscardHandler),
	})
	return err
}

// lose stops a node and takes its disk.
func (f *scratchFleet) lose(i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if c := f.nodes[i]; c != nil {
		f.nodes[i] = nil
		if err := c.Close(ctx); err != nil {
			return err
		}
	}
	return os.RemoveAll(f.nodeDir(i))
}

// close ends what writes before what it stands on.
func (f *scratchFleet) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var errs []error
	for _, c := range f.nodes {
		if c != nil {
			errs = append(errs, c.Close(ctx))
		}
	}
	if f.nc != nil {
		f.nc.Close()
	}
	if f.redis != nil {
		f.redis.Close()
	}
	if f.nats != nil {
		fleet.StopNATS(f.nats)
	}
	if f.dir != "" {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	return errors.Join(errs...)
}
