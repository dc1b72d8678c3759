package lint

import (
	"go/ast"
	"strings"
	"testing"
)

// pure are the packages whose every run can be replayed from its arguments.
var pure = []string{
	"internal/coherence", "internal/consistency", "internal/placement", "internal/turn", "internal/invalidator/rules", "internal/invalidator/domainevent", "internal/invalidator/backtest", "internal/replay/chronicle",
}

// clockCalls are the functions of package time that read a clock or wait for
// one. Durations and instants as values are welcome.
var clockCalls = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTimer": true, "NewTicker": true,
}

// purity finds what imports alone do not show.
func purity(f *file) (out []complaint) {
	if f.test() || !anyMatches(pure, f.dir()) {
		return nil
	}
	const why = "%s is pure: %s"
	timeName := f.localName("time")
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, f.complain(n.Pos(), why, f.dir(), "it starts no goroutine"))
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			out = append(out, f.complain(n.Pos(), why, f.dir(), "it uses no channel"))
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && timeName != "" && x.Name == timeName && clockCalls[n.Sel.Name] {
				out = append(out, f.complain(n.Pos(), why, f.dir(), "it is given the time and does not ask for it with time."+n.Sel.Name))
			}
		}
		return true
	})
	return out
}

func TestPurePackagesArePure(t *testing.T) { hold(t, purity) }

func TestPurityRefuses(t *testing.T) {
	refuse(t, purity, map[string]string{
		"internal/consistency/a.go: clock":         "package x\nimport \"time\"\nvar t = time.Now()",
		"internal/consistency/a.go: renamed clock": "package x\nimport tick \"time\"\nvar t = tick.After(1)",
		"internal/consistency/a.go: as a value":    "package x\nimport \"time\"\nvar now = time.Now",
		"internal/coherence/a.go: goroutine":       "package x\nfunc f() { go f() }",
		"internal/coherence/a.go: channel":         "package x\nvar c chan int",
		"internal/coherence/a.go: select":          "package x\nfunc f() { select {} }",
	}, map[string]string{
		"internal/consistency/a.go: duration": "package x\nimport \"time\"\nconst d = time.Second",
		"internal/node/a.go: the shell":       "package x\nimport \"time\"\nvar t = time.Now()",
	})
}

// textMatch finds decisions that rest on the text of an error.
func textMatch(f *file) (out []complaint) {
	if f.test() {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := fun.X.(*ast.Ident); !ok || x.Name != "strings" || !(strings.HasPrefix(fun.Sel.Name, "Contains") || strings.HasPrefix(fun.Sel.Name, "Has") || fun.Sel.Name == "EqualFold") {
			return true
		}
		for _, arg := range call.Args {
			if c, ok := arg.(*ast.CallExpr); ok && len(c.Args) == 0 {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Error" {
					out = append(out, f.complain(call.Pos(), "an error is told by errors.Is and errors.As, not by its text"))
				}
			}
		}
		return true
	})
	return out
}

func TestErrorsAreNotMatchedByText(t *testing.T) { hold(t, textMatch) }

func TestTextMatchRefuses(t *testing.T) {
	refuse(t, textMatch, map[string]string{
		"internal/node/a.go: contains": "package x\nimport \"strings\"\nfunc f(err error) bool { return strings.Contains(err.Error(), \"x\") }",
	}, map[string]string{
		"internal/node/a.go: other": "package x\nimport \"strings\"\nfunc f(s string) bool { return strings.Contains(s, \"x\") }",
	})
}
