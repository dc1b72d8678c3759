package main

import (
	"strings"
	"testing"

	"github.com/raptorflow/tercet/test/chaos/scenario"
)

func TestChaosCommand(t *testing.T) {
	out := must(t, "chaos", "--list")
	for _, name := range scenario.Names() {
		if !strings.Contains(out, name) {
			t.Errorf("does not list %s:\n%s", name, out)
		}
	}
	for _, words := range [][]string{
		{"chaos", "no-such-scenario", "--bin", t.TempDir()}, {"chaos", "smoke", "--bin", t.TempDir()},
		{"chaos", "smoke", "--node", "redis://127.0.0.1:1"}, {"chaos", "--domain", "shop", "--node", "127.0.0.1"},
	} {
		if _, problem, code := cli(t, "", words...); code != codeUsage {
			t.Errorf("%q: code %d, %s", words, code, problem)
		}
	}
}
