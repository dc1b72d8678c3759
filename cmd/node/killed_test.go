package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/fakes3"
	"github.com/raptorflow/tercet/test/process"
)

// nodeEnv makes the test binary a node with these arguments, which can be killed.
// Settings begin with TERCET_.
const nodeEnv = "NODE_TO_KILL"

func beNode(text string) {
	var args []string
	err := json.Unmarshal([]byte(text), &args)
	if err == nil {
		err = execute(context.Background(), args...)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// killedNode is what a test needs of a node that is killed over and over, and
// comes back with an empty disk each time.
type killedNode struct {
	t          *testing.T
	nats       *process.NATSServer
	store, web string
	dir        string
	node       *exec.Cmd
}

func (k *killedNode) start() {
	k.t.Helper()
	k.dir = k.t.TempDir()
	args, err := json.Marshal([]string{
		"--domain=shop", "--nats-url=" + k.nats.URL(), "--data-dir=" + k.dir, "--node-id=b", "--resp-addr=off",
		"--http-addr=" + k.web, "--log-level=error", "--snapshot-dir=" + k.store, "--snapshots-every=20ms", "--snapshots-full-every=3",
		"--snapshots-last=2", "--snapshots-daily=0", "--snapshots-rate=1GiB",
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.node = exec.Command(os.Args[0])
	k.node.Env = append(os.Environ(), nodeEnv+"="+string(args))
	k.node.Stderr = os.Stderr
	if err := k.node.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(k.kill)
}

func (k *killedNode) kill() {
	_ = k.node.Process.Kill()
	_ = k.node.Wait() // it was killed
}

// catalogue returns the snapshots as somebody sees them at now.
func (k *killedNode) catalogue(now func() time.Time) (*snapshot.Catalogue, snapshot.Store) {
	k.t.Helper()
	c := &config.Config{Domain: "shop", SnapshotDir: k.store, Replicas: 1}
	c.NATS.URL = k.nats.URL()
	store, closeIt, err := link.Snapshots(k.t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(closeIt)
	cat, err := snapshot.NewCatalogue(store, snapshot.Config{Domain: "shop", Now: now})
	if err != nil {
		k.t.Fatal(err)
	}
	return cat, store
}

// usable fails unless everything in the catalogue is whole, and returns how much
// that is.
func (k *killedNode) usable(cat *snapshot.Catalogue) int {
	k.t.Helper()
	all, refused, err := cat.List(k.t.Context())
	if err != nil || len(refused) > 0 {
		k.t.Fatalf("refused %v, %v", refused, err)
	}
	for _, m := range all {
		if err := cat.Verify(k.t.Context(), m); err != nil {
			k.t.Fatal(err)
		}
	}
	return len(all)
}

// get asks the node over HTTP.
func (k *killedNode) get(path string) (int, string) {
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, "http://"+k.web+path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	r, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// ready waits until the node serves.
func (k *killedNode) ready() {
	k.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		code, body := k.get("/readyz")
		if code == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("not ready: %d %s", code, body)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// G6, G7: a node that begins with snapshots, makes them and prunes them is killed
// at any instant, while its domain is written: the catalogue stays usable, and who
// begins with what is in it serves nothing that is dead.
func TestKilledWithSnapshotsInHand(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "user")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for name, store := range map[string]func(*testing.T) string{
		"directory": func(t *testing.T) string { return filepath.Join(t.TempDir(), "snapshots") },
		"bucket":    func(*testing.T) string { return "nats://snapshots" },
		"s3":        func(t *testing.T) string { return fakes3.Start(t).Bucket(t, "snapshots") },
	} {
		t.Run(name, func(t *testing.T) {
			k := &killedNode{t: t, nats: process.NATS(t), store: store(t), web: "127.0.0.1:" + strconv.Itoa(process.FreePort(t))}
			a, err := client.Open(t.Context(), client.Config{
				Domain: "shop", NodeID: "a", NATSURL: k.nats.URL(), Create: true, Replication: -1, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close(context.WithoutCancel(t.Context()))
			key := func(i int) string { return fmt.Sprintf("item:%d:v", i) }
			const keys = 2000
			noise := rand.NewChaCha8([32]byte{1})
			junk := make([]byte, 1000) // so that an object is larger than what goes in one request
			write := func(v int) {
				items := map[string]client.Item{}
				for i := v % 4; i < keys; i += 4 {
					_, _ = noise.Read(junk) // never fails
					items[key(i)] = client.Item{Value: fmt.Appendf(nil, "%d %x", v, junk)}
				}
				if _, err := a.SetMany(t.Context(), items); err != nil {
					t.Fatal(err)
				}
			}
			version := 0
			for ; version < 4; version++ {
				write(version)
			}
			most := 0
			for n := range 5 {
				k.start()
				write(version)
				version++
				if n%2 == 0 {
					k.ready() // else it may be killed while it begins
				}
				cat, _ := k.catalogue(nil)
				for deadline := time.Now().Add(30 * time.Second); n == 0; {
					if all, _, err := cat.List(t.Context()); err == nil && len(all) > 0 {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal("no snapshot is ever completed")
					}
					<-time.After(20 * time.Millisecond)
				}
				<-time.After(time.Duration(100+rand.IntN(800)) * time.Millisecond)
				k.kill()
				found := k.usable(cat)
				if found < most && found < 2 {
					t.Fatalf("after kill %d %d snapshots are left of %d", n, found, most)
				}
				most = found
			}
			k.start()
			k.ready()
			if _, body := k.get("/v1/shop/snapshots"); !strings.Contains(body, `"began_with":"2`) {
				t.Errorf("the last node began without a snapshot: %.300s", body)
			}
			for i := range keys {
				want := version - 1
				for want%4 != i%4 {
					want--
				}
				code, body := k.get("/v1/shop/keys/" + key(i))
				if got, _, _ := strings.Cut(body, " "); code != http.StatusOK || got != strconv.Itoa(want) {
					t.Fatalf("%s: %d %.40q, want version %d", key(i), code, body, want)
				}
			}
			k.kill()
			// Two days later nothing is there but what is listed.
			later := func() time.Time { return time.Now().Add(2 * snapshot.Unfinished) }
			cat, objects := k.catalogue(later)
			if _, err := cat.Prune(t.Context(), snapshot.Retention{}); err != nil {
				t.Fatal(err)
			}
			left, err := objects.List(t.Context(), "")
			if n := k.usable(cat); err != nil || len(left) != 2*n {
				t.Errorf("%d objects of %d snapshots, %v: %q", len(left), n, err, left)
			}
			if n, err := objects.(snapshot.Sweeper).Sweep(t.Context(), "", later()); n > 0 || err != nil {
				t.Errorf("%d uploads were left half done, %v", n, err)
			}
		})
	}
}
