package fleet

import (
	"context"
	"fmt"
	"net"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/server"
	"github.com/raptorflow/tercet/internal/server/httpapi"
	"github.com/raptorflow/tercet/internal/server/resp"
	"github.com/raptorflow/tercet/internal/trial/play"
)

// servers let people look at a member from outside.
type servers struct {
	resp *resp.Server
	http *httpapi.Server
}

// loading is a member's node with its origin, so that whoever asks from
// outside gets what no tier has.
type loading struct {
	*node.Node
	load node.Loader
}

var _ server.Cache = loading{}

// Get implements [server.Cache].
func (l loading) Get(ctx context.Context, key string, dst []byte, o node.ReadOptions) (node.Result, error) {
	if o.Load == nil {
		o.Load = l.load
	}
	return l.Node.Get(ctx, key, dst, o)
}

func (m *member) newServers() (*servers, error) {
	cache := loading{m.client.Node(), m.load}
	addr := net.JoinHostPort(m.fleet.config.Listen, "0")
	r, err := resp.New(resp.Deps{Cache: cache}, resp.Config{Addr: addr})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	h, err := httpapi.New(httpapi.Deps{Cache: cache}, httpapi.Config{Addr: addr, Domain: m.fleet.config.Domain})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return &servers{resp: r, http: h}, nil
}

// addresses waits until both listen, or the servers have ended.
func (s *servers) addresses(ended <-chan struct{}, name string) []play.Address {
	var out []play.Address
	for _, l := range []struct {
		what, scheme string
		listening    <-chan struct{}
		addr         func() net.Addr
	}{
		{name + " for Redis clients", "redis://", s.resp.Listening(), s.resp.Addr},
		{name + " over HTTP", "http://", s.http.Listening(), s.http.Addr},
	} {
		select {
		case <-l.listening:
			out = append(out, play.Address{What: l.what, URL: l.scheme + l.addr().String()})
		case <-ended:
		}
	}
	return out
}
