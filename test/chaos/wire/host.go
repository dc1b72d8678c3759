package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is a host of its own: a namespace with one card. Its methods are safe for
// concurrent use.
type Host struct {
	net     *Net
	space   *space
	station station
	port    netlink.Link // the switch's end of the cable

	mu     sync.Mutex
	offers []string
}

// Host connects another host to the switch. An error is an *[Error].
func (n *Net) Host() (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.hosts) == most {
		return nil, fmt.Errorf("a switch has %d ports", most)
	}
	s, err := newSpace()
	if err != nil {
		return nil, err
	}
	h := &Host{net: n, space: s, station: hub + 1 + station(len(n.hosts))}
	n.hosts = append(n.hosts, h) // which is closed whatever comes
	if err := n.space.do(h.lay); err != nil {
		return nil, err
	}
	if err := s.do(h.moveIn); err != nil {
		return nil, err
	}
	return h, nil
}

// lay lays the cable, on the switch's side.
func (h *Host) lay() error {
	name := fmt.Sprintf("port%d", h.station)
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: h.net.bridge.Attrs().Index},
		PeerName:  card, PeerHardwareAddr: h.station.mac(), PeerNamespace: netlink.NsFd(h.space.fd),
	})
	if err != nil {
		return failed("add a pair of links", err)
	}
	if h.port, err = netlink.LinkByName(name); err != nil {
		return failed("find the switch's port", err)
	}
	return errors.Join(failed("take a port up", netlink.LinkSetUp(h.port)), h.station.know(h.net.bridge))
}

// moveIn is the host's side.
func (h *Host) moveIn() error {
	lo, err1 := netlink.LinkByName("lo")
	eth, err2 := netlink.LinkByName(card)
	if err := errors.Join(err1, err2); err != nil {
		return failed("find the host's links", err)
	}
	return errors.Join(failed("take lo up", netlink.LinkSetUp(lo)), h.station.moveIn(eth), hub.know(eth))
}

// Do calls fn on a thread of the host: what it listens to is the host's, and a
// process that it starts lives there, and is killed when the network is closed if
// its Pdeathsig says so. fn must not take long: one is called at a time.
func (h *Host) Do(fn func() error) error { return h.space.do(fn) }

// Offer has connections to the port of loopback carried to the same port of the
// host, and returns where on the host to listen for them.
func (h *Host) Offer(port int) (string, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	addr := h.station.at(strconv.Itoa(port))
	h.mu.Lock()
	h.offers = append(h.offers, addr)
	h.mu.Unlock()
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.taps = append(h.net.taps, newTap(l, func(ctx context.Context) (net.Conn, error) { return h.net.space.dial(ctx, addr) }))
	return addr, nil
}

// Mirror has connections on the host to addr, host and port of its loopback,
// carried over the cable to where the host finds to: for who is told an address of
// loopback by somebody else.
func (h *Host) Mirror(addr, to string) error {
	var l net.Listener
	err := h.space.do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	if err != nil {
		return failed("listen on the host", err)
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.taps = append(h.net.taps, newTap(l, func(ctx context.Context) (net.Conn, error) { return h.space.dial(ctx, to) }))
	return nil
}

// Unplug pulls the cable out: what either side sends is gone, and neither is told
// but by its card.
func (h *Host) Unplug() error {
	return h.net.space.do(func() error { return failed("take a port down", netlink.LinkSetDown(h.port)) })
}

// Plug puts the cable in again. Frames pass at once.
func (h *Host) Plug() error { return h.net.space.do(h.plug) }

func (h *Host) plug() error {
	if h.port == nil {
		return nil // it was never laid
	}
	return failed("take a port up", netlink.LinkSetUp(h.port))
}

// Carrier reports whether the host's card sees the switch.
func (h *Host) Carrier() (bool, error) {
	var up bool
	err := h.space.do(func() error {
		l, err := netlink.LinkByName(card)
		if err == nil {
			up = l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
		}
		return failed("look at "+card, err)
	})
	return up, err
}

// ErrSilent reports that nothing came back in time: neither an answer nor a
// refusal.
var ErrSilent = errors.New("no answer, and no refusal")

// Connect opens a connection over the cable to each port that the host offers,
// and returns how long the slowest took. It returns [ErrSilent] if nothing comes
// back within d, and what came back if that is no connection.
func (h *Host) Connect(ctx context.Context, d time.Duration) (time.Duration, error) {
	h.mu.Lock()
	offers := slices.Clone(h.offers)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	began := time.Now()
	for _, addr := range offers {
		c, err := h.net.space.dial(ctx, addr)
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			return 0, ErrSilent
		case err != nil:
			return 0, err
		}
		c.Close()
	}
	return time.Since(began), nil
}
