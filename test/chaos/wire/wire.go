package wire

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/vishvananda/netlink"
)

// Net is a switch with hosts. Its methods are safe for concurrent use; Close is
// the last.
type Net struct {
	space  *space
	bridge netlink.Link

	mu    sync.Mutex
	hosts []*Host
	taps  []*tap
}

// card is what a host calls its end of the cable.
const card = "eth0"

// most is how many hosts a switch has ports for.
const most = 200

// station is the number of a card on the switch; the switch's own is 1. The
// addresses mean something there alone.
type station byte

const hub station = 1

func (s station) ip() net.IP            { return net.IPv4(10, 86, 0, byte(s)) }
func (s station) mac() net.HardwareAddr { return net.HardwareAddr{2, 0, 10, 86, 0, byte(s)} }
func (s station) at(port string) string { return net.JoinHostPort(s.ip().String(), port) }

// New returns a switch that nobody is connected to. An error is an *[Error].
func New() (*Net, error) {
	space, err := newSpace()
	if err != nil {
		return nil, err
	}
	n := &Net{space: space, bridge: &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch", HardwareAddr: hub.mac()}}}
	err = space.do(func() error {
		if err := netlink.LinkAdd(n.bridge); err != nil {
			return failed("add a bridge", err)
		}
		return hub.moveIn(n.bridge)
	})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// moveIn takes a link of the thread's namespace up, with the station's address.
func (s station) moveIn(link netlink.Link) error {
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: s.ip(), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return failed("give a link an address", err)
	}
	return failed("take a link up", netlink.LinkSetUp(link))
}

// know tells the thread's namespace where behind a link the station is. Who had to
// ask would learn within seconds that nobody is there any more, as on a cable's
// own segment; from behind a router one never does.
func (s station) know(link netlink.Link) error {
	return failed("name a neighbour", netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, IP: s.ip(), HardwareAddr: s.mac(), State: netlink.NUD_PERMANENT,
	}))
}

// Reach returns where hosts find what listens at addr, host and port of loopback.
func (n *Net) Reach(addr string) (string, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	seen := hub.at(port)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.taps {
		if t.listener.Addr().String() == seen {
			return seen, nil
		}
	}
	var l net.Listener
	err = n.space.do(func() error {
		l, err = net.Listen("tcp4", seen)
		return err
	})
	if err != nil {
		return "", failed("listen at the switch", err)
	}
	n.taps = append(n.taps, newTap(l, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp4", addr)
	}))
	return seen, nil
}

// Close ends all connections, kills the processes on the hosts, and takes all
// down.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, h := range n.hosts {
		// A connection that can't be ended over the cable would keep the namespace
		// for minutes.
		errs = append(errs, n.space.do(h.plug))
	}
	for _, t := range n.taps {
		t.close()
	}
	for _, h := range n.hosts {
		errs = append(errs, h.space.close())
	}
	errs = append(errs, n.space.close())
	n.taps, n.hosts = nil, nil
	return errors.Join(errs...)
}
