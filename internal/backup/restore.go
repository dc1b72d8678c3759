package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/mutant"
)

// ErrExists reports a domain that is there, wholly or in part.
var ErrExists = errors.New("domain exists")

// Restored says where a restored log goes on.
type Restored struct {
	Partition int `json:"partition"`
	// Last is the backup's last position, Epoch that of the record behind it, which
	// opens a new epoch.
	Last  events.Position `json:"last"`
	Epoch events.Position `json:"epoch"`
}

// Restore makes a domain of a backup. Before it touches the server it checks the
// whole backup, and gives every log its new epoch. The domain's streams must not
// exist; with replace they are deleted first, and what they hold is lost. A
// Restore that was interrupted is run again with replace.
//
// Errors: [ErrUnusable], [ErrExists], and what the servers say.
func Restore(ctx context.Context, nc *nats.Conn, dir string, replace bool) (*Manifest, []Restored, error) {
	m, err := Open(dir)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*Manifest, []Restored, error) {
		return m, nil, fmt.Errorf("restore domain %q: %w", m.Domain, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fail(err)
	}
	if !replace {
		if err := absent(ctx, js, m); err != nil {
			return fail(err)
		}
	}
	bench, err := newWorkbench(ctx)
	if err != nil {
		return fail(err)
	}
	defer bench.close()
	var done []Restored
	for _, l := range m.Logs {
		r, err := bench.reopen(ctx, m, l, dir)
		if err != nil {
			return fail(fmt.Errorf("stream %s: %w", l.Stream, err))
		}
		done = append(done, r)
	}
	if replace {
		if err := remove(ctx, js, m); err != nil {
			return fail(err)
		}
	}
	// Backwards: the first log carries the settings, and without it nobody opens
	// the domain.
	for i := len(m.Logs) - 1; i >= 0; i-- {
		if err := bench.hand(ctx, nc, m.Logs[i]); err != nil {
			return fail(fmt.Errorf("stream %s: %w", m.Logs[i].Stream, err))
		}
	}
	// The streams that no backup holds; and what was restored is looked at.
	if err := jslog.Create(ctx, nc, m.Domain, m.Settings); err != nil {
		return fail(err)
	}
	return m, done, nil
}

// streams are the names of all that a domain is made of, the first log last.
func (m *Manifest) streams() []string {
	all := []string{jslog.WorkStream(m.Domain), jslog.CopyStream(m.Domain)}
	for i := len(m.Logs) - 1; i >= 0; i-- {
		all = append(all, m.Logs[i].Stream)
	}
	return all
}

func absent(ctx context.Context, js jetstream.JetStream, m *Manifest) error {
	for _, name := range m.streams() {
		switch _, err := js.Stream(ctx, name); {
		case err == nil:
			return fmt.Errorf("%w: there is a stream %s", ErrExists, name)
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			return err
		}
	}
	return nil
}

func remove(ctx context.Context, js jetstream.JetStream, m *Manifest) error {
	for _, name := range m.streams() {
		if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
	}
	return nil
}

// workbench is a server of this process's, which nobody else can reach.
type workbench struct {
	dir    string
	server *server.Server
	nc     *nats.Conn
	ready  map[int]identity // of the logs that have their epoch, by partition
}

func newWorkbench(ctx context.Context) (*workbench, error) {
	b := &workbench{ready: map[int]identity{}}
	if err := b.start(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("server to work on: %w", err)
	}
	return b, nil
}

func (b *workbench) start(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "tercet-restore-"); err != nil {
		return err
	}
	b.server, err = server.NewServer(&server.Options{
		ServerName: "tercet-restore", JetStream: true, StoreDir: filepath.Join(b.dir, "data"),
		NoSigs: true, NoLog: true, DontListen: true,
	})
	if err != nil {
		return err
	}
	b.server.Start()
	if !b.server.ReadyForConnections(20 * time.Second) {
		return errors.New("not ready in time")
	}
	b.nc, err = nats.Connect("", nats.InProcessServer(b.server))
	return errors.Join(err, ctx.Err())
}

func (b *workbench) close() {
	if b.nc != nil {
		b.nc.Close()
	}
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // a temporary directory is the machine's to clear
	}
}

func (b *workbench) file(l Log) string {
	return filepath.Join(b.dir, fmt.Sprintf("log-%d.snapshot", l.Partition))
}

