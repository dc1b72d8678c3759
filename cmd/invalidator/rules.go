package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// ruleFiles are the files that hold the rules.
type ruleFiles struct {
	paths []string
	// domain is that of rules that name none.
	domain string
	// every is how often the files are looked at; default [lookEvery].
	every time.Duration
	// unreadable, if not nil, is told when the files can't be read any more.
	// Once they can, they count as changed.
	unreadable func(error)
}

// lookEvery is short enough for an author who waits. The files are read whole:
// a time of modification says nothing where a directory is swapped as one.
const lookEvery = 2 * time.Second

func (f *ruleFiles) read() ([]string, error) {
	texts := make([]string, len(f.paths))
	for i, p := range f.paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		texts[i] = string(b)
	}
	return texts, nil
}

func (f *ruleFiles) parse(texts []string) (*rules.Set, error) {
	sets := make([]*rules.Set, len(texts))
	for i, text := range texts {
		set, err := rules.Parse(f.paths[i], []byte(text), rules.Options{Domains: []string{f.domain}})
		if err != nil {
			return nil, err
		}
		sets[i] = set
	}
	return rules.Join(sets...)
}

// watch calls adopt with the files' texts whenever they changed from what they
// were, and on SIGHUP, until ctx is done; it returns nil. What can't be read or
// adopted is logged, once per version, and the running rules stay.
func (f *ruleFiles) watch(ctx context.Context, texts []string, log *slog.Logger, adopt func(context.Context, []string) error) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	every := f.every
	if every == 0 {
		every = lookEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	readable := true
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			asked = true
		case <-ticker.C:
		}
		now, err := f.read()
		if err != nil {
			if readable || asked {
				log.Error("rules can't be read; the running ones stay", "error", err)
				if f.unreadable != nil {
					f.unreadable(err)
				}
			}
			readable = false
			continue
		}
		asked = asked || !readable
		readable = true
		if !asked && slices.Equal(now, texts) {
			continue
		}
		texts = now
		if err := adopt(ctx, now); err != nil && ctx.Err() == nil {
			log.Error("rules are refused; the running ones stay", "error", err)
		}
	}
}
