package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/raptorflow/tercet/test/chaos/wire"
	"github.com/raptorflow/tercet/test/process"
)

// ErrNoHost reports a process that has no host of its own.
var ErrNoHost = errors.New("it has no host of its own (fleet: {hosts: namespaces} gives one to nodes and NATS servers)")

// Host returns the host of a process; [ErrNoHost] if that is the harness's.
func (f *Fleet) Host(name string) (*wire.Host, error) {
	p, err := f.program(name)
	if err != nil {
		return nil, err
	}
	if p.host == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNoHost)
	}
	return p.host, nil
}

// layWires makes the switch, if the shape wants one.
func (f *Fleet) layWires(context.Context) (err error) {
	if f.config.Shape.Hosts == Namespaces {
		f.wires, err = wire.New()
	}
	return err
}

// house gives a process a host of its own, if the shape wants one for its kind.
func (f *Fleet) house(p *program) (err error) {
	if f.wires != nil && (p.kind == Node || p.kind == NATS) {
		p.host, err = f.wires.Host()
	}
	return err
}

// endpoint is something that a process serves: at listen where it runs, found by
// the harness at addr.
type endpoint struct{ listen, addr string }

// offer picks a port for the process to serve at.
func (p *program) offer() (endpoint, error) {
	port, err := process.PickPort()
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{loopback(port), loopback(port)}
	if p.host != nil {
		e.listen, err = p.host.Offer(port)
	}
	return e, err
}

// addRedisPaths opens the paths of from, which runs on host, to the servers of a
// Sentinel or a Cluster. These tell all who ask the same addresses of one another,
// on loopback: the host finds there a way of its own to each.
func (f *Fleet) addRedisPaths(from string, host *wire.Host) error {
	for _, s := range slices.Concat(f.redis, f.sentinels) {
		addr, err := f.addPath(from, host, s.name, s.addr())
		if err != nil {
			return err
		}
		if err := host.Mirror(s.seen, addr); err != nil {
			return err
		}
	}
	return nil
}

// addPath opens a path from from, which runs on host, and returns the address
// where it finds to there.
func (f *Fleet) addPath(from string, host *wire.Host, to, upstream string) (string, error) {
	addr, err := f.network.add(from, to, upstream, 0)
	if err != nil || host == nil {
		return addr, err
	}
	return f.wires.Reach(addr)
}
