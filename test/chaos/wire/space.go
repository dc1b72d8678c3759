package wire

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// space is a network namespace. A thread that never leaves it keeps it, and is
// the parent of all processes in it: the kernel kills them when that thread ends.
type space struct {
	fd    int
	calls chan call
	ended chan struct{}
}

type call struct {
	do   func() error
	done chan error
}

func newSpace() (*space, error) {
	s := &space{calls: make(chan call), ended: make(chan struct{})}
	made := make(chan error)
	onThread(func() {
		defer close(s.ended)
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.fd, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if made <- err; err != nil {
			return
		}
		for c := range s.calls {
			c.done <- c.do()
		}
	})
	if err := <-made; err != nil {
		return nil, failed("make a network namespace", err)
	}
	return s, nil
}

// do has the namespace's thread call fn.
func (s *space) do(fn func() error) error {
	c := call{fn, make(chan error, 1)}
	s.calls <- c
	return <-c.done
}

// dial connects from within the namespace. A connection stays in the namespace
// that its socket was made in, whichever thread uses it.
func (s *space) dial(ctx context.Context, addr string) (net.Conn, error) {
	var c net.Conn
	done := make(chan error, 1)
	// Of its own: the namespace's thread must not wait for an answer.
	onThread(func() {
		err := unix.Setns(s.fd, unix.CLONE_NEWNET)
		if err == nil {
			var d net.Dialer
			c, err = d.DialContext(ctx, "tcp4", addr)
		}
		done <- err
	})
	err := <-done
	return c, err
}

// close ends the thread, with it the processes that it started, and lets the
// namespace go. Nobody may call do or dial any more.
func (s *space) close() error {
	close(s.calls)
	<-s.ended
	return unix.Close(s.fd)
}

// onThread has a thread of its own call fn and end: nothing else ever runs where
// fn left it.
func onThread(fn func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			fn() // and ends locked, so that its thread ends too
			return
		}
		// The first thread of a process can't end; held here, it leaves fn to
		// another one.
		done := make(chan struct{})
		onThread(func() {
			defer close(done)
			fn()
		})
		<-done
		runtime.UnlockOSThread()
	}()
}
