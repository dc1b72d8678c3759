package main

import (
	"context"
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/pkg/client"
)

func TestDiff(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "5s", "--partitions", "2")
	a, addressA := member(t, s, "node-a")
	member(t, s, "node-b")
	for i := range 10 {
		if _, err := a.Set(t.Context(), fmt.Sprint("key:", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "invalidate", "key:3", "--everywhere")
	out := must(t, "diff", "node-a", "node-b")
	if !strings.Contains(out, "node-a and node-b do not differ; 10 keys compared") {
		t.Errorf("the same:\n%s", out)
	}
	// A copy that was loaded on one node is no fault.
	if _, err := a.GetOrLoad(t.Context(), "mine", func(context.Context, string) (client.Loaded, error) {
		return client.Loaded{Value: []byte("x")}, nil
	}, client.At(client.Strong())); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "diff", strings.TrimPrefix(addressA, "http://"), "node-b", "--key", "mine", "--sample", "0"); !strings.Contains(out, "only node-a holds it") && !strings.Contains(out, "do not differ") {
		t.Errorf("a loaded copy:\n%s", out)
	}
	for _, words := range [][]string{{"node-a", "node-a"}, {"node-a"}, {"node-a", "node-b", "--key", ""}} {
		if _, problem, code := cli(t, "", append([]string{"diff"}, words...)...); code != codeUsage {
			t.Errorf("%q: code %d, %s", words, code, problem)
		}
	}
	if _, _, code := cli(t, "", "diff", "node-a", "node-c"); code != codeNotFound {
		t.Errorf("a node that is not there: code %d", code)
	}
}

// A node that would serve what another holds dead is found out.
func TestDiffFindsTheFault(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "5s")
	member(t, s, "good")
	must(t, "set", "k", "v1") // 2 or later
	must(t, "invalidate", "k", "--everywhere")

	// This one tells of a copy that it must not have.
	liar := httptest.NewServer(nil)
	defer liar.Close()
	defer nethttp.DefaultClient.CloseIdleConnections()
	n, err := client.Open(t.Context(), client.Config{Domain: "shop", NATSURL: s.URL(), NodeID: "bad", L1Size: 1 << 20, Addresses: []string{liar.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	x, err := n.Node().Explain(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	liar.Config.Handler = nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"epoch": x.Epoch.String(), "applied": x.Applied, "fresh_for_ms": 1000, "tiers": []map[string]any{
			{"tier": "memory", "found": true, "verdict": "alive", "epoch": x.Epoch.String(), "birth": 2},
		}})
	})
	out, problem, code := cli(t, "", "diff", "good", "bad")
	if code != codeFailed || !strings.Contains(out, "! k: bad would serve the copy born at 2, which good holds dead") {
		t.Errorf("code %d:\n%s%s", code, out, problem)
	}
}
