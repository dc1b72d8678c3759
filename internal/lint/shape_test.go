package lint

import (
	"bytes"
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// mostLines is where a file stops being one concept.
const mostLines = 600

func length(f *file) []complaint {
	if n := bytes.Count(f.src, []byte("\n")); n > mostLines && !f.generated() {
		return []complaint{f.complain(f.ast.Package, "%d lines, at most %d: split it by concept", n, mostLines)}
	}
	return nil
}

func TestFilesAreSmall(t *testing.T) { hold(t, length) }

func TestLengthRefuses(t *testing.T) {
	refuse(t, length,
		map[string]string{"a.go: long": "package x\n" + strings.Repeat("\n", mostLines)},
		map[string]string{"a.go: at the limit": "package x\n" + strings.Repeat("\n", mostLines-1)})
}

// vague names say nothing of what is inside, and so attract everything.
var vague = map[string]bool{
	"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "manager": true, "managers": true,
	"base": true, "misc": true, "lib": true, "types": true, "interfaces": true,
}

func packageName(f *file) []complaint {
	name := strings.TrimSuffix(f.ast.Name.Name, "_test")
	if vague[name] || vague[f.dir()[strings.LastIndexByte(f.dir(), '/')+1:]] {
		return []complaint{f.complain(f.ast.Name.Pos(), "package %s: name it after what it does", name)}
	}
	return nil
}

func TestPackageNamesSaySomething(t *testing.T) { hold(t, packageName) }

func TestPackageNameRefuses(t *testing.T) {
	refuse(t, packageName,
		map[string]string{
			"internal/x/a.go: name":    "package utils",
			"internal/helper/a.go: at": "package x",
		},
		map[string]string{"internal/clock/a.go: good": "package clock"})
}

// undocumented returns the packages that no file introduces.
func undocumented(files []*file) []string {
	introduced := map[string]bool{}
	var order []string
	for _, f := range files {
		// A directory of tests alone is introduced by them.
		name := f.ast.Name.Name
		if f.test() && strings.HasSuffix(name, "_test") {
			continue
		}
		if _, known := introduced[f.dir()]; !known {
			introduced[f.dir()] = false
			order = append(order, f.dir())
		}
		doc := f.ast.Doc.Text()
		if strings.HasPrefix(doc, "Package "+name) || name == "main" && len(doc) > 0 {
			introduced[f.dir()] = true
		}
	}
	var out []string
	for _, dir := range order {
		if !introduced[dir] {
			out = append(out, dir)
		}
	}
	return out
}

func TestPackagesAreIntroduced(t *testing.T) {
	for _, dir := range undocumented(tree(t)) {
		t.Errorf("%s has no package comment: say in doc.go what it is for, what it promises and what not, and who may call it", dir)
	}
}

func TestUndocumentedRefuses(t *testing.T) {
	bare := snippet(t, "internal/bare/a.go", "// Copyright.\n\npackage bare")
	good := snippet(t, "internal/good/doc.go", "// Package good is.\npackage good")
	more := snippet(t, "internal/good/a.go", "package good")
	if got := undocumented([]*file{bare, more, good}); len(got) != 1 || got[0] != "internal/bare" {
		t.Fatalf("undocumented: %v, want internal/bare", got)
	}
}

// unfinished marks work that somebody meant to do. It is done or it is an
// issue; the words are put together here, for this file is searched as well.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// textual are the names of files that people read.
var textual = regexp.MustCompile(`\.(go|md|ya?ml|sh|conf|tmpl|html|css|js|sql|lua|mod)$|(^|/)(Makefile|Dockerfile|run)$`)

func unfinishedIn(path string, src []byte) (out []complaint) {
	if !textual.MatchString(path) {
		return nil
	}
	for i, line := range bytes.Split(src, []byte("\n")) {
		if m := unfinished.Find(line); m != nil {
			out = append(out, complaint{path: path, line: i + 1, text: string(m) + ": finish it, or open an issue"})
		}
	}
	return out
}

func TestNothingIsLeftUnfinished(t *testing.T) {
	walk(t, func(path string, src []byte) {
		for _, c := range unfinishedIn(path, src) {
			t.Error(c)
		}
	})
}

func TestUnfinishedRefuses(t *testing.T) {
	for _, path := range []string{"internal/a.go", "docs/A.md", "Makefile", ".ci/run"} {
		if len(unfinishedIn(path, []byte("fine\n# TO"+"DO: more\n"))) != 1 {
			t.Errorf("no complaint about %s", path)
		}
	}
	if c := unfinishedIn("a.go", []byte("mktemp XX"+"XXXX; methods; hacks")); len(c) != 0 {
		t.Error(c)
	}
}

// printing finds what writes to the process's own output where nobody can
// redirect it.
func printing(f *file) (out []complaint) {
	if anyMatches([]string{"cmd/...", "examples/...", "bench/...", "tools/..."}, f.dir()) {
		return nil
	}
	fmtName := f.localName("fmt")
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || f.test() && strings.HasPrefix(fn.Name.Name, "Example") || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch fun := call.Fun.(type) {
			case *ast.SelectorExpr:
				if x, ok := fun.X.(*ast.Ident); ok && fmtName != "" && x.Name == fmtName && strings.HasPrefix(fun.Sel.Name, "Print") {
					out = append(out, f.complain(n.Pos(), "fmt.%s: write to an io.Writer that you were given, or log", fun.Sel.Name))
				}
			case *ast.Ident:
				if fun.Name == "println" || fun.Name == "print" {
					out = append(out, f.complain(n.Pos(), "%s: write to an io.Writer that you were given, or log", fun.Name))
				}
			}
			return true
		})
	}
	return out
}

func TestOnlyCommandsPrint(t *testing.T) { hold(t, printing) }

func TestPrintingRefuses(t *testing.T) {
	refuse(t, printing, map[string]string{
		"internal/node/a.go: fmt":     "package x\nimport \"fmt\"\nfunc f() { fmt.Println() }",
		"internal/node/a.go: builtin": "package x\nfunc f() { println() }",
		"pkg/client/a_test.go: test":  "package x\nimport \"fmt\"\nfunc TestF() { fmt.Printf(\"\") }",
	}, map[string]string{
		"cmd/tercet/a.go: command":      "package x\nimport \"fmt\"\nfunc f() { fmt.Println() }",
		"pkg/client/a_test.go: example": "package x\nimport \"fmt\"\nfunc ExampleF() { fmt.Println() }",
		"internal/node/a.go: writer":    "package x\nimport \"fmt\"\nfunc f() { fmt.Fprintln(nil) }",
	})
}
