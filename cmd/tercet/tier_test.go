package main

import (
	"context"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/pkg/client"
)

// A node's tiers are listed and switched over its HTTP interface.
func TestTier(t *testing.T) {
	s := environment(t)
	must(t, "domain", "create", "shop", "--lease", "2s")
	n, err := client.Open(t.Context(), client.Config{Domain: "shop", NATSURL: s.URL(), NodeID: "n", L1Size: 1 << 20, DataDir: t.TempDir(), TiersOff: []string{client.TierOwner}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	address := served(t, n)
	t.Setenv("TERCET_HTTP_TOKEN", "secret")
	list := func(want ...string) {
		t.Helper()
		out := strings.Join(strings.Fields(must(t, "tier", "list", "--node", address)), " ")
		if got := strings.TrimPrefix(out, "TIER STATE "); got != strings.Join(want, " ") {
			t.Errorf("%s, want %s", got, want)
		}
	}
	list("memory on", "disk on", "redis none", "owner OFF")
	must(t, "tier", "off", "disk", "--node", address)
	must(t, "tier", "on", "owner", "--node", address)
	list("memory on", "disk OFF", "redis none", "owner on")
	if states := n.Tiers(); states[1].On || !states[3].On {
		t.Errorf("%+v", states)
	}
	must(t, "tier", "on", "disk", "--node", address)
	list("memory on", "disk on", "redis none", "owner on")
	if _, _, code := cli(t, "", "tier", "off", "tape", "--node", address); code != codeUsage {
		t.Errorf("a tier that is none: code %d", code)
	}
	if out := must(t, "tier", "list", "--json", "--node", address); !strings.Contains(out, `"tier":"disk"`) {
		t.Errorf("JSON: %s", out)
	}
}
