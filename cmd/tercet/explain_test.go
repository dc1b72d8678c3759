package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/server/httpapi"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/test/process"
)

func TestExplain(t *testing.T) {
	environment(t)
	shopLog(t)
	out := must(t, "explain", "b", "--log-only")
	for _, want := range []string{
		"b   in partition 0 of shop, positions 1 to 6", "put         3           2 bytes, tags tea", `> `,
		`fence       5           of tag tea, because of "tercet invalidate"`, "with tags tea live if they were born at 5 or later",
		`the value put at 3 is dead: fenced at 5 by tag "tea", because of "tercet invalidate"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if out := must(t, "explain", "b", "--at", "4"); !strings.Contains(out, "the value put at 3 is alive") || strings.Contains(out, "can't be asked") {
		t.Errorf("at 4:\n%s", out)
	}
	var v explained
	if err := json.Unmarshal([]byte(must(t, "explain", "b", "--birth", "4", "--json", "--log-only")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Asked == nil || v.Asked.Life != "dead" || v.Asked.Position != 5 || v.Living != 5 || len(v.Events) != 3 || !v.Events[2].Decides {
		t.Errorf("%+v", v)
	}
	if err := json.Unmarshal([]byte(must(t, "explain", "c", "--tag", "tea", "--birth", "5", "--json", "--log-only")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Asked.Life != "dead" || v.Asked.Position != 6 {
		t.Errorf("c: %+v", v.Asked)
	}
	if _, problem, code := cli(t, "", "explain", "b", "--at", "noon"); code != codeUsage {
		t.Errorf("a bad place: code %d, %s", code, problem)
	}
}

// member joins the domain as a node that answers over HTTP, and returns it with
// its address.
func member(t *testing.T, s *process.NATSServer, name string) (*client.Client, string) {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", process.FreePort(t))
	n, err := client.Open(t.Context(), client.Config{Domain: "shop", NATSURL: s.URL(), NodeID: name, L1Size: 1 << 20, AuditRate: 100, Addresses: []string{"http://" + addr}})
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Deps{Cache: n.Node()}, httpapi.Config{Addr: addr, Domain: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Run(ctx) }()
	t.Cleanup(func() {
		nethttp.DefaultClient.CloseIdleConnections()
		stop()
		if err := errors.Join(<-ended, n.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-api.Listening():
	case <-t.Context().Done():
	}
	return n, "http://" + addr
}

// A loaded copy stands nowhere in the log; the node that holds it knows its tags.
func TestExplainAsksNodes(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "5s")
	n, _ := member(t, s, "node-a")
	if _, err := n.GetOrLoad(t.Context(), "price", func(context.Context, string) (client.Loaded, error) {
		return client.Loaded{Value: []byte("12"), Tags: []string{"tea"}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	var v explained
	if err := json.Unmarshal([]byte(must(t, "explain", "price", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Nodes) != 1 || v.Nodes[0].Node != "node-a" || v.Nodes[0].Problem != "" || len(v.Tags) != 1 || v.Tags[0] != "tea" {
		t.Fatalf("%+v", v)
	}
	if t0 := v.Nodes[0].Tiers[0]; !t0.Found || t0.Verdict != "alive" || t0.Log != nil {
		t.Errorf("%+v", t0)
	}
	born := v.Nodes[0].Tiers[0].Birth
	for deadline := time.Now().Add(20 * time.Second); len(v.Nodes[0].Served) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no answer was sampled")
		}
		if _, err := n.Get(t.Context(), "price"); err != nil {
			t.Fatal(err)
		}
		v = explained{}
		if err := json.Unmarshal([]byte(must(t, "explain", "price", "--json")), &v); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.Nodes[0].Served[0]; got.Birth != born || got.Applied < born || time.Since(got.At) > time.Minute {
		t.Errorf("served %+v, want what was born at %d", got, born)
	}
	must(t, "invalidate", "--tag", "tea")
	out := must(t, "explain", "price", "--node", "http://127.0.0.1:1")
	for _, want := range []string{"of tag tea", "node-a has applied", "memory", fmt.Sprintf("served  what was born at %d, last sampled at ", born), "http://127.0.0.1:1 can't be asked"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}
