package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	goredis "github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
)

// Execute runs a service's command until it ends by itself or a signal asks it
// to (SIGINT, SIGTERM; a second one ends it at once), and returns the exit
// code: 0 for a stop that was asked for, 2 for a configuration that can't work,
// 1 for any other failure. It sends traces where the environment of OpenTelemetry
// names a collector.
func Execute(cmd *cobra.Command) int {
	// What the Redis client says of single connections, the tier's breaker and
	// counters say better.
	goredis.SetLogger(silent{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a signal has its usual effect
	flush, err := startTraces(ctx, cmd.Name())
	if err == nil {
		err = cmd.ExecuteContext(ctx)
		flush()
	}
	asked := ctx.Err() != nil
	stop()
	switch {
	case err == nil, asked && errors.Is(err, context.Canceled):
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Name(), err)
	var typed *config.Error
	if errors.As(err, &typed) {
		return 2
	}
	return 1
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Logger returns a logger to standard error as c says.
func Logger(c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration was checked
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
