package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"

	"github.com/raptorflow/tercet/test/process"
)

// Direction is which way of a link a fault strikes.
type Direction string

// The directions; From and To are those of the link's name.
const (
	Both    Direction = "both"
	Forward Direction = "forward" // what From sends to To
	Back    Direction = "back"    // what To sends to From
)

// path is one proxy: connections that from opened to one server.
type path struct {
	from, to string
	addr     string // where from connects
	upstream string
	proxy    *toxiproxy.Proxy
	// reversed: from is the link's To, as with a route that the other server
	// opened.
	reversed bool
}

// Link is all paths between two parties, as "node-a|nats", "node-a|nats-1",
// "node-a|redis", "nats-0|nats-1", "any|redis-0".
type Link struct {
	Name  string
	paths []path
	// Probe is what a server behind it speaks: nats or redis.
	Probe Kind
}

// network holds all paths. It is safe for concurrent use.
type network struct {
	server *toxiproxy.ApiServer
	mu     sync.Mutex
	paths  []path
}

func newNetwork() *network {
	registerLoss()
	return &network{
		server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
	}
}

// add opens a path from from to the server to at upstream, and returns the
// address where from finds it. A port of 0 picks one.
func (n *network) add(from, to, upstream string, port int) (string, error) {
	if port == 0 {
		var err error
		if port, err = process.PickPort(); err != nil {
			return "", err
		}
	}
	p := path{from: from, to: to, addr: loopback(port), upstream: upstream}
	p.proxy = toxiproxy.NewProxy(n.server, from+">"+to, p.addr, upstream)
	if err := p.proxy.Start(); err != nil {
		return "", fmt.Errorf("proxy %s to %s: %w", from, to, err)
	}
	n.mu.Lock()
	n.paths = append(n.paths, p)
	n.mu.Unlock()
	return p.addr, nil
}

func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.paths {
		p.proxy.Stop()
	}
	n.paths = nil
}

// ErrNoLink reports a link that the fleet does not have.
var ErrNoLink = errors.New("no such link")

// link gathers the paths between two parties. "nats" and "redis" stand for all
// their servers, "any" for everybody who connects.
func (n *network) link(name string) (Link, error) {
	from, to, ok := strings.Cut(name, "|")
	if !ok {
		return Link{}, fmt.Errorf("%w: %q: want from|to", ErrNoLink, name)
	}
	l := Link{Name: name, Probe: NATS}
	if strings.HasPrefix(to, string(Redis)) {
		l.Probe = Redis
	}
	covers := func(who, party string) bool {
		return party == who || party == "any" || !strings.Contains(party, "-") && strings.HasPrefix(who, party+"-")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.paths {
		switch {
		case covers(p.from, from) && covers(p.to, to):
			l.paths = append(l.paths, p)
		case covers(p.from, to) && covers(p.to, from):
			p.reversed = true
			l.paths = append(l.paths, p)
		}
	}
	if len(l.paths) == 0 {
		var all []string
		for _, p := range n.paths {
			all = append(all, p.from+"|"+p.to)
		}
		slices.Sort(all)
		return Link{}, fmt.Errorf("%w: %q; there are %s", ErrNoLink, name, strings.Join(slices.Compact(all), " "))
	}
	return l, nil
}

// Cut swallows what is sent in a direction while connections stay, as a network
// does that drops packets: nobody is told.
func (l Link) Cut(d Direction) error { return l.add(d, "timeout", map[string]any{"timeout": 0}) }

// Slow delays what is sent in a direction.
func (l Link) Slow(d Direction, latency, jitter time.Duration) error {
	return l.add(d, "latency", map[string]any{"latency": latency.Milliseconds(), "jitter": jitter.Milliseconds()})
}

// Throttle lets pass so many KiB a second.
func (l Link) Throttle(d Direction, rate int) error {
	return l.add(d, "bandwidth", map[string]any{"rate": rate})
}

// Lose loses a share of packets: what TCP makes of it. See [lossToxic].
func (l Link) Lose(d Direction, share float64) error {
	return l.add(d, "loss", map[string]any{"share": share})
}

// Reset ends all connections with a reset, and each new one too.
func (l Link) Reset() error { return l.add(Both, "reset_peer", map[string]any{"timeout": 0}) }

// Refuse ends all connections and lets no new one begin.
func (l Link) Refuse() error {
	for _, p := range l.paths {
		p.proxy.Stop()
	}
	return nil
}

// Heal undoes whatever was done to the link. Connections that were cut end.
func (l Link) Heal() error {
	var errs []error
	for _, p := range l.paths {
		for _, t := range p.proxy.Toxics.GetToxicArray() {
			w := t.(*toxics.ToxicWrapper)
			errs = append(errs, within(faultPatience, func() error { return removeToxic(p.proxy, w.Name) }))
		}
		if err := p.proxy.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// faultPatience bounds how long a proxy may take to change: it waits for
// connections whose reader is stopped.
const faultPatience = 5 * time.Second

func within(d time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return fmt.Errorf("a proxy did not change within %v", d)
	}
}

// streams names toxiproxy's streams for a direction.
func (p path) streams(d Direction) []string {
	forward, back := "upstream", "downstream"
	if p.reversed {
		forward, back = back, forward
	}
	switch d {
	case Forward:
		return []string{forward}
	case Back:
		return []string{back}
	}
	return []string{forward, back}
}

func (l Link) add(d Direction, kind string, attributes map[string]any) error {
	var errs []error
	for _, p := range l.paths {
		for _, s := range p.streams(d) {
			text, err := json.Marshal(map[string]any{"name": kind + "-" + s, "type": kind, "stream": s, "attributes": attributes})
			if err != nil {
				return err
			}
			errs = append(errs, within(faultPatience, func() error {
				_, err := p.proxy.Toxics.AddToxicJson(bytes.NewReader(text))
				return err
			}))
		}
	}
	return errors.Join(errs...)
}
