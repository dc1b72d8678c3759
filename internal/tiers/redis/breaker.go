package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// BreakerConfig says when the tier stops asking a server that fails.
type BreakerConfig struct {
	// Failures in a row open the breaker; default 5. A gathered pipeline
	// counts once.
	Failures int
	// OpenFor is how long it stays open before one command is let through as
	// a probe; default 1 s. A probe that succeeds closes it.
	OpenFor time.Duration
}

const (
	defaultFailures = 5
	defaultOpenFor  = time.Second
)

var errCallerLeft = errors.New("caller left first")

func newBreaker(cfg BreakerConfig) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	if cfg.Failures <= 0 {
		cfg.Failures = defaultFailures
	}
	if cfg.OpenFor <= 0 {
		cfg.OpenFor = defaultOpenFor
	}
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        "redis",
		MaxRequests: 1,
		Timeout:     cfg.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(cfg.Failures) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errCallerLeft) },
	})
}

// failure returns the error of cmds that speaks against the server, if any. A
// reply that refuses one command does not: the server answers.
func failure(caller context.Context, cmds []goredis.Cmder) error {
	for _, c := range cmds {
		err := c.Err()
		if err == nil || err == goredis.Nil {
			continue
		}
		if refusal := goredis.Error(nil); errors.As(err, &refusal) && !serverDown(err) {
			continue
		}
		if caller.Err() != nil {
			return errCallerLeft // its deadline was shorter than ours
		}
		return err
	}
	return nil
}

func serverDown(err error) bool {
	return goredis.IsLoadingError(err) || goredis.IsReadOnlyError(err) || goredis.IsClusterDownError(err) ||
		goredis.IsMasterDownError(err) || goredis.IsMaxClientsError(err) || goredis.IsAuthError(err) ||
		goredis.IsPermissionError(err)
}
