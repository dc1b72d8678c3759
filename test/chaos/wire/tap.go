package wire

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// answerWithin is for how long a tap waits for somebody who does not answer, as
// behind a cable that is out; the kernel would for two minutes.
const answerWithin = 15 * time.Second

// tap carries connections from a listener to wherever dial goes.
type tap struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)
	stop     context.CancelFunc
	all      sync.WaitGroup
}

func newTap(l net.Listener, dial func(ctx context.Context) (net.Conn, error)) *tap {
	ctx, stop := context.WithCancel(context.Background())
	t := &tap{listener: l, dial: dial, stop: stop}
	t.all.Go(func() { t.accept(ctx) })
	return t
}

func (t *tap) accept(ctx context.Context) {
	for {
		in, err := t.listener.Accept()
		if err != nil {
			return // it was closed
		}
		t.all.Go(func() { t.carry(ctx, in) })
	}
}

// carry ends with the first of both ends that does: what is between them stands
// for a wire, which has no half of a connection to keep.
func (t *tap) carry(ctx context.Context, in net.Conn) {
	defer in.Close()
	dialing, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	out, err := t.dial(dialing)
	if err != nil {
		return
	}
	defer out.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		t.all.Go(func() {
			_, _ = io.Copy(way[1], way[0]) // whichever end failed, it is over
			ended <- struct{}{}
		})
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// close ends the tap and its connections.
func (t *tap) close() {
	t.listener.Close()
	t.stop()
	t.all.Wait()
}
