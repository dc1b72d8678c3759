package main

import (
	"strings"
	"testing"
)

func TestDrillCommand(t *testing.T) {
	out := must(t, "drill", "rebuild", "--keys", "200")
	for _, want := range []string{"lose Redis and the disks", "recovered in", "values back: 480 of 480", "dead values served: 0", "passed"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	for _, words := range [][]string{{"drill"}, {"drill", "flood"}, {"drill", "rebuild", "--keys", "3"}} {
		if _, problem, code := cli(t, "", words...); code != codeUsage {
			t.Errorf("%q: code %d, %s", words, code, problem)
		}
	}
}
