package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

const (
	// celCost bounds one expression's work on one event, in CEL's cost units;
	// a comparison of two fields costs about five.
	celCost = 1_000_000
	// celSize bounds an expression's text in bytes.
	celSize = 16 << 10
)

// expression is a compiled CEL expression over an event: `event` (id, source,
// type, subject, channel, time, table, schema, database, operation, connector,
// position), `data`, `before`, `after`, `row`, `key` (null where absent) and
// `attributes`.
type expression struct {
	text    string
	program cel.Program
	root    ast.Expr
}

// newEnv returns the environment in which all expressions of a set compile.
func newEnv() (*cel.Env, error) {
	env, err := cel.NewEnv(
		cel.CustomTypeAdapter(jsonAdapter{}),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(celSize),
		cel.Variable("event", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("data", cel.DynType),
		cel.Variable("before", cel.DynType),
		cel.Variable("after", cel.DynType),
		cel.Variable("row", cel.DynType),
		cel.Variable("key", cel.DynType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.StringType)),
		ext.Strings(),
	)
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	return env, nil
}

func compileExpression(env *cel.Env, text string) (*expression, *cel.Type, error) {
	compiled, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, nil, fmt.Errorf("expression: %w", err)
	}
	program, err := env.Program(compiled, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(celCost))
	if err != nil {
		return nil, nil, fmt.Errorf("expression: %w", err)
	}
	return &expression{text: text, program: program, root: compiled.NativeRep().Expr()}, compiled.OutputType(), nil
}

// checkLiterals refuses what can be seen of a list without an event.
func (x *expression) checkLiterals(k kind) error {
	if x.root.Kind() != ast.ListKind {
		return nil
	}
	items := x.root.AsList().Elements()
	if len(items) == 0 {
		return errors.New("expression: a list that is always empty names nothing")
	}
	for _, item := range items {
		if item.Kind() != ast.LiteralKind {
			continue
		}
		if name, ok := item.AsLiteral().(types.String); ok {
			if err := k.validate(string(name)); err != nil {
				return fmt.Errorf("expression: %w", err)
			}
		}
	}
	return nil
}

// compileCondition compiles an expression that yields a bool.
func compileCondition(env *cel.Env, text string) (*expression, error) {
	x, out, err := compileExpression(env, text)
	if err != nil {
		return nil, err
	}
	if !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("expression: yields %s, want bool", out)
	}
	return x, nil
}

// compileNames compiles an expression that yields a list of strings. Names of
// a list that stand there literally must be good ones.
func compileNames(env *cel.Env, text string, k kind) (*expression, error) {
	x, out, err := compileExpression(env, text)
	if err != nil {
		return nil, err
	}
	if err := x.checkLiterals(k); err != nil {
		return nil, err
	}
	switch {
	case out.IsExactType(cel.DynType), out.IsExactType(cel.ListType(cel.DynType)), out.IsExactType(cel.ListType(cel.StringType)):
		return x, nil
	}
	return nil, fmt.Errorf("expression: yields %s, want list(string)", out)
}

func (x *expression) eval(e *domainevent.Event) (ref.Val, *EvalError) {
	v, _, err := x.program.Eval(&activation{e})
	if err != nil {
		return nil, &EvalError{Kind: ErrCondition, Detail: err.Error()}
	}
	return v, nil
}

func (x *expression) holds(e *domainevent.Event) (bool, *EvalError) {
	v, err := x.eval(e)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, &EvalError{Kind: ErrCondition, Detail: fmt.Sprintf("yields %s, want bool", v.Type().TypeName())}
	}
	return bool(b), nil
}

// names appends the expression's names, at most most of them.
func (x *expression) names(dst []string, e *domainevent.Event, k kind, most int) ([]string, *EvalError) {
	v, err := x.eval(e)
	if err != nil {
		return dst, err
	}
	list, ok := v.(traits.Lister)
	if !ok {
		return dst, &EvalError{Kind: ErrCondition, Detail: fmt.Sprintf("yields %s, want list(string)", v.Type().TypeName())}
	}
	n := 0
	for it := list.Iterator(); it.HasNext() == types.True; n++ {
		item, ok := it.Next().(types.String)
		if !ok {
			return dst, &EvalError{Kind: ErrCondition, Detail: fmt.Sprintf("item %d is no string", n)}
		}
		if n == most {
			return dst, &EvalError{Kind: ErrTooMany, Detail: fmt.Sprintf("more than %d", most)}
		}
		if err := k.validate(string(item)); err != nil {
			return dst, &EvalError{Kind: ErrBadName, Detail: err.Error()}
		}
		dst = append(dst, string(item))
	}
	return dst, nil
}

// activation shows an event to CEL, converting only what is asked for.
type activation struct{ e *domainevent.Event }

func (a *activation) Parent() cel.Activation { return nil }

func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "event":
		return a.event(), true
	case "data":
		return a.e.Data, true
	case "attributes":
		if a.e.Attributes == nil {
			return map[string]string{}, true
		}
		return a.e.Attributes, true
	case "before", "after", "row", "key":
		if v, ok := root(a.e, name); ok {
			return v, true
		}
		return types.NullValue, true
	}
	return nil, false
}

func (a *activation) event() map[string]any {
	e := a.e
	m := map[string]any{"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject, "channel": e.Channel}
	if !e.Time.IsZero() {
		m["time"] = e.Time
	}
	if c := e.Change; c != nil {
		m["table"], m["schema"], m["database"] = c.Table, c.Schema, c.Database
		m["operation"], m["connector"], m["position"] = string(c.Operation), c.Connector, c.Position
		m["snapshot"] = c.Snapshot
	}
	return m
}

// jsonAdapter shows a JSON tree to CEL. The default one takes a json.Number
// for a string.
type jsonAdapter struct{}

func (a jsonAdapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case nil:
		return types.NullValue
	case json.Number:
		return number(v)
	case domainevent.Object:
		return types.NewStringInterfaceMap(a, v)
	case []any:
		return types.NewDynamicList(a, v)
	case time.Time:
		return types.Timestamp{Time: v}
	}
	return types.DefaultTypeAdapter.NativeToValue(v)
}

// number is an int, else a uint, else a double: integers beyond 64 bits lose
// digits here, as CEL has nothing wider. Templates keep them.
func number(n json.Number) ref.Val {
	s := n.String()
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return types.Int(i)
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return types.Uint(u)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return types.NewErr("number %q", s)
	}
	return types.Double(f)
}
