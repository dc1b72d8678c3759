package main

import (
	"context"
	"encoding/json"
	"errors"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/server"
	"github.com/raptorflow/tercet/internal/server/httpapi"
	"github.com/raptorflow/tercet/pkg/client"
)

// A bracket that its writer left open is listed, and ended only by somebody who
// says that the commit is impossible; over a node, and by joining.
func TestBrackets(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "2s", "--partitions", "2")
	if out := must(t, "brackets", "list"); !strings.Contains(out, "no bracket") {
		t.Errorf("nothing is open: %q", out)
	}
	ctx := t.Context()
	n, err := client.Open(ctx, client.Config{Domain: "shop", NATSURL: s.URL(), NodeID: "writer", L1Size: 1 << 20, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	address := served(t, n)
	open := func() client.BracketID {
		t.Helper()
		var id client.BracketID
		_, err := n.BracketedBy(ctx, client.Invalidation{Keys: []string{"a", "b", "c", "d"}, Tags: []string{"t"}},
			client.BracketOptions{Timeout: time.Millisecond, Decider: "orders"},
			func(_ context.Context, b client.BracketID) error { id = b; return client.ErrUnsettled })
		if !errors.Is(err, client.ErrUnsettled) {
			t.Fatal(err)
		}
		return id
	}

	id := open()
	for _, at := range [][]string{nil, {"--node", address}} {
		if at != nil {
			t.Setenv("TERCET_HTTP_TOKEN", "secret")
		}
		out := must(t, append([]string{"brackets", "list"}, at...)...)
		for _, want := range []string{id.String(), "OVERDUE", "writer", "orders", `tag "t"`} {
			if !strings.Contains(out, want) {
				t.Errorf("%v: the list does not say %q:\n%s", at, want, out)
			}
		}
		var list bracketList
		if err := json.Unmarshal([]byte(must(t, append([]string{"brackets", "list", "--json"}, at...)...)), &list); err != nil || len(list.Brackets) == 0 || list.Brackets[0].Writer != "writer" {
			t.Errorf("%v: %+v, %v", at, list, err)
		}
		resolve := append([]string{"brackets", "resolve", id.String()}, at...)
		if _, problem, code := cli(t, "", resolve...); code != codeUsage || !strings.Contains(problem, "--commit-is-impossible") {
			t.Errorf("%v: nobody has said that the commit is impossible: code %d, %s", at, code, problem)
		}
		resolve = append(resolve, "--commit-is-impossible")
		must(t, resolve...)
		if _, problem, code := cli(t, "", resolve...); code != codeNotFound {
			t.Errorf("%v: a bracket that has ended: code %d, %s", at, code, problem)
		}
		if open := n.Brackets(); len(open) != 0 {
			t.Errorf("%v: still open: %+v", at, open)
		}
		id = open()
	}
	if _, _, code := cli(t, "", "brackets", "resolve", "xyz", "--commit-is-impossible"); code != codeUsage {
		t.Errorf("an id that is none: code %d", code)
	}
	nethttp.DefaultClient.CloseIdleConnections()
}

// served puts the HTTP interface on top of a node and returns its address.
func served(t *testing.T, n *client.Client) string {
	t.Helper()
	s, err := httpapi.New(httpapi.Deps{Cache: n.Node()}, httpapi.Config{Addr: "127.0.0.1:0", Domain: "shop", Token: server.NewSecret("secret")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		nethttp.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-s.Listening()
	return "http://" + s.Addr().String()
}
