package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/tiers"
)

// readKept reads the whole log once more, past all members, and returns which
// values it still has, by key.
func (w *Workload) readKept(ctx context.Context) (map[string]map[int64]bool, error) {
	nc, err := nats.Connect(w.cfg.NATSURL, nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	kept := map[string]map[int64]bool{}
	for p := range w.observer.partitions {
		if err := readPartition(ctx, js, jslog.LogStream(w.cfg.Domain, p), kept); err != nil {
			return nil, fmt.Errorf("read the log of partition %d: %w", p, err)
		}
	}
	return kept, nil
}

func readPartition(ctx context.Context, js jetstream.JetStream, name string, kept map[string]map[int64]bool) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	c, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	for at := uint64(0); at < last; {
		batch, err := c.Fetch(1000, jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			at = meta.Sequence.Stream
			keep(m.Data(), kept)
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// keep takes the values of a record. What can't be decoded is none of ours.
func keep(record []byte, kept map[string]map[int64]bool) {
	r, err := events.DecodeRecord(record)
	if err != nil {
		return
	}
	for _, change := range r.Changes {
		p, ok := change.(*events.Put)
		if !ok {
			continue
		}
		e, err := tiers.Parse(p.Entry)
		if err != nil {
			continue
		}
		if v, strange := decode(p.Key, e.Payload()); strange == "" {
			if kept[p.Key] == nil {
				kept[p.Key] = map[int64]bool{}
			}
			kept[p.Key][v] = true
		}
	}
}
