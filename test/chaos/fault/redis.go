package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

var _ = register(
	Kind{Name: "redis-flushed", What: "FLUSHALL", Target: "a Redis server", Inject: flush},
	Kind{Name: "redis-rolled-back", What: "bring Redis back with an older dump", Target: "a Redis server",
		With: map[string]string{"age": "4s"}, Inject: oldDump},
	Kind{Name: "redis-failover", What: "kill a master whose replica has not got its last writes", Target: "redis",
		With: map[string]string{"lag": "2s"}, Inject: failover},
	Kind{Name: "redis-slow-lua", What: "keep Redis busy with slow scripts", Target: "a Redis server",
		With: map[string]string{"each": "400ms"}, Inject: slowLua},
)

// marker is a key of our own, with which what Redis lost is shown. It lies
// outside of Tercet's keys.
const marker = "chaos:marker"

func flush(ctx context.Context, s Scene) (Injection, error) {
	before, err := s.Fleet.Redis(ctx, s.Target, "DBSIZE")
	if err != nil {
		return Injection{}, err
	}
	if before == "0" {
		return Injection{}, fmt.Errorf("%w: it held nothing", ErrNoEffect)
	}
	if _, err := s.Fleet.Redis(ctx, s.Target, "SET", marker, "before"); err != nil && !moved(err) {
		return Injection{}, err
	}
	if _, err := s.Fleet.Redis(ctx, s.Target, "FLUSHALL"); err != nil {
		return Injection{}, err
	}
	after, err := s.Fleet.Redis(ctx, s.Target, "DBSIZE")
	return Injection{What: "FLUSHALL", Tier: true, Proof: fmt.Sprintf("it held %s keys, a moment later %s", before, after)}, err
}

// moved: a server of a cluster does not hold the marker's slot.
func moved(err error) bool { return err != nil && strings.Contains(fmt.Sprint(err), "MOVED") }

func oldDump(ctx context.Context, s Scene) (Injection, error) {
	if s.Fleet.Shape().Redis == "cluster" {
		return Injection{}, fmt.Errorf("%w: a member of a cluster is brought back by its replica", ErrNotHere)
	}
	age, err := s.duration("age")
	if err != nil {
		return Injection{}, err
	}
	file := filepath.Join(s.Fleet.Dir(), s.Target, "dump.rdb")
	if _, err := s.Fleet.Redis(ctx, s.Target, "SAVE"); err != nil {
		return Injection{}, err
	}
	dump, err := os.ReadFile(file)
	if err != nil {
		return Injection{}, err
	}
	if err := Wait(ctx, age); err != nil {
		return Injection{}, err
	}
	if _, err := s.Fleet.Redis(ctx, s.Target, "SET", marker, "younger than the dump"); err != nil {
		return Injection{}, err
	}
	if _, err := s.Fleet.Kill(s.Target); err != nil {
		return Injection{}, err
	}
	if err := os.WriteFile(file, dump, 0o644); err != nil {
		return Injection{}, err
	}
	if err := restart(ctx, s.Fleet, s.Target); err != nil {
		return Injection{}, err
	}
	if err := lost(ctx, s.Fleet, s.Target); err != nil {
		return Injection{}, err
	}
	keys, err := s.Fleet.Redis(ctx, s.Target, "DBSIZE")
	return Injection{
		What: fmt.Sprintf("brought it back with a dump %v old", age), Tier: true, Restarts: true,
		Proof: fmt.Sprintf("it holds %s keys of %d bytes of dump, and not the marker that was written afterwards", keys, len(dump)),
	}, err
}

// lost proves that a server does not hold the marker, and removes it.
func lost(ctx context.Context, f *fleet.Fleet, server string) error {
	there, err := f.Redis(ctx, server, "EXISTS", marker)
	if err == nil && there != "0" {
		err = fmt.Errorf("%w: %s still holds what was written last", ErrNoEffect, server)
	}
	return err
}

