package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/backup"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/trial"
)

// The exit codes, as --help says them.
const (
	codeDone          = 0
	codeFailed        = 1
	codeUsage         = 2
	codeNotFound      = 3
	codeIndeterminate = 4
	codeUnreachable   = 5
	codeInterrupted   = 130
)

const exitHelp = `Exit codes:
  0    done
  1    failed
  2    wrong use: arguments, flags, configuration, an invalid name
  3    no such key, or no such domain
  4    unknown outcome: the record may be in the log, or come to be; repeating
       an invalidation is always safe
  5    NATS, Redis or the node can't be reached, or did not answer in time
  130  interrupted`

// errUsage reports a command line that can't be meant.
var errUsage = errors.New("wrong use")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

func exitCode(ctx context.Context, err error) int {
	var (
		typed   *config.Error
		network net.Error
	)
	switch {
	case err == nil:
		return codeDone
	case errors.Is(err, events.ErrIndeterminate):
		return codeIndeterminate // also where an interrupt made it so
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return codeInterrupted
	case errors.Is(err, errUsage), errors.As(err, &typed), errors.Is(err, config.ErrValue),
		errors.Is(err, events.ErrInvalid), errors.Is(err, events.ErrTooLarge), errors.Is(err, tiers.ErrTooLarge),
		errors.Is(err, jslog.ErrExists), errors.Is(err, trial.ErrOptions), errors.Is(err, replay.ErrArchive), errors.Is(err, backup.ErrUnusable), errors.Is(err, backup.ErrExists):
		return codeUsage
	case errors.Is(err, node.ErrNotFound), errors.Is(err, events.ErrNoDomain), errors.Is(err, invalidator.ErrNoLetter), errors.Is(err, errNoMember):
		return codeNotFound
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &network):
		return codeUnreachable
	}
	return codeFailed
}

// hintFor says what to do next, where the error itself does not.
func hintFor(err error) string {
	var url *net.OpError
	switch {
	case errors.Is(err, events.ErrIndeterminate):
		return "an invalidation may be repeated safely; look at the log with: tercet tail --from first"
	case errors.Is(err, errUsage):
		return "see: tercet --help, or --help behind a command"
	case errors.Is(err, nats.ErrNoServers), errors.As(err, &url):
		return "is the server up, and are --nats-url and --node right? Settings and their sources: tercet --print-config"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return "the NATS server has no JetStream: start it with -js and a -sd directory"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "a longer --timeout may help, if the servers are up"
	case errors.Is(err, backup.ErrExists):
		return "to restore over it, which loses what it holds now: tercet domain restore DIR --replace --yes"
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		return "no stream takes this subject: start an invalidator with --create, or add --create here"
	}
	return ""
}
