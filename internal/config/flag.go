package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagText keeps a flag's text; it is read with the other sources.
type flagText struct{ text, kind string }

func (f *flagText) String() string     { return f.text }
func (f *flagText) Set(s string) error { f.text = s; return nil }
func (f *flagText) Type() string       { return f.kind }

func (l *Loader) addFlag(s setting) {
	usage := s.usage + " (" + s.variable() + ")"
	f := &flagText{text: s.value.show(), kind: s.value.kind()}
	l.flags.VarPF(f, s.flag(), "", usage)
	if s.value.kind() == kindTruth {
		l.flags.Lookup(s.flag()).NoOptDefVal = "true"
	}
}

// Command returns a cobra command for a binary that has one job: it reads the
// configuration, obeys --print-config, and calls run.
func Command(b Binary, use, short, long string, run func(*cobra.Command, *Config) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: cobra.NoArgs,
		// Whoever calls Execute prints the error, once.
		SilenceErrors: true, SilenceUsage: true,
	}
	l := NewLoader(b, cmd.Flags())
	cmd.SetFlagErrorFunc(FlagError)
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := l.Load()
		if l.PrintRequested() {
			// What is wrong is easier to find with the values in sight.
			return errors.Join(c.Print(cmd.OutOrStdout(), b), err)
		}
		if err != nil {
			return err
		}
		return run(cmd, c)
	}
	return cmd
}

// FlagError turns pflag's error about a flag into an [Error] with a
// suggestion. Give it to [cobra.Command.SetFlagErrorFunc].
func FlagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	name := "--" + strings.TrimLeft(unknown.GetSpecifiedName(), "-")
	return &Error{Where: "command line", Key: name, Err: ErrUnknown, Hint: suggest(name, names)}
}
