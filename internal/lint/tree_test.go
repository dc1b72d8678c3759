package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/raptorflow/tercet"

// file is one Go file of the tree.
type file struct {
	path string // from the module's root, with slashes
	src  []byte
	fset *token.FileSet
	ast  *ast.File
}

// dir is the file's package as a path below the module.
func (f *file) dir() string { return path.Dir(f.path) }

func (f *file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f *file) generated() bool { return ast.IsGenerated(f.ast) }

// imports yields the paths of what the file imports.
func (f *file) imports(yield func(path string, at token.Pos) bool) {
	for _, i := range f.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err == nil && !yield(p, i.Pos()) {
			return
		}
	}
}

func (f *file) importsPath(want string) bool {
	for p := range f.imports {
		if p == want {
			return true
		}
	}
	return false
}

// localName is the name by which the file refers to an imported package; ""
// if it does not import it.
func (f *file) localName(want string) string {
	for _, i := range f.ast.Imports {
		if i.Path.Value == strconv.Quote(want) {
			if i.Name != nil {
				return i.Name.Name
			}
			return path.Base(want)
		}
	}
	return ""
}

// complaint is one breach of one rule.
type complaint struct {
	path string
	line int
	text string
}

func (c complaint) String() string { return fmt.Sprintf("%s:%d: %s", c.path, c.line, c.text) }

func (f *file) complain(at token.Pos, format string, args ...any) complaint {
	return complaint{path: f.path, line: f.fset.Position(at).Line, text: fmt.Sprintf(format, args...)}
}

// rule looks at one file.
type rule func(*file) []complaint

func parse(name string, src []byte) (*file, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{path: name, src: src, fset: fset, ast: parsed}, nil
}

// snippet is a file that a test makes up.
func snippet(t *testing.T, name, src string) *file {
	t.Helper()
	f, err := parse(name, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// root is the directory of go.mod.
var root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module "+module+"\n")) {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod of %s above the working directory", module)
		}
		dir = up
	}
})

// walk calls fn with every file that belongs to the project, Go or not.
func walk(t *testing.T, fn func(path string, src []byte)) {
	t.Helper()
	top, err := root()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			switch d.Name() {
			case ".git", "testdata", "vendor", "node_modules":
				return fs.SkipDir
			}
			if rel == "bin" || rel == "build" || rel == "bench/results" {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fn(rel, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tree returns every Go file of the project, the bench module's included.
func tree(t *testing.T) []*file {
	t.Helper()
	var out []*file
	walk(t, func(path string, src []byte) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		f, err := parse(path, src)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	})
	if len(out) < 50 {
		t.Fatalf("found only %d Go files: the tree was not searched", len(out))
	}
	return out
}

// hold reports what the tree has done against a rule.
func hold(t *testing.T, r rule) {
	t.Helper()
	for _, f := range tree(t) {
		for _, c := range r(f) {
			t.Error(c)
		}
	}
}

// refuse proves that a rule can fail: it must complain about each of the bad
// snippets and about none of the good ones. Keys are "path: label".
func refuse(t *testing.T, r rule, bad, good map[string]string) {
	t.Helper()
	for name, src := range bad {
		if len(r(snippet(t, fileOf(name), src))) == 0 {
			t.Errorf("no complaint about %s:\n%s", name, src)
		}
	}
	for name, src := range good {
		for _, c := range r(snippet(t, fileOf(name), src)) {
			t.Errorf("complaint about %s, which is well: %s", name, c)
		}
	}
}

func fileOf(name string) string {
	p, _, _ := strings.Cut(name, ": ")
	return p
}
