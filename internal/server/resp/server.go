package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/server"
)

// Config says where and how to listen. The zero value of every field but Addr
// means its default.
type Config struct {
	// Addr is the TCP address, host:port. Port 0 takes a free one.
	Addr string
	// Password is what clients must give before anything else; the zero
	// Secret: nothing.
	Password server.Secret
	// TLS, if set, is required of clients.
	TLS *tls.Config

	// MaxConnections bounds the clients. Default 10,000. Each costs about
	// 20 KiB while it is idle.
	MaxConnections int
	// MaxValue is the largest value in bytes. Default 16 MiB. One command may
	// have twice that.
	MaxValue int
	// MaxArgs bounds the arguments of one command. Default 65,536.
	MaxArgs int

	// IdleTimeout ends connections that are silent for longer. Default: never.
	IdleTimeout time.Duration
	// ReadTimeout bounds the time from a command's first byte to its last.
	// Default 1 min.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take to read what fills its
	// socket. Default 10 s.
	WriteTimeout time.Duration
	// CommandTimeout bounds one command. Default 5 s.
	CommandTimeout time.Duration
	// EverywhereTimeout bounds a command with EVERYWHERE, which waits for
	// silent members as long as their leases run. Default 60 s.
	EverywhereTimeout time.Duration
	// DrainTimeout is how long commands under way may go on once the server
	// was told to stop. Default 5 s.
	DrainTimeout time.Duration

	// Version is what the server says it is, in HELLO and INFO.
	Version string
}

func (c Config) withDefaults() Config {
	set(&c.MaxConnections, 10_000)
	set(&c.MaxValue, 16<<20)
	set(&c.MaxArgs, 65_536)
	set(&c.ReadTimeout, time.Minute)
	set(&c.WriteTimeout, 10*time.Second)
	set(&c.CommandTimeout, 5*time.Second)
	set(&c.EverywhereTimeout, time.Minute)
	set(&c.DrainTimeout, 5*time.Second)
	set(&c.Version, "0.0.0")
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Deps are what a Server stands on.
type Deps struct {
	Cache server.Cache
	// Snapshot makes a snapshot and returns its id once it is in the store. Nil:
	// the node keeps none.
	Snapshot func(context.Context, SnapshotOrder) (id string, err error)
	// Logger is told of connections that failed in ways their client did not
	// cause. Default: nothing is said.
	Logger *slog.Logger
}

// Server is a RESP server. Build it with [New].
type Server struct {
	socket server.Socket
	cache  server.Cache
	logger *slog.Logger
	cfg    Config
	locks  *stripes
	// snapshot is nil where none are kept.
	snapshot func(context.Context, SnapshotOrder) (string, error)
	cursors  *cursors
	started  time.Time

	lastID   atomic.Int64
	commands atomic.Uint64
	accepted atomic.Uint64
	refused  atomic.Uint64

	mu    sync.Mutex
	conns map[*conn]struct{}
	// stopping is set before the connections are told; no connection is added
	// after it.
	stopping bool
}

// New returns a Server that is not listening yet.
func New(deps Deps, cfg Config) (*Server, error) {
	if deps.Cache == nil {
		return nil, errors.New("resp: no cache")
	}
	if _, _, err := net.SplitHostPort(cfg.Addr); err != nil {
		return nil, fmt.Errorf("resp: address %q: want host:port", cfg.Addr)
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		cache: deps.Cache, snapshot: deps.Snapshot, logger: deps.Logger, cfg: cfg.withDefaults(),
		locks: newStripes(), cursors: newCursors(1024), conns: make(map[*conn]struct{}),
	}, nil
}

// Addr returns the address that is listened on; nil before [Server.Listening].
func (s *Server) Addr() net.Addr { return s.socket.Addr() }

// Listening is closed once clients can connect.
func (s *Server) Listening() <-chan struct{} { return s.socket.Listening() }

// Stats are what a Server has counted since it was made, but for Connected.
type Stats struct {
	Connected         int
	Commands          uint64
	Accepted, Refused uint64
}

// Stats returns the counts as they are now.
func (s *Server) Stats() Stats {
	return Stats{
		Connected: s.connected(), Commands: s.commands.Load(),
		Accepted: s.accepted.Load(), Refused: s.refused.Load(),
	}
}

func (s *Server) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Run serves until ctx is done, and returns nil then; another error means that
// it could not listen. It returns after the last connection has ended. Run it
// once.
func (s *Server) Run(ctx context.Context) error {
	l, err := s.socket.Open(s.cfg.Addr, s.cfg.TLS)
	if err != nil {
		return fmt.Errorf("resp: %w", err)
	}
	s.started = time.Now()
	// Commands outlive ctx: what was begun may end.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	var clients sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err = s.accept(ctx, work, l, &clients)

	_ = l.Close()     // first nobody new comes in,
	s.interrupt()     // then those who wait for a command stop waiting,
	s.drain(&clients) // and those who work on one may end it,
	cancel()          // but not for ever:
	s.disconnectAll() // what is left loses its context and its connection,
	clients.Wait()    // and ends at once.
	return err
}

// accept takes connections until ctx is done.
func (s *Server) accept(ctx, work context.Context, l net.Listener, clients *sync.WaitGroup) error {
	const longest = time.Second
	pause := time.Millisecond
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("resp: %w", err)
		case err != nil:
			// Out of file descriptors, most likely: that passes.
			s.logger.Warn("resp: accept failed", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
			continue
		}
		pause = time.Millisecond
		c, ok := s.admit(nc)
		if !ok {
			clients.Go(func() { refuse(nc) })
			continue
		}
		clients.Go(func() {
			defer s.leave(c)
			c.serve(work)
		})
	}
}

func (s *Server) admit(nc net.Conn) (*conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.cfg.MaxConnections || s.stopping {
		s.refused.Add(1)
		return nil, false
	}
	s.accepted.Add(1)
	c := newConn(s, nc, s.lastID.Add(1))
	s.conns[c] = struct{}{}
	return c, true
}

// refuse says why and hangs up. With TLS, writing means a handshake first.
func refuse(nc net.Conn) {
	_ = nc.SetDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write([]byte("-ERR max number of clients reached\r\n"))
	_ = nc.Close()
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	_ = c.nc.Close()
}

// interrupt ends every read that waits, and every one that begins later.
func (s *Server) interrupt() {
	s.mu.Lock()
	s.stopping = true
	conns := s.connections()
	s.mu.Unlock()
	for _, c := range conns {
		c.stop()
	}
}

func (s *Server) drain(clients *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		clients.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.cfg.DrainTimeout):
	}
	// In the second case the goroutine ends with the connections that Run
	// disconnects, and waits for, next.
}

func (s *Server) disconnectAll() {
	s.mu.Lock()
	conns := s.connections()
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.nc.Close()
	}
}

// connections is called with mu held.
func (s *Server) connections() []*conn {
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// limits are those of one command; before a client gave the password they are
// what AUTH and HELLO need.
func (s *Server) limits(authenticated bool) limits {
	if !authenticated {
		return limits{args: 16, bulk: 16 << 10, command: 64 << 10}
	}
	// The slack lets keys and tags beyond their own limits reach the command,
	// which says so without ending the connection.
	bulk := max(s.cfg.MaxValue, events.MaxKey) + 64<<10
	return limits{args: s.cfg.MaxArgs, bulk: bulk, command: 2 * bulk}
}
