package client_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

// waits is a log that tells when a client has said that it waits.
type waits struct {
	once sync.Once
	said chan struct{}
}

func newWaits() *waits { return &waits{said: make(chan struct{})} }

func (w *waits) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "waiting for") && strings.Contains(string(line), "waited=") {
		w.once.Do(func() { close(w.said) })
	}
	return len(line), nil
}

// opening opens a client in the background and returns once it says that it
// waits.
func opening(ctx context.Context, t *testing.T, url string) <-chan error {
	t.Helper()
	w, opened := newWaits(), make(chan error, 1)
	go func() {
		s := events.DefaultSettings()
		c, err := client.Open(ctx, client.Config{
			Domain: "shop", NATSURL: url, DataDir: t.TempDir(), Create: true, Settings: &s,
			L1Size: 1 << 20, L3Size: 16 << 20, DiskCache: 1 << 20, Logger: slog.New(slog.NewTextHandler(w, nil)),
		})
		if err == nil {
			err = c.Close(context.WithoutCancel(ctx))
		}
		opened <- err
	}()
	select {
	case <-w.said:
	case err := <-opened:
		t.Fatalf("opened without waiting: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("does not say that it waits")
	}
	return opened
}

func awaitOpened(t *testing.T, opened <-chan error) {
	t.Helper()
	select {
	case err := <-opened:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("does not go on")
	}
}

func TestOpenWaitsForNATS(t *testing.T) {
	server := process.NATS(t)
	server.Kill()
	opened := opening(t.Context(), t, server.URL())
	server.Restart()
	awaitOpened(t, opened)
}

// One of three servers answers, and nobody leads.
func TestOpenWaitsForALeader(t *testing.T) {
	servers := process.NATSCluster(t, 3)
	for _, s := range servers {
		s.Kill()
	}
	servers[0].Restart()
	opened := opening(t.Context(), t, process.ClusterURL(servers))
	for _, s := range servers[1:] {
		s.Restart()
	}
	awaitOpened(t, opened)
}

func TestOpenEndsWaitingWithItsContext(t *testing.T) {
	server := process.NATS(t)
	server.Kill()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	opened := opening(ctx, t, server.URL())
	stop()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOpenDoesNotWaitForWhatWaitingCannotMend(t *testing.T) {
	server := process.NATS(t, process.LoginAs("a", "right"), process.ServerConfig(`authorization { user: a, password: right }`))
	for name, c := range map[string]struct {
		login nats.Option
		want  error
	}{
		"credentials": {nats.UserInfo("a", "wrong"), nats.ErrAuthorization},
		"no domain":   {nats.UserInfo("a", "right"), client.ErrNoDomain},
	} {
		_, err := client.Open(t.Context(), client.Config{
			Domain: "shop", NATSURL: server.URL(), NATS: []nats.Option{c.login}, DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}