// failover has the master refuse its replica, writes a marker, and kills the
// master: the replica takes over without the marker. Stopping the replica would not
// do: what waits in its socket it reads when it goes on.
func failover(ctx context.Context, s Scene) (Injection, error) {
	lag, err := s.duration("lag")
	if err != nil {
		return Injection{}, err
	}
	if k := s.Fleet.Shape().Redis; k != "sentinel" {
		return Injection{}, fmt.Errorf("%w: Redis is %s, not sentinel", ErrNotHere, k)
	}
	master, replica, err := roles(ctx, s.Fleet)
	if err != nil {
		return Injection{}, err
	}
	for _, command := range [][]any{
		{"ACL", "SETUSER", "default", "-psync", "-sync"}, // until it is started again
		{"CLIENT", "KILL", "TYPE", "replica"},
		{"SET", marker, "not replicated"},
	} {
		if _, err := s.Fleet.Redis(ctx, master, command...); err != nil {
			return Injection{}, err
		}
	}
	in := Injection{Target: master, What: fmt.Sprintf("killed the master when its replica had not heard of it for %v", lag), Tier: true, Restarts: true,
		Heal: func(ctx context.Context) error {
			return errors.Join(restart(ctx, s.Fleet, master), paired(ctx, s.Fleet))
		}}
	err = Wait(ctx, lag)
	if _, killed := s.Fleet.Kill(master); err != nil || killed != nil {
		return in, errors.Join(err, killed)
	}
	began := time.Now()
	err = eventually(ctx, time.Minute, func() error {
		text, err := s.Fleet.Redis(ctx, replica, "INFO", "replication")
		if err == nil && !strings.Contains(text, "role:master") {
			err = errors.New("the replica has not taken over")
		}
		return err
	})
	if err == nil {
		err = lost(ctx, s.Fleet, replica)
	}
	in.Proof = fmt.Sprintf("%s took over after %v, without the last write to %s", replica, time.Since(began).Round(time.Millisecond), master)
	return in, err
}

// roles tells master and replica apart.
func roles(ctx context.Context, f *fleet.Fleet) (master, replica string, err error) {
	if master, err = f.RedisMaster(ctx); err != nil {
		return "", "", err
	}
	for _, name := range f.Names(fleet.Redis) {
		if name != master {
			replica = name
		}
	}
	return master, replica, nil
}

// paired waits until the master that the sentinels follow has a replica again.
func paired(ctx context.Context, f *fleet.Fleet) error {
	return eventually(ctx, time.Minute, func() error {
		master, err := f.RedisMaster(ctx)
		if err != nil {
			return err
		}
		text, err := f.Redis(ctx, master, "INFO", "replication")
		if err == nil && !strings.Contains(text, "state=online") {
			err = fmt.Errorf("nobody follows %s", master)
		}
		return err
	})
}

// busy runs for so many microseconds and says that it did.
const busy = `local t = redis.call('TIME'); local until_us = t[1]*1000000 + t[2] + ARGV[1]
repeat t = redis.call('TIME') until t[1]*1000000 + t[2] >= until_us
return 'done'`

func slowLua(ctx context.Context, s Scene) (Injection, error) {
	each, err := s.duration("each")
	if err != nil {
		return Injection{}, err
	}
	began := time.Now()
	if _, err := s.Fleet.Redis(ctx, s.Target, "PING"); err != nil {
		return Injection{}, err
	}
	before := time.Since(began)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var loop sync.WaitGroup
	loop.Go(func() {
		for running.Err() == nil {
			_, _ = s.Fleet.Redis(running, s.Target, "EVAL", busy, 0, each.Microseconds())
			_ = Wait(running, each/4)
		}
	})
	in := Injection{
		What: fmt.Sprintf("scripts that run for %v, one after another", each),
		Heal: func(context.Context) error {
			stop()
			loop.Wait()
			return nil
		},
	}
	var worst time.Duration
	for range 5 {
		began = time.Now()
		if _, err := s.Fleet.Redis(ctx, s.Target, "PING"); err != nil {
			return in, err
		}
		worst = max(worst, time.Since(began))
	}
	if worst < each/2 {
		return in, fmt.Errorf("%w: a PING took %v", ErrNoEffect, worst)
	}
	in.Proof = fmt.Sprintf("a PING took %v, %v before", worst.Round(time.Millisecond), before.Round(time.Millisecond))
	return in, nil
}
