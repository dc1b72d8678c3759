package peers

import (
	"context"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/turn"
	"github.com/raptorflow/tercet/test/process"
)

func claim(key string) turn.Claim {
	return turn.Claim{Epoch: 7, Key: key, Token: events.ID{Publisher: events.Incarnation{3}, Counter: 4}, Since: 42}
}

// deployed starts a server with the accounts of deploy/nats: what a node says
// here it may say there.
func deployed(t *testing.T) *process.NATSServer {
	t.Helper()
	text, err := os.ReadFile("../../deploy/nats/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	accounts := regexp.MustCompile(`\$(TERCET|NATS)_(\w+)_PASSWORD`).ReplaceAllStringFunc(string(text), func(name string) string {
		return map[bool]string{true: "n", false: "other"}[name == "$TERCET_NODE_PASSWORD"]
	})
	accounts = strings.ReplaceAll(accounts, "$NATS_SYS_PASSWORD", "other")
	return process.NATS(t, process.ServerConfig(accounts), process.LoginAs("cli", "other"))
}

// serving returns the line of a node that answers with reply.
func serving(t *testing.T, server *process.NATSServer, self events.Incarnation, filled func(turn.Filled), reply func(node.TurnRequest) node.TurnReply) *Line {
	t.Helper()
	nc, err := nats.Connect(server.URL(), nats.UserInfo("node", "n"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLine(nc, "shop")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx, self, filled, reply) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v", err)
		}
		nc.Close()
	})
	return l
}

// Once Hear has returned, an announcement that is made anywhere arrives; those
// of other buckets don't.
func TestAnnouncementsReachWhoHears(t *testing.T) {
	server := deployed(t)
	got := make(chan turn.Filled, 10)
	listener := serving(t, server, events.Incarnation{1}, func(f turn.Filled) { got <- f }, nil)
	speaker := serving(t, server, events.Incarnation{2}, func(turn.Filled) { t.Error("heard what it does not listen to") }, nil)
	want := turn.Filled{Claim: claim("k"), Outcome: turn.Kept, Entry: []byte("entry"), At: 50, Digest: events.Digest{9}}
	other := "another"
	if turn.Bucket(other) == turn.Bucket("k") {
		t.Fatal("choose keys of two buckets")
	}
	for i := range 3 {
		fresh, err := hear(t, listener, turn.Bucket("k"))
		if err != nil || fresh != (i == 0) {
			t.Fatalf("hear: %v, %v", fresh, err)
		}
		for _, f := range []turn.Filled{{Claim: claim(other), Outcome: turn.Failed}, want} {
			if err := speaker.Announce(f); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case f := <-got:
			if !reflect.DeepEqual(f, want) {
				t.Fatalf("%+v, want %+v", f, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not heard")
		}
	}
}

// hear waits for the line to serve.
func hear(t *testing.T, l *Line, bucket int) (fresh bool, err error) {
	t.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		if fresh, err = l.Hear(t.Context(), bucket); !errors.Is(err, errNotServing) {
			return fresh, err
		}
		<-retry.C
	}
}

// Requests reach the node that they are for, and nobody waits for one that is
// not there.
func TestRequestsOfTurns(t *testing.T) {
	server := deployed(t)
	owner, asker := events.Incarnation{1}, events.Incarnation{2}
	asked := make(chan node.TurnRequest, 1)
	want := node.TurnReply{
		Answer:   turn.Answer{Held: true, Left: time.Second, Filled: &turn.Filled{Claim: claim("k"), Outcome: turn.Failed, Entry: []byte{}}},
		Extended: true, Ended: turn.Ended{Waited: true},
	}
	serving(t, server, owner, nil, func(q node.TurnRequest) node.TurnReply { asked <- q; return want })
	l := serving(t, server, asker, nil, nil)
	q := node.TurnRequest{
		Op: node.ReleaseTurn, Request: turn.Request{Claim: claim("k"), Need: 5, For: time.Minute, Anew: true},
		Filled: &turn.Filled{Claim: claim("k"), Outcome: turn.Kept, Entry: []byte("e"), At: 3},
	}
	var got node.TurnReply
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		var err error
		if got, err = l.Request(t.Context(), owner, q); err == nil {
			break
		} else if !errors.Is(err, nats.ErrNoResponders) { // it may not listen yet
			t.Fatal(err)
		}
		<-retry.C
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if at := <-asked; !reflect.DeepEqual(at, q) {
		t.Errorf("%+v, want %+v", at, q)
	}
	began := time.Now()
	if _, err := l.Request(t.Context(), events.Incarnation{9}, q); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v, want an error at once", err, time.Since(began))
	}
}

func FuzzDecodeTurns(f *testing.F) {
	filled := turn.Filled{Claim: claim("k"), Outcome: turn.Kept, Entry: []byte("entry"), At: 50, Digest: events.Digest{9}}
	f.Add(append([]byte{version}, appendFilled(nil, &filled)...))
	f.Add(appendTurnRequest(nil, node.TurnRequest{Op: node.TakeTurn, Request: turn.Request{Claim: claim("k"), For: time.Second}}))
	f.Add(appendTurnReply(nil, node.TurnReply{Answer: turn.Answer{Granted: true, Filled: &filled}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decodeAnnouncement(b); err == nil {
			if again, err := decodeAnnouncement(append([]byte{version}, appendFilled(nil, &v)...)); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("%+v became %+v, %v", v, again, err)
			}
		}
		if v, err := decodeTurnRequest(b); err == nil {
			if again, err := decodeTurnRequest(appendTurnRequest(nil, v)); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("%+v became %+v, %v", v, again, err)
			}
		}
		if v, err := decodeTurnReply(b); err == nil {
			if again, err := decodeTurnReply(appendTurnReply(nil, v)); err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("%+v became %+v, %v", v, again, err)
			}
		}
	})
}
