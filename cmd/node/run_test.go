package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/test/process"
)

func TestMain(m *testing.M) {
	if args := os.Getenv(nodeEnv); args != "" {
		beNode(args)
	}
	// Putting an object into a bucket leaves one behind if the library's clean-up
	// comes before its start.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

// execute runs the command as main does, but for signals.
func execute(ctx context.Context, args ...string) error {
	cmd := config.Command(config.ForNode, "node", "", long, run)
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	return cmd.ExecuteContext(ctx)
}

func TestWithoutNATSItSaysWhatToSet(t *testing.T) {
	err := execute(t.Context(), "--domain=shop")
	if !errors.Is(err, config.ErrMissing) || !strings.Contains(err.Error(), "set --nats-url, TERCET_NATS_URL or nats.url") {
		t.Errorf("got %v", err)
	}
}

// A node waits for NATS, and a stop ends the wait with no fault of its own.
func TestAStopEndsTheWaitForNATS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	url := "nats://127.0.0.1:" + strconv.Itoa(process.FreePort(t))
	err := execute(ctx, "--domain=shop", "--nats-url="+url, "--resp-addr=off", "--http-addr=off", "--log-level=error")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "for NATS") {
		t.Errorf("got %v", err)
	}
}

func TestACertificateThatIsNotThere(t *testing.T) {
	err := execute(t.Context(), "--domain=shop", "--nats-url=nats://127.0.0.1:1", "--resp-cert=/nonexistent", "--resp-key=/nonexistent")
	if !errors.Is(err, config.ErrValue) || !strings.Contains(err.Error(), "resp.cert") {
		t.Errorf("got %v", err)
	}
}

// A write over one interface is read over the other, and a stop ends all.
func TestNodeFromStartToStop(t *testing.T) {
	nats := process.NATS(t)
	resp := "127.0.0.1:" + strconv.Itoa(process.FreePort(t))
	web := "127.0.0.1:" + strconv.Itoa(process.FreePort(t))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- execute(ctx, "--domain=shop", "--create", "--nats-url="+nats.URL(), "--data-dir="+t.TempDir(), "--node-id=a",
			"--resp-addr="+resp, "--resp-password=pw", "--http-addr="+web, "--http-token=tk", "--log-level=error")
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	get := func(path string) (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+web+path, nil)
		req.Header.Set("Authorization", "Bearer tk")
		res, err := transport.RoundTrip(req)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for code := 0; code != http.StatusOK; code, _ = get("/readyz") {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}

	rdb := redis.NewClient(&redis.Options{Addr: resp, Password: "pw"})
	defer rdb.Close()
	if err := rdb.Set(t.Context(), "user:1", "Ada", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if code, body := get("/v1/shop/keys/user:1"); code != 200 || body != "Ada" {
		t.Errorf("over HTTP: %d %s", code, body)
	}
	if err := rdb.Do(t.Context(), "TERCET.INVALIDATE", "PREFIX", "user:").Err(); err != nil {
		t.Fatal(err)
	}
	if code, body := get("/v1/shop/keys/user:1"); code != 404 {
		t.Errorf("after its prefix was invalidated: %d %s", code, body)
	}
	post := func() (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+web+"/v1/shop/events", strings.NewReader("payload"))
		for name, value := range map[string]string{
			"Authorization": "Bearer tk", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "user.changed", "ce-note": "a%20b", "Content-Type": "text/plain",
		} {
			req.Header.Set(name, value)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	if code, body := post(); code != http.StatusServiceUnavailable || !strings.Contains(body, "not-stored") {
		t.Errorf("an event without a stream: %d %s", code, body)
	}
	nc, err := natsgo.Connect(nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if code, body := post(); code != http.StatusAccepted {
		t.Errorf("an event: %d %s", code, body)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), "events.user.changed")
	if err != nil || string(m.Data) != "payload" || len(m.Header["ce-note"]) != 1 || m.Header["ce-note"][0] != "a%20b" || m.Header.Get("Nats-Msg-Id") != "/s|1" {
		t.Errorf("stored as %+v, %v", m, err)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "\ntercet_fences_applied_total{scope=\"broad\"} 1\n") {
		t.Errorf("metrics: %d\n%s", code, body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped with %v", err)
	}
}
