package lint

import (
	"go/ast"
	"strings"
	"testing"
)

// skipping finds tests that may be left out: a check that is left out silently
// is a check that cannot fail.
func skipping(f *file) (out []complaint) {
	if !f.importsPath("testing") {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if fn, ok := n.(*ast.FuncLit); ok && drawing(fn) {
			return false
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := fun.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch fun.Sel.Name {
		case "Skip", "Skipf", "SkipNow":
			switch x.Name {
			case "t", "b", "f", "tb", "rt":
				out = append(out, f.complain(n.Pos(), "%s.%s: make what it needs be there, or fail", x.Name, fun.Sel.Name))
			}
		case "Short":
			if x.Name == f.localName("testing") {
				out = append(out, f.complain(n.Pos(), "testing.Short: a test that is too slow for every day is too slow"))
			}
		}
		return true
	})
	return out
}

// drawing reports whether fn is the body of a property: its Skip throws away
// one draw, not the test.
func drawing(fn *ast.FuncLit) bool {
	for _, p := range fn.Type.Params.List {
		if star, ok := p.Type.(*ast.StarExpr); ok {
			if s, ok := star.X.(*ast.SelectorExpr); ok && s.Sel.Name == "T" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "rapid" {
					return true
				}
			}
		}
	}
	return false
}

func TestNoTestIsSkipped(t *testing.T) { hold(t, skipping) }

func TestSkippingRefuses(t *testing.T) {
	body := func(s string) string {
		return "package x\nimport \"testing\"\nfunc TestF(t *testing.T) { " + s + " }"
	}
	refuse(t, skipping, map[string]string{
		"internal/node/a_test.go: skip":  body(`t.Skip("no redis")`),
		"internal/node/a_test.go: skipf": body(`t.Skipf("no %s", "redis")`),
		"internal/node/a_test.go: now":   body(`t.SkipNow()`),
		"internal/node/a_test.go: short": body(`if testing.Short() { return }`),
		"test/process/a.go: not a test":  "package x\nimport \"testing\"\nfunc Start(t testing.TB) { t.Skip() }",
	}, map[string]string{
		"internal/node/a_test.go: a draw":  body(`rapid.Check(t, func(t *rapid.T) { t.Skip() })`),
		"internal/events/a.go: a reader's": "package x\nfunc f(t interface{ Skip() }) { t.Skip() }",
	})
}

// sleeping finds tests that wait for a while instead of for a condition. The
// pause between two looks at a condition, within a loop, is none of them; nor
// is a sleep in virtual time, which takes none.
func sleeping(f *file) (out []complaint) {
	if !f.importsPath("testing") || f.importsPath("testing/synctest") || f.importsPath(module+"/internal/clock/clocktest") || anyMatches([]string{"test/chaos/..."}, f.dir()) {
		return nil
	}
	timeName := f.localName("time")
	if timeName == "" {
		return nil
	}
	var look func(n ast.Node, looping bool)
	look = func(n ast.Node, looping bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			if m == n {
				return true
			}
			switch m := m.(type) {
			case *ast.ForStmt:
				look(m, true)
				return false
			case *ast.FuncLit:
				look(m, false)
				return false
			case *ast.SelectorExpr:
				if x, ok := m.X.(*ast.Ident); ok && x.Name == timeName && m.Sel.Name == "Sleep" && !looping {
					out = append(out, f.complain(m.Pos(), "time.Sleep: await a condition, or use testing/synctest"))
				}
			}
			return true
		})
	}
	look(f.ast, false)
	return out
}

func TestNoTestSleepsToBeSafe(t *testing.T) { hold(t, sleeping) }

func TestSleepingRefuses(t *testing.T) {
	file := func(s string) string {
		return "package x\nimport (\"testing\"; \"time\")\nfunc TestF(t *testing.T) { " + s + " }"
	}
	refuse(t, sleeping, map[string]string{
		"internal/node/a_test.go: bare":      file(`time.Sleep(time.Second)`),
		"internal/node/a_test.go: goroutine": file(`for { go func() { time.Sleep(1) }() }`),
		"internal/node/a_test.go: range":     file(`for range 3 { time.Sleep(1) }`),
	}, map[string]string{
		"internal/node/a_test.go: polling": file(`for ok := false; !ok; { time.Sleep(1) }`),
		"internal/node/a_test.go: virtual": strings.Replace(file(`time.Sleep(1)`), `"testing";`, `"testing"; _ "testing/synctest";`, 1),
		"test/chaos/a_test.go: real time":  file(`time.Sleep(1)`),
	})
}

// bubbling finds tests that enter virtual time by another way than
// clocktest.Bubble, which keeps the race detector whole there.
func bubbling(f *file) (out []complaint) {
	name := f.localName("testing/synctest")
	if name == "" || f.dir() == "internal/clock/clocktest" {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Test" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				out = append(out, f.complain(n.Pos(), "synctest.Test: call clocktest.Bubble"))
			}
		}
		return true
	})
	return out
}

func TestVirtualTimeIsEnteredOneWay(t *testing.T) { hold(t, bubbling) }

func TestBubblingRefuses(t *testing.T) {
	file := func(s string) string {
		return "package x\nimport (\"testing\"; \"testing/synctest\")\nfunc TestF(t *testing.T) { " + s + " }"
	}
	refuse(t, bubbling, map[string]string{
		"internal/node/a_test.go: bare": file(`synctest.Test(t, f)`),
	}, map[string]string{
		"internal/node/a_test.go: wait":              file(`synctest.Wait()`),
		"internal/clock/clocktest/a.go: the one way": file(`synctest.Test(t, f)`),
	})
}
