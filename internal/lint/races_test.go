package lint

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/mutant"
)

// raceTable are the documents that name tests.
var raceTable = []string{"docs/RACES.md", "docs/GUARANTEES.md", "docs/PROTOCOL.md"}

var (
	testName  = regexp.MustCompile("`(?:[a-z]+\\.)?((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	faultName = regexp.MustCompile("`([a-z]+(?:-[a-z0-9]+)+)`")
	raceRow   = regexp.MustCompile(`(?m)^\| ([PCH]\d+) \| (.*) \| (.*)\|$`)
)

// Documents name no test that is not there: a table of proofs that has come off
// the tree is worse than none.
func TestDocumentsNameRealTests(t *testing.T) {
	tests := map[string]bool{}
	for _, f := range tree(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	for _, name := range raceTable {
		for _, m := range testName.FindAllStringSubmatch(document(t, name), -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
	}
}

// Each race, clause and hole of the review has a row, which names a test, or says
// in words why there is none; each fault that a row names exists.
func TestEachRaceHasItsTest(t *testing.T) {
	rows := map[string]string{}
	for _, m := range raceRow.FindAllStringSubmatch(document(t, "docs/RACES.md"), -1) {
		rows[m[1]] = m[2]
		if !testName.MatchString(m[2]) && !strings.HasPrefix(m[2], "none: ") {
			t.Errorf("%s names no test and does not say why", m[1])
		}
		for _, f := range faultName.FindAllStringSubmatch(m[3], -1) {
			if _, ok := mutant.Find(f[1]); !ok {
				t.Errorf("%s names the fault %s, which is not there", m[1], f[1])
			}
		}
	}
	for letter, last := range map[string]int{"P": 54, "C": 6, "H": 10} {
		for n := 1; n <= last; n++ {
			if name := fmt.Sprint(letter, n); rows[name] == "" {
				t.Errorf("%s has no row", name)
			}
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	top, err := root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
