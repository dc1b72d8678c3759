package objectstore_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// Parts of objects that nobody will complete go once they are old, and no others.
func TestOldPartsAreSweptAway(t *testing.T) {
	js := connect(t, process.NATS(t))
	s, err := objectstore.Create(t.Context(), js, "swept", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop/kept", "shop/removed"} {
		if err := s.Put(t.Context(), name, strings.NewReader("whole")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove(t.Context(), "shop/removed"); err != nil {
		t.Fatal(err)
	}
	for range 3 { // as a writer leaves them that is killed
		if _, err := js.Publish(t.Context(), "$O.swept.C.half", []byte("part")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		before time.Time
		want   int
	}{{time.Now().Add(-time.Hour), 0}, {time.Now().Add(time.Hour), 1}, {time.Now().Add(time.Hour), 0}} {
		if n, err := s.Sweep(t.Context(), "shop/", c.before); n != c.want || err != nil {
			t.Errorf("swept %d, %v, want %d", n, err, c.want)
		}
	}
	r, err := s.Get(t.Context(), "shop/kept")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "whole" {
		t.Errorf("kept %q, %v, want it whole", b, err)
	}
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
