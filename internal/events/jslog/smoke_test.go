package jslog_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/test/process"
)

func TestSmoke(t *testing.T) {
	s := process.NATS(t)
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	set := events.DefaultSettings()
	set.Partitions = 2
	for range 2 {
		if err := jslog.Create(ctx, nc, "shop", set); err != nil {
			t.Fatal(err)
		}
	}
	d, err := jslog.Open(ctx, nc, "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := d.Log(1)
	for i := range 10 {
		p, err := l.Publish(ctx, events.ID{Counter: uint64(i + 1)}, []byte("x"))
		if err != nil || int(p) != i+2 {
			t.Fatal(p, err)
		}
	}
	n := 0
	end := fmt.Errorf("end")
	err = l.Follow(ctx, events.Mark{}, func(b []events.Delivery) error {
		n += len(b)
		t.Log(len(b), b[0])
		if n == 11 {
			return end
		}
		return nil
	})
	if err != end {
		t.Fatal(err)
	}
	if err := jslog.Delete(ctx, nc, "shop"); err != nil {
		t.Fatal(err)
	}
}
