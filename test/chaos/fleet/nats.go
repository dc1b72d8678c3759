package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/test/process"
)

// natsServer is one server of the cluster.
type natsServer struct {
	*program
	client, route endpoint
}

func (s *natsServer) url() string { return "nats://" + s.client.addr }

// startNATS starts the servers, each of which finds the others through proxies
// of its own, and waits until they keep a stream on all of them.
func (f *Fleet) startNATS(ctx context.Context) error {
	binary, err := process.LocateNATS()
	if err != nil {
		return err
	}
	for i := range f.config.Shape.NATS {
		s := &natsServer{program: f.newProgram(fmt.Sprintf("nats-%d", i), NATS, binary)}
		if err := f.house(s.program); err != nil {
			return err
		}
		if s.client, err = s.offer(); err != nil {
			return err
		}
		if s.route, err = s.offer(); err != nil {
			return err
		}
		f.nats = append(f.nats, s)
	}
	for _, s := range f.nats {
		var routes []string
		for _, peer := range f.nats {
			if peer == s {
				continue
			}
			addr, err := f.addPath(s.name, s.host, peer.name, peer.route.addr)
			if err != nil {
				return err
			}
			routes = append(routes, addr)
		}
		if err := f.configureNATS(s, routes); err != nil {
			return err
		}
		if err := s.start(); err != nil {
			return err
		}
	}
	return f.AwaitNATS(ctx)
}

// configureNATS writes a server's configuration. It advertises itself to other
// servers where nobody listens, and to clients not at all: who is told of an
// address would go there, past the proxies.
func (f *Fleet) configureNATS(s *natsServer, routes []string) error {
	disk, err := f.disk(s.name)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\nlisten: %q\nping_interval: \"5s\"\njetstream {\n  max_file_store: 4GB\n  max_memory_store: 256MB\n  store_dir: %q\n", s.name, s.client.listen, disk)
	if f.config.Shape.Sync == "always" {
		b.WriteString("  sync_interval: always\n")
	}
	b.WriteString("}\n")
	if len(routes) > 0 {
		fmt.Fprintf(&b, "cluster {\n  name: chaos\n  listen: %q\n  advertise: \"127.0.0.1:1\"\n  no_advertise: true\n  ping_interval: \"2s\"\n  routes: [\n", s.route.listen)
		for _, r := range routes {
			fmt.Fprintf(&b, "    \"nats://%s\"\n", r)
		}
		b.WriteString("  ]\n}\n")
	}
	file := filepath.Join(f.config.Dir, s.name+".conf")
	s.args = []string{"-c", file}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// AwaitNATS waits until every server lets a client store a stream on all.
func (f *Fleet) AwaitNATS(ctx context.Context) error {
	for _, s := range f.nats {
		err := await(ctx, 60*time.Second, func() error { return f.probeNATS(ctx, s) })
		if err != nil {
			return fmt.Errorf("%s does not store a stream on all servers: %w; see %s", s.name, err, s.log)
		}
	}
	return nil
}

func (f *Fleet) probeNATS(ctx context.Context, s *natsServer) error {
	nc, err := nats.Connect(s.url(), nats.NoReconnect(), nats.Timeout(time.Second))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	probe := "PROBE_" + s.name
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: probe, Subjects: []string{"probe." + s.name}, Replicas: len(f.nats), Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		return err
	}
	return js.DeleteStream(ctx, probe)
}

// Settings are the domain's.
func (f *Fleet) Settings() events.Settings {
	s := events.DefaultSettings()
	s.Lease, s.Partitions, s.Replicas = f.config.Shape.Lease, f.config.Shape.Partitions, len(f.nats)
	s.MaxTTL, s.Outage = time.Hour, time.Hour
	s.Policy = events.Policy(f.config.Shape.Policy)
	return s
}

func (f *Fleet) createDomain(ctx context.Context) error {
	var err error
	f.conn, err = nats.Connect(f.NATSURL(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.Name("chaos"), nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		return err
	}
	js, err := jetstream.New(f.conn)
	if err != nil {
		return err
	}
	// A stream's leader is not there at once.
	return await(ctx, 60*time.Second, func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return errors.Join(
			jslog.Create(ctx, f.conn, Domain, f.Settings()),
			invalidator.EnsureStreams(ctx, js, invalidator.StreamOptions{Replicas: len(f.nats)}),
		)
	})
}

// Conn is a connection to the servers that no fault cuts.
func (f *Fleet) Conn() *nats.Conn { return f.conn }

// Streams are the names of the domain's logs, by partition.
func (f *Fleet) Streams() []string {
	all := make([]string, f.config.Shape.Partitions)
	for i := range all {
		all[i] = jslog.LogStream(Domain, i)
	}
	return all
}
