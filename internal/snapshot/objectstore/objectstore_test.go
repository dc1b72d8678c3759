package objectstore_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/objectstore"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
	"github.com/raptorflow/tercet/test/process"
)

func connect(t *testing.T, server *process.NATSServer) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestStore(t *testing.T) {
	server := process.NATS(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) (snapshot.Store, snapshot.Store) {
		bucket := fmt.Sprint("snapshots", n.Add(1))
		s, err := objectstore.Create(t.Context(), connect(t, server), bucket, 1)
		if err != nil {
			t.Fatal(err)
		}
		again, err := objectstore.Open(t.Context(), connect(t, server), bucket)
		if err != nil {
			t.Fatal(err)
		}
		return s, again
	})
}

func TestBucketsAreNotMadeByTheWay(t *testing.T) {
	js := connect(t, process.NATS(t))
	if _, err := objectstore.Open(t.Context(), js, "none"); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("open: %v, want ErrBucketNotFound", err)
	}
	for range 2 { // the second finds it
		if _, err := objectstore.Create(t.Context(), js, "made", 1); err != nil {
			t.Fatal(err)
		}
	}
}
