package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/test/process"
)

// A node makes snapshots by its schedule and when it is asked; another, which has
// nothing, begins with one.
func TestNodeMakesSnapshots(t *testing.T) {
	for name, store := range map[string]string{"directory": t.TempDir(), "bucket": "nats://snapshots"} {
		t.Run(name, func(t *testing.T) {
			nats := process.NATS(t)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			start := func(id string) (url string, stop func()) {
				web := "127.0.0.1:" + strconv.Itoa(process.FreePort(t))
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() {
					ended <- execute(ctx, "--domain=shop", "--create", "--nats-url="+nats.URL(), "--data-dir="+t.TempDir(), "--node-id="+id,
						"--resp-addr=off", "--http-addr="+web, "--log-level=error", "--snapshot-dir="+store, "--snapshots-every=1s", "--snapshots-fences", "--snapshots-last=3")
				}()
				return "http://" + web + "/v1/shop/snapshots", func() {
					cancel()
					if err := <-ended; err != nil {
						t.Errorf("node ended: %v", err)
					}
				}
			}
			type list struct {
				Snapshots []snapshot.Manifest
				BeganWith string `json:"began_with"`
			}
			// await asks until what is there is enough.
			await := func(url string, enough func(list) bool) (l list) {
				t.Helper()
				deadline := time.Now().Add(30 * time.Second)
				for {
					if r, err := client.Get(url); err == nil {
						l = list{}
						err = json.NewDecoder(r.Body).Decode(&l)
						_ = r.Body.Close()
						if err == nil && enough(l) {
							return l
						}
					}
					if time.Now().After(deadline) {
						t.Fatalf("snapshots: %+v", l)
					}
					<-time.After(50 * time.Millisecond)
				}
			}
			url, stop := start("a")
			await(url, func(l list) bool {
				kinds := map[snapshot.Kind]bool{}
				based := false
				for _, m := range l.Snapshots {
					kinds[m.Kind], based = true, based || m.Base != ""
				}
				return kinds[snapshot.Full] && kinds[snapshot.Fences] && based
			})
			put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, strings.TrimSuffix(url, "snapshots")+"keys/k", strings.NewReader("v"))
			if err != nil {
				t.Fatal(err)
			}
			if r, err := client.Do(put); err != nil || r.StatusCode/100 != 2 || r.Body.Close() != nil {
				t.Fatalf("put: %v, %v", r, err)
			}
			r, err := client.Post(url, "application/json", strings.NewReader(`{"kind": "full"}`))
			if err != nil {
				t.Fatal(err)
			}
			var m snapshot.Manifest
			body, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err := json.Unmarshal(body, &m); err != nil || r.StatusCode != http.StatusCreated || m.Base != "" {
				t.Errorf("post: %d %s", r.StatusCode, body)
			}
			if r, err = client.Post(url, "application/json", strings.NewReader(`{"kind": "some"}`)); err != nil || r.StatusCode != http.StatusBadRequest {
				t.Errorf("post of nonsense: %v, %v", r, err)
			}
			_ = r.Body.Close()
			if r, err = client.Get(strings.TrimSuffix(url, "v1/shop/snapshots") + "metrics"); err != nil {
				t.Fatal(err)
			}
			body, _ = io.ReadAll(r.Body)
			_ = r.Body.Close()
			for _, metric := range []string{"tercet_snapshots_made_total", "tercet_snapshot_last_bytes", "tercet_snapshot_age_seconds"} {
				if !regexp.MustCompile(`(?m)^` + metric + ` [0-9.e+-]*[1-9]`).Match(body) {
					t.Errorf("no %s above 0 in /metrics", metric)
				}
			}
			other, stopOther := start("b")
			await(other, func(l list) bool { return l.BeganWith != "" })
			stopOther()
			stop()
		})
	}
}
