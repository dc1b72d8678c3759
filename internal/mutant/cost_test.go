package mutant_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Without the tag a switch and what stands behind it are gone from the
// program, table and all.
func TestSwitchesCostNothing(t *testing.T) {
	without, with := symbols(t, "-tags="), symbols(t, "-tags=mutants")
	for _, s := range []string{"main.fault", "internal/mutant."} {
		if n := count(without, s); n != 0 {
			t.Errorf("%d symbols with %q in a build without the tag", n, s)
		}
		if count(with, s) == 0 {
			t.Errorf("no symbol with %q in a build with the tag: the probe proves nothing", s)
		}
	}
}

func count(symbols []elf.Symbol, part string) (n int) {
	for _, s := range symbols {
		if strings.Contains(s.Name, part) {
			n++
		}
	}
	return n
}

// symbols builds the probe, for Linux, whose programs Go can read anywhere, and
// returns what it is made of.
func symbols(t *testing.T, tags string) []elf.Symbol {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "probe")
	build := exec.Command("go", "build", tags, "-o", binary, "./testdata/probe")
	build.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
