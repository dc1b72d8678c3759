package peers

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/test/process"
)

func TestQuestionsAndConfirmationsTravel(t *testing.T) {
	server := process.NATS(t)
	connect := func() *NATS {
		nc, err := nats.Connect(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		n, err := New(nc, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	writer, member := connect(), connect()
	me, other := events.Incarnation{1}, events.Incarnation{2}
	confirmed := make(chan node.Confirmation, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() {
		ended <- writer.Listen(ctx, me, func(node.Question) {}, func(c node.Confirmation) { confirmed <- c })
	}()
	go func() {
		ended <- member.Listen(ctx, other, func(q node.Question) {
			_ = member.Confirm(q.From, node.Confirmation{Partition: q.Partition, Epoch: q.Epoch, At: q.At, Digest: events.Digest{9}, Incarnation: other})
		}, func(node.Confirmation) { t.Error("a confirmation reached one who had not asked") })
	}()
	want := node.Confirmation{Partition: 3, Epoch: 7, At: 42, Digest: events.Digest{9}, Incarnation: other}
	retry := time.NewTicker(10 * time.Millisecond) // questions may be lost before the others listen
	defer retry.Stop()
	for done := false; !done; {
		if err := writer.Ask(node.Question{Partition: 3, Epoch: 7, At: 42, From: me}); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-confirmed:
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			done = true
		case <-retry.C:
		case <-t.Context().Done():
			t.Fatal("no confirmation")
		}
	}
	cancel()
	for range 2 {
		if err := <-ended; err != context.Canceled {
			t.Errorf("Listen returned %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(appendQuestion(nil, node.Question{Partition: 1, Epoch: 2, At: 3, From: events.Incarnation{4}}))
	f.Add(appendConfirmation(nil, node.Confirmation{Partition: 1, Epoch: 2, At: 3, Digest: events.Digest{5}, Incarnation: events.Incarnation{4}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := decodeQuestion(b); err == nil {
			if again, err := decodeQuestion(appendQuestion(nil, q)); err != nil || again != q {
				t.Errorf("%+v became %+v, %v", q, again, err)
			}
		}
		if c, err := decodeConfirmation(b); err == nil {
			if again, err := decodeConfirmation(appendConfirmation(nil, c)); err != nil || again != c {
				t.Errorf("%+v became %+v, %v", c, again, err)
			}
		}
	})
}

func TestSightingsAndOpinionsTravel(t *testing.T) {
	server := process.NATS(t)
	connect := func() *Auditor {
		nc, err := nats.Connect(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		a, err := NewAuditor(nc, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	asking, advising := connect(), connect()
	other := events.Incarnation{2}
	want := node.Sighting{Partition: 3, Epoch: 7, Key: "k", Birth: 40, Tags: []string{"a", "b"}, Claim: 42, Digest: events.Digest{5}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- advising.Advise(ctx, other, func(s node.Sighting) node.Opinion {
			if !reflect.DeepEqual(s, want) {
				t.Errorf("got %+v, want %+v", s, want)
			}
			return node.Objects
		})
	}()
	for { // nobody may listen yet
		one, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
		got, err := asking.Consult(one, other, want)
		done()
		if err == nil {
			if got != node.Objects {
				t.Errorf("the opinion came back as %v", got)
			}
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	if got, err := asking.Consult(t.Context(), events.Incarnation{9}, want); err == nil || got != node.Abstains {
		t.Errorf("nobody's opinion is %v, %v", got, err)
	}
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("Advise returned %v", err)
	}
}

func FuzzSighting(f *testing.F) {
	f.Add(appendSighting(nil, node.Sighting{Partition: 1, Epoch: 2, Key: "k", Birth: 3, Claim: 4, Tags: []string{"t"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSighting(b); err == nil {
			if again, err := decodeSighting(appendSighting(nil, s)); err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("%+v became %+v, %v", s, again, err)
			}
		}
	})
}
