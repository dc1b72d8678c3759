package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestDomainBackup(t *testing.T) {
	environment(t)
	shopLog(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if out := must(t, "domain", "backup", dir); !strings.Contains(out, "positions 1 to 6") {
		t.Errorf("backup:\n%s", out)
	}
	if _, problem, code := cli(t, "", "domain", "backup", dir); code == codeDone || !strings.Contains(problem, "already") {
		t.Errorf("a second backup there: code %d, %s", code, problem)
	}
	must(t, "invalidate", "--all")
	for _, words := range [][]string{{"--replace"}, {}} {
		if _, problem, code := cli(t, "", append([]string{"domain", "restore", dir}, words...)...); code != codeUsage {
			t.Errorf("restore %q: code %d, %s", words, code, problem)
		}
	}
	if out := must(t, "domain", "restore", dir, "--replace", "--yes"); !strings.Contains(out, "up to position 6, a new epoch at 7") {
		t.Errorf("restore:\n%s", out)
	}
	if all := records(t, 7); all[6].Changes[0].Kind != "epoch" || !strings.Contains(all[6].Changes[0].Why, "restored from the backup") {
		t.Errorf("%+v", all[6])
	}
	if out := must(t, "explain", "a", "--log-only"); strings.Contains(out, "is alive") || !strings.Contains(out, "everything before it is void (restored") {
		t.Errorf("explain:\n%s", out)
	}
	must(t, "set", "a", "a9")
	if got := must(t, "replay", "--into", "scratch", "--get", "a"); got != "a9" {
		t.Errorf("a is %q", got)
	}
	if _, problem, code := cli(t, "", "domain", "restore", t.TempDir()); code != codeUsage || !strings.Contains(problem, "no backup") {
		t.Errorf("restore of nothing: code %d, %s", code, problem)
	}
}