// reopen gives a log of the backup a new epoch behind its last record, and leaves
// what that makes of it in a file.
func (b *workbench) reopen(ctx context.Context, m *Manifest, l Log, dir string) (Restored, error) {
	r := Restored{Partition: l.Partition, Last: l.Last}
	alone, err := standalone(l.Config)
	if err != nil {
		return r, err
	}
	from, err := os.Open(l.path(dir))
	if err != nil {
		return r, err
	}
	defer from.Close()
	if err := restore(ctx, b.nc, l.Stream, identity{Config: alone, State: l.State}, from); err != nil {
		return r, err
	}
	if l.Last, err = b.holds(ctx, l); err != nil {
		return r, err
	}
	r.Last = l.Last
	if !mutant.On(mutant.RestoredWithoutEpoch) {
		if r.Epoch, err = b.openEpoch(ctx, m, l); err != nil {
			return r, err
		}
	}
	to, err := os.OpenFile(b.file(l), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return r, err
	}
	defer to.Close()
	id, err := snapshot(ctx, b.nc, l.Stream, to)
	if err != nil {
		return r, err
	}
	b.ready[l.Partition] = identity{Config: l.Config, State: id.State}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return r, err
	}
	return r, errors.Join(js.DeleteStream(ctx, l.Stream), to.Close())
}

// holds returns the last position of a log that was reopened. That of a log which
// was written to during the backup is behind the one that its server told when it
// began to pack; one before it means that records are missing.
func (b *workbench) holds(ctx context.Context, l Log) (events.Position, error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, l.Stream)
	if err != nil {
		return 0, err
	}
	last := events.Position(s.CachedInfo().State.LastSeq)
	if last < l.Last {
		return 0, fmt.Errorf("%w: %s ends at %d, it should at %d", ErrUnusable, l.File, last, l.Last)
	}
	return last, nil
}

// standalone is a stream's configuration for one server, without an age at which
// records go: that is for the server to decide where they end up.
func standalone(config json.RawMessage) (json.RawMessage, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber() // durations in nanoseconds outgrow a float
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	fields["num_replicas"], fields["max_age"] = 1, 0
	delete(fields, "placement")
	return json.Marshal(fields)
}

// openEpoch appends the record that no copy of before survives.
func (b *workbench) openEpoch(ctx context.Context, m *Manifest, l Log) (events.Position, error) {
	epoch, err := events.NewEpoch(rand.Reader)
	if err != nil {
		return 0, err
	}
	publisher, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return 0, err
	}
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{
		&events.EpochChange{Epoch: epoch, Why: "restored from the backup of " + m.Made.Format(time.RFC3339)},
	}})
	if err != nil {
		return 0, err
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return 0, err
	}
	id := events.ID{Publisher: publisher, Counter: 1}
	ack, err := js.Publish(ctx, jslog.LogSubject(m.Domain, l.Partition), data,
		jetstream.WithMsgID(id.String()), jetstream.WithExpectStream(l.Stream), jetstream.WithExpectLastSequence(uint64(l.Last)))
	if err != nil {
		return 0, fmt.Errorf("open a new epoch: %w", err)
	}
	return events.Position(ack.Sequence), nil
}

// hand gives the domain's server a log that has its epoch.
func (b *workbench) hand(ctx context.Context, nc *nats.Conn, l Log) error {
	f, err := os.Open(b.file(l))
	if err != nil {
		return err
	}
	defer f.Close()
	return restore(ctx, nc, l.Stream, b.ready[l.Partition], f)
}

// RollBack brings a domain's logs back as they were, their tail lost and nothing
// said about it: what becomes of a domain whose streams somebody restores by other
// means. It is for drills, which show that the nodes notice by themselves.
func RollBack(ctx context.Context, nc *nats.Conn, dir string) error {
	m, err := Open(dir)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for _, l := range m.Logs {
		if err := js.DeleteStream(ctx, l.Stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s: %w", l.Stream, err)
		}
		f, err := os.Open(l.path(dir))
		if err != nil {
			return err
		}
		err = restore(ctx, nc, l.Stream, identity{Config: l.Config, State: l.State}, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("roll back stream %s: %w", l.Stream, err)
		}
	}
	return nil
}
