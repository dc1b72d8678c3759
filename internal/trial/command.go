package trial

import (
	"os"
	"time"

	"github.com/spf13/cobra"
)

// Command returns the command `trial`, for the command line tool.
func Command() *cobra.Command {
	var o Options
	c := &cobra.Command{
		Use:   "trial",
		Short: "Run a whole fleet in this process, feed it, and check every value that is read",
		Long: `Starts a fleet in this process, with nothing installed: NATS with JetStream, a
stand-in for Redis, three nodes, an invalidator and a warmer. Plays a year in the
life of a small shop on it, or a recorded trace, and compares every value that
is read with the truth, which it holds itself.

Ends by itself within a minute. The exit code is 0 only if no read was stale
after the bound, no value was wrong, and no event was lost.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			o.Color = out == os.Stdout && terminal(os.Stdout) && os.Getenv("NO_COLOR") == ""
			_, err := Run(cmd.Context(), o, out)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Input, "input", "", "trace, access log or change events to play (file or directory); default: the generated shop")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of everything that is made up")
	f.DurationVar(&o.Duration, "duration", defaultDuration, "how long the steps are spread over, "+time.Second.String()+" to "+maxDuration.String())
	f.IntVar(&o.MaxReads, "reads", 0, "bound on the reads that are played; default: as many as fit the duration")
	f.BoolVar(&o.Keep, "keep", false, "leave the fleet up afterwards and print its addresses, until Ctrl-C")
	f.BoolVar(&o.JSON, "json", false, "print the summary as one JSON object on the last line")
	return c
}

// terminal reports whether f is a character device that can show colours.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
