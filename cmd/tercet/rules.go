package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

func (a *app) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rules", Short: "Check rules, explain what they make of an event, try them on recorded events",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.rulesCheck(), a.rulesExplain(), a.rulesBacktest(), a.rulesSchema(), a.deadRelease())
	return cmd
}

// readRules compiles files to one set. Domain is that of rules that name none;
// faults are those of all files.
func readRules(files []string, domain string) (*rules.Set, error) {
	var o rules.Options
	if domain != "" {
		o.Domains = []string{domain}
	}
	var sets []*rules.Set
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("%v", err)
		}
		set, err := rules.Parse(file, text, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sets = append(sets, set)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return rules.Join(sets...)
}

// ruleFiles are those of the command line, else the configured ones.
func ruleFiles(c *config.Config, given []string) ([]string, error) {
	switch {
	case len(given) > 0:
		return given, nil
	case len(c.Rules) > 0:
		return c.Rules, nil
	}
	return nil, usagef("which rules? Name files, or set --rules (TERCET_RULES)")
}

func (a *app) rulesCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check [FILE...]", Short: "Say whether rule files are valid, and what is wrong where",
		Long: `check reads rule files (default: the configured ones) as the invalidator does and
lists every fault with file, line, column and, where there is one, what was probably
meant. Rules that are valid but of which a fault in an event could leave copies
alive, since their reach can't be told, are listed as warnings.

The exit code is 1 if there are faults; with --strict, also if there are warnings.`,
		Example: `  tercet rules check examples/rules/*.yaml
  tercet rules check --strict rules.yaml --json`,
	}
	strict := cmd.Flags().Bool("strict", false, "take warnings as faults")
	cmd.RunE = a.runUnbounded(nil, func(_ context.Context, c *config.Config, given []string) error {
		files, err := ruleFiles(c, given)
		if err != nil {
			return err
		}
		set, err := readRules(files, c.Domain)
		if errors.Is(err, errUsage) {
			return err
		}
		view := checked{Files: files, Valid: err == nil, Faults: faultsOf(err)}
		if set != nil {
			view.Rules, view.Domains, view.Warnings = set.Len(), set.Domains(), warningsOf(set)
		}
		if err := a.print(view, view.describe); err != nil {
			return err
		}
		switch {
		case !view.Valid:
			return fmt.Errorf("%w: %d faults", rules.ErrInvalid, len(view.Faults))
		case *strict && len(view.Warnings) > 0:
			return fmt.Errorf("%w: %d warnings", rules.ErrInvalid, len(view.Warnings))
		}
		return nil
	})
	return cmd
}

// checked is what came of a check.
type checked struct {
	Files    []string    `json:"files"`
	Valid    bool        `json:"valid"`
	Rules    int         `json:"rules"`
	Domains  []string    `json:"domains,omitempty"`
	Faults   []faultView `json:"faults,omitempty"`
	Warnings []string    `json:"warnings,omitempty"`
}

type faultView struct {
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Detail     string `json:"detail"`
	Suggestion string `json:"suggestion,omitempty"`
}

func (c checked) describe(w io.Writer) {
	for _, f := range c.Faults {
		fmt.Fprintln(w, f.text())
	}
	for _, text := range c.Warnings {
		fmt.Fprintln(w, "warning:", text)
	}
	if c.Valid {
		fmt.Fprintf(w, "%d rules for %s: valid\n", c.Rules, strings.Join(c.Domains, ", "))
	}
}

func (f faultView) text() string {
	if f.File == "" {
		return f.Detail
	}
	e := rules.LoadError{File: f.File, Line: f.Line, Column: f.Column, Detail: f.Detail, Suggestion: f.Suggestion}
	return e.Error()
}

// faultsOf lists all faults within err.
func faultsOf(err error) []faultView {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []faultView
		for _, e := range joined.Unwrap() {
			all = append(all, faultsOf(e)...)
		}
		return all
	}
	var f *rules.LoadError
	if errors.As(err, &f) {
		return []faultView{{f.File, f.Line, f.Column, f.Detail, f.Suggestion}}
	}
	return []faultView{{Detail: err.Error()}}
}

// warningsOf lists what is allowed and still deserves a look.
func warningsOf(set *rules.Set) []string {
	var all []string
	for _, r := range set.Rules() {
		if !r.Reached {
			all = append(all, fmt.Sprintf("rule %q: an event that lacks a field may leave copies alive; declare a `reach`", r.Name))
		}
		if r.Reach.All && !r.Limit.Limited() {
			all = append(all, fmt.Sprintf("rule %q: may clear a whole domain, as often as it likes; give it a `limit`", r.Name))
		}
	}
	return all
}

func (a *app) rulesSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of rule files, for editors",
		Long: `schema prints a JSON Schema (draft 2020-12). Editors with the YAML language server
use it if a rule file begins with

  # yaml-language-server: $schema=rules.schema.json`,
		Example: `  tercet rules schema > rules.schema.json`,
		Args:    args(cobra.NoArgs),
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		_, err := io.WriteString(a.out, rules.Schema())
		return err
	}
	return cmd
}
