package resp

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"github.com/raptorflow/tercet/internal/consistency"
)

// conn is one client. Its fields belong to its goroutine, but for stopping.
type conn struct {
	srv *Server
	nc  net.Conn
	id  int64
	// work ends when commands must end.
	work context.Context

	out   replies
	in    []byte // what was read and not carried out yet; lies in buf
	buf   []byte
	frame frame
	// since is when the command began that is not whole yet; zero: none has.
	since time.Time
	args  [][]byte // reused by the parser
	value []byte   // reused by reads

	authenticated bool
	name          string
	library       [2]string // name and version, as the client says
	began         time.Time

	level consistency.Level
	// token is what this connection has written.
	token consistency.Token

	closing  bool // set by QUIT and by errors
	broken   error
	stopping atomic.Bool
}

// Sizes of a connection's buffers, in bytes.
const (
	readSize = 16 << 10
	// flushAt is how much may wait to be sent while more commands are there.
	flushAt = 64 << 10
	// keepAt bounds the buffers that a connection keeps between commands.
	keepAt = 256 << 10
)

func newConn(s *Server, nc net.Conn, id int64) *conn {
	return &conn{srv: s, nc: nc, id: id, out: replies{proto: 2}, began: time.Now(), authenticated: !s.cfg.Password.Required()}
}

// stop ends the connection after the commands that it has read.
func (c *conn) stop() {
	c.stopping.Store(true)
	_ = c.nc.SetReadDeadline(time.Now())
}

// serve carries out commands until the client leaves, breaks the protocol, or
// is told to.
func (c *conn) serve(work context.Context) {
	c.work = work
	for !c.closing {
		n, err := c.frame.next(c.in, c.srv.limits(c.authenticated))
		switch {
		case err != nil:
			c.out.fail("ERR " + err.Error())
			c.closing = true
		case n > 0:
			c.carryOut(c.in[:n])
			c.in, c.since = c.in[n:], time.Time{}
			if len(c.out.b) >= flushAt {
				c.flush()
			}
		default:
			c.flush()
			if err := c.read(); err != nil {
				return
			}
		}
	}
	c.flush()
}

// read waits for more of the client's bytes.
func (c *conn) read() error {
	if c.closing {
		return c.broken
	}
	c.makeRoom()
	var deadline time.Time
	switch {
	case len(c.in) > 0:
		if c.since.IsZero() {
			c.since = time.Now()
		}
		deadline = c.since.Add(c.srv.cfg.ReadTimeout)
	case c.srv.cfg.IdleTimeout > 0:
		deadline = time.Now().Add(c.srv.cfg.IdleTimeout)
	}
	if err := c.await(deadline); err != nil {
		return err
	}
	n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom leaves a part of the buffer free behind what was read.
func (c *conn) makeRoom() {
	switch {
	case len(c.in) == 0 && cap(c.buf) > keepAt:
		c.buf = make([]byte, 0, readSize)
		c.in = c.buf
	case len(c.in) == 0:
		c.in = c.buf[:0]
	}
	if cap(c.in)-len(c.in) >= readSize/4 {
		return
	}
	// Twice the size each time, so that a large command is not copied once
	// for each piece of it.
	c.buf = make([]byte, len(c.in), max(readSize, 2*len(c.in)))
	copy(c.buf, c.in)
	c.in = c.buf
}

// await sets the deadline of the next read; zero: none.
func (c *conn) await(deadline time.Time) error {
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	if c.stopping.Load() {
		// stop may have come before the deadline was set, and been undone by
		// it. After this check it can only come later.
		return context.Canceled
	}
	return nil
}

// flush sends what is there. It blocks while the client does not read.
func (c *conn) flush() {
	if len(c.out.b) == 0 || c.broken != nil {
		c.out.b = c.out.b[:0]
		return
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
	if err == nil {
		_, err = c.nc.Write(c.out.b)
	}
	if err != nil {
		c.broken, c.closing = err, true
	}
	if cap(c.out.b) > keepAt {
		c.out.b = nil
	}
	c.out.b = c.out.b[:0]
	if cap(c.value) > keepAt {
		c.value = nil
	}
}

// carryOut runs one whole command. Arguments are views into packet.
func (c *conn) carryOut(packet []byte) {
	start := len(c.out.b)
	defer func() {
		if p := recover(); p != nil {
			// One client's command must not end everybody's node. Half a
			// reply may be there, so that the connection can't go on.
			c.srv.logger.Error("resp: command panicked", "panic", p, "stack", string(debug.Stack()))
			c.out.b = append(c.out.b[:min(start, len(c.out.b))], "-ERR internal error\r\n"...)
			c.closing = true
		}
	}()
	complete, args, _, _, err := redcon.ReadNextCommand(packet, c.args)
	switch {
	case err != nil:
		c.out.fail("ERR " + err.Error())
		c.closing = true
	case !complete:
		c.out.fail("ERR " + protocolError("malformed command").Error())
		c.closing = true
	case len(args) > 0:
		c.dispatch(args)
	}
	clear(args[:min(len(args), cap(args))])
	if cap(args) <= 1024 {
		c.args = args[:0]
	}
}

func (c *conn) dispatch(args [][]byte) {
	c.srv.commands.Add(1)
	cmd, ok := lookup(args[0])
	switch {
	case !ok && c.authenticated:
		c.out.fail(unknownCommand(args))
		return
	case !c.authenticated && (!ok || !cmd.has(flagNoAuth)):
		c.out.fail(string(errNoAuth))
		return
	case !cmd.takes(len(args)):
		c.out.fail("ERR wrong number of arguments for '" + cmd.name + "' command")
		return
	}
	ctx := c.work
	if !cmd.has(flagFast) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.srv.cfg.CommandTimeout)
		defer cancel()
	}
	if err := cmd.run(c, ctx, args[1:]); err != nil {
		line := errorLine(err)
		var reply replyError
		if !errors.As(err, &reply) {
			c.srv.logger.Debug("resp: command failed", "command", cmd.name, "client", c.id, "error", err)
		}
		c.out.fail(line)
	}
}
