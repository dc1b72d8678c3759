package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
)

// Take backs a domain up into a directory, which is made if it is missing and must
// hold no backup yet. The domain goes on meanwhile; of each log the backup holds
// what it held at one instant, of several logs at instants of their own. progress,
// if not nil, is told the bytes written.
func Take(ctx context.Context, nc *nats.Conn, domain, dir string, progress func(bytes uint64)) (*Manifest, error) {
	d, err := jslog.Open(ctx, nc, domain)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil { // values are as secret as the log
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		return nil, fmt.Errorf("back up domain %q: %w: %s holds a backup already", domain, os.ErrExist, dir)
	}
	m := &Manifest{Version: version, Domain: domain, Settings: d.Settings(), Made: time.Now().UTC()}
	count := &counter{progress: progress}
	for p := range d.Settings().Partitions {
		l := Log{Partition: p, Stream: jslog.LogStream(domain, p), File: fmt.Sprintf("log-%d.snapshot", p)}
		if err := l.take(ctx, nc, dir, count); err != nil {
			return nil, fmt.Errorf("back up stream %s: %w", l.Stream, err)
		}
		m.Logs = append(m.Logs, l)
	}
	return m, m.write(dir)
}

func (l *Log) take(ctx context.Context, nc *nats.Conn, dir string, count *counter) error {
	f, err := os.OpenFile(l.path(dir), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, before := sha256.New(), count.bytes
	id, err := snapshot(ctx, nc, l.Stream, io.MultiWriter(f, sum, count))
	if err != nil {
		return err
	}
	l.Config, l.State = id.Config, id.State
	l.Bytes, l.SHA256 = int64(count.bytes-before), hex.EncodeToString(sum.Sum(nil))
	if l.First, l.Last, err = bounds(id.State); err != nil {
		return err
	}
	return f.Sync()
}

// bounds are the positions that a stream's state names.
func bounds(state json.RawMessage) (first, last events.Position, err error) {
	var s jetstream.StreamState
	err = json.Unmarshal(state, &s)
	return events.Position(s.FirstSeq), events.Position(s.LastSeq), err
}

// counter counts what passes.
type counter struct {
	bytes    uint64
	progress func(uint64)
}

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += uint64(len(b))
	if c.progress != nil {
		c.progress(c.bytes)
	}
	return len(b), nil
}
