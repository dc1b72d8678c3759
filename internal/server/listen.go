package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// Socket is a listening socket that a server opens when it runs. The zero
// Socket is ready to use; its methods are safe for concurrent use.
type Socket struct {
	once  sync.Once
	ready chan struct{}
	addr  net.Addr // written before ready is closed
}

func (s *Socket) init() { s.once.Do(func() { s.ready = make(chan struct{}) }) }

// Open listens on addr (host:port), with TLS if t is not nil. Call it once.
func (s *Socket) Open(addr string, t *tls.Config) (net.Listener, error) {
	s.init()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	s.addr = l.Addr()
	close(s.ready)
	if t != nil {
		l = tls.NewListener(l, t)
	}
	return l, nil
}

// Listening is closed once the socket is open.
func (s *Socket) Listening() <-chan struct{} {
	s.init()
	return s.ready
}

// Addr returns the address that is listened on; nil before [Socket.Listening].
func (s *Socket) Addr() net.Addr {
	select {
	case <-s.Listening():
		return s.addr
	default:
		return nil
	}
}
